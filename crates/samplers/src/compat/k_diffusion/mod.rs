//! The samplers of k-diffusion 0.1.1, from their names and keyword arguments.
//!
//! States are variance-exploding: every level has alpha = 1.

mod dpm;
mod euler;
mod range;

use noise_schedule::Kernel;
use noise_schedule::compat::k_diffusion as grids;

use crate::compat::Options;
use crate::{Coordinates, Denoiser, Error, NoiseSource, Prepared};

/// What prepares a sampler: its keyword arguments, and the noise levels it walks.
type Prepare<X> = fn(&mut Options, &[f64]) -> Result<Prepared<X>, Error>;

/// The samplers that walk a grid, by their names.
fn on_grids<X: Coordinates + 'static>() -> Vec<(&'static str, Prepare<X>)> {
    vec![
        ("sample_euler", euler::euler),
        ("sample_euler_ancestral", euler::euler_ancestral),
        ("sample_heun", euler::heun),
        ("sample_dpm_2", euler::dpm_2),
        ("sample_dpm_2_ancestral", euler::dpm_2_ancestral),
        ("sample_lms", euler::lms),
        ("sample_dpmpp_2s_ancestral", dpm::two_s_ancestral),
        ("sample_dpmpp_sde", dpm::sde),
        ("sample_dpmpp_2m", dpm::two_m),
        ("sample_dpmpp_2m_sde", dpm::two_m_sde),
        ("sample_dpmpp_3m_sde", dpm::three_m_sde),
    ]
}

/// The grid that `kind` names: `karras`, `exponential`, `polyexponential` or `vp`, with the arguments of the
/// function `get_sigmas_…`; in single precision, zero at the end.
///
/// # Errors
/// [`Error::OptionValue`], [`Error::UnknownOption`] or [`Error::MissingOption`] for what the function does not take.
pub fn grid(mut options: Options) -> Result<Vec<f64>, Error> {
    let kinds = ["karras", "exponential", "polyexponential", "vp"].map(|kind| (kind, kind));
    let kind = options.choice("kind", &kinds, "karras")?;
    let count = options.required("n")?;
    if !(1.0 <= count && count.fract() == 0.0 && count <= 1e6) {
        return Err(Error::NoSteps);
    }
    let count = count as usize;
    let sigmas = if kind == "vp" {
        let beta_d = options.number("beta_d", 19.9)?;
        let beta_min = options.number("beta_min", 0.1)?;
        grids::vp(count, beta_d, beta_min, options.number("eps_s", 1e-3)?)
    } else {
        let (low, high) = (
            options.required("sigma_min")?,
            options.required("sigma_max")?,
        );
        check_range(low, high)?;
        match kind {
            "karras" => grids::karras(count, low, high, options.number("rho", 7.0)?),
            "exponential" => grids::exponential(count, low, high),
            _ => grids::polyexponential(count, low, high, options.number("rho", 1.0)?),
        }
    };
    options.finish()?;
    Ok(sigmas.into_iter().map(f64::from).collect())
}

/// The sampler of this name over these noise levels, which end with zero where it is to end with data.
///
/// Its trace is the state at the first evaluation of each step (what the peer's callback sees), then the result.
///
/// # Errors
/// [`Error::UnknownSampler`] for another name; [`Error::UnknownOption`], [`Error::OptionValue`] and
/// [`Error::Contradiction`] for what the function does not take.
pub fn prepare<X: Coordinates + 'static>(
    name: &str,
    mut kwargs: Options,
    sigmas: &[f64],
) -> Result<Prepared<X>, Error> {
    let samplers = on_grids::<X>();
    let Some((_, prepare)) = samplers.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = samplers.iter().map(|&(name, _)| name).collect();
        return Err(unknown(name, &known.join(", ")));
    };
    for &sigma in sigmas {
        Kernel::variance_exploding(sigma)?;
    }
    if sigmas.len() < 2 {
        return Err(Error::NoSteps);
    }
    let prepared = prepare(&mut kwargs, sigmas)?;
    kwargs.finish()?;
    Ok(prepared)
}

/// The range of noise levels of a sampler that chooses its own steps, and its further positional arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// Last noise level, positive.
    pub sigma_min: f64,
    /// First noise level.
    pub sigma_max: f64,
    /// For `sample_dpm_fast` the number of evaluations.
    pub args: Vec<f64>,
}

/// Runs a sampler that chooses its own steps: `sample_dpm_fast` or `sample_dpm_adaptive`.
///
/// The second measures its error over the whole batch, so that a sample depends on its mates, as in the peer.
///
/// # Errors
/// As [`prepare`].
pub fn over_range<X: Coordinates + 'static>(
    name: &str,
    range: Range,
    mut kwargs: Options,
    model: &mut dyn Denoiser<X>,
    noise: &mut dyn NoiseSource<X>,
    x: X,
) -> Result<X, Error> {
    check_range(range.sigma_min, range.sigma_max)?;
    match name {
        "sample_dpm_fast" => {
            let prepared = range::fast(&range, &mut kwargs)?;
            kwargs.finish()?;
            Ok(prepared.run(model, noise, x))
        }
        "sample_dpm_adaptive" => {
            let adaptive = range::Adaptive::read(&range, &mut kwargs)?;
            kwargs.finish()?;
            adaptive.run(model, noise, x)
        }
        _ => Err(unknown(name, "sample_dpm_fast, sample_dpm_adaptive")),
    }
}

fn check_range(low: f64, high: f64) -> Result<(), Error> {
    // The grid's own rule, with its message.
    noise_schedule::Grid::geometric(high, low, 1)?;
    Ok(())
}

fn unknown(name: &str, known: &str) -> Error {
    Error::UnknownSampler {
        toolkit: "k-diffusion",
        name: name.to_string(),
        known: known.to_string(),
    }
}
