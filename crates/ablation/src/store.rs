//! The directory of a run: what is planned, claimed, finished and failed.
//!
//! ```text
//! runs/<name>/plan.json                    what is to be done, resolved
//!             cells/<id>/result.json       the commit: first wins, deterministic bytes
//!             cells/<id>/attempt.json      seconds, host, program
//!             cells/<id>/failure.json      the last words of a worker that died on the cell
//!             claims/<id>                  who is at work on the cell; saves work, decides nothing
//!             workers/<pid>.log            what a worker wrote to its terminal
//!             report.html report.md summary.json rows.csv
//! ```

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    files,
    plan::Plan,
    record::{Attempt, Failure, Record},
};

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
    /// # Errors
    ///
    /// The directory cannot be written.
    pub fn create(root: &Path, plan: &Plan) -> Result<Store, Error> {
        let store = Store { root: root.to_owned() };
        for folder in ["cells", "claims", "workers"] {
            files::create_dir(&root.join(folder))?;
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
            return Err(Error::NoRun { path: root.to_owned() });
        }
        let plan = parse(&path, &files::read(&path)?)?;
        Ok((Store { root: root.to_owned() }, plan))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a cell has a result that reads; cheap enough to ask for every cell.
    pub fn is_done(&self, id: &str) -> bool {
        self.result(id).is_file()
    }

    /// What is known of a cell. Never an error: a bad cell does not take the study down.
    pub fn state(&self, id: &str) -> State {
        let path = self.result(id);
        if path.is_file() {
            let record = files::read(&path).map_err(Error::from).and_then(|bytes| parse::<Record>(&path, &bytes));
            return match record {
                Ok(record) if record.cell.id == id => {
                    let attempt = self.read_beside(id, "attempt.json").unwrap_or_default();
                    State::Done(Box::new(record), attempt)
                }
                Ok(record) => State::Corrupt(format!("{} holds cell {}", path.display(), record.cell.id)),
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
        let published = files::publish_new(&folder.join("result.json"), &json(record))?;
        if published == files::Published::Written {
            files::replace(&folder.join("attempt.json"), &json(attempt))?;
        }
        Ok(())
    }

    /// Notes that a worker died on a cell, and how often that happened.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn fail(&self, id: &str, message: String) -> Result<(), Error> {
        let before = self.read_beside::<Failure>(id, "failure.json").map_or(0, |failure| failure.attempts);
        files::create_dir(&self.cell(id))?;
        let failure = Failure { attempts: before + 1, message };
        Ok(files::replace(&self.cell(id).join("failure.json"), &json(&failure))?)
    }

    /// How often workers died on a cell.
    pub fn failures(&self, id: &str) -> u32 {
        self.read_beside::<Failure>(id, "failure.json").map_or(0, |failure| failure.attempts)
    }

    /// Removes a result that does not read, and the notes of failures, so that the cell is run again.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        for name in ["result.json", "failure.json"] {
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
        for _ in 0..2 {
            match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    write!(file, "{}", std::process::id()).map_err(|error| files::Error::write(&path, error))?;
                    return Ok(true);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    if self.claimant(id).is_none_or(is_alive) {
                        return Ok(false);
                    }
                    self.release(id);
                }
                Err(error) => return Err(files::Error::write(&path, error).into()),
            }
        }
        Ok(false)
    }

    /// The process that has claimed a cell.
    pub fn claimant(&self, id: &str) -> Option<u32> {
        fs::read_to_string(self.root.join("claims").join(id)).ok()?.trim().parse().ok()
    }

    /// Gives a claim back.
    pub fn release(&self, id: &str) {
        // A claim that stays behind costs nothing: it is void once its process is gone.
        let _ = fs::remove_file(self.root.join("claims").join(id));
    }

    /// Cells that a process has claimed.
    pub fn claims_of(&self, pid: u32) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join("claims")) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|id| self.claimant(id) == Some(pid)).collect()
    }

    /// Drops claims whose process is gone and logs that say nothing.
    pub fn sweep(&self) {
        for (folder, stale) in [("claims", true), ("workers", false)] {
            for entry in fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let gone = stale && self.claimant(&name).is_none_or(|pid| !is_alive(pid));
                let silent = !stale && entry.metadata().is_ok_and(|meta| meta.len() == 0);
                if gone || silent {
                    let _ = fs::remove_file(entry.path());
                }
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

    /// The last lines of a worker's log.
    pub fn last_words(&self, name: &str) -> String {
        let path = self.root.join("workers").join(format!("{name}.log"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(4)..].join(" | ")
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

    fn read_beside<T: DeserializeOwned>(&self, id: &str, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.cell(id).join(name)).ok()?).ok()
    }
}

fn is_alive(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("records are plain data with finite numbers");
    bytes.push(b'\n');
    bytes
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Damaged { path: path.to_owned(), message: error.to_string() })
}
