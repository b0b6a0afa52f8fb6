//! Mixtures of isotropic Gaussians, finite data sets among them.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis, Zip, array};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;

use super::rows::{
    add_outer, all_finite, all_non_negative, at_least_one, check_density, check_points,
    check_query, draw_index, map_rows, normalised, standard_normal,
};
use super::{ExactScore, fisher};
use crate::Error;

use level::Level;
use screen::Centred;

mod lanes;
mod level;
mod one_pass;
mod products;
mod real;
mod registers;
mod screen;
mod single;

/// Variances below this are zero: their reciprocals overflow.
const SMALLEST_VARIANCE: f64 = 1e-300;

/// p = Σ π_k N(μ_k, v_k I). With noise, v_k + σ² takes the place of v_k.
///
/// With p_k = 1/(v_k + σ²) and the responsibilities r_k(x) = P(component k | x):
///
/// * ∇ log q_σ(x) = Σ r_k p_k (μ_k − x);
/// * E\[x₀ | x\] = Σ r_k m_k, m_k = p_k (σ² μ_k + v_k x);
/// * Cov\[x₀ | x\] = Σ r_k (σ² v_k p_k I + m_k m_kᵀ) − E\[x₀ | x\] E\[x₀ | x\]ᵀ.
///
/// Responsibilities come from log-densities relative to the largest, so they sum to 1 however far x lies from all means;
/// those below e^−60 of the largest are zero, and in 16 and more dimensions those that are together below e^−40.
/// Scores agree with sums in plain loops to 1e-12 of their length.
/// The distances of n points to K means are one matrix product in 16 and more dimensions: it takes 2 n K D operations
/// and K + D numbers per point.
/// Where the noise is so little that few components matter, the product is in single precision and only finds them;
/// their terms are computed in double precision.
/// [`score_f32`](GaussianMixture::score_f32) and [`denoise_f32`](GaussianMixture::denoise_f32) are the same in single
/// precision.
/// Other covariances are a [`Mixture`](super::Mixture) of [`Gaussian`](super::Gaussian).
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{ExactScore, GaussianMixture};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let data = GaussianMixture::new(array![1.0, 1.0], array![[-2.0], [2.0]], 0.5)?;
/// assert_eq!(data.score(array![[0.0]].view(), 1.0), array![[0.0]]);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "GMM")]
#[derive(Debug, Clone)]
pub struct GaussianMixture {
    weights: Array1<f64>,
    means: Array2<f64>,
    variances: Array1<f64>,
    // ‖μ_k‖²/2.
    half_norms: Vec<f64>,
    // For single precision, and for finding the components that matter where products are made.
    centred: Centred,
}

impl GaussianMixture {
    /// K components with the given weights (divided by their sum), means and common variance per coordinate.
    ///
    /// Variance 0 gives point masses: fine with noise, without density at σ = 0.
    ///
    /// # Shapes
    /// `weights`: \[K\]; `means`: \[K, D\], K and D at least 1.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for a weight, [`Error::Negative`] for the variance, [`Error::NotFinite`] for a mean,
    /// [`Error::Length`] or [`Error::Count`] for shapes.
    pub fn new(
        weights: Array1<f64>,
        means: Array2<f64>,
        variance: f64,
    ) -> Result<GaussianMixture, Error> {
        let variances = Array1::from_elem(means.nrows(), variance);
        GaussianMixture::with_variances(weights, means, variances)
    }

    /// K components, each with a variance per coordinate of its own (the square of its standard deviation).
    ///
    /// # Shapes
    /// `weights`: \[K\]; `means`: \[K, D\], K and D at least 1; `variances`: \[K\].
    ///
    /// # Errors
    /// As [`new`](GaussianMixture::new).
    pub fn with_variances(
        weights: Array1<f64>,
        means: Array2<f64>,
        variances: Array1<f64>,
    ) -> Result<GaussianMixture, Error> {
        at_least_one("number of means", means.nrows())?;
        at_least_one("dimension", means.ncols())?;
        Error::length("weights", means.nrows(), weights.len())?;
        Error::length("variances", means.nrows(), variances.len())?;
        all_finite("mean", &means)?;
        all_non_negative("variance", &variances)?;
        Ok(GaussianMixture {
            weights: normalised(weights)?,
            half_norms: means.rows().into_iter().map(|m| 0.5 * m.dot(&m)).collect(),
            centred: Centred::new(means.view()),
            means: means.as_standard_layout().into_owned(),
            variances,
        })
    }

