//! The directory of a run: what is planned, claimed, finished and failed.
//!
//! ```text
//! runs/<name>/plan.json                    what is to be done, resolved
//!             cells/<id>/result.json       the commit: first wins, deterministic bytes
//!             cells/<id>/attempt.json      seconds, host, program
//!             cells/<id>/conflict.json     a later result of other bytes: something is not deterministic
//!             cells/<id>/failure.json      the last words of a worker that died on the cell
//!             claims/<id>                  who is at work on the cell; saves work, decides nothing
//!             claims/coordinator           who starts workers here
//!             workers/<pid>-<n>.log        what a worker wrote to its terminal
//!             report.html report.md summary.json rows.csv
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    files::{self, Published},
    plan::Plan,
    record::{Attempt, Failure, Record},
};

/// How often a cell on which workers die is tried.
pub const ATTEMPTS: u32 = 2;
/// The claim on the whole directory.
const COORDINATOR: &str = "coordinator";
/// Most characters of a worker's last words that are kept.
const LONGEST_WORDS: usize = 600;

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What is known of one cell.
#[derive(Clone, Debug)]
pub enum State {
    /// Nothing yet.
    Missing,
    /// A result.
    Done(Box<Record>, Attempt),
    /// A worker died on it.
    Failed(Failure),
    /// Its result file does not read; it will be run again.
    Corrupt(String),
}

impl Store {
    /// Opens the directory for a plan, creating it; the plan replaces an earlier one, finished cells stay.
    ///
    /// The directory is this process's until it ends or [`Store::close`] is called.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, or another living process of this machine starts workers there.
    pub fn create(root: &Path, plan: &Plan) -> Result<Store, Error> {
        let store = Store {
            root: root.to_owned(),
        };
        for folder in ["cells", "claims", "workers"] {
            files::create_dir(&root.join(folder))?;
        }
        // Workers read the plan from here: two coordinators with two plans would wait for each other forever.
        if !store.claim(COORDINATOR)? {
            let process = store.claimant(COORDINATOR).unwrap_or(0);
            return Err(Error::Busy {
                path: root.to_owned(),
                process,
            });
        }
        files::replace(&root.join("plan.json"), &json(plan))?;
        Ok(store)
    }

    /// Opens an existing run.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] where there is none, [`Error::Damaged`] where the plan does not read.
    pub fn open(root: &Path) -> Result<(Store, Plan), Error> {
        let path = root.join("plan.json");
        if !path.is_file() {
            return Err(Error::NoRun {
                path: root.to_owned(),
            });
        }
        let plan = parse(&path, &files::read(&path)?)?;
        Ok((
            Store {
                root: root.to_owned(),
            },
            plan,
        ))
    }

    /// Lets other processes start workers here.
    pub fn close(&self) {
        self.release(COORDINATOR);
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a cell has a result file, readable or not; cheap enough to ask for every cell.
    pub fn is_done(&self, id: &str) -> bool {
        self.result(id).is_file()
    }

    /// What is known of a cell. Never an error: a bad cell does not take the study down.
    pub fn state(&self, id: &str) -> State {
        let path = self.result(id);
        if path.is_file() {
            let record = files::read(&path)
                .map_err(Error::from)
                .and_then(|bytes| parse::<Record>(&path, &bytes));
            return match record {
                Ok(record) if record.cell.id == id => {
                    let attempt = self.read_beside(id, "attempt.json").unwrap_or_default();
                    State::Done(Box::new(record), attempt)
                }
                Ok(record) => {
                    State::Corrupt(format!("{} holds cell {}", path.display(), record.cell.id))
                }
                Err(error) => State::Corrupt(error.to_string()),
            };
        }
        match self.read_beside(id, "failure.json") {
            Some(failure) => State::Failed(failure),
            None => State::Missing,
        }
    }

    /// Commits a result; if the cell has one already, that one stays.
    ///
    /// # Errors
    ///
    /// Files; a full disk is its own class.
    pub fn commit(&self, record: &Record, attempt: &Attempt) -> Result<(), Error> {
        let folder = self.cell(&record.cell.id);
        files::create_dir(&folder)?;
        // First what stands beside it: without a result it says nothing, and a result never stands alone.
        if !self.is_done(&record.cell.id) {
            files::replace(&folder.join("attempt.json"), &json(attempt))?;
        }
        let bytes = json(record);
        match files::publish_new(&folder.join("result.json"), &bytes)? {
            Published::Written | Published::AlreadySame => Ok(()),
            // Two workers, two answers: the first stays, and the second is kept as evidence.
            Published::Conflict => Ok(files::replace(&folder.join("conflict.json"), &bytes)?),
        }
    }

    /// Whether a second, different result was committed for a cell.
    pub fn has_conflict(&self, id: &str) -> bool {
        self.cell(id).join("conflict.json").is_file()
    }

    /// Notes that a worker died on a cell, and how often that happened.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn fail(&self, id: &str, message: String) -> Result<(), Error> {
        let before = self
            .read_beside::<Failure>(id, "failure.json")
            .map_or(0, |failure| failure.attempts);
        files::create_dir(&self.cell(id))?;
        let failure = Failure {
            attempts: before + 1,
            message,
        };
        Ok(files::replace(
            &self.cell(id).join("failure.json"),
            &json(&failure),
        )?)
    }

