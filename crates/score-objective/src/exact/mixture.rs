//! Mixtures of distributions of any kind.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis, Zip};
use rand::RngCore;

use super::ExactScore;
use super::rows::{
    add_outer, at_least_one, check_points, check_query, draw_index, normalised, softmax, vanishes,
};
use crate::Error;

/// p = Σ π_k p_k, over distributions p_k of the same dimension.
///
/// With the responsibilities r_k(x) ∝ π_k q_k(x), the score is Σ r_k ∇ log q_k, the posterior mean Σ r_k D_k, and the
/// posterior covariance Σ r_k (C_k + D_k D_kᵀ) − D Dᵀ.
/// `Mixture<Gaussian>` is the mixture of Gaussians with full covariances; `Mixture<Box<dyn ExactScore>>` mixes kinds.
/// Many isotropic Gaussians are much faster as a [`GaussianMixture`](super::GaussianMixture).
///
/// A mixture of a manifold and something of another dimension is fine with noise.
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{ExactScore, Gaussian, Mixture};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let flat = |angle: f64| {
///     let covariance = array![[1.0, angle], [angle, 1.0]];
///     Gaussian::with_covariance(array![angle, 0.0], covariance)
/// };
/// let data = Mixture::new(array![1.0, 3.0], vec![flat(0.9)?, flat(-0.9)?])?;
/// assert!(0.75 < data.responsibilities(array![[-0.9, 0.0]].view(), 0.1)[[0, 1]]);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "full covariance")]
#[derive(Debug, Clone)]
pub struct Mixture<P> {
    weights: Array1<f64>,
    parts: Vec<P>,
}

impl<P: ExactScore> Mixture<P> {
    /// The parts with the given weights, which are divided by their sum.
    ///
    /// # Shapes
    /// `weights`: \[K\], as many as parts, at least 1.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for a weight; [`Error::Count`] for no part; [`Error::Length`] if weights and parts are not
    /// as many, or if a part's dimension is not that of the first.
    pub fn new(weights: Array1<f64>, parts: Vec<P>) -> Result<Mixture<P>, Error> {
        at_least_one("number of parts", parts.len())?;
        Error::length("weights", parts.len(), weights.len())?;
        for part in &parts {
            Error::length("points of a part", parts[0].dim(), part.dim())?;
        }
        let weights = normalised(weights)?;
        Ok(Mixture { weights, parts })
    }

    /// The weights π_k, summing to 1: \[K\].
    pub fn weights(&self) -> ArrayView1<'_, f64> {
        self.weights.view()
    }

    /// The distributions p_k.
    pub fn parts(&self) -> &[P] {
        &self.parts
    }

    /// P(part k | x₀ + σ ε = x). Rows sum to 1, however far x lies from all parts.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, K\].
    ///
    /// # Panics
    /// As [`ExactScore::score`].
    pub fn responsibilities(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        self.posterior(x, sigma).0
    }

    /// Responsibilities \[n, K\] and log q_σ \[n\].
    fn posterior(&self, x: ArrayView2<'_, f64>, sigma: f64) -> (Array2<f64>, Array1<f64>) {
        check_query(self, x, sigma);
        let mut logits = Array2::zeros((x.nrows(), self.parts.len()));
        for ((mut column, part), weight) in
            (logits.columns_mut().into_iter().zip(&self.parts)).zip(&self.weights)
        {
            column.assign(&(part.log_density(x, sigma) + weight.ln()));
        }
        let log_density = logits
            .rows_mut()
            .into_iter()
            .map(|mut row| softmax(row.as_slice_mut().expect("rows of a fresh array")))
            .collect();
        (logits, log_density)
    }

    /// Σ r_k f(p_k), by rows.
    fn average(
        &self,
        x: ArrayView2<'_, f64>,
        sigma: f64,
        f: impl Fn(&P) -> Array2<f64>,
    ) -> Array2<f64> {
        let responsibilities = self.responsibilities(x, sigma);
        let mut average = Array2::zeros(x.raw_dim());
        for (part, r) in self.parts.iter().zip(responsibilities.columns()) {
            average += &(f(part) * r.insert_axis(Axis(1)));
        }
        average
    }

    /// The limit of the posterior mean at σ → 0 where some parts have no density: almost everywhere x itself if others
    /// have one, and otherwise the nearest point of all parts.
    fn nearest(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        if self.parts.iter().any(|part| part.has_density()) {
            return x.to_owned();
        }
        let mut nearest = Array2::zeros(x.raw_dim());
        let mut least = Array1::from_elem(x.nrows(), f64::INFINITY);
        for part in &self.parts {
            let candidates = part.denoise(x, 0.0);
            let distances = (&candidates - &x).mapv_into(|d| d * d).sum_axis(Axis(1));
            Zip::from(nearest.rows_mut())
                .and(candidates.rows())
                .and(&mut least)
                .and(&distances)
                .for_each(|mut nearest, candidate, least, &distance| {
                    if distance < *least {
                        *least = distance;
                        nearest.assign(&candidate);
                    }
                });
        }
        nearest
    }

    fn is_degenerate(&self, sigma: f64) -> bool {
        vanishes(sigma) && !self.has_density()
    }
}

