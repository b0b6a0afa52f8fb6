//! LCMScheduler, TCDScheduler and CMStochasticIterativeScheduler: samplers of models that jump along the flow.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;
use noise_schedule::single::Table;

use super::sigmas::{first_index, runs_out};
use super::t_space::{self, Levels, PREDICTIONS, kernel, roots};
use super::training::{Defaults, table};
use crate::compat::clip::Clip;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::{Options, Value};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// What LCMScheduler and TCDScheduler share; `timestep_spacing`, `steps_offset` and `set_alpha_to_one` have no bearing on a run.
struct Distilled {
    table: Table,
    prediction: Prediction,
    clip: Option<Clip>,
    scaling: f64,
    timesteps: Vec<i64>,
}

impl Distilled {
    fn read(options: &mut Options, steps: usize) -> Result<Distilled, Error> {
        let table = t_space::rescaled(table(options, Defaults::LATENT)?, options)?;
        let original = options.count("original_inference_steps", 1, 50)?;
        let clip = Clip::sample(options, false)?;
        let prediction = options.choice("prediction_type", PREDICTIONS, "epsilon")?;
        let scaling = options.number("timestep_scaling", 10.0)?;
        super::sigmas::spacing(options, "leading")?;
        options.flag("set_alpha_to_one", true)?;
        let timesteps = grids::lcm(table.count(), original, steps, 1.0)?;
        Ok(Distilled {
            table,
            prediction,
            clip,
            scaling,
            timesteps,
        })
    }

    fn prepared<X: Coordinates + 'static>(
        &self,
        owner: &str,
        stages: Vec<Stage>,
    ) -> Result<Prepared<X>, Error> {
        let ends = self.timesteps[1..].iter().copied().chain([0]);
        let levels = Levels::new(&self.table, true, owner);
        let walk: Result<Vec<Step>, Error> = ends
            .zip(stages)
            .map(|(end, stage)| Ok((kernel(levels.alpha_bar(end)?)?, vec![stage])))
            .collect();
        t_space::prepared(owner, 1, &self.timesteps, walk?, self.prediction)
    }
}

/// LCMScheduler: the model's consistency function, then noise of the next level; nothing after the last call.
pub(super) fn lcm<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let distilled = Distilled::read(options, steps)?;
    step.forget_nulls(&["generator"]);
    let levels = Levels::new(&distilled.table, true, options.owner());
    let last = distilled.timesteps.len() - 1;
    let mut stages = Vec::with_capacity(steps);
    for (index, &timestep) in distilled.timesteps.iter().enumerate() {
        // The boundary condition is written in the timestep, as if it were a sigma; data have the deviation 1/2.
        let scaled = timestep as f64 * distilled.scaling;
        let (skip, out) = (0.25 / (scaled * scaled + 0.25), scaled / scaled.hypot(0.5));
        let (root, noise) = if index == last {
            (1.0, 0.0)
        } else {
            let next = levels.alpha_bar(distilled.timesteps[index + 1])?;
            (f64::from(next.sqrt()), f64::from((1.0 - next).sqrt()))
        };
        let asked = levels.asked(timestep, distilled.prediction)?;
        stages.push(Stage {
            estimate: asked.sample,
            clip: distilled.clip,
            kept: root * skip,
            after: noise,
            ..Stage::explicit(asked.at, (0.0, 1.0), root * out)
        });
    }
    distilled.prepared(options.owner(), stages)
}