    /// How often workers died on a cell.
    pub fn failures(&self, id: &str) -> u32 {
        self.read_beside::<Failure>(id, "failure.json")
            .map_or(0, |failure| failure.attempts)
    }

    /// Removes a result that does not read, and the notes of failures, so that the cell is run again.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        for name in ["result.json", "failure.json", "conflict.json"] {
            let path = self.cell(id).join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(|error| files::Error::write(&path, error))?;
            }
        }
        Ok(())
    }

    /// Claims a cell for this process; `false` if a living process has it. Only saves work.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn claim(&self, id: &str) -> Result<bool, Error> {
        let path = self.root.join("claims").join(id);
        let own = Process::this().to_string();
        for _ in 0..2 {
            match files::publish_new(&path, own.as_bytes())? {
                Published::Written | Published::AlreadySame => return Ok(true),
                // A worker that was not buried yet keeps its claim: its coordinator must see what it died on.
                Published::Conflict
                    if self.claim_of(id).is_some_and(|process| process.exists()) =>
                {
                    return Ok(false);
                }
                Published::Conflict => self.release(id),
            }
        }
        Ok(false)
    }

    /// The living process that has claimed a cell.
    pub fn claimant(&self, id: &str) -> Option<u32> {
        self.claim_of(id)
            .filter(Process::is_alive)
            .map(|process| process.id)
    }

    /// Gives a claim back.
    pub fn release(&self, id: &str) {
        // A claim that stays behind costs nothing: it is void once its process is gone.
        let _ = fs::remove_file(self.root.join("claims").join(id));
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
                self.release(&id);
            }
        }
    }

    /// Drops logs of workers that said nothing.
    pub fn sweep_logs(&self) {
        for name in self.names("workers") {
            let path = self.root.join("workers").join(name);
            if fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Where a worker writes its terminal output.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn worker_log(&self, name: &str) -> Result<fs::File, Error> {
        let path = self.root.join("workers").join(format!("{name}.log"));
        Ok(fs::File::create(&path).map_err(|error| files::Error::write(&path, error))?)
    }

    /// What a worker said last: its panic, if there was one, else the last lines of its log.
    pub fn last_words(&self, name: &str) -> String {
        let path = self.root.join("workers").join(format!("{name}.log"));
        let bytes = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let last = match lines.iter().rposition(|line| line.contains("panicked at")) {
            Some(panic) => &lines[panic..lines.len().min(panic + 2)],
            None => &lines[lines.len().saturating_sub(3)..],
        };
        let words = last.join(" | ");
        let words = words.strip_prefix("ablate: ").unwrap_or(&words);
        // An error of libtorch comes with a stack of C++ names.
        let words = words
            .split_once("\\nException raised from")
            .map_or(words, |(words, _)| words);
        if words.chars().count() <= LONGEST_WORDS {
            return words.to_owned();
        }
        words.chars().take(LONGEST_WORDS).chain(['…']).collect()
    }

    /// Writes a rendering of the report.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn write_report(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        files::replace(&path, text.as_bytes())?;
        Ok(path)
    }

    fn cell(&self, id: &str) -> PathBuf {
        self.root.join("cells").join(id)
    }

    fn result(&self, id: &str) -> PathBuf {
        self.cell(id).join("result.json")
    }

    fn claim_of(&self, id: &str) -> Option<Process> {
        Process::parse(&fs::read_to_string(self.root.join("claims").join(id)).ok()?)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn read_beside<T: DeserializeOwned>(&self, id: &str, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.cell(id).join(name)).ok()?).ok()
    }
}

/// Names with a dot are claims that are being written, or were when their process died.
fn is_claim(name: &str) -> bool {
    !name.contains('.')
}

/// A process, told apart from later ones of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    /// When it was started, in the system's own unit; `None` where the system does not say.
    start: Option<u64>,
}

impl Process {
    fn this() -> Process {
        let id = std::process::id();
        Process {
            id,
            start: started(id).map(|(_, start)| start),
        }
    }

    fn parse(text: &str) -> Option<Process> {
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
        let pid = i32::try_from(self.id)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let known = pid.is_some_and(|pid| {
            rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
        });
        match (self.start, started(self.id)) {
            (Some(start), Some((_, now))) => known && start == now,
            _ => known,
        }
    }

    fn is_alive(&self) -> bool {
        self.exists() && started(self.id).is_none_or(|(state, _)| !['Z', 'X'].contains(&state))
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

/// State and start of a process, where there is `/proc`.
fn started(pid: u32) -> Option<(char, u64)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold spaces and brackets.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some((
        fields.first()?.chars().next()?,
        fields.get(19)?.parse().ok()?,
    ))
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("records are plain data with finite numbers");
    bytes.push(b'\n');
    bytes
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
