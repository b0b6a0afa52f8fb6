//! Whole runs against others that are kept in `docs/results/peers`, so that the page shows more than the luckiest.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bench::contest::Line;
use crate::bench::table::Setting;
use crate::error::{Error, at};

/// A whole run: what `peers.json` says, without the passes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Kept {
    /// What surrounds the numbers.
    pub(crate) setting: Setting,
    /// One line per claim.
    pub(crate) lines: Vec<Line>,
}

impl Kept {
    /// The line about the same claim.
    pub(crate) fn about(&self, line: &Line) -> Option<&Line> {
        let same = |kept: &&Line| kept.work == line.work && kept.ours == line.ours;
        let rivals = || self.lines.iter().filter(same);
        rivals()
            .find(|kept| kept.other == line.other)
            // Where several compete, the fastest of another day may be another.
            .or_else(|| rivals().next().filter(|_| rivals().count() == 1))
    }
}

/// Where runs are kept.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("docs/results/peers")
}

/// All runs, the oldest first: they are numbered.
pub(crate) fn all(folder: &Path) -> Result<Vec<Kept>, Error> {
    let numbered = (1..).map(|number| file(folder, number));
    let runs = numbered.take_while(|path| path.is_file()).map(|path| {
        let text = fs::read_to_string(&path).map_err(at("read", &path))?;
        serde_json::from_str(&text).map_err(|error| Error::Results {
            path,
            rule: error.to_string(),
        })
    });
    runs.collect()
}

/// Keeps a report behind those that are there.
pub(crate) fn keep(folder: &Path, report: &str) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(at("create", folder))?;
    let free = (1..).map(|number| file(folder, number));
    let path = free
        .into_iter()
        .find(|path| !path.exists())
        .expect("there is a number that no run has");
    fs::write(&path, report).map_err(at("write", &path))
}

fn file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table;

    #[test]
    fn the_page_shows_the_runs_that_are_kept() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let runs = all(&folder(&root)).expect("they are committed");
        let page = fs::read_to_string(root.join("docs/performance.md")).expect("it is committed");
        assert!(
            page.contains(&table::markdown(&runs)),
            "run `cargo xtask bench --peers --docs`, or put the runs back"
        );
    }

    #[test]
    fn runs_are_kept_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(all(folder.path()).expect("none yet").len(), 0);
        for revision in ["first", "second"] {
            let setting = format!(
                r#"{{"revision": "{revision}", "machine": "m", "build": "b", "threads": 2, "passes": 5}}"#
            );
            let report = format!(r#"{{"schema": 1, "setting": {setting}, "lines": []}}"#);
            keep(folder.path(), &report).expect("there is room");
        }
        let runs = all(folder.path()).expect("two");
        let revisions: Vec<&str> = runs.iter().map(|run| &*run.setting.revision).collect();
        assert_eq!(revisions, ["first", "second"]);
    }
}
