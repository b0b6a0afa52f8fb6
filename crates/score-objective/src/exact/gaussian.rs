//! Gaussians of any covariance, for which everything has a closed form, the path of a sampler too.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};
use noise_schedule::Kernel;
use rand::RngCore;

use super::eigen::symmetric_eigen;
use super::rows::{
    all_finite, all_non_negative, at_least_one, check_density, check_points, check_query, map_rows,
    repeat, standard_normal,
};
use super::{ExactScore, basis};
use crate::Error;

/// p = N(m, U diag(λ) Uᵀ). Eigenvalues may be zero: then p lies on a subspace and has no density.
///
/// * ∇ log q_σ(x) = −U diag(1/(λ + σ²)) Uᵀ (x − m);
/// * E\[x₀ | x\] = m + U diag(λ/(λ + σ²)) Uᵀ (x − m);
/// * Cov\[x₀ | x\] = U diag(λ σ²/(λ + σ²)) Uᵀ;
/// * J(q_σ) = Σ 1/(λ + σ²).
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{ExactScore, Gaussian};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let data = Gaussian::with_spectrum(array![3.0, 0.0])?;
/// assert_eq!(data.score(array![[4.0, 1.0]].view(), 1.0), array![[-1.0, -1.0]]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Gaussian {
    mean: Array1<f64>,
    spectrum: Array1<f64>,
    // Columns are eigenvectors; None is the standard basis.
    basis: Option<Array2<f64>>,
}

impl Gaussian {
    /// Mean zero and the covariance diag(λ).
    ///
    /// # Shapes
    /// `spectrum`: \[D\], at least one eigenvalue.
    ///
    /// # Errors
    /// [`Error::Negative`] for an eigenvalue that is negative or not finite, [`Error::Count`] if there is none.
    pub fn with_spectrum(spectrum: Array1<f64>) -> Result<Gaussian, Error> {
        at_least_one("dimension", spectrum.len())?;
        all_non_negative("eigenvalue", &spectrum)?;
        Ok(Gaussian {
            mean: Array1::zeros(spectrum.len()),
            spectrum,
            basis: None,
        })
    }

    /// This mean and this covariance.
    ///
    /// # Shapes
    /// `mean`: \[D\]; `covariance`: \[D, D\], symmetric, without negative eigenvalues.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for an entry, [`Error::Length`] and [`Error::Count`] for shapes, [`Error::Asymmetric`] if
    /// two entries across the diagonal differ by more than 1e-12 of the largest entry, and [`Error::Negative`] for an
    /// eigenvalue below −1e-12 of the largest entry (those between are rounding, and become zero).
    pub fn with_covariance(mean: Array1<f64>, covariance: Array2<f64>) -> Result<Gaussian, Error> {
        at_least_one("dimension", mean.len())?;
        Error::length("covariance rows", mean.len(), covariance.nrows())?;
        Error::length("covariance columns", mean.len(), covariance.ncols())?;
        all_finite("mean", &mean)?;
        all_finite("covariance", &covariance)?;
        let scale = covariance.iter().fold(0.0, |s: f64, c| s.max(c.abs()));
        for ((row, column), value) in covariance.indexed_iter() {
            if 1e-12 * scale < (value - covariance[[column, row]]).abs() {
                return Err(Error::Asymmetric { row, column });
            }
        }
        let (mut spectrum, basis) = symmetric_eigen(covariance);
        spectrum.mapv_inplace(|l| {
            if l.abs() <= 1e-12 * scale {
                l.max(0.0)
            } else {
                l
            }
        });
        all_non_negative("eigenvalue of the covariance", &spectrum)?;
        Ok(Gaussian {
            mean,
            spectrum,
            basis: Some(basis),
        })
    }

    /// N(0, diag(k^−`exponent`)), k = 1, …, `dim`: the spectra of images, whose exponent is about 2.
    ///
    /// # Errors
    /// [`Error::Count`] for dimension 0, [`Error::Negative`] if the exponent is not finite or too large for `f64`.
    pub fn power_law(dim: usize, exponent: f64) -> Result<Gaussian, Error> {
        Gaussian::with_spectrum((1..=dim).map(|k| (k as f64).powf(-exponent)).collect())
    }

