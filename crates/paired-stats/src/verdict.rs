//! The list of verdicts, first match wins.

use std::fmt;

use crate::error::Error;
use crate::evidence::{Direction, Evidence, Expectation, Problem};
use crate::interval::{Interval, Method, paired_t};
use crate::moments::{check_finite, check_open_unit};
use crate::power::{MAX_SEEDS, seeds_needed, seeds_needed_equal};

/// The power for which the seeds still needed are counted.
const PLANNED_POWER: f64 = 0.8;

/// Blocks without divergence from which their interval is looked at.
const LEAST_KEPT: usize = 3;

/// What may be concluded about one contrast.
///
/// The words of its `Display` are the same in every report: `SUPPORTED`, `REFUTED (reversed)`,
/// `INCONCLUSIVE (about 14 seeds needed)`, …
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The study is unsound, or the evidence is not well formed.
    Invalid {
        /// Why.
        reason: String,
    },
    /// The effect is shown to be what was registered.
    Supported,
    /// The effect is shown, under a condition narrower than the claim.
    SupportedUnder {
        /// The condition.
        condition: String,
    },
    /// The effect is shown not to be what was registered.
    Refuted(Refutation),
    /// The evidence does not decide.
    Inconclusive {
        /// Why.
        reason: String,
        /// Seeds in all for 80 % power at the observed mean and standard deviation; `None` when
        /// more seeds of the same kind would not help, or the number is not known.
        seeds_needed: Option<usize>,
    },
    /// There is no evidence.
    NotTested {
        /// Why.
        reason: String,
    },
}

/// How the effect differs from what was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refutation {
    /// It goes the other way, by more than delta.
    Reversed,
    /// It lies inside (−delta, delta).
    Negligible,
    /// It is less than delta, and may be of either sign.
    TooSmall,
    /// It was expected inside (−delta, delta) and lies outside.
    Different,
}

/// The verdict on one contrast; the first rule that matches wins.
///
/// With e the contrast oriented so that positive is the direction registered, \[low, high\] its
/// paired t interval, and p the adjusted p (for a family, [`share`](crate::share) gives the
/// confidence of the one and adjusts the other):
///
/// | verdict | rule |
/// |---|---|
/// | INVALID | a validity problem, or evidence that is not well formed |
/// | NOT TESTED | no complete seed block |
/// | INCONCLUSIVE | fewer blocks than the minimum: estimates only, stamped EXPLORATORY |
/// | SUPPORTED (UNDER condition) | low > delta and p <= alpha |
/// | REFUTED (reversed) | high < −delta and p <= alpha |
/// | REFUTED (negligible) | −delta < low and high < delta |
/// | REFUTED (too small) | high < delta otherwise |
/// | INCONCLUSIVE | otherwise |
///
/// For [`Direction::Equal`]: SUPPORTED where −delta < low and high < delta, REFUTED (different)
/// where the interval lies outside (−delta, delta), INCONCLUSIVE otherwise.
///
/// A verdict other than INCONCLUSIVE must survive without the diverged blocks, those of `sensitivity`:
///
/// | blocks left | they must |
/// |---|---|
/// | the minimum or more | be judged alike, at the same confidence |
/// | 3 or more | not contradict it: their 1 − alpha interval has room for it |
/// | fewer | nothing: that so many diverge is the finding, and there is nothing to hold against it |
///
/// Where they do not, the verdict is INCONCLUSIVE with that reason. Fewer blocks than the minimum have no
/// verdict of their own, so they cannot have another one; to ask for one would leave every effect open that
/// makes an arm diverge. Deterministic rows go to [`decide_deterministic`].
///
/// ```
/// use paired_stats::{Direction, Evidence, Expectation, decide, sign_flip};
///
/// let values = [0.30, 0.25, 0.34, 0.28, 0.31, 0.22, 0.35, 0.27];
/// let evidence = Evidence {
///     values: &values,
///     adjusted_p: sign_flip(&values)?.p,
///     alpha: 0.05,
///     confidence: 0.95,
///     validity: vec![],
///     planned_seeds: 8,
///     minimum_seeds: 8,
///     sensitivity: None,
///     condition: None,
/// };
/// let higher = Expectation { direction: Direction::Higher, delta: 0.1 };
/// assert_eq!(decide(&higher, &evidence).to_string(), "SUPPORTED");
/// let lower = Expectation { direction: Direction::Lower, delta: 0.1 };
/// assert_eq!(decide(&lower, &evidence).to_string(), "REFUTED (reversed)");
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn decide(expectation: &Expectation, evidence: &Evidence<'_>) -> Verdict {
    if let Some(invalid) = invalid(&evidence.validity) {
        return invalid;
    }
    judge(expectation, evidence).unwrap_or_else(|error| Verdict::Invalid {
        reason: error.to_string(),
    })
}

