//! Timesteps and sigma grids of diffusers 0.42.
//!
//! The sigma grids start from [`Table::sigmas`](crate::single::Table::sigmas), in `f32`, and are computed in `f64`;
//! a scheduler rounds them to `f32` at the end and appends its final sigma.
//! All of them fall and have `count` entries.

use super::numpy;
use crate::incomplete_beta::beta_quantile;
use crate::path::repaint_visits;
use crate::single;
use crate::{Error, Spacing};

/// The timesteps of DDPM, DDIM, PNDM and their kin, from noise to data, for `count` of `train` levels.
///
/// `Linspace` is round(i (T − 1)/(n − 1)), halves to even; one step is timestep 0, the cleanest.
/// `Leading` counts in strides of ⌊T/n⌋ from 0, and adds the offset.
/// `Trailing` counts down from T in strides of T/n, rounds and subtracts 1:
/// for some n (62 of them at T = 1000) rounding makes it n + 1 timesteps of which the last is −1.
///
/// # Panics
/// If `count` is 0.
pub fn t_space(spacing: Spacing, train: usize, count: usize) -> Vec<i64> {
    assert!(0 < count, "timesteps: at least one is needed");
    match spacing {
        Spacing::Linspace => rounded_linspace(train, count).rev().collect(),
        Spacing::Leading { offset } => leading(train / count, offset, count).rev().collect(),
        Spacing::Trailing => trailing(train, train as f64 / count as f64),
    }
}

/// The timesteps of DPM-Solver multistep, UniPC, DEIS and SA-Solver, from noise to data, for `count` of `train` levels,
/// where the noisiest `train` − `last` are clipped (by `lambda_min_clipped`; UniPC and DEIS clip none).
///
/// `Linspace` and `Leading` count n + 1 timesteps and leave out the cleanest, 0 + offset, in place of which comes the final sigma.
/// The singlestep solver is `Linspace` always.
///
/// # Panics
/// If `count` or `last` is 0, or `last` exceeds `train`.
pub fn lambda_space(spacing: Spacing, train: usize, last: usize, count: usize) -> Vec<i64> {
    assert!(0 < count, "timesteps: at least one is needed");
    assert!(
        0 < last && last <= train,
        "timesteps: {last} levels of {train} are left after clipping"
    );
    match spacing {
        Spacing::Linspace => rounded_linspace(last, count + 1).skip(1).rev().collect(),
        Spacing::Leading { offset } => {
            let all = leading(last / (count + 1), offset, count + 1);
            all.skip(1).rev().collect()
        }
        Spacing::Trailing => trailing(last, train as f64 / count as f64),
    }
}

/// The timesteps of Euler, Heun, LMS, KDPM2 and their ancestral forms, from noise to data, for `count` of `train` levels:
/// those of [`t_space`], but that `Linspace` is not rounded to integers; DPMSolverSDE has them before the rounding to `f32`.
///
/// # Panics
/// If `count` is 0.
pub fn sigma_space(spacing: Spacing, train: usize, count: usize) -> Vec<f64> {
    if let Spacing::Linspace = spacing {
        let mut timesteps = numpy::linspace(0.0, train as f64 - 1.0, count);
        timesteps.reverse();
        timesteps
    } else {
        let timesteps = t_space(spacing, train, count).into_iter();
        timesteps.map(|timestep| timestep as f64).collect()
    }
}

/// The timesteps of LCM and TCD, from noise to data: `count` of the `original` steps of the distillation,
/// of which the cleanest fraction `strength` in (0, 1] is used.
/// TCD whose `original_inference_steps` is passed to `set_timesteps` has `original` = `train`.
///
/// The original steps are (i + 1) ⌊T/original⌋ − 1, and the i-th of n timesteps is the ⌊i len/n⌋-th of them from the noisy end.
///
/// # Errors
/// [`Error::TooManySteps`] for more timesteps than original steps, or more of those than levels; [`Error::NoSteps`] for none;
/// [`Error::Strength`] unless 0 < strength ≤ 1.
pub fn lcm(train: usize, original: usize, count: usize, strength: f64) -> Result<Vec<i64>, Error> {
    if count == 0 || original == 0 {
        return Err(Error::NoSteps);
    }
    if !(0.0 < strength && strength <= 1.0) {
        return Err(Error::Strength { strength });
    }
    let kept = (original as f64 * strength) as usize;
    for (steps, levels) in [(original, train), (count, kept)] {
        if levels < steps {
            return Err(Error::TooManySteps { steps, levels });
        }
    }
    let stride = kept as f64 / count as f64;
    Ok((0..count)
        .map(|i| {
            let from_noise = (i as f64 * stride) as usize;
            ((kept - from_noise) * (train / original)) as i64 - 1
        })
        .collect())
}

