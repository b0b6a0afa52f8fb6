//! How many random labels can a network learn by heart?
//!
//! Labels that nothing explains measure what a network can represent and its training can reach, and nothing else.

use ndarray::{Array1, Array2};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::{
    Found, Measurement, Metric,
    adam::{Adam, cosine},
    tiny::{self, Affine, Layer},
};
use crate::{
    error::Error,
    exact::place::Place,
    stream::{Role, Stream},
    summary::Better,
};

/// Random points with random labels; the largest number of them that is learned, by bisection; in f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memorise {
    /// Whether blocks of two layers are joined by skips.
    pub skip: MemoriseSkip,
    /// Dimension of the points, standard normal.
    pub inputs: usize,
    /// Width.
    pub width: usize,
    /// Blocks of two square layers.
    pub blocks: usize,
    /// The least number of points that is tried.
    pub fewest: usize,
    /// The largest number of points that is tried.
    pub most: usize,
    /// Halvings of the range between them, on a logarithmic scale.
    pub halvings: u32,
    /// Share of the labels that must be right.
    pub share: f64,
    /// Initial draws that are tried for each number of points, until one has learned it: what a network can hold is what
    /// the best of them finds, and a narrow one that begins badly never leaves the place.
    pub draws: u64,
    /// Steps of Adam for each draw, all points in every step.
    pub steps: u64,
    /// Learning rate, falling to 0 by a half cosine.
    pub rate: f64,
}

/// How a block joins the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoriseSkip {
    /// relu(W₂ relu(W₁ h + b₁) + b₂), orthogonal weights times √2.
    None,
    /// h + (V relu(U h + c) + d)/√blocks, He's initial weights.
    InverseSqrtDepth,
}

/// *Range*: between `fewest` and `most`, at an end a bound.
/// *Misleading*: it is what training reached within the steps at this rate, so at most what the network can represent; and
/// bisection takes it that more labels are harder.
/// *Source*: random labels after Zhang et al. 2017.
const METRICS: &[Metric] = &[Metric {
    name: "memorised",
    unit: "points",
    meaning: "the largest number of random labels that was learned, by bisection on a logarithmic scale",
    better: Better::Higher,
    worst: None,
}];

impl Measurement for Memorise {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("inputs", self.inputs, 1, 10_000)?;
        place.count("width", self.width, 1, 1000)?;
        place.count("blocks", self.blocks, 1, 1000)?;
        place.count("fewest", self.fewest, 2, 1_000_000)?;
        place.count("most", self.most, self.fewest + 1, 1_000_000)?;
        place.count("halvings", self.halvings as usize, 1, 30)?;
        place.count("draws", self.draws as usize, 1, 1000)?;
        place.count("steps", self.steps as usize, 1, 10_000_000)?;
        place.positive("rate", self.rate)?;
        if 0.5 < self.share && self.share <= 1.0 {
            return Ok(());
        }
        Err(place.refuse(
            "share",
            self.share,
            "it must lie in (0.5, 1]: half is guessed",
        ))
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        false
    }

    fn seconds(&self) -> f64 {
        let weights = self.width * (self.inputs + 2 * self.blocks * self.width);
        let points = ((self.fewest * self.most) as f64).sqrt();
        let steps = (self.draws * self.steps) as f64;
        4e-9 * f64::from(self.halvings) * steps * points * weights as f64
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        // More points are the same points and others besides.
        let mut rng = stream.at(Role::Data, 0);
        let all = Array2::from_shape_simple_fn((self.most, self.inputs), || {
            rng.sample::<f64, _>(StandardNormal)
        });
        let mut rng = stream.at(Role::Nuisance, 0);
        let labels =
            Array1::from_shape_simple_fn(self.most, || f64::from(u8::from(rng.random::<bool>())));
        let (mut learned, mut missed) = ((self.fewest as f64).ln(), (self.most as f64).ln());
        for _ in 0..self.halvings {
            let middle = 0.5 * (learned + missed);
            let points = middle.exp().round() as usize;
            let x = all.slice(ndarray::s![..points, ..]).to_owned();
            let y = labels.slice(ndarray::s![..points]).to_owned();
            if (0..self.draws).any(|draw| self.learns(&x, &y, stream, draw, found)) {
                learned = middle;
            } else {
                missed = middle;
            }
        }
        found.set("memorised", (0.5 * (learned + missed)).exp());
        Ok(())
    }
}

