//! What is sampled from: a network with its weights, found in one of the places where there are such.

use std::path::{Path, PathBuf};

use ndarray::ArrayViewD;
use noise_schedule::{Grid, Kernel};
use resnet_blocks::Mode;
use samplers::{Call, Prediction, Prepared, Solver};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, nn::VarStore};
use unet::{
    Classes, Conditions, Features, UNet,
    diffusers::{Config, Plan},
};

use super::{
    Pixels, Request, State, impossible,
    scheduler::{self, Chosen},
};
use crate::{
    config::{CellConfig, Data, Network, Precision},
    error::Error,
    files, store, tensors,
    trained::Trained,
    work::Work,
};

/// Bytes of activations that may live at a time.
const MEMORY: u64 = 1 << 30;
/// Operations of an evaluation that one thread is enough for.
pub(crate) const SMALL: u64 = 1_000_000_000;

/// A model as far as its configuration.
#[derive(Debug)]
pub(crate) enum Place {
    /// A network of diffusers.
    Folder {
        network: PathBuf,
        config: Box<Config>,
        plan: Box<Plan>,
        /// Its `scheduler_config.json`, if it has one.
        scheduler: Option<PathBuf>,
    },
    /// A finished cell of a study.
    Cell {
        folder: PathBuf,
        config: Box<CellConfig>,
    },
}

/// A model that answers.
#[derive(Debug)]
pub(crate) enum Model {
    Folder(Box<Folder>),
    Cell(Box<Trained>),
}

/// A network of diffusers, and how it is called.
#[derive(Debug)]
pub(crate) struct Folder {
    network: UNet,
    classes: Option<Tensor>,
    device: Device,
    precision: Precision,
    chunk: usize,
}

impl Place {
    /// Looks at what lies in a folder.
    pub(crate) fn find(folder: &Path) -> Result<Place, Error> {
        let unusable = |reason: String| Error::Unusable {
            path: folder.to_owned(),
            reason,
        };
        let is_there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        if !folder.is_dir() {
            return Err(unusable(
                "it is not a folder; give that of a model".to_owned(),
            ));
        }
        if is_there("result.json").is_some() {
            let Work::Diffusion(config) = store::record(folder)?.cell.config else {
                let reason = "the cell is an experiment, which keeps no network";
                return Err(unusable(reason.to_owned()));
            };
            return Ok(Place::Cell {
                folder: folder.to_owned(),
                config,
            });
        }
        if let Some(index) = is_there("model_index.json") {
            check_index(&index)?;
        }
        let (network, scheduler) = if is_there("unet/config.json").is_some() {
            let inside = format!("scheduler/{}", scheduler::CONFIG);
            (folder.join("unet"), is_there(&inside))
        } else if is_there("config.json").is_some() {
            (folder.to_owned(), is_there(scheduler::CONFIG))
        } else {
            return Err(unusable(
                "it holds no model: neither a network (config.json), nor a pipeline (unet/config.json), nor a cell of a study (result.json)".to_owned(),
            ));
        };
        let within = |error: unet::Error| Error::Unusable {
            path: network.clone(),
            reason: error.to_string(),
        };
        let config = Config::open(&network).map_err(within)?;
        let plan = Plan::new(&config).map_err(within)?;
        Ok(Place::Folder {
            network,
            config: Box::new(config),
            plan: Box::new(plan),
            scheduler,
        })
    }

    /// The sampler, and how it is called.
    pub(crate) fn prepared(&self, request: &Request) -> Result<(Prepared<State>, String), Error> {
        let own = match self {
            Place::Folder { scheduler, .. } => scheduler.as_deref(),
            Place::Cell { .. } => None,
        };
        let chosen = match (&request.scheduler, own) {
            (Some(name), _) => Chosen::named(name)?,
            (None, Some(path)) => Chosen::read(path)?,
            (None, None) => {
                return match self {
                    Place::Folder { .. } => Err(scheduler::missing(&request.model)),
                    Place::Cell { config, .. } => flow(config, request),
                };
            }
        };
        let steps = request.steps.unwrap_or_else(|| chosen.steps());
        let prepared = chosen.prepared(steps, request)?;
        if let Place::Cell { config, .. } = self {
            learned_with_noise(config, request)?;
            if prepared.calls.iter().any(|call| call.at.alpha() == 0.0) {
                let rule = "it begins at pure noise, which is above every level of the cell: choose a scheduler without zero terminal SNR";
                return Err(impossible("--scheduler", &chosen.class, rule));
            }
        }
        let words = format!("{}, {steps} steps", chosen.class);
        Ok((prepared, words))
    }

