//! Laws of single variables, drawn in f64 and stored in f32; and those of [`Init`] for a layer.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Init;

/// The law of the initial value of one variable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Every number is this one.
    Constant(f64),
    /// U(-a, a), independently.
    Uniform(f64),
    /// N(0, s^2), independently, of this deviation s.
    Normal(f64),
    /// A uniformly random matrix with orthonormal rows, or columns if it is tall: the first dimension by
    /// all others.
    Orthogonal,
    /// An orthogonal matrix in the centre of a kernel, and 0 elsewhere.
    DeltaOrthogonal,
    /// The identity in the centre of a kernel, or a matrix, and 0 elsewhere.
    Dirac,
}

impl Init {
    /// The law of a weight of this shape, outputs first; `strided` says whether a convolution skips pixels.
    pub fn weight(self, shape: &[usize], strided: bool) -> Law {
        let fan_in = shape[1..].iter().product::<usize>() as f64;
        match self {
            Init::PyTorch => Law::Uniform(1.0 / fan_in.sqrt()),
            Init::He => Law::Normal((2.0 / fan_in).sqrt()),
            Init::LeCun => Law::Normal(1.0 / fan_in.sqrt()),
            Init::Xavier => {
                let area = shape[1..].iter().skip(1).product::<usize>() as f64;
                Law::Uniform((6.0 / (fan_in + shape[0] as f64 * area)).sqrt())
            }
            Init::DeltaOrthogonal if 2 < shape.len() && !strided => Law::DeltaOrthogonal,
            Init::Orthogonal | Init::DeltaOrthogonal => Law::Orthogonal,
            Init::Dirac => Law::Dirac,
            Init::Bert => Law::Normal(0.02),
            Init::UnitNormal => Law::Normal(1.0),
        }
    }

    /// The law of the bias of a layer of this fan-in.
    pub fn bias(self, fan_in: usize) -> Law {
        match self {
            Init::PyTorch => Law::Uniform(1.0 / (fan_in as f64).sqrt()),
            _ => Law::Constant(0.0),
        }
    }
}

impl Law {
    /// The numbers of a variable of this shape, times `gain`, row by row.
    pub(crate) fn draw(self, shape: &[usize], gain: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let count = shape.iter().product();
        let scaled = |value: f64| (gain * value) as f32;
        let rows = || (shape[0], shape[1..].iter().product());
        match self {
            Law::Constant(value) => vec![scaled(value); count],
            Law::Uniform(bound) => (0..count)
                .map(|_| scaled(bound * (2.0 * rng.random::<f64>() - 1.0)))
                .collect(),
            Law::Normal(deviation) => normal(count, rng)
                .iter()
                .map(|z| scaled(deviation * z))
                .collect(),
            Law::Orthogonal => {
                let (outputs, inputs) = rows();
                let matrix = orthogonal(outputs, inputs, rng);
                matrix.into_iter().map(scaled).collect()
            }
            Law::DeltaOrthogonal => {
                let matrix = orthogonal(shape[0], shape[1], rng);
                centred(shape, matrix.into_iter().map(scaled))
            }
            Law::Dirac => {
                let (outputs, inputs) = (shape[0], shape[1]);
                let one = |entry| f64::from(u8::from(entry / inputs == entry % inputs));
                centred(shape, (0..outputs * inputs).map(|entry| scaled(one(entry))))
            }
        }
    }
}

/// A kernel that is 0 but for this matrix in its centre; an odd side has one.
fn centred(shape: &[usize], matrix: impl Iterator<Item = f32>) -> Vec<f32> {
    let area: usize = shape[2..].iter().product();
    let mut kernel = vec![0.0; shape.iter().product()];
    for (entry, value) in matrix.enumerate() {
        kernel[entry * area + area / 2] = value;
    }
    kernel
}

