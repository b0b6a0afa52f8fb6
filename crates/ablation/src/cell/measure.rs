//! What is measured of a cell: gradients of untrained networks, samples, scores.

use learnability::{
    gradient::{Snapshot, first_to_last, unit_gradients},
    silence::is_silent,
};
use ndarray::{Array2, ArrayView2, Axis, s};
use noise_schedule::{Grid, Kernel};
use rand::{Rng, RngCore};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use samplers::{AnnealedLangevin, Heun, PerSample, Silent, langevin, sample};
use tch::{Kind, Tensor};

use super::{
    Stop,
    model::{Learned, Model},
    optimizer::Adam,
    train::{Example, loss},
};
use crate::{
    architecture::Architecture,
    config::{CellConfig, Network, Start},
    dataset::Dataset,
    error::Error,
    probe::{self, bands::Bands, energy::Reference},
    record::{Outcome, Record, Stage},
    stream::{Role, Stream},
    summary::Exhibit,
};

/// A coordinate beyond this has diverged.
const BEYOND: f64 = 1e6;
/// Samples kept to look at.
const EXHIBITED: usize = 256;
/// Images kept to look at.
const EXHIBITED_IMAGES: usize = 16;

/// Gradients and silence of untrained networks of other depths, all else equal.
pub(super) fn untrained(
    model: &Model,
    config: &CellConfig,
    dataset: &Dataset<'_>,
    own: &Stream,
    device: tch::Device,
    record: &mut Record,
) -> Result<(), Error> {
    let (mut ratios, mut silence) = (Vec::new(), Vec::new());
    for &depth in &config.probes.depths {
        let mut deeper = config.clone();
        let Network::Mlp { blocks, .. } = &mut deeper.network else { return Ok(()) };
        *blocks = depth;
        let architecture = Architecture::of(&deeper.network, &deeper.shape(), "probes.depths")?;
        let learned = Learned::build(&architecture, &deeper, dataset, own, device)?;
        let example = Example::draw(config, dataset, own, Role::Data, 0, config.training.batch);
        let loss = loss(&learned, model, config, &example).mean(Kind::Float);
        let gradients = unit_gradients(&loss, &learned.units);
        let (first, last) = learned.ends();
        let layers = (2 * depth) as f64;
        if let Some(ratio) = first_to_last(&gradients, first, last) {
            ratios.push((layers, String::new(), ratio));
        }
        let mut parameters: Vec<Tensor> =
            learned.units.iter().flat_map(|(_, tensors)| tensors.iter().map(Tensor::shallow_clone)).collect();
        let mut adam = Adam::new(&mut parameters);
        let before = Snapshot::of(&learned.units);
        adam.step(&Tensor::run_backward(&[&loss], &parameters, false, false), config.training.rate);
        let absorbed = before.absorbed(&learned.units);
        let inner = learned.layers();
        let silent = inner.iter().filter(|&&unit| is_silent(absorbed[unit])).count();
        silence.push((layers, String::new(), silent as f64 / inner.len() as f64));
    }
    record.curve("gradient_ratio_by_depth", ["square layers, untrained", "gradient first/last layer, log10"], true, ratios);
    record.curve("silent_by_depth", ["square layers, untrained", "share of silent layers"], true, silence);
    Ok(())
}

