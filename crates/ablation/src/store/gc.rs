//! What can be removed from a run without loss.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Store, claims};
use crate::{error::Error, files, plan::Plan};

/// Files that serve nothing any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Their paths.
    pub files: Vec<PathBuf>,
    /// Their size in all.
    pub bytes: u64,
}

impl Store {
    /// What serves nothing any more: what a writer that died left half-written, what was damaged and set aside,
    /// checkpoints of finished cells; and, if asked, everything of cells that no plan of the run knows.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where a plan does not read.
    pub fn garbage(&self, unplanned: bool) -> Result<Garbage, Error> {
        let locks = self.locks()?;
        let planned: BTreeSet<String> = locks.iter().flat_map(|lock| ids(&lock.plan)).collect();
        let mut garbage = Garbage::default();
        for folder in ["", "claims", "workers"] {
            for name in self.names(folder).iter().filter(|name| is_abandoned(name)) {
                garbage.add(&self.root.join(folder).join(name));
            }
        }
        for id in self.names("cells") {
            let done = self.is_done(&id);
            let foreign = unplanned && !planned.contains(&id);
            for name in self.names(&format!("cells/{id}")) {
                let spent = name.ends_with(".damaged") || done && name.starts_with("checkpoint-");
                if foreign || spent || is_abandoned(&name) {
                    garbage.add(&self.cell(&id).join(name));
                }
            }
        }
        garbage.files.sort();
        Ok(garbage)
    }

    /// Removes it, with claims whose process is gone, silent logs and folders that are empty then.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while a coordinator is at work here; files.
    pub fn collect(&self, garbage: &Garbage) -> Result<(), Error> {
        if !self.claim_directory()? {
            return Err(Error::Busy {
                path: self.root.clone(),
                process: self.coordinator().unwrap_or(0),
            });
        }
        for path in &garbage.files {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    self.close();
                    return Err(files::Error::write(path, error).into());
                }
                _ => {}
            }
        }
        for id in self.names("cells") {
            // Refused where something is left in it.
            let _ = fs::remove_dir(self.cell(&id));
        }
        self.sweep(&[]);
        self.sweep_logs();
        self.close();
        Ok(())
    }
}

impl Garbage {
    fn add(&mut self, path: &Path) {
        self.bytes += fs::metadata(path).map_or(0, |meta| meta.len());
        self.files.push(path.to_owned());
    }
}

fn ids(plan: &Plan) -> impl Iterator<Item = String> {
    plan.cells().into_iter().map(|(cell, _)| cell.id)
}

/// `<name>.tmp.<process>.<n>`, of a process that is gone.
fn is_abandoned(name: &str) -> bool {
    let process = name
        .split_once(".tmp.")
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    process.is_some_and(|process| !claims::is_known(process))
}
