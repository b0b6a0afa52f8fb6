//! `sample_euler`, `sample_heun`, `sample_dpm_2`, their ancestral forms, and `sample_lms`.
//!
//! Their coefficients are in `f32` where the peer's are, since its grids are.
//! Ancestral samplers have no `noise_sampler` here: noise comes from the noise source.

use noise_schedule::Kernel;

use crate::compat::Options;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::sigma_space::{Churn, adams_bashforth, ancestral_bounded, midway};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// `sample_euler`, with `s_churn`, `s_tmin`, `s_tmax` and `s_noise`.
pub(super) fn euler<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    churned(kwargs, sigmas, 1, |hat, to| {
        Ok(vec![Stage::flow(f64::from(hat), f64::from(to - hat))?])
    })
}

/// `sample_heun`, with `s_churn`, `s_tmin`, `s_tmax` and `s_noise`; a step to sigma = 0 is Euler's.
pub(super) fn heun<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    churned(kwargs, sigmas, 2, |hat, to| {
        let length = f64::from(to - hat);
        let mut stages = vec![Stage::flow(f64::from(hat), length)?];
        if to != 0.0 {
            let mut second = Stage::flow(f64::from(to), 0.0)?;
            second.weights = vec![0.5 * length, 0.5 * length];
            stages.push(second);
        }
        Ok(stages)
    })
}

/// `sample_dpm_2`, with `s_churn`, `s_tmin`, `s_tmax` and `s_noise`; a step to sigma = 0 is Euler's.
pub(super) fn dpm_2<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    churned(kwargs, sigmas, 2, midpoint)
}

/// `sample_euler_ancestral`, with `eta` and `s_noise`.
pub(super) fn euler_ancestral<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    renewed(kwargs, sigmas, |from, down, up| {
        let mut stage = Stage::flow(f64::from(from), f64::from(down - from))?;
        stage.after = up;
        Ok(vec![stage])
    })
}

/// `sample_dpm_2_ancestral`, with `eta` and `s_noise`.
///
/// Where all noise is renewed (`eta` above 1 at some levels), its step is to clean data and adds none.
pub(super) fn dpm_2_ancestral<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    renewed(kwargs, sigmas, |from, down, up| {
        let mut stages = midpoint(from, down)?;
        if let [_, second] = &mut stages[..] {
            second.after = up;
        }
        Ok(stages)
    })
}

/// `sample_lms`, with `order`: Adams–Bashforth in sigma, with rising order at the start
/// and full order in the last step, to sigma = 0.
pub(super) fn lms<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    let order = kwargs.count("order", 1, 4)?;
    prepared(
        kwargs,
        sigmas,
        order,
        adams_bashforth(&single(sigmas), order)?,
    )
}

/// The midpoint rule in sigma with the slope at the geometric mean; Euler's step to sigma = 0.
fn midpoint(from: f32, to: f32) -> Result<Vec<Stage>, Error> {
    let (start, length) = (f64::from(from), f64::from(to - from));
    if to == 0.0 {
        return Ok(vec![Stage::flow(start, length)?]);
    }
    let middle = midway(from, to);
    Ok(vec![
        Stage::flow(start, f64::from(middle - from))?,
        Stage::flow(f64::from(middle), length)?,
    ])
}

/// Steps that begin with churn.
fn churned<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
    order: usize,
    stages: impl Fn(f32, f32) -> Result<Vec<Stage>, Error>,
) -> Result<Prepared<X>, Error> {
    let churn = Churn::read(kwargs)?;
    let intervals = sigmas.len() - 1;
    let steps: Result<Vec<Step>, Error> = single(sigmas)
        .windows(2)
        .map(|pair| {
            let hat = churn.at(pair[0], intervals);
            let mut stages = stages(hat.sigma, pair[1])?;
            stages[0].before = (1.0, hat.noise);
            Ok((Kernel::variance_exploding(f64::from(pair[1]))?, stages))
        })
        .collect();
    prepared(kwargs, sigmas, order, steps?)
}

/// Steps whose stages are made of the level that they start from, the one below, and the noise at the end.
fn renewed<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
    stages: impl Fn(f32, f32, f64) -> Result<Vec<Stage>, Error>,
) -> Result<Prepared<X>, Error> {
    let (eta, scale) = (kwargs.number("eta", 1.0)?, kwargs.number("s_noise", 1.0)?);
    let steps: Result<Vec<Step>, Error> = single(sigmas)
        .windows(2)
        .map(|pair| {
            let (down, up) = ancestral_bounded(pair[0], pair[1], eta);
            let stages = stages(pair[0], down, f64::from(up) * scale)?;
            Ok((Kernel::variance_exploding(f64::from(pair[1]))?, stages))
        })
        .collect();
    prepared(kwargs, sigmas, 1, steps?)
}

pub(super) fn single(sigmas: &[f64]) -> Vec<f32> {
    sigmas.iter().map(|&sigma| sigma as f32).collect()
}

pub(super) fn prepared<X: Coordinates + 'static>(
    kwargs: &Options,
    sigmas: &[f64],
    order: usize,
    steps: Vec<Step>,
) -> Result<Prepared<X>, Error> {
    // The network is told the sigma of each evaluation.
    let stages = steps.iter().flat_map(|(_, stages)| stages);
    let told: Vec<f64> = stages.map(|stage| stage.at.sigma()).collect();
    let recipe = Recipe::new(kwargs.owner(), order as u32, Precision::State, steps)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&told),
        stepper: Box::new(recipe),
        sigmas: sigmas.to_vec(),
        init_noise_sigma: sigmas[0],
        input: Input::State,
        prediction: Prediction::Sample,
    })
}
