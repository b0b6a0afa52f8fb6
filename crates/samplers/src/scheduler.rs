//! The call shapes that users of diffusers, diffusers-rs and candle know, over any stepper.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use ndarray::Array1;
use noise_schedule::{Grid, Kernel};

use crate::stepper::CloneStepper;
use crate::{Combination, Denoiser, Error, Lifted, NoiseSource, Solver, VectorSpace};

/// What the network's answer means.
///
/// Each row is one affine map D = skip x + out·answer at a kernel (alpha, sigma), with x = alpha x_0 + sigma eps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// The noise eps: D = (x − sigma eps) / alpha; not defined for pure noise.
    Epsilon,
    /// The clean sample: D itself.
    Sample,
    /// v = (alpha eps − sigma x_0) / h, where h² = alpha² + sigma² is 1 for variance-preserving kernels:
    /// D = (alpha x − sigma h v) / h².
    ///
    /// Salimans & Ho 2022 (<https://arxiv.org/abs/2202.00512>), appendix D, for h = 1.
    Velocity,
    /// The score, −eps/sigma: D = (x + sigma² score) / alpha; not defined for pure noise.
    Score,
    /// The flow's eps − x_0: D = (x − sigma (eps − x_0)) / (alpha + sigma).
    Flow,
    /// EDM's F with this standard deviation of the data:
    /// D = c_skip x + c_out F, c_skip = s²/(sigma² + s²), c_out = sigma s/√(sigma² + s²), for alpha = 1.
    ///
    /// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), table 1.
    Edm {
        /// Standard deviation s of the data, positive.
        sigma_data: f64,
        /// The sign of c_out: 1 in EDM, −1 where F is named a v-prediction.
        sign: f64,
    },
}

impl Prediction {
    /// The pair (skip, out) of D = skip x + out·answer at this level.
    pub fn coefficients(self, at: Kernel) -> (f64, f64) {
        let (alpha, sigma) = (at.alpha(), at.sigma());
        match self {
            Prediction::Epsilon => (alpha.recip(), -sigma / alpha),
            Prediction::Sample => (0.0, 1.0),
            Prediction::Velocity => {
                let h = alpha.hypot(sigma);
                (alpha / (h * h), -sigma / h)
            }
            Prediction::Score => (alpha.recip(), sigma * sigma / alpha),
            Prediction::Flow => ((alpha + sigma).recip(), -sigma / (alpha + sigma)),
            Prediction::Edm { sigma_data, sign } => {
                let (ratio, h) = (sigma / alpha, (sigma / alpha).hypot(sigma_data));
                let skip = (sigma_data / h).powi(2) / alpha;
                (skip, sign * ratio * sigma_data / h)
            }
        }
    }

    /// The clean sample that this answer stands for.
    pub fn denoised<X: VectorSpace>(self, answer: &X, x: &X, at: Kernel) -> X {
        let (skip, out) = self.coefficients(at);
        X::axpby(skip, x, out, answer)
    }

    /// The answer that stands for this clean sample.
    ///
    /// At sigma = 0 it is the one for eps = 0, which is the mean of eps there; there is none for [`Prediction::Score`].
    pub fn answer<X: VectorSpace>(self, denoised: &X, x: &X, at: Kernel) -> X {
        let (state, clean) = self.answer_coefficients(at);
        X::axpby(state, x, clean, denoised)
    }

    /// The pair (state, clean) of answer = state x + clean D.
    pub(crate) fn answer_coefficients(self, at: Kernel) -> (f64, f64) {
        let (alpha, sigma) = (at.alpha(), at.sigma());
        // Not the inverse of the coefficients, which are infinite for eps at alpha = 0, where eps itself is not.
        match self {
            Prediction::Flow if sigma == 0.0 => (0.0, -1.0),
            Prediction::Epsilon | Prediction::Velocity | Prediction::Edm { .. } if sigma == 0.0 => {
                (0.0, 0.0)
            }
            Prediction::Epsilon => (sigma.recip(), -alpha / sigma),
            Prediction::Sample => (0.0, 1.0),
            Prediction::Velocity => {
                let h = alpha.hypot(sigma);
                (alpha / (h * sigma), -h / sigma)
            }
            Prediction::Score => (-sigma.powi(-2), alpha * sigma.powi(-2)),
            Prediction::Flow => (sigma.recip(), -(alpha + sigma) / sigma),
            Prediction::Edm { .. } => {
                let (skip, out) = self.coefficients(at);
                (-skip / out, out.recip())
            }
        }
    }
}

