//! Can a network of the input's width enclose a disc? The named counterexample to "skips add no representational power".
//!
//! Lin & Jegelka 2018: a ResNet with one hidden neuron in each block approximates any function, while level sets of
//! networks whose layers are no wider than the input are unbounded, so that no plain one of width 2 encloses a disc.

use ndarray::{Array1, Array2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric};
use crate::{
    error::Error,
    exact::place::Place,
    stream::{Role, Stream},
    summary::Better,
};

/// Points in the disc of radius 1 against points in a ring around it, as many of each, in f64 and without libtorch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disc {
    /// The network between the plane and its linear read-out.
    pub network: DiscNetwork,
    /// Layers or blocks.
    pub depth: usize,
    /// The ring, from this radius …
    pub ring_from: f64,
    /// … to this.
    pub ring_to: f64,
    /// Training examples, all in every step.
    pub examples: usize,
    /// Fresh points that are classified after training.
    pub fresh: usize,
    /// Steps of Adam.
    pub steps: u64,
    /// Learning rate, falling to 0 by a half cosine.
    pub rate: f64,
}

/// What is between the plane and the read-out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DiscNetwork {
    /// h = relu(W h + b), all layers of this width.
    Plain {
        /// Width.
        width: usize,
        /// Initial weights.
        init: DiscInit,
    },
    /// h += V relu(U h + b), h in the plane.
    Residual {
        /// Hidden neurons of a block.
        hidden: usize,
    },
}

/// Initial weights of the plain network; biases begin at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscInit {
    /// N(0, 2/fan_in).
    He,
    /// The identity and a tenth of `he`: what a residual network begins as.
    NearIdentity,
}

const METRICS: &[Metric] = &[
    Metric {
        name: "accuracy",
        unit: "",
        meaning: "share of fresh points on the right side, 0.5 by guessing",
        better: Better::Higher,
        worst: Some(0.5),
    },
    Metric {
        name: "loss",
        unit: "nats",
        meaning: "logistic loss on the training points after training",
        better: Better::Lower,
        worst: Some(std::f64::consts::LN_2),
    },
];

impl Measurement for Disc {
    fn check(&self, place: &Place) -> Result<(), Error> {
        let width = match self.network {
            DiscNetwork::Plain { width, .. } => width,
            DiscNetwork::Residual { hidden } => hidden,
        };
        place.count("network width", width, 1, 1000)?;
        place.count("depth", self.depth, 1, 1000)?;
        place.count("examples", self.examples, 2, 1_000_000)?;
        place.count("fresh", self.fresh, 2, 1_000_000)?;
        place.count("steps", self.steps as usize, 1, 10_000_000)?;
        place.positive("rate", self.rate)?;
        if 1.0 < self.ring_from && self.ring_from < self.ring_to && self.ring_to.is_finite() {
            return Ok(());
        }
        let ring = format!("{} to {}", self.ring_from, self.ring_to);
        Err(place.refuse(
            "ring",
            ring,
            "it must lie outside the disc of radius 1: 1 < ring_from < ring_to",
        ))
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        let width = match self.network {
            DiscNetwork::Plain { width, .. } => width,
            DiscNetwork::Residual { hidden } => 2 * hidden,
        };
        4e-8 * (self.steps as usize * self.examples * self.depth * (width + 2)) as f64
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        let mut layers = self.draw(&mut stream.at(Role::Init, 0));
        let (x, y) = self.points(self.examples, &mut stream.at(Role::Data, 0));
        let mut moments: Vec<(f64, f64)> = Vec::new();
        let mut losses = Vec::new();
        for step in 0..self.steps {
            let (loss, gradients) = gradients(&layers, &x, &y);
            losses.push((step as f64 + 1.0, loss));
            let done = step as f64 / self.steps as f64;
            let rate = 0.5 * self.rate * (1.0 + (std::f64::consts::PI * done).cos());
            adam(&mut layers, &gradients, &mut moments, step as i32 + 1, rate);
        }
        found.trained(self.steps);
        let every = (losses.len() / 100).max(1);
        let kept: Vec<_> = losses.iter().copied().step_by(every).collect();
        found.curve("loss", ["step", "logistic loss"], true, &kept);
        let (fresh, truth) = self.points(self.fresh, &mut stream.at(Role::Probe, 0));
        let logits = forward(&layers, &fresh)
            .pop()
            .expect("a network has layers");
        let right = logits.iter().zip(&truth);
        let right = right.filter(|(logit, truth)| (0.0 < **logit) == (0.5 < **truth));
        let finite = logits.iter().all(|logit| logit.is_finite());
        let share = right.count() as f64 / self.fresh as f64;
        found.set("accuracy", if finite { share } else { f64::NAN });
        found.set("loss", gradients(&layers, &x, &y).0);
        Ok(())
    }
}

