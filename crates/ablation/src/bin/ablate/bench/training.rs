//! Rows that train: one step, two cells at once, the grid, and what looking at gradients adds.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use ablation::{
    Error,
    architecture::Architecture,
    cell::{Adam, Written},
    config::Precision,
};
use learnability::gradient::{Snapshot, unit_gradients};
use ndarray::{Array2, ArrayView2};
use noise_schedule::Kernel;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use resnet_blocks::{
    Activation, Bfloat16, Init, MlpBlockConfig, Mode, Network, Params, ResidualMlp,
    ResidualMlpConfig, ShortSkip,
};
use score_objective::{Coefficients, DenoisingBatch, Preconditioner, Snr, Weighting};
use tch::{Device, Kind, Tensor, nn::VarStore};
use unet::UNet;

use super::{
    Prepared, Spread,
    costs::{UnetCost, mlp_steps},
    inputs,
};

const RATE: f64 = 1e-4;
pub(super) const WIDTH: usize = 128;
pub(super) const POINTS: usize = 512;
pub(super) const IMAGES: usize = 64;
const GRID_STEPS: usize = 500;

/// A network, its optimiser and its data; a step is that of the laboratory: draws in Rust, loss, gradients, Adam.
struct Trainer {
    network: Box<dyn Network>,
    units: Vec<(String, Vec<Tensor>)>,
    parameters: Vec<Tensor>,
    adam: Adam,
    /// The network's passes, where they are written out, and the data as they take it.
    written: Option<(Written, Array2<f64>)>,
    data: Tensor,
    noising: Noising,
    rng: ChaCha8Rng,
    /// Keeps the variables.
    _store: VarStore,
}

/// How clean data and noise are mixed at a level, and what the network is told of it.
#[derive(Clone, Copy)]
enum Noising {
    /// (1 − t) x + t noise, label t, t uniform.
    Straight,
    /// The same at t = 0.01 alone.
    Hardly,
    /// √ᾱ_n x + √(1 − ᾱ_n) noise, label n of 1000, linear betas from 10⁻⁴ to 0.02 (Ho et al. 2020).
    Diffusion,
}

/// What a step draws.
struct Draw {
    noise: Vec<f64>,
    uniform: Vec<f64>,
}

/// The network sees (1 − t) x + t noise as it is, is told t and predicts the noise.
struct Straight;

impl Preconditioner for Straight {
    fn at(&self, k: Kernel) -> Coefficients {
        Coefficients {
            skip: 1.0 / k.alpha(),
            out: -k.sigma() / k.alpha(),
            input: 1.0,
            label: k.sigma(),
        }
    }

    fn target_at(&self, _: Kernel) -> (f64, f64) {
        (0.0, 1.0)
    }
}

/// What a step learns from by a graph.
struct Batch {
    noised: Tensor,
    label: Tensor,
    noise: Tensor,
}

impl Trainer {
    fn new(
        network: Box<dyn Network>,
        store: VarStore,
        units: Vec<(String, Vec<Tensor>)>,
        noising: Noising,
        seed: u64,
    ) -> Self {
        let tensors = units.iter().flat_map(|(_, tensors)| tensors);
        let mut parameters: Vec<Tensor> = tensors.map(Tensor::shallow_clone).collect();
        let size: &[i64] = match noising {
            Noising::Diffusion => &[IMAGES as i64, 1, 32, 32],
            _ => &[POINTS as i64, 2],
        };
        let data = single(&inputs::normals(5, size.iter().product::<i64>() as usize)).view(size);
        Self {
            adam: Adam::new(&mut parameters),
            written: None,
            network,
            units,
            parameters,
            data,
            noising,
            rng: ChaCha8Rng::seed_from_u64(seed),
            _store: store,
        }
    }

