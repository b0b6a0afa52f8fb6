//! Curves: one-dimensional manifolds that bend.

use std::f64::consts::{PI, TAU};
use std::fmt;
use std::sync::Arc;

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, array};
use rand::{Rng, RngCore};

use super::quadrature::gauss_legendre;
use super::rows::{check_points, vanishes};
use super::{ExactScore, GaussianMixture};
use crate::Error;

/// The distribution of c(t), t uniform on \[0, 1\], for a curve c in ℝ^D.
///
/// q_σ(x) = ∫ N(x; c(t), σ² I) dt is a quadrature: a [`GaussianMixture`] of as many points as there are nodes, equal
/// ones on closed curves, those of Gauss and Legendre on open ones.
/// It converges exponentially once σ exceeds the distance between nodes: from [`resolution`](Curve::resolution) on,
/// three times that distance, twice as many nodes change nothing in the sixth digit of the score.
/// Below it [`score`](ExactScore::score) and its kin panic: give more nodes.
///
/// ```
/// use rand::SeedableRng;
/// use score_objective::exact::{Curve, ExactScore};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let roll = Curve::swiss_roll(800)?;
/// assert!(roll.resolution() < 0.05);
/// let x = roll.draw(10, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0));
/// assert_eq!(roll.score(x.view(), 0.05).dim(), (10, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Curve {
    ends: Ends,
    path: Arc<dyn Fn(f64) -> Array1<f64> + Send + Sync>,
    // The parameters of the nodes, ascending.
    parameters: Vec<f64>,
    nodes: GaussianMixture,
    resolution: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Joined,
    Loose,
}

impl Curve {
    /// A closed curve: c(1) = c(0), smoothly.
    ///
    /// # Errors
    /// [`Error::Count`] for fewer than 2 nodes or no dimension, [`Error::Length`] and [`Error::NotFinite`] for what
    /// `path` gives at a node, [`Error::NotPositive`] for the resolution if all nodes coincide.
    pub fn closed(
        nodes: usize,
        path: impl Fn(f64) -> Array1<f64> + Send + Sync + 'static,
    ) -> Result<Curve, Error> {
        let node = |i| (i as f64 / nodes as f64, 1.0 / nodes as f64);
        Curve::new((0..nodes).map(node).collect(), Ends::Joined, Arc::new(path))
    }

    /// An open curve, from c(0) to c(1).
    ///
    /// # Errors
    /// As [`closed`](Curve::closed).
    pub fn open(
        nodes: usize,
        path: impl Fn(f64) -> Array1<f64> + Send + Sync + 'static,
    ) -> Result<Curve, Error> {
        Curve::new(gauss_legendre(nodes), Ends::Loose, Arc::new(path))
    }

    /// A swiss roll in the plane: ρ (cos φ, sin φ) with φ = 3π/2 (1 + 2 t) and ρ = φ/(9π/2), from radius 1/3 to 1.
    ///
    /// # Errors
    /// [`Error::Count`] for fewer than 2 nodes.
    pub fn swiss_roll(nodes: usize) -> Result<Curve, Error> {
        Curve::open(nodes, |t| {
            let angle = 1.5 * PI * (1.0 + 2.0 * t);
            let radius = angle / (4.5 * PI);
            array![radius * angle.cos(), radius * angle.sin()]
        })
    }

    /// The trefoil knot in space: (sin φ + 2 sin 2φ, cos φ − 2 cos 2φ, −sin 3φ)/3, φ = 2π t.
    ///
    /// # Errors
    /// [`Error::Count`] for fewer than 2 nodes.
    pub fn trefoil(nodes: usize) -> Result<Curve, Error> {
        Curve::closed(nodes, |t| {
            let angle = TAU * t;
            array![
                (angle.sin() + 2.0 * (2.0 * angle).sin()) / 3.0,
                (angle.cos() - 2.0 * (2.0 * angle).cos()) / 3.0,
                -(3.0 * angle).sin() / 3.0
            ]
        })
    }

