//! Whether the gradient of a random network is a function of its input that one step can trust.

use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    network::{Activation, Batch, Biases, Connection, Design, Law, Norm, Weights},
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// The autocorrelation of df/dx along a line of inputs, f: ℝ → ℝ a random network (Balduzzi et al. 2017).
///
/// Near 1 the gradient changes slowly, so that a step finds what the gradient promised; near 0 it is white noise.
/// The input goes through one layer φ(w x + c) to the given width, the output is a random combination of units; both are
/// independent draws with the arm's gain, uniform if its matrices are and normal otherwise.
/// ρ_k = mean(g_i g_{i+k})/mean(g_i²), not centred, is averaged over seeds; batch normalisation takes its statistics
/// from the whole line, and they are held fixed in the derivative.
///
/// Range: about \[−1, 1\]; invariant to the scale of f, and to that of x if `range` moves with it.
/// It misleads where the gradient is nearly constant because the network forgot its input: that too is 1, so it is read
/// beside [`depth`](super::depth). Not centred, a mean gradient counts as agreement.
/// A network whose units are off for all inputs has no gradient and no ρ: it is counted, and left out of the mean.
/// A seed is one function: its ρ scatters by 0.1 and more, so that few seeds tell little.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shattering {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Units per layer.
    pub width: usize,
    /// Depths, rising: layers of a plain network, that from the input counted; blocks of a residual one.
    pub depths: Vec<usize>,
    /// Inputs, equidistant.
    pub inputs: usize,
    /// They lie in \[−range, range\].
    pub range: f64,
    /// Distances k of the inputs that are compared.
    pub lags: Vec<usize>,
    /// Seeds.
    pub seeds: u32,
    /// The networks.
    pub arms: Vec<ShatteringArm>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<ShatteringMeasure>>,
}

/// One kind of network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShatteringArm {
    /// Name, for claims.
    pub name: String,
    /// φ.
    pub activation: Activation,
    /// What a layer does.
    pub connection: Connection,
    /// What is normalised.
    pub norm: Norm,
    /// How matrices are drawn.
    pub weights: Weights,
    /// How biases are drawn; without them and with ReLU f is linear on either side of 0.
    pub biases: Biases,
    /// Expected autocorrelations.
    #[serde(default)]
    pub expected: Vec<ExpectedCorrelation>,
}

/// A registered autocorrelation.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCorrelation {
    /// At which depth.
    pub depth: usize,
    /// At which lag.
    pub lag: usize,
    /// The mean over seeds.
    pub value: Expected,
}

/// What a claim about shattering measures, one number per seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ShatteringMeasure {
    /// The autocorrelation of `arm` − that of `than`.
    Difference {
        /// At which depth.
        depth: usize,
        /// At which lag.
        lag: usize,
        /// The arm.
        arm: String,
        /// What it is compared with.
        than: String,
    },
}