    /// A finite data set: each row of `points` with the same probability, and nothing in between.
    ///
    /// Its denoiser is what a network would learn that fits its training data perfectly: a weighted average of the data,
    /// and the nearest of them as σ → 0.
    ///
    /// # Shapes
    /// `points`: \[n, D\], n and D at least 1.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a coordinate, [`Error::Count`] for shapes.
    #[doc(alias = "IdealDenoiser")]
    #[doc(alias = "empirical")]
    pub fn of_points(points: Array2<f64>) -> Result<GaussianMixture, Error> {
        GaussianMixture::new(Array1::ones(points.nrows()), points, 0.0)
    }

    /// 0.8 N((5, 5), I) + 0.2 N((−5, −5), I), the mixture of Song and Ermon 2019, section 3.2.
    ///
    /// Without noise, Langevin dynamics does not find its weights.
    pub fn song_ermon() -> GaussianMixture {
        let means = array![[5.0, 5.0], [-5.0, -5.0]];
        GaussianMixture::new(array![0.8, 0.2], means, 1.0).expect("constants within the rules")
    }

    /// K components in ℝ^D whose weights fall as 1/k (Zipf's law) and whose means are drawn from N(0, `spread`² I).
    ///
    /// Modes of very different weight, for asking which of them a method serves.
    ///
    /// # Errors
    /// [`Error::Count`] for K or D of 0, [`Error::Negative`] for the variance, [`Error::NotFinite`] for the spread.
    pub fn zipf(
        components: usize,
        dim: usize,
        spread: f64,
        variance: f64,
        rng: &mut dyn RngCore,
    ) -> Result<GaussianMixture, Error> {
        let weights = (1..=components).map(|k| 1.0 / k as f64).collect();
        let means = standard_normal(components, dim, rng) * spread;
        GaussianMixture::new(weights, means, variance)
    }

    /// The weights π_k, summing to 1: \[K\].
    pub fn weights(&self) -> ArrayView1<'_, f64> {
        self.weights.view()
    }

    /// The means μ_k: \[K, D\].
    pub fn means(&self) -> ArrayView2<'_, f64> {
        self.means.view()
    }

    /// The variances v_k per coordinate: \[K\].
    pub fn variances(&self) -> ArrayView1<'_, f64> {
        self.variances.view()
    }

    /// P(component k | x₀ + σ ε = x). Rows sum to 1, however far x lies from all means.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, K\].
    ///
    /// # Panics
    /// As [`ExactScore::score`].
    pub fn responsibilities(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let level = Level::new(self, sigma * sigma);
        map_rows(x, self.weights.len(), self.means.len(), |x, out| {
            level.responsibilities(x, out)
        })
    }

    /// Whether some v_k + σ² is zero, so that there is no density to divide by.
    fn is_degenerate(&self, sigma: f64) -> bool {
        let least = self.variances.iter().copied().fold(f64::INFINITY, f64::min);
        least + sigma * sigma < SMALLEST_VARIANCE
    }

    /// The limit of the posterior mean at σ → 0 where some components are points: almost everywhere x itself if others
    /// have a width, and otherwise the nearest mean (the weighted average of those at the same distance).
    fn nearest(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let wide = |v: &f64| SMALLEST_VARIANCE <= *v;
        if self.variances.iter().any(wide) {
            return x.to_owned();
        }
        map_rows(x, self.dim(), self.means.len(), |x, mut out| {
            for (x, mut out) in x.rows().into_iter().zip(out.rows_mut()) {
                let squared = |mean: ArrayView1<'_, f64>| {
                    x.iter()
                        .zip(mean)
                        .map(|(x, m)| (x - m) * (x - m))
                        .sum::<f64>()
                };
                let distances: Vec<f64> = self.means.rows().into_iter().map(squared).collect();
                let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
                let mut total = 0.0;
                for (k, _) in distances.iter().enumerate().filter(|(_, d)| **d <= least) {
                    out.scaled_add(self.weights[k], &self.means.row(k));
                    total += self.weights[k];
                }
                out /= total;
            }
        })
    }

    /// For each row: calls `f` with its number, D(x), and r_k, σ² v_k p_k and m_k − D(x) of each component that matters.
    fn visit_posterior(
        &self,
        x: ArrayView2<'_, f64>,
        sigma: f64,
        mut f: impl FnMut(usize, f64, f64, &Array1<f64>),
    ) {
        let noise = sigma * sigma;
        let responsibilities = self.responsibilities(x, sigma);
        let denoised = self.denoise(x, sigma);
        let mut apart = Array1::zeros(self.dim());
        for (row, shares) in responsibilities.rows().into_iter().enumerate() {
            for (k, &r) in shares.iter().enumerate().filter(|(_, r)| 0.0 < **r) {
                let variance = self.variances[k] + noise;
                let (a, b) = (noise / variance, self.variances[k] / variance);
                Zip::from(&mut apart)
                    .and(self.means.row(k))
                    .and(x.row(row))
                    .and(denoised.row(row))
                    .for_each(|apart, mean, x, denoised| *apart = a * mean + b * x - denoised);
                f(row, r, a * self.variances[k], &apart);
            }
        }
    }
}

