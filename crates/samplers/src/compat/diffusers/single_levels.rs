//! Levels of noise in `f32`, as the schedulers in λ-space hold them while they compute their coefficients.
//!
//! Their formulas of higher order subtract nearly equal numbers; what that leaves is theirs only if it is rounded as theirs is.

use noise_schedule::compat::diffusers::log_sigmas;

use super::lambda_space::Levels;
use crate::compat::single::ln;

/// One level, with λ = ln alpha − ln sigma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) alpha: f32,
    pub(super) sigma: f32,
    pub(super) lambda: f32,
    /// The sigma of the scheduler's grid, which is not always that of the level.
    pub(super) raw: f32,
}

impl Level {
    /// The level of this sigma.
    pub(super) fn new(raw: f32, levels: Levels) -> Level {
        let (alpha, sigma) = match levels {
            Levels::Preserving => {
                let alpha = 1.0 / (raw * raw + 1.0).sqrt();
                (alpha, raw * alpha)
            }
            Levels::Flow => (1.0 - raw, raw),
            Levels::Exploding => (1.0, raw),
        };
        Level {
            alpha,
            sigma,
            lambda: ln(alpha) - ln(sigma),
            raw,
        }
    }

    /// ln(sigma/alpha), by numpy's logarithm.
    pub(super) fn log_rho(self) -> f32 {
        log_sigmas(&[self.sigma / self.alpha])[0]
    }
}
