//! The numbers of a step in `f32`, operation by operation as the schedulers compute them.
//!
//! e^(−h) − 1 and its like lose digits in `f32` where steps are short, 6e-8/h of them: too many to reproduce a result without them.

use super::Algorithm;
use crate::compat::diffusers::single_levels::Level;
use crate::compat::single::exp;
use crate::dpm_solver::{Exponential, Integrand};

/// The step between two levels. Not finite where the schedulers divide by 0 or take the root of a negative number.
///
/// With noise and [`Integrand::Denoised`], the last weight is (1 − e^(−2h) − 2h)/(2h)² − ½, where + ½ would be right.
pub(super) fn step(from: Level, to: Level, algorithm: Algorithm) -> Exponential {
    let h = to.lambda - from.lambda;
    let (fall, rise, twice) = (exp(-h) - 1.0, exp(h) - 1.0, 1.0 - exp(-2.0 * h));
    let noisy = 0.0 < algorithm.eta;
    let (state, weights, noise) = match (algorithm.integrand, noisy) {
        (Integrand::Denoised, false) => (
            to.sigma / from.sigma,
            [
                -(to.alpha * fall),
                to.alpha * (fall / h + 1.0),
                -(to.alpha * ((fall + h) / (h * h) - 0.5)),
            ],
            0.0,
        ),
        (Integrand::Noise, false) => (
            to.alpha / from.alpha,
            [
                -(to.sigma * rise),
                -(to.sigma * (rise / h - 1.0)),
                -(to.sigma * ((rise - h) / (h * h) - 0.5)),
            ],
            0.0,
        ),
        (Integrand::Denoised, true) => (
            to.sigma / from.sigma * exp(-h),
            [
                to.alpha * twice,
                to.alpha * (twice / (-2.0 * h) + 1.0),
                to.alpha * ((twice - 2.0 * h) / (4.0 * (h * h)) - 0.5),
            ],
            to.sigma * twice.sqrt(),
        ),
        (Integrand::Noise, true) => (
            to.alpha / from.alpha,
            [
                -2.0 * (to.sigma * rise),
                -2.0 * (to.sigma * (rise / h - 1.0)),
                f32::NAN,
            ],
            to.sigma * (exp(2.0 * h) - 1.0).sqrt(),
        ),
    };
    Exponential {
        state: f64::from(state),
        weights: weights.map(f64::from),
        noise: f64::from(noise),
    }
}
