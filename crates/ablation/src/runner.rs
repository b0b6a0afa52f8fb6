//! The coordinator: starts worker processes, replaces those that die, shows progress.
//!
//! A worker takes one cell after another from the run's directory. The coordinator holds no state that
//! matters: what is done is what is committed, so it may be killed and started again at any time.

mod crew;
mod progress;
pub mod slurm;

use std::{
    ffi::OsString,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use progress::seconds_left;

use crate::{
    error::Error,
    inspect,
    plan::{Cell, Plan},
    record::Attempt,
    store::{State, Store},
    worker::own_digest,
};
use crew::Crew;
use progress::Progress;

/// What runs the cells.
#[derive(Clone, Copy, Debug)]
pub struct Engine<'a> {
    /// The program whose command `worker` takes one cell after another.
    pub program: &'a Path,
    /// What it is given after the directory.
    pub arguments: &'a [OsString],
    /// Workers at a time.
    pub jobs: usize,
    /// Names of graphics cards, shared out among the workers (`CUDA_VISIBLE_DEVICES`); none for the processor.
    pub cards: &'a [String],
    /// What becomes of results of other builds.
    pub other_builds: OtherBuilds,
}

/// What becomes of results that another build of the program made.
///
/// They are named by what was computed, not by who computed it, so a new build finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherBuilds {
    /// They stand; a report of two builds says MIXED BUILDS, and its verdicts are INVALID.
    Keep,
    /// They are run again and kept beside.
    Again,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Cells planned.
    pub total: usize,
    /// Cells with a result.
    pub done: usize,
    /// Cells that were run now, not found finished.
    pub run_now: usize,
}

/// Runs what is missing; of a sequential run, up to the next look.
///
/// # Errors
///
/// A full disk, a directory that is gone, workers that cannot be started or that refuse, or
/// [`Error::Interrupted`]. Cells that fail are not errors.
pub fn run(plan: &Plan, store: &Store, engine: &Engine<'_>) -> Result<Finished, Error> {
    let interrupted = interrupt_flag();
    store.sweep(&[]);
    let cells = inspect::due(store, plan)?;
    set_aside_damaged(store, &cells)?;
    let mut measured = look(store, &cells, engine.other_builds)?;
    let mut open: Vec<&(Cell, f64)> = cells
        .iter()
        .filter(|(cell, _)| !store.is_done(&cell.id))
        .collect();
    let found = cells.len() - open.len();
    let mut progress = Progress::new(cells.len(), found);
    let mut crew = Crew::new(store, engine);
    let (mut looks, mut repairs) = (0, 0);
    while !interrupted.load(Ordering::Relaxed) {
        store.beat(looks);
        looks += 1;
        let before = open.len();
        open.retain(|(cell, predicted)| {
            if !store.is_done(&cell.id) {
                return true;
            }
            if let State::Done(_, Attempt { seconds, .. }) = store.state(&cell.id) {
                measured.push((*predicted, seconds));
            }
            false
        });
        if open.len() < before {
            crew.is_fruitful();
        }
        let missing: Vec<&(Cell, f64)> = open
            .iter()
            .copied()
            .filter(|(cell, _)| !store.is_given_up(&cell.id))
            .collect();
        let costs: Vec<f64> = missing.iter().map(|(_, cost)| *cost).collect();
        let left = seconds_left(&measured, &costs, engine.jobs);
        progress.show(cells.len() - open.len(), left);
        if missing.is_empty() {
            // What was damaged since it was finished is run again, but not for ever on a disk that damages all.
            let damaged = set_aside_damaged(store, &cells)?;
            if damaged.is_empty() || repairs == REPAIRS {
                break;
            }
            repairs += 1;
            open.extend(damaged);
            continue;
        }
        // Else cells would be missing for ever, and workers find nothing to do.
        if !store.exists() {
            return Err(Error::NoRun {
                path: store.root().to_owned(),
            });
        }
        crew.bury()?;
        store.sweep(&crew.living());
        let unclaimed = missing
            .iter()
            .filter(|(cell, _)| !store.is_at_work_here(&cell.id))
            .count();
        crew.hire(unclaimed)?;
        std::thread::sleep(Duration::from_millis(PAUSE));
    }
    crew.dismiss();
    store.sweep(&[]);
    store.sweep_logs();
    let is_done = |(cell, _): &&(Cell, f64)| matches!(store.state(&cell.id), State::Done(..));
    let done = cells.iter().filter(is_done).count();
    progress.end(done);
    if interrupted.load(Ordering::Relaxed) && done < cells.len() {
        return Err(Error::Interrupted {
            done,
            total: cells.len(),
        });
    }
    Ok(Finished {
        total: cells.len(),
        done,
        run_now: done.saturating_sub(found),
    })
}