    /// What is allowed and may not be meant.
    pub(crate) fn notes(&self, request: &Request, prepared: &Prepared<State>) -> Vec<String> {
        let named = request.scheduler.as_deref();
        match (self, named) {
            (
                Place::Folder {
                    scheduler: Some(own),
                    ..
                },
                Some(name),
            ) if !Path::new(name).exists() => vec![format!(
                "{name} has its own defaults: nothing is taken from {}",
                own.display()
            )],
            (Place::Cell { config, .. }, Some(_)) => {
                let noise = &config.noise;
                let asked = prepared.calls.iter().map(|call| call.at.noise_to_signal());
                let outside = |level: &f64| *level < noise.sigma_min || noise.sigma_max < *level;
                let count = asked.filter(outside).count();
                if count == 0 {
                    return Vec::new();
                }
                vec![format!(
                    "the cell learned levels from {} to {}, and {count} of {} calls are at others",
                    noise.sigma_min,
                    noise.sigma_max,
                    prepared.calls.len()
                )]
            }
            _ => Vec::new(),
        }
    }

    /// The shape of a sample, if the model says it.
    pub(crate) fn shape(&self) -> Result<Option<Vec<usize>>, Error> {
        match self {
            Place::Cell { config, .. } => Ok(Some(config.shape())),
            Place::Folder {
                network, config, ..
            } => {
                let [inputs, outputs] = [config.in_channels, config.out_channels];
                if inputs != outputs {
                    let what = if outputs == 2 * inputs {
                        "a learned variance, which no scheduler here reads"
                    } else {
                        "no step from noise to data"
                    };
                    return Err(Error::Unusable {
                        path: network.clone(),
                        reason: format!(
                            "{outputs} channels come out for {inputs} that go in: {what}"
                        ),
                    });
                }
                let sides = config.sample_size;
                Ok(sides.map(|[height, width]| vec![inputs, height, width]))
            }
        }
    }

    /// Whether the network can be called with samples of this shape, as often as the scheduler does.
    pub(crate) fn check_call(
        &self,
        shape: &[usize],
        n: usize,
        prepared: &Prepared<State>,
    ) -> Result<(), Error> {
        // A number of `f64` for each; what does not fit in a machine is refused, not tried.
        const MOST_NUMBERS: usize = 1 << 32;
        let numbers = shape
            .iter()
            .try_fold(n, |product, side| product.checked_mul(*side));
        if shape.contains(&0) || numbers.is_none_or(|numbers| MOST_NUMBERS < numbers) {
            let rule = format!(
                "{n} samples of {shape:?} are none, or more than {MOST_NUMBERS} numbers: give other sizes"
            );
            return Err(impossible("--n", n, &rule));
        }
        let Place::Folder {
            network,
            config,
            plan,
            ..
        } = self
        else {
            return Ok(());
        };
        let unusable = |reason: String| {
            Err(Error::Unusable {
                path: network.clone(),
                reason,
            })
        };
        if shape[0] != config.in_channels {
            return unusable(format!(
                "its samples have {} channels, but the noise {}",
                config.in_channels, shape[0]
            ));
        }
        if let Features::Learned { rows } = plan.topology().embedding().features {
            let known = 0.0..=(rows - 1) as f64;
            let beyond = prepared.calls.iter().map(|call| call.timestep);
            if let Some(timestep) = beyond.into_iter().find(|t| !known.contains(&t.round())) {
                return unusable(format!(
                    "it has learned the timesteps 0 to {}, but the scheduler asks for {timestep}; choose another scheduler",
                    rows - 1
                ));
            }
        }
        Ok(())
    }

