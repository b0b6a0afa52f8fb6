//! `ablate`: a study is planned, run and reported.

use std::path::{Path, PathBuf};

use ablation::{
    Error, catalog, config,
    plan::{Overrides, Plan, PlannedLooks},
    runner::{self, Finished},
    store::Store,
    study,
    summary::Summary,
    worker,
};
use clap::{Args, Subcommand, ValueEnum};

use crate::{
    beside, claims,
    cluster::{self, Slurm},
    look, overrides, quoted, render, rounds, say, slots,
    work::Keeping,
};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Ablate {
    #[command(subcommand)]
    part: Option<Part>,
    /// A built-in study (default, fashion-mnist, smoke), a TOML file, or a folder of TOML files
    #[arg(default_value = "default")]
    study: String,
    /// Print what would be run, with its costs, and stop
    #[arg(long)]
    plan: bool,
    /// Directory of the run [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Cells at a time, each a process [default: as many as cores, memory or cards allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Seeds of the 2×2
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Look after so many seeds (8, 16 and 30 if none are given), and stop where every contrast is decided; the looks
    /// share the level of 5 %
    #[arg(
        long,
        value_name = "SEEDS,…",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "8,16,30",
        conflicts_with_all = ["seeds", "all"]
    )]
    sequential: Option<Vec<u32>>,
    /// Training steps of every cell (these are other cells)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Run what stands beside the 2×2 on all seeds too
    #[arg(long)]
    all: bool,
    /// Where tensors live
    #[arg(long, value_enum, value_name = "D")]
    device: Option<Device>,
    #[command(flatten)]
    keeping: Keeping,
    /// Go on with a study that differs from the one the directory was frozen with, and put the change on record;
    /// where it touches what was registered, verdicts are INVALID
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    amend: Option<String>,
    /// What becomes of results that another build of the program made
    #[arg(long, value_enum, value_name = "W", default_value_t = OtherBuilds::Keep)]
    other_builds: OtherBuilds,
    /// What runs the cells: worker processes on this machine, or job arrays on a cluster
    #[arg(long, value_enum, value_name = "E", default_value_t = Engine::Local)]
    engine: Engine,
    #[command(flatten)]
    slurm: Slurm,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Worker processes on this machine
    Local,
    /// Slurm job arrays
    Slurm,
    /// Whatever starts worker I of N at least once, for each I: the line for it is printed
    Other,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OtherBuilds {
    /// They stand; a report of two builds gives no verdict
    Keep,
    /// They are run again and kept beside
    Again,
}

impl From<OtherBuilds> for runner::OtherBuilds {
    fn from(chosen: OtherBuilds) -> runner::OtherBuilds {
        match chosen {
            OtherBuilds::Keep => runner::OtherBuilds::Keep,
            OtherBuilds::Again => runner::OtherBuilds::Again,
        }
    }
}