    fn new(
        rule: Vec<(f64, f64)>,
        ends: Ends,
        path: Arc<dyn Fn(f64) -> Array1<f64> + Send + Sync>,
    ) -> Result<Curve, Error> {
        if rule.len() < 2 {
            return Err(Error::Count {
                name: "nodes",
                least: 2,
                most: usize::MAX,
                given: rule.len(),
            });
        }
        let (parameters, weights): (Vec<f64>, Vec<f64>) = rule.into_iter().unzip();
        let dim = path(parameters[0]).len();
        let mut points = Array2::zeros((parameters.len(), dim));
        for (mut row, &t) in points.rows_mut().into_iter().zip(&parameters) {
            let point = path(t);
            Error::length("point of the curve", dim, point.len())?;
            row.assign(&point);
        }
        let nodes = GaussianMixture::new(Array1::from(weights), points, 0.0)?;
        let points = nodes.means();
        let gap = |i: usize, j: usize| {
            let apart = &points.row(i) - &points.row(j);
            apart.dot(&apart).sqrt()
        };
        let seam = match ends {
            Ends::Joined => gap(points.nrows() - 1, 0),
            Ends::Loose => 0.0,
        };
        let widest = (1..points.nrows())
            .map(|i| gap(i, i - 1))
            .fold(seam, f64::max);
        Ok(Curve {
            resolution: Error::positive("distance between nodes", 3.0 * widest)?,
            ends,
            path,
            parameters,
            nodes,
        })
    }

    /// c(t) for each parameter t: \[n, D\].
    ///
    /// # Panics
    /// If the path gives points of another dimension than at its nodes.
    pub fn points(&self, parameters: ArrayView1<'_, f64>) -> Array2<f64> {
        let mut points = Array2::zeros((parameters.len(), self.dim()));
        for (mut row, &t) in points.rows_mut().into_iter().zip(&parameters) {
            row.assign(&(self.path)(t));
        }
        points
    }

    /// The smallest σ for which score, density and posterior are given: three times the widest gap between nodes.
    pub fn resolution(&self) -> f64 {
        self.resolution
    }

    fn check_resolved(&self, sigma: f64) {
        assert!(
            self.resolution <= sigma || vanishes(sigma),
            "sigma = {sigma} is below the curve's resolution of {}; give it more nodes",
            self.resolution
        );
    }

    /// The point of the curve nearest to x: of the best node and then, between its neighbours, by golden sections.
    fn project(&self, x: ArrayView1<'_, f64>) -> Array1<f64> {
        let squared = |point: ArrayView1<'_, f64>| {
            let apart = &point - &x;
            apart.dot(&apart)
        };
        let nodes = self.nodes.means();
        let distances = nodes.rows().into_iter().map(squared).enumerate();
        let (best, _) = distances
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("at least two nodes");
        let before = best.checked_sub(1).map(|i| self.parameters[i]);
        let after = self.parameters.get(best + 1).copied();
        // Where the ends are joined, what lies before the first node lies a period behind the last.
        let last = self.parameters[self.parameters.len() - 1];
        let (mut low, mut high) = match self.ends {
            Ends::Joined => (before.unwrap_or(last - 1.0), after.unwrap_or(1.0)),
            Ends::Loose => (before.unwrap_or(0.0), after.unwrap_or(1.0)),
        };
        let at = |t: f64| (self.path)(if t < 0.0 { t + 1.0 } else { t });
        let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
        // 0.618⁶⁰ = 3e-13 of a gap.
        for _ in 0..60 {
            let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
            if squared(at(left).view()) < squared(at(right).view()) {
                high = right;
            } else {
                low = left;
            }
        }
        at(0.5 * (low + high))
    }
}

impl fmt::Debug for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Curve")
            .field("nodes", &self.nodes.means().dim())
            .field("resolution", &self.resolution)
            .finish_non_exhaustive()
    }
}

impl ExactScore for Curve {
    fn dim(&self) -> usize {
        self.nodes.dim()
    }

    fn has_density(&self) -> bool {
        false
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let parameters: Array1<f64> = (0..n).map(|_| rng.random()).collect();
        self.points(parameters.view())
    }

    fn mean(&self) -> Array1<f64> {
        self.nodes.mean()
    }

    fn covariance(&self) -> Array2<f64> {
        self.nodes.covariance()
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        self.check_resolved(sigma);
        self.nodes.score(x, sigma)
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        self.check_resolved(sigma);
        self.nodes.log_density(x, sigma)
    }

    /// At σ = 0 the nearest point of the curve.
    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        self.check_resolved(sigma);
        if !vanishes(sigma) {
            return self.nodes.denoise(x, sigma);
        }
        let mut nearest = Array2::zeros(x.raw_dim());
        for (mut row, x) in nearest.rows_mut().into_iter().zip(x.rows()) {
            row.assign(&self.project(x));
        }
        nearest
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        self.check_resolved(sigma);
        self.nodes.posterior_covariance(x, sigma)
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        self.check_resolved(sigma);
        self.nodes.posterior_variance(x, sigma)
    }

    /// In the plane by quadrature, while there are not too many nodes.
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        self.check_resolved(sigma);
        self.nodes.fisher_information(sigma)
    }
}
