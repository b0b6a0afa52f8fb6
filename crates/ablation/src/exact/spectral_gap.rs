//! How fast Langevin dynamics forgets where it started, per noise level.

use ndarray::{Array1, Array2};
use score_objective::exact::{ExactScore, GaussianMixture, spectral_gap};
use serde::Deserialize;

use super::{
    modes::Variances,
    place::Place,
    report::{Found, How, Measured, Number},
    study::{Claim, Level, Table, Tolerance, table_fields},
};
use crate::{error::Error, report::significant};

/// The spectral gap λ₁(σ) of Langevin dynamics in a mixture on a line with noise.
///
/// λ₁ is the rate of the slowest mode of dx = ∇ log q_σ dt + √2 dw; 1/λ₁ is its relaxation time and q_σ's Poincaré
/// constant, by which score matching loses efficiency (Koehler, Heckett and Risteski 2022).
/// It is held below 1/Var, which no distribution exceeds and a Gaussian reaches; between two deep modes also against
/// Eyring and Kramers, λ₁ = 1/(π₁ π₂ ∫ dx/q) over the valley, to 4 v/h², h half the distance, where both modes are as wide.
///
/// Range: λ₁ in (0, 1/Var\]; the scale-free index C = λ₁ (v + σ²), v the mean variance of the modes, is in (0, 1] where
/// they are as wide, 1 for a Gaussian. λ₁ is invariant to shifts, C to the scale of x and σ together as well.
/// It misleads as a measure of difficulty where the start already has the right weights: it is the rate of the slowest
/// mode, whether anything was put into it; and λ₁ alone falls with σ for want of scale, which is why C is judged.
/// Source: Pavliotis 2014, chapter 4.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectralGap {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Weights of the modes, divided by their sum.
    pub weights: Vec<f64>,
    /// Means of the modes.
    pub means: Vec<f64>,
    /// Variance v of each mode: a number, or a list.
    pub variance: Variances,
    /// Points of the coarser of two grids.
    pub nodes: usize,
    /// Noise levels, rising.
    pub levels: Vec<Level>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<GapMeasure>>,
}

/// What a claim about spectral gaps measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapMeasure {
    /// log₁₀ C(last level) − log₁₀ C(first level): the decades by which noise reconditions.
    Gain,
    /// The smallest rise of log₁₀ C from one level to the next: positive where C rises throughout.
    SmallestRise,
    /// log₁₀ of the largest gap over that of the last level: positive where too much noise slows the dynamics down again.
    Overshoot,
}

impl Table for SpectralGap {
    table_fields!("spectral_gap");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.mixture(&self.weights, self.means.len(), &self.variance)?;
        place.count("nodes", self.nodes, 100, 1_000_000)?;
        place.levels(&self.levels)?;
        for &mean in &self.means {
            place.finite("means", mean)?;
        }
        let data = on_a_line(&self.weights, &self.means, &self.variance);
        let work = self.levels.len() as f64 * self.nodes as f64;
        place.work("levels · nodes", work, 2e7)?;
        // The deepest valley and the narrowest mode are those of the first level.
        let sigma = self.levels[0].sigma;
        has_gap(
            place,
            &data,
            sigma,
            self.nodes,
            ("means", format!("{:?}", self.means)),
        )
    }

    fn measure(&self, _seed: u64) -> Measured {
        let data = on_a_line(&self.weights, &self.means, &self.variance);
        let mut measured = Measured {
            meaning: "spectral gap λ₁ of Langevin dynamics: 1/λ₁ is its relaxation time; C = λ₁ (v + σ²) is 1 for a Gaussian",
            parameters: format!(
                "{}; {} and {} points",
                words(&self.weights, &self.means, &self.variance),
                self.nodes,
                2 * self.nodes
            ),
            ..Measured::default()
        };
        let clean = data.covariance()[[0, 0]];
        let within = self.variance.mean(&self.weights);
        let (mut gaps, mut indices, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for level in &self.levels {
            let gap = spectral_gap(&data, level.sigma, self.nodes).expect("it was checked");
            let number = Number::grid(gap);
            let at = format!("λ₁ at σ = {}", level.sigma);
            measured.expected(&at, number, level.expected, self.tolerance);
            if let Some((kramers, tolerance)) = self.kramers(&data, level.sigma, gap.value) {
                let what = format!("{at}, Kramers");
                measured.closed_form(what, number, kramers, tolerance * kramers);
            }
            gaps.push(gap.value);
            let variance = clean + level.sigma.powi(2);
            shares.push((gap.value * variance, gap.error * variance));
            indices.push(gap.value * (within + level.sigma.powi(2)));
        }
        let largest = shares.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let (value, error) = largest.expect("there is a level");
        let share = Number {
            value,
            error,
            how: How::Grid,
        };
        measured.at_most("largest λ₁ Var over the levels", share, 1.0);
        let last = indices.len() - 1;
        for claim in &self.claims {
            let (words, value) = match claim.measure {
                GapMeasure::Gain => (
                    "log₁₀ C, last − first level",
                    (indices[last] / indices[0]).log10(),
                ),
                GapMeasure::SmallestRise => {
                    let rises = indices.windows(2).map(|pair| (pair[1] / pair[0]).log10());
                    (
                        "smallest rise of log₁₀ C between levels",
                        rises.fold(f64::INFINITY, f64::min),
                    )
                }
                GapMeasure::Overshoot => {
                    let largest = gaps.iter().copied().fold(0.0, f64::max);
                    (
                        "log₁₀ λ₁, largest − last level",
                        (largest / gaps[last]).log10(),
                    )
                }
            };
            measured.found.push(Found::exact(words, value));
        }
        measured
    }
}

