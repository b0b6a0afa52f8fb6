//! Which of the 2^L paths through L residual blocks carry the gradient.

use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    network::{Activation, Batch, Biases, Connection, Design, Law, Norm, Scale, Weights},
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The paths through L residual blocks by their lengths (Veit, Wilber and Belongie 2016).
///
/// Expanding Π (1 + F_l) gives C(L, k) paths of length k; if a block's branch multiplies a gradient by r, they carry
/// C(L, k) r^k/(1 + r)^L of it: a binomial law with success r/(1 + r), whose mean is L r/(1 + r).
///
/// The gain r is assumed; `measured` asks random networks for theirs, block by block, and takes the law of the sum of L
/// unequal coins r_l/(1 + r_l) in its place.
///
/// Range: shares in \[0, 1\], lengths in \[0, L\]; invariant to the order of the blocks.
/// It misleads where paths of opposite sign cancel: sizes are added here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Residual blocks L.
    pub blocks: usize,
    /// What one branch multiplies a gradient by.
    pub gain: f64,
    /// Networks whose gains are measured besides.
    pub measured: Option<MeasuredGains>,
    /// The share of the gradient that paths in use carry, in (0, 1): 0.95, say.
    pub carried: f64,
    /// Shortest and longest path that are asked about.
    pub lengths: [usize; 2],
    /// The share of paths that are no longer than that, if it is expected.
    pub share_of_paths: Option<Expected>,
    /// The share of the gradient on paths of those lengths, if it is expected.
    pub share_of_gradient: Option<Expected>,
    /// The mean length of what carries the gradient, if it is expected.
    pub mean_length: Option<Expected>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<PathMeasure>>,
}

/// What a claim about paths measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMeasure {
    /// The smallest share of all paths that has `carried` of the gradient.
    ShareInUse,
    /// The same by the measured gains, of the paths up to a length, in the seed where it is largest.
    MeasuredShareInUse,
}

/// Residual blocks h ← h + W₂ relu(W₁ h) with normalisation, at He's initial values.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredGains {
    /// Units.
    pub width: usize,
    /// Inputs over which is normalised.
    pub inputs: usize,
    /// What normalises, and where.
    pub norm: Norm,
    /// Networks.
    pub seeds: u32,
}

