//! `sample_euler`, `sample_heun`, `sample_dpm_2`, their ancestral forms, and `sample_lms`.
//!
//! Their grids are rounded to `f32`; what is made of them is in `f64`.
//! Ancestral samplers have no `noise_sampler` here: noise comes from the noise source.

use noise_schedule::Kernel;

use super::dpm::ancestral;
use crate::adams::lagrange_integrals;
use crate::compat::Options;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::sigma_space::Churn;
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// `sample_euler`, with `s_churn`, `s_tmin`, `s_tmax` and `s_noise`.
pub(super) fn euler<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    churned(kwargs, sigmas, 1, |hat, to| {
        Ok(vec![Stage::flow(hat, to - hat)?])
    })
}

/// `sample_heun`, with `s_churn`, `s_tmin`, `s_tmax` and `s_noise`; a step to sigma = 0 is Euler's.
pub(super) fn heun<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    churned(kwargs, sigmas, 2, |hat, to| {
        let length = to - hat;
        let mut stages = vec![Stage::flow(hat, length)?];
        if to != 0.0 {
            let mut second = Stage::flow(to, 0.0)?;
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
        let mut stage = Stage::flow(from, down - from)?;
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
    let steps = sigmas.windows(2).enumerate().map(|(index, pair)| {
        let known: Vec<f64> = sigmas[..=index].iter().rev().take(order).copied().collect();
        let mut stage = Stage::flow(pair[0], 0.0)?;
        stage.weights = lagrange_integrals(&known, pair[1]);
        Ok((Kernel::variance_exploding(pair[1])?, vec![stage]))
    });
    let steps: Result<Vec<Step>, Error> = steps.collect();
    prepared(kwargs, sigmas, order, steps?)
}

/// The midpoint rule in sigma with the slope at the geometric mean; Euler's step to sigma = 0.
fn midpoint(from: f64, to: f64) -> Result<Vec<Stage>, Error> {
    let length = to - from;
    if to == 0.0 {
        return Ok(vec![Stage::flow(from, length)?]);
    }
    let middle = (from * to).sqrt();
    Ok(vec![
        Stage::flow(from, middle - from)?,
        Stage::flow(middle, length)?,
    ])
}

/// Steps that begin with churn.
fn churned<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
    order: usize,
    stages: impl Fn(f64, f64) -> Result<Vec<Stage>, Error>,
) -> Result<Prepared<X>, Error> {
    let churn = Churn::read(kwargs)?;
    let intervals = sigmas.len() - 1;
    let steps: Result<Vec<Step>, Error> = sigmas
        .windows(2)
        .map(|pair| {
            let (hat, noise) = churn.exactly(pair[0], intervals);
            let mut stages = stages(hat, pair[1])?;
            stages[0].before = (1.0, noise);
            Ok((Kernel::variance_exploding(pair[1])?, stages))
        })
        .collect();
    prepared(kwargs, sigmas, order, steps?)
}

/// Steps whose stages are made of the level that they start from, the one below, and the noise at the end.
fn renewed<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
    stages: impl Fn(f64, f64, f64) -> Result<Vec<Stage>, Error>,
) -> Result<Prepared<X>, Error> {
    let (eta, scale) = (kwargs.number("eta", 1.0)?, kwargs.number("s_noise", 1.0)?);
    let steps: Result<Vec<Step>, Error> = sigmas
        .windows(2)
        .map(|pair| {
            let to = Kernel::variance_exploding(pair[1])?;
            let (down, up) = ancestral(Kernel::variance_exploding(pair[0])?, to, eta)?;
            Ok((to, stages(pair[0], down.sigma(), up * scale)?))
        })
        .collect();
    prepared(kwargs, sigmas, 1, steps?)
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