/// Samples and what they are compared with; `false` if it was asked to stop.
pub(super) fn samples(
    model: &Model,
    config: &CellConfig,
    dataset: &Dataset<'_>,
    common: &Stream,
    own: &Stream,
    stop: Stop<'_>,
    record: &mut Record,
) -> bool {
    let [fresh, again] = dataset.draw_fresh(config.probes.fresh, &mut common.at(Role::Probe, 0));
    let judge = Judge::new(config, dataset, fresh);
    let starts = Starts::draw(config, own, judge.fresh.ncols());
    let idle = judge.of(starts.langevin.view());
    record.set("log_energy_distance_cap", idle.energy);
    let as_many = again.slice(s![..config.sampling.samples.min(again.nrows()), ..]).to_owned();
    record.set("log_energy_distance_floor", judge.of(as_many.view()).energy);

    let failed = matches!(record.outcome, Outcome::Diverged { .. });
    let mut guarded = Guarded { model, dataset, stop, evaluations: 0, diverged_at: None };
    let mut main = None;
    if !failed {
        main = Some(if config.objective.uses_noise() {
            annealed(&mut guarded, config, starts.annealed, starts.streams.clone())
        } else {
            plain(&mut guarded, config, starts.langevin, starts.streams.clone())
        });
        record.evaluations.sampling = guarded.evaluations;
        if (guarded.stop)() {
            return false;
        }
        if let Some(step) = guarded.diverged_at {
            record.outcome = Outcome::Diverged { stage: Stage::Langevin, step };
        }
    }
    let trusted = main.as_ref().filter(|_| guarded.diverged_at.is_none());
    let verdict = trusted.map(|x| judge.of(x.view()));
    record.set("log_energy_distance", verdict.as_ref().map_or(idle.energy, |v| v.energy.min(idle.energy)));
    // Not defined without a number, so that a probe that does not belong to this data stays absent.
    let capped = |value: Option<f64>, cap: Option<f64>| match (value, cap) {
        (Some(value), Some(cap)) => value.min(cap),
        (None, Some(cap)) => cap,
        _ => f64::NAN,
    };
    record.set("log_band_power_error", capped(verdict.as_ref().and_then(|v| v.bands), idle.bands));
    record.set("log_distance", capped(verdict.as_ref().and_then(|v| v.distance), idle.distance));
    record.set("weight_error", capped(verdict.as_ref().and_then(|v| v.weights), idle.weights));
    if let Some(power) = &judge.power {
        let points = |power: &[f64]| {
            power.iter().enumerate().map(|(band, p)| (band as f64, String::new(), p.max(f64::MIN_POSITIVE).log10())).collect()
        };
        record.curve("band_power_data", ["frequency band", "power, log10"], false, points(power));
        if let Some(x) = trusted {
            let found = judge.bands.as_ref().expect("bands and their power come together").power(x.view());
            record.curve("band_power", ["frequency band", "power, log10"], false, points(&found));
        }
    }
    record.exhibit = exhibit(config, dataset, main.as_ref(), &judge.fresh);

    if config.objective.uses_noise() && !failed {
        guarded.evaluations = 0;
        guarded.diverged_at = None;
        let x = ode(&mut guarded, config, starts.ode);
        record.evaluations.ode = guarded.evaluations;
        if (guarded.stop)() {
            return false;
        }
        let verdict = match guarded.diverged_at {
            Some(step) => {
                if matches!(record.outcome, Outcome::Measured {}) {
                    record.outcome = Outcome::Diverged { stage: Stage::Ode, step };
                }
                None
            }
            None => Some(judge.of(x.view())),
        };
        record.set("log_energy_distance_ode", capped(verdict.as_ref().map(|v| v.energy), Some(idle.energy)));
        record.set("log_band_power_error_ode", capped(verdict.as_ref().and_then(|v| v.bands), idle.bands));
        record.set("log_distance_ode", capped(verdict.as_ref().and_then(|v| v.distance), idle.distance));
        record.set("weight_error_ode", capped(verdict.as_ref().and_then(|v| v.weights), idle.weights));
    }
    true
}

