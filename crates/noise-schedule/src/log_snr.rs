//! The variance-preserving schedule whose log-SNR is linear in time.

use crate::schedule::{check_time, clamp_time};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The variance-preserving schedule with log-SNR λ(t) = log_snr_max − t (log_snr_max − log_snr_min):
/// alpha² = sigmoid(λ), sigma² = sigmoid(−λ).
///
/// Kingma et al. 2021, variational diffusion models (<https://arxiv.org/abs/2107.00630>), where γ = −λ.
#[doc(alias = "vdm")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSnrLinear {
    log_snr_max: f64,
    log_snr_min: f64,
}

impl LogSnrLinear {
    /// The schedule from `log_snr_max` at t = 0 to `log_snr_min` at t = 1.
    ///
    /// # Errors
    /// [`Error::LogSnrRange`] unless log_snr_min < log_snr_max and both lie within ±1000
    /// (beyond that a scale vanishes in f64).
    pub fn new(log_snr_max: f64, log_snr_min: f64) -> Result<LogSnrLinear, Error> {
        let representable = |log_snr: f64| log_snr.abs() <= 1000.0;
        if log_snr_min < log_snr_max && representable(log_snr_min) && representable(log_snr_max) {
            Ok(LogSnrLinear {
                log_snr_max,
                log_snr_min,
            })
        } else {
            Err(Error::LogSnrRange {
                log_snr_max,
                log_snr_min,
            })
        }
    }

    /// Log-SNR from 13.3 to −5, the values at which Kingma et al. 2021 initialise their learned schedule.
    pub fn kingma2021() -> LogSnrLinear {
        LogSnrLinear {
            log_snr_max: 13.3,
            log_snr_min: -5.0,
        }
    }

    /// −d(log-SNR)/dt, positive.
    fn fall(&self) -> f64 {
        self.log_snr_max - self.log_snr_min
    }
}

impl NoiseSchedule for LogSnrLinear {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::variance_preserving(self.log_snr_max - t * self.fall())
    }

    fn rates(&self, t: f64) -> Rates {
        let kernel = self.kernel(t);
        let (alpha, sigma) = (kernel.alpha(), kernel.sigma());
        // d(alpha)/dλ = alpha sigma²/2 and d(sigma)/dλ = -sigma alpha²/2.
        Rates {
            alpha: -0.5 * alpha * sigma * sigma * self.fall(),
            sigma: 0.5 * sigma * alpha * alpha * self.fall(),
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        clamp_time((self.log_snr_max - log_snr) / self.fall())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_snr_is_linear() {
        let schedule = LogSnrLinear::kingma2021();
        for (t, log_snr) in [(0.0, 13.3), (0.5, 4.15), (1.0, -5.0)] {
            assert!((schedule.kernel(t).log_snr() - log_snr).abs() < 1e-12);
        }
    }

    #[test]
    fn parameters_are_checked() {
        assert!(LogSnrLinear::new(-5.0, 13.3).is_err());
        assert!(LogSnrLinear::new(f64::INFINITY, 0.0).is_err());
        assert!(LogSnrLinear::new(f64::NAN, 0.0).is_err());
    }
}
