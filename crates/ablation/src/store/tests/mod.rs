//! The directory under hostile conditions.

mod claims;
mod damage;
mod rounds;

use tempfile::{TempDir, tempdir};

use super::{logs::LONGEST_WORDS, *};
use crate::{
    checkpoint::{Checkpoint, Place},
    fixture::{STUDY, plan, record, study_with},
    record::Death,
};

fn store() -> (TempDir, Store, Cell) {
    let folder = tempdir().expect("a temporary folder");
    let plan = plan(STUDY).expect("the study is sound");
    let store = Store::create(folder.path(), &plan).expect("a fresh directory");
    let (cell, _) = plan.cells().swap_remove(0);
    (folder, store, cell)
}

fn value(store: &Store, id: &str) -> f64 {
    match store.state(id) {
        State::Done(record, _) => record.values["log_energy_distance"],
        other => panic!("{other:?}"),
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
    store
        .commit(&record(&cell, 1.0), None, &slow)
        .expect("the first");
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("the same again");
    assert!(store.conflicts(&cell.id).is_empty());
    store
        .commit(&record(&cell, 2.0), None, &Attempt::default())
        .expect("another one is too late");
    assert_eq!(value(&store, &cell.id), 1.0);
    assert_eq!(
        store.conflicts(&cell.id),
        [Ok(record(&cell, 2.0))],
        "the second answer is kept"
    );
    let State::Done(_, attempt) = store.state(&cell.id) else {
        panic!("it is done")
    };
    assert_eq!(attempt, slow, "the story is that of the result");
}

#[test]
fn a_damaged_result_is_no_answer() {
    let (folder, store, cell) = store();
    let commit = || store.commit(&record(&cell, 1.0), None, &Attempt::default());
    commit().expect("the first");
    let whole = fs::read(file(&folder, &cell, "result.json")).expect("a result");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&[][..], &whole[..whole.len() / 2], &flipped] {
        fs::write(file(&folder, &cell, "result.json"), damaged).expect("a bad disk");
        commit().expect("another worker, who began before that");
        assert_eq!(value(&store, &cell.id), 1.0);
        assert_eq!(
            fs::read(file(&folder, &cell, "result.damaged")).expect("kept"),
            damaged
        );
        assert!(store.conflicts(&cell.id).is_empty());
    }
}

/// The path of a file of a cell.
fn file(folder: &TempDir, cell: &Cell, name: &str) -> PathBuf {
    folder.path().join("cells").join(&cell.id).join(name)
}

#[test]
fn every_cut_and_every_flipped_bit_of_a_result_is_seen() {
    let (folder, store, cell) = store();
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("a commit");
    let path = file(&folder, &cell, "result.json");
    let whole = fs::read(&path).expect("it is there");
    let damaged = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).expect("a damaged file");
        match store.state(&cell.id) {
            State::Corrupt(reason) => assert!(
                reason.contains("result.json") && !reason.contains('\n'),
                "{reason}"
            ),
            state => panic!("{what}: {state:?}"),
        }
    };
    for length in 0..whole.len() {
        damaged(&whole[..length], &format!("cut to {length}"));
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        damaged(&bytes, &format!("bit of byte {place}"));
    }
    // Numbers that JSON or we do not know, and a whole result of another cell.
    let text = String::from_utf8(whole.clone()).expect("JSON is text");
    for number in ["NaN", "1e999", "null", "\"1.0\"", "Infinity"] {
        damaged(
            text.replace(":1.0", &format!(":{number}")).as_bytes(),
            number,
        );
    }
    damaged(
        text.replace(&cell.id, &"0".repeat(32)).as_bytes(),
        "stranger",
    );
    store.forget(&cell.id).expect("it can be set aside");
    assert!(matches!(store.state(&cell.id), State::Missing));
    assert!(file(&folder, &cell, "result.damaged").exists());
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("a commit");
    assert_eq!(fs::read(&path).expect("it is there"), whole);
    assert_eq!(value(&store, &cell.id), 1.0);
}

