//! What counted instructions say: no clock, no neighbours, and so a gate that may fail a change.
//!
//! They do not see memory bandwidth, wider registers, another `memcpy`, nor what threads wait for.

use serde::Serialize;

use crate::bench::blocks::Instructions;

/// A count that is so much larger is mentioned.
pub(crate) const WARN: f64 = 0.01;

/// A count that is so much larger fails the gate.
pub(crate) const FAIL: f64 = 0.03;

/// Two counts of one program that differ by more are no counts.
pub(crate) const REPEATS: f64 = 0.003;

/// What criterion itself does around one benchmark varies by some 150 instructions: a smaller count is taken for this.
pub(crate) const SMALLEST: f64 = 50_000.0;

/// What the counts of one benchmark say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counted {
    /// More by a share that fails.
    More,
    /// More by a share that is mentioned.
    Slightly,
    /// The same, within a share that is not mentioned.
    Same,
    /// Less by a share that would be mentioned if it were more.
    Less,
    /// The same program was counted twice with two results.
    Unsteady,
}

impl Counted {
    /// Of one benchmark.
    pub(crate) fn of(counts: &Instructions) -> Self {
        let share = change(counts);
        if REPEATS < (told(counts.again) / told(counts.base)).ln().abs() {
            Self::Unsteady
        } else if FAIL < share {
            Self::More
        } else if WARN < share {
            Self::Slightly
        } else if share < -WARN {
            Self::Less
        } else {
            Self::Same
        }
    }
}

/// The head's surplus as a share of the base's count.
pub(crate) fn change(counts: &Instructions) -> f64 {
    told(counts.head) / told(counts.base) - 1.0
}

fn told(count: f64) -> f64 {
    count.max(SMALLEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_decide() {
        let of = |again: f64, head: f64| {
            Counted::of(&Instructions {
                base: 1e6,
                again,
                head,
            })
        };
        assert_eq!(of(1e6, 1.04e6), Counted::More);
        assert_eq!(of(1e6, 1.02e6), Counted::Slightly);
        assert_eq!(of(1e6, 1.005e6), Counted::Same);
        assert_eq!(of(1e6, 0.9e6), Counted::Less);
        assert_eq!(of(1.01e6, 1.5e6), Counted::Unsteady);
    }

    #[test]
    fn what_was_too_little_to_count_may_grow() {
        let of = |head: f64| {
            Counted::of(&Instructions {
                base: 900.0,
                again: 1050.0,
                head,
            })
        };
        assert_eq!(of(1e6), Counted::More);
        assert_eq!(of(1200.0), Counted::Same);
    }
}
