//! What depth does to signals and gradients before training.

use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    mean_field::MeanField,
    network::{Activation, Batch, Biases, Connection, Design, Norm, Weights},
    place::Place,
    propagation::{Numbers, Propagation, numbers_of},
    report::{Found, Measured, Number},
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    fit::slope,
    stream::{Role, Stream},
};

/// Random networks of square layers at initialisation, on independent standard normal inputs.
///
/// Depth counts layers of a plain network and blocks of a residual one.
/// Arms of a seed share the draws of each layer and the inputs.
/// Second moments and cosines are held against the limit of infinite width ([`Poole et al. 2016`][p]), to what a finite
/// width moves: the logarithm of a norm has a variance of about 5 L/n (Hanin and Nica 2020).
///
/// [p]: https://arxiv.org/abs/1606.05340
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
    /// Inputs whose cosines are taken.
    pub inputs: usize,
    /// Of those, inputs at which the Jacobian is taken.
    pub points: usize,
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
    /// The median over seeds.
    pub value: Expected,
}

/// What a claim about depth measures, one number per seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DepthMeasure {
    /// The number of one arm.
    Value {
        /// Of what.
        of: Propagation,
        /// At which depth.
        depth: usize,
        /// The arm.
        arm: String,
    },
    /// The number of `arm` − that of `than`.
    Difference {
        /// Of what.
        of: Propagation,
        /// At which depth.
        depth: usize,
        /// The arm.
        arm: String,
        /// What it is compared with.
        than: String,
    },
    /// The slope over all depths, per 100 layers, by least squares.
    Slope {
        /// Of what.
        of: Propagation,
        /// The arm.
        arm: String,
    },
}

impl Table for Depth {
    table_fields!("depth");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 2, 512)?;
        place.depths(&self.depths, 1)?;
        place.count("inputs", self.inputs, 2, 1000)?;
        place.count("points", self.points, 1, self.inputs)?;
        place.count("seeds", self.seeds as usize, 1, 1000)?;
        place.count("number of arms", self.arms.len(), 1, 100)?;
        let layers: usize = self.depths.iter().sum();
        let work = layers as f64
            * (self.width.pow(3) * self.points) as f64
            * f64::from(self.seeds)
            * self.arms.len() as f64;
        if 1e11 < work {
            let rule = "width³ · points · depths · seeds · arms above 10¹¹ takes minutes: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
        }
        let mut names: Vec<&str> = Vec::new();
        for arm in &self.arms {
            place.distinct("arms.name", &mut names, &arm.name)?;
            let place = Place(format!("{}, arm {:?}", place.0, arm.name));
            arm.design().check(&place)?;
            for expected in &arm.expected {
                let asked = arm.measures.contains(&expected.measure);
                if !asked || !self.depths.contains(&expected.depth) {
                    let rule =
                        "its measure is not in measures, or its depth not in depths: add it there";
                    let given = format!("{:?} at {}", expected.measure, expected.depth);
                    return Err(place.refuse("expected", given, rule));
                }
            }
        }
        for claim in &self.claims {
            let (arms, depth) = match &claim.measure {
                DepthMeasure::Value { arm, depth, .. } => (vec![arm], Some(*depth)),
                DepthMeasure::Difference {
                    arm, than, depth, ..
                } => (vec![arm, than], Some(*depth)),
                DepthMeasure::Slope { arm, .. } => (vec![arm], None),
            };
            if let Some(arm) = arms.into_iter().find(|arm| !names.contains(&arm.as_str())) {
                let rule = format!("there is no such arm: name one of {}", names.join(", "));
                return Err(place.refuse("claims.measure", format!("{arm:?}"), &rule));
            }
            match depth {
                Some(depth) if !self.depths.contains(&depth) => {
                    let rule = "it is not one of depths: add it there";
                    return Err(place.refuse("claims.measure.depth", depth, rule));
                }
                None if self.depths.len() < 2 => {
                    let rule = "a slope takes two depths: give more";
                    return Err(place.refuse("number of depths", self.depths.len(), rule));
                }
                _ => {}
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
        // One number per seed.
        let numbers = |arm: usize, depth: usize, of: Propagation| -> Vec<f64> {
            let seeds = found
                .chunks(self.seeds as usize)
                .nth(arm)
                .expect("every arm ran");
            seeds
                .iter()
                .map(|depths| depths[depth][of.place()])
                .collect()
        };
        let mut measured = Measured {
            meaning: "signals and Jacobians J of random networks: medians over seeds",
            parameters: format!(
                "width {}, {} inputs, Jacobians at {}, {} seeds",
                self.width, self.inputs, self.points, self.seeds
            ),
            ..Measured::default()
        };
        for (index, arm) in self.arms.iter().enumerate() {
            measured.group.clone_from(&arm.name);
            for &of in &arm.measures {
                for (place, &depth) in self.depths.iter().enumerate() {
                    let number = Number::median(&numbers(index, place, of));
                    let what = format!("{}, L = {depth}", of.words());
                    let expected = arm.expected.iter();
                    let expected = expected.filter(|e| e.measure == of && e.depth == depth);
                    let expected = expected.map(|e| e.value).next();
                    let law = self.law(&arm.design(), depth, of);
                    if expected.is_some() || law.is_none() {
                        measured.expected(&what, number, expected, self.tolerance);
                    }
                    if let Some((law, tolerance)) = law {
                        measured.closed_form(what, number, law, tolerance);
                    }
                }
            }
        }
        let arm = |name: &str| {
            let place = self.arms.iter().position(|arm| arm.name == name);
            place.expect("it was checked")
        };
        let depth = |depth: usize| {
            let place = self.depths.iter().position(|d| *d == depth);
            place.expect("it was checked")
        };
        for claim in &self.claims {
            measured.found.push(match &claim.measure {
                DepthMeasure::Value {
                    of,
                    depth: at,
                    arm: one,
                } => Found::seeds(
                    format!("{}, L = {at}, {one}", of.words()),
                    numbers(arm(one), depth(*at), *of),
                ),
                DepthMeasure::Difference {
                    of,
                    depth: at,
                    arm: one,
                    than,
                } => {
                    let pairs = numbers(arm(one), depth(*at), *of);
                    let pairs = pairs.iter().zip(numbers(arm(than), depth(*at), *of));
                    Found::seeds(
                        format!("{}, L = {at}, {one} − {than}", of.words()),
                        pairs.map(|(a, b)| a - b).collect(),
                    )
                }
                DepthMeasure::Slope { of, arm: one } => {
                    let curves: Vec<Vec<f64>> = (0..self.depths.len())
                        .map(|place| numbers(arm(one), place, *of))
                        .collect();
                    let slope = |s: usize| {
                        let depths = self.depths.iter().map(|&depth| depth as f64);
                        let points: Vec<_> =
                            depths.zip(curves.iter().map(|values| values[s])).collect();
                        100.0 * slope(&points).unwrap_or(f64::NAN)
                    };
                    Found::seeds(
                        format!("{} per 100 layers, {one}", of.words()),
                        (0..self.seeds as usize).map(slope).collect(),
                    )
                }
            });
        }
        measured
    }
}

