//! PNDMScheduler and IPNDMScheduler: Adams–Bashforth with the weights of equal steps, on DDIM's step.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;
use noise_schedule::single;

use super::sigmas::{self, first_index, runs_out};
use super::t_space::{self, Levels, kernel};
use super::training::{Defaults, table};
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::{Options, Value};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// PNDMScheduler: three Runge–Kutta steps of four calls (unless `skip_prk_steps`), then Adams–Bashforth of order 4.
///
/// Reproduced with it:
/// the weights are those of equal steps whatever the timesteps are;
/// each step is by ⌊T/n⌋ levels, which is not the next timestep for the spacings `linspace` and `trailing`;
/// without the Runge–Kutta start the second call is at the second timestep, the first step is redone with the mean of both answers,
/// and the history keeps the first alone;
/// a history of velocities is combined before it is turned into noise, at the level of the step.
pub(super) fn pndm<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let table = table(options, Defaults::LINEAR)?;
    let skips = options.flag("skip_prk_steps", false)?;
    let ends_at_one = options.flag("set_alpha_to_one", false)?;
    let predictions = [
        ("epsilon", Prediction::Epsilon),
        ("v_prediction", Prediction::Velocity),
    ];
    let prediction = options.choice("prediction_type", &predictions, "epsilon")?;
    let spacing = sigmas::spacing(options, "leading")?;
    if !skips && steps < 4 {
        let given = Value::Number(steps as f64);
        return Err(options.refused(
            "num_inference_steps",
            &given,
            "at least 4 for the Runge–Kutta start; or set skip_prk_steps",
        ));
    }
    let grid = grids::t_space(spacing, table.count(), steps);
    let transfer = Transfer {
        levels: Levels::new(&table, ends_at_one, options.owner()),
        prediction,
    };
    let stride = (table.count() / steps) as i64;
    let (mut timesteps, mut walk) = (Vec::new(), Vec::new());
    let rest = if skips {
        let first = grid[0];
        // The history is m_0, and the answer at the second timestep is m_1.
        let mut stages = vec![transfer.stage(first, first, first - stride, &[1.0])?];
        timesteps.push(first);
        if let Some(&second) = grid.get(1) {
            stages.push(transfer.stage(second, second + stride, second, &[0.5, 0.5])?);
            timesteps.push(second);
        }
        walk.push((transfer.end(first - stride)?, stages));
        &grid[1..]
    } else {
        let half = stride / 2;
        for pair in grid[..4].windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let middle = to + half;
            let stages = vec![
                transfer.stage(from, from, from - half, &[1.0])?,
                transfer.stage(middle, from, middle, &[1.0])?,
                transfer.stage(middle, from, middle - half, &[1.0])?,
                transfer.stage(to, from, to, &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0])?,
            ];
            walk.push((transfer.end(to)?, stages));
            timesteps.extend([from, middle, middle, to]);
        }
        &grid[3..]
    };
    // How far back in the memory of all answers those of the history lie, the newest first.
    let mut history = if skips { vec![2] } else { vec![4, 8, 12] };
    for &timestep in rest {
        let mut weights = vec![0.0; history[history.len() - 1] + 1];
        for (weight, back) in equal_steps(history.len() + 1)
            .iter()
            .zip([0].iter().chain(&history))
        {
            weights[*back] = *weight;
        }
        let stage = transfer.stage(timestep, timestep, timestep - stride, &weights)?;
        walk.push((transfer.end(timestep - stride)?, vec![stage]));
        timesteps.push(timestep);
        history.insert(0, 0);
        history.truncate(3);
        history.iter_mut().for_each(|back| *back += 1);
    }
    t_space::prepared(options.owner(), 4, &timesteps, walk, prediction)
}

/// DDIM's step for a combination of the network's own answers.
struct Transfer<'a> {
    levels: Levels<'a>,
    prediction: Prediction,
}

