//! Extreme eigenvalues and spectral density of a symmetric operator that is known by its products with vectors.

use rand::RngCore;

use crate::error::{Error, check_at_least, check_finite};
use crate::gram::rademacher;
use crate::interval::Estimate;
use crate::symmetric::eigenvectors;

/// An eigenvalue estimate, with what is needed to judge it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ritz {
    /// `θ`, the estimate.
    pub value: f64,
    /// `|A y − θ y|` for its unit vector `y`: some eigenvalue of `A` lies no further from `θ` than this.
    pub residual: f64,
    /// Squared component of `y` along the start: the weight of `θ` in the quadrature of the start's spectral measure.
    /// All weights sum to 1.
    pub weight: f64,
}

/// The Ritz pairs of `steps` products with a symmetric operator.
///
/// ```text
/// A Q = Q T + β q eᵀ,  T tridiagonal;    T s = θ s,  y = Q s,  |A y − θ y| = β |s_last|
/// ```
///
/// with full reorthogonalisation, twice, so that no eigenvalue comes twice by rounding.
///
/// *Range*: every `θ` lies between the smallest and the largest eigenvalue; the outer ones converge first.
/// *Invariances*: rotation of the space.
/// *Failure mode*: a pair whose residual is not small against the distances that matter is not an eigenvalue: look at
/// residuals before values. A multiple eigenvalue appears once, and a start without a component along an eigenvector
/// never sees it.
/// *Source*: Lanczos 1950; Golub & Van Loan, *Matrix Computations*, chapter 10.
///
/// ```
/// use learnability::lanczos::Lanczos;
/// let mut operator = |v: &[f64]| vec![1.0 * v[0], 2.0 * v[1], 30.0 * v[2]];
/// let lanczos = Lanczos::run(&mut operator, &[1.0, 1.0, 1.0], 10)?;
/// let largest = lanczos.ritz()[0];
/// assert!((largest.value - 30.0).abs() < 1e-12 && largest.residual < 1e-12);
/// assert_eq!(lanczos.ritz().len(), 3); // the space is exhausted
/// # Ok::<(), learnability::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lanczos {
    ritz: Vec<Ritz>,
    /// Orthonormal, one vector for each step.
    basis: Vec<Vec<f64>>,
    /// Eigenvectors of `T`, in the order of `ritz`.
    small: Vec<Vec<f64>>,
}

impl Lanczos {
    /// At most `steps` products with `operator`, which must be symmetric; fewer if they span an invariant subspace.
    ///
    /// Holds a vector for each step.
    ///
    /// # Errors
    /// No steps, a start that is zero, or a start or product that is not finite.
    ///
    /// # Panics
    /// If a product differs in length from the start.
    pub fn run(
        operator: &mut dyn FnMut(&[f64]) -> Vec<f64>,
        start: &[f64],
        steps: usize,
    ) -> Result<Self, Error> {
        check_at_least("Lanczos steps", 1, steps)?;
        check_finite("start of Lanczos", start)?;
        let mut next = start.to_vec();
        let mut beta = norm(start);
        if beta == 0.0 {
            return Err(Error::NoDirection {
                what: "start of Lanczos",
                length: start.len(),
            });
        }
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
        let mut scale = 0.0_f64;
        loop {
            for x in &mut next {
                *x /= beta;
            }
            basis.push(next);
            let q = &basis[basis.len() - 1];
            next = operator(q);
            assert_eq!(next.len(), start.len(), "Lanczos: length of a product");
            check_finite("product with the operator", &next)?;
            scale = scale.max(norm(&next));
            diagonal.push(dot(&next, q));
            for _ in 0..2 {
                for q in &basis {
                    let along = dot(&next, q);
                    for (x, q) in next.iter_mut().zip(q) {
                        *x -= along * q;
                    }
                }
            }
            beta = norm(&next);
            // What is left of an invariant subspace is rounding, and has no direction to go on in.
            if beta <= start.len() as f64 * f64::EPSILON * scale {
                beta = 0.0;
            }
            if beta == 0.0 || basis.len() == steps {
                break;
            }
            beside.push(beta);
        }
        let m = basis.len();
        let mut tridiagonal = vec![0.0; m * m];
        for (i, x) in diagonal.iter().enumerate() {
            tridiagonal[i * m + i] = *x;
        }
        for (i, x) in beside.iter().enumerate() {
            tridiagonal[i * m + i + 1] = *x;
            tridiagonal[(i + 1) * m + i] = *x;
        }
        let (values, vectors) = eigenvectors(&tridiagonal, m);
        let mut pairs: Vec<(Ritz, Vec<f64>)> = values
            .iter()
            .zip(vectors.chunks(m))
            .map(|(value, s)| {
                let ritz = Ritz {
                    value: *value,
                    residual: beta * s[m - 1].abs(),
                    weight: s[0] * s[0],
                };
                (ritz, s.to_vec())
            })
            .collect();
        pairs.sort_by(|(a, _), (b, _)| b.value.total_cmp(&a.value));
        let (ritz, small) = pairs.into_iter().unzip();
        Ok(Self { ritz, basis, small })
    }

