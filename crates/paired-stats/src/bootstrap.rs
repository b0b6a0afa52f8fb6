//! Intervals from resamples of whole seeds: bootstrap-t beside the paired t, percentile and BCa where
//! no t form exists.

use rand::{Rng, RngCore};

use crate::distribution::{normal_cdf, normal_critical, normal_quantile};
use crate::error::Error;
use crate::interval::{Interval, Method, around};
use crate::moments::{Moments, binary_scale, check_open_unit, mean_and_sd};

/// The studentised bootstrap interval, \[m − q_high · s/√n, m − q_low · s/√n\], where the q are
/// quantiles of t* = (m* − m)/(s*/√n) over resamples of whole seeds.
///
/// It tolerates skewness better than t, and is wider: 1.1 to 1.8 times at 8 seeds. Report it
/// beside [`paired_t`](crate::paired_t) and warn where the two disagree about zero. Equal values give \[m, m\].
/// A resample without variance counts as an infinite t* of its sign.
///
/// Source: Efron & Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 12.
///
/// # Errors
///
/// A value that is not finite, fewer than 4 seeds, a confidence outside (0, 1), fewer resamples
/// than the tails need (39 at 95 %; 10 000 is usual), or so many ties that a bound is infinite.
pub fn bootstrap_t(
    values: &[f64],
    confidence: f64,
    resamples: usize,
    rng: &mut dyn RngCore,
) -> Result<Interval, Error> {
    check_open_unit("confidence", confidence)?;
    let rank = tail_rank("the bootstrap-t interval", confidence, resamples)?;
    let moments = Moments::of(values, "the bootstrap-t interval", 4)?;
    if moments.sd == 0.0 {
        return around(&moments, 0.0, confidence, Method::BootstrapT);
    }
    let scale = binary_scale(values);
    let scaled: Vec<f64> = values.iter().map(|v| v / scale).collect();
    let (center, _) = mean_and_sd(&scaled);
    let root_n = (moments.n as f64).sqrt();
    let mut resample = scaled.clone();
    let mut studentised: Vec<f64> = (0..resamples)
        .map(|_| {
            draw(&scaled, &mut resample, rng);
            let (mean, sd) = mean_and_sd(&resample);
            // 0/0 means that the resample sits on the mean: no evidence for either side.
            if mean == center {
                0.0
            } else {
                (mean - center) / (sd / root_n)
            }
        })
        .collect();
    studentised.sort_unstable_by(f64::total_cmp);
    let (low, high) = (studentised[rank - 1], studentised[resamples - rank]);
    if low.is_infinite() || high.is_infinite() {
        return Err(Error::Unbounded {
            method: Method::BootstrapT,
            confidence,
        });
    }
    let standard_error = moments.standard_error();
    Interval {
        estimate: moments.mean,
        low: moments.mean - high * standard_error,
        high: moments.mean - low * standard_error,
        confidence,
        n: moments.n,
        standard_error,
        method: Method::BootstrapT,
    }
    .checked()
}

/// The percentile bootstrap interval of any statistic of whole seed blocks.
///
/// For statistics without a t form only: median, interquartile mean, P(A > B). A block is all that
/// one seed gave: a number, or a [`TwoByTwo`](crate::TwoByTwo). Below 20 seeds
/// [`Interval::is_approximate`] is true. The standard error is the standard deviation of the
/// statistic over resamples.
///
/// Source: Efron & Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13.
///
/// # Errors
///
/// Fewer than 2 blocks, a confidence outside (0, 1), fewer resamples than the tails need (39 at
/// 95 %), or a statistic that is not finite on some resample.
pub fn percentile<T: Clone>(
    blocks: &[T],
    statistic: impl Fn(&[T]) -> f64,
    confidence: f64,
    resamples: usize,
    rng: &mut dyn RngCore,
) -> Result<Interval, Error> {
    const METHOD: &str = "the percentile interval";
    check_open_unit("confidence", confidence)?;
    let rank = tail_rank(METHOD, confidence, resamples)?;
    let (estimate, replicates) = replicate(METHOD, blocks, &statistic, resamples, rng)?;
    Ok(Interval {
        estimate,
        low: replicates[rank - 1],
        high: replicates[resamples - rank],
        confidence,
        n: blocks.len(),
        standard_error: Moments::of(&replicates, METHOD, 2)?.sd,
        method: Method::Percentile,
    })
}

