//! Is what a residual network has learned within reach of a plain one, and does the plain one find it?
//!
//! With ReLU, x = relu(x) − relu(−x): a residual network of width n whose blocks have n hidden units is, exactly, a plain one
//! of width 3 n, whose layers carry (relu(h), relu(−h), relu(U h + c)). What the plain network then lacks is not capacity.

use ndarray::{Array2, Axis, concatenate};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{
    Found, Measurement, Metric, target,
    tiny::{self, Affine, Layer},
};
use crate::{
    error::Error,
    exact::place::Place,
    stream::{Role, Stream},
    summary::Better,
};

/// Train a residual network, fold it into a plain one, train that on, and train the same plain one from scratch; in f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transplant {
    /// Width of the residual network; the plain one has three times as much.
    pub width: usize,
    /// Residual blocks h + relu(h Uᵀ + c) Vᵀ/√blocks; the plain network has as many hidden layers.
    pub blocks: usize,
    /// Initial weights of the plain network that is trained from scratch.
    pub scratch: ScratchInit,
    /// Training examples, all in every step.
    pub examples: usize,
    /// Steps of Adam for each training.
    pub steps: u64,
    /// Learning rate of the residual network.
    pub rate: f64,
    /// Learning rate of the folded network, small enough to stay where it is.
    pub folded_rate: f64,
    /// Learning rates of the plain network: the best by its training loss counts.
    pub scratch_rates: Vec<f64>,
}

/// Initial weights of a plain ReLU network; biases begin at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScratchInit {
    /// N(0, 2/fan_in).
    He,
    /// Orthogonal times √2.
    Orthogonal,
}

const fn loss(name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        name,
        unit: "",
        meaning,
        better: Better::Lower,
        worst: Some(1.0),
    }
}

/// *Ranges*: all in `[0, ∞)`; losses are 1 for a network that says 0, `fold_difference` is rounding where the folding is exact.
/// *Misleading*: the plain network is three times as wide, so this is about what is within reach of plain networks, and not
/// of those of equal size. A high `scratch_loss` says that training at these rates and steps did not find what folding
/// shows to be there.
/// *Source*: defined here, by x = relu(x) − relu(−x).
const METRICS: &[Metric] = &[
    Metric {
        name: "fold_difference",
        unit: "",
        meaning: "largest difference of outputs between the residual network and the plain one it is folded into, over the largest output",
        better: Better::Lower,
        worst: None,
    },
    loss(
        "residual_loss",
        "mean squared error of the trained residual network on its examples; saying 0 gives 1",
    ),
    loss(
        "folded_loss",
        "the same for the folded network, trained on as a plain one",
    ),
    loss(
        "scratch_loss",
        "the same for the plain network from scratch, at its best learning rate",
    ),
];

impl Measurement for Transplant {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 1, 1000)?;
        place.count("blocks", self.blocks, 1, 1000)?;
        place.count("examples", self.examples, 2, 1_000_000)?;
        place.count("steps", self.steps as usize, 1, 10_000_000)?;
        place.positive("rate", self.rate)?;
        place.positive("folded_rate", self.folded_rate)?;
        place.count("number of scratch_rates", self.scratch_rates.len(), 1, 100)?;
        for &rate in &self.scratch_rates {
            place.positive("scratch_rates", rate)?;
        }
        Ok(())
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        let plain = 1 + self.scratch_rates.len();
        let weights = self.blocks * self.width * self.width * (2 + 9 * plain);
        1.2e-9 * (self.steps as usize * self.examples * weights) as f64
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        let (x, y) = target::draw(self.examples, &mut stream.at(Role::Data, 0));
        let loss = |outputs: &Array2<f64>| tiny::squared(outputs, &y);
        let of = |layers: &[Layer]| loss(&tiny::outputs(layers, &x)).0.min(1.0);

        let mut residual = self.residual(&mut stream.at(Role::Init, 0));
        tiny::train(&mut residual, &x, &loss, self.rate, self.steps);
        found.trained(self.steps);
        found.set("residual_loss", of(&residual));

        let mut folded = fold(&residual);
        let outputs = tiny::outputs(&residual, &x);
        let difference = &outputs - &tiny::outputs(&folded, &x);
        let largest = |a: &Array2<f64>| a.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        found.set("fold_difference", largest(&difference) / largest(&outputs));
        tiny::train(&mut folded, &x, &loss, self.folded_rate, self.steps);
        found.trained(self.steps);
        found.set("folded_loss", of(&folded));

        let mut best = f64::INFINITY;
        for &rate in &self.scratch_rates {
            let mut plain = self.plain(&mut stream.at(Role::Init, 1));
            tiny::train(&mut plain, &x, &loss, rate, self.steps);
            found.trained(self.steps);
            best = best.min(of(&plain));
        }
        found.set("scratch_loss", best);
        Ok(())
    }
}

