//! How fast small networks learn a function, by how they are wired and started.

use ndarray::{Array2, Axis};
use rand::Rng;
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    mlp::{Adam, Mlp, Unit, Wiring, mean_square},
    network::{Law, Weights},
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number, median},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// Regression of y = sin 6x₁ cos 4x₂ + ½ sin 9x₁x₂ over the square \[−1, 1\]², y standardised, by networks of L hidden
/// layers, with Adam.
///
/// Each arm takes the rate of its list that reaches the threshold in the fewest steps, in the median over seeds, ties by
/// the loss that is left; a run that does not reach it takes all the steps, so that ratios to it are lower bounds.
/// Arms of a seed share the function's points and the draws of the matrices.
///
/// Range: steps in 1 to the most that are given, ratios in (0, ∞); invariant to the scale of the loss, which Adam divides
/// out.
/// They mislead where an arm's best rate is not on its list, and where steps cost different times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// L.
    pub depth: usize,
    /// Units per layer.
    pub width: usize,
    /// Points per step.
    pub batch: usize,
    /// Steps at most.
    pub steps: usize,
    /// Steps between two looks at the loss.
    pub every: usize,
    /// The share of the variance of y that may be left, on fresh points.
    pub threshold: f64,
    /// Probes of the trace of the loss's Hessian after the last step, by Hutchinson's estimate; none if 0.
    #[serde(default)]
    pub curvature: usize,
    /// Seeds.
    pub seeds: u32,
    /// The networks.
    pub arms: Vec<TrainingArm>,
    /// Pairs of arms, slow and fast, whose steps are divided.
    pub ratios: Vec<[String; 2]>,
    /// Around the expected values, of which there are none.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

/// One kind of network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingArm {
    /// Name.
    pub name: String,
    /// φ.
    pub activation: Trained,
    /// What a hidden layer does.
    pub wiring: Wiring,
    /// Of all matrices.
    pub weights: Weights,
    /// Adam's rates to choose from.
    pub rates: Vec<f64>,
}

/// φ of a network that is trained.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trained {
    /// max(0, a).
    Relu {},
    /// tanh a.
    Tanh {},
    /// Leaky ReLU whose slope α makes independent inputs have the cosine η after L layers (tailored activation
    /// transformation, Zhang et al. 2022).
    ///
    /// The cosine of two inputs follows c ← c + (1 − α)²/(π (1 + α²)) (√(1 − c²) − c arccos c), which is ReLU's at α = 0
    /// and the identity at α = 1.
    Tailored {
        /// η in (0, 1).
        eta: f64,
    },
}

/// What one run came to.
#[derive(Clone, Copy)]
struct Run {
    /// Steps to the threshold, all of them if it was not reached.
    steps: f64,
    /// The last loss looked at.
    loss: f64,
    /// The trace of its Hessian, if that was asked for.
    trace: f64,
}

const FRESH: usize = 512;

