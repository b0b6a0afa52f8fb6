//! Distributions whose noised scores are known exactly, for measuring what a network or a sampler gets wrong.
//!
//! Every distribution p here answers for q_σ = p ∗ N(0, σ² I), the density of x₀ + σ ε, at any σ: its score, its
//! density, and the posterior of x₀ given x by its mean (the best denoiser) and covariance.
//! For a [`Kernel`] (α, σ) the same questions are asked of x_t = α x₀ + σ ε by the methods that end in `_at`, with
//! their limits where α = 0 or σ = 0.
//!
//! Pure `f64` on ndarray; rows of an array are points.
//! Rows are worked on in fixed chunks, in parallel when there are many, so no result depends on the number of threads,
//! and a point's result does not depend on the points beside it.

use std::fmt::Debug;

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use noise_schedule::Kernel;
use rand::RngCore;

mod bands;
mod basis;
mod bessel;
mod curve;
mod eigen;
mod field;
mod fisher;
mod gaussian;
mod gaussian_mixture;
mod line;
mod mixture;
mod product;
mod quadrature;
mod rotated;
mod rows;
mod sphere;

pub use bands::Bands;
pub use curve::Curve;
pub use field::GaussianField;
pub use fisher::{Estimate, sampled_fisher_information, sampled_implicit_loss};
pub use gaussian::Gaussian;
pub use gaussian_mixture::GaussianMixture;
pub use line::{Refined, fisher_divergence, kl_divergence, spectral_gap};
pub use mixture::Mixture;
pub use product::Product;
pub use rotated::Rotated;
pub use sphere::Sphere;

/// A distribution p on ℝ^D with the exact score of q_σ = p ∗ N(0, σ² I).
///
/// Object-safe.
/// Laws, with D(x) = E\[x₀ | x\]: `score` is the gradient of `log_density`; D(x) = x + σ² score(x) (Tweedie's formula;
/// Efron 2011); `posterior_covariance` is σ² ∂D/∂x, which is σ² I + σ⁴ ∇² log q_σ (the second-order formula).
///
/// ```
/// use noise_schedule::Kernel;
/// use rand::SeedableRng;
/// use score_objective::exact::{ExactScore, GaussianMixture};
///
/// # fn main() -> Result<(), noise_schedule::Error> {
/// let data = GaussianMixture::song_ermon();
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = data.draw(100, &mut rng);
/// assert_eq!(data.score(x.view(), 0.3).dim(), (100, 2));
/// // At the end of a schedule nothing is left of the data but its mean:
/// let noise = Kernel::new(0.0, 1.0)?;
/// let x = data.draw_at(100, noise, &mut rng);
/// assert_eq!(data.denoise_at(x.view(), noise).row(7), data.mean());
/// # Ok(())
/// # }
/// ```
pub trait ExactScore: Send + Sync + Debug {
    /// The dimension D of the points.
    fn dim(&self) -> usize;

    /// `n` independent points of p (no noise added); the same for the same generator state.
    ///
    /// # Shapes
    /// Returns \[n, D\].
    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64>;

    /// E x₀ over p.
    ///
    /// # Shapes
    /// Returns \[D\].
    fn mean(&self) -> Array1<f64>;

    /// The covariance of p, without noise.
    ///
    /// # Shapes
    /// Returns \[D, D\].
    fn covariance(&self) -> Array2<f64>;

    /// ∇ log q_σ at each row of `x`.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// If σ is negative or not finite, if σ is zero (or below 1e-150, whose square is) and the distribution
    /// [has no density](ExactScore::has_density), or if the rows do not have length D.
    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64>;

    /// log q_σ at each row of `x`, normalised, in nats.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n\].
    ///
    /// # Panics
    /// As [`score`](ExactScore::score).
    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64>;

