//! DDIM, which is Euler's method in sigma / alpha.

use noise_schedule::Kernel;

use crate::stepper::{renoised_in, rescaled};
use crate::{Denoiser, NoiseSource, Stepper, VectorSpace};

/// The deterministic first-order step x_to = alpha_to D + sigma_to eps, with eps = (x − alpha_from D) / sigma_from.
///
/// It is Euler's method for the probability flow in the ratio r = sigma / alpha,
/// x/alpha ← x/alpha + (r_to − r_from) eps. Order 1, one evaluation.
///
/// Song, Meng & Ermon 2020, DDIM (<https://arxiv.org/abs/2010.02502>), with η = 0;
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), Euler's method in σ.
#[doc(alias = "euler")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ddim;

impl<X: VectorSpace> Stepper<X> for Ddim {
    fn order(&self) -> u32 {
        1
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        _noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if let Some(same) = rescaled(x, from, to) {
            return same;
        }
        let denoised = model.denoise(x, from);
        renoised_in(x, denoised, from, to.alpha(), to.sigma())
    }
}