impl<P: ExactScore> ExactScore for Mixture<P> {
    fn dim(&self) -> usize {
        self.parts[0].dim()
    }

    fn has_density(&self) -> bool {
        self.parts.iter().all(|part| part.has_density())
    }

    /// Each point draws its part, and then itself from it.
    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut x = Array2::zeros((n, self.dim()));
        for mut row in x.rows_mut() {
            let part = &self.parts[draw_index(&self.weights, rng)];
            row.assign(&part.draw(1, rng).row(0));
        }
        x
    }

    fn mean(&self) -> Array1<f64> {
        let parts = self.weights.iter().zip(&self.parts);
        parts.fold(Array1::zeros(self.dim()), |mean, (weight, part)| {
            mean + part.mean() * *weight
        })
    }

    fn covariance(&self) -> Array2<f64> {
        let mean = self.mean();
        let mut covariance = Array2::zeros((self.dim(), self.dim()));
        for (&weight, part) in self.weights.iter().zip(&self.parts) {
            covariance.scaled_add(weight, &part.covariance());
            add_outer(&mut covariance.view_mut(), weight, &(part.mean() - &mean));
        }
        covariance
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        self.average(x, sigma, |part| part.score(x, sigma))
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        self.posterior(x, sigma).1
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        if self.is_degenerate(sigma) {
            return self.nearest(x);
        }
        self.average(x, sigma, |part| part.denoise(x, sigma))
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        let mut covariance = Array3::zeros((x.nrows(), self.dim(), self.dim()));
        if self.is_degenerate(sigma) {
            return covariance;
        }
        let denoised = self.denoise(x, sigma);
        let responsibilities = self.responsibilities(x, sigma);
        for (part, r) in self.parts.iter().zip(responsibilities.columns()) {
            let within = part.posterior_covariance(x, sigma);
            let apart = part.denoise(x, sigma) - &denoised;
            for (row, &r) in r.iter().enumerate() {
                let mut covariance = covariance.index_axis_mut(Axis(0), row);
                covariance.scaled_add(r, &within.index_axis(Axis(0), row));
                add_outer(&mut covariance, r, &apart.row(row).to_owned());
            }
        }
        covariance
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        let mut variance = Array1::zeros(x.nrows());
        if self.is_degenerate(sigma) {
            return variance;
        }
        let denoised = self.denoise(x, sigma);
        let responsibilities = self.responsibilities(x, sigma);
        for (part, r) in self.parts.iter().zip(responsibilities.columns()) {
            let apart = (part.denoise(x, sigma) - &denoised)
                .mapv_into(|d| d * d)
                .sum_axis(Axis(1));
            variance += &((part.posterior_variance(x, sigma) + apart) * r);
        }
        variance
    }

    /// That of the part, if there is only one.
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        match self.parts.as_slice() {
            [part] => part.fisher_information(sigma),
            _ => None,
        }
    }
}
