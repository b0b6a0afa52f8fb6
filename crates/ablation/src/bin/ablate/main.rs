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
mod cluster;
mod heap;
mod look;
mod probe;
mod rounds;
mod run;
mod sample;
mod slots;
mod work;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use ablation::{Error, frame, inspect, plan::Overrides, report, store::Store, summary::Summary};
use clap::{Parser, Subcommand};

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
    Ablate(Box<run::Ablate>),
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
    /// Say which parts of a trained network get gradients that can be trusted, and what its skips carry
    Probe(probe::Probe),
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
    /// Report a run on a cluster, or submit what is missing of it; may be run at any time
    Gather {
        /// The directory of the run, e.g. runs/default
        dir: PathBuf,
    },
    /// Work on the cells of a run until none is open; started by `ablate`, or by any system that starts worker I of N
    /// at least once
    Worker(work::Worker),
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
    heap::keep();
    let outcome = match Cli::parse().command {
        Command::Ablate(arguments) => run::run(*arguments).map(|()| ExitCode::SUCCESS),
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
        Command::Probe(arguments) => probe::probe(arguments).map(|()| ExitCode::SUCCESS),
        Command::Conform { paths } => Ok(beside::compare(&paths)),
        #[cfg(feature = "tch")]
        Command::BenchWork(arguments) => bench::work(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Gather { dir } => cluster::gather(&dir).map(|()| ExitCode::SUCCESS),
        Command::Worker(arguments) => work::work(arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ablate: {error}");
            ExitCode::from(error.exit_status())
        }
    }
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
