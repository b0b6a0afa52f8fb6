//! `worker`: works on the cells of a run.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use ablation::{
    Error,
    runner::slurm,
    store::Store,
    worker::{self, Ended, Task},
};
use clap::{Args, ValueEnum};

use crate::{overrides, render};

/// What a worker is told besides its run.
#[derive(Args)]
pub(crate) struct Keeping {
    /// What becomes of the trained network of each cell
    #[arg(long, value_enum, value_name = "W", default_value_t = Weights::Keep)]
    weights: Weights,
    /// Folder that holds the files of the image set
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Seconds between two checkpoints of a cell
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    checkpoint: f64,
    /// Seconds without a step after which a cell counts as hung, and its worker is ended; an experiment of a claim is
    /// one step, and takes no longer than that
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    hung: u32,
}

impl Keeping {
    /// As a worker is given it.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut say = |name: &str, value: OsString| words.extend([name.into(), value]);
        if let Some(data) = &self.data {
            let data = std::path::absolute(data).unwrap_or_else(|_| data.clone());
            say("--data", data.into());
        }
        say("--checkpoint", self.checkpoint.to_string().into());
        say("--hung", self.hung.to_string().into());
        if self.weights == Weights::Drop {
            say("--weights", "drop".into());
        }
        words
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// It lies beside the result, for `sample` and `export`
    Keep,
    /// It is gone when the cell is measured
    Drop,
}

/// A number of seconds ≥ 0.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let kept = Duration::try_from_secs_f64(seconds).map_err(|error| format!("{error}"))?;
    Ok(kept.as_secs_f64())
}

/// Arguments of `ablate worker`.
#[derive(Args)]
pub(crate) struct Worker {
    /// The directory of the run
    dir: PathBuf,
    #[command(flatten)]
    keeping: Keeping,
    /// I, from 0: it sees to cells I, I + N, …, and then takes what no other has begun
    #[arg(long, value_name = "I", default_value_t = 0)]
    task: usize,
    /// N, the number of workers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    of: usize,
    /// The round whose cells are meant, which says what N is
    #[arg(long, value_name = "ROUND", hide = true)]
    round: Option<u32>,
    /// `<job>_<task>` in a batch system, by which its log is named
    #[arg(long, value_name = "NAME", hide = true)]
    name: Option<String>,
}

fn count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|error| format!("{error}"))?;
    (0 < count)
        .then_some(count)
        .ok_or("it is at least 1".to_owned())
}

/// Works; a task of a cluster also says so when it refuses, is started again, and reports what is complete.
pub(crate) fn work(arguments: Worker) -> Result<ExitCode, Error> {
    let Worker {
        dir,
        keeping,
        task: index,
        of,
        round,
        name,
    } = arguments;
    if round.is_none() && of <= index {
        return Err(Error::Impossible {
            place: "the command line".to_owned(),
            name: "--task".to_owned(),
            value: index.to_string(),
            rule: format!("the tasks of {of} workers (--of) are 0 to {}", of - 1),
        });
    }
    let how = worker::Keeping {
        every: Duration::from_secs_f64(keeping.checkpoint),
        weights: match keeping.weights {
            Weights::Keep => worker::Weights::Keep,
            Weights::Drop => worker::Weights::Drop,
        },
        hung: keeping.hung,
    };
    let task = Task {
        round,
        index,
        of,
        // Others of its kind see by it that it died.
        name: name.or_else(|| (1 < of).then(|| format!("{index}-of-{of}"))),
    };
    let ended = worker::work(&dir, &overrides(keeping.data), how, &task);
    let Some(round) = round else {
        return Ok(match ended? {
            Ended::Finished => ExitCode::SUCCESS,
            Ended::Stopped | Ended::Expired => ExitCode::from(worker::STOPPED),
        });
    };
    match ended {
        Ok(Ended::Finished) => {
            // The last one to finish; of two at once both, to the same report.
            let (store, plan) = Store::open(&dir)?;
            if plan.cells().iter().all(|(cell, _)| store.is_done(&cell.id)) {
                render(&dir, false)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ended::Stopped) => Ok(ExitCode::from(worker::STOPPED)),
        Ok(Ended::Expired) => {
            if let Some(name) = &task.name {
                slurm::requeue(name);
            }
            Ok(ExitCode::from(worker::STOPPED))
        }
        Err(error) => {
            if let Ok((store, _)) = Store::open(&dir) {
                let _ = store.note_refusal(round, error.exit_status(), &error.to_string());
            }
            Err(error)
        }
    }
}
