//! How often runs diverge: an exact interval for one arm, an exact test for two paired arms.

use statrs::function::beta::beta_reg;

use crate::distribution::beta_quantile;
use crate::error::Error;
use crate::moments::check_open_unit;

/// The exact interval of a failure rate: the Clopper-Pearson bounds
/// \[Beta(a/2; f, n − f + 1), Beta(1 − a/2; f + 1, n − f)\], a = 1 − confidence.
///
/// Covers at least its confidence at every n; conservative when n is small.
///
/// Source: Clopper & Pearson, Biometrika 26 (1934).
///
/// # Errors
///
/// No trial, more failures than trials, or a confidence outside (0, 1).
pub fn clopper_pearson(failures: u64, n: u64, confidence: f64) -> Result<(f64, f64), Error> {
    check_open_unit("confidence", confidence)?;
    if n == 0 || n < failures {
        return Err(Error::Counts {
            failures,
            trials: n,
        });
    }
    let tail = 0.5 * (1.0 - confidence);
    let (f, s) = (failures as f64, (n - failures) as f64);
    // At the ends the beta quantile has a closed form, and one bound is exact.
    let low = match failures {
        0 => 0.0,
        _ if failures == n => tail.powf(1.0 / f),
        _ => beta_quantile(f, s + 1.0, tail),
    };
    let high = match n - failures {
        0 => 1.0,
        _ if failures == 0 => -(tail.ln() / s).exp_m1(),
        _ => 1.0 - beta_quantile(s, f + 1.0, tail),
    };
    Ok((low, high))
}

/// McNemar's exact two-sided p that two paired arms diverge equally often.
///
/// `b` seeds diverge in the first arm only, `c` in the second only; under the null b is
/// Binomial(b + c, ½), and p = min(1, 2 P(X <= min(b, c))). Without discordant seeds p is 1.
///
/// Source: McNemar, Psychometrika 12 (1947), with the exact binomial tail.
///
/// ```
/// assert_eq!(paired_stats::mcnemar_exact(0, 6), 2.0 / 64.0);
/// ```
pub fn mcnemar_exact(b: u64, c: u64) -> f64 {
    if b == c {
        return 1.0;
    }
    let (less, more) = (b.min(c) as f64, b.max(c) as f64);
    // P(X <= k) = I_½(n − k, k + 1), n − k being the larger count.
    let tail = if less == 0.0 {
        0.5_f64.powf(more)
    } else {
        beta_reg(more, less + 1.0, 0.5)
    };
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clopper_pearson_known_values() {
        for (failures, n, low, high) in [
            (0, 10, 0.0, 0.308_497_1),
            (1, 10, 0.002_528_6, 0.445_016_1),
            (5, 10, 0.187_086_0, 0.812_914_0),
            (10, 10, 0.691_502_9, 1.0),
        ] {
            let found = clopper_pearson(failures, n, 0.95).unwrap();
            assert!((found.0 - low).abs() < 1e-6, "{failures}/{n}: {found:?}");
            assert!((found.1 - high).abs() < 1e-6, "{failures}/{n}: {found:?}");
        }
        assert!(clopper_pearson(3, 2, 0.95).is_err() && clopper_pearson(0, 0, 0.95).is_err());
    }

    #[test]
    fn mcnemar_against_the_binomial_sum() {
        for (b, c) in [
            (0_u64, 1_u64),
            (1, 9),
            (2, 8),
            (3, 4),
            (5, 5),
            (7, 20),
            (0, 0),
        ] {
            let n = b + c;
            let mut term = 0.5_f64.powi(n as i32);
            let mut sum = 0.0;
            for k in 0..=b.min(c) {
                sum += term;
                term *= (n - k) as f64 / (k + 1) as f64;
            }
            let expected = (2.0 * sum).min(1.0);
            let found = mcnemar_exact(b, c);
            assert!(
                (found - expected).abs() < 1e-10,
                "{b}, {c}: {found} vs {expected}"
            );
            assert_eq!(found, mcnemar_exact(c, b));
        }
    }
}
