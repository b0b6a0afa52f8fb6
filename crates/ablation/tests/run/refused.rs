//! Runs that cannot begin or cannot go on, for reasons that lie outside.

use std::fs;
#[cfg(feature = "tch")]
use std::path::Path;

use tempfile::tempdir;

#[cfg(feature = "tch")]
use crate::{
    common::stderr,
    process::{Line, last_line, results, signal},
};
use crate::{
    common::{refusal, run},
    process::{Running, SHORT, claims, endless, with},
};

#[cfg(feature = "tch")]
/// A folder with ten 8×8 images, and a study of them.
fn images(folder: &Path) {
    let data = folder.join("data");
    fs::create_dir(&data).expect("a folder");
    let mut bytes: Vec<u8> = [0x803_u32, 40, 8, 8]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect();
    bytes.extend((0..40 * 64_u32).map(|i| (i * 37 % 251) as u8));
    fs::write(data.join("train-images-idx3-ubyte"), bytes).expect("images");
    let smoke = include_str!("../../studies/smoke.toml");
    let study = smoke
        .replace("name = \"smoke\"", "name = \"dots\"")
        .replace(
            "{ kind = \"song_ermon\" }",
            "{ kind = \"images\", name = \"dots\", held_out = 20, digest = \"\", shape = [0, 0, 0] }",
        )
        .replace("fresh = 64", "fresh = 10")
        // Images from files have no modes.
        .replace(
            ", parts = { by = [\"modes\"], levels = [0.3], seeds = 1 }",
            "",
        );
    fs::write(folder.join("dots.toml"), study).expect("a study");
}

#[cfg(feature = "tch")]
#[test]
fn images_are_trained_on_and_their_loss_stops_the_run() {
    let folder = tempdir().expect("a temporary folder");
    images(folder.path());
    let arguments = ["ablate", "dots.toml", "--data", "data", "--jobs", "1"];
    let output = run(folder.path(), &with(&arguments, &["--out", "short"]));
    assert_eq!(
        last_line(&output),
        Line {
            cells: 5,
            done: 5,
            run_now: 5,
            diverged: 0,
            failed: 0
        },
        "{}",
        stderr(&output)
    );

    let mut running = Running::start(&folder, &with(&arguments, &["--steps", "1000000"]));
    let (_, worker) = running.until("a worker", |root| claims(root).pop());
    fs::rename(folder.path().join("data"), folder.path().join("gone")).expect("it can be moved");
    signal("KILL", worker);
    // The worker that takes its place finds nothing, and no other would.
    let line = refusal(&running.wait(), 2);
    assert!(line.contains("data"), "{line}");
    assert!(!line["ablate: ".len()..].contains("ablate: "), "{line}");

    // Other images under the same name are another study's.
    fs::rename(folder.path().join("gone"), folder.path().join("data")).expect("it can be moved");
    let mut running = Running::start(&folder, &with(&arguments, &["--steps", "1000000"]));
    let (_, worker) = running.until("a worker", |root| claims(root).pop());
    let images = folder.path().join("data/train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).expect("images");
    bytes[16] ^= 1;
    fs::write(&images, bytes).expect("images");
    signal("KILL", worker);
    let line = refusal(&running.wait(), 2);
    assert!(
        line.contains("the plan was made with the files of digest"),
        "{line}"
    );
}

#[cfg(feature = "tch")]
#[test]
fn a_device_that_is_not_there_stops_the_run() {
    let folder = tempdir().expect("a temporary folder");
    let output = run(
        folder.path(),
        &["ablate", "smoke", "--device", "cuda", "--out", "run"],
    );
    if output.status.success() {
        return; // this machine has one
    }
    let line = refusal(&output, 2);
    assert!(
        line.contains("`cuda`") && line.contains("--device cpu"),
        "{line}"
    );
    assert!(results(&folder.path().join("run")).is_empty());
}

#[test]
fn a_place_that_cannot_hold_a_run_is_refused() {
    let folder = tempdir().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    // Neither binds less where permissions do not: for root.
    for place in ["file", "file/below", "/proc/nothing"] {
        let line = refusal(&run(folder.path(), &with(&SHORT, &["--out", place])), 2);
        assert!(line.contains(place), "{line}");
    }
}

#[test]
fn a_directory_that_vanishes_ends_the_run() {
    let folder = tempdir().expect("a temporary folder");
    let mut running = Running::start(&folder, &with(&endless(&folder), &["--jobs", "1"]));
    running.until("a worker", |root| claims(root).pop());
    fs::rename(folder.path().join("run"), folder.path().join("moved")).expect("it can be moved");
    let line = refusal(&running.wait(), 2);
    assert!(line.contains("run"), "{line}");
    assert!(!folder.path().join("run").exists(), "nothing is made anew");
}
