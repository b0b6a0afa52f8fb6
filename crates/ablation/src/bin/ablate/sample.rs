//! `ablate sample` and `ablate export`: what trained networks are good for.

use std::path::PathBuf;

use ablation::Error;
use clap::Args;

use crate::run::{Device, Precision};

/// Arguments of `sample`.
#[derive(Args)]
pub(crate) struct Sample {
    /// A network or pipeline folder of diffusers, or a cell of a study
    /// (runs/NAME/cells/ID)
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A folder or file of a scheduler, or a class of diffusers with its
    /// defaults, e.g. DDIMScheduler [default: the model's own; of a cell the
    /// study's probability flow]
    #[arg(long, value_name = "DIR_OR_NAME")]
    scheduler: Option<String>,
    /// Inference steps [default: those of diffusers' pipelines: 50, for DDPM
    /// its training steps; of a cell the study's]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Samples [default: those of the noise file, or of the classes, or 16]
    #[arg(long, value_name = "N")]
    n: Option<usize>,
    /// Sample i depends on the seed and on i, not on how many there are
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Standard normal draws: `initial` [n, c, h, w], and `steps`
    /// [k, n, c, h, w] or `step_0`, `step_1`, … for the scheduler's steps
    #[arg(long, value_name = "FILE.safetensors")]
    noise: Option<PathBuf>,
    /// One class for all samples, or one for each, if the network takes them
    #[arg(
        long,
        value_name = "K,…",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    classes: Vec<f64>,
    /// `eta` of the scheduler's `step`, where it has one: 0 is DDIM, 1 is DDPM
    #[arg(long, value_name = "ETA", allow_negative_numbers = true)]
    eta: Option<f64>,
    /// Another argument of the scheduler's `step`, e.g. s_churn=40; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    option: Vec<(String, String)>,
    /// Where the network is evaluated
    #[arg(long, value_enum, value_name = "D", default_value_t = Device::Cpu)]
    device: Device,
    /// What the network computes with [default: f32; of a cell the study's]
    #[arg(long, value_enum, value_name = "P")]
    precision: Option<Precision>,
    /// A grid of pictures (.png), or the numbers (.safetensors, `samples`)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `export`.
#[derive(Args)]
pub(crate) struct Export {
    /// The folder of a finished cell, e.g. runs/default/cells/ID
    #[arg(value_name = "CELL_DIR")]
    cell: PathBuf,
    /// The folder to write: config.json and diffusion_pytorch_model.safetensors
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(not(feature = "tch"))]
mod work {
    use super::{Error, Export, Sample};

    pub(crate) fn sample(_: Sample) -> Result<(), Error> {
        Err(Error::WithoutTorch)
    }

    pub(crate) fn export(_: Export) -> Result<(), Error> {
        Err(Error::WithoutTorch)
    }
}

#[cfg(feature = "tch")]
mod work {
    use std::time::{Duration, Instant};

    use ablation::{
        sample::{Request, Sampler},
        trained::Trained,
    };
    use indicatif::{ProgressBar, ProgressStyle};

    use super::{Error, Export, Sample};
    use crate::say;

    /// How long nothing is said where there is no bar.
    const SILENCE: Duration = Duration::from_secs(30);

    pub(crate) fn sample(arguments: Sample) -> Result<(), Error> {
        let eta = arguments.eta.map(|eta| ("eta".to_owned(), eta.to_string()));
        let request = Request {
            model: arguments.model,
            scheduler: arguments.scheduler,
            steps: arguments.steps,
            options: eta.into_iter().chain(arguments.option).collect(),
            samples: arguments.n,
            seed: arguments.seed,
            noise: arguments.noise,
            classes: arguments.classes,
            device: arguments.device.into(),
            precision: arguments.precision.map(Into::into),
            out: arguments.out,
        };
        let mut sampler = Sampler::prepare(&request)?;
        say(&format!("{}\n", sampler.words()));
        for note in sampler.notes() {
            eprintln!("ablate: note: {note}");
        }
        let total = sampler.evaluations();
        let bar = ProgressBar::new(total).with_style(
            ProgressStyle::with_template("{bar:32} {pos}/{len} evaluations, {eta} left")
                .expect("a valid template"),
        );
        let (mut done, mut said) = (0, Instant::now());
        let samples = sampler.run(&mut || {
            done += 1;
            bar.inc(1);
            if bar.is_hidden() && SILENCE < said.elapsed() {
                eprintln!("ablate: {done} of {total} evaluations");
                said = Instant::now();
            }
        });
        bar.finish_and_clear();
        let path = sampler.write(&samples)?;
        let broken = samples.not_finite();
        if 0 < broken {
            eprintln!(
                "ablate: note: {broken} samples hold numbers that are not finite; they are black in a picture"
            );
        }
        say(&format!("wrote {}\n", path.display()));
        Ok(())
    }

    pub(crate) fn export(arguments: Export) -> Result<(), Error> {
        let trained = Trained::open(&arguments.cell, tch::Device::Cpu)?;
        let parameters = trained.export(&arguments.out)?;
        say(&format!(
            "wrote {}: UNet2DModel, {parameters} parameters\n\
             sample = x/√({std}² + sigma²), timestep = ln(sigma)/4, answer = (x − x₀)/sigma\n",
            arguments.out.display(),
            std = trained.config().noise.data_std,
        ));
        Ok(())
    }
}

pub(crate) use work::{export, sample};
