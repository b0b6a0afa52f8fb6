//! Schedules of the variance-preserving family: linear beta and sub-VP.

use crate::kernel::softplus;
use crate::schedule::{check_time, clamp_time};
use crate::ve::check_sigmas;
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The variance-preserving schedule with linear rate beta(t) = beta_min + t (beta_max − beta_min):
/// alpha = exp(−B/2), sigma² = 1 − exp(−B), B(t) = ∫₀ᵗ beta = beta_min t + (beta_max − beta_min) t²/2.
///
/// The continuous limit of the schedule of Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>);
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), VP SDE.
/// Equal ends are alpha_bar = exp(−beta t); beta_min = 0 is alpha = exp(−beta_max t²/4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VpLinear(LinearBeta);

impl VpLinear {
    /// The schedule whose rate rises from `beta_min` at t = 0 to `beta_max` at t = 1 (both per unit time).
    ///
    /// # Errors
    /// [`Error::BetaRange`] unless 0 ≤ beta_min ≤ beta_max, 0 < beta_max < ∞;
    /// [`Error::SignalLost`] if their mean is above 1000.
    pub fn new(beta_min: f64, beta_max: f64) -> Result<VpLinear, Error> {
        LinearBeta::new(beta_min, beta_max).map(VpLinear)
    }

    /// beta from 0.1 to 20, the values of Song et al. 2021.
    pub fn song2021() -> VpLinear {
        VpLinear(LinearBeta::SONG2021)
    }

    /// The schedule whose noise-to-signal ratio is `sigma_min` at time `t` and `sigma_max` at time 1.
    ///
    /// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>) so find the VP schedule of a range of noise levels,
    /// with t = 0.001 in sampling; B = ln(1 + sigma²) at both times.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞; [`Error::GridTimes`] unless 0 < t < 1;
    /// [`Error::BetaRange`] if the rate would be negative at t = 0, as where `sigma_min` is too small for its time, or would fall.
    pub fn through(t: f64, sigma_min: f64, sigma_max: f64) -> Result<VpLinear, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        if !(0.0 < t && t < 1.0) {
            return Err(Error::GridTimes { from: 1.0, to: t });
        }
        let integral = |sigma: f64| softplus(2.0 * sigma.ln());
        let rise = 2.0 * (integral(sigma_max) - integral(sigma_min) / t) / (1.0 - t);
        let beta_min = integral(sigma_max) - 0.5 * rise;
        VpLinear::new(beta_min, beta_min + rise)
    }
}

impl NoiseSchedule for VpLinear {
    fn kernel(&self, t: f64) -> Kernel {
        Kernel::decayed(self.0.integral(t))
    }

    fn rates(&self, t: f64) -> Rates {
        if t == 0.0 && self.0.min == 0.0 {
            // B = max t²/2, so that sigma starts like t and not like √t.
            return Rates {
                alpha: 0.0,
                sigma: (0.5 * self.0.max).sqrt(),
            };
        }
        decay_rates(self.kernel(t), self.0.at(t))
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // exp(-B) = alpha² = sigmoid(log_snr).
        self.0.time_of(softplus(-log_snr))
    }
}