/// TCDScheduler, whose `step` takes `eta`, γ in the paper: DDIM's step to the timestep ⌊(1 − eta) t⌋, then noise up to t.
///
/// Reproduced with it: `clip_sample`, `thresholding` and `timestep_scaling` have no effect;
/// the last step ends at the first level of the table, which has some noise left.
pub(super) fn tcd<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let distilled = Distilled::read(options, steps)?;
    let eta = step.number("eta", 0.3)?;
    if !(0.0..=1.0).contains(&eta) {
        return Err(step.refused("eta", &Value::Number(eta), "a number in [0, 1]"));
    }
    step.forget_nulls(&["generator"]);
    let levels = Levels::new(&distilled.table, true, options.owner());
    let mut stages = Vec::with_capacity(steps);
    for (index, &timestep) in distilled.timesteps.iter().enumerate() {
        let following = distilled.timesteps.get(index + 1).copied();
        let next = following.unwrap_or(0);
        // A timestep is an integer tensor there, and a product with it is in `f32`.
        let jump = ((1.0 - eta) as f32 * next as f32).floor() as i64;
        let (low, high) = (levels.alpha_bar(jump)?, levels.alpha_bar(next)?);
        let asked = levels.asked(timestep, distilled.prediction)?;
        let (rescale, noise) = if 0.0 < eta && following.is_some() {
            (
                f64::from((high / low).sqrt()),
                f64::from((1.0 - high / low).sqrt()),
            )
        } else {
            (1.0, 0.0)
        };
        let (alpha, sigma) = roots(low);
        stages.push(Stage {
            estimate: asked.sample,
            raw: sigma * asked.noise.1,
            kept: rescale * sigma * asked.noise.0,
            after: noise,
            ..Stage::explicit(asked.at, (0.0, alpha), rescale)
        });
    }
    distilled.prepared(options.owner(), stages)
}

/// CMStochasticIterativeScheduler: the consistency function, then noise up to the next sigma.
///
/// The network's answer is EDM's F, and the function is made of it with weights that leave the state alone at `sigma_min`.
/// Reproduced with it: noise is added after the last call too, up to `sigma_min`, of which rounding leaves nothing, little,
/// or a root of a negative number: there the peer's result is NaN, and preparing is an error here.
pub(super) fn stochastic_iterative<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let train = options.count("num_train_timesteps", 2, 40)?;
    let (low, high) = (
        options.number("sigma_min", 0.002)?,
        options.number("sigma_max", 80.0)?,
    );
    let sigma_data = options.number("sigma_data", 0.5)?;
    let s_noise = options.number("s_noise", 1.0)?;
    let rho = options.number("rho", 7.0)?;
    let clip = options
        .flag("clip_denoised", true)?
        .then_some(Clip::Bound(1.0));
    step.forget_nulls(&["generator"]);
    super::sigmas::check_range((low, high), options.owner())?;
    t_space::at_most(steps, train, options.owner())?;

    let stride = train / steps;
    let exact: Vec<f64> = (0..steps)
        .map(|i| grids::karras_at(low, high, rho, (i * stride) as f64 / (train - 1) as f64))
        .collect();
    let timesteps: Vec<f64> = exact
        .iter()
        .map(|sigma| 250.0 * (sigma + 1e-44).ln())
        .collect();
    if first_index(&timesteps) != 0 {
        return Err(runs_out(options.owner(), timesteps[0]));
    }
    let sigmas: Vec<f32> = exact
        .iter()
        .copied()
        .chain([low])
        .map(|sigma| sigma as f32)
        .collect();
    let prediction = Prediction::Edm {
        sigma_data,
        sign: 1.0,
    };
    let mut walk: Vec<Step> = Vec::with_capacity(steps);
    for pair in sigmas.windows(2) {
        let (sigma, next) = (f64::from(pair[0]), pair[1].clamp(low as f32, high as f32));
        let at = Kernel::variance_exploding(sigma)?;
        let above = sigma - f64::from(low as f32);
        let skip = sigma_data.powi(2) / (above * above + sigma_data * sigma_data);
        let out = above * sigma_data / sigma.hypot(sigma_data);
        let (state, clean) = prediction.answer_coefficients(at);
        let noise = f64::from((next * next - (low * low) as f32).sqrt());
        let stage = Stage {
            estimate: (skip + out * state, out * clean),
            clip,
            kept: 0.0,
            after: if 1 < steps { s_noise * noise } else { 0.0 },
            ..Stage::explicit(at, (0.0, 1.0), 1.0)
        };
        walk.push((Kernel::variance_exploding(f64::from(next))?, vec![stage]));
    }
    let recipe = Recipe::new(options.owner(), 1, Precision::State, walk)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&timesteps),
        stepper: Box::new(recipe),
        sigmas: sigmas.iter().copied().map(f64::from).collect(),
        init_noise_sigma: high,
        input: Input::UnitVariance { sigma_data },
        prediction,
    })
}