    /// One class for each sample, checked against what the network takes.
    pub(crate) fn classes(
        &self,
        given: &[f64],
        n: usize,
        device: Device,
    ) -> Result<Option<Tensor>, Error> {
        let takes = match self {
            Place::Folder { plan, .. } => plan.topology().embedding().classes,
            Place::Cell { .. } => Classes::None,
        };
        let words = given
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(",");
        let refused = |rule: &str| Err(impossible("--classes", format!("{words:?}"), rule));
        match takes {
            Classes::None if given.is_empty() => return Ok(None),
            Classes::None => return refused("this network takes no classes: leave it out"),
            Classes::Rows { .. } | Classes::AsLabel => {}
            _ => {
                return refused(
                    "this network is conditioned on vectors, which cannot be given here",
                );
            }
        }
        if given.is_empty() {
            return refused(
                "this network takes a class for each sample: give one for all, or as many as samples",
            );
        }
        if given.len() != 1 && given.len() != n {
            let rule = format!(
                "there are {} for {n} samples: give one for all, or {n}",
                given.len()
            );
            return refused(&rule);
        }
        if !given.iter().all(|class| class.is_finite()) {
            return refused("a class is a finite number");
        }
        let all: Vec<f64> = given.iter().copied().cycle().take(n).collect();
        if let Classes::Rows { rows } = takes {
            let fits = |class: &f64| class.fract() == 0.0 && (0.0..rows as f64).contains(class);
            if !all.iter().all(fits) {
                return refused(&format!("this network knows the classes 0 to {}", rows - 1));
            }
            let rows: Vec<i64> = all.iter().map(|&class| class as i64).collect();
            return Ok(Some(Tensor::from_slice(&rows).to_device(device)));
        }
        let labels = Tensor::from_slice(&all).to_kind(Kind::Float);
        Ok(Some(labels.to_device(device)))
    }

    /// How its samples are shown.
    pub(crate) fn pixels(&self, scheduler: Option<&str>) -> Result<Pixels, Error> {
        Ok(match self {
            Place::Cell { config, .. } => match config.data {
                Data::Images { .. } => Pixels::Signed,
                _ => Pixels::Fields,
            },
            Place::Folder { scheduler: own, .. } => {
                let chosen = match (scheduler, own) {
                    (Some(name), _) => Chosen::named(name)?,
                    (None, Some(path)) => Chosen::read(path)?,
                    (None, None) => return Ok(Pixels::Signed),
                };
                match chosen.class.as_str() {
                    "ScoreSdeVeScheduler" => Pixels::Unit,
                    _ => Pixels::Signed,
                }
            }
        })
    }

    /// Reads the weights.
    pub(crate) fn open(
        &self,
        device: Device,
        precision: Option<Precision>,
        classes: Option<Tensor>,
    ) -> Result<Model, Error> {
        if precision == Some(Precision::Bf16) {
            let refused = |rule| Err(impossible("--precision", Precision::Bf16, rule));
            if device != Device::Cpu {
                return refused(
                    "it is known to agree with f32 on the processor alone: leave it out on a card",
                );
            }
            if let Place::Cell { config, .. } = self
                && !matches!(
                    config.network.trained(),
                    Network::Unet { .. } | Network::Published { .. }
                )
            {
                return refused(
                    "bfloat16 is for U-Nets, and the cell's network is none: leave it out",
                );
            }
        }
        match self {
            Place::Cell { folder, config } => {
                tch::set_num_threads(config.numerics.threads as i32);
                let trained = Trained::open(folder, device)?;
                let precision = precision.unwrap_or(config.numerics.precision);
                Ok(Model::Cell(Box::new(trained.in_precision(precision))))
            }
            Place::Folder { network, plan, .. } => {
                let store = VarStore::new(device);
                let opened = UNet::from_diffusers(&store.root(), network);
                let each = 4 * plan.topology().activations(1);
                let chunk = (MEMORY / each.max(1)).clamp(1, 64) as usize;
                // Threads that wait for each other after each small operation cost more than they bring.
                if plan.topology().forward_flops(chunk) < SMALL {
                    tch::set_num_threads(1);
                }
                Ok(Model::Folder(Box::new(Folder {
                    network: opened.map_err(|error| Error::Unusable {
                        path: network.clone(),
                        reason: error.to_string(),
                    })?,
                    classes,
                    device,
                    precision: precision.unwrap_or(Precision::F32),
                    chunk,
                })))
            }
        }
    }
}

