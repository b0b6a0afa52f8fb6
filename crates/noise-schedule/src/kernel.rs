//! One level of noise, and how fast a level changes.

use crate::Error;

/// The Gaussian perturbation kernel q(x_t | x_0) = N(alpha x_0, sigma² I).
///
/// Invariant: `alpha` and `sigma` are finite, not negative, and not both zero.
///
/// ```
/// use noise_schedule::Kernel;
/// let kernel = Kernel::variance_preserving(0.0); // as much noise as signal
/// assert!((kernel.alpha() - 0.5_f64.sqrt()).abs() < 1e-15);
/// assert!((kernel.noise_to_signal() - 1.0).abs() < 1e-15);
/// ```
#[doc(alias = "marginal_prob")]
#[doc(alias = "q_sample")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kernel {
    alpha: f64,
    sigma: f64,
}

impl Kernel {
    /// The level without noise: alpha = 1, sigma = 0.
    pub const CLEAN: Kernel = Kernel {
        alpha: 1.0,
        sigma: 0.0,
    };

    /// The kernel with these scales.
    ///
    /// # Errors
    /// [`Error::KernelScales`] unless both are finite, neither is negative and they are not both zero.
    pub fn new(alpha: f64, sigma: f64) -> Result<Kernel, Error> {
        let scale = |value: f64| value.is_finite() && 0.0 <= value;
        if scale(alpha) && scale(sigma) && 0.0 < alpha + sigma {
            Ok(Kernel { alpha, sigma })
        } else {
            Err(Error::KernelScales { alpha, sigma })
        }
    }

    /// The variance-preserving kernel of this log-SNR λ:
    /// alpha² = sigmoid(λ), sigma² = sigmoid(−λ), so that alpha² + sigma² = 1.
    ///
    /// Both scales are computed from the logarithm of the sigmoid: neither loses digits where the other is close to 1.
    /// λ = ±∞ gives [`Kernel::CLEAN`] and pure noise.
    ///
    /// # Panics
    /// If `log_snr` is NaN.
    pub fn variance_preserving(log_snr: f64) -> Kernel {
        assert!(!log_snr.is_nan(), "kernel: log_snr must not be NaN");
        Kernel {
            alpha: (-0.5 * softplus(-log_snr)).exp(),
            sigma: (-0.5 * softplus(log_snr)).exp(),
        }
    }

    /// The variance-exploding kernel alpha = 1 with this sigma; sigma = 0 is [`Kernel::CLEAN`].
    ///
    /// # Errors
    /// [`Error::KernelScales`] unless `sigma` is finite and not negative.
    pub fn variance_exploding(sigma: f64) -> Result<Kernel, Error> {
        Kernel::new(1.0, sigma)
    }

    /// Scale of the signal, ≥ 0.
    #[doc(alias = "sqrt_alphas_cumprod")]
    pub fn alpha(self) -> f64 {
        self.alpha
    }

    /// Scale of the noise, ≥ 0.
    #[doc(alias = "sqrt_one_minus_alphas_cumprod")]
    pub fn sigma(self) -> f64 {
        self.sigma
    }

    /// Signal-to-noise ratio alpha² / sigma², in [0, ∞].
    pub fn snr(self) -> f64 {
        (self.alpha / self.sigma).powi(2)
    }

    /// Natural logarithm of the signal-to-noise ratio, 2 ln(alpha / sigma), in [−∞, ∞].
    ///
    /// Computed as a difference of logarithms: finite whenever both scales are positive.
    #[doc(alias = "lambda")]
    #[doc(alias = "gamma")]
    pub fn log_snr(self) -> f64 {
        2.0 * (self.alpha.ln() - self.sigma.ln())
    }

    /// Noise-to-signal ratio sigma / alpha, in [0, ∞]: the σ of EDM and k-diffusion.
    pub fn noise_to_signal(self) -> f64 {
        self.sigma / self.alpha
    }

    /// The variance-preserving kernel with alpha² = exp(−exponent), for an exponent ≥ 0 that is finite.
    pub(crate) fn decayed(exponent: f64) -> Kernel {
        Kernel {
            alpha: (-0.5 * exponent).exp(),
            sigma: (-(-exponent).exp_m1()).sqrt(),
        }
    }

