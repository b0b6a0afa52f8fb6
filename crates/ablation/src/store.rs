//! The directory of a run: what is planned, claimed, finished and failed.
//!
//! ```text
//! runs/<name>/lock.json                    what is to be done, resolved; frozen before the first cell
//!             lock-1.json …                amendments: what was changed since, and why
//!             cells/<id>/result.json       the commit: first wins, deterministic bytes
//!             cells/<id>/attempt-<d>.json  how the result of digest <d> came about: seconds, host, program
//!             cells/<id>/weights-<d>-<w>.safetensors  the trained network of the result of digest <d>, if kept
//!             cells/<id>/conflict-<d>.json a later result of other bytes: something is not deterministic
//!             cells/<id>/superseded-<d>.json  a result of another build, run again on demand
//!             cells/<id>/checkpoint-….safetensors  where the cell was a minute ago
//!             cells/<id>/failure.json      the last words of a worker that died on the cell
//!             cells/<id>/*.damaged         what did not read, set aside
//!             claims/<id>                  who is at work on the cell; saves work, decides nothing
//!             claims/coordinator           who starts workers here
//!             claims/coordinator.beat      counts while that one lives
//!             workers/<pid>-<n>.log        what a worker wrote to its terminal; of a batch job, <job>_<task>.log
//!             slurm.json                   how rounds are submitted
//!             rounds/<n>.json …            what was handed to the batch system: cells, scripts, the job's number
//!             bin/<program>/ablate         the program that a batch system runs
//!             report.html report.md summary.json rows.csv map.csv tensorboard/
//! ```
//!
//! The digest in the name of the attempt is what a result is checked against: it is there before the result is. What
//! else has a digest in its name (weights, `<w>`; conflicts; results of other builds) is checked against its own, locks,
//! rounds and `slurm.json` against one that is in them.

mod beside;
mod checkpoints;
mod claims;
mod failures;
mod gc;
mod logs;
mod process;
mod rounds;
mod weights;

pub use claims::Honour;
pub use gc::Garbage;
pub(crate) use process::is_stopped;
pub use rounds::Round;
pub use weights::{record, weights};

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    files::{self, Published},
    lock::{self, Lock},
    plan::{Cell, Plan},
    record::{Attempt, Failure, Record},
};