#[test]
fn a_whole_result_in_the_wrong_place_is_seen() {
    let (folder, store, cell) = store();
    let (other, _) = plan(STUDY)
        .expect("the study is sound")
        .cells()
        .swap_remove(1);
    store
        .commit(&record(&other, 1.0), None, &Attempt::default())
        .expect("a commit");
    let from = folder.path().join("cells").join(&other.id);
    fs::rename(from, folder.path().join("cells").join(&cell.id)).expect("a mix-up");
    let State::Corrupt(reason) = store.state(&cell.id) else {
        panic!("it was taken for the cell's")
    };
    assert!(reason.contains(&other.id), "{reason}");
}

#[test]
fn failures_are_counted_by_class_until_a_result_or_a_new_run() {
    let (_folder, store, cell) = store();
    let fail = |death| {
        store
            .fail(&cell.id, death, "why".to_owned())
            .expect("a note")
    };
    assert!(!fail(Death::Killed).is_final());
    assert!(!fail(Death::Crash).is_final());
    assert!(!fail(Death::Killed).is_final());
    assert!(fail(Death::Killed).is_final(), "three kills");
    assert!(store.is_given_up(&cell.id));
    assert!(matches!(store.state(&cell.id), State::Failed(failure) if failure.attempts() == 4));
    store.pardon(&cell.id).expect("it can be removed");
    assert_eq!(store.failure(&cell.id), None);
    assert!(!fail(Death::Crash).is_final());
    assert!(fail(Death::Crash).is_final(), "two crashes");
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("a commit");
    assert_eq!(
        value(&store, &cell.id),
        1.0,
        "a result outweighs what went before"
    );
}

fn checkpoint(cell: &Cell, program: &str, step: u64) -> Checkpoint {
    Checkpoint {
        program: program.to_owned(),
        record: record(cell, 1.0),
        place: Place::Training { step },
        seconds: 0.5,
        arrays: Default::default(),
    }
}

#[test]
fn the_farthest_checkpoint_that_reads_is_taken() {
    let (folder, store, cell) = store();
    let step = |program: &str| match store.resume(&cell.id, program) {
        (Some(found), aside) => match found.place {
            Place::Training { step } => (Some(step), aside.len()),
            place => panic!("{place:?}"),
        },
        (None, aside) => (None, aside.len()),
    };
    assert_eq!(step("p"), (None, 0));
    for at in [5, 9, 10] {
        store
            .keep(&checkpoint(&cell, "p", at))
            .expect("a checkpoint");
    }
    store
        .keep(&checkpoint(&cell, "q", 99))
        .expect("another program's");
    assert_eq!(step("p"), (Some(10), 0));
    assert_eq!(step("q"), (Some(99), 0));
    assert_eq!(step("r"), (None, 0), "another build begins anew");
    assert_eq!(
        store.checkpoint_words(&cell.id).len(),
        3,
        "two of p, one of q"
    );

    // Clocks decide nothing: the farthest is the oldest file now.
    let farthest = file(
        &folder,
        &cell,
        &format!(
            "checkpoint-p-{}.safetensors",
            Place::Training { step: 10 }.name()
        ),
    );
    let open = fs::File::options()
        .write(true)
        .open(&farthest)
        .expect("it is there");
    open.set_modified(std::time::UNIX_EPOCH)
        .expect("a clock that jumped");
    assert_eq!(step("p"), (Some(10), 0));

    let mut bytes = fs::read(&farthest).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&farthest, bytes).expect("a flipped bit");
    assert_eq!(step("p"), (Some(9), 1), "the one before it");
    assert_eq!(
        step("p"),
        (Some(9), 0),
        "what was set aside is not met again"
    );
    assert!(farthest.with_extension("damaged").exists());

    // A whole checkpoint of another cell.
    let (other, _) = plan(STUDY)
        .expect("the study is sound")
        .cells()
        .swap_remove(1);
    fs::write(&farthest, checkpoint(&other, "p", 10).to_bytes()).expect("a mix-up");
    assert_eq!(step("p"), (Some(9), 1));

    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("a commit");
    assert_eq!(store.checkpoint_words(&cell.id), [], "a result needs none");
}

