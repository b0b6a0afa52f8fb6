//! Is there one principle? The condition of a learning problem and the time it takes, on the side of skips and on that
//! of noise, measured in the same way.
//!
//! On both sides a model learns by gradient descent at the rate c/λ_max, and
//! κ = λ_max/λ_median of the Gauss-Newton matrix at the start is how ill-conditioned the problem is.

mod linear;
mod network;

use nalgebra::DMatrix;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric};
use crate::{error::Error, exact::place::Place, fit::slope, stream::Stream, summary::Better};

/// A family of problems that differ in their condition; the time to a threshold is taken for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconditioning {
    /// Where the condition comes from.
    pub side: Side,
    /// n: every matrix is n × n; of networks but for the first and the last.
    pub width: usize,
    /// c: the rate times λ_max.
    pub step: f64,
    /// The excess loss to reach, as a share of the first one.
    pub threshold: f64,
    /// Steps after which a problem is given up.
    pub budget: u64,
}

/// Where the condition comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Side {
    /// Chains W_L … W_1 that are asked to change their product by a random matrix of the size of the identity.
    ///
    /// Without: W = V, entries N(0, 1/n). With: W = I + V/√L. The rival is orthogonal W.
    /// Inputs are white, so that all of the condition is the chain's: Σ_l (B_l B_lᵀ) ⊗ (A_lᵀ A_l), with what is above
    /// and below layer l.
    Skip {
        /// L, rising; the gain is that of the last.
        depths: Vec<usize>,
    },
    /// A matrix that learns the noise ε from x = x₀ + σ ε, x₀ in a subspace; its score is −W x/σ.
    ///
    /// Without: the first level. With: the last. The condition is that of S + σ² I, S the covariance of the data.
    /// The rival is weight decay σ² on the implicit loss of the clean data, whose Gauss-Newton matrix is the same.
    Noise {
        /// Dimension of the subspace, at most half of n, so that the median is off the manifold.
        intrinsic: usize,
        /// Data points.
        points: usize,
        /// σ, rising.
        levels: Vec<f64>,
    },
    /// Skip with networks y = W' tanh(h_L), h = f(h) or h + f(h)/√L with f(h) = V tanh(h), at points that are white in
    /// n dimensions: each is asked to change its one output at every point by a standard normal number.
    SkipNetwork {
        /// L, rising.
        depths: Vec<usize>,
        /// Points.
        points: usize,
    },
    /// Noise with such a residual network of two layers: it learns σ times the score of the circle in the plane.
    NoiseNetwork {
        /// Points, drawn from the noised circle.
        points: usize,
        /// σ, rising.
        levels: Vec<f64>,
    },
}

/// *Ranges*: `gain`, `gain_over_rival`, `time_saved` and `slope` real; `rank_correlation` in `[−1, 1]`; `reached` in `[0, 1]`.
/// *Misleading*: κ is over the median eigenvalue, so the slowest half of the directions is not in it. Problems that were not
/// solved within the budget count with it in `time_saved` and are left out of `slope`: read `reached` first. The rate is tied to
/// λ_max, so what an optimiser with rates of its own would save is not asked. κ is of the start, and of networks it moves.
/// *Source*: defined here; κ of the start as of gradient descent on quadratics.
const METRICS: &[Metric] = &[
    Metric {
        name: "gain",
        unit: "decades",
        meaning: "log10 κ without − log10 κ with: how far the intervention reconditions",
        better: Better::Higher,
        worst: None,
    },
    Metric {
        name: "gain_over_rival",
        unit: "decades",
        meaning: "log10 κ of the rival − log10 κ with: what is left of the gain against the rival",
        better: Better::Higher,
        worst: None,
    },
    Metric {
        name: "time_saved",
        unit: "decades",
        meaning: "log10 of the steps to the threshold, without − with; the budget counts where it was not reached",
        better: Better::Higher,
        worst: None,
    },
    Metric {
        name: "slope",
        unit: "",
        meaning: "slope of log10 steps over log10 κ, over the problems that reached the threshold within the budget",
        better: Better::Descriptive,
        worst: None,
    },
    Metric {
        name: "rank_correlation",
        unit: "",
        meaning: "Spearman's rank correlation of steps and κ over all problems",
        better: Better::Higher,
        worst: None,
    },
    Metric {
        name: "reached",
        unit: "",
        meaning: "share of the problems that reached the threshold within the budget",
        better: Better::Higher,
        worst: Some(0.0),
    },
];

