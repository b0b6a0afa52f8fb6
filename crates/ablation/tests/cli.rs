//! The command line without training: plans, refusals, reports of what is there.

mod common;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use ablation::{
    plan::{Overrides, Plan},
    record::{Attempt, Death, Evaluations, Outcome, Record, Stage},
    store::Store,
    study,
    summary::Summary,
};
use common::{ablate, refusal, run, stderr, stdout};
use tempfile::tempdir;

#[test]
fn a_plan_is_printed_and_nothing_is_run() {
    let folder = tempdir().expect("a temporary folder");
    let output = run(folder.path(), &["ablate", "smoke", "--plan"]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        stderr(&output)
    );
    let text = stdout(&output);
    assert!(
        text.contains("the 2×2") && text.contains("4 arms ×  1 seeds =   4 cells"),
        "{text}"
    );
    assert!(text.contains("\n5 cells, about "), "{text}");
    assert!(
        text.contains("\nwarning: `smoke`: 1 seed gives estimates and no verdict, which takes 8")
    );
    let more = stdout(&run(
        folder.path(),
        &["ablate", "smoke", "--plan", "--seeds", "3", "--jobs", "1"],
    ));
    assert!(more.contains("\n15 cells, about "), "{more}");
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "a plan leaves nothing behind"
    );
}

#[test]
fn of_cards_that_are_shown_each_has_a_cell() {
    let folder = tempdir().expect("a temporary folder");
    for (shown, words) in [("0,1", "with 2 at a time"), ("5", "with 1 at a time")] {
        let output = ablate(folder.path())
            .args(["ablate", "smoke", "--device", "cuda", "--plan"])
            .env("CUDA_VISIBLE_DEVICES", shown)
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains(words), "{}", stdout(&output));
    }
}

#[test]
fn the_default_study_is_found_without_a_name() {
    let folder = tempdir().expect("a temporary folder");
    let bare = stdout(&run(folder.path(), &["ablate", "--plan", "--jobs", "2"]));
    assert_eq!(
        bare,
        stdout(&run(
            folder.path(),
            &["ablate", "default", "--plan", "--jobs", "2"]
        ))
    );
    assert!(
        bare.starts_with("default: ") && !bare.contains("warning"),
        "{bare}"
    );
}

#[test]
fn an_unknown_study_is_refused_with_the_nearest() {
    let folder = tempdir().expect("a temporary folder");
    let output = run(folder.path(), &["ablate", "smokke"]);
    let line = refusal(&output, 2);
    assert!(
        line.contains("`smokke`") && line.contains("did you mean `smoke`?"),
        "{line}"
    );
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(output.stdout.is_empty());
    assert!(
        refusal(&run(folder.path(), &["ablate", "nosuch"]), 2)
            .contains("default, fashion-mnist, smoke")
    );
}

#[test]
fn a_study_with_a_typo_is_refused_with_its_place() {
    let folder = tempdir().expect("a temporary folder");
    fs::write(
        folder.path().join("mine.toml"),
        "schema = 1\nnmae = \"mine\"\n",
    )
    .expect("a file");
    let line = refusal(&run(folder.path(), &["ablate", "mine.toml", "--plan"]), 2);
    assert!(
        line.starts_with("ablate: mine.toml, line 2, column 1: "),
        "{line}"
    );
    assert!(line.ends_with("did you mean `name`?"), "{line}");
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    assert!(
        refusal(&run(folder.path(), &["ablate", "empty"]), 2)
            .contains("the folder empty holds no study")
    );
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempdir().expect("a temporary folder");
    for command in ["report", "status", "verify", "gc"] {
        for place in [".", "runs/absent"] {
            let line = refusal(&run(folder.path(), &[command, place]), 2);
            assert!(
                line.contains("holds no run") && line.contains(place),
                "{line}"
            );
        }
    }
    fs::write(folder.path().join("lock.json"), "{\"schema\":1}").expect("a file");
    let line = refusal(&run(folder.path(), &["report", "."]), 2);
    assert!(line.contains("lock.json is damaged"), "{line}");
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "nothing was written"
    );
}

