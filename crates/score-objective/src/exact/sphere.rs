//! The uniform distribution on a sphere in a random subspace.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use rand::RngCore;

use super::bessel::SphereAverage;
use super::quadrature::gauss_legendre;
use super::rows::{
    add_outer, check_density, check_points, check_query, map_rows, standard_normal, vanishes,
};
use super::{ExactScore, basis};
use crate::Error;

/// Uniform on the sphere S^{d−1} of radius R in a random d-dimensional subspace of ℝ^D: the simplest data manifold.
///
/// With E the orthonormal D × d frame of the subspace, u = Eᵀx and w = x − E u:
///
/// * ∇ log q_σ(x) = E \[−u + R A_d(k) u/‖u‖\]/σ² − w/σ², with k = R‖u‖/σ² and A_d(k) = I_{d/2}(k)/I_{d/2−1}(k);
/// * E\[x₀ | x\] = R A_d(k) E u/‖u‖, since x₀/R is distributed as von Mises-Fisher with concentration k around u/‖u‖;
/// * Cov\[x₀ | x\] is R² A_d'(k) along E u, R² A_d(k)/k along the other directions of the subspace, zero along w.
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
        map_rows(x, 1, self.cost(), |x, mut out| {
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

    /// Operations per row.
    fn cost(&self) -> usize {
        4 * self.frame.len()
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
        map_rows(u.view(), self.dim(), self.cost(), |u, mut out| {
            out.assign(&self.embed(u))
        })
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let variance = sigma * sigma;
        map_rows(x, self.dim(), self.cost(), |x, mut out| {
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
        map_rows(x, 1, self.cost(), |x, mut out| {
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

    fn mean(&self) -> Array1<f64> {
        Array1::zeros(self.dim())
    }

    fn covariance(&self) -> Array2<f64> {
        self.frame.dot(&self.frame.t()) * (self.radius.powi(2) / self.intrinsic() as f64)
    }

    /// At σ = 0 the nearest point of the sphere; the origin, where all are equally near.
    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        map_rows(x, self.dim(), self.cost(), |x, mut out| {
            let mut mean = self.project(x);
            for mut u in mean.rows_mut() {
                let norm = u.dot(&u).sqrt();
                let k = self.radius * norm / (sigma * sigma);
                let resultant = if vanishes(sigma) || k.is_infinite() {
                    1.0
                } else {
                    k * self.average.resultant_over(k)
                };
                if 0.0 < norm {
                    u *= self.radius / norm * resultant;
                }
            }
            out.assign(&self.embed(mean.view()));
        })
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        let mut covariance = Array3::zeros((x.nrows(), self.dim(), self.dim()));
        if vanishes(sigma) {
            return covariance;
        }
        let subspace = self.frame.dot(&self.frame.t());
        let u = self.project(x);
        let points = self.embed(u.view());
        for ((mut covariance, u), point) in
            (covariance.axis_iter_mut(Axis(0)).zip(u.rows())).zip(points.rows())
        {
            let squared = u.dot(&u);
            let k = self.radius * squared.sqrt() / (sigma * sigma);
            let (along, across) = (
                self.average.resultant_slope(k),
                self.average.resultant_over(k),
            );
            let scale = self.radius * self.radius;
            covariance.scaled_add(scale * across, &subspace);
            if 0.0 < squared {
                let weight = scale * (along - across) / squared;
                add_outer(&mut covariance, weight, &point.to_owned());
            }
        }
        covariance
    }

    /// R² (1 − A_d(k)²).
    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        if vanishes(sigma) {
            return Array1::zeros(x.nrows());
        }
        self.project(x)
            .rows()
            .into_iter()
            .map(|u| {
                let k = self.radius * u.dot(&u).sqrt() / (sigma * sigma);
                let complement = self.average.resultant_complement(k);
                self.radius * self.radius * complement * (2.0 - complement)
            })
            .collect()
    }

    /// (D − d)/σ² for the normals of the subspace, and within it an integral over the radius r = ‖u‖.
    ///
    /// As σ → 0 it tends to (D − d + 1)/σ²: the manifold's codimension.
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        check_density(self, sigma);
        let (d, variance) = (self.intrinsic() as f64, sigma * sigma);
        // ‖u‖² has mean R² + d σ², and ‖u‖ a standard deviation below σ.
        let centre = self.radius.hypot(sigma * (d - 1.0).sqrt());
        let (low, high) = ((centre - 12.0 * sigma).max(0.0), centre + 12.0 * sigma);
        // The density of r, relative to r^{d−1} on the unit sphere's area.
        let ln_density = |r: f64| {
            let average = self.average.ln_average_scaled(self.radius * r / variance);
            (d - 1.0) * r.ln() + average - (r - self.radius).powi(2) / (2.0 * variance)
        };
        let ln_scale = ln_density(centre);
        let (mut mass, mut squares) = (0.0, 0.0);
        for (node, weight) in gauss_legendre(240) {
            let r = low + (high - low) * node;
            let density = weight * (ln_density(r) - ln_scale).exp();
            let complement = self
                .average
                .resultant_complement(self.radius * r / variance);
            mass += density;
            squares += density * ((self.radius - r) - self.radius * complement).powi(2);
        }
        let normal = (self.dim() - self.intrinsic()) as f64;
        Some((normal + squares / mass / variance) / variance)
    }
}
