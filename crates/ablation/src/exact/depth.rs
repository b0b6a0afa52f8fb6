//! What depth does to signals and gradients before training.

use std::f64::consts::LOG10_2;

use ndarray::{Array1, Array2, s};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    backward::first_gradient,
    depth_claims::{DepthMeasure, slopes_of},
    finite_width::{Law, is_isometry, law},
    network::{Activation, Batch, Biases, Connection, Design, Norm, Weights},
    place::Place,
    propagation::{LEAST_SEPARATION, Look, Numbers, Propagation, Wanted, numbers_of},
    report::{Measured, Number, median},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// Random networks of square layers at initialisation, on independent standard normal inputs.
///
/// Depth counts layers of a plain network and blocks of a residual one.
/// Arms of a seed share the draws of each layer and the inputs.
/// What is measured is said at [`Propagation`]; what theory says of it, and how far a finite width is from theory, in
/// `finite_width`: each number is held to its own law, an isometry to its inputs' own numbers.
/// Slopes are least squares over the depths at which the number is not at the end of its range.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Units per layer.
    pub width: usize,
    /// Depths, rising.
    pub depths: Vec<usize>,
    /// Inputs that are compared with each other.
    pub inputs: usize,
    /// Of those, inputs at which the Jacobian is taken.
    pub points: usize,
    /// Further inputs for the linear probe, half of them to fit it; 0 if none asks for it.
    pub probes: usize,
    /// The ridge of that probe, over the mean variance of a unit.
    pub ridge: f64,
    /// Singular values below this times the largest count as lost: 2⁻²³ in single precision.
    pub precision: f64,
    /// Seeds.
    pub seeds: u32,
    /// The networks.
    pub arms: Vec<Arm>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<DepthMeasure>>,
}

/// One kind of network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
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
    /// How biases are drawn.
    pub biases: Biases,
    /// What is shown.
    pub measures: Vec<Propagation>,
    /// Expected medians over seeds.
    #[serde(default)]
    pub expected: Vec<ExpectedPropagation>,
}

/// A registered median.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedPropagation {
    /// Of what.
    pub measure: Propagation,
    /// At which depth.
    pub depth: usize,
    /// The median over seeds as printed: of `separation` the cosine, of `growth` and `first_gradient` the ratio.
    pub value: Expected,
}

