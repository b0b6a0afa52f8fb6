//! The rank law: what a bottleneck costs, by what the network is asked to predict.

use nalgebra::DMatrix;
use noise_schedule::Kernel;
use score_objective::exact::{ExactScore, Gaussian};
use score_objective::{
    CleanSample, Direction, Edm, Epsilon, FlowVelocity, Preconditioner, Velocity,
};
use serde::Deserialize;

use super::{
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The excess loss of the best linear network of rank h on a Gaussian, per dimension and as an error of ε.
///
/// With D = skip · x + out · F and F of rank h, F has to be (g − skip)/out along each eigenvector, g = λ/(λ + σ²); the
/// best h directions are kept (Eckart and Young 1936), and the others cost
///
/// excess = Σ_dropped (g_i − skip)² (λ_i + σ²)/σ² / D.
///
/// So a prediction type enters through the constant of its skip alone: 0 for x₀, 1 for ε, 1/(1 + σ²) for v, 1/(1 + σ) for
/// the flow velocity, s²/(s² + σ²) for EDM's F with the data's own s.
/// x₀ needs h ≥ #{λ > σ²}, ε needs h ≥ #{λ < σ²}, where the spectrum has two scales; a skip that is free to choose needs
/// the smaller of the two, and never loses.
/// The law is held against eigenvalues of the same problem in a random basis.
///
/// Range: \[0, ∞), 0 at full rank; of ε at most 1 per dimension. Invariant to rotations of the data, and to the scale of x
/// and σ together for all but v, the flow velocity and EDM's F, whose skips know the unit of x.
/// It misleads where a network is no linear bottleneck, and says nothing of what can be trained.
/// Source: Eckart and Young 1936 for the dropped directions; the rest is the algebra above.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Eigenvalues of the data's covariance.
    pub spectrum: Spectrum,
    /// Noise level.
    pub sigma: f64,
    /// Ranks of the network.
    pub widths: Vec<usize>,
    /// Expected excess losses.
    #[serde(default)]
    pub expected: Vec<ExpectedExcess>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<RankMeasure>>,
}

/// Eigenvalues.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Spectrum {
    /// `large` eigenvalues of one variance and the others 0: a flat manifold.
    TwoScale {
        /// Dimension D.
        dim: usize,
        /// Eigenvalues that are not 0.
        large: usize,
        /// What they are.
        variance: f64,
    },
    /// These.
    List {
        /// Eigenvalues, at least one of them positive.
        eigenvalues: Vec<f64>,
    },
    /// k^−exponent.
    PowerLaw {
        /// Dimension D.
        dim: usize,
        /// About 2 for images.
        exponent: f64,
    },
}

/// A registered excess loss.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedExcess {
    /// What is predicted.
    pub target: Target,
    /// Rank.
    pub width: usize,
    /// Excess loss.
    pub excess: Expected,
}

/// What the network is asked to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The clean sample.
    X0,
    /// The noise.
    Eps,
    /// (α ε − σ x₀)/√(α² + σ²).
    V,
    /// ε − x₀.
    Flow,
    /// EDM's F, with the data's standard deviation.
    Edm,
    /// The noise, beside a long skip a · x whose a is trained: the best constant.
    EpsLongSkip,
}

/// What a claim about rank measures, in units of the excess loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RankMeasure {
    /// Excess of predicting x₀ − excess of predicting ε: positive where noise is easier to predict.
    X0MinusEps {
        /// Rank.
        width: usize,
    },
    /// The most that the long skip loses to the better of x₀ and ε, over all widths; at least 0.
    LongSkipLoses,
    /// log₁₀ of the better of x₀ and ε over the long skip.
    LongSkipGains {
        /// Rank.
        width: usize,
    },
}

/// λ_max/σ² beyond which the eigenvalues of the same problem in a random basis are rounding.
const MOST_CONDITION: f64 = 1e10;

const TARGETS: [(Target, &str); 6] = [
    (Target::X0, "x₀"),
    (Target::Eps, "ε"),
    (Target::V, "v"),
    (Target::Flow, "ε − x₀"),
    (Target::Edm, "EDM's F"),
    (Target::EpsLongSkip, "ε + long skip"),
];