/// Score errors at query points that all arms share.
pub(super) fn scores(model: &Model, config: &CellConfig, dataset: &Dataset<'_>, common: &Stream, record: &mut Record) {
    let n = config.probes.queries;
    let level = config.noise.sigma_min;
    let mut rng = common.at(Role::Probe, 1);
    let clean = dataset.draw_fresh(n.min(config.probes.fresh), &mut rng).into_iter().next().expect("two sets");
    let normal = |shape: &Array2<f64>, rng: &mut ChaCha8Rng| shape.mapv(|_| rng.sample::<f64, _>(StandardNormal));
    let noise = normal(&clean, &mut rng);
    let noised = |sigma: f64| &clean + &(&noise * sigma);
    let levels: Vec<f64> = if config.objective.uses_noise() { config.probes.levels.clone() } else { vec![level] };

    let spread = clean.var_axis(Axis(0), 0.0).sum();
    let mut errors = Vec::new();
    for &sigma in &levels {
        let x = noised(sigma);
        let denoised = &x + &(model.score(x.view(), sigma, dataset.exact()) * (sigma * sigma));
        let error = (&denoised - &clean).mapv(|v| v * v).sum() / clean.nrows() as f64 / spread;
        errors.push((sigma, String::new(), error.log10()));
    }
    record.set("log_denoising_error", errors.iter().map(|(_, _, e)| e).sum::<f64>() / errors.len() as f64);
    record.curve("denoising_error_by_sigma", ["noise level sigma", "denoising error, log10"], true, errors);

    let Some(exact) = dataset.exact() else { return };
    let on = noised(level);
    let mut off = clean.clone();
    for (mut row, mut rng) in off.outer_iter_mut().zip((0..).map(|i| common.at(Role::Probe, 1000 + i))) {
        row.mapv_inplace(|_| start(config.probes.off_data, &mut rng));
    }
    let error = |x: ArrayView2<'_, f64>, sigma: f64| {
        let wanted = exact.score(x, sigma);
        (probe::relative_error(model.score(x, sigma, Some(exact)).view(), wanted.view()).log10(), wanted)
    };
    let (at_data, wanted) = error(on.view(), level);
    record.set("log_score_error_on_data", at_data);
    record.set("log_score_error_off_data", error(off.view(), level).0);
    let found = model.score(on.view(), level, Some(exact));
    record.set("score_cosine", probe::mean_cosine(found.view(), wanted.view()));
    if config.objective.uses_noise() {
        let points = config.probes.levels.iter().map(|&sigma| (sigma, String::new(), error(noised(sigma).view(), sigma).0));
        record.curve("score_error_by_sigma", ["noise level sigma", "score error, log10"], true, points.collect());
    }
    if let Some(bands) = bands(config) {
        let (missed, scale) = (bands.power((&found - &wanted).view()), bands.power(wanted.view()));
        let points = missed.iter().zip(&scale).enumerate();
        let points = points.map(|(band, (m, s))| (band as f64, String::new(), (m / s).log10())).collect();
        record.curve("score_error_by_band", ["frequency band", "score error, log10"], false, points);
    }
}

impl Learned {
    /// The layers of the main path, in forward order: embeddings, shifts and norms are left out.
    pub(super) fn layers(&self) -> Vec<usize> {
        let beside = |name: &str| ["embedding", "shift", "norm"].iter().any(|word| name.contains(word));
        (0..self.units.len()).filter(|&unit| !beside(&self.units[unit].0)).collect()
    }

    /// The first and the last layer between read-in and read-out.
    pub(super) fn ends(&self) -> (usize, usize) {
        let layers = self.layers();
        (layers[1], layers[layers.len() - 2])
    }
}

/// A model that answers samplers, counts, and holds back particles that have left.
struct Guarded<'a> {
    model: &'a Model,
    dataset: &'a Dataset<'a>,
    stop: Stop<'a>,
    evaluations: u64,
    diverged_at: Option<u64>,
}

