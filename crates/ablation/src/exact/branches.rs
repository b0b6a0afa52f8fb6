//! How loud residual branches are beside their skips under batch normalisation, before training.

use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    network::{Activation, Batch, Biases, Connection, Design, Law, Norm, Scale, Weights},
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    fit::slope,
    stream::{Role, Stream},
};

/// Residual ReLU blocks h ← h + W₂ relu(BN(W₁ h)) with He's normal weights, at initialisation.
///
/// Batch normalisation gives every branch the variance 1, whatever it is given, and the skips add them up: before block l
/// the variance is l, and the branch's is 1/l of that, its standard deviation 1/√l (De and Smith 2020).
/// So a deep normalised network is near the identity, block by block, as if its branches had been scaled down by hand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branches {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Units.
    pub width: usize,
    /// Inputs over which is normalised.
    pub inputs: usize,
    /// The blocks that are looked at, counted from 1, rising.
    pub depths: Vec<usize>,
    /// Seeds.
    pub seeds: u32,
    /// Around 1/l, relative; and around the expected values.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

impl Table for Branches {
    table_fields!("branches");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 2, 4096)?;
        place.count("inputs", self.inputs, 4, 100_000)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        place.depths(&self.depths, 1)?;
        place.count("number of depths", self.depths.len(), 2, 100)
    }

    fn measure(&self, seed: u64) -> Measured {
        let found: Vec<Vec<f64>> = (0..u64::from(self.seeds))
            .into_par_iter()
            .map(|index| self.shares(Stream::new(seed + index)))
            .collect();
        let mut measured = Measured {
            meaning: "variance of a residual branch over that of its skip, under batch normalisation",
            parameters: format!(
                "width {}, {} inputs, {} seeds",
                self.width, self.inputs, self.seeds
            ),
            ..Measured::default()
        };
        for (place, &depth) in self.depths.iter().enumerate() {
            let values: Vec<f64> = found.iter().map(|shares| shares[place]).collect();
            let law = 1.0 / depth as f64;
            let what = format!("variance of the branch over that of the skip, block {depth}");
            let tolerance = self.tolerance.relative * law;
            measured.closed_form(what, Number::mean(&values), law, tolerance);
        }
        let powers: Vec<f64> = found
            .iter()
            .map(|shares| {
                let points: Vec<(f64, f64)> = (self.depths.iter().zip(shares))
                    .map(|(depth, share)| ((*depth as f64).ln(), 0.5 * share.ln()))
                    .collect();
                slope(&points).unwrap_or(f64::NAN)
            })
            .collect();
        let what = "power of the depth in the branch's relative size";
        measured.expected(what, Number::mean(&powers), None, self.tolerance);
        measured
    }
}

impl Branches {
    /// At each of the depths, of one network.
    fn shares(&self, stream: Stream) -> Vec<f64> {
        let design = Design {
            activation: Activation::Relu,
            connection: Connection::TwoLayer {
                scale: Scale::One,
                second_gain: 2.0_f64.sqrt(),
            },
            norm: Norm::Batch,
            weights: Weights {
                law: Law::Normal,
                gain: 2.0_f64.sqrt(),
            },
            biases: Biases::None,
        };
        let draws = &mut stream.at(Role::Data, 0);
        let h = Array2::from_shape_simple_fn((self.inputs, self.width), || {
            draws.sample::<f64, _>(StandardNormal)
        });
        let mut batch = Batch {
            h,
            tangents: Array2::zeros((1, self.width)),
            points: 1,
        };
        let square = |h: &Array2<f64>| h.mapv(|h| h * h).sum();
        let mut shares = Vec::with_capacity(self.depths.len());
        for l in 1..=self.depths[self.depths.len() - 1] {
            let layer = design.layer(self.width, &mut stream.at(Role::Init, l as u64));
            let before = batch.h.clone();
            batch = design.advance(batch, &layer, 1.0);
            if self.depths.contains(&l) {
                shares.push(square(&(&batch.h - &before)) / square(&before));
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_branch_is_as_loud_as_its_skip_and_later_ones_are_not() {
        let table = Branches {
            name: "b".to_owned(),
            about: Vec::new(),
            width: 64,
            inputs: 64,
            depths: vec![1, 16],
            seeds: 2,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        let shares = table.shares(Stream::new(3));
        assert!((shares[0] - 1.0).abs() < 0.2, "{shares:?}");
        assert!((16.0 * shares[1] - 1.0).abs() < 0.3, "{shares:?}");
    }
}
