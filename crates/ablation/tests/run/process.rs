//! A run as a process: started, watched, hit and read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::{TempDir, tempdir};

use crate::common::{ablate, run, stderr, stdout};

/// Cells of one seed of the studies below: the 2×2, and with torch an A/A arm.
pub(crate) const CELLS: u32 = if cfg!(feature = "tch") { 5 } else { 4 };
/// Cells that are soon done. With torch they train, without they need none.
#[cfg(feature = "tch")]
pub(crate) const SHORT: [&str; 2] = ["ablate", "smoke"];
/// Cells of two seeds, of a good second in all: long enough to be hit in the middle.
#[cfg(feature = "tch")]
pub(crate) const LONG: [&str; 6] = ["ablate", "smoke", "--seeds", "2", "--steps", "400"];

#[cfg(not(feature = "tch"))]
const EXACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/exact.toml");
#[cfg(not(feature = "tch"))]
pub(crate) const SHORT: [&str; 4] = ["ablate", EXACT, "--seeds", "1"];
#[cfg(not(feature = "tch"))]
pub(crate) const LONG: [&str; 4] = ["ablate", EXACT, "--seeds", "2"];

/// A study that does not end; its file is written into the folder.
pub(crate) fn endless(folder: &TempDir) -> [&'static str; 2] {
    let exact = include_str!("../common/exact.toml");
    let endless = exact.replace("evaluations = 6000", "evaluations = 60_000_000");
    assert_ne!(exact, endless);
    fs::write(folder.path().join("endless.toml"), endless).expect("a study");
    ["ablate", "endless.toml"]
}

/// The numbers of the last line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) cells: u32,
    pub(crate) done: u32,
    pub(crate) run_now: u32,
    pub(crate) diverged: u32,
    pub(crate) failed: u32,
}

pub(crate) fn last_line(output: &Output) -> Line {
    let text = stdout(output);
    let line = text
        .lines()
        .last()
        .unwrap_or_else(|| panic!("a last line: {}", stderr(output)));
    let numbers: Vec<(&str, u32)> = line
        .split(' ')
        .filter_map(|word| word.split_once('='))
        .map(|(name, number)| (name, number.parse().expect("a number")))
        .collect();
    match numbers[..] {
        [
            ("cells", cells),
            ("done", done),
            ("run_now", run_now),
            ("diverged", diverged),
            ("failed", failed),
        ] => Line {
            cells,
            done,
            run_now,
            diverged,
            failed,
        },
        _ => panic!("{line}: {}", stderr(output)),
    }
}

/// Bytes of every result, by cell.
pub(crate) fn results(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let cells = fs::read_dir(root.join("cells"))
        .into_iter()
        .flatten()
        .flatten();
    cells
        .filter_map(|cell| {
            let bytes = fs::read(cell.path().join("result.json")).ok()?;
            Some((cell.file_name().to_string_lossy().into_owned(), bytes))
        })
        .collect()
}

pub(crate) fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().chain(more).copied().collect()
}

/// The results of an undisturbed run by one worker.
pub(crate) fn undisturbed(arguments: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let folder = tempdir().expect("a temporary folder");
    let output = run(
        folder.path(),
        &with(arguments, &["--jobs", "1", "--out", "run"]),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    results(&folder.path().join("run"))
}

/// A run in the background that is ended with its test.
pub(crate) struct Running {
    pub(crate) child: Option<Child>,
    pub(crate) root: PathBuf,
}

impl Running {
    pub(crate) fn start(folder: &TempDir, arguments: &[&str]) -> Running {
        let child = ablate(folder.path())
            .args(with(arguments, &["--out", "run"]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        Running {
            child: Some(child),
            root: folder.path().join("run"),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("it was not waited for").id()
    }

    /// Waits until a question about the run has an answer.
    pub(crate) fn until<T>(&mut self, what: &str, answer: impl Fn(&Path) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = answer(&self.root) {
                return found;
            }
            let child = self.child.as_mut().expect("it was not waited for");
            assert!(
                child.try_wait().expect("it is ours").is_none(),
                "it ended before {what}"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{what} never came"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn wait(mut self) -> Output {
        self.child
            .take()
            .expect("it was not waited for")
            .wait_with_output()
            .expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The cells that workers are at, with the workers' numbers.
pub(crate) fn claims(root: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(root.join("claims"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .filter(|(name, _)| name.len() == 32)
        .filter_map(|(name, path)| {
            let text = fs::read_to_string(path).ok()?;
            Some((name, text.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

/// A cell that is being worked on while at least one is finished.
pub(crate) fn midway(root: &Path) -> Option<(String, u32)> {
    if results(root).is_empty() {
        return None;
    }
    claims(root)
        .into_iter()
        .find(|(id, _)| !root.join("cells").join(id).join("result.json").exists())
}

pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .stderr(Stdio::null())
        .status();
    let _ = status.expect("kill can be started"); // the process may be gone by itself
}
