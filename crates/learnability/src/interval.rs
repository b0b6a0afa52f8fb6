//! Intervals of single measurements: Student's t, for means and for jackknifed ratios.
//!
//! They say how far a measurement on *one* network is from what more data would show. What seeds differ by is another
//! question, and belongs to a crate of statistics.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{Error, check_at_least, check_finite};

/// A two-sided confidence in (0, 1), such as 0.95.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Confidence(f64);

impl Confidence {
    /// Takes a confidence.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `0 < confidence < 1`.
    ///
    /// ```
    /// use learnability::interval::Confidence;
    /// let message = Confidence::new(95.0).unwrap_err().to_string();
    /// assert_eq!(message, "confidence must lie in (0, 1), but is 95; choose a value inside");
    /// ```
    pub fn new(confidence: f64) -> Result<Self, Error> {
        if 0.0 < confidence && confidence < 1.0 {
            Ok(Self(confidence))
        } else {
            Err(Error::OutOfRange {
                name: "confidence",
                range: "(0, 1)",
                value: confidence,
            })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The two-sided critical value of Student's t, `t_{df, (1 + confidence)/2}`.
    fn critical(self, df: usize) -> f64 {
        StudentsT::new(0.0, 1.0, df as f64)
            .expect("at least one degree of freedom")
            .inverse_cdf(0.5 + self.0 / 2.0)
    }
}

/// An estimate with the bounds of a two-sided confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Lower bound; may be −∞.
    pub low: f64,
    /// Upper bound; may be ∞.
    pub high: f64,
    /// Nominal confidence.
    pub confidence: Confidence,
}

impl Interval {
    /// Whether `value` lies between the bounds, bounds included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The t interval of a mean, `m ± t_{n−1} · s/√n`.
    ///
    /// *Range*: finite bounds. *Invariances*: shift and scale of all values, order.
    /// *Failure mode*: with few skewed values it covers less than it says; equal values give a point.
    /// *Source*: Student 1908.
    ///
    /// # Errors
    /// Fewer than 2 values, or one that is not finite.
    ///
    /// ```
    /// use learnability::interval::{Confidence, Interval};
    /// let interval = Interval::of_mean(&[1.0, 2.0, 3.0], Confidence::new(0.95)?)?;
    /// assert!((interval.high - (2.0 + 4.302653 / 3f64.sqrt())).abs() < 1e-6); // t with 2 degrees of freedom
    /// # Ok::<(), learnability::Error>(())
    /// ```
    pub fn of_mean(values: &[f64], confidence: Confidence) -> Result<Self, Error> {
        check_at_least("values of a mean", 2, values.len())?;
        check_finite("values of a mean", values)?;
        Ok(Self::around(Estimate::of_mean(values), confidence))
    }

    /// The jackknife interval `θ̂ ± t_{n−1} · √((n−1)/n Σ (θ̂₍ᵢ₎ − mean θ̂₍·₎)²)`, from the estimates that leave out one.
    ///
    /// *Source*: Tukey 1958; its variance is biased upwards (Efron & Stein 1981).
    pub(crate) fn jackknife(estimate: f64, without: &[f64], confidence: Confidence) -> Self {
        let n = without.len() as f64;
        // Of n values whose spread is 1/(n − 1) of that of the pseudo-values.
        let spread = Estimate::of_mean(without);
        let estimate = Estimate {
            value: estimate,
            standard_error: (n - 1.0) * spread.standard_error,
            n: without.len(),
        };
        Self::around(estimate, confidence)
    }

    fn around(estimate: Estimate, confidence: Confidence) -> Self {
        let half = confidence.critical(estimate.n - 1) * estimate.standard_error;
        Self {
            estimate: estimate.value,
            low: estimate.value - half,
            high: estimate.value + half,
            confidence,
        }
    }
}

/// A mean of independent draws with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// `s/√n`.
    pub standard_error: f64,
    /// Number of draws; at least 2.
    pub n: usize,
}

impl Estimate {
    /// The t interval, `value ± t_{n−1} · standard_error`.
    pub fn interval(&self, confidence: Confidence) -> Interval {
        Interval::around(*self, confidence)
    }

    /// Of at least two values.
    pub(crate) fn of_mean(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
        Self {
            value,
            standard_error: (squares / (n * (n - 1.0))).sqrt(),
            n: values.len(),
        }
    }
}