impl Table for Training {
    table_fields!("training");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("depth", self.depth, 1, 10_000)?;
        place.count("width", self.width, 2, 4096)?;
        place.count("batch", self.batch, 1, 100_000)?;
        place.count("steps", self.steps, 1, 10_000_000)?;
        place.count("every", self.every, 1, self.steps)?;
        place.positive("threshold", self.threshold)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        place.count("number of arms", self.arms.len(), 1, 100)?;
        let mut names = Vec::new();
        for arm in &self.arms {
            place.distinct("arms.name", &mut names, &arm.name)?;
            place.positive("arms.weights.gain", arm.weights.gain)?;
            if arm.weights.law == Law::Orthogonal {
                let rule = "the first and the last matrix are not square: choose normal or uniform";
                return Err(place.refuse("arms.weights.law", "\"orthogonal\"", rule));
            }
            place.count("number of rates", arm.rates.len(), 1, 100)?;
            for &rate in &arm.rates {
                place.positive("arms.rates", rate)?;
            }
            if let Trained::Tailored { eta } = arm.activation
                && !(0.0 < eta && eta < 1.0)
            {
                let rule = "it is a cosine after all layers: give one in (0, 1)";
                return Err(place.refuse("arms.activation.eta", eta, rule));
            }
        }
        let runs: usize = self.arms.iter().map(|arm| arm.rates.len()).sum();
        let work = (self.depth * self.width.pow(2)) as f64
            * (self.batch * self.steps) as f64
            * (runs * self.seeds as usize) as f64;
        place.work("depth · width² · batch · steps · rates · seeds", work, 1e12)?;
        for name in self.ratios.iter().flatten() {
            if !names.contains(&name.as_str()) {
                let rule = "no arm has that name: name two arms";
                return Err(place.refuse("ratios", format!("{name:?}"), rule));
            }
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "steps of Adam until a network has learned a function of two variables; the share of the variance that is left",
            parameters: format!(
                "{} hidden layers of width {}, batch {}, {} steps at most, threshold {}, {} seeds",
                self.depth, self.width, self.batch, self.steps, self.threshold, self.seeds
            ),
            ..Measured::default()
        };
        let best: Vec<Vec<Run>> = self
            .arms
            .iter()
            .map(|arm| {
                let (rate, runs) = self.best(arm, seed);
                measured.group.clone_from(&arm.name);
                let shown = [
                    ("best rate", Number::exact(rate)),
                    (
                        "steps to the threshold",
                        self.middle(&runs, |run| run.steps),
                    ),
                    (
                        "log₁₀ of what is left",
                        self.middle(&runs, |run| run.loss.log10()),
                    ),
                ];
                let trace = || self.middle(&runs, |run| run.trace);
                let trace = (0 < self.curvature).then(|| ("trace of the Hessian", trace()));
                for (what, number) in shown.into_iter().chain(trace) {
                    measured.expected(what, number, None, self.tolerance);
                }
                runs
            })
            .collect();
        measured.group = "ratios".to_owned();
        for [slow, fast] in &self.ratios {
            let of = |name: &String| {
                let place = self.arms.iter().position(|arm| arm.name == *name);
                &best[place.expect("it was checked")]
            };
            let pairs = || of(slow).iter().zip(of(fast));
            let times: Vec<f64> = pairs().map(|(a, b)| a.steps / b.steps).collect();
            let what = format!("steps of {slow} over those of {fast}");
            measured.expected(what, Number::median(&times), None, self.tolerance);
            let losses: Vec<f64> = pairs().map(|(a, b)| (a.loss / b.loss).log10()).collect();
            let what = format!("log₁₀ of what {slow} leaves over what {fast} leaves");
            measured.expected(what, Number::median(&losses), None, self.tolerance);
            if 0 < self.curvature {
                let traces: Vec<f64> = pairs().map(|(a, b)| a.trace / b.trace).collect();
                let what = format!("trace of the Hessian of {slow} over that of {fast}");
                measured.expected(what, Number::median(&traces), None, self.tolerance);
            }
        }
        measured
    }
}

impl Training {
    fn middle(&self, runs: &[Run], of: impl Fn(&Run) -> f64) -> Number {
        Number::median(&runs.iter().map(of).collect::<Vec<_>>())
    }

    /// The rate that is fastest, and its runs.
    fn best(&self, arm: &TrainingArm, seed: u64) -> (f64, Vec<Run>) {
        let unit = arm.activation.unit(self.depth);
        let runs = |rate: f64| -> Vec<Run> {
            let seeds = (0..u64::from(self.seeds)).into_par_iter();
            seeds
                .map(|index| self.run(arm, unit, rate, Stream::new(seed + index)))
                .collect()
        };
        let middle =
            |runs: &[Run], of: fn(&Run) -> f64| median(&runs.iter().map(of).collect::<Vec<f64>>());
        let mut found: Vec<(f64, Vec<Run>)> =
            arm.rates.iter().map(|&rate| (rate, runs(rate))).collect();
        found.sort_by(|(_, a), (_, b)| {
            let by = |of: fn(&Run) -> f64| middle(a, of).total_cmp(&middle(b, of));
            by(|run| run.steps).then(by(|run| run.loss))
        });
        found.swap_remove(0)
    }

    fn run(&self, arm: &TrainingArm, unit: Unit, rate: f64, stream: Stream) -> Run {
        let sizes = layer_sizes(self.depth, self.width);
        let mut network = Mlp::new(unit, arm.wiring, arm.weights, &sizes, stream);
        let mut adam = Adam::new(rate, &network);
        let (fresh, wanted) = points(FRESH, stream, Role::Probe, 0);
        let mut run = Run {
            steps: self.steps as f64,
            loss: f64::INFINITY,
            trace: f64::NAN,
        };
        for step in 1..=self.steps {
            let (x, y) = points(self.batch, stream, Role::Data, step as u64);
            let (_, gradient) = network.gradient(&x, |out| mean_square(out, &y));
            adam.step(&mut network, gradient);
            if step % self.every == 0 {
                run.loss = mean_square(&network.forward(&fresh), &wanted).0;
                // A run that diverged stays where it is.
                if !run.loss.is_finite() {
                    run.loss = f64::MAX;
                    break;
                }
                if run.loss <= self.threshold {
                    run.steps = step as f64;
                    break;
                }
            }
        }
        if 0 < self.curvature {
            // So far that single precision does not drown the difference, so near that it is one.
            const STEP: f32 = 1e-3;
            let slopes = |network: &Mlp| {
                let (_, gradient) = network.gradient(&fresh, |out| mean_square(out, &wanted));
                gradient
            };
            let probe = |i| network.curvature(&mut stream.at(Role::Probe, 1 + i), STEP, slopes);
            let sum: f64 = (0..self.curvature as u64).map(probe).sum();
            run.trace = sum / self.curvature as f64;
        }
        run
    }
}

