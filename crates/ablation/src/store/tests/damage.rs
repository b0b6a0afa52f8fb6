//! What stands beside results, cut off and flipped.

use super::*;
use crate::{frame, inspect, summary::Summary};

/// Everything that a bad disk may leave of a file, short of nothing at all.
fn damages(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flips = (0..whole.len()).map(|place| {
        let mut bytes = whole.to_vec();
        bytes[place] ^= 1 << (place % 8);
        bytes
    });
    cuts.chain(flips)
}

fn findings(store: &Store) -> Vec<String> {
    let plan = plan(STUDY).expect("the study is sound");
    inspect::verify(store, &plan).expect("it reads").0
}

fn summary(store: &Store) -> Summary {
    let plan = plan(STUDY).expect("the study is sound");
    let results = inspect::results(store, &plan).expect("it reads");
    frame::summarise(&plan, &results, "")
}

/// Whether a report is stamped so, and gives no verdict.
fn is_stamped(store: &Store, word: &str) -> bool {
    let summary = summary(store);
    let stamped = summary.stamps.iter().any(|stamp| stamp.word == word);
    let verdicts = &summary.studies[0].verdicts;
    assert!(!stamped || verdicts.iter().all(|row| row.class == "invalid"));
    stamped
}

/// The one file of a cell whose name begins so.
fn only(store: &Store, cell: &Cell, prefix: &str) -> PathBuf {
    let mut names = store.names(&format!("cells/{}", cell.id));
    names.retain(|name| name.starts_with(prefix));
    let [name] = &names[..] else {
        panic!("{prefix}: {names:?}")
    };
    store.cell(&cell.id).join(name)
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("text")
}

/// The bytes of a network that is no network.
const NETWORK: &[u8] = b"eight by eight, to the last bit";

fn commit(store: &Store, cell: &Cell, value: f64, network: &[u8], build: &str) {
    let attempt = Attempt {
        binary: build.to_owned(),
        ..Attempt::default()
    };
    store
        .commit(&record(cell, value), Some(network), &attempt)
        .expect("a commit");
}

