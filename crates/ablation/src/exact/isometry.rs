//! The spread of a random network's singular values, against free probability.

use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    mean_field::{sech_mean, tanh_square},
    network::{Activation, Batch, Biases, Connection, Design, Law, Norm, Weights},
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The variance of the eigenvalues of J Jᵀ over the square of their mean, for plain networks whose preactivations have the
/// variance q at every layer.
///
/// In infinite width it is L (μ₂/μ₁² − 1 − s₁), μ_k = E φ′(√q z)^(2k), with s₁ = 0 for orthogonal and −1 for normal
/// matrices (Pennington, Schoenholz and Ganguli 2017, equations 17 and 18 in their notation): 0 for linear orthogonal
/// networks, which have dynamical isometry; L and 2L for ReLU, which has not, whatever the matrices; as small as the
/// preactivations are for orthogonal tanh.
/// A finite width n moves it by a share of about L/n, or of the spread itself over n where that is more: it cannot be
/// above n − 1.
///
/// Range: \[0, n − 1\]; invariant to the scale of J and to rotations on either side.
/// It misleads by the largest singular values, which rule it: a direction that is lost adds little.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isometry {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Units per layer.
    pub width: usize,
    /// Depths, rising.
    pub depths: Vec<usize>,
    /// Seeds.
    pub seeds: u32,
    /// The networks.
    pub arms: Vec<IsometryArm>,
    /// Around infinite width, `relative` in units of L/n, or of the spread over n.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

/// One kind of network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsometryArm {
    /// Name.
    pub name: String,
    /// φ.
    pub activation: Activation,
    /// The law of the matrices.
    pub law: Law,
    /// The variance q of the preactivations; the gain is that which keeps it.
    pub preactivation: f64,
}

impl Table for Isometry {
    table_fields!("isometry");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 2, 4096)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        place.depths(&self.depths, 1)?;
        place.count("number of arms", self.arms.len(), 1, 100)?;
        let mut names = Vec::new();
        for arm in &self.arms {
            place.distinct("arms.name", &mut names, &arm.name)?;
            place.positive("arms.preactivation", arm.preactivation)?;
        }
        let work = (self.width as f64).powi(3)
            * self.depths[self.depths.len() - 1] as f64
            * (self.arms.len() * self.seeds as usize) as f64;
        place.work("width³ · depth · arms · seeds", work, 2e11)
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "variance of the squared singular values of a network's Jacobian over their mean squared",
            parameters: format!("width {}, {} seeds", self.width, self.seeds),
            ..Measured::default()
        };
        for arm in &self.arms {
            measured.group.clone_from(&arm.name);
            let found: Vec<Vec<f64>> = (0..u64::from(self.seeds))
                .into_par_iter()
                .map(|index| self.spreads(arm, Stream::new(seed + index)))
                .collect();
            for (place, &depth) in self.depths.iter().enumerate() {
                let values: Vec<f64> = found.iter().map(|spreads| spreads[place]).collect();
                let law = arm.law_of(depth);
                let share = law.max(depth as f64) / self.width as f64;
                let tolerance =
                    self.tolerance.absolute + self.tolerance.relative * share * (1.0 + law);
                let what = format!("spread of J Jᵀ, L = {depth}");
                measured.closed_form(what, Number::mean(&values), law, tolerance);
            }
        }
        measured
    }
}

impl IsometryArm {
    /// E φ′^(2k) over preactivations.
    fn slopes(&self, k: i32) -> f64 {
        match self.activation {
            Activation::Relu => 0.5,
            Activation::Linear => 1.0,
            Activation::Tanh => sech_mean(self.preactivation.sqrt(), 4 * k),
        }
    }

    /// g with g² E φ² = q.
    fn gain(&self) -> f64 {
        let q = self.preactivation;
        let square = match self.activation {
            Activation::Relu => 0.5 * q,
            Activation::Linear => q,
            Activation::Tanh => tanh_square(q.sqrt()),
        };
        (q / square).sqrt()
    }

