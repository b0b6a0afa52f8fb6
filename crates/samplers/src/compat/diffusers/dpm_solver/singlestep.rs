//! DPMSolverSinglestepScheduler.

use noise_schedule::Spacing;
use noise_schedule::compat::diffusers as grids;

use super::*;
use crate::compat::diffusers::lambda_space::{Source, unclipped};
use crate::compat::diffusers::training::{Defaults, table};

/// DPMSolverSinglestepScheduler: blocks of one, two or three steps of the grid, each block one step of a singlestep method
/// whose stages are the levels of the grid between.
///
/// The order of a step of third order therefore depends on where these levels lie: `midpoint` and `heun` have it for even steps in λ only.
/// With `sde-dpmsolver++`, whose third order has the sign of a ½ turned, each step of a block has noise of its own
/// that starts at the block's beginning. Where the steps do not divide into blocks, or the last leads to sigma = 0,
/// `lower_order_final` is true whatever is given.
pub(in super::super) fn singlestep<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let table = table(options, Defaults::LINEAR)?;
    let known = [
        ("dpmsolver++", DPM_SOLVER_PLUS_PLUS),
        ("dpmsolver", DPM_SOLVER),
        ("sde-dpmsolver++", SDE_DPM_SOLVER_PLUS_PLUS),
    ];
    let (algorithm, end) = Algorithm::read_with_end(options, &known)?;
    let source = Source::read(options, false)?;
    let last = unclipped(options, &table)?;
    let order = options.count("solver_order", 1, 2)?;
    if 3 < order {
        let given = Value::Number(order as f64);
        return Err(options.refused("solver_order", &given, "1, 2 or 3"));
    }
    let second = second_order(options)?;
    let lower_order_final = options.flag("lower_order_final", false)?;
    let prediction = prediction(options, algorithm)?;
    let clip = Clip::thresholding(options)?;
    if clip.is_some() && algorithm.integrand == Integrand::Noise {
        return Err(Error::Contradiction {
            owner,
            rule: "dpmsolver has no thresholding in the peer, which fails there; use dpmsolver++",
            given: "thresholding with algorithm_type dpmsolver".to_string(),
        });
    }
    variance_type(options)?;
    dynamic_shifting(options)?;
    // Shaped timesteps are rounded for every schedule.
    let timesteps = grids::lambda_space(Spacing::Linspace, table.count(), last, steps);
    let grid = Grid::falling(&table, source, &timesteps, steps, end, true, &owner)?;
    let blocks = blocks(steps, order, lower_order_final, end);
    let mut table: Vec<Step> = Vec::new();
    let mut first = 0;
    for length in blocks {
        let sigmas = &grid.sigmas[first..=first + length];
        let levels: Vec<Level> = sigmas
            .iter()
            .map(|&sigma| Level::new(sigma, source.levels()))
            .collect();
        let stages: Result<Vec<Stage>, Error> = (0..length)
            .map(|index| {
                let slope = algorithm.slope(levels[index]);
                let mut stage = Stage::explicit(grid.kernels[first + index], slope, 0.0);
                stage.estimate = estimate(
                    prediction,
                    algorithm.integrand,
                    source.levels(),
                    sigmas[index],
                )?;
                stage.clip = clip;
                (stage.kept, stage.weights, stage.after) =
                    update(algorithm, second, &levels[..=index + 1]);
                Ok(stage)
            })
            .collect();
        first += length;
        table.push((grid.kernels[first], stages?));
    }
    let recipe = Recipe::new(&owner, order.min(2) as u32, Precision::State, table)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&grid.timesteps),
        stepper: Box::new(recipe),
        sigmas: grid.sigmas.iter().copied().map(f64::from).collect(),
        init_noise_sigma: 1.0,
        input: Input::State,
        prediction,
    })
}

/// The lengths of the blocks.
fn blocks(steps: usize, order: usize, lower_order_final: bool, end: Final) -> Vec<usize> {
    let lower = lower_order_final || !steps.is_multiple_of(order) || end == Final::Zero;
    let mut blocks = vec![order; steps / order];
    match (order, steps % order) {
        _ if !lower => {}
        (3, 0) => {
            blocks.pop();
            blocks.extend([2, 1]);
        }
        (2, 0) => {
            blocks.pop();
            blocks.extend([1, 1]);
        }
        (_, 0) => {}
        (_, rest) => blocks.push(rest),
    }
    if end == Final::Zero && blocks.last() == Some(&2) {
        // The last step is one of first order.
        blocks.pop();
        blocks.extend([1, 1]);
    }
    blocks
}

/// The step from the first of these levels to the last, with stages at those between: weight of the state, weights of the integrand's values,
/// newest first, and scale of the noise.
fn update(algorithm: Algorithm, second: SecondOrder, levels: &[Level]) -> (f64, Vec<f64>, f64) {
    let (from, to) = (levels[0], levels[levels.len() - 1]);
    if to.sigma == 0.0 {
        return (0.0, vec![1.0], 0.0);
    }
    let step = single::step(from, to, algorithm);
    // Where the stages lie in the step.
    let h = to.lambda - from.lambda;
    let part = |stage: Level| f64::from((stage.lambda - from.lambda) / h);
    let value = step.weights[0];
    let weights = match (levels, second) {
        ([_, _], _) => vec![value],
        ([_, stage, _], second) => {
            let slope = step.slope(second) / part(*stage);
            vec![slope, value - slope]
        }
        ([_, _, stage, _], SecondOrder::Midpoint) => {
            let slope = step.weights[1] / part(*stage);
            vec![slope, 0.0, value - slope]
        }
        ([_, near, far, _], SecondOrder::Heun) => {
            // Slope and second derivative of the parabola through the three values.
            let (r0, r1) = (part(*far), part(*near));
            let [_, slope, curvature] = step.weights;
            let to_far = (2.0 * curvature - r1 * slope) / (r0 - r1) / r0;
            let to_near = (r0 * slope - 2.0 * curvature) / (r0 - r1) / r1;
            vec![to_far, to_near, value - to_far - to_near]
        }
        _ => unreachable!("a block has one to three steps"),
    };
    (step.state, weights, step.noise)
}
