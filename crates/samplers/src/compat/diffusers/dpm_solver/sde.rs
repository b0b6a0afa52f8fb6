//! DPMSolverSDEScheduler.

use noise_schedule::compat::diffusers as grids;

use super::*;
use crate::compat::diffusers::sigmas::{self, Shape, first_index, runs_out, spacing};
use crate::compat::diffusers::training::{Defaults, table};
use crate::compat::single::{exp, exp_m1, ln};

/// DPMSolverSDEScheduler: two evaluations per step, at its ends in ln sigma and halfway, each followed by an ancestral step from the start.
///
/// The noise of the two is that of a Brownian path in the peer, and independent here:
/// nothing depends on `noise_sampler_seed`.
pub(in super::super) fn sde<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let table = table(options, Defaults::K_DIFFUSION)?;
    let spacing = spacing(options, "linspace")?;
    let shape = Shape::read(options)?;
    let seed = options.take("noise_sampler_seed");
    if !matches!(seed, None | Some(Value::Null) | Some(Value::Number(_))) {
        let given = seed.unwrap_or(Value::Null);
        return Err(options.refused("noise_sampler_seed", &given, "a whole number or null"));
    }
    let known = [
        ("epsilon", Prediction::Epsilon),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &known, "epsilon")?;
    let s_noise = step.number("s_noise", 1.0)?;

    let mut timesteps = grids::sigma_space(spacing, table.count(), steps);
    let table_sigmas = table.sigmas();
    let mut sigmas: Vec<f64> = timesteps
        .iter()
        .map(|&t| grids::interpolate(t, &table_sigmas))
        .collect();
    if let Some(shaped) = shape.sigmas((sigmas[sigmas.len() - 1], sigmas[0]), steps, &owner)? {
        timesteps = sigmas::timesteps_of(&shaped, &table, &owner)?;
        sigmas = shaped;
    }
    let middles: Vec<f64> = sigmas
        .windows(2)
        .map(|pair| (0.5 * (pair[0].ln() + pair[1].ln())).exp())
        .collect();
    let middles = sigmas::timesteps_of(&middles, &table, &owner)?;
    let mut calls = vec![timesteps[0]];
    for (middle, end) in middles.into_iter().zip(&timesteps[1..]) {
        calls.extend([middle, *end]);
    }
    if first_index(&calls) != 0 {
        return Err(runs_out(&owner, calls[0]));
    }

    let levels: Vec<f32> = sigmas.iter().map(|&sigma| sigma as f32).collect();
    let estimate = |at: f32| match prediction {
        Prediction::Velocity => {
            // v at this level by exact arithmetic, D of it in f32.
            let squares = at * at + 1.0;
            let (kept, out) = (f64::from(1.0 / squares), f64::from(-at / squares.sqrt()));
            let (skip, exact) = prediction.coefficients(exploding(at)?);
            Ok((kept - out * skip / exact, out / exact))
        }
        _ => Ok::<_, Error>((0.0, 1.0)),
    };
    // An ancestral step between two values of t = −ln sigma, with the noise level where the network is asked.
    let stage = |at: f32, from: f32, to: f32| -> Result<Stage, Error> {
        let (sigma_from, sigma_to) = (exp(-from), exp(-to));
        let (from_squared, to_squared) = (sigma_from * sigma_from, sigma_to * sigma_to);
        let up = (to_squared * (from_squared - to_squared) / from_squared)
            .sqrt()
            .min(sigma_to);
        let down = -ln((to_squared - up * up).sqrt());
        let weight = f64::from(-exp_m1(from - down));
        let mut stage = Stage::explicit(exploding(at)?, (0.0, 1.0), weight);
        stage.estimate = estimate(at)?;
        stage.kept = f64::from(exp(-down) / sigma_from);
        stage.after = f64::from(up) * s_noise;
        Ok(stage)
    };
    let mut table: Vec<Step> = Vec::new();
    for pair in levels.windows(2) {
        let (from, to) = (-ln(pair[0]), -ln(pair[1]));
        let middle = from + (to - from) * 0.5;
        let stages = vec![
            stage(pair[0], from, middle)?,
            stage(exp(-middle), from, to)?,
        ];
        table.push((exploding(pair[1])?, stages));
    }
    let last = levels[levels.len() - 1];
    let mut end = Stage::explicit(exploding(last)?, (0.0, 1.0), 1.0);
    end.estimate = estimate(last)?;
    end.kept = 0.0;
    table.push((Kernel::CLEAN, vec![end]));

    let doubled = levels[1..].iter().flat_map(|&sigma| [sigma, sigma]);
    let listed = [levels[0]].into_iter().chain(doubled).chain([0.0]);
    let largest = f64::from(levels.iter().copied().fold(0.0, f32::max));
    let recipe = Recipe::new(&owner, 2, Precision::State, table)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&calls),
        stepper: Box::new(recipe),
        sigmas: listed.map(f64::from).collect(),
        init_noise_sigma: match spacing {
            noise_schedule::Spacing::Leading { .. } => largest.hypot(1.0),
            _ => largest,
        },
        input: Input::UnitVariance { sigma_data: 1.0 },
        prediction,
    })
}

fn exploding(sigma: f32) -> Result<Kernel, Error> {
    Ok(Kernel::variance_exploding(f64::from(sigma))?)
}
