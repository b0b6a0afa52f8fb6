//! Gaussians with a given spectrum.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::RngCore;

use super::{ExactScore, basis, check_query, map_rows, standard_normal};
use crate::Error;

/// p = N(0, U diag(λ) Uᵀ). Eigenvalues may be zero: then p lies on a subspace and has no density.
///
/// ∇ log q_σ(x) = −U diag(1/(λ + σ²)) Uᵀ x.
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
    spectrum: Array1<f64>,
    // Columns are eigenvectors; None is the standard basis.
    basis: Option<Array2<f64>>,
}

impl Gaussian {
    /// The covariance diag(λ).
    ///
    /// # Shapes
    /// `spectrum`: \[D\], at least one eigenvalue.
    ///
    /// # Errors
    /// [`Error::Negative`] for an eigenvalue that is negative or not finite, [`Error::Count`] if there is none.
    pub fn with_spectrum(spectrum: Array1<f64>) -> Result<Gaussian, Error> {
        if spectrum.is_empty() {
            return Err(Error::Count {
                name: "dimension",
                least: 1,
                most: usize::MAX,
                given: 0,
            });
        }
        match spectrum
            .iter()
            .find(|&&l| !(0.0..f64::INFINITY).contains(&l))
        {
            Some(&value) => Err(Error::Negative {
                name: "eigenvalue",
                value,
            }),
            None => Ok(Gaussian {
                spectrum,
                basis: None,
            }),
        }
    }

    /// The same spectrum along the columns of an orthonormal `basis`.
    ///
    /// # Shapes
    /// `basis`: \[D, D\].
    ///
    /// # Errors
    /// [`Error::Length`] for the shape; [`Error::NotOrthonormal`] if an entry of UᵀU − I exceeds 1e-9.
    pub fn in_basis(self, basis: Array2<f64>) -> Result<Gaussian, Error> {
        Error::length("basis rows", self.dim(), basis.nrows())?;
        Error::length("basis columns", self.dim(), basis.ncols())?;
        let excess = basis.t().dot(&basis) - Array2::<f64>::eye(self.dim());
        // Not the maximum in the condition: it would let a NaN pass.
        if !excess.iter().all(|d| d.abs() < 1e-9) {
            let deviation = excess.iter().fold(0.0, |worst, d| d.abs().max(worst));
            return Err(Error::NotOrthonormal { deviation });
        }
        Ok(Gaussian {
            basis: Some(basis),
            ..self
        })
    }

    /// The same spectrum along a random orthonormal basis, uniformly distributed.
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

    fn coordinates(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        match &self.basis {
            Some(basis) => x.dot(basis),
            None => x.to_owned(),
        }
    }

    fn point(&self, coordinates: Array2<f64>) -> Array2<f64> {
        match &self.basis {
            Some(basis) => coordinates.dot(&basis.t()),
            None => coordinates,
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
        map_rows(coordinates.view(), self.dim(), |z, mut out| {
            out.assign(&self.point(z.to_owned()));
        })
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let precision = self.spectrum.mapv(|l| -1.0 / (l + sigma * sigma));
        map_rows(x, self.dim(), |x, mut out| {
            out.assign(&self.point(self.coordinates(x) * &precision));
        })
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        let variance = &self.spectrum + sigma * sigma;
        let log_normaliser = 0.5 * variance.mapv(|v| (TAU * v).ln()).sum();
        map_rows(x, 1, |x, mut out| {
            let squares = self.coordinates(x).mapv_into(|z| z * z) / &variance;
            out.column_mut(0).assign(
                &squares
                    .sum_axis(Axis(1))
                    .mapv(|q| -0.5 * q - log_normaliser),
            );
        })
        .remove_axis(Axis(1))
    }
}
