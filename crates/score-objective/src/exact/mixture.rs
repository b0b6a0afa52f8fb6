//! Mixtures of isotropic Gaussians.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, array};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;

use super::{ExactScore, check_query, draw_index, map_rows, normalised, softmax};
use crate::Error;

/// p = Σ π_k N(μ_k, v I). With noise, v + σ² takes the place of v.
///
/// ∇ log q_σ(x) = Σ r_k(x) (μ_k − x)/(v + σ²), r_k the responsibilities.
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
#[derive(Debug, Clone)]
pub struct GaussianMixture {
    weights: Array1<f64>,
    means: Array2<f64>,
    variance: f64,
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
        for (name, given) in [
            ("number of means", means.nrows()),
            ("dimension", means.ncols()),
        ] {
            if given == 0 {
                return Err(Error::Count {
                    name,
                    least: 1,
                    most: usize::MAX,
                    given,
                });
            }
        }
        Error::length("weights", means.nrows(), weights.len())?;
        if let Some(&value) = means.iter().find(|m| !m.is_finite()) {
            return Err(Error::NotFinite {
                name: "mean",
                value,
            });
        }
        if !(0.0..f64::INFINITY).contains(&variance) {
            return Err(Error::Negative {
                name: "variance",
                value: variance,
            });
        }
        Ok(GaussianMixture {
            weights: normalised(weights)?,
            means,
            variance,
        })
    }

    /// 0.8 N((5, 5), I) + 0.2 N((−5, −5), I), the mixture of Song and Ermon 2019, section 3.2.
    ///
    /// Without noise, Langevin dynamics does not find its weights.
    pub fn song_ermon() -> GaussianMixture {
        GaussianMixture {
            weights: array![0.8, 0.2],
            means: array![[5.0, 5.0], [-5.0, -5.0]],
            variance: 1.0,
        }
    }

    /// The weights π_k, summing to 1: \[K\].
    pub fn weights(&self) -> ArrayView1<'_, f64> {
        self.weights.view()
    }

    /// The means μ_k: \[K, D\].
    pub fn means(&self) -> ArrayView2<'_, f64> {
        self.means.view()
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
        map_rows(x, self.weights.len(), |x, mut out| {
            let mut logits = vec![0.0; self.weights.len()];
            for (x, mut out) in x.rows().into_iter().zip(out.rows_mut()) {
                self.posterior(x, sigma, &mut logits);
                out.assign(&ArrayView1::from(&logits));
            }
        })
    }

    /// Writes the responsibilities and returns log Σ π_k exp(−‖x − μ_k‖²/(2 (v + σ²))).
    fn posterior(&self, x: ArrayView1<'_, f64>, sigma: f64, responsibilities: &mut [f64]) -> f64 {
        let variance = self.variance + sigma * sigma;
        for ((r, mean), weight) in responsibilities
            .iter_mut()
            .zip(self.means.rows())
            .zip(&self.weights)
        {
            let squared: f64 = x.iter().zip(mean).map(|(x, m)| (x - m) * (x - m)).sum();
            *r = weight.ln() - squared / (2.0 * variance);
        }
        softmax(responsibilities)
    }
}

impl ExactScore for GaussianMixture {
    fn dim(&self) -> usize {
        self.means.ncols()
    }

    fn has_density(&self) -> bool {
        0.0 < self.variance
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut x = Array2::zeros((n, self.dim()));
        let std = self.variance.sqrt();
        for mut row in x.rows_mut() {
            let component = draw_index(&self.weights, rng);
            for (x, mean) in row.iter_mut().zip(self.means.row(component)) {
                *x = mean + std * rng.sample::<f64, _>(StandardNormal);
            }
        }
        x
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let variance = self.variance + sigma * sigma;
        map_rows(x, self.dim(), |x, mut out| {
            let mut responsibilities = vec![0.0; self.weights.len()];
            for (x, mut out) in x.rows().into_iter().zip(out.rows_mut()) {
                self.posterior(x, sigma, &mut responsibilities);
                for (r, mean) in responsibilities.iter().zip(self.means.rows()) {
                    for ((out, x), mean) in out.iter_mut().zip(x).zip(mean) {
                        *out += r * (mean - x) / variance;
                    }
                }
            }
        })
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        let variance = self.variance + sigma * sigma;
        let log_normaliser = 0.5 * self.dim() as f64 * (TAU * variance).ln();
        map_rows(x, 1, |x, mut out| {
            let mut logits = vec![0.0; self.weights.len()];
            for (x, out) in x.rows().into_iter().zip(&mut out) {
                *out = self.posterior(x, sigma, &mut logits) - log_normaliser;
            }
        })
        .remove_axis(ndarray::Axis(1))
    }
}