/// The bias-corrected and accelerated bootstrap interval of any statistic of whole seed blocks: the
/// quantiles Φ(z0 + (z0 ± z)/(1 − a (z0 ± z))) of the resamples.
///
/// z0 = Φ⁻¹(share of resamples below the estimate, ties by half), and the acceleration is
/// a = Σ d³ / (6 (Σ d²)^(3/2)) with d the mean of the leave-one-out statistics less each of them.
/// No better than [`percentile`] with few seeds (84 % at 5 seeds instead of 95 %), so it too is
/// approximate below 20.
///
/// Source: Efron, *Better Bootstrap Confidence Intervals* (1987).
///
/// # Errors
///
/// As [`percentile`], with 3 blocks at least; and a statistic whose estimate lies outside all of
/// its resamples, for which no bias correction exists.
#[doc(alias = "bias_corrected_accelerated")]
pub fn bca<T: Clone>(
    blocks: &[T],
    statistic: impl Fn(&[T]) -> f64,
    confidence: f64,
    resamples: usize,
    rng: &mut dyn RngCore,
) -> Result<Interval, Error> {
    const METHOD: &str = "the BCa interval";
    check_open_unit("confidence", confidence)?;
    tail_rank(METHOD, confidence, resamples)?;
    if blocks.len() < 3 {
        return Err(Error::TooFewSeeds {
            method: METHOD,
            needed: 3,
            found: blocks.len(),
        });
    }
    let (estimate, replicates) = replicate(METHOD, blocks, &statistic, resamples, rng)?;
    let below = replicates.partition_point(|r| *r < estimate);
    let upto = replicates.partition_point(|r| *r <= estimate);
    let share = 0.5 * (below + upto) as f64 / resamples as f64;
    // A statistic that does not vary has its estimate in the middle and gives a point.
    let z0 = normal_quantile(share);
    if !z0.is_finite() {
        return Err(Error::Unbounded {
            method: Method::Bca,
            confidence,
        });
    }
    let without: Vec<f64> = (0..blocks.len())
        .map(|i| statistic(&[&blocks[..i], &blocks[i + 1..]].concat()))
        .collect();
    let acceleration = acceleration(&without)?;
    let bound = |z: f64| {
        let p = normal_cdf(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)));
        let rank = (p * (resamples as f64 + 1.0)).floor() as usize;
        replicates[rank.clamp(1, resamples) - 1]
    };
    let z = normal_critical(1.0 - confidence);
    Ok(Interval {
        estimate,
        low: bound(-z),
        high: bound(z),
        confidence,
        n: blocks.len(),
        standard_error: Moments::of(&replicates, METHOD, 2)?.sd,
        method: Method::Bca,
    })
}

/// The statistic of the blocks, and of resamples of them in ascending order.
fn replicate<T: Clone>(
    method: &'static str,
    blocks: &[T],
    statistic: &impl Fn(&[T]) -> f64,
    resamples: usize,
    rng: &mut dyn RngCore,
) -> Result<(f64, Vec<f64>), Error> {
    if blocks.len() < 2 {
        return Err(Error::TooFewSeeds {
            method,
            needed: 2,
            found: blocks.len(),
        });
    }
    let mut resample = blocks.to_vec();
    let mut replicates: Vec<f64> = (0..resamples)
        .map(|_| {
            draw(blocks, &mut resample, rng);
            statistic(&resample)
        })
        .collect();
    let estimate = statistic(blocks);
    if let Some(&value) = replicates
        .iter()
        .chain([&estimate])
        .find(|v| !v.is_finite())
    {
        return Err(Error::StatisticNotFinite { value });
    }
    replicates.sort_unstable_by(f64::total_cmp);
    Ok((estimate, replicates))
}

/// Efron's acceleration from the leave-one-out statistics; 0 when they are all equal.
fn acceleration(without: &[f64]) -> Result<f64, Error> {
    if let Some(&value) = without.iter().find(|v| !v.is_finite()) {
        return Err(Error::StatisticNotFinite { value });
    }
    let scale = binary_scale(without);
    let scaled: Vec<f64> = without.iter().map(|v| v / scale).collect();
    let (mean, sd) = mean_and_sd(&scaled);
    if sd == 0.0 {
        return Ok(0.0);
    }
    let moment = |power: i32| -> f64 { scaled.iter().map(|v| (mean - v).powi(power)).sum() };
    Ok(moment(3) / (6.0 * moment(2).powf(1.5)))
}

/// Fills `resample` with draws from `blocks`, with replacement.
fn draw<T: Clone>(blocks: &[T], resample: &mut [T], rng: &mut dyn RngCore) {
    for slot in resample {
        slot.clone_from(&blocks[rng.random_range(0..blocks.len())]);
    }
}

