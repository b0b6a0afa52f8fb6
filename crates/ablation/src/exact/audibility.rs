//! What the score hears of the weights of modes, per noise level.

use score_objective::exact::{GaussianMixture, Refined, fisher_divergence, kl_divergence};
use serde::Deserialize;

use super::{
    modes::Variances,
    place::Place,
    report::{Found, Measured, Number},
    spectral_gap::{on_a_line, words},
    study::{Claim, Expected, Level, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// The Fisher divergence FD(σ) between two mixtures on a line that differ in their weights alone.
///
/// FD is E_p‖∇ log p_σ − ∇ log q_σ‖², what score matching at that level pays for taking the wrong weights: where it is
/// zero the weights are silent (Wenliang and Kanagawa 2020).
/// Mixtures in more dimensions whose means lie on a line have the same divergence.
/// All divergences together are held against de Bruijn's identity, ½ ∫ FD d(σ²) = KL(first level) − KL(last level): noise
/// moves what the weights differ by into the score, and adds nothing.
///
/// Range: \[0, ∞), 0 only for equal densities, in units of 1/x²; σ² FD is invariant to the scale of x and σ together, and
/// both are to shifts and rotations.
/// It misleads as a measure of what can be learned in that it is asymmetric in p and q, says nothing of how noisy the
/// gradient is that would learn them, and compares levels only with the weight σ² of the loss.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audibility {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Weights of p, divided by their sum.
    pub weights: Vec<f64>,
    /// Weights of q, divided by their sum.
    pub other: Vec<f64>,
    /// Means of the modes.
    pub means: Vec<f64>,
    /// Variance of each mode: a number, or a list.
    pub variance: Variances,
    /// Noise levels, rising.
    pub levels: Vec<Level>,
    /// The largest σ² FD over the levels, which is what the loss of NCSN sees, if it is expected.
    pub weighted_peak: Option<Expected>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<AudibilityMeasure>>,
}

/// What a claim about audibility measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudibilityMeasure {
    /// log₁₀ of the largest FD over that of the first level.
    Gain,
    /// log₁₀ of the largest FD over that of the last level: positive where too much noise drowns the weights again.
    Overshoot,
}

impl Table for Audibility {
    table_fields!("audibility");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.mixture(&self.weights, self.means.len(), &self.variance)?;
        place.mixture(&self.other, self.means.len(), &self.variance)?;
        place.levels(&self.levels)?;
        for &mean in &self.means {
            place.finite("means", mean)?;
        }
        let (first, narrowest) = (self.levels[0].sigma, self.variance.smallest());
        let ends = (self.means.iter())
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], m| {
                [low.min(*m), high.max(*m)]
            });
        let widest = (self.variance.largest() + first * first).sqrt();
        let narrowest = (narrowest + first * first).sqrt();
        let reach = (ends[1] - ends[0] + 18.0 * widest) / narrowest;
        if 2e4 < reach {
            let rule = format!(
                "from end to end there are {reach:.0e} standard deviations of the narrowest mode at sigma {first}, and a grid over more than 2e4 takes too long: bring the means and the variances nearer, or start at a larger sigma"
            );
            return Err(place.refuse("means", format!("{:?}", self.means), &rule));
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let p = on_a_line(&self.weights, &self.means, &self.variance);
        let q = on_a_line(&self.other, &self.means, &self.variance);
        let mut measured = Measured {
            meaning: "Fisher divergence FD between two sets of weights: what a score says of them",
            parameters: format!(
                "{}, against weights {:?}",
                words(&self.weights, &self.means, &self.variance),
                self.other
            ),
            ..Measured::default()
        };
        let line = "mixtures on a line";
        let divergences: Vec<Refined> = (self.levels.iter())
            .map(|level| fisher_divergence(&p, &q, level.sigma).expect(line))
            .collect();
        for (level, divergence) in self.levels.iter().zip(&divergences) {
            let what = format!("FD at σ = {}", level.sigma);
            measured.expected(
                what,
                Number::grid(*divergence),
                level.expected,
                self.tolerance,
            );
        }
        let weighted = self.levels.iter().zip(&divergences);
        let peak = weighted
            .map(|(level, divergence)| (level.sigma.powi(2) * divergence.value, level.sigma))
            .fold((0.0, 0.0), |a: (f64, f64), b| if a.0 < b.0 { b } else { a });
        let what = format!("largest σ² FD, at σ = {}", peak.1);
        measured.expected(
            what,
            Number::exact(peak.0),
            self.weighted_peak,
            self.tolerance,
        );
        let (first, last) = (
            self.levels[0].sigma,
            self.levels[self.levels.len() - 1].sigma,
        );
        if first < last {
            let kl = |sigma| kl_divergence(&p, &q, sigma).expect(line).value;
            let (from, to) = (kl(first), kl(last));
            let what = "½ ∫ FD d(σ²) over the levels";
            let sum = total(&p, &q, self.variance.smallest(), first, last);
            measured.closed_form(what, Number::exact(sum), from - to, 1e-8 * from);
        }
        let largest = divergences.iter().map(|d| d.value).fold(0.0, f64::max);
        for claim in &self.claims {
            let (words, other) = match claim.measure {
                AudibilityMeasure::Gain => ("log₁₀ FD, largest − first level", 0),
                AudibilityMeasure::Overshoot => {
                    ("log₁₀ FD, largest − last level", divergences.len() - 1)
                }
            };
            let value = (largest / divergences[other].value).log10();
            measured.found.push(Found::exact(words, value));
        }
        measured
    }
}

/// ½ ∫ FD d(σ²) by Simpson's rule in ln(v + σ²), in which FD is smooth at every scale.
fn total(p: &GaussianMixture, q: &GaussianMixture, variance: f64, first: f64, last: f64) -> f64 {
    const INTERVALS: usize = 400;
    let ends = [first, last].map(|sigma| (variance + sigma * sigma).ln());
    let step = (ends[1] - ends[0]) / INTERVALS as f64;
    let at = |i: usize| {
        let noised = (ends[0] + i as f64 * step).exp();
        let sigma = (noised - variance).max(0.0).sqrt();
        0.5 * noised
            * fisher_divergence(p, q, sigma)
                .expect("mixtures on a line")
                .value
    };
    let inner = (1..INTERVALS).map(|i| at(i) * if i % 2 == 1 { 4.0 } else { 2.0 });
    (at(0) + inner.sum::<f64>() + at(INTERVALS)) * step / 3.0
}
