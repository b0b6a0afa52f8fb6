//! The samplers of the Langevin table, and the variance that each leaves within a mode.

use ndarray::{Array1, Array2};
use noise_schedule::{Grid, Kernel};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use samplers::{AnnealedLangevin, Ddim, Heun, NoiseSource, PerSample, Silent, langevin, sample};
use score_objective::exact::{ExactScore, GaussianMixture};
use serde::Deserialize;

use super::place::Place;
use crate::{
    error::Error,
    stream::{Role, Stream},
};

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
    /// The probability flow from N(0, from² I) on the grid of Karras et al. 2022, equation 5, then to no noise.
    Ode {
        /// The first level.
        from: f64,
        /// The last level above zero.
        to: f64,
        /// Levels.
        levels: usize,
        /// ρ of the grid: 7 there.
        rho: f64,
        /// The steps.
        solver: FlowSolver,
    },
}

/// Steps along the probability flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowSolver {
    /// Of the first order, one evaluation: Euler's in σ, which is DDIM (Song, Meng and Ermon 2021).
    Euler,
    /// Of the second order, two evaluations (Karras et al. 2022, algorithm 1).
    Heun,
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

/// Whether modes of this variance, twice `half` apart, are one another's tails from four standard deviations on.
pub(super) fn stand_apart(variance: f64, half: f64) -> bool {
    16.0 * variance < half * half
}

impl AnnealedScore {
    /// Of the modes whose score it is, at a noise of this variance.
    fn variance(self, v: f64, noise: f64) -> f64 {
        match self {
            AnnealedScore::Noised => v + noise,
            AnnealedScore::ModesOfSigma => noise,
        }
    }
}

impl Sampler {
    /// Refuses impossible values; returns the evaluations that it takes.
    pub(super) fn check(self, place: &Place, variance: f64) -> Result<usize, Error> {
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
            Sampler::Ode {
                from,
                to,
                levels,
                rho,
                ..
            } => {
                place.positive("rho", rho)?;
                (from, to, levels)
            }
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
    pub(super) fn within(self, v: f64) -> f64 {
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
                    let of = score.variance(v, noise);
                    (0..steps).fold(variance, |variance, _| {
                        update(variance, of, epsilon * noise, 1.0)
                    })
                })
            }
            Sampler::Ode { .. } => v,
        }
    }

    /// The share of a start's square that is left after the last step, in a mode of variance `v` whose nearest neighbour is
    /// twice `half` away: levels that do not see the two apart forget nothing.
    pub(super) fn remembered(self, v: f64, half: f64) -> f64 {
        match self {
            Sampler::Langevin { step, steps, .. } => {
                (1.0 - 0.5 * step / v).abs().powf(2.0 * steps as f64)
            }
            Sampler::Annealed {
                from,
                to,
                levels,
                steps,
                epsilon,
                score,
            } => {
                let grid = Grid::geometric(from, to, levels).expect("it was checked");
                let kept = grid.levels().iter().map(|level| {
                    let noise = level.sigma().powi(2);
                    let of = score.variance(v, noise);
                    if stand_apart(of, half) {
                        (1.0 - 0.5 * epsilon * noise / of)
                            .abs()
                            .powf(2.0 * steps as f64)
                    } else {
                        1.0
                    }
                });
                kept.product()
            }
            Sampler::Ode { .. } => 0.0,
        }
    }

    /// So many samples. Langevin dynamics starts uniformly in ±`start`; samplers of one seed share points and noise.
    pub(super) fn draw(
        self,
        data: &GaussianMixture,
        start: f64,
        samples: usize,
        stream: Stream,
    ) -> Array2<f64> {
        let mut streams: Vec<ChaCha8Rng> = (0..samples)
            .map(|i| stream.at(Role::Sample, i as u64))
            .collect();
        let mut points = |draw: &dyn Fn(&mut ChaCha8Rng) -> f64| {
            let rows = streams
                .iter_mut()
                .flat_map(|rng| (0..data.dim()).map(|_| draw(rng)).collect::<Vec<f64>>());
            Array2::from_shape_vec((samples, data.dim()), rows.collect()).expect("whole rows")
        };
        let uniform = |rng: &mut ChaCha8Rng| rng.random_range(-start..start);
        match self {
            Sampler::Langevin {
                step,
                steps,
                temperature,
            } => {
                let x = points(&uniform);
                let mut noise = PerSample::new(streams);
                let score = &mut |x: &Array2<f64>| data.score(x.view(), 0.0);
                let mut tempered = |like: &Array2<f64>, from: Kernel, to: Kernel| {
                    noise.between(like, from, to) * temperature
                };
                langevin(score, &mut tempered, x, step, steps)
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
                let x = points(&uniform);
                let variances = match score {
                    AnnealedScore::Noised => data.variances().to_owned(),
                    AnnealedScore::ModesOfSigma => Array1::zeros(data.variances().len()),
                };
                let (weights, means) = (data.weights().to_owned(), data.means().to_owned());
                let whose = GaussianMixture::with_variances(weights, means, variances)
                    .expect("they are those of a mixture");
                let mut denoiser = |x: &Array2<f64>, k: Kernel| whose.denoise(x.view(), k.sigma());
                dynamics.run(&grid, &mut denoiser, &mut PerSample::new(streams), x)
            }
            Sampler::Ode {
                from,
                to,
                levels,
                rho,
                solver,
            } => {
                let grid = Grid::karras(to, from, rho, levels)
                    .expect("it was checked")
                    .then_clean();
                let x = points(&|rng| from * rng.sample::<f64, _>(StandardNormal));
                let mut denoiser = |x: &Array2<f64>, k: Kernel| data.denoise(x.view(), k.sigma());
                match solver {
                    FlowSolver::Euler => sample(&grid, Ddim, &mut denoiser, &mut Silent, x),
                    FlowSolver::Heun => sample(&grid, Heun, &mut denoiser, &mut Silent, x),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_forgotten_step_by_step() {
        let dynamics = |step, steps| Sampler::Langevin {
            step,
            steps,
            temperature: 1.0,
        };
        // x ← (1 − step/2v) x, squared.
        assert!((dynamics(1.0, 2).remembered(2.0, 9.0) - 0.75_f64.powi(4)).abs() < 1e-15);
        assert_eq!(dynamics(4.0, 1).remembered(2.0, 9.0), 0.0);
        let annealed = |score| Sampler::Annealed {
            from: 8.0,
            to: 2.0,
            levels: 3,
            steps: 3,
            epsilon: 0.5,
            score,
        };
        // Of the levels 8, 4 and 2 the modes stand apart at the last alone, from 4 √(1 + 4) on or from 8.
        let noised = annealed(AnnealedScore::Noised);
        assert!((noised.remembered(1.0, 9.0) - 0.8_f64.powi(6)).abs() < 1e-15);
        assert_eq!(noised.remembered(1.0, 8.5), 1.0);
        let own = annealed(AnnealedScore::ModesOfSigma);
        assert!((own.remembered(1.0, 8.5) - 0.75_f64.powi(6)).abs() < 1e-15);
    }
}
