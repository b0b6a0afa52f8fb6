//! The 2×2 of one seed over several depths: the average of each contrast, and its slope.

use crate::error::Error;
use crate::factorial::{Effects, TwoByTwo};
use crate::moments::{check_finite, check_positive};

/// The contrasts of one seed over several depths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverDepths {
    /// Each contrast averaged over the depths.
    pub average: Effects,
    /// Slope of each contrast per doubling of the depth, by least squares on log2(depth).
    pub slope: Effects,
}

/// Average and slope of each contrast over the depths at which one seed has its 2×2.
///
/// slope = Σ (x_d − x̄) e_d / Σ (x_d − x̄)², x = log2(depth). Both are one number per seed and
/// contrast, so that inference goes on as for any other contrast; for a band over the depths give
/// the contrast at each depth to [`max_t`](crate::max_t()) as a column.
///
/// # Errors
///
/// Fewer than 2 different depths, a depth that is not positive, or a metric that is not finite.
///
/// ```
/// use paired_stats::{TwoByTwo, over_depths};
///
/// // The skip gains one more with each doubling.
/// let at = |depth: f64| (depth, TwoByTwo { y00: 0.0, y01: 1.0, y10: depth.log2(), y11: 1.0 + depth.log2() });
/// let found = over_depths(&[at(4.0), at(16.0)])?;
/// assert_eq!((found.average.skip, found.average.noise), (3.0, 1.0));
/// assert_eq!((found.slope.skip, found.slope.noise), (1.0, 0.0));
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn over_depths(squares: &[(f64, TwoByTwo)]) -> Result<OverDepths, Error> {
    for (index, (depth, square)) in squares.iter().enumerate() {
        check_positive("depth", *depth)?;
        for value in [square.y00, square.y01, square.y10, square.y11] {
            check_finite("metric", value).map_err(|_| Error::NotFinite { index, value })?;
        }
    }
    let n = squares.len() as f64;
    let octaves = || squares.iter().map(|(depth, _)| depth.log2());
    let center = octaves().sum::<f64>() / n;
    let spread: f64 = octaves().map(|x| (x - center).powi(2)).sum();
    if squares.len() < 2 || spread == 0.0 {
        return Err(Error::OneDepth);
    }
    // All contrasts are linear in the four cells, so the cells are combined first.
    let combine = |weight: &dyn Fn(f64) -> f64| {
        let cell = |of: fn(&TwoByTwo) -> f64| {
            squares
                .iter()
                .zip(octaves())
                .map(|((_, square), x)| weight(x) * of(square))
                .sum()
        };
        let square = TwoByTwo {
            y00: cell(|s| s.y00),
            y01: cell(|s| s.y01),
            y10: cell(|s| s.y10),
            y11: cell(|s| s.y11),
        };
        square.effects()
    };
    Ok(OverDepths {
        average: combine(&|_| 1.0 / n),
        slope: combine(&|x| (x - center) / spread),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(y00: f64, y01: f64, y10: f64, y11: f64) -> TwoByTwo {
        TwoByTwo { y00, y01, y10, y11 }
    }

    #[test]
    fn slope_is_that_of_least_squares() {
        // Skip without noise is 1, 5, 3 at 2, 4, 8: slope 1, mean 3; with noise 0, 0, 6: 3 and 2.
        let found = over_depths(&[
            (2.0, square(0.0, 2.0, 1.0, 2.0)),
            (4.0, square(1.0, 0.0, 6.0, 0.0)),
            (8.0, square(2.0, 1.0, 5.0, 7.0)),
        ])
        .unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} vs {b}");
        close(found.slope.skip_without_noise, 1.0);
        close(found.slope.skip_with_noise, 3.0);
        close(found.slope.skip, 2.0);
        close(found.slope.interaction, 2.0);
        close(found.average.skip_without_noise, 3.0);
        close(found.average.skip_with_noise, 2.0);
        close(found.average.interaction, -1.0);
    }

    #[test]
    fn refusals() {
        let one = square(0.0, 0.0, 0.0, 0.0);
        assert_eq!(over_depths(&[]), Err(Error::OneDepth));
        assert_eq!(over_depths(&[(8.0, one), (8.0, one)]), Err(Error::OneDepth));
        assert!(matches!(
            over_depths(&[(8.0, one), (0.0, one)]),
            Err(Error::OutOfRange { name: "depth", .. })
        ));
        let bad = square(0.0, f64::NAN, 0.0, 0.0);
        assert!(matches!(
            over_depths(&[(8.0, one), (16.0, bad)]),
            Err(Error::NotFinite { index: 1, .. })
        ));
    }
}
