//! The distributions from which training draws its noise levels.

mod exploding;
mod ladder;
mod sigma;
mod time;

pub use exploding::Exploding;
pub use ladder::Ladder;
pub use sigma::{HalfCauchy, LogLogistic, LogNormal, LogUniform, SplitLogNormal};
pub use time::{
    BetaTime, LogitNormalTime, ModeTime, TimeDistribution, Timed, UniformLogSnr, UniformTime,
};

use crate::Kernel;
use crate::normal::standard_normal_quantile;

/// A distribution of noise levels, as its inverse CDF: u uniform in (0, 1) becomes a kernel.
///
/// There is no random number generator here, so that the caller may stratify, mirror or share u.
/// Closures are level distributions: `|_: f64| Kernel::CLEAN` is the one without noise.
///
/// Law of the distributions of this crate: noise rises with u.
///
/// ```
/// use noise_schedule::{LevelDistribution, LogUniform};
/// let levels = LogUniform::new(0.1, 10.0)?;
/// // A stratified batch: one level in each quarter.
/// let batch: Vec<f64> = (0..4).map(|i| levels.quantile((f64::from(i) + 0.5) / 4.0).sigma()).collect();
/// assert!((batch[0] * batch[3] - 1.0).abs() < 1e-12); // symmetric in log sigma
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "timestep_sampling")]
pub trait LevelDistribution {
    /// The kernel below which a fraction `u` of the levels lies, `u` in (0, 1).
    ///
    /// # Panics
    /// The distributions of this crate accept the ends 0 and 1 as their extreme levels, and panic beyond.
    fn quantile(&self, u: f64) -> Kernel;
}

impl<F: Fn(f64) -> Kernel> LevelDistribution for F {
    fn quantile(&self, u: f64) -> Kernel {
        self(u)
    }
}

/// The `index`-th of `count` uniform numbers, one in each of `count` equal parts of [0, 1): (index + u)/count.
///
/// With one u per number the sample is stratified; with one u for all it is a lattice, whose numbers are equally spaced.
/// Number the whole batch, over all ranks and accumulation steps, to stratify across them.
///
/// ```
/// use noise_schedule::stratified;
/// let batch: Vec<f64> = (0..4).map(|i| stratified(0.5, i, 4)).collect();
/// assert_eq!(batch, [0.125, 0.375, 0.625, 0.875]);
/// ```
///
/// # Panics
/// If `u` lies outside [0, 1] or `index` is not below `count`.
#[doc(alias = "stratified_uniform")]
pub fn stratified(u: f64, index: usize, count: usize) -> f64 {
    check_unit(u);
    assert!(
        index < count,
        "stratified: index {index} must lie below {count}"
    );
    (index as f64 + u) / count as f64
}

/// The `index`-th of `count` equally spaced numbers on the circle [0, 1): u + index/count, less 1 where that is not below 1.
///
/// Each number alone is uniform if u is, and together they are as even as can be: the low-discrepancy times of
/// Kingma et al. 2021 (<https://arxiv.org/abs/2107.00630>), appendix I.1.
/// Two of them are half a circle apart.
///
/// ```
/// use noise_schedule::antithetic;
/// assert_eq!((antithetic(0.75, 0, 2), antithetic(0.75, 1, 2)), (0.75, 0.25));
/// ```
///
/// # Panics
/// If `u` lies outside [0, 1] or `index` is not below `count`.
#[doc(alias = "antithetic_time_sampling")]
pub fn antithetic(u: f64, index: usize, count: usize) -> f64 {
    check_unit(u);
    assert!(
        index < count,
        "antithetic: index {index} must lie below {count}"
    );
    (u + index as f64 / count as f64).fract()
}

/// Refuses a probability outside [0, 1], NaN included.
fn check_unit(u: f64) {
    assert!(
        (0.0..=1.0).contains(&u),
        "level distribution: u must lie in [0, 1], got {u}"
    );
}

/// Φ⁻¹(u), finite at the ends too: at most 38 from 0.
fn normal(u: f64) -> f64 {
    check_unit(u);
    // A generator of floats in [0, 1) does return 0, once in a long while.
    standard_normal_quantile(u.clamp(f64::MIN_POSITIVE, 1.0 - 0.5 * f64::EPSILON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_a_distribution() {
        let clean: &dyn LevelDistribution = &|_: f64| Kernel::CLEAN;
        assert_eq!(clean.quantile(0.3), Kernel::CLEAN);
    }

    #[test]
    fn one_number_in_each_part() {
        for (index, u) in [(0, 0.0), (3, 0.7), (9, 1.0)] {
            let v = stratified(u, index, 10);
            assert!((index as f64 / 10.0..=(index + 1) as f64 / 10.0).contains(&v));
        }
        let mut circle: Vec<f64> = (0..7).map(|i| antithetic(0.9, i, 7)).collect();
        circle.sort_by(f64::total_cmp);
        for pair in circle.windows(2) {
            assert!((pair[1] - pair[0] - 1.0 / 7.0).abs() < 1e-15);
        }
    }

    #[test]
    #[should_panic(expected = "index 4 must lie below 4")]
    fn an_index_beyond_the_batch_is_a_bug() {
        stratified(0.5, 4, 4);
    }
}
