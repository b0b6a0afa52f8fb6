//! Sigma grids of k-diffusion 0.1.1, in `f32`, with the 0 that its functions append.

use crate::single::linspace;

/// `get_sigmas_karras`: equally spaced in sigma^(1/rho), then 0.
pub fn karras(count: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    then_zero(karras_ramp(sigma_min, sigma_max, rho, count))
}

/// `get_sigmas_exponential`: equally spaced in ln sigma, then 0.
pub fn exponential(count: usize, sigma_min: f64, sigma_max: f64) -> Vec<f32> {
    let log_sigmas = linspace(sigma_max.ln() as f32, sigma_min.ln() as f32, count);
    then_zero(log_sigmas.into_iter().map(exp).collect())
}

/// `get_sigmas_polyexponential`: ln sigma = ln sigma_min + r^rho ln(sigma_max/sigma_min), r equally spaced from 1 to 0; then 0.
pub fn polyexponential(count: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let (low, range) = (
        sigma_min.ln() as f32,
        (sigma_max.ln() - sigma_min.ln()) as f32,
    );
    let sigmas = linspace(1.0, 0.0, count)
        .into_iter()
        .map(|r| exp(pow(r, rho) * range + low));
    then_zero(sigmas.collect())
}

/// `get_sigmas_vp`: sigma² = exp(beta_d t²/2 + beta_min t) − 1, t equally spaced from 1 to eps_s; then 0.
pub fn vp(count: usize, beta_d: f64, beta_min: f64, eps_s: f64) -> Vec<f32> {
    let sigmas = linspace(1.0, eps_s as f32, count)
        .into_iter()
        .map(|t| (exp(beta_d as f32 * (t * t) / 2.0 + beta_min as f32 * t) - 1.0).sqrt());
    then_zero(sigmas.collect())
}

/// Karras' grid on a ramp in `f32`, whose ends are rounded after the root.
pub(super) fn karras_ramp(sigma_min: f64, sigma_max: f64, rho: f64, count: usize) -> Vec<f32> {
    let (low, high) = (sigma_min.powf(1.0 / rho), sigma_max.powf(1.0 / rho));
    linspace(0.0, 1.0, count)
        .into_iter()
        .map(|u| pow(u * (low - high) as f32 + high as f32, rho))
        .collect()
}

fn then_zero(mut sigmas: Vec<f32>) -> Vec<f32> {
    sigmas.push(0.0);
    sigmas
}

/// The nearest `f32` to e^x; PyTorch's own may be its neighbour.
fn exp(x: f32) -> f32 {
    f64::from(x).exp() as f32
}

/// The nearest `f32` to x^power; PyTorch's own may be its neighbour.
fn pow(x: f32, power: f64) -> f32 {
    f64::from(x).powf(power) as f32
}