fn normal(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

/// A uniformly random matrix with orthonormal rows, or columns if it is tall, row by row.
///
/// Gram–Schmidt on independent normal vectors; twice, which is enough for orthogonality to
/// rounding. Its triangular factor has a positive diagonal, so the law is Haar's (Mezzadri 2007).
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
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
        .map(|at| entry(at / columns, at % columns))
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

    fn weight(init: Init, shape: &[usize], strided: bool) -> Vec<f32> {
        init.weight(shape, strided).draw(shape, 1.0, &mut rng())
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
            let matrix = weight(Init::Orthogonal, &[rows, columns], false);
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
        let kernel = weight(Init::DeltaOrthogonal, &[16, 8, 3, 3], false);
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
            weight(Init::DeltaOrthogonal, &dims, true),
            weight(Init::Orthogonal, &dims, true)
        );
    }

    #[test]
    fn variances_are_those_of_the_literature() {
        // 65,536 draws: the relative error of a variance is below 0.6 % (one deviation).
        let (o, f) = (128, 512);
        for (init, expected) in [
            (Init::PyTorch, 1.0 / (3.0 * 512.0)),
            (Init::He, 2.0 / 512.0),
            (Init::LeCun, 1.0 / 512.0),
            (Init::Xavier, 2.0 / (512.0 + 128.0)),
            (Init::Orthogonal, 1.0 / 512.0),
            (Init::Bert, 0.0004),
            (Init::UnitNormal, 1.0),
        ] {
            let ratio = variance(&weight(init, &[o, f], false)) / expected;
            assert!((ratio - 1.0).abs() < 0.02, "{init:?} {ratio}");
        }
        let biases = Init::PyTorch.bias(512).draw(&[65_536], 1.0, &mut rng());
        assert!((variance(&biases) * 3.0 * 512.0 - 1.0).abs() < 0.02);
        assert!(
            biases
                .iter()
                .all(|b| f64::from(b.abs()) <= 1.0 / 512f64.sqrt())
        );
    }

    #[test]
    fn every_law_but_that_of_pytorch_begins_with_biases_of_zero() {
        for init in [
            Init::He,
            Init::LeCun,
            Init::Xavier,
            Init::Orthogonal,
            Init::DeltaOrthogonal,
            Init::Dirac,
            Init::Bert,
            Init::UnitNormal,
        ] {
            assert_eq!(init.bias(4), Law::Constant(0.0));
        }
    }

    #[test]
    fn a_convolution_counts_its_kernel_in_the_fans() {
        let shape = [64, 16, 3, 3];
        for (init, expected) in [
            (Init::PyTorch, 1.0 / (3.0 * 144.0)),
            (Init::He, 2.0 / 144.0),
            (Init::Xavier, 2.0 / (9.0 * (16.0 + 64.0))),
        ] {
            let ratio = variance(&weight(init, &shape, false)) / expected;
            assert!((ratio - 1.0).abs() < 0.05, "{init:?} {ratio}");
        }
    }

    #[test]
    fn dirac_is_the_identity_of_a_matrix_and_of_a_kernel() {
        assert_eq!(
            weight(Init::Dirac, &[2, 3], false),
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        );
        let kernel = weight(Init::Dirac, &[3, 2, 3, 3], false);
        let ones: Vec<usize> = (0..kernel.len()).filter(|at| kernel[*at] == 1.0).collect();
        // Output 0 of input 0 and output 1 of input 1, each in the middle of its nine.
        assert_eq!(ones, [4, 3 * 9 + 4]);
        assert_eq!(kernel.iter().sum::<f32>(), 2.0);
    }

    #[test]
    fn a_gain_multiplies_what_is_drawn() {
        let laws = [
            Law::Constant(3.0),
            Law::Uniform(1.0),
            Law::Normal(1.0),
            Law::Orthogonal,
            Law::DeltaOrthogonal,
            Law::Dirac,
        ];
        for law in laws {
            let shape = [4, 4, 3, 3];
            let (once, half) = (
                law.draw(&shape, 1.0, &mut rng()),
                law.draw(&shape, 0.5, &mut rng()),
            );
            assert!(
                once.iter()
                    .zip(&half)
                    .all(|(once, half)| 0.5 * once == *half)
            );
            assert!(once.iter().any(|value| *value != 0.0), "{law:?}");
        }
    }
}
