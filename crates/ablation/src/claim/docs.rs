//! The page of claims: every sentence of the thesis with what the claims found, those that do not hold first.

use std::{fmt::Write as _, path::Path};

use super::{ClaimResult, thesis::SENTENCES};
use crate::{
    catalog,
    error::Error,
    exact::Finding,
    files,
    report::{cell, claims_markdown, effect_words},
    study,
};

/// What the findings together say of a sentence, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Refuted,
    PartlyTrue,
    Conditional,
    InPart,
    Inconclusive,
    Supported,
    NotTested,
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Word::Refuted => "REFUTED",
            Word::PartlyTrue => "PARTLY TRUE",
            Word::Conditional => "SUPPORTED UNDER CONDITIONS",
            Word::InPart => "SUPPORTED IN PART",
            Word::Inconclusive => "INCONCLUSIVE",
            Word::Supported => "SUPPORTED",
            Word::NotTested => "NOT TESTED",
        }
    }
}

/// A finding that bears on a sentence.
struct Evidence<'a> {
    claim: &'a ClaimResult,
    finding: &'a Finding,
    /// Whether it speaks against the sentence if it holds.
    against: bool,
}

impl Evidence<'_> {
    /// 1 for the sentence, −1 against it, 0 undecided.
    fn sign(&self) -> i32 {
        let holds = match self.finding.class.as_str() {
            "supported" | "supported_under" => 1,
            "refuted" => -1,
            _ => 0,
        };
        if self.against { -holds } else { holds }
    }
}

/// The results that are kept in a folder, one file for each claim, in the order of the built-in claims and then by name.
///
/// # Errors
///
/// [`Error::Damaged`] for a file that does not read; files.
pub fn kept(folder: &Path) -> Result<Vec<ClaimResult>, Error> {
    let mut found: Vec<ClaimResult> = Vec::new();
    for path in study::files_of(folder, "json")? {
        let bytes = files::read(&path)?;
        found.push(
            serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
                path,
                message: error.to_string(),
            })?,
        );
    }
    let place = |claim: &ClaimResult| {
        let names = catalog::CLAIMS.iter().map(|(name, _)| *name);
        let place = names.enumerate().find(|(_, name)| *name == claim.name);
        place.map_or(usize::MAX, |(place, _)| place)
    };
    found.sort_by(|a, b| place(a).cmp(&place(b)).then(a.name.cmp(&b.name)));
    Ok(found)
}

/// The page as Markdown, from the results that are kept.
pub fn page(claims: &[ClaimResult]) -> String {
    let mut rows: Vec<(Word, usize, Vec<Evidence<'_>>)> = (1..=SENTENCES.len())
        .map(|number| {
            let evidence = bearing_on(&format!("T{number}"), claims);
            (word(&evidence), number, evidence)
        })
        .collect();
    rows.sort_by_key(|(word, number, _)| (*word, *number));
    let counts: Vec<String> = rows
        .chunk_by(|a, b| a.0 == b.0)
        .map(|rows| format!("{} {}", rows.len(), rows[0].0.text()))
        .collect();
    let mut out = format!(
        "# Claims\n\n\
         **What it says:** of {} sentences {}.\n\n\
         Every sentence of the thesis, T1 to T36, with what the claims of this laboratory found; those that do not hold come first.\n\
         This page is written by `cargo xtask ablate claims --docs` from the results in `docs/results/claims/`, which `cargo xtask ablate claims` makes again.\n\
         A finding marked ✗ speaks against its sentence, ✓ for it, · decides nothing.\n\
         PARTLY TRUE: some speak for it and some against it. SUPPORTED IN PART: none speaks against it, and some that should decide it do not.\n\
         The 2×2 studies stand beside: [the default study](results/default.md), [Fashion-MNIST](results/fashion-mnist.md); every number of the exact layer is in [its table](results/exact.md).\n\
         \n## The sentences\n\n\
         | | verdict | sentence | evidence |\n|---|---|---|---|\n",
        SENTENCES.len(),
        counts.join(", ")
    );
    for (word, number, evidence) in &rows {
        let sentence = &SENTENCES[number - 1];
        let shown = if evidence.is_empty() {
            sentence.untestable.to_owned()
        } else {
            let mut shown: Vec<&Evidence<'_>> = evidence.iter().collect();
            // What speaks against it first.
            shown.sort_by_key(|evidence| (evidence.sign(), evidence.finding.class == "not_tested"));
            let lines: Vec<String> = shown.into_iter().map(line).collect();
            lines.join("<br>")
        };
        let _ = writeln!(
            out,
            "| T{number} | **{}** | {} | {shown} |",
            word.text(),
            cell(sentence.says)
        );
    }
    out.push_str("\n## The claims\n\n");
    let report = super::ClaimReport {
        schema: 1,
        claims: claims.to_vec(),
    };
    out.push_str(&claims_markdown(&report));
    out.push_str("\n## Caveats\n\n");
    for claim in claims {
        for note in &claim.notes {
            let _ = writeln!(out, "- {}: {note}", claim.name);
        }
    }
    out
}

fn bearing_on<'a>(sentence: &str, claims: &'a [ClaimResult]) -> Vec<Evidence<'a>> {
    let names = |list: &[String]| list.iter().any(|name| name == sentence);
    let findings = claims
        .iter()
        .flat_map(|claim| claim.findings.iter().map(move |finding| (claim, finding)));
    findings
        .filter(|(_, finding)| names(&finding.about))
        .map(|(claim, finding)| Evidence {
            claim,
            finding,
            against: claim
                .against
                .get(&finding.id)
                .is_some_and(|list| names(list)),
        })
        .collect()
}