/// The timesteps of RePaint, with its jumps back to more noise; each step down is by ⌊T/n⌋.
///
/// # Errors
/// [`Error::Jump`] if `jump_length` or `jump_samples` is 0; [`Error::NoSteps`] if `count` or `train` is.
pub fn repaint(
    train: usize,
    count: usize,
    jump_length: usize,
    jump_samples: usize,
) -> Result<Vec<i64>, Error> {
    let count = count.min(train);
    if count == 0 {
        return Err(Error::NoSteps);
    }
    let stride = train / count;
    let visits = repaint_visits(count, jump_length, jump_samples)?;
    Ok(visits.into_iter().map(|at| (at * stride) as i64).collect())
}

/// The natural logarithm of each sigma of a table, with the bits of NumPy's own `f32` logarithm (on processors with AVX2).
///
/// Sigmas are not negative; 0 and ∞ have infinite logarithms.
pub fn log_sigmas(sigmas: &[f32]) -> Vec<f32> {
    sigmas.iter().map(|&sigma| numpy::ln(sigma)).collect()
}

/// The fractional timestep of a sigma: linear in ln sigma between the levels of the table, clamped to its ends.
///
/// `log_sigmas` rise with the timestep, two or more of them.
///
/// # Panics
/// For fewer than two levels.
#[doc(alias = "sigma_to_t")]
pub fn timestep_of(sigma: f64, log_sigmas: &[f32]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    let low = lower_neighbour(log_sigmas, |level| f64::from(level) <= log_sigma);
    let width = log_sigmas[low] - log_sigmas[low + 1];
    let w = ((f64::from(log_sigmas[low]) - log_sigma) / f64::from(width)).clamp(0.0, 1.0);
    (1.0 - w) * low as f64 + w * (low + 1) as f64
}

/// [`timestep_of`] a sigma that is itself held in `f32`: a sigma of the user's, or an interpolated one of KDPM2.
///
/// # Panics
/// For fewer than two levels.
pub fn timestep_of_single(sigma: f32, log_sigmas: &[f32]) -> f64 {
    let log_sigma = numpy::ln(sigma.max(1e-10));
    let low = lower_neighbour(log_sigmas, |level| level <= log_sigma);
    let width = log_sigmas[low] - log_sigmas[low + 1];
    let w = ((log_sigmas[low] - log_sigma) / width).clamp(0.0, 1.0);
    f64::from(1.0 - w) * low as f64 + f64::from(w) * (low + 1) as f64
}

/// The sigma at a fractional timestep, linear in sigma between the levels of the table, clamped to its ends.
///
/// # Panics
/// For an empty table.
pub fn interpolate(timestep: f64, sigmas: &[f32]) -> f64 {
    numpy::interpolate(timestep, sigmas)
}

/// Equally spaced in sigma^(1/rho), from `sigma_max` to `sigma_min`; one sigma is `sigma_max`.
///
/// The schedulers that take `use_karras_sigmas` have rho = 7.
pub fn karras(sigma_min: f64, sigma_max: f64, rho: f64, count: usize) -> Vec<f64> {
    numpy::linspace(0.0, 1.0, count)
        .into_iter()
        .map(|u| karras_at(sigma_min, sigma_max, rho, u))
        .collect()
}

/// The sigma at the fraction `u` of [`karras`]: `sigma_max` at 0, `sigma_min` at 1.
pub fn karras_at(sigma_min: f64, sigma_max: f64, rho: f64, u: f64) -> f64 {
    let (low, high) = (sigma_min.powf(1.0 / rho), sigma_max.powf(1.0 / rho));
    (high + u * (low - high)).powf(rho)
}

/// Equally spaced in ln sigma, from `sigma_max` to `sigma_min`; one sigma is `sigma_max`.
pub fn exponential(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    numpy::linspace(sigma_max.ln(), sigma_min.ln(), count)
        .into_iter()
        .map(f64::exp)
        .collect()
}

/// The quantiles of Beta(0.6, 0.6), applied to sigma, from `sigma_max` to `sigma_min`; one sigma is `sigma_max`.
pub fn beta(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    numpy::linspace(0.0, 1.0, count)
        .into_iter()
        .map(|u| sigma_min + beta_quantile(0.6, 0.6, 1.0 - u) * (sigma_max - sigma_min))
        .collect()
}

/// `use_lu_lambdas`: equally spaced in the table's own logarithms of sigma, from the larger to the smaller.
pub fn lu(log_sigma_min: f32, log_sigma_max: f32, count: usize) -> Vec<f64> {
    let (low, high) = (f64::from(log_sigma_min), f64::from(log_sigma_max));
    numpy::linspace(0.0, 1.0, count)
        .into_iter()
        .map(|u| (high + u * (low - high)).exp())
        .collect()
}

/// Euler's `interpolation_type="log_linear"`: `count` + 1 sigmas equally spaced in ln sigma, whatever the timesteps.
pub fn log_linear(sigma_min: f32, sigma_max: f32, count: usize) -> Vec<f32> {
    single::linspace(numpy::ln(sigma_max), numpy::ln(sigma_min), count + 1)
        .into_iter()
        .map(|log_sigma| f64::from(log_sigma).exp() as f32)
        .collect()
}

