//! Ancestral sampling: DDPM, Euler ancestral, and DDIM with noise.

use noise_schedule::Kernel;

use crate::stepper::{noise_ratio, renoised_in, rescaled};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// The step that replaces part of the noise by fresh noise z:
/// x_to = alpha_to D + sigma_down eps + sigma_up z, with eps = (x − alpha_from D) / sigma_from,
/// sigma_up² = η² sigma_to² (1 − q²), sigma_down² = sigma_to² − sigma_up², q = r_to / r_from, r = sigma / alpha.
///
/// η = 0 is [`Ddim`](crate::Ddim), and draws no noise.
/// η = 1 is the posterior q(x_to | x_from, x_0 = D):
/// DDPM on variance-preserving kernels, Euler ancestral on variance-exploding ones.
/// [`fixed_large`](Ancestral::fixed_large) has the mean of η = 1 and the variance of the forward transition, which is larger.
/// Weak order 1, one evaluation; the step to sigma = 0 draws no noise, and nor does one to more noise, which is DDIM's.
///
/// Ho et al. 2020, DDPM (<https://arxiv.org/abs/2006.11239>), with both variances;
/// Song, Meng & Ermon 2020, DDIM (<https://arxiv.org/abs/2010.02502>), with η.
#[doc(alias = "ddpm")]
#[doc(alias = "euler_ancestral")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ancestral {
    eta: f64,
    fresh: Fresh,
}

/// Which variance the fresh noise has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fresh {
    /// What was taken away, so that the marginals are kept.
    Removed,
    /// That of the forward transition from `to` to `from`.
    Transition,
}

impl Ancestral {
    /// The stepper with this share of fresh noise, in [0, 1].
    ///
    /// # Errors
    /// [`Error::Eta`] outside [0, 1].
    pub fn new(eta: f64) -> Result<Ancestral, Error> {
        if (0.0..=1.0).contains(&eta) {
            Ok(Ancestral {
                eta,
                fresh: Fresh::Removed,
            })
        } else {
            Err(Error::Eta { eta })
        }
    }

    /// DDPM with the larger of its two fixed variances, beta: sigma_up² = sigma_from² − (alpha_from/alpha_to)² sigma_to².
    ///
    /// On variance-preserving kernels it is exact for data N(0, I), as the posterior's variance is for data that are one point:
    /// Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>), section 3.2.
    /// There it is also the ancestral predictor of Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), appendix F.
    /// In the limit of small steps both variances are the same.
    #[doc(alias = "variance_type")]
    pub fn fixed_large() -> Ancestral {
        Ancestral {
            eta: 1.0,
            fresh: Fresh::Transition,
        }
    }
}

impl<X: VectorSpace> Stepper<X> for Ancestral {
    fn order(&self) -> u32 {
        1
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if let Some(same) = rescaled(x, from, to) {
            return same;
        }
        let denoised = model.denoise(x, from);
        // Rounding may lift the ratio of two close levels above 1.
        let ratio = noise_ratio(from, to).min(1.0);
        let removed = self.eta * ((1.0 - ratio) * (1.0 + ratio)).sqrt();
        let up = match self.fresh {
            Fresh::Removed => to.sigma() * removed,
            Fresh::Transition if to.sigma() == 0.0 => 0.0,
            // sigma_from² − (alpha_from/alpha_to)² sigma_to² is sigma_from² (1 − q²).
            Fresh::Transition => from.sigma() * removed,
        };
        // 1 - η² (1 - q²), as a sum of what is not negative.
        let (fixed, kept) = ((1.0 - self.eta) * (1.0 + self.eta), self.eta * ratio);
        let down = to.sigma() * (fixed + kept * kept).sqrt();
        let mean = renoised_in(x, denoised, from, to.alpha(), down);
        if up == 0.0 {
            return mean;
        }
        X::combine_in(up, noise.between(x, from, to), &[(1.0, &mean)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eta_is_checked() {
        assert!(Ancestral::new(0.0).is_ok());
        assert!(Ancestral::new(1.0).is_ok());
        assert_eq!(Ancestral::new(1.5), Err(Error::Eta { eta: 1.5 }));
        assert!(Ancestral::new(f64::NAN).is_err());
    }
}
