//! Sampling a mixture with its exact score: what each kind of noise is needed for.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use noise_schedule::{Grid, Kernel};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use samplers::{AnnealedLangevin, Heun, PerSample, Silent, sample};
use score_objective::exact::{ExactScore, GaussianMixture};
use serde::Deserialize;

use super::{
    report::{Found, Measured, Number},
    study::{Claim, Expected, Place, Table, Tolerance, table_fields},
    transport::Transport,
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// Samplers with the exact score of a mixture of isotropic Gaussians (Song and Ermon 2019, section 3.2 and figure 3).
///
/// Of each run: the share of samples nearest to the first mean; the variance per coordinate around the mean of the
/// samples of each mode; and KL(weights ‖ shares).
/// Closed forms: within a mode a Langevin step s with the score of N(μ, V) has the variance V ← (1 − s/2V)² V + s τ²; the
/// probability flow between two modes is the monotone map of the line through them.
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
    /// Variance of each mode.
    pub variance: f64,
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

/// How samples are drawn.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// x ← x + (step/2) score(x) + temperature √step z; temperature 0 is gradient ascent.
    Langevin {
        /// Step.
        step: f64,
        /// Steps.
        steps: usize,
        /// What the injected noise is multiplied by: 1 is Langevin dynamics.
        temperature: f64,
    },
    /// Annealed Langevin dynamics over geometric levels, with the step epsilon σ².
    Annealed {
        /// The first level.
        from: f64,
        /// The last level.
        to: f64,
        /// Levels.
        levels: usize,
        /// Steps at each.
        steps: usize,
        /// Step in units of σ².
        epsilon: f64,
        /// Whose score is followed.
        score: AnnealedScore,
    },
    /// The probability flow from N(0, from² I) by Heun's steps on the grid of Karras et al. 2022, then to no noise.
    Ode {
        /// The first level.
        from: f64,
        /// The last level above zero.
        to: f64,
        /// Levels.
        levels: usize,
    },
}

