//! Sampling with a model: counted, and held back where particles leave.

use ndarray::Array2;
use noise_schedule::{Grid, Kernel};
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use samplers::{AnnealedLangevin, Heun, PerSample, Silent, langevin, sample};

use super::{Stop, model::Model};
use crate::{
    config::{CellConfig, Start},
    dataset::Dataset,
    stream::{Role, Stream},
};

/// A coordinate beyond this has diverged.
const BEYOND: f64 = 1e6;

/// A model that answers samplers, counts, and holds back particles that have left.
pub(super) struct Guarded<'a> {
    pub(super) model: &'a Model,
    pub(super) dataset: &'a Dataset<'a>,
    pub(super) stop: Stop<'a>,
    pub(super) evaluations: u64,
    pub(super) diverged_at: Option<u64>,
}

impl Guarded<'_> {
    fn score(&mut self, x: &Array2<f64>, sigma: f64) -> Array2<f64> {
        let step = self.evaluations;
        self.evaluations += 1;
        if self.diverged_at.is_some() || (self.stop)() {
            return Array2::zeros(x.raw_dim());
        }
        let score = self.model.score(x.view(), sigma, self.dataset.exact());
        if x.iter().any(left) || score.iter().any(|v| !v.is_finite()) {
            self.diverged_at = Some(step);
            return Array2::zeros(x.raw_dim());
        }
        score
    }

    /// Looks at where the last step led, which no evaluation sees.
    fn arrived(&mut self, x: Array2<f64>) -> Array2<f64> {
        if self.diverged_at.is_none() && x.iter().any(left) {
            self.diverged_at = Some(self.evaluations);
        }
        x
    }

    fn denoise(&mut self, x: &Array2<f64>, at: Kernel) -> Array2<f64> {
        let sigma = at.sigma();
        x + &(self.score(x, sigma) * (sigma * sigma))
    }
}

fn left(v: &f64) -> bool {
    v.is_nan() || BEYOND <= v.abs()
}

/// Plain Langevin dynamics at the smallest level.
pub(super) fn plain(
    model: &mut Guarded<'_>,
    config: &CellConfig,
    start: Array2<f64>,
    streams: Vec<ChaCha8Rng>,
) -> Array2<f64> {
    let mut noise = PerSample::new(streams);
    let level = config.noise.sigma_min;
    let step = config.sampling.langevin.step;
    // One step more than annealed Langevin takes, which spends one evaluation on its last denoising.
    let steps = config.sampling.evaluations + 1;
    let score = &mut |x: &Array2<f64>| model.score(x, level);
    let x = langevin(score, &mut noise, start, step, steps);
    model.arrived(x)
}

/// Annealed Langevin dynamics, with a last denoising.
pub(super) fn annealed(
    model: &mut Guarded<'_>,
    config: &CellConfig,
    start: Array2<f64>,
    streams: Vec<ChaCha8Rng>,
) -> Array2<f64> {
    let annealed = &config.sampling.annealed;
    let grid = Grid::geometric(annealed.from, config.noise.sigma_min, annealed.levels)
        .expect("checked by the plan");
    let sampler = AnnealedLangevin {
        epsilon: annealed.epsilon,
        steps_per_level: config.sampling.evaluations / annealed.levels,
        final_denoise: true,
    };
    let mut noise = PerSample::new(streams);
    let denoise = &mut |x: &Array2<f64>, at: Kernel| model.denoise(x, at);
    let x = sampler.run(&grid, denoise, &mut noise, start);
    model.arrived(x)
}

/// The probability-flow ODE by Heun's method.
pub(super) fn ode(model: &mut Guarded<'_>, config: &CellConfig, start: Array2<f64>) -> Array2<f64> {
    let noise = &config.noise;
    let grid = Grid::karras(
        noise.sigma_min,
        noise.sigma_max,
        7.0,
        config.sampling.ode.steps,
    )
    .expect("checked by the plan");
    let denoise = &mut |x: &Array2<f64>, at: Kernel| model.denoise(x, at);
    let x = sample(&grid.then_clean(), Heun, denoise, &mut Silent, start);
    model.arrived(x)
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
