//! How signals and gradients grow over residual tanh blocks: as powers, where plain networks have exponentials.

use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    mean_field::{sech_mean, tanh_square},
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

/// h ← h + tanh(W h) with normal W of variance g²/n, from unit inputs (the reduced residual network of Yang and Schoenholz
/// 2017).
///
/// In infinite width p = E h² grows by E tanh²(√(g² p) z) per block, which tends to 1: p ~ l, the power 1, where a plain
/// tanh network has a fixed point that is reached exponentially.
/// A squared gradient grows by 1 + g² E sech⁴(√(g² p) z) per block, about 1 + (4/3) g/√(2π l): so that its logarithm is
/// (4/3) √(2/π) g √l to leading order, the power ½, where a plain network's is linear.
/// The two laws are computed by the recursion in infinite width and measured on networks.
///
/// Range: powers in ℝ; invariant to rotations of the inputs, not to their scale, which tanh knows.
/// A power fitted at finite depth misleads by the constants that it starts from: it is shown at depths to 10⁴ and more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// g.
    pub gain: f64,
    /// Units of the networks that are measured.
    pub width: usize,
    /// Depths, rising.
    pub depths: Vec<usize>,
    /// Depths of the recursion, rising.
    pub limits: Vec<usize>,
    /// Seeds.
    pub seeds: u32,
    /// Of the networks around infinite width: relative to E h², absolute for the logarithm of the gradient.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

impl Table for Growth {
    table_fields!("growth");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.positive("gain", self.gain)?;
        place.count("width", self.width, 2, 4096)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        for (name, depths) in [("depths", &self.depths), ("limits", &self.limits)] {
            place.depths(depths, 1)?;
            place.count(&format!("number of {name}"), depths.len(), 2, 100)?;
        }
        let work = self.width.pow(2) as f64
            * self.depths[self.depths.len() - 1] as f64
            * f64::from(self.seeds);
        place.work("width² · depth · seeds", work, 2e10)
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "signal and gradient after l blocks h ← h + tanh(W h), in infinite width and in networks",
            parameters: format!(
                "gain {}, width {}, {} seeds",
                self.gain, self.width, self.seeds
            ),
            ..Measured::default()
        };
        let found: Vec<Vec<[f64; 2]>> = (0..u64::from(self.seeds))
            .into_par_iter()
            .map(|index| self.network(Stream::new(seed + index)))
            .collect();
        measured.group = "networks".to_owned();
        for (place, &depth) in self.depths.iter().enumerate() {
            let theory = self.limit(depth);
            let of = |which: usize| -> Vec<f64> {
                found.iter().map(|depths| depths[place][which]).collect()
            };
            let square = Number::mean(&of(0));
            let tolerance = self.tolerance.relative * theory[0];
            measured.closed_form(format!("E h² at l = {depth}"), square, theory[0], tolerance);
            let gradient = Number::mean(&of(1));
            let what = format!("ln of the squared gradient at l = {depth}");
            measured.closed_form(what, gradient, theory[1], self.tolerance.absolute);
        }
        measured.group = "infinite width".to_owned();
        let limits: Vec<(f64, [f64; 2])> = self
            .limits
            .iter()
            .map(|&depth| ((depth as f64).ln(), self.limit(depth)))
            .collect();
        let power = |which: usize| {
            let points: Vec<(f64, f64)> = limits
                .iter()
                .map(|(x, numbers)| (*x, numbers[which].ln()))
                .collect();
            Number::exact(slope(&points).unwrap_or(f64::NAN))
        };
        measured.expected("power of l in E h²", power(0), None, self.tolerance);
        measured.expected(
            "power of l in ln of the squared gradient",
            power(1),
            None,
            self.tolerance,
        );
        // From the last two depths, where the constant that it starts from cancels.
        let roots: Vec<(f64, f64)> = limits[limits.len() - 2..]
            .iter()
            .map(|(x, numbers)| ((0.5 * x).exp(), numbers[1]))
            .collect();
        let rate = Number::exact(slope(&roots).unwrap_or(f64::NAN) / self.gain);
        measured.expected(
            "ln of the squared gradient per g √l",
            rate,
            None,
            self.tolerance,
        );
        measured
    }
}

impl Growth {
    /// E h² and ln of the squared gradient after so many blocks, in infinite width.
    fn limit(&self, depth: usize) -> [f64; 2] {
        let (mut square, mut gradient) = (1.0, 0.0);
        for _ in 0..depth {
            let std = self.gain * f64::sqrt(square);
            gradient += (self.gain.powi(2) * sech_mean(std, 4)).ln_1p();
            square += tanh_square(std);
        }
        [square, gradient]
    }

    /// E h² and ln of the squared gradient of one network, at each depth.
    fn network(&self, stream: Stream) -> Vec<[f64; 2]> {
        let design = Design {
            activation: Activation::Tanh,
            connection: Connection::OneLayer { scale: Scale::One },
            norm: Norm::None,
            weights: Weights {
                law: Law::Normal,
                gain: self.gain,
            },
            biases: Biases::None,
        };
        const POINTS: usize = 8;
        let draws = &mut stream.at(Role::Data, 0);
        let mut normal = || {
            Array2::from_shape_simple_fn((POINTS, self.width), || {
                draws.sample::<f64, _>(StandardNormal)
            })
        };
        let (h, tangents) = (normal(), normal());
        let mean = |values: &Array2<f64>| values.mapv(|v| v * v).mean().expect("there are points");
        let start = mean(&tangents);
        let mut batch = Batch {
            h,
            tangents,
            points: POINTS,
        };
        let mut numbers = Vec::with_capacity(self.depths.len());
        for l in 0..self.depths[self.depths.len() - 1] {
            let layer = design.layer(self.width, &mut stream.at(Role::Init, l as u64));
            batch = design.advance(batch, &layer, 1.0);
            if self.depths.contains(&(l + 1)) {
                numbers.push([mean(&batch.h), (mean(&batch.tangents) / start).ln()]);
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_signals_grow_as_a_linear_network_does() {
        let table = |gain| Growth {
            name: "g".to_owned(),
            about: Vec::new(),
            gain,
            width: 2,
            depths: vec![1, 2],
            limits: vec![1, 2],
            seeds: 2,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        // tanh a = a for small a: both grow by 1 + g² per block.
        let [square, gradient] = table(0.01).limit(100);
        assert!((square / 1.0001_f64.powi(100) - 1.0).abs() < 1e-5);
        assert!((gradient / (100.0 * 1.0001_f64.ln()) - 1.0).abs() < 1e-3);
        // Large ones by 1 per block, and the gradient's logarithm by (4/3) g/√(2π g² l) per block.
        let [square, gradient] = table(3.0).limit(3000);
        assert!((square / 3000.0 - 1.0).abs() < 0.02, "{square}");
        let before = table(3.0).limit(2900);
        let leading = 4.0 / 3.0 * 3.0 / (2.0 * std::f64::consts::PI * 2950.0).sqrt();
        assert!(((gradient - before[1]) / 100.0 / leading - 1.0).abs() < 0.05);
    }
}
