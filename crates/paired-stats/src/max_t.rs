//! Single-step max-T: one test for a family of correlated contrasts.

use std::fmt;

use rand::RngCore;

use crate::error::Error;
use crate::interval::{Interval, Method, around};
use crate::moments::{Moments, check_open_unit, check_seeds};
use crate::sign_flip::{Signs, TIE, check_exact, scale, sign_flip_floor};

/// The most seeds for which all flips are listed (2^19 of them, half by symmetry).
const EXACT_LIMIT: usize = 20;

/// The outcome of a max-T test over a family of contrasts.
#[derive(Clone, PartialEq)]
pub struct MaxT {
    /// Adjusted two-sided p of each column, in \[`floor`, 1\].
    pub adjusted_p: Vec<f64>,
    /// The smallest p that could have come out.
    pub floor: f64,
    /// Number of seeds.
    pub n: usize,
    /// Whether all flips were listed.
    pub exact: bool,
    moments: Vec<Moments>,
    /// Largest [`cosine`] over the centred columns, one per flip, ascending.
    centred: Vec<f64>,
}

/// The single-step max-T test of a family of contrasts, with the same sign flips in all columns.
///
/// Adjusted p_j = #{flips with max_k |t_k(flip)| >= |t_j|} / 2^n. Flipping whole seeds keeps the
/// correlation between the columns, which makes it stronger than Bonferroni; the family-wise error
/// is exact when all contrasts of a seed are jointly symmetric about 0. `columns[j][s]` is
/// contrast j of seed s.
///
/// Source: Westfall & Young, *Resampling-Based Multiple Testing* (1993).
///
/// # Shapes
///
/// `columns`: one vector per contrast, each with the same n seeds, 2 <= n <= 20.
///
/// # Errors
///
/// No column, columns of different lengths, a value that is not finite, fewer than 2 seeds, or
/// more than 20 (use [`max_t_sampled`]).
///
/// ```
/// let strong = vec![1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.0, 1.1];
/// let nothing = vec![0.3, -0.2, 0.1, -0.4, 0.2, 0.0, -0.1, 0.1];
/// let family = paired_stats::max_t(&[strong, nothing])?;
/// assert!(family.adjusted_p[0] < 0.05 && 0.5 < family.adjusted_p[1]);
/// # Ok::<(), paired_stats::Error>(())
/// ```
#[doc(alias = "westfall_young")]
pub fn max_t(columns: &[Vec<f64>]) -> Result<MaxT, Error> {
    let (n, moments) = check_columns(columns)?;
    check_exact("max-T test", EXACT_LIMIT, n)?;
    let largest = |columns: &[Vec<f64>]| {
        let mut largest = vec![0.0_f64; 1 << (n - 1)];
        for column in columns {
            let norm = norm(column);
            for (slot, sum) in largest.iter_mut().zip(signed_sums(column)) {
                *slot = slot.max(cosine(sum, norm));
            }
        }
        largest.sort_unstable_by(f64::total_cmp);
        largest
    };
    let scaled: Vec<Vec<f64>> = columns.iter().map(|c| scale(c)).collect();
    let null = largest(&scaled);
    let p = |c: &Vec<f64>| hits(&null, cosine(c.iter().sum(), norm(c))) as f64 / null.len() as f64;
    Ok(MaxT {
        adjusted_p: scaled.iter().map(p).collect(),
        floor: sign_flip_floor(n),
        n,
        exact: true,
        centred: largest(&residuals(columns, &moments)),
        moments,
    })
}