#[derive(Subcommand)]
enum Part {
    /// Compute what needs no training and hold it against closed forms; needs no libtorch
    Exact {
        /// TOML files of the exact layer [default: the built-in study]
        #[arg(value_name = "STUDY.toml")]
        studies: Vec<PathBuf>,
        /// Where exact.md and exact.json go [default: runs/NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Run the claims and judge them; what is finished is not run again
    Claims(claims::Claims),
    /// Print published numbers beside ours; minutes, needs no libtorch
    Published {
        /// TOML files of the exact layer with published numbers [default: the built-in study]
        #[arg(value_name = "STUDY.toml")]
        studies: Vec<PathBuf>,
        /// Where published.md and published.json go [default: runs/NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Folder of the results of claims that some of the numbers stand beside
        #[arg(long, value_name = "DIR", default_value = "docs/results/claims")]
        claims: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Device {
    /// The processor
    Cpu,
    /// A CUDA card
    Cuda,
}

impl From<Device> for config::Device {
    fn from(device: Device) -> config::Device {
        match device {
            Device::Cpu => config::Device::Cpu,
            Device::Cuda => config::Device::Cuda,
        }
    }
}

/// Numbers that a network computes with.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Precision {
    /// Single precision
    F32,
    /// bfloat16 between variables and sums in single precision: faster
    Bf16,
}

impl From<Precision> for config::Precision {
    fn from(precision: Precision) -> config::Precision {
        match precision {
            Precision::F32 => config::Precision::F32,
            Precision::Bf16 => config::Precision::Bf16,
        }
    }
}

/// Plans a study, runs what is missing, and reports it.
pub(crate) fn run(arguments: Ablate) -> Result<(), Error> {
    match arguments.part {
        Some(Part::Exact { studies, out }) => {
            return beside::compute("exact", catalog::EXACT, &studies, out, None);
        }
        Some(Part::Published {
            studies,
            out,
            claims,
        }) => {
            let kept = Some(claims.as_path());
            return beside::compute("published", catalog::PUBLISHED, &studies, out, kept);
        }
        Some(Part::Claims(arguments)) => return claims::run(arguments),
        None => {}
    }
    if arguments.engine != Engine::Slurm && arguments.slurm != Slurm::default() {
        return Err(Error::Impossible {
            place: "the command line".to_owned(),
            name: "--engine".to_owned(),
            value: "local".to_owned(),
            rule: "options of a cluster were given: add --engine slurm, or leave them out"
                .to_owned(),
        });
    }
    if arguments.engine != Engine::Local && arguments.sequential.is_some() {
        return Err(Error::Impossible {
            place: "the command line".to_owned(),
            name: "--sequential".to_owned(),
            value: "an engine that is not local".to_owned(),
            rule: "somebody must look between the rounds: leave out --engine, or --sequential"
                .to_owned(),
        });
    }
    let folder = study::load(&arguments.study)?;
    let looks = arguments.sequential.as_deref().map(PlannedLooks::at);
    let overrides = Overrides {
        seeds: arguments.seeds,
        looks: looks.transpose()?,
        steps: arguments.steps,
        device: arguments.device.map(config::Device::from),
        all: arguments.all,
        ..overrides(arguments.keeping.data.clone())
    };
    let plan = Plan::resolve(folder, &overrides)?;
    let cards = slots::cards(&plan);
    let jobs = match arguments.jobs {
        Some(jobs) => usize::from(jobs),
        None => slots::jobs(&plan, &cards)?,
    };
    look::print_plan(&plan, jobs)?;
    if arguments.plan {
        return Ok(());
    }
    if !cfg!(feature = "tch") && plan.needs_torch() {
        return Err(Error::WithoutTorch);
    }
    let root = arguments
        .out
        .unwrap_or_else(|| Path::new("runs").join(&plan.name));
    let store = match &arguments.amend {
        Some(reason) => Store::amend(&root, &plan, reason)?,
        None => Store::create(&root, &plan)?,
    };
    let other_builds = arguments.other_builds.into();
    if arguments.engine == Engine::Other {
        store.close();
        return template(&store, &arguments.keeping, jobs);
    }
    if arguments.engine == Engine::Slurm {
        let finished = cluster::run(
            &plan,
            &store,
            &arguments.slurm,
            &arguments.keeping,
            other_builds,
        )?;
        return finished.map_or(Ok(()), |finished| end(&root, finished));
    }
    let engine = runner::Engine {
        program: &own_program()?,
        arguments: &arguments.keeping.words(),
        jobs,
        cards: &cards,
        other_builds,
    };
    let finished = rounds::run(&plan, &store, &engine);
    store.close();
    end(&root, finished?)
}

/// Says how any system runs the cells of a plan that was frozen.
fn template(store: &Store, keeping: &Keeping, jobs: usize) -> Result<(), Error> {
    let program = store.keep_program(&worker::own_digest())?;
    let program = program.canonicalize().unwrap_or(program);
    let library = std::env::var_os("LD_LIBRARY_PATH").map(PathBuf::from);
    let library = library.map_or(String::new(), |path| {
        format!("LD_LIBRARY_PATH={} ", quoted(&path))
    });
    let words = keeping.words().into_iter();
    let words: String = words
        .map(|word| format!(" {}", quoted(Path::new(&word))))
        .collect();
    say(&format!(
        "start worker I at least once for each I, by whatever means; here, {jobs} at a time:\n\n  \
         seq 0 {} | {library}parallel {} worker {} --task {{}} --of {jobs}{words}\n\n\
         `report {}` says what is finished\n",
        jobs - 1,
        quoted(&program),
        quoted(store.root()),
        quoted(store.root()),
    ));
    Ok(())
}

/// Reports what a run came to.
fn end(root: &Path, finished: Finished) -> Result<(), Error> {
    let summary = render(root, false)?;
    say(&last_line(&summary, finished));
    match finished.total - finished.done {
        0 => Ok(()),
        failed => Err(Error::Unfinished {
            failed,
            total: finished.total,
            path: root.to_owned(),
        }),
    }
}

/// This very program, even if its file has been replaced by another build since it was started.
pub(crate) fn own_program() -> Result<PathBuf, Error> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe().map_err(|source| Error::Process {
        what: "the program cannot find itself".to_owned(),
        source,
    })
}

/// One line that a machine can read.
fn last_line(summary: &Summary, finished: Finished) -> String {
    let diverged: u32 = summary
        .studies
        .iter()
        .flat_map(|s| &s.blocks)
        .flat_map(|b| &b.arms)
        .map(|a| a.diverged)
        .sum();
    format!(
        "cells={} done={} run_now={} diverged={diverged} failed={}\n",
        finished.total,
        finished.done,
        finished.run_now,
        finished.total - finished.done
    )
}
