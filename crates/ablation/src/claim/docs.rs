//! The page of claims: every sentence of the thesis with what the claims found, those that do not hold first.

use std::{fmt::Write as _, path::Path};

use super::{
    ClaimReport, ClaimResult, Selection,
    evidence::{self, Evidence, Judged, Word},
    load,
    thesis::SENTENCES,
};
use crate::{
    catalog,
    error::Error,
    files,
    report::{cell, claims_markdown, effect_words},
    study,
};

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
    let mut rows: Vec<(Word, usize, Vec<Judged<'_>>)> = (1..=SENTENCES.len())
        .map(|number| {
            let parts = evidence::parts(number, claims);
            (evidence::together(&parts), number, parts)
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
         A finding marked ✗ speaks against its sentence, ✓ for it; · was to decide and has not; ○ is shown beside and has no say.\n\
         A sentence that asserts several things is taken apart, and holds if all of them do: one part that is refuted refutes it, one that is undecided or not tested leaves it INCONCLUSIVE.\n\
         SUPPORTED UNDER: some findings speak for it and some against it, or they hold under a condition themselves; the condition is named.\n\
         The 2×2 studies stand beside: [the default study](results/default.md), [Fashion-MNIST](results/fashion-mnist.md); every number of the exact layer is in [its table](results/exact.md).\n\
         \n## The sentences\n\n\
         | | verdict | sentence | evidence |\n|---|---|---|---|\n",
        SENTENCES.len(),
        counts.join(", ")
    );
    for (word, number, parts) in &rows {
        let sentence = &SENTENCES[number - 1];
        let lines = parts.iter().flat_map(|part| lines_of(part, parts.len()));
        let why = Some(sentence.untestable).filter(|why| !why.is_empty());
        let shown: Vec<String> = why.map(cell).into_iter().chain(lines).collect();
        let _ = writeln!(
            out,
            "| T{number} | {} | {} | {} |",
            verdict(*word, parts),
            cell(sentence.says),
            shown.join("<br>")
        );
    }
    out.push_str("\n## The claims\n\n");
    let report = ClaimReport {
        schema: 1,
        claims: claims.to_vec(),
    };
    out.push_str(&claims_markdown(&report));
    out.push_str("\n## What the metrics are\n\n");
    for line in metrics(claims) {
        let _ = writeln!(out, "- {line}");
    }
    out.push_str("\n## Caveats\n\n");
    for claim in claims {
        for note in &claim.notes {
            let _ = writeln!(out, "- {}: {note}", claim.name);
        }
    }
    out
}

/// The verdict, with the conditions under which a sentence holds.
fn verdict(word: Word, parts: &[Judged<'_>]) -> String {
    if word != Word::Conditional {
        return format!("**{}**", word.text());
    }
    let mut conditions: Vec<&str> = Vec::new();
    for part in parts.iter().filter(|part| part.word == word) {
        if !conditions.contains(&part.condition.as_str()) {
            conditions.push(&part.condition);
        }
    }
    format!("**SUPPORTED UNDER** {}", cell(&conditions.join("; ")))
}

/// What a part says and what became of it, its evidence, and what that does not reach.
fn lines_of(part: &Judged<'_>, parts: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if !part.says.is_empty() {
        let under = match part.word {
            Word::Conditional => format!("SUPPORTED UNDER {}", part.condition),
            word => word.text().to_owned(),
        };
        lines.push(format!("*{}*: {}", cell(part.says), cell(&under)));
    } else if 1 < parts {
        lines.push("*other studies*".to_owned());
    }
    lines.extend(part.evidence.iter().map(line));
    if !part.missing.is_empty() {
        let names: Vec<String> = part.missing.iter().map(|id| format!("`{id}`")).collect();
        lines.push(format!("· not run: {}", names.join(", ")));
    }
    if !part.caveat.is_empty() {
        lines.push(format!("({})", cell(part.caveat)));
    }
    lines
}

fn line(evidence: &Evidence<'_>) -> String {
    let Evidence { claim, finding, .. } = evidence;
    let mark = evidence.weight.mark();
    let start = format!(
        "{mark} `{}` {}: {}",
        finding.id,
        finding.words(),
        cell(&finding.claim)
    );
    if finding.value.is_none() {
        let reason = finding.reason.as_deref().unwrap_or("no number");
        return format!("{start} ({})", cell(reason));
    }
    let seeds = match finding.seeds {
        0 => String::new(),
        1 => ", exact".to_owned(),
        n => format!(", {n} seeds"),
    };
    format!(
        "{start} ({}{seeds}; against: {})",
        cell(&effect_words(finding)),
        cell(&claim.counter),
    )
}

/// What each metric is that a finding of a built-in claim is made of, with its unit.
fn metrics(claims: &[ClaimResult]) -> Vec<String> {
    let built_in = load(&Selection::All).expect("the built-in claims read");
    let mut lines: Vec<String> = Vec::new();
    for claim in built_in
        .iter()
        .filter(|claim| claims.iter().any(|kept| kept.name == claim.name))
    {
        let terms = claim.findings.iter().flat_map(|of| of.measure.terms());
        let used: Vec<&str> = terms.flat_map(|term| term.metrics()).collect();
        let meanings: Vec<(&str, &str, &str)> = match &claim.experiment {
            Some(experiment) => {
                let rows = experiment.metrics().iter();
                rows.map(|m| (m.name, m.meaning, m.unit)).collect()
            }
            None => {
                let rows = catalog::PROBES.iter();
                rows.map(|&(name, _, _, meaning)| (name, meaning, ""))
                    .collect()
            }
        };
        for (name, meaning, unit) in meanings.iter().filter(|row| used.contains(&row.0)) {
            let unit = match *unit {
                "" => String::new(),
                unit => format!(", in {unit}"),
            };
            let line = format!("`{name}`{unit}: {meaning}");
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines.sort();
    lines
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::exact::Finding;

    /// A claim of one finding.
    pub(crate) fn result(id: &str, about: &str, class: &str) -> ClaimResult {
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
            decides: Vec::new(),
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
        let mut against = result("d", "T5", "supported");
        against.against = [("d".to_owned(), vec!["T5".to_owned()])].into();
        let mut claims = vec![
            result("a", "T3", "supported"),
            result("b", "T18", "supported"),
            result("c", "T18", "refuted"),
            against,
        ];
        claims[1].findings[0].verdict = "SUPPORTED UNDER small ones".to_owned();
        // The whole evidence of T25, and half of that of T8.
        for id in ["6-band", "4-spread", "3b-monotone"] {
            claims.push(result(id, "T1", "supported"));
        }
        claims.push(result("6-band-equal", "T1", "refuted"));
        let page = page(&claims);
        let row = |number: usize| {
            let start = format!("| T{number} |");
            page.lines()
                .position(|line| line.starts_with(&start))
                .unwrap_or_else(|| panic!("no row T{number}"))
        };
        assert!((1..=36).map(row).all(|line| 0 < line));
        let text = |number| page.lines().nth(row(number)).expect("it is there");
        // The rest of the evidence is missing, and the table says so.
        assert!(text(3).contains("INCONCLUSIVE") && text(3).contains("not run: `1a-off`"));
        assert!(text(5).contains("REFUTED") && text(5).contains("✗ `d`"));
        assert!(text(8).contains("*it smooths the mass*: SUPPORTED<br>"));
        assert!(text(8).contains("*it makes the distribution differentiable*: NOT TESTED"));
        assert!(text(8).contains("**INCONCLUSIVE**"));
        assert!(text(18).contains("**SUPPORTED UNDER** small ones"));
        assert!(text(18).contains("history") && text(18).contains("✗ `c`"));
        assert!(text(25).contains("**SUPPORTED**") && text(25).contains("the rival"));
        assert!(
            text(36).contains("**NOT TESTED**") && text(36).contains("fact of the architecture")
        );
        assert!(page.contains("of 36 sentences 1 REFUTED, 1 SUPPORTED UNDER CONDITIONS,"));
        assert!(row(5) < row(18) && row(18) < row(3) && row(3) < row(25) && row(25) < row(36));
    }
}
