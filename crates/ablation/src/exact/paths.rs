//! Which of the 2^L paths through L residual blocks carry the gradient.

use serde::Deserialize;

use super::{
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::error::Error;

/// The paths through L residual blocks by their lengths (Veit, Wilber and Belongie 2016).
///
/// Expanding Π (1 + F_l) gives C(L, k) paths of length k; if a block's branch multiplies a gradient by r, they carry
/// C(L, k) r^k/(1 + r)^L of it: a binomial law with success r/(1 + r), whose mean is L r/(1 + r).
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
    /// The smallest share of all paths that carries 95 % of the gradient.
    ShareInUse,
}

impl Table for Paths {
    table_fields!("paths");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("blocks", self.blocks, 1, 100_000)?;
        place.positive("gain", self.gain)?;
        place.count("lengths[1]", self.lengths[1], 0, self.blocks)?;
        place.count("lengths[0]", self.lengths[0], 0, self.lengths[1])
    }

    fn measure(&self, _seed: u64) -> Measured {
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
        for claim in &self.claims {
            let PathMeasure::ShareInUse = claim.measure;
            let share = self.share_in_use(&paths, &gradient);
            let words = "share of paths that carries 95 % of the gradient";
            measured.found.push(Found::exact(words, share));
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
        let (mut used, mut missing) = (0.0, 0.95);
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
fn binomial(n: usize, p: f64) -> Vec<f64> {
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
