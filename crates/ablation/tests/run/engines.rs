//! Cells that other systems start: worker I of N, at least once.

use std::{
    fs,
    process::{Command, Stdio},
};

use tempfile::{TempDir, tempdir};

use crate::{
    common::{ablate, refusal, run, stderr, stdout},
    process::{CELLS, LONG, SHORT, last_line, results, undisturbed, with},
};

/// A run whose plan is frozen and whose cells nobody has begun; what was said.
pub(crate) fn frozen(arguments: &[&str], jobs: &str) -> (TempDir, String) {
    let folder = tempdir().expect("a temporary folder");
    let output = run(
        folder.path(),
        &with(
            arguments,
            &["--engine", "other", "--jobs", jobs, "--out", "run"],
        ),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(results(&folder.path().join("run")).is_empty());
    (folder, stdout(&output))
}

#[allow(
    clippy::print_stdout,
    reason = "which program was used is worth knowing"
)]
#[test]
fn gnu_parallel_or_xargs_runs_the_line_that_is_printed() {
    let (folder, said) = frozen(&LONG, "3");
    let line = said.lines().find(|line| line.contains("| "));
    let mut line = line.expect("a line").trim().to_owned();
    assert!(line.starts_with("seq 0 2 | "), "{line}");
    let has_parallel = Command::new("parallel")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !has_parallel.is_ok_and(|status| status.success()) {
        assert!(line.contains("parallel "), "{line}");
        line = line.replace("parallel ", "xargs -P 3 -I{} ");
    }
    println!("{line}");
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        results(&folder.path().join("run")) == undisturbed(&LONG),
        "results differ"
    );
    let report = run(folder.path(), &["report", "run"]);
    assert!(report.status.success(), "{}", stderr(&report));
    assert!(!stdout(&report).contains("INTERIM"));
    // Nothing is left to do for another engine.
    let again = run(folder.path(), &with(&LONG, &["--out", "run"]));
    assert_eq!(last_line(&again).run_now, 0);
}

#[test]
fn the_readme_shows_the_line_that_is_printed() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(readme).expect("the workspace has one");
    let (command, shown) = readme
        .lines()
        .zip(readme.lines().skip(1))
        .find(|(_, line)| line.starts_with("seq 0 "))
        .expect("the README shows a line for GNU parallel");
    let folder = tempdir().expect("a temporary folder");
    let exact = include_str!("../common/exact.toml");
    let named = exact.replace("name = \"exact\"", "name = \"my-study\"");
    assert_ne!(named, exact);
    fs::write(folder.path().join("my-study.toml"), named).expect("a study");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words[..2], ["cargo", "xtask"], "{command}");
    let output = run(folder.path(), &words[2..]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    let printed = said.lines().find_map(|line| line.trim().split_once(" | "));
    let (numbers, rest) = printed.expect("a line");
    // With libtorch its folder stands before the program.
    let parallel = &rest[rest.find("parallel ").expect("what starts the workers")..];
    let kept = fs::read_dir(folder.path().join("runs/my-study/bin")).expect("a folder");
    let build = kept.flatten().next().expect("the program was kept").path();
    let program = build.join("ablate").canonicalize().expect("it is there");
    let program = program.to_str().expect("text");
    let wanted = shown.replace("runs/my-study/bin/…/ablate", program);
    assert_ne!(wanted, shown);
    assert_eq!(format!("{numbers} | {parallel}"), wanted);
}

