//! Can a network of the input's width enclose a disc? The named counterexample to "skips add no representational power".
//!
//! Lin & Jegelka 2018: a ResNet with one hidden neuron in each block approximates any function, while level sets of
//! networks whose layers are no wider than the input are unbounded, so that no plain one of width 2 encloses a disc.

use ndarray::{Array1, Array2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    Found, Measurement, Metric,
    tiny::{self, Affine, Layer},
};
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

/// *Ranges*: `accuracy` in `[0, 1]`, 0.5 by guessing; `loss` in `[0, ∞)`, ln 2 by guessing.
/// *Misleading*: the theorem is about enclosing the disc, and a plain network that leaves a thin gap in the ring is right on
/// nearly all points, so an accuracy short of 1 encloses nothing. A low one may be the optimiser's.
/// *Source*: Lin & Jegelka 2018.
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
        let loss = |outputs: &Array2<f64>| tiny::logistic(outputs, &y);
        let losses = tiny::train(&mut layers, &x, &loss, self.rate, self.steps);
        found.trained(self.steps);
        let curve = losses.iter().enumerate();
        let curve: Vec<_> = curve
            .step_by((losses.len() / 100).max(1))
            .map(|(step, loss)| (step as f64 + 1.0, *loss))
            .collect();
        found.curve("loss", ["step", "logistic loss"], true, &curve);
        let (fresh, truth) = self.points(self.fresh, &mut stream.at(Role::Probe, 0));
        let logits = tiny::outputs(&layers, &fresh);
        let right = logits.iter().zip(&truth);
        let right = right.filter(|(logit, truth)| (0.0 < **logit) == (0.5 < **truth));
        let finite = logits.iter().all(|logit| logit.is_finite());
        let share = right.count() as f64 / self.fresh as f64;
        found.set("accuracy", if finite { share } else { f64::NAN });
        found.set("loss", loss(&tiny::outputs(&layers, &x)).0);
        Ok(())
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
                    layers.push(Layer::Relu(match init {
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
                    let outer = Affine::normal(2, hidden, std, rng);
                    layers.push(Layer::Residual(inner, outer, 1.0));
                }
                2
            }
        };
        let std = (1.0 / last as f64).sqrt();
        layers.push(Layer::Linear(Affine::normal(1, last, std, rng)));
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
    fn a_wide_plain_network_encloses_the_disc_and_one_of_width_one_cannot() {
        let accuracy = |width: usize| {
            let disc = disc(DiscNetwork::Plain {
                width,
                init: DiscInit::He,
            });
            crate::experiment::tests::record(disc, 1).values["accuracy"]
        };
        assert!(0.97 < accuracy(16), "{}", accuracy(16));
        // One number decides, and each of its values is taken on both sides.
        assert!(accuracy(1) < 0.9, "{}", accuracy(1));
    }
}
