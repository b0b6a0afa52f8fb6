//! Langevin dynamics with momentum.

use noise_schedule::Kernel;

use crate::{NoiseSource, VectorSpace};

/// Underdamped Langevin dynamics, dx = v dt, dv = (score(x) − friction v) dt + √(2 friction) dw, by the splitting BAOAB:
/// half a kick by the score, half a drift, the exact Ornstein–Uhlenbeck step of the velocity, half a drift, half a kick.
///
/// Returns positions and velocities; the stationary law is p(x) N(v; 0, I).
/// For Gaussian p the positions have it exactly, whatever the step below the limit of stability, 2 standard deviations of the
/// narrowest direction; in general the error is of order step².
/// One evaluation of the score per step, and one at the start.
/// The noise is asked for at [`Kernel::CLEAN`], since no level is involved.
///
/// Leimkuhler & Matthews 2013, Rational construction of stochastic numerical methods for molecular sampling.
///
/// # Shapes
/// `v`, the score and the results have the shape of `x`; samples lie along the leading axis.
///
/// # Panics
/// If `step` or `friction` is negative or not finite.
///
/// ```
/// use ndarray::Array2;
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{PerSample, underdamped};
/// let mut noise = PerSample::new((0..500).map(ChaCha8Rng::seed_from_u64));
/// let start = Array2::from_elem((500, 1), 9.0);
/// let rest = Array2::zeros((500, 1));
/// let (x, _) = underdamped(&mut |x: &Array2<f64>| -x, &mut noise, (start, rest), 0.5, 2.0, 100);
/// assert!(x.mean().unwrap().abs() < 0.2);
/// ```
#[doc(alias = "BAOAB")]
#[doc(alias = "kinetic Langevin")]
pub fn underdamped<X: VectorSpace>(
    score: &mut dyn FnMut(&X) -> X,
    noise: &mut dyn NoiseSource<X>,
    (mut x, mut v): (X, X),
    step: f64,
    friction: f64,
    steps: usize,
) -> (X, X) {
    for (name, value) in [("step", step), ("friction", friction)] {
        assert!(
            value.is_finite() && 0.0 <= value,
            "underdamped Langevin: the {name} must be finite and not negative, got {value}"
        );
    }
    let kept = (-friction * step).exp();
    let renewed = (-(-2.0 * friction * step).exp_m1()).sqrt();
    let mut force = score(&x);
    for _ in 0..steps {
        v = X::axpby(1.0, &v, 0.5 * step, &force);
        x = X::axpby(1.0, &x, 0.5 * step, &v);
        let fresh = noise.between(&x, Kernel::CLEAN, Kernel::CLEAN);
        v = X::axpby(kept, &v, renewed, &fresh);
        x = X::axpby(1.0, &x, 0.5 * step, &v);
        force = score(&x);
        v = X::axpby(1.0, &v, 0.5 * step, &force);
    }
    (x, v)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    /// A step is affine, (x, v) → A (x, v) + b z, so that the covariance of a Gaussian follows C → A C Aᵀ + b bᵀ exactly.
    #[test]
    fn baoab_keeps_the_positions_of_a_gaussian() {
        for (variance, step, friction) in [(1.0, 0.5, 1.0), (0.3, 0.9, 2.0), (4.0, 1.5, 0.2)] {
            let respond = |x: f64, v: f64, z: f64| {
                let mut score = |x: &Array1<f64>| x / -variance;
                let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
                let (x, v) = underdamped(
                    &mut score,
                    &mut noise,
                    (array![x], array![v]),
                    step,
                    friction,
                    1,
                );
                [x[0], v[0]]
            };
            let (a, b, c) = (
                respond(1.0, 0.0, 0.0),
                respond(0.0, 1.0, 0.0),
                respond(0.0, 0.0, 1.0),
            );
            let (mut xx, mut xv, mut vv) = (9.0, 0.0, 0.0);
            for _ in 0..4000 {
                let covariance = |i: usize, j: usize| {
                    a[i] * a[j] * xx
                        + (a[i] * b[j] + b[i] * a[j]) * xv
                        + b[i] * b[j] * vv
                        + c[i] * c[j]
                };
                (xx, xv, vv) = (covariance(0, 0), covariance(0, 1), covariance(1, 1));
            }
            assert!((xx / variance - 1.0).abs() < 1e-10, "{xx} {variance}");
            assert!(xv.abs() < 1e-10);
        }
    }
}
