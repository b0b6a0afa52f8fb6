//! How long a run takes until its first cell is finished, beside what that cell says that it took itself.
//!
//! The cell is one of the study `smoke`, whose training is twenty steps: what is left is what a run costs before anything
//! is learned, from reading the study to the commit of a result.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::bench::partner::Start;
use crate::error::{Error, at};

/// What was seen of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct First {
    /// Seconds from the start of the program to the commit of the first result.
    pub(crate) began: f64,
    /// Seconds that its cell took by its own record.
    pub(crate) cell: f64,
}

/// What a cell records of its making.
#[derive(Debug, Deserialize)]
struct Attempt {
    seconds: f64,
}

/// Starts a run into the folder `out`, which is emptied, and waits until it has ended.
pub(crate) fn first(start: &Start, out: &Path) -> Result<First, Error> {
    if out.exists() {
        fs::remove_dir_all(out).map_err(at("remove", out))?;
    }
    let cells = out.join("cells");
    fs::create_dir_all(&start.logs).map_err(at("create", &start.logs))?;
    let log = start.logs.join("first-cell.log");
    let file = File::create(&log).map_err(at("create", &log))?;
    let errors = file.try_clone().map_err(at("write", &log))?;
    let begin = Instant::now();
    let mut child = Command::new(&start.program)
        .args(&start.arguments)
        .envs(start.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(|source| Error::Start {
            command: start.program.display().to_string(),
            source,
        })?;
    let stopped = || Error::Partner {
        name: start.name.clone(),
        log: log.clone(),
    };
    let (cell, began) = loop {
        // Before the look, or a run that ends in between would have finished nothing.
        let ended = child.try_wait().map_err(at("wait for", &start.program))?;
        if let Some(cell) = finished(&cells) {
            break (cell, begin.elapsed().as_secs_f64());
        }
        if ended.is_some() {
            return Err(stopped());
        }
        thread::sleep(Duration::from_millis(1));
    };
    // Its other cells would be in the way of what is measured next.
    let status = child.wait().map_err(at("wait for", &start.program))?;
    if !status.success() {
        return Err(stopped());
    }
    let attempt = entries(&cell).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("attempt-") && name.ends_with(".json")
    });
    let attempt = attempt.ok_or_else(stopped)?;
    let text = fs::read_to_string(&attempt).map_err(at("read", &attempt))?;
    let record: Attempt = serde_json::from_str(&text).map_err(|error| Error::Results {
        path: attempt,
        rule: error.to_string(),
    })?;
    Ok(First {
        began,
        cell: record.seconds,
    })
}

/// A cell that has a result.
fn finished(cells: &Path) -> Option<PathBuf> {
    entries(cells).find(|cell| cell.join("result.json").is_file())
}

/// What lies in a folder; nothing while there is none.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// What a shell does in place of the program, in the folder of the run.
    fn run(script: &str) -> Result<First, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("run");
        let start = Start {
            name: "first-cell".to_owned(),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into(), out.clone().into()],
            environment: Vec::new(),
            logs: folder.path().join("logs"),
        };
        first(&start, &out)
    }

    #[test]
    fn the_first_result_ends_the_clock() {
        let cell = r#"mkdir -p $0/cells/a && echo '{"seconds": 0.25, "host": "h"}' > $0/cells/a/attempt-1.json"#;
        let first = run(&format!("{cell} && touch $0/cells/a/result.json")).expect("it ends well");
        assert_eq!(first.cell, 0.25);
        assert!(0.0 < first.began);
        let message = run(cell).expect_err("no result").to_string();
        assert!(message.contains("first-cell.log"), "{message}");
        assert!(run("exit 3").is_err());
    }
}