/// The verdict on a deterministic row: one value without sampling error, judged by delta alone.
///
/// The rules of [`decide`] with low = high = value and p = 0. A value that is exactly known always
/// decides: one that only reaches delta does not exceed it and is REFUTED (too small).
pub fn decide_deterministic(
    expectation: &Expectation,
    value: f64,
    validity: &[Problem],
) -> Verdict {
    if let Some(invalid) = invalid(validity) {
        return invalid;
    }
    if let Err(error) = expectation.check().and(check_finite("value", value)) {
        return Verdict::Invalid {
            reason: error.to_string(),
        };
    }
    let e = expectation.orient(value);
    let point = Interval {
        estimate: e,
        low: e,
        high: e,
        confidence: 1.0,
        n: 1,
        standard_error: 0.0,
        method: Method::PairedT,
    };
    match classify(expectation, &point, true) {
        Class::Supported => Verdict::Supported,
        Class::Refuted(refutation) => Verdict::Refuted(refutation),
        Class::Open => Verdict::Refuted(Refutation::TooSmall),
    }
}

impl Verdict {
    /// The verdict without its particulars: `INVALID`, `SUPPORTED`, `SUPPORTED UNDER`, `REFUTED`,
    /// `INCONCLUSIVE` or `NOT TESTED`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID",
            Self::Supported => "SUPPORTED",
            Self::SupportedUnder { .. } => "SUPPORTED UNDER",
            Self::Refuted(_) => "REFUTED",
            Self::Inconclusive { .. } => "INCONCLUSIVE",
            Self::NotTested { .. } => "NOT TESTED",
        }
    }

    /// Why nothing was concluded, where nothing was.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Invalid { reason }
            | Self::Inconclusive { reason, .. }
            | Self::NotTested { reason } => Some(reason),
            Self::Supported | Self::SupportedUnder { .. } | Self::Refuted(_) => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::SupportedUnder { condition } => write!(f, " {condition}"),
            Self::Refuted(refutation) => write!(f, " ({refutation})"),
            Self::Inconclusive {
                seeds_needed: Some(n),
                ..
            } if *n < MAX_SEEDS => {
                write!(f, " (about {n} seeds needed)")
            }
            Self::Inconclusive {
                seeds_needed: Some(_),
                ..
            } => {
                write!(f, " ({MAX_SEEDS} seeds or more needed)")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Refutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reversed => "reversed",
            Self::Negligible => "negligible",
            Self::TooSmall => "too small",
            Self::Different => "different",
        })
    }
}

/// Where an interval lies, before reasons and conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Supported,
    Refuted(Refutation),
    Open,
}

impl Class {
    /// The class in a word; the kinds of refutation are one class.
    fn word(self) -> &'static str {
        match self {
            Self::Supported => "SUPPORTED",
            Self::Refuted(_) => "REFUTED",
            Self::Open => "INCONCLUSIVE",
        }
    }
}

fn invalid(problems: &[Problem]) -> Option<Verdict> {
    let reasons: Vec<String> = problems.iter().map(Problem::to_string).collect();
    (!reasons.is_empty()).then(|| Verdict::Invalid {
        reason: reasons.join("; "),
    })
}

fn judge(expectation: &Expectation, evidence: &Evidence<'_>) -> Result<Verdict, Error> {
    expectation.check()?;
    check_open_unit("alpha", evidence.alpha)?;
    check_open_unit("confidence", evidence.confidence)?;
    let p = evidence.adjusted_p;
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::OutOfRange {
            name: "adjusted p",
            range: "[0, 1]",
            value: p,
        });
    }
    let (n, planned) = (evidence.values.len(), evidence.planned_seeds);
    if n == 0 {
        let reason = format!("none of the {planned} planned seed blocks is complete");
        return Ok(Verdict::NotTested { reason });
    }
    // An interval takes two seeds, whatever the study asks for.
    let minimum = evidence.minimum_seeds.max(2);
    if n < minimum {
        let estimate = match n {
            1 => None,
            _ => further_seeds(
                expectation,
                &oriented(expectation, evidence.values, evidence.confidence)?,
            )?,
        };
        return Ok(Verdict::Inconclusive {
            reason: format!(
                "{n} of {planned} planned seed blocks are complete, and a verdict takes at least {minimum}"
            ),
            seeds_needed: Some(estimate.map_or(minimum, |needed| needed.max(minimum))),
        });
    }
    let interval = oriented(expectation, evidence.values, evidence.confidence)?;
    let significant = p <= evidence.alpha;
    let class = classify(expectation, &interval, significant);
    if class != Class::Open
        && let Some(kept) = evidence.sensitivity
        && let Some(reason) = disagreement(expectation, evidence, kept, class, minimum)?
    {
        return Ok(Verdict::Inconclusive {
            reason,
            seeds_needed: None,
        });
    }
    Ok(match (class, &evidence.condition) {
        (Class::Supported, None) => Verdict::Supported,
        (Class::Supported, Some(condition)) => Verdict::SupportedUnder {
            condition: condition.clone(),
        },
        (Class::Refuted(refutation), _) => Verdict::Refuted(refutation),
        (Class::Open, _) if classify(expectation, &interval, true) != Class::Open => {
            Verdict::Inconclusive {
                reason: format!(
                    "the {} interval lies beyond delta, but the adjusted p = {p:.4} > {}",
                    percent(evidence.confidence),
                    evidence.alpha
                ),
                seeds_needed: None,
            }
        }
        (Class::Open, _) => Verdict::Inconclusive {
            reason: format!(
                "the {} interval reaches across a bound of delta = {}",
                percent(evidence.confidence),
                expectation.delta
            ),
            seeds_needed: further_seeds(expectation, &interval)?,
        },
    })
}

