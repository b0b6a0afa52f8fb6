//! Gradients of a plain network's weights.

use ndarray::{Array1, ArrayView2};

use super::network::{Design, Layer};

/// log₁₀ of ‖∂f/∂W₁‖/‖∂f/∂W_L‖ for f = v · h_L, its mean over inputs \[rows, D\]; over those that have gradients.
///
/// ∂f/∂W_l is the outer product of the gradient at the preactivation and of what the layer is given.
pub(super) fn first_gradient(
    design: &Design,
    layers: &[Layer],
    inputs: ArrayView2<'_, f64>,
    v: &Array1<f64>,
) -> f64 {
    let activation = design.activation;
    // A vector of length 1, and the logarithm of the length it had: hundreds of layers leave the range of numbers.
    let unit = |a: Array1<f64>| {
        let length = a.dot(&a).sqrt();
        (a / length, length.log10())
    };
    let logs = inputs.rows().into_iter().map(|x| {
        let (mut a, start) = unit(x.to_owned());
        let (mut given, mut lengths) = (0.0, start);
        let mut slopes = Vec::with_capacity(layers.len());
        if !design.is_homogeneous() {
            a = x.to_owned();
        }
        for layer in layers {
            given = if design.is_homogeneous() {
                lengths
            } else {
                a.dot(&a).sqrt().log10()
            };
            let z = layer.w.dot(&a) + &layer.c;
            slopes.push(z.mapv(|z| activation.slope(z)));
            a = z.mapv(|z| activation.at(z));
            if design.is_homogeneous() {
                let (direction, length) = unit(a);
                a = direction;
                lengths += length;
            }
        }
        let mut slopes = slopes.into_iter().rev();
        let (mut gradient, last) = unit(v * &slopes.next().expect("there is a layer"));
        let mut first = last;
        for (layer, slope) in layers.iter().skip(1).rev().zip(slopes) {
            let (direction, length) = unit(layer.w.t().dot(&gradient) * slope);
            gradient = direction;
            first += length;
        }
        first + start - last - given
    });
    let logs: Vec<f64> = logs.filter(|log| log.is_finite()).collect();
    logs.iter().sum::<f64>() / logs.len() as f64
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::super::network::{Activation, Biases, Connection, Law, Norm, Weights};
    use super::*;

    fn design(activation: Activation, biases: Biases) -> Design {
        Design {
            activation,
            connection: Connection::Plain,
            norm: Norm::None,
            weights: Weights {
                law: Law::Normal,
                gain: 1.0,
            },
            biases,
        }
    }

    #[test]
    fn it_is_the_ratio_of_gradients_by_differences() {
        let layer = |w: Array2<f64>, c: Array1<f64>| Layer { w, c, second: None };
        let parts = || {
            [
                (array![[0.3, -1.0], [0.7, 0.2]], array![0.1, -0.3]),
                (array![[1.1, 0.4], [-0.6, 0.9]], array![0.0, 0.2]),
                (array![[-0.5, 0.8], [0.3, 0.6]], array![-0.1, 0.1]),
            ]
        };
        let (x, v) = (array![0.7, -1.2], array![1.0, -2.0]);
        let f = |moved: usize, index: (usize, usize), step: f64| {
            let start = x.clone();
            let end = parts()
                .into_iter()
                .enumerate()
                .fold(start, |a, (l, (mut w, c))| {
                    if l == moved {
                        w[index] += step;
                    }
                    (w.dot(&a) + c).mapv(f64::tanh)
                });
            v.dot(&end)
        };
        let norm = |l: usize| {
            let slopes = [(0, 0), (0, 1), (1, 0), (1, 1)]
                .map(|index| (f(l, index, 1e-6) - f(l, index, -1e-6)) / 2e-6);
            slopes.iter().map(|s| s * s).sum::<f64>().sqrt()
        };
        let layers: Vec<Layer> = parts().into_iter().map(|(w, c)| layer(w, c)).collect();
        let rows = x.view().insert_axis(ndarray::Axis(0));
        let tanh = design(Activation::Tanh, Biases::FanIn);
        let found = first_gradient(&tanh, &layers, rows, &v);
        assert!((found - (norm(0) / norm(2)).log10()).abs() < 1e-7);
    }

    #[test]
    fn thousands_of_layers_stay_within_the_range_of_numbers() {
        // A linear chain of 0.1 I: |∂f/∂W_l| = 0.1^(L − 1) |x| |v| for every l.
        let layer = || Layer {
            w: Array2::eye(2) * 0.1,
            c: Array1::zeros(2),
            second: None,
        };
        let layers: Vec<Layer> = (0..2000).map(|_| layer()).collect();
        let (x, v) = (array![[0.7, -1.2]], array![1.0, -2.0]);
        let linear = design(Activation::Linear, Biases::None);
        let found = first_gradient(&linear, &layers, x.view(), &v);
        assert!(found.abs() < 1e-9, "{found}");
        // Of one input only: where no unit is on there is no gradient.
        let relu = design(Activation::Relu, Biases::None);
        let two = array![[0.7, 1.2], [-0.7, -1.2]];
        let found = first_gradient(&relu, &layers, two.view(), &v);
        assert!(found.abs() < 1e-9, "{found}");
    }
}
