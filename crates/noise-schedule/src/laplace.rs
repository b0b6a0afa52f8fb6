//! The schedule whose log-SNR is Laplace-distributed.

use crate::error::{check_finite, check_positive};
use crate::log_snr::log_snr_rates;
use crate::schedule::{check_time, clamp_time};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The variance-preserving schedule with log-SNR λ(t) = location − scale sign(1/2 − t) ln(1 − |1 − 2t|):
/// at a uniform time, λ has the Laplace distribution, and most of the time is spent near λ = location.
///
/// Hang & Gu 2024 (<https://arxiv.org/abs/2407.03297>).
/// It runs from data (λ = ∞) to pure noise (λ = −∞).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Laplace {
    location: f64,
    scale: f64,
}

impl Laplace {
    /// The schedule with this median and this scale of the log-SNR.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for the location, [`Error::NotPositive`] for the scale.
    pub fn new(location: f64, scale: f64) -> Result<Laplace, Error> {
        check_finite("Laplace schedule: location", location)?;
        check_positive("Laplace schedule: scale", scale)?;
        Ok(Laplace { location, scale })
    }

    /// Location 0 and scale 0.5, the values of Hang & Gu 2024.
    pub fn hang2024() -> Laplace {
        Laplace {
            location: 0.0,
            scale: 0.5,
        }
    }
}

impl NoiseSchedule for Laplace {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::variance_preserving(self.location - self.scale * laplace_deviate(t, 0.0))
    }

    fn rates(&self, t: f64) -> Rates {
        let scale = self.scale;
        let w = 1.0 - (1.0 - 2.0 * t).abs();
        if 0.0 < w {
            return log_snr_rates(self.kernel(t), (-2.0 * scale / w).max(f64::MIN));
        }
        // At the ends, where d(λ)/dt does not exist, the scale that vanishes goes like a power of w:
        // its rate, and that of the other, is factor · w^power at w = 0.
        let limit = |power: f64, factor: f64| {
            if 0.0 < power {
                0.0
            } else if power == 0.0 {
                factor
            } else {
                f64::INFINITY
            }
        };
        let (late, location) = (0.5 < t, self.location);
        let away = if late { location } else { -location };
        let kept = limit(scale - 1.0, scale * away.exp());
        let vanishing = limit(0.5 * scale - 1.0, scale * (0.5 * away).exp());
        let (alpha, sigma) = if late {
            (-vanishing, kept)
        } else {
            (-kept, vanishing)
        };
        Rates { alpha, sigma }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        let deviate = (self.location - log_snr) / self.scale;
        let half = 0.5 * (-deviate.abs()).exp();
        clamp_time(if deviate < 0.0 { half } else { 1.0 - half })
    }
}

/// sign(1/2 − t) ln(1 − |1 − 2t| + epsilon): the log-SNR of [`Laplace`] is location − scale times this.
pub(crate) fn laplace_deviate(t: f64, epsilon: f64) -> f64 {
    let logarithm = (1.0 - 2.0 * (0.5 - t).abs() + epsilon).ln();
    if 0.5 < t { -logarithm } else { logarithm }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_those_of_the_laplace_distribution() {
        let schedule = Laplace::new(1.0, 0.5).unwrap();
        let reach = 0.5 * 2.0_f64.ln();
        for (t, log_snr) in [(0.25, 1.0 + reach), (0.5, 1.0), (0.75, 1.0 - reach)] {
            assert!((schedule.kernel(t).log_snr() - log_snr).abs() < 1e-14);
        }
    }

    #[test]
    fn the_ends_are_data_and_noise() {
        for scale in [0.5, 1.0, 3.0] {
            let schedule = Laplace::new(0.3, scale).unwrap();
            assert_eq!(schedule.kernel(0.0), Kernel::CLEAN);
            assert_eq!(schedule.kernel(1.0), Kernel::new(0.0, 1.0).unwrap());
            for t in [0.0, 0.5, 1.0] {
                let rates = schedule.rates(t);
                assert!(!rates.alpha.is_nan() && !rates.sigma.is_nan());
            }
        }
    }

    #[test]
    fn rates_at_the_ends_are_limits() {
        for location in [-800.0, -0.4, 900.0] {
            for scale in [0.5, 1.0, 1.7, 2.0, 3.0] {
                let schedule = Laplace::new(location, scale).unwrap();
                for t in [0.0, 1e-300, 0.3, 0.5, 0.9, 1.0] {
                    let rates = schedule.rates(t);
                    assert!(
                        !rates.alpha.is_nan() && !rates.sigma.is_nan(),
                        "{t}: {rates:?}"
                    );
                }
            }
        }
        // alpha′ = −e^(−location) for scale 1, sigma′ = 2 e^(−location/2) for scale 2, both at t = 0.
        let rates = Laplace::new(0.6, 1.0).unwrap().rates(0.0);
        assert!((rates.alpha + (-0.6_f64).exp()).abs() < 1e-15 && rates.sigma == f64::INFINITY);
        let schedule = Laplace::new(0.6, 2.0).unwrap();
        let (at, after) = (schedule.rates(0.0).sigma, schedule.rates(1e-9).sigma);
        assert!((at - 2.0 * (-0.3_f64).exp()).abs() < 1e-14 && (after / at - 1.0).abs() < 1e-8);
        let (at, before) = (schedule.rates(1.0).alpha, schedule.rates(1.0 - 1e-9).alpha);
        assert!((at + 2.0 * 0.3_f64.exp()).abs() < 1e-14 && (before / at - 1.0).abs() < 1e-6);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Laplace::new(f64::NAN, 0.5).is_err());
        assert!(Laplace::new(0.0, 0.0).is_err());
    }
}
