//! Distributions whose noised scores are known exactly, for measuring what a network or a sampler gets wrong.
//!
//! Every distribution p here answers for q_σ = p ∗ N(0, σ² I), the density of x₀ + σ ε, at any σ.
//! Pure `f64` on ndarray; rows of an array are points.
//! Rows are worked on in fixed chunks, in parallel when there are many, so no result depends on the number of threads.
//!
//! For a kernel (α, σ) the score of x_t is score(x_t/α, σ/α)/α.

use std::fmt::Debug;

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::Error;

mod basis;
mod bessel;
mod field;
mod gaussian;
mod mixture;
mod sphere;

pub use field::{Bands, GaussianField};
pub use gaussian::Gaussian;
pub use mixture::GaussianMixture;
pub use sphere::Sphere;

/// A distribution p on ℝ^D with the exact score of q_σ = p ∗ N(0, σ² I).
///
/// Object-safe. Law: `score` is the gradient of `log_density` in x.
///
/// ```
/// use rand::SeedableRng;
/// use score_objective::exact::{ExactScore, GaussianMixture};
///
/// let data = GaussianMixture::song_ermon();
/// let x = data.draw(100, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0));
/// let score = data.score(x.view(), 0.3);
/// assert_eq!(score.dim(), (100, 2));
/// ```
pub trait ExactScore: Send + Sync + Debug {
    /// The dimension D of the points.
    fn dim(&self) -> usize;

    /// `n` independent points of p (no noise added); the same for the same generator state.
    ///
    /// # Shapes
    /// Returns \[n, D\].
    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64>;

    /// ∇ log q_σ at each row of `x`.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// If σ is negative or not finite, if σ = 0 and the distribution [has no density](ExactScore::has_density), or if
    /// the rows do not have length D.
    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64>;

    /// log q_σ at each row of `x`, normalised, in nats.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n\].
    ///
    /// # Panics
    /// As [`score`](ExactScore::score).
    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64>;

    /// Whether p itself has a density, so that σ = 0 may be asked for. False for manifolds.
    fn has_density(&self) -> bool {
        true
    }

    /// The best denoiser E[x₀ | x₀ + σ ε = x] = x + σ² ∇ log q_σ(x) (Tweedie's formula; Efron 2011).
    ///
    /// At σ = 0 it is x.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// If σ is negative or not finite, or if the rows do not have length D.
    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        if sigma == 0.0 {
            return x.to_owned();
        }
        let mut denoised = self.score(x, sigma);
        denoised *= sigma * sigma;
        denoised += &x;
        denoised
    }
}

/// The Fisher information J(q_σ) = E ‖∇ log q_σ‖², estimated from `n` draws of q_σ.
///
/// The noise is drawn after the points. Its relative standard error is of order 1/√n.
///
/// ```
/// use ndarray::array;
/// use rand::SeedableRng;
/// use score_objective::exact::{Gaussian, fisher_information};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let data = Gaussian::with_spectrum(array![1.0, 0.0])?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let j = fisher_information(&data, 0.5, 20_000, &mut rng);
/// assert!((j / (1.0 / 1.25 + 1.0 / 0.25) - 1.0).abs() < 0.03);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// As [`ExactScore::score`], or if `n` is 0.
pub fn fisher_information(
    data: &dyn ExactScore,
    sigma: f64,
    n: usize,
    rng: &mut dyn RngCore,
) -> f64 {
    assert!(0 < n, "Fisher information needs at least one draw");
    let mut x = data.draw(n, rng);
    x += &(standard_normal(n, data.dim(), rng) * sigma);
    data.score(x.view(), sigma)
        .iter()
        .map(|s| s * s)
        .sum::<f64>()
        / n as f64
}

/// Rows per task: fixed, so that no result depends on the number of threads.
const CHUNK: usize = 256;
/// Below this many numbers the work is done before other threads have woken up.
const PARALLEL: usize = 1 << 15;

/// Applies `f` to each chunk of rows of `x` and the rows of an \[n, columns\] result.
fn map_rows(
    x: ArrayView2<'_, f64>,
    columns: usize,
    f: impl Fn(ArrayView2<'_, f64>, ArrayViewMut2<'_, f64>) + Sync,
) -> Array2<f64> {
    let mut out = Array2::zeros((x.nrows(), columns));
    let chunks = x
        .axis_chunks_iter(Axis(0), CHUNK)
        .zip(out.axis_chunks_iter_mut(Axis(0), CHUNK));
    if x.len() < PARALLEL {
        chunks.for_each(|(x, out)| f(x, out));
    } else {
        let chunks: Vec<_> = chunks.collect();
        chunks.into_par_iter().for_each(|(x, out)| f(x, out));
    }
    out
}

/// Panics on a σ or a shape for which the distribution has no answer.
fn check_query(data: &dyn ExactScore, x: ArrayView2<'_, f64>, sigma: f64) {
    assert!(
        (0.0..f64::INFINITY).contains(&sigma),
        "sigma must be non-negative and finite, not {sigma}"
    );
    assert!(
        0.0 < sigma || data.has_density(),
        "sigma must be positive: the distribution has no density of its own"
    );
    assert!(
        x.ncols() == data.dim(),
        "points must have length {}, not {}",
        data.dim(),
        x.ncols()
    );
}

/// \[n, dim\] standard normal numbers, row by row.
fn standard_normal(n: usize, dim: usize, rng: &mut dyn RngCore) -> Array2<f64> {
    Array2::from_shape_simple_fn((n, dim), || rng.sample(StandardNormal))
}

/// Positive weights, divided by their sum.
fn normalised(weights: Array1<f64>) -> Result<Array1<f64>, Error> {
    for &weight in &weights {
        Error::positive("weight", weight)?;
    }
    let total = Error::positive("sum of weights", weights.sum())?;
    Ok(weights / total)
}

/// An index drawn with the given probabilities; uses one uniform number.
fn draw_index(probabilities: &Array1<f64>, rng: &mut dyn RngCore) -> usize {
    let mut rest: f64 = rng.random();
    for (index, p) in probabilities.iter().enumerate() {
        rest -= p;
        if rest < 0.0 {
            return index;
        }
    }
    // Rounding may leave the probabilities an ulp short of 1.
    probabilities.len() - 1
}

/// Replaces log-weights by weights that sum to 1 and returns log Σ exp. Safe however small the weights are.
fn softmax(logits: &mut [f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= sum;
    }
    largest + sum.ln()
}
