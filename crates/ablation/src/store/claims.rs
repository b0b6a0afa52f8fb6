//! Who is at work on what. A claim saves work and decides nothing.

use std::{fs, path::Path};

use super::Store;
use crate::{
    error::Error,
    files::{self, Published},
};

/// The claim on the whole directory.
pub(super) const COORDINATOR: &str = "coordinator";

impl Store {
    /// Claims a cell for this process; `false` if another one is at work on it. Only saves work.
    ///
    /// The claim of a process that was stopped is void: should it go on some day, its result is the same.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn claim(&self, id: &str) -> Result<bool, Error> {
        // A worker that was not buried yet keeps its claim: its coordinator must see what it died on.
        self.claim_unless(id, |holder| holder.exists() && !holder.is_stopped())
    }

    /// Claims the directory; `false` if another coordinator has it, stopped or not.
    pub(super) fn claim_directory(&self) -> Result<bool, Error> {
        self.claim_unless(COORDINATOR, Process::is_alive)
    }

    fn claim_unless(&self, id: &str, held: impl Fn(&Process) -> bool) -> Result<bool, Error> {
        let path = self.root.join("claims").join(id);
        let own = Process::this().to_string();
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

    /// The process that is at work on a cell.
    pub fn claimant(&self, id: &str) -> Option<u32> {
        self.claim_of(id)
            .filter(|process| process.is_alive() && !process.is_stopped())
            .map(|process| process.id)
    }

    /// The process that has the directory.
    pub fn coordinator(&self) -> Option<u32> {
        self.claim_of(COORDINATOR)
            .filter(Process::is_alive)
            .map(|process| process.id)
    }

    /// Gives a claim of this process back; what another has taken over is left alone.
    pub fn release(&self, id: &str) {
        if self
            .claim_of(id)
            .is_none_or(|holder| holder == Process::this())
        {
            self.drop_claim(id);
        }
    }

    /// Cells that a process has claimed, whether it lives or not.
    pub fn claims_of(&self, pid: u32) -> Vec<String> {
        let mut claimed = self.names("claims");
        claimed.retain(|id| {
            is_claim(id) && self.claim_of(id).is_some_and(|process| process.id == pid)
        });
        claimed
    }

    /// Drops claims whose process is dead, but for those of the processes `except`.
    pub fn sweep(&self, except: &[u32]) {
        for id in self.names("claims").into_iter().filter(|id| is_claim(id)) {
            let claim = self.claim_of(&id);
            if claim.is_none_or(|process| !except.contains(&process.id) && !process.is_alive()) {
                self.drop_claim(&id);
            }
        }
    }

    fn drop_claim(&self, id: &str) {
        // A claim that stays behind costs nothing: it is void once its process is gone.
        let _ = fs::remove_file(self.root.join("claims").join(id));
    }

    fn claim_of(&self, id: &str) -> Option<Process> {
        Process::parse(&fs::read_to_string(self.root.join("claims").join(id)).ok()?)
    }
}

/// Names with a dot are claims that are being written, or were when their process died.
fn is_claim(name: &str) -> bool {
    !name.contains('.')
}

/// A process, told apart from later ones of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    /// When it was started, in the system's own unit; `None` where the system does not say.
    pub(super) start: Option<u64>,
}

impl Process {
    pub(super) fn this() -> Process {
        let id = std::process::id();
        Process {
            id,
            start: started(id).map(|(_, start)| start),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Process> {
        let mut words = text.split_whitespace();
        let id = words.next()?.parse().ok()?;
        Some(Process {
            id,
            start: words.next().and_then(|start| start.parse().ok()),
        })
    }

    /// Whether the system still knows it, be it only as a zombie; a number alone does not say, since after a
    /// restart of a container another process bears it.
    fn exists(&self) -> bool {
        let known = is_known(self.id);
        match (self.start, started(self.id)) {
            (Some(start), Some((_, now))) => known && start == now,
            _ => known,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.exists() && started(self.id).is_none_or(|(state, _)| !['Z', 'X'].contains(&state))
    }

    /// Whether it was stopped (SIGSTOP, SIGTSTP, a debugger) and may sleep for ever.
    fn is_stopped(&self) -> bool {
        is_stopped(self.id)
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.start {
            Some(start) => write!(f, "{} {start}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// Whether the system has a process of that number.
pub(super) fn is_known(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Whether a process was stopped (SIGSTOP, SIGTSTP, a debugger) and may sleep for ever.
pub(crate) fn is_stopped(pid: u32) -> bool {
    started(pid).is_some_and(|(state, _)| ['T', 't'].contains(&state))
}

/// State and start of a process, where there is `/proc`.
pub(super) fn started(pid: u32) -> Option<(char, u64)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold spaces and brackets.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some((
        fields.first()?.chars().next()?,
        fields.get(19)?.parse().ok()?,
    ))
}
