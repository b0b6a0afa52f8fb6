//! Checkpoints of cells that are being worked on: the last two of each program.
//!
//! Any whole checkpoint of a cell and a program is a point on the one way from its beginning to its result, so it
//! does not matter who wrote it, nor when; the one that is farthest on is taken.

use std::fs;

use super::Store;
use crate::{
    checkpoint::{Checkpoint, Place},
    error::Error,
    files,
};

/// Checkpoints of a cell that are kept: should the last one not read, there is one before it.
const KEPT: usize = 2;
const FIRST: &str = "checkpoint-";
const LAST: &str = ".safetensors";

impl Store {
    /// Keeps a checkpoint; the cell's older ones go, but for one.
    ///
    /// # Errors
    ///
    /// Files; a full disk is its own class.
    pub fn keep(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let id = &checkpoint.record.cell.id;
        let prefix = prefix(&checkpoint.program);
        let name = format!("{prefix}{}{LAST}", checkpoint.place.name());
        files::replace(&self.make_cell(id)?.join(name), &checkpoint.to_bytes())?;
        let names = self.checkpoints(id, &prefix);
        for old in &names[..names.len().saturating_sub(KEPT)] {
            let _ = fs::remove_file(self.cell(id).join(old));
        }
        Ok(())
    }

    /// The farthest checkpoint of a cell that a program can go on from. Those that do not read are set aside, and
    /// said why.
    pub fn resume(&self, id: &str, program: &str) -> (Option<Checkpoint>, Vec<String>) {
        let mut aside = Vec::new();
        for name in self.checkpoints(id, &prefix(program)).into_iter().rev() {
            let path = self.cell(id).join(&name);
            let read = match files::read(&path) {
                Ok(bytes) => Checkpoint::from_bytes(&bytes),
                // Pruned by another worker on the same cell.
                Err(error) if error.is_absent() => continue,
                Err(error) => Err(error.to_string()),
            };
            let why = match read {
                Ok(found) if found.record.cell.id == id && found.program == program => {
                    return (Some(found), aside);
                }
                Ok(found) => format!("it is of cell {}", found.record.cell.id),
                Err(why) => why,
            };
            aside.push(format!("{} is set aside: {why}", path.display()));
            let _ = fs::rename(&path, path.with_extension("damaged"));
        }
        (None, aside)
    }

    /// How far the checkpoints of a cell are, and whether each reads; for people.
    pub fn checkpoint_words(&self, id: &str) -> Vec<Result<Place, String>> {
        let names = self.checkpoints(id, FIRST);
        let read = names.iter().map(|name| {
            let bytes =
                files::read(&self.cell(id).join(name)).map_err(|error| error.to_string())?;
            let found = Checkpoint::from_bytes(&bytes);
            found
                .map(|found| found.place)
                .map_err(|why| format!("{name}: {why}"))
        });
        read.collect()
    }

    /// Removes the checkpoints of a cell, whoever made them.
    pub(super) fn drop_checkpoints(&self, id: &str) {
        for name in self.checkpoints(id, FIRST) {
            // One that stays behind costs space only: a cell with a result is never begun.
            let _ = fs::remove_file(self.cell(id).join(name));
        }
    }

    /// Names of whole checkpoint files, the farthest last.
    fn checkpoints(&self, id: &str, prefix: &str) -> Vec<String> {
        let mut names = self.names(&format!("cells/{id}"));
        names.retain(|name| name.starts_with(prefix) && name.ends_with(LAST));
        names.sort();
        names
    }
}

fn prefix(program: &str) -> String {
    format!("{FIRST}{program}-")
}