    /// Cov\[x₀ | x₀ + σ ε = x\] at each row of `x`: what the best denoiser does not know. Zero at σ = 0.
    ///
    /// It is σ² times the Jacobian of [`denoise`](ExactScore::denoise).
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D, D\].
    ///
    /// # Panics
    /// If σ is negative or not finite, or if the rows do not have length D.
    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64>;

    /// Whether p itself has a density, so that σ = 0 may be asked for. False for manifolds.
    fn has_density(&self) -> bool {
        true
    }

    /// The best denoiser E\[x₀ | x₀ + σ ε = x\], which is x + σ² ∇ log q_σ(x).
    ///
    /// At σ = 0 it is the limit: x where p has a density, and otherwise the nearest point that p can give.
    /// Every distribution of this module computes it directly, since at large σ the formula above loses digits.
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

    /// tr Cov\[x₀ | x₀ + σ ε = x\] = σ² div D(x), the squared error of the best denoiser at each row of `x`.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n\].
    ///
    /// # Panics
    /// As [`posterior_covariance`](ExactScore::posterior_covariance).
    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        let one = |x| {
            self.posterior_covariance(x, sigma)
                .index_axis(Axis(0), 0)
                .diag()
                .sum()
        };
        x.axis_chunks_iter(Axis(0), 1).map(one).collect()
    }

    /// The Fisher information J(q_σ) = E ‖∇ log q_σ‖², in closed form or by a quadrature that is right to 1e-6 of it.
    ///
    /// Range \[D²/tr Cov(x), D/σ²\] (Cramér and Rao; Stam 1959); invariant to rotations and shifts, σ² J to the scale of x and σ
    /// together.
    /// It misleads as a measure of information about the data: most of it is the noise's own, (codimension)/σ².
    ///
    /// `None` where there is neither: [`sampled_fisher_information`] estimates it for any distribution.
    ///
    /// # Panics
    /// If σ is negative or not finite, or if σ = 0 and the distribution has no density.
    fn fisher_information(&self, _sigma: f64) -> Option<f64> {
        None
    }

    /// The floor of implicit score matching, min_s E\[½ ‖s‖² + div s\] = −½ J(q_σ): what a perfect score is left with.
    ///
    /// It is finite for every σ > 0 and falls like −(codimension)/(2σ²) on a manifold, where at σ = 0 there is none: the
    /// objective has no minimum, and a score that follows it grows without end (Hyvärinen 2005; Song and Ermon 2019).
    /// Range and invariances are those of J; levels cannot be compared by their losses before the floor is taken off.
    ///
    /// `None` where [`fisher_information`](ExactScore::fisher_information) is.
    ///
    /// # Panics
    /// As [`fisher_information`](ExactScore::fisher_information).
    #[doc(alias = "ISM")]
    fn implicit_loss_floor(&self, sigma: f64) -> Option<f64> {
        self.fisher_information(sigma).map(|j| -0.5 * j)
    }

    /// `n` independent x_t = α x₀ + σ ε; all x₀ are drawn before the noise.
    ///
    /// # Shapes
    /// Returns \[n, D\].
    fn draw_at(&self, n: usize, kernel: Kernel, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut x = self.draw(n, rng);
        x *= kernel.alpha();
        x += &(rows::standard_normal(n, self.dim(), rng) * kernel.sigma());
        x
    }

    /// ∇ log q_t at each row of `x`, q_t the density of x_t = α x₀ + σ ε: score(x/α, σ/α)/α, or −x/σ² at α = 0.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// As [`score`](ExactScore::score).
    fn score_at(&self, x: ArrayView2<'_, f64>, kernel: Kernel) -> Array2<f64> {
        match signal(kernel) {
            Some((alpha, ratio)) => self.score((&x / alpha).view(), ratio) / alpha,
            None => x.mapv(|x| -x / kernel.sigma().powi(2)),
        }
    }

    /// log q_t at each row of `x`, in nats: log_density(x/α, σ/α) − D ln α, or that of N(0, σ² I) at α = 0.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n\].
    ///
    /// # Panics
    /// As [`score`](ExactScore::score).
    fn log_density_at(&self, x: ArrayView2<'_, f64>, kernel: Kernel) -> Array1<f64> {
        let dim = self.dim() as f64;
        match signal(kernel) {
            Some((alpha, ratio)) => self.log_density((&x / alpha).view(), ratio) - dim * alpha.ln(),
            None => {
                let normaliser = dim * (0.5 * std::f64::consts::TAU.ln() + kernel.sigma().ln());
                let squares = x.mapv(|x| (x / kernel.sigma()).powi(2)).sum_axis(Axis(1));
                squares.mapv_into(|s| -0.5 * s - normaliser)
            }
        }
    }

    /// The best denoiser E\[x₀ | α x₀ + σ ε = x\] at any level: the mean of p at α = 0, and what
    /// [`denoise`](ExactScore::denoise) gives at σ = 0.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// If the rows do not have length D.
    #[doc(alias = "pred_x0")]
    #[doc(alias = "IdealDenoiser")]
    fn denoise_at(&self, x: ArrayView2<'_, f64>, kernel: Kernel) -> Array2<f64> {
        match signal(kernel) {
            Some((alpha, ratio)) => self.denoise((&x / alpha).view(), ratio),
            None => self
                .mean()
                .broadcast(x.raw_dim())
                .expect("rows of length D")
                .to_owned(),
        }
    }

    /// Cov\[x₀ | α x₀ + σ ε = x\] at any level: (σ²/α) ∂/∂x of [`denoise_at`](ExactScore::denoise_at).
    ///
    /// It is the covariance of p at α = 0, and zero at σ = 0.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D, D\].
    ///
    /// # Panics
    /// If the rows do not have length D.
    fn posterior_covariance_at(&self, x: ArrayView2<'_, f64>, kernel: Kernel) -> Array3<f64> {
        match signal(kernel) {
            Some((alpha, ratio)) => self.posterior_covariance((&x / alpha).view(), ratio),
            None => rows::repeat(self.covariance(), x.nrows()),
        }
    }

    /// tr Cov\[x₀ | α x₀ + σ ε = x\] at any level: (σ²/α) times the divergence of
    /// [`denoise_at`](ExactScore::denoise_at).
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n\].
    ///
    /// # Panics
    /// If the rows do not have length D.
    fn posterior_variance_at(&self, x: ArrayView2<'_, f64>, kernel: Kernel) -> Array1<f64> {
        match signal(kernel) {
            Some((alpha, ratio)) => self.posterior_variance((&x / alpha).view(), ratio),
            None => Array1::from_elem(x.nrows(), self.covariance().diag().sum()),
        }
    }
}

/// (α, σ/α), or nothing where x_t says nothing of x₀: the limits hold to the last digit long before the ratio's square
/// overflows.
fn signal(kernel: Kernel) -> Option<(f64, f64)> {
    let ratio = kernel.noise_to_signal();
    (ratio < 1e100).then_some((kernel.alpha(), ratio))
}

impl<T: ExactScore + ?Sized> ExactScore for Box<T> {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        (**self).draw(n, rng)
    }

    fn mean(&self) -> Array1<f64> {
        (**self).mean()
    }

    fn covariance(&self) -> Array2<f64> {
        (**self).covariance()
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        (**self).score(x, sigma)
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        (**self).log_density(x, sigma)
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        (**self).posterior_covariance(x, sigma)
    }

    fn has_density(&self) -> bool {
        (**self).has_density()
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        (**self).denoise(x, sigma)
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        (**self).posterior_variance(x, sigma)
    }

    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        (**self).fisher_information(sigma)
    }
}
