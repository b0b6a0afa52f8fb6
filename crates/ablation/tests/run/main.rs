//! Runs from study to report, and what may happen to them on the way.

#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod disks;
mod disturbed;
mod engines;
mod looking;
mod process;
mod refused;

use std::{
    fs,
    process::{Command, Stdio},
};

use common::{refusal, run, stderr, stdout};
use process::{
    CELLS, LONG, Line, Running, SHORT, claims, endless, last_line, midway, results, signal,
    undisturbed, with,
};
use tempfile::{TempDir, tempdir};

/// Runs a study in `run` to its end: the numbers of the last line, and what was said on the way.
fn ends(folder: &TempDir, arguments: &[&str]) -> (Line, String) {
    let output = run(folder.path(), &with(arguments, &["--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    (last_line(&output), stderr(&output))
}

fn line(cells: u32, run_now: u32) -> Line {
    Line {
        cells,
        done: cells,
        run_now,
        diverged: 0,
        failed: 0,
    }
}

#[test]
fn a_study_runs_to_its_report_and_is_amended() {
    let folder = tempdir().expect("a temporary folder");
    let root = folder.path().join("run");
    let (first, _) = ends(&folder, &with(&SHORT, &["--jobs", "2"]));
    assert_eq!(first, line(CELLS, CELLS));
    for name in [
        "report.html",
        "report.md",
        "summary.json",
        "rows.csv",
        "lock.json",
    ] {
        assert!(
            0 < fs::metadata(root.join(name)).expect(name).len(),
            "{name}"
        );
    }
    let first = results(&root);
    assert_eq!(first.len(), CELLS as usize);
    let claims = fs::read_dir(root.join("claims")).expect("claims");
    assert_eq!(claims.count(), 0, "no claim is left");

    assert_eq!(ends(&folder, &SHORT).0, line(CELLS, 0));
    assert_eq!(results(&root), first, "what is finished is left alone");

    // The study is frozen: more seeds are another one, unless the change is put on record.
    let more = with(&SHORT, &["--seeds", "2"]);
    let more = &more[more.len() - 2..];
    let other = with(&SHORT[..2], more);
    let refused = refusal(&run(folder.path(), &with(&other, &["--out", "run"])), 2);
    assert!(
        refused.contains(&format!("{CELLS} of its cells are finished"))
            && refused.contains("seeds: 1 → 2"),
        "{refused}"
    );
    assert_eq!(results(&root), first);
    let amended = with(&other, &["--amend", "a pilot"]);
    assert_eq!(ends(&folder, &amended).0, line(2 * CELLS, CELLS));
    let both = results(&root);
    assert!(first.iter().all(|(id, bytes)| both[id] == *bytes));
    let report = fs::read_to_string(root.join("report.md")).expect("a report");
    assert!(
        report.contains("AMENDED") && report.contains("a pilot"),
        "{report}"
    );

    let others = with(&SHORT, &["--steps", "10", "--amend", "shorter"]);
    assert_eq!(ends(&folder, &others).0, line(CELLS, CELLS));
    assert_eq!(
        results(&root).len(),
        3 * CELLS as usize,
        "other steps are other cells"
    );
    let back = with(&SHORT, &["--amend", "as it was"]);
    assert_eq!(ends(&folder, &back).0, line(CELLS, 0));

    // Damage: half a file, an empty one, and one that belongs to another cell.
    let ids: Vec<&String> = first.keys().collect();
    let result = |id: &str| root.join("cells").join(id).join("result.json");
    fs::write(result(ids[0]), &first[ids[0]][..100]).expect("half a file");
    fs::write(result(ids[1]), "").expect("an empty file");
    fs::write(result(ids[2]), &first[ids[3]]).expect("another's result");
    let verdict = run(folder.path(), &["verify", "run"]);
    assert_eq!(verdict.status.code(), Some(1));
    assert_eq!(stdout(&verdict).lines().count(), 4, "{}", stdout(&verdict));
    let (mended, told) = ends(&folder, &SHORT);
    assert_eq!(mended, line(CELLS, 3));
    assert_eq!(told.matches("run again: ").count(), 3, "{told}");
    assert!(first.iter().all(|(id, bytes)| results(&root)[id] == *bytes));
    let status = stdout(&run(folder.path(), &["status", "run"]));
    assert!(
        status.ends_with(&format!(
            ": {CELLS} of {CELLS} cells done, 0 running, 0 failed, 0 missing\n"
        )),
        "{status}"
    );
    assert!(run(folder.path(), &["verify", "run"]).status.success());
    let swept = stdout(&run(folder.path(), &["gc", "run", "--unplanned"]));
    assert!(swept.starts_with("removed 3 files"), "{swept}");
    assert_eq!(
        results(&root).len(),
        3 * CELLS as usize,
        "every lock's cells are planned"
    );
}

/// With torch its training diverges, without its sampling does.
#[test]
fn an_arm_that_diverges_is_counted_and_shown() {
    let folder = tempdir().expect("a temporary folder");
    let study = if cfg!(feature = "tch") {
        include_str!("../../studies/smoke.toml")
            .replace("\"network.short\" = \"none\"", "\"training.rate\" = 1e30")
            .replace(
                "\"network.short\" = \"inverse_sqrt_depth\"",
                "\"training.rate\" = 3e-3",
            )
    } else {
        include_str!("../common/exact.toml")
            .replace(
                "\"training.rate\" = 3e-3",
                "\"sampling.langevin.step\" = 1e9",
            )
            .replace(
                "\"training.rate\" = 4e-3",
                "\"sampling.langevin.step\" = 0.1",
            )
    };
    fs::write(folder.path().join("study.toml"), study).expect("a study");
    let (line, _) = ends(&folder, &["ablate", "study.toml", "--seeds", "2"]);
    // Without training, of the arms without skips only the one that samples by plain Langevin.
    let (diverged, stage) = match cfg!(feature = "tch") {
        true => (4, "diverged in training at step "),
        false => (2, "diverged in "),
    };
    let expected = Line {
        diverged,
        ..self::line(2 * CELLS, 2 * CELLS)
    };
    assert_eq!(line, expected, "who diverged is done");
    let root = folder.path().join("run");
    let read = |name: &str| fs::read_to_string(root.join(name)).expect(name);
    let summary: ablation::summary::Summary =
        serde_json::from_str(&read("summary.json")).expect("a summary");
    let arms = summary.studies[0]
        .blocks
        .iter()
        .flat_map(|block| &block.arms);
    assert_eq!(arms.map(|arm| arm.diverged).sum::<u32>(), diverged);
    for name in ["report.html", "report.md", "rows.csv"] {
        let text = read(name);
        assert!(!text.contains("NaN") && !text.contains("inf,"), "{name}");
    }
    assert!(read("report.md").contains("2 of 2 diverged"));
    let status = stdout(&run(folder.path(), &["status", "run", "--cells"]));
    assert_eq!(status.matches(stage).count(), diverged as usize, "{status}");
    assert!(run(folder.path(), &["verify", "run"]).status.success());
}

#[test]
fn results_of_another_build_are_said_and_run_again_on_demand() {
    let folder = tempdir().expect("a temporary folder");
    let root = folder.path().join("run");
    ends(&folder, &SHORT);
    let before = results(&root);
    // Two stories say that another program made the result.
    for id in before.keys().take(2) {
        for entry in fs::read_dir(root.join("cells").join(id))
            .expect("a cell")
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with("attempt-") {
                let story = fs::read_to_string(entry.path()).expect("a story");
                let (head, rest) = story.split_once("\"binary\":\"").expect("a program");
                let digit = if rest.starts_with('f') { 'e' } else { 'f' };
                let other = format!("{head}\"binary\":\"{digit}{}", &rest[1..]);
                fs::write(entry.path(), other).expect("another story");
            }
        }
    }
    let output = run(folder.path(), &with(&SHORT, &["--out", "run"]));
    assert!(
        stdout(&output).contains("MIXED BUILDS"),
        "{}",
        stdout(&output)
    );
    assert_eq!(last_line(&output).run_now, 0);
    let again = with(&SHORT, &["--other-builds", "again"]);
    let (redone, told) = ends(&folder, &again);
    assert_eq!(redone, line(CELLS, 2));
    assert!(
        told.contains("2 cells of another build are run again"),
        "{told}"
    );
    assert_eq!(results(&root), before);
    let id = before.keys().next().expect("a cell");
    let all = stdout(&run(folder.path(), &["explain", "run", &id[..8]]));
    assert!(all.contains("superseded"), "{all}");
}

#[test]
fn the_number_of_workers_changes_no_byte() {
    let folder = tempdir().expect("a temporary folder");
    let output = run(
        folder.path(),
        &with(&LONG, &["--jobs", "3", "--out", "run"]),
    );
    assert_eq!(last_line(&output).run_now, 2 * CELLS);
    let found = results(&folder.path().join("run"));
    assert_eq!(found.len(), 2 * CELLS as usize);
    assert!(
        found == undisturbed(&LONG),
        "results differ between 3 workers and 1"
    );
}

#[test]
fn one_directory_is_worked_on_once() {
    let folder = tempdir().expect("a temporary folder");
    let endless = endless(&folder);
    let mut running = Running::start(&folder, &with(&endless, &["--jobs", "1"]));
    running.until("a worker", |root| claims(root).pop());
    let line = refusal(&run(folder.path(), &with(&endless, &["--out", "run"])), 2);
    assert!(
        line.contains(&format!("process {}", running.id())) && line.contains("--out"),
        "{line}"
    );
    // Looking is allowed.
    let status = stdout(&run(folder.path(), &["status", "run"]));
    assert!(status.contains("1 running"), "{status}");
    assert!(run(folder.path(), &["report", "run"]).status.success());
    signal("INT", running.id());
    assert_eq!(running.wait().status.code(), Some(130));
}

#[test]
fn the_program_may_be_replaced_while_it_runs() {
    let folder = tempdir().expect("a temporary folder");
    let program = folder.path().join("ablate");
    fs::copy(env!("CARGO_BIN_EXE_ablate"), &program).expect("a copy");
    let child = Command::new(&program)
        .args(with(&LONG, &["--jobs", "1", "--out", "run"]))
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the copy can be started");
    let mut running = Running {
        child: Some(child),
        root: folder.path().join("run"),
    };
    let (_, worker) = running.until("a cell in the middle", midway);
    fs::remove_file(&program).expect("it can be removed while it runs");
    fs::write(&program, "#!/bin/sh\nexit 1\n").expect("another program in its place");
    signal("KILL", worker);
    let output = running.wait();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(last_line(&output).done, 2 * CELLS);
    assert!(
        !stdout(&output).contains("MIXED BUILDS"),
        "all results are of one program"
    );
}
