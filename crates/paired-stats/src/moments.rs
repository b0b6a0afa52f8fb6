//! Checked input, mean and standard deviation: what every method starts from.

use crate::error::Error;

/// Mean and sample standard deviation (divisor n − 1) of n >= 2 finite values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) n: usize,
    pub(crate) mean: f64,
    pub(crate) sd: f64,
}

impl Moments {
    /// Checks the values and takes their moments.
    pub(crate) fn of(values: &[f64], method: &'static str, needed: usize) -> Result<Self, Error> {
        check_seeds(values, method, needed)?;
        let scale = binary_scale(values);
        let scaled: Vec<f64> = values.iter().map(|v| v / scale).collect();
        let (mean, sd) = mean_and_sd(&scaled);
        let (mean, sd) = (mean * scale, sd * scale);
        if !(mean.is_finite() && sd.is_finite()) {
            return Err(Error::Overflow {
                name: "standard deviation",
            });
        }
        Ok(Self {
            n: values.len(),
            mean,
            sd,
        })
    }

    /// Standard error of the mean, sd / √n.
    pub(crate) fn standard_error(&self) -> f64 {
        self.sd / (self.n as f64).sqrt()
    }
}

/// Mean and sample standard deviation of at least two values of moderate size.
///
/// Equal values give exactly (value, 0): the rounding of their sum must not pass for a variance.
pub(crate) fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|v| *v == first) {
        return (first, 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// The power of two just below the largest magnitude; 1 when all values are zero.
///
/// Dividing by it is exact and keeps sums of squares inside the range of `f64`; the logarithm of
/// the largest `f64` rounds up to 1024, hence the bound.
pub(crate) fn binary_scale(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest < f64::MIN_POSITIVE {
        1.0
    } else {
        largest.log2().floor().min(1023.0).exp2()
    }
}

/// Every value is finite, and there are enough of them.
pub(crate) fn check_seeds(
    values: &[f64],
    method: &'static str,
    needed: usize,
) -> Result<(), Error> {
    if let Some((index, value)) = values
        .iter()
        .copied()
        .enumerate()
        .find(|(_, v)| !v.is_finite())
    {
        return Err(Error::NotFinite { index, value });
    }
    if values.len() < needed {
        return Err(Error::TooFewSeeds {
            method,
            needed,
            found: values.len(),
        });
    }
    Ok(())
}

/// `value` lies strictly between 0 and 1 (NaN does not).
pub(crate) fn check_open_unit(name: &'static str, value: f64) -> Result<(), Error> {
    if 0.0 < value && value < 1.0 {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            name,
            range: "(0, 1)",
            value,
        })
    }
}

/// `value` is finite.
pub(crate) fn check_finite(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            name,
            range: "(-inf, inf)",
            value,
        })
    }
}

/// `value` is finite and not negative.
pub(crate) fn check_not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    if (0.0..f64::INFINITY).contains(&value) {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            name,
            range: "[0, inf)",
            value,
        })
    }
}

/// `value` is finite and positive.
pub(crate) fn check_positive(name: &'static str, value: f64) -> Result<(), Error> {
    if 0.0 < value && value < f64::INFINITY {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            name,
            range: "(0, inf)",
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_no_variance_at_all() {
        let moments = Moments::of(&[0.1; 10], "test", 2).unwrap();
        assert_eq!((moments.mean, moments.sd), (0.1, 0.0));
    }

    #[test]
    fn huge_values_do_not_overflow_their_squares() {
        let moments = Moments::of(&[1e300, 3e300], "test", 2).unwrap();
        assert!((moments.mean / 2e300 - 1.0).abs() < 1e-15);
        assert!((moments.sd / (2.0_f64.sqrt() * 1e300) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn tiny_values_keep_their_variance() {
        let moments = Moments::of(&[1e-300, 3e-300], "test", 2).unwrap();
        assert!((moments.sd / (2.0_f64.sqrt() * 1e-300) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_bad_value_is_named() {
        let error = Moments::of(&[1.0, f64::INFINITY], "test", 2).unwrap_err();
        assert_eq!(
            error,
            Error::NotFinite {
                index: 1,
                value: f64::INFINITY
            }
        );
        assert!(
            error
                .to_string()
                .starts_with("value 1 must be finite, but is inf")
        );
    }
}
