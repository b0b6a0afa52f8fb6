//! Cells on which workers died.

use std::fs;

use super::{Store, json};
use crate::{
    error::Error,
    files,
    record::{Death, Failure},
};

impl Store {
    /// Notes that a worker died on a cell.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn fail(&self, id: &str, death: Death, message: String) -> Result<Failure, Error> {
        let mut failure = self.failure(id).unwrap_or_default();
        match death {
            Death::Crash => failure.crashes += 1,
            Death::Killed => failure.kills += 1,
        }
        failure.message = message;
        files::replace(&self.make_cell(id)?.join("failure.json"), &json(&failure))?;
        Ok(failure)
    }

    /// Notes that a task of a batch system died on a cell: of its own doing if its log says so.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn blame(&self, id: &str, task: &str) -> Result<(), Error> {
        let words = self.last_words(task);
        let death = match words.contains("panicked at") {
            true => Death::Crash,
            false => Death::Killed,
        };
        let why = format!("task {task} ended: {words}");
        self.fail(id, death, why.trim_end_matches([':', ' ']).to_owned())
            .map(|_| ())
    }

    /// How often workers died on a cell, and why the last one did.
    pub fn failure(&self, id: &str) -> Option<Failure> {
        self.read_beside(id, "failure.json")
    }

    /// Whether workers died on a cell as often as is tried.
    pub fn is_given_up(&self, id: &str) -> bool {
        self.failure(id).is_some_and(|failure| failure.is_final())
    }

    /// Drops the notes of failures, so that the cell is tried again.
    ///
    /// # Errors
    ///
    /// Files.
    pub fn pardon(&self, id: &str) -> Result<(), Error> {
        let notes = self.cell(id).join("failure.json");
        match fs::remove_file(&notes) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(files::Error::write(&notes, error).into())
            }
            _ => Ok(()),
        }
    }
}
