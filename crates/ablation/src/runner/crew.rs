//! The workers of a run: hired, watched, buried and dismissed.

use std::{
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{Engine, line};
use crate::{
    error::Error,
    record::Death,
    store::{Store, is_stopped},
    worker::STOPPED,
};

/// Exit status of a worker that refuses for a reason of its own: no other would do better.
const REFUSED: u8 = 2;
/// Exit status of a worker whose disk is full.
const DISK_FULL: u8 = 74;
/// Workers that may die in a row, with no cell to blame and none finished, before the run is given up.
const STILLBORN: u32 = 3;
/// How long workers may take to stop between two steps of a cell, and to keep a checkpoint.
const PATIENCE: Duration = Duration::from_secs(20);
/// Signals by which a program ends itself: a crash, whatever sent them.
const OWN_SIGNALS: [Signal; 7] = [
    Signal::ABORT,
    Signal::SEGV,
    Signal::BUS,
    Signal::ILL,
    Signal::FPE,
    Signal::TRAP,
    Signal::SYS,
];

/// A worker process.
struct Worker {
    /// The name of its log.
    name: String,
    child: Child,
    /// Its place among the workers, which says which card is its own.
    place: usize,
}

/// The worker processes of a run.
pub(super) struct Crew<'a> {
    store: &'a Store,
    engine: &'a Engine<'a>,
    workers: Vec<Worker>,
    started: u32,
    stillborn: u32,
}