/// The rank of the order statistic that bounds each tail: ⌊(resamples + 1)(1 − confidence)/2⌋.
fn tail_rank(method: &'static str, confidence: f64, resamples: usize) -> Result<usize, Error> {
    let tail = 0.5 * (1.0 - confidence);
    // The nudge keeps 40 · 0.025 at rank 1 in spite of the rounding of 1 − 0.95.
    let rank = ((resamples as f64 + 1.0) * tail * (1.0 + 1e-12)).floor() as usize;
    if rank == 0 || resamples < 2 {
        let needed = ((1.0 / tail) * (1.0 - 1e-12)).ceil() as usize - 1;
        return Err(Error::TooFewDraws {
            method,
            needed: needed.max(2),
            found: resamples,
        });
    }
    Ok(rank)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::interval::paired_t;

    const SLEEP: [f64; 10] = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn equal_values_give_a_point() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for found in [
            bootstrap_t(&[0.1; 8], 0.95, 100, &mut rng).unwrap(),
            percentile(&[0.1; 8], |v| v[0], 0.95, 100, &mut rng).unwrap(),
            bca(&[0.1; 8], |v| v[0], 0.95, 100, &mut rng).unwrap(),
        ] {
            assert_eq!((found.low, found.estimate, found.high), (0.1, 0.1, 0.1));
        }
    }

    #[test]
    fn bca_without_bias_or_skewness_is_percentile() {
        let values = [-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0];
        let both = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let plain = percentile(&values, mean, 0.9, 9999, &mut rng).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            (plain, bca(&values, mean, 0.9, 9999, &mut rng).unwrap())
        };
        let (plain, bca) = both(11);
        // One step of the sums' lattice, 1/16.
        assert!((plain.low - bca.low).abs() < 0.07 && (plain.high - bca.high).abs() < 0.07);
        assert!(bca.is_approximate());
    }

    #[test]
    fn bca_of_a_known_case() {
        // scipy.stats.bootstrap, 400 000 resamples: BCa reaches further into the long tail.
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        let found = bca(&SLEEP, mean, 0.95, 40_000, &mut rng).unwrap();
        assert!((found.low - 1.05).abs() < 0.02, "{found:?}");
        assert!((found.high - 2.62).abs() < 0.04, "{found:?}");
        let plain = percentile(&SLEEP, mean, 0.95, 40_000, &mut rng).unwrap();
        assert!((plain.low - 0.95).abs() < 0.02, "{plain:?}");
        assert!((plain.high - 2.38).abs() < 0.04, "{plain:?}");
    }

    #[test]
    fn bootstrap_t_is_near_t_and_wider_on_well_behaved_values() {
        let values = [-1.4, -0.9, -0.5, -0.2, 0.1, 0.4, 0.6, 0.9, 1.3, 1.7];
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let boot = bootstrap_t(&values, 0.95, 4000, &mut rng).unwrap();
        let t = paired_t(&values, 0.95).unwrap();
        let ratio = (boot.high - boot.low) / (t.high - t.low);
        assert!(0.95 < ratio && ratio < 1.4, "width relative to t: {ratio}");
    }

    #[test]
    fn bootstrap_t_reaches_into_the_long_tail() {
        let values = [0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.9, 1.5, 2.4, 4.0];
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let found = bootstrap_t(&values, 0.9, 2000, &mut rng).unwrap();
        let (up, down) = (found.high - found.estimate, found.estimate - found.low);
        assert!(0.0 < down && 1.5 * down < up, "down {down}, up {up}");
    }

    #[test]
    fn bootstrap_t_does_not_hide_an_infinite_bound() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let found = bootstrap_t(&[0.0, 0.0, 0.0, 1.0], 0.95, 1000, &mut rng);
        assert_eq!(
            found,
            Err(Error::Unbounded {
                method: Method::BootstrapT,
                confidence: 0.95
            })
        );
    }

    #[test]
    fn percentile_is_labelled_below_twenty_seeds() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let wins = |v: &[f64]| v.iter().filter(|x| 1.0 < **x).count() as f64 / v.len() as f64;
        let found = percentile(&SLEEP, wins, 0.95, 2000, &mut rng).unwrap();
        assert_eq!(found.estimate, 0.7);
        assert!(found.is_approximate() && found.contains(0.7));
        assert!((found.standard_error - 0.145).abs() < 0.02);
        let twenty: Vec<f64> = (0..20).map(f64::from).collect();
        let median = |v: &[f64]| {
            let mut sorted = v.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            0.5 * (sorted[9] + sorted[10])
        };
        let found = percentile(&twenty, median, 0.95, 500, &mut rng).unwrap();
        assert!(!found.is_approximate() && found.contains(9.5));
    }

    #[test]
    fn too_few_resamples_for_the_tail() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        assert!(matches!(
            bootstrap_t(&SLEEP, 0.95, 38, &mut rng),
            Err(Error::TooFewDraws {
                needed: 39,
                found: 38,
                ..
            })
        ));
        assert!(bootstrap_t(&SLEEP, 0.95, 39, &mut rng).is_ok());
    }
}