/// What the network is shown in place of the state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The state itself.
    State,
    /// The state over its standard deviation, x / √(alpha² s² + sigma²) for data of standard deviation s.
    UnitVariance {
        /// Standard deviation s of the data, positive.
        sigma_data: f64,
    },
}

impl Input {
    fn shown<X: VectorSpace>(self, x: &X, at: Kernel) -> X {
        match self {
            Input::State => x.clone(),
            Input::UnitVariance { sigma_data } => {
                let scale = (at.alpha() * sigma_data).hypot(at.sigma()).recip();
                X::combine(&[(scale, x)])
            }
        }
    }
}

/// One call of the network: what it is told, and the level of its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// The number that the network is conditioned on.
    pub timestep: f64,
    /// The level of the state that it sees.
    pub at: Kernel,
}

/// A sampler made ready: every step, every call of the network, and what its answers mean.
#[derive(Clone)]
pub struct Prepared<X> {
    /// The levels of each step of the stepper. They need not chain: some peers step from a level to another than they say.
    pub steps: Vec<(Kernel, Kernel)>,
    /// What takes the steps, at the start of a trajectory. It sums coefficients; its drivers work its states out.
    pub stepper: Box<dyn CloneStepper<Combination<X>>>,
    /// The calls of the network, in order.
    pub calls: Vec<Call>,
    /// The grid in the words of the peer that has one, its last entry included; empty otherwise.
    pub sigmas: Vec<f64>,
    /// Standard deviation of the state before the first step.
    pub init_noise_sigma: f64,
    /// What the network is shown.
    pub input: Input,
    /// What the network answers.
    pub prediction: Prediction,
}

impl<X> fmt::Debug for Prepared<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("steps", &self.steps)
            .field("calls", &self.calls)
            .field("prediction", &self.prediction)
            .finish_non_exhaustive()
    }
}

/// A sampler that is driven from outside: one call of [`step`](Scheduler::step) per answer of the network.
///
/// Any stepper can be driven so, those with several evaluations per step too:
/// a step is replayed with the answers that it has, and its first question without one is the next thing to ask.
#[derive(Clone, Debug)]
pub struct Scheduler<X> {
    prepared: Prepared<X>,
    timesteps: Vec<f64>,
    /// The number of finished steps, and of answered calls.
    finished: usize,
    answered: usize,
    /// The state at the start of the open step, and what the step was told so far.
    state: Option<Combination<X>>,
    answers: Vec<Combination<X>>,
    draws: Vec<Combination<X>>,
}

impl<X: VectorSpace> Scheduler<X> {
    /// The scheduler at the start of a trajectory.
    pub fn new(prepared: Prepared<X>) -> Scheduler<X> {
        Scheduler {
            timesteps: prepared.calls.iter().map(|call| call.timestep).collect(),
            prepared,
            finished: 0,
            answered: 0,
            state: None,
            answers: Vec::new(),
            draws: Vec::new(),
        }
    }

    /// What the network is told, call by call.
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// The noise-to-signal ratios of the grid where the sampler has one, its last entry included.
    pub fn sigmas(&self) -> &[f64] {
        &self.prepared.sigmas
    }

    /// The standard deviation of the state before the first step.
    pub fn init_noise_sigma(&self) -> f64 {
        self.prepared.init_noise_sigma
    }

    /// The next call of the network; none after the last.
    pub fn next_call(&self) -> Option<Call> {
        self.prepared.calls.get(self.answered).copied()
    }

    /// What the network is shown of `sample` in the next call.
    ///
    /// # Panics
    /// After the last call, or if `timestep` is not that of the next call.
    pub fn scale_model_input(&self, sample: &X, timestep: f64) -> X {
        let at = self.expect(timestep).at;
        self.prepared.input.shown(sample, at)
    }

