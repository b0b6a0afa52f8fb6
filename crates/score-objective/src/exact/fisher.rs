//! The Fisher information of noised distributions, by quadrature and by sampling.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, Axis};
use rand::RngCore;

use super::{ExactScore, GaussianMixture, rows};

/// A mean over random draws, and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error: the standard deviation of the draws over the root of their number.
    pub standard_error: f64,
}

/// The Fisher information J(q_σ) = E ‖∇ log q_σ‖², estimated from `n` draws of q_σ.
///
/// For any distribution; some know it [exactly](ExactScore::fisher_information).
/// Range \[0, ∞); unbiased, with the invariances of J in distribution.
/// At small σ its standard error misleads where rare draws carry much of it.
/// The noise is drawn after the points.
///
/// ```
/// use ndarray::array;
/// use rand::SeedableRng;
/// use score_objective::exact::{ExactScore, Gaussian, sampled_fisher_information};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let data = Gaussian::with_spectrum(array![1.0, 0.0])?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let j = sampled_fisher_information(&data, 0.5, 20_000, &mut rng);
/// assert_eq!(data.fisher_information(0.5), Some(1.0 / 1.25 + 1.0 / 0.25));
/// assert!((j.value - (1.0 / 1.25 + 1.0 / 0.25)).abs() < 4.0 * j.standard_error);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// As [`ExactScore::score`], or if `n` is below 2.
pub fn sampled_fisher_information(
    data: &dyn ExactScore,
    sigma: f64,
    n: usize,
    rng: &mut dyn RngCore,
) -> Estimate {
    let x = noised(data, sigma, n, rng);
    let squares = data
        .score(x.view(), sigma)
        .mapv_into(|s| s * s)
        .sum_axis(Axis(1));
    Estimate::of(&squares)
}

/// The implicit score matching loss E\[½ ‖s‖² + div s\] of the exact score s of q_σ, estimated from `n` draws of q_σ.
///
/// Its expectation is the [floor](ExactScore::implicit_loss_floor), which no other score goes below.
/// The divergence is (tr Cov\[x₀ | x\]/σ² − D)/σ², from the posterior and not from differences.
/// Range ℝ, below 0 in expectation; unbiased; invariant to rotations and shifts in distribution.
/// Two large terms cancel at small σ: the standard error is of the order of the floor over √n (Hyvärinen 2005).
///
/// # Panics
/// If σ is not positive and finite, or if `n` is below 2.
pub fn sampled_implicit_loss(
    data: &dyn ExactScore,
    sigma: f64,
    n: usize,
    rng: &mut dyn RngCore,
) -> Estimate {
    assert!(
        0.0 < sigma,
        "the divergence of a score needs a positive sigma, not {sigma}"
    );
    let x = noised(data, sigma, n, rng);
    let squares = data
        .score(x.view(), sigma)
        .mapv_into(|s| s * s)
        .sum_axis(Axis(1));
    let variance = sigma * sigma;
    let dim = data.dim() as f64;
    let divergence = (data.posterior_variance(x.view(), sigma) / variance - dim) / variance;
    Estimate::of(&(squares * 0.5 + divergence))
}

impl Estimate {
    fn of(draws: &Array1<f64>) -> Estimate {
        let n = draws.len() as f64;
        Estimate {
            value: draws.sum() / n,
            standard_error: draws.std(1.0) / n.sqrt(),
        }
    }
}

/// `n` draws of q_σ: the points first, then the noise.
fn noised(data: &dyn ExactScore, sigma: f64, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
    assert!(1 < n, "a standard error needs at least two draws, not {n}");
    let mut x = data.draw(n, rng);
    x += &(rows::standard_normal(n, data.dim(), rng) * sigma);
    x
}

/// In closed form for one component; for more, in one and two dimensions, the mean over a grid around each component.
///
/// Points lie a sixth of the smallest standard deviation apart, out to 8.5 of the component's own: the trapezoidal rule
/// converges exponentially, and is right to 1e-8 there.
pub(super) fn of_gaussian_mixture(mixture: &GaussianMixture, sigma: f64) -> Option<f64> {
    const PER_STD: f64 = 6.0;
    const REACH: f64 = 8.5;
    // A second's work.
    const MOST_TERMS: f64 = 2e8;
    let dim = mixture.dim();
    let variances = mixture.variances().mapv(|v| v + sigma * sigma);
    if variances.len() == 1 {
        return Some(dim as f64 / variances[0]);
    }
    let stds = variances.mapv(f64::sqrt);
    let step = stds.iter().copied().fold(f64::INFINITY, f64::min) / PER_STD;
    let reach = |std: f64| (REACH * std / step).ceil();
    let points: f64 = stds
        .iter()
        .map(|std| (2.0 * reach(*std) + 1.0).powi(dim as i32))
        .sum();
    if 2 < dim || MOST_TERMS < points * stds.len() as f64 {
        return None;
    }
    let mut information = 0.0;
    for ((weight, mean), std) in (mixture.weights().iter().zip(mixture.means().rows())).zip(&stds) {
        let reach = reach(*std) as i64;
        let offsets: Vec<f64> = (-reach..=reach).map(|i| i as f64 * step).collect();
        // The trapezoidal weights of N(0, std²), which sum to 1 far beyond the last digit.
        let mass = |offset: &f64| (-0.5 * (offset / std).powi(2)).exp() * step / (TAU.sqrt() * std);
        let line = |fixed: Option<&f64>| {
            let x = Array2::from_shape_fn((offsets.len(), dim), |(i, axis)| {
                mean[axis]
                    + if axis == 0 {
                        offsets[i]
                    } else {
                        *fixed.unwrap_or(&0.0)
                    }
            });
            let squares = mixture
                .score(x.view(), sigma)
                .mapv_into(|s| s * s)
                .sum_axis(Axis(1));
            squares
                .iter()
                .zip(&offsets)
                .map(|(s, offset)| s * mass(offset))
                .sum::<f64>()
        };
        let expectation = if dim == 1 {
            line(None)
        } else {
            offsets
                .iter()
                .map(|offset| mass(offset) * line(Some(offset)))
                .sum()
        };
        information += weight * expectation;
    }
    Some(information)
}
