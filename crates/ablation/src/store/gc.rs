//! What can be removed from a run without loss.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{Store, process};
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
        let shared = self.is_shared();
        let is_abandoned = |name: &str| is_abandoned(name, shared);
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
            return Err(self.busy());
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

/// Whether a file is one that is being written, `<name>.tmp.<host>.<process>.<n>`, and whose writer is gone. Of
/// another machine's it is not known while that one is at work here.
fn is_abandoned(name: &str, shared: bool) -> bool {
    let writer = name.split_once(".tmp.").and_then(|(_, writer)| {
        let mut parts = writer.rsplitn(3, '.').skip(1);
        Some((parts.next()?.parse().ok()?, parts.next()?))
    });
    writer.is_some_and(|(process, host)| {
        if host == files::host() {
            !process::lives(process)
        } else {
            !shared
        }
    })
}
