//! What is handed to a batch system.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::runner::slurm::Settings;

fn settings() -> Settings {
    Settings {
        name: "run".to_owned(),
        partition: Some("low".to_owned()),
        time: Some("30".to_owned()),
        cpus: 2,
        gpus: None,
        memory: 700,
        throttle: Some(3),
        tasks: None,
        warning: 180,
        last_round: 3,
        others: vec!["--account=ours".to_owned()],
        environment: [("LD_LIBRARY_PATH".to_owned(), "/lib".to_owned())].into(),
        arguments: vec!["--data".to_owned(), "here".to_owned()],
    }
}

#[test]
fn of_two_that_begin_a_round_one_submits_it() {
    let (_folder, store, cell) = store();
    store.keep_settings(&settings()).expect("no trouble");
    assert_eq!(store.settings().expect("it reads"), Some(settings()));
    let round = store.next_round("run", 1, 2, vec![cell.id.clone()]);
    assert!(round.mark.starts_with("ablate:run:1:"), "{}", round.mark);
    assert!(store.begin_round(&round).expect("no trouble"));
    let other = Round {
        mark: "another".to_owned(),
        ..round.clone()
    };
    assert!(!store.begin_round(&other).expect("no trouble"));
    assert_eq!(
        store.rounds().expect("they read"),
        std::slice::from_ref(&round)
    );
    store.withdraw_round(&round);
    assert!(store.begin_round(&other).expect("no trouble"));
    assert_ne!(store.next_round("run", 2, 2, vec![]).mark, round.mark);
}

#[test]
fn the_first_word_on_a_round_counts() {
    let (_folder, store, _) = store();
    store.keep_settings(&settings()).expect("no trouble");
    assert_eq!((store.job(1), store.refusal(1)), (None, None));
    for job in ["17", "18"] {
        store.note_job(1, job).expect("no trouble");
        store.note_refusal(1, 74, job).expect("no trouble");
    }
    assert_eq!(store.job(1), Some("17".to_owned()));
    assert_eq!(store.refusal(1), Some((74, "17".to_owned())));
}

#[test]
fn a_damaged_round_and_damaged_settings_start_no_task() {
    let (folder, store, cell) = store();
    store.keep_settings(&settings()).expect("no trouble");
    let round = store.next_round("run", 1, 1, vec![cell.id]);
    assert!(store.begin_round(&round).expect("no trouble"));
    // White space at the end is none of it.
    let is_refused = || match (store.rounds(), store.settings::<Settings>()) {
        (Ok(rounds), Ok(kept)) => {
            assert_eq!(
                (&rounds[..], kept),
                (&[round.clone()][..], Some(settings()))
            );
            false
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => {
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            true
        }
        both => panic!("one of them is whole: {both:?}"),
    };
    assert!(!is_refused());
    for name in ["rounds/1.json", "slurm.json"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).expect("a file");
        let write = |bytes: &[u8]| fs::write(&path, bytes).expect("a bad disk");
        for place in 0..whole.len() - 1 {
            write(&whole[..place]);
            assert!(is_refused(), "{name} cut to {place}");
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 << bit;
                write(&bytes);
                assert!(is_refused(), "{name}, bit {bit} of byte {place}");
            }
        }
        let text = String::from_utf8(whole.clone()).expect("text");
        for (from, to) in [("tasks\":1", "tasks\":0"), ("cpus\":2", "cpus\":0")] {
            write(text.replace(from, to).as_bytes());
            assert_eq!(is_refused(), text.contains(from), "{name}: {to}");
        }
        write(&whole);
    }
    for name in ["1.job", "1.refusal"] {
        fs::write(folder.path().join("rounds").join(name), "").expect("an empty file");
    }
    assert_eq!((store.job(1), store.refusal(1)), (None, None));
}

#[test]
fn the_program_is_kept_as_it_is() {
    let (_folder, store, _) = store();
    let path = store.keep_program("digest").expect("no trouble");
    let own = std::env::current_exe().expect("a program");
    assert_eq!(
        fs::read(&path).expect("a file"),
        fs::read(own).expect("a file")
    );
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_ne!(mode & 0o100, 0, "it can be run");
    assert_eq!(store.keep_program("digest").expect("no trouble"), path);
}
