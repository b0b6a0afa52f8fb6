//! A sampler as a table of numbers, which is what every other toolkit's sampler comes down to.
//!
//! A step of theirs is linear in the state, the denoised states and the noise, and its coefficients depend on the levels alone.
//! So they are computed once, with the peer's rounding, and checked once: a peer that divides by zero at some levels
//! is refused when it is prepared.

use std::sync::Arc;

use noise_schedule::Kernel;

use crate::compat::clip::Clip;
use crate::{Call, Coordinates, Denoiser, Error, NoiseSource, Stepper};

/// One evaluation, and the state that follows from it.
///
/// With x the state at the start of the step, z fresh noise each time, and D = D(y; at) for the state y that the stage before left
/// (in the first stage y = c x + s z for `before` = (c, s), and x becomes y), it remembers the slope m = a y + b D + raw·D_0,
/// where D_0 is D before any estimate or bound, and leaves
/// kept (x + between·z) + Σ weight_j m_j + after·z, where m_0 is this slope, m_1 the one before, and so on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    /// What is kept of the state before the first evaluation of a step, and the noise added to it.
    pub(crate) before: (f64, f64),
    /// The level of the evaluation.
    pub(crate) at: Kernel,
    /// What the peer takes for D, as the weights (c, d) of c y + d D; it takes D itself unless its formula is of another schedule.
    pub(crate) estimate: (f64, f64),
    /// The bound on that.
    pub(crate) clip: Option<Clip>,
    /// The pair (a, b) of the slope.
    pub(crate) slope: (f64, f64),
    /// What the slope has of the denoised state as the model gave it, for peers that bound D and go on with the unbounded noise.
    pub(crate) raw: f64,
    /// Noise added to the start of the step after the evaluation, which did not see it.
    pub(crate) between: f64,
    /// Weight of the start of the step.
    pub(crate) kept: f64,
    /// Weights of the slopes, the latest first.
    pub(crate) weights: Vec<f64>,
    /// Noise added at the end.
    pub(crate) after: f64,
}

impl Stage {
    /// The evaluation at `at` that remembers a y + b D and adds `weight` times it to the start of the step.
    pub(crate) fn explicit(at: Kernel, slope: (f64, f64), weight: f64) -> Stage {
        Stage {
            before: (1.0, 0.0),
            at,
            estimate: (0.0, 1.0),
            clip: None,
            slope,
            raw: 0.0,
            between: 0.0,
            kept: 1.0,
            weights: vec![weight],
            after: 0.0,
        }
    }

    /// The evaluation of the slope (y − D) / sigma of the probability flow at alpha = 1, times `weight`.
    pub(crate) fn flow(sigma: f64, weight: f64) -> Result<Stage, Error> {
        let at = Kernel::variance_exploding(sigma)?;
        Ok(Stage::explicit(at, (sigma.recip(), -sigma.recip()), weight))
    }

    fn is_finite(&self) -> bool {
        let pairs = [
            self.before,
            self.estimate,
            self.slope,
            (self.between, self.after),
        ];
        let scalars = pairs.iter().flat_map(|(a, b)| [a, b]);
        scalars
            .chain([&self.raw, &self.kept])
            .chain(&self.weights)
            .all(|number| number.is_finite())
    }
}

/// In which precision the peer holds the state at the start of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// That of the state.
    State,
    /// `f32`, whatever the state is: the start of the step is rounded, the state that is evaluated is not.
    Start,
    /// The same, and so is the product of the start with what is kept of it.
    Single,
}

/// The level after each step, and the stages of the step.
pub(crate) type Step = (Kernel, Vec<Stage>);

/// The stepper that does what its table says; the levels it is given do not matter.
///
/// It is written for a [`Combination`](crate::Combination), whose sums cost nothing.
#[derive(Clone, Debug)]
pub(crate) struct Recipe<X> {
    steps: Arc<[Step]>,
    precision: Precision,
    order: u32,
    taken: usize,
    /// The slopes that may still be needed, the latest first.
    memory: Vec<X>,
    /// How many slopes a stage asks for at most, its own among them.
    longest: usize,
}

