//! The program as a person or a script runs it.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::{
    path::Path,
    process::{Command, Output},
};

/// `ablate` in a folder of its own, with nothing of the developer's environment.
pub(crate) fn ablate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ablate"));
    command
        .current_dir(folder)
        .env_remove("ABLATE_DATA_DIR")
        .env_remove("NO_COLOR")
        .env("RUST_BACKTRACE", "0");
    command
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    ablate(folder)
        .args(arguments)
        .output()
        .expect("the program can be started")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// The one line that a refusal consists of.
pub(crate) fn refusal(output: &Output, status: i32) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    let said: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("ablate: "))
        .collect();
    let [line] = said[..] else {
        panic!("one line says why: {text}")
    };
    assert!(!text.contains("panicked"), "{text}");
    line.to_owned()
}
