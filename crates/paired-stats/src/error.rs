//! The rules that an input can break.

use crate::interval::Method;

/// A rule that an input of this crate broke, with the value that broke it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input number is NaN or infinite.
    #[error(
        "value {index} must be finite, but is {value}; score a diverged run with the declared worst value"
    )]
    NotFinite {
        /// Position of the number in its slice.
        index: usize,
        /// The number.
        value: f64,
    },
    /// A scalar argument lies outside its range.
    #[error("{name} must lie in {range}, but is {value}; choose a value inside")]
    OutOfRange {
        /// Name of the argument.
        name: &'static str,
        /// The range, in interval notation.
        range: &'static str,
        /// The value given.
        value: f64,
    },
    /// There are fewer seeds than the method can work with.
    #[error("{method} needs at least {needed} seeds, but has {found}; run more seeds")]
    TooFewSeeds {
        /// The method asked for.
        method: &'static str,
        /// The least number of seeds it takes.
        needed: usize,
        /// The number of seeds given.
        found: usize,
    },
    /// There are more seeds than all sign flips can be counted for.
    #[error(
        "the exact {method} counts 2^n flips and takes at most {limit} seeds, but has {found}; use its sampled form"
    )]
    TooManySeeds {
        /// The method asked for.
        method: &'static str,
        /// The greatest number of seeds it takes.
        limit: usize,
        /// The number of seeds given.
        found: usize,
    },
    /// A family of contrasts is empty.
    #[error("a family needs at least one column of contrasts, but has none; name the contrasts")]
    NoColumns,
    /// The columns of a family hold different numbers of seeds.
    #[error(
        "column {column} must hold {expected} seeds like the first, but holds {found}; keep complete seed blocks only"
    )]
    ColumnLength {
        /// Position of the column in the family.
        column: usize,
        /// Number of seeds of the first column.
        expected: usize,
        /// Number of seeds of this column.
        found: usize,
    },
    /// A slope over depths with fewer than two of them.
    #[error(
        "a slope over depths needs two different depths, but has fewer; measure the 2×2 at another depth"
    )]
    OneDepth,
    /// The looks of a sequential plan are none, do not rise, or begin below two seeds.
    #[error(
        "looks must be at rising numbers of seeds from 2 on, but are {seeds:?}; name each look once, in order"
    )]
    Looks {
        /// The numbers of seeds given.
        seeds: Vec<usize>,
    },
    /// More failures than trials, or no trial.
    #[error(
        "failures must not exceed trials and trials must not be zero, but {failures} of {trials} failed; check the counts"
    )]
    Counts {
        /// Failures counted.
        failures: u64,
        /// Trials counted.
        trials: u64,
    },
    /// Too few random draws for the tail that was asked for.
    #[error("{method} needs at least {needed} random draws here, but has {found}; draw more")]
    TooFewDraws {
        /// The method asked for.
        method: &'static str,
        /// The least number of draws.
        needed: usize,
        /// The number of draws given.
        found: usize,
    },
    /// The level is below the smallest p that this number of seeds (or flips) can give.
    #[error(
        "alpha = {alpha} is below {floor}, the smallest p that {n} seeds and these flips can give; run more seeds or draw more flips"
    )]
    LevelBelowFloor {
        /// The level asked for.
        alpha: f64,
        /// The smallest attainable p.
        floor: f64,
        /// Number of seeds.
        n: usize,
    },
    /// An interval has no finite bound at the confidence asked for.
    #[error(
        "the {method} interval has no finite bound at confidence {confidence}: too many resamples have zero variance; use the paired t interval or run more seeds"
    )]
    Unbounded {
        /// The interval's method.
        method: Method,
        /// The confidence asked for.
        confidence: f64,
    },
    /// A result does not fit in an `f64`.
    #[error(
        "the {name} of these values exceeds the range of f64; rescale them, or take logarithms"
    )]
    Overflow {
        /// Name of the result.
        name: &'static str,
    },
    /// The statistic of a resample is NaN or infinite.
    #[error("the statistic must be finite on every resample, but is {value}; choose another one")]
    StatisticNotFinite {
        /// The value that the statistic returned.
        value: f64,
    },
}
