//! The trait of one sampling step, and what its implementations share.

use noise_schedule::Kernel;

use crate::{Denoiser, NoiseSource, VectorSpace};

/// One step of a sampler, from a kernel to one that is at most as noisy.
///
/// A value serves one trajectory, because it may remember earlier steps: construct, drive, drop.
/// The trait is object-safe, and boxes and mutable references of steppers are steppers.
///
/// Laws, which the tests of this crate check: a step between levels of one
/// [`noise_to_signal`](Kernel::noise_to_signal) multiplies by the ratio of the scales and evaluates nothing;
/// a step to sigma = 0 returns alpha D; every step along a `Grid` is finite if the denoiser is.
pub trait Stepper<X> {
    /// The order of convergence: halving every step divides the error by 2^order.
    /// For a stochastic stepper, the weak order: that of the error of expectations.
    fn order(&self) -> u32;

    /// The state at the level `to`, from the state `x` at the level `from`.
    ///
    /// # Shapes
    /// The result has the shape of `x`; samples lie along the leading axis.
    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X;
}

impl<X, S: Stepper<X> + ?Sized> Stepper<X> for &mut S {
    fn order(&self) -> u32 {
        (**self).order()
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        (**self).step(model, noise, x, from, to)
    }
}

impl<X, S: Stepper<X> + ?Sized> Stepper<X> for Box<S> {
    fn order(&self) -> u32 {
        (**self).order()
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        (**self).step(model, noise, x, from, to)
    }
}

/// The state at `to` if both levels have one noise-to-signal ratio: then only the scale changes.
pub(crate) fn rescaled<X: VectorSpace>(x: &X, from: Kernel, to: Kernel) -> Option<X> {
    if from == to {
        return Some(x.clone());
    }
    // Multiplied crosswise, so that pure noise (alpha = 0) needs no exception.
    if to.sigma() * from.alpha() != from.sigma() * to.alpha() {
        return None;
    }
    let scale = if 0.0 < from.alpha() {
        to.alpha() / from.alpha()
    } else {
        to.sigma() / from.sigma()
    };
    Some(X::axpby(scale, x, 0.0, x))
}

/// alpha D + sigma eps, where eps = (x − alpha_from D) / sigma_from is the noise in `x` if `denoised` is its signal:
/// (sigma / sigma_from) x + (alpha − alpha_from sigma / sigma_from) D.
///
/// In this form nothing is divided by alpha: it holds for a step from pure noise.
pub(crate) fn renoised<X: VectorSpace>(
    x: &X,
    denoised: &X,
    from: Kernel,
    alpha: f64,
    sigma: f64,
) -> X {
    let kept = sigma / from.sigma();
    X::axpby(kept, x, alpha - from.alpha() * kept, denoised)
}

/// The ratio of noise-to-signal ratios `to` / `from`, in [0, 1] along a grid; 0 from pure noise and to clean data.
pub(crate) fn noise_ratio(from: Kernel, to: Kernel) -> f64 {
    (to.sigma() / from.sigma()) * (from.alpha() / to.alpha())
}
