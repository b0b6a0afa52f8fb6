//! Sampling with a score: counted, held back where particles leave, and one step at a time.

use std::mem::take;

use ndarray::Array2;
use noise_schedule::{Grid, Kernel};
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use samplers::{AnnealedLangevin, Heun, PerSample, Silent, langevin, sample};

use super::Score;
use crate::{
    config::{CellConfig, Start},
    stream::{Role, Stream},
};

/// A coordinate beyond this has diverged.
const BEYOND: f64 = 1e6;

/// A score that answers samplers, counts, and holds back particles that have left.
pub(super) struct Guarded<'a> {
    pub(super) score: &'a Score<'a>,
    pub(super) evaluations: u64,
    pub(super) diverged_at: Option<u64>,
}

impl<'a> Guarded<'a> {
    pub(super) fn new(score: &'a Score<'a>) -> Guarded<'a> {
        Guarded {
            score,
            evaluations: 0,
            diverged_at: None,
        }
    }

    fn score(&mut self, x: &Array2<f64>, sigma: f64) -> Array2<f64> {
        let step = self.evaluations;
        self.evaluations += 1;
        if self.diverged_at.is_some() {
            return Array2::zeros(x.raw_dim());
        }
        let score = (self.score)(x.view(), sigma);
        if x.iter().any(left) || score.iter().any(|v| !v.is_finite()) {
            self.diverged_at = Some(step);
            return Array2::zeros(x.raw_dim());
        }
        score
    }

    /// Looks at where the last step led, which no evaluation sees.
    pub(super) fn arrived(&mut self, x: &Array2<f64>) {
        if self.diverged_at.is_none() && x.iter().any(left) {
            self.diverged_at = Some(self.evaluations);
        }
    }

    fn denoise(&mut self, x: &Array2<f64>, at: Kernel) -> Array2<f64> {
        let sigma = at.sigma();
        x + &(self.score(x, sigma) * (sigma * sigma))
    }
}

fn left(v: &f64) -> bool {
    v.is_nan() || BEYOND <= v.abs()
}

/// The main sampler on its way: plain Langevin dynamics at the smallest level where noise is off, annealed
/// Langevin dynamics with a last denoising where it is on.
pub(super) struct Walk {
    pub(super) x: Array2<f64>,
    pub(super) noise: PerSample<ChaCha8Rng>,
}

impl Walk {
    /// The walk from the starting points of an arm.
    pub(super) fn new(config: &CellConfig, starts: &Starts) -> Walk {
        let x = if config.objective.uses_noise() {
            &starts.annealed
        } else {
            &starts.langevin
        };
        Walk {
            x: x.clone(),
            noise: PerSample::new(starts.streams.clone()),
        }
    }

    /// Steps in all, one evaluation each: the budget, and for annealed Langevin the last denoising, for plain
    /// Langevin as much.
    pub(super) fn steps(config: &CellConfig) -> u64 {
        config.sampling.evaluations as u64 + 1
    }

    /// Takes the step after `step` others.
    pub(super) fn advance(&mut self, score: &mut Guarded<'_>, config: &CellConfig, step: u64) {
        let sampling = &config.sampling;
        let x = take(&mut self.x);
        if !config.objective.uses_noise() {
            let level = config.noise.sigma_min;
            let score = &mut |x: &Array2<f64>| score.score(x, level);
            self.x = langevin(score, &mut self.noise, x, sampling.langevin.step, 1);
            return;
        }
        let annealed = &sampling.annealed;
        let grid = Grid::geometric(annealed.from, config.noise.sigma_min, annealed.levels)
            .expect("checked by the plan");
        let per_level = sampling.evaluations / annealed.levels;
        let last = sampling.evaluations as u64 <= step;
        let place = (step as usize / per_level).min(annealed.levels - 1);
        let level = Grid::new(vec![grid.levels()[place]]).expect("one level");
        let sampler = AnnealedLangevin {
            epsilon: annealed.epsilon,
            steps_per_level: usize::from(!last),
            final_denoise: last,
        };
        let denoise = &mut |x: &Array2<f64>, at: Kernel| score.denoise(x, at);
        self.x = sampler.run(&level, denoise, &mut self.noise, x);
    }

    /// Where the streams of the samples are, two words each.
    pub(super) fn positions(&self) -> Vec<u64> {
        let positions = self.noise.streams().iter().map(ChaCha8Rng::get_word_pos);
        positions
            .flat_map(|place| [(place >> 64) as u64, place as u64])
            .collect()
    }

    /// Puts particles and streams where they were.
    pub(super) fn restore(&mut self, x: &[f64], positions: &[u64]) {
        let (_, width) = self.x.dim();
        self.x = Array2::from_shape_vec((x.len() / width, width), x.to_vec())
            .expect("as many as were kept");
        let mut streams = self.noise.streams().to_vec();
        for (stream, place) in streams.iter_mut().zip(positions.as_chunks().0) {
            let [high, low] = *place;
            stream.set_word_pos(u128::from(high) << 64 | u128::from(low));
        }
        self.noise = PerSample::new(streams);
    }
}

/// The probability-flow ODE by Heun's method.
pub(super) fn ode(score: &mut Guarded<'_>, config: &CellConfig, start: Array2<f64>) -> Array2<f64> {
    let noise = &config.noise;
    let grid = Grid::karras(
        noise.sigma_min,
        noise.sigma_max,
        7.0,
        config.sampling.ode.steps,
    )
    .expect("checked by the plan");
    let denoise = &mut |x: &Array2<f64>, at: Kernel| score.denoise(x, at);
    let x = sample(&grid.then_clean(), Heun, denoise, &mut Silent, start);
    score.arrived(&x);
    x
}
/// Starting points of the samplers, row i from the stream of sample i.
pub(super) struct Starts {
    pub(super) langevin: Array2<f64>,
    pub(super) annealed: Array2<f64>,
    pub(super) ode: Array2<f64>,
    pub(super) streams: Vec<ChaCha8Rng>,
}

impl Starts {
    pub(super) fn draw(config: &CellConfig, own: &Stream, dim: usize) -> Starts {
        let n = config.sampling.samples;
        let mut streams: Vec<ChaCha8Rng> = (0..n as u64).map(|i| own.at(Role::Sample, i)).collect();
        let mut each = |draw: &dyn Fn(&mut ChaCha8Rng) -> f64| {
            let mut x = Array2::zeros((n, dim));
            for (mut row, rng) in x.outer_iter_mut().zip(&mut streams) {
                row.mapv_inplace(|_| draw(rng));
            }
            x
        };
        let langevin = each(&|rng| start(config.sampling.langevin.start, rng));
        let normal = each(&|rng| rng.sample(StandardNormal));
        let scale = |sigma: f64| sigma.hypot(config.noise.data_std);
        let annealed = &normal * scale(config.sampling.annealed.from);
        let ode = &normal * scale(config.noise.sigma_max);
        Starts {
            langevin,
            annealed,
            ode,
            streams,
        }
    }
}

/// One coordinate of a starting point.
pub(super) fn start(start: Start, rng: &mut dyn RngCore) -> f64 {
    match start {
        Start::Uniform(a) => a * (2.0 * rng.random::<f64>() - 1.0),
        Start::Gaussian(s) => s * rng.sample::<f64, _>(StandardNormal),
    }
}