impl<X> Recipe<X> {
    /// The stepper with this table.
    ///
    /// # Errors
    /// [`Error::Contradiction`] if a number is not finite: then the peer's result is not, either.
    pub(crate) fn new(
        owner: &str,
        order: u32,
        precision: Precision,
        steps: Vec<Step>,
    ) -> Result<Recipe<X>, Error> {
        for (index, (_, stages)) in steps.iter().enumerate() {
            if let Some(stage) = stages.iter().find(|stage| !stage.is_finite()) {
                return Err(Error::Contradiction {
                    owner: owner.to_string(),
                    rule: "the noise levels must keep every coefficient finite: at these the peer divides by zero",
                    given: format!(
                        "step {index}, which evaluates at sigma = {}",
                        stage.at.sigma()
                    ),
                });
            }
        }
        let stages = steps.iter().flat_map(|(_, stages)| stages);
        Ok(Recipe {
            longest: stages.map(|stage| stage.weights.len()).max().unwrap_or(0),
            steps: steps.into(),
            precision,
            order,
            taken: 0,
            memory: Vec::new(),
        })
    }

    /// The levels of the steps, as a sampler is driven along them.
    pub(crate) fn levels(&self) -> Vec<(Kernel, Kernel)> {
        self.steps
            .iter()
            .map(|(to, stages)| (stages[0].at, *to))
            .collect()
    }

    /// The calls of the network, with what it is told in each.
    pub(crate) fn calls(&self, timesteps: &[f64]) -> Vec<Call> {
        let stages = self.steps.iter().flat_map(|(_, stages)| stages);
        let calls = timesteps.iter().zip(stages);
        calls
            .map(|(&timestep, stage)| Call {
                timestep,
                at: stage.at,
            })
            .collect()
    }
}

impl<X: Coordinates> Stepper<X> for Recipe<X> {
    fn order(&self) -> u32 {
        self.order
    }

    /// # Panics
    /// After the last step of the table.
    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        let steps = Arc::clone(&self.steps);
        let (_, stages) = &steps[self.taken];
        self.taken += 1;
        let mut noised = |x: &X, kept: f64, scale: f64| match scale {
            0.0 => X::combine(&[(kept, x)]),
            _ => X::axpby(kept, x, scale, &noise.between(x, from, to)),
        };
        let (kept, scale) = stages[0].before;
        let mut current = noised(x, kept, scale);
        let mut start = match self.precision {
            Precision::State => current.clone(),
            Precision::Start | Precision::Single => single(1.0, &current),
        };
        for stage in stages {
            let given = model.denoise(&current, stage.at);
            let (c, d) = stage.estimate;
            let mut denoised = X::axpby(c, &current, d, &given);
            if let Some(clip) = stage.clip {
                denoised = clip.apply(&denoised);
            }
            let (a, b) = stage.slope;
            let slope = X::combine(&[(a, &current), (b, &denoised), (stage.raw, &given)]);
            self.memory.insert(0, slope);
            start = noised(&start, 1.0, stage.between);
            let kept = match self.precision {
                // A number of theirs times a state in f32 is rounded to f32.
                Precision::Single if stage.kept != 1.0 => single(stage.kept as f32, &start),
                _ => X::combine(&[(stage.kept, &start)]),
            };
            let weights = stage.weights.iter().copied();
            let terms: Vec<(f64, &X)> = [(1.0, &kept)]
                .into_iter()
                .chain(weights.zip(&self.memory))
                .collect();
            current = noised(&X::combine(&terms), 1.0, stage.after);
            self.memory.truncate(self.longest.saturating_sub(1));
        }
        current
    }
}

/// The product, in `f32`. Of a state in `f32` it is rounded when it is worked out.
fn single<X: Coordinates>(factor: f32, x: &X) -> X {
    if x.is_single() {
        return X::combine(&[(f64::from(factor), x)]);
    }
    x.apply(|value| f64::from(factor * value as f32))
}
