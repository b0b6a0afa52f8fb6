//! Questions about runs: `diff`, `explain`, `status --watch`.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use tempfile::tempdir;

use crate::{
    common::{ablate, refusal, run, stderr, stdout},
    engines::frozen,
    process::{CELLS, Running, SHORT, claims, endless, results, signal, undisturbed, with},
};

#[test]
fn two_runs_differ_in_plan_or_results_or_not_at_all() {
    let folder = tempdir().expect("a temporary folder");
    let shorter = ["--steps", "10"];
    for (name, more) in [("run", &[][..]), ("again", &[]), ("shorter", &shorter)] {
        let output = run(folder.path(), &with(&with(&SHORT, more), &["--out", name]));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let diff = |a: &str, b: &str| {
        let output = run(folder.path(), &["diff", a, b]);
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
        (output.status.code(), stdout(&output))
    };
    let none = (Some(0), "no difference\n".to_owned());
    assert_eq!(diff("run", "run"), none);
    assert_eq!(diff("run", "again"), none);

    let (status, said) = diff("run", "shorter");
    assert_eq!(status, Some(1));
    let is_plan = |line: &str| line.starts_with("plan: ") && line.contains("steps: 20 → 10");
    assert!(said.lines().any(is_plan), "{said}");
    for name in ["run", "shorter"] {
        let alone = format!("{CELLS} results in {name} alone");
        assert!(said.lines().any(|line| line == alone), "{said}");
    }

    // One number, as another program would have found it.
    let root = folder.path().join("again");
    let (id, bytes) = results(&root).pop_first().expect("a result");
    let mut record: serde_json::Value = serde_json::from_slice(&bytes).expect("a record");
    record["values"]["log_energy_distance"] = 123.5.into();
    let other = serde_json::to_vec(&record).expect("plain data");
    let story = |bytes: &[u8]| format!("attempt-{}.json", &blake3::hash(bytes).to_hex()[..16]);
    let cell = root.join("cells").join(&id);
    fs::write(cell.join("result.json"), &other).expect("a result");
    fs::rename(cell.join(story(&bytes)), cell.join(story(&other))).expect("its story");
    let (status, said) = diff("run", "again");
    assert_eq!(status, Some(1));
    assert!(
        said.starts_with(&format!(
            "cell {}: values / log_energy_distance: ",
            &id[..10]
        )) && said.ends_with(" → 123.5\n")
            && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn a_cell_is_explained_at_every_stage() {
    let (folder, _) = frozen(&SHORT, "1");
    let ids: Vec<String> = undisturbed(&SHORT).into_keys().collect();
    let explain = |given: &str| run(folder.path(), &["explain", "run", given]);
    let said = |given: &str| {
        let output = explain(given);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let missing = said(&ids[0][..10]);
    assert!(missing.contains(&ids[0]), "{missing}");
    assert!(
        missing.lines().any(|line| line == "state     missing"),
        "{missing}"
    );
    assert!(missing.contains("arm       "), "{missing}");

    let cell = folder.path().join("run/cells").join(&ids[0]);
    fs::create_dir_all(&cell).expect("a folder");
    let notes = r#"{"crashes":1,"kills":2,"message":"signal: 9"}"#;
    fs::write(cell.join("failure.json"), notes).expect("notes");
    let failed = said(&ids[0]);
    let line = "state     failed (1 crashes, 2 kills): signal: 9";
    assert!(failed.lines().any(|found| found == line), "{failed}");

    // What no cell begins with, and what all of them do.
    for (given, count) in [("no such cell", 0), ("", CELLS)] {
        let line = refusal(&explain(given), 2);
        let words = format!("{count} cells of run begin with `{given}`");
        assert!(
            line.contains(&words) && line.contains("ablate status run --cells"),
            "{line}"
        );
    }
}

#[test]
fn a_claimed_cell_is_explained_and_a_run_is_watched_until_it_ends() {
    let folder = tempdir().expect("a temporary folder");
    let mut running = Running::start(&folder, &with(&endless(&folder), &["--jobs", "1"]));
    let (id, worker) = running.until("a worker", |root| claims(root).pop());
    let all = stdout(&run(folder.path(), &["explain", "run", &id]));
    let line = format!("claim     process {worker}");
    assert!(all.lines().any(|found| found == line), "{all}");

    let watch = ["status", "run", "--watch"];
    let mut watching = ablate(folder.path())
        .args(watch)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut pipe = BufReader::new(watching.stdout.take().expect("a pipe"));
    let (mut first, mut rest) = (String::new(), String::new());
    pipe.read_line(&mut first).expect("a line");
    assert!(first.contains(" 1 running, "), "{first}");
    assert!(
        watching.try_wait().expect("it is ours").is_none(),
        "somebody is at work"
    );
    signal("INT", running.id());
    running.wait();
    let begun = Instant::now();
    while watching.try_wait().expect("it is ours").is_none() {
        if Duration::from_secs(60) < begun.elapsed() {
            let _ = watching.kill();
            panic!("nobody is at work, and it goes on");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(watching.wait().expect("it ended").success());
    pipe.read_to_string(&mut rest).expect("the rest");
    let last = rest.lines().last().expect("another line");
    assert!(last.contains(" 0 running, "), "{last}");
    let said = format!("{first}{rest}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "{said}");
    assert!(!said.contains(['\u{1b}', '\r']), "{said:?}");

    // Nobody is at work any more, though cells are open: there is nothing to wait for.
    let begun = Instant::now();
    let idle = run(folder.path(), &watch);
    assert!(begun.elapsed() < Duration::from_secs(2), "it waited");
    assert_eq!(stdout(&idle), format!("{last}\n"));
}