impl Table for Rank {
    table_fields!("rank");

    fn check(&self, place: &Place) -> Result<(), Error> {
        let dim = match &self.spectrum {
            &Spectrum::TwoScale {
                dim,
                large,
                variance,
            } => {
                place.count("spectrum.large", large, 1, dim)?;
                place.positive("spectrum.variance", variance)?;
                dim
            }
            Spectrum::List { eigenvalues } => {
                for &eigenvalue in eigenvalues {
                    place.non_negative("spectrum.eigenvalues", eigenvalue)?;
                }
                place.positive("largest eigenvalue", largest(eigenvalues))?;
                eigenvalues.len()
            }
            &Spectrum::PowerLaw { dim, exponent } => {
                place.non_negative("spectrum.exponent", exponent)?;
                dim
            }
        };
        place.count("spectrum.dim", dim, 1, 1024)?;
        place.positive("sigma", self.sigma)?;
        let condition = self.signal_to_noise();
        if MOST_CONDITION < condition {
            let rule = format!(
                "the largest eigenvalue is {condition:.0e} times its square, and beyond {MOST_CONDITION:e} rounding decides: choose a larger one"
            );
            return Err(place.refuse("sigma", self.sigma, &rule));
        }
        place.count("number of widths", self.widths.len(), 1, 1000)?;
        for &width in &self.widths {
            place.count("widths", width, 0, dim)?;
        }
        let work = (5 + self.widths.len()) as f64 * (dim as f64).powi(3);
        place.work("(5 + widths) · dim³", work, 2e10)?;
        let asked = self
            .expected
            .iter()
            .map(|expected| ("expected.width", expected.width));
        let claimed = self.claims.iter().filter_map(|claim| match claim.measure {
            RankMeasure::X0MinusEps { width } | RankMeasure::LongSkipGains { width } => {
                Some(("claims.measure.width", width))
            }
            RankMeasure::LongSkipLoses => None,
        });
        for (name, width) in asked.chain(claimed) {
            if !self.widths.contains(&width) {
                let rule = "it is not one of widths: add it there";
                return Err(place.refuse(name, width, rule));
            }
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let (data, words) = self.data();
        let law = Law::new(&data, self.sigma);
        let rotated = Rotated::new(data, self.sigma, seed);
        let mut measured = Measured {
            meaning: "excess loss of the best linear network of rank h, as an error of ε and per dimension",
            parameters: format!("{words}, σ = {}", self.sigma),
            ..Measured::default()
        };
        let excess = |target, width| law.excess(self.skip(target, &law, width), width);
        for (target, name) in TARGETS {
            // One matrix for all widths, unless each has a skip of its own.
            let mut known: Option<(f64, Vec<f64>)> = None;
            measured.group = format!("predicting {name}");
            for &width in &self.widths {
                let skip = self.skip(target, &law, width);
                let number = Number::exact(law.excess(skip, width));
                let what = format!("h = {width}");
                let expected = self
                    .expected
                    .iter()
                    .find(|e| e.target == target && e.width == width);
                if let Some(expected) = expected {
                    let excess = Some(expected.excess);
                    measured.expected(&what, number, excess, self.tolerance);
                }
                if known.as_ref().is_none_or(|(of, _)| *of != skip) {
                    known = Some((skip, rotated.importances(skip)));
                }
                let (_, importances) = known.as_ref().expect("it was just computed");
                let dim = importances.len();
                let numeric = importances[..dim - width].iter().sum::<f64>() / dim as f64;
                measured.closed_form(
                    what,
                    Number::exact(numeric),
                    number.value,
                    self.rounding(skip, dim),
                );
            }
        }
        for claim in &self.claims {
            let best = |width| excess(Target::X0, width).min(excess(Target::Eps, width));
            measured.found.push(match claim.measure {
                RankMeasure::X0MinusEps { width } => Found::exact(
                    format!("excess of x₀ − excess of ε, h = {width}"),
                    excess(Target::X0, width) - excess(Target::Eps, width),
                ),
                RankMeasure::LongSkipLoses => {
                    let lost = |&width: &usize| excess(Target::EpsLongSkip, width) - best(width);
                    let worst = self.widths.iter().map(lost).fold(0.0, f64::max);
                    Found::exact(
                        "most that the long skip loses to the better of x₀ and ε",
                        worst,
                    )
                }
                RankMeasure::LongSkipGains { width } => Found::exact(
                    format!("log₁₀ excess, better of x₀ and ε − long skip, h = {width}"),
                    (best(width) / excess(Target::EpsLongSkip, width)).log10(),
                ),
            });
        }
        measured
    }
}

impl Rank {
    /// λ_max/σ².
    fn signal_to_noise(&self) -> f64 {
        let largest = match &self.spectrum {
            &Spectrum::TwoScale { variance, .. } => variance,
            Spectrum::List { eigenvalues } => largest(eigenvalues),
            Spectrum::PowerLaw { .. } => 1.0,
        };
        largest / (self.sigma * self.sigma)
    }

