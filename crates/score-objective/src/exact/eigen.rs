//! Eigenvalues and eigenvectors of symmetric matrices.

use ndarray::{Array1, Array2};

/// A = V diag(λ) Vᵀ of a symmetric matrix, by Jacobi's rotations: slow, and accurate to the last digits.
///
/// Returns λ in no particular order and V, whose columns are orthonormal.
pub(super) fn symmetric_eigen(mut a: Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut vectors = Array2::<f64>::eye(n);
    let scale = a.iter().fold(0.0, |s: f64, v| s.max(v.abs()));
    // Sweeps converge quadratically once the matrix is nearly diagonal; ten are enough in practice.
    for _ in 0..60 {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]].abs() <= f64::EPSILON * 1e-2 * scale {
                    continue;
                }
                rotated = true;
                // The smaller of the two angles whose rotation makes a_pq zero, by its tangent.
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
                let tan = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cos = tan.hypot(1.0).recip();
                let sin = tan * cos;
                for i in 0..n {
                    let (x, y) = (a[[i, p]], a[[i, q]]);
                    (a[[i, p]], a[[i, q]]) = (cos * x - sin * y, sin * x + cos * y);
                }
                for i in 0..n {
                    let (x, y) = (a[[p, i]], a[[q, i]]);
                    (a[[p, i]], a[[q, i]]) = (cos * x - sin * y, sin * x + cos * y);
                    let (x, y) = (vectors[[i, p]], vectors[[i, q]]);
                    (vectors[[i, p]], vectors[[i, q]]) = (cos * x - sin * y, sin * x + cos * y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    (a.diag().to_owned(), vectors)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::rows::standard_normal;
    use super::*;

    #[test]
    fn matrices_are_rebuilt_from_their_parts() {
        for (n, seed) in [(1, 0), (2, 1), (5, 2), (30, 3)] {
            let root = standard_normal(n, n, &mut ChaCha8Rng::seed_from_u64(seed));
            let a = &root + &root.t();
            let (values, vectors) = symmetric_eigen(a.clone());
            let rebuilt = (&vectors * &values).dot(&vectors.t());
            let gram = vectors.t().dot(&vectors);
            for (found, wanted) in [(rebuilt, a), (gram, Array2::eye(n))] {
                assert!((found - wanted).iter().all(|d| d.abs() < 1e-12 * n as f64));
            }
        }
        // Already diagonal, with a repeated value.
        let (values, _) = symmetric_eigen(Array2::from_diag(&ndarray::array![2.0, 0.0, 2.0]));
        assert_eq!(values.to_vec(), [2.0, 0.0, 2.0]);
    }
}
