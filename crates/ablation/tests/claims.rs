//! `ablate claims` as a person runs it, from a study to the page of claims; without libtorch.

mod common;

use std::{fs, path::Path};

use ablation::claim;
use common::{refusal, run, stderr, stdout};
use tempfile::tempdir;

const CLAIM: &str = include_str!("common/claim.toml");

#[test]
fn a_claim_is_planned_run_resumed_judged_and_kept() {
    let folder = tempdir().expect("a temporary folder");
    fs::write(folder.path().join("tiny.toml"), CLAIM).expect("the claim is written");
    let plan = stdout(&run(
        folder.path(),
        &["ablate", "claims", "tiny.toml", "--plan"],
    ));
    assert!(plan.contains("wide") && plan.contains("16 cells"), "{plan}");
    assert!(!folder.path().join("runs").exists());

    let arguments = ["ablate", "claims", "tiny.toml", "--jobs", "2"];
    let output = run(folder.path(), &arguments);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(
        text.contains("tiny: Width") && text.contains("narrow"),
        "{text}"
    );
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{text}");

    let at = folder.path().join("runs/claims");
    let read = |name: &str| fs::read_to_string(at.join(name)).expect("it is written");
    let first = read("claims.json");
    let json: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(json["claims"][0]["findings"][0]["seeds"], 8);
    assert!(read("claims.md").contains("| **tiny** (T6) |"));

    // Nothing is run twice, and the report alone says the same.
    let again = run(folder.path(), &arguments);
    assert!(again.status.success());
    assert_eq!(read("claims.json"), first);
    let report = run(folder.path(), &["report", "runs/claims"]);
    assert!(report.status.success() && stdout(&report).contains("tiny: Width"));
    assert_eq!(read("claims.json"), first);
    let status = stdout(&run(folder.path(), &["status", "runs/claims/tiny"]));
    assert!(status.contains("16"), "{status}");

    let docs = run(folder.path(), &["ablate", "claims", "--docs", "docs"]);
    assert!(docs.status.success(), "{}", stderr(&docs));
    assert!(
        folder
            .path()
            .join("docs/results/claims/tiny.json")
            .is_file()
    );
    let page = fs::read_to_string(folder.path().join("docs/claims.md")).expect("the page");
    assert!(
        page.contains("| T6 | **") && page.contains("`tiny`"),
        "{page}"
    );

    // Another study under the name of a finished one is refused before the claim that comes first is run.
    for (file, from, to) in [
        ("first.toml", "tiny", "first"),
        ("tiny.toml", "seeds = 8", "seeds = 9"),
    ] {
        fs::write(folder.path().join(file), CLAIM.replace(from, to)).expect("it is written");
    }
    let both = ["ablate", "claims", "first.toml", "tiny.toml"];
    let line = refusal(&run(folder.path(), &both), 2);
    assert!(line.contains("was frozen with another study"), "{line}");
    let begun = fs::read_dir(at.join("first/cells")).expect("a folder");
    assert_eq!(begun.count(), 0);
}

#[test]
fn mistakes_cost_one_line_and_leave_nothing_behind() {
    let folder = tempdir().expect("a temporary folder");
    let line = refusal(&run(folder.path(), &["ablate", "claims", "2a-exits"]), 2);
    assert!(line.contains("did you mean `2a-exist`?"), "{line}");
    let wrong = CLAIM.replace("arm = \"wide\"", "arm = \"wid\"");
    fs::write(folder.path().join("wrong.toml"), wrong).expect("the claim is written");
    let line = refusal(&run(folder.path(), &["ablate", "claims", "wrong.toml"]), 2);
    assert!(line.contains("did you mean `wide`?"), "{line}");
    assert!(!folder.path().join("runs").exists());
}

/// What is committed belongs together. A packaged crate has no workspace around it, and nothing to compare.
#[test]
fn the_page_of_claims_is_that_of_the_results_that_are_kept() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let Ok(page) = fs::read_to_string(docs.join("claims.md")) else {
        return;
    };
    let kept = claim::kept(&docs.join("results/claims")).expect("the results read");
    let made = claim::page(&kept);
    let differs = page.lines().zip(made.lines()).position(|(a, b)| a != b);
    assert!(
        page == made,
        "docs/claims.md, line {}, is not of these results: run `cargo xtask ablate claims --docs`",
        1 + differs.unwrap_or_else(|| page.lines().count().min(made.lines().count()))
    );
}