    /// What an eigenvalue of [`Rotated::importances`] may be off: the rounding of its matrices, whose inverse has that of
    /// their condition number.
    fn rounding(&self, skip: f64, dim: usize) -> f64 {
        let size = (1.0 + self.signal_to_noise()) * (1.0 + (1.0 - skip).powi(2));
        4.0 * dim as f64 * f64::EPSILON * size
    }

    fn data(&self) -> (Gaussian, String) {
        let (data, words) = match &self.spectrum {
            &Spectrum::TwoScale {
                dim,
                large,
                variance,
            } => {
                let eigenvalue = |k| if k < large { variance } else { 0.0 };
                (
                    Gaussian::with_spectrum((0..dim).map(eigenvalue).collect()),
                    format!("{large} of {dim} eigenvalues {variance}, the others 0"),
                )
            }
            Spectrum::List { eigenvalues } => (
                Gaussian::with_spectrum(eigenvalues.iter().copied().collect()),
                format!("eigenvalues {eigenvalues:?}"),
            ),
            &Spectrum::PowerLaw { dim, exponent } => (
                Gaussian::power_law(dim, exponent),
                format!("{dim} eigenvalues k^−{exponent}"),
            ),
        };
        (data.expect("it was checked"), words)
    }

    /// The constant of the skip at this level.
    fn skip(&self, target: Target, law: &Law, width: usize) -> f64 {
        let kernel = Kernel::new(1.0, self.sigma).expect("it was checked");
        match target {
            Target::X0 => CleanSample::unit().at(kernel).skip,
            Target::Eps => Epsilon::unit().at(kernel).skip,
            Target::V => Velocity::unit().at(kernel).skip,
            Target::Flow => FlowVelocity::new(Direction::ToNoise).at(kernel).skip,
            Target::Edm => {
                let own = Edm::new(law.data_std).expect("some eigenvalue is positive");
                own.at(kernel).skip
            }
            Target::EpsLongSkip => law.best_skip(width),
        }
    }
}

pub(super) fn largest(eigenvalues: &[f64]) -> f64 {
    eigenvalues.iter().copied().fold(0.0, f64::max)
}

/// The closed form: per eigenvalue, the shrinkage g and the variance of x over σ².
pub(crate) struct Law {
    directions: Vec<(f64, f64)>,
    data_std: f64,
}

impl Law {
    pub(crate) fn new(data: &Gaussian, sigma: f64) -> Law {
        let spectrum = data.covariance().diag().to_owned();
        let directions = |l: &f64| {
            let noised = l + sigma * sigma;
            (l / noised, noised / (sigma * sigma))
        };
        Law {
            directions: spectrum.iter().map(directions).collect(),
            data_std: spectrum.mean().expect("a dimension").sqrt(),
        }
    }

    /// What is lost by keeping the `width` directions that matter most.
    pub(crate) fn excess(&self, skip: f64, width: usize) -> f64 {
        let dropped = self.dropped(skip, width);
        let loss = |&(g, weight): &(f64, f64)| (g - skip).powi(2) * weight;
        dropped.iter().map(loss).sum::<f64>() / self.directions.len() as f64
    }

