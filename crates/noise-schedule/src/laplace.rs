//! The schedule whose log-SNR is Laplace-distributed.

use crate::error::{check_finite, check_positive};
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
        let (at, scale) = (self.kernel(t), self.scale);
        // w falls to 0 at both ends of time, where d(λ)/dt = −2 scale/w does not exist;
        // the scale that vanishes there is a power of w times the other, and takes up the 1/w.
        let w = 1.0 - (1.0 - 2.0 * t).abs();
        if t < 0.5 {
            let alpha = at.alpha() * at.alpha();
            let (fall, rise) = (w.powf(scale - 1.0), w.powf(0.5 * scale - 1.0));
            Rates {
                alpha: -scale * alpha * at.alpha() * (-self.location).exp() * fall,
                sigma: scale * alpha * at.alpha() * (-0.5 * self.location).exp() * rise,
            }
        } else {
            let sigma = at.sigma() * at.sigma();
            let (fall, rise) = (w.powf(0.5 * scale - 1.0), w.powf(scale - 1.0));
            Rates {
                alpha: -scale * sigma * at.sigma() * (0.5 * self.location).exp() * fall,
                sigma: scale * sigma * at.sigma() * self.location.exp() * rise,
            }
        }
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
    fn parameters_are_checked() {
        assert!(Laplace::new(f64::NAN, 0.5).is_err());
        assert!(Laplace::new(0.0, 0.0).is_err());
    }
}