    /// N(0, diag(1, …, 1, 0, …, 0)) with `intrinsic` ones among `ambient` eigenvalues: a flat manifold.
    ///
    /// # Errors
    /// [`Error::Count`] unless 1 ≤ `ambient` and `intrinsic` ≤ `ambient`.
    pub fn subspace(intrinsic: usize, ambient: usize) -> Result<Gaussian, Error> {
        if ambient < intrinsic {
            return Err(Error::Count {
                name: "intrinsic dimension",
                least: 0,
                most: ambient,
                given: intrinsic,
            });
        }
        let one = |k| if k < intrinsic { 1.0 } else { 0.0 };
        Gaussian::with_spectrum((0..ambient).map(one).collect())
    }

    /// The same covariance around this mean.
    ///
    /// # Shapes
    /// `mean`: \[D\].
    ///
    /// # Errors
    /// [`Error::Length`] for the shape, [`Error::NotFinite`] for an entry.
    pub fn around(self, mean: Array1<f64>) -> Result<Gaussian, Error> {
        Error::length("mean", self.dim(), mean.len())?;
        all_finite("mean", &mean)?;
        Ok(Gaussian { mean, ..self })
    }

    /// The same mean and spectrum, along the columns of an orthonormal `basis`.
    ///
    /// # Shapes
    /// `basis`: \[D, D\].
    ///
    /// # Errors
    /// [`Error::Length`] for the shape; [`Error::NotOrthonormal`] if an entry of UᵀU − I exceeds 1e-9.
    pub fn in_basis(self, basis: Array2<f64>) -> Result<Gaussian, Error> {
        basis::check_orthonormal(&basis, self.dim())?;
        Ok(Gaussian {
            basis: Some(basis),
            ..self
        })
    }

    /// The same mean and spectrum, along a random orthonormal basis, uniformly distributed.
    pub fn rotated(self, rng: &mut dyn RngCore) -> Gaussian {
        let basis = basis::random_orthonormal(self.dim(), self.dim(), rng);
        Gaussian {
            basis: Some(basis),
            ..self
        }
    }

    /// The eigenvalues λ: \[D\].
    pub fn spectrum(&self) -> ArrayView1<'_, f64> {
        self.spectrum.view()
    }

    /// The distribution of x_t = α x₀ + σ ε: N(α m, U diag(α² λ + σ²) Uᵀ).
    pub fn at(&self, kernel: Kernel) -> Gaussian {
        Gaussian {
            mean: &self.mean * kernel.alpha(),
            spectrum: self.variance(kernel),
            basis: self.basis.clone(),
        }
    }

    /// The exact probability-flow map: where the ordinary differential equation that a sampler solves takes each row of
    /// `x` on its way from one level to another.
    ///
    /// With Σ_k = α² Σ + σ² I it is α' m + Σ_to^{1/2} Σ_from^{−1/2} (x − α m), along any schedule in between, and in
    /// either direction.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// If the rows do not have length D, or if the distribution has no density at `from` (an eigenvalue of Σ_from is
    /// zero): the flow does not run out of a subspace.
    #[doc(alias = "probability flow ODE")]
    pub fn flow(&self, x: ArrayView2<'_, f64>, from: Kernel, to: Kernel) -> Array2<f64> {
        check_points(self, x, from.sigma());
        let start = self.variance(from);
        assert!(
            start.iter().all(|v| 0.0 < *v),
            "the flow must start where the distribution has a density; give a start with noise"
        );
        let stretch = (self.variance(to) / start).mapv_into(f64::sqrt);
        self.map_coordinates(x, from.alpha(), to.alpha(), &stretch)
    }

    /// The 2-Wasserstein distance to another Gaussian,
    /// √(‖m − m'‖² + tr(Σ + Σ' − 2 (Σ^{1/2} Σ' Σ^{1/2})^{1/2})).
    ///
    /// The root loses half of the digits where both are nearly equal and not diagonal in the same basis.
    ///
    /// # Panics
    /// If the dimensions differ.
    #[doc(alias = "Fréchet distance")]
    pub fn wasserstein(&self, other: &Gaussian) -> f64 {
        assert!(
            self.dim() == other.dim(),
            "the distance is between distributions of the same dimension, not {} and {}",
            self.dim(),
            other.dim()
        );
        let apart = &self.mean - &other.mean;
        let spread = if self.basis == other.basis {
            let roots = self.spectrum.mapv(f64::sqrt) - other.spectrum.mapv(f64::sqrt);
            roots.dot(&roots)
        } else {
            let root = self.symmetric(&self.spectrum.mapv(f64::sqrt));
            let (cross, _) = symmetric_eigen(root.dot(&other.covariance()).dot(&root));
            let cross = cross.mapv(|l| l.max(0.0).sqrt()).sum();
            (self.spectrum.sum() + other.spectrum.sum() - 2.0 * cross).max(0.0)
        };
        (apart.dot(&apart) + spread).sqrt()
    }

    /// α² λ + σ².
    fn variance(&self, kernel: Kernel) -> Array1<f64> {
        &self.spectrum * kernel.alpha().powi(2) + kernel.sigma().powi(2)
    }

    /// U diag(values) Uᵀ.
    fn symmetric(&self, values: &Array1<f64>) -> Array2<f64> {
        match &self.basis {
            Some(basis) => (basis * values).dot(&basis.t()),
            None => Array2::from_diag(values),
        }
    }

    /// Uᵀ (x − scale · m).
    fn coordinates(&self, x: ArrayView2<'_, f64>, scale: f64) -> Array2<f64> {
        let x = &x - &(&self.mean * scale);
        match &self.basis {
            Some(basis) => x.dot(basis),
            None => x,
        }
    }

    /// U z.
    fn point(&self, coordinates: Array2<f64>) -> Array2<f64> {
        match &self.basis {
            Some(basis) => coordinates.dot(&basis.t()),
            None => coordinates,
        }
    }

    /// to · m + U diag(stretch) Uᵀ (x − from · m), by rows.
    fn map_coordinates(
        &self,
        x: ArrayView2<'_, f64>,
        from: f64,
        to: f64,
        stretch: &Array1<f64>,
    ) -> Array2<f64> {
        let mean = &self.mean * to;
        map_rows(x, self.dim(), self.cost(), |x, mut out| {
            out.assign(&(self.point(self.coordinates(x, from) * stretch) + &mean));
        })
    }

    /// λ σ²/(λ + σ²).
    fn posterior_spectrum(&self, sigma: f64) -> Array1<f64> {
        let known = |l: f64| {
            if 0.0 < l {
                l * (sigma * sigma / (l + sigma * sigma))
            } else {
                0.0
            }
        };
        self.spectrum.mapv(known)
    }

    /// Operations per row.
    fn cost(&self) -> usize {
        match self.basis {
            Some(_) => 2 * self.dim() * self.dim(),
            None => self.dim(),
        }
    }
}

