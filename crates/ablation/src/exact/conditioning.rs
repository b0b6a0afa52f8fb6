//! The condition number of denoising a linear model, and the steps that gradient descent takes.

use serde::Deserialize;

use super::{
    place::Place,
    rank::largest,
    report::{Found, Measured, Number},
    study::{Claim, Level, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// Gradient descent on a linear denoiser of Gaussian data, whose Hessian is Σ + σ² I.
///
/// Its condition number is κ = (λ_max + σ²)/(λ_min + σ²); at the best constant rate, 2/(λ_max + λ_min + 2 σ²), the error
/// shrinks by (κ − 1)/(κ + 1) per step, so that an accuracy takes ln(1/accuracy)/ln((κ + 1)/(κ − 1)) steps, nearly
/// ½ κ ln(1/accuracy).
/// Ours is the number of steps that a real descent takes, along every eigenvector from the same error; those between the
/// extremes shrink faster and never decide.
///
/// Range: κ in \[1, ∞), the steps in \[0, ∞); both are invariant to rotations and to the scale of x and σ together.
/// It misleads where the directions of small curvature hold no error: steps count the worst direction, not the loss.
/// Source: the bound of gradient descent on a quadratic (Nesterov 2004, theorem 2.1.15), attained at its extremes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditioning {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Eigenvalues of Σ, two of them different; zeros on a manifold.
    pub eigenvalues: Vec<f64>,
    /// The share of the error that may be left, in (0, 1).
    pub accuracy: f64,
    /// Noise levels, rising, with the steps that are expected.
    pub levels: Vec<Level>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<ConditionMeasure>>,
}

/// What a claim about conditioning measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionMeasure {
    /// log₁₀ κ(first level) − log₁₀ κ(last level).
    Gain,
}

/// More steps than are counted.
const MOST_STEPS: f64 = 1e8;

impl Table for Conditioning {
    table_fields!("conditioning");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("number of eigenvalues", self.eigenvalues.len(), 2, 10_000)?;
        for &eigenvalue in &self.eigenvalues {
            place.non_negative("eigenvalues", eigenvalue)?;
        }
        let [most, least] = self.ends();
        if most <= least {
            let rule = "all are equal, and one step would do: give two that differ";
            return Err(place.refuse("eigenvalues", format!("{:?}", self.eigenvalues), rule));
        }
        if !(0.0 < self.accuracy && self.accuracy < 1.0) {
            let rule = "it is the share of the error that is left: give one in (0, 1)";
            return Err(place.refuse("accuracy", self.accuracy, rule));
        }
        place.levels(&self.levels)?;
        for level in &self.levels {
            if MOST_STEPS <= self.steps(level.sigma) {
                let rule = format!(
                    "a descent would take more than {MOST_STEPS:e} steps: choose a larger one"
                );
                return Err(place.refuse("levels.sigma", level.sigma, &rule));
            }
        }
        let steps = self.levels.iter().map(|level| self.steps(level.sigma));
        let work = steps.sum::<f64>() * self.eigenvalues.len() as f64;
        place.work("steps · eigenvalues", work, 1e10)
    }

    fn measure(&self, _seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "condition number κ of the Hessian Σ + σ² I, and the steps of gradient descent at the best rate",
            parameters: format!(
                "{} eigenvalues from {} to {}; to {} of the error",
                self.eigenvalues.len(),
                self.ends()[1],
                self.ends()[0],
                self.accuracy
            ),
            ..Measured::default()
        };
        for level in &self.levels {
            let steps = Number::exact(self.descend(level.sigma));
            let what = format!(
                "steps at σ = {}, κ = {:.4e}",
                level.sigma,
                self.kappa(level.sigma)
            );
            measured.expected(&what, steps, level.expected, self.tolerance);
            // Where κ rounds to 1 one step is enough, and none is not.
            let wanted = self.steps(level.sigma).ceil().max(1.0);
            measured.closed_form(what, steps, wanted, 1.0);
        }
        for claim in &self.claims {
            let ConditionMeasure::Gain = claim.measure;
            let ends = [0, self.levels.len() - 1].map(|i| self.kappa(self.levels[i].sigma).log10());
            let gain = Found::exact("log₁₀ κ, first − last level", ends[0] - ends[1]);
            measured.found.push(gain);
        }
        measured
    }
}

impl Conditioning {
    /// The largest and the smallest eigenvalue.
    fn ends(&self) -> [f64; 2] {
        let least = self
            .eigenvalues
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        [largest(&self.eigenvalues), least]
    }

    fn kappa(&self, sigma: f64) -> f64 {
        let [most, least] = self.ends().map(|l| l + sigma * sigma);
        most / least
    }

    /// The steps of theory.
    fn steps(&self, sigma: f64) -> f64 {
        // (κ + 1)/(κ − 1) is 1 + 2/(κ − 1).
        self.accuracy.recip().ln() / (2.0 / (self.kappa(sigma) - 1.0)).ln_1p()
    }

    /// The steps of a descent along all eigenvectors.
    fn descend(&self, sigma: f64) -> f64 {
        let [most, least] = self.ends().map(|l| l + sigma * sigma);
        let rate = 2.0 / (most + least);
        let shrink = |l: &f64| 1.0 - rate * (l + sigma * sigma);
        let factors: Vec<f64> = self.eigenvalues.iter().map(shrink).collect();
        let mut errors = vec![1.0_f64; factors.len()];
        let mut steps = 0.0;
        while errors.iter().any(|error| self.accuracy < error.abs()) {
            for (error, factor) in errors.iter_mut().zip(&factors) {
                *error *= factor;
            }
            steps += 1.0;
        }
        steps
    }
}
