//! Small trained networks, in single precision: forward, gradient, Adam.

use ndarray::{Array1, Array2, Axis};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::Deserialize;

use super::network::Weights;
use crate::stream::{Role, Stream};

/// φ of a trained network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Relu,
    Tanh,
    /// √(2/(1 + α²)) times a for a > 0 and α a below.
    Leaky(f64),
}

/// What a hidden layer does to h.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wiring {
    /// φ(W h + c).
    Plain,
    /// h + φ(W h + c).
    Residual,
    /// h + a φ(W h + c), with a trained from zero (ReZero, SkipInit).
    ReZero,
    /// ½ h + ½ φ(W h + c).
    Halved,
    /// S h + φ(W h + c), with S trained, what a 1 × 1 convolution is among features.
    Projected,
    /// (1 − g) h + φ(W h + c), with the gates g = 1/(1 + e^−(S h + s)) trained.
    Gated {
        /// s before training: 0 halves the skip, −6 leaves it.
        bias: f32,
    },
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

/// A weight \[out, in\] and a bias \[out\].
#[derive(Clone, Debug)]
struct Affine {
    w: Array2<f32>,
    c: Array1<f32>,
}

/// What is trained of a layer; the last one's factor is not used.
#[derive(Clone, Debug)]
struct Layer {
    /// W and c.
    map: Affine,
    /// The factor a of the branch.
    gate: f32,
    /// S and s, where the wiring has them.
    skip: Option<Affine>,
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

impl Wiring {
    /// The bias of a skip that has parameters.
    fn skip_bias(self) -> Option<f32> {
        match self {
            Wiring::Projected => Some(0.0),
            Wiring::Gated { bias } => Some(bias),
            Wiring::Plain | Wiring::Residual | Wiring::ReZero | Wiring::Halved => None,
        }
    }

    /// What the branch is multiplied by before training; none where there is no skip.
    fn branch(self) -> Option<f32> {
        match self {
            Wiring::Plain => None,
            Wiring::ReZero => Some(0.0),
            Wiring::Halved => Some(0.5),
            Wiring::Residual | Wiring::Projected | Wiring::Gated { .. } => Some(1.0),
        }
    }

    /// What the skip carries of h.
    fn carried(self, skip: Option<&Affine>, h: &Array2<f32>) -> Array2<f32> {
        match (self, skip) {
            (Wiring::Halved, _) => h * 0.5,
            (Wiring::Projected, Some(skip)) => h.dot(&skip.w.t()),
            (Wiring::Gated { .. }, Some(skip)) => {
                let mut carried = skip.at(h);
                carried.zip_mut_with(h, |z, h| *z = (1.0 - sigmoid(*z)) * h);
                carried
            }
            _ => h.clone(),
        }
    }

    /// The gradient in h of what the skip carries, and that of its parameters, where `back` is the gradient in it.
    fn carried_back(
        self,
        skip: Option<&Affine>,
        h: &Array2<f32>,
        back: Array2<f32>,
    ) -> (Array2<f32>, Option<Affine>) {
        match (self, skip) {
            (Wiring::Halved, _) => (back * 0.5, None),
            (Wiring::Projected, Some(skip)) => {
                let c = Array1::zeros(skip.c.len());
                let w = back.t().dot(h);
                (back.dot(&skip.w), Some(Affine { w, c }))
            }
            (Wiring::Gated { .. }, Some(skip)) => {
                let gates = skip.at(h).mapv_into(sigmoid);
                let delta = -&back * h * &gates * gates.mapv(|g| 1.0 - g);
                let through = back * gates.mapv_into(|g| 1.0 - g) + delta.dot(&skip.w);
                (through, Some(Affine::gradient(&delta, h)))
            }
            _ => (back, None),
        }
    }
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

impl Mlp {
    /// With layers of these sizes, from the input to the output; matrices drawn, biases zero, nothing trained.
    pub(super) fn new(
        unit: Unit,
        wiring: Wiring,
        weights: Weights,
        sizes: &[usize],
        stream: Stream,
    ) -> Mlp {
        let map = |place: u64, out: usize, fan_in: usize, bias: f32| {
            let w = weights.draw(out, fan_in, &mut stream.at(Role::Init, place));
            Affine {
                w: w.mapv(|w| w as f32),
                c: Array1::from_elem(out, bias),
            }
        };
        let last = sizes.len() - 2;
        let layers = sizes.windows(2).zip(0_u64..).map(|(pair, place)| {
            let hidden = 0 < place && place < last as u64;
            // Behind the maps, which other wirings share.
            let skip = |bias| map(place + sizes.len() as u64, pair[1], pair[0], bias);
            Layer {
                map: map(place, pair[1], pair[0], 0.0),
                gate: wiring.branch().filter(|_| hidden).unwrap_or(1.0),
                skip: wiring.skip_bias().filter(|_| hidden).map(skip),
            }
        });
        Mlp {
            unit,
            wiring,
            layers: layers.collect(),
        }
    }

