//! Variance-exploding schedules: geometric noise levels, and powers of time.

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

/// The variance-exploding schedule alpha = 1, sigma(t) = (sigma_min^(1/rho) + t (sigma_max^(1/rho) − sigma_min^(1/rho)))^rho.
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>): rho = 7 is their equation 5 in continuous time;
/// rho = 1 is sigma linear in time, the schedule along which they integrate; rho = 1/2 is sigma² linear in time, the heat equation,
/// their form of the VE process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VePower {
    sigma_max: f64,
    rho: f64,
    /// (sigma_min/sigma_max)^(1/rho), below 1: relative to sigma_max, so that no power overflows.
    start: f64,
}

impl VePower {
    /// The schedule from `sigma_min` at t = 0, which may be 0, to `sigma_max` at t = 1, in the units of the data.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 ≤ sigma_min ≤ sigma_max, 0 < sigma_max < ∞; [`Error::FlatSchedule`] if they are equal, or too close for `rho`;
    /// [`Error::Rho`] unless `rho` is positive and finite.
    pub fn new(sigma_min: f64, sigma_max: f64, rho: f64) -> Result<VePower, Error> {
        if sigma_min == 0.0 {
            check_sigmas(sigma_max, sigma_max)?;
        } else {
            check_sigmas(sigma_min, sigma_max)?;
        }
        if !(0.0 < rho && rho.is_finite()) {
            return Err(Error::Rho { rho });
        }
        let start = (sigma_min / sigma_max).powf(rho.recip());
        if start < 1.0 {
            Ok(VePower {
                sigma_max,
                rho,
                start,
            })
        } else {
            Err(Error::FlatSchedule { sigma: sigma_max })
        }
    }

    /// sigma from 0.002 to 80 with rho = 7, the values of Karras et al. 2022.
    pub fn karras2022() -> VePower {
        VePower::new(0.002, 80.0, 7.0).expect("the levels are in order")
    }

    fn base(&self, t: f64) -> f64 {
        check_time(t);
        self.start * (1.0 - t) + t
    }
}

impl NoiseSchedule for VePower {
    fn kernel(&self, t: f64) -> Kernel {
        Kernel::from_scales(1.0, self.sigma_max * self.base(t).powf(self.rho))
    }

    fn rates(&self, t: f64) -> Rates {
        let slope = self.rho * self.base(t).powf(self.rho - 1.0) * (1.0 - self.start);
        Rates {
            alpha: 0.0,
            sigma: self.sigma_max * slope,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // In logarithms, so that log-SNRs out of reach do not overflow on the way.
        let base = ((-0.5 * log_snr - self.sigma_max.ln()) / self.rho).exp();
        clamp_time((base - self.start) / (1.0 - self.start))
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
    fn powers_of_time() {
        let linear = VePower::new(0.0, 80.0, 1.0).unwrap();
        assert_eq!(linear.kernel(0.0), Kernel::CLEAN);
        assert_eq!(linear.kernel(0.25).sigma(), 20.0);
        let heat = VePower::new(3.0, 5.0, 0.5).unwrap();
        assert!((heat.kernel(0.5).sigma() - 17.0_f64.sqrt()).abs() < 1e-14);
        // The fifth of eleven levels of equation 5, from the noisiest.
        let (a, b) = (80.0_f64.powf(1.0 / 7.0), 0.002_f64.powf(1.0 / 7.0));
        let sigma = VePower::karras2022().kernel(0.6).sigma();
        assert!((sigma / (a + 0.4 * (b - a)).powi(7) - 1.0).abs() < 1e-13);
        assert!((VePower::karras2022().kernel(0.0).sigma() / 0.002 - 1.0).abs() < 1e-13);
        assert!(VePower::new(0.1, 0.1, 7.0).is_err());
        assert!(VePower::new(-0.1, 1.0, 7.0).is_err());
        assert!(VePower::new(0.1, 1.0, 0.0).is_err());
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
