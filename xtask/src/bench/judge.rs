//! From blocks to verdicts.
//!
//! Of each benchmark, dᵢ = ln(headᵢ/baseᵢ) for the blocks i: both runs of a block share the machine's mood, so dᵢ does not.
//! The job's own blocks of the base against itself give the floor f, the root of the mean of their squared log ratios
//! (whose mean is known to be nothing): what this machine makes of no change at all. No benchmark's floor is below that of
//! the job's median benchmark, since four blocks may agree by luck. With the margin m = max(ln 1.05, 2 f):
//!
//! * REGRESSION if the whole 95 % interval of the mean of dᵢ lies above m, the t test against no change survives Holm's
//!   correction over the benchmarks of the job, and the sign-flip test, which asks nothing of the distribution, agrees;
//! * IMPROVEMENT if the mirror image of all that holds;
//! * NO CHANGE if the whole interval lies within ± ln 1.05, whatever the floor: a floor of 20 % is no reason to call a
//!   change of 10 % none;
//! * NOISY otherwise, and without A/A blocks or with fewer than six blocks always.

use std::fmt;

use paired_stats::{Interval, holm, paired_t, sign_flip, sign_flip_sampled, t_test};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::bench::blocks::{Benchmark, Blocks, Pair};
use crate::bench::counts::Counted;

/// A change below this is not worth a verdict.
pub(crate) const WORTH: f64 = 1.05;

/// The slowdown that every report says whether it would have been seen.
pub(crate) const ASKED: f64 = 1.10;

/// Of the intervals; 1 − this is the level of the tests.
const CONFIDENCE: f64 = 0.95;

/// With fewer blocks no pattern of signs is rare enough: 2 / 2⁵ is more than 5 %.
pub(crate) const FEWEST_BLOCKS: usize = 6;

/// With more blocks patterns of signs are drawn and not counted.
const EXACT_BLOCKS: usize = 40;

/// As many are drawn: p comes in steps of a ten-thousandth.
const FLIPS: usize = 9_999;

/// The seed of their draws.
const SIGN_FLIPS: u64 = 1935;

/// What is concluded of one benchmark's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Verdict {
    /// Head is slower, by more than the margin.
    Regression,
    /// Head is faster, by more than the margin.
    Improvement,
    /// Neither concluded.
    Noisy,
    /// Whatever changed is below 5 %.
    NoChange,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Regression => "REGRESSION",
            Self::Improvement => "IMPROVEMENT",
            Self::Noisy => "NOISY",
            Self::NoChange => "NO CHANGE",
        })
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Judged {
    /// Name of the benchmark.
    pub(crate) name: String,
    /// What was concluded of its time.
    pub(crate) verdict: Verdict,
    /// What was concluded of its instructions, where they were counted.
    pub(crate) counted: Option<Counted>,
    /// Geometric mean of the base's values.
    pub(crate) base: f64,
    /// Geometric mean of the head's values.
    pub(crate) head: f64,
    /// Mean log ratio.
    pub(crate) log_ratio: f64,
    /// Its 95 % interval; absent with one block.
    pub(crate) interval: Option<[f64; 2]>,
    /// p of the t test against no change, by Holm over the job's benchmarks.
    pub(crate) p_holm: Option<f64>,
    /// p of the sign-flip test.
    pub(crate) p_sign_flip: Option<f64>,
    /// What no change looks like here, as a log ratio; absent without A/A blocks.
    pub(crate) floor: Option<f64>,
    /// What an interval must lie beyond, as a log ratio.
    pub(crate) margin: f64,
    /// The smallest slowdown that nine of ten such jobs would call a regression, as a log ratio; absent where none would be.
    pub(crate) sees: Option<f64>,
    /// Number of blocks.
    pub(crate) blocks: usize,
}

impl Judged {
    /// Whether a slowdown of 10 % would have gone unseen here.
    pub(crate) fn hides(&self) -> bool {
        self.sees.is_none_or(|sees| ASKED.ln() < sees)
    }
}

/// All benchmarks of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Job {
    /// What no change looks like for the median benchmark, as a log ratio; absent without A/A blocks.
    pub(crate) floor: Option<f64>,
    /// In the order of the blocks' file.
    pub(crate) benchmarks: Vec<Judged>,
}

impl Job {
    /// How many benchmarks have this verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.having(verdict).count()
    }

    /// The benchmarks that have this verdict.
    pub(crate) fn having(&self, verdict: Verdict) -> impl Iterator<Item = &Judged> {
        (self.benchmarks.iter()).filter(move |judged| judged.verdict == verdict)
    }

    /// The benchmarks in which a slowdown of 10 % would have gone unseen.
    pub(crate) fn blind(&self) -> impl Iterator<Item = &Judged> {
        self.benchmarks.iter().filter(|judged| judged.hides())
    }
}