/// The score at level σ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnealedScore {
    /// Of the mixture with noise: modes of variance v + σ².
    Noised,
    /// Of modes of variance σ², as in the code of Song and Ermon 2019; at σ² = v it is the mixture's own.
    ModesOfSigma,
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
        place.mixture(&self.weights, self.means.len(), self.variance)?;
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
            if names.contains(&run.name.as_str()) {
                let rule = "another run has that name: give each its own";
                return Err(place.refuse("runs.name", format!("{:?}", run.name), rule));
            }
            names.push(&run.name);
            let place = Place(format!("{}, run {:?}", place.0, run.name));
            work += run.sampler.check(&place, self.variance)?;
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
        let mixture = |variance| {
            GaussianMixture::new(weights.clone(), means.clone(), variance).expect("it was checked")
        };
        let (data, modes) = (mixture(self.variance), mixture(0.0));
        let mut measured = Measured {
            meaning: "samplers with the exact score: share of the first mode, variance within modes, KL of the shares",
            parameters: format!(
                "weights {:?} at {:?}, variance {}; {} samples, {} seeds, start within ±{}",
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
                let x = self.draw(self.runs[run].sampler, &data, &modes, stream);
                Outcome::of(&x, &data)
            })
            .collect();
        let of_runs: Vec<&[Outcome]> = outcomes.chunks(self.seeds as usize).collect();
        for (run, outcomes) in self.runs.iter().zip(&of_runs) {
            let over = |f: fn(&Outcome) -> f64| {
                let values: Vec<f64> = outcomes.iter().map(f).collect();
                Number::mean(&values)
            };
            let flow = match run.sampler {
                Sampler::Ode { from, .. } => Transport::between(&data).map(|t| t.flow(from)),
                Sampler::Langevin { .. } | Sampler::Annealed { .. } => None,
            };
            let within = match (run.sampler, flow) {
                (Sampler::Ode { .. }, flow) => flow.map(|flow| flow.within),
                (sampler, _) => Some(sampler.within(self.variance)),
            };
            let rows = [
                (
                    "first mode",
                    over(|o| o.share),
                    run.weight,
                    flow.map(|f| f.share),
                ),
                ("variance within", over(|o| o.within), run.within, within),
                ("KL", over(|o| o.divergence), run.divergence, None),
            ];
            for (what, number, expected, law) in rows {
                let what = format!("{}, {what}", run.name);
                if expected.is_some() {
                    measured.expected(&what, number, expected, self.tolerance);
                }
                if let Some(law) = law {
                    measured.closed_form(what, number, law, 0.01 * law + 1e-9);
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

impl LangevinMeasure {
    fn run(&self) -> &str {
        match self {
            LangevinMeasure::WeightError { run } | LangevinMeasure::Within { run } => run,
        }
    }
}

impl Langevin {
    /// The samples of one run and one seed. Runs of one seed share starting points and noise.
    fn draw(
        &self,
        sampler: Sampler,
        data: &GaussianMixture,
        modes: &GaussianMixture,
        stream: Stream,
    ) -> Array2<f64> {
        let mut streams: Vec<ChaCha8Rng> = (0..self.samples)
            .map(|i| stream.at(Role::Sample, i as u64))
            .collect();
        let mut start = |draw: &dyn Fn(&mut ChaCha8Rng) -> f64| {
            let rows = streams
                .iter_mut()
                .flat_map(|rng| (0..data.dim()).map(|_| draw(rng)).collect::<Vec<f64>>());
            Array2::from_shape_vec((self.samples, data.dim()), rows.collect()).expect("whole rows")
        };
        let uniform = |rng: &mut ChaCha8Rng| rng.random_range(-self.start..self.start);
        match sampler {
            Sampler::Langevin {
                step,
                steps,
                temperature,
            } => {
                let x = start(&uniform);
                let mut noise = PerSample::new(streams);
                let score = &mut |x: &Array2<f64>| data.score(x.view(), 0.0);
                if temperature == 1.0 {
                    return samplers::langevin(score, &mut noise, x, step, steps);
                }
                // Noise that is multiplied by the temperature is noise all the same.
                let mut tempered = |like: &Array2<f64>, from: Kernel, to: Kernel| {
                    samplers::NoiseSource::between(&mut noise, like, from, to) * temperature
                };
                samplers::langevin(score, &mut tempered, x, step, steps)
            }
            Sampler::Annealed {
                from,
                to,
                levels,
                steps,
                epsilon,
                score,
            } => {
                let dynamics = AnnealedLangevin {
                    epsilon,
                    steps_per_level: steps,
                    final_denoise: false,
                };
                let grid = Grid::geometric(from, to, levels).expect("it was checked");
                let x = start(&uniform);
                let whose = match score {
                    AnnealedScore::Noised => data,
                    AnnealedScore::ModesOfSigma => modes,
                };
                let mut denoiser = |x: &Array2<f64>, k: Kernel| whose.denoise(x.view(), k.sigma());
                dynamics.run(&grid, &mut denoiser, &mut PerSample::new(streams), x)
            }
            Sampler::Ode { from, to, levels } => {
                let grid = Grid::karras(to, from, 7.0, levels)
                    .expect("it was checked")
                    .then_clean();
                let x = start(&|rng| from * rng.sample::<f64, _>(rand_distr::StandardNormal));
                let mut denoiser = |x: &Array2<f64>, k: Kernel| data.denoise(x.view(), k.sigma());
                sample(&grid, Heun, &mut denoiser, &mut Silent, x)
            }
        }
    }
}

impl Sampler {
    /// Refuses impossible values; returns the evaluations that it takes.
    fn check(self, place: &Place, variance: f64) -> Result<usize, Error> {
        let (from, to, levels) = match self {
            Sampler::Langevin {
                step,
                steps,
                temperature,
            } => {
                place.positive("step", step)?;
                place.non_negative("temperature", temperature)?;
                place.count("steps", steps, 1, 10_000_000)?;
                if 4.0 * variance <= step {
                    let rule = format!(
                        "steps of 4 · variance = {} and more grow without end: take smaller ones",
                        4.0 * variance
                    );
                    return Err(place.refuse("step", step, &rule));
                }
                return Ok(steps);
            }
            Sampler::Annealed {
                from,
                to,
                levels,
                steps,
                epsilon,
                ..
            } => {
                place.positive("epsilon", epsilon)?;
                place.count("steps", steps, 1, 10_000_000)?;
                if 4.0 <= epsilon {
                    let rule = "steps of 4 σ² and more grow without end: take a smaller epsilon";
                    return Err(place.refuse("epsilon", epsilon, rule));
                }
                (from, to, levels)
            }
            Sampler::Ode { from, to, levels } => (from, to, levels),
        };
        place.positive("from", from)?;
        place.positive("to", to)?;
        if from <= to {
            let rule = format!("levels fall, from {from}: choose a smaller one");
            return Err(place.refuse("to", to, &rule));
        }
        place.count("levels", levels, 2, 100_000)?;
        Ok(match self {
            Sampler::Annealed { steps, .. } => levels.saturating_mul(steps),
            Sampler::Ode { .. } | Sampler::Langevin { .. } => 2 * levels,
        })
    }

    /// The variance within a mode of variance `v` after the last step, from a start that is forgotten.
    fn within(self, v: f64) -> f64 {
        let update = |variance: f64, of: f64, step: f64, temperature: f64| {
            (1.0 - 0.5 * step / of).powi(2) * variance + step * temperature.powi(2)
        };
        match self {
            Sampler::Langevin {
                step,
                steps,
                temperature,
            } => (0..steps).fold(v, |variance, _| update(variance, v, step, temperature)),
            Sampler::Annealed {
                from,
                to,
                levels,
                steps,
                epsilon,
                score,
            } => {
                let grid = Grid::geometric(from, to, levels).expect("it was checked");
                grid.levels().iter().fold(from * from, |variance, level| {
                    let noise = level.sigma().powi(2);
                    let of = match score {
                        AnnealedScore::Noised => v + noise,
                        AnnealedScore::ModesOfSigma => noise,
                    };
                    (0..steps).fold(variance, |variance, _| {
                        update(variance, of, epsilon * noise, 1.0)
                    })
                })
            }
            Sampler::Ode { .. } => v,
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