impl Guarded<'_> {
    fn score(&mut self, x: &Array2<f64>, sigma: f64) -> Array2<f64> {
        let step = self.evaluations;
        self.evaluations += 1;
        if self.diverged_at.is_some() || (self.stop)() {
            return Array2::zeros(x.raw_dim());
        }
        let score = self.model.score(x.view(), sigma, self.dataset.exact());
        let left = |v: &f64| !(v.abs() < BEYOND);
        if x.iter().any(left) || score.iter().any(|v| !v.is_finite()) {
            self.diverged_at = Some(step);
            return Array2::zeros(x.raw_dim());
        }
        score
    }

    fn denoise(&mut self, x: &Array2<f64>, at: Kernel) -> Array2<f64> {
        let sigma = at.sigma();
        x + &(self.score(x, sigma) * (sigma * sigma))
    }
}

fn plain(model: &mut Guarded<'_>, config: &CellConfig, start: Array2<f64>, streams: Vec<ChaCha8Rng>) -> Array2<f64> {
    let mut noise = PerSample::new(streams);
    let level = config.noise.sigma_min;
    let step = config.sampling.langevin.step;
    // One step more than annealed Langevin takes, which spends one evaluation on its last denoising.
    let steps = config.sampling.evaluations + 1;
    langevin(&mut |x: &Array2<f64>| model.score(x, level), &mut noise, start, step, steps)
}

fn annealed(model: &mut Guarded<'_>, config: &CellConfig, start: Array2<f64>, streams: Vec<ChaCha8Rng>) -> Array2<f64> {
    let annealed = &config.sampling.annealed;
    let grid = Grid::geometric(annealed.from, config.noise.sigma_min, annealed.levels).expect("checked by the plan");
    let sampler = AnnealedLangevin {
        epsilon: annealed.epsilon,
        steps_per_level: config.sampling.evaluations / annealed.levels,
        final_denoise: true,
    };
    let mut noise = PerSample::new(streams);
    sampler.run(&grid, &mut |x: &Array2<f64>, at: Kernel| model.denoise(x, at), &mut noise, start)
}

fn ode(model: &mut Guarded<'_>, config: &CellConfig, start: Array2<f64>) -> Array2<f64> {
    let noise = &config.noise;
    let grid = Grid::karras(noise.sigma_min, noise.sigma_max, 7.0, config.sampling.ode.steps).expect("checked by the plan");
    sample(&grid.then_clean(), Heun, &mut |x: &Array2<f64>, at: Kernel| model.denoise(x, at), &mut Silent, start)
}

/// Starting points of the samplers, row i from the stream of sample i.
struct Starts {
    langevin: Array2<f64>,
    annealed: Array2<f64>,
    ode: Array2<f64>,
    streams: Vec<ChaCha8Rng>,
}

impl Starts {
    fn draw(config: &CellConfig, own: &Stream, dim: usize) -> Starts {
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
        Starts { langevin, annealed, ode, streams }
    }
}

fn start(start: Start, rng: &mut dyn RngCore) -> f64 {
    match start {
        Start::Uniform(a) => a * (2.0 * rng.random::<f64>() - 1.0),
        Start::Gaussian(s) => s * rng.sample::<f64, _>(StandardNormal),
    }
}

/// Fresh data and what samples are held against.
struct Judge<'a> {
    dataset: &'a Dataset<'a>,
    fresh: Array2<f64>,
    reference: Reference,
    bands: Option<Bands>,
    power: Option<Vec<f64>>,
    components: Option<Array2<f64>>,
}

/// One batch of samples, judged; logarithms are to base 10.
struct Judged {
    energy: f64,
    bands: Option<f64>,
    distance: Option<f64>,
    weights: Option<f64>,
}