impl Table for Depth {
    table_fields!("depth");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 2, 512)?;
        place.depths(&self.depths, 1)?;
        place.count("inputs", self.inputs, 2, 1000)?;
        place.count("points", self.points, 1, self.inputs)?;
        if 0 < self.probes {
            // As many to fit as there are units, and as many again to judge.
            place.count("probes", self.probes, 2 * self.width, 100_000)?;
        }
        place.positive("ridge", self.ridge)?;
        if !(0.0 < self.precision && self.precision < 1.0) {
            let rule = "it is a share of the largest singular value: give one in (0, 1)";
            return Err(place.refuse("precision", self.precision, rule));
        }
        place.count("seeds", self.seeds as usize, 1, 1000)?;
        place.count("number of arms", self.arms.len(), 1, 100)?;
        let layers: usize = self.depths.iter().sum();
        let work = layers as f64
            * (self.width.pow(2) * (self.width * self.points + self.probes)) as f64
            * f64::from(self.seeds)
            * self.arms.len() as f64;
        if 1e11 < work {
            let rule = "width² · (width · points + probes) · depths · seeds · arms above 10¹¹ takes minutes: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
        }
        let mut names: Vec<&str> = Vec::new();
        for arm in &self.arms {
            place.distinct("arms.name", &mut names, &arm.name)?;
            let place = Place(format!("{}, arm {:?}", place.0, arm.name));
            arm.design().check(&place)?;
            for &measure in &arm.measures {
                self.possible(&place, "measures", arm, measure)?;
            }
            for expected in &arm.expected {
                let asked = arm.measures.contains(&expected.measure);
                if !asked || !self.depths.contains(&expected.depth) {
                    let rule =
                        "its measure is not in measures, or its depth not in depths: add it there";
                    let given = format!("{:?} at {}", expected.measure, expected.depth);
                    return Err(place.refuse("expected", given, rule));
                }
                if expected.measure.wanted(expected.value).is_none() {
                    let rule = "it is printed as a cosine of at most 1, or as a ratio above its last digit: give one";
                    let given = format!("{:?} {}", expected.measure, expected.value.value);
                    return Err(place.refuse("expected.value", given, rule));
                }
            }
        }
        for claim in &self.claims {
            claim.measure.check(place, &names, &self.depths)?;
            for name in claim.measure.arms() {
                let arm = self.arms.iter().find(|arm| arm.name == name);
                let arm = arm.expect("there is such an arm");
                self.possible(place, "claims.measure.of", arm, claim.measure.of())?;
            }
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let jobs: Vec<(usize, u32)> = (0..self.arms.len())
            .flat_map(|arm| (0..self.seeds).map(move |s| (arm, s)))
            .collect();
        let found: Vec<Vec<Numbers>> = jobs
            .into_par_iter()
            .map(|(arm, s)| {
                let stream = Stream::new(seed.wrapping_add(u64::from(s)));
                self.propagate(&self.arms[arm].design(), stream)
            })
            .collect();
        // One number per seed; the first place is before the first layer.
        let numbers = |arm: usize, place: usize, of: Propagation| -> Vec<f64> {
            let seeds = found.chunks(self.seeds as usize).nth(arm);
            let seeds = seeds.expect("every arm ran").iter();
            seeds.map(|depths| depths[place][of.place()]).collect()
        };
        let mut measured = Measured {
            meaning: "signals and Jacobians J of random networks: medians over seeds",
            parameters: format!(
                "width {}, {} inputs, Jacobians at {}, {} inputs of a linear probe, {} seeds",
                self.width, self.inputs, self.points, self.probes, self.seeds
            ),
            ..Measured::default()
        };
        for (index, arm) in self.arms.iter().enumerate() {
            measured.group.clone_from(&arm.name);
            // What an isometry keeps is not sampled: its inputs are the same draws.
            let number: fn(&[f64]) -> Number = if is_isometry(&arm.design()) {
                |values| Number::exact(median(values))
            } else {
                |values| Number::median(&live(values))
            };
            for (place, &depth) in self.depths.iter().enumerate() {
                let gains = numbers(index, place + 1, Propagation::Gain);
                let off = gains.iter().filter(|gain| gain.is_nan()).count();
                if 0 < off {
                    let what = format!("networks that are off, L = {depth}");
                    let number = Number::exact(off as f64);
                    measured.expected(what, number, None, self.tolerance);
                }
            }
            for &of in &arm.measures {
                let before = numbers(index, 0, of);
                let laws: Vec<Option<Law>> = (self.depths.iter())
                    .map(|&depth| self.law(arm, &before, depth, of))
                    .collect();
                let values: Vec<Vec<f64>> = (1..=self.depths.len())
                    .map(|place| numbers(index, place, of))
                    .collect();
                for (place, &depth) in self.depths.iter().enumerate() {
                    let expected = arm.expected.iter();
                    let expected = expected.filter(|e| e.measure == of && e.depth == depth);
                    let expected = expected.map(|e| e.value).next();
                    let what = format!("{}, L = {depth}", of.words());
                    let number = number(&values[place]);
                    self.row(&mut measured, &what, of, number, expected, laws[place]);
                }
                self.slope_row(&mut measured, of, &values, &laws);
            }
        }
        for claim in &self.claims {
            let of = |name: &str, place: usize, of: Propagation| {
                let arm = self.arms.iter().position(|arm| arm.name == name);
                numbers(arm.expect("it was checked"), place + 1, of)
            };
            measured.found.push(claim.measure.found(&self.depths, &of));
        }
        measured
    }
}

impl Arm {
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

impl Depth {
    /// The linear probe needs inputs of its own, gradients of weights are those of plain networks.
    fn possible(&self, place: &Place, name: &str, arm: &Arm, of: Propagation) -> Result<(), Error> {
        let rule = match of {
            Propagation::Recovered if self.probes == 0 => "it needs inputs of its own: set probes",
            Propagation::FirstGradient
                if arm.connection != Connection::Plain || arm.norm != Norm::None =>
            {
                "it is of plain networks without normalisation: ask for gain"
            }
            _ => return Ok(()),
        };
        Err(place.refuse(name, format!("{of:?} of {:?}", arm.name), rule))
    }

    /// The numbers of one network before the first layer and at each depth.
    fn propagate(&self, design: &Design, stream: Stream) -> Vec<Numbers> {
        let mut rng = stream.at(Role::Data, 0);
        let n = self.width;
        let rows = self.inputs + self.probes;
        let x = Array2::from_shape_simple_fn((rows, n), || rng.sample::<f64, _>(StandardNormal));
        let mut rng = stream.at(Role::Probe, 0);
        let readout = Array1::from_shape_simple_fn(n, || rng.sample::<f64, _>(StandardNormal));
        let start = Batch {
            h: x.clone(),
            // Of each point, along each axis.
            tangents: Array2::from_shape_fn((n * self.points, n), |(row, axis)| {
                f64::from(u8::from(row / self.points == axis))
            }),
            points: self.points,
        };
        let look = Look {
            inputs: self.inputs,
            precision: self.precision,
            ridge: self.ridge,
        };
        let plain = design.connection == Connection::Plain && design.norm == Norm::None;
        let mut numbers = vec![numbers_of(&x, &start, look)];
        for depths in design.passes(&self.depths) {
            let last = depths[depths.len() - 1];
            let factor = design.factor(last);
            let mut batch = start.clone();
            let mut layers = Vec::new();
            let mut scale = [0, 0];
            for l in 0..last {
                let layer = design.layer(n, &mut stream.at(Role::Init, l as u64));
                batch = design.advance(batch, &layer, factor);
                for (sum, by) in scale.iter_mut().zip(batch.rescale(design)) {
                    *sum += by;
                }
                if plain {
                    layers.push(layer);
                }
                if depths.contains(&(l + 1)) {
                    let mut found = numbers_of(&x, &batch, look);
                    if plain {
                        let points = x.slice(s![..self.points, ..]);
                        found[Propagation::FirstGradient.place()] =
                            first_gradient(design, &layers, points, &readout);
                    }
                    found[Propagation::Growth.place()] += 2.0 * f64::from(scale[0]) * LOG10_2;
                    found[Propagation::Gain.place()] += f64::from(scale[1]) * LOG10_2;
                    numbers.push(found);
                }
            }
        }
        numbers
    }

