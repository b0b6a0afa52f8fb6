//! Gradients of a plain network's weights.

use ndarray::{Array1, ArrayView2};

use super::network::{Activation, Layer};

/// log₁₀ of ‖∂f/∂W₁‖/‖∂f/∂W_L‖ for f = v · h_L, its mean over inputs \[rows, D\].
///
/// ∂f/∂W_l is the outer product of the gradient at the preactivation and of what the layer is given.
pub(super) fn first_gradient(
    activation: Activation,
    layers: &[Layer],
    inputs: ArrayView2<'_, f64>,
    v: &Array1<f64>,
) -> f64 {
    let length = |a: &Array1<f64>| a.dot(a).sqrt();
    let logs = inputs.rows().into_iter().map(|x| {
        let (mut a, mut given) = (x.to_owned(), 0.0);
        let mut slopes = Vec::with_capacity(layers.len());
        for layer in layers {
            given = length(&a);
            let z = layer.w.dot(&a) + &layer.c;
            slopes.push(z.mapv(|z| activation.slope(z)));
            a = z.mapv(|z| activation.at(z));
        }
        let mut slopes = slopes.into_iter().rev();
        let mut gradient = v * &slopes.next().expect("there is a layer");
        let last = length(&gradient) * given;
        for (layer, slope) in layers.iter().skip(1).rev().zip(slopes) {
            gradient = layer.w.t().dot(&gradient) * slope;
        }
        (length(&gradient) * length(&x.to_owned()) / last).log10()
    });
    logs.sum::<f64>() / inputs.nrows() as f64
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

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
        let found = first_gradient(Activation::Tanh, &layers, rows, &v);
        assert!((found - (norm(0) / norm(2)).log10()).abs() < 1e-7);
    }
}
