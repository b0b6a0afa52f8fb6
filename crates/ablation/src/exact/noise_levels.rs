//! The noise levels of annealed Langevin dynamics by the rules of Song and Ermon 2020, held against those they used.

use serde::Deserialize;
use statrs::function::erf::erf;

use super::{
    place::Place,
    report::{Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// Geometric levels σ₁ > … > σ_L of ratio γ = (σ₁/σ_L)^(1/(L−1)), as configured for data of dimension D, with T steps of
/// Langevin dynamics of size ε σ_i²/σ_L² per level (Song and Ermon 2020, *Improved Techniques*, techniques 2 and 4).
///
/// Technique 2 wants the shells of neighbouring levels to overlap: the mass of level i on the shell of level i + 1 is
/// Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ), about ½.
/// Technique 4 wants the variance at the end of each level close to that level's: with a = ε/σ_L² its ratio is
/// (1 − a)^(2T) (γ² − b) + b, b = 2a/(1 − (1 − a)²) = 2/(2 − a), never below 1; the best ε makes it smallest.
///
/// Range: the overlap in (0, 1), the ratio of variances in \[1, ∞); both are invariant to the scale of x and σ together.
/// They mislead where the data have a shape: shells are those of noise around a single point.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseLevels {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Configurations.
    pub sets: Vec<LevelSet>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

/// A quantity of which nothing is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum NoMeasure {}

/// One configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelSet {
    /// Name, such as that of the data.
    pub name: String,
    /// D: pixels times channels.
    pub dim: usize,
    /// σ₁.
    pub first: f64,
    /// σ_L.
    pub last: f64,
    /// L.
    pub levels: usize,
    /// T.
    pub steps: u32,
    /// The step size that is expected to be the best.
    pub step_size: Option<Expected>,
}

impl Table for NoiseLevels {
    table_fields!("noise_levels");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("number of sets", self.sets.len(), 1, 1000)?;
        let mut names = Vec::new();
        for set in &self.sets {
            place.distinct("sets.name", &mut names, &set.name)?;
            place.count("sets.dim", set.dim, 1, 1_000_000_000)?;
            place.count("sets.levels", set.levels, 2, 1_000_000)?;
            place.count("sets.steps", set.steps as usize, 1, 1_000_000)?;
            place.positive("sets.last", set.last)?;
            if set.first <= set.last || !set.first.is_finite() {
                let rule = format!("levels fall to {}: give a larger one", set.last);
                return Err(place.refuse("sets.first", set.first, &rule));
            }
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "levels of annealed Langevin dynamics by the techniques of Song and Ermon 2020",
            parameters: format!("{} configurations", self.sets.len()),
            ..Measured::default()
        };
        for set in &self.sets {
            measured.group = format!(
                "{}, D = {}, {} levels from {} to {}, {} steps",
                set.name, set.dim, set.levels, set.first, set.last, set.steps
            );
            let ratio = set.ratio();
            let shown = |measured: &mut Measured, what: &str, value: f64| {
                measured.expected(what, Number::exact(value), None, self.tolerance);
            };
            shown(&mut measured, "ratio of levels", ratio);
            let share = overlap(set.dim, ratio);
            shown(&mut measured, "overlap of neighbouring levels", share);
            let half = (set.first / set.last).ln() / ratio_of_overlap(set.dim, 0.5).ln();
            shown(
                &mut measured,
                "levels for an overlap of one half",
                half + 1.0,
            );
            let best = best_step(ratio, set.steps);
            let size = Number::exact(best * set.last * set.last);
            measured.expected("best step size", size, set.step_size, self.tolerance);
            let end = variance_ratio(best, ratio, set.steps);
            shown(&mut measured, "variance after a level, best step", end);
        }
        measured
    }
}

impl LevelSet {
    /// γ.
    fn ratio(&self) -> f64 {
        ((self.first / self.last).ln() / (self.levels - 1) as f64).exp()
    }
}

/// Technique 2's mass.
fn overlap(dim: usize, ratio: f64) -> f64 {
    let phi = |x: f64| 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2));
    let centre = (2.0 * dim as f64).sqrt() * (ratio - 1.0);
    phi(centre + 3.0 * ratio) - phi(centre - 3.0 * ratio)
}

/// The ratio whose overlap is `share`; infinite in low dimensions, where any ratio overlaps by more.
fn ratio_of_overlap(dim: usize, share: f64) -> f64 {
    let (mut low, mut high) = (1.0, 1e6);
    if share < overlap(dim, high) {
        return f64::INFINITY;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if share < overlap(dim, middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Technique 4's ratio of variances, for a = ε/σ_L².
fn variance_ratio(a: f64, ratio: f64, steps: u32) -> f64 {
    let kept = 1.0 - a;
    let settled = 2.0 / (2.0 - a);
    kept.powf(2.0 * f64::from(steps)) * (ratio * ratio - settled) + settled
}

/// The a in (0, 1) for which that is smallest, by golden sections.
fn best_step(ratio: f64, steps: u32) -> f64 {
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..100 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if variance_ratio(a, ratio, steps) < variance_ratio(b, ratio, steps) {
            high = b;
        } else {
            low = a;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_high_dimensions_levels_must_be_many() {
        // The normal mass within ±3 of an equal level; then a shift of 3 γ is half of it.
        assert!((overlap(1, 1.0) - 0.997_300_2).abs() < 1e-7);
        for dim in [64, 784, 3072] {
            let ratio = ratio_of_overlap(dim, 0.5);
            let at = (2.0 * dim as f64).sqrt() * (ratio - 1.0);
            assert!((at - 3.0 * ratio).abs() < 1e-6, "{dim}");
        }
        assert!((ratio_of_overlap(3072, 0.5) - 1.0398).abs() < 1e-4);
        // √(2D) > 3 is what makes shells part at all: at D = 4 none do, at D = 5 those of 19.5 times the radius.
        assert_eq!(ratio_of_overlap(4, 0.5), f64::INFINITY);
        let least = 10.0_f64.sqrt() / (10.0_f64.sqrt() - 3.0);
        assert!((ratio_of_overlap(5, 0.5) - least).abs() < 1e-9 * least);
    }

    #[test]
    fn the_variance_ratio_is_that_of_the_recursion() {
        let (a, ratio, steps) = (0.07, 1.3, 4);
        let mut variance: f64 = ratio * ratio;
        for _ in 0..steps {
            // x ← x + a s + √(2a) z with the score s = −x of the level that is sampled, in its own units.
            variance = (1.0 - a) * (1.0 - a) * variance + 2.0 * a;
        }
        assert!((variance_ratio(a, ratio, steps) - variance).abs() < 1e-12);
        // However small the step: from where it settles, 1 + a/2, nothing moves.
        let tiny = variance_ratio(1e-9, 1.0, 1_000_000_000);
        assert!((tiny - 1.0).abs() < 1e-9, "{tiny}");
        let best = best_step(ratio, steps);
        for near in [0.999, 1.001] {
            assert!(
                variance_ratio(best, ratio, steps) <= variance_ratio(near * best, ratio, steps)
            );
        }
    }
}
