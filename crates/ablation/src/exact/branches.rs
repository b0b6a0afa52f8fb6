//! How loud residual branches are beside their skips under normalisation, before training.

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

/// Residual ReLU blocks h ← h + b_l F(h) whose branches have the variance 1, at initialisation.
///
/// ```text
/// batch   F(h) = W₂ relu(BN(W₁ h)), He's gain in W₂     De and Smith 2020
/// layer   F(h) = W₂ relu(W₁ LN(h)), He's gain in W₁     pre-norm; Sun et al. 2025 with b_l = 1/√l
/// ```
///
/// Normalisation gives every branch the variance 1, whatever it is given, and the skips add them up: before block l the
/// variance is v_l = 1 + Σ_{k<l} b_k², which is l for b = 1 and grows like ln l for b_l = 1/√l, and the branch has the
/// share b_l²/v_l of it. So a deep normalised network is near the identity, block by block, as if its branches had been
/// scaled down by hand.
///
/// Range: shares in \[0, ∞); invariant to the scale of the inputs.
/// They mislead after training, which changes them; and a quiet branch may be the one that matters.
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
    /// What normalises.
    pub norm: BranchNorm,
    /// b_l.
    pub scale: BlockScale,
    /// Around the closed forms, relative; and around the expected values.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

/// What gives the branches their variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchNorm {
    /// Batch normalisation between the two matrices.
    Batch,
    /// Layer normalisation of what the branch is given.
    Layer,
}

/// The factor of block l, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockScale {
    /// 1.
    One,
    /// 1/√l.
    InverseSqrtBlock,
}

impl BlockScale {
    fn factor(self, l: usize) -> f64 {
        match self {
            BlockScale::One => 1.0,
            BlockScale::InverseSqrtBlock => (l as f64).sqrt().recip(),
        }
    }

    /// The variance before block l.
    fn variance(self, l: usize) -> f64 {
        1.0 + (1..l).map(|k| self.factor(k).powi(2)).sum::<f64>()
    }
}

impl Table for Branches {
    table_fields!("branches");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 2, 4096)?;
        place.count("inputs", self.inputs, 4, 100_000)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        place.depths(&self.depths, 1)?;
        place.count("number of depths", self.depths.len(), 2, 100)?;
        let work = (self.width.pow(2) * self.inputs) as f64
            * self.depths[self.depths.len() - 1] as f64
            * f64::from(self.seeds);
        place.work("width² · inputs · depth · seeds", work, 2e11)
    }

    fn measure(&self, seed: u64) -> Measured {
        let found: Vec<Vec<Block>> = (0..u64::from(self.seeds))
            .into_par_iter()
            .map(|index| self.blocks(Stream::new(seed + index)))
            .collect();
        let mut measured = Measured {
            meaning: "variance of a residual branch over that of its skip, under normalisation",
            parameters: format!(
                "{:?} normalisation, width {}, {} inputs, {} seeds",
                self.norm, self.width, self.inputs, self.seeds
            )
            .to_lowercase(),
            ..Measured::default()
        };
        for (place, &depth) in self.depths.iter().enumerate() {
            let mean = |of: fn(&Block) -> f64| {
                let values: Vec<f64> = found.iter().map(|blocks| of(&blocks[place])).collect();
                Number::mean(&values)
            };
            let variance = self.scale.variance(depth);
            let share = self.scale.factor(depth).powi(2) / variance;
            for (what, number, law) in [
                (
                    "variance of the branch over that of the skip",
                    mean(|block| block.branch / block.skip),
                    share,
                ),
                (
                    "variance of the skip over that of the input",
                    mean(|block| block.skip),
                    variance,
                ),
            ] {
                let what = format!("{what}, block {depth}");
                measured.closed_form(what, number, law, self.tolerance.relative * law);
            }
        }
        let powers: Vec<f64> = found
            .iter()
            .map(|blocks| {
                let points: Vec<(f64, f64)> = (self.depths.iter().zip(blocks))
                    .map(|(depth, Block { branch, skip })| {
                        ((*depth as f64).ln(), 0.5 * (branch / skip).ln())
                    })
                    .collect();
                slope(&points).unwrap_or(f64::NAN)
            })
            .collect();
        let what = "power of the depth in the branch's relative size";
        measured.expected(what, Number::mean(&powers), None, self.tolerance);
        measured
    }
}

/// Second moments in a block, over that of the network's input.
#[derive(Clone, Copy, Debug)]
struct Block {
    branch: f64,
    skip: f64,
}

impl Branches {
    /// At each of the depths, of one network.
    fn blocks(&self, stream: Stream) -> Vec<Block> {
        let he = 2.0_f64.sqrt();
        let (norm, second_gain) = match self.norm {
            BranchNorm::Batch => (Norm::Batch, he),
            // What ReLU is given has He's variance 2 already.
            BranchNorm::Layer => (Norm::Layer, 1.0),
        };
        let design = Design {
            activation: Activation::Relu,
            connection: Connection::TwoLayer {
                scale: Scale::One,
                second_gain,
            },
            norm,
            weights: Weights {
                law: Law::Normal,
                gain: he,
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
        let input = square(&batch.h);
        let mut blocks = Vec::with_capacity(self.depths.len());
        for l in 1..=self.depths[self.depths.len() - 1] {
            let layer = design.layer(self.width, &mut stream.at(Role::Init, l as u64));
            let before = batch.h.clone();
            batch = design.advance(batch, &layer, self.scale.factor(l));
            if self.depths.contains(&l) {
                blocks.push(Block {
                    branch: square(&(&batch.h - &before)) / input,
                    skip: square(&before) / input,
                });
            }
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(norm: BranchNorm, scale: BlockScale) -> Vec<Block> {
        let table = Branches {
            name: "b".to_owned(),
            about: Vec::new(),
            width: 64,
            inputs: 64,
            depths: vec![1, 16],
            seeds: 2,
            norm,
            scale,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        table.blocks(Stream::new(3))
    }

    #[test]
    fn the_first_branch_is_as_loud_as_its_skip_and_later_ones_are_not() {
        for norm in [BranchNorm::Batch, BranchNorm::Layer] {
            let blocks = blocks(norm, BlockScale::One);
            let share = |block: &Block| block.branch / block.skip;
            assert!((share(&blocks[0]) - 1.0).abs() < 0.2, "{blocks:?}");
            assert!((16.0 * share(&blocks[1]) - 1.0).abs() < 0.3, "{blocks:?}");
        }
    }

    #[test]
    fn scaled_blocks_add_up_to_a_harmonic_sum() {
        assert_eq!(BlockScale::One.variance(16), 16.0);
        assert!((BlockScale::InverseSqrtBlock.variance(4) - (2.0 + 0.5 + 1.0 / 3.0)).abs() < 1e-15);
        let [_, last] = blocks(BranchNorm::Layer, BlockScale::InverseSqrtBlock)[..] else {
            panic!("two depths were asked for")
        };
        let variance = BlockScale::InverseSqrtBlock.variance(16);
        assert!((last.skip / variance - 1.0).abs() < 0.2, "{last:?}");
        assert!((last.branch * 16.0 - 1.0).abs() < 0.2, "{last:?}");
    }
}
