//! DPMSolverMultistepScheduler, and the same upwards.

use noise_schedule::Spacing;
use noise_schedule::compat::diffusers as grids;
use noise_schedule::single::Table;

use super::*;
use crate::compat::diffusers::lambda_space::{Source, is_cosine, unclipped};
use crate::compat::diffusers::sigmas::{Shape, spacing, timesteps_of};
use crate::compat::diffusers::training::{Defaults, floored_table, table};

/// DPMSolverMultistepScheduler: [`DpmSolverMultistep`](crate::DpmSolverMultistep) with a rising start.
///
/// Its third order has half the second derivative, so that it is of second order, and with `sde-dpmsolver++` the sign of a ½
/// turned besides, which leaves first order; `sde-dpmsolver` has none. The state is rounded to `f32` before each step.
/// `final_sigmas_type` sigma_min is the variance-preserving one for flow sigmas, too.
pub(in super::super) fn multistep<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let rounds = !is_cosine(options);
    let table = floored_table(options, Defaults::LINEAR)?;
    let (algorithm, end) = Algorithm::read_with_end(options, &ALGORITHMS)?;
    let source = Source::read(options, true)?;
    let spacing = spacing(options, "linspace")?;
    let last = unclipped(options, &table)?;
    let solver = Multistep {
        algorithm,
        order: options.count("solver_order", 1, 2)?,
        second: second_order(options)?,
        highest: if algorithm == SDE_DPM_SOLVER { 2 } else { 3 },
        lower_order_final: options.flag("lower_order_final", true)?,
        euler_at_final: options.flag("euler_at_final", false)? || end == Final::Zero,
        prediction: prediction(options, algorithm)?,
        levels: source.levels(),
        clip: Clip::thresholding(options)?,
        precision: Precision::Single,
        init_noise_sigma: 1.0,
        input: Input::State,
    };
    variance_type(options)?;
    dynamic_shifting(options)?;
    let timesteps = grids::lambda_space(spacing, table.count(), last, steps);
    let grid = Grid::falling(&table, source, &timesteps, steps, end, rounds, &owner)?;
    solver.prepared(&grid, &owner)
}

/// DPMSolverMultistepInverseScheduler: the same from data to noise, for inversion.
///
/// The grids of flow sigmas still fall. A shaped or flow grid ends with its last sigma again, a step of no length;
/// the others end at the noisiest level. Timesteps that occur twice are left out, and the sigmas are not.
pub(in super::super) fn inverse<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let table = table(options, Defaults::LINEAR)?;
    let algorithm = Algorithm::read(options, &ALGORITHMS)?;
    let source = Source::read(options, false)?;
    let spacing = spacing(options, "linspace")?;
    let last = unclipped(options, &table)?;
    let solver = Multistep {
        algorithm,
        order: options.count("solver_order", 1, 2)?,
        second: second_order(options)?,
        // No noise reaches a step of third order.
        highest: if 0.0 < algorithm.eta { 2 } else { 3 },
        lower_order_final: options.flag("lower_order_final", true)?,
        euler_at_final: options.flag("euler_at_final", false)?,
        prediction: prediction(options, algorithm)?,
        levels: source.levels(),
        clip: Clip::thresholding(options)?,
        precision: Precision::State,
        init_noise_sigma: 1.0,
        input: Input::State,
    };
    variance_type(options)?;
    let (timesteps, sigmas) = rising(&table, source, spacing, last, steps, &owner)?;
    let grid = Grid::new(timesteps, sigmas, source.levels(), &owner)?;
    solver.prepared(&grid, &owner)
}

const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("dpmsolver++", DPM_SOLVER_PLUS_PLUS),
    ("dpmsolver", DPM_SOLVER),
    ("sde-dpmsolver", SDE_DPM_SOLVER),
    ("sde-dpmsolver++", SDE_DPM_SOLVER_PLUS_PLUS),
];

/// The timesteps, without repetitions, and the sigmas with the final one, from data to noise.
fn rising(
    table: &Table,
    source: Source,
    spacing: Spacing,
    last: usize,
    steps: usize,
    owner: &str,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (timesteps, mut sigmas) = match source {
        Source::Timesteps => {
            let mut timesteps = match spacing {
                Spacing::Trailing => grids::lambda_space(spacing, table.count(), last, steps),
                // One more than needed, of which the noisiest is left out.
                _ => grids::t_space(spacing, last, steps + 1).split_off(1),
            };
            timesteps.reverse();
            source.grid(table, &timesteps, steps, true, owner)?
        }
        Source::Flow(shift) => {
            let sigmas = grids::flow_from_alpha(table.count(), shift, steps);
            (
                sigmas
                    .iter()
                    .map(|sigma| sigma * table.count() as f64)
                    .collect(),
                sigmas,
            )
        }
        Source::Shaped(shape) => {
            let table_sigmas = table.sigmas();
            let ends = (
                f64::from(table_sigmas[0]),
                f64::from(table_sigmas[table.count() - 1]),
            );
            // The shapes from their larger to their smaller end, with the ends exchanged.
            let rising = match shape {
                Shape::Karras => grids::karras(ends.1, ends.0, 7.0, steps),
                Shape::Exponential => grids::exponential(ends.1, ends.0, steps),
                _ => grids::beta(ends.1, ends.0, steps),
            };
            let exact = timesteps_of(&rising, table, owner)?.into_iter();
            let timesteps = match shape {
                Shape::Karras => exact.map(f64::round_ties_even).collect(),
                _ => exact.collect(),
            };
            (timesteps, rising)
        }
        Source::Lu => unreachable!("the class has no use_lu_lambdas"),
    };
    sigmas.push(match source {
        Source::Timesteps => f64::from(table.sigmas()[last - 1]),
        _ => sigmas[sigmas.len() - 1],
    });
    let mut unique: Vec<f64> = Vec::new();
    for timestep in timesteps {
        if !unique.contains(&timestep) {
            unique.push(timestep);
        }
    }
    // Cut off to whole numbers after repetitions were looked for.
    Ok((unique.into_iter().map(f64::trunc).collect(), sigmas))
}