/// Milliseconds between two looks at the directory.
const PAUSE: u64 = 100;

/// How often a run goes back to results that were damaged after they were committed.
const REPAIRS: u32 = 3;

/// Sets results aside that do not read; the cells that are open by that.
fn set_aside_damaged<'c>(
    store: &Store,
    cells: &'c [(Cell, f64)],
) -> Result<Vec<&'c (Cell, f64)>, Error> {
    let mut open = Vec::new();
    for planned in cells {
        let id = &planned.0.id;
        if let State::Corrupt(reason) = store.state(id) {
            line(&format!("run again: {reason}"));
            store.forget(id)?;
            store.pardon(id)?;
            open.push(planned);
        }
    }
    Ok(open)
}

/// What is there from earlier: what failed is run again. Predicted and measured seconds of what is finished.
fn look(
    store: &Store,
    cells: &[(Cell, f64)],
    other_builds: OtherBuilds,
) -> Result<Vec<(f64, f64)>, Error> {
    let own = own_digest();
    let mut measured = Vec::new();
    let mut others = 0;
    for (cell, predicted) in cells {
        match store.state(&cell.id) {
            State::Failed(_) => store.pardon(&cell.id)?,
            State::Done(_, attempt) if attempt.binary != own && !attempt.binary.is_empty() => {
                others += 1;
                match other_builds {
                    OtherBuilds::Keep => measured.push((*predicted, attempt.seconds)),
                    OtherBuilds::Again => store.supersede(&cell.id)?,
                }
            }
            State::Done(_, attempt) => measured.push((*predicted, attempt.seconds)),
            State::Missing | State::Corrupt(_) => {}
        }
    }
    match other_builds {
        OtherBuilds::Again if 0 < others => line(&format!(
            "{others} cells of another build are run again; their results are kept beside"
        )),
        // Where all are finished nothing is mixed.
        OtherBuilds::Keep if 0 < others && measured.len() < cells.len() => line(&format!(
            "{others} of {} cells have results of another build of the program: the report\n\
             will say MIXED BUILDS and give no verdict; --other-builds again runs them again",
            cells.len()
        )),
        _ => {}
    }
    Ok(measured)
}

/// A flag that Ctrl-C and SIGTERM raise; a second Ctrl-C ends the process at once.
pub(crate) fn interrupt_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Order matters: the conditional shutdown must see the flag as the previous signal left it.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag));
        let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
    }
    flag
}

/// A flag that the signal raises by which a batch system says that the time is nearly over (`SIGUSR1`).
pub(crate) fn warning_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&flag));
    flag
}

/// A flag that the signals raise by which workers are told to stop: those of a person, of a coordinator and of a
/// batch system. A checkpoint comes first, so no number of them ends the process at once.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
    }
    flag
}

#[allow(clippy::print_stderr, reason = "progress is what the runner is for")]
pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}

/// Seconds in words.
pub(crate) fn words(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn seconds_in_words() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.4, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min 00 s"),
            (61.0, "1 min 01 s"),
            (3599.0, "59 min 59 s"),
            (3600.0, "1 h 00 min"),
            (90_061.0, "25 h 01 min"),
        ] {
            assert_eq!(words(seconds), text);
        }
    }
}