impl Arm {
    fn design(&self) -> Design {
        Design {
            activation: self.activation,
            connection: self.connection,
            norm: Norm::None,
            weights: self.weights,
            biases: self.biases,
        }
    }
}

impl Depth {
    /// The numbers of one network at each depth.
    fn propagate(&self, design: &Design, stream: Stream) -> Vec<Numbers> {
        let mut rng = stream.at(Role::Data, 0);
        let x = Array2::from_shape_simple_fn((self.inputs, self.width), || {
            rng.sample::<f64, _>(StandardNormal)
        });
        let mut numbers = Vec::with_capacity(self.depths.len());
        for depths in design.passes(&self.depths) {
            let last = depths[depths.len() - 1];
            let factor = design.factor(last);
            let n = self.width;
            let mut batch = Batch {
                h: x.clone(),
                // Of each point, along each axis.
                tangents: Array2::from_shape_fn((n * self.points, n), |(row, axis)| {
                    f64::from(u8::from(row / self.points == axis))
                }),
                points: self.points,
            };
            for l in 0..last {
                let layer = design.layer(n, &mut stream.at(Role::Init, l as u64));
                batch = design.advance(batch, &layer, factor);
                if depths.contains(&(l + 1)) {
                    numbers.push(numbers_of(&x, &batch));
                }
            }
        }
        numbers
    }

    /// What infinite width gives, and how far a finite one may be from it.
    fn law(&self, design: &Design, depth: usize, of: Propagation) -> Option<(f64, f64)> {
        let state = MeanField::at(design, self.width, depth)?;
        // The sum over layers of what one of them adds to the variance of ln ‖h‖².
        let steps: f64 = (0..depth).map(|_| design.factor(depth).powi(2)).sum();
        let spread = 5.0 * steps / self.width as f64;
        match of {
            Propagation::Growth => {
                let decades = |nats: f64| nats / std::f64::consts::LN_10;
                // The mean of a logarithm is half its variance below the logarithm of the mean.
                Some((
                    state.square.log10(),
                    0.05 + decades(0.5 * spread + spread.sqrt()),
                ))
            }
            Propagation::Cosine => {
                let cosine = state.cosine();
                // An angle is off by a share of itself, near 1 too.
                Some((cosine, (1.0 - cosine) * (0.05 + spread) + 1e-9))
            }
            _ => None,
        }
    }
}
