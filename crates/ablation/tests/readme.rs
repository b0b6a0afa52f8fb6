//! The study that the README shows is one that the program takes.

use ablation::plan::{Overrides, Plan};
use ablation::study;

/// The first fenced block of a language in the README.
fn block(language: &str) -> &'static str {
    let (_, rest) = include_str!("../README.md")
        .split_once(&format!("```{language}\n"))
        .expect("the README has such a block");
    rest.split_once("```").expect("the block is closed").0
}

#[test]
fn the_study_of_the_readme_is_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("with-relu.toml");
    std::fs::write(&path, block("toml")).expect("the study is written");
    let studies = study::load(path.to_str().expect("the path is text")).expect("the study is read");
    assert_eq!(studies.name, "with-relu");
    let plan = Plan::resolve(studies, &Overrides::default()).expect("the study is possible");
    // Four arms and two counter-arms on eight seeds.
    assert_eq!(plan.cells().len(), (4 + 2) * 8);
}
