//! The sign-flip test of a mean: exact up to forty seeds, sampled beyond.

use rand::RngCore;

use crate::error::Error;
use crate::moments::{binary_scale, check_seeds};

/// The most seeds for which all flips are counted (from two sorted lists of 2^20 sums).
pub(crate) const EXACT_LIMIT: usize = 40;

/// Two sums that differ by less than this share of the largest attainable one are ties.
pub(crate) const TIE: f64 = 1e-12;

/// The outcome of a sign-flip test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignFlip {
    /// Two-sided p, in \[`floor`, 1\].
    pub p: f64,
    /// The smallest p that could have come out.
    pub floor: f64,
    /// Number of seeds.
    pub n: usize,
    /// Whether all flips were counted.
    pub exact: bool,
}

/// The exact two-sided sign-flip test that the mean contrast is zero.
///
/// p = #{flips with |Σ ±v_i| >= |Σ v_i|} / 2^n over all 2^n sign patterns. It is exact, without
/// any assumption on the shape, when each contrast is symmetric about 0 under the null, which a
/// paired difference of exchangeable arms is. Sums that agree within a relative 1e-12 are ties and
/// count.
///
/// The flips are counted and not listed: each half of the seeds has 2^(n/2) signed sums, and two
/// fingers over the sorted halves find the pairs that reach the observed sum (the two-list method
/// of Horowitz & Sahni 1974 for subset sums). 30 seeds take less than a millisecond.
///
/// Source: Fisher, *The Design of Experiments* (1935).
///
/// # Errors
///
/// A value that is not finite, no seed, or more than 40 (use [`sign_flip_sampled`]).
///
/// ```
/// // Five seeds cannot give p < 0.05, however large the effect.
/// let test = paired_stats::sign_flip(&[9.0, 8.0, 9.5, 8.5, 10.0])?;
/// assert_eq!((test.p, test.floor), (0.0625, 0.0625));
/// # Ok::<(), paired_stats::Error>(())
/// ```
#[doc(alias = "permutation test")]
#[doc(alias = "randomization test")]
pub fn sign_flip(values: &[f64]) -> Result<SignFlip, Error> {
    check_seeds(values, "the sign-flip test", 1)?;
    check_exact("sign-flip test", EXACT_LIMIT, values.len())?;
    let scaled = scale(values);
    let threshold = threshold(&scaled);
    let p = if threshold <= 0.0 {
        1.0
    } else {
        // A sum that reaches the threshold has a mirror image that reaches its negative.
        2.0 * reaching(&scaled, threshold) as f64 * 0.5_f64.powi(values.len() as i32)
    };
    Ok(SignFlip {
        p,
        floor: sign_flip_floor(values.len()),
        n: values.len(),
        exact: true,
    })
}

/// The two-sided sign-flip test with `flips` random sign patterns, p = (1 + hits)/(1 + flips).
///
/// For more than 40 seeds; 100 000 flips are usual. The 1 counts the data themselves, so that
/// the test keeps its level at any number of flips; the floor is 1/(1 + flips).
///
/// Source: Phipson & Smyth, *Permutation p-values should never be zero* (2010).
///
/// # Errors
///
/// A value that is not finite, no seed, or no flip.
pub fn sign_flip_sampled(
    values: &[f64],
    flips: usize,
    rng: &mut dyn RngCore,
) -> Result<SignFlip, Error> {
    const METHOD: &str = "the sampled sign-flip test";
    check_seeds(values, METHOD, 1)?;
    if flips == 0 {
        return Err(Error::TooFewDraws {
            method: METHOD,
            needed: 1,
            found: 0,
        });
    }
    let scaled = scale(values);
    let threshold = threshold(&scaled);
    let mut signs = Signs::new(values.len());
    let hits = (0..flips)
        .filter(|_| {
            signs.draw(rng);
            threshold <= signs.sum(&scaled).abs()
        })
        .count();
    let floor = 1.0 / (1.0 + flips as f64);
    Ok(SignFlip {
        p: (1.0 + hits as f64) * floor,
        floor,
        n: values.len(),
        exact: false,
    })
}

/// The smallest p that an exact two-sided sign-flip test of `n` seeds can give, 2^(1 − n).
///
/// 6 seeds are the least that can reach 0.05. Without seeds it is 1.
pub fn sign_flip_floor(n: usize) -> f64 {
    0.5_f64.powf(n.saturating_sub(1) as f64)
}

/// Refuses more seeds than all flips can be counted for.
pub(crate) fn check_exact(method: &'static str, limit: usize, n: usize) -> Result<(), Error> {
    if limit < n {
        return Err(Error::TooManySeeds {
            method,
            limit,
            found: n,
        });
    }
    Ok(())
}

/// How many of the 2^n signed sums are at least `threshold`.
fn reaching(values: &[f64], threshold: f64) -> u64 {
    let (left, right) = values.split_at(values.len() / 2);
    let (left, right) = (ascending_sums(left), ascending_sums(right));
    // As the left sum rises, more and more of the right ones suffice.
    let mut first = right.len();
    let pairs = left.iter().map(|sum| {
        while 0 < first && threshold <= sum + right[first - 1] {
            first -= 1;
        }
        (right.len() - first) as u64
    });
    pairs.sum()
}

