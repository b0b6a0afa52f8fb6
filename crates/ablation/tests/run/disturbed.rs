//! Killed and interrupted runs.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::tempdir;

use crate::{
    common::{ablate, refusal, run, stderr, stdout},
    process::{
        CELLS, LONG, Line, Running, claims, endless, last_line, midway, results, signal,
        undisturbed, with,
    },
};

#[test]
fn killed_workers_and_coordinators_change_no_byte() {
    let folder = tempdir().expect("a temporary folder");
    let arguments = with(&LONG, &["--jobs", "2"]);
    let mut running = Running::start(&folder, &arguments);
    let (cell, worker) = running.until("a cell in the middle", midway);
    signal("KILL", worker);
    running.until("the note of the failure", |root| {
        let cell = root.join("cells").join(&cell);
        (cell.join("failure.json").exists() || cell.join("result.json").exists()).then_some(())
    });
    running.until("another cell in the middle", midway);
    signal("KILL", running.id());
    let killed = running.wait();
    assert!(!killed.status.success());

    let output = run(folder.path(), &with(&arguments, &["--out", "run"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let line = last_line(&output);
    assert_eq!((line.done, line.failed), (2 * CELLS, 0));
    assert!(
        line.run_now < 2 * CELLS,
        "what was finished before the end was kept"
    );
    assert!(
        results(&folder.path().join("run")) == undisturbed(&LONG),
        "results differ after kills"
    );
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    for name in ["INT", "TERM"] {
        let folder = tempdir().expect("a temporary folder");
        let mut running = Running::start(&folder, &with(&LONG, &["--jobs", "2"]));
        let workers = running.until("a cell in the middle", |root| {
            midway(root).map(|_| claims(root))
        });
        signal(name, running.id());
        let output = running.wait();
        let line = refusal(&output, 130);
        assert!(
            line.contains("interrupted: ") && line.contains("run the same command again to go on"),
            "{line}"
        );
        for (_, worker) in workers {
            assert!(
                !Path::new(&format!("/proc/{worker}")).exists(),
                "a worker outlived its coordinator"
            );
        }
        let before = results(&folder.path().join("run"));
        assert!(before.len() < 2 * CELLS as usize);
        let output = run(folder.path(), &with(&LONG, &["--out", "run"]));
        let line = last_line(&output);
        assert_eq!(
            (line.done, line.run_now),
            (2 * CELLS, 2 * CELLS - before.len() as u32)
        );
        assert!(
            results(&folder.path().join("run")) == undisturbed(&LONG),
            "results differ after SIG{name}"
        );
    }
}

#[test]
fn workers_end_when_their_coordinator_is_gone() {
    let folder = tempdir().expect("a temporary folder");
    let mut running = Running::start(&folder, &with(&endless(&folder), &["--jobs", "2"]));
    let workers = running.until("two workers", |root| {
        Some(claims(root)).filter(|found| found.len() == 2)
    });
    signal("KILL", running.id());
    running.wait();
    let begun = Instant::now();
    for (_, worker) in workers {
        // A zombie that nobody waits for is as good as gone.
        let at_work = || {
            let state = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
            state
                .rsplit_once(") ")
                .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        };
        while at_work() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "worker {worker} goes on unseen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_cell_that_kills_its_workers_is_given_up_and_the_rest_goes_on() {
    let folder = tempdir().expect("a temporary folder");
    let arguments = with(&LONG, &["--jobs", "1"]);
    let mut running = Running::start(&folder, &arguments);
    let (cell, worker) = running.until("a cell in the middle", midway);
    signal("KILL", worker);
    let mut killed = vec![worker];
    for what in ["the second try", "the third try"] {
        let again = running.until(what, |root| {
            claims(root)
                .into_iter()
                .find(|(id, process)| *id == cell && !killed.contains(process))
                .map(|(_, process)| process)
        });
        signal("KILL", again);
        killed.push(again);
    }
    let output = running.wait();
    let line = refusal(&output, 1);
    let said = format!("1 of {} cells have no result", 2 * CELLS);
    assert!(line.contains(&said), "{line}");
    assert_eq!(
        last_line(&output),
        Line {
            cells: 2 * CELLS,
            done: 2 * CELLS - 1,
            run_now: 2 * CELLS - 1,
            diverged: 0,
            failed: 1
        }
    );
    let told = stderr(&output);
    assert!(
        told.contains("it is tried again") && told.contains("it is given up"),
        "{told}"
    );
    assert!(stdout(&output).contains("INCOMPLETE"));
    let status = stdout(&run(folder.path(), &["status", "run", "--cells"]));
    assert!(
        status.contains("failed 3 times: signal: 9 (SIGKILL)"),
        "{status}"
    );

    let output = run(folder.path(), &with(&arguments, &["--out", "run"]));
    assert_eq!(
        last_line(&output),
        Line {
            cells: 2 * CELLS,
            done: 2 * CELLS,
            run_now: 1,
            diverged: 0,
            failed: 0
        }
    );
    assert!(
        results(&folder.path().join("run")) == undisturbed(&LONG),
        "results differ after a failure"
    );
}

#[test]
fn a_worker_that_is_told_to_stop_keeps_what_it_did() {
    let folder = tempdir().expect("a temporary folder");
    let endless = endless(&folder);
    let mut running = Running::start(&folder, &with(&endless, &["--jobs", "1"]));
    let steps = |root: &Path, cell: &str| -> Vec<String> {
        let entries = fs::read_dir(root.join("cells").join(cell))
            .into_iter()
            .flatten();
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut kept: Vec<String> = names
            .filter(|name| name.ends_with(".safetensors"))
            .collect();
        kept.sort();
        kept
    };
    // As a batch system does before it takes the machine away.
    let (cell, worker) = running.until("a worker", |root| claims(root).pop());
    std::thread::sleep(Duration::from_millis(300));
    signal("USR1", worker);
    let first = running.until("a checkpoint", |root| steps(root, &cell).pop());
    let (_, next) = running.until("another worker", |root| {
        claims(root)
            .into_iter()
            .find(|(id, process)| *id == cell && *process != worker)
    });
    std::thread::sleep(Duration::from_millis(300));
    signal("USR1", next);
    let second = running.until("a later one", |root| {
        steps(root, &cell).pop().filter(|last| *last != first)
    });
    assert!(first < second, "{first} {second}");
    signal("INT", running.id());
    let output = running.wait();
    assert!(!stderr(&output).contains("died"), "{}", stderr(&output));
    let status = stdout(&run(folder.path(), &["status", "run", "--cells"]));
    assert!(status.contains("kept at sampling, step "), "{status}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_sleeps_holds_nobody_up() {
    let folder = tempdir().expect("a temporary folder");
    let mut running = Running::start(&folder, &with(&LONG, &["--jobs", "1"]));
    let (_, worker) = running.until("a cell in the middle", midway);
    signal("STOP", worker);
    // One worker was asked for and sleeps; another takes its place and its cell. Then it is sent home.
    let output = running.wait();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(last_line(&output).done, 2 * CELLS);
    assert!(
        results(&folder.path().join("run")) == undisturbed(&LONG),
        "results differ after a sleep"
    );
}

#[test]
fn a_result_that_is_damaged_while_others_are_made_is_made_again() {
    let folder = tempdir().expect("a temporary folder");
    let mut running = Running::start(&folder, &with(&LONG, &["--jobs", "1"]));
    let done = running.until("a result", |root| {
        midway(root).and_then(|_| results(root).into_keys().next())
    });
    let root = folder.path().join("run");
    fs::write(root.join("cells").join(&done).join("result.json"), "{").expect("damage");
    let output = running.wait();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("run again: ").count(), 1);
    assert!(results(&root) == undisturbed(&LONG), "results differ");
}

/// Says another time of day at each call: the beginning of 1970, before it, and centuries ahead.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
const JUMPING_CLOCK: &str = r#"
use std::sync::atomic::{AtomicUsize, Ordering};
unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
}
const NUMBER: i64 = if cfg!(target_arch = "x86_64") { 228 } else { 113 };
static CALLS: AtomicUsize = AtomicUsize::new(0);
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: i32, out: *mut [i64; 2]) -> i32 {
    let answer = unsafe { syscall(NUMBER, clock as i64, out) } as i32;
    if clock == 0 {
        let seconds = [0, -86_400, 1 << 33, 1_700_000_000];
        unsafe { (*out)[0] = seconds[CALLS.fetch_add(1, Ordering::Relaxed) % seconds.len()] };
    }
    answer
}
"#;

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#[test]
fn a_clock_that_jumps_changes_no_byte() {
    let folder = tempdir().expect("a temporary folder");
    fs::write(folder.path().join("clock.rs"), JUMPING_CLOCK).expect("a source");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args([
            "--edition=2024",
            "--crate-type=cdylib",
            "-Cpanic=abort",
            "clock.rs",
        ])
        .current_dir(folder.path())
        .output()
        .expect("the compiler that built this test");
    assert!(built.status.success(), "{}", stderr(&built));
    let output = ablate(folder.path())
        .args(with(
            &LONG,
            &["--jobs", "2", "--checkpoint", "0.02", "--out", "run"],
        ))
        .env("LD_PRELOAD", folder.path().join("libclock.so"))
        .output()
        .expect("the program can be started");
    assert_eq!(last_line(&output).done, 2 * CELLS, "{}", stderr(&output));
    let root = folder.path().join("run");
    assert!(results(&root) == undisturbed(&LONG), "results differ");
    // It did jump: no result was made today.
    let cells = fs::read_dir(root.join("cells")).expect("cells").flatten();
    let files = cells.flat_map(|cell| fs::read_dir(cell.path()).expect("a cell").flatten());
    let stories = files.filter(|file| file.file_name().to_string_lossy().starts_with("attempt-"));
    for story in stories {
        let text = fs::read_to_string(story.path()).expect("a story");
        let (_, time) = text.split_once("\"finished_at\":").expect("a time");
        let time = time.trim_end_matches(['}', '\n']);
        assert!(["0", "8589934592", "1700000000"].contains(&time), "{text}");
    }
    assert!(run(folder.path(), &["verify", "run"]).status.success());
}
