//! Samples from a network that is trained: a folder of diffusers, or a finished cell of a study.
//!
//! [`Sampler::prepare`] refuses whatever can be known to be wrong, [`Sampler::run`] draws. The loop is that of
//! diffusers' pipelines: x = `init_noise_sigma` · noise, and for each timestep
//! x = `step`(network(`scale_model_input`(x)), x), all on states in f64 and networks in f32.
//! All samples are stepped together, as there; the network sees as many at a time as fit in memory.
//!
//! # Noise from a file
//! A safetensors file of standard normal draws (F32, F64, F16 or BF16) for n samples of shape \[c, h, w\]:
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `initial` | \[n, c, h, w\] | the start, before it is multiplied by `init_noise_sigma` |
//! | `steps` | \[k, n, c, h, w\] | `steps[i]` is what the scheduler draws after the network's call i, counted from 0 |
//! | or `step_0`, `step_1`, … | \[n, c, h, w\] | the same, one tensor each; those that are not needed may be left out |
//!
//! A draw that the scheduler does not need is passed over: diffusers draws also where the noise is then multiplied
//! by zero. Without a file sample i draws from its own stream of the seed, the start first, and so depends on the
//! seed and i alone, not on how many are drawn beside it (`ScoreSdeVeScheduler` alone couples the samples of a run).

pub(crate) mod model;
mod noise;
mod picture;
mod scheduler;

use std::{cell::Cell, path::PathBuf};

use ndarray::{ArrayD, ArrayViewD, Axis};
use noise_schedule::Kernel;
use samplers::Prepared;
use tch::Device;

use crate::{cell, config, error::Error, files, tensors};
use model::{Model, Place};
use noise::Noise;
pub use picture::Pixels;

/// Samples along the leading axis.
type State = ArrayD<f64>;

/// What is drawn where nothing says how many.
const SAMPLES: usize = 16;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Folder of the model.
    pub model: PathBuf,
    /// Folder or file of a scheduler, or the name of a class; by default the model's own.
    pub scheduler: Option<String>,
    /// Inference steps; by default those of diffusers' pipeline for the scheduler.
    pub steps: Option<usize>,
    /// Keyword arguments of the scheduler's `step`, such as (`eta`, `0.5`).
    pub options: Vec<(String, String)>,
    /// Number of samples; by default that of the noise file, or of the classes, or 16.
    pub samples: Option<usize>,
    /// Seed of the draws.
    pub seed: u64,
    /// File of draws.
    pub noise: Option<PathBuf>,
    /// Classes: none, one for all samples, or one for each.
    pub classes: Vec<f64>,
    /// Where the network is evaluated.
    pub device: config::Device,
    /// What the network computes with; by default single precision, or what the cell computed with.
    pub precision: Option<config::Precision>,
    /// `.png` for a grid of pictures, `.safetensors` for the numbers.
    pub out: PathBuf,
}

/// Everything that sampling needs, read and checked.
#[derive(Debug)]
pub struct Sampler {
    model: Model,
    prepared: Prepared<State>,
    noise: Noise,
    initial: State,
    pixels: Pixels,
    out: Output,
    words: String,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Output {
    Picture(PathBuf),
    Numbers(PathBuf),
}

/// Samples that were drawn.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The numbers, \[n, …\].
    pub values: ArrayD<f64>,
    /// How they are shown.
    pub pixels: Pixels,
}

impl Sampler {
    /// Reads the model, the scheduler and the noise.
    ///
    /// # Errors
    /// [`Error::Impossible`] for arguments that break a rule or do not fit the model; [`Error::Unusable`] for a model
    /// or noise that is not whole; [`Error::Sampler`] for a scheduler or its options; [`Error::Files`] where `out`
    /// cannot be written; [`Error::Device`].
    pub fn prepare(request: &Request) -> Result<Sampler, Error> {
        let out = Output::of(&request.out)?;
        for (name, value) in [("--n", request.samples), ("--steps", request.steps)] {
            if value == Some(0) {
                return Err(impossible(name, 0, "it must be at least 1"));
            }
        }
        let device = cell::device(request.device)?;
        let place = Place::find(&request.model)?;
        let (prepared, words) = place.prepared(request)?;
        let shape = place.shape()?;
        let draws = draws(&prepared);
        let given = match &request.noise {
            Some(path) => Some(noise::Given::read(path, shape.as_deref(), &draws)?),
            None => None,
        };
        let n = count(request, given.as_ref().map(noise::Given::samples))?;
        let shape = match (&given, shape) {
            (Some(given), _) => given.initial.shape()[1..].to_vec(),
            (None, Some(shape)) => shape,
            (None, None) => {
                return Err(Error::Unusable {
                    path: request.model.clone(),
                    reason: "its config.json has no `sample_size`; add it, or give the start with --noise".to_owned(),
                });
            }
        };
        place.check_call(&shape, n, &prepared)?;
        if let Output::Picture(_) = out
            && !matches!(shape[..], [1 | 3, _, _])
        {
            let value = request.out.display();
            let rule = format!(
                "a sample has the shape {shape:?} and a picture has 1 or 3 channels: give a name that ends in .safetensors"
            );
            return Err(impossible("--out", value, &rule));
        }
        let classes = place.classes(&request.classes, n, device)?;
        let (noise, initial) = Noise::begin(given, request.seed, n, &shape);
        let words = format!("{n} samples of {shape:?}, {words}");
        let notes = place.notes(request, &prepared);
        Ok(Sampler {
            initial: initial * prepared.init_noise_sigma,
            pixels: place.pixels(request.scheduler.as_deref())?,
            model: place.open(device, request.precision, classes)?,
            prepared,
            noise,
            out,
            words,
            notes,
        })
    }

