//! The straight line of rectified flow, and the same line at other paces.

use crate::error::check_positive;
use crate::schedule::{check_time, clamp_time};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The straight line from data to noise: alpha = 1 − t, sigma = t.
///
/// Liu et al. 2022, rectified flow (<https://arxiv.org/abs/2209.03003>);
/// Lipman et al. 2022, flow matching with conditional optimal transport (<https://arxiv.org/abs/2210.02747>).
/// Both papers run time from noise to data; here, as everywhere in this crate, t = 0 is data.
#[doc(alias = "flow_matching")]
#[doc(alias = "CondOT")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectified;

impl NoiseSchedule for Rectified {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::from_scales(1.0 - t, t)
    }

    fn rates(&self, t: f64) -> Rates {
        check_time(t);
        Rates {
            alpha: -1.0,
            sigma: 1.0,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // alpha/sigma = 1/t - 1.
        clamp_time(1.0 / (1.0 + (0.5 * log_snr).exp()))
    }
}

/// The straight line with its time shifted towards noise: sigma = s t/(1 + (s − 1) t), alpha = 1 − sigma.
///
/// The log-SNR is that of [`Rectified`] minus 2 ln s, at every time.
/// Esser et al. 2024, Stable Diffusion 3 (<https://arxiv.org/abs/2403.03206>), where s = √(m/n) for images of m instead of n pixels.
#[doc(alias = "flow_shift")]
#[doc(alias = "timestep_shift")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftedRectified {
    shift: f64,
}

impl ShiftedRectified {
    /// The line with this shift; 1 is [`Rectified`], more is noisier.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless `shift` is positive and finite.
    pub fn new(shift: f64) -> Result<ShiftedRectified, Error> {
        check_positive("shifted rectified schedule: shift", shift)?;
        Ok(ShiftedRectified { shift })
    }

    /// Shift 3, the value of Esser et al. 2024 for images of 1024 × 1024 pixels.
    pub fn esser2024() -> ShiftedRectified {
        ShiftedRectified { shift: 3.0 }
    }

    /// 1 + (s − 1) t, positive.
    fn denominator(&self, t: f64) -> f64 {
        check_time(t);
        (1.0 - t) + self.shift * t
    }
}

impl NoiseSchedule for ShiftedRectified {
    fn kernel(&self, t: f64) -> Kernel {
        let denominator = self.denominator(t);
        Kernel::from_scales((1.0 - t) / denominator, self.shift * t / denominator)
    }

    fn rates(&self, t: f64) -> Rates {
        let rise = self.shift / self.denominator(t).powi(2);
        Rates {
            alpha: -rise,
            sigma: rise,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // alpha/sigma = (1/t - 1)/s.
        clamp_time(1.0 / (1.0 + self.shift * (0.5 * log_snr).exp()))
    }
}

/// The straight line at a pace that decays: alpha = 1 − τ (1 − alpha_min), sigma = sigma_min + τ (1 − sigma_min),
/// τ = (1 − γᵗ)/(1 − γ).
///
/// The schedule `DecaySchedule` of azula (<https://github.com/probabilists/azula>); γ = 1, for which τ = t, is its `RectifiedSchedule`.
/// A small γ spends more of the time at much noise.
#[doc(alias = "DecaySchedule")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// ln γ, not positive.
    log_gamma: f64,
    alpha_min: f64,
    sigma_min: f64,
}

impl Decay {
    /// The line with this pace, from (1, `sigma_min`) to (`alpha_min`, 1).
    ///
    /// # Errors
    /// [`Error::Decay`] unless γ lies in (0, 1] and the other two in [0, 1).
    pub fn new(gamma: f64, alpha_min: f64, sigma_min: f64) -> Result<Decay, Error> {
        let end = 0.0..1.0;
        if 0.0 < gamma && gamma <= 1.0 && end.contains(&alpha_min) && end.contains(&sigma_min) {
            Ok(Decay {
                log_gamma: gamma.ln(),
                alpha_min,
                sigma_min,
            })
        } else {
            Err(Error::Decay {
                gamma,
                alpha_min,
                sigma_min,
            })
        }
    }
}

impl NoiseSchedule for Decay {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        let tau = if self.log_gamma < 0.0 {
            (t * self.log_gamma).exp_m1() / self.log_gamma.exp_m1()
        } else {
            t
        };
        Kernel::from_scales(
            (1.0 - tau) + tau * self.alpha_min,
            tau + (1.0 - tau) * self.sigma_min,
        )
    }

    fn rates(&self, t: f64) -> Rates {
        check_time(t);
        let rise = if self.log_gamma < 0.0 {
            self.log_gamma * (t * self.log_gamma).exp() / self.log_gamma.exp_m1()
        } else {
            1.0
        };
        Rates {
            alpha: -rise * (1.0 - self.alpha_min),
            sigma: rise * (1.0 - self.sigma_min),
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // tau is that at which sigma = r alpha, by Cramer's rule; written so that r may be infinite.
        let kernel = Kernel::variance_preserving(log_snr);
        let (alpha, sigma) = (kernel.alpha(), kernel.sigma());
        let tau = (sigma - alpha * self.sigma_min)
            / (alpha * (1.0 - self.sigma_min) + sigma * (1.0 - self.alpha_min));
        let tau = tau.clamp(0.0, 1.0);
        clamp_time(if self.log_gamma < 0.0 {
            (tau * self.log_gamma.exp_m1()).ln_1p() / self.log_gamma
        } else {
            tau
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifting_subtracts_from_the_log_snr() {
        let schedule = ShiftedRectified::esser2024();
        for t in [0.1, 0.5, 0.9] {
            let difference = Rectified.kernel(t).log_snr() - schedule.kernel(t).log_snr();
            assert!((difference - 2.0 * 3.0_f64.ln()).abs() < 1e-12);
        }
        assert_eq!(schedule.kernel(1.0), Kernel::new(0.0, 1.0).unwrap());
        assert!(ShiftedRectified::new(0.0).is_err());
    }

    #[test]
    fn decay_is_the_line_at_another_pace() {
        let schedule = Decay::new(0.25, 0.0, 0.0).unwrap();
        // tau(1/2) = (1 − 1/2)/(1 − 1/4).
        assert!((schedule.kernel(0.5).sigma() - 2.0 / 3.0).abs() < 1e-15);
        let line = Decay::new(1.0, 1e-3, 2e-3).unwrap();
        assert_eq!(line.kernel(0.0), Kernel::new(1.0, 2e-3).unwrap());
        assert_eq!(line.kernel(1.0), Kernel::new(1e-3, 1.0).unwrap());
        assert!(Decay::new(0.0, 0.0, 0.0).is_err());
        assert!(Decay::new(0.5, 1.0, 0.0).is_err());
    }

    #[test]
    fn the_ends_are_data_and_noise() {
        assert_eq!(Rectified.kernel(0.0), Kernel::CLEAN);
        assert_eq!(Rectified.kernel(1.0), Kernel::new(0.0, 1.0).unwrap());
        assert_eq!(Rectified.time_at(f64::INFINITY), 0.0);
        assert_eq!(Rectified.time_at(f64::NEG_INFINITY), 1.0);
        assert_eq!(Rectified.time_at(0.0), 0.5);
    }
}