    /// The directions that matter least, all but `width`.
    fn dropped(&self, skip: f64, width: usize) -> Vec<(f64, f64)> {
        let mut directions = self.directions.clone();
        let importance = |&(g, weight): &(f64, f64)| (g - skip).powi(2) * weight;
        directions.sort_by(|a, b| importance(a).total_cmp(&importance(b)));
        directions.truncate(directions.len() - width);
        directions
    }

    /// The skip that loses least: descent from every g, by turns over what is dropped and over the skip.
    ///
    /// For a fixed set the best skip is its weighted mean, and the excess is the smallest over sets of such parabolas.
    fn best_skip(&self, width: usize) -> f64 {
        let mut starts: Vec<f64> = self.directions.iter().map(|(g, _)| *g).collect();
        starts.dedup();
        let descend = |start: f64| {
            let mut skip = start;
            for _ in 0..100 {
                let dropped = self.dropped(skip, width);
                let weight: f64 = dropped.iter().map(|(_, weight)| weight).sum();
                if weight == 0.0 {
                    break;
                }
                let next = dropped.iter().map(|(g, w)| g * w).sum::<f64>() / weight;
                if next == skip {
                    break;
                }
                skip = next;
            }
            (self.excess(skip, width), skip)
        };
        let found = starts.into_iter().map(descend);
        let best = found.min_by(|a, b| a.0.total_cmp(&b.0));
        best.expect("there is a direction").1
    }
}

/// The same problem in a random basis, where nothing is known of eigenvalues.
struct Rotated {
    // N = (Σ + σ² I)/σ², and its inverse.
    noised: DMatrix<f64>,
    inverse: DMatrix<f64>,
}

impl Rotated {
    fn new(data: Gaussian, sigma: f64, seed: u64) -> Rotated {
        let dim = data.dim();
        let covariance = data
            .rotated(&mut Stream::new(seed).at(Role::Data, 0))
            .covariance();
        let signal = DMatrix::from_fn(dim, dim, |i, j| covariance[[i, j]]);
        let noised = signal / (sigma * sigma) + DMatrix::identity(dim, dim);
        let inverse = noised.clone().cholesky().expect("it is above I").inverse();
        Rotated { noised, inverse }
    }

    /// The squared singular values of (G − skip) N^½, from the smallest on, where G = I − N⁻¹ is the best denoiser:
    /// the eigenvalues of (1 − skip)² N − 2 (1 − skip) I + N⁻¹.
    fn importances(&self, skip: f64) -> Vec<f64> {
        let rest = 1.0 - skip;
        let mut square = &self.noised * (rest * rest) + &self.inverse;
        for i in 0..square.nrows() {
            square[(i, i)] -= 2.0 * rest;
        }
        let mut values: Vec<f64> = square.symmetric_eigenvalues().iter().copied().collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_holds_in_a_random_basis_to_its_rounding() {
        for sigma in [3e-5, 1e-2, 1.0, 100.0] {
            let table = Rank {
                name: "r".to_owned(),
                about: Vec::new(),
                spectrum: Spectrum::PowerLaw {
                    dim: 24,
                    exponent: 3.0,
                },
                sigma,
                widths: vec![0, 1, 5, 23],
                expected: Vec::new(),
                tolerance: Tolerance {
                    relative: 0.0,
                    absolute: 0.0,
                },
                claims: Vec::new(),
            };
            table.check(&Place("here".to_owned())).unwrap();
            for row in table.measure(1).rows {
                let off = (row.number.value - row.wanted.unwrap()).abs();
                assert!(off <= row.tolerance, "σ {sigma}, {}: {off}", row.what);
                // Not more than a thousandth of a direction where data and noise are nearly of one size.
                assert!(sigma < 1e-2 || row.tolerance < 1e-9, "{}", row.tolerance);
            }
            let finer = Rank {
                sigma: 1e-6,
                ..table
            };
            let refusal = finer.check(&Place("here".to_owned())).unwrap_err();
            assert!(
                refusal.to_string().contains("rounding decides"),
                "{refusal}"
            );
        }
    }
}