impl Table for Shattering {
    table_fields!("shattering");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 1, 1024)?;
        place.depths(&self.depths, 2)?;
        place.count("inputs", self.inputs, 3, 10_000)?;
        place.positive("range", self.range)?;
        place.count("number of lags", self.lags.len(), 1, 100)?;
        for &lag in &self.lags {
            place.count("lags", lag, 1, self.inputs - 1)?;
        }
        place.count("seeds", self.seeds as usize, 1, 1000)?;
        place.count("number of arms", self.arms.len(), 1, 100)?;
        let layers: usize = self.depths.iter().sum();
        let work = layers as f64
            * (self.width.pow(2) * self.inputs * self.arms.len()) as f64
            * f64::from(self.seeds);
        if 5e11 < work {
            let rule = "width² · inputs · depths · seeds · arms above 5·10¹¹ takes minutes: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
        }
        let mut names: Vec<&str> = Vec::new();
        let known = |depth, lag| self.depths.contains(&depth) && self.lags.contains(&lag);
        let rule = "it is not one of depths, or its lag not one of lags: add it there";
        let given = |depth, lag| format!("{depth}, lag {lag}");
        for arm in &self.arms {
            place.distinct("arms.name", &mut names, &arm.name)?;
            let place = Place(format!("{}, arm {:?}", place.0, arm.name));
            arm.design().check(&place)?;
            if let Some(e) = arm.expected.iter().find(|e| !known(e.depth, e.lag)) {
                return Err(place.refuse("expected.depth", given(e.depth, e.lag), rule));
            }
        }
        for claim in &self.claims {
            let ShatteringMeasure::Difference {
                depth,
                lag,
                arm,
                than,
            } = &claim.measure;
            if let Some(arm) = [arm, than]
                .into_iter()
                .find(|arm| !names.contains(&arm.as_str()))
            {
                let rule = format!("there is no such arm: name one of {}", names.join(", "));
                return Err(place.refuse("claims.measure", format!("{arm:?}"), &rule));
            }
            if !known(*depth, *lag) {
                return Err(place.refuse("claims.measure.depth", given(*depth, *lag), rule));
            }
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let jobs: Vec<(usize, u32)> = (0..self.arms.len())
            .flat_map(|arm| (0..self.seeds).map(move |s| (arm, s)))
            .collect();
        let found: Vec<Vec<Vec<f64>>> = jobs
            .into_par_iter()
            .map(|(arm, s)| {
                let stream = Stream::new(seed.wrapping_add(u64::from(s)));
                self.correlations(&self.arms[arm], stream)
            })
            .collect();
        // One number per seed.
        let numbers = |arm: usize, depth: usize, lag: usize| -> Vec<f64> {
            let place = |list: &[usize], item| list.iter().position(|i| *i == item);
            let depth = place(&self.depths, depth).expect("it was checked");
            let lag = place(&self.lags, lag).expect("it was checked");
            let seeds = found
                .chunks(self.seeds as usize)
                .nth(arm)
                .expect("every arm ran");
            seeds.iter().map(|depths| depths[depth][lag]).collect()
        };
        let mut measured = Measured {
            meaning: "autocorrelation of df/dx over inputs: 1 is a gradient to trust, 0 is white noise",
            parameters: format!(
                "width {}, {} inputs in ±{}, {} seeds",
                self.width, self.inputs, self.range, self.seeds
            ),
            ..Measured::default()
        };
        for (index, arm) in self.arms.iter().enumerate() {
            measured.group.clone_from(&arm.name);
            for &depth in &self.depths {
                for &lag in &self.lags {
                    let expected = arm
                        .expected
                        .iter()
                        .find(|e| e.depth == depth && e.lag == lag);
                    let values = numbers(index, depth, lag);
                    let live: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
                    let number = Number::mean(&live);
                    let what = format!("L = {depth}, lag {lag}");
                    measured.expected(what, number, expected.map(|e| e.value), self.tolerance);
                }
                let any = numbers(index, depth, self.lags[0]);
                let off = any.iter().filter(|v| v.is_nan()).count();
                if 0 < off {
                    let what = format!("networks that are off, L = {depth}");
                    let number = Number::exact(off as f64);
                    measured.expected(what, number, None, self.tolerance);
                }
            }
        }
        for claim in &self.claims {
            let ShatteringMeasure::Difference {
                depth,
                lag,
                arm,
                than,
            } = &claim.measure;
            let of = |name: &str| {
                let place = self.arms.iter().position(|arm| arm.name == name);
                numbers(place.expect("it was checked"), *depth, *lag)
            };
            let pairs = of(arm).into_iter().zip(of(than));
            measured.found.push(Found::seeds(
                format!("autocorrelation at lag {lag}, L = {depth}, {arm} − {than}"),
                pairs.map(|(a, b)| a - b).collect(),
            ));
        }
        measured
    }
}

impl ShatteringArm {
    fn design(&self) -> Design {
        Design {
            activation: self.activation,
            connection: self.connection,
            norm: self.norm,
            weights: self.weights,
            biases: self.biases,
        }
    }
}

