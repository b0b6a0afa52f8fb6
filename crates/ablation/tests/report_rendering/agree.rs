//! Every rendering shows the numbers of the summary, and the same digits of them.
//!
//! Number by number, and with the tools that people use, `cargo xtask test reports-python` does it for the table, the
//! event files and the page.

use std::path::PathBuf;

use ablation::report::{self, Colour};
use ablation::summary::{Spread, Summary};

use crate::fixture;

/// The numbers in a text, each with half a unit of its last digit.
fn numbers(text: &str) -> Vec<(f64, f64)> {
    let part_of = |c: char| c.is_ascii_digit() || "−.e".contains(c);
    text.split(|c| !part_of(c))
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        .map(|word| {
            let plain = word.replace('−', "-");
            let (head, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
            let decimals = head.split_once('.').map_or(0, |(_, digits)| digits.len()) as i32;
            let exponent: i32 = exponent.parse().expect("an exponent");
            let half = 0.5 * 10_f64.powi(exponent - decimals) * (1.0 + 1e-9);
            (plain.parse().expect("a number"), half)
        })
        .collect()
}

fn shows(text: &str, wanted: &[Option<f64>]) {
    let wanted: Vec<f64> = wanted.iter().flatten().copied().collect();
    let shown = numbers(text);
    assert_eq!(shown.len(), wanted.len(), "{text} for {wanted:?}");
    for ((seen, half), wanted) in shown.iter().zip(&wanted) {
        assert!((seen - wanted).abs() <= *half, "{text} for {wanted}");
    }
}

/// The text of the first element whose tag holds all of these attributes.
fn element<'h>(html: &'h str, attributes: &[&str]) -> &'h str {
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start..end];
        rest = &rest[end + 1..];
        if attributes.iter().all(|attribute| tag.contains(attribute)) {
            return &rest[..rest.find('<').expect("an element ends")];
        }
    }
    panic!("no element with {attributes:?}")
}

#[test]
fn verdicts_have_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let (html, markdown) = (report::html(&summary), report::markdown(&summary));
    let terminal = report::terminal(&summary, 100, Colour::Never);
    let mut compared = 0;
    for study in &summary.studies {
        for row in &study.verdicts {
            let tags = [
                "class=\"number\"".to_owned(),
                format!("data-study=\"{}\"", study.name),
                format!("data-contrast=\"{}\"", row.id),
            ];
            let text = element(&html, &tags.each_ref().map(String::as_str));
            let of = &row.numbers;
            shows(text, &[of.estimate, of.low, of.high]);
            let line = markdown.lines().find(|line| {
                line.starts_with(&format!("| {} | **", study.name)) && line.contains(&row.claim)
            });
            let line = line.expect("the contrast has a line");
            assert!(line.contains(text), "{text} in {line}");
            assert!(terminal.contains(text), "{text}");
            assert!(line.ends_with(&format!("| {} |", of.n)), "{line}");
            if let (Some(confidence), Some(low), Some(high)) =
                (row.confidence, row.deciding_low, row.deciding_high)
            {
                let decides = line.split_once("<br>").expect("what decides").1;
                let decides = decides.split_once(" |").expect("a cell ends").0;
                shows(decides, &[Some(100.0 * confidence), Some(low), Some(high)]);
                assert!(html.contains(&format!("decides at {decides}")), "{decides}");
                assert!(terminal.contains(decides), "{decides}");
                compared += 1;
            }
        }
    }
    assert!(5 < compared);
}

#[test]
fn arms_have_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let (html, markdown) = (report::html(&summary), report::markdown(&summary));
    let mut compared = 0;
    for study in &summary.studies {
        for block in &study.blocks {
            for arm in &block.arms {
                for (probe, spread) in &arm.values {
                    let (
                        Some(_),
                        Spread {
                            median, min, max, ..
                        },
                    ) = (spread.median, spread)
                    else {
                        continue;
                    };
                    let table = &html[html.find("class=\"probes\"").expect("a table of probes")..];
                    let tags = [
                        "<td".to_owned(),
                        format!("data-study=\"{}\"", study.name),
                        format!("data-block=\"{}\"", block.name),
                        format!("data-arm=\"{}\"", arm.label),
                        format!("data-probe=\"{probe}\""),
                    ];
                    let text = element(table, &tags.each_ref().map(String::as_str));
                    match text.contains('[') {
                        true => shows(text, &[*median, *min, *max]),
                        false => shows(text, &[*median]),
                    }
                    assert!(markdown.contains(&format!("| {text} |")), "{text}");
                    compared += 1;
                }
            }
        }
    }
    assert!(30 < compared);
}

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
    let events = report::tensorboard(&summary).into_iter();
    files.extend(events.map(|(path, bytes)| (format!("tensorboard/{path}"), bytes)));
    for (name, bytes) in files {
        let path = place.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }
}