    /// What is sampled, in one line.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// What is allowed and may not be meant.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How often the network will be called, on a part of the samples each time.
    pub fn evaluations(&self) -> u64 {
        let parts = self.initial.shape()[0].div_ceil(self.model.chunk());
        (self.prepared.calls.len() * parts) as u64
    }

    /// Draws the samples; `evaluated` is called after each evaluation.
    pub fn run(&mut self, evaluated: &mut dyn FnMut()) -> Samples {
        let (chunk, noise) = (self.model.chunk(), &mut self.noise);
        let calls = Cell::new(0);
        let mut in_parts = |x: &State, answer: &dyn Fn(usize, ArrayViewD<'_, f64>) -> State| {
            let mut answers = State::zeros(x.raw_dim());
            let parts = answers.axis_chunks_iter_mut(Axis(0), chunk);
            let parts = parts.zip(x.axis_chunks_iter(Axis(0), chunk));
            for (index, (mut part, x)) in parts.enumerate() {
                part.assign(&answer(index * chunk, x));
                evaluated();
            }
            calls.set(calls.get() + 1);
            answers
        };
        let mut draw = |like: &State, from, to| noise.draw(calls.get() - 1, like, from, to);
        let (prepared, start) = (&self.prepared, self.initial.clone());
        let values = match &self.model {
            Model::Cell(trained) => {
                let mut model = |x: &State, at| in_parts(x, &|_, x| trained.denoise(x, at));
                prepared.run(&mut model, &mut draw, start)
            }
            Model::Folder(folder) => {
                let mut network = |shown: &State, call| {
                    in_parts(shown, &|begin, shown| folder.answer(begin, shown, call))
                };
                prepared.run_network(&mut network, &mut draw, start)
            }
        };
        Samples {
            values,
            pixels: self.pixels,
        }
    }

    /// Writes the samples where the request said; returns the path.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn write(&self, samples: &Samples) -> Result<PathBuf, Error> {
        let (path, bytes) = match &self.out {
            Output::Picture(path) => (path, samples.png()),
            Output::Numbers(path) => (path, samples.safetensors()),
        };
        files::replace(path, &bytes)?;
        Ok(path.clone())
    }
}

impl Samples {
    /// How many samples hold a number that is not finite.
    pub fn not_finite(&self) -> usize {
        let rows = self.values.axis_iter(Axis(0));
        rows.filter(|row| row.iter().any(|v| !v.is_finite()))
            .count()
    }

    /// The numbers as a safetensors file: `samples`, \[n, …\], f32.
    pub fn safetensors(&self) -> Vec<u8> {
        let single = tensors::single(self.values.view(), Device::Cpu);
        tensors::to_bytes(&[("samples".to_owned(), single)])
    }
}

impl Output {
    fn of(path: &std::path::Path) -> Result<Output, Error> {
        let end = path.extension().and_then(|end| end.to_str());
        let make = match end {
            Some("png") => Output::Picture,
            Some("safetensors") => Output::Numbers,
            _ => {
                let rule =
                    "it must end in .png for a grid of pictures or in .safetensors for the numbers";
                return Err(impossible("--out", path.display(), rule));
            }
        };
        files::check_writable(path)?;
        Ok(make(path.to_owned()))
    }
}

/// How many samples are drawn.
fn count(request: &Request, given: Option<usize>) -> Result<usize, Error> {
    let of_classes = Some(request.classes.len()).filter(|&count| 1 < count);
    match (request.samples, given) {
        (Some(n), Some(noise)) if n != noise => Err(impossible(
            "--n",
            n,
            &format!("the noise file is for {noise} samples: leave --n out, or make another file"),
        )),
        (n, noise) => Ok(n.or(noise).or(of_classes).unwrap_or(SAMPLES)),
    }
}

/// After which calls of the network the scheduler draws, counted from 0: found by a run with a state of one number.
fn draws(prepared: &Prepared<State>) -> Vec<usize> {
    let (calls, mut drawn) = (Cell::new(0), Vec::new());
    let mut model = |x: &State, _: Kernel| {
        calls.set(calls.get() + 1);
        x.clone()
    };
    let mut source = |like: &State, _: Kernel, _: Kernel| {
        drawn.push(calls.get() - 1);
        like.clone()
    };
    prepared.run(&mut model, &mut source, State::ones(vec![1, 1, 1, 1]));
    drawn
}

fn impossible(name: &str, value: impl ToString, rule: &str) -> Error {
    Error::Impossible {
        place: "sample".to_owned(),
        name: name.to_owned(),
        value: value.to_string(),
        rule: rule.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use samplers::compat::{Options, diffusers};

    use super::*;

    /// The file of noise has one place for each call of the network.
    #[test]
    fn schedulers_draw_at_most_once_after_each_call() {
        let mut tried = 0;
        for class in diffusers::class_names() {
            // EulerAncestral's kin ask for what a level does not have over long steps; RePaint is told what it repairs.
            let [config, step] = [class, "step"].map(|owner| Options::new(owner, []));
            let Ok(prepared) = diffusers::prepare(class, config, 20, step) else {
                continue;
            };
            let calls = prepared.calls.len();
            let draws = draws(&prepared);
            assert!(
                draws.windows(2).all(|pair| pair[0] < pair[1]),
                "{class}: {draws:?}"
            );
            assert!(draws.last().is_none_or(|&last| last < calls), "{class}");
            tried += 1;
        }
        assert!(28 <= tried, "only {tried} classes");
    }

    #[test]
    fn the_last_step_of_ddpm_draws_nothing() {
        let [config, step] = ["DDPMScheduler", "step"].map(|owner| Options::new(owner, []));
        let prepared = diffusers::prepare("DDPMScheduler", config, 5, step).expect("the defaults");
        assert_eq!(draws(&prepared), [0, 1, 2, 3]);
    }
}