/// [`max_t`] with `flips` random sign patterns, p = (1 + hits)/(1 + flips); for more than 20 seeds.
///
/// # Shapes
///
/// `columns`: one vector per contrast, each with the same n >= 2 seeds.
///
/// # Errors
///
/// As [`max_t`], without the limit of 20 seeds; and no flip.
pub fn max_t_sampled(
    columns: &[Vec<f64>],
    flips: usize,
    rng: &mut dyn RngCore,
) -> Result<MaxT, Error> {
    let (n, moments) = check_columns(columns)?;
    if flips == 0 {
        return Err(Error::TooFewDraws {
            method: "the sampled max-T test",
            needed: 1,
            found: 0,
        });
    }
    let mut signs = Signs::new(n);
    let scaled: Vec<Vec<f64>> = columns.iter().map(|c| scale(c)).collect();
    let centred = residuals(columns, &moments);
    let (mut null, mut centred_null): (Vec<f64>, Vec<f64>) = (0..flips)
        .map(|_| {
            signs.draw(rng);
            let largest = |columns: &[Vec<f64>]| {
                columns
                    .iter()
                    .map(|c| cosine(signs.sum(c), norm(c)))
                    .fold(0.0, f64::max)
            };
            (largest(&scaled), largest(&centred))
        })
        .unzip();
    null.sort_unstable_by(f64::total_cmp);
    centred_null.sort_unstable_by(f64::total_cmp);
    let floor = 1.0 / (1.0 + flips as f64);
    let p = |c: &Vec<f64>| (1.0 + hits(&null, cosine(c.iter().sum(), norm(c))) as f64) * floor;
    Ok(MaxT {
        adjusted_p: scaled.iter().map(p).collect(),
        floor,
        n,
        exact: false,
        moments,
        centred: centred_null,
    })
}

impl MaxT {
    /// The critical value c of the simultaneous intervals m_j ± c · s_j/√n: at most a share
    /// `alpha` of the flips of the **centred** columns has max_k |t_k| above it.
    ///
    /// Centring makes c independent of the effects. Flips of the columns themselves, which give
    /// the adjusted p, would be wrong here: at 10 seeds and an effect of 10 standard deviations
    /// their intervals cover 90 % instead of 95 %, and those of centred columns 95 % throughout.
    /// The price is that an interval and its adjusted p may disagree about 0 at the margin; a
    /// verdict asks for both.
    ///
    /// # Errors
    ///
    /// An alpha outside (0, 1) or below the floor, or a critical value that is infinite because
    /// too many flips leave some column without variance.
    pub fn critical_value(&self, alpha: f64) -> Result<f64, Error> {
        check_open_unit("alpha", alpha)?;
        // The nudge forgives the rounding of alpha = 1 − confidence.
        let alpha = alpha * (1.0 + TIE);
        if alpha < self.floor {
            return Err(Error::LevelBelowFloor {
                alpha,
                floor: self.floor,
                n: self.n,
            });
        }
        let above = (alpha * self.centred.len() as f64).floor() as usize;
        let index = self.centred.len().saturating_sub(above + 1);
        let cosine = self.centred[index];
        let sine_squared = (1.0 - cosine) * (1.0 + cosine);
        if sine_squared < TIE {
            return Err(Error::Unbounded {
                method: Method::MaxT,
                confidence: 1.0 - alpha,
            });
        }
        Ok(((self.n - 1) as f64 / sine_squared).sqrt() * cosine)
    }

    /// Simultaneous intervals, m_j ± c · s_j/√n with c the critical value at 1 − `confidence`:
    /// all of them hold together with that confidence.
    ///
    /// # Errors
    ///
    /// As [`critical_value`](Self::critical_value), for alpha = 1 − confidence.
    pub fn intervals(&self, confidence: f64) -> Result<Vec<Interval>, Error> {
        check_open_unit("confidence", confidence)?;
        let critical = self.critical_value(1.0 - confidence)?;
        self.moments
            .iter()
            .map(|m| around(m, critical * m.standard_error(), confidence, Method::MaxT))
            .collect()
    }
}

impl fmt::Debug for MaxT {
    /// Leaves out the distribution of flips, which may hold half a million numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxT")
            .field("adjusted_p", &self.adjusted_p)
            .field("floor", &self.floor)
            .field("n", &self.n)
            .field("exact", &self.exact)
            .finish_non_exhaustive()
    }
}

