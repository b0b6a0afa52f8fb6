//! Small trained networks, in single precision: forward, gradient, Adam.

use ndarray::{Array1, Array2, Axis};
use serde::Deserialize;

/// φ of a trained network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Relu,
    Tanh,
    /// √(2/(1 + α²)) times a for a > 0 and α a below.
    Leaky(f64),
}

/// What a hidden layer does to h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wiring {
    /// φ(W h + c).
    Plain,
    /// h + φ(W h + c).
    Residual,
    /// h + a φ(W h + c), with a trained from zero (ReZero).
    ReZero,
}

/// y = V h_L + c of hidden layers on h₀ = φ(U x + c).
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    unit: Unit,
    wiring: Wiring,
    /// First U, last V.
    layers: Vec<Layer>,
}

/// What the gradient needs of a pass.
struct Trace {
    /// Input and preactivation of each layer but the last.
    kept: Vec<(Array2<f32>, Array2<f32>)>,
    /// The input of the last.
    top: Array2<f32>,
}

/// A weight \[out, in\], a bias \[out\] and, in a hidden layer, the factor of the branch.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) w: Array2<f32>,
    pub(super) c: Array1<f32>,
    pub(super) gate: f32,
}

/// Adam of Kingma and Ba 2015 with β = (0.9, 0.999) and ε = 1e-8.
pub(super) struct Adam {
    rate: f64,
    step: i32,
    moments: Vec<[f32; 2]>,
}

impl Unit {
    fn at(self, a: f32) -> f32 {
        match self {
            Unit::Relu => a.max(0.0),
            Unit::Tanh => a.tanh(),
            Unit::Leaky(alpha) => a * self.leaky(alpha, a),
        }
    }

    fn slope(self, a: f32) -> f32 {
        match self {
            Unit::Relu => f32::from(u8::from(0.0 < a)),
            Unit::Tanh => 1.0 - a.tanh().powi(2),
            Unit::Leaky(alpha) => self.leaky(alpha, a),
        }
    }

    fn leaky(self, alpha: f64, a: f32) -> f32 {
        let scale = (2.0 / (1.0 + alpha * alpha)).sqrt();
        (if 0.0 < a { scale } else { alpha * scale }) as f32
    }
}

impl Mlp {
    /// Of layers from the input to the output.
    pub(super) fn new(unit: Unit, wiring: Wiring, mut layers: Vec<Layer>) -> Mlp {
        let last = layers.len() - 1;
        if wiring == Wiring::ReZero {
            for layer in &mut layers[1..last] {
                layer.gate = 0.0;
            }
        }
        Mlp {
            unit,
            wiring,
            layers,
        }
    }

    /// \[points, in\] to \[points, out\].
    pub(super) fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        self.last().affine(&self.trace(x).top)
    }

    fn last(&self) -> &Layer {
        self.layers.last().expect("there are layers")
    }

    /// Whether a skip goes around the layer: not around the first, whose input is no feature.
    fn skips(&self, place: usize) -> bool {
        place != 0 && self.wiring != Wiring::Plain
    }

    fn trace(&self, x: &Array2<f32>) -> Trace {
        let mut kept = Vec::with_capacity(self.layers.len());
        let mut h = x.clone();
        for (place, layer) in self.layers[..self.layers.len() - 1].iter().enumerate() {
            let a = layer.affine(&h);
            let mut next = a.mapv(|a| self.unit.at(a));
            if self.skips(place) {
                next *= layer.gate;
                next += &h;
            }
            kept.push((h, a));
            h = next;
        }
        Trace { kept, top: h }
    }

    /// A loss of the outputs, and its gradient in the parameters; `of` maps outputs to the loss and its gradient in them.
    pub(super) fn gradient(
        &self,
        x: &Array2<f32>,
        of: impl FnOnce(&Array2<f32>) -> (f64, Array2<f32>),
    ) -> (f64, Mlp) {
        let Trace { kept, top } = self.trace(x);
        let (loss, delta) = of(&self.last().affine(&top));
        let mut gradient = self.clone();
        let mut back = delta.dot(&self.last().w);
        gradient.layers[kept.len()].set(&delta, &top, 0.0);
        for (place, (h, a)) in kept.iter().enumerate().rev() {
            let layer = &self.layers[place];
            let skips = self.skips(place);
            let factor = if skips { layer.gate } else { 1.0 };
            let mut delta = back.clone();
            delta.zip_mut_with(a, |d, a| *d *= factor * self.unit.slope(*a));
            let gate = if skips && self.wiring == Wiring::ReZero {
                back.iter().zip(a).map(|(d, a)| d * self.unit.at(*a)).sum()
            } else {
                0.0
            };
            gradient.layers[place].set(&delta, h, gate);
            let below = delta.dot(&layer.w);
            back = if skips { back + below } else { below };
        }
        (loss, gradient)
    }

    /// How many parameters are trained.
    fn len(&self) -> usize {
        let of = |layer: &Layer| layer.w.len() + layer.c.len() + 1;
        self.layers.iter().map(of).sum()
    }

    /// Every parameter, in one order; gates that are not trained have gradients of zero.
    fn parameters(&mut self) -> impl Iterator<Item = &mut f32> {
        self.layers.iter_mut().flat_map(|layer| {
            let gate = std::iter::once(&mut layer.gate);
            layer.w.iter_mut().chain(&mut layer.c).chain(gate)
        })
    }
}