#[test]
fn every_cut_and_every_flipped_byte_of_weights_is_seen_and_mended() {
    let (_folder, store, cell) = store();
    let place = store.cell(&cell.id);
    let commit = || commit(&store, &cell, 1.0, NETWORK, "one");
    commit();
    let path = only(&store, &cell, "weights-");
    let name = file_name(&path);
    for bytes in damages(NETWORK).chain([[NETWORK, b"."].concat()]) {
        fs::write(&path, &bytes).expect("a bad disk");
        let error = weights(&place).expect_err("it is seen");
        assert!(matches!(error, Error::DamagedWeights { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains("remove result.json beside it"),
            "{message}"
        );
        let found = findings(&store);
        assert!(found.len() == 1 && found[0].contains(name), "{found:?}");
        assert_eq!(value(&store, &cell.id), 1.0, "the result is sound");
        assert_eq!(
            super::super::record(&place).expect("it reads"),
            record(&cell, 1.0)
        );
        commit();
        let (_, mended) = weights(&place).expect("it is whole again");
        assert_eq!(mended.as_deref(), Some(NETWORK));
        assert!(findings(&store).is_empty());
    }
}

#[test]
fn the_record_of_a_cell_is_read_as_it_was_committed() {
    let (_folder, store, cell) = store();
    commit(&store, &cell, 1.0, NETWORK, "one");
    let path = store.result(&cell.id);
    for bytes in damages(&fs::read(&path).expect("a result")) {
        fs::write(&path, bytes).expect("a bad disk");
        let place = store.cell(&cell.id);
        assert!(matches!(
            super::super::record(&place),
            Err(Error::Damaged { .. })
        ));
        assert!(matches!(weights(&place), Err(Error::Damaged { .. })));
    }
}

#[test]
fn weights_are_those_of_their_result_alone() {
    let (_folder, store, cell) = store();
    let place = store.cell(&cell.id);
    let kept = || weights(&place).expect("they read").1;
    commit(&store, &cell, 1.0, NETWORK, "one");
    store.supersede(&cell.id).expect("it can be set aside");
    store
        .commit(&record(&cell, 2.0), None, &Attempt::default())
        .expect("a commit");
    assert_eq!(kept(), None, "another result's");
    commit(&store, &cell, 2.0, b"b", "one");
    assert_eq!(kept().as_deref(), Some(&b"b"[..]));
    assert!(findings(&store).is_empty());

    // The same result from another network: it is said, and what is read does not depend on who was first.
    commit(&store, &cell, 2.0, b"a", "one");
    let found = findings(&store);
    assert!(
        found.len() == 1 && found[0].contains("2 different files of weights"),
        "{found:?}"
    );
    let first = [b"a", b"b"].into_iter().min_by_key(|bytes| digest(*bytes));
    assert_eq!(kept().as_deref(), first.map(|bytes| &bytes[..]));
    // One that is damaged does not hide the other.
    let result = digest(&fs::read(store.result(&cell.id)).expect("a result"));
    fs::write(place.join(super::super::weights::name(&result, b"a")), "c").expect("a bad disk");
    assert_eq!(kept().as_deref(), Some(&b"b"[..]));
    assert_eq!(findings(&store).len(), 1);
}

#[test]
fn weights_without_a_digest_of_their_own_are_not_trusted() {
    let (_folder, store, cell) = store();
    let place = store.cell(&cell.id);
    commit(&store, &cell, 1.0, NETWORK, "one");
    let path = only(&store, &cell, "weights-");
    let (old, _) = file_name(&path).rsplit_once('-').expect("two digests");
    let old = place.join(format!("{old}.safetensors"));
    fs::rename(&path, &old).expect("as an earlier program named it");
    let refused = weights(&place).expect_err("nobody can say").to_string();
    let remedy = format!("rename it to {} if you trust it", file_name(&path));
    assert!(refused.contains(&remedy), "{refused}");
    assert!(findings(&store)[0].contains(&remedy));
    fs::rename(&old, &path).expect("trust");
    assert_eq!(
        weights(&place).expect("it reads").1.as_deref(),
        Some(NETWORK)
    );
}

#[test]
fn a_second_result_counts_whatever_is_left_of_it() {
    let (_folder, store, cell) = store();
    commit(&store, &cell, 1.0, NETWORK, "one");
    assert!(!is_stamped(&store, "NOT DETERMINISTIC"));
    let second = || commit(&store, &cell, 2.0, NETWORK, "one");
    second();
    assert!(is_stamped(&store, "NOT DETERMINISTIC"));
    let path = only(&store, &cell, "conflict-");
    let whole = fs::read(&path).expect("a result");
    for bytes in damages(&whole) {
        fs::write(&path, &bytes).expect("a bad disk");
        let conflicts = store.conflicts(&cell.id);
        assert!(matches!(&conflicts[..], [Err(_)]), "{conflicts:?}");
    }
    fs::write(&path, &whole[..whole.len() / 2]).expect("half a file");
    assert!(is_stamped(&store, "NOT DETERMINISTIC"));
    let found = findings(&store);
    assert!(
        found.len() == 1
            && found[0].contains("a second, different result")
            && found[0].contains(file_name(&path)),
        "{found:?}"
    );
    let plan = plan(STUDY).expect("the study is sound");
    let all = inspect::explain(&store, &plan, &cell.id).expect("one cell");
    assert!(all.contains(file_name(&path)), "{all}");

    // Nor does it depend on the first.
    fs::write(store.result(&cell.id), "{").expect("a bad disk");
    assert!(is_stamped(&store, "NOT DETERMINISTIC"));
    store.forget(&cell.id).expect("it can be set aside");
    commit(&store, &cell, 1.0, NETWORK, "one");
    second();
    assert_eq!(store.conflicts(&cell.id), [Ok(record(&cell, 2.0))]);
}

#[test]
fn a_result_needs_no_readable_story_but_its_build_is_not_known_then() {
    let (_folder, store, cell) = store();
    let cells = plan(STUDY).expect("the study is sound").cells();
    let (other, _) = &cells[1];
    commit(&store, &cell, 1.0, NETWORK, "one");
    commit(&store, other, 1.0, NETWORK, "one");
    assert!(!is_stamped(&store, "MIXED BUILDS"));
    let stories = [&cell, other].map(|cell| only(&store, cell, "attempt-"));
    let whole = fs::read(&stories[0]).expect("a story");
    for length in 0..whole.len() - 1 {
        fs::write(&stories[0], &whole[..length]).expect("a torn file");
        assert_eq!(value(&store, &cell.id), 1.0);
        assert!(is_stamped(&store, "MIXED BUILDS"), "cut to {length}");
    }
    let named = |cell: &Cell| format!("cell {}: the attempt", &cell.id[..10]);
    let found = findings(&store);
    assert!(
        found.len() == 2 && found[0].starts_with(&named(&cell)) && found[1].contains("2 builds"),
        "{found:?}"
    );
    // Two that are not known are not the same.
    fs::write(&stories[1], "").expect("a torn file");
    assert!(is_stamped(&store, "MIXED BUILDS"));
    // Who makes a result again tells its story again.
    for cell in [&cell, other] {
        store.supersede(&cell.id).expect("it can be set aside");
        commit(&store, cell, 1.0, NETWORK, "one");
    }
    assert!(!is_stamped(&store, "MIXED BUILDS"));
    assert!(findings(&store).is_empty());
}
