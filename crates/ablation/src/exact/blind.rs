//! What a network loses that is not told the noise level.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use noise_schedule::{Grid, Kernel};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use samplers::{Ddim, Prediction, Silent, sample};
use score_objective::exact::{ExactScore, GaussianMixture};
use serde::Deserialize;

use super::{
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The best network without a label for the noise level, beside the best with one, both exact (Sun et al. 2025).
///
/// A network that sees x = α_t x₀ + σ_t ε alone, trained by squared error at levels t uniform in (0, 1), answers
///
/// ```text
/// F(x) = ∫ p(t | x) F(x, t) dt,   p(t | x) ∝ q_t(x),   F(x, t) = E[target | x, t]
/// ```
///
/// and the sampler, which knows t, takes that answer for F(x, t). On a mixture of narrow Gaussians around means from
/// N(0, I) both are known. In many dimensions the length of x tells the level, to a relative √(1/2D), so that little is
/// lost; what is left costs by what the answer is multiplied with: the flow velocity's factor in a step is its length,
/// whatever the level, ε's and x₀'s grow where α or σ vanish.
/// Shown is the variance of samples around the nearest mean, over that of the data, by DDIM with the same start.
///
/// Range: \[0, ∞), 1 for samples as wide as the data; invariant to rotations.
/// It misleads where modes overlap, since the nearest mean need not be a sample's own, and sees no missed mode.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blind {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Dimensions D, each a group of numbers.
    pub dims: Vec<usize>,
    /// Modes.
    pub modes: usize,
    /// Variance of each mode.
    pub variance: f64,
    /// Nodes of the integral over t, at midpoints in ln t.
    pub nodes: usize,
    /// Steps of the sampler, at midpoints in t, and one to clean data.
    pub steps: usize,
    /// Samples per seed.
    pub samples: usize,
    /// Seeds.
    pub seeds: u32,
    /// Around the expected values, of which there are none.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

/// Least t of the integral, and least t over the standard deviation of a mode: below it a mode is as wide as it is
/// without noise.
const LEAST: f64 = 1e-3;
const LEAST_SHARE: f64 = 1e-2;

/// What is predicted, along which path.
#[derive(Clone, Copy, Debug)]
enum Target {
    Flow,
    Epsilon,
    Sample,
}

const TARGETS: [(Target, &str); 3] = [
    (Target::Flow, "flow velocity"),
    (Target::Epsilon, "ε"),
    (Target::Sample, "x₀"),
];

impl Target {
    fn prediction(self) -> Prediction {
        match self {
            Target::Flow => Prediction::Flow,
            Target::Epsilon => Prediction::Epsilon,
            Target::Sample => Prediction::Sample,
        }
    }

    /// α = 1 − t and σ = t for the flow, cos and sin of πt/2 for the others.
    fn kernel(self, t: f64) -> Kernel {
        let (alpha, sigma) = match self {
            Target::Flow => (1.0 - t, t),
            Target::Epsilon | Target::Sample => {
                let (sin, cos) = (std::f64::consts::FRAC_PI_2 * t).sin_cos();
                (cos, sin)
            }
        };
        Kernel::new(alpha, sigma).expect("within (0, 1)")
    }
}

impl Table for Blind {
    table_fields!("blind");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("number of dims", self.dims.len(), 1, 20)?;
        for &dim in &self.dims {
            place.count("dims", dim, 1, 4096)?;
        }
        place.count("modes", self.modes, 1, 1000)?;
        place.positive("variance", self.variance)?;
        place.count("nodes", self.nodes, 2, 10_000)?;
        place.count("steps", self.steps, 1, 10_000)?;
        place.count("samples", self.samples, 1, 100_000)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        let numbers: usize = self.dims.iter().sum();
        let work = [self.modes, self.nodes, self.steps, self.samples, numbers]
            .into_iter()
            .fold(f64::from(self.seeds), |work, n| work * n as f64);
        if 1e10 < work {
            let rule = "modes · nodes · steps · samples · seeds · dimensions above 10¹⁰ takes minutes: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "variance of samples around the nearest mean over that of the data, by networks that are told the noise level and that are not",
            parameters: format!(
                "{} modes of variance {}; {} nodes, {} steps, {} samples, {} seeds",
                self.modes, self.variance, self.nodes, self.steps, self.samples, self.seeds
            ),
            ..Measured::default()
        };
        let jobs: Vec<(usize, Target, u64)> = (self.dims.iter())
            .flat_map(|&dim| TARGETS.map(|(target, _)| (dim, target)))
            .flat_map(|(dim, target)| {
                (0..u64::from(self.seeds)).map(move |s| (dim, target, seed + s))
            })
            .collect();
        let found: Vec<[f64; 2]> = jobs
            .into_par_iter()
            .map(|(dim, target, seed)| self.within(dim, target, Stream::new(seed)))
            .collect();
        let seeds = self.seeds as usize;
        for (&dim, of_dim) in self.dims.iter().zip(found.chunks(TARGETS.len() * seeds)) {
            measured.group = format!("D = {dim}");
            for ((_, name), runs) in TARGETS.iter().zip(of_dim.chunks(seeds)) {
                let of = |f: fn(&[f64; 2]) -> f64| {
                    Number::mean(&runs.iter().map(f).collect::<Vec<f64>>())
                };
                for (what, number) in [
                    ("told", of(|[told, _]| *told)),
                    ("blind", of(|[_, blind]| *blind)),
                    ("blind over told", of(|[told, blind]| blind / told)),
                ] {
                    measured.expected(format!("{name}, {what}"), number, None, self.tolerance);
                }
            }
        }
        measured
    }
}