/// All 2^n signed sums in ascending order: each value merges the list less it with the list plus it.
fn ascending_sums(values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for v in values.iter().map(|v| v.abs()) {
        let mut merged = Vec::with_capacity(2 * sums.len());
        let mut low = sums.iter().map(|s| s - v).peekable();
        for high in sums.iter().map(|s| s + v) {
            while let Some(sum) = low.next_if(|sum| *sum <= high) {
                merged.push(sum);
            }
            merged.push(high);
        }
        sums = merged;
    }
    sums
}

/// The values over a power of two, so that no sum overflows.
pub(crate) fn scale(values: &[f64]) -> Vec<f64> {
    let scale = binary_scale(values);
    values.iter().map(|v| v / scale).collect()
}

/// One random sign per seed, 64 to a word.
#[derive(Debug)]
pub(crate) struct Signs(Vec<u64>);

impl Signs {
    pub(crate) fn new(n: usize) -> Self {
        Self(vec![0; n.div_ceil(64)])
    }

    pub(crate) fn draw(&mut self, rng: &mut dyn RngCore) {
        self.0.fill_with(|| rng.next_u64());
    }

    /// Σ ±v_i under the present signs.
    pub(crate) fn sum(&self, values: &[f64]) -> f64 {
        let sign = |i: usize| {
            if self.0[i / 64] >> (i % 64) & 1 == 0 {
                1.0
            } else {
                -1.0
            }
        };
        values.iter().enumerate().map(|(i, v)| sign(i) * v).sum()
    }
}

/// |Σ v_i|, less the tolerance for ties.
fn threshold(values: &[f64]) -> f64 {
    let largest: f64 = values.iter().map(|v| v.abs()).sum();
    values.iter().sum::<f64>().abs() - TIE * largest
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Every flip written out, without symmetry or shared sums.
    fn brute_force(values: &[f64]) -> f64 {
        let n = values.len();
        let observed = values.iter().sum::<f64>().abs();
        let hits = (0..1_u32 << n)
            .filter(|mask| {
                let sum: f64 = (0..n)
                    .map(|i| {
                        if mask >> i & 1 == 1 {
                            -values[i]
                        } else {
                            values[i]
                        }
                    })
                    .sum();
                observed - 1e-12 <= sum.abs()
            })
            .count();
        hits as f64 / f64::from(1_u32 << n)
    }

    #[test]
    fn agrees_with_brute_force() {
        let cases: [&[f64]; 5] = [
            &[1.0],
            &[1.0, -2.0],
            &[0.3, -0.1, 0.25, 0.0],
            &[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4],
            &[0.1, 0.2, 0.3, -0.6, 0.7, 0.1, 0.2],
        ];
        for values in cases {
            assert_eq!(
                sign_flip(values).unwrap().p,
                brute_force(values),
                "{values:?}"
            );
        }
    }

    #[test]
    fn counting_agrees_with_listing_at_twenty_seeds() {
        let mut rng = ChaCha8Rng::seed_from_u64(10);
        let values: Vec<f64> = (0..20).map(|_| rng.random_range(-1.0..1.5)).collect();
        assert_eq!(sign_flip(&values).unwrap().p, brute_force(&values));
    }

    #[test]
    fn ties_count_in_spite_of_rounding() {
        // 0.1 + 0.2 − 0.3 is 5.6e-17 in floating point and 0 in truth: every flip ties.
        assert_eq!(sign_flip(&[0.1, 0.2, -0.3]).unwrap().p, 1.0);
        assert_eq!(sign_flip(&[0.0; 6]).unwrap().p, 1.0);
    }

    #[test]
    fn floor_is_attained_when_all_signs_agree() {
        for n in (1..=20).chain([31, EXACT_LIMIT]) {
            let values: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
            let test = sign_flip(&values).unwrap();
            assert_eq!(test.p, test.floor);
            assert_eq!(test.floor, 2.0_f64.powi(1 - n as i32));
        }
        assert!(matches!(
            sign_flip(&[1.0; 41]),
            Err(Error::TooManySeeds {
                found: 41,
                limit: 40,
                ..
            })
        ));
    }

    #[test]
    fn sampled_flips_approach_the_exact_p() {
        let values = [0.9, -0.2, 0.8, 0.4, -0.5, 1.1, 0.3, 0.2];
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let exact = sign_flip(&values).unwrap();
        let sampled = sign_flip_sampled(&values, 20_000, &mut rng).unwrap();
        assert!(
            (sampled.p - exact.p).abs() < 0.01,
            "{} vs {}",
            sampled.p,
            exact.p
        );
        assert!(!sampled.exact && sampled.floor == 1.0 / 20_001.0);
    }

    #[test]
    fn more_than_one_word_of_signs() {
        let values = vec![1.0; 100];
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let test = sign_flip_sampled(&values, 999, &mut rng).unwrap();
        assert_eq!(test.p, 0.001);
    }

    #[test]
    fn huge_values_do_not_overflow() {
        assert_eq!(sign_flip(&[f64::MAX; 6]).unwrap().p, 1.0 / 32.0);
    }
}
