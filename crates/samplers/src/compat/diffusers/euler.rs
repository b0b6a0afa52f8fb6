//! EulerDiscreteScheduler, EulerAncestralDiscreteScheduler and EDMEulerScheduler.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;

use super::sigmas::{self, Grid, Shape};
use super::training::{Defaults, floored_table};
use crate::compat::Options;
use crate::compat::recipe::Stage;
use crate::compat::sigma_space::{Churn, ancestral};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// EulerDiscreteScheduler, whose `step` takes `s_churn`, `s_tmin`, `s_tmax` and `s_noise`.
///
/// Reproduced with it:
/// churn comes after the evaluation, so that the network never sees the added noise;
/// a v-prediction is converted at the level before the churn;
/// `interpolation_type="log_linear"` ignores the timesteps and stops at the last sigma of the table;
/// the state is rounded to `f32` in each step.
pub(super) fn euler<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let table = floored_table(options, Defaults::LINEAR)?;
    let predictions = [
        ("epsilon", Prediction::Epsilon),
        ("sample", Prediction::Sample),
        ("original_sample", Prediction::Sample),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &predictions, "epsilon")?;
    let interpolations = [("linear", false), ("log_linear", true)];
    let log_linear = options.choice("interpolation_type", &interpolations, "linear")?;
    let shape = Shape::read(options)?;
    let (low, high) = (
        options.maybe_number("sigma_min")?,
        options.maybe_number("sigma_max")?,
    );
    let spacing = sigmas::spacing(options, "linspace")?;
    let types = [("discrete", false), ("continuous", true)];
    let continuous = options.choice("timestep_type", &types, "discrete")?;
    let finals = [("zero", true), ("sigma_min", false)];
    let ends_clean = options.choice("final_sigmas_type", &finals, "zero")?;
    let churn = Churn::read(step)?;

    let levels = table.sigmas();
    let (mut timesteps, mut sigmas) = sigmas::native(&table, spacing, steps);
    if log_linear {
        let grid = grids::log_linear(levels[0], levels[levels.len() - 1], steps);
        sigmas = grid.into_iter().map(f64::from).collect();
    }
    let ends = (
        low.unwrap_or(sigmas[sigmas.len() - 1]),
        high.unwrap_or(sigmas[0]),
    );
    if let Some(shaped) = shape.sigmas(ends, steps, options.owner())? {
        timesteps = sigmas::timesteps_of(&shaped, &table, options.owner())?;
        sigmas = shaped;
    }
    sigmas.push(if ends_clean {
        0.0
    } else {
        f64::from(levels[0])
    });
    let mut grid = Grid::new(timesteps, sigmas, spacing);
    if continuous && prediction == Prediction::Velocity {
        let inner = &grid.sigmas[..grid.sigmas.len() - 1];
        grid.timesteps = inner
            .iter()
            .map(|&sigma| 0.25 * f64::from(sigma).ln())
            .collect();
    }
    let intervals = grid.sigmas.len() - 1;
    let walk = grid.walk(options.owner())?;
    let stages = walk.into_iter().map(|(sigma, to)| {
        let churned = churn.at(sigma, intervals);
        let converted = match prediction {
            Prediction::Epsilon => churned.sigma,
            _ => sigma,
        };
        let mut stage = converted_step(prediction, sigma, converted, churned.sigma, to)?;
        stage.between = churned.noise;
        Ok((stage, to))
    });
    grid.prepared(
        options.owner(),
        stages,
        prediction,
        Input::UnitVariance { sigma_data: 1.0 },
    )
}