impl Memorise {
    /// Whether the labels are learned from this draw within the steps.
    fn learns(
        &self,
        x: &Array2<f64>,
        y: &Array1<f64>,
        stream: &Stream,
        draw: u64,
        found: &mut Found,
    ) -> bool {
        let mut layers = self.draw(stream, draw);
        let mut adam = Adam::default();
        let right = |outputs: &Array2<f64>| {
            let pairs = outputs.iter().zip(y);
            let right = pairs.filter(|(logit, y)| (0.0 < **logit) == (0.5 < **y));
            self.share * y.len() as f64 <= right.count() as f64
        };
        for step in 0..self.steps {
            // Looked at now and then, since it costs a pass.
            if step % 50 == 49 && right(&tiny::outputs(&layers, x)) {
                found.trained(step);
                return true;
            }
            let loss = |outputs: &Array2<f64>| tiny::logistic(outputs, y);
            let (_, gradients) = tiny::gradients(&layers, x, &loss);
            let rate = cosine(self.rate, step, self.steps);
            tiny::step(&mut adam, &mut layers, &gradients, rate);
        }
        found.trained(self.steps);
        right(&tiny::outputs(&layers, x))
    }

    fn draw(&self, stream: &Stream, draw: u64) -> Vec<Layer> {
        let mut rng = stream.at(Role::Init, draw);
        let n = self.width;
        let first = (1.0 / self.inputs as f64).sqrt();
        let std = (2.0 / n as f64).sqrt();
        let mut layers = vec![Layer::Linear(Affine::normal(
            n,
            self.inputs,
            first,
            &mut rng,
        ))];
        for _ in 0..self.blocks {
            match self.skip {
                MemoriseSkip::None => {
                    for _ in 0..2 {
                        let affine = Affine::orthogonal(n, n, 2.0_f64.sqrt(), &mut rng);
                        layers.push(Layer::Relu(affine));
                    }
                }
                MemoriseSkip::InverseSqrtDepth => {
                    let inner = Affine::normal(n, n, std, &mut rng);
                    let outer = Affine::normal(n, n, 0.5_f64.sqrt() * std, &mut rng);
                    let scale = 1.0 / (self.blocks as f64).sqrt();
                    layers.push(Layer::Residual(inner, outer, scale));
                }
            }
        }
        let last = (1.0 / n as f64).sqrt();
        layers.push(Layer::Linear(Affine::normal(1, n, last, &mut rng)));
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::tests::record;

    fn small(width: usize) -> Memorise {
        Memorise {
            skip: MemoriseSkip::InverseSqrtDepth,
            inputs: 4,
            width,
            blocks: 1,
            fewest: 4,
            most: 256,
            halvings: 4,
            share: 1.0,
            draws: 1,
            steps: 400,
            rate: 0.02,
        }
    }

    #[test]
    fn wider_networks_learn_more_labels_by_heart() {
        let memorised = |width| record(small(width), 1).values["memorised"];
        let (narrow, wide) = (memorised(2), memorised(16));
        assert!(2.0 * narrow < wide, "{narrow} and {wide}");
        // A linear classifier shatters five points in four dimensions, and so does a network that contains it.
        assert!(4.0 < narrow, "{narrow}");
    }

    #[test]
    fn more_draws_learn_more_and_the_first_is_the_same() {
        let memorised = |draws| {
            let narrow = Memorise {
                skip: MemoriseSkip::None,
                draws,
                ..small(3)
            };
            record(narrow, 1).values["memorised"]
        };
        let found = [1, 2, 8].map(memorised);
        assert!(found[0] <= found[1] && found[0] < found[2], "{found:?}");
    }

    #[test]
    fn both_kinds_have_the_same_parameters() {
        let count = |skip| {
            let layers = Memorise { skip, ..small(6) }.draw(&Stream::new(0), 0);
            let of = |layer: &Layer| -> usize {
                layer.affines().iter().map(|a| a.w.len() + a.b.len()).sum()
            };
            layers.iter().map(of).sum::<usize>()
        };
        assert_eq!(
            count(MemoriseSkip::None),
            count(MemoriseSkip::InverseSqrtDepth)
        );
    }
}