impl Trained {
    fn unit(self, depth: usize) -> Unit {
        match self {
            Trained::Relu {} => Unit::Relu,
            Trained::Tanh {} => Unit::Tanh,
            Trained::Tailored { eta } => Unit::Leaky(tailored_slope(eta, depth)),
        }
    }
}

/// From the square to the function, over so many hidden layers.
pub(super) fn layer_sizes(depth: usize, width: usize) -> Vec<usize> {
    let hidden = std::iter::repeat_n(width, depth);
    std::iter::once(2).chain(hidden).chain([1]).collect()
}

/// Points of the square and the function there, of mean 0 and variance 1.
pub(super) fn points(
    n: usize,
    stream: Stream,
    role: Role,
    index: u64,
) -> (Array2<f32>, Array2<f32>) {
    // Over the square the function has the mean 0 by symmetry, and the variance of `VARIANCE`.
    const VARIANCE: f64 = 0.407_807_655_6;
    let rng = &mut stream.at(role, index);
    let x = Array2::from_shape_simple_fn((n, 2), || rng.random_range(-1.0..1.0_f64));
    let y = x.map_axis(Axis(1), |x| {
        let value = (6.0 * x[0]).sin() * (4.0 * x[1]).cos() + 0.5 * (9.0 * x[0] * x[1]).sin();
        (value / VARIANCE.sqrt()) as f32
    });
    (x.mapv(|x| x as f32), y.insert_axis(Axis(1)))
}

/// α with C^L(0) = η, or 0 where ReLU itself keeps inputs further apart.
fn tailored_slope(eta: f64, depth: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if eta < cosine(middle, depth) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The cosine of independent inputs after so many layers of leaky ReLU.
fn cosine(alpha: f64, depth: usize) -> f64 {
    use std::f64::consts::PI;
    let weight = (1.0 - alpha).powi(2) / (PI * (1.0 + alpha * alpha));
    (0..depth).fold(0.0_f64, |c, _| {
        (c + weight * ((1.0 - c * c).max(0.0).sqrt() - c * c.acos())).min(1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(steps: usize) -> Training {
        let arm = |name: &str, wiring, rate| TrainingArm {
            name: name.to_owned(),
            activation: Trained::Tanh {},
            wiring,
            weights: Weights {
                law: Law::Normal,
                gain: 1.0,
            },
            rates: vec![1e-9, rate],
        };
        Training {
            name: "t".to_owned(),
            about: Vec::new(),
            depth: 2,
            width: 24,
            batch: 64,
            steps,
            every: 10,
            threshold: 0.6,
            curvature: 0,
            seeds: 2,
            arms: vec![
                arm("slow", Wiring::Plain, 1e-8),
                arm("fast", Wiring::Residual, 1e-2),
            ],
            ratios: vec![["slow".to_owned(), "fast".to_owned()]],
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn the_function_has_mean_zero_and_variance_one() {
        let (_, y) = points(200_000, Stream::new(1), Role::Data, 0);
        let mean = y.mean().unwrap();
        let variance = y.mapv(|y| (y - mean).powi(2)).mean().unwrap();
        assert!(
            mean.abs() < 0.01 && (variance - 1.0).abs() < 0.01,
            "{mean} {variance}"
        );
    }

    #[test]
    fn tailored_slopes_keep_the_cosine_that_they_are_tailored_to() {
        assert!((cosine(0.0, 1) - 1.0 / std::f64::consts::PI).abs() < 1e-15);
        assert_eq!(cosine(1.0, 100), 0.0);
        for depth in [16, 128] {
            let alpha = tailored_slope(0.9, depth);
            assert!(
                (cosine(alpha, depth) - 0.9).abs() < 1e-9,
                "{depth}: {alpha}"
            );
        }
        assert!(tailored_slope(0.9, 16) < tailored_slope(0.9, 128));
        // Four layers of ReLU keep inputs further apart than that.
        assert!(tailored_slope(0.9, 4) < 1e-15);
    }

    #[test]
    fn the_better_rate_is_taken_and_a_slow_run_takes_all_steps() {
        let table = table(400);
        let measured = table.measure(3);
        let of = |group: &str, what: &str| {
            let mut rows = measured.rows.iter();
            let row = rows.find(|row| row.group == group && row.what == what);
            row.expect("the row is there").number.value
        };
        assert_eq!(of("slow", "steps to the threshold"), 400.0);
        assert_eq!(of("fast", "best rate"), 1e-2);
        assert!(of("fast", "steps to the threshold") < 400.0);
        assert!(1.0 < of("ratios", "steps of slow over those of fast"));
    }
}
