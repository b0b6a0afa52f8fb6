//! EDMDPMSolverMultistepScheduler and CosineDPMSolverMultistepScheduler: multistep at alpha = 1.

use std::f64::consts::PI;

use noise_schedule::compat::diffusers as grids;

use super::*;
use crate::compat::diffusers::sigmas::check_range;

/// EDMDPMSolverMultistepScheduler: [`DpmSolverMultistep`](crate::DpmSolverMultistep) on EDM's levels and with EDM's network.
///
/// The third order has half the second derivative; with `sde-dpmsolver++` there is none.
/// A `v_prediction` is EDM's F with the opposite sign.
pub(in super::super) fn edm<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let known = [
        ("dpmsolver++", DPM_SOLVER_PLUS_PLUS),
        ("sde-dpmsolver++", SDE_DPM_SOLVER_PLUS_PLUS),
    ];
    let (algorithm, end) = Algorithm::read_with_end(options, &known)?;
    let clip = Clip::thresholding(options)?;
    let highest = if 0.0 < algorithm.eta { 2 } else { 3 };
    let label = |sigma: f32| 0.25 * f64::from(f64::from(sigma).ln() as f32);
    let presets = Presets {
        range: (0.002, 80.0),
        sigma_data: 0.5,
        schedule: "karras",
        prediction: "epsilon",
    };
    exploding(
        options,
        steps,
        presets,
        (algorithm, highest, clip, end),
        label,
    )
}

/// CosineDPMSolverMultistepScheduler: SDE-DPM-Solver++ at alpha = 1, of order 1 or 2, for networks that are told atan(sigma) 2/π.
///
/// Its noise is that of a Brownian path in the peer, and independent here. Higher orders fail in the peer as soon as they are reached.
pub(in super::super) fn cosine<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let end = Final::read(options)?;
    let label = |sigma: f32| f64::from((f64::from(sigma).atan() / PI * 2.0) as f32);
    let presets = Presets {
        range: (0.3, 500.0),
        sigma_data: 1.0,
        schedule: "exponential",
        prediction: "v_prediction",
    };
    exploding(
        options,
        steps,
        presets,
        (SDE_DPM_SOLVER_PLUS_PLUS, 2, None, end),
        label,
    )
}

/// The defaults that the two classes differ in.
struct Presets {
    range: (f64, f64),
    sigma_data: f64,
    schedule: &'static str,
    prediction: &'static str,
}

fn exploding<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    presets: Presets,
    (algorithm, highest, clip, end): (Algorithm, u32, Option<Clip>, Final),
    label: impl Fn(f32) -> f64,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let low = options.number("sigma_min", presets.range.0)?;
    let high = options.number("sigma_max", presets.range.1)?;
    check_range((low, high), &owner)?;
    let rho = options.number("rho", 7.0)?;
    // Levels of training, which sampling does not look at.
    options.count("num_train_timesteps", 1, 1000)?;
    let sigma_data = options.number("sigma_data", presets.sigma_data)?;
    let signs = [("epsilon", 1.0), ("v_prediction", -1.0)];
    let sign = options.choice("prediction_type", &signs, presets.prediction)?;
    let sigmas = match options.choice(
        "sigma_schedule",
        &[("karras", true), ("exponential", false)],
        presets.schedule,
    )? {
        true => grids::edm_karras(low, high, rho, steps),
        false => grids::edm_exponential(low, high, steps),
    };
    let solver = Multistep {
        algorithm,
        order: options.count("solver_order", 1, 2)?,
        second: second_order(options)?,
        highest,
        lower_order_final: options.flag("lower_order_final", true)?,
        euler_at_final: options.flag("euler_at_final", false)? || end == Final::Zero,
        prediction: Prediction::Edm { sigma_data, sign },
        levels: Levels::Exploding,
        clip,
        precision: Precision::State,
        init_noise_sigma: high.hypot(1.0),
        input: Input::UnitVariance { sigma_data },
    };
    let timesteps = sigmas.iter().map(|&sigma| label(sigma)).collect();
    let mut sigmas: Vec<f64> = sigmas.into_iter().map(f64::from).collect();
    sigmas.push(if end == Final::Zero { 0.0 } else { low });
    solver.prepared(
        &Grid::new(timesteps, sigmas, Levels::Exploding, &owner)?,
        &owner,
    )
}
