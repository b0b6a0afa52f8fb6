//! What is wrong with a study is said with its place and the nearest name.

use std::fs;

use tempfile::tempdir;

use super::{Patch, load, resolve};
use crate::{
    catalog,
    error::Error,
    fixture::{STUDY, plan, refusal, study_with, write},
};

/// The message about a study whose text has one thing wrong.
fn message(from: &str, to: &str) -> String {
    let folder = tempdir().expect("a temporary folder");
    refusal(load(&write(
        folder.path(),
        "study.toml",
        &study_with(from, to),
    )))
}

#[test]
fn a_typo_in_a_key_is_placed_and_the_nearest_key_named() {
    for (from, to, place, nearest) in [
        (
            "seeds = 2\nprimary",
            "sedes = 2\nprimary",
            "study.toml, line 6, column 1:",
            "`seeds`",
        ),
        (
            "sigma_max = 50.0",
            "sigma_mx = 50.0",
            "study.toml, line 13, column 28:",
            "`sigma_max`",
        ),
        (
            "only = { skip = \"off\" }",
            "onyl = { skip = \"off\" }",
            "study.toml, line 38, column 1:",
            "`only`",
        ),
        (
            "[factors.noise]",
            "[factors.nosie]",
            "study.toml, line 30, column 10:",
            "`noise`",
        ),
        (
            "effect = \"noise\"",
            "effect = \"niose\"",
            "study.toml, line 51, column 10:",
            "`noise`",
        ),
        (
            "init = \"pytorch\"",
            "init = \"pytroch\"",
            "study.toml, line 12",
            "`pytorch`",
        ),
        ("width = 8", "widht = 8", "study.toml, line 12", "`width`"),
        (
            "kind = \"song_ermon\"",
            "kind = \"song_ermond\"",
            "study.toml, line 11",
            "`song_ermon`",
        ),
        (
            "role = \"a_a\"",
            "role = \"aa\"",
            "study.toml, line 43",
            "unknown variant `aa`",
        ),
    ] {
        let message = message(from, to);
        assert!(
            message.contains(place) && message.contains(nearest),
            "{to}: {message}"
        );
    }
}

#[test]
fn other_mistakes_of_syntax_are_placed() {
    for (from, to, part) in [
        ("seeds = 2\nprimary", "seeds = -2\nprimary", "line 6"),
        ("seeds = 2\nprimary", "seeds = \nprimary", "line 6"),
        ("title = \"A plane\"\n", "", "missing field `title`"),
        ("steps = 20", "steps = 20.5", "line 15"),
        ("short = \"none\", init", "init", "missing field `short`"),
    ] {
        let message = message(from, to);
        assert!(
            message.contains(part) && message.contains("study.toml"),
            "{to}: {message}"
        );
    }
}

#[test]
fn a_typo_in_a_path_names_section_and_nearest_path() {
    for (from, to, section, nearest) in [
        (
            "on = { \"network.short\" = \"inverse_sqrt_depth\" }",
            "on = { \"network.shrot\" = \"identity\" }",
            "factors.skip.on",
            "`network.short`",
        ),
        (
            "set = { nuisance = 1 }",
            "set = { nuisence = 1 }",
            "beside `A/A`",
            "`nuisance`",
        ),
        (
            "set = { \"network.init\" = \"orthogonal_lsuv\" }",
            "set = { \"network.init\" = \"ortogonal_lsuv\" }",
            "beside `well-initialised plain`",
            "`orthogonal_lsuv`",
        ),
        (
            "off = { objective = { kind = \"sliced\" } }",
            "off = { objective = { kind = \"slicd\" } }",
            "factors.noise.off",
            "`sliced`",
        ),
    ] {
        let message = refusal(plan(&study_with(from, to)));
        assert!(message.contains(section), "{to}: {message}");
        assert!(
            message.contains(&format!("did you mean {nearest}?")),
            "{to}: {message}"
        );
    }
}

#[test]
fn a_bad_value_is_blamed_on_the_section_that_holds_it() {
    let base = plan(STUDY).expect("the study is sound").studies[0].blocks[0].arms[0]
        .config
        .clone();
    let patch = |text: &str| -> Patch { toml::from_str(text).expect("TOML") };
    let (bad, good) = (patch("'training.rate' = 'fast'"), patch("nuisance = 2"));
    let patches = [("first".to_owned(), &bad), ("second".to_owned(), &good)];
    let message = refusal(resolve(&base, &patches, "here"));
    assert!(
        message.starts_with("here, first: ") && message.contains("\"fast\""),
        "{message}"
    );
    let nan = patch("'probes.levels' = [0.5, nan]");
    let message = refusal(resolve(&base, &[("first".to_owned(), &nan)], "here"));
    assert!(
        message.starts_with("here, first: probes.levels.1 = nan or inf"),
        "{message}"
    );
    let both = [
        ("first".to_owned(), &good),
        ("second".to_owned(), &patch("nuisance = 3")),
    ];
    assert_eq!(
        resolve(&base, &both, "here")
            .expect("both are sound")
            .nuisance,
        3,
        "the last word counts"
    );
}

#[test]
fn unknown_studies_and_empty_folders() {
    let nearest = refusal(load("defualt"));
    assert!(
        nearest.contains("did you mean `default`?") && nearest.contains("smoke"),
        "{nearest}"
    );
    assert!(!refusal(load("xyz")).contains("did you mean"));
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().to_str().expect("text");
    assert!(matches!(load(path), Err(Error::EmptyFolder { .. })));
    write(folder.path(), "folder.toml", "question = \"Why?\"");
    assert!(matches!(load(path), Err(Error::EmptyFolder { .. })));
    fs::create_dir(folder.path().join("deeper.toml")).expect("a folder");
    assert!(matches!(load(path), Err(Error::EmptyFolder { .. })));
}

#[test]
fn a_folder_is_its_studies_and_its_question() {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().to_str().expect("text");
    write(
        folder.path(),
        "b.toml",
        &study_with("name = \"plane\"", "name = \"second\""),
    );
    write(folder.path(), "a.toml", STUDY);
    write(folder.path(), "notes.md", "not a study");
    let common = write(folder.path(), "folder.toml", "question = \"Why?\"");
    for given in [path, &common] {
        let read = load(given).expect("two studies");
        assert_eq!(read.question, "Why?");
        assert_eq!(
            read.studies
                .iter()
                .map(|study| study.name.as_str())
                .collect::<Vec<_>>(),
            ["plane", "second"]
        );
    }
    let message = refusal({
        write(folder.path(), "folder.toml", "qestion = \"Why?\"");
        load(path)
    });
    assert!(message.contains("did you mean `question`?"), "{message}");
}

#[test]
fn two_studies_of_one_name_are_refused() {
    let folder = tempdir().expect("a temporary folder");
    write(folder.path(), "a.toml", STUDY);
    write(folder.path(), "b.toml", STUDY);
    let message = refusal(load(folder.path().to_str().expect("text")));
    assert!(message.contains("`plane`"), "{message}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, [0xff, 0xfe, 0x00]).expect("a temporary file");
    let message = refusal(load(path.to_str().expect("text")));
    assert!(
        message.contains("UTF-8") && message.contains("study.toml"),
        "{message}"
    );
}

#[test]
fn built_in_names_are_distinct_and_load() {
    for study in catalog::STUDIES {
        assert_eq!(load(study.name).expect("it parses").name, study.name);
    }
}
