//! Cells on a cluster: rounds of Slurm job arrays.
//!
//! Slurm starts a task at least once, sometimes twice, and forgets. So truth is what is committed in the run's
//! directory; the queue is asked for hints, and all that is decided here is decided anew from the files by whoever
//! asks: the job that waits for an array, the command that submitted it, or a person. [`gather`] may run at any
//! time, any number of times, on any machine.

mod queue;
mod script;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Finished, OtherBuilds, interrupt_flag, line, look, progress::Progress, seconds_left,
    set_aside_damaged,
};
use crate::{
    error::Error,
    plan::{Cell, Plan},
    store::{Round, State, Store},
    worker::own_digest,
};
use queue::{Of, Task};

/// How the rounds of a run are submitted; kept in the run, because the job that gathers a round submits the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The run's name, for people who look at the queue.
    pub name: String,
    /// Partition; the cluster's own choice if none is named.
    pub partition: Option<String>,
    /// Time limit of a task, as Slurm writes it.
    pub time: Option<String>,
    /// Cores of a task.
    pub cpus: u32,
    /// Graphics cards of a task.
    pub gpus: Option<u32>,
    /// Memory of a task in MB.
    pub memory: u64,
    /// Tasks at a time.
    pub throttle: Option<u32>,
    /// Tasks of an array; by default as many as have five minutes of work each.
    pub tasks: Option<u32>,
    /// Seconds before the time limit at which a task is told to keep a checkpoint.
    pub warning: u32,
    /// The last round that may be submitted.
    pub last_round: u32,
    /// More options of `sbatch`.
    pub others: Vec<String>,
    /// Variables that the program needs to start.
    pub environment: BTreeMap<String, String>,
    /// What workers are given besides their task.
    pub arguments: Vec<String>,
}

/// What gathering came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// Every cell has a result.
    Complete,
    /// A round is in the queue; its tasks in words.
    Queued(String),
    /// What was missing was submitted as another round.
    Submitted {
        /// Its number.
        round: u32,
        /// Its job.
        job: String,
        /// Its cells.
        cells: usize,
    },
    /// Cells are missing and are not tried again: the rounds are used up, or the cells are given up.
    Spent {
        /// Cells without a result.
        missing: usize,
    },
}

/// Seconds of work that a task is worth.
const WORTHWHILE: f64 = 300.0;
/// How long somebody else's round may be without a job before it is submitted in their place.
const OVERDUE: Duration = Duration::from_secs(60);
/// Between two looks at the queue.
const POLL: Duration = Duration::from_secs(10);

/// Submits what is missing as a round of its own, unless one is in the queue; `rounds` more may follow.
///
/// # Errors
///
/// Files, and [`Error::Queue`] where the batch system refuses.
pub fn submit(
    plan: &Plan,
    store: &Store,
    settings: &Settings,
    rounds: u32,
    other_builds: OtherBuilds,
) -> Result<Gathered, Error> {
    let cells = plan.cells();
    set_aside_damaged(store, &cells)?;
    look(store, &cells, other_builds)?;
    let before = store.rounds()?.len() as u32;
    store.keep_settings(&Settings {
        last_round: before + rounds,
        ..settings.clone()
    })?;
    advance(plan, store, Refusals::Ignore)
}

/// Looks what became of the last round, and submits another if cells are missing and one is left.
///
/// # Errors
///
/// As [`submit`]; [`Error::Worker`] where a task refused for a reason that holds for all.
pub fn gather(plan: &Plan, store: &Store) -> Result<Gathered, Error> {
    advance(plan, store, Refusals::Stop)
}

/// What becomes of a refusal in the last round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusals {
    /// Another round would be refused too.
    Stop,
    /// A person has seen it.
    Ignore,
}