/// One layer: what a batch \[n, in\] becomes.
#[derive(Clone, Debug)]
enum Layer {
    /// relu(h Wᵀ + b).
    Plain(Affine),
    /// h + relu(h Uᵀ + b) Vᵀ.
    Residual(Affine, Affine),
    /// h Wᵀ + b.
    Out(Affine),
}

/// h Wᵀ + b.
#[derive(Clone, Debug)]
struct Affine {
    w: Array2<f64>,
    b: Array1<f64>,
}

impl Affine {
    fn normal(rows: usize, columns: usize, std: f64, rng: &mut ChaCha8Rng) -> Affine {
        let draw = || std * rng.sample::<f64, _>(StandardNormal);
        Affine {
            w: Array2::from_shape_simple_fn((rows, columns), draw),
            b: Array1::zeros(rows),
        }
    }

    fn apply(&self, h: &Array2<f64>) -> Array2<f64> {
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
    fn affines(&mut self) -> Vec<&mut Affine> {
        match self {
            Layer::Plain(a) | Layer::Out(a) => vec![a],
            Layer::Residual(a, b) => vec![a, b],
        }
    }
}

impl Disc {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<Layer> {
        let mut layers = Vec::new();
        let last = match self.network {
            DiscNetwork::Plain { width, init } => {
                for index in 0..self.depth {
                    let inputs = if index == 0 { 2 } else { width };
                    let std = (2.0 / inputs as f64).sqrt();
                    layers.push(Layer::Plain(match init {
                        DiscInit::He => Affine::normal(width, inputs, std, rng),
                        DiscInit::NearIdentity => {
                            let mut affine = Affine::normal(width, inputs, 0.1 * std, rng);
                            affine.w.diag_mut().map_inplace(|w| *w += 1.0);
                            affine
                        }
                    }));
                }
                width
            }
            DiscNetwork::Residual { hidden } => {
                for _ in 0..self.depth {
                    let inner = Affine::normal(hidden, 2, 1.0, rng);
                    let std = 1.0 / ((hidden * self.depth) as f64).sqrt();
                    layers.push(Layer::Residual(inner, Affine::normal(2, hidden, std, rng)));
                }
                2
            }
        };
        let std = (1.0 / last as f64).sqrt();
        layers.push(Layer::Out(Affine::normal(1, last, std, rng)));
        layers
    }