#[test]
fn impossible_arguments_are_refused() {
    let folder = tempdir().expect("a temporary folder");
    for arguments in [
        &["ablate", "smoke", "--seeds", "0"][..],
        &["ablate", "smoke", "--steps", "0"],
        &["ablate", "smoke", "--jobs", "0"],
        &["ablate", "smoke", "--device", "tpu"],
        &["ablate", "smoke", "--stpes", "1"],
        &["ablate", "smoke", "extra"],
        &["report"],
        &["nosuch"],
        &[],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
    let line = refusal(
        &run(
            folder.path(),
            &["ablate", "smoke", "--plan", "--seeds", "4294967295"],
        ),
        2,
    );
    assert!(line.contains("seeds = 4294967295"), "{line}");
    let line = refusal(
        &run(
            folder.path(),
            &["ablate", "fashion-mnist", "--plan", "--data", "absent"],
        ),
        2,
    );
    assert!(line.contains("absent"), "{line}");
}

#[test]
fn every_command_has_a_help_page() {
    let folder = tempdir().expect("a temporary folder");
    for (arguments, part) in [
        (&["--help"][..], "skip connections and diffusion noise"),
        (&["-h"], "status"),
        (&["ablate", "--help"], "--seeds"),
        (&["report", "--help"], "needs no libtorch"),
        (&["status", "--help"], "--watch"),
        (&["power", "--help"], "--pilot"),
        (&["verify", "--help"], "as it was committed"),
        (&["explain", "--help"], "one cell"),
        (&["diff", "--help"], "two runs"),
        (&["gc", "--help"], "--dry-run"),
        (&["gather", "--help"], "on a cluster"),
        (&["worker", "--help"], "started by `ablate`"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(
            stdout(&output).contains(part),
            "{arguments:?}: {}",
            stdout(&output)
        );
    }
}

#[cfg(not(feature = "tch"))]
#[test]
fn training_without_libtorch_names_the_remedy() {
    let folder = tempdir().expect("a temporary folder");
    let line = refusal(&run(folder.path(), &["ablate", "smoke"]), 2);
    assert!(
        line.contains("libtorch") && line.contains("cargo xtask"),
        "{line}"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// A run of which three cells are finished, one of them diverged, and one failed.
fn hand_made(root: &Path) {
    let plan = Plan::resolve(
        study::load("smoke").expect("it is built in"),
        &Overrides::default(),
    )
    .expect("it is sound");
    let store = Store::create(root, &plan).expect("a fresh directory");
    for (index, (cell, _)) in plan.cells().into_iter().enumerate() {
        if index == 3 {
            store
                .fail(&cell.id, Death::Killed, "signal: 9 (SIGKILL)".to_owned())
                .expect("a note");
            continue;
        }
        let outcome = match index {
            0 => Outcome::Diverged {
                stage: Stage::Training,
                step: 7,
            },
            _ => Outcome::Measured {},
        };
        let record = Record {
            schema: 1,
            cell,
            outcome,
            evaluations: Evaluations::default(),
            values: [("log_energy_distance".to_owned(), index as f64 / 3.0)].into(),
            curves: Default::default(),
            exhibit: None,
            maps: Vec::new(),
        };
        store
            .commit(
                &record,
                None,
                &Attempt {
                    seconds: 1.5,
                    ..Attempt::default()
                },
            )
            .expect("a commit");
    }
    store.close();
}

#[test]
fn a_report_is_written_from_what_is_there() {
    let folder = tempdir().expect("a temporary folder");
    let root = folder.path().join("a run");
    hand_made(&root);
    let output = run(folder.path(), &["report", "a run"]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        stderr(&output)
    );
    let text = stdout(&output);
    assert!(
        text.contains("INTERIM") && text.contains("EXPLORATORY"),
        "{text}"
    );
    assert!(
        text.lines()
            .last()
            .is_some_and(|line| line.starts_with("report: ") && line.ends_with("report.html"))
    );
    assert!(
        !text.contains('\u{1b}'),
        "no colours where nobody sees them"
    );
    let file = |name: &str| fs::read_to_string(root.join(name)).expect("it was written");
    let summary: Summary = serde_json::from_str(&file("summary.json")).expect("it is a summary");
    let arms = &summary.studies[0].blocks[0].arms;
    assert_eq!(arms.iter().map(|arm| arm.finished).sum::<u32>(), 3);
    assert_eq!(arms.iter().map(|arm| arm.diverged).sum::<u32>(), 1);
    assert_eq!(arms.iter().map(|arm| arm.failed).sum::<u32>(), 1);
    assert_eq!(summary.provenance.command, "cargo xtask report 'a run'");
    assert!(file("report.html").starts_with("<!doctype html>"));
    assert!(file("report.md").contains("INTERIM"));
    assert!(file("rows.csv").lines().count() > 1);

    let before = ["summary.json", "report.html", "report.md", "rows.csv"].map(file);
    assert!(run(folder.path(), &["report", "a run"]).status.success());
    assert_eq!(
        ["summary.json", "report.html", "report.md", "rows.csv"].map(file),
        before,
        "a report is a function"
    );
    assert!(!root.join("tensorboard").exists(), "nobody asked for it");
    let arguments = ["report", "a run", "--tensorboard"];
    assert!(run(folder.path(), &arguments).status.success());
    let events = "tensorboard/smoke/the 2×2/skip, noise on/events.out.tfevents.0.ablation";
    assert!(root.join(events).is_file());
}

#[test]
fn a_status_counts_the_cells() {
    let folder = tempdir().expect("a temporary folder");
    hand_made(folder.path());
    let output = run(folder.path(), &["status", "."]);
    assert_eq!(
        stdout(&output),
        "smoke: 4 of 5 cells done, 0 running, 1 failed, 0 missing\n"
    );
    let cells = stdout(&run(folder.path(), &["status", ".", "--cells"]));
    assert_eq!(cells.lines().count(), 6, "{cells}");
    assert!(
        cells.contains("failed 1 times: signal: 9 (SIGKILL)"),
        "{cells}"
    );
    assert!(cells.contains("diverged in training at step 7"), "{cells}");
}

#[test]
fn seeds_are_planned_from_the_usual_place_or_a_named_one() {
    let folder = tempdir().expect("a temporary folder");
    let bare = stdout(&run(folder.path(), &["power", "smoke"]));
    assert!(
        bare.contains("no pilot") && bare.contains("cargo xtask ablate smoke --seeds 4"),
        "{bare}"
    );
    hand_made(&folder.path().join("runs/smoke"));
    let usual = stdout(&run(folder.path(), &["power", "smoke"]));
    assert!(usual.contains("the pilot, runs/smoke (95 %)"), "{usual}");
    assert_eq!(
        usual,
        stdout(&run(
            folder.path(),
            &["power", "smoke", "--pilot", "runs/smoke"]
        ))
    );
    let line = refusal(
        &run(folder.path(), &["power", "smoke", "--pilot", "absent"]),
        2,
    );
    assert!(line.contains("absent holds no run"), "{line}");
    assert!(
        refusal(&run(folder.path(), &["power", "smokke"]), 2).contains("did you mean `smoke`?")
    );
}

#[test]
fn a_damaged_result_is_no_reason_to_stop() {
    let folder = tempdir().expect("a temporary folder");
    hand_made(folder.path());
    for entry in fs::read_dir(folder.path().join("cells"))
        .expect("cells")
        .flatten()
    {
        let result = entry.path().join("result.json");
        if result.exists() {
            fs::write(result, "{\"schema\":1,").expect("a damaged file");
        }
    }
    assert!(run(folder.path(), &["report", "."]).status.success());
    let status = stdout(&run(folder.path(), &["status", ".", "--cells"]));
    assert!(
        status.ends_with("0 of 5 cells done, 0 running, 5 failed, 0 missing\n"),
        "{status}"
    );
    assert!(status.contains("unreadable, will be run again"), "{status}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempdir().expect("a temporary folder");
    hand_made(folder.path());
    let mut child = ablate(folder.path())
        .args(["report", "."])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        stderr(&output)
    );
    assert!(folder.path().join("rows.csv").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let folder = tempdir().expect("a temporary folder");
    let full = fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = ablate(folder.path())
        .args(["ablate", "smoke", "--plan"])
        .stdout(full)
        .output()
        .expect("it starts");
    assert!(refusal(&output, 74).contains("standard output"));
}

#[test]
fn a_report_that_cannot_be_written_is_refused_with_its_path() {
    let folder = tempdir().expect("a temporary folder");
    hand_made(folder.path());
    // A folder where a file belongs: this binds root too, as permissions do not.
    fs::create_dir(folder.path().join("report.md")).expect("a folder");
    let line = refusal(&run(folder.path(), &["report", "."]), 2);
    assert!(line.contains("report.md"), "{line}");
}

#[test]
fn the_program_needs_no_home_and_no_terminal() {
    let folder = tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_ablate"))
        .args(["ablate", "smoke", "--plan"])
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "LD_LIBRARY_PATH"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", stderr(&output));
}
