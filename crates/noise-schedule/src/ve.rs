//! The variance-exploding schedule with geometric noise levels.

use crate::schedule::{check_time, clamp_time, geometric};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The variance-exploding schedule alpha = 1, sigma(t) = sigma_min^(1−t) sigma_max^t.
///
/// The noise levels of Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>) in continuous time;
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), VE SDE.
/// At t = 0 the noise is `sigma_min`, not zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VeGeometric {
    sigma_min: f64,
    sigma_max: f64,
}

impl VeGeometric {
    /// The schedule from `sigma_min` at t = 0 to `sigma_max` at t = 1, in the units of the data.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞; [`Error::FlatSchedule`] if they are equal.
    pub fn new(sigma_min: f64, sigma_max: f64) -> Result<VeGeometric, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        if sigma_min < sigma_max {
            Ok(VeGeometric {
                sigma_min,
                sigma_max,
            })
        } else {
            Err(Error::FlatSchedule { sigma: sigma_min })
        }
    }

    /// sigma from 0.01 to 50, the values of Song et al. 2021 for CIFAR-10.
    pub fn song2021() -> VeGeometric {
        VeGeometric {
            sigma_min: 0.01,
            sigma_max: 50.0,
        }
    }

    /// d(ln sigma)/dt.
    fn growth(&self) -> f64 {
        self.sigma_max.ln() - self.sigma_min.ln()
    }
}

impl NoiseSchedule for VeGeometric {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::from_scales(1.0, geometric(self.sigma_min, self.sigma_max, t))
    }

    fn rates(&self, t: f64) -> Rates {
        Rates {
            alpha: 0.0,
            sigma: self.kernel(t).sigma() * self.growth(),
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        clamp_time((-0.5 * log_snr - self.sigma_min.ln()) / self.growth())
    }
}

/// Refuses noise levels that are not positive, finite and in order.
pub(crate) fn check_sigmas(sigma_min: f64, sigma_max: f64) -> Result<(), Error> {
    if 0.0 < sigma_min && sigma_min <= sigma_max && sigma_max.is_finite() {
        Ok(())
    } else {
        Err(Error::SigmaRange {
            sigma_min,
            sigma_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact_and_the_middle_is_the_geometric_mean() {
        let schedule = VeGeometric::song2021();
        assert_eq!(schedule.kernel(0.0).sigma(), 0.01);
        assert_eq!(schedule.kernel(1.0).sigma(), 50.0);
        assert!((schedule.kernel(0.5).sigma() - 0.5_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(matches!(
            VeGeometric::new(2.0, 1.0),
            Err(Error::SigmaRange { .. })
        ));
        assert!(matches!(
            VeGeometric::new(0.0, 1.0),
            Err(Error::SigmaRange { .. })
        ));
        assert_eq!(
            VeGeometric::new(1.0, 1.0),
            Err(Error::FlatSchedule { sigma: 1.0 })
        );
    }
}