    /// The state for the next call of the network, from the network's answer for `sample`; after the last call, the result.
    ///
    /// Both are taken, since steps are made in their memory.
    ///
    /// # Panics
    /// After the last call, or if `timestep` is not that of the next call.
    pub fn step(
        &mut self,
        answer: X,
        timestep: f64,
        sample: X,
        noise: &mut dyn NoiseSource<X>,
    ) -> X {
        self.expect(timestep);
        if self.answers.is_empty() && self.draws.is_empty() {
            // The caller may have changed the state between two steps: theirs counts, unless noise was added to it.
            self.state = Some(sample.into());
        }
        self.answers.push(answer.into());
        self.answered += 1;
        self.replay(noise)
    }

    /// alpha x_0 + sigma noise, at the level of the first call with this timestep.
    ///
    /// # Errors
    /// [`Error::Timestep`] if no call has it.
    pub fn add_noise(&self, original: &X, noise: &X, timestep: f64) -> Result<X, Error> {
        let call = self
            .prepared
            .calls
            .iter()
            .find(|call| call.timestep == timestep);
        let at = call.ok_or(Error::Timestep { timestep })?.at;
        Ok(X::axpby(at.alpha(), original, at.sigma(), noise))
    }

    fn expect(&self, timestep: f64) -> Call {
        let call = self
            .next_call()
            .expect("scheduler: a call of the network is left");
        assert!(
            call.timestep == timestep,
            "scheduler: the next timestep is {}, got {timestep}; call step once for each of timesteps(), in order",
            call.timestep
        );
        call
    }

    /// Runs the open step with the answers so far, and further steps while they ask nothing.
    fn replay(&mut self, noise: &mut dyn NoiseSource<X>) -> X {
        loop {
            let state = self.state.as_ref().expect("a step is open");
            let Some(&(from, to)) = self.prepared.steps.get(self.finished) else {
                return self.state.take().expect("as above").into_state();
            };
            let mut stepper = self.prepared.stepper.clone();
            let question = Cell::new(None);
            let prediction = self.prepared.prediction;
            let calls = &self.prepared.calls[self.answered - self.answers.len()..];
            let mut answers = self.answers.iter().zip(calls);
            let mut model = |x: &Combination<X>, _at: Kernel| match answers.next() {
                Some((answer, call)) => prediction.denoised(answer, x, call.at),
                None => {
                    let first = question.take().unwrap_or_else(|| x.clone());
                    question.set(Some(first));
                    // What follows from this stand-in is thrown away.
                    x.clone()
                }
            };
            let mut drawn = 0;
            let draws = &mut self.draws;
            let mut recorded = |like: &Combination<X>, from: Kernel, to: Kernel| {
                let open = question.take();
                let unanswered = open.is_some();
                question.set(open);
                if unanswered {
                    return like.clone();
                }
                if drawn == draws.len() {
                    draws.push(Lifted(&mut *noise).between(like, from, to));
                }
                drawn += 1;
                draws[drawn - 1].clone()
            };
            let next = stepper.step(&mut model, &mut recorded, state, from, to);
            if let Some(x) = question.into_inner() {
                drop((stepper, next));
                if self.answers.is_empty() && self.draws.is_empty() {
                    // It comes back with its answer.
                    self.state = None;
                }
                return x.into_state();
            }
            // What the step leaves behind is dropped before its sum is made, in the memory of one of it.
            self.prepared.stepper = stepper;
            self.finished += 1;
            self.answers.clear();
            self.draws.clear();
            self.state = None;
            self.state = Some(next.settled());
        }
    }
}

