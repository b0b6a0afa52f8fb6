//! The rows of flow matching: velocities of the path from noise to data, or back.

use noise_schedule::{Kernel, NoiseSchedule};

use super::{Coefficients, Preconditioner};

/// Which end of the path a velocity points to; the two conventions differ by sign and by the direction of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From data to noise, ε − x₀, t = 0 at the data: Liu et al. 2022 in Stable Diffusion 3, diffusers' flow schedulers.
    ToNoise,
    /// From noise to data, x₀ − ε, t = 1 at the data: Lipman et al. 2022, Tong et al. 2023.
    ToData,
}

impl Direction {
    /// The sign of the velocity relative to [`Direction::ToNoise`].
    fn sign(self) -> f64 {
        match self {
            Direction::ToNoise => 1.0,
            Direction::ToData => -1.0,
        }
    }

    /// The time that runs this way, for a time `t` in \[0, 1\] that is 0 at the data.
    fn time(self, t: f64) -> f64 {
        match self {
            Direction::ToNoise => t,
            Direction::ToData => 1.0 - t,
        }
    }
}

/// F predicts ε − x₀, the velocity of the straight path x = (1 − σ) x₀ + σ ε, or its negative.
///
/// ε − x₀ can be asked for at any kernel: skip = 1/(α + σ), out = ∓σ/(α + σ), all finite at both ends of the scale.
/// The network sees x/(α + σ), which is x on the straight path itself, and the path's time there: σ/(α + σ), or
/// one minus it.
///
/// Liu, Gong and Liu 2022 (rectified flow), Lipman et al. 2022 (flow matching).
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{Direction, FlowVelocity, Preconditioner};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let velocity = FlowVelocity::new(Direction::ToNoise);
/// let c = velocity.at(Kernel::new(0.75, 0.25)?);
/// assert_eq!((c.skip, c.out, c.input, c.label), (1.0, -0.25, 1.0, 0.25));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "rectified flow")]
#[doc(alias = "flow_prediction")]
#[doc(alias = "CondOT")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowVelocity {
    direction: Direction,
}

impl FlowVelocity {
    /// The velocity that points this way.
    pub fn new(direction: Direction) -> FlowVelocity {
        FlowVelocity { direction }
    }
}

impl Preconditioner for FlowVelocity {
    fn at(&self, k: Kernel) -> Coefficients {
        let total = k.alpha() + k.sigma();
        Coefficients {
            skip: 1.0 / total,
            out: -self.direction.sign() * k.sigma() / total,
            input: 1.0 / total,
            label: self.direction.time(k.sigma() / total),
        }
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        k.sigma() / (k.alpha() + k.sigma())
    }

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        let denominator = k.sigma() * (k.alpha() + k.sigma());
        (
            -1.0 / denominator,
            -self.direction.sign() * k.alpha() / denominator,
        )
    }

    fn target_at(&self, _: Kernel) -> (f64, f64) {
        (-self.direction.sign(), self.direction.sign())
    }
}

/// F predicts u = α′ x₀ + σ′ ε, the velocity of a schedule's own path in its own time, or its negative.
///
/// With d = α σ′ − σ α′: skip = σ′/d and out = ∓σ/d.
/// d is positive where the log-SNR falls, so nothing is lost but at an end where α vanishes and both rates vanish or are infinite.
/// A kernel that is a multiple of the schedule's is understood as its rescaling.
/// The network sees x on the schedule's path, and the schedule's time t, or 1 − t.
///
/// Lipman et al. 2022, Albergo and Vanden-Eijnden 2022; for [`noise_schedule::Rectified`] it is [`FlowVelocity`].
#[doc(alias = "stochastic interpolant")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathVelocity<S> {
    schedule: S,
    direction: Direction,
}

impl<S: NoiseSchedule> PathVelocity<S> {
    /// The velocity of this schedule that points this way.
    pub fn new(schedule: S, direction: Direction) -> PathVelocity<S> {
        PathVelocity {
            schedule,
            direction,
        }
    }

    /// The row in the schedule's own scale and towards noise, and where on the schedule that is.
    fn share(&self, k: Kernel) -> Share {
        let t = self.schedule.time_at(k.log_snr());
        let (at, rates) = (self.schedule.kernel(t), self.schedule.rates(t));
        let (alpha, sigma) = (at.alpha(), at.sigma());
        // Divided by the larger rate: at an end of a schedule one of them may be infinite, or both may vanish.
        let (skip, output, residual) = if sigma == 0.0 {
            (1.0 / alpha, 0.0, 0.0)
        } else if rates.alpha.abs() < rates.sigma.abs() {
            let ratio = rates.alpha / rates.sigma;
            let d = alpha - sigma * ratio;
            (1.0 / d, sigma / rates.sigma / d, -sigma * ratio / d)
        } else {
            let ratio = rates.sigma / rates.alpha;
            let d = alpha * ratio - sigma;
            (ratio / d, sigma / rates.alpha / d, -sigma / d)
        };
        Share {
            skip,
            output,
            residual,
            t,
            scale: alpha.hypot(sigma) / k.alpha().hypot(k.sigma()),
        }
    }
}

/// What [`PathVelocity`] knows of a level.
struct Share {
    skip: f64,
    /// −out for a velocity towards noise.
    output: f64,
    residual: f64,
    t: f64,
    /// The schedule's kernel is this multiple of the level.
    scale: f64,
}

impl<S: NoiseSchedule> Preconditioner for PathVelocity<S> {
    fn at(&self, k: Kernel) -> Coefficients {
        let share = self.share(k);
        Coefficients {
            skip: share.skip * share.scale,
            out: -self.direction.sign() * share.output,
            input: share.scale,
            label: self.direction.time(share.t),
        }
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        self.share(k).residual
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let rates = self.schedule.rates(self.schedule.time_at(k.log_snr()));
        let sign = self.direction.sign();
        (sign * rates.alpha, sign * rates.sigma)
    }
}
