//! The coordinator: starts worker processes, replaces those that die, shows progress.
//!
//! A worker takes one cell after another from the run's directory. The coordinator holds no state that
//! matters: what is done is what is committed, so it may be killed and started again at any time.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{
    error::Error,
    plan::{Cell, Plan},
    store::{ATTEMPTS, State, Store},
};

/// Exit status of a worker that refuses for a reason of its own: no other would do better.
const REFUSED: u8 = 2;
/// Exit status of a worker whose disk is full.
const DISK_FULL: u8 = 74;
/// Workers that may die in a row, with no cell to blame and none finished, before the run is given up.
const STILLBORN: u32 = 3;
/// How long workers may take to stop between two steps of a cell.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Runs what is missing with `jobs` worker processes of `program`.
///
/// # Errors
///
/// A full disk, workers that cannot be started or that refuse, or [`Error::Interrupted`]. Cells that fail are
/// not errors.
pub fn run(
    plan: &Plan,
    store: &Store,
    program: &Path,
    worker_arguments: &[OsString],
    jobs: usize,
) -> Result<Finished, Error> {
    let interrupted = interrupt_flag();
    store.sweep(&[]);
    let cells = plan.cells();
    for (cell, _) in &cells {
        match store.state(&cell.id) {
            State::Corrupt(reason) => {
                line(&format!("run again: {reason}"));
                store.forget(&cell.id)?;
            }
            State::Failed(_) => store.forget(&cell.id)?,
            State::Missing | State::Done(..) => {}
        }
    }
    let open: Vec<&(Cell, f64)> = cells
        .iter()
        .filter(|(cell, _)| !store.is_done(&cell.id))
        .collect();
    let found = cells.len() - open.len();
    let mut progress = Progress::new(cells.len(), found, open.iter().map(|(_, cost)| cost).sum());
    let mut crew = Crew {
        store,
        program,
        arguments: worker_arguments,
        workers: Vec::new(),
        started: 0,
        stillborn: 0,
    };
    let mut before = found;
    loop {
        let done = found
            + open
                .iter()
                .filter(|(cell, _)| store.is_done(&cell.id))
                .count();
        if before < done {
            before = done;
            crew.stillborn = 0;
        }
        let missing: Vec<&&(Cell, f64)> = open
            .iter()
            .filter(|(cell, _)| !store.is_done(&cell.id) && store.failures(&cell.id) < ATTEMPTS)
            .collect();
        progress.show(done, missing.iter().map(|(_, cost)| cost).sum());
        if missing.is_empty() || interrupted.load(Ordering::Relaxed) {
            break;
        }
        crew.bury()?;
        store.sweep(&crew.living());
        let unclaimed = missing
            .iter()
            .filter(|(cell, _)| store.claimant(&cell.id).is_none())
            .count();
        for _ in 0..unclaimed.min(jobs.saturating_sub(crew.workers.len())) {
            crew.hire()?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    crew.dismiss();
    store.sweep(&[]);
    store.sweep_logs();
    let done = cells
        .iter()
        .filter(|(cell, _)| store.is_done(&cell.id))
        .count();
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

/// The worker processes of a run, by the names of their logs.
struct Crew<'a> {
    store: &'a Store,
    program: &'a Path,
    arguments: &'a [OsString],
    workers: Vec<(String, Child)>,
    started: u32,
    stillborn: u32,
}

impl Crew<'_> {
    fn living(&self) -> Vec<u32> {
        self.workers.iter().map(|(_, child)| child.id()).collect()
    }

    fn hire(&mut self) -> Result<(), Error> {
        let name = format!("{}-{}", std::process::id(), self.started);
        self.started += 1;
        let log = self.store.worker_log(&name)?;
        let failed = |source| Error::Process {
            what: format!("the worker {} cannot be started", self.program.display()),
            source,
        };
        let also = log.try_clone().map_err(failed)?;
        let child = Command::new(self.program)
            .arg0("ablate")
            .arg("worker")
            .arg(self.store.root())
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .map_err(failed)?;
        self.workers.push((name, child));
        Ok(())
    }

    /// Takes leave of workers that have ended, and notes the cells that they died on.
    fn bury(&mut self) -> Result<(), Error> {
        let failed = |source| Error::Process {
            what: "a worker cannot be watched".to_owned(),
            source,
        };
        let mut place = 0;
        while place < self.workers.len() {
            if !has_ended(&self.workers[place].1).map_err(failed)? {
                place += 1;
                continue;
            }
            let (name, mut child) = self.workers.swap_remove(place);
            // Read before the zombie is gone: until then nobody else may take over its claims.
            let mut claimed = self.store.claims_of(child.id());
            claimed.retain(|id| !self.store.is_done(id));
            let status = child.wait().map_err(failed)?;
            if !status.success() {
                self.judge(status, &claimed, &self.store.last_words(&name))?;
            }
        }
        Ok(())
    }

    /// Whose fault it was that a worker died: its own, a cell's, or that of what surrounds it.
    fn judge(&mut self, status: ExitStatus, claimed: &[String], words: &str) -> Result<(), Error> {
        match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code @ (REFUSED | DISK_FULL)) => {
                let message = if words.is_empty() {
                    format!("a worker ended with {status}")
                } else {
                    words.to_owned()
                };
                return Err(Error::Worker {
                    message,
                    status: code,
                });
            }
            _ if claimed.is_empty() => self.stillborn += 1,
            _ => self.stillborn = 0,
        }
        if STILLBORN <= self.stillborn {
            return Err(Error::Stillborn {
                status: status.to_string(),
                words: words.to_owned(),
            });
        }
        for id in claimed {
            let why = [status.to_string().as_str(), words].join(": ");
            let why = why.trim_end_matches([':', ' ']);
            self.store.fail(id, why.to_owned())?;
            let next = if self.store.failures(id) < ATTEMPTS {
                "it is tried again"
            } else {
                "it is given up"
            };
            line(&format!(
                "a worker died on cell {}, {next} ({why})",
                &id[..10.min(id.len())]
            ));
        }
        Ok(())
    }

    /// Asks what still runs to stop, and waits for it.
    fn dismiss(&mut self) {
        for (_, child) in &self.workers {
            if let Some(pid) = pid_of(child) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let begun = Instant::now();
        while !self.workers.is_empty() && begun.elapsed() < PATIENCE {
            self.workers
                .retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
            std::thread::sleep(Duration::from_millis(50));
        }
        for (_, child) in &mut self.workers {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.workers.clear();
    }
}

impl Drop for Crew<'_> {
    /// Also where the run ends with an error: nobody works on unseen.
    fn drop(&mut self) {
        self.dismiss();
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Whether a child has ended, without taking it from the system's list of processes.
fn has_ended(child: &Child) -> io::Result<bool> {
    let Some(pid) = pid_of(child) else {
        return Ok(true);
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(pid), options)?.is_some())
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

/// A bar on a terminal, one plain line per 30 s elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    found: usize,
    cost: f64,
    begun: Instant,
    spoke: Option<Instant>,
}

impl Progress {
    fn new(total: usize, found: usize, cost: f64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = "{bar:24} {pos}/{len} cells, {elapsed} elapsed, {msg}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .expect("a valid template")
                    .progress_chars("█▉▊▋▌▍▎▏ "),
            );
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Progress {
            bar,
            total,
            found,
            cost,
            begun: Instant::now(),
            spoke: None,
        }
    }

    fn show(&mut self, done: usize, remaining: f64) {
        let spent = self.cost - remaining;
        let left = if spent <= 0.0 {
            "time left not known yet".to_owned()
        } else {
            format!(
                "about {} left",
                words(self.begun.elapsed().as_secs_f64() * remaining / spent)
            )
        };
        match &self.bar {
            Some(bar) => {
                bar.set_position(done as u64);
                bar.set_message(left);
            }
            None if self
                .spoke
                .is_none_or(|spoke| Duration::from_secs(30) <= spoke.elapsed()) =>
            {
                let kept = if self.spoke.is_none() && 0 < self.found {
                    format!(" ({} found finished)", self.found)
                } else {
                    String::new()
                };
                line(&format!("{done}/{} cells{kept}, {left}", self.total));
                self.spoke = Some(Instant::now());
            }
            None => {}
        }
    }

    fn end(&self, done: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.finish_and_clear();
        }
        line(&format!(
            "{done}/{} cells in {}",
            self.total,
            words(self.begun.elapsed().as_secs_f64())
        ));
    }
}

#[allow(clippy::print_stderr, reason = "progress is what the runner is for")]
fn line(text: &str) {
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