impl<'a> Judge<'a> {
    fn new(config: &CellConfig, dataset: &'a Dataset<'a>, fresh: Array2<f64>) -> Judge<'a> {
        let bands = bands(config);
        let power = bands.as_ref().map(|bands| bands.power(fresh.view()));
        let components = dataset.components(fresh.view());
        Judge { dataset, reference: Reference::new(fresh.clone()), fresh, bands, power, components }
    }

    fn of(&self, x: ArrayView2<'_, f64>) -> Judged {
        let distance = match self.dataset {
            Dataset::Sphere(sphere) => {
                let distances = sphere.radial_distance(x);
                Some((distances.mapv(|d| d * d).mean().expect("samples")).sqrt().max(f64::MIN_POSITIVE).log10())
            }
            _ => None,
        };
        Judged {
            energy: self.reference.energy_distance(x).max(f64::MIN_POSITIVE).log10(),
            bands: self.bands.as_ref().zip(self.power.as_ref()).map(|(bands, power)| {
                Bands::log_error(&bands.power(x), power).max(f64::MIN_POSITIVE).log10()
            }),
            distance,
            weights: self
                .dataset
                .components(x)
                .zip(self.components.as_ref())
                .map(|(found, wanted)| probe::weight_error(found.view(), wanted.view())),
        }
    }
}

fn bands(config: &CellConfig) -> Option<Bands> {
    match config.shape()[..] {
        [channels, side, _] if 0 < config.probes.bands => Some(Bands::new(channels, side, config.probes.bands)),
        _ => None,
    }
}

fn exhibit(config: &CellConfig, dataset: &Dataset<'_>, samples: Option<&Array2<f64>>, fresh: &Array2<f64>) -> Option<Exhibit> {
    let samples = samples?;
    match config.shape()[..] {
        [1, height, width] => {
            let grey = |x: &Array2<f64>| -> Vec<Vec<u8>> {
                // Images from files live in [−1, 1]; fields are shown over ±2 standard deviations and a bit.
                let reach = if matches!(dataset, Dataset::Images { .. }) { 1.0 } else { 2.0 };
                let byte = |v: f64| ((v / reach * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
                x.outer_iter().take(EXHIBITED_IMAGES).map(|row| row.iter().map(|&v| byte(v)).collect()).collect()
            };
            Some(Exhibit::Images { height: height as u32, width: width as u32, samples: grey(samples), data: grey(fresh) })
        }
        [_, _, _] => None,
        _ => {
            let (axes, flatten): ([&str; 2], Box<dyn Fn(ArrayView2<'_, f64>) -> Array2<f64>>) = match dataset {
                Dataset::Sphere(sphere) => {
                    (["first direction of the circle's plane", "second direction"], Box::new(|x| sphere.project(x)))
                }
                _ => (["x", "y"], Box::new(|x| x.slice(s![.., ..2]).to_owned())),
            };
            let (samples, data) = (flatten(samples.view()), flatten(fresh.view()));
            let mut window = [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY];
            for row in data.outer_iter() {
                for axis in 0..2 {
                    window[2 * axis] = window[2 * axis].min(row[axis]);
                    window[2 * axis + 1] = window[2 * axis + 1].max(row[axis]);
                }
            }
            // Whole tenths, so that the window does not jitter with the seed.
            for axis in 0..2 {
                let margin = 0.35 * (window[2 * axis + 1] - window[2 * axis]);
                window[2 * axis] = ((window[2 * axis] - margin) * 10.0).floor() / 10.0;
                window[2 * axis + 1] = ((window[2 * axis + 1] + margin) * 10.0).ceil() / 10.0;
            }
            let inside = |p: &[f64; 2]| window[0] <= p[0] && p[0] <= window[1] && window[2] <= p[1] && p[1] <= window[3];
            let points = |x: &Array2<f64>| -> Vec<[f64; 2]> {
                let round = |v: f64| (v * 1e3).round() / 1e3;
                x.outer_iter().take(EXHIBITED).map(|row| [round(row[0]), round(row[1])]).filter(|p| p.iter().all(|v| v.is_finite())).collect()
            };
            let all = points(&samples);
            let seen: Vec<[f64; 2]> = all.into_iter().filter(inside).collect();
            let outside = EXHIBITED.min(samples.nrows()) - seen.len();
            Some(Exhibit::Points {
                axes: axes.map(str::to_owned),
                samples: seen,
                data: points(&data),
                window,
                outside: outside as u32,
            })
        }
    }
}