impl Model {
    /// Samples that it is asked about at a time.
    pub(crate) fn chunk(&self) -> usize {
        match self {
            Model::Folder(folder) => folder.chunk,
            Model::Cell(trained) => trained.chunk(),
        }
    }
}

impl Folder {
    /// The network's answer for the samples from number `begin`, which it is shown so.
    pub(crate) fn answer(&self, begin: usize, shown: ArrayViewD<'_, f64>, call: Call) -> State {
        let _guard = tch::no_grad_guard();
        let n = shown.shape()[0] as i64;
        let classes = self.classes.as_ref();
        let classes = classes.map(|all| all.narrow(0, begin as i64, n));
        let label = Tensor::from_slice(&[call.timestep as f32]).to_device(self.device);
        let conditions = Conditions {
            classes: classes.as_ref(),
            estimate: None,
        };
        let shown = tensors::single(shown, self.device);
        let shown = match self.precision {
            Precision::F32 => shown,
            Precision::Bf16 => shown.to_kind(Kind::BFloat16),
        };
        let mode = &mut Mode::Eval;
        tensors::array(&self.network.forward_with(&shown, &label, conditions, mode))
    }
}

/// The study's own sampler: the probability flow by Heun's method on Karras' grid.
fn flow(config: &CellConfig, request: &Request) -> Result<(Prepared<State>, String), Error> {
    learned_with_noise(config, request)?;
    if let Some((name, _)) = request.options.first() {
        return Err(impossible(
            "--option",
            name,
            "the study's own sampler takes none: name a scheduler",
        ));
    }
    let noise = &config.noise;
    let steps = request.steps.unwrap_or(config.sampling.ode.steps);
    let grid = Grid::karras(noise.sigma_min, noise.sigma_max, 7.0, steps)
        .map_err(|error| impossible("--steps", steps, &error.to_string()))?;
    let label = |at: Kernel| 0.25 * at.noise_to_signal().ln();
    let mut prepared = Prepared::along(&grid.then_clean(), Solver::Heun, label, Prediction::Sample);
    prepared.init_noise_sigma = noise.sigma_max.hypot(noise.data_std);
    let words = format!("the study's probability flow, {steps} steps of Heun's method");
    Ok((prepared, words))
}

pub(crate) fn learned_with_noise(config: &CellConfig, request: &Request) -> Result<(), Error> {
    if config.objective.uses_noise() {
        return Ok(());
    }
    let rule = "the cell learned without noise and has a score at one level only, which no sampler of falling levels can follow: give a noise-on cell";
    Err(impossible("--model", request.model.display(), rule))
}

/// Refuses pipelines of more than a network and a scheduler.
fn check_index(path: &Path) -> Result<(), Error> {
    let unusable = |reason: String| Error::Unusable {
        path: path.to_owned(),
        reason,
    };
    let index: Json = serde_json::from_slice(&files::read(path)?)
        .map_err(|error| unusable(format!("it is not JSON ({error})")))?;
    let parts = index.as_object().into_iter().flatten();
    let others: Vec<&str> = parts
        .filter(|(name, part)| {
            // A part is a library and a class, both null where it was left out.
            let is_part = part
                .as_array()
                .is_some_and(|pair| pair.iter().any(Json::is_string));
            is_part && !["unet", "scheduler"].contains(&name.as_str())
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(unusable(format!(
        "this pipeline needs {} too, and here a network and a scheduler make a sample; give the folder of its network to sample that alone",
        others.join(", ")
    )))
}