fn word(evidence: &[Evidence<'_>]) -> Word {
    let holds = evidence.iter().any(|e| e.sign() == 1);
    let fails = evidence.iter().any(|e| e.sign() == -1);
    let conditional = |e: &Evidence<'_>| e.finding.class == "supported_under";
    let open = evidence.iter().any(|e| e.finding.class == "inconclusive");
    let tested = evidence.iter().any(|e| e.finding.class != "not_tested");
    match (holds, fails) {
        (true, true) => Word::PartlyTrue,
        (false, true) => Word::Refuted,
        (true, false) if evidence.iter().any(conditional) => Word::Conditional,
        (true, false) if open => Word::InPart,
        (true, false) => Word::Supported,
        (false, false) if tested => Word::Inconclusive,
        (false, false) => Word::NotTested,
    }
}

fn line(evidence: &Evidence<'_>) -> String {
    let sign = match evidence.sign() {
        1 => "✓",
        -1 => "✗",
        _ => "·",
    };
    let Evidence { claim, finding, .. } = evidence;
    let seeds = match finding.seeds {
        0 => String::new(),
        1 => ", exact".to_owned(),
        n => format!(", {n} seeds"),
    };
    format!(
        "{sign} `{}` {}: {} ({}{seeds}; against: {})",
        finding.id,
        finding.verdict,
        cell(&finding.claim),
        cell(&effect_words(finding)),
        cell(&claim.counter),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(id: &str, about: &str, class: &str) -> ClaimResult {
        let finding = Finding {
            id: id.to_owned(),
            claim: format!("what {id} says"),
            about: vec![about.to_owned()],
            measure: "m".to_owned(),
            expect: "> 1".to_owned(),
            value: Some(2.0),
            low: Some(1.5),
            high: Some(2.5),
            adjusted_p: Some(0.01),
            seeds: 8,
            verdict: class.to_uppercase(),
            class: class.to_owned(),
            reason: None,
        };
        ClaimResult {
            schema: 1,
            name: id.to_owned(),
            title: id.to_owned(),
            question: "?".to_owned(),
            about: vec![about.to_owned()],
            counter: "the rival".to_owned(),
            notes: Vec::new(),
            against: Default::default(),
            run: id.to_owned(),
            findings: vec![finding],
            arms: Vec::new(),
            cells: 8,
            done: 8,
            diverged: 0,
            seconds: 1,
        }
    }

    #[test]
    fn every_sentence_has_a_row_and_what_does_not_hold_comes_first() {
        let mut against = result("c", "T5", "supported");
        against.against = [("c".to_owned(), vec!["T5".to_owned()])].into();
        let claims = [
            result("a", "T3", "supported"),
            result("b", "T3", "refuted"),
            against,
            result("d", "T6", "supported"),
            result("e", "T7", "supported"),
            result("f", "T7", "inconclusive"),
        ];
        let page = page(&claims);
        let row = |number: usize| {
            let start = format!("| T{number} |");
            page.lines()
                .position(|line| line.starts_with(&start))
                .unwrap_or_else(|| panic!("no row T{number}"))
        };
        assert!((1..=36).map(row).all(|line| 0 < line));
        let text = |number| page.lines().nth(row(number)).expect("it is there");
        assert!(text(3).contains("PARTLY TRUE"));
        assert!(text(5).contains("REFUTED") && text(5).contains("✗ `c`"));
        assert!(text(6).contains("**SUPPORTED**") && text(6).contains("the rival"));
        assert!(text(7).contains("**SUPPORTED IN PART**"));
        assert!(text(18).contains("history"));
        assert!(page.contains(
            "of 36 sentences 1 REFUTED, 1 PARTLY TRUE, 1 SUPPORTED IN PART, 1 SUPPORTED, 32 NOT TESTED.\n"
        ));
        assert!(row(5) < row(3) && row(3) < row(6) && row(6) < row(18));
    }
}
