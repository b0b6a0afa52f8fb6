//! The directory under hostile conditions.

use std::process::{Command, Stdio};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    fixture::{STUDY, plan},
    plan::Cell,
    record::{Evaluations, Outcome},
};

fn store() -> (TempDir, Store, Cell) {
    let folder = tempdir().expect("a temporary folder");
    let plan = plan(STUDY).expect("the study is sound");
    let store = Store::create(folder.path(), &plan).expect("a fresh directory");
    let (cell, _) = plan.cells().swap_remove(0);
    (folder, store, cell)
}

fn record(cell: &Cell, value: f64) -> Record {
    Record {
        schema: 1,
        cell: cell.clone(),
        outcome: Outcome::Measured {},
        evaluations: Evaluations::default(),
        values: [("log_energy_distance".to_owned(), value)].into(),
        curves: Default::default(),
        exhibit: None,
    }
}

fn value(store: &Store, id: &str) -> f64 {
    match store.state(id) {
        State::Done(record, _) => record.values["log_energy_distance"],
        other => panic!("{other:?}"),
    }
}

/// A process that lives until it is dropped.
struct Sleeper(std::process::Child);

impl Sleeper {
    fn new() -> Sleeper {
        Sleeper(
            Command::new("sleep")
                .arg("600")
                .stdin(Stdio::null())
                .spawn()
                .expect("sleep can be started"),
        )
    }

