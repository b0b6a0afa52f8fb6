//! Schedules of the variance-preserving family: linear beta, cosine, and sub-VP.

use std::f64::consts::FRAC_PI_2;

use crate::kernel::softplus;
use crate::schedule::{check_time, clamp_time};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The variance-preserving schedule with linear rate beta(t) = beta_min + t (beta_max − beta_min):
/// alpha = exp(−B/2), sigma² = 1 − exp(−B), B(t) = ∫₀ᵗ beta = beta_min t + (beta_max − beta_min) t²/2.
///
/// The continuous limit of the schedule of Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>);
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), VP SDE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VpLinear(LinearBeta);

impl VpLinear {
    /// The schedule whose rate rises from `beta_min` at t = 0 to `beta_max` at t = 1 (both per unit time).
    ///
    /// # Errors
    /// [`Error::BetaRange`] unless 0 < beta_min ≤ beta_max < ∞;
    /// [`Error::SignalLost`] if their mean is above 1000.
    pub fn new(beta_min: f64, beta_max: f64) -> Result<VpLinear, Error> {
        LinearBeta::new(beta_min, beta_max).map(VpLinear)
    }

    /// beta from 0.1 to 20, the values of Song et al. 2021.
    pub fn song2021() -> VpLinear {
        VpLinear(LinearBeta::SONG2021)
    }
}

impl NoiseSchedule for VpLinear {
    fn kernel(&self, t: f64) -> Kernel {
        Kernel::decayed(self.0.integral(t))
    }

    fn rates(&self, t: f64) -> Rates {
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
    /// [`Error::BetaRange`] unless 0 < beta_min ≤ beta_max < ∞;
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

/// The cosine schedule in continuous time: alpha = cos θ / cos θ₀, sigma² = 1 − alpha²,
/// with θ(t) = (π/2) (t + s) / (1 + s) and θ₀ = θ(0).
///
/// Nichol & Dhariwal 2021 (<https://arxiv.org/abs/2102.09672>).
/// Their discrete schedule also limits each beta to 0.999; the continuous one needs no limit and ends in pure noise, alpha = 0.
#[doc(alias = "squaredcos_cap_v2")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    offset: f64,
}

impl Cosine {
    /// The schedule with offset s ≥ 0; s = 0 gives alpha = cos(πt/2), sigma = sin(πt/2).
    ///
    /// # Errors
    /// [`Error::CosineOffset`] unless `offset` is finite and not negative.
    pub fn new(offset: f64) -> Result<Cosine, Error> {
        if offset.is_finite() && 0.0 <= offset {
            Ok(Cosine { offset })
        } else {
            Err(Error::CosineOffset { offset })
        }
    }

    /// s = 0.008, the value of Nichol & Dhariwal 2021.
    pub fn nichol2021() -> Cosine {
        Cosine { offset: 0.008 }
    }

    /// d(θ)/dt = (π/2)/(1 + s), in (0, π/2]. The angle left to π/2 is (1 − t) times this,
    /// and the formulas below, written in the angle left, lose no digits at either end.
    fn frequency(&self) -> f64 {
        FRAC_PI_2 / (1.0 + self.offset)
    }
}

impl NoiseSchedule for Cosine {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        let frequency = self.frequency();
        // cos θ = sin(angle left), so cos θ₀ = sin(frequency).
        let relative = |time: f64| (time * frequency).sin() / frequency.sin();
        // cos² θ₀ - cos² θ = sin(θ - θ₀) sin(θ + θ₀).
        Kernel::from_scales(relative(1.0 - t), (relative(t) * relative(2.0 - t)).sqrt())
    }

    fn rates(&self, t: f64) -> Rates {
        let (kernel, frequency) = (self.kernel(t), self.frequency());
        let alpha = -frequency * ((1.0 - t) * frequency).cos() / frequency.sin();
        // The variance is preserved: alpha alpha′ + sigma sigma′ = 0.
        Rates {
            alpha,
            sigma: -kernel.alpha() * alpha / kernel.sigma(),
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        let kernel = Kernel::variance_preserving(log_snr);
        let (sine, cosine) = self.frequency().sin_cos();
        // The angle left has sine alpha sin f, hence squared cosine alpha² cos² f + sigma².
        let left = (kernel.alpha() * sine).atan2((kernel.alpha() * cosine).hypot(kernel.sigma()));
        clamp_time(1.0 - left / self.frequency())
    }
}

/// The rates of a variance-preserving kernel whose exponent B (alpha² = e^(−B)) grows at rate `beta`.
pub(crate) fn decay_rates(at: Kernel, beta: f64) -> Rates {
    Rates {
        alpha: -0.5 * beta * at.alpha(),
        sigma: 0.5 * beta * at.alpha() * at.alpha() / at.sigma(),
    }
}

/// The largest integral of beta for which alpha stays far from underflow.
pub(crate) const MAX_INTEGRAL: f64 = 1000.0;

/// beta(t) = min + t (max − min), with 0 < min ≤ max.
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
        if !(0.0 < beta_min && beta_min <= beta_max && beta_max.is_finite()) {
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
    fn cosine_starts_clean_and_ends_in_pure_noise() {
        let schedule = Cosine::nichol2021();
        assert_eq!(schedule.kernel(0.0).sigma(), 0.0);
        assert!((schedule.kernel(0.0).alpha() - 1.0).abs() < 1e-15);
        assert_eq!(schedule.kernel(1.0).alpha(), 0.0);
        assert!((schedule.kernel(1.0).sigma() - 1.0).abs() < 1e-15);
        // alpha_bar(1/2) by the formula of the paper.
        let f = |t: f64| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
        let kernel = schedule.kernel(0.5);
        assert!((kernel.alpha().powi(2) - f(0.5) / f(0.0)).abs() < 1e-14);
        assert!((kernel.alpha().powi(2) + kernel.sigma().powi(2) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn parameters_are_checked() {
        for (min, max) in [
            (0.0, 1.0),
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
        assert!(Cosine::new(-0.1).is_err());
        assert_eq!(VpLinear::new(0.1, 20.0), Ok(VpLinear::song2021()));
    }

    #[test]
    #[should_panic(expected = "time must lie in [0, 1]")]
    fn times_outside_the_unit_interval_are_bugs() {
        VpLinear::song2021().kernel(1.5);
    }
}
