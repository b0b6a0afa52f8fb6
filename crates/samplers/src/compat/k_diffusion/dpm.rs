//! `sample_dpmpp_2s_ancestral`, `sample_dpmpp_sde`, `sample_dpmpp_2m`, `sample_dpmpp_2m_sde` and `sample_dpmpp_3m_sde`.
//!
//! The noise of the SDE samplers is that of a Brownian path in the peer, and the noise source's here.

use noise_schedule::Kernel;

use super::euler::prepared;
use crate::compat::Options;
use crate::compat::recipe::{Stage, Step};
use crate::dpm_solver::{Curvature, Exponential, Integrand, SecondOrder};
use crate::starter::intermediate;
use crate::{Coordinates, Error, Prepared};

/// `sample_dpmpp_2s_ancestral`, with `eta` and `s_noise`: [`DpmSolverSinglestep`](crate::DpmSolverSinglestep) of second order
/// to the lower level of an ancestral step.
pub(super) fn two_s_ancestral<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    let (eta, scale) = (kwargs.number("eta", 1.0)?, kwargs.number("s_noise", 1.0)?);
    let steps = levels(sigmas)?;
    let steps = steps.windows(2).map(|pair| {
        let (down, up) = ancestral(pair[0], pair[1], eta)?;
        let mut stages = if down.sigma() == 0.0 {
            vec![step(pair[0], pair[0], down)]
        } else {
            let middle = intermediate(pair[0], down, 0.5);
            vec![step(pair[0], pair[0], middle), step(middle, pair[0], down)]
        };
        let last = stages.len() - 1;
        stages[last].after = up * scale;
        Ok((pair[1], stages))
    });
    let steps: Result<Vec<Step>, Error> = steps.collect();
    prepared(kwargs, sigmas, 1, steps?)
}

/// `sample_dpmpp_sde`, with `eta`, `s_noise` and `r`: two ancestral steps from the same state.
///
/// For `eta` other than 0 and 1 its noise is not that of a reversed diffusion, unlike that of [`DpmSolverSde`](crate::DpmSolverSde).
pub(super) fn sde<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    let (eta, scale) = (kwargs.number("eta", 1.0)?, kwargs.number("s_noise", 1.0)?);
    let r = kwargs.number("r", 0.5)?;
    let steps = levels(sigmas)?;
    let steps = steps.windows(2).map(|pair| {
        if pair[1].sigma() == 0.0 {
            return Ok((pair[1], vec![step(pair[0], pair[0], pair[1])]));
        }
        let middle = intermediate(pair[0], pair[1], r);
        let renewed = |at: Kernel, to: Kernel| -> Result<Stage, Error> {
            let (down, up) = ancestral(pair[0], to, eta)?;
            let mut stage = step(at, pair[0], down);
            stage.after = up * scale;
            Ok(stage)
        };
        let (first, mut second) = (renewed(pair[0], middle)?, renewed(middle, pair[1])?);
        let (share, weight) = (1.0 / (2.0 * r), second.weights[0]);
        second.weights = vec![share * weight, (1.0 - share) * weight];
        Ok((pair[1], vec![first, second]))
    });
    let steps: Result<Vec<Step>, Error> = steps.collect();
    prepared(kwargs, sigmas, 2, steps?)
}

/// `sample_dpmpp_2m`: [`DpmSolverMultistep`](crate::DpmSolverMultistep) of second order.
pub(super) fn two_m<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    let steps = multistep(&levels(sigmas)?, 0.0, 1.0, SecondOrder::Midpoint, 1);
    prepared(kwargs, sigmas, 2, steps)
}

/// `sample_dpmpp_2m_sde`, with `eta`, `s_noise` and `solver_type`: [`DpmSolverMultistep`](crate::DpmSolverMultistep) with noise.
pub(super) fn two_m_sde<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    let known = [
        ("midpoint", SecondOrder::Midpoint),
        ("heun", SecondOrder::Heun),
    ];
    let second = kwargs.choice("solver_type", &known, "midpoint")?;
    multistep_sde(kwargs, sigmas, second, 1)
}

/// `sample_dpmpp_3m_sde`, with `eta` and `s_noise`: [`DpmSolverMultistep`](crate::DpmSolverMultistep) with noise,
/// through three levels, with half the second derivative.
pub(super) fn three_m_sde<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    multistep_sde(kwargs, sigmas, SecondOrder::Heun, 2)
}

fn multistep_sde<X: Coordinates + 'static>(
    kwargs: &mut Options,
    sigmas: &[f64],
    second: SecondOrder,
    remembered: usize,
) -> Result<Prepared<X>, Error> {
    let (eta, scale) = (kwargs.number("eta", 1.0)?, kwargs.number("s_noise", 1.0)?);
    if sigmas[1] == 0.0 {
        return Err(Error::Contradiction {
            owner: kwargs.owner().to_string(),
            rule: "the first step may not be the last: the peer then fails; take two steps or more",
            given: format!("a step from sigma = {} to 0", sigmas[0]),
        });
    }
    let steps = multistep(&levels(sigmas)?, eta, scale, second, remembered);
    prepared(kwargs, sigmas, 2, steps)
}

/// The steps through as many levels before as there are, up to `remembered`.
fn multistep(
    levels: &[Kernel],
    eta: f64,
    scale: f64,
    second: SecondOrder,
    remembered: usize,
) -> Vec<Step> {
    let steps = levels.windows(2).enumerate().map(|(index, pair)| {
        let (from, to) = (pair[0], pair[1]);
        let mut stage = step(from, from, to);
        if to.sigma() != 0.0 {
            let length = |from: Kernel, to: Kernel| to.log_snr() - from.log_snr();
            let before = levels[..=index].windows(2).rev().take(remembered);
            let back: Vec<f64> = before
                .map(|pair| length(pair[0], pair[1]) / length(from, to))
                .collect();
            let step = Exponential::new(Integrand::Denoised, eta, from, to);
            let update = step.multistep(second, Curvature::Halved, &back);
            stage.kept = update.state;
            stage.weights = update.values[..=back.len()].to_vec();
            stage.after = update.noise * scale;
        }
        (to, vec![stage])
    });
    steps.collect()
}

fn levels(sigmas: &[f64]) -> Result<Vec<Kernel>, Error> {
    Ok(sigmas
        .iter()
        .map(|&sigma| Kernel::variance_exploding(sigma))
        .collect::<Result<_, _>>()?)
}

/// The step to a level with D at `at`: (sigma/sigma_from) x + (1 − sigma/sigma_from) D.
fn step(at: Kernel, from: Kernel, to: Kernel) -> Stage {
    let kept = to.sigma() / from.sigma();
    let mut stage = Stage::explicit(at, (0.0, 1.0), 1.0 - kept);
    stage.kept = kept;
    stage
}

/// The level that an ancestral step comes down to, and the scale of the noise that it adds there.
pub(super) fn ancestral(from: Kernel, to: Kernel, eta: f64) -> Result<(Kernel, f64), Error> {
    if eta == 0.0 {
        return Ok((to, 0.0));
    }
    let (from, to) = (from.sigma(), to.sigma());
    let up = to.min(eta * (to * to * (from * from - to * to) / (from * from)).sqrt());
    Ok((
        Kernel::variance_exploding((to * to - up * up).max(0.0).sqrt())?,
        up,
    ))
}
