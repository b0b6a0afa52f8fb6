//! Showing that an effect is negligible.

use crate::distribution::t_cdf;
use crate::error::Error;
use crate::moments::{Moments, check_open_unit, check_positive};

/// The outcome of a test of equivalence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// The larger of the two one-sided p-values.
    pub p: f64,
    /// p of the null "mean <= −delta".
    pub p_low: f64,
    /// p of the null "mean >= delta".
    pub p_high: f64,
    /// Whether the effect is shown to lie inside (−delta, delta): p <= alpha.
    pub equivalent: bool,
}

/// Two one-sided t tests that the mean contrast lies inside (−delta, delta).
///
/// p = max(P(T > (m + delta)/se), P(T < (m − delta)/se)), T with n − 1 degrees of freedom. It is
/// at most alpha just where the 1 − 2·alpha interval of [`paired_t`](crate::paired_t) lies inside
/// (−delta, delta); a verdict asks for more, the 95 % interval, which is alpha = 0.025 here.
/// Without variance p is 0 inside and 1 outside.
///
/// Source: Schuirmann, *A comparison of the two one-sided tests procedure and the power approach*
/// (1987).
///
/// # Errors
///
/// A value that is not finite, fewer than 2 seeds, a delta that is not positive, or an alpha
/// outside (0, 1).
///
/// ```
/// let test = paired_stats::tost(&[0.01, -0.02, 0.0, 0.02, -0.01, 0.01, 0.0, -0.01], 0.1, 0.05)?;
/// assert!(test.equivalent);
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn tost(values: &[f64], delta: f64, alpha: f64) -> Result<Equivalence, Error> {
    check_positive("delta", delta)?;
    check_open_unit("alpha", alpha)?;
    let moments = Moments::of(values, "the equivalence test", 2)?;
    // Distances of the mean to the two bounds, positive inside.
    let tail = |distance: f64| match (moments.sd == 0.0, 0.0 < distance) {
        (true, true) => 0.0,
        (true, false) => 1.0,
        (false, _) => t_cdf(-distance / moments.standard_error(), moments.n - 1),
    };
    let (p_low, p_high) = (tail(delta + moments.mean), tail(delta - moments.mean));
    let p = p_low.max(p_high);
    Ok(Equivalence {
        p,
        p_low,
        p_high,
        equivalent: p <= alpha,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::paired_t;

    #[test]
    fn tost_known_value() {
        // m = 0, s = 1, n = 3: t = 2√3 with 2 degrees of freedom, whose tail is closed.
        let test = tost(&[-1.0, 0.0, 1.0], 2.0, 0.05).unwrap();
        let expected = 0.5 - 3.0_f64.sqrt() / 14.0_f64.sqrt();
        assert!(
            (test.p - expected).abs() < 1e-12,
            "{} vs {expected}",
            test.p
        );
        assert_eq!(test.p_low, test.p_high);
        assert!(test.equivalent);
    }

    #[test]
    fn tost_agrees_with_the_interval() {
        let values = [0.3, -0.1, 0.4, 0.2, 0.0, 0.1, 0.25, -0.05];
        let interval = paired_t(&values, 0.90).unwrap();
        for delta in [0.05, 0.1, 0.2, 0.24, 0.25, 0.26, 0.3, 0.5] {
            let inside = -delta < interval.low && interval.high < delta;
            assert_eq!(
                tost(&values, delta, 0.05).unwrap().equivalent,
                inside,
                "delta {delta}"
            );
        }
    }

    #[test]
    fn tost_without_variance() {
        assert_eq!(tost(&[0.5; 4], 1.0, 0.05).unwrap().p, 0.0);
        assert_eq!(tost(&[1.0; 4], 1.0, 0.05).unwrap().p, 1.0);
        assert_eq!(tost(&[-2.0; 4], 1.0, 0.05).unwrap().p_low, 1.0);
        assert!(matches!(
            tost(&[0.5; 4], 0.0, 0.05),
            Err(Error::OutOfRange { .. })
        ));
    }
}