impl Transfer<'_> {
    /// The level that a step to this timestep ends at.
    fn end(&self, timestep: i64) -> Result<Kernel, Error> {
        kernel(self.levels.next_alpha_bar(timestep)?)
    }

    /// The evaluation at `asked`, and the step between the levels of two timesteps with these weights of the answers.
    fn stage(&self, asked: i64, from: i64, to: i64, weights: &[f64]) -> Result<Stage, Error> {
        let at = self.levels.asked(asked, self.prediction)?.at;
        let (from, to) = (
            self.levels.alpha_bar(from)?,
            self.levels.next_alpha_bar(to)?,
        );
        let denominator = from * (1.0 - to).sqrt() + (from * (1.0 - from) * to).sqrt();
        // The state is in higher precision there, and so is the quotient.
        let noise = -f64::from(to - from) / f64::from(denominator);
        let (state, answer) = match self.prediction {
            Prediction::Velocity => (f64::from((1.0 - from).sqrt()), f64::from(from.sqrt())),
            _ => (0.0, 1.0),
        };
        Ok(Stage {
            kept: f64::from((to / from).sqrt()) + noise * state,
            weights: weights
                .iter()
                .map(|weight| noise * answer * weight)
                .collect(),
            ..Stage::explicit(at, self.prediction.answer_coefficients(at), 0.0)
        })
    }
}

/// The weights of Adams–Bashforth for equal steps, the latest slope first.
fn equal_steps(order: usize) -> &'static [f64] {
    match order {
        1 => &[1.0],
        2 => &[1.5, -0.5],
        3 => &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        _ => &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    }
}

/// IPNDMScheduler: Adams–Bashforth of rising order up to 4 on sigma = sin²(πs/2) for equal steps in s, with velocities.
///
/// Reproduced with it:
/// the weights are those of equal steps, which these are not;
/// the first step starts from alpha = 0 and takes 0 for the sample, whatever the network answers;
/// `trained_betas` are sigmas, and set the number of steps.
pub(super) fn ipndm<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    // It has no bearing on a run.
    options.count("num_train_timesteps", 1, 1000)?;
    let given = options.numbers("trained_betas")?;
    let sigmas: Vec<f32> = match given {
        Some(betas) => betas.into_iter().map(|beta| beta as f32).collect(),
        None => single::linspace(1.0, 0.0, steps + 1)
            .into_iter()
            .map(|s| {
                let angle = s * std::f32::consts::PI / 2.0;
                (f64::from(angle).sin() as f32).powi(2)
            })
            .collect(),
    };
    let levels: Vec<(f32, f32)> = sigmas.iter().map(|&s| ((1.0 - s * s).sqrt(), s)).collect();
    if let Some(&(alpha, sigma)) = levels
        .iter()
        .find(|(alpha, sigma)| !alpha.is_finite() || *sigma < 0.0)
    {
        return Err(Error::Contradiction {
            owner: options.owner().to_string(),
            rule: "trained_betas are the sigmas of this class and must lie in [0, 1]",
            given: format!("alpha {alpha}, sigma {sigma}"),
        });
    }
    let timestep = |(alpha, sigma): (f32, f32)| {
        let angle = f64::from(sigma).atan2(f64::from(alpha)) as f32;
        f64::from(angle / std::f32::consts::PI * 2.0)
    };
    let Some((_, noisy)) = levels.split_last().filter(|(_, noisy)| !noisy.is_empty()) else {
        return Err(Error::NoSteps);
    };
    let timesteps: Vec<f64> = noisy.iter().copied().map(timestep).collect();
    if first_index(&timesteps) != 0 {
        return Err(runs_out(options.owner(), timesteps[0]));
    }
    let mut walk: Vec<Step> = Vec::with_capacity(noisy.len());
    for (index, pair) in levels.windows(2).enumerate() {
        let ((alpha, sigma), (next_alpha, next_sigma)) = (pair[0], pair[1]);
        let level = |alpha: f32, sigma: f32| Kernel::new(f64::from(alpha), f64::from(sigma));
        let at = level(alpha, sigma)?;
        let kept = f64::from(next_alpha) / f64::from(alpha.max(1e-8));
        let noise = f64::from(next_sigma) - kept * f64::from(sigma);
        // The noise sigma x + alpha v that the peer makes of a velocity.
        let (state, clean) = Prediction::Velocity.answer_coefficients(at);
        let slope = (at.sigma() + at.alpha() * state, at.alpha() * clean);
        let weights = equal_steps(index + 1).iter().map(|weight| noise * weight);
        let stage = Stage {
            kept,
            weights: weights.collect(),
            ..Stage::explicit(at, slope, 0.0)
        };
        walk.push((level(next_alpha, next_sigma)?, vec![stage]));
    }
    let recipe = Recipe::new(options.owner(), 4, Precision::State, walk)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&timesteps),
        stepper: Box::new(recipe),
        sigmas: Vec::new(),
        init_noise_sigma: 1.0,
        input: Input::State,
        prediction: Prediction::Velocity,
    })
}
