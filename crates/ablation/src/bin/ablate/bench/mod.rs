//! `ablate bench-work ROW`: one side of a measurement, driven line by line by `cargo xtask bench`.
//!
//! It prepares the row's work and prints one line of JSON: what it answers on inputs that every side makes for itself from
//! the same integers (`inputs.rs`), so that sides can be held against each other before anybody's time counts, and what
//! the work costs. For each line `pass` on standard input it works once and prints the seconds of one unit of the work.
//! It ends with its input.

mod costs;
mod inputs;
mod machine;
mod networks;
mod sampling;
mod scoring;
mod training;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use ablation::{Error, cell, config};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use crate::run::Precision;

/// Arguments of `bench-work`.
#[derive(Args)]
pub(crate) struct Work {
    /// What is measured
    #[arg(value_enum)]
    row: Row,
    /// The folder of the row: networks and noise that the other side has written, or
    /// where a network is written if there is none
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How the work is spread
    #[arg(long, value_enum, default_value_t = Spread::One)]
    spread: Spread,
    /// The numbers that exact scores are computed with
    #[arg(long, value_enum, default_value_t = Numbers::Double)]
    numbers: Numbers,
    /// What networks of images compute with
    #[arg(long, value_enum, value_name = "P", default_value_t = Precision::F32)]
    precision: Precision,
    /// Threads of this process
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: i32,
    /// Only the cells of this worker of the grid
    #[arg(long, value_name = "K", hide = true)]
    part: Option<usize>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Row {
    /// A training step of diffusers' U-Net on 64 images of 32×32, channels 32-64-64
    Unet,
    /// The same with attention at the coarsest level
    UnetAttention,
    /// A training step of the residual MLP of 4 hidden layers of width 128 on 512 points
    Mlp4,
    /// The same with 16 hidden layers
    Mlp16,
    /// 2×2×4 cells of 8 hidden layers, 500 steps each, to the last one's end
    Grid,
    /// 64 images by 20 steps of DDIM
    Sampling,
    /// A step of DDIM on 64×1×32×32 numbers, without the network
    SolverDdim,
    /// A step of DPM-Solver++(2M), likewise
    SolverDpm,
    /// The exact score of a mixture of 40 components in the plane at 10⁶ points
    Score2d,
    /// The exact score of a mixture of 1024 components in 64 dimensions at 10⁵ points
    Score64d,
    /// A training step with a look at gradients, against one without
    Probes,
    /// The first training step of the U-Net, which is done once it is ready
    Start,
    /// What the machine can do: operations and bytes per second
    Machine,
}

/// How the work is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spread {
    /// One piece of work on all threads
    One,
    /// Two pieces at once, on one thread each
    Two,
}

/// Work that is ready.
struct Prepared {
    /// What a unit of it is.
    unit: &'static str,
    /// What it answers on the common inputs.
    answer: Vec<f64>,
    /// Floating-point operations of a unit that nothing can spare which works it out as the row says.
    operations: f64,
    /// Of which numbers they are.
    arithmetic: Arithmetic,
    /// Bytes that a unit must read or write at least.
    bytes: f64,
    /// Bytes of memory that they are in: fewer where the same ones are read and written again.
    memory: f64,
    /// Works, and returns the seconds of a unit.
    pass: Box<dyn FnMut() -> f64>,
}

/// What exact scores are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    #[value(name = "f32")]
    Single,
    #[value(name = "f64")]
    Double,
}

/// Of which numbers operations are.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Arithmetic {
    Single,
    Double,
    /// bfloat16.
    Half,
}

impl From<config::Precision> for Arithmetic {
    fn from(precision: config::Precision) -> Arithmetic {
        match precision {
            config::Precision::F32 => Arithmetic::Single,
            config::Precision::Bf16 => Arithmetic::Half,
        }
    }
}

/// Prepares, answers, and works for as long as it is asked to.
pub(crate) fn work(arguments: &Work) -> Result<(), Error> {
    tch::set_num_threads(arguments.threads);
    if let Some(part) = arguments.part {
        training::grid_part(part);
        return Ok(());
    }
    let mut prepared = match arguments.row {
        Row::Unet | Row::UnetAttention | Row::Sampling | Row::Start => {
            let attention = arguments.row == Row::UnetAttention;
            let unet = networks::ensure(&arguments.dir, attention)?;
            let precision = arguments.precision.into();
            match arguments.row {
                Row::Sampling => sampling::sampling(&arguments.dir, precision)?,
                Row::Start => training::start(&unet, precision)?,
                _ => training::unet(&unet, precision)?,
            }
        }
        Row::Mlp4 => training::mlp(4, arguments.spread),
        Row::Mlp16 => training::mlp(16, arguments.spread),
        Row::Grid => training::grid(),
        Row::SolverDdim => scoring::solver("DDIMScheduler"),
        Row::SolverDpm => scoring::solver("DPMSolverMultistepScheduler"),
        Row::Score2d => scoring::score(40, 2, 1_000_000, arguments.numbers),
        Row::Score64d => scoring::score(1024, 64, 100_000, arguments.numbers),
        Row::Probes => training::probes(),
        Row::Machine => machine::machine(),
    };
    let ready = json!({
        "unit": prepared.unit,
        "answer": prepared.answer,
        "operations": prepared.operations,
        "arithmetic": prepared.arithmetic,
        "bytes": prepared.bytes,
        "memory": prepared.memory,
        "libtorch": cell::libtorch(),
    });
    say(&ready);
    for line in io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("pass") => say(&json!({"seconds": (prepared.pass)()})),
            _ => break,
        }
    }
    Ok(())
}

/// One line, at once. Where nobody listens any more there is nothing left to do.
fn say(value: &serde_json::Value) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{value}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