    fn mlp(hidden_layers: usize, short: ShortSkip, noising: Noising, seed: u64) -> Self {
        let store = VarStore::new(Device::Cpu);
        let params = Params::seeded(store.root(), seed);
        let config = ResidualMlpConfig {
            inputs: 2,
            blocks: hidden_layers / 2,
            block: MlpBlockConfig::square(WIDTH, Activation::Silu, Init::PyTorch),
            short,
        };
        let network = ResidualMlp::new(&params, &config).expect("a network");
        {
            let _guard = tch::no_grad_guard();
            for (place, (_, mut tensor)) in params.tensors().into_iter().enumerate() {
                let size = tensor.size();
                let values = inputs::uniforms(100 + place as u64, tensor.numel());
                // Of weights 1/√inputs, as torch has it; of biases a tenth.
                let bound = match size[..] {
                    [_, inputs] => (inputs as f64).powf(-0.5),
                    _ => 0.1,
                };
                let values: Vec<f64> = values.iter().map(|u| bound * (2.0 * u - 1.0)).collect();
                tensor.copy_(&single(&values).view(&size[..]));
            }
        }
        let units = units(&params);
        let written = Written::of(&Architecture::Mlp(config), Device::Cpu, POINTS);
        let data = Array2::from_shape_vec((POINTS, 2), inputs::normals(5, 2 * POINTS));
        Self {
            written: written.zip(data.ok()),
            ..Self::new(Box::new(network), store, units, noising, seed)
        }
    }

    /// The network of a folder of diffusers.
    fn unet(dir: &Path, precision: Precision) -> Result<Self, Error> {
        let store = VarStore::new(Device::Cpu);
        let network =
            UNet::from_diffusers(&store.root(), dir).map_err(|error| Error::Unusable {
                path: dir.to_owned(),
                reason: error.to_string(),
            })?;
        let one = |(name, tensor): &(String, Tensor)| (name.clone(), vec![tensor.shallow_clone()]);
        let trainable = network.tensors().iter().filter(|(_, t)| t.requires_grad());
        let units = trainable.map(one).collect();
        let network: Box<dyn Network> = match precision {
            Precision::F32 => Box::new(network),
            Precision::Bf16 => Box::new(Bfloat16(network)),
        };
        Ok(Self::new(network, store, units, Noising::Diffusion, 0))
    }

    /// What a graph learns from.
    fn batch(&self, draw: &Draw) -> Batch {
        let size = self.data.size();
        let noise = single(&draw.noise).view(&size[..]);
        let (label, keep, add) = match self.noising {
            Noising::Straight | Noising::Hardly => {
                let t = single(&self.times(draw));
                (t.shallow_clone(), t.ones_like() - &t, t)
            }
            Noising::Diffusion => {
                let levels: Vec<usize> =
                    draw.uniform.iter().map(|u| (u * 1000.0) as usize).collect();
                let bars = alpha_bars();
                let numbers = |f: &dyn Fn(usize) -> f64| {
                    single(&levels.iter().map(|&n| f(n)).collect::<Vec<_>>())
                };
                (
                    numbers(&|n| n as f64),
                    numbers(&|n| bars[n].sqrt()),
                    numbers(&|n| (1.0 - bars[n]).sqrt()),
                )
            }
        };
        let mut column = vec![1; size.len()];
        column[0] = size[0];
        let noised = &self.data * keep.view(&column[..]) + &noise * add.view(&column[..]);
        Batch {
            noised,
            label,
            noise,
        }
    }

    /// The times of points on their straight ways to the noise.
    fn times(&self, draw: &Draw) -> Vec<f64> {
        match self.noising {
            Noising::Hardly => vec![0.01; draw.uniform.len()],
            _ => draw.uniform.clone(),
        }
    }

    fn draw(&mut self) -> Draw {
        let (numbers, rows) = (self.data.numel(), self.data.size()[0] as usize);
        let normals = (&mut self.rng).sample_iter(StandardNormal);
        Draw {
            noise: normals.take(numbers).collect(),
            uniform: (0..rows).map(|_| self.rng.random()).collect(),
        }
    }

    /// Inputs that the other side has too.
    fn common(&self, number: u64) -> Draw {
        let (numbers, rows) = (self.data.numel(), self.data.size()[0] as usize);
        Draw {
            noise: inputs::normals(1000 + number, numbers),
            uniform: inputs::uniforms(2000 + number, rows),
        }
    }

