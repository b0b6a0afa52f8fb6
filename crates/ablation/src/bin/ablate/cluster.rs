//! `--engine slurm` and `gather`: runs on a cluster.

use std::{collections::BTreeMap, path::Path};

use ablation::{
    Error,
    plan::Plan,
    runner::{
        Finished, OtherBuilds,
        slurm::{self, Gathered, Settings},
    },
    store::Store,
};
use clap::Args;

use crate::{quoted, render, say, work::Keeping};

/// How jobs are submitted.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "With --engine slurm")]
pub(crate) struct Slurm {
    /// Partition [default: the cluster's]
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Time limit of a task, e.g. 90 (minutes) or 1-12 (days and hours); a cell may take longer [default: the
    /// cluster's]
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: Option<String>,
    /// Cores of a task [default: as many as a cell has threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// Graphics cards of a task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    gpus: Option<u32>,
    /// Memory of a task in MB [default: what the largest cell is estimated to need, and half as much]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    memory: Option<u64>,
    /// Tasks at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    throttle: Option<u32>,
    /// Tasks of an array, each with its share of the cells [default: as many as have five minutes of work each]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tasks: Option<u32>,
    /// Arrays that are submitted in all, each for what the ones before left [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds before the time limit at which a task keeps a checkpoint and queues up again [default: 180]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    warning: Option<u32>,
    /// Another option of sbatch, e.g. --sbatch=--account=physics; may be given again
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// Submit, and do not wait: the jobs make the report
    #[arg(long)]
    detach: bool,
}

fn time(text: &str) -> Result<String, String> {
    slurm::minutes(text).map(|_| text.to_owned())
}

/// Submits what is missing, and waits unless told to leave; `None` where nobody waits.
pub(crate) fn run(
    plan: &Plan,
    store: &Store,
    arguments: &Slurm,
    keeping: &Keeping,
    other_builds: OtherBuilds,
) -> Result<Option<Finished>, Error> {
    let settings = settings(plan, arguments, keeping)?;
    let rounds = arguments.rounds.unwrap_or(3);
    let submitted = slurm::submit(plan, store, &settings, rounds, other_builds);
    // From here on nobody starts workers here: who gathers asks the queue.
    store.close();
    let submitted = submitted?;
    say(&words(&submitted, store.root()));
    if arguments.detach {
        return Ok(None);
    }
    slurm::watch(plan, store).map(Some)
}

fn settings(plan: &Plan, arguments: &Slurm, keeping: &Keeping) -> Result<Settings, Error> {
    let warning = arguments.warning.unwrap_or(180);
    if let Some(time) = &arguments.time
        && slurm::minutes(time).is_ok_and(|minutes| 60.0 * minutes <= f64::from(warning))
    {
        return Err(Error::Impossible {
            place: "the command line".to_owned(),
            name: "--time".to_owned(),
            value: time.clone(),
            rule: format!(
                "tasks are told {warning} s before it to keep a checkpoint: give more time, or a shorter --warning"
            ),
        });
    }
    let threads = plan.arms().map(|arm| arm.config.numerics.threads).max();
    let needed = 1.5 * plan.bytes()? / 1e6;
    let variables = ["LD_LIBRARY_PATH", "ABLATE_DATA_DIR"];
    let set = variables.iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some(((*name).to_owned(), value))
    });
    let words = keeping.words().into_iter();
    Ok(Settings {
        name: plan
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect(),
        partition: arguments.partition.clone(),
        time: arguments.time.clone(),
        cpus: arguments.cpus.or(threads).unwrap_or(1),
        gpus: arguments.gpus,
        memory: arguments.memory.unwrap_or(needed.ceil() as u64),
        throttle: arguments.throttle,
        tasks: arguments.tasks,
        warning,
        last_round: 0,
        others: arguments.sbatch.clone(),
        environment: set.collect::<BTreeMap<_, _>>(),
        arguments: words
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
    })
}

/// Reports a run whose cells all have a result, or submits what is missing.
pub(crate) fn gather(root: &Path) -> Result<(), Error> {
    let (store, plan) = Store::open(root)?;
    let gathered = slurm::gather(&plan, &store)?;
    if matches!(gathered, Gathered::Complete | Gathered::Spent { .. }) {
        render(root, false)?;
    }
    say(&words(&gathered, root));
    match gathered {
        Gathered::Spent { missing } => Err(Error::Unfinished {
            failed: missing,
            total: plan.cells().len(),
            path: root.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn words(gathered: &Gathered, root: &Path) -> String {
    match gathered {
        Gathered::Complete => "every cell has a result\n".to_owned(),
        Gathered::Queued(words) => format!("{words}\n"),
        Gathered::Submitted { round, job, cells } => format!(
            "round {round}: {cells} cells as job {job}\n`ablate status {}` says how far they are\n",
            quoted(root)
        ),
        Gathered::Spent { missing } => format!("{missing} cells are not tried again\n"),
    }
}