    /// Draws normal biases of the hidden layers.
    pub(super) fn draw_biases(&mut self, std: f64, stream: Stream) {
        let hidden = self.layers.len() - 1;
        let rng = &mut stream.at(Role::Init, u64::MAX);
        for c in self.layers[..hidden]
            .iter_mut()
            .flat_map(|layer| &mut layer.map.c)
        {
            *c = (std * rng.sample::<f64, _>(StandardNormal)) as f32;
        }
    }

    /// \[points, in\] to \[points, out\].
    pub(super) fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        self.last().at(&self.trace(x).top)
    }

    fn last(&self) -> &Affine {
        &self.layers.last().expect("there are layers").map
    }

    /// Whether a skip goes around the layer: not around the first, whose input is no feature.
    fn skips(&self, place: usize) -> bool {
        place != 0 && self.wiring != Wiring::Plain
    }

    fn trace(&self, x: &Array2<f32>) -> Trace {
        let mut kept = Vec::with_capacity(self.layers.len());
        let mut h = x.clone();
        for (place, layer) in self.layers[..self.layers.len() - 1].iter().enumerate() {
            let a = layer.map.at(&h);
            let mut next = a.mapv(|a| self.unit.at(a));
            if self.skips(place) {
                next *= layer.gate;
                next += &self.wiring.carried(layer.skip.as_ref(), &h);
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
        let (loss, delta) = of(&self.last().at(&top));
        let mut gradient = self.clone();
        let mut back = delta.dot(&self.last().w);
        gradient.layers[kept.len()].map = Affine::gradient(&delta, &top);
        gradient.layers[kept.len()].gate = 0.0;
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
            let below = delta.dot(&layer.map.w);
            let learned = &mut gradient.layers[place];
            learned.map = Affine::gradient(&delta, h);
            learned.gate = gate;
            back = if skips {
                let (through, skip) = self.wiring.carried_back(layer.skip.as_ref(), h, back);
                learned.skip = skip;
                through + below
            } else {
                below
            };
        }
        (loss, gradient)
    }

    /// A step of gradient descent.
    pub(super) fn descend(&mut self, rate: f64, mut gradient: Mlp) {
        for (parameter, slope) in self.parameters().zip(gradient.parameters()) {
            *parameter -= rate as f32 * *slope;
        }
    }

    /// vᵀ H v for the Hessian H of a loss and signs v, by the difference of gradients at a distance of `step` each way.
    pub(super) fn curvature(
        &self,
        rng: &mut impl Rng,
        step: f32,
        gradient: impl Fn(&Mlp) -> Mlp,
    ) -> f64 {
        let signs: Vec<f32> = (0..self.len())
            .map(|_| if rng.random() { 1.0 } else { -1.0 })
            .collect();
        let slopes = [step, -step].map(|step| {
            let mut moved = self.clone();
            for (parameter, sign) in moved.parameters().zip(&signs) {
                *parameter += step * sign;
            }
            gradient(&moved)
        });
        let [mut ahead, mut behind] = slopes;
        let pairs = ahead.parameters().zip(behind.parameters()).zip(&signs);
        let along = pairs.map(|((ahead, behind), sign)| f64::from((*ahead - *behind) * sign));
        along.sum::<f64>() / (2.0 * f64::from(step))
    }

    /// Every parameter that is trained, those that skips add last.
    pub(super) fn trained(&self) -> Vec<f32> {
        let maps = self.layers.iter().map(|layer| &layer.map);
        let skips = self.layers.iter().filter_map(|layer| layer.skip.as_ref());
        let gates = (self.wiring == Wiring::ReZero).then_some(&self.layers);
        maps.chain(skips)
            .flat_map(|map| map.w.iter().chain(&map.c).copied())
            .chain(gates.into_iter().flatten().map(|layer| layer.gate))
            .collect()
    }

    /// How many parameters are trained.
    fn len(&self) -> usize {
        let of = |map: &Affine| map.w.len() + map.c.len();
        let layer = |layer: &Layer| of(&layer.map) + 1 + layer.skip.as_ref().map_or(0, of);
        self.layers.iter().map(layer).sum()
    }

    /// Every parameter, in one order; factors that are not trained have gradients of zero.
    fn parameters(&mut self) -> impl Iterator<Item = &mut f32> {
        self.layers.iter_mut().flat_map(|layer| {
            let gate = std::iter::once(&mut layer.gate);
            let skip = layer.skip.iter_mut().flat_map(Affine::parameters);
            layer.map.parameters().chain(gate).chain(skip)
        })
    }
}

impl Affine {
    fn at(&self, h: &Array2<f32>) -> Array2<f32> {
        h.dot(&self.w.t()) + &self.c
    }