fn check_columns(columns: &[Vec<f64>]) -> Result<(usize, Vec<Moments>), Error> {
    let expected = columns.first().ok_or(Error::NoColumns)?.len();
    let mut moments = Vec::with_capacity(columns.len());
    for (column, values) in columns.iter().enumerate() {
        check_seeds(values, "the max-T test", 2)?;
        if values.len() != expected {
            return Err(Error::ColumnLength {
                column,
                expected,
                found: values.len(),
            });
        }
        moments.push(Moments::of(values, "the max-T test", 2)?);
    }
    Ok((expected, moments))
}

/// Each column less its mean, to scale.
fn residuals(columns: &[Vec<f64>], moments: &[Moments]) -> Vec<Vec<f64>> {
    columns
        .iter()
        .zip(moments)
        .map(|(c, m)| scale(&c.iter().map(|v| v - m.mean).collect::<Vec<f64>>()))
        .collect()
}

/// Σ ±v_i for the 2^(n−1) patterns that leave the first sign alone; the others mirror them.
///
/// Entry 0 is the plain sum. Each entry takes n − 1 additions, so rounding does not build up
/// along the list as it would along a Gray code, and every column lists its flips in one order.
fn signed_sums(values: &[f64]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(1 << (values.len() - 1));
    sums.push(values[0]);
    for v in &values[1..] {
        for i in 0..sums.len() {
            sums.push(sums[i] - v);
            sums[i] += v;
        }
    }
    sums
}

/// √(n Σ v²), the largest attainable |Σ ±v|.
fn norm(values: &[f64]) -> f64 {
    (values.len() as f64 * values.iter().map(|v| v * v).sum::<f64>()).sqrt()
}

/// |Σ ±v| / √(n Σ v²), in \[0, 1\]: the cosine between the flipped column and the constant one.
///
/// A flip leaves Σ v² alone, so |t| = √(n − 1) · cos/√(1 − cos²) rises with it, and the cosine
/// stays finite where every flipped value is equal and t is not.
fn cosine(sum: f64, norm: f64) -> f64 {
    if norm == 0.0 {
        0.0
    } else {
        (sum.abs() / norm).min(1.0)
    }
}

