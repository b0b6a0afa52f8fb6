//! Runs from study to report, and what may happen to them on the way.
#![cfg(feature = "tch")]

#[path = "../common/mod.rs"]
mod common;
mod disturbed;
mod process;
mod refused;

use std::{
    fs,
    process::{Command, Stdio},
};

use common::{refusal, run, stderr, stdout};
use process::{LONG, Line, Running, claims, last_line, midway, results, signal, undisturbed, with};
use tempfile::tempdir;

#[test]
fn a_study_runs_to_its_report_and_is_extended() {
    let folder = tempdir().expect("a temporary folder");
    let root = folder.path().join("runs/smoke");
    let output = run(folder.path(), &["ablate", "smoke", "--jobs", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        last_line(&output),
        Line {
            cells: 4,
            done: 4,
            run_now: 4,
            diverged: 0,
            failed: 0
        }
    );
    for name in [
        "report.html",
        "report.md",
        "summary.json",
        "rows.csv",
        "plan.json",
    ] {
        assert!(
            0 < fs::metadata(root.join(name)).expect(name).len(),
            "{name}"
        );
    }
    let first = results(&root);
    assert_eq!(first.len(), 4);
    let claims = fs::read_dir(root.join("claims")).expect("claims");
    assert_eq!(claims.count(), 0, "no claim is left");

    let again = run(folder.path(), &["ablate", "smoke"]);
    assert_eq!(
        last_line(&again),
        Line {
            cells: 4,
            done: 4,
            run_now: 0,
            diverged: 0,
            failed: 0
        }
    );
    assert_eq!(results(&root), first, "what is finished is left alone");

    let extended = run(folder.path(), &["ablate", "smoke", "--seeds", "2"]);
    assert_eq!(
        last_line(&extended),
        Line {
            cells: 8,
            done: 8,
            run_now: 4,
            diverged: 0,
            failed: 0
        }
    );
    let both = results(&root);
    assert!(first.iter().all(|(id, bytes)| both[id] == *bytes));

    let others = run(folder.path(), &["ablate", "smoke", "--steps", "10"]);
    assert_eq!(
        last_line(&others),
        Line {
            cells: 4,
            done: 4,
            run_now: 4,
            diverged: 0,
            failed: 0
        }
    );
    assert_eq!(results(&root).len(), 12, "other steps are other cells");

    // Damage: half a file, an empty one, and one that belongs to another cell.
    let ids: Vec<&String> = first.keys().collect();
    let result = |id: &str| root.join("cells").join(id).join("result.json");
    fs::write(result(ids[0]), &first[ids[0]][..100]).expect("half a file");
    fs::write(result(ids[1]), "").expect("an empty file");
    fs::write(result(ids[2]), &first[ids[3]]).expect("another's result");
    let mended = run(folder.path(), &["ablate", "smoke"]);
    assert_eq!(
        last_line(&mended),
        Line {
            cells: 4,
            done: 4,
            run_now: 3,
            diverged: 0,
            failed: 0
        }
    );
    assert_eq!(
        stderr(&mended).matches("run again: ").count(),
        3,
        "{}",
        stderr(&mended)
    );
    assert!(first.iter().all(|(id, bytes)| results(&root)[id] == *bytes));
    let status = stdout(&run(folder.path(), &["status", "runs/smoke"]));
    assert_eq!(
        status,
        "smoke: 4 of 4 cells done, 0 running, 0 failed, 0 missing\n"
    );
}

#[test]
fn the_number_of_workers_changes_no_byte() {
    let folder = tempdir().expect("a temporary folder");
    let output = run(
        folder.path(),
        &with(&LONG, &["--jobs", "3", "--out", "run"]),
    );
    assert_eq!(last_line(&output).run_now, 8);
    let found = results(&folder.path().join("run"));
    assert_eq!(found.len(), 8);
    assert!(
        found == undisturbed(&LONG),
        "results differ between 3 workers and 1"
    );
}

#[test]
fn one_directory_is_worked_on_once() {
    let folder = tempdir().expect("a temporary folder");
    let mut running = Running::start(
        &folder,
        &["ablate", "smoke", "--steps", "1000000", "--jobs", "1"],
    );
    running.until("a worker", |root| claims(root).pop());
    let line = refusal(&run(folder.path(), &["ablate", "smoke", "--out", "run"]), 2);
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
    assert_eq!(last_line(&output).done, 8);
    assert!(
        !stdout(&output).contains("MIXED BUILDS"),
        "all results are of one program"
    );
}
