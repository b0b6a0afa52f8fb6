//! Distributions moved rigidly.

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use rand::RngCore;

use super::rows::{all_finite, check_points};
use super::{ExactScore, basis};
use crate::Error;

/// The distribution of U y + m, y from another distribution, U orthogonal.
///
/// A rotation commutes with isotropic noise: the score at x is U times the score of the other at Uᵀ (x − m).
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{ExactScore, GaussianMixture, Rotated};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let quarter_turn = array![[0.0, -1.0], [1.0, 0.0]];
/// let data = Rotated::new(GaussianMixture::song_ermon(), quarter_turn)?;
/// assert_eq!(data.mean(), array![-3.0, 3.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rotated<P> {
    inner: P,
    basis: Array2<f64>,
    shift: Array1<f64>,
}

impl<P: ExactScore> Rotated<P> {
    /// U y, where the columns of `basis` are the images of the coordinate axes.
    ///
    /// # Shapes
    /// `basis`: \[D, D\].
    ///
    /// # Errors
    /// [`Error::Length`] for the shape; [`Error::NotOrthonormal`] if an entry of UᵀU − I exceeds 1e-9.
    pub fn new(inner: P, basis: Array2<f64>) -> Result<Rotated<P>, Error> {
        basis::check_orthonormal(&basis, inner.dim())?;
        Ok(Rotated {
            shift: Array1::zeros(inner.dim()),
            inner,
            basis,
        })
    }

    /// U y with a random U, uniformly distributed.
    pub fn at_random(inner: P, rng: &mut dyn RngCore) -> Rotated<P> {
        Rotated {
            basis: basis::random_orthonormal(inner.dim(), inner.dim(), rng),
            shift: Array1::zeros(inner.dim()),
            inner,
        }
    }

    /// The same rotation with the shift m after it, in place of any earlier one.
    ///
    /// # Shapes
    /// `shift`: \[D\].
    ///
    /// # Errors
    /// [`Error::Length`] for the shape, [`Error::NotFinite`] for an entry.
    pub fn shifted(self, shift: Array1<f64>) -> Result<Rotated<P>, Error> {
        Error::length("shift", self.dim(), shift.len())?;
        all_finite("shift", &shift)?;
        Ok(Rotated { shift, ..self })
    }

    /// Uᵀ (x − m).
    fn back(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        (&x - &self.shift).dot(&self.basis)
    }
}

impl<P: ExactScore> ExactScore for Rotated<P> {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn has_density(&self) -> bool {
        self.inner.has_density()
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        self.inner.draw(n, rng).dot(&self.basis.t()) + &self.shift
    }

    fn mean(&self) -> Array1<f64> {
        self.basis.dot(&self.inner.mean()) + &self.shift
    }

    fn covariance(&self) -> Array2<f64> {
        self.basis
            .dot(&self.inner.covariance())
            .dot(&self.basis.t())
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        self.inner
            .score(self.back(x).view(), sigma)
            .dot(&self.basis.t())
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        self.inner.log_density(self.back(x).view(), sigma)
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        self.inner
            .denoise(self.back(x).view(), sigma)
            .dot(&self.basis.t())
            + &self.shift
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        let mut covariance = self.inner.posterior_covariance(self.back(x).view(), sigma);
        for mut covariance in covariance.axis_iter_mut(Axis(0)) {
            let rotated = self.basis.dot(&covariance).dot(&self.basis.t());
            covariance.assign(&rotated);
        }
        covariance
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        self.inner.posterior_variance(self.back(x).view(), sigma)
    }

    /// That of the distribution that was rotated.
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        self.inner.fisher_information(sigma)
    }
}
