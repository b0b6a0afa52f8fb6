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
fn published_numbers_stand_beside_ours() {
    let folder = tempdir().expect("a temporary folder");
    let study = r#"
schema = 1
name = "mine"
question = "Is ours theirs?"
seed = 0

[[edm]]
name = "rows"
about = ["T22"]
data_std = 0.5
mismatch = 1.0
sigmas = [0.1, 1.0]
tolerance = { relative = 1e-12, absolute = 0.0 }

[[published]]
id = "unit"
source = "Karras et al. 2022, table 1"
says = "An untrained network has the loss 1 at every level"
read = "formula"
printed = "1"
compare = "equal"
tolerance = { relative = 0.0, absolute = 1e-12 }
ours = { quantity = "edm", table = "rows", group = "", number = "loss of F = 0, at the worst level" }
"#;
    fs::write(folder.path().join("mine.toml"), study).expect("the study is written");
    let output = run(folder.path(), &["ablate", "published", "mine.toml"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("AGREES  Karras et al. 2022"), "{text}");
    let at = folder.path().join("runs/mine");
    let read = |name: &str| fs::read_to_string(at.join(name)).expect("a rendering");
    assert!(read("published.md").contains("| **AGREES** | Karras et al. 2022, table 1 |"));
    let json: serde_json::Value = serde_json::from_str(&read("published.json")).expect("JSON");
    assert_eq!(json["published"][0]["verdict"], "agrees");
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
    assert!(help(&["ablate", "--help"]).contains("published"));
    assert!(help(&["ablate", "exact", "--help"]).contains("needs no libtorch"));
}
