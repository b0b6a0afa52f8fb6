//! A run with planned looks, from the command line: where it stops, how it goes on, and what it refuses.

mod common;

use std::{fs, path::Path};

use ablation::summary::{Summary, VerdictRow};
use common::{refusal, run, stderr, stdout};
use tempfile::{TempDir, tempdir};

const CONTRAST: &str = "\n[[contrasts]]\nid = \"chance\"\nclaim = \"Other draws bring the samples nearer to the data\"\neffect = \"a_a\"\nexpect = \"lower\"\ndelta = 0.0\n";
const A_A: &str = "\n[[beside]]\nname = \"A/A\"\nrole = \"a_a\"\nset = { nuisance = 1 }\nonly = { skip = \"on\", noise = \"on\" }\nseeds = 2\n";

/// Cells of milliseconds: noise has a large effect on the samplers alone, and the A/A arm none.
fn study(more: &str) -> TempDir {
    let folder = tempdir().expect("a temporary folder");
    let text = include_str!("common/exact.toml");
    let text = text.replace("evaluations = 6000", "evaluations = 400");
    let text = text.replace("samples = 128", "samples = 64");
    fs::write(folder.path().join("study.toml"), text + A_A + more).expect("a study");
    folder
}

fn sequential(folder: &Path) -> String {
    let arguments = [
        "ablate",
        "study.toml",
        "--sequential",
        "--jobs",
        "2",
        "--out",
        "run",
    ];
    let output = run(folder, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn summary(folder: &Path) -> Summary {
    let json = fs::read_to_string(folder.join("run/summary.json")).expect("a summary");
    serde_json::from_str(&json).expect("it reads")
}

fn verdict<'s>(summary: &'s Summary, id: &str) -> &'s VerdictRow {
    let mut rows = summary.studies[0].verdicts.iter();
    rows.find(|row| row.id == id).expect("it is registered")
}

#[test]
fn a_study_stops_where_everything_is_decided() {
    let folder = study("");
    let text = sequential(folder.path());
    assert!(
        text.contains("exact: look 1 of 3, at 8 seeds; 0.00098 of the level 0.05 is spent"),
        "{text}"
    );
    assert!(text.contains("cells=34 done=34 run_now=34"), "{text}");
    let found = summary(folder.path());
    assert!(found.stamps.is_empty(), "{:?}", found.stamps);
    let row = verdict(&found, "noise");
    assert_eq!((row.class.as_str(), row.look), ("supported", Some(1)));

    // The looks are part of what was frozen.
    let other = ["ablate", "study.toml", "--seeds", "12", "--out", "run"];
    let line = refusal(&run(folder.path(), &other), 2);
    assert!(line.contains("looks is gone"), "{line}");
    let other = ["ablate", "study.toml", "--sequential=8,12", "--out", "run"];
    assert!(refusal(&run(folder.path(), &other), 2).contains("looks / seeds"));
}

#[test]
fn a_study_goes_on_for_what_is_open_and_from_wherever_it_was() {
    let folder = study(CONTRAST);
    let text = sequential(folder.path());
    for words in [
        "look 1 of 3, at 8 seeds",
        "1 of 2 contrasts are open, and it goes on to 16 seeds",
        "look 3 of 3, at 30 seeds",
    ] {
        let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flowing.contains(words), "{words} in {text}");
    }
    let told = &text[text.find("exact: look 1").expect("it is told")..];
    let long = |line: &&str| 80 < line.chars().count() && !line.starts_with("report: ");
    assert_eq!(told.lines().find(long), None);
    let whole = summary(folder.path());
    assert_eq!(
        verdict(&whole, "noise").look,
        Some(1),
        "decided, and left alone"
    );
    assert_eq!(verdict(&whole, "chance").look, Some(3));

    // Half of the cells are gone: the report says what a look said, and the run comes to the same end.
    let cells = folder.path().join("run/cells");
    let cells = fs::read_dir(cells).expect("cells").flatten();
    for cell in cells.step_by(2) {
        fs::remove_dir_all(cell.path()).expect("it goes");
    }
    assert!(run(folder.path(), &["report", "run"]).status.success());
    let part = summary(folder.path());
    assert_eq!(part.stamps[0].word, "INTERIM");
    assert!(
        part.studies[0]
            .verdicts
            .iter()
            .all(|row| row.class == "not_tested")
    );
    let status = stdout(&run(folder.path(), &["status", "run"]));
    assert!(
        status.contains(" of 40 cells done"),
        "the first look is due: {status}"
    );
    sequential(folder.path());
    let again = summary(folder.path());
    let of = |summary: &Summary| summary.studies[0].clone();
    assert!(of(&again).verdicts == of(&whole).verdicts);
    assert!(of(&again).effects == of(&whole).effects, "but for seconds");
}

#[test]
fn looks_that_cannot_be_are_refused() {
    let folder = study("");
    for (looks, said) in [
        ("--sequential=30", "one look is no sequence"),
        ("--sequential=4,8", "a verdict takes 8 seeds"),
    ] {
        let line = refusal(
            &run(folder.path(), &["ablate", "study.toml", looks, "--plan"]),
            2,
        );
        assert!(line.contains(said), "{line}");
    }
    let both = run(
        folder.path(),
        &["ablate", "study.toml", "--sequential", "--seeds", "9"],
    );
    assert_eq!(both.status.code(), Some(2));
    let plan = run(
        folder.path(),
        &["ablate", "study.toml", "--sequential", "--plan"],
    );
    assert!(
        stdout(&plan).contains("looks at 8, 16 and 30 seeds"),
        "{}",
        stdout(&plan)
    );
}
