//! Heun's method in sigma / alpha.

use noise_schedule::Kernel;

use crate::stepper::{noise_ratio, renoised, rescaled};
use crate::{Denoiser, NoiseSource, Stepper, VectorSpace};

/// Heun's second-order step for the probability flow in the ratio r = sigma / alpha:
/// a [`Ddim`](crate::Ddim) step, then the trapezoidal rule with the slope at its end.
///
/// With y the DDIM step, D₁ = D(x; from) and D₂ = D(y; to), the trapezoidal rule comes down to one correction,
/// x_to = y + (alpha_to / 2) (r_from / r_to − 1) (D₂ − D₁).
///
/// Order 2, one evaluation per slope: two.
/// One to sigma = 0, where the second slope does not exist, and one from alpha = 0, where r is infinite:
/// there the step is DDIM's.
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), Algorithm 1, for any kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heun;

impl<X: VectorSpace> Stepper<X> for Heun {
    fn order(&self) -> u32 {
        2
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
        let first = model.denoise(x, from);
        let predicted = renoised(x, &first, from, to.alpha(), to.sigma());
        // The correction's weight is infinite to sigma = 0 and from alpha = 0.
        let weight = 0.5 * to.alpha() * (1.0 / noise_ratio(from, to) - 1.0);
        if weight.is_infinite() {
            return predicted;
        }
        let second = model.denoise(&predicted, to);
        X::combine_in(weight, second, &[(1.0, &predicted), (-weight, &first)])
    }
}
