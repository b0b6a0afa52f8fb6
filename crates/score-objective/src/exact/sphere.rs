//! The uniform distribution on a sphere in a random subspace.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::RngCore;

use super::bessel::SphereAverage;
use super::{ExactScore, basis, check_query, map_rows, standard_normal};
use crate::Error;

/// Uniform on the sphere S^{d−1} of radius R in a random d-dimensional subspace of ℝ^D: the simplest data manifold.
///
/// With E the orthonormal D × d frame of the subspace, u = Eᵀx and w = x − E u:
///
/// ∇ log q_σ(x) = E \[−u + R A_d(R‖u‖/σ²) u/‖u‖\]/σ² − w/σ², A_d(k) = I_{d/2}(k)/I_{d/2−1}(k).
///
/// There is no density at σ = 0: [`score`](ExactScore::score) and [`log_density`](ExactScore::log_density) panic there.
///
/// ```
/// use rand::SeedableRng;
/// use score_objective::exact::{ExactScore, Sphere};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let circle = Sphere::new(2, 16, 1.0, &mut rng)?;
/// let x = circle.draw(10, &mut rng);
/// assert!(circle.radial_distance(x.view()).iter().all(|d| *d < 1e-12));
/// assert!(!circle.has_density());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sphere {
    // D × d, orthonormal columns.
    frame: Array2<f64>,
    radius: f64,
    average: SphereAverage,
}

impl Sphere {
    /// The sphere of the given radius in a subspace of dimension d = `intrinsic` of ℝ^D, D = `ambient`.
    ///
    /// The manifold S^{d−1} has dimension d − 1: `intrinsic` 2 is a circle.
    /// The frame is drawn from `rng` by Gram-Schmidt on D · d normal numbers.
    ///
    /// # Errors
    /// [`Error::Count`] unless 2 ≤ d ≤ D; [`Error::NotPositive`] for the radius.
    pub fn new(
        intrinsic: usize,
        ambient: usize,
        radius: f64,
        rng: &mut dyn RngCore,
    ) -> Result<Sphere, Error> {
        if intrinsic < 2 || ambient < intrinsic {
            return Err(Error::Count {
                name: "intrinsic dimension",
                least: 2,
                most: ambient,
                given: intrinsic,
            });
        }
        Ok(Sphere {
            radius: Error::positive("radius", radius)?,
            average: SphereAverage::new(intrinsic),
            frame: basis::random_orthonormal(ambient, intrinsic, rng),
        })
    }

    /// The dimension d of the subspace; the manifold has one less.
    pub fn intrinsic(&self) -> usize {
        self.frame.ncols()
    }

    /// The radius R.
    pub fn radius(&self) -> f64 {
        self.radius
    }

    /// E u: points of the subspace, given in its own coordinates, as points of ℝ^D.
    ///
    /// # Shapes
    /// `u`: \[n, d\]; returns \[n, D\].
    ///
    /// # Panics
    /// If the rows do not have length d.
    pub fn embed(&self, u: ArrayView2<'_, f64>) -> Array2<f64> {
        u.dot(&self.frame.t())
    }

    /// Eᵀ x: the coordinates of points within the subspace. Inverts [`embed`](Sphere::embed).
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, d\].
    ///
    /// # Panics
    /// If the rows do not have length D.
    pub fn project(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        x.dot(&self.frame)
    }

    /// The distance of each point to the sphere, √((‖u‖ − R)² + ‖w‖²): its radial and normal parts together.
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n\].
    ///
    /// # Panics
    /// If the rows do not have length D.
    pub fn radial_distance(&self, x: ArrayView2<'_, f64>) -> Array1<f64> {
        map_rows(x, 1, |x, mut out| {
            let (norm, normal) = self.split(x);
            for ((out, norm), normal) in out.iter_mut().zip(norm).zip(normal) {
                *out = ((norm - self.radius).powi(2) + normal).sqrt();
            }
        })
        .remove_axis(Axis(1))
    }

    /// ‖u‖ and ‖w‖² of each row.
    fn split(&self, x: ArrayView2<'_, f64>) -> (Array1<f64>, Array1<f64>) {
        let u = self.project(x);
        let w = self.embed(u.view()) - x;
        let squares = |v: Array2<f64>| v.mapv_into(|v| v * v).sum_axis(Axis(1));
        (squares(u).mapv_into(f64::sqrt), squares(w))
    }
}

impl ExactScore for Sphere {
    fn dim(&self) -> usize {
        self.frame.nrows()
    }

    fn has_density(&self) -> bool {
        false
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut u = standard_normal(n, self.intrinsic(), rng);
        for mut row in u.rows_mut() {
            let norm = row.dot(&row).sqrt();
            row *= self.radius / norm;
        }
        map_rows(u.view(), self.dim(), |u, mut out| {
            out.assign(&self.embed(u))
        })
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let variance = sigma * sigma;
        map_rows(x, self.dim(), |x, mut out| {
            // E[x0 | x] = E u · R A(k)/|u|, k = R |u|/sigma², regular at u = 0; the rest is Tweedie's formula.
            let mut mean = self.project(x);
            for mut u in mean.rows_mut() {
                let k = self.radius * u.dot(&u).sqrt() / variance;
                u *= self.radius * self.radius / variance * self.average.resultant_over(k);
            }
            out.assign(&((self.embed(mean.view()) - x) / variance));
        })
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        let variance = sigma * sigma;
        let log_normaliser = 0.5 * self.dim() as f64 * (TAU * variance).ln();
        map_rows(x, 1, |x, mut out| {
            let (norm, normal) = self.split(x);
            for ((out, norm), normal) in out.iter_mut().zip(norm).zip(normal) {
                let squared = (norm - self.radius).powi(2) + normal;
                let average = self
                    .average
                    .ln_average_scaled(self.radius * norm / variance);
                *out = average - squared / (2.0 * variance) - log_normaliser;
            }
        })
        .remove_axis(Axis(1))
    }
}