/// The sub-variance-preserving schedule: the signal of [`VpLinear`] with less noise,
/// alpha = exp(−B/2), sigma = 1 − exp(−B).
///
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), sub-VP SDE; there g² = beta (1 − exp(−2B)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubVp(LinearBeta);

impl SubVp {
    /// The schedule whose rate rises from `beta_min` at t = 0 to `beta_max` at t = 1 (both per unit time).
    ///
    /// # Errors
    /// [`Error::BetaRange`] unless 0 ≤ beta_min ≤ beta_max, 0 < beta_max < ∞;
    /// [`Error::SignalLost`] if their mean is above 1000.
    pub fn new(beta_min: f64, beta_max: f64) -> Result<SubVp, Error> {
        LinearBeta::new(beta_min, beta_max).map(SubVp)
    }

    /// beta from 0.1 to 20, the values of Song et al. 2021.
    pub fn song2021() -> SubVp {
        SubVp(LinearBeta::SONG2021)
    }
}

impl NoiseSchedule for SubVp {
    fn kernel(&self, t: f64) -> Kernel {
        let integral = self.0.integral(t);
        Kernel::from_scales((-0.5 * integral).exp(), -(-integral).exp_m1())
    }

    fn rates(&self, t: f64) -> Rates {
        let (alpha, beta) = (self.kernel(t).alpha(), self.0.at(t));
        Rates {
            alpha: -0.5 * beta * alpha,
            sigma: beta * alpha * alpha,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // sigma/alpha = e^(B/2) - e^(-B/2) = 2 sinh(B/2).
        let noise_to_signal = (-0.5 * log_snr).exp();
        self.0.time_of(2.0 * (0.5 * noise_to_signal).asinh())
    }
}

/// The rates of a variance-preserving kernel whose exponent B (alpha² = e^(−B)) grows at rate `beta`.
pub(crate) fn decay_rates(at: Kernel, beta: f64) -> Rates {
    Rates {
        alpha: -0.5 * beta * at.alpha(),
        sigma: 0.5 * beta * at.alpha() * at.alpha() / at.sigma(),
    }
}

/// The rates of a variance-preserving kernel whose alpha changes at rate `alpha`: alpha alpha′ + sigma sigma′ = 0.
pub(crate) fn preserving_rates(at: Kernel, alpha: f64) -> Rates {
    Rates {
        alpha,
        sigma: -at.alpha() * alpha / at.sigma(),
    }
}

/// The largest integral of beta for which alpha stays far from underflow.
pub(crate) const MAX_INTEGRAL: f64 = 1000.0;

/// beta(t) = min + t (max − min), with 0 ≤ min ≤ max and 0 < max.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LinearBeta {
    min: f64,
    max: f64,
}

impl LinearBeta {
    const SONG2021: LinearBeta = LinearBeta {
        min: 0.1,
        max: 20.0,
    };

    fn new(beta_min: f64, beta_max: f64) -> Result<LinearBeta, Error> {
        if !(0.0 <= beta_min && beta_min <= beta_max && 0.0 < beta_max && beta_max.is_finite()) {
            return Err(Error::BetaRange { beta_min, beta_max });
        }
        let integral = 0.5 * beta_min + 0.5 * beta_max;
        if MAX_INTEGRAL < integral {
            return Err(Error::SignalLost { integral });
        }
        Ok(LinearBeta {
            min: beta_min,
            max: beta_max,
        })
    }

    fn at(self, t: f64) -> f64 {
        self.min + t * (self.max - self.min)
    }

    fn integral(self, t: f64) -> f64 {
        check_time(t);
        t * (self.min + 0.5 * t * (self.max - self.min))
    }

    /// The time at which the integral has this value: the root of a quadratic, in the form that does not cancel.
    fn time_of(self, integral: f64) -> f64 {
        if integral == f64::INFINITY {
            return 1.0;
        }
        if integral == 0.0 {
            return 0.0;
        }
        let root = (self.min * self.min + 2.0 * (self.max - self.min) * integral).sqrt();
        clamp_time(2.0 * integral / (self.min + root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp_linear_known_answer() {
        // B(1/2) = 0.1/2 + 19.9/8 = 2.5375.
        let kernel = VpLinear::song2021().kernel(0.5);
        assert!((kernel.alpha() - (-1.26875_f64).exp()).abs() < 1e-15);
        assert!((kernel.alpha().powi(2) + kernel.sigma().powi(2) - 1.0).abs() < 1e-15);
    }

    #[test]
    fn diffusions_are_those_of_song_et_al() {
        let (vp, sub) = (VpLinear::song2021(), SubVp::song2021());
        for t in [0.1, 0.5, 0.9] {
            let beta = 0.1 + t * 19.9;
            let integral = t * 0.1 + t * t * 19.9 / 2.0;
            let g2 = vp.rates(t).squared_diffusion(vp.kernel(t));
            assert!((g2 / beta - 1.0).abs() < 1e-12, "vp {t}: {g2}");
            assert!((vp.rates(t).drift(vp.kernel(t)) + beta / 2.0).abs() < 1e-12);
            let g2 = sub.rates(t).squared_diffusion(sub.kernel(t));
            let expected = beta * (1.0 - (-2.0_f64 * integral).exp());
            assert!((g2 / expected - 1.0).abs() < 1e-12, "sub-VP {t}: {g2}");
        }
    }

    #[test]
    fn a_range_of_noise_levels_fixes_the_rates() {
        // The levels of the standard rates at t = 0.001 and 1 give those rates back.
        let vp = VpLinear::song2021();
        let at = |t: f64| vp.kernel(t).noise_to_signal();
        let VpLinear(found) = VpLinear::through(1e-3, at(1e-3), at(1.0)).unwrap();
        assert!((found.min - 0.1).abs() < 1e-12 && (found.max - 20.0).abs() < 1e-12);
        let edm = VpLinear::through(1e-3, 0.01, 80.0).unwrap();
        assert!((edm.kernel(1e-3).noise_to_signal() / 0.01 - 1.0).abs() < 1e-9);
        assert!((edm.kernel(1.0).noise_to_signal() / 80.0 - 1.0).abs() < 1e-12);
        assert!(VpLinear::through(1.0, 0.1, 1.0).is_err());
        // The smallest level of EDM is below what this process has at t = 0.001 at any rate.
        assert!(VpLinear::through(1e-3, 0.002, 80.0).is_err());
        assert!(VpLinear::through(1e-3, 0.1, 0.2).is_err());
    }

    #[test]
    fn rates_that_start_at_zero_stay_finite() {
        // The VP schedule of t² with alpha(1) = 0.001.
        let schedule = VpLinear::new(0.0, -4.0 * 1e-3_f64.ln()).unwrap();
        assert!((schedule.kernel(0.5).alpha() - 1e-3_f64.powf(0.25)).abs() < 1e-15);
        let (start, after) = (schedule.rates(0.0), schedule.rates(1e-7));
        assert!(
            (start.sigma - after.sigma).abs() < 1e-6,
            "{start:?} {after:?}"
        );
        assert_eq!(schedule.time_at(f64::INFINITY), 0.0);
    }

    #[test]
    fn parameters_are_checked() {
        for (min, max) in [
            (0.0, 0.0),
            (-0.1, 1.0),
            (2.0, 1.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert!(matches!(
                VpLinear::new(min, max),
                Err(Error::BetaRange { .. })
            ));
        }
        assert_eq!(
            SubVp::new(1.0, 3999.0),
            Err(Error::SignalLost { integral: 2000.0 })
        );
        assert_eq!(VpLinear::new(0.1, 20.0), Ok(VpLinear::song2021()));
    }

    #[test]
    #[should_panic(expected = "time must lie in [0, 1]")]
    fn times_outside_the_unit_interval_are_bugs() {
        VpLinear::song2021().kernel(1.5);
    }
}