impl SpectralGap {
    /// The rate over the valley between two deep modes, and how far off it may be: relative, of the order v/h².
    fn kramers(&self, data: &GaussianMixture, sigma: f64, gap: f64) -> Option<(f64, f64)> {
        let variance = self.variance.equal()? + sigma * sigma;
        let [a, b] = self.means[..] else { return None };
        if 1e-4 <= gap * variance {
            return None;
        }
        let half = 0.5 * (a - b).abs();
        // Where 1/q has fallen by more than a grid sees, at three quarters of the way to either mode.
        let n = 20_000;
        let step = 1.5 * half / f64::from(n);
        let x = Array2::from_shape_fn((n as usize, 1), |(i, _)| {
            0.5 * (a + b) - 0.75 * half + (i as f64 + 0.5) * step
        });
        let resistance = data.log_density(x.view(), sigma).mapv(|l| (-l).exp()).sum() * step;
        let share = data.weights()[0] * data.weights()[1];
        Some((1.0 / (share * resistance), 4.0 * variance / (half * half)))
    }
}

/// Refuses a mixture whose gap no grid has, or not this one; the modes are named by their value in the study.
pub(super) fn has_gap(
    place: &Place,
    data: &GaussianMixture,
    sigma: f64,
    nodes: usize,
    (name, value): (&str, String),
) -> Result<(), Error> {
    match spectral_gap(data, sigma, nodes) {
        Ok(_) => Ok(()),
        Err(score_objective::Error::Count { least, .. }) => {
            let rule = format!(
                "at sigma {sigma} a grid this coarse steps over a mode: give {least} or more, or start at a larger sigma"
            );
            Err(place.refuse("nodes", nodes, &rule))
        }
        Err(error) => {
            let rule = format!("{error}; bring the modes nearer, or start at a larger sigma");
            Err(place.refuse(name, value, &rule))
        }
    }
}

/// The mixture on a line with these modes, whose parameters were checked.
pub(super) fn on_a_line(weights: &[f64], means: &[f64], variances: &Variances) -> GaussianMixture {
    let places = Array2::from_shape_fn((means.len(), 1), |(k, _)| means[k]);
    let weights = Array1::from(weights.to_vec());
    GaussianMixture::with_variances(weights, places, variances.of(means.len()))
        .expect("weights, means and variances were checked")
}

/// `weights 0.8, 0.2 at 7.07, −7.07, variance 1`.
pub(super) fn words(weights: &[f64], means: &[f64], variances: &Variances) -> String {
    let list = |values: &[f64]| {
        let shown: Vec<String> = values.iter().map(|v| significant(*v, 3)).collect();
        shown.join(", ")
    };
    format!("weights {} at {}, {variances}", list(weights), list(means))
}