    /// The Ritz pairs, the largest value first.
    pub fn ritz(&self) -> &[Ritz] {
        &self.ritz
    }

    /// The unit vector `y` of a pair, in the order of [`Self::ritz`].
    ///
    /// # Panics
    /// If there is no such pair.
    pub fn vector(&self, pair: usize) -> Vec<f64> {
        let mut y = vec![0.0; self.basis[0].len()];
        for (q, s) in self.basis.iter().zip(&self.small[pair]) {
            for (y, q) in y.iter_mut().zip(q) {
                *y += s * q;
            }
        }
        y
    }
}

/// Hutchinson's estimate of a trace, `mean vᵀ A v` over independent vectors of signs.
///
/// The variance of one term is `2 (|A|_F² − Σ a_ii²)`: none for a diagonal operator.
///
/// *Range*: real. *Invariances*: none; in another basis it has another variance and the same mean.
/// *Failure mode*: for an operator with both signs the standard error can exceed the trace; it is given for that reason.
/// *Source*: Hutchinson 1990.
///
/// # Errors
/// No dimension, fewer than 2 probes, or a product that is not finite.
///
/// # Panics
/// If a product differs in length from its vector.
///
/// ```
/// use learnability::lanczos::trace;
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let estimate = trace(&mut |v| vec![v[0], 5.0 * v[1]], 2, 4, &mut rng)?;
/// assert_eq!((estimate.value, estimate.standard_error), (6.0, 0.0));
/// # Ok::<(), learnability::Error>(())
/// ```
#[doc(alias = "hutchinson")]
pub fn trace(
    operator: &mut dyn FnMut(&[f64]) -> Vec<f64>,
    dimension: usize,
    probes: usize,
    rng: &mut dyn RngCore,
) -> Result<Estimate, Error> {
    check_at_least("dimensions of an operator", 1, dimension)?;
    check_at_least("probes of a trace", 2, probes)?;
    let mut v = vec![0.0; dimension];
    let mut terms = Vec::with_capacity(probes);
    for _ in 0..probes {
        rademacher(&mut v, rng);
        let product = operator(&v);
        assert_eq!(product.len(), dimension, "trace: length of a product");
        check_finite("product with the operator", &product)?;
        terms.push(dot(&v, &product));
    }
    Ok(Estimate::of_mean(&terms))
}