impl<X: VectorSpace + 'static> Prepared<X> {
    /// One of our own solvers along a grid, for a network that is told `timestep(level)` and answers so.
    ///
    /// The calls of the network are found by a walk along the grid with a state of one number.
    /// The start has the spread of data of unit variance with the noise of the first level, √(alpha² + sigma²).
    ///
    /// ```
    /// use ndarray::{Array1, array};
    /// use noise_schedule::{Grid, Kernel};
    /// use samplers::{Prediction, Prepared, Scheduler, Silent, Solver};
    /// let grid = Grid::karras(0.002, 80.0, 7.0, 18)?.then_clean();
    /// let label = |at: Kernel| 0.25 * at.noise_to_signal().ln();
    /// let prepared = Prepared::along(&grid, Solver::Heun, label, Prediction::Epsilon);
    /// let mut scheduler = Scheduler::new(prepared);
    /// let mut x = array![scheduler.init_noise_sigma()];
    /// for timestep in scheduler.timesteps().to_vec() {
    ///     let sigma = (4.0 * timestep).exp();
    ///     // The exact noise prediction for N(0, 1) data.
    ///     let eps: Array1<f64> = &x * (sigma / (1.0 + sigma * sigma));
    ///     x = scheduler.step(eps, timestep, x, &mut Silent);
    /// }
    /// assert_eq!(scheduler.timesteps().len(), 2 * 18 - 1);
    /// assert!((x[0] - 1.0).abs() < 0.05);
    /// # Ok::<(), noise_schedule::Error>(())
    /// ```
    pub fn along(
        grid: &Grid,
        solver: Solver,
        timestep: impl Fn(Kernel) -> f64,
        prediction: Prediction,
    ) -> Prepared<X> {
        let mut calls = Vec::new();
        let mut model = |x: &Array1<f64>, at: Kernel| {
            calls.push(Call {
                timestep: timestep(at),
                at,
            });
            x.clone()
        };
        let mut noise = |like: &Array1<f64>, _: Kernel, _: Kernel| like.clone();
        let stepper = solver.stepper::<Array1<f64>>();
        crate::sample(grid, stepper, &mut model, &mut noise, Array1::zeros(1));
        let first = grid.levels()[0];
        Prepared {
            steps: grid.steps().collect(),
            stepper: solver.stepper(),
            calls,
            sigmas: grid
                .levels()
                .iter()
                .map(|level| level.noise_to_signal())
                .collect(),
            init_noise_sigma: first.alpha().hypot(first.sigma()),
            input: Input::State,
            prediction,
        }
    }
}

impl<X: VectorSpace> Prepared<X> {
    /// The result, from the state `x` before the first step; the denoiser is asked at the level of each call.
    ///
    /// # Shapes
    /// The result has the shape of `x`; samples lie along the leading axis.
    pub fn run(&self, model: &mut dyn Denoiser<X>, noise: &mut dyn NoiseSource<X>, x: X) -> X {
        self.drive(&mut Lifted(model), noise, x)
    }

    /// The same for a network: it is shown [`input`](Prepared::input), and its answer is the
    /// [`prediction`](Prepared::prediction).
    ///
    /// The denoised state is never made: a step is one sum of states and answers, in the memory of one that is done with.
    /// A network that keeps its answers hands them out shared, as `Rc<X>`.
    ///
    /// # Shapes
    /// As [`run`](Prepared::run).
    pub fn run_network<A: Into<Rc<X>>>(
        &self,
        network: &mut dyn FnMut(&X, Call) -> A,
        noise: &mut dyn NoiseSource<X>,
        x: X,
    ) -> X {
        let mut calls = self.calls.iter();
        let mut model = |x: &Combination<X>, _at: Kernel| {
            let call = *calls.next().expect("prepared: every call is listed");
            let answer: Rc<X> = network(&self.input.shown(x, call.at).state(), call).into();
            self.prediction
                .denoised(&Combination::shared(answer), x, call.at)
        };
        self.drive(&mut model, noise, x)
    }

    fn drive(
        &self,
        model: &mut dyn Denoiser<Combination<X>>,
        noise: &mut dyn NoiseSource<X>,
        x: X,
    ) -> X {
        let mut stepper = self.stepper.clone();
        let mut state = Combination::from(x);
        for &(from, to) in &self.steps {
            let next = stepper.step(model, &mut Lifted(noise), &state, from, to);
            // What the step leaves behind is dropped before its sum is made, in the memory of one of it.
            drop(state);
            state = next.settled();
        }
        drop(stepper);
        state.into_state()
    }
}
