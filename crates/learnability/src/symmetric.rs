//! Eigenvalues of small symmetric matrices, by Jacobi's rotations.
//!
//! Of matrices that are graded, as kernels of deep networks are, it keeps the small eigenvalues better than methods that
//! go through a tridiagonal form.

/// Sweeps that no matrix needs: convergence is quadratic, and ten are many.
const MOST_SWEEPS: usize = 60;

/// The eigenvalues of the symmetric `n × n` matrix, in no order.
pub(crate) fn eigenvalues(matrix: &[f64], n: usize) -> Vec<f64> {
    diagonalise(matrix, n, None)
}

/// Eigenvalues, and eigenvectors as rows of an `n × n` matrix in the same order.
pub(crate) fn eigenvectors(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    for i in 0..n {
        vectors[i * n + i] = 1.0;
    }
    let values = diagonalise(matrix, n, Some(&mut vectors));
    (values, vectors)
}

/// Golub & Van Loan, *Matrix Computations*, section 8.5: cyclic by rows.
fn diagonalise(matrix: &[f64], n: usize, mut vectors: Option<&mut Vec<f64>>) -> Vec<f64> {
    let mut a = matrix.to_vec();
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let (app, aqq, apq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
                // Relative to its own two diagonal entries, which is what keeps small eigenvalues.
                if apq.abs() <= f64::EPSILON * (app.abs().sqrt() * aqq.abs().sqrt()) {
                    continue;
                }
                rotated = true;
                let tau = (aqq - app) / (2.0 * apq);
                let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
                let c = t.hypot(1.0).recip();
                let s = t * c;
                // Rows, then columns from rows by symmetry: rows are contiguous.
                rotate_rows(&mut a, n, p, q, c, s);
                for k in 0..n {
                    a[k * n + p] = a[p * n + k];
                    a[k * n + q] = a[q * n + k];
                }
                // Where the two rows and columns meet, both have turned.
                a[p * n + p] = app - t * apq;
                a[q * n + q] = aqq + t * apq;
                a[p * n + q] = 0.0;
                a[q * n + p] = 0.0;
                if let Some(vectors) = vectors.as_deref_mut() {
                    rotate_rows(vectors, n, p, q, c, s);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    (0..n).map(|i| a[i * n + i]).collect()
}

/// Rows `p < q` become `c·p − s·q` and `s·p + c·q`.
fn rotate_rows(a: &mut [f64], n: usize, p: usize, q: usize, c: f64, s: f64) {
    let (head, tail) = a.split_at_mut(q * n);
    let rows = head[p * n..][..n].iter_mut().zip(&mut tail[..n]);
    for (x, y) in rows {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_spectrum(mut found: Vec<f64>, mut expected: Vec<f64>, relative: f64) {
        found.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        for (a, b) in found.iter().zip(&expected) {
            assert!(
                (a - b).abs() <= relative * b.abs(),
                "{found:?} {expected:?}"
            );
        }
    }

    #[test]
    fn second_differences_have_a_known_spectrum() {
        let n = 40;
        let entry = |i: usize, j: usize| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        let matrix: Vec<f64> = (0..n * n).map(|k| entry(k / n, k % n)).collect();
        let step = std::f64::consts::PI / (n + 1) as f64;
        let expected: Vec<f64> = (1..=n)
            .map(|k| 2.0 - 2.0 * (k as f64 * step).cos())
            .collect();
        let (values, vectors) = eigenvectors(&matrix, n);
        for (value, vector) in values.iter().zip(vectors.chunks(n)) {
            for i in 0..n {
                let product: f64 = (0..n).map(|j| entry(i, j) * vector[j]).sum();
                assert!((product - value * vector[i]).abs() < 1e-14);
            }
            assert!((vector.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-13);
        }
        assert_eq!(eigenvalues(&matrix, n), values);
        assert_spectrum(values, expected, 1e-12);
    }

    #[test]
    fn graded_matrices_keep_their_small_eigenvalues() {
        // D [[1, ½], [½, 1]] D with D = diag(1, d): determinant ¾ d², trace 1 + d².
        let d = 1e-17;
        let found = eigenvalues(&[1.0, d / 2.0, d / 2.0, d * d], 2);
        assert_spectrum(found, vec![1.0 + d * d / 4.0, 0.75 * d * d], 1e-14);
    }

    #[test]
    fn the_unit_of_a_matrix_is_its_own() {
        for unit in [1e-100, 1.0, 1e100] {
            let found = eigenvalues(&[2.0, 1.0, 1.0, 2.0].map(|x| unit * x), 2);
            assert_spectrum(found, vec![unit, 3.0 * unit], 1e-15);
        }
    }

    #[test]
    fn degenerate_and_zero_matrices() {
        assert_eq!(eigenvalues(&[0.0; 9], 3), [0.0; 3]);
        let ones = vec![1.0; 25];
        let found = eigenvalues(&ones, 5);
        assert!((found.iter().sum::<f64>() - 5.0).abs() < 1e-14);
        assert_eq!(found.iter().filter(|x| 1e-14 < x.abs()).count(), 1);
    }
}