impl Transplant {
    fn residual(&self, rng: &mut ChaCha8Rng) -> Vec<Layer> {
        let n = self.width;
        let scale = 1.0 / (self.blocks as f64).sqrt();
        let std = (2.0 / n as f64).sqrt();
        let mut layers = vec![Layer::Linear(Affine::normal(n, 2, 0.5_f64.sqrt(), rng))];
        for _ in 0..self.blocks {
            let inner = Affine::normal(n, n, std, rng);
            let outer = Affine::normal(n, n, 0.5_f64.sqrt() * std, rng);
            layers.push(Layer::Residual(inner, outer, scale));
        }
        let last = (1.0 / n as f64).sqrt();
        layers.push(Layer::Linear(Affine::normal(1, n, last, rng)));
        layers
    }

    /// The architecture that the residual network is folded into, with drawn weights.
    fn plain(&self, rng: &mut ChaCha8Rng) -> Vec<Layer> {
        let n = 3 * self.width;
        let mut layers = Vec::new();
        for index in 0..self.blocks {
            let inputs = if index == 0 { 2 } else { n };
            layers.push(Layer::Relu(match self.scratch {
                ScratchInit::He => Affine::normal(n, inputs, (2.0 / inputs as f64).sqrt(), rng),
                ScratchInit::Orthogonal => Affine::orthogonal(n, inputs, 2.0_f64.sqrt(), rng),
            }));
        }
        let last = (1.0 / n as f64).sqrt();
        layers.push(Layer::Linear(Affine::normal(1, n, last, rng)));
        layers
    }
}

/// The plain network that computes what this residual one does: read-in, residual blocks, read-out.
fn fold(residual: &[Layer]) -> Vec<Layer> {
    let [Layer::Linear(read_in), blocks @ .., Layer::Linear(read_out)] = residual else {
        unreachable!("a residual network has a read-in and a read-out");
    };
    // h as an affine function of the present state: h = m·state + a.
    let (mut m, mut a) = (read_in.w.clone(), read_in.b.clone());
    let mut layers = Vec::new();
    for block in blocks {
        let Layer::Residual(inner, outer, scale) = block else {
            unreachable!("between them are residual blocks");
        };
        let through = inner.w.dot(&m);
        let w = concatenate(Axis(0), &[m.view(), (-&m).view(), through.view()]);
        let c = inner.w.dot(&a) + &inner.b;
        let b = concatenate(Axis(0), &[a.view(), (-&a).view(), c.view()]);
        layers.push(Layer::Relu(Affine {
            w: w.expect("as many columns"),
            b: b.expect("vectors"),
        }));
        let one = Array2::<f64>::eye(a.len());
        let (minus, branch) = (-&one, *scale * &outer.w);
        let parts = [one.view(), minus.view(), branch.view()];
        m = concatenate(Axis(1), &parts).expect("as many rows");
        a = *scale * &outer.b;
    }
    layers.push(Layer::Linear(Affine {
        w: read_out.w.dot(&m),
        b: read_out.w.dot(&a) + &read_out.b,
    }));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Transplant {
        Transplant {
            width: 5,
            blocks: 3,
            scratch: ScratchInit::Orthogonal,
            examples: 40,
            steps: 60,
            rate: 0.01,
            folded_rate: 1e-5,
            scratch_rates: vec![0.003, 0.01],
        }
    }

    #[test]
    fn a_folded_network_is_the_residual_one() {
        let transplant = small();
        let stream = Stream::new(2);
        let mut residual = transplant.residual(&mut stream.at(Role::Init, 0));
        for layer in &mut residual {
            for affine in layer.affines_mut() {
                affine.b.fill(0.3);
            }
        }
        let folded = fold(&residual);
        let (x, _) = target::draw(50, &mut stream.at(Role::Data, 0));
        let difference = tiny::outputs(&residual, &x) - tiny::outputs(&folded, &x);
        assert!(difference.iter().all(|d| d.abs() < 1e-13));
        // The same shapes as the plain network from scratch.
        let plain = transplant.plain(&mut stream.at(Role::Init, 1));
        assert_eq!(folded.len(), plain.len());
        for (folded, plain) in folded.iter().zip(&plain) {
            assert_eq!(folded.affines()[0].w.dim(), plain.affines()[0].w.dim());
        }
    }

    #[test]
    fn it_learns_and_stays_where_it_was_folded() {
        let record = crate::experiment::tests::record(small(), 0);
        let of = |name: &str| record.values[name];
        assert!(of("fold_difference") < 1e-12);
        assert!(of("residual_loss") < 0.9, "{}", of("residual_loss"));
        assert!(of("folded_loss") < 1.05 * of("residual_loss"));
    }
}
