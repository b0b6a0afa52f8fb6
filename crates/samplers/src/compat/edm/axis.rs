//! The noise level and the scale of the state as functions of time, as EDM's `ablation_sampler` has them.

use noise_schedule::Kernel;

use crate::Error;
use crate::compat::recipe::Stage;

/// A noise level as a function of time, and the scale of the state: x(t) = s(t) (x_0 + sigma(t) eps).
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) schedule: Schedule,
    pub(super) scaling: Scaling,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Schedule {
    /// sigma² + 1 = exp(beta_d t²/2 + beta_min t).
    Preserving { beta_d: f64, beta_min: f64 },
    /// sigma = √t.
    Exploding,
    /// sigma = t.
    Linear,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Scaling {
    /// s = 1/√(1 + sigma²).
    Preserving,
    /// s = 1.
    One,
}

impl Schedule {
    /// The variance-preserving schedule from `sigma_min` at time `epsilon` to `sigma_max` at time 1.
    pub(super) fn preserving(sigma_min: f64, sigma_max: f64, epsilon: f64) -> Schedule {
        let (low, high) = (
            (sigma_min * sigma_min).ln_1p(),
            (sigma_max * sigma_max).ln_1p(),
        );
        let beta_d = 2.0 * (low / epsilon - high) / (epsilon - 1.0);
        Schedule::Preserving {
            beta_d,
            beta_min: high - 0.5 * beta_d,
        }
    }

    pub(super) fn sigma(self, t: f64) -> f64 {
        match self {
            Schedule::Preserving { beta_d, beta_min } => {
                (0.5 * beta_d * t * t + beta_min * t).exp_m1().sqrt()
            }
            Schedule::Exploding => t.sqrt(),
            Schedule::Linear => t,
        }
    }

    /// d(sigma)/dt.
    fn rate(self, t: f64) -> f64 {
        let sigma = self.sigma(t);
        match self {
            Schedule::Preserving { beta_d, beta_min } => {
                0.5 * (beta_min + beta_d * t) * (sigma + 1.0 / sigma)
            }
            Schedule::Exploding => 0.5 / sigma,
            Schedule::Linear => 1.0,
        }
    }

    pub(super) fn time(self, sigma: f64) -> f64 {
        match self {
            Schedule::Preserving { beta_d, beta_min } => {
                let exponent = (sigma * sigma).ln_1p();
                ((beta_min * beta_min + 2.0 * beta_d * exponent).sqrt() - beta_min) / beta_d
            }
            Schedule::Exploding => sigma * sigma,
            Schedule::Linear => sigma,
        }
    }
}

impl Axis {
    pub(super) fn scale(self, t: f64) -> f64 {
        match self.scaling {
            Scaling::Preserving => self.schedule.sigma(t).hypot(1.0).recip(),
            Scaling::One => 1.0,
        }
    }

    pub(super) fn level(self, t: f64) -> Result<Kernel, Error> {
        let scale = self.scale(t);
        Ok(Kernel::new(scale, scale * self.schedule.sigma(t))?)
    }

    /// The evaluation at time `t` of the flow dx/dt = (sigma′/sigma + s′/s) x − (sigma′ s/sigma) D, times `weight`.
    pub(super) fn slope(self, t: f64, weight: f64) -> Result<Stage, Error> {
        let (sigma, rate, scale) = (self.schedule.sigma(t), self.schedule.rate(t), self.scale(t));
        let relative = match self.scaling {
            Scaling::Preserving => -sigma * rate * scale * scale,
            Scaling::One => 0.0,
        };
        let pair = (rate / sigma + relative, -rate * scale / sigma);
        Ok(Stage::explicit(self.level(t)?, pair, weight))
    }
}
