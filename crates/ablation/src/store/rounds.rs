//! Rounds: what was handed to a batch system, and under which name it is found there again.
//!
//! Rounds and settings hold the digest of the rest of them: one that was damaged, or edited, is refused before a task
//! is started from it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{RESULT, Store, json, parse, process::Process};
use crate::{
    error::Error,
    files::{self, Published},
};

/// A round: cells that were handed to a batch system in one go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// From 1.
    pub number: u32,
    /// What its jobs say of themselves in the queue: unlike that of any other round of any run.
    pub mark: String,
    /// Its tasks; task I begins with cells I, I + tasks, I + 2 tasks, …
    pub tasks: usize,
    /// The ids of its cells.
    pub cells: Vec<String>,
}

impl Store {
    /// How rounds are submitted.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where it is not as it was written.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        unseal(&self.root.join("slurm.json"))
    }

    /// Keeps how rounds are submitted.
    ///
    /// # Errors
    ///
    /// Files.
    ///
    /// # Panics
    ///
    /// If they are no object in JSON.
    pub fn keep_settings<T: Serialize>(&self, settings: &T) -> Result<(), Error> {
        files::create_dir(&self.root.join("rounds"))?;
        let bytes = sealed(settings);
        Ok(files::replace(&self.root.join("slurm.json"), &bytes)?)
    }

    /// The rounds so far, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where one is not as it was written.
    pub fn rounds(&self) -> Result<Vec<Round>, Error> {
        let mut rounds = Vec::new();
        for number in 1.. {
            match unseal(&self.of_round(number, "json"))? {
                Some(round) => rounds.push(round),
                None => break,
            }
        }
        Ok(rounds)
    }

    /// A round of these cells that is not begun yet.
    pub fn next_round(&self, run: &str, number: u32, tasks: usize, cells: Vec<String>) -> Round {
        let place = fs::canonicalize(&self.root).unwrap_or_default();
        let process = Process::this(None);
        let nonce = blake3::hash(format!("{process} {number} {}", place.display()).as_bytes());
        Round {
            number,
            mark: format!("ablate:{run}:{number}:{}", &nonce.to_hex()[..16]),
            tasks,
            cells,
        }
    }

    /// Begins a round: whoever is first submits it. `false` if another was.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn begin_round(&self, round: &Round) -> Result<bool, Error> {
        let path = self.of_round(round.number, "json");
        Ok(files::publish_new(&path, &sealed(round))? != Published::Conflict)
    }

    /// Takes a round back that the batch system refused.
    pub fn withdraw_round(&self, round: &Round) {
        let _ = fs::remove_file(self.of_round(round.number, "json"));
    }

    /// Writes the script of a round's tasks (or of what gathers them), and says where it is.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn write_script(&self, round: u32, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.of_round(round, name);
        files::replace(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The job of a round in the queue, once it is known.
    pub fn job(&self, round: u32) -> Option<String> {
        let text = fs::read_to_string(self.of_round(round, "job")).ok()?;
        let id = text.trim();
        (!id.is_empty()).then(|| id.to_owned())
    }

    /// Notes the job of a round; its first task does so too, so that a lost reply is found out.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn note_job(&self, round: u32, job: &str) -> Result<(), Error> {
        let path = self.of_round(round, "job");
        let _ = files::publish_new(&path, format!("{job}\n").as_bytes())?;
        Ok(())
    }

    /// Notes that a task of a round refused for a reason that holds for all: another round would not do better.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn note_refusal(&self, round: u32, status: u8, message: &str) -> Result<(), Error> {
        let path = self.of_round(round, "refusal");
        let _ = files::publish_new(&path, &json(&(status, message)))?;
        Ok(())
    }

    /// Why a task of a round refused.
    pub fn refusal(&self, round: u32) -> Option<(u8, String)> {
        serde_json::from_slice(&fs::read(self.of_round(round, "refusal")).ok()?).ok()
    }

    /// Keeps this very program in the run, for machines that are to run it later: a build may replace it where it is.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn keep_program(&self, digest: &str) -> Result<PathBuf, Error> {
        let folder = self.root.join("bin").join(digest);
        let path = folder.join("ablate");
        if path.is_file() {
            return Ok(path);
        }
        files::create_dir(&folder)?;
        let own = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().unwrap_or_default()
        };
        let new = folder.join(format!(
            "ablate.tmp.{}.{}.0",
            files::host(),
            std::process::id()
        ));
        let failed = |source| files::Error::write(&path, source);
        // With its permissions; it has its name when it is whole.
        fs::copy(own, &new).map_err(failed)?;
        fs::File::open(&new)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)?;
        Ok(path)
    }

    /// Whether a cell has a result, asked of its folder: on a network file system a name that was not there a
    /// minute ago is looked for in vain, and a listing is fresh.
    pub fn is_listed_done(&self, id: &str) -> bool {
        self.names(&format!("cells/{id}"))
            .iter()
            .any(|name| name == RESULT)
    }

    fn of_round(&self, number: u32, ending: &str) -> PathBuf {
        self.root.join("rounds").join(format!("{number}.{ending}"))
    }
}

/// Where a file holds the digest of the rest of it.
const DIGEST: &str = "digest";

fn sealed<T: Serialize>(content: &T) -> Vec<u8> {
    let mut value = serde_json::to_value(content).expect("plain data");
    value[DIGEST] = seal(&value);
    json(&value)
}

/// What a file holds that was sealed; `None` where there is none.
fn unseal<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = |message: String| Error::Damaged {
        path: path.to_owned(),
        message,
    };
    let mut value: Value = parse(path, &bytes)?;
    let digest = value.as_object_mut().and_then(|all| all.remove(DIGEST));
    if digest != Some(seal(&value)) {
        return Err(damaged("its digest is not that of its content".to_owned()));
    }
    let content = serde_json::from_value(value);
    content
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

/// BLAKE3 digest of the JSON of a value, whose keys are sorted.
fn seal(value: &Value) -> Value {
    let bytes = value.to_string();
    blake3::hash(bytes.as_bytes()).to_hex().to_string().into()
}