    fn claim(&self) -> String {
        let id = self.0.id();
        Process {
            id,
            start: started(id).map(|(_, start)| start),
        }
        .to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_first_commit_wins() {
    let (_folder, store, cell) = store();
    assert!(matches!(store.state(&cell.id), State::Missing));
    let slow = Attempt {
        seconds: 2.0,
        ..Attempt::default()
    };
    store.commit(&record(&cell, 1.0), &slow).expect("the first");
    store
        .commit(&record(&cell, 1.0), &Attempt::default())
        .expect("the same again");
    assert!(!store.has_conflict(&cell.id));
    store
        .commit(&record(&cell, 2.0), &Attempt::default())
        .expect("another one is too late");
    assert_eq!(value(&store, &cell.id), 1.0);
    assert!(store.has_conflict(&cell.id), "the second answer is kept");
    let State::Done(_, attempt) = store.state(&cell.id) else {
        panic!("it is done")
    };
    assert_eq!(attempt, slow, "the story is that of the result");
}

#[test]
fn a_result_needs_no_story() {
    let (folder, store, cell) = store();
    store
        .commit(&record(&cell, 1.0), &Attempt::default())
        .expect("a commit");
    fs::write(
        folder
            .path()
            .join("cells")
            .join(&cell.id)
            .join("attempt.json"),
        "{",
    )
    .expect("a torn file");
    assert_eq!(value(&store, &cell.id), 1.0);
}

#[test]
fn a_damaged_result_is_reported_and_can_be_forgotten() {
    let (folder, store, cell) = store();
    store
        .commit(&record(&cell, 1.0), &Attempt::default())
        .expect("a commit");
    let path = folder
        .path()
        .join("cells")
        .join(&cell.id)
        .join("result.json");
    let whole = fs::read(&path).expect("it is there");
    let other = String::from_utf8(whole.clone())
        .expect("JSON is text")
        .replace(&cell.id, &"0".repeat(32));
    let stranger = String::from_utf8(whole.clone()).expect("text").replacen(
        "\"schema\":1",
        "\"schema\":1,\"new\":2",
        1,
    );
    let bad = [
        &whole[..whole.len() / 2],
        b"",
        b"null",
        b"\xff\xff",
        other.as_bytes(),
        stranger.as_bytes(),
    ];
    for bytes in bad {
        fs::write(&path, bytes).expect("a damaged file");
        match store.state(&cell.id) {
            State::Corrupt(reason) => assert!(
                reason.contains("result.json") && !reason.contains('\n'),
                "{reason}"
            ),
            state => panic!("{state:?}"),
        }
        store.forget(&cell.id).expect("it can be removed");
        assert!(matches!(store.state(&cell.id), State::Missing));
        store
            .commit(&record(&cell, 3.0), &Attempt::default())
            .expect("a commit");
        assert_eq!(value(&store, &cell.id), 3.0);
    }
}

#[test]
fn failures_are_counted_until_a_result_or_a_new_run() {
    let (_folder, store, cell) = store();
    store.fail(&cell.id, "first".to_owned()).expect("a note");
    store.fail(&cell.id, "second".to_owned()).expect("a note");
    assert_eq!(store.failures(&cell.id), 2);
    assert!(matches!(store.state(&cell.id), State::Failed(failure) if failure.message == "second"));
    store.forget(&cell.id).expect("it can be removed");
    assert_eq!(store.failures(&cell.id), 0);
    store.fail(&cell.id, "third".to_owned()).expect("a note");
    store
        .commit(&record(&cell, 1.0), &Attempt::default())
        .expect("a commit");
    assert_eq!(
        value(&store, &cell.id),
        1.0,
        "a result outweighs what went before"
    );
}

#[test]
fn a_claim_is_held_by_a_living_process() {
    let (folder, store, cell) = store();
    let claim = folder.path().join("claims").join(&cell.id);
    let other = Sleeper::new();
    fs::write(&claim, other.claim()).expect("a claim");
    assert!(!store.claim(&cell.id).expect("no trouble"));
    assert_eq!(store.claimant(&cell.id), Some(other.0.id()));
    assert_eq!(store.claims_of(other.0.id()), [cell.id.as_str()]);
    store.sweep(&[]);
    assert!(claim.exists(), "the living keep theirs");
    drop(other);
    assert_eq!(store.claimant(&cell.id), None);
    assert!(
        store.claim(&cell.id).expect("no trouble"),
        "the claim of the dead is void"
    );
    assert_eq!(store.claimant(&cell.id), Some(std::process::id()));
    store.release(&cell.id);
    assert!(!claim.exists());
}

#[test]
fn a_number_that_another_process_bears_now_claims_nothing() {
    let (folder, store, cell) = store();
    let other = Sleeper::new();
    // After a restart of a container: the same number, another start.
    fs::write(
        folder.path().join("claims").join(&cell.id),
        format!("{} 1", other.0.id()),
    )
    .expect("a claim");
    if started(other.0.id()).is_some() {
        assert_eq!(store.claimant(&cell.id), None);
        assert!(store.claim(&cell.id).expect("no trouble"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_zombie_keeps_its_claim_until_it_is_buried() {
    let (folder, store, cell) = store();
    let mut other = Sleeper::new();
    fs::write(folder.path().join("claims").join(&cell.id), other.claim()).expect("a claim");
    other.0.kill().expect("it is ours");
    while Process::parse(&other.claim()).is_some_and(|process| process.is_alive()) {
        std::thread::yield_now();
    }
    assert!(
        !store.claim(&cell.id).expect("no trouble"),
        "its coordinator has not seen it yet"
    );
    assert_eq!(
        store.claimant(&cell.id),
        None,
        "but it is at work on nothing"
    );
    store.sweep(&[other.0.id()]);
    assert_eq!(store.claims_of(other.0.id()), [cell.id.as_str()]);
    store.sweep(&[]);
    assert!(store.claims_of(other.0.id()).is_empty());
}

#[test]
fn unreadable_claims_are_void() {
    let (folder, store, cell) = store();
    for text in ["", "no number", "99999999999999999999"] {
        fs::write(folder.path().join("claims").join(&cell.id), text).expect("a claim");
        assert!(store.claim(&cell.id).expect("no trouble"), "{text}");
        store.release(&cell.id);
    }
}

#[test]
fn a_directory_has_one_coordinator() {
    let (folder, store, _) = store();
    let plan = plan(STUDY).expect("the study is sound");
    Store::create(folder.path(), &plan).expect("the same process may");
    store.close();
    let other = Sleeper::new();
    fs::write(
        folder.path().join("claims").join(COORDINATOR),
        other.claim(),
    )
    .expect("a claim");
    let refused = Store::create(folder.path(), &plan);
    assert!(matches!(refused, Err(Error::Busy { process, .. }) if process == other.0.id()));
    drop(other);
    Store::create(folder.path(), &plan).expect("it is gone");
}

#[test]
fn a_directory_without_a_readable_plan_is_no_run() {
    let (folder, store, _) = store();
    let (_, found) = Store::open(folder.path()).expect("a run");
    assert_eq!(found, plan(STUDY).expect("the study is sound"));
    let empty = tempdir().expect("a temporary folder");
    for path in [empty.path().to_owned(), empty.path().join("absent")] {
        assert!(matches!(Store::open(&path), Err(Error::NoRun { .. })));
    }
    fs::write(store.root().join("plan.json"), "{}").expect("a bad plan");
    assert!(matches!(
        Store::open(folder.path()),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn a_place_that_cannot_be_made_is_refused() {
    let plan = plan(STUDY).expect("the study is sound");
    let folder = tempdir().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    for place in [
        folder.path().join("file"),
        folder.path().join("file/below"),
        "/proc/nothing".into(),
    ] {
        assert!(
            matches!(Store::create(&place, &plan), Err(Error::Files(_))),
            "{}",
            place.display()
        );
    }
}

#[test]
fn last_words_are_the_panic_or_the_end() {
    let (folder, store, _) = store();
    let words = |text: &str| {
        fs::write(folder.path().join("workers/w.log"), text).expect("a log");
        store.last_words("w")
    };
    assert_eq!(words(""), "");
    assert_eq!(words("ablate: the disk is full\n"), "the disk is full");
    assert_eq!(words("one\n\ntwo\nthree\nfour\n"), "two | three | four");
    let panic = "noise\nthread 'main' panicked at src/x.rs:1:2:\nno such thing\nstack backtrace:\n   0: a\n   1: b\n";
    assert_eq!(
        words(panic),
        "thread 'main' panicked at src/x.rs:1:2: | no such thing"
    );
    let torch = "thread 'main' panicked at x:\nTorch(\"no such size\\nException raised from f at g\\nframe #0: h\")\n";
    assert_eq!(
        words(torch),
        "thread 'main' panicked at x: | Torch(\"no such size"
    );
    assert_eq!(
        words(&"ä".repeat(2 * LONGEST_WORDS)).chars().count(),
        LONGEST_WORDS + 1
    );
    assert_eq!(store.last_words("absent"), "");
}

#[test]
fn silent_logs_are_dropped_and_others_kept() {
    let (folder, store, _) = store();
    drop(store.worker_log("silent").expect("a log"));
    fs::write(folder.path().join("workers/loud.log"), "words").expect("a log");
    store.sweep_logs();
    assert_eq!(store.names("workers"), ["loud.log"]);
}
