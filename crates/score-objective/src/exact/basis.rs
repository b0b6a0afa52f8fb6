//! Orthonormal bases: random ones, and the Hartley basis of a square torus.

use std::f64::consts::TAU;

use ndarray::{Array2, Axis};
use rand::RngCore;

use super::rows::standard_normal;
use crate::Error;

/// `columns` random orthonormal columns in ℝ^`rows`, uniformly distributed over all such frames.
///
/// Modified Gram-Schmidt on Gaussian columns, twice: the second pass brings orthogonality to rounding error.
/// Needs `columns` ≤ `rows`.
pub(super) fn random_orthonormal(
    rows: usize,
    columns: usize,
    rng: &mut dyn RngCore,
) -> Array2<f64> {
    // One vector per row while we work, so that vectors are contiguous.
    let mut frame = standard_normal(columns, rows, rng);
    for i in 0..columns {
        let (done, mut rest) = frame.view_mut().split_at(Axis(0), i);
        let mut vector = rest.row_mut(0);
        for _ in 0..2 {
            for earlier in done.rows() {
                let along = earlier.dot(&vector);
                vector.scaled_add(-along, &earlier);
            }
            let norm = vector.dot(&vector).sqrt();
            vector /= norm;
        }
    }
    frame.reversed_axes().as_standard_layout().into_owned()
}

/// Refuses what is not a square matrix with `dim` orthonormal columns.
pub(super) fn check_orthonormal(basis: &Array2<f64>, dim: usize) -> Result<(), Error> {
    Error::length("basis rows", dim, basis.nrows())?;
    Error::length("basis columns", dim, basis.ncols())?;
    let excess = basis.t().dot(basis) - Array2::<f64>::eye(dim);
    // Not the maximum in the condition: it would let a NaN pass.
    if excess.iter().all(|d| d.abs() < 1e-9) {
        return Ok(());
    }
    let deviation = excess.iter().fold(0.0, |worst, d| d.abs().max(worst));
    Err(Error::NotOrthonormal { deviation })
}

/// The orthonormal Hartley matrix of an S × S torus: H\[(u, v), (i, j)\] = cas(2π (u i + v j)/S)/S, cas = cos + sin.
///
/// It is symmetric and its own inverse, and it diagonalises every covariance that is stationary on the torus, since
/// such a covariance has a spectrum that agrees at f and −f.
pub(super) fn hartley(side: usize) -> Array2<f64> {
    // The phase is reduced as an integer, so all entries are exact up to one rounding.
    let cas: Vec<f64> = (0..side)
        .map(|phase| {
            let (sin, cos) = (TAU * phase as f64 / side as f64).sin_cos();
            (sin + cos) / side as f64
        })
        .collect();
    Array2::from_shape_fn((side * side, side * side), |(f, x)| {
        cas[((f / side) * (x / side) + (f % side) * (x % side)) % side]
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn deviation_from_identity(gram: &Array2<f64>) -> f64 {
        (gram - Array2::<f64>::eye(gram.nrows()))
            .iter()
            .fold(0.0, |worst, d| d.abs().max(worst))
    }

    #[test]
    fn frames_are_orthonormal() {
        let frame = random_orthonormal(40, 30, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(frame.dim(), (40, 30));
        assert!(deviation_from_identity(&frame.t().dot(&frame)) < 1e-14);
    }

    #[test]
    fn hartley_is_its_own_inverse() {
        for side in [1, 2, 5, 16] {
            let h = hartley(side);
            assert!(deviation_from_identity(&h.dot(&h)) < 1e-13);
            assert!((&h - &h.t()).iter().all(|d| *d == 0.0));
        }
    }
}