/// How many entries of the ascending `null` reach `observed`, ties included.
fn hits(null: &[f64], observed: f64) -> usize {
    null.len() - null.partition_point(|c| *c < observed - TIE)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::interval::paired_t;
    use crate::sign_flip::sign_flip;

    fn family() -> Vec<Vec<f64>> {
        vec![
            vec![0.9, 0.7, 1.2, -0.1, 0.8, 0.5, 0.6],
            vec![9.0, -2.0, 7.0, 3.0, -1.0, 4.0, 2.0],
            vec![0.1, -0.2, 0.05, 0.1, -0.1, 0.02, -0.03],
        ]
    }

    fn t(values: &[f64]) -> f64 {
        let interval = paired_t(values, 0.95).unwrap();
        (interval.estimate / interval.standard_error).abs()
    }

    fn flip(column: &[f64], mask: u32) -> Vec<f64> {
        let sign = |i: usize| if mask >> i & 1 == 1 { -1.0 } else { 1.0 };
        column
            .iter()
            .enumerate()
            .map(|(i, v)| sign(i) * v)
            .collect()
    }

    /// All 2^n flips, with t computed from scratch for each.
    fn brute_force(columns: &[Vec<f64>]) -> Vec<f64> {
        let n = columns[0].len();
        let null: Vec<f64> = (0..1_u32 << n)
            .map(|mask| {
                columns
                    .iter()
                    .map(|c| t(&flip(c, mask)))
                    .fold(0.0, f64::max)
            })
            .collect();
        columns
            .iter()
            .map(|c| {
                let observed = t(c) * (1.0 - 1e-9);
                null.iter().filter(|m| observed <= **m).count() as f64 / null.len() as f64
            })
            .collect()
    }

    #[test]
    fn agrees_with_brute_force() {
        let columns = family();
        assert_eq!(max_t(&columns).unwrap().adjusted_p, brute_force(&columns));
    }

    #[test]
    fn one_column_is_the_sign_flip_test_and_copies_cost_nothing() {
        for column in family() {
            let single = sign_flip(&column).unwrap().p;
            assert_eq!(
                max_t(std::slice::from_ref(&column)).unwrap().adjusted_p,
                [single]
            );
            assert_eq!(
                max_t(&[column.clone(), column]).unwrap().adjusted_p,
                [single, single]
            );
        }
    }

    #[test]
    fn critical_value_is_the_quantile_of_centred_flips() {
        let columns = family();
        let centred: Vec<Vec<f64>> = columns
            .iter()
            .map(|c| {
                let mean = c.iter().sum::<f64>() / c.len() as f64;
                c.iter().map(|v| v - mean).collect()
            })
            .collect();
        let mut null: Vec<f64> = (0..1_u32 << 7)
            .map(|mask| {
                centred
                    .iter()
                    .map(|c| t(&flip(c, mask)))
                    .fold(0.0, f64::max)
            })
            .collect();
        null.sort_unstable_by(f64::total_cmp);
        let shifted: Vec<Vec<f64>> = columns
            .iter()
            .map(|c| c.iter().map(|v| v + 50.0).collect())
            .collect();
        for (alpha, above) in [(2.0 / 128.0, 2), (0.05, 6), (0.25, 32), (0.5, 64)] {
            let expected = null[127 - above];
            for columns in [&columns, &shifted] {
                let found = max_t(columns).unwrap().critical_value(alpha).unwrap();
                assert!(
                    (found - expected).abs() < 1e-9,
                    "alpha {alpha}: {found} vs {expected}"
                );
            }
        }
    }

    #[test]
    fn intervals_are_wider_than_those_of_single_contrasts() {
        let columns = family();
        let together = max_t(&columns).unwrap().intervals(0.95).unwrap();
        for (interval, column) in together.iter().zip(&columns) {
            let single = paired_t(column, 0.95).unwrap();
            assert_eq!(
                (interval.estimate, interval.method),
                (single.estimate, Method::MaxT)
            );
            assert!(interval.low < single.low && single.high < interval.high);
        }
    }

    #[test]
    fn constant_and_zero_columns() {
        let result = max_t(&[vec![2.0; 6], vec![0.0; 6]]).unwrap();
        assert_eq!(result.adjusted_p, [1.0 / 32.0, 1.0]);
        let intervals = result.intervals(0.95).unwrap();
        assert_eq!((intervals[0].low, intervals[0].high), (2.0, 2.0));
        assert!(matches!(
            result.critical_value(0.03),
            Err(Error::LevelBelowFloor { n: 6, .. })
        ));
    }

    #[test]
    fn sampled_flips_approach_the_exact_p() {
        let columns = family();
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let exact = max_t(&columns).unwrap();
        let sampled = max_t_sampled(&columns, 20_000, &mut rng).unwrap();
        for (a, b) in exact.adjusted_p.iter().zip(&sampled.adjusted_p) {
            assert!((a - b).abs() < 0.012, "{a} vs {b}");
        }
        let difference = exact.critical_value(0.2).unwrap() - sampled.critical_value(0.2).unwrap();
        assert!(difference.abs() < 0.15, "{difference}");
    }

    #[test]
    fn refusals() {
        assert_eq!(max_t(&[]), Err(Error::NoColumns));
        assert_eq!(
            max_t(&[vec![1.0, 2.0], vec![1.0, 2.0, 3.0]]),
            Err(Error::ColumnLength {
                column: 1,
                expected: 2,
                found: 3
            })
        );
        assert!(matches!(
            max_t(&[vec![1.0; 21]]),
            Err(Error::TooManySeeds { .. })
        ));
    }
}
