//! Who is at work on what. A claim saves work and decides nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Store,
    process::{Place, Process, is_stopped},
};
use crate::{
    error::Error,
    files::{self, Published},
};

/// The claim on the whole directory.
pub(super) const COORDINATOR: &str = "coordinator";
/// Where the process that has the directory counts, so that other machines see that it lives.
const BEAT: &str = "coordinator.beat";
/// How long a process of another machine may not count before it is taken for gone.
#[cfg(not(test))]
const SILENCE: Duration = Duration::from_secs(20);
#[cfg(test)]
const SILENCE: Duration = Duration::from_millis(500);

/// Whose claims a worker honours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honour {
    /// Of every machine. Nobody knows from here whether a process of another one lives, so the cell may wait for ever:
    /// for cells that another worker will see to.
    Everyone,
    /// Of this machine, where it is known who lives: for cells that nobody else may see to.
    Neighbours,
}

impl Store {
    /// Claims a cell for this process, which works on the task of that name in a batch system; `false` if another
    /// one is at work on it. Only saves work.
    ///
    /// The claim of a process that was stopped is void: should it go on some day, its result is the same.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn claim(&self, id: &str, honour: Honour, task: Option<&str>) -> Result<bool, Error> {
        self.claim_unless(id, task, |holder| match holder.place() {
            // A worker that was not buried yet keeps its claim: its coordinator must see what it died on.
            Place::Here => holder.exists() && !is_stopped(holder.id),
            Place::Gone => false,
            Place::Elsewhere => honour == Honour::Everyone,
        })
    }

    /// Claims the directory; `false` if another coordinator has it, stopped or not. One of another machine has it
    /// while it counts.
    pub(super) fn claim_directory(&self) -> Result<bool, Error> {
        self.claim_unless(COORDINATOR, None, |holder| match holder.place() {
            Place::Here => holder.is_alive(),
            Place::Gone => false,
            Place::Elsewhere => self.beats(),
        })
    }

    fn claim_unless(
        &self,
        id: &str,
        task: Option<&str>,
        held: impl Fn(&Process) -> bool,
    ) -> Result<bool, Error> {
        let path = self.root.join("claims").join(id);
        let own = Process::this(task).to_string();
        for _ in 0..2 {
            let published = match files::publish_new(&path, own.as_bytes()) {
                // Given back between the look and the reading, not a run that is gone.
                Err(error) if error.is_absent() && path.parent().is_some_and(Path::is_dir) => {
                    continue;
                }
                published => published?,
            };
            match published {
                Published::Written | Published::AlreadySame => return Ok(true),
                Published::Conflict if self.claim_of(id).is_some_and(|other| held(&other)) => {
                    return Ok(false);
                }
                Published::Conflict => self.drop_claim(id),
            }
        }
        Ok(false)
    }

    /// Counts on, so that other machines see that this process has the directory.
    pub fn beat(&self, count: u64) {
        // Without it another machine starts workers here too, and does work twice.
        let _ = fs::write(self.root.join("claims").join(BEAT), count.to_string());
    }

    pub(super) fn end_beat(&self) {
        let _ = fs::remove_file(self.root.join("claims").join(BEAT));
    }

    /// Whether whoever has the directory counts on. No clock is compared: it is watched.
    fn beats(&self) -> bool {
        let beat = || fs::read(self.root.join("claims").join(BEAT)).ok();
        let (first, begun) = (beat(), Instant::now());
        while begun.elapsed() < SILENCE {
            std::thread::sleep(SILENCE / 40);
            if beat() != first {
                return true;
            }
        }
        false
    }

    /// The process that is at work on a cell, in words; of one on another machine, that it was once.
    pub fn claimant(&self, id: &str) -> Option<String> {
        let holder = self.claim_of(id)?;
        let at_work = match holder.place() {
            Place::Here => holder.is_alive() && !is_stopped(holder.id),
            Place::Gone => false,
            Place::Elsewhere => true,
        };
        at_work.then(|| holder.words())
    }

    /// Whether a process of this machine is at work on a cell.
    pub fn is_at_work_here(&self, id: &str) -> bool {
        self.claim_of(id)
            .is_some_and(|holder| holder.is_alive() && !is_stopped(holder.id))
    }

    /// The process that has the directory, in words.
    pub fn coordinator(&self) -> Option<String> {
        let holder = self.claim_of(COORDINATOR)?;
        let lives = match holder.place() {
            Place::Here => holder.is_alive(),
            Place::Gone => false,
            Place::Elsewhere => true,
        };
        lives.then(|| holder.words())
    }

    /// Gives a claim of this process back; what another has taken over is left alone.
    pub fn release(&self, id: &str) {
        if self.claim_of(id).is_none_or(|holder| holder.is_this()) {
            self.drop_claim(id);
        }
    }

    /// Cells that a process of this machine has claimed, whether it lives or not.
    pub fn claims_of(&self, pid: u32) -> Vec<String> {
        self.claims(|holder| holder.id == pid && holder.place() == Place::Here)
    }

    /// The task of a batch system that died on a cell, as far as this one knows: here, or in an earlier life of its
    /// own. Nobody else has seen it.
    pub fn died_on(&self, id: &str, task: Option<&str>) -> Option<String> {
        let holder = self.claim_of(id)?;
        let is_dead = match holder.place() {
            Place::Here => !holder.exists(),
            Place::Gone => true,
            Place::Elsewhere => holder.task.as_deref() == task,
        };
        holder.task.filter(|_| is_dead)
    }

    /// Cells that a task has claimed and not given back.
    pub fn claims_of_task(&self, task: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let held = self.claims(|holder| holder.task.as_deref().is_some_and(&task));
        let named = held.into_iter().filter_map(|id| {
            let task = self.claim_of(&id)?.task?;
            Some((id, task))
        });
        named.collect()
    }

    fn claims(&self, wanted: impl Fn(&Process) -> bool) -> Vec<String> {
        let mut claimed = self.names("claims");
        claimed
            .retain(|id| is_claim(id) && self.claim_of(id).is_some_and(|holder| wanted(&holder)));
        claimed
    }

    /// Drops claims whose process is known to be dead, but for those of the processes `except`, and all on cells
    /// that are finished.
    pub fn sweep(&self, except: &[u32]) {
        for id in self.names("claims").into_iter().filter(|id| is_claim(id)) {
            let is_void = |holder: Process| match holder.place() {
                Place::Here => !except.contains(&holder.id) && !holder.is_alive(),
                Place::Gone => true,
                Place::Elsewhere => self.is_done(&id),
            };
            if self.claim_of(&id).is_none_or(is_void) {
                self.drop_claim(&id);
            }
        }
    }

    /// Drops a claim, whoever holds it.
    pub(crate) fn drop_claim(&self, id: &str) {
        // A claim that stays behind costs nothing: it is void once its process is gone.
        let _ = fs::remove_file(self.root.join("claims").join(id));
    }

    /// Whether a process of another machine has a claim here.
    pub(super) fn is_shared(&self) -> bool {
        !self
            .claims(|holder| holder.place() == Place::Elsewhere)
            .is_empty()
    }

    fn claim_of(&self, id: &str) -> Option<Process> {
        Process::parse(&fs::read_to_string(self.root.join("claims").join(id)).ok()?)
    }
}

/// Names with a dot are claims that are being written, or were when their process died.
fn is_claim(name: &str) -> bool {
    !name.contains('.')
}
