//! Sampling a mixture with its exact score: what each kind of noise is needed for.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rayon::prelude::*;
use score_objective::exact::GaussianMixture;
use serde::Deserialize;

use super::{
    finite_width::Law,
    modes::Variances,
    place::Place,
    report::{Found, How, Measured, Number},
    sampler::{FlowSolver, Sampler, stand_apart},
    study::{Claim, Expected, Table, Tolerance, table_fields},
    transport::Transport,
};
use crate::{error::Error, stream::Stream};

/// Samplers with the exact score of a mixture of isotropic Gaussians (Song and Ermon 2019, section 3.2 and figure 3).
///
/// Of each run: the share of samples nearest to the first mean; the variance per coordinate around the mean of the
/// samples of each mode; and KL(weights ‖ shares).
/// Closed forms, for modes that are as wide: within a mode a Langevin step s with the score of N(μ, V) has the variance
/// V ← (1 − s/2V)² V + s τ²; the probability flow between two modes is the monotone map of the line through them.
/// What is registered is held against them too, since they are not sampled.
/// Samplers of a seed share their starts and their noise, so that rows of a kind are off in one direction together.
///
/// Range: shares in \[0, 1\], variances and KL in \[0, ∞), KL with half a sample for a mode that has none.
/// Invariant to rotations, and to the scale of x, σ, start and step² together.
/// Shares mislead where modes overlap: a sample is given to the nearest mean. The variance is about each mode's own mean,
/// so that it does not see a mode in the wrong place. KL of few samples is biased upwards, by (modes − 1)/2n.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Langevin {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Weights, divided by their sum.
    pub weights: Vec<f64>,
    /// Means, each a point.
    pub means: Vec<Vec<f64>>,
    /// Variance of each mode: a number, or a list.
    pub variance: Variances,
    /// Langevin dynamics starts uniformly in \[−start, start\]^D.
    pub start: f64,
    /// Samples per seed.
    pub samples: usize,
    /// Seeds.
    pub seeds: u32,
    /// What is run.
    pub runs: Vec<Run>,
    /// Around the expected values.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<LangevinMeasure>>,
}

/// One sampler.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name, for claims.
    pub name: String,
    /// How samples are drawn.
    pub sampler: Sampler,
    /// Expected share of the first mode.
    pub weight: Option<Expected>,
    /// Expected variance within modes.
    pub within: Option<Expected>,
    /// Expected KL divergence of the shares.
    pub divergence: Option<Expected>,
}

/// What a claim about sampling measures, one number per seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LangevinMeasure {
    /// Total variation between weights and shares.
    WeightError {
        /// The run.
        run: String,
    },
    /// The variance within modes.
    Within {
        /// The run.
        run: String,
    },
}

/// What one seed of one run gave.
struct Outcome {
    share: f64,
    within: f64,
    divergence: f64,
    weight_error: f64,
}

