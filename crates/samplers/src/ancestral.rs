//! Ancestral sampling: DDPM, Euler ancestral, and DDIM with noise.

use noise_schedule::Kernel;

use crate::stepper::{noise_ratio, renoised, rescaled};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// The step that replaces part of the noise by fresh noise z:
/// x_to = alpha_to D + sigma_down eps + sigma_up z, with eps = (x − alpha_from D) / sigma_from,
/// sigma_up² = η² sigma_to² (1 − q²), sigma_down² = sigma_to² − sigma_up², q = r_to / r_from, r = sigma / alpha.
///
/// η = 0 is [`Ddim`](crate::Ddim), and draws no noise.
/// η = 1 is the posterior q(x_to | x_from, x_0 = D):
/// DDPM on variance-preserving kernels, Euler ancestral on variance-exploding ones.
/// Weak order 1, one evaluation; the step to sigma = 0 draws no noise.
///
/// Ho et al. 2020, DDPM (<https://arxiv.org/abs/2006.11239>), with the posterior variance;
/// Song, Meng & Ermon 2020, DDIM (<https://arxiv.org/abs/2010.02502>), with η.
#[doc(alias = "ddpm")]
#[doc(alias = "euler_ancestral")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ancestral {
    eta: f64,
}

impl Ancestral {
    /// The stepper with this share of fresh noise, in [0, 1].
    ///
    /// # Errors
    /// [`Error::Eta`] outside [0, 1].
    pub fn new(eta: f64) -> Result<Ancestral, Error> {
        if (0.0..=1.0).contains(&eta) {
            Ok(Ancestral { eta })
        } else {
            Err(Error::Eta { eta })
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
        let up = to.sigma() * self.eta * ((1.0 - ratio) * (1.0 + ratio)).sqrt();
        // 1 - η² (1 - q²), as a sum of what is not negative.
        let (fixed, kept) = ((1.0 - self.eta) * (1.0 + self.eta), self.eta * ratio);
        let down = to.sigma() * (fixed + kept * kept).sqrt();
        let mean = renoised(x, &denoised, from, to.alpha(), down);
        if up == 0.0 {
            return mean;
        }
        X::axpby(1.0, &mean, up, &noise.between(x, from, to))
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