/// EulerAncestralDiscreteScheduler.
///
/// Its noise scale is not bounded by the level that it steps to: where rounding makes the level below it imaginary
/// (a step over a factor of some thousands in sigma), the peer's result is NaN, and preparing is an error here.
/// The state is rounded to `f32` in each step.
pub(super) fn euler_ancestral<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let table = floored_table(options, Defaults::LINEAR)?;
    let predictions = [
        ("epsilon", Prediction::Epsilon),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &predictions, "epsilon")?;
    let spacing = sigmas::spacing(options, "linspace")?;
    let (timesteps, mut sigmas) = sigmas::native(&table, spacing, steps);
    sigmas.push(0.0);
    let grid = Grid::new(timesteps, sigmas, spacing);
    let owner = options.owner();
    let stages = grid.walk(owner)?.into_iter().map(|(sigma, to)| {
        let (down, up) = ancestral(sigma, to, owner)?;
        let mut stage = converted_step(prediction, sigma, sigma, sigma, down)?;
        stage.after = f64::from(up);
        Ok((stage, to))
    });
    grid.prepared(
        owner,
        stages,
        prediction,
        Input::UnitVariance { sigma_data: 1.0 },
    )
}

/// EDMEulerScheduler, whose `step` takes `s_churn`, `s_tmin`, `s_tmax` and `s_noise`.
///
/// Reproduced with it: churn comes after the evaluation, so that the network never sees the added noise;
/// `final_sigmas_type="sigma_min"` repeats the last sigma, which costs an evaluation and changes nothing;
/// `init_noise_sigma` is √(sigma_max² + 1); the v-prediction is EDM's F with the opposite sign;
/// the state is rounded to `f32` in each step.
pub(super) fn edm_euler<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let (low, high) = (
        options.number("sigma_min", 0.002)?,
        options.number("sigma_max", 80.0)?,
    );
    let sigma_data = options.number("sigma_data", 0.5)?;
    let exponential = options.choice(
        "sigma_schedule",
        &[("karras", false), ("exponential", true)],
        "karras",
    )?;
    // It has no bearing on a run.
    options.count("num_train_timesteps", 1, 1000)?;
    let signs = [("epsilon", 1.0), ("v_prediction", -1.0)];
    let sign = options.choice("prediction_type", &signs, "epsilon")?;
    let rho = options.number("rho", 7.0)?;
    let finals = [("zero", true), ("sigma_min", false)];
    let ends_clean = options.choice("final_sigmas_type", &finals, "zero")?;
    let churn = Churn::read(step)?;

    sigmas::check_range((low, high), options.owner())?;
    let mut sigmas: Vec<f64> = if exponential {
        grids::edm_exponential(low, high, steps)
            .into_iter()
            .map(f64::from)
            .collect()
    } else {
        grids::karras(low, high, rho, steps)
    };
    sigmas.push(if ends_clean { 0.0 } else { sigmas[steps - 1] });
    let timesteps = sigmas[..steps]
        .iter()
        .map(|&sigma| 0.25 * f64::from(sigma as f32).ln())
        .collect();
    let mut grid = Grid::new(timesteps, sigmas, noise_schedule::Spacing::Linspace);
    grid.init_noise_sigma = high.hypot(1.0);
    let prediction = Prediction::Edm { sigma_data, sign };
    let intervals = grid.sigmas.len() - 1;
    let walk = grid.walk(options.owner())?;
    let stages = walk.into_iter().map(|(sigma, to)| {
        let churned = churn.at(sigma, intervals);
        let mut stage = converted_step(prediction, sigma, churned.sigma, churned.sigma, to)?;
        stage.between = churned.noise;
        Ok((stage, to))
    });
    grid.prepared(
        options.owner(),
        stages,
        prediction,
        Input::UnitVariance { sigma_data },
    )
}

/// Euler's step from `hat` to `to` with the network's answer at `sigma`, which is converted as if given at `converted`.
fn converted_step(
    prediction: Prediction,
    sigma: f32,
    converted: f32,
    hat: f32,
    to: f32,
) -> Result<Stage, Error> {
    let at = Kernel::variance_exploding(f64::from(sigma))?;
    let converted = Kernel::variance_exploding(f64::from(converted))?;
    let answer = prediction.answer_coefficients(at);
    let (skip, out) = prediction.coefficients(converted);
    let relative = f64::from(to - hat) / f64::from(hat);
    Ok(Stage {
        kept: 1.0 + relative * (1.0 - skip),
        ..Stage::explicit(at, answer, -relative * out)
    })
}