    fn loss(&mut self, batch: &Batch) -> Tensor {
        let mut mode = Mode::Train(self.rng.clone());
        let answer = self.network.forward(&batch.noised, &batch.label, &mut mode);
        answer.mse_loss(&batch.noise, tch::Reduction::Mean)
    }

    fn learn(&mut self, draw: &Draw) -> f64 {
        if let Some((written, data)) = &self.written {
            let times = self.times(draw).into_iter();
            let levels = times.map(|t| Kernel::new(1.0 - t, t).expect("between data and noise"));
            let noise = ArrayView2::from_shape(data.dim(), &draw.noise).expect("as many");
            // The mean over numbers is half of that over points.
            let weight = |k: Kernel| 0.5 * Snr.weight(k);
            let batch = DenoisingBatch::new(
                &Straight,
                &weight,
                data.view(),
                noise,
                &levels.collect::<Vec<_>>(),
            );
            return written.denoising(&mut self.adam, &batch, RATE);
        }
        let batch = self.batch(draw);
        let loss = self.loss(&batch);
        let value = loss.double_value(&[]);
        let gradients = Tensor::run_backward(&[&loss], &self.parameters, false, false);
        self.adam.step(&gradients, RATE);
        value
    }

    fn step(&mut self) {
        let draw = self.draw();
        black_box(self.learn(&draw));
    }

    /// A step with a look: gradients of every unit, and the updates that rounding absorbs.
    fn look(&mut self) {
        let draw = self.draw();
        let batch = self.batch(&draw);
        let loss = self.loss(&batch);
        black_box(unit_gradients(&loss, &self.units));
        let before = Snapshot::of(&self.units);
        let gradients = Tensor::run_backward(&[&loss], &self.parameters, false, false);
        self.adam.step(&gradients, RATE);
        black_box(before.absorbed(&self.units));
    }

    /// Predictions before training, and the losses of three steps: wrong weights, wrong gradients and a wrong optimiser
    /// all show.
    fn answer(&mut self) -> Vec<f64> {
        let batch = self.batch(&self.common(0));
        let predicted = {
            let _guard = tch::no_grad_guard();
            let answer = (self.network).forward(&batch.noised, &batch.label, &mut Mode::Eval);
            answer.contiguous().view([-1]).narrow(0, 0, 256)
        };
        let predicted = Vec::<f64>::try_from(predicted.to_kind(Kind::Double));
        let mut answer = predicted.expect("256 numbers");
        for number in 0..3 {
            let draw = self.common(number);
            answer.push(self.learn(&draw));
        }
        answer
    }

    /// Seconds of a step.
    fn timed(&mut self, steps: usize) -> f64 {
        let begin = Instant::now();
        for _ in 0..steps {
            self.step();
        }
        begin.elapsed().as_secs_f64() / steps as f64
    }
}

fn units(params: &Params<'_>) -> Vec<(String, Vec<Tensor>)> {
    let units = params.units().into_iter();
    units.map(|unit| (unit.name, unit.parameters)).collect()
}

fn single(values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_slice(&values)
}

fn alpha_bars() -> Vec<f64> {
    let mut bar = 1.0;
    let betas = (0..1000).map(|n| 1e-4 + (0.02 - 1e-4) * f64::from(n) / 999.0);
    betas
        .map(|beta| {
            bar *= 1.0 - beta;
            bar
        })
        .collect()
}

/// The first step of the U-Net in a folder; it is done when this returns.
pub(super) fn start(dir: &Path, precision: Precision) -> Result<Prepared, Error> {
    let cost = UnetCost::of(dir)?;
    let mut trainer = Trainer::unet(dir, precision)?;
    let draw = trainer.common(0);
    let answer = vec![trainer.learn(&draw)];
    let pass = Box::new(move || trainer.timed(1));
    Ok(cost.step(precision, "first step", answer, pass))
}

