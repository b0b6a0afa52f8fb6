//! The identities of EDM's preconditioner, and what NCSN's weighting has of them.

use noise_schedule::Kernel;
use score_objective::{Edm as Row, EdmWeight, Ncsn, Preconditioner, Weighting};
use serde::Deserialize;

use super::{
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// What EDM's rows give, level by level, for data of standard deviation s per coordinate (Karras et al. 2022, table 1).
///
/// With x = x₀ + σ ε and D = skip · x + out · F(input · x): the input has variance 1, the target F* has variance 1, and
/// a network that answers nothing has the loss 1 at every level, E\[w ‖D − x₀‖²\]/dim = 1 with w = 1/out².
/// So no level is louder than another before training: the third skip, skip · x, shares the work out.
/// NCSN's weighting has the same for the score: ½ σ² E‖0 + ε/σ‖²/dim = ½.
/// Where the data's own standard deviation is another than the one that the row was given, `mismatch`, the loss of a
/// network that answers nothing is no longer the same at all levels; the claims measure that.
///
/// Range: losses in \[0, ∞), 1 in the mean if the deviation is right; invariant to the scale of x, σ and `data_std` together.
/// It misleads as fairness: it is of the loss before training, not of gradients nor of what is learned.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edm {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// The standard deviation s that the row is given.
    pub data_std: f64,
    /// The data's standard deviation over s.
    pub mismatch: f64,
    /// Noise levels.
    pub sigmas: Vec<f64>,
    /// Of the identities.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<EdmMeasure>>,
}

/// What a claim about the identities measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdmMeasure {
    /// log₁₀ of the largest over the smallest loss of a network that answers nothing, with EDM's skip.
    Spread,
    /// The same without the third skip: skip = 0, the same weights.
    SpreadWithoutSkip,
}

impl Table for Edm {
    table_fields!("edm");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.positive("data_std", self.data_std)?;
        place.positive("mismatch", self.mismatch)?;
        place.count("number of sigmas", self.sigmas.len(), 1, 1000)?;
        for &sigma in &self.sigmas {
            place.positive("sigmas", sigma)?;
        }
        Ok(())
    }

    fn measure(&self, _seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "EDM's rows before training: variances of input and target, and the loss of a network that answers nothing",
            parameters: format!(
                "data_std {}, data of {} times that",
                self.data_std, self.mismatch
            ),
            ..Measured::default()
        };
        let (mut with, mut without, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for &sigma in &self.sigmas {
            let level = self.at(sigma);
            with.push(level.loss);
            without.push(level.without_skip);
            values.push([level.input, level.target, level.loss, level.score]);
        }
        let identities = [
            ("variance of the input", 1.0),
            ("variance of the target", 1.0),
            ("loss of F = 0", 1.0),
            ("NCSN's loss of s = 0", 0.5),
        ];
        for (place, (what, wanted)) in identities.into_iter().enumerate() {
            let off = |values: &&[f64; 4]| (values[place] - wanted).abs();
            let worst = values.iter().max_by(|a, b| off(a).total_cmp(&off(b)));
            let worst = Number::exact(worst.expect("there is a level")[place]);
            let what = format!("{what}, at the worst level");
            // With a wrong data_std only NCSN's holds: it knows no data.
            if self.mismatch == 1.0 || wanted == 0.5 {
                measured.closed_form(what, worst, wanted, self.tolerance.around(wanted));
            } else {
                measured.expected(what, worst, None, self.tolerance);
            }
        }
        for claim in &self.claims {
            let (words, losses) = match claim.measure {
                EdmMeasure::Spread => ("log₁₀ loss of F = 0, largest − smallest", &with),
                EdmMeasure::SpreadWithoutSkip => {
                    ("log₁₀ loss of D = 0, largest − smallest", &without)
                }
            };
            let largest = losses.iter().copied().fold(0.0, f64::max);
            let smallest = losses.iter().copied().fold(f64::INFINITY, f64::min);
            let value = (largest / smallest).log10();
            measured.found.push(Found::exact(words, value));
        }
        measured
    }
}

/// What a network that answers nothing leaves at one level.
struct Level {
    /// Variance of the network's input.
    input: f64,
    /// Variance of what it is to answer.
    target: f64,
    /// The weighted loss of F = 0.
    loss: f64,
    /// That of D = 0.
    without_skip: f64,
    /// NCSN's of s = 0.
    score: f64,
}

impl Edm {
    fn at(&self, sigma: f64) -> Level {
        let row = Row::new(self.data_std).expect("it was checked");
        let weighting = EdmWeight::new(self.data_std).expect("it was checked");
        let variance = (self.mismatch * self.data_std).powi(2);
        let kernel = Kernel::new(1.0, sigma).expect("it was checked");
        let c = row.at(kernel);
        let (p, q) = row.target_at(kernel);
        // D = skip · x: what is left of x₀ is (1 − skip) x₀, and skip σ ε is added.
        let error = row.residual_signal(kernel).powi(2) * variance + (c.skip * sigma).powi(2);
        Level {
            input: c.input.powi(2) * (variance + sigma * sigma),
            target: p * p * variance + q * q,
            loss: weighting.weight(kernel) * error,
            without_skip: weighting.weight(kernel) * variance,
            // A score of zero leaves D = x, which is σ ε away from x₀.
            score: Ncsn::song2019().weight(kernel) * sigma * sigma,
        }
    }
}

#[cfg(test)]
mod tests {
    use learnability::index::jain;

    use super::*;

    /// Jain's index of the losses over the levels, by EDM with its skip and without, and by NCSN.
    fn shares(mismatch: f64) -> [f64; 3] {
        let table = Edm {
            name: "rows".to_owned(),
            about: Vec::new(),
            data_std: 0.5,
            mismatch,
            sigmas: Vec::new(),
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        let levels: Vec<Level> = (-8..=8).map(|e| table.at(f64::from(e).exp2())).collect();
        let of = |loss: fn(&Level) -> f64| {
            let losses: Vec<f64> = levels.iter().map(loss).collect();
            jain(&losses).expect("there are losses")
        };
        [of(|l| l.loss), of(|l| l.without_skip), of(|l| l.score)]
    }

    #[test]
    fn no_level_is_louder_than_another_before_training() {
        let [edm, without_skip, ncsn] = shares(1.0);
        assert!(1.0 - edm < 1e-14 && 1.0 - ncsn < 1e-14, "{edm} {ncsn}");
        // Without the skip the lowest two of seventeen levels have nearly all of the loss.
        assert!(without_skip < 0.3, "{without_skip}");
        // And with it, where the data are not of the size that the row was told.
        let [edm, _, ncsn] = shares(2.0);
        assert!(edm < 0.95 && 1.0 - ncsn < 1e-14, "{edm} {ncsn}");
    }
}
