//! The files for other programs: event files here, all of them read by `cargo xtask test reports-python`.

use std::path::PathBuf;

use ablation::report;
use ablation::summary::Summary;

use crate::fixture;

/// The lengths of the messages of an event file.
fn messages(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length) as usize;
        bytes = &rest[4 + length + 4..];
        lengths.push(length);
    }
    lengths
}

#[test]
fn event_files_hold_every_number_once() {
    let summary = fixture::summary();
    let files = report::tensorboard(&summary);
    let find = |path: &str| {
        let name = format!("{path}/events.out.tfevents.0.ablation");
        let file = files.iter().find(|(path, _)| *path == name);
        &file.unwrap_or_else(|| panic!("no {name}")).1
    };
    let arm = &summary.studies[0].blocks[0].arms[3];
    let whole = |x: f64| x.fract() == 0.0;
    let curves = arm.curves.values().flat_map(|curve| &curve.points);
    let points = curves.filter(|point| whole(point.x)).count();
    let spreads = arm.values.values().filter(|spread| spread.n == 6).count();
    assert_eq!(spreads, arm.values.len());
    // The version first.
    let run = messages(find("mixture/the 2×2/skip, noise on"));
    assert_eq!(run.len(), 1 + 3 * points + 5 * spreads);
    let seed = messages(find("mixture/the 2×2/skip, noise on/seed 2"));
    assert_eq!(seed.len(), 1 + 2 + arm.values.len());
    assert_eq!(files, report::tensorboard(&summary), "no clock");
}

#[test]
fn a_summary_of_before_its_latest_fields_reads() {
    let summary = fixture::interim();
    let json = serde_json::to_string(&summary).expect("plain data");
    assert!(json.contains("\"deciding_low\"") && !json.contains("\"larger"));
    let read: Summary = serde_json::from_str(&json).expect("what was written reads");
    assert_eq!(read, summary);
}

#[test]
fn renderings_are_written_for_other_tools() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = std::env::var_os("REPORT_FOLDER").map_or(folder.path().to_owned(), PathBuf::from);
    let summary = fixture::summary();
    let json = serde_json::to_string_pretty(&summary).expect("plain data");
    let read: Summary = serde_json::from_str(&json).expect("what was written reads");
    assert_eq!(read, summary);
    let mut files = vec![
        ("summary.json".to_owned(), json.into_bytes()),
        ("rows.csv".to_owned(), report::csv(&summary).into_bytes()),
        (
            "report.md".to_owned(),
            report::markdown(&summary).into_bytes(),
        ),
        (
            "report.html".to_owned(),
            report::html(&summary).into_bytes(),
        ),
    ];
    let maps = report::map_csv(&summary).expect("there are maps");
    files.push(("map.csv".to_owned(), maps.into_bytes()));
    let events = report::tensorboard(&summary).into_iter();
    files.extend(events.map(|(path, bytes)| (format!("tensorboard/{path}"), bytes)));
    for (name, bytes) in files {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}
