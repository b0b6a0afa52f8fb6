//! The coordinator: starts worker processes, replaces those that die, shows progress.
//!
//! A worker takes one cell after another from the run's directory. The coordinator holds no state that
//! matters: what is done is what is committed, so it may be killed and started again at any time.

use std::{
    io::IsTerminal,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    error::Error,
    plan::{Cell, Plan},
    store::{State, Store},
};

/// How often a cell on which workers die is tried.
const ATTEMPTS: u32 = 2;
/// Exit status of a worker whose disk is full.
const DISK_FULL: i32 = 74;

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
/// A full disk, workers that cannot be started, or [`Error::Interrupted`]. Cells that fail are not errors.
pub fn run(plan: &Plan, store: &Store, program: &Path, worker_arguments: &[String], jobs: usize) -> Result<Finished, Error> {
    let interrupted = interrupt_flag();
    store.sweep();
    let cells = plan.cells();
    for (cell, _) in &cells {
        match store.state(&cell.id) {
            State::Corrupt(_) | State::Failed(_) => store.forget(&cell.id)?,
            State::Missing | State::Done(..) => {}
        }
    }
    let open: Vec<&(Cell, f64)> = cells.iter().filter(|(cell, _)| !store.is_done(&cell.id)).collect();
    let found = cells.len() - open.len();
    let mut progress = Progress::new(cells.len(), found, open.iter().map(|(_, cost)| cost).sum());
    let jobs = jobs.min(open.len());
    let mut workers: Vec<(String, Child)> = Vec::new();
    let mut started = 0;
    let mut refused = None;
    loop {
        let missing: Vec<&&(Cell, f64)> = open
            .iter()
            .filter(|(cell, _)| !store.is_done(&cell.id) && store.failures(&cell.id) < ATTEMPTS)
            .collect();
        let remaining: f64 = missing.iter().map(|(_, cost)| cost).sum();
        let done = found + open.iter().filter(|(cell, _)| store.is_done(&cell.id)).count();
        progress.show(done, remaining);
        if missing.is_empty() || interrupted.load(Ordering::Relaxed) || refused.is_some() {
            break;
        }
        let mut living = Vec::new();
        for (name, mut child) in workers {
            let ended = child.try_wait().map_err(|source| Error::Process { what: "a worker cannot be watched".to_owned(), source })?;
            match ended {
                None => living.push((name, child)),
                Some(status) if status.success() => {}
                Some(status) => {
                    let words = store.last_words(&name);
                    let claimed = store.claims_of(child.id());
                    if status.code() == Some(DISK_FULL) || (claimed.is_empty() && status.code() == Some(2)) {
                        refused = Some(words);
                        continue;
                    }
                    for id in claimed {
                        store.fail(&id, format!("{status}: {words}"))?;
                        store.release(&id);
                    }
                }
            }
        }
        workers = living;
        let unclaimed = missing.iter().filter(|(cell, _)| store.claimant(&cell.id).is_none()).count();
        while refused.is_none() && workers.len() < jobs && (0 < unclaimed || workers.is_empty()) {
            let name = format!("{}-{started}", std::process::id());
            started += 1;
            workers.push((name.clone(), start(store, program, worker_arguments, &name)?));
            if unclaimed <= workers.len() {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    finish(&mut workers);
    store.sweep();
    let done = cells.iter().filter(|(cell, _)| store.is_done(&cell.id)).count();
    progress.end(done);
    if let Some(message) = refused {
        return Err(Error::Worker { message });
    }
    if interrupted.load(Ordering::Relaxed) && done < cells.len() {
        return Err(Error::Interrupted { done, total: cells.len() });
    }
    Ok(Finished { total: cells.len(), done, run_now: done.saturating_sub(found) })
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

fn start(store: &Store, program: &Path, arguments: &[String], name: &str) -> Result<Child, Error> {
    let log = store.worker_log(name)?;
    let what = || format!("the worker {} cannot be started", program.display());
    let also = log.try_clone().map_err(|source| Error::Process { what: what(), source })?;
    Command::new(program)
        .arg("worker")
        .arg(store.root())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(also)
        .spawn()
        .map_err(|source| Error::Process { what: what(), source })
}

/// Asks what still runs to stop, and waits for it.
fn finish(workers: &mut Vec<(String, Child)>) {
    for (_, child) in workers.iter() {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
    let patience = Instant::now();
    while !workers.is_empty() && patience.elapsed() < Duration::from_secs(20) {
        workers.retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
        std::thread::sleep(Duration::from_millis(50));
    }
    for (_, child) in workers.iter_mut() {
        let _ = child.kill();
        let _ = child.wait();
    }
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
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = "{bar:24} {pos}/{len} cells, {elapsed} elapsed, {msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("a valid template").progress_chars("█▉▊▋▌▍▎▏ "));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Progress { bar, total, found, cost, begun: Instant::now(), spoke: None }
    }

    fn show(&mut self, done: usize, remaining: f64) {
        let spent = self.cost - remaining;
        let left = if found_nothing(spent) {
            "time left not known yet".to_owned()
        } else {
            format!("about {} left", words(self.begun.elapsed().as_secs_f64() * remaining / spent))
        };
        match &self.bar {
            Some(bar) => {
                bar.set_position(done as u64);
                bar.set_message(left);
            }
            None if self.spoke.is_none_or(|spoke| Duration::from_secs(30) <= spoke.elapsed()) => {
                let kept = if self.spoke.is_none() && 0 < self.found { format!(" ({} found finished)", self.found) } else { String::new() };
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
        line(&format!("{done}/{} cells in {}", self.total, words(self.begun.elapsed().as_secs_f64())));
    }
}

fn found_nothing(spent: f64) -> bool {
    spent <= 0.0
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
