//! Networks of a few units in f64, with gradients written out: what needs no libtorch, and what must hold to the last digit.

use ndarray::{Array1, Array2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::adam::{Adam, cosine};

/// h Wᵀ + b.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    pub(super) w: Array2<f64>,
    pub(super) b: Array1<f64>,
}

/// One layer: what a batch \[n, in\] becomes.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    /// h Wᵀ + b.
    Linear(Affine),
    /// relu(h Wᵀ + b).
    Relu(Affine),
    /// h + s·(relu(h Uᵀ + c) Vᵀ + d): inner, outer, s.
    Residual(Affine, Affine, f64),
}

impl Affine {
    /// Weights N(0, std²), biases 0.
    pub(super) fn normal(rows: usize, columns: usize, std: f64, rng: &mut ChaCha8Rng) -> Affine {
        let draw = || std * rng.sample::<f64, _>(StandardNormal);
        Affine {
            w: Array2::from_shape_simple_fn((rows, columns), draw),
            b: Array1::zeros(rows),
        }
    }

    /// A random matrix with orthonormal columns (rows, if it is wide) times `gain`, biases 0: by Gram and Schmidt.
    pub(super) fn orthogonal(
        rows: usize,
        columns: usize,
        gain: f64,
        rng: &mut ChaCha8Rng,
    ) -> Affine {
        let wide = rows < columns;
        let (long, short) = if wide {
            (columns, rows)
        } else {
            (rows, columns)
        };
        let mut q = Affine::normal(long, short, 1.0, rng).w;
        for j in 0..short {
            // Twice: once leaves rounding behind.
            for k in (0..j).chain(0..j) {
                let along = q.column(j).dot(&q.column(k));
                let other = q.column(k).to_owned();
                q.column_mut(j).scaled_add(-along, &other);
            }
            let norm = q.column(j).dot(&q.column(j)).sqrt();
            q.column_mut(j).mapv_inplace(|v| v / norm);
        }
        let w = if wide { q.reversed_axes() } else { q };
        Affine {
            w: gain * w.as_standard_layout().to_owned(),
            b: Array1::zeros(rows),
        }
    }

    pub(super) fn apply(&self, h: &Array2<f64>) -> Array2<f64> {
        h.dot(&self.w.t()) + &self.b
    }

    /// The gradients of its parameters, given that of its output; and that of its input.
    fn backward(&self, h: &Array2<f64>, upstream: &Array2<f64>) -> (Affine, Array2<f64>) {
        let own = Affine {
            w: upstream.t().dot(h),
            b: upstream.sum_axis(Axis(0)),
        };
        (own, upstream.dot(&self.w))
    }
}

impl Layer {
    pub(super) fn affines(&self) -> Vec<&Affine> {
        match self {
            Layer::Linear(a) | Layer::Relu(a) => vec![a],
            Layer::Residual(a, b, _) => vec![a, b],
        }
    }

    pub(super) fn affines_mut(&mut self) -> Vec<&mut Affine> {
        match self {
            Layer::Linear(a) | Layer::Relu(a) => vec![a],
            Layer::Residual(a, b, _) => vec![a, b],
        }
    }
}

/// What each layer is given, and at the end what the last one gives.
pub(super) fn forward(layers: &[Layer], x: &Array2<f64>) -> Vec<Array2<f64>> {
    let mut states = vec![x.clone()];
    for layer in layers {
        let h = states.last().expect("the input at least");
        states.push(match layer {
            Layer::Linear(a) => a.apply(h),
            Layer::Relu(a) => a.apply(h).mapv_into(|v| v.max(0.0)),
            Layer::Residual(a, b, scale) => {
                h + &(b.apply(&a.apply(h).mapv_into(|v| v.max(0.0))) * *scale)
            }
        });
    }
    states
}

/// The result of a network.
pub(super) fn outputs(layers: &[Layer], x: &Array2<f64>) -> Array2<f64> {
    forward(layers, x).pop().expect("the input at least")
}

/// A loss of outputs \[n, k\], and its derivative by each of them.
pub(super) type Loss<'a> = dyn Fn(&Array2<f64>) -> (f64, Array2<f64>) + 'a;

/// Mean logistic loss of one output against targets 0 and 1.
pub(super) fn logistic(outputs: &Array2<f64>, y: &Array1<f64>) -> (f64, Array2<f64>) {
    let n = y.len() as f64;
    let logits = outputs.column(0);
    // −y ln p − (1 − y) ln(1 − p) = max(z, 0) − z y + ln(1 + e^(−|z|)).
    let losses = logits.iter().zip(y);
    let losses = losses.map(|(z, y)| z.max(0.0) - z * y + (-z.abs()).exp().ln_1p());
    let upstream = Array2::from_shape_fn((y.len(), 1), |(i, _)| {
        (1.0 / (1.0 + (-logits[i]).exp()) - y[i]) / n
    });
    (losses.sum::<f64>() / n, upstream)
}