impl Table for Paths {
    table_fields!("paths");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("blocks", self.blocks, 1, 100_000)?;
        place.positive("gain", self.gain)?;
        if !(1e-12..=1e12).contains(&self.gain) {
            let rule = "beyond 1e±12 one path carries all: choose one nearer to 1";
            return Err(place.refuse("gain", self.gain, rule));
        }
        if !(0.0 < self.carried && self.carried < 1.0) {
            let rule = "it is a share of the gradient: give one in (0, 1)";
            return Err(place.refuse("carried", self.carried, rule));
        }
        if let Some(measured) = &self.measured {
            place.count("measured.width", measured.width, 2, 4096)?;
            place.count("measured.inputs", measured.inputs, 4, 100_000)?;
            place.count("measured.seeds", measured.seeds as usize, 2, 1000)?;
            let work = (measured.width.pow(2) * measured.inputs) as f64
                * self.blocks as f64
                * f64::from(measured.seeds);
            place.work("width² · inputs · blocks · seeds", work, 2e11)?;
        }
        let asks = |claim: &Claim<PathMeasure>| claim.measure == PathMeasure::MeasuredShareInUse;
        if self.measured.is_none() && self.claims.iter().any(asks) {
            let rule = "measured_share_in_use needs `measured`: say which networks";
            return Err(place.refuse("claims.measure", "measured_share_in_use", rule));
        }
        place.count("lengths[1]", self.lengths[1], 0, self.blocks)?;
        place.count("lengths[0]", self.lengths[0], 0, self.lengths[1])
    }

    fn measure(&self, seed: u64) -> Measured {
        let [shortest, longest] = self.lengths;
        let paths = binomial(self.blocks, 0.5);
        let gradient = binomial(self.blocks, self.gain / (1.0 + self.gain));
        let mut measured = Measured {
            meaning: "lengths of the paths through residual blocks, and the gradient that they carry",
            parameters: format!(
                "{} blocks whose branches have gain {}",
                self.blocks, self.gain
            ),
            ..Measured::default()
        };
        let short = Number::exact(paths[..=longest].iter().sum());
        let what = format!("share of paths up to length {longest}");
        measured.expected(what, short, self.share_of_paths, self.tolerance);
        let carried = Number::exact(gradient[shortest..=longest].iter().sum());
        let what = format!("share of the gradient on lengths {shortest} to {longest}");
        measured.expected(what, carried, self.share_of_gradient, self.tolerance);
        let lengths = gradient.iter().zip(0_u32..);
        let mean = Number::exact(lengths.map(|(share, k)| share * f64::from(k)).sum());
        measured.expected("mean length", mean, self.mean_length, self.tolerance);
        let law = self.blocks as f64 * self.gain / (1.0 + self.gain);
        measured.closed_form("mean length", mean, law, 1e-9 * law);
        let total = Number::exact(paths.iter().sum());
        measured.closed_form("all paths", total, 1.0, 1e-9);
        let percent = 100.0 * self.carried;
        let drawn = self
            .measured
            .map_or_else(Vec::new, |of| of.gains(self.blocks, seed));
        let laws: Vec<Vec<f64>> = drawn.iter().map(|gains| lengths_of(gains)).collect();
        let in_use: Vec<f64> = laws
            .iter()
            .map(|law| up_to(&paths, law, self.carried))
            .collect();
        if !drawn.is_empty() {
            measured.group = "measured gains".to_owned();
            let n = self.blocks as f64;
            let mean = |gains: &Vec<f64>| gains.iter().sum::<f64>() / n;
            let on = |law: &Vec<f64>| law[shortest..=longest].iter().sum::<f64>();
            let length = |law: &Vec<f64>| -> f64 {
                let lengths = law.iter().zip(0_u32..);
                lengths.map(|(share, k)| share * f64::from(k)).sum()
            };
            for (what, values) in [
                (
                    "gain of a branch, mean over blocks".to_owned(),
                    drawn.iter().map(mean).collect::<Vec<f64>>(),
                ),
                (
                    "gain of the last branch".to_owned(),
                    drawn.iter().map(|gains| gains[gains.len() - 1]).collect(),
                ),
                (
                    format!("share of the gradient on lengths {shortest} to {longest}"),
                    laws.iter().map(on).collect(),
                ),
                ("mean length".to_owned(), laws.iter().map(length).collect()),
                (
                    format!(
                        "share of paths up to the length that carries {percent} % of the gradient"
                    ),
                    in_use.clone(),
                ),
            ] {
                measured.expected(what, Number::mean(&values), None, self.tolerance);
            }
        }
        for claim in &self.claims {
            measured.found.push(match claim.measure {
                PathMeasure::ShareInUse => {
                    let words = format!("share of paths that carries {percent} % of the gradient");
                    Found::exact(words, self.share_in_use(&paths, &gradient))
                }
                PathMeasure::MeasuredShareInUse => {
                    let words = format!(
                        "share of paths that carries {percent} % of the gradient, at most, by measured gains"
                    );
                    Found::exact(words, in_use.iter().copied().fold(0.0, f64::max))
                }
            });
        }
        measured
    }
}

impl Paths {
    /// The best paths first: those of the length whose paths carry most each, which is the shortest if branches shrink.
    fn share_in_use(&self, paths: &[f64], gradient: &[f64]) -> f64 {
        let mut lengths: Vec<usize> = (0..paths.len()).collect();
        if 1.0 < self.gain {
            lengths.reverse();
        }
        let (mut used, mut missing) = (0.0, self.carried);
        for k in lengths {
            if missing <= gradient[k] {
                // So many of them as are still needed.
                return used + paths[k] * missing / gradient[k];
            }
            used += paths[k];
            missing -= gradient[k];
        }
        used
    }
}

