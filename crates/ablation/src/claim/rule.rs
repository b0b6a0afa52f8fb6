//! What a registered rule makes of numbers, and how it reads.

use paired_stats::{Direction, Expectation, Refutation, Verdict, paired_t};

use super::Rule;
use crate::exact::judge::short;

impl Rule {
    /// What is registered, in the words of the statistics.
    pub(super) fn expectation(self) -> Option<Expectation> {
        let (direction, delta) = match self {
            Rule::Higher { delta, .. } => (Direction::Higher, delta),
            Rule::Lower { delta, .. } => (Direction::Lower, delta),
            Rule::Equal { delta, .. } => (Direction::Equal, delta),
            Rule::Nothing {} => return None,
        };
        Some(Expectation { direction, delta })
    }

    /// Between what supports and what refutes nothing is concluded.
    pub(super) fn confined(self, verdict: Verdict, values: &[f64], confidence: f64) -> Verdict {
        let Verdict::Refuted(refutation) = &verdict else {
            return verdict;
        };
        let interval = match values {
            &[value] => Some((value, value)),
            values => paired_t(values, confidence).ok().map(|i| (i.low, i.high)),
        };
        let Some((low, high)) = interval else {
            return verdict;
        };
        let refutes = match self {
            Rule::Higher { refute, .. } => high < refute,
            Rule::Lower { refute, .. } => -refute < low,
            Rule::Equal { refute, .. } => refute < low || high < -refute,
            Rule::Nothing {} => true,
        };
        if refutes || *refutation == Refutation::Reversed {
            return verdict;
        }
        Verdict::Inconclusive {
            reason: "between what supports and what refutes".to_owned(),
            seeds_needed: None,
        }
    }

    /// In words: what supports, and what refutes.
    pub(super) fn words(self) -> String {
        match self {
            Rule::Higher { delta, refute } => {
                format!("> {}, refuted < {}", short(delta), short(refute))
            }
            Rule::Lower { delta, refute } => {
                format!(
                    "< {}, refuted > {}",
                    short(0.0 - delta),
                    short(0.0 - refute)
                )
            }
            Rule::Equal { delta, refute } => {
                format!(
                    "within ±{}, refuted outside ±{}",
                    short(delta),
                    short(refute)
                )
            }
            Rule::Nothing {} => "reported".to_owned(),
        }
    }
}