impl Table for Langevin {
    table_fields!("langevin");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.mixture(&self.weights, self.means.len(), &self.variance)?;
        let dim = self.means[0].len();
        place.count("dimension of means", dim, 1, 1024)?;
        for mean in &self.means {
            if mean.len() != dim {
                let rule = format!("the first mean has {dim} coordinates: give as many");
                return Err(place.refuse("means", format!("{mean:?}"), &rule));
            }
            for &coordinate in mean {
                place.finite("means", coordinate)?;
            }
        }
        place.positive("start", self.start)?;
        place.count("samples", self.samples, 10, 100_000)?;
        place.count("seeds", self.seeds as usize, 1, 1000)?;
        let mut names: Vec<&str> = Vec::new();
        let mut work = 0;
        for run in &self.runs {
            place.distinct("runs.name", &mut names, &run.name)?;
            let place = Place(format!("{}, run {:?}", place.0, run.name));
            work += run.sampler.check(&place, self.variance.smallest())?;
        }
        let work = work as f64 * self.samples as f64 * f64::from(self.seeds) * dim as f64;
        if 2e9 < work {
            let rule = "steps · samples · seeds · dimension above 2·10⁹ takes more than a minute: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
        }
        for claim in &self.claims {
            let run = claim.measure.run();
            if !names.contains(&run) {
                let rule = format!("there is no such run: name one of {}", names.join(", "));
                return Err(place.refuse("claims.measure.run", format!("{run:?}"), &rule));
            }
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let means = Array2::from_shape_fn((self.means.len(), self.means[0].len()), |(k, i)| {
            self.means[k][i]
        });
        let weights = Array1::from(self.weights.clone());
        let data =
            GaussianMixture::with_variances(weights, means, self.variance.of(self.means.len()))
                .expect("it was checked");
        let mut measured = Measured {
            meaning: "samplers with the exact score: share of the first mode, variance within modes, KL of the shares",
            parameters: format!(
                "weights {:?} at {:?}, {}; {} samples, {} seeds, start within ±{}",
                self.weights, self.means, self.variance, self.samples, self.seeds, self.start
            ),
            ..Measured::default()
        };
        let jobs: Vec<(usize, u32)> = (0..self.runs.len())
            .flat_map(|run| (0..self.seeds).map(move |s| (run, s)))
            .collect();
        let outcomes: Vec<Outcome> = jobs
            .into_par_iter()
            .map(|(run, s)| {
                let stream = Stream::new(seed.wrapping_add(u64::from(s)));
                let x = self.runs[run]
                    .sampler
                    .draw(&data, self.start, self.samples, stream);
                Outcome::of(&x, &data)
            })
            .collect();
        let of_runs: Vec<&[Outcome]> = outcomes.chunks(self.seeds as usize).collect();
        for (run, outcomes) in self.runs.iter().zip(&of_runs) {
            let over = |f: fn(&Outcome) -> f64| {
                let values: Vec<f64> = outcomes.iter().map(f).collect();
                Number::mean(&values)
            };
            let (share, within) = self.laws(run.sampler, &data, Stream::new(seed));
            let rows = [
                ("first mode", over(|o| o.share), run.weight, share),
                ("variance within", over(|o| o.within), run.within, within),
                ("KL", over(|o| o.divergence), run.divergence, None),
            ];
            measured.group.clone_from(&run.name);
            for (what, number, expected, law) in rows {
                if expected.is_some() {
                    measured.expected(what, number, expected, self.tolerance);
                }
                let Some(Law { value, slack }) = law else {
                    continue;
                };
                measured.closed_form(what, number, value, slack);
                if expected.is_some() {
                    let exact = Number {
                        value,
                        error: slack,
                        how: How::Grid,
                    };
                    let what = format!("{what}, closed form");
                    measured.expected(what, exact, expected, self.tolerance);
                }
            }
        }
        for claim in &self.claims {
            let run = self
                .runs
                .iter()
                .position(|run| run.name == claim.measure.run());
            let outcomes = of_runs[run.expect("it was checked")];
            measured.found.push(match &claim.measure {
                LangevinMeasure::WeightError { run } => Found::seeds(
                    format!("total variation of the weights, {run}"),
                    outcomes.iter().map(|o| o.weight_error).collect(),
                ),
                LangevinMeasure::Within { run } => Found::seeds(
                    format!("variance within modes, {run}"),
                    outcomes.iter().map(|o| o.within).collect(),
                ),
            });
        }
        measured
    }
}

impl Langevin {
    /// Of the share of the first mode and of the variance within modes; none for modes that are not as wide, that reach
    /// into each other, or for runs that are too short to forget their start.
    fn laws(
        &self,
        sampler: Sampler,
        data: &GaussianMixture,
        stream: Stream,
    ) -> (Option<Law>, Option<Law>) {
        let Some(variance) = self.variance.equal() else {
            return (None, None);
        };
        let half = 0.5 * self.nearest();
        let coordinates = self.means.iter().flatten();
        let largest = coordinates.fold(0.0, |most, x| f64::max(most, x.abs()));
        let left = sampler.remembered(variance, half) * (self.start + largest).powi(2);
        let within = |slack: f64| {
            let value = sampler.within(variance);
            let holds = left <= slack * value && stand_apart(value.max(variance), half);
            holds.then_some(Law {
                value,
                slack: slack * value,
            })
        };
        match sampler {
            Sampler::Langevin {
                temperature: 0.0, ..
            } => {
                // The rounding of the positions is left, which one step passes on to the next, and the start.
                let rounding = (2.0_f64.powi(-46) * largest).powi(2);
                let holds = left <= 1e-3 * variance && stand_apart(variance, half);
                let law = Law {
                    value: 0.0,
                    slack: rounding + left,
                };
                (None, holds.then_some(law))
            }
            Sampler::Langevin { .. } => (None, within(1e-3)),
            // The first levels do not see modes apart.
            Sampler::Annealed { .. } => (None, within(0.01)),
            // A last step from far away is one guess of where the point belongs.
            Sampler::Ode { to, levels, .. } if 1e-3 * variance < to * to || levels < 10 => {
                (None, None)
            }
            Sampler::Ode {
                from,
                to,
                levels,
                rho,
                solver,
            } => {
                let Some(flow) = Transport::between(data).map(|transport| transport.flow(from))
                else {
                    return (None, None);
                };
                // What the solver's steps leave, by what half of them leave: the same starts on twice as many levels.
                let finer = Sampler::Ode {
                    from,
                    to,
                    levels: 2 * levels,
                    rho,
                    solver,
                };
                let [coarse, fine] = [sampler, finer].map(|sampler| {
                    Outcome::of(&sampler.draw(data, self.start, self.samples, stream), data)
                });
                // Where that is much, twice as many are no nearer to the flow.
                let moved = (coarse.within - fine.within).abs();
                if 0.1 * coarse.within.min(fine.within) < moved {
                    return (None, None);
                }
                let order = match solver {
                    FlowSolver::Heun => 2.0,
                    FlowSolver::Euler => 3.0,
                };
                let law = |value: f64, of: fn(&Outcome) -> f64| Law {
                    value,
                    slack: 0.002 * value + order * (of(&coarse) - of(&fine)).abs(),
                };
                (
                    Some(law(flow.share, |o| o.share)),
                    Some(law(flow.within, |o| o.within)),
                )
            }
        }
    }