impl Blind {
    fn data(&self, dim: usize, stream: Stream) -> GaussianMixture {
        let means = &mut stream.at(Role::Nuisance, 0);
        let means = Array2::from_shape_simple_fn((self.modes, dim), || {
            means.sample::<f64, _>(StandardNormal)
        });
        let weights = Array1::ones(self.modes);
        GaussianMixture::new(weights, means, self.variance).expect("it was checked")
    }

    /// The relative variance within modes of samples of the network that is told t, and of the one that is not.
    fn within(&self, dim: usize, target: Target, stream: Stream) -> [f64; 2] {
        let data = self.data(dim, stream);
        let n = self.steps as f64;
        let levels = (0..self.steps).map(|i| target.kernel((n - 0.5 - i as f64) / n));
        let grid = Grid::new(levels.collect())
            .expect("falling noise")
            .then_clean();
        let (first, _) = grid.steps().next().expect("there is a step");
        let start = data.draw_at(self.samples, first, &mut stream.at(Role::Sample, 0));
        let told = |x: &Array2<f64>, at: Kernel| data.denoise_at(x.view(), at);
        let prediction = target.prediction();
        let blind = |x: &Array2<f64>, at: Kernel| {
            prediction.denoised(&self.answer(&data, target, x), x, at)
        };
        let sampled = |mut model: &dyn Fn(&Array2<f64>, Kernel) -> Array2<f64>| {
            let x = sample(&grid, Ddim, &mut model, &mut Silent, start.clone());
            self.spread(&data, &x)
        };
        [sampled(&told), sampled(&blind)]
    }

    /// Σ_i p(t_i | x) E[target | x, t_i].
    fn answer(&self, data: &GaussianMixture, target: Target, x: &Array2<f64>) -> Array2<f64> {
        let nodes = self.times().map(|t| (t, target.kernel(t)));
        let nodes: Vec<(f64, Kernel)> = nodes.collect();
        // dt = t d ln t.
        let logs: Vec<Array1<f64>> = nodes
            .iter()
            .map(|&(t, at)| data.log_density_at(x.view(), at) + t.ln())
            .collect();
        let most = logs.iter().skip(1).fold(logs[0].clone(), |mut most, log| {
            most.zip_mut_with(log, |most, log| *most = most.max(*log));
            most
        });
        let mut sum = Array2::zeros(x.dim());
        let mut total = Array1::<f64>::zeros(x.nrows());
        for ((_, at), log) in nodes.iter().zip(&logs) {
            let weight = (log - &most).mapv_into(f64::exp);
            // Levels that no sample is at.
            if weight.iter().all(|weight| *weight < 1e-16) {
                continue;
            }
            let answer = (target.prediction()).answer(&data.denoise_at(x.view(), *at), x, *at);
            sum += &(answer * weight.view().insert_axis(Axis(1)));
            total += &weight;
        }
        sum / total.insert_axis(Axis(1))
    }

    /// Midpoints in ln t to 1.
    fn times(&self) -> impl Iterator<Item = f64> {
        let step = LEAST.min(LEAST_SHARE * self.variance.sqrt()).ln() / self.nodes as f64;
        (0..self.nodes).map(move |i| ((i as f64 + 0.5) * step).exp())
    }

    /// The mean square of a coordinate around the nearest mean, over the variance of a mode.
    fn spread(&self, data: &GaussianMixture, x: &Array2<f64>) -> f64 {
        let means = data.means();
        let nearest = |row: ArrayView1<'_, f64>| {
            let squares = means.rows().into_iter().map(|mean| {
                let apart = &row - &mean;
                apart.dot(&apart)
            });
            squares.fold(f64::INFINITY, f64::min)
        };
        let squares: f64 = x.rows().into_iter().map(nearest).sum();
        squares / (x.len() as f64 * self.variance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(nodes: usize) -> Blind {
        Blind {
            name: "b".to_owned(),
            about: Vec::new(),
            dims: vec![2],
            modes: 1,
            variance: 0.5,
            nodes,
            steps: 20,
            samples: 40,
            seeds: 2,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn the_answer_is_the_mean_over_levels_by_their_probability() {
        // By Monte Carlo: ε of draws at all levels, of those near a point.
        let table = Blind {
            dims: vec![1],
            ..table(400)
        };
        let stream = Stream::new(5);
        let data = table.data(1, stream);
        let mean = data.means()[[0, 0]];
        for target in [Target::Epsilon, Target::Flow] {
            let (point, width) = (0.4, 0.05);
            let rng = &mut stream.at(Role::Probe, 0);
            let (mut sum, mut count) = (0.0, 0.0);
            for _ in 0..400_000 {
                let at = target.kernel(rng.random_range(0.0..1.0));
                let [z, noise] = [0, 1].map(|_| rng.sample::<f64, _>(StandardNormal));
                let x0 = mean + table.variance.sqrt() * z;
                if (at.alpha() * x0 + at.sigma() * noise - point).abs() < width {
                    sum += match target {
                        Target::Flow => noise - x0,
                        Target::Epsilon | Target::Sample => noise,
                    };
                    count += 1.0;
                }
            }
            let x = Array2::from_elem((1, 1), point);
            let answer = table.answer(&data, target, &x)[[0, 0]];
            assert!(
                (sum / count - answer).abs() < 0.03,
                "{target:?}: {} {answer}",
                sum / count
            );
        }
    }

    #[test]
    fn who_is_told_gets_the_data_and_one_dimension_does_not_tell_the_level() {
        let blind = Blind {
            steps: 200,
            samples: 400,
            ..table(100)
        };
        for (target, name) in TARGETS {
            let [told, lost] = blind.within(2, target, Stream::new(3));
            assert!((told - 1.0).abs() < 0.15, "{name}: {told}");
            assert!((told - lost).abs() > 0.02, "{name}: {told} {lost}");
        }
    }
}