    /// Scales that the caller knows to be valid.
    pub(crate) fn from_scales(alpha: f64, sigma: f64) -> Kernel {
        debug_assert!(
            Kernel::new(alpha, sigma).is_ok(),
            "kernel: invalid scales {alpha}, {sigma}"
        );
        Kernel { alpha, sigma }
    }
}

/// How fast a schedule changes at one time: d(alpha)/dt and d(sigma)/dt.
///
/// A schedule is the marginal of the linear stochastic differential equation dx = f x dt + g dw;
/// [`drift`](Rates::drift) and [`squared_diffusion`](Rates::squared_diffusion) give its coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// d(alpha)/dt, per unit of schedule time.
    pub alpha: f64,
    /// d(sigma)/dt, per unit of schedule time.
    pub sigma: f64,
}

impl Rates {
    /// The coefficient f = alpha′ / alpha of the drift, where `at` is the kernel of the same time.
    ///
    /// Not finite where alpha = 0.
    pub fn drift(self, at: Kernel) -> f64 {
        self.alpha / at.alpha
    }

    /// The squared diffusion g² = 2 sigma (sigma′ − sigma alpha′ / alpha) = −sigma² d(log-SNR)/dt,
    /// where `at` is the kernel of the same time.
    ///
    /// Positive wherever the log-SNR falls; it is beta(t) for a variance-preserving schedule.
    /// Not a number at the ends of time where a rate is infinite or alpha = 0.
    pub fn squared_diffusion(self, at: Kernel) -> f64 {
        2.0 * at.sigma * (self.sigma - at.sigma * self.drift(at))
    }
}

/// 1/(1 + e^(−z)), which is exact to the last bits at both ends of its range, (0, 1).
pub(crate) fn sigmoid(z: f64) -> f64 {
    (-softplus(-z)).exp()
}

/// ln(1 + e^z) without overflow, and without loss where e^z is small.
pub(crate) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_checked() {
        for (alpha, sigma) in [
            (0.0, 0.0),
            (-1.0, 1.0),
            (1.0, -0.1),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert!(Kernel::new(alpha, sigma).is_err(), "{alpha} {sigma}");
        }
        assert_eq!(Kernel::variance_exploding(0.0), Ok(Kernel::CLEAN));
        assert!(Kernel::variance_exploding(-1.0).is_err());
    }

    #[test]
    fn the_ends_are_infinite_and_not_nan() {
        let noise = Kernel::new(0.0, 1.0).unwrap();
        assert_eq!(noise.log_snr(), f64::NEG_INFINITY);
        assert_eq!(noise.noise_to_signal(), f64::INFINITY);
        assert_eq!(noise.snr(), 0.0);
        assert_eq!(Kernel::CLEAN.log_snr(), f64::INFINITY);
        assert_eq!(Kernel::CLEAN.noise_to_signal(), 0.0);
        assert_eq!(Kernel::variance_preserving(f64::INFINITY), Kernel::CLEAN);
        assert_eq!(Kernel::variance_preserving(f64::NEG_INFINITY), noise);
    }

    #[test]
    fn variance_preserving_keeps_its_digits_far_out() {
        // 1 - alpha² would be zero here; sigma² = e^-60 to first order.
        let kernel = Kernel::variance_preserving(60.0);
        assert!((kernel.sigma() / (-30.0_f64).exp() - 1.0).abs() < 1e-14);
        assert!((kernel.log_snr() - 60.0).abs() < 1e-12);
        let kernel = Kernel::variance_preserving(-1000.0);
        assert!((kernel.log_snr() + 1000.0).abs() < 1e-10);
    }

    #[test]
    fn ratios_agree() {
        let kernel = Kernel::new(3.0, 4.0).unwrap();
        assert!((kernel.snr() - 9.0 / 16.0).abs() < 1e-15);
        assert!((kernel.log_snr() - kernel.snr().ln()).abs() < 1e-15);
        assert!((kernel.noise_to_signal() - 4.0 / 3.0).abs() < 1e-15);
    }
}