impl ExactScore for GaussianMixture {
    fn dim(&self) -> usize {
        self.means.ncols()
    }

    fn has_density(&self) -> bool {
        !self.is_degenerate(0.0)
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut x = Array2::zeros((n, self.dim()));
        for mut row in x.rows_mut() {
            let component = draw_index(&self.weights, rng);
            let std = self.variances[component].sqrt();
            for (x, mean) in row.iter_mut().zip(self.means.row(component)) {
                *x = mean + std * rng.sample::<f64, _>(StandardNormal);
            }
        }
        x
    }

    fn mean(&self) -> Array1<f64> {
        self.weights.dot(&self.means)
    }

    fn covariance(&self) -> Array2<f64> {
        let centred = &self.means - &self.mean();
        let weighted = &centred * &self.weights.view().insert_axis(Axis(1));
        let mut covariance = centred.t().dot(&weighted);
        let within = self.weights.dot(&self.variances);
        covariance.diag_mut().mapv_inplace(|c| c + within);
        covariance
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let level = Level::new(self, sigma * sigma);
        let score = level.score();
        map_rows(x, self.dim(), self.means.len(), |x, out| {
            level.combine(&score, x, out)
        })
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        let level = Level::new(self, sigma * sigma);
        map_rows(x, 1, self.means.len(), |x, out| level.log_density(x, out)).remove_axis(Axis(1))
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        if self.is_degenerate(sigma) {
            return self.nearest(x);
        }
        let level = Level::new(self, sigma * sigma);
        let mean = Level::posterior_mean(self, sigma * sigma);
        map_rows(x, self.dim(), self.means.len(), |x, out| {
            level.combine(&mean, x, out)
        })
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        let dim = self.dim();
        if self.is_degenerate(sigma) {
            return Array3::zeros((x.nrows(), dim, dim));
        }
        let covariance = map_rows(x, dim * dim, dim * self.means.len(), |x, out| {
            let mut out = out
                .into_shape_with_order((x.nrows(), dim, dim))
                .expect("whole rows of a fresh array");
            self.visit_posterior(x, sigma, |row, r, within, apart| {
                let mut covariance = out.index_axis_mut(Axis(0), row);
                add_outer(&mut covariance, r, apart);
                covariance.diag_mut().mapv_inplace(|c| c + r * within);
            });
        });
        covariance
            .into_shape_with_order((x.nrows(), dim, dim))
            .expect("D · D numbers per row")
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        if self.is_degenerate(sigma) {
            return Array1::zeros(x.nrows());
        }
        map_rows(x, 1, self.means.len(), |x, mut out| {
            self.visit_posterior(x, sigma, |row, r, within, apart| {
                out[[row, 0]] += r * (self.dim() as f64 * within + apart.dot(apart));
            });
        })
        .remove_axis(Axis(1))
    }

    /// In closed form for one component, by quadrature in one and two dimensions while there are not too many.
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        check_density(self, sigma);
        fisher::of_gaussian_mixture(self, sigma)
    }
}