#[test]
fn a_checkpoint_that_a_late_worker_left_is_no_finding() {
    let (folder, store, cell) = store();
    let plan = plan(STUDY).expect("the study is sound");
    let findings = || crate::inspect::verify(&store, &plan).expect("it reads").0;
    store
        .keep(&checkpoint(&cell, "program", 3))
        .expect("it is kept");
    let names = store.names(&format!("cells/{}", cell.id));
    fs::write(file(&folder, &cell, &names[0]), "half").expect("damage");
    assert_eq!(findings().len(), 1, "it is what the cell would go on from");
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("it is committed");
    fs::write(file(&folder, &cell, &names[0]), "half").expect("a late worker's");
    assert!(findings().is_empty());
    assert_eq!(store.garbage(false).expect("a plan").files.len(), 1);
}

#[test]
fn a_plan_is_frozen_once_a_cell_is_finished() {
    let (folder, store, cell) = store();
    let other = plan(&study_with("delta = 0.1", "delta = 0.2")).expect("the study is sound");
    let frozen = || Store::open(folder.path()).expect("a run").1.studies[0].contrasts[0].delta;
    store.close();
    Store::create(folder.path(), &other)
        .expect("nothing is finished yet")
        .close();
    assert_eq!(frozen(), 0.2);
    let first = plan(STUDY).expect("the study is sound");
    let store = Store::create(folder.path(), &first).expect("nor now");
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("a commit");
    store.close();

    let refused = Store::create(folder.path(), &other).expect_err("it is frozen");
    let message = refused.to_string();
    for part in [
        "1 of its cells",
        "plane / noise / delta: 0.1 → 0.2",
        "--out",
        "--amend",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(frozen(), 0.1);
    let words = plan(&study_with("A plane", "The plane")).expect("the study is sound");
    Store::create(folder.path(), &words)
        .expect("words are no change")
        .close();

    let store = Store::amend(folder.path(), &other, "a slip").expect("on the record");
    store.close();
    assert_eq!(frozen(), 0.2);
    let locks = store.locks().expect("they read");
    assert_eq!((locks.len(), locks[1].finished), (2, 1));
    assert_eq!(locks[1].reason.as_deref(), Some("a slip"));
    assert!(locks[1].changed[0].registered);
    Store::amend(folder.path(), &other, "again")
        .expect("no change, no amendment")
        .close();
    assert_eq!(store.locks().expect("they read").len(), 2);
    assert!(matches!(
        Store::create(folder.path(), &first),
        Err(Error::Frozen { .. })
    ));
    Store::create(folder.path(), &other).expect("the amended one goes on");
}

#[test]
fn a_damaged_lock_is_refused() {
    let (folder, store, _) = store();
    let path = store.lock(0);
    let whole = fs::read(&path).expect("it is there");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).expect("a damaged file");
        assert!(
            matches!(Store::open(folder.path()), Err(Error::Damaged { .. })),
            "{what}"
        );
    };
    // Not every byte: a plan is long. White space at the end is none of it.
    for place in (0..whole.len() - 1).step_by(11) {
        refused(&whole[..place], &format!("cut to {place}"));
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        refused(&bytes, &format!("bit of byte {place}"));
    }
    let edited = String::from_utf8(whole)
        .expect("text")
        .replace("\"delta\":0.1", "\"delta\":0.2");
    refused(edited.as_bytes(), "edited by hand");
}

#[test]
fn a_result_of_another_build_is_kept_beside() {
    let (_folder, store, cell) = store();
    store
        .commit(&record(&cell, 1.0), None, &Attempt::default())
        .expect("a commit");
    store.supersede(&cell.id).expect("it can be set aside");
    assert!(matches!(store.state(&cell.id), State::Missing));
    store
        .commit(&record(&cell, 2.0), None, &Attempt::default())
        .expect("a commit");
    assert_eq!(value(&store, &cell.id), 2.0);
    assert_eq!(store.superseded(&cell.id), [Ok(record(&cell, 1.0))]);
    assert_eq!(store.conflicts(&cell.id), [], "builds may differ");
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
    fs::write(store.root().join("lock.json"), "{}").expect("a bad plan");
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
