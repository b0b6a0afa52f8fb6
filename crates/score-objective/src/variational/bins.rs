//! Decoders for data with discrete levels: the last term of the bound.

use super::Normal;
use crate::Error;

/// Equally spaced values, the discrete levels of the data.
///
/// ```
/// use score_objective::variational::{Bins, Normal, NormalCdf};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let bins = Bins::eight_bit();
/// let decoder = Normal::new(0.1, 0.01)?;
/// let total: f64 = (0..256).map(|i| bins.log_likelihood(i, decoder, NormalCdf::Exact).exp()).sum();
/// assert!((total - 1.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bins {
    low: f64,
    high: f64,
    count: usize,
}

/// How the distribution function of a discretized Gaussian is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormalCdf {
    /// To the last digits, in the logarithm.
    Exact,
    /// ½ (1 + tanh(√(2/π) (z + 0.044715 z³))), with probabilities cut off at 1e-12: Ho et al. 2020's code and its heirs.
    ///
    /// Off by up to 1.8e-4 in the distribution function; no bin costs more than 27.6 nats.
    Tanh,
}

impl Bins {
    /// `count` values from `low` to `high`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] unless both are finite, [`Error::NotPositive`] unless low < high, [`Error::Count`] unless
    /// there are two values or more.
    pub fn new(low: f64, high: f64, count: usize) -> Result<Bins, Error> {
        if count < 2 {
            return Err(Error::Count {
                name: "count",
                least: 2,
                most: usize::MAX,
                given: count,
            });
        }
        Error::finite("low", low)?;
        Error::finite("high", high)?;
        Error::positive("high - low", high - low)?;
        Ok(Bins { low, high, count })
    }

    /// 256 values from −1 to 1, value i at i/127.5 − 1.
    pub fn eight_bit() -> Bins {
        Bins {
            low: -1.0,
            high: 1.0,
            count: 256,
        }
    }

    /// How many values there are, at least two.
    pub fn count(self) -> usize {
        self.count
    }

    /// Value `index`, 0 the lowest.
    ///
    /// # Panics
    /// Unless `index` is below the count.
    pub fn value(self, index: usize) -> f64 {
        assert!(
            index < self.count,
            "bins: {index} is not one of {} values",
            self.count
        );
        self.low + (self.high - self.low) * index as f64 / (self.count - 1) as f64
    }

    /// ln P(value `index`) of a normal distribution rounded to the nearest value, in nats: the bin reaches half a spacing to
    /// either side, and the outermost bins to infinity (Ho et al. 2020, equation 13).
    ///
    /// # Panics
    /// Unless `index` is below the count.
    #[doc(alias = "discretized_gaussian_log_likelihood")]
    pub fn log_likelihood(self, index: usize, decoder: Normal, cdf: NormalCdf) -> f64 {
        let value = self.value(index);
        let half = 0.5 * (self.high - self.low) / (self.count - 1) as f64;
        let low = if index == 0 {
            f64::NEG_INFINITY
        } else {
            value - half
        };
        let high = if index + 1 == self.count {
            f64::INFINITY
        } else {
            value + half
        };
        match cdf {
            NormalCdf::Exact => decoder.log_probability(low, high),
            NormalCdf::Tanh => {
                let std = decoder.variance().sqrt();
                let below = |x: f64| tanh_cdf((x - decoder.mean()) / std);
                (below(high) - below(low)).max(1e-12).ln()
            }
        }
    }

    /// ln P(value `index`) under P(i) ∝ exp(−½ snr (value_i − estimate)²), in nats: the decoder of Kingma et al. 2021.
    ///
    /// `estimate` is x/α and `snr` that of the cleanest level; it is the posterior under a uniform prior over the values.
    ///
    /// # Panics
    /// Unless `index` is below the count, `estimate` is finite, and `snr` finite and not negative.
    pub fn categorical_log_likelihood(self, index: usize, estimate: f64, snr: f64) -> f64 {
        assert!(
            estimate.is_finite() && snr.is_finite() && 0.0 <= snr,
            "bins: the estimate must be finite and the snr finite and not negative, not {estimate} and {snr}"
        );
        let energy = |i: usize| -0.5 * snr * (self.value(i) - estimate).powi(2);
        let largest = (0..self.count)
            .map(energy)
            .fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = (0..self.count).map(|i| (energy(i) - largest).exp()).sum();
        energy(index) - largest - total.ln()
    }
}

fn tanh_cdf(z: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * (z + 0.044715 * z.powi(3))).tanh())
}