/// Problems of one side.
struct Family {
    without: Timed,
    with: Timed,
    /// log10 κ of the rival of what is with.
    rival: Option<f64>,
    all: Vec<Timed>,
}

/// A problem: how ill-conditioned it is, and the step at which the threshold was passed.
#[derive(Clone, Copy, Debug)]
struct Timed {
    log_kappa: f64,
    steps: Option<f64>,
}

impl Measurement for Reconditioning {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 2, 24)?;
        place.positive("step", self.step)?;
        if 1.0 < self.step {
            let rule = "gradient descent needs a rate below 1/λ_max here: give 1 or less";
            return Err(place.refuse("step", self.step, rule));
        }
        place.positive("threshold", self.threshold)?;
        if 1.0 <= self.threshold {
            let rule = "it is a share of the first excess: give less than 1";
            return Err(place.refuse("threshold", self.threshold, rule));
        }
        place.count("budget", self.budget as usize, 1, 10_000_000)?;
        match &self.side {
            Side::SkipNetwork { points, .. } | Side::NoiseNetwork { points, .. } => {
                place.count("side.points", *points, 2, 200)?;
            }
            Side::Noise {
                intrinsic, points, ..
            } => {
                place.count("side.intrinsic", *intrinsic, 1, self.width / 2)?;
                place.count("side.points", *points, *intrinsic, 1_000_000)?;
            }
            Side::Skip { .. } => {}
        }
        match &self.side {
            Side::Skip { depths } | Side::SkipNetwork { depths, .. } => {
                place.depths(depths, 1)?;
                place.count("number of side.depths", depths.len(), 2, 100)
            }
            Side::Noise { levels, .. } | Side::NoiseNetwork { levels, .. } => {
                place.count("number of side.levels", levels.len(), 2, 100)?;
                for &sigma in levels {
                    place.positive("side.levels", sigma)?;
                }
                match levels.windows(2).find(|pair| pair[1] <= pair[0]) {
                    Some(pair) => Err(place.refuse("side.levels", pair[1], "they rise: sort them")),
                    None => Ok(()),
                }
            }
        }
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        let work = match &self.side {
            Side::Skip { depths } => 5 * depths.iter().sum::<usize>() * self.width.pow(2),
            Side::Noise { levels, .. } => levels.len() * self.width.pow(2),
            Side::SkipNetwork { depths, points } => {
                depths.iter().sum::<usize>() * points * self.width
            }
            Side::NoiseNetwork { points, levels } => 2 * levels.len() * points * self.width,
        };
        // About a third of the budget is spent.
        1e-7 * work as f64 * self.budget as f64 / 3.0
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        let Family {
            without,
            with,
            rival,
            all,
        } = match &self.side {
            Side::Skip { depths } => self.skip(stream, depths),
            Side::Noise {
                intrinsic,
                points,
                levels,
            } => self.noise(stream, *intrinsic, *points, levels),
            Side::SkipNetwork { depths, points } => self.skip_network(stream, depths, *points),
            Side::NoiseNetwork { points, levels } => self.noise_network(stream, *points, levels),
        };
        let steps = |problem: Timed| problem.steps.unwrap_or(self.budget as f64).max(1.0).log10();
        found.set("gain", without.log_kappa - with.log_kappa);
        if let Some(rival) = rival {
            found.set("gain_over_rival", rival - with.log_kappa);
        }
        found.set("time_saved", steps(without) - steps(with));
        let within: Vec<(f64, f64)> = all
            .iter()
            .filter(|problem| problem.steps.is_some())
            .map(|problem| (problem.log_kappa, steps(*problem)))
            .collect();
        found.set("reached", within.len() as f64 / all.len() as f64);
        if let Some(slope) = slope(&within) {
            found.set("slope", slope);
        }
        let (kappas, times): (Vec<f64>, Vec<f64>) =
            all.iter().map(|p| (p.log_kappa, steps(*p))).unzip();
        if let Some(rank) = learnability::solo::rank_correlation(&kappas, &times) {
            found.set("rank_correlation", rank);
        }
        found.curve(
            "steps_by_condition",
            ["condition κ, log10", "steps to the threshold, log10"],
            false,
            &within,
        );
        Ok(())
    }
}

/// The largest and the median eigenvalue.
fn ends(matrix: &Array2<f64>) -> (f64, f64) {
    let n = matrix.nrows();
    let values = DMatrix::from_fn(n, n, |i, j| matrix[[i, j]]).symmetric_eigenvalues();
    let mut values: Vec<f64> = values.iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    // Below rounding nothing is known of an eigenvalue but that it is small.
    (values[0], values[n / 2].max(values[0] * f64::EPSILON))
}