impl Layer {
    fn affine(&self, h: &Array2<f32>) -> Array2<f32> {
        h.dot(&self.w.t()) + &self.c
    }

    /// Becomes the layer's gradient, from that in its preactivations.
    fn set(&mut self, delta: &Array2<f32>, input: &Array2<f32>, gate: f32) {
        self.w = delta.t().dot(input);
        self.c = delta.sum_axis(Axis(0));
        self.gate = gate;
    }
}

impl Adam {
    pub(super) fn new(rate: f64, network: &Mlp) -> Adam {
        Adam {
            rate,
            step: 0,
            moments: vec![[0.0; 2]; network.len()],
        }
    }

    pub(super) fn step(&mut self, network: &mut Mlp, mut gradient: Mlp) {
        self.step += 1;
        let corrections = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(self.step));
        let rate = (self.rate / corrections[0]) as f32;
        let second = corrections[1].recip() as f32;
        let moves = network.parameters().zip(gradient.parameters());
        for ((parameter, slope), [mean, square]) in moves.zip(&mut self.moments) {
            *mean += 0.1 * (*slope - *mean);
            *square += 0.001 * (*slope * *slope - *square);
            *parameter -= rate * *mean / ((*square * second).sqrt() + 1e-8);
        }
    }
}

/// The mean over points and outputs of the squared error, and its gradient in the outputs.
pub(super) fn mean_square(y: &Array2<f32>, target: &Array2<f32>) -> (f64, Array2<f32>) {
    let off = y - target;
    let n = off.len() as f32;
    let loss = off.iter().map(|d| f64::from(d * d)).sum::<f64>() / f64::from(n);
    (loss, off * (2.0 / n))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn network(unit: Unit, wiring: Wiring) -> Mlp {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        let sizes = [3, 5, 5, 5, 2];
        let layers = sizes
            .windows(2)
            .map(|pair| Layer {
                w: Array2::from_shape_simple_fn((pair[1], pair[0]), || {
                    rng.random_range(-0.8_f32..0.8)
                }),
                c: Array1::from_elem(pair[1], 0.1),
                gate: 1.0,
            })
            .collect();
        let mut network = Mlp::new(unit, wiring, layers);
        if wiring == Wiring::ReZero {
            assert!(network.layers[1..3].iter().all(|layer| layer.gate == 0.0));
            for layer in &mut network.layers[1..3] {
                layer.gate = 0.6;
            }
        }
        network
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let x = Array2::from_shape_fn((4, 3), |(i, j)| (1.7 * i as f32 - j as f32).sin());
        let target = Array2::from_shape_fn((4, 2), |(i, j)| (i as f32 + 2.0 * j as f32).cos());
        for wiring in [Wiring::Plain, Wiring::Residual, Wiring::ReZero] {
            let mut network = network(Unit::Tanh, wiring);
            let loss = |network: &Mlp| mean_square(&network.forward(&x), &target).0;
            let (value, mut gradient) = network.gradient(&x, |y| mean_square(y, &target));
            assert!((value - loss(&network)).abs() < 1e-12);
            let slopes: Vec<f32> = gradient.parameters().map(|g| *g).collect();
            // Behind the weights and biases of the two hidden layers stand their gates.
            let gates = [51, 82];
            for place in (0..slopes.len()).step_by(7).chain(gates) {
                let mut at = |step: f32| {
                    let was = *network.parameters().nth(place).unwrap();
                    *network.parameters().nth(place).unwrap() = was + step;
                    let value = loss(&network);
                    *network.parameters().nth(place).unwrap() = was;
                    value
                };
                let slope = (at(2e-3) - at(-2e-3)) / 4e-3;
                let off = (slope - f64::from(slopes[place])).abs();
                let fixed = wiring == Wiring::Residual && gates.contains(&place);
                assert!(fixed || off < 1e-3, "{wiring:?} {place}: {off}");
            }
        }
    }

    #[test]
    fn slopes_are_those_of_differences() {
        for unit in [Unit::Tanh, Unit::Relu, Unit::Leaky(0.4)] {
            for a in [-1.3_f32, -0.2, 0.4, 2.0] {
                let slope = (unit.at(a + 1e-2) - unit.at(a - 1e-2)) / 2e-2;
                assert!((slope - unit.slope(a)).abs() < 1e-4, "{unit:?} {a}");
            }
        }
        // √(2/(1 + α²)) keeps E φ² of normal preactivations: (1 + α²)/2 of them.
        assert!((Unit::Leaky(1.0).at(-3.0) + 3.0).abs() < 1e-6);
    }

    #[test]
    fn adams_first_step_is_the_rate() {
        let mut network = network(Unit::Tanh, Wiring::Plain);
        let x = Array2::ones((1, 3));
        let (_, gradient) = network.gradient(&x, |y| (0.0, Array2::ones(y.dim())));
        let before = network.layers[3].c[0];
        Adam::new(0.01, &network).step(&mut network, gradient);
        assert!((before - network.layers[3].c[0] - 0.01).abs() < 1e-6);
    }
}