fn advance(plan: &Plan, store: &Store, refusals: Refusals) -> Result<Gathered, Error> {
    let Some(settings) = store.settings::<Settings>()? else {
        return Err(Error::NoRounds {
            path: store.root().to_owned(),
        });
    };
    let mut cells = plan.cells();
    let is_missing = |(cell, _): &(Cell, f64)| !store.is_listed_done(&cell.id);
    cells.retain(is_missing);
    let rounds = store.rounds()?;
    if let Some(last) = rounds.last()
        && !cells.is_empty()
    {
        let Some(job) = store.job(last.number) else {
            return adopt(store, last, &settings);
        };
        let waiting = waiting(last)?;
        if !waiting.is_empty() {
            queue::release_failed_launches(&waiting);
            return Ok(Gathered::Queued(format!(
                "round {}, job {job}: {}",
                last.number,
                queue::words(&waiting)
            )));
        }
        bury(store, &job)?;
        // Its tasks may have finished cells after the first look.
        cells.retain(is_missing);
        if let (Refusals::Stop, Some((status, message))) = (refusals, store.refusal(last.number))
            && !cells.is_empty()
        {
            return Err(Error::Worker { message, status });
        }
    }
    if cells.is_empty() {
        // Tasks that have not begun would find nothing to do.
        rounds.iter().for_each(queue::withdraw);
        return Ok(Gathered::Complete);
    }
    let missing = cells.len();
    cells.retain(|(cell, _)| !store.is_given_up(&cell.id));
    let number = rounds.len() as u32 + 1;
    if cells.is_empty() || settings.last_round < number {
        return Ok(Gathered::Spent { missing });
    }
    // The longest first, so that none is left alone at the end; what failed last, so that it holds nobody up.
    cells.sort_by(|(a, cost_a), (b, cost_b)| {
        let failures = |id: &str| store.failure(id).map_or(0, |failure| failure.attempts());
        let by_cost = cost_b.total_cmp(cost_a);
        failures(&a.id).cmp(&failures(&b.id)).then(by_cost)
    });
    let work: f64 = cells.iter().map(|(_, cost)| cost).sum();
    let wanted = match settings.tasks {
        Some(tasks) => tasks as usize,
        None => (work / WORTHWHILE).ceil() as usize,
    };
    let tasks = wanted.clamp(1, cells.len()).min(queue::most_tasks());
    let ids: Vec<String> = cells.into_iter().map(|(cell, _)| cell.id).collect();
    let round = store.next_round(&settings.name, number, tasks, ids);
    if !store.begin_round(&round)? {
        return Ok(Gathered::Queued(format!(
            "round {number} is being submitted by another process"
        )));
    }
    hand_in(store, &round, &settings)
}

/// The tasks of a round that wait or run. None twice, a while apart: a controller that has just come back may not
/// know them yet.
fn waiting(round: &Round) -> Result<Vec<Task>, Error> {
    let first = queue::tasks(&round.mark, Of::Waiting)?;
    if !first.is_empty() {
        return Ok(first);
    }
    std::thread::sleep(Duration::from_secs(2));
    queue::tasks(&round.mark, Of::Waiting)
}

/// A round that was begun and whose job is not known: whoever began it is at it, has lost the reply, or died.
fn adopt(store: &Store, round: &Round, settings: &Settings) -> Result<Gathered, Error> {
    let begun = Instant::now();
    loop {
        let found = queue::tasks(&round.mark, Of::All)?;
        if let Some(task) = found.first() {
            store.note_job(round.number, &task.job)?;
        }
        if let Some(job) = store.job(round.number) {
            return Ok(Gathered::Queued(format!(
                "round {}, job {job}",
                round.number
            )));
        }
        if OVERDUE <= begun.elapsed() {
            return hand_in(store, round, settings);
        }
        std::thread::sleep(POLL);
    }
}

/// Submits a round that was begun, and the job that gathers it.
fn hand_in(store: &Store, round: &Round, settings: &Settings) -> Result<Gathered, Error> {
    let failed = |source| Error::Process {
        what: format!("{} has no absolute path", store.root().display()),
        source,
    };
    let root = std::path::absolute(store.root()).map_err(failed)?;
    let submitted = || -> Result<(String, PathBuf), Error> {
        let program = store.keep_program(&own_digest())?;
        let program = std::path::absolute(program).map_err(failed)?;
        let text = script::tasks(&root, &program, round, settings);
        let path = store.write_script(round.number, "sbatch", &text)?;
        Ok((queue::submit(&path, &round.mark)?, program))
    };
    // Where it fails nothing of it is in the queue; the next try is the same round.
    let (job, program) = submitted().inspect_err(|_| store.withdraw_round(round))?;
    store.note_job(round.number, &job)?;
    let text = script::gather(&root, &program, round, &job, settings);
    let path = store.write_script(round.number, "gather.sbatch", &text)?;
    // Without it the round ends all the same, and its last worker or a person gathers.
    if let Err(error) = queue::submit(&path, &script::gather_mark(round)) {
        line(&error.to_string());
    }
    Ok(Gathered::Submitted {
        round: round.number,
        job,
        cells: round.cells.len(),
    })
}

/// Notes the deaths of a round's tasks: those that still have a claim when all are over.
fn bury(store: &Store, job: &str) -> Result<(), Error> {
    let of_job = |task: &str| task.split_once('_').is_some_and(|(array, _)| array == job);
    for (id, task) in store.claims_of_task(of_job) {
        if !store.is_listed_done(&id) {
            store.blame(&id, &task)?;
        }
        store.drop_claim(&id);
    }
    Ok(())
}

/// The last round, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its tasks.
    pub words: String,
    /// Whether more may come of it.
    pub is_open: bool,
}