/// Judges every benchmark of a job.
pub(crate) fn judge(blocks: &Blocks) -> Job {
    let floors: Vec<Option<f64>> = (blocks.benchmarks.iter())
        .map(|benchmark| floor(&benchmark.same))
        .collect();
    let typical = median(floors.iter().flatten().copied().collect());
    let p: Vec<Option<f64>> = (blocks.benchmarks.iter())
        .map(|benchmark| t_test(&log_ratios(&benchmark.pairs), 0.0).ok())
        .collect();
    // A benchmark without a p asked no question, so it takes no share.
    let mut adjusted = holm(&p.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
    let benchmarks = (blocks.benchmarks.iter().zip(floors).zip(p))
        .map(|((benchmark, floor), p)| {
            let p_holm = p.and_then(|_| adjusted.next());
            let floor = floor.zip(typical).map(|(own, typical)| own.max(typical));
            one(benchmark, floor, p_holm)
        })
        .collect();
    Job {
        floor: typical,
        benchmarks,
    }
}

fn one(benchmark: &Benchmark, floor: Option<f64>, p_holm: Option<f64>) -> Judged {
    let d = log_ratios(&benchmark.pairs);
    let interval = paired_t(&d, CONFIDENCE).ok();
    let p_sign_flip = signs(&d);
    let margin = WORTH.ln().max(2.0 * floor.unwrap_or(0.0));
    let level = 1.0 - CONFIDENCE;
    let sure = [p_holm, p_sign_flip]
        .iter()
        .all(|p| p.is_some_and(|p| p < level));
    let verdict = match (&interval, floor) {
        (Some(interval), Some(_)) if FEWEST_BLOCKS <= d.len() => {
            if sure && margin < interval.low {
                Verdict::Regression
            } else if sure && interval.high < -margin {
                Verdict::Improvement
            } else if -WORTH.ln() < interval.low && interval.high < WORTH.ln() {
                Verdict::NoChange
            } else {
                Verdict::Noisy
            }
        }
        _ => Verdict::Noisy,
    };
    let sees = match (&interval, floor) {
        (Some(interval), Some(_)) if FEWEST_BLOCKS <= d.len() => {
            Some(margin + reach(interval, d.len()))
        }
        _ => None,
    };
    let geometric = |values: &mut dyn Iterator<Item = f64>| {
        let n = benchmark.pairs.len() as f64;
        (values.map(f64::ln).sum::<f64>() / n).exp()
    };
    Judged {
        name: benchmark.name.clone(),
        verdict,
        counted: benchmark.instructions.as_ref().map(Counted::of),
        base: geometric(&mut benchmark.pairs.iter().map(|pair| pair.base)),
        head: geometric(&mut benchmark.pairs.iter().map(|pair| pair.head)),
        log_ratio: d.iter().sum::<f64>() / d.len() as f64,
        interval: interval.map(|interval| [interval.low, interval.high]),
        p_holm,
        p_sign_flip,
        floor,
        margin,
        sees,
        blocks: d.len(),
    }
}

/// p of the sign-flip test: of all patterns of signs up to [`EXACT_BLOCKS`], of drawn ones above. The seed is fixed, so
/// that one file of blocks has one report.
fn signs(d: &[f64]) -> Option<f64> {
    let test = if d.len() <= EXACT_BLOCKS {
        sign_flip(d)
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(SIGN_FLIPS);
        sign_flip_sampled(d, FLIPS, &mut rng)
    };
    test.ok().map(|test| test.p)
}

/// How far beyond the margin a mean must lie for nine of ten intervals of this width to lie beyond it whole: half the width,
/// and the upper tenth of the mean's own scatter, for which the width's t quantile is undone.
fn reach(interval: &Interval, n: usize) -> f64 {
    let half_width = 0.5 * (interval.high - interval.low);
    // Upper 2.5 % and 10 % points of Student's t from 5 degrees of freedom on differ by this factor or less.
    let tenth = if n < 12 { 0.60 } else { 0.65 };
    half_width * (1.0 + tenth)
}

/// Root mean square of the log ratios of A/A blocks; `None` where there are fewer than two.
fn floor(same: &[Pair]) -> Option<f64> {
    let n = same.len() as f64;
    let squares = log_ratios(same).iter().map(|d| d * d).sum::<f64>();
    (2 <= same.len()).then(|| (squares / n).sqrt())
}

fn log_ratios(pairs: &[Pair]) -> Vec<f64> {
    pairs.iter().map(|pair| pair.log_ratio()).collect()
}

/// The median, if there are any.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let upper = *values.get(n / 2)?;
    Some(if n.is_multiple_of(2) {
        0.5 * (values[n / 2 - 1] + upper)
    } else {
        upper
    })
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests;