/// The name of a result in the folder of its cell.
const RESULT: &str = "result.json";

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
    /// Opens the directory for a plan, creating it. The first plan is frozen there; another one is refused once a
    /// cell is finished.
    ///
    /// The directory is this process's until it ends or [`Store::close`] is called.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, another living process starts workers there ([`Error::Busy`]), or it was frozen with another plan ([`Error::Frozen`]).
    pub fn create(root: &Path, plan: &Plan) -> Result<Store, Error> {
        Store::prepare(root, plan, None)
    }

    /// Opens the directory as [`Store::create`] does; a plan that differs from the frozen one is put on the record
    /// with a reason.
    ///
    /// # Errors
    ///
    /// As [`Store::create`], but for [`Error::Frozen`].
    pub fn amend(root: &Path, plan: &Plan, reason: &str) -> Result<Store, Error> {
        Store::prepare(root, plan, Some(reason))
    }

    fn prepare(root: &Path, plan: &Plan, reason: Option<&str>) -> Result<Store, Error> {
        let store = Store {
            root: root.to_owned(),
        };
        for folder in ["cells", "claims", "workers"] {
            files::create_dir(&root.join(folder))?;
        }
        // Workers read the plan from here: two coordinators with two plans would wait for each other forever.
        if !store.claim_directory()? {
            return Err(store.busy());
        }
        match store.freeze(plan, reason) {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close();
                Err(error)
            }
        }
    }

    fn busy(&self) -> Error {
        Error::Busy {
            path: self.root.clone(),
            process: self.coordinator().unwrap_or_default(),
        }
    }

    /// Freezes a plan, or compares it with the one that is frozen.
    fn freeze(&self, plan: &Plan, reason: Option<&str>) -> Result<(), Error> {
        let locks = self.locks()?;
        let Some(frozen) = locks.last() else {
            let first = json(&Lock::first(plan));
            return match files::publish_new(&self.lock(0), &first)? {
                Published::Written | Published::AlreadySame => Ok(()),
                // Another host was quicker; what it froze counts.
                Published::Conflict => self.freeze(plan, reason),
            };
        };
        let changed = lock::changes(&frozen.plan, plan);
        if changed.is_empty() {
            return Ok(());
        }
        let cells = frozen.plan.cells();
        let finished = cells
            .iter()
            .filter(|(cell, _)| self.is_done(&cell.id))
            .count();
        match reason {
            // Nobody has seen a result: this is still before the first cell.
            None if finished == 0 && locks.len() == 1 => {
                Ok(files::replace(&self.lock(0), &json(&Lock::first(plan)))?)
            }
            None => Err(Error::Frozen {
                path: self.root.clone(),
                changed: changed.into_iter().map(|change| change.what).collect(),
                finished,
            }),
            Some(reason) => {
                let amendment = Lock::amendment(plan, reason, changed, finished);
                match files::publish_new(&self.lock(locks.len()), &json(&amendment))? {
                    Published::Written | Published::AlreadySame => Ok(()),
                    Published::Conflict => self.freeze(plan, Some(reason)),
                }
            }
        }
    }

    /// Opens an existing run.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] where there is none, [`Error::Damaged`] where the plan does not read.
    pub fn open(root: &Path) -> Result<(Store, Plan), Error> {
        let store = Store {
            root: root.to_owned(),
        };
        match store.locks()?.pop() {
            Some(lock) => Ok((store, lock.plan)),
            None => Err(Error::NoRun {
                path: root.to_owned(),
            }),
        }
    }

    /// The frozen plan and its amendments, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where one does not read.
    pub fn locks(&self) -> Result<Vec<Lock>, Error> {
        let mut locks = Vec::new();
        loop {
            let path = self.lock(locks.len());
            match files::read(&path) {
                Ok(bytes) => {
                    let lock: Lock = parse(&path, &bytes)?;
                    if !lock.is_whole() {
                        return Err(Error::Damaged {
                            path,
                            message: "its digest is not that of its content".to_owned(),
                        });
                    }
                    locks.push(lock);
                }
                Err(error) if error.is_absent() => return Ok(locks),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets other processes start workers here.
    pub fn close(&self) {
        self.end_beat();
        self.release(claims::COORDINATOR);
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the directory is still there.
    pub fn exists(&self) -> bool {
        self.lock(0).is_file()
    }

    /// Whether a cell has a result file, readable or not; cheap enough to ask for every cell.
    pub fn is_done(&self, id: &str) -> bool {
        self.result(id).is_file()
    }

    /// What is known of a cell. Never an error: a bad cell does not take the study down.
    pub fn state(&self, id: &str) -> State {
        match files::read(&self.result(id)) {
            Ok(bytes) => match self.check(id, &bytes) {
                Ok((record, attempt)) => State::Done(Box::new(record), attempt),
                Err(why) => State::Corrupt(why),
            },
            Err(error) if error.is_absent() => match self.failure(id) {
                Some(failure) => State::Failed(failure),
                None => State::Missing,
            },
            Err(error) => State::Corrupt(error.to_string()),
        }
    }

    /// The result of a cell, if its bytes are those that were committed.
    fn check(&self, id: &str, bytes: &[u8]) -> Result<(Record, Attempt), String> {
        let path = self.result(id);
        let (record, digest) = committed(&path, bytes).map_err(|error| error.to_string())?;
        if record.cell.id != id {
            return Err(format!("{} holds cell {}", path.display(), record.cell.id));
        }
        let attempt = self.read_beside(id, &story(&digest));
        Ok((record, attempt.unwrap_or_else(|| Attempt::lost(id))))
    }

    /// Commits a result, and the weights that belong to it; if the cell has a result already, that one stays,
    /// unless it is damaged.
    ///
    /// # Errors
    ///
    /// Files; a full disk is its own class.
    pub fn commit(
        &self,
        record: &Record,
        weights: Option<&[u8]>,
        attempt: &Attempt,
    ) -> Result<(), Error> {
        let id = &record.cell.id;
        let folder = self.make_cell(id)?;
        let bytes = json(record);
        let digest = digest(&bytes);
        // First what stands beside it: without a result it says nothing, and a result never stands alone. Whoever
        // has the same bytes has the same name; the first story is told, unless it does not read.
        let story = story(&digest);
        let told = files::publish_new(&folder.join(&story), &json(attempt))?;
        if told == Published::Conflict && self.read_beside::<Attempt>(id, &story).is_none() {
            files::replace(&folder.join(&story), &json(attempt))?;
        }
        if let Some(weights) = weights {
            publish_by_digest(&folder.join(weights::name(&digest, weights)), weights)?;
        }
        while files::publish_new(&self.result(id), &bytes)? == Published::Conflict {
            match self.state(id) {
                State::Done(first, _) if json(&*first) != bytes => {
                    // Two workers, two answers: the first stays, and the second is kept as evidence.
                    let evidence = folder.join(format!("conflict-{digest}.json"));
                    publish_by_digest(&evidence, &bytes)?;
                    break;
                }
                // What a bad disk left is nobody's answer. Ours takes its place in one step: were it moved away first,
                // what is moved could be a good one by then, and the cell without a result if we died here.
                State::Corrupt(_) => {
                    let aside = folder.join("result.damaged");
                    let _ = fs::remove_file(&aside);
                    let _ = fs::hard_link(self.result(id), aside);
                    files::replace(&self.result(id), &bytes)?;
                }
                // Set aside or mended by another, meanwhile.
                _ => {}
            }
        }
        self.drop_checkpoints(id);
        Ok(())
    }

    /// Writes a rendering of the report.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn write_report(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            files::create_dir(folder)?;
        }
        files::replace(&path, text.as_ref())?;
        Ok(path)
    }

    fn lock(&self, number: usize) -> PathBuf {
        self.root.join(match number {
            0 => "lock.json".to_owned(),
            _ => format!("lock-{number}.json"),
        })
    }

    fn cell(&self, id: &str) -> PathBuf {
        self.root.join("cells").join(id)
    }

    /// The folder of a cell, made if need be; a run that was moved away is not made anew.
    fn make_cell(&self, id: &str) -> Result<PathBuf, Error> {
        if !self.exists() {
            return Err(Error::NoRun {
                path: self.root.clone(),
            });
        }
        let folder = self.cell(id);
        files::create_dir(&folder)?;
        Ok(folder)
    }

    fn result(&self, id: &str) -> PathBuf {
        self.cell(id).join(RESULT)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        names(&self.root.join(folder))
    }

    fn read_beside<T: DeserializeOwned>(&self, id: &str, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.cell(id).join(name)).ok()?).ok()
    }
}

/// What names the bytes of a result.
fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// The name of the story of the result of this digest.
fn story(digest: &str) -> String {
    format!("attempt-{digest}.json")
}

/// The record that the bytes of a result file are, if they are those that were committed, and their digest.
fn committed(path: &Path, bytes: &[u8]) -> Result<(Record, String), Error> {
    let damaged = |message: &str| Error::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
    };
    let digest = digest(bytes);
    if !path.with_file_name(story(&digest)).exists() {
        return Err(damaged("its bytes have no digest on record"));
    }
    let record: Record = parse(path, bytes)?;
    if Cell::new(record.cell.config.clone(), record.cell.seed).id != record.cell.id {
        return Err(damaged("its id is not that of its configuration"));
    }
    Ok((record, digest))
}

/// Publishes under a name that is the digest of the bytes: others that bear it are damaged.
fn publish_by_digest(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if files::publish_new(path, bytes)? == Published::Conflict {
        files::replace(path, bytes)?;
    }
    Ok(())
}

/// The names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
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