/// Karras' grid in `f32`: that of EDMDPMSolverMultistep and CosineDPMSolverMultistep (EDMEuler's is [`karras`], rounded).
pub fn edm_karras(sigma_min: f64, sigma_max: f64, rho: f64, count: usize) -> Vec<f32> {
    super::k_diffusion::karras_ramp(sigma_min, sigma_max, rho, count)
}

/// The exponential grid in `f32`: that of EDMEuler, EDMDPMSolverMultistep and CosineDPMSolverMultistep.
/// One sigma is `sigma_min`.
pub fn edm_exponential(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f32> {
    single::linspace(sigma_min.ln() as f32, sigma_max.ln() as f32, count)
        .into_iter()
        .rev()
        .map(|log_sigma| f64::from(log_sigma).exp() as f32)
        .collect()
}

/// `use_flow_sigmas` of DPM-Solver, DEIS and SA-Solver: equally spaced between 1 − 1/T and 0, shifted, without the last;
/// so the first lies below 1.
pub fn flow_from_alpha(train: usize, shift: f64, count: usize) -> Vec<f64> {
    let alphas = numpy::linspace(1.0, 1.0 / train as f64, count + 1);
    alphas
        .into_iter()
        .skip(1)
        .rev()
        .map(|alpha| flow_shift(1.0 - alpha, shift))
        .collect()
}

/// `use_flow_sigmas` of UniPC before its shift: equally spaced between 1 and 1/T, without the last.
///
/// After shift and stretch, UniPC lowers a first sigma within 1e-6 of 1 by 1e-6.
pub fn flow_from_noise(train: usize, count: usize) -> Vec<f64> {
    let mut sigmas = numpy::linspace(1.0, 1.0 / train as f64, count + 1);
    sigmas.truncate(count);
    sigmas
}

/// The sigmas of FlowMatchEuler and FlowMatchHeun before the shift of `set_timesteps`:
/// equally spaced between the ends of the training sigmas i/T, which the constructor has shifted already,
/// unless dynamic shifting is used (`constructor_shift` = 1). So a shift other than 1 acts twice.
pub fn flow_match(train: usize, constructor_shift: f64, count: usize) -> Vec<f64> {
    let t = train as f32;
    let shift = constructor_shift as f32;
    let shifted = |level: f32| {
        let sigma = level / t;
        // As PyTorch orders it: python numbers are rounded to f32, the difference after its subtraction.
        f64::from(shift * sigma / (1.0 + (constructor_shift - 1.0) as f32 * sigma))
    };
    numpy::linspace(
        shifted(t) * f64::from(t),
        shifted(1.0) * f64::from(t),
        count,
    )
    .into_iter()
    .map(|timestep| timestep / train as f64)
    .collect()
}

/// s σ / (1 + (s − 1) σ).
pub fn flow_shift(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

/// `time_shift_type="exponential"`: e^μ / (e^μ + 1/σ − 1).
pub fn time_shift_exponential(sigma: f64, mu: f64) -> f64 {
    time_shift_linear(sigma, mu.exp())
}

/// `time_shift_type="linear"`: μ / (μ + 1/σ − 1).
pub fn time_shift_linear(sigma: f64, mu: f64) -> f64 {
    mu / (mu + (1.0 / sigma - 1.0))
}

/// `shift_terminal`: stretches 1 − σ so that the last sigma is `terminal`; NaN where the only sigma is 1.
pub fn stretch_to_terminal(sigmas: &mut [f64], terminal: f64) {
    let Some(&last) = sigmas.last() else { return };
    let scale = (1.0 - last) / (1.0 - terminal);
    for sigma in sigmas {
        *sigma = 1.0 - (1.0 - *sigma) / scale;
    }
}

/// [`numpy.linspace`](https://numpy.org/doc/stable/reference/generated/numpy.linspace.html) with its rounding.
pub fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    numpy::linspace(start, stop, count)
}

/// 0 … `levels` − 1, equally spaced and rounded, halves to even.
fn rounded_linspace(
    levels: usize,
    count: usize,
) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
    numpy::linspace(0.0, levels as f64 - 1.0, count)
        .into_iter()
        .map(|timestep| timestep.round_ties_even() as i64)
}

fn leading(
    stride: usize,
    offset: usize,
    count: usize,
) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator {
    (0..count).map(move |i| (i * stride + offset) as i64)
}

fn trailing(from: usize, stride: f64) -> Vec<i64> {
    numpy::falling(from as f64, stride)
        .into_iter()
        .map(|timestep| timestep.round_ties_even() as i64 - 1)
        .collect()
}

/// The last level that is not above the value, kept off the last level of all; the first where all are above.
fn lower_neighbour(log_sigmas: &[f32], is_below: impl Fn(f32) -> bool) -> usize {
    assert!(
        1 < log_sigmas.len(),
        "timestep of a sigma: two levels are needed"
    );
    // Not by bisection: with a terminal SNR of zero and its floor, the last level may be below the one before it.
    let below = log_sigmas.iter().rposition(|&level| is_below(level));
    below.unwrap_or(0).min(log_sigmas.len() - 2)
}
