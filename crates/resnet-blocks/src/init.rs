//! The laws of [`Init`], drawn in f64 and stored in f32.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Init;

/// The weight of a layer, row by row.
///
/// # Shapes
/// `dims`: `[out, in]` or `[out, in, side, side]`; `strided` says whether a convolution skips pixels.
pub(crate) fn weight(init: Init, dims: &[usize], strided: bool, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (outputs, fan_in) = (dims[0], dims[1..].iter().product::<usize>());
    match init {
        Init::PyTorch => uniform(outputs * fan_in, fan_in, rng),
        Init::He => {
            let deviation = (2.0 / fan_in as f64).sqrt();
            normal(outputs * fan_in, rng)
                .iter()
                .map(|z| (deviation * z) as f32)
                .collect()
        }
        Init::DeltaOrthogonal if 2 < dims.len() && !strided => {
            let area = dims[2] * dims[3];
            let mut kernel = vec![0.0; outputs * fan_in];
            for (entry, value) in orthogonal(outputs, dims[1], rng).into_iter().enumerate() {
                kernel[entry * area + area / 2] = value; // an odd side has its centre there
            }
            kernel
        }
        Init::Orthogonal | Init::DeltaOrthogonal => orthogonal(outputs, fan_in, rng),
    }
}

/// The bias of a layer.
pub(crate) fn bias(init: Init, outputs: usize, fan_in: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    match init {
        Init::PyTorch => uniform(outputs, fan_in, rng),
        Init::He | Init::Orthogonal | Init::DeltaOrthogonal => vec![0.0; outputs],
    }
}

/// U(-1/sqrt f, 1/sqrt f).
fn uniform(count: usize, fan_in: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let bound = 1.0 / (fan_in as f64).sqrt();
    (0..count)
        .map(|_| (bound * (2.0 * rng.random::<f64>() - 1.0)) as f32)
        .collect()
}

fn normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

/// A uniformly random matrix with orthonormal rows, or columns if it is tall, row by row.
///
/// Gram–Schmidt on independent normal vectors; twice, which is enough for orthogonality to
/// rounding. Its triangular factor has a positive diagonal, so the law is Haar's (Mezzadri 2007).
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut vector = normal(length, rng);
        for _ in 0..2 {
            for unit in &basis {
                let along = dot(unit, &vector);
                vector
                    .iter_mut()
                    .zip(unit)
                    .for_each(|(v, u)| *v -= along * u);
            }
        }
        let norm = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|v| *v /= norm);
        basis.push(vector);
    }
    let entry = |row: usize, column: usize| {
        if rows <= columns {
            basis[row][column]
        } else {
            basis[column][row]
        }
    };
    (0..rows * columns)
        .map(|at| entry(at / columns, at % columns) as f32)
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    /// The largest deviation of the Gram matrix from the identity.
    fn defect(matrix: &[f32], rows: usize, columns: usize) -> f64 {
        let at = |i: usize, j: usize| {
            if rows <= columns {
                f64::from(matrix[i * columns + j])
            } else {
                f64::from(matrix[j * columns + i])
            }
        };
        let (count, length) = (rows.min(columns), rows.max(columns));
        let gram = |i, j| (0..length).map(|k| at(i, k) * at(j, k)).sum::<f64>();
        let deviation = |i, j| (gram(i, j) - f64::from(u8::from(i == j))).abs();
        (0..count * count)
            .map(|at| deviation(at / count, at % count))
            .fold(0.0, f64::max)
    }

    fn variance(values: &[f32]) -> f64 {
        values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn orthogonal_is_orthonormal_wide_square_and_tall() {
        for (rows, columns) in [(8, 72), (64, 64), (8, 1), (1, 9), (72, 8)] {
            let matrix = weight(Init::Orthogonal, &[rows, columns], false, &mut rng());
            assert!(defect(&matrix, rows, columns) < 1e-6, "{rows} x {columns}");
        }
    }

    #[test]
    fn orthogonal_has_both_orientations() {
        let determinants: Vec<bool> = (0..32)
            .map(|seed| {
                let m = orthogonal(2, 2, &mut ChaCha8Rng::seed_from_u64(seed));
                0.0 < m[0] * m[3] - m[1] * m[2]
            })
            .collect();
        assert!(determinants.contains(&true) && determinants.contains(&false));
    }

    #[test]
    fn delta_orthogonal_is_an_orthogonal_centre_and_nothing_else() {
        let kernel = weight(Init::DeltaOrthogonal, &[16, 8, 3, 3], false, &mut rng());
        let centre: Vec<f32> = kernel.iter().skip(4).step_by(9).copied().collect();
        assert!(defect(&centre, 16, 8) < 1e-6);
        assert_eq!(
            kernel.iter().filter(|value| **value != 0.0).count(),
            centre.len()
        );
    }

    #[test]
    fn delta_orthogonal_is_orthogonal_under_a_stride() {
        let dims = [8, 4, 3, 3];
        assert_eq!(
            weight(Init::DeltaOrthogonal, &dims, true, &mut rng()),
            weight(Init::Orthogonal, &dims, true, &mut rng())
        );
    }

    #[test]
    fn variances_are_those_of_the_literature() {
        // 65,536 draws: the relative error of a variance is below 0.6 % (one deviation).
        let dims = [128, 512];
        let pytorch = variance(&weight(Init::PyTorch, &dims, false, &mut rng()));
        assert!((pytorch * 3.0 * 512.0 - 1.0).abs() < 0.02, "{pytorch}");
        let he = variance(&weight(Init::He, &dims, false, &mut rng()));
        assert!((he * 512.0 / 2.0 - 1.0).abs() < 0.02, "{he}");
        let biases = bias(Init::PyTorch, 65_536, 512, &mut rng());
        assert!((variance(&biases) * 3.0 * 512.0 - 1.0).abs() < 0.02);
        assert!(
            biases
                .iter()
                .all(|b| f64::from(b.abs()) <= 1.0 / 512f64.sqrt())
        );
        assert_eq!(bias(Init::He, 3, 4, &mut rng()), [0.0; 3]);
    }

    #[test]
    fn a_convolution_counts_its_kernel_in_the_fan_in() {
        let values = weight(Init::PyTorch, &[64, 16, 3, 3], false, &mut rng());
        assert!((variance(&values) * 3.0 * 144.0 - 1.0).abs() < 0.05);
    }
}
