//! Denoisers with their derivatives, and the probes that ask for them.

use noise_schedule::Kernel;
use rand::{Rng, RngCore};

use crate::{Batch, Coordinates, Denoiser, Error, PerSample};

/// A denoiser with its directional derivatives (∂D/∂x) v.
///
/// Closures `FnMut(&X, &[X], &[Kernel]) -> (X, Vec<X>)` are such: automatic differentiation, forward mode, or closed forms.
/// Where there is none, [`CentralDifferences`].
#[doc(alias = "jvp")]
pub trait Derivatives<X> {
    /// D at the states `x`, sample i at the level `at[i]`, and its derivative along each of the directions.
    ///
    /// # Shapes
    /// Every direction and every result has the shape of `x`; samples lie along the leading axis.
    fn derivatives(&mut self, x: &X, directions: &[X], at: &[Kernel]) -> (X, Vec<X>);
}

impl<X, F: FnMut(&X, &[X], &[Kernel]) -> (X, Vec<X>)> Derivatives<X> for F {
    fn derivatives(&mut self, x: &X, directions: &[X], at: &[Kernel]) -> (X, Vec<X>) {
        self(x, directions, at)
    }
}

/// The derivatives of a denoiser by central differences, (D(x + h v) − D(x − h v)) / 2h with h = step sigma:
/// one evaluation, and two per direction.
///
/// D changes over lengths of sigma, so that the error is of order step² and rounding of order ε|D|/(step sigma);
/// 1e-3 is a good step in `f64`, and 0.03 in `f32`, for directions with entries near 1.
#[derive(Clone, Debug)]
pub struct CentralDifferences<D> {
    model: D,
    step: f64,
}

impl<D> CentralDifferences<D> {
    /// The differences of this denoiser with this step, in units of sigma.
    ///
    /// # Errors
    /// [`Error::Spread`] unless the step is positive and finite.
    pub fn new(model: D, step: f64) -> Result<CentralDifferences<D>, Error> {
        if 0.0 < step && step.is_finite() {
            Ok(CentralDifferences { model, step })
        } else {
            Err(Error::Spread {
                name: "central differences: the step",
                value: step,
            })
        }
    }
}

impl<X: Batch, D: Denoiser<X>> Derivatives<X> for CentralDifferences<D> {
    fn derivatives(&mut self, x: &X, directions: &[X], at: &[Kernel]) -> (X, Vec<X>) {
        let denoised = self.model.denoise_each(x, at);
        let (states, step) = (x.split(), self.step);
        let mut moved = |direction: &[X], sign: f64| {
            let parts = states.iter().zip(direction).zip(at);
            let parts: Vec<X> = parts
                .map(|((x, v), level)| X::axpby(1.0, x, sign * step * level.sigma(), v))
                .collect();
            self.model.denoise_each(&X::stack(&parts), at).split()
        };
        let derivative = |direction: &X| {
            let direction = direction.split();
            let (ahead, behind) = (moved(&direction, 1.0), moved(&direction, -1.0));
            let parts = ahead
                .iter()
                .zip(&behind)
                .zip(at)
                .map(|((ahead, behind), level)| {
                    let scale = (2.0 * step * level.sigma()).recip();
                    X::axpby(scale, ahead, -scale, behind)
                });
            X::stack(&parts.collect::<Vec<X>>())
        };
        (denoised, directions.iter().map(derivative).collect())
    }
}

/// A probe with entries ±1, each with probability ½; each sample from its own stream.
///
/// Of all probes with independent entries it has the least variance: only the entries off the diagonal contribute.
///
/// # Shapes
/// The result has the shape of `like`, whose values do not matter; samples lie along the leading axis.
///
/// # Panics
/// If the number of samples is not that of the streams.
pub fn rademacher<X: Coordinates, R: RngCore>(streams: &mut PerSample<R>, like: &X) -> X {
    let samples = like.split();
    streams.expect(samples.len());
    let parts = samples
        .iter()
        .zip(&mut streams.streams)
        .map(|(sample, stream)| {
            let sign = |_| if stream.random() { 1.0 } else { -1.0 };
            sample.with_values(sample.values().into_iter().map(sign).collect())
        });
    X::stack(&parts.collect::<Vec<X>>())
}