    /// Points of disc and ring in turn, uniform in area; 1 in the disc.
    fn points(&self, count: usize, rng: &mut ChaCha8Rng) -> (Array2<f64>, Array1<f64>) {
        let mut x = Array2::zeros((count, 2));
        let mut y = Array1::zeros(count);
        for (index, mut row) in x.rows_mut().into_iter().enumerate() {
            let inside = index % 2 == 0;
            let (from, to) = if inside {
                (0.0, 1.0)
            } else {
                (self.ring_from, self.ring_to)
            };
            let u: f64 = rng.random();
            let radius = (from * from + u * (to * to - from * from)).sqrt();
            let angle = std::f64::consts::TAU * rng.random::<f64>();
            row[0] = radius * angle.cos();
            row[1] = radius * angle.sin();
            y[index] = f64::from(u8::from(inside));
        }
        (x, y)
    }
}

/// What each layer is given, and at the end what the last one gives.
fn forward(layers: &[Layer], x: &Array2<f64>) -> Vec<Array2<f64>> {
    let mut states = vec![x.clone()];
    for layer in layers {
        let h = states.last().expect("the input at least");
        states.push(match layer {
            Layer::Plain(a) => a.apply(h).mapv_into(|v| v.max(0.0)),
            Layer::Residual(a, b) => h + &b.apply(&a.apply(h).mapv_into(|v| v.max(0.0))),
            Layer::Out(a) => a.apply(h),
        });
    }
    states
}

/// The mean logistic loss and its gradients, layer by layer.
fn gradients(layers: &[Layer], x: &Array2<f64>, y: &Array1<f64>) -> (f64, Vec<Layer>) {
    let states = forward(layers, x);
    let logits = states[layers.len()].column(0);
    let n = y.len() as f64;
    // −y ln p − (1 − y) ln(1 − p) = max(z, 0) − z y + ln(1 + e^(−|z|)).
    let losses = logits.iter().zip(y);
    let loss = losses.map(|(z, y)| z.max(0.0) - z * y + (-z.abs()).exp().ln_1p());
    let loss = loss.sum::<f64>() / n;
    let mut upstream = Array2::from_shape_fn((y.len(), 1), |(i, _)| {
        (1.0 / (1.0 + (-logits[i]).exp()) - y[i]) / n
    });
    let mut found = Vec::with_capacity(layers.len());
    for (layer, h) in layers.iter().zip(&states).rev() {
        let own;
        (own, upstream) = match layer {
            Layer::Plain(a) => {
                let mask = a.apply(h).mapv_into(|v| f64::from(u8::from(0.0 < v)));
                let (own, below) = a.backward(h, &(upstream * mask));
                (Layer::Plain(own), below)
            }
            Layer::Residual(a, b) => {
                let hidden = a.apply(h);
                let mask = hidden.mapv(|v| f64::from(u8::from(0.0 < v)));
                let (outer, inside) = b.backward(&(&hidden * &mask), &upstream);
                let (inner, below) = a.backward(h, &(inside * mask));
                (Layer::Residual(inner, outer), upstream + below)
            }
            Layer::Out(a) => {
                let (own, below) = a.backward(h, &upstream);
                (Layer::Out(own), below)
            }
        };
        found.push(own);
    }
    found.reverse();
    (loss, found)
}

/// A step of Adam (Kingma & Ba 2015) with its usual constants.
fn adam(
    layers: &mut [Layer],
    gradients: &[Layer],
    moments: &mut Vec<(f64, f64)>,
    step: i32,
    rate: f64,
) {
    let corrected = (1.0 - 0.9_f64.powi(step), 1.0 - 0.999_f64.powi(step));
    let mut at = 0;
    for (layer, gradient) in layers.iter_mut().zip(gradients) {
        let mut gradient = gradient.clone();
        for (own, along) in layer.affines().into_iter().zip(gradient.affines()) {
            let parameters = own.w.iter_mut().chain(own.b.iter_mut());
            for (w, g) in parameters.zip(along.w.iter().chain(along.b.iter())) {
                if moments.len() == at {
                    moments.push((0.0, 0.0));
                }
                let (mean, square) = &mut moments[at];
                *mean += 0.1 * (g - *mean);
                *square += 0.001 * (g * g - *square);
                *w -= rate * (*mean / corrected.0) / ((*square / corrected.1).sqrt() + 1e-8);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disc(network: DiscNetwork) -> Disc {
        Disc {
            network,
            depth: 3,
            ring_from: 1.3,
            ring_to: 2.0,
            examples: 64,
            fresh: 256,
            steps: 400,
            rate: 0.03,
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        for network in [
            DiscNetwork::Plain {
                width: 4,
                init: DiscInit::He,
            },
            DiscNetwork::Residual { hidden: 2 },
        ] {
            let disc = disc(network);
            let stream = Stream::new(3);
            let layers = disc.draw(&mut stream.at(Role::Init, 0));
            let (x, y) = disc.points(disc.examples, &mut stream.at(Role::Data, 0));
            let (_, mut found) = gradients(&layers, &x, &y);
            for index in 0..layers.len() {
                let analytic = found[index].affines()[0].w[(0, 1)];
                let at = |move_by: f64| {
                    let mut moved = layers.clone();
                    moved[index].affines()[0].w[(0, 1)] += move_by;
                    gradients(&moved, &x, &y).0
                };
                let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!(
                    (analytic - numeric).abs() < 1e-6,
                    "{network:?}, layer {index}: {analytic} against {numeric}"
                );
            }
        }
    }

    #[test]
    fn a_wide_plain_network_encloses_the_disc_and_one_of_width_one_cannot() {
        let accuracy = |width: usize| {
            let disc = disc(DiscNetwork::Plain {
                width,
                init: DiscInit::He,
            });
            let cell = crate::plan::Cell::new(super::super::Experiment::Disc(disc), 1);
            let crate::work::Work::Experiment(experiment) = &cell.config else {
                unreachable!("it was made of one")
            };
            experiment.record(&cell).expect("it needs no torch").values["accuracy"]
        };
        assert!(0.97 < accuracy(16), "{}", accuracy(16));
        // One number decides, and each of its values is taken on both sides.
        assert!(accuracy(1) < 0.9, "{}", accuracy(1));
    }
}
