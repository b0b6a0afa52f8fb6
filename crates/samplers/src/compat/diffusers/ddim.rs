//! DDIMScheduler, DDIMParallelScheduler and DDIMInverseScheduler.

use noise_schedule::Spacing;
use noise_schedule::compat::diffusers as grids;

use super::t_space::{self, Asked, Levels, PREDICTIONS, at_most, kernel, of_answer, roots};
use super::training::{Defaults, table};
use crate::compat::Options;
use crate::compat::clip::Clip;
use crate::compat::recipe::{Stage, Step};
use crate::{Coordinates, Error, Prediction, Prepared};

/// DDIMScheduler and DDIMParallelScheduler, whose `step` takes `eta` and `use_clipped_model_output`:
/// [`Ancestral`](crate::Ancestral) on the table, with clipping.
///
/// Reproduced with it:
/// each step is by ⌊T/n⌋ levels, which is not the next timestep for the spacings `linspace` and `trailing`;
/// some trailing spacings end with a call at timestep −1, which has the noisiest level of all;
/// without `use_clipped_model_output` a clipped sample meets the noise of the sample before clipping.
/// An `eta` above 1 asks for more noise than a level has: the peer's result is NaN, and preparing is an error here.
pub(super) fn ddim<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let table = t_space::rescaled(table(options, Defaults::LINEAR)?, options)?;
    let ends_at_one = options.flag("set_alpha_to_one", true)?;
    let prediction = options.choice("prediction_type", PREDICTIONS, "epsilon")?;
    let clip = Clip::sample(options, true)?;
    let timesteps = t_space::timesteps(options, table.count(), steps)?;
    let eta = step.number("eta", 0.0)? as f32;
    let rederived = step.flag("use_clipped_model_output", false)?;
    step.forget_nulls(&["generator", "variance_noise"]);

    let levels = Levels::new(&table, ends_at_one, options.owner());
    let stride = (table.count() / steps) as i64;
    let mut walk = Vec::with_capacity(timesteps.len());
    for &timestep in &timesteps {
        let (from, to) = (
            levels.alpha_bar(timestep)?,
            levels.next_alpha_bar(timestep - stride)?,
        );
        let variance = (1.0 - to) / (1.0 - from) * (1.0 - from / to);
        let fresh = eta * variance.sqrt();
        let direction = f64::from((1.0 - to - fresh * fresh).sqrt());
        let asked = levels.asked(timestep, prediction)?;
        let root = f64::from(to.sqrt());
        let (noise, bounded, raw) = if rederived {
            let (alpha, sigma) = asked.roots;
            (sigma.recip(), root - direction * alpha / sigma, 0.0)
        } else {
            (asked.noise.0, root, direction * asked.noise.1)
        };
        let stage = Stage {
            estimate: asked.sample,
            clip,
            raw,
            kept: direction * noise,
            after: if 0.0 < eta { f64::from(fresh) } else { 0.0 },
            ..Stage::explicit(asked.at, (0.0, bounded), 1.0)
        };
        walk.push((kernel(to)?, vec![stage]));
    }
    t_space::prepared(options.owner(), 1, &timesteps, walk, prediction)
}

/// DDIMInverseScheduler: the flow walked upwards, from data to noise.
///
/// Reproduced with it: the network is asked at the level that the step leads to, and its answer is taken for one
/// at the level ⌊T/n⌋ below, where the state is; so the way back is another than the way up.
/// With a prediction of the sample, the noise of a clean state is 0/0 in the peer, and preparing is an error here.
pub(super) fn inverse<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let table = t_space::rescaled(table(options, Defaults::LINEAR)?, options)?;
    let begins_at_one = options.flag("set_alpha_to_one", true)?;
    options.forget_nulls(&["set_alpha_to_zero"]);
    let begins_at_one = options.flag("set_alpha_to_zero", begins_at_one)?;
    let prediction = options.choice("prediction_type", PREDICTIONS, "epsilon")?;
    let clip = Clip::range(options, true)?;
    let offset = options.count("steps_offset", 0, 0)?;
    let spacings = [
        ("leading", Spacing::Leading { offset }),
        ("trailing", Spacing::Trailing),
    ];
    let spacing = options.choice("timestep_spacing", &spacings, "leading")?;
    at_most(steps, table.count(), options.owner())?;

    let mut timesteps = grids::t_space(spacing, table.count(), steps);
    timesteps.reverse();
    let levels = Levels::new(&table, begins_at_one, options.owner());
    let stride = (table.count() / steps) as i64;
    let mut walk: Vec<Step> = Vec::with_capacity(timesteps.len());
    for &timestep in &timesteps {
        let below = (timestep - stride).min(table.count() as i64 - 1);
        let (from, to) = (
            roots(levels.next_alpha_bar(below)?),
            levels.asked(timestep, prediction)?,
        );
        walk.push((to.at, vec![upwards(prediction, from, to, clip)]));
    }
    t_space::prepared(options.owner(), 1, &timesteps, walk, prediction)
}

/// The step from `from` to `to` with the answer that the network gives at `to`, as if it were one at `from`.
fn upwards(prediction: Prediction, from: (f64, f64), to: Asked, clip: Option<Clip>) -> Stage {
    let (sample, noise) = of_answer(prediction, from);
    let (alpha, sigma) = to.roots;
    let (state, clean) = prediction.answer_coefficients(to.at);
    let of_denoised = |(x, answer): (f64, f64)| (x + answer * state, answer * clean);
    let (kept, raw) = of_denoised(noise);
    Stage {
        estimate: of_denoised(sample),
        clip,
        raw: sigma * raw,
        kept: sigma * kept,
        ..Stage::explicit(to.at, (0.0, alpha), 1.0)
    }
}