impl Shattering {
    /// Autocorrelations by depth and lag.
    fn correlations(&self, arm: &ShatteringArm, stream: Stream) -> Vec<Vec<f64>> {
        let design = arm.design();
        // The layers from the input and to the output are not square.
        let ends = Weights {
            law: match arm.weights.law {
                Law::Uniform => Law::Uniform,
                Law::Normal | Law::Orthogonal => Law::Normal,
            },
            ..arm.weights
        };
        let first = &mut stream.at(Role::Data, 0);
        let slopes = ends.draw(self.width, 1, first).remove_axis(Axis(1));
        let biases = arm.biases.draw(self.width, 1, first);
        let step = 2.0 * self.range / (self.inputs - 1) as f64;
        let x = Array2::from_shape_fn((self.inputs, 1), |(i, _)| i as f64 * step - self.range);
        let mut correlations = Vec::with_capacity(self.depths.len());
        // The layer from the input is a layer of a plain network, and no block.
        let square = |depth: &usize| match arm.connection {
            Connection::Plain => depth - 1,
            Connection::OneLayer { .. } | Connection::TwoLayer { .. } => *depth,
        };
        let depths: Vec<usize> = self.depths.iter().map(square).collect();
        for depths in design.passes(&depths) {
            let last = depths[depths.len() - 1];
            let factor = design.factor(last);
            let mut batch = Batch {
                h: &x * &slopes + &biases,
                tangents: Array2::zeros((self.inputs, self.width)) + &slopes,
                points: self.inputs,
            };
            batch.activate(design.activation);
            for l in 0..last {
                let layer = design.layer(self.width, &mut stream.at(Role::Init, l as u64));
                batch = design.advance(batch, &layer, factor);
                batch.rescale(&design);
                if depths.contains(&(l + 1)) {
                    let readout = &mut stream.at(Role::Probe, 0);
                    let readout = ends.draw(1, self.width, readout).remove_axis(Axis(0));
                    let gradient = batch.tangents.dot(&readout);
                    let at = |&lag: &usize| autocorrelation(&gradient, lag);
                    correlations.push(self.lags.iter().map(at).collect());
                }
            }
        }
        correlations
    }
}

fn autocorrelation(gradient: &Array1<f64>, lag: usize) -> f64 {
    let n = gradient.len();
    let pairs = gradient.iter().zip(gradient.iter().skip(lag));
    let product = pairs.map(|(a, b)| a * b).sum::<f64>() / (n - lag) as f64;
    product / (gradient.dot(gradient) / n as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn noise_is_uncorrelated_and_what_is_constant_is_not() {
        assert_eq!(autocorrelation(&Array1::from_elem(9, -2.0), 4), 1.0);
        let alternating = array![1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        assert_eq!(autocorrelation(&alternating, 1), -1.0);
        assert_eq!(autocorrelation(&alternating, 2), 1.0);
        // Not centred: a step function from 1 to 3.
        let step = array![1.0, 1.0, 3.0, 3.0];
        assert!((autocorrelation(&step, 1) - 13.0 / 3.0 / 5.0).abs() < 1e-15);
    }

    /// One unit per layer is off, or on for one sign of its input: in the end all are off.
    #[test]
    fn networks_that_are_off_are_counted_and_thousands_of_layers_are_not_off() {
        let table = |activation, width, depth| Shattering {
            name: "s".to_owned(),
            about: Vec::new(),
            width,
            depths: vec![depth],
            inputs: 5,
            range: 1.0,
            lags: vec![1],
            seeds: 4,
            arms: vec![ShatteringArm {
                name: "a".to_owned(),
                activation,
                connection: Connection::Plain,
                norm: Norm::None,
                weights: Weights {
                    law: Law::Normal,
                    gain: 0.2,
                },
                biases: Biases::None,
                expected: Vec::new(),
            }],
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        };
        let rows = table(Activation::Relu, 1, 60).measure(1).rows;
        assert_eq!(rows[1].what, "networks that are off, L = 60");
        assert_eq!(rows[1].number.value, 4.0);
        // A linear network has one gradient, here of the size 1e-700.
        let rows = table(Activation::Linear, 8, 1000).measure(1).rows;
        assert!(rows.len() == 1 && (rows[0].number.value - 1.0).abs() < 1e-9);
    }
}
