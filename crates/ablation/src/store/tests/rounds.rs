//! What is handed to a batch system.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn of_two_that_begin_a_round_one_submits_it() {
    let (_folder, store, cell) = store();
    store.keep_settings(&"how").expect("no trouble");
    assert_eq!(
        store.settings::<String>().expect("it reads"),
        Some("how".to_owned())
    );
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
    store.keep_settings(&"how").expect("no trouble");
    assert_eq!((store.job(1), store.refusal(1)), (None, None));
    for job in ["17", "18"] {
        store.note_job(1, job).expect("no trouble");
        store.note_refusal(1, 74, job).expect("no trouble");
    }
    assert_eq!(store.job(1), Some("17".to_owned()));
    assert_eq!(store.refusal(1), Some((74, "17".to_owned())));
}

#[test]
fn damaged_rounds_are_said() {
    let (folder, store, _) = store();
    let round = store.next_round("run", 1, 2, vec!["a".to_owned()]);
    fs::create_dir(folder.path().join("rounds")).expect("a folder");
    assert!(store.begin_round(&round).expect("no trouble"));
    let path = folder.path().join("rounds/1.json");
    let whole = fs::read(&path).expect("a round");
    for cut in 0..whole.len() - 1 {
        fs::write(&path, &whole[..cut]).expect("half a file");
        assert!(
            matches!(store.rounds(), Err(Error::Damaged { .. })),
            "{cut}"
        );
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