impl ExactScore for Gaussian {
    fn dim(&self) -> usize {
        self.spectrum.len()
    }

    fn has_density(&self) -> bool {
        self.spectrum.iter().all(|l| 0.0 < *l)
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let coordinates = standard_normal(n, self.dim(), rng) * self.spectrum.mapv(f64::sqrt);
        map_rows(coordinates.view(), self.dim(), self.cost(), |z, mut out| {
            out.assign(&(self.point(z.to_owned()) + &self.mean));
        })
    }

    fn mean(&self) -> Array1<f64> {
        self.mean.clone()
    }

    fn covariance(&self) -> Array2<f64> {
        self.symmetric(&self.spectrum)
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let precision = self.spectrum.mapv(|l| -1.0 / (l + sigma * sigma));
        self.map_coordinates(x, 1.0, 0.0, &precision)
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        let variance = &self.spectrum + sigma * sigma;
        let log_normaliser = 0.5 * variance.mapv(|v| (TAU * v).ln()).sum();
        map_rows(x, 1, self.cost(), |x, mut out| {
            let squares = self.coordinates(x, 1.0).mapv_into(|z| z * z) / &variance;
            out.column_mut(0).assign(
                &squares
                    .sum_axis(Axis(1))
                    .mapv(|q| -0.5 * q - log_normaliser),
            );
        })
        .remove_axis(Axis(1))
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        // A direction without variance stays at the mean, without noise too.
        let shrink = |l: f64| {
            if 0.0 < l {
                l / (l + sigma * sigma)
            } else {
                0.0
            }
        };
        self.map_coordinates(x, 1.0, 1.0, &self.spectrum.mapv(shrink))
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        repeat(self.symmetric(&self.posterior_spectrum(sigma)), x.nrows())
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        Array1::from_elem(x.nrows(), self.posterior_spectrum(sigma).sum())
    }

    /// Σ 1/(λ + σ²).
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        check_density(self, sigma);
        Some(self.spectrum.mapv(|l| 1.0 / (l + sigma * sigma)).sum())
    }
}
