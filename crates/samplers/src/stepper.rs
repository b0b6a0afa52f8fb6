//! The trait of one sampling step, and what its implementations share.

use noise_schedule::Kernel;

use crate::{Denoiser, NoiseSource, VectorSpace};

/// One step of a sampler, from a kernel to another: one that is at most as noisy, but for a [`walk`](crate::walk) that rises.
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

/// A stepper that can be copied through a box, as every `Clone` stepper can.
pub trait CloneStepper<X>: Stepper<X> {
    /// A copy with the same memory of earlier steps.
    fn clone_box(&self) -> Box<dyn CloneStepper<X>>;
}

impl<X, S: Stepper<X> + Clone + 'static> CloneStepper<X> for S {
    fn clone_box(&self) -> Box<dyn CloneStepper<X>> {
        Box::new(self.clone())
    }
}

impl<X> Clone for Box<dyn CloneStepper<X>> {
    fn clone(&self) -> Self {
        // Of the stepper inside: the box is a stepper itself.
        (**self).clone_box()
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
/// From clean data it is alpha D: their score is finite, so that the mean of eps, −sigma score, is 0.
pub(crate) fn renoised<X: VectorSpace>(
    x: &X,
    denoised: &X,
    from: Kernel,
    alpha: f64,
    sigma: f64,
) -> X {
    let kept = if from.sigma() == 0.0 {
        0.0
    } else {
        sigma / from.sigma()
    };
    X::axpby(kept, x, alpha - from.alpha() * kept, denoised)
}

/// The level with this noise-to-signal ratio and the scale of `at`: the one that it has in common with `other`,
/// alpha (variance exploding) or alpha + sigma (flows), and else that of alpha² + sigma².
pub(crate) fn with_noise_to_signal(at: Kernel, other: Kernel, ratio: f64) -> Kernel {
    let (sum, others) = (at.alpha() + at.sigma(), other.alpha() + other.sigma());
    let alpha = if at.alpha() == other.alpha() {
        at.alpha()
    } else if (sum - others).abs() < 1e-12 * sum && !is_variance_preserving(at) {
        sum / (1.0 + ratio)
    } else {
        at.alpha().hypot(at.sigma()) / ratio.hypot(1.0)
    };
    Kernel::new(alpha, alpha * ratio).expect("a finite ratio and a level's own scale")
}

/// How many of these levels a polynomial may go through that is extrapolated to `to`; the first is where the step starts,
/// the others lie before it, the latest first.
///
/// It ends where two are closer, in ln(alpha/sigma), than a thousandth of the step: levels that are one but for rounding
/// would multiply the rounding of their values by the ratio of the lengths.
pub(crate) fn far_apart(levels: impl Iterator<Item = Kernel>, to: Kernel) -> usize {
    let places: Vec<f64> = levels.map(Kernel::log_snr).collect();
    let least = 1e-3 * (to.log_snr() - places[0]).abs();
    let apart = |pair: &&[f64]| least <= (pair[0] - pair[1]).abs();
    1 + places.windows(2).take_while(apart).count()
}

/// Whether alpha² + sigma² = 1, to rounding: two such levels may share alpha + sigma, with their scales exchanged.
pub(crate) fn is_variance_preserving(at: Kernel) -> bool {
    (at.alpha().hypot(at.sigma()) - 1.0).abs() < 1e-12
}

/// [`renoised`], in the memory of `denoised`.
pub(crate) fn renoised_in<X: VectorSpace>(
    x: &X,
    denoised: X,
    from: Kernel,
    alpha: f64,
    sigma: f64,
) -> X {
    let kept = if from.sigma() == 0.0 {
        0.0
    } else {
        sigma / from.sigma()
    };
    X::combine_in(alpha - from.alpha() * kept, denoised, &[(kept, x)])
}

/// The ratio of noise-to-signal ratios `to` / `from`, in [0, 1] along a grid; 0 from pure noise and to clean data.
pub(crate) fn noise_ratio(from: Kernel, to: Kernel) -> f64 {
    (to.sigma() / from.sigma()) * (from.alpha() / to.alpha())
}
