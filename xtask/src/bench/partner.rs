//! One side of a measurement as a process: prepared once, asked for passes, ended with its input.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, at};
use crate::process::Variables;

/// How a side is started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// What it is called.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Variables of its own.
    pub(crate) environment: Variables,
    /// Where its standard error goes.
    pub(crate) logs: PathBuf,
}

/// What a side says when it is ready.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Ready {
    /// What a unit of the work is.
    pub(crate) unit: String,
    /// What it answers on the common inputs.
    pub(crate) answer: Vec<f64>,
    /// Operations of a unit that nothing can spare.
    #[serde(default)]
    pub(crate) operations: f64,
    /// Bytes of a unit that nothing can spare.
    #[serde(default)]
    pub(crate) bytes: f64,
    /// Bytes of memory that they are in.
    #[serde(default)]
    pub(crate) memory: f64,
    /// Of which numbers the operations are.
    #[serde(default)]
    pub(crate) arithmetic: Arithmetic,
    /// The libtorch that it runs with, and for which instructions that picks its kernels.
    #[serde(default)]
    pub(crate) libtorch: Option<String>,
}

/// Of which numbers operations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arithmetic {
    /// f32, as networks are.
    #[default]
    Single,
    /// f64, as exact scores are.
    Double,
    /// bf16, as networks of images may be.
    Half,
}

#[derive(Debug, Deserialize)]
struct Pass {
    seconds: f64,
}

/// A side at work.
#[derive(Debug)]
pub(crate) struct Partner {
    name: String,
    log: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub(crate) ready: Ready,
    /// Seconds from its start until it was ready.
    pub(crate) began: f64,
}

impl Partner {
    /// Starts a side and waits until it is ready.
    pub(crate) fn start(start: &Start) -> Result<Self, Error> {
        fs::create_dir_all(&start.logs).map_err(at("create", &start.logs))?;
        let log = start
            .logs
            .join(format!("{}.log", start.name.replace(' ', "-")));
        let errors = File::create(&log).map_err(at("create", &log))?;
        let begin = Instant::now();
        let mut child = Command::new(&start.program)
            .args(&start.arguments)
            .envs(start.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|source| Error::Start {
                command: start.program.display().to_string(),
                source,
            })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for");
        };
        let mut output = BufReader::new(output);
        let ready = match line(&mut output, &start.name, &log) {
            Ok(ready) => ready,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Self {
            name: start.name.clone(),
            log,
            child,
            input: Some(input),
            output,
            ready,
            began: begin.elapsed().as_secs_f64(),
        })
    }

    /// Has it work once: the seconds of one unit.
    pub(crate) fn pass(&mut self) -> Result<f64, Error> {
        // If it has died, the next line is missing, and that says why.
        if let Some(input) = &mut self.input {
            let _ = input.write_all(b"pass\n").and_then(|()| input.flush());
        }
        let pass: Pass = line(&mut self.output, &self.name, &self.log)?;
        Ok(pass.seconds)
    }
}

impl Drop for Partner {
    /// The end of its input ends it; one that hangs is ended.
    fn drop(&mut self) {
        drop(self.input.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of JSON; other lines are what libraries print.
fn line<T: DeserializeOwned>(
    output: &mut impl BufRead,
    name: &str,
    log: &Path,
) -> Result<T, Error> {
    let mut text = String::new();
    loop {
        text.clear();
        let read = output.read_line(&mut text);
        if !read.is_ok_and(|bytes| 0 < bytes) {
            return Err(Error::Partner {
                name: name.to_owned(),
                log: log.to_path_buf(),
            });
        }
        if let Ok(value) = serde_json::from_str(&text) {
            return Ok(value);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> Start {
        Start {
            name: "a shell".to_owned(),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            logs: logs.to_path_buf(),
        }
    }

    #[test]
    fn a_side_is_ready_and_works_when_asked() {
        let logs = tempfile::tempdir().expect("a temporary folder");
        let script = r#"echo a warning; echo '{"unit": "step", "answer": [1.5]}'
            while read word; do echo '{"seconds": 0.25}'; done"#;
        let mut partner = Partner::start(&shell(script, logs.path())).expect("it is ready");
        assert_eq!(partner.ready.answer, [1.5]);
        assert_eq!(partner.ready.arithmetic, Arithmetic::Single);
        assert_eq!(partner.pass().expect("it works"), 0.25);
        assert_eq!(partner.pass().expect("it works"), 0.25);
    }

    #[test]
    fn one_that_dies_is_named_with_its_log() {
        let logs = tempfile::tempdir().expect("a temporary folder");
        let error = Partner::start(&shell("echo why >&2; exit 3", logs.path()));
        let message = error.expect_err("it says nothing").to_string();
        assert!(
            message.contains("a shell") && message.contains("a-shell.log"),
            "{message}"
        );
        let log = fs::read_to_string(logs.path().join("a-shell.log")).expect("it is there");
        assert_eq!(log, "why\n");
    }
}
