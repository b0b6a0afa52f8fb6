//! The program: plans, runs and reports studies.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the edge where text meets a person"
)]

#[cfg(feature = "tch")]
mod bench;
mod beside;
mod claims;
mod look;
mod rounds;
mod sample;
mod slots;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use ablation::{
    Error, catalog, config, frame, inspect,
    plan::{Overrides, Plan, PlannedLooks},
    report, runner,
    store::Store,
    study,
    summary::Summary,
    worker::{self, Ended},
};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A laboratory for one thesis: skip connections and diffusion noise do the same thing.
#[derive(Parser)]
#[command(name = "ablate", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a study (or a folder of studies) and report it; what is finished is not run again
    Ablate(Ablate),
    /// Render the report of a run again, from whatever is finished; needs no libtorch
    Report {
        /// The directory of the run, e.g. runs/default
        dir: PathBuf,
        /// Write event files for TensorBoard too: `tensorboard --logdir DIR/tensorboard`
        #[arg(long)]
        tensorboard: bool,
    },
    /// Say what is done, running, failed and missing in a run
    Status {
        /// The directory of the run, e.g. runs/default
        dir: PathBuf,
        /// One line per cell
        #[arg(long)]
        cells: bool,
        /// Say it again every two seconds, until nobody works on the run any more
        #[arg(long, conflicts_with = "cells")]
        watch: bool,
    },
    /// Read everything in a run and say what is not as it was committed; ends with 1 if something is not
    Verify {
        /// The directory of the run, e.g. runs/default
        dir: PathBuf,
    },
    /// Say all that is known of one cell of a run
    Explain {
        /// The directory of the run, e.g. runs/default
        dir: PathBuf,
        /// The beginning of the cell's id, as `status --cells` lists it
        cell: String,
    },
    /// Say how two runs differ, in plan and results; ends with 1 if they do
    Diff {
        /// The directory of one run
        a: PathBuf,
        /// The directory of the other
        b: PathBuf,
    },
    /// Remove from a run what serves nothing any more; results, conflicts and amendments stay
    Gc {
        /// The directory of the run, e.g. runs/default
        dir: PathBuf,
        /// Also everything of cells that no plan of the run knows
        #[arg(long)]
        unplanned: bool,
        /// List it, and leave it there
        #[arg(long)]
        dry_run: bool,
    },
    /// Say how many seeds the registered contrasts of a study need, from a pilot's variance; needs no libtorch
    Power {
        /// A built-in study (default, fashion-mnist, smoke), a TOML file, or a folder of TOML files
        #[arg(default_value = "default")]
        study: String,
        /// A run of the study, finished or not [default: runs/NAME where it is]
        #[arg(long, value_name = "DIR")]
        pilot: Option<PathBuf>,
    },
    /// Draw samples from a trained network: of diffusers, or of a cell of a study
    Sample(sample::Sample),
    /// Write the network of a finished cell as a folder that diffusers opens
    Export(sample::Export),
    /// Compare our samplers and networks with reference results of other toolkits
    Conform {
        /// Conformance files, folders of networks, and folders to search
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// One side of a measurement (started by `cargo xtask bench`)
    #[cfg(feature = "tch")]
    #[command(hide = true)]
    BenchWork(bench::Work),
    /// Work on the cells of a run until none is open (started by `ablate`)
    #[command(hide = true)]
    Worker {
        /// The directory of the run
        dir: PathBuf,
        /// Folder that holds the files of an image set
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Seconds between two checkpoints of a cell
        #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
        checkpoint: f64,
        /// What becomes of trained networks
        #[arg(long, value_enum, default_value_t = Weights::Keep)]
        weights: Weights,
    },
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Ablate {
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
    /// What becomes of the trained network of each cell
    #[arg(long, value_enum, value_name = "W", default_value_t = Weights::Keep)]
    weights: Weights,
    /// Folder that holds the files of the image set
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seconds between two checkpoints of a cell
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    checkpoint: f64,
    /// Go on with a study that differs from the one the directory was frozen with, and put the change on record;
    /// where it touches what was registered, verdicts are INVALID
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    amend: Option<String>,
    /// What becomes of results that another build of the program made
    #[arg(long, value_enum, value_name = "W", default_value_t = OtherBuilds::Keep)]
    other_builds: OtherBuilds,
}

#[derive(Clone, Copy, ValueEnum)]
enum OtherBuilds {
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

/// A number of seconds ≥ 0.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let kept = Duration::try_from_secs_f64(seconds).map_err(|error| format!("{error}"))?;
    Ok(kept.as_secs_f64())
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
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
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

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    /// It lies beside the result, for `sample` and `export`
    Keep,
    /// It is gone when the cell is measured
    Drop,
}

/// Writes to standard output. That nobody reads any more (`ablate report … | head`) stops no work.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("ablate: standard output cannot be written: {error}");
        std::process::exit(74);
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ablate(arguments) => ablate(arguments).map(|()| ExitCode::SUCCESS),
        Command::Report { dir, tensorboard } => {
            again(&dir, tensorboard).map(|()| ExitCode::SUCCESS)
        }
        Command::Status { dir, cells, watch } => {
            look::status(&dir, cells, watch).map(|()| ExitCode::SUCCESS)
        }
        Command::Verify { dir } => look::verify(&dir),
        Command::Explain { dir, cell } => look::explain(&dir, &cell).map(|()| ExitCode::SUCCESS),
        Command::Diff { a, b } => look::diff(&a, &b),
        Command::Gc {
            dir,
            unplanned,
            dry_run,
        } => look::gc(&dir, unplanned, dry_run).map(|()| ExitCode::SUCCESS),
        Command::Power { study, pilot } => {
            beside::plan_seeds(&study, pilot).map(|()| ExitCode::SUCCESS)
        }
        Command::Sample(arguments) => sample::sample(arguments).map(|()| ExitCode::SUCCESS),
        Command::Export(arguments) => sample::export(arguments).map(|()| ExitCode::SUCCESS),
        Command::Conform { paths } => Ok(beside::compare(&paths)),
        #[cfg(feature = "tch")]
        Command::BenchWork(arguments) => bench::work(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Worker {
            dir,
            data,
            checkpoint,
            weights,
        } => work(&dir, data, checkpoint, weights),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ablate: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn ablate(arguments: Ablate) -> Result<(), Error> {
    match arguments.part {
        Some(Part::Exact { studies, out }) => {
            return beside::compute("exact", catalog::EXACT, &studies, out);
        }
        Some(Part::Published { studies, out }) => {
            return beside::compute("published", catalog::PUBLISHED, &studies, out);
        }
        Some(Part::Claims(arguments)) => return claims::run(arguments),
        None => {}
    }
    let folder = study::load(&arguments.study)?;
    let looks = arguments.sequential.as_deref().map(PlannedLooks::at);
    let overrides = Overrides {
        seeds: arguments.seeds,
        looks: looks.transpose()?,
        steps: arguments.steps,
        device: arguments.device.map(config::Device::from),
        all: arguments.all,
        ..overrides(arguments.data.clone())
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
    let data = arguments.data.into_iter();
    let data = data.flat_map(|data| ["--data".into(), data.into()]);
    let every = [
        "--checkpoint".into(),
        arguments.checkpoint.to_string().into(),
    ];
    let weights = match arguments.weights {
        Weights::Keep => None,
        Weights::Drop => Some(["--weights".into(), "drop".into()]),
    };
    let weights = weights.into_iter().flatten();
    let engine = runner::Engine {
        program: &own_program()?,
        arguments: &data.chain(every).chain(weights).collect::<Vec<OsString>>(),
        jobs,
        cards: &cards,
        other_builds: arguments.other_builds.into(),
    };
    let finished = rounds::run(&plan, &store, &engine);
    store.close();
    let finished = finished?;
    let summary = render(&root, false)?;
    say(&last_line(&summary, finished));
    match finished.total - finished.done {
        0 => Ok(()),
        failed => Err(Error::Unfinished {
            failed,
            total: finished.total,
            path: root,
        }),
    }
}

/// This very program, even if its file has been replaced by another build since it was started.
fn own_program() -> Result<PathBuf, Error> {
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
fn last_line(summary: &Summary, finished: runner::Finished) -> String {
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

/// Renders what is in a directory: a run, or claims side by side.
fn again(root: &Path, tensorboard: bool) -> Result<(), Error> {
    if claims::are_in(root) {
        return claims::report(root);
    }
    render(root, tensorboard).map(|_| ())
}

/// Writes every rendering of the report; says where it is.
fn render(root: &Path, tensorboard: bool) -> Result<Summary, Error> {
    let (store, plan) = Store::open(root)?;
    let results = inspect::results(&store, &plan)?;
    let command = format!("cargo xtask report {}", quoted(root));
    let summary = frame::summarise(&plan, &results, &command);
    let mut json = serde_json::to_string_pretty(&summary).expect("a summary is plain data");
    json.push('\n');
    store.write_report("summary.json", json)?;
    store.write_report("rows.csv", report::csv(&summary))?;
    if let Some(maps) = report::map_csv(&summary) {
        store.write_report("map.csv", maps)?;
    }
    store.write_report("report.md", report::markdown(&summary))?;
    if tensorboard {
        for (path, bytes) in report::tensorboard(&summary) {
            store.write_report(&format!("tensorboard/{path}"), bytes)?;
        }
    }
    let html = store.write_report("report.html", report::html(&summary))?;
    say(&report::terminal(&summary, 80, colour()));
    say(&format!(
        "\nreport: {}\n",
        html.canonicalize().unwrap_or(html).display()
    ));
    Ok(summary)
}

/// Colour where a person looks and has not asked for none.
fn colour() -> report::Colour {
    if io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    {
        report::Colour::Ansi
    } else {
        report::Colour::Never
    }
}

fn work(
    root: &Path,
    data: Option<PathBuf>,
    every: f64,
    weights: Weights,
) -> Result<ExitCode, Error> {
    let keeping = worker::Keeping {
        every: Duration::from_secs_f64(every),
        weights: match weights {
            Weights::Keep => worker::Weights::Keep,
            Weights::Drop => worker::Weights::Drop,
        },
    };
    Ok(match worker::work(root, &overrides(data), keeping)? {
        Ended::Finished => ExitCode::SUCCESS,
        Ended::Stopped => ExitCode::from(worker::STOPPED),
    })
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Where image sets are looked for beside `--data`: what `cargo xtask data` brought.
fn overrides(data: Option<PathBuf>) -> Overrides {
    let brought = std::env::var_os("ABLATE_DATA_DIR").map(PathBuf::from);
    Overrides {
        data,
        data_folders: brought.into_iter().collect(),
        ..Overrides::default()
    }
}