impl<'a> Crew<'a> {
    pub(super) fn new(store: &'a Store, engine: &'a Engine<'a>) -> Crew<'a> {
        Crew {
            store,
            engine,
            workers: Vec::new(),
            started: 0,
            stillborn: 0,
        }
    }

    /// Cells are being finished: workers that die young were bad luck.
    pub(super) fn is_fruitful(&mut self) {
        self.stillborn = 0;
    }

    pub(super) fn living(&self) -> Vec<u32> {
        self.workers.iter().map(|w| w.child.id()).collect()
    }

    /// Starts workers for so many cells, as far as there are places. One that was stopped takes none.
    pub(super) fn hire(&mut self, cells: usize) -> Result<(), Error> {
        let at_work = self.workers.iter().filter(|w| !is_stopped(w.child.id()));
        let free = self.engine.jobs.saturating_sub(at_work.count());
        (0..cells.min(free)).try_for_each(|_| self.start())
    }

    fn start(&mut self) -> Result<(), Error> {
        let Engine {
            program,
            arguments,
            cards,
            ..
        } = self.engine;
        let taken = |place: &usize| self.workers.iter().any(|w| w.place == *place);
        let place = (0..).find(|place| !taken(place)).expect("there are enough");
        let card = cards.get(place % cards.len().max(1));
        let name = format!("{}-{}", std::process::id(), self.started);
        self.started += 1;
        let log = self.store.worker_log(&name)?;
        let failed = |source| Error::Process {
            what: format!("the worker {} cannot be started", program.display()),
            source,
        };
        let also = log.try_clone().map_err(failed)?;
        let child = Command::new(program)
            .arg0("ablate")
            .arg("worker")
            .arg(self.store.root())
            .args(*arguments)
            .envs(card.map(|card| ("CUDA_VISIBLE_DEVICES", card)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn()
            .map_err(failed)?;
        self.workers.push(Worker { name, child, place });
        Ok(())
    }

    /// Takes leave of workers that have ended, and notes the cells that they died on.
    pub(super) fn bury(&mut self) -> Result<(), Error> {
        let failed = |source| Error::Process {
            what: "a worker cannot be watched".to_owned(),
            source,
        };
        let mut place = 0;
        while place < self.workers.len() {
            if !has_ended(&self.workers[place].child).map_err(failed)? {
                place += 1;
                continue;
            }
            let Worker {
                name, mut child, ..
            } = self.workers.swap_remove(place);
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
            // It has kept what it did, and another goes on from there.
            Some(STOPPED) => return Ok(()),
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
            let failure = self.store.fail(id, death(status), why.to_owned())?;
            let next = if failure.is_final() {
                "it is given up"
            } else {
                "it is tried again"
            };
            line(&format!(
                "a worker died on cell {}, {next} ({why})",
                &id[..10.min(id.len())]
            ));
        }
        Ok(())
    }

    /// Asks what still runs to stop, and waits for it.
    pub(super) fn dismiss(&mut self) {
        for worker in &self.workers {
            if let Some(pid) = pid_of(&worker.child) {
                let _ = kill_process(pid, Signal::TERM);
                // One that was stopped hears nothing until it goes on.
                let _ = kill_process(pid, Signal::CONT);
            }
        }
        let begun = Instant::now();
        while !self.workers.is_empty() && begun.elapsed() < PATIENCE {
            self.workers
                .retain_mut(|w| matches!(w.child.try_wait(), Ok(None)));
            std::thread::sleep(Duration::from_millis(50));
        }
        for worker in &mut self.workers {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
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

/// How a worker died that did not end by itself.
fn death(status: ExitStatus) -> Death {
    let own = |signal| OWN_SIGNALS.iter().any(|own| own.as_raw() == signal);
    match status.signal() {
        Some(signal) if !own(signal) => Death::Killed,
        _ => Death::Crash,
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use tempfile::tempdir;

    use super::*;
    use crate::{
        fixture::{STUDY, plan},
        runner::OtherBuilds,
    };

    /// A worker that writes which card it sees, and sleeps.
    const SLEEPER: &str = "#!/bin/sh\necho \"$CUDA_VISIBLE_DEVICES\" > \"$2/card-$$.new\"\n\
                           mv \"$2/card-$$.new\" \"$2/card-$$\"\nexec sleep 60\n";

    /// The cards that workers see, by process, once there are so many.
    fn cards(root: &Path, count: usize) -> BTreeMap<u32, String> {
        let begun = Instant::now();
        loop {
            let files = fs::read_dir(root).expect("a folder").flatten();
            let read = files.filter_map(|file| {
                let name = file.file_name().to_string_lossy().into_owned();
                let worker = name.strip_prefix("card-")?.parse().ok()?;
                Some((worker, fs::read_to_string(file.path()).ok()?))
            });
            let found: BTreeMap<u32, String> = read.collect();
            if count <= found.len() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{found:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn each_worker_has_a_card_and_its_successor_has_the_same() {
        let folder = tempdir().expect("a temporary folder");
        let store = Store::create(folder.path(), &plan(STUDY).expect("sound")).expect("a run");
        let program = folder.path().join("sleeper");
        // By another process: were the file open for writing here, a child of another test would keep it open, and it
        // could not be started.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod +x \"$0\""])
            .args([program.as_os_str(), SLEEPER.as_ref()])
            .status();
        assert!(written.is_ok_and(|status| status.success()));
        let engine = Engine {
            program: &program,
            arguments: &[],
            jobs: 2,
            cards: &["3".to_owned(), "7".to_owned()],
            other_builds: OtherBuilds::Keep,
        };
        let mut crew = Crew::new(&store, &engine);
        crew.hire(5).expect("they start");
        let first = cards(folder.path(), 2);
        let seen: Vec<&str> = crew.living().iter().map(|id| first[id].trim()).collect();
        assert_eq!(seen, ["3", "7"]);
        let lost = crew.living()[0];
        let pid = pid_of(&crew.workers[0].child).expect("it lives");
        kill_process(pid, Signal::KILL).expect("it is ours");
        while crew.living().contains(&lost) {
            crew.bury().expect("its death is noted");
            std::thread::sleep(Duration::from_millis(5));
        }
        crew.hire(5).expect("another starts");
        let all = cards(folder.path(), 3);
        let mut seen: Vec<&str> = crew.living().iter().map(|id| all[id].trim()).collect();
        seen.sort_unstable();
        assert_eq!(seen, ["3", "7"]);
    }

    #[test]
    fn a_crash_is_told_from_a_kill() {
        // As wait(2) gives them: the signal below, the exit status above.
        for (raw, wanted) in [
            (9, Death::Killed),
            (15, Death::Killed),
            (1, Death::Killed),
            (24, Death::Killed),
            (6, Death::Crash),
            (11, Death::Crash),
            (11 | 0x80, Death::Crash),
            (101 << 8, Death::Crash),
            (1 << 8, Death::Crash),
        ] {
            assert_eq!(death(ExitStatus::from_raw(raw)), wanted, "{raw}");
        }
    }
}
