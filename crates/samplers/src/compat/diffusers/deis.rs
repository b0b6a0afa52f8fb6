//! DEISMultistepScheduler.

use noise_schedule::compat::diffusers as grids;

use super::dpm_solver::dynamic_shifting;
use super::lambda_space::{Grid, Source};
use super::predictor_corrector::Values;
use super::sigmas::spacing;
use super::single_levels::Level;
use super::training::{Defaults, table};
use crate::compat::Options;
use crate::compat::recipe::Step;
use crate::compat::single::exp;
use crate::dpm_solver::Integrand;
use crate::{Coordinates, Error, Prediction, Prepared};

/// DEISMultistepScheduler: [`Deis`](crate::Deis) in ln ρ with a rising start.
///
/// It never ends at sigma = 0: the last level is the cleanest of the table, or, of shaped and flow grids, their last one again,
/// in a step of no length that calls the network for nothing.
/// On the variance-preserving schedule a flow's prediction is also divided by the wrong sigma.
/// The coefficients are computed in `f32` from antiderivatives that nearly cancel, which shows in third order.
pub(super) fn deis<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let table = table(options, Defaults::LINEAR)?;
    let order = options.count("solver_order", 1, 2)?;
    options.choice(
        "algorithm_type",
        &[("deis", ()), ("dpmsolver", ()), ("dpmsolver++", ())],
        "deis",
    )?;
    let known = [
        ("logrho", ()),
        ("midpoint", ()),
        ("heun", ()),
        ("bh1", ()),
        ("bh2", ()),
    ];
    options.choice("solver_type", &known, "logrho")?;
    let lower_order_final = options.flag("lower_order_final", true)?;
    dynamic_shifting(options)?;
    let source = Source::read(options, false)?;
    let spacing = spacing(options, "linspace")?;
    let timesteps = grids::lambda_space(spacing, table.count(), table.count(), steps);
    let (timesteps, sigmas) = source.grid(&table, &timesteps, steps, true, &owner)?;
    let grid = Grid::ending_noisy(timesteps, sigmas, source, &table, &owner)?;
    // The prediction is made one of the data, bounded, and then of the noise, so that a flow's is allowed.
    let values = Values::read(options, Integrand::Denoised)?;
    let singles: Vec<Level> = grid
        .sigmas
        .iter()
        .map(|&sigma| Level::new(sigma, source.levels()))
        .collect();
    let count = grid.timesteps.len();
    let few = lower_order_final && count < 15;
    let table: Vec<Step> = (0..count)
        .map(|index| {
            let order = if order == 1 || index == 0 || few && index + 1 == count {
                1
            } else if order == 2 || index == 1 || few && index + 2 == count {
                2
            } else {
                3
            };
            let known: Vec<Level> = singles[..=index]
                .iter()
                .rev()
                .take(order)
                .copied()
                .collect();
            let (kept, weights) = update(&known, singles[index + 1]);
            let single = singles[index];
            let mut stage = values.stage(grid.kernels[index], single, kept, weights);
            let sigma = match values.prediction {
                Prediction::Flow => single.raw,
                _ => single.sigma,
            };
            stage.slope = (
                f64::from(sigma).recip(),
                -f64::from(single.alpha) / f64::from(sigma),
            );
            (grid.kernels[index + 1], vec![stage])
        })
        .collect();
    values.prepared(&grid, order.min(3) as u32, table, &owner)
}

/// Weights of the state and of the noise at these levels, the latest first, as many as the order.
fn update(known: &[Level], to: Level) -> (f64, Vec<f64>) {
    let from = known[0];
    if known.len() == 1 {
        let grown = exp(to.lambda - from.lambda) - 1.0;
        return (
            f64::from(to.alpha / from.alpha),
            vec![-f64::from(to.sigma * grown)],
        );
    }
    let logs: Vec<f32> = known.iter().map(|level| level.log_rho()).collect();
    let rho = |level: Level| level.sigma / level.alpha;
    // In f32, with the terms in the peer's order: they nearly cancel.
    let antiderivative = |level: Level, j: usize| {
        let (rho, log) = (rho(level), level.log_rho());
        match *logs.as_slice() {
            [first, second] => {
                let (b, c) = if j == 0 {
                    (first, second)
                } else {
                    (second, first)
                };
                rho * (-c + log - 1.0) / (b - c)
            }
            [..] => {
                let (b, c, d) = (logs[j], logs[(j + 1) % 3], logs[(j + 2) % 3]);
                let numerator =
                    rho * (c * (d - log + 1.0) - d * log + d + log * log - 2.0 * log + 2.0);
                numerator / ((b - c) * (b - d))
            }
        }
    };
    let weights = (0..known.len()).map(|j| {
        let coefficient = antiderivative(to, j) - antiderivative(from, j);
        f64::from(to.alpha) * f64::from(coefficient)
    });
    (
        f64::from(to.alpha) / f64::from(from.alpha),
        weights.collect(),
    )
}
