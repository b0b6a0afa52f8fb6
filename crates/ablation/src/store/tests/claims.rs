//! Who is at work on what.

use std::process::{Command, Stdio};

use super::*;
use crate::store::{
    claims::COORDINATOR,
    process::{Process, started},
};

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
            ..Process::this(None)
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

fn words(process: u32) -> String {
    format!("process {process}")
}

#[test]
fn a_claim_is_held_by_a_living_process() {
    let (folder, store, cell) = store();
    let claim = folder.path().join("claims").join(&cell.id);
    let other = Sleeper::new();
    fs::write(&claim, other.claim()).expect("a claim");
    assert!(
        !store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble")
    );
    assert_eq!(store.claimant(&cell.id), Some(words(other.0.id())));
    assert_eq!(store.claims_of(other.0.id()), [cell.id.as_str()]);
    store.sweep(&[]);
    assert!(claim.exists(), "the living keep theirs");
    drop(other);
    assert_eq!(store.claimant(&cell.id), None);
    assert!(
        store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble"),
        "the claim of the dead is void"
    );
    assert_eq!(store.claimant(&cell.id), Some(words(std::process::id())));
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
        Process {
            start: Some(1),
            ..Process::parse(&other.claim()).expect("a claim")
        }
        .to_string(),
    )
    .expect("a claim");
    if started(other.0.id()).is_some() {
        assert_eq!(store.claimant(&cell.id), None);
        assert!(
            store
                .claim(&cell.id, Honour::Everyone, None)
                .expect("no trouble")
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_stopped_holds_no_cell_but_its_directory() {
    let (folder, store, cell) = store();
    store.close();
    let other = Sleeper::new();
    for name in [&cell.id, COORDINATOR] {
        fs::write(folder.path().join("claims").join(name), other.claim()).expect("a claim");
    }
    assert!(
        !store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble")
    );
    let stop = Command::new("kill")
        .args(["-STOP", &other.0.id().to_string()])
        .status();
    assert!(stop.expect("kill can be started").success());
    while !is_stopped(other.0.id()) {
        std::thread::yield_now();
    }
    assert_eq!(store.claimant(&cell.id), None);
    assert!(
        store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble")
    );
    assert_eq!(store.claimant(&cell.id), Some(words(std::process::id())));
    let plan = plan(STUDY).expect("the study is sound");
    let refused = Store::create(folder.path(), &plan);
    assert!(matches!(refused, Err(Error::Busy { process, .. }) if process == words(other.0.id())));
    // When it goes on and gives its claim back, it finds another's there.
    let own = Process::this(None).to_string();
    fs::write(folder.path().join("claims").join(&cell.id), other.claim()).expect("a claim");
    store.release(&cell.id);
    assert_eq!(store.claimant(&cell.id), None);
    assert!(
        store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble")
    );
    let found = fs::read_to_string(folder.path().join("claims").join(&cell.id));
    assert_eq!(found.expect("it is there"), own);
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
        !store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble"),
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
    for text in ["", "no number", "99999999999999999999", "1 2", "1 2 here"] {
        fs::write(folder.path().join("claims").join(&cell.id), text).expect("a claim");
        assert!(
            store
                .claim(&cell.id, Honour::Everyone, None)
                .expect("no trouble"),
            "{text}"
        );
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
    assert!(matches!(refused, Err(Error::Busy { process, .. }) if process == words(other.0.id())));
    drop(other);
    Store::create(folder.path(), &plan).expect("it is gone");
}

/// The claim of a process with the number of this one, on another machine.
fn elsewhere(task: &str) -> String {
    let claim = Process::this(Some(task)).to_string();
    claim.replacen(&files::host(), "another", 1)
}

#[test]
fn a_claim_of_another_machine_keeps_others_away_and_not_the_one_whose_cell_it_is() {
    let (folder, store, cell) = store();
    let claim = folder.path().join("claims").join(&cell.id);
    fs::write(&claim, elsewhere("7_1")).expect("a claim");
    assert!(
        !store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble")
    );
    assert!(!store.is_at_work_here(&cell.id));
    let process = std::process::id();
    assert_eq!(
        store.claimant(&cell.id).expect("one"),
        format!("task 7_1, process {process} on another")
    );
    store.sweep(&[]);
    store.release(&cell.id);
    assert!(claim.exists(), "whether it lives is not known");
    assert_eq!(
        store.claims_of_task(|task| task.starts_with("7_")),
        [(cell.id.clone(), "7_1".to_owned())]
    );
    assert!(store.claims_of_task(|task| task == "7_11").is_empty());
    assert!(!store.claims_of(process).contains(&cell.id));
    assert!(
        store
            .claim(&cell.id, Honour::Neighbours, None)
            .expect("no trouble")
    );
    assert_eq!(store.claimant(&cell.id), Some(words(process)));
    fs::write(&claim, elsewhere("7_1")).expect("a claim");
    fs::create_dir_all(store.cell(&cell.id)).expect("a folder");
    fs::write(store.result(&cell.id), "").expect("a result");
    store.sweep(&[]);
    assert!(!claim.exists(), "a finished cell needs none");
}

#[test]
fn what_was_claimed_before_the_machine_was_started_anew_is_free() {
    let (folder, store, cell) = store();
    let claim = Process::this(None).to_string();
    let boot = claim.split('/').nth(1).expect("a boot");
    fs::write(
        folder.path().join("claims").join(&cell.id),
        claim.replace(boot, "earlier"),
    )
    .expect("a claim");
    assert_eq!(store.claimant(&cell.id), None);
    assert!(
        store
            .claim(&cell.id, Honour::Everyone, None)
            .expect("no trouble")
    );
}

#[test]
fn a_coordinator_of_another_machine_has_the_directory_while_it_counts() {
    let (folder, store, _) = store();
    let plan = plan(STUDY).expect("the study is sound");
    store.close();
    let claim = folder.path().join("claims").join(COORDINATOR);
    fs::write(&claim, elsewhere("-")).expect("a claim");
    let counts = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for count in 0.. {
                if !counts.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                store.beat(count);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let refused = Store::create(folder.path(), &plan);
        counts.store(false, std::sync::atomic::Ordering::Relaxed);
        assert!(
            matches!(&refused, Err(Error::Busy { process, .. }) if process.ends_with("on another")),
            "{refused:?}"
        );
    });
    Store::create(folder.path(), &plan).expect("it counts no more");
}

#[test]
fn what_another_machine_is_writing_is_left_while_it_is_at_work() {
    let (folder, store, cell) = store();
    let path = folder.path().join("cells").join(&cell.id);
    fs::create_dir_all(&path).expect("a folder");
    // Not even Linux has a process of that number.
    for host in ["another.org", &files::host()] {
        fs::write(path.join(format!("result.json.tmp.{host}.4194305.3")), "{").expect("a file");
    }
    let claim = folder.path().join("claims").join(&cell.id);
    fs::write(&claim, elsewhere("7_1")).expect("a claim");
    assert_eq!(store.garbage(false).expect("a plan").files.len(), 1);
    fs::remove_file(claim).expect("it is there");
    assert_eq!(store.garbage(false).expect("a plan").files.len(), 2);
}

#[test]
fn a_task_that_died_on_a_cell_is_noticed_by_others() {
    let (folder, store, cell) = store();
    let claim = folder.path().join("claims").join(&cell.id);
    // Not even Linux has a process of that number.
    let dead = |task: Option<&str>| Process {
        id: 4_194_305,
        ..Process::this(task)
    };
    fs::write(&claim, dead(Some("7_1")).to_string()).expect("a claim");
    assert_eq!(store.died_on(&cell.id, Some("7_2")), Some("7_1".to_owned()));
    assert_eq!(store.died_on(&cell.id, None), Some("7_1".to_owned()));
    fs::write(&claim, dead(None).to_string()).expect("a claim");
    assert_eq!(
        store.died_on(&cell.id, None),
        None,
        "its coordinator sees to it"
    );
    let living = Process::this(Some("7_1")).to_string();
    fs::write(&claim, living).expect("a claim");
    assert_eq!(store.died_on(&cell.id, Some("7_1")), None, "it is this one");
    fs::write(&claim, elsewhere("7_1")).expect("a claim");
    assert_eq!(store.died_on(&cell.id, Some("7_2")), None, "nobody knows");
    assert_eq!(store.died_on(&cell.id, Some("7_1")), Some("7_1".to_owned()));

    let log = folder.path().join("workers/7_1.log");
    for (text, crashes, kills) in [
        ("", 0, 1),
        ("at work\n", 0, 2),
        ("thread panicked at x\n", 1, 2),
    ] {
        fs::write(&log, text).expect("a log");
        store.blame(&cell.id, "7_1").expect("it is noted");
        let failure = store.failure(&cell.id).expect("a note");
        assert_eq!((failure.crashes, failure.kills), (crashes, kills), "{text}");
    }
}
