//! Explicit Runge–Kutta methods for the probability flow, in three variables.

use noise_schedule::{Kernel, NoiseSchedule};

use crate::starter::intermediate;
use crate::stepper::{renoised, rescaled};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// The variable in which a Runge–Kutta method takes its steps.
///
/// The flow is one curve whatever the variable; the errors of a method are not.
pub trait Axis {
    /// The level whose value lies this fraction of the way between those of two others, for a fraction in (0, 1).
    fn between(&self, from: Kernel, to: Kernel, fraction: f64) -> Kernel;

    /// The variable and the flow at a level.
    fn slope(&self, at: Kernel) -> Slope;
}

/// The flow at a level: with y = x / scale and s the variable of an [`Axis`], dy/ds = state·x + denoised·D.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The value of s; infinite or NaN where it has none.
    pub place: f64,
    /// The scale that x is divided by.
    pub scale: f64,
    /// The coefficient of x.
    pub state: f64,
    /// The coefficient of D.
    pub denoised: f64,
}

impl Slope {
    fn is_finite(self) -> bool {
        [self.scale.recip(), self.state, self.denoised]
            .iter()
            .all(|number| number.is_finite())
    }
}

/// The ratio r = sigma / alpha: d(x/alpha)/dr = eps = (x − alpha D) / sigma.
///
/// The variable of Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), and of [`Heun`](crate::Heun).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseToSignal;

impl Axis for NoiseToSignal {
    fn between(&self, from: Kernel, to: Kernel, fraction: f64) -> Kernel {
        let (start, end) = (from.noise_to_signal(), to.noise_to_signal());
        let ratio = start + fraction * (end - start);
        intermediate(from, to, (ratio / start).ln() / (end / start).ln())
    }

    fn slope(&self, at: Kernel) -> Slope {
        Slope {
            place: at.noise_to_signal(),
            scale: at.alpha(),
            state: at.sigma().recip(),
            denoised: -at.noise_to_signal().recip(),
        }
    }
}

/// Half the log-SNR, λ = ln(alpha / sigma): d(x/alpha)/dλ = D − x/alpha.
///
/// The variable of Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), without the exact treatment of the linear part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfLogSnr;

impl Axis for HalfLogSnr {
    fn between(&self, from: Kernel, to: Kernel, fraction: f64) -> Kernel {
        intermediate(from, to, fraction)
    }

    fn slope(&self, at: Kernel) -> Slope {
        Slope {
            place: 0.5 * at.log_snr(),
            scale: at.alpha(),
            state: -at.alpha().recip(),
            denoised: 1.0,
        }
    }
}

/// The time t of a schedule: dx/dt = (sigma′/sigma) x + (alpha′ − alpha sigma′/sigma) D.
///
/// With [`Rectified`](noise_schedule::Rectified) these are the Euler, midpoint, Heun and Runge–Kutta solvers of flow matching,
/// dx/dt = eps − x_0.
/// With another schedule they show what its time does to a method: the columns of table 1 of Karras et al. 2022
/// (<https://arxiv.org/abs/2206.00364>), sigma(t) and s(t) = alpha(t), with their generalised Heun step
/// [`Tableau::second`] (algorithm 1 of their appendix).
///
/// A level with the noise-to-signal ratio of a level of the schedule and another scale is taken for that level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time<S>(pub S);

impl<S: NoiseSchedule> Axis for Time<S> {
    fn between(&self, from: Kernel, to: Kernel, fraction: f64) -> Kernel {
        let (start, end) = (self.0.time_at(from.log_snr()), self.0.time_at(to.log_snr()));
        self.0
            .kernel((start + fraction * (end - start)).clamp(start.min(end), start.max(end)))
    }

    fn slope(&self, at: Kernel) -> Slope {
        let t = self.0.time_at(at.log_snr());
        let (level, rates) = (self.0.kernel(t), self.0.rates(t));
        // Through the norm, since either scale may be zero.
        let scale = at.alpha().hypot(at.sigma()) / level.alpha().hypot(level.sigma());
        let relative = rates.sigma / level.sigma();
        Slope {
            place: t,
            scale,
            state: relative / scale,
            denoised: rates.alpha - level.alpha() * relative,
        }
    }
}

/// The coefficients of an explicit Runge–Kutta method: k_i = f(s + c_i h, y + h Σ_{j<i} a_ij k_j), y ← y + h Σ b_i k_i.
#[derive(Clone, Debug, PartialEq)]
pub struct Tableau {
    order: u32,
    /// c_i and a_ij of every stage but the first, for which both are zero.
    pub(crate) stages: Vec<(f64, Vec<f64>)>,
    pub(crate) weights: Vec<f64>,
}

impl Tableau {
    /// Euler's method, of order 1.
    pub fn euler() -> Tableau {
        Tableau {
            order: 1,
            stages: Vec::new(),
            weights: vec![1.0],
        }
    }

    /// The methods of order 2 with two stages, the second at the fraction α of the step:
    /// 1/2 is the midpoint rule, 2/3 Ralston's method, 1 Heun's.
    ///
    /// # Errors
    /// [`Error::Fraction`] unless 0 < α ≤ 1.
    #[doc(alias = "ralston")]
    pub fn second(alpha: f64) -> Result<Tableau, Error> {
        if !(0.0 < alpha && alpha <= 1.0) {
            return Err(Error::Fraction {
                name: "alpha",
                value: alpha,
            });
        }
        Ok(Tableau::two_stages(alpha))
    }

    /// The midpoint rule, of order 2.
    pub fn midpoint() -> Tableau {
        Tableau::two_stages(0.5)
    }

