//! Who is at work on what.

use std::process::{Command, Stdio};

use super::*;
use crate::store::claims::{COORDINATOR, Process, started};

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
fn what_was_stopped_holds_no_cell_but_its_directory() {
    let (folder, store, cell) = store();
    store.close();
    let other = Sleeper::new();
    for name in [&cell.id, COORDINATOR] {
        fs::write(folder.path().join("claims").join(name), other.claim()).expect("a claim");
    }
    assert!(!store.claim(&cell.id).expect("no trouble"));
    let stop = Command::new("kill")
        .args(["-STOP", &other.0.id().to_string()])
        .status();
    assert!(stop.expect("kill can be started").success());
    while !is_stopped(other.0.id()) {
        std::thread::yield_now();
    }
    assert_eq!(store.claimant(&cell.id), None);
    assert!(store.claim(&cell.id).expect("no trouble"));
    assert_eq!(store.claimant(&cell.id), Some(std::process::id()));
    let plan = plan(STUDY).expect("the study is sound");
    let refused = Store::create(folder.path(), &plan);
    assert!(matches!(refused, Err(Error::Busy { process, .. }) if process == other.0.id()));
    // When it goes on and gives its claim back, it finds another's there.
    let own = Process::this().to_string();
    fs::write(folder.path().join("claims").join(&cell.id), other.claim()).expect("a claim");
    store.release(&cell.id);
    assert_eq!(store.claimant(&cell.id), None);
    assert!(store.claim(&cell.id).expect("no trouble"));
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
