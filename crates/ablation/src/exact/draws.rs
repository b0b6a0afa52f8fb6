//! What networks with and without skips are given: the same data, and the same start.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{
    mlp::{Adam, Mlp, Unit, Wiring, mean_square},
    network::{Law, Weights},
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
    training::{layer_sizes, points},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The networks of [`training`](super::training), wired in several ways and trained, with a digest of every batch that
/// each of them was given and of the weights that it began with.
///
/// A skip without parameters is drawn nothing for, and streams are named by what they are for and not by the arm: so the
/// batches are the same numbers, and so are the first weights. That they are counted here, and not taken from the
/// definition, is the point; that another seed gives other batches, and that the networks part in training, shows that
/// the count can see a difference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draws {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Hidden layers.
    pub depth: usize,
    /// Units per layer.
    pub width: usize,
    /// Points per step.
    pub batch: usize,
    /// Steps of Adam.
    pub steps: usize,
    /// Its rate.
    pub rate: f64,
    /// Of all matrices.
    pub weights: Weights,
    /// How the networks are wired; the first is the one that the others are held against.
    pub wirings: Vec<Wiring>,
    /// Around the expected values, of which there are none.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<DrawsMeasure>>,
}

/// What a claim about draws measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawsMeasure {
    /// Batches of the other networks that are not, bit by bit, those of the first.
    OtherBatches,
    /// First weights of the other networks that are not those of the first; one that only one of them has counts too.
    OtherStarts,
}

/// What a network was given, and what became of it.
struct Given {
    batches: Vec<blake3::Hash>,
    start: Vec<f32>,
    end: Vec<f32>,
}

impl Table for Draws {
    table_fields!("draws");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("depth", self.depth, 1, 10_000)?;
        place.count("width", self.width, 2, 4096)?;
        place.count("batch", self.batch, 1, 100_000)?;
        place.count("steps", self.steps, 1, 1_000_000)?;
        place.positive("rate", self.rate)?;
        place.positive("weights.gain", self.weights.gain)?;
        if self.weights.law == Law::Orthogonal {
            let rule = "the first and the last matrix are not square: choose normal or uniform";
            return Err(place.refuse("weights.law", "\"orthogonal\"", rule));
        }
        place.count("number of wirings", self.wirings.len(), 2, 100)?;
        let work = (self.depth * self.width.pow(2)) as f64
            * (self.batch * self.steps * self.wirings.len()) as f64;
        if 2e10 < work {
            let rule = "depth · width² · batch · steps · wirings above 2·10¹⁰ takes minutes: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "batches and first weights of networks that are wired differently: how many are not the same numbers",
            parameters: format!(
                "{} hidden layers of width {}, {} steps of {} points",
                self.depth, self.width, self.steps, self.batch
            ),
            ..Measured::default()
        };
        let given: Vec<Given> = self
            .wirings
            .iter()
            .map(|&wiring| self.given(wiring, Stream::new(seed)))
            .collect();
        let first = &given[0];
        let batches = |other: &Given| unlike(&first.batches, &other.batches);
        let starts = |other: &Given| unlike(&first.start, &other.start);
        for (wiring, other) in self.wirings.iter().zip(&given).skip(1) {
            measured.group = format!("{wiring:?} against {:?}", self.wirings[0]).to_lowercase();
            for (what, count) in [
                ("batches that differ", batches(other)),
                ("first weights that differ", starts(other)),
                ("last weights that differ", unlike(&first.end, &other.end)),
            ] {
                measured.expected(what, Number::exact(count as f64), None, self.tolerance);
            }
        }
        measured.group = "another seed".to_owned();
        let elsewhere = self.given(self.wirings[0], Stream::new(seed + 1));
        for (what, count, all) in [
            ("batches that differ", batches(&elsewhere), self.steps),
            (
                "batches that are unlike each other",
                distinct(&first.batches),
                self.steps,
            ),
        ] {
            measured.closed_form(what, Number::exact(count as f64), all as f64, 0.0);
        }
        for claim in &self.claims {
            let (words, of): (_, &dyn Fn(&Given) -> usize) = match claim.measure {
                DrawsMeasure::OtherBatches => ("batches that differ", &batches),
                DrawsMeasure::OtherStarts => ("first weights that differ", &starts),
            };
            let count: usize = given[1..].iter().map(of).sum();
            measured.found.push(Found::exact(words, count as f64));
        }
        measured
    }
}

impl Draws {
    fn given(&self, wiring: Wiring, stream: Stream) -> Given {
        let sizes = layer_sizes(self.depth, self.width);
        let mut network = Mlp::new(Unit::Tanh, wiring, self.weights, &sizes, stream);
        let mut adam = Adam::new(self.rate, &network);
        let start = network.trained();
        let batches = (1..=self.steps as u64).map(|step| {
            let (x, y) = points(self.batch, stream, Role::Data, step);
            let (_, gradient) = network.gradient(&x, |out| mean_square(out, &y));
            adam.step(&mut network, gradient);
            let mut hasher = blake3::Hasher::new();
            for value in x.iter().chain(&y) {
                hasher.update(&value.to_bits().to_le_bytes());
            }
            hasher.finalize()
        });
        let batches = batches.collect();
        Given {
            batches,
            start,
            end: network.trained(),
        }
    }
}

/// At how many places two lists differ; a place that only one of them has is one.
fn unlike<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}

fn distinct(hashes: &[blake3::Hash]) -> usize {
    hashes
        .iter()
        .map(|hash| *hash.as_bytes())
        .collect::<BTreeSet<_>>()
        .len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(wirings: Vec<Wiring>) -> Draws {
        Draws {
            name: "d".to_owned(),
            about: Vec::new(),
            depth: 3,
            width: 4,
            batch: 5,
            steps: 6,
            rate: 1e-2,
            weights: Weights {
                law: Law::Normal,
                gain: 1.0,
            },
            wirings,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn a_skip_without_parameters_is_given_the_same_and_learns_another_thing() {
        let measured = table(vec![Wiring::Plain, Wiring::Residual]).measure(3);
        let values: Vec<f64> = measured.rows.iter().map(|row| row.number.value).collect();
        let [batches, starts, ends, elsewhere, apart] = values[..] else {
            panic!("five numbers: {values:?}")
        };
        assert_eq!((batches, starts, elsewhere, apart), (0.0, 0.0, 6.0, 6.0));
        assert!(0.0 < ends);
    }

    #[test]
    fn parameters_of_a_skip_count_as_another_start() {
        let table = table(vec![Wiring::Plain, Wiring::Projected]);
        let [plain, projected] = [0, 1].map(|i| table.given(table.wirings[i], Stream::new(3)));
        // Two hidden layers have skips, of 4 × 4 weights and no bias that is trained.
        assert!(2 * 16 <= unlike(&plain.start, &projected.start));
        assert_eq!(unlike(&plain.batches, &projected.batches), 0);
    }
}