#[test]
fn a_worker_that_is_started_twice_does_no_harm() {
    let (folder, _) = frozen(&LONG, "2");
    let start = |task: &str| {
        ablate(folder.path())
            .args(["worker", "run", "--task", task, "--of", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started")
    };
    let workers = ["0", "1", "0", "1", "1"].map(start);
    for worker in workers {
        let output = worker.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert!(
        results(&folder.path().join("run")) == undisturbed(&LONG),
        "results differ"
    );
    let verdict = run(folder.path(), &["verify", "run"]);
    assert!(verdict.status.success(), "{}", stdout(&verdict));
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_sees_to_its_own_cells_whatever_another_machine_has_claimed() {
    let (folder, _) = frozen(&SHORT, "2");
    let root = folder.path().join("run");
    let status = stdout(&run(folder.path(), &["status", "run", "--cells"]));
    assert_eq!(
        status.matches(" missing").count(),
        CELLS as usize + 1,
        "{status}"
    );
    let lock = fs::read_to_string(root.join("lock.json")).expect("a plan");
    assert!(!lock.is_empty());
    // Every cell is claimed by a process of a machine that nobody will see again.
    let whole = undisturbed(&SHORT);
    for id in whole.keys() {
        fs::write(root.join("claims").join(id), "1 1 lost/boot/1 9_0").expect("a claim");
    }
    let status = stdout(&run(folder.path(), &["status", "run", "--cells"]));
    assert_eq!(
        status
            .matches("claimed by task 9_0, process 1 on lost")
            .count(),
        CELLS as usize,
        "{status}"
    );
    let worked = run(
        folder.path(),
        &["worker", "run", "--task", "1", "--of", "2"],
    );
    assert!(worked.status.success(), "{}", stderr(&worked));
    assert_eq!(results(&root).len(), 2, "its own, and none of the others");
    let worked = run(
        folder.path(),
        &["worker", "run", "--task", "0", "--of", "2"],
    );
    assert!(worked.status.success(), "{}", stderr(&worked));
    assert!(results(&root) == whole, "results differ");
    // A coordinator sees to all of them.
    let id = whole.keys().next().expect("a cell");
    fs::remove_file(root.join("cells").join(id).join("result.json")).expect("a result");
    fs::write(root.join("claims").join(id), "1 1 lost/boot/1 9_0").expect("a claim");
    let output = run(folder.path(), &with(&SHORT, &["--out", "run"]));
    assert_eq!(last_line(&output).run_now, 1, "{}", stderr(&output));
}

#[test]
fn impossible_tasks_are_refused() {
    let (folder, _) = frozen(&SHORT, "2");
    let worker = ["worker", "run", "--task", "2", "--of", "2"];
    let line = refusal(&run(folder.path(), &worker), 2);
    assert!(line.contains("are 0 to 1"), "{line}");
    let local = with(&SHORT, &["--partition", "low", "--out", "run"]);
    let line = refusal(&run(folder.path(), &local), 2);
    assert!(line.contains("--engine slurm"), "{line}");
    let short = with(
        &SHORT,
        &["--engine", "slurm", "--time", "3", "--out", "run"],
    );
    let line = refusal(&run(folder.path(), &short), 2);
    assert!(line.contains("--warning"), "{line}");
    let line = refusal(&run(folder.path(), &["gather", "run"]), 2);
    assert!(line.contains("--engine slurm"), "{line}");
}

#[test]
fn without_slurm_it_is_said_and_the_run_goes_on_elsewhere() {
    let folder = tempdir().expect("a temporary folder");
    let slurm = with(&SHORT, &["--engine", "slurm", "--out", "run"]);
    let output = ablate(folder.path())
        .args(slurm)
        .env("PATH", folder.path())
        .output()
        .expect("the program can be started");
    let line = refusal(&output, 2);
    assert!(line.contains("sbatch") && line.contains("PATH"), "{line}");
    let local = run(folder.path(), &with(&SHORT, &["--out", "run"]));
    assert_eq!(last_line(&local).run_now, CELLS, "{}", stderr(&local));
}

/// Between the steps of the second sampler nobody asks whether to go on.
#[test]
fn a_cell_without_a_step_is_ended_and_given_up() {
    let folder = tempdir().expect("a temporary folder");
    let exact = include_str!("../common/exact.toml");
    let stuck = exact.replace("ode = { steps = 10 }", "ode = { steps = 40_000_000 }");
    assert_ne!(exact, stuck);
    fs::write(folder.path().join("stuck.toml"), stuck).expect("a study");
    let study = ["ablate", "stuck.toml", "--seeds", "1", "--jobs", "2"];
    let output = run(
        folder.path(),
        &with(&study, &["--hung", "3", "--out", "run"]),
    );
    let line = refusal(&output, 1);
    // The other arms have no second sampler.
    assert!(line.contains("2 of 4 cells have no result"), "{line}");
    let told = stderr(&output);
    assert!(told.contains("no step was made in 3 looks"), "{told}");
    let status = stdout(&run(folder.path(), &["status", "run", "--cells"]));
    let words = "failed 2 times: signal: 6 (SIGABRT): no step was made";
    assert_eq!(status.matches(words).count(), 2, "{status}");
}