/// Stochastic Lanczos quadrature: the density of the eigenvalues of a symmetric operator, from random starts.
///
/// ```text
/// (1/d) tr f(A) ≈ mean over probes of Σ_i weight_i f(θ_i)
/// ```
///
/// Exact on average for polynomials `f` of degree below `2 · steps`.
///
/// *Range*: nodes between the smallest and the largest eigenvalue, weights in `[0, 1]` that sum to 1 for each probe.
/// *Invariances*: on average, rotation of the space; the draws are not.
/// *Failure mode*: between its nodes a density is what a kernel of some width makes of it; nodes with a residual above
/// that width are smeared by more than is drawn. Moments have a standard error, densities have not.
/// *Source*: Ubaru, Chen & Saad 2017; for Hessians of networks Ghorbani, Krishnan & Xiao 2019.
///
/// ```
/// use learnability::lanczos::SpectralDensity;
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let mut operator = |v: &[f64]| v.iter().enumerate().map(|(i, v)| if i < 8 { 3.0 * v } else { *v }).collect();
/// let density = SpectralDensity::estimate(&mut operator, 32, 4, 10, &mut rng)?;
/// assert!((density.share_below(2.0) - 0.75).abs() < 1e-12); // 24 eigenvalues of 32 are 1
/// assert!(density.largest_residual() < 1e-12);
/// # Ok::<(), learnability::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralDensity {
    probes: Vec<Vec<Ritz>>,
}

impl SpectralDensity {
    /// From `probes` random vectors of signs, with `steps` of Lanczos each.
    ///
    /// # Errors
    /// No dimension, no steps, fewer than 2 probes, or a product that is not finite.
    ///
    /// # Panics
    /// If a product differs in length from its vector.
    pub fn estimate(
        operator: &mut dyn FnMut(&[f64]) -> Vec<f64>,
        dimension: usize,
        probes: usize,
        steps: usize,
        rng: &mut dyn RngCore,
    ) -> Result<Self, Error> {
        check_at_least("dimensions of an operator", 1, dimension)?;
        check_at_least("probes of a spectral density", 2, probes)?;
        let mut start = vec![0.0; dimension];
        let probes = (0..probes)
            .map(|_| {
                rademacher(&mut start, rng);
                Ok(Lanczos::run(operator, &start, steps)?.ritz)
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { probes })
    }

    /// The quadrature of each probe: nodes with their residuals, and weights that sum to 1.
    pub fn probes(&self) -> &[Vec<Ritz>] {
        &self.probes
    }

    /// `tr f(A) / d` with its standard error over probes: for `f = λ` the mean eigenvalue, for `f = λ²` that of squares.
    ///
    /// *Range*: that of `f` over the eigenvalues' span. *Failure mode*: the standard error is over probes alone; an `f`
    /// that is no polynomial of low degree, such as a step, has an error of too few steps besides, which it does not show.
    pub fn mean_of(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let quadrature = |nodes: &Vec<Ritz>| nodes.iter().map(|r| r.weight * f(r.value)).sum();
        Estimate::of_mean(&self.probes.iter().map(quadrature).collect::<Vec<f64>>())
    }

    /// Share of the eigenvalues that lie below `value`.
    ///
    /// *Range*: `[0, 1]`, rising with `value`. *Failure mode*: a step: next to a node it jumps by the weight of the node,
    /// so where eigenvalues are dense it is off by up to that.
    pub fn share_below(&self, value: f64) -> f64 {
        self.mean_of(|x| f64::from(u8::from(x < value))).value
    }

    /// The density at `value`, smoothed by a normal kernel of standard deviation `width`; it integrates to 1.
    ///
    /// *Range*: `[0, 1/(width √(2π))]`. *Failure mode*: the kernel is also seen where there is no eigenvalue, such as below 0
    /// for a positive operator.
    ///
    /// # Panics
    /// Unless `width` is positive.
    pub fn smoothed(&self, value: f64, width: f64) -> f64 {
        assert!(0.0 < width, "SpectralDensity::smoothed: width {width}");
        let normal = |z: f64| (-z * z / 2.0).exp() / (width * std::f64::consts::TAU.sqrt());
        self.mean_of(|x| normal((value - x) / width)).value
    }

    /// The largest residual of any node: how far a node may be from an eigenvalue, in `[0, ∞)`.
    pub fn largest_residual(&self) -> f64 {
        let residuals = self.probes.iter().flatten().map(|r| r.residual);
        residuals.fold(0.0, f64::max)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