    /// The smallest distance between two means; infinite for one mode.
    fn nearest(&self) -> f64 {
        let pairs = (self.means.iter().enumerate())
            .flat_map(|(k, a)| self.means[..k].iter().map(move |b| (a, b)));
        let distance = |(a, b): (&Vec<f64>, &Vec<f64>)| {
            let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
            squares.sum::<f64>().sqrt()
        };
        pairs.map(distance).fold(f64::INFINITY, f64::min)
    }
}

impl LangevinMeasure {
    fn run(&self) -> &str {
        match self {
            LangevinMeasure::WeightError { run } | LangevinMeasure::Within { run } => run,
        }
    }
}

impl Outcome {
    fn of(x: &Array2<f64>, data: &GaussianMixture) -> Outcome {
        let modes = data.weights().len();
        let centres = data.means();
        let nearest = |row: ArrayView1<'_, f64>| {
            let distances = centres.rows().into_iter().map(|mean| {
                let apart = &row - &mean;
                apart.dot(&apart)
            });
            let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            nearest.expect("there is a mode").0
        };
        let labels: Vec<usize> = x.rows().into_iter().map(nearest).collect();
        let mut counts = vec![0.0; modes];
        let mut means = Array2::<f64>::zeros((modes, x.ncols()));
        for (row, &k) in x.rows().into_iter().zip(&labels) {
            counts[k] += 1.0;
            means.row_mut(k).scaled_add(1.0, &row);
        }
        for (mut mean, &count) in means.axis_iter_mut(Axis(0)).zip(&counts) {
            mean /= f64::max(count, 1.0);
        }
        let squares = x.rows().into_iter().zip(&labels).map(|(row, &k)| {
            let apart = &row - &means.row(k);
            apart.dot(&apart)
        });
        let n = x.nrows() as f64;
        let used = counts.iter().filter(|count| 0.0 < **count).count() as f64;
        let pairs = || {
            data.weights()
                .into_iter()
                .zip(counts.iter().map(|count| count / n))
        };
        Outcome {
            share: counts[0] / n,
            // Each mode's own mean takes one sample.
            within: squares.sum::<f64>() / ((n - used).max(1.0) * x.ncols() as f64),
            // A mode without a sample counts as half of one.
            divergence: pairs()
                .map(|(w, share)| w * (w / share.max(0.5 / n)).ln())
                .sum(),
            weight_error: 0.5 * pairs().map(|(w, share)| (w - share).abs()).sum::<f64>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sampler: Sampler) -> Langevin {
        Langevin {
            name: "l".to_owned(),
            about: Vec::new(),
            weights: vec![0.7, 0.3],
            means: vec![vec![3.0], vec![-1.0]],
            variance: Variances::Equal(0.25),
            start: 8.0,
            samples: 2000,
            seeds: 4,
            runs: vec![Run {
                name: "r".to_owned(),
                sampler,
                weight: None,
                within: None,
                divergence: None,
            }],
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn a_flow_is_held_to_what_its_own_steps_leave_of_it() {
        let flow = |levels, rho, solver| Sampler::Ode {
            from: 20.0,
            to: 0.01,
            levels,
            rho,
            solver,
        };
        // Levels that are evenly spread, ρ = 1, miss the variance by a seventh; fewer tell nothing.
        for (levels, rho, solver, slack) in [
            (200, 7.0, FlowSolver::Heun, Some(0.01)),
            (50, 7.0, FlowSolver::Euler, Some(0.2)),
            (100, 1.0, FlowSolver::Heun, Some(0.2)),
            (20, 1.0, FlowSolver::Heun, None),
        ] {
            let rows = table(flow(levels, rho, solver)).measure(2).rows;
            assert_eq!(
                rows.is_empty(),
                slack.is_none(),
                "{levels} {rho} {solver:?}"
            );
            for row in rows {
                let wanted = row.wanted.expect("a closed form");
                let off = (row.number.value - wanted).abs();
                let allowed = row.tolerance + 4.0 * row.number.error;
                assert!(
                    off <= allowed,
                    "{levels} {rho} {}: {off} {allowed}",
                    row.what
                );
                assert!(row.tolerance < slack.unwrap() * wanted, "{}", row.tolerance);
            }
        }
    }
}