    /// The gradient, from that in what comes out.
    fn gradient(delta: &Array2<f32>, input: &Array2<f32>) -> Affine {
        Affine {
            w: delta.t().dot(input),
            c: delta.sum_axis(Axis(0)),
        }
    }

    fn parameters(&mut self) -> impl Iterator<Item = &mut f32> {
        self.w.iter_mut().chain(&mut self.c)
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
    use super::*;
    use crate::exact::network::Law;

    /// Of two hidden layers with skips, none of whose parameters is zero.
    fn network(unit: Unit, wiring: Wiring) -> Mlp {
        let weights = Weights {
            law: Law::Uniform,
            gain: 0.8,
        };
        let mut network = Mlp::new(unit, wiring, weights, &[3, 5, 5, 5, 2], Stream::new(3));
        for layer in &mut network.layers {
            layer.map.c.fill(0.1);
        }
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
        for wiring in [
            Wiring::Plain,
            Wiring::Residual,
            Wiring::ReZero,
            Wiring::Halved,
            Wiring::Projected,
            Wiring::Gated { bias: -0.3 },
        ] {
            let mut network = network(Unit::Tanh, wiring);
            let loss = |network: &Mlp| mean_square(&network.forward(&x), &target).0;
            let (value, mut gradient) = network.gradient(&x, |y| mean_square(y, &target));
            assert!((value - loss(&network)).abs() < 1e-12);
            let slopes: Vec<f32> = gradient.parameters().map(|g| *g).collect();
            // Behind the weights and biases of a hidden layer stands its factor, behind that its skip's.
            let skip = network.layers[1].skip.as_ref().map_or(0, |_| 30);
            let gates = [51, 82 + skip];
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
                let fixed = wiring != Wiring::ReZero && gates.contains(&place);
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
    fn the_curvature_of_a_quadratic_is_its_trace() {
        // The last layer alone: Σ inputs² for its weights and 1 for its bias, for each of two outputs.
        let network = network(Unit::Tanh, Wiring::Plain);
        let x = Array2::from_shape_fn((1, 3), |(_, j)| 0.3 + j as f32);
        let top = network.trace(&x).top;
        let only_last = |network: &Mlp| {
            let (_, mut gradient) =
                network.gradient(&x, |y| mean_square(y, &Array2::zeros(y.dim())));
            for layer in &mut gradient.layers[..3] {
                layer.map.w.fill(0.0);
                layer.map.c.fill(0.0);
            }
            gradient
        };
        // The signs of other layers move the features, so that only the mean over signs is the trace.
        let rng = &mut Stream::new(1).at(Role::Probe, 0);
        let n = 400;
        let found = (0..n)
            .map(|_| network.curvature(rng, 1e-3, only_last))
            .sum::<f64>()
            / f64::from(n);
        let inputs = f64::from(top.mapv(|h| h * h).sum()) + 1.0;
        assert!(
            (found / (2.0 * inputs) - 1.0).abs() < 0.2,
            "{found} {inputs}"
        );
    }

    #[test]
    fn adams_first_step_is_the_rate() {
        let mut network = network(Unit::Tanh, Wiring::Plain);
        let x = Array2::ones((1, 3));
        let (_, gradient) = network.gradient(&x, |y| (0.0, Array2::ones(y.dim())));
        let before = network.layers[3].map.c[0];
        Adam::new(0.01, &network).step(&mut network, gradient);
        assert!((before - network.layers[3].map.c[0] - 0.01).abs() < 1e-6);
    }
}
