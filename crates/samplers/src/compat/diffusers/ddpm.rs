//! DDPMScheduler, DDPMParallelScheduler and UnCLIPScheduler: the reversed chain, with its noise.

use noise_schedule::BetaSchedule;
use noise_schedule::single::Table;

use super::t_space::{self, Levels, PREDICTIONS, kernel};
use super::training::{Defaults, table};
use crate::compat::clip::Clip;
use crate::compat::recipe::{Stage, Step};
use crate::compat::{Options, Value};
use crate::{Coordinates, Error, Prediction, Prepared};

/// DDPMScheduler and DDPMParallelScheduler: [`Ancestral`](crate::Ancestral) on the table, with clipping.
///
/// Reproduced with it:
/// noise is added where the timestep is above 0, so that with an offset the result is noisy too
/// (with `fixed_large` by the whole variance of the last step);
/// some trailing spacings end with a call at timestep −1, which has the noisiest level of all;
/// the variances are differences in `f32`.
/// `fixed_large_log` takes the root of a logarithm: the peer's result is NaN, and preparing is an error here.
/// The learned variances are a second half of the network's answer, which a denoiser does not have:
/// an error too, but for the step from timestep 0, which has none.
pub(super) fn ddpm<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let defaults = Defaults {
        known: &[
            "linear",
            "scaled_linear",
            "squaredcos_cap_v2",
            "sigmoid",
            "laplace",
        ],
        ..Defaults::LINEAR
    };
    let table = t_space::rescaled(table(options, defaults)?, options)?;
    let variance = options.choice("variance_type", VARIANCES, "fixed_small")?;
    let prediction = options.choice("prediction_type", PREDICTIONS, "epsilon")?;
    let clip = Clip::sample(options, true)?;
    let timesteps = t_space::timesteps(options, table.count(), steps)?;
    step.forget_nulls(&["generator"]);

    let levels = Levels::new(&table, true, options.owner());
    let mut walk = Vec::with_capacity(timesteps.len());
    for (index, &timestep) in timesteps.iter().enumerate() {
        let next = timesteps.get(index + 1).copied().unwrap_or(-1);
        let (from, to) = (levels.alpha_bar(timestep)?, levels.next_alpha_bar(next)?);
        let kept = from / to;
        let reversed = Reversed {
            from,
            to,
            kept,
            beta: 1.0 - kept,
        };
        walk.push(reversed.step(&levels, timestep, prediction, clip, variance)?);
    }
    t_space::prepared(options.owner(), 1, &timesteps, walk, prediction)
}

/// UnCLIPScheduler.
///
/// Its `step` takes `prev_timestep`; without it every step is of one level, however far apart the timesteps are,
/// and that is reproduced. The text `"next"` stands for the timestep that comes next, as its pipeline passes it.
/// `learned_range` is a second half of the network's answer, which a denoiser does not have: an error here.
pub(super) fn unclip<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let train = options.count("num_train_timesteps", 1, 1000)?;
    let variance = options.choice("variance_type", &VARIANCES[1..3], "fixed_small_log")?;
    let clip = Clip::range(options, true)?;
    let prediction = options.choice("prediction_type", &PREDICTIONS[..2], "epsilon")?;
    options.choice(
        "beta_schedule",
        &[("squaredcos_cap_v2", ())],
        "squaredcos_cap_v2",
    )?;
    step.forget_nulls(&["generator", "prev_timestep"]);
    let to_next = step.choice(
        "prev_timestep",
        &[("one level", false), ("next", true)],
        "one level",
    )?;
    if steps == 1 {
        return Err(options.refused(
            "num_inference_steps",
            &Value::Number(1.0),
            "at least 2: the peer divides by n − 1",
        ));
    }
    let table = Table::new(BetaSchedule::nichol2021_cosine(), train)?;
    let stride = (train - 1) as f64 / (steps - 1) as f64;
    let timesteps: Vec<i64> = (0..steps)
        .rev()
        .map(|i| (i as f64 * stride).round_ties_even() as i64)
        .collect();
    let levels = Levels::new(&table, true, options.owner());
    let mut walk = Vec::with_capacity(timesteps.len());
    for (index, &timestep) in timesteps.iter().enumerate() {
        let next = match timesteps.get(index + 1) {
            Some(&next) if to_next => next,
            _ => timestep - 1,
        };
        let (from, to) = (levels.alpha_bar(timestep)?, levels.next_alpha_bar(next)?);
        let beta = if next == timestep - 1 {
            table.betas()[timestep as usize]
        } else {
            1.0 - from / to
        };
        let reversed = Reversed {
            from,
            to,
            kept: 1.0 - beta,
            beta,
        };
        walk.push(reversed.step(&levels, timestep, prediction, clip, variance)?);
    }
    t_space::prepared(options.owner(), 1, &timesteps, walk, prediction)
}

/// The variance of the reversed chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variance {
    Small,
    SmallLog,
    Large,
    LargeLog,
    Learned,
}

const VARIANCES: &[(&str, Variance)] = &[
    ("fixed_small", Variance::Small),
    ("fixed_small_log", Variance::SmallLog),
    ("learned_range", Variance::Learned),
    ("fixed_large", Variance::Large),
    ("fixed_large_log", Variance::LargeLog),
    ("learned", Variance::Learned),
];

/// One step of the reversed chain from one alpha-bar to another, in `f32`.
#[derive(Clone, Copy, Debug)]
struct Reversed {
    from: f32,
    to: f32,
    /// The ratio of the two, and 1 less it, by the peer's own formula.
    kept: f32,
    beta: f32,
}

impl Reversed {
    fn step(
        self,
        levels: &Levels<'_>,
        timestep: i64,
        prediction: Prediction,
        clip: Option<Clip>,
        variance: Variance,
    ) -> Result<Step, Error> {
        let (noise_from, noise_to) = (1.0 - self.from, 1.0 - self.to);
        let clean = self.to.sqrt() * self.beta / noise_from;
        let state = self.kept.sqrt() * noise_to / noise_from;
        let small = (noise_to / noise_from * self.beta).max(1e-20);
        let std = match variance {
            _ if timestep <= 0 => 0.0,
            Variance::Small => small.sqrt(),
            Variance::SmallLog => (0.5 * small.ln()).exp(),
            Variance::Large => self.beta.sqrt(),
            Variance::LargeLog => self.beta.ln().sqrt(),
            Variance::Learned => return Err(levels.refused(
                "a learned variance needs a network with a second output, which a denoiser does not have: use a fixed one",
                "variance_type learned or learned_range".to_string(),
            )),
        };
        let asked = levels.asked(timestep, prediction)?;
        let stage = Stage {
            estimate: asked.sample,
            clip,
            kept: f64::from(state),
            after: f64::from(std),
            ..Stage::explicit(asked.at, (0.0, 1.0), f64::from(clean))
        };
        Ok((kernel(self.to)?, vec![stage]))
    }
}