/// P(Bin(n, p) = k) for k = 0, …, n, 0 < p < 1: by sums of logarithms, since C(n, k) overflows.
pub(super) fn binomial(n: usize, p: f64) -> Vec<f64> {
    let odds = (p / (1.0 - p)).ln();
    let mut log = n as f64 * (-p).ln_1p();
    (0..=n)
        .map(|k| {
            if 0 < k {
                log += ((n - k + 1) as f64 / k as f64).ln() + odds;
            }
            log.exp()
        })
        .collect()
}

/// The law of the number of heads of unequal coins r/(1 + r): how much of the gradient paths of each length carry.
fn lengths_of(gains: &[f64]) -> Vec<f64> {
    gains.iter().fold(vec![1.0], |law, gain| {
        let heads = gain / (1.0 + gain);
        let mut next = vec![0.0; law.len() + 1];
        for (k, share) in law.iter().enumerate() {
            next[k] += (1.0 - heads) * share;
            next[k + 1] += heads * share;
        }
        next
    })
}

/// The share of all paths that are no longer than it takes for `wanted` of the gradient.
fn up_to(paths: &[f64], gradient: &[f64], wanted: f64) -> f64 {
    let (mut used, mut carried) = (0.0, 0.0);
    for (paths, share) in paths.iter().zip(gradient) {
        used += paths;
        carried += share;
        if wanted <= carried {
            break;
        }
    }
    used
}

impl MeasuredGains {
    /// What each block's branch multiplies a tangent by in root mean square, network by network: for random matrices that
    /// is what it multiplies a gradient by.
    fn gains(self, blocks: usize, seed: u64) -> Vec<Vec<f64>> {
        let he = 2.0_f64.sqrt();
        let design = Design {
            activation: Activation::Relu,
            connection: Connection::TwoLayer {
                scale: Scale::One,
                second_gain: he,
            },
            norm: self.norm,
            weights: Weights {
                law: Law::Normal,
                gain: he,
            },
            biases: Biases::None,
        };
        let of_network = |index: u64| {
            let stream = Stream::new(seed + index);
            let draw = |role| {
                let draws = &mut stream.at(role, 0);
                let mut normal = || draws.sample::<f64, _>(StandardNormal);
                Array2::from_shape_simple_fn((self.inputs, self.width), &mut normal)
            };
            let mut batch = Batch {
                h: draw(Role::Data),
                tangents: draw(Role::Probe),
                points: self.inputs,
            };
            let size = |t: &Array2<f64>| t.mapv(|t| t * t).sum().sqrt();
            let mut gains = Vec::with_capacity(blocks);
            for l in 1..=blocks as u64 {
                let layer = design.layer(self.width, &mut stream.at(Role::Init, l));
                let before = batch.tangents.clone();
                batch = design.advance(batch, &layer, 1.0);
                gains.push(size(&(&batch.tangents - &before)) / size(&before));
            }
            gains
        };
        let seeds = (0..u64::from(self.seeds)).into_par_iter();
        seeds.map(of_network).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_coins_are_a_binomial_law() {
        let law = lengths_of(&[0.25; 54]);
        let wanted = binomial(54, 0.2);
        assert!(law.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-14));
        let uneven = lengths_of(&[1.0, 3.0]);
        assert!((uneven[0] - 0.125).abs() < 1e-15 && (uneven[2] - 0.375).abs() < 1e-15);
    }

    #[test]
    fn under_batch_normalisation_branches_shrink_like_the_root_of_the_depth() {
        let networks = MeasuredGains {
            width: 64,
            inputs: 64,
            norm: Norm::Batch,
            seeds: 4,
        };
        let gains = networks.gains(36, 5);
        let at = |l: usize| gains.iter().map(|of| of[l - 1]).sum::<f64>() / 4.0;
        assert!(
            (at(1) / at(36) / 6.0 - 1.0).abs() < 0.3,
            "{} {}",
            at(1),
            at(36)
        );
    }
}
