//! `ablate exact` as a person runs it.

mod common;

use std::fs;

use common::{ablate, refusal, run, stdout};
use tempfile::tempdir;

/// The README's study of the exact layer: its second block of TOML.
fn readme_study() -> &'static str {
    let block = include_str!("../README.md").split("```toml\n").nth(2);
    let block = block.expect("the README has two studies and more");
    block.split_once("```").expect("the block is closed").0
}

#[test]
fn the_study_of_the_readme_is_computed() {
    let folder = tempdir().expect("a temporary folder");
    fs::write(folder.path().join("mine.toml"), readme_study()).expect("the study is written");
    let output = run(folder.path(), &["ablate", "exact", "mine.toml"]);
    let text = stdout(&output);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{text}"
    );
    assert!(
        text.contains("SUPPORTED  gain (T10)") && !text.contains("REFUTED"),
        "{text}"
    );
    let at = folder.path().join("runs/two-modes");
    let read = |name: &str| fs::read_to_string(at.join(name)).expect("a rendering");
    assert!(read("exact.md").starts_with("## two-modes\n"));
    let json: serde_json::Value = serde_json::from_str(&read("exact.json")).expect("JSON");
    assert_eq!(json["sections"][0]["findings"][0]["verdict"], "SUPPORTED");
    let first = read("exact.json");
    run(folder.path(), &["ablate", "exact", "mine.toml"]);
    assert_eq!(first, read("exact.json"));
}

#[test]
fn mistakes_cost_one_line_and_leave_nothing_behind() {
    let folder = tempdir().expect("a temporary folder");
    let wrong = readme_study().replace("nodes = 2000", "nodes = 20");
    fs::write(folder.path().join("wrong.toml"), wrong).expect("the study is written");
    let line = refusal(&run(folder.path(), &["ablate", "exact", "wrong.toml"]), 2);
    assert!(
        line.contains("wrong.toml, spectral_gap \"near\": nodes = 20"),
        "{line}"
    );
    let line = refusal(&run(folder.path(), &["ablate", "exact", "nosuch.toml"]), 2);
    assert!(line.contains("nosuch.toml does not exist"), "{line}");
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn the_help_knows_it() {
    let folder = tempdir().expect("a temporary folder");
    let help = |arguments: &[&str]| {
        let output = ablate(folder.path()).args(arguments).output();
        stdout(&output.expect("the program can be started"))
    };
    assert!(help(&["ablate", "--help"]).contains("exact"));
    assert!(help(&["ablate", "exact", "--help"]).contains("needs no libtorch"));
}