    fn law_of(&self, depth: usize) -> f64 {
        let matrices = match self.law {
            Law::Orthogonal => 0.0,
            Law::Normal | Law::Uniform => 1.0,
        };
        depth as f64 * (self.slopes(2) / self.slopes(1).powi(2) - 1.0 + matrices)
    }
}

impl Isometry {
    /// At each depth, of one network at one input.
    fn spreads(&self, arm: &IsometryArm, stream: Stream) -> Vec<f64> {
        let gain = arm.gain();
        let design = Design {
            activation: arm.activation,
            connection: Connection::Plain,
            norm: Norm::None,
            weights: Weights { law: arm.law, gain },
            biases: Biases::None,
        };
        let n = self.width;
        let draws = &mut stream.at(Role::Data, 0);
        let x = Array2::from_shape_simple_fn((1, n), || draws.sample::<f64, _>(StandardNormal));
        // Of the length that gives the first preactivations the variance q.
        let length = x.mapv(|v| v * v).sum().sqrt();
        let mut batch = Batch {
            h: x * ((n as f64 * arm.preactivation).sqrt() / gain / length),
            tangents: Array2::eye(n),
            points: 1,
        };
        let mut spreads = Vec::with_capacity(self.depths.len());
        for l in 0..self.depths[self.depths.len() - 1] {
            let layer = design.layer(n, &mut stream.at(Role::Init, l as u64));
            batch = design.advance(batch, &layer, 1.0);
            batch.rescale(&design);
            if self.depths.contains(&(l + 1)) {
                // Rows are the images of the axes, so this is Jᵀ J, of the same eigenvalues.
                let gram = batch.tangents.dot(&batch.tangents.t());
                let first = gram.diag().sum() / n as f64;
                let second = gram.mapv(|v| v * v).sum() / n as f64;
                spreads.push(second / (first * first) - 1.0);
            }
        }
        spreads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(activation: Activation, law: Law, preactivation: f64) -> IsometryArm {
        IsometryArm {
            name: "a".to_owned(),
            activation,
            law,
            preactivation,
        }
    }

    #[test]
    fn known_laws() {
        let of = |activation, law| arm(activation, law, 1.0).law_of(5);
        assert!(of(Activation::Linear, Law::Orthogonal).abs() < 1e-12);
        assert!((of(Activation::Linear, Law::Normal) - 5.0).abs() < 1e-12);
        assert_eq!(of(Activation::Relu, Law::Orthogonal), 5.0);
        assert_eq!(of(Activation::Relu, Law::Normal), 10.0);
        // tanh′ = 1 − a² + …, so the spread is 8 q² per layer for small q: Var(2 a²) = 8 q².
        let small = arm(Activation::Tanh, Law::Orthogonal, 1e-3).law_of(1);
        assert!((small / 8e-6 - 1.0).abs() < 0.02, "{small}");
        // Wide preactivations: φ′² is 4/3 and φ′⁴ 32/35 of the density's top, so √(2π q) (32/35)/(4/3)² − 1.
        let wide = arm(Activation::Tanh, Law::Orthogonal, 1e6).law_of(1);
        let law = (2e6 * std::f64::consts::PI).sqrt() * (32.0 / 35.0) * 9.0 / 16.0 - 1.0;
        assert!((wide / law - 1.0).abs() < 1e-3, "{wide} {law}");
        assert!((arm(Activation::Relu, Law::Normal, 3.0).gain() - 2.0_f64.sqrt()).abs() < 1e-12);
        assert!((arm(Activation::Tanh, Law::Normal, 1e-4).gain() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn one_layer_of_relu_cuts_half_of_the_directions_off() {
        let table = Isometry {
            name: "i".to_owned(),
            about: Vec::new(),
            width: 200,
            depths: vec![1, 2],
            seeds: 2,
            arms: Vec::new(),
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        let relu = arm(Activation::Relu, Law::Orthogonal, 1.0);
        let spreads = table.spreads(&relu, Stream::new(5));
        assert!((spreads[0] - 1.0).abs() < 0.2 && (spreads[1] - 2.0).abs() < 0.4);
        let linear = arm(Activation::Linear, Law::Orthogonal, 1.0);
        assert!(table.spreads(&linear, Stream::new(5))[1].abs() < 1e-12);
    }
}
