//! Schedules whose signal falls as a power of the time left, and that of iPNDM.

use std::f64::consts::{FRAC_PI_2, PI};

use crate::error::check_positive;
use crate::kernel::softplus;
use crate::schedule::{check_time, clamp_time};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The convex schedule alpha = (1 − t)ⁿ, sigma = 1 − (1 − t)ⁿ: the straight line of [`Rectified`](crate::Rectified) at another pace.
///
/// `PolynomialConvexScheduler` of the flow-matching library of Lipman et al. 2024 (<https://arxiv.org/abs/2412.06264>),
/// which runs time from noise to data.
#[doc(alias = "PolynomialConvexScheduler")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolynomialConvex {
    exponent: f64,
}

impl PolynomialConvex {
    /// The schedule with exponent n; n = 1 is [`Rectified`](crate::Rectified).
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless `exponent` is positive and finite.
    pub fn new(exponent: f64) -> Result<PolynomialConvex, Error> {
        check_positive("polynomial convex schedule: exponent", exponent)?;
        Ok(PolynomialConvex { exponent })
    }
}

impl NoiseSchedule for PolynomialConvex {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::from_scales(
            (1.0 - t).powf(self.exponent),
            -(self.exponent * (-t).ln_1p()).exp_m1(),
        )
    }

    fn rates(&self, t: f64) -> Rates {
        check_time(t);
        let fall = self.exponent * (1.0 - t).powf(self.exponent - 1.0);
        Rates {
            alpha: -fall,
            sigma: fall,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // alpha/(1 - alpha) = e^(log_snr/2).
        clamp_time(-(-softplus(-0.5 * log_snr) / self.exponent).exp_m1())
    }
}

/// The variance-preserving schedule alpha = (1 − t)ⁿ, sigma² = 1 − (1 − t)²ⁿ.
///
/// n = 1 is `LinearVPScheduler` of the flow-matching library of Lipman et al. 2024 (<https://arxiv.org/abs/2412.06264>), which runs time from noise to data;
/// n = 1/2 is alpha_bar = 1 − t, the continuous form of [`BetaSchedule::Reciprocal`](crate::BetaSchedule::Reciprocal).
#[doc(alias = "LinearVPScheduler")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VpPower {
    exponent: f64,
}

impl VpPower {
    /// The schedule with exponent n.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless `exponent` is positive and finite.
    pub fn new(exponent: f64) -> Result<VpPower, Error> {
        check_positive("variance-preserving power schedule: exponent", exponent)?;
        Ok(VpPower { exponent })
    }
}

impl NoiseSchedule for VpPower {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        // −ln alpha² = −2n ln(1 − t), infinite at t = 1.
        Kernel::decayed(-2.0 * self.exponent * (-t).ln_1p())
    }

    fn rates(&self, t: f64) -> Rates {
        let n = self.exponent;
        Rates {
            alpha: -n * (1.0 - t).powf(n - 1.0),
            sigma: n * (1.0 - t).powf(2.0 * n - 1.0) / self.kernel(t).sigma(),
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        clamp_time(-(-0.5 * softplus(-log_snr) / self.exponent).exp_m1())
    }
}

/// The variance-preserving schedule of iPNDM: sigma = sin²(πt/2), alpha² = 1 − sigma².
///
/// Zhang & Chen 2022, DEIS (<https://arxiv.org/abs/2204.13902>), has the sampler; the schedule is that of its implementation in diffusers.
#[doc(alias = "IPNDMScheduler")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SineSquared;

impl NoiseSchedule for SineSquared {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        let (sine, cosine) = (sine(t), sine(1.0 - t));
        let sigma = sine * sine;
        // 1 − sin⁴ = cos² (1 + sin²).
        Kernel::from_scales(cosine * (1.0 + sigma).sqrt(), sigma)
    }

    fn rates(&self, t: f64) -> Rates {
        check_time(t);
        let (sine, cosine) = (sine(t), sine(1.0 - t));
        Rates {
            alpha: -PI * sine.powi(3) / (1.0 + sine * sine).sqrt(),
            sigma: PI * sine * cosine,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        let kernel = Kernel::variance_preserving(log_snr);
        let sigma = kernel.sigma();
        // tan²(πt/2) = sigma/(1 − sigma) = sigma (1 + sigma)/alpha².
        let sine = (sigma * (1.0 + sigma)).sqrt();
        clamp_time(sine.atan2(kernel.alpha()) / FRAC_PI_2)
    }
}

/// sin(πt/2), which is cos(π(1 − t)/2); exact at both ends.
fn sine(t: f64) -> f64 {
    (FRAC_PI_2 * t).sin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rectified;

    #[test]
    fn known_answers() {
        let convex = PolynomialConvex::new(2.0).unwrap();
        assert!((convex.kernel(0.25).alpha() - 0.5625).abs() < 1e-15);
        assert!((convex.kernel(0.25).sigma() - 0.4375).abs() < 1e-15);
        let line = PolynomialConvex::new(1.0).unwrap();
        assert!((line.kernel(0.3).alpha() - Rectified.kernel(0.3).alpha()).abs() < 1e-15);
        let kernel = VpPower::new(1.0).unwrap().kernel(0.4);
        assert!((kernel.alpha() - 0.6).abs() < 1e-15 && (kernel.sigma() - 0.8).abs() < 1e-15);
        let kernel = VpPower::new(0.5).unwrap().kernel(0.75);
        assert!((kernel.alpha() - 0.5).abs() < 1e-15);
        let kernel = SineSquared.kernel(0.5);
        assert!((kernel.sigma() - 0.5).abs() < 1e-15);
        assert!((kernel.alpha() - 0.75_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn the_ends_are_data_and_noise() {
        let noise = Kernel::new(0.0, 1.0).unwrap();
        for n in [0.3, 0.5, 1.0, 3.0] {
            let convex = PolynomialConvex::new(n).unwrap();
            let power = VpPower::new(n).unwrap();
            let schedules: [&dyn NoiseSchedule; 3] = [&convex, &power, &SineSquared];
            for schedule in schedules {
                assert_eq!(schedule.kernel(0.0), Kernel::CLEAN);
                assert_eq!(schedule.kernel(1.0), noise);
                for t in [0.0, 1.0] {
                    let rates = schedule.rates(t);
                    assert!(!rates.alpha.is_nan() && !rates.sigma.is_nan());
                }
            }
        }
        assert!((SineSquared.rates(1.0).alpha + PI / 2.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(PolynomialConvex::new(0.0).is_err());
        assert!(VpPower::new(f64::NAN).is_err());
    }
}