    /// Heun's method, of order 2: the trapezoidal rule after Euler's step.
    pub fn heun() -> Tableau {
        Tableau::two_stages(1.0)
    }

    /// Kutta's method of order 3, with three stages.
    pub fn kutta() -> Tableau {
        Tableau {
            order: 3,
            stages: vec![(0.5, vec![0.5]), (1.0, vec![-1.0, 2.0])],
            weights: vec![1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0],
        }
    }

    /// The classical method of order 4, with four stages.
    #[doc(alias = "rk4")]
    pub fn classical() -> Tableau {
        Tableau {
            order: 4,
            stages: vec![
                (0.5, vec![0.5]),
                (0.5, vec![0.0, 0.5]),
                (1.0, vec![0.0, 0.0, 1.0]),
            ],
            weights: vec![1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
        }
    }

    /// Kutta's 3/8 rule, of order 4, with four stages.
    pub fn three_eighths() -> Tableau {
        Tableau {
            order: 4,
            stages: vec![
                (1.0 / 3.0, vec![1.0 / 3.0]),
                (2.0 / 3.0, vec![-1.0 / 3.0, 1.0]),
                (1.0, vec![1.0, -1.0, 1.0]),
            ],
            weights: vec![0.125, 0.375, 0.375, 0.125],
        }
    }

    fn two_stages(alpha: f64) -> Tableau {
        Tableau {
            order: 2,
            stages: vec![(alpha, vec![alpha])],
            weights: vec![1.0 - 0.5 / alpha, 0.5 / alpha],
        }
    }
}

/// An explicit Runge–Kutta step of the probability flow in the variable of an [`Axis`].
///
/// The order and the evaluations per step are those of the [`Tableau`].
/// To sigma = 0 and from there, and from or to alpha = 0 where the variable or its flow is not finite,
/// the step is [`Ddim`](crate::Ddim)'s, of one evaluation; a flow in [`Time`] may start from pure noise.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel, Rectified};
/// use samplers::{RungeKutta, Silent, Tableau, Time, sample};
/// let mut model = |x: &Array1<f64>, k: Kernel| x * (k.alpha() / (k.alpha().powi(2) + k.sigma().powi(2)));
/// let grid = Grid::uniform_time(&Rectified, 1.0, 0.0, 10)?;
/// let stepper = RungeKutta::new(Tableau::classical(), Time(Rectified));
/// let x = sample(&grid, stepper, &mut model, &mut Silent, array![0.8]);
/// assert!((x[0] - 0.8).abs() < 0.01); // the flow of N(0, 1) data keeps x/√(alpha² + sigma²)
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "FlowMatchHeunDiscreteScheduler")]
#[doc(alias = "ablation_sampler")]
#[derive(Clone, Debug, PartialEq)]
pub struct RungeKutta<A> {
    tableau: Tableau,
    axis: A,
}

impl<A: Axis> RungeKutta<A> {
    /// The method with these coefficients in this variable.
    pub fn new(tableau: Tableau, axis: A) -> RungeKutta<A> {
        RungeKutta { tableau, axis }
    }

    /// The levels of the stages, the flow at each, and the length of the step; none if one is not finite.
    fn stages(&self, from: Kernel, to: Kernel) -> Option<(f64, Vec<(Kernel, Slope)>)> {
        let length = self.axis.slope(to).place - self.axis.slope(from).place;
        if !length.is_finite() || from.sigma() == 0.0 || to.sigma() == 0.0 {
            return None;
        }
        let later = self.tableau.stages.iter().map(|&(fraction, _)| fraction);
        let stages: Vec<(Kernel, Slope)> = [0.0]
            .into_iter()
            .chain(later)
            .map(|fraction| {
                let level = match fraction {
                    0.0 => from,
                    1.0 => to,
                    _ => self.axis.between(from, to, fraction),
                };
                (level, self.axis.slope(level))
            })
            .collect();
        let finite = stages.iter().all(|(_, slope)| slope.is_finite());
        finite.then_some((length, stages))
    }
}

impl<X: VectorSpace, A: Axis> Stepper<X> for RungeKutta<A> {
    fn order(&self) -> u32 {
        self.tableau.order
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
        let Some((length, stages)) = self.stages(from, to) else {
            return renoised(x, &model.denoise(x, from), from, to.alpha(), to.sigma());
        };
        let start = stages[0].1.scale;
        let mut slopes: Vec<X> = Vec::with_capacity(stages.len());
        // scale (x / start + h Σ weight_j k_j)
        let state = |scale: f64, weights: &[f64], slopes: &[X]| {
            let added = weights
                .iter()
                .map(|weight| scale * length * weight)
                .zip(slopes);
            let terms: Vec<(f64, &X)> = [(scale / start, x)].into_iter().chain(added).collect();
            X::combine(&terms)
        };
        let remember = |slopes: &mut Vec<X>,
                        model: &mut dyn Denoiser<X>,
                        x: &X,
                        (at, slope): (Kernel, Slope)| {
            let denoised = model.denoise(x, at);
            slopes.push(X::axpby(slope.state, x, slope.denoised, &denoised));
        };
        remember(&mut slopes, model, x, stages[0]);
        for ((_, weights), &stage) in self.tableau.stages.iter().zip(&stages[1..]) {
            let inner = state(stage.1.scale, weights, &slopes);
            remember(&mut slopes, model, &inner, stage);
        }
        state(self.axis.slope(to).scale, &self.tableau.weights, &slopes)
    }
}