/// The paired t interval of the oriented values.
fn oriented(expectation: &Expectation, values: &[f64], confidence: f64) -> Result<Interval, Error> {
    let oriented: Vec<f64> = values.iter().map(|v| expectation.orient(*v)).collect();
    paired_t(&oriented, confidence)
}

/// The rules on an oriented interval.
fn classify(expectation: &Expectation, interval: &Interval, significant: bool) -> Class {
    let Interval { low, high, .. } = *interval;
    let delta = expectation.delta;
    let inside = -delta < low && high < delta;
    match expectation.direction {
        Direction::Equal if inside => Class::Supported,
        Direction::Equal if delta <= low || high <= -delta => Class::Refuted(Refutation::Different),
        Direction::Equal => Class::Open,
        _ if delta < low && significant => Class::Supported,
        _ if high < -delta && significant => Class::Refuted(Refutation::Reversed),
        _ if inside => Class::Refuted(Refutation::Negligible),
        _ if high < delta => Class::Refuted(Refutation::TooSmall),
        _ => Class::Open,
    }
}

/// Why the blocks without divergence do not bear the verdict out, if they do not.
///
/// Only their interval is judged: the p belongs to the full blocks and their family.
fn disagreement(
    expectation: &Expectation,
    evidence: &Evidence<'_>,
    kept: &[f64],
    class: Class,
    minimum: usize,
) -> Result<Option<String>, Error> {
    if kept.len() < LEAST_KEPT {
        return Ok(None);
    }
    let differs = if kept.len() < minimum {
        // The interval of one contrast alone is the narrower one, and contradicts sooner.
        let interval = oriented(expectation, kept, 1.0 - evidence.alpha)?;
        excludes(expectation, &interval, class).then_some("contradicted by")
    } else {
        let interval = oriented(expectation, kept, evidence.confidence)?;
        let without = classify(expectation, &interval, true);
        (without.word() != class.word()).then_some(match without {
            Class::Open => "left open by",
            _ => "contradicted by",
        })
    };
    let diverged = evidence.values.len().saturating_sub(kept.len());
    Ok(differs.map(|differs| {
        format!(
            "{} with {diverged} diverged blocks at the declared worst value, but {differs} the {} others alone",
            class.word(),
            kept.len(),
        )
    }))
}

/// Whether an oriented interval has no room for what a class says.
fn excludes(expectation: &Expectation, interval: &Interval, class: Class) -> bool {
    let Interval { low, high, .. } = *interval;
    let delta = expectation.delta;
    match (class, expectation.direction) {
        (Class::Open, _) => false,
        (Class::Supported, Direction::Equal) => high <= -delta || delta <= low,
        (Class::Refuted(_), Direction::Equal) => -delta <= low && high <= delta,
        (Class::Supported, _) => high <= delta,
        (Class::Refuted(_), _) => delta <= low,
    }
}

/// A confidence as a reader takes it: `95 %`, `98.33 %`.
fn percent(confidence: f64) -> String {
    format!("{} %", (1e4 * confidence).round() / 100.0)
}

/// Seeds in all for the planned power at the observed mean and standard deviation.
fn further_seeds(expectation: &Expectation, interval: &Interval) -> Result<Option<usize>, Error> {
    let sd = interval.standard_error * (interval.n as f64).sqrt();
    let plan = match expectation.direction {
        Direction::Equal => seeds_needed_equal,
        Direction::Lower | Direction::Higher => seeds_needed,
    };
    let alpha = 1.0 - interval.confidence;
    plan(
        interval.estimate,
        sd,
        expectation.delta,
        PLANNED_POWER,
        alpha,
    )
}
