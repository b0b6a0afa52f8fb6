//! Results that stand beside that of a cell: later ones, those of other builds, and what was damaged.

use std::fs;

use super::{Store, digest};
use crate::{error::Error, files, record::Record};

impl Store {
    /// Later, different results that were committed for a cell. That one is there says that the cell is not
    /// deterministic, whatever is left of it: of one that is damaged, it is said how.
    pub fn conflicts(&self, id: &str) -> Vec<Result<Record, String>> {
        self.beside(id, "conflict-")
    }

    /// Results of other builds that were run again; of one that is damaged, it is said how.
    pub fn superseded(&self, id: &str) -> Vec<Result<Record, String>> {
        self.beside(id, "superseded-")
    }

    /// Sets a result aside so that the cell is run again; it stays beside the new one.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn supersede(&self, id: &str) -> Result<(), Error> {
        let bytes = files::read(&self.result(id))?;
        let name = format!("superseded-{}.json", digest(&bytes));
        self.set_aside(id, &name)
    }

    /// Sets a result aside that does not read, so that the cell is run again.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        self.set_aside(id, "result.damaged")
    }

    fn set_aside(&self, id: &str, name: &str) -> Result<(), Error> {
        let from = self.result(id);
        match fs::rename(&from, self.cell(id).join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(files::Error::write(&from, error).into())
            }
            _ => Ok(()),
        }
    }

    /// Results beside that of a cell, each named by the digest of its bytes.
    fn beside(&self, id: &str, prefix: &str) -> Vec<Result<Record, String>> {
        let mut names = self.names(&format!("cells/{id}"));
        names.retain(|name| name.starts_with(prefix) && name.ends_with(".json"));
        names.sort();
        let read = |name: &String| {
            let bytes =
                files::read(&self.cell(id).join(name)).map_err(|error| error.to_string())?;
            if *name != format!("{prefix}{}.json", digest(&bytes)) {
                return Err(format!("{name} is damaged"));
            }
            serde_json::from_slice(&bytes).map_err(|error| format!("{name} does not read: {error}"))
        };
        names.iter().map(read).collect()
    }
}