/// How the last round stands; `None` where none was submitted.
///
/// # Errors
///
/// [`Error::Damaged`] where a round does not read.
pub fn standing(store: &Store) -> Result<Option<Standing>, Error> {
    let Some(round) = store.rounds()?.pop() else {
        return Ok(None);
    };
    let (is_open, state) = match queue::tasks(&round.mark, Of::Waiting) {
        Ok(tasks) if tasks.is_empty() => (false, "none of its tasks is in the queue".to_owned()),
        Ok(tasks) => (true, queue::words(&tasks)),
        Err(error) => (true, error.to_string()),
    };
    let job = match store.job(round.number) {
        Some(job) => format!("job {job}"),
        None => "no job yet".to_owned(),
    };
    Ok(Some(Standing {
        words: format!("round {}, {job}: {state}", round.number),
        is_open,
    }))
}

/// Gathers until every cell has a result or none is tried again, and shows how far it is.
///
/// # Errors
///
/// As [`gather`]; [`Error::Left`] after an interruption, which leaves the jobs in the queue.
pub fn watch(plan: &Plan, store: &Store) -> Result<Finished, Error> {
    let interrupted = interrupt_flag();
    let cells = plan.cells();
    let is_done = |id: &str| matches!(store.state(id), State::Done(..));
    let found = cells.iter().filter(|(cell, _)| is_done(&cell.id)).count();
    let mut progress = Progress::new(cells.len(), found);
    let mut asked: Option<Instant> = None;
    loop {
        let (mut measured, mut open) = (Vec::new(), Vec::new());
        for (cell, predicted) in &cells {
            match store.state(&cell.id) {
                State::Done(_, attempt) => measured.push((*predicted, attempt.seconds)),
                _ => open.push(*predicted),
            }
        }
        let tasks = store.rounds()?.last().map_or(1, |round| round.tasks);
        progress.show(measured.len(), seconds_left(&measured, &open, tasks));
        if interrupted.load(Ordering::Relaxed) {
            return Err(Error::Left {
                done: measured.len(),
                total: cells.len(),
                path: store.root().to_owned(),
            });
        }
        if open.is_empty() || asked.is_none_or(|asked| POLL <= asked.elapsed()) {
            let ended = match gather(plan, store) {
                Ok(Gathered::Complete | Gathered::Spent { .. }) => true,
                Ok(Gathered::Queued(_)) => false,
                Ok(Gathered::Submitted { round, job, cells }) => {
                    line(&format!("round {round}: {cells} cells as job {job}"));
                    false
                }
                // It says nothing of the jobs; they go on.
                Err(error @ Error::Queue { .. }) => {
                    line(&error.to_string());
                    false
                }
                Err(error) => return Err(error),
            };
            if ended {
                let done = cells.iter().filter(|(cell, _)| is_done(&cell.id)).count();
                progress.end(done);
                return Ok(Finished {
                    total: cells.len(),
                    done,
                    run_now: done.saturating_sub(found),
                });
            }
            asked = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Starts this task anew in the queue, after a checkpoint: the batch system ends the process at once.
pub fn requeue(task: &str) {
    queue::requeue(task);
}

/// Minutes of a time limit as Slurm writes it: `M`, `M:S`, `H:M:S`, `D-H`, `D-H:M` or `D-H:M:S`.
///
/// # Errors
///
/// What is wrong with it.
pub fn minutes(text: &str) -> Result<f64, String> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days), rest),
        None => (None, text),
    };
    let number = |word: &str| word.parse::<u32>().ok().map(f64::from);
    let parts: Option<Vec<f64>> = rest.split(':').map(number).collect();
    let found = match (days.map(number), parts.as_deref()) {
        (None, Some([m])) => Some(*m),
        (None, Some([m, s])) => Some(m + s / 60.0),
        (None, Some([h, m, s])) => Some(60.0 * h + m + s / 60.0),
        (Some(Some(d)), Some([h])) => Some(60.0 * (24.0 * d + h)),
        (Some(Some(d)), Some([h, m])) => Some(60.0 * (24.0 * d + h) + m),
        (Some(Some(d)), Some([h, m, s])) => Some(60.0 * (24.0 * d + h) + m + s / 60.0),
        _ => None,
    };
    let form = "a time limit is M, M:S, H:M:S, D-H, D-H:M or D-H:M:S, e.g. 90 or 1-12";
    found
        .filter(|minutes| 0.0 < *minutes)
        .ok_or(form.to_owned())
}

#[cfg(test)]
mod tests {
    use super::minutes;

    #[test]
    fn time_limits_are_read_as_slurm_does() {
        for (text, wanted) in [
            ("90", 90.0),
            ("1:30", 1.5),
            ("1:30:00", 90.0),
            ("2-0", 2880.0),
            ("1-12:30", 2190.0),
            ("0-0:0:30", 0.5),
        ] {
            assert_eq!(minutes(text), Ok(wanted), "{text}");
        }
        for text in ["", "0", "soon", "1:2:3:4", "-3", "1-", "1.5"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