/// The orthogonal factor of a matrix of normal numbers, uniformly distributed (Mezzadri 2007).
pub(super) fn orthonormal(normal: &Array2<f64>) -> Array2<f64> {
    let n = normal.nrows();
    let (q, r) = DMatrix::from_fn(n, n, |i, j| normal[[i, j]]).qr().unpack();
    Array2::from_shape_fn((n, n), |(i, j)| q[(i, j)] * r[(j, j)].signum())
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::Rng;
    use rand_distr::StandardNormal;

    use super::{
        super::tests::record,
        linear::{below, gauss_newton},
        *,
    };
    use crate::stream::Role;

    fn numbers(experiment: &Reconditioning, seed: u32) -> std::collections::BTreeMap<String, f64> {
        record(experiment.clone(), seed).values
    }

    fn small(side: Side) -> Reconditioning {
        Reconditioning {
            side,
            width: 4,
            step: 0.25,
            threshold: 0.1,
            budget: 40_000,
        }
    }

    #[test]
    fn the_gauss_newton_matrix_is_that_of_differences() {
        let chain = vec![
            array![[0.3, -1.0], [0.7, 0.2]],
            array![[1.1, 0.4], [-0.6, 0.9]],
        ];
        let product = |chain: &[Array2<f64>]| below(chain).pop().expect("a product");
        let mut jacobian = DMatrix::zeros(4, 8);
        for parameter in 0..8 {
            let mut moved = chain.clone();
            moved[parameter / 4][[parameter % 4 / 2, parameter % 2]] += 1e-6;
            let slope = (product(&moved) - product(&chain)) / 1e-6;
            for (row, value) in slope.iter().enumerate() {
                jacobian[(row, parameter)] = *value;
            }
        }
        let mut wanted: Vec<f64> = (&jacobian * jacobian.transpose())
            .symmetric_eigenvalues()
            .iter()
            .copied()
            .collect();
        wanted.sort_by(|a, b| b.total_cmp(a));
        let (largest, median) = gauss_newton(&chain);
        assert!((largest - wanted[0]).abs() < 1e-5 && (median - wanted[2]).abs() < 1e-5);
    }

    #[test]
    fn orthogonal_chains_are_perfectly_conditioned_at_any_depth() {
        let mut rng = Stream::new(1).at(Role::Init, 0);
        let chain: Vec<Array2<f64>> = (0..9)
            .map(|_| Array2::from_shape_simple_fn((4, 4), || rng.sample(StandardNormal)))
            .map(|normal| orthonormal(&normal))
            .collect();
        let (largest, median) = gauss_newton(&chain);
        assert!((largest - 9.0).abs() < 1e-9 && (median - 9.0).abs() < 1e-9);
    }

    /// Off the manifold the excess falls as (1 − c/κ)^(2t), and nothing else is left of it at low noise.
    #[test]
    fn the_time_of_the_noise_side_is_the_closed_form() {
        let reconditioning = small(Side::Noise {
            intrinsic: 1,
            points: 500,
            levels: vec![0.02, 0.05, 0.2],
        });
        let stream = Stream::new(5);
        let family = reconditioning.noise(&stream, 1, 500, &[0.02, 0.05]);
        for problem in family.all {
            let kappa = 10.0_f64.powf(problem.log_kappa);
            let wanted = 0.1_f64.ln() / (2.0 * (1.0 - 0.25 / kappa).ln());
            let steps = problem.steps.expect("within the budget");
            assert!(
                (steps / wanted - 1.0).abs() < 0.01,
                "{steps} against {wanted}"
            );
        }
        let numbers = numbers(&reconditioning, 5);
        assert!((numbers["slope"] - 1.0).abs() < 0.05, "{numbers:?}");
        assert_eq!((numbers["reached"], numbers["gain_over_rival"]), (1.0, 0.0));
        assert!(1.5 < numbers["gain"] && 1.5 < numbers["time_saved"]);
    }

    #[test]
    fn depth_conditions_a_plain_chain_badly_and_a_residual_one_hardly() {
        let depths = vec![2, 8];
        let numbers = numbers(&small(Side::Skip { depths }), 2);
        assert!(0.5 < numbers["gain"], "{numbers:?}");
        assert!(0.0 < numbers["time_saved"], "{numbers:?}");
        // An orthogonal chain is better still.
        assert!(numbers["gain_over_rival"] < 0.0, "{numbers:?}");
    }
}