    /// What theory says; of an isometry what its inputs say.
    fn law(&self, arm: &Arm, before: &[f64], depth: usize, of: Propagation) -> Option<Law> {
        let design = arm.design();
        if !is_isometry(&design) {
            return law(&design, self.width, depth, of);
        }
        let layers = depth as f64 * arm.weights.gain.log10();
        Some(Law {
            value: match of {
                Propagation::Growth => 2.0 * layers,
                Propagation::Gain => layers,
                Propagation::FirstGradient => 0.0,
                _ => median(before),
            },
            // The ridge of the linear probe shrinks what it recovers.
            slack: 1e-9
                + if of == Propagation::Recovered {
                    self.ridge
                } else {
                    0.0
                },
        })
    }

    /// One number beside what is expected and what theory says.
    fn row(
        &self,
        measured: &mut Measured,
        what: &str,
        of: Propagation,
        number: Number,
        expected: Option<Expected>,
        law: Option<Law>,
    ) {
        match expected.and_then(|expected| of.wanted(expected)) {
            Some(Wanted::Below(bound)) => measured.at_most(what, number, bound),
            Some(Wanted::Value(expected)) => {
                measured.expected(what, number, Some(expected), self.tolerance);
            }
            None if law.is_none() => measured.expected(what, number, None, self.tolerance),
            None => {}
        }
        match law {
            // Beyond what rounding leaves of it.
            Some(law) if at_its_end(of, law.value) => {
                measured.at_most(what, number, LEAST_SEPARATION + 2.0);
            }
            Some(law) => measured.closed_form(what, number, law.value, law.slack),
            None => {}
        }
    }

    /// The slope over the depths where the number is not at the end of its range, beside that of the laws.
    fn slope_row(
        &self,
        measured: &mut Measured,
        of: Propagation,
        values: &[Vec<f64>],
        laws: &[Option<Law>],
    ) {
        let sloped = [
            Propagation::Separation,
            Propagation::Condition,
            Propagation::Gain,
            Propagation::FirstGradient,
        ];
        let inside = |values: &&Vec<f64>| {
            let value = median(&live(values));
            value.is_finite() && !at_its_end(of, value)
        };
        let count = values.iter().take_while(inside).count();
        if !sloped.contains(&of) || count < 2 {
            return;
        }
        let depths = &self.depths[..count];
        let number = Number::mean(&live(&slopes_of(depths, &values[..count])));
        let what = format!(
            "{} per 100 layers up to L = {}",
            of.words(),
            depths[count - 1]
        );
        let laws: Option<Vec<Law>> = laws[..count].iter().copied().collect();
        let Some(laws) = laws else {
            measured.expected(what, number, None, self.tolerance);
            return;
        };
        let wanted = slopes_of(
            depths,
            &laws.iter().map(|law| vec![law.value]).collect::<Vec<_>>(),
        );
        let x: Vec<f64> = depths.iter().map(|depth| *depth as f64).collect();
        let mean = x.iter().sum::<f64>() / count as f64;
        let across: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
        let slack = x
            .iter()
            .zip(&laws)
            .map(|(x, law)| (x - mean).abs() * law.slack);
        let slack = 100.0 * slack.sum::<f64>() / across;
        measured.closed_form(what, number, wanted[0], slack);
    }
}

/// Those of networks that are not off.
fn live(values: &[f64]) -> Vec<f64> {
    let live = values.iter().filter(|value| !value.is_nan());
    live.copied().collect()
}

/// Whether nothing but rounding is left: of the difference of two inputs, of the smallest singular value.
fn at_its_end(of: Propagation, value: f64) -> bool {
    match of {
        Propagation::Separation => value < LEAST_SEPARATION + 2.0,
        Propagation::Condition => 14.0 < value,
        _ => false,
    }
}
