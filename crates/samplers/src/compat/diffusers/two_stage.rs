//! HeunDiscreteScheduler, KDPM2DiscreteScheduler and KDPM2AncestralDiscreteScheduler: two calls of `step` for one step.
//!
//! The peers keep each sigma twice and count calls; where the first timestep occurs again they begin at the second call,
//! so that stages meet the wrong sigmas.
//! That is reproduced by counting as they do.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;

use super::sigmas::{self, Grid, Shape, first_index, runs_out};
use super::training::{Defaults, table};
use crate::compat::Options;
use crate::compat::clip::Clip;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::sigma_space::{ancestral, midway};
use crate::{Combination, Coordinates, Error, Input, Prediction, Prepared};

/// HeunDiscreteScheduler: [`Heun`](crate::Heun) at alpha = 1, with clipping; the last step is Euler's.
pub(super) fn heun<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let defaults = Defaults {
        known: &["linear", "scaled_linear", "squaredcos_cap_v2", "exp"],
        ..Defaults::K_DIFFUSION
    };
    let table = table(options, defaults)?;
    let predictions = [
        ("epsilon", Prediction::Epsilon),
        ("sample", Prediction::Sample),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &predictions, "epsilon")?;
    let shape = Shape::read(options)?;
    let clips = options.flag("clip_sample", false)?;
    let bound = options.number("clip_sample_range", 1.0)?;
    let clip = clips.then_some(Clip::Bound(bound));
    let spacing = sigmas::spacing(options, "linspace")?;

    let (timesteps, sigmas) = sigmas::shaped(&table, spacing, shape, steps, options.owner())?;
    let grid = Grid::new(timesteps, sigmas, spacing);
    let timesteps = doubled(&grid.timesteps);
    let mut sigmas = doubled(&grid.sigmas);
    sigmas.pop();
    if first_index(&timesteps) != 0 {
        return Err(runs_out(options.owner(), timesteps[0]));
    }
    let mut table: Vec<Step> = Vec::with_capacity(grid.timesteps.len());
    for pair in grid.sigmas.windows(2) {
        let (from, to) = (f64::from(pair[0]), f64::from(pair[1]));
        let length = f64::from(pair[1] - pair[0]);
        let mut stages = vec![Stage::flow(from, length)?];
        if table.len() + 1 < grid.timesteps.len() {
            let mut second = Stage::flow(to, 0.0)?;
            second.weights = vec![0.5 * length, 0.5 * length];
            stages.push(second);
        }
        for stage in &mut stages {
            stage.clip = clip;
        }
        table.push((Kernel::variance_exploding(to)?, stages));
    }
    let table = sigmas::convert_velocities(prediction, table);
    let recipe = Recipe::new(options.owner(), 2, Precision::State, table)?;
    Ok(prepared(&grid, recipe, &timesteps, &sigmas, prediction))
}

/// KDPM2DiscreteScheduler: the midpoint rule in sigma, with the slope at the geometric mean of two sigmas.
///
/// With Karras sigmas the timesteps of the grid are rounded, those between are not.
pub(super) fn kdpm2<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let (grid, prediction, logs) = midpoint_grid(options, steps)?;
    // Entry i lies between sigmas i − 1 and i; the first is never used.
    let sigmas = &grid.sigmas;
    let between: Vec<f32> = (0..sigmas.len())
        .map(|i| midway(sigmas[i], sigmas[i.saturating_sub(1)]))
        .collect();
    let told = between[1..between.len() - 1].iter();
    let timesteps = interleaved(
        &grid.timesteps,
        told.map(|&sigma| grids::timestep_of_single(sigma, &logs)),
    );
    let (sigmas, between) = (padded(&grid.sigmas), padded(&between));
    let steps = pairs_of_calls(
        &timesteps,
        |call| {
            let (from, middle) = (sigmas[call], between[call + 1]);
            let first = Stage::flow(f64::from(from), f64::from(middle - from))?;
            Ok((first, sigmas[call + 1]))
        },
        |call| {
            let (from, to, middle) = (sigmas[call - 1], sigmas[call], between[call]);
            let second = Stage::flow(f64::from(middle), f64::from(to - from))?;
            Ok((second, to))
        },
    )?;
    let steps = sigmas::convert_velocities(prediction, steps);
    let recipe = Recipe::new(options.owner(), 2, Precision::State, steps)?;
    Ok(prepared(&grid, recipe, &timesteps, &sigmas, prediction))
}

