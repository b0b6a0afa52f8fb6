//! An interval and an e-value of a mean that hold however often one looks.

use crate::error::Error;
use crate::interval::{Interval, Method, around};
use crate::moments::{Moments, check_finite, check_open_unit, check_positive};

/// ln E of the t e-process against "the mean contrast is `mean`":
/// E = √r · ((1 + r t²/ν)/(1 + t²/ν))^(−n/2), r = weight/(weight + n), ν = n − 1, t of the n values.
///
/// E is the likelihood ratio of a normal mixture of standardised effects, of variance 1/`weight`,
/// against none. Under the null P(E >= 1/alpha at any n) <= alpha: watch after each seed, and
/// reject when it reaches 1/alpha. The price is power: at 30 seeds and an effect of half a standard
/// deviation it rejects in 34 % of studies where a plan of three looks rejects in 75 %. Weight 10
/// expects effects of about a third of a standard deviation. Values that all differ from `mean` by
/// the same amount give the limit t² → ∞.
///
/// Source: Lai, *On confidence sequences* (1976); Lindon, Ham, Tingley & Bojinov (2022); Wang &
/// Ramdas (2023).
///
/// # Errors
///
/// A value that is not finite, fewer than 2 seeds, a mean that is not finite, or a weight that is
/// not positive.
#[doc(alias = "e_process")]
pub fn log_e_value(values: &[f64], mean: f64, weight: f64) -> Result<f64, Error> {
    check_finite("mean", mean)?;
    check_positive("weight", weight)?;
    let moments = Moments::of(values, "the t e-process", 2)?;
    let (n, df) = (moments.n as f64, (moments.n - 1) as f64);
    let r = weight / (weight + n);
    let t = (moments.mean - mean) / moments.standard_error();
    let ratio = match (moments.mean == mean, t.is_finite()) {
        (true, _) => 0.0,
        (false, true) => (r * t * t / df).ln_1p() - (t * t / df).ln_1p(),
        (false, false) => r.ln(),
    };
    Ok(0.5 * (r.ln() - n * ratio))
}

/// The interval of all means whose E lies below 1/(1 − `confidence`), which holds at every number of
/// seeds together with that confidence: m ± s/√n · √(ν (1 − c)/(c − r)), c = (r alpha²)^(1/n).
///
/// # Errors
///
/// As [`log_e_value`]; a confidence outside (0, 1); or so few seeds (c <= r) that no mean is
/// excluded.
///
/// ```
/// let values = [1.2, 0.8, 1.1, 0.9, 1.3, 0.7, 1.0, 1.2, 0.9, 1.1, 1.0, 0.8];
/// let interval = paired_stats::anytime_t(&values, 0.95, 10.0)?;
/// assert!(0.0 < interval.low && interval.low < paired_stats::paired_t(&values, 0.95)?.low);
/// # Ok::<(), paired_stats::Error>(())
/// ```
#[doc(alias = "confidence_sequence")]
pub fn anytime_t(values: &[f64], confidence: f64, weight: f64) -> Result<Interval, Error> {
    check_open_unit("confidence", confidence)?;
    check_positive("weight", weight)?;
    let moments = Moments::of(values, "the anytime t interval", 2)?;
    let (n, df) = (moments.n as f64, (moments.n - 1) as f64);
    let r = weight / (weight + n);
    let c = (r * (1.0 - confidence).powi(2)).powf(1.0 / n);
    if c <= r {
        return Err(Error::Unbounded {
            method: Method::AnytimeT,
            confidence,
        });
    }
    let half_width = (df * (1.0 - c) / (c - r)).sqrt() * moments.standard_error();
    around(&moments, half_width, confidence, Method::AnytimeT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 12] = [0.4, 1.1, -0.2, 0.9, 0.7, 1.5, 0.1, 0.8, 0.3, 1.2, 0.6, 1.0];

    #[test]
    fn e_is_the_mixture_of_likelihood_ratios() {
        // E = ∫ p(t | d) N(d; 0, 1/weight) dd / p(t | 0); with the scale integrated out
        // (Haar measure), p(x | d) ∝ ∫ s^(−n−1) exp(−Σ (x/s − d)²/2) ds. Sums over a fine grid.
        let n = VALUES.len() as f64;
        let (sum, squares) = (
            VALUES.iter().sum::<f64>(),
            VALUES.iter().map(|v| v * v).sum::<f64>(),
        );
        let marginal = |d: f64| -> f64 {
            (1..4000)
                .map(|i| {
                    let precision = 0.002 * f64::from(i);
                    let exponent = -0.5
                        * (squares * precision * precision - 2.0 * d * sum * precision + n * d * d);
                    precision.powf(n - 1.0) * exponent.exp()
                })
                .sum()
        };
        for weight in [1.0, 10.0] {
            let mixed: f64 = (-300..=300)
                .map(|i| {
                    let d = 0.02 * f64::from(i);
                    0.02 * (weight / std::f64::consts::TAU).sqrt()
                        * (-0.5 * weight * d * d).exp()
                        * marginal(d)
                })
                .sum();
            let expected = (mixed / marginal(0.0)).ln();
            let found = log_e_value(&VALUES, 0.0, weight).unwrap();
            assert!((found - expected).abs() < 1e-6, "{found} vs {expected}");
        }
    }

    #[test]
    fn the_interval_ends_where_e_reaches_one_over_alpha() {
        for confidence in [0.8, 0.9, 0.95] {
            let interval = anytime_t(&VALUES, confidence, 10.0).unwrap();
            for end in [interval.low, interval.high] {
                let log_e = log_e_value(&VALUES, end, 10.0).unwrap();
                assert!((log_e + (1.0 - confidence).ln()).abs() < 1e-9, "{log_e}");
            }
        }
    }

    #[test]
    fn few_seeds_exclude_nothing() {
        assert!(matches!(
            anytime_t(&VALUES[..3], 0.95, 10.0),
            Err(Error::Unbounded {
                method: Method::AnytimeT,
                ..
            })
        ));
        // Even three values without variance are no evidence at 5 %.
        assert!(log_e_value(&[1.0; 3], 0.0, 10.0).unwrap() < 20.0_f64.ln());
        assert!(log_e_value(&[1.0; 4], 1.0, 10.0).unwrap() < 0.0);
    }
}