/// A step of the U-Net in a folder.
pub(super) fn unet(dir: &Path, precision: Precision) -> Result<Prepared, Error> {
    let cost = UnetCost::of(dir)?;
    let mut trainer = Trainer::unet(dir, precision)?;
    let answer = trainer.answer();
    let pass = Box::new(move || trainer.timed(2));
    Ok(cost.step(precision, "step", answer, pass))
}

/// A step of the MLP: of one cell on all threads, or of two cells at once on one thread each.
pub(super) fn mlp(hidden_layers: usize, spread: Spread) -> Prepared {
    let mut first = new_cell(hidden_layers, 0);
    let answer = first.answer();
    let steps = 400 / hidden_layers;
    let pass: Box<dyn FnMut() -> f64> = match spread {
        Spread::One => Box::new(move || first.timed(steps)),
        Spread::Two => Box::new(move || {
            // Tensors stay on their threads, so each builds its own cell; that is not timed.
            let ready = std::sync::Barrier::new(2);
            let one = |seed| {
                tch::set_num_threads(1);
                let mut cell = new_cell(hidden_layers, seed);
                let _ = cell.timed(5);
                ready.wait();
                cell.timed(steps)
            };
            thread::scope(|scope| {
                let other = scope.spawn(|| one(1));
                let here = scope.spawn(|| one(0));
                let times = [here.join(), other.join()].map(|time| time.expect("it trains"));
                // Two steps in the time of the slower one.
                times[0].max(times[1]) / 2.0
            })
        }),
    };
    mlp_steps(1, hidden_layers, "step of a cell", answer, pass)
}

fn new_cell(hidden_layers: usize, seed: u64) -> Trainer {
    Trainer::mlp(hidden_layers, ShortSkip::Identity, Noising::Straight, seed)
}

/// 16 cells in two worker processes of one thread each, started anew in each pass as the laboratory starts them.
pub(super) fn grid() -> Prepared {
    let mut answer = Vec::new();
    for short in [ShortSkip::Identity, ShortSkip::None] {
        answer.extend(Trainer::mlp(8, short, Noising::Straight, 0).answer());
    }
    let program = std::env::current_exe().expect("the program that runs");
    let pass = move || {
        let begin = Instant::now();
        let worker = |part: usize| {
            Command::new(&program)
                .args(["bench-work", "grid", "--threads", "1", "--part"])
                .arg(part.to_string())
                .stdin(Stdio::null())
                .spawn()
                .expect("the program that runs can be started again")
        };
        for mut worker in [worker(0), worker(1)] {
            let status = worker.wait().expect("it was started");
            assert!(status.success(), "a worker of the grid failed");
        }
        begin.elapsed().as_secs_f64()
    };
    let unit = "grid of 16 cells";
    mlp_steps(16 * GRID_STEPS, 8, unit, answer, Box::new(pass))
}

/// Every second cell of the grid.
pub(super) fn grid_part(part: usize) {
    for cell in (part..16).step_by(2) {
        let short = if cell / 2 % 2 == 0 {
            ShortSkip::Identity
        } else {
            ShortSkip::None
        };
        let noising = if cell / 4 % 2 == 0 {
            Noising::Straight
        } else {
            Noising::Hardly
        };
        let mut trainer = Trainer::mlp(8, short, noising, cell as u64 / 8);
        let _ = trainer.timed(GRID_STEPS);
    }
}

/// What a look at gradients adds to a step, as a share of the step: the unit is a step, the answer that share.
pub(super) fn probes() -> Prepared {
    let mut trainer = new_cell(16, 0);
    let mut share = move || {
        let mut pair = [0.0; 2];
        for _ in 0..20 {
            for (sum, look) in pair.iter_mut().zip([false, true]) {
                let begin = Instant::now();
                if look {
                    trainer.look();
                } else {
                    trainer.step();
                }
                *sum += begin.elapsed().as_secs_f64();
            }
        }
        (pair[1] / pair[0] - 1.0, pair[1] / 20.0)
    };
    let (added, _) = share();
    let pass = Box::new(move || share().1);
    // A look needs the gradients that the step needs anyhow.
    mlp_steps(1, 16, "step with a look", vec![added], pass)
}
