//! Variance-preserving schedules given by their log-SNR.

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
        check_log_snrs(log_snr_max, log_snr_min)?;
        Ok(LogSnrLinear {
            log_snr_max,
            log_snr_min,
        })
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
        log_snr_rates(self.kernel(t), -self.fall())
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        clamp_time((self.log_snr_max - log_snr) / self.fall())
    }
}

/// The variance-preserving schedule of a log-SNR that the caller gives: t ↦ (λ, dλ/dt).
///
/// The caller answers for the laws: λ falls strictly on [0, 1], and the second number is its derivative.
/// The inverse is found by bisection.
///
/// ```
/// use noise_schedule::{FromLogSnr, NoiseSchedule};
/// // alpha_bar = exp(−1e-4 − 10 t²), the `beta_linear` of some continuous-time code.
/// let schedule = FromLogSnr(|t: f64| {
///     let exponent = 1e-4 + 10.0 * t * t;
///     (-exponent.exp_m1().ln(), 20.0 * t / (-exponent).exp_m1())
/// });
/// assert!((schedule.kernel(0.5).alpha().powi(2) - (-2.5001_f64).exp()).abs() < 1e-15);
/// let g2 = schedule.rates(0.5).squared_diffusion(schedule.kernel(0.5));
/// assert!((g2 - 10.0).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FromLogSnr<F>(pub F);

impl<F: Fn(f64) -> (f64, f64)> NoiseSchedule for FromLogSnr<F> {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::variance_preserving(self.0(t).0)
    }

    fn rates(&self, t: f64) -> Rates {
        log_snr_rates(self.kernel(t), self.0(t).1)
    }
}

/// The rates of a variance-preserving kernel whose log-SNR has this slope:
/// d(alpha)/dλ = alpha sigma²/2 and d(sigma)/dλ = −sigma alpha²/2.
pub(crate) fn log_snr_rates(at: Kernel, slope: f64) -> Rates {
    let (alpha, sigma) = (at.alpha(), at.sigma());
    Rates {
        alpha: 0.5 * alpha * sigma * sigma * slope,
        sigma: -0.5 * sigma * alpha * alpha * slope,
    }
}

/// Refuses ends of a log-SNR that do not fall or at which a scale would vanish in `f64`.
pub(crate) fn check_log_snrs(log_snr_max: f64, log_snr_min: f64) -> Result<(), Error> {
    if -1000.0 <= log_snr_min && log_snr_min < log_snr_max && log_snr_max <= 1000.0 {
        Ok(())
    } else {
        Err(Error::LogSnrRange {
            log_snr_max,
            log_snr_min,
        })
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