/// Mean squared error over all elements.
pub(super) fn squared(outputs: &Array2<f64>, y: &Array2<f64>) -> (f64, Array2<f64>) {
    let n = y.len() as f64;
    let error = outputs - y;
    (error.mapv(|e| e * e).sum() / n, error * (2.0 / n))
}

/// The loss and its gradients, layer by layer.
pub(super) fn gradients(layers: &[Layer], x: &Array2<f64>, loss: &Loss<'_>) -> (f64, Vec<Layer>) {
    let states = forward(layers, x);
    let (value, mut upstream) = loss(&states[layers.len()]);
    let mut found = Vec::with_capacity(layers.len());
    for ((layer, h), after) in layers.iter().zip(&states).zip(&states[1..]).rev() {
        let own;
        (own, upstream) = match layer {
            Layer::Linear(a) => {
                let (own, below) = a.backward(h, &upstream);
                (Layer::Linear(own), below)
            }
            Layer::Relu(a) => {
                upstream.zip_mut_with(after, |g, h| *g *= f64::from(u8::from(0.0 < *h)));
                let (own, below) = a.backward(h, &upstream);
                (Layer::Relu(own), below)
            }
            Layer::Residual(a, b, scale) => {
                let hidden = a.apply(h).mapv_into(|v| v.max(0.0));
                let (outer, mut inside) = b.backward(&hidden, &(&upstream * *scale));
                inside.zip_mut_with(&hidden, |g, h| *g *= f64::from(u8::from(0.0 < *h)));
                let (inner, below) = a.backward(h, &inside);
                (Layer::Residual(inner, outer, *scale), upstream + below)
            }
        };
        found.push(own);
    }
    found.reverse();
    (value, found)
}

/// One step of Adam on all weights and biases.
pub(super) fn step(adam: &mut Adam, layers: &mut [Layer], gradients: &[Layer], rate: f64) {
    let own = layers.iter_mut().flat_map(Layer::affines_mut);
    let along = gradients.iter().flat_map(Layer::affines);
    let pairs = own.zip(along).flat_map(|(own, along)| {
        let parameters = own.w.iter_mut().chain(&mut own.b);
        parameters.zip(along.w.iter().chain(&along.b))
    });
    adam.step(pairs, rate);
}

/// Trains on all examples in every step; the loss before each step.
pub(super) fn train(
    layers: &mut [Layer],
    x: &Array2<f64>,
    loss: &Loss<'_>,
    rate: f64,
    steps: u64,
) -> Vec<f64> {
    let mut adam = Adam::default();
    let mut losses = Vec::new();
    for step in 0..steps {
        let (value, gradients) = gradients(layers, x, loss);
        losses.push(value);
        if !value.is_finite() {
            break;
        }
        self::step(&mut adam, layers, &gradients, cosine(rate, step, steps));
    }
    losses
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn network(rng: &mut ChaCha8Rng) -> Vec<Layer> {
        vec![
            Layer::Linear(Affine::normal(3, 2, 1.0, rng)),
            Layer::Residual(
                Affine::normal(4, 3, 0.8, rng),
                Affine::normal(3, 4, 0.8, rng),
                0.6,
            ),
            Layer::Relu(Affine::normal(5, 3, 0.8, rng)),
            Layer::Linear(Affine::normal(1, 5, 0.5, rng)),
        ]
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let layers = network(&mut rng);
        let x = Affine::normal(20, 2, 1.0, &mut rng).w;
        let y = Array1::from_shape_fn(20, |i| f64::from(u8::from(i % 3 == 0)));
        let squares = Affine::normal(20, 1, 1.0, &mut rng).w;
        let losses: [&Loss<'_>; 2] = [&|out| logistic(out, &y), &|out| squared(out, &squares)];
        for loss in losses {
            let (_, found) = gradients(&layers, &x, loss);
            for index in 0..layers.len() {
                for part in 0..layers[index].affines().len() {
                    let analytic = found[index].affines()[part].w[(0, 1)];
                    let at = |by: f64| {
                        let mut moved = layers.clone();
                        moved[index].affines_mut()[part].w[(0, 1)] += by;
                        gradients(&moved, &x, loss).0
                    };
                    let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!(
                        (analytic - numeric).abs() < 1e-8,
                        "layer {index}, part {part}: {analytic} against {numeric}"
                    );
                }
            }
        }
    }

    #[test]
    fn orthogonal_matrices_are() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, columns) in [(4, 4), (6, 3), (3, 6)] {
            let w = Affine::orthogonal(rows, columns, 2.0, &mut rng).w;
            let gram = if rows < columns {
                w.dot(&w.t())
            } else {
                w.t().dot(&w)
            };
            let off = gram - 4.0 * Array2::<f64>::eye(rows.min(columns));
            assert!(off.iter().all(|v| v.abs() < 1e-12));
        }
    }
}