/// KDPM2AncestralDiscreteScheduler: the same down to the lower level of an ancestral step, then fresh noise.
///
/// Its noise scale is not bounded by the level that it steps to: where rounding makes the lower level imaginary or zero,
/// the peer's result is NaN, and preparing is an error here.
pub(super) fn kdpm2_ancestral<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let (grid, prediction, logs) = midpoint_grid(options, steps)?;
    let splits: Result<Vec<(f32, f32)>, Error> = grid
        .sigmas
        .windows(2)
        .map(|pair| ancestral(pair[0], pair[1], options.owner()))
        .chain([Ok((0.0, 0.0))])
        .collect();
    let (down, up): (Vec<f32>, Vec<f32>) = splits?.into_iter().unzip();
    let levels = grid.sigmas.iter().zip(&down);
    let mut between: Vec<f32> = levels.map(|(&from, &down)| midway(from, down)).collect();
    let inner = between.len() - 2;
    between[inner..].fill(0.0);
    let told = between[..between.len() - 2].iter();
    let timesteps = interleaved(
        &grid.timesteps,
        told.map(|&sigma| grids::timestep_of_single(sigma, &logs)),
    );
    let (sigmas, between) = (padded(&grid.sigmas), padded(&between));
    let (down, up) = (padded(&down), padded(&up));
    let steps = pairs_of_calls(
        &timesteps,
        |call| {
            let (from, middle) = (sigmas[call], between[call]);
            Ok((
                Stage::flow(f64::from(from), f64::from(middle - from))?,
                sigmas[call + 1],
            ))
        },
        |call| {
            let (from, middle, down) = (sigmas[call - 1], between[call - 1], down[call - 1]);
            let mut second = Stage::flow(f64::from(middle), f64::from(down - from))?;
            second.after = f64::from(up[call - 1]);
            Ok((second, sigmas[call]))
        },
    )?;
    let steps = sigmas::convert_velocities(prediction, steps);
    let recipe = Recipe::new(options.owner(), 1, Precision::State, steps)?;
    Ok(prepared(&grid, recipe, &timesteps, &sigmas, prediction))
}

/// The options that the two midpoint schedulers share: the grid, the prediction, and ln sigma of the table.
fn midpoint_grid(
    options: &mut Options,
    steps: usize,
) -> Result<(Grid, Prediction, Vec<f32>), Error> {
    let table = table(options, Defaults::K_DIFFUSION)?;
    let predictions = [
        ("epsilon", Prediction::Epsilon),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &predictions, "epsilon")?;
    let shape = Shape::read(options)?;
    let spacing = sigmas::spacing(options, "linspace")?;
    let (mut timesteps, sigmas) = sigmas::shaped(&table, spacing, shape, steps, options.owner())?;
    if shape == Shape::Karras {
        timesteps = timesteps.into_iter().map(f64::round_ties_even).collect();
    }
    let grid = Grid::new(timesteps, sigmas, spacing);
    let logs = sigmas::log_sigmas(&table, options.owner())?;
    Ok((grid, prediction, logs))
}

/// The first entry once, the others twice.
fn doubled<T: Copy>(entries: &[T]) -> Vec<T> {
    let twice = entries[1..].iter().flat_map(|&entry| [entry, entry]);
    [entries[0]].into_iter().chain(twice).collect()
}

/// The same, with the last entry three times.
fn padded(entries: &[f32]) -> Vec<f32> {
    let mut all = doubled(entries);
    all.push(entries[entries.len() - 1]);
    all
}

/// The timesteps of the grid with those of the midpoints between them.
fn interleaved(grid: &[f64], between: impl Iterator<Item = f64>) -> Vec<f64> {
    let pairs = between
        .zip(&grid[1..])
        .flat_map(|(middle, &next)| [middle, next]);
    [grid[0]].into_iter().chain(pairs).collect()
}

/// One step of the table for every two calls, first and second stages in turn.
fn pairs_of_calls(
    timesteps: &[f64],
    first: impl Fn(usize) -> Result<(Stage, f32), Error>,
    second: impl Fn(usize) -> Result<(Stage, f32), Error>,
) -> Result<Vec<Step>, Error> {
    let begin = first_index(timesteps);
    let mut steps = Vec::with_capacity(timesteps.len().div_ceil(2));
    for call in (0..timesteps.len()).step_by(2) {
        let (stage, mut to) = first(begin + call)?;
        let mut stages = vec![stage];
        if call + 1 < timesteps.len() {
            let (stage, end) = second(begin + call + 1)?;
            stages.push(stage);
            to = end;
        }
        steps.push((Kernel::variance_exploding(f64::from(to))?, stages));
    }
    Ok(steps)
}

fn prepared<X: Coordinates + 'static>(
    grid: &Grid,
    recipe: Recipe<Combination<X>>,
    timesteps: &[f64],
    sigmas: &[f32],
    prediction: Prediction,
) -> Prepared<X> {
    Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(timesteps),
        stepper: Box::new(recipe),
        sigmas: sigmas.iter().copied().map(f64::from).collect(),
        init_noise_sigma: grid.init_noise_sigma,
        input: Input::UnitVariance { sigma_data: 1.0 },
        prediction,
    }
}
