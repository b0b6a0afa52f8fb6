//! LMSDiscreteScheduler.

use super::sigmas::{self, Grid, Shape};
use super::training::{Defaults, table};
use crate::compat::Options;
use crate::compat::recipe::{Precision, Recipe};
use crate::compat::sigma_space::adams_bashforth;
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// LMSDiscreteScheduler, whose `step` takes `order`: Adams–Bashforth in sigma, with rising order at the start
/// and full order in the last step, to sigma = 0.
pub(super) fn lms<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let table = table(options, Defaults::LINEAR)?;
    let predictions = [
        ("epsilon", Prediction::Epsilon),
        ("sample", Prediction::Sample),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &predictions, "epsilon")?;
    let shape = Shape::read(options)?;
    let spacing = sigmas::spacing(options, "linspace")?;
    let order = step.count("order", 1, 4)?;
    let (timesteps, sigmas) = sigmas::shaped(&table, spacing, shape, steps, options.owner())?;
    let grid = Grid::new(timesteps, sigmas, spacing);
    // The walk is refused if it would not begin at the first sigma.
    grid.walk(options.owner())?;
    let table = sigmas::convert_velocities(prediction, adams_bashforth(&grid.sigmas, order)?);
    let recipe = Recipe::new(options.owner(), order as u32, Precision::State, table)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&grid.timesteps),
        stepper: Box::new(recipe),
        sigmas: grid.sigmas.iter().copied().map(f64::from).collect(),
        init_noise_sigma: grid.init_noise_sigma,
        input: Input::UnitVariance { sigma_data: 1.0 },
        prediction,
    })
}
