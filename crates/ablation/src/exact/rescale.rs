//! Batches that go through hundreds of layers and stay within the range of numbers.

use ndarray::Array2;

use super::network::{Batch, Design};

impl Batch {
    /// Divides by powers of two what leaves the range of numbers over hundreds of layers: the tangents, on which all that
    /// follows depends linearly, and the points if the design is [homogeneous](Design::is_homogeneous).
    ///
    /// Returns the exponents, of points and of tangents.
    pub(super) fn rescale(&mut self, design: &Design) -> [i32; 2] {
        let divide = |values: &mut Array2<f64>| {
            let by = exponent(values);
            // 2^±1074 are not the reciprocals of each other: halves of it are.
            let half = f64::from(-by / 2).exp2();
            let rest = f64::from(-by - -by / 2).exp2();
            values.mapv_inplace(|v| v * half * rest);
            by
        };
        let of_points = if design.is_homogeneous() {
            divide(&mut self.h)
        } else {
            0
        };
        [of_points, divide(&mut self.tangents)]
    }
}

/// The power of two below the largest size among these; 0 where all are 0.
fn exponent(values: &Array2<f64>) -> i32 {
    let largest = values.iter().fold(0.0, |most, v| f64::max(most, v.abs()));
    if 0.0 < largest && largest < f64::INFINITY {
        largest.log2().floor() as i32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::{Activation, Biases, Connection, Law, Norm, Weights};
    use super::*;

    #[test]
    fn what_is_rescaled_is_what_it_was() {
        let plain = |biases| Design {
            activation: Activation::Relu,
            connection: Connection::Plain,
            norm: Norm::None,
            weights: Weights {
                law: Law::Normal,
                gain: 1.0,
            },
            biases,
        };
        for size in [1e-300, 3.0, 1e300] {
            let start = Batch {
                h: Array2::from_shape_fn((3, 4), |(i, j)| size * (i as f64 - 0.3 * j as f64)),
                tangents: Array2::from_shape_fn((3, 4), |(i, j)| size / (1 + i + j) as f64),
                points: 3,
            };
            for (biases, moved) in [(Biases::None, true), (Biases::FanIn, false)] {
                let mut batch = start.clone();
                let [h, tangents] = batch.rescale(&plain(biases));
                assert_eq!(h != 0, moved);
                let largest =
                    |values: &Array2<f64>| values.iter().fold(0.0, |m, v| f64::max(m, v.abs()));
                assert!((1.0..2.0).contains(&largest(&batch.tangents)));
                let back = |v: f64, by: i32| v * f64::from(by).exp2();
                let same = |a: &Array2<f64>, b: &Array2<f64>, by: i32| {
                    a.iter().zip(b).all(|(a, b)| back(*a, by) == *b)
                };
                assert!(
                    same(&batch.h, &start.h, h) && same(&batch.tangents, &start.tangents, tangents)
                );
            }
        }
    }
}
