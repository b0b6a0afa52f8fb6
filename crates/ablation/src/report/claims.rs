//! The claims table, for a terminal and as Markdown.

use std::fmt::Write as _;

use crate::{
    claim::{ClaimReport, ClaimResult},
    exact::Finding,
    report::{
        markdown::cell,
        number::{DASH, minus, significant},
        terminal::{Colour, Page, paint_of, wrap},
    },
};

/// Renders the table as text of at most `width` columns (at least 60): claim, verdict, effect with its interval, seeds
/// and counter-arm; then what was registered beside, and what it is all made of.
pub fn claims_terminal(report: &ClaimReport, width: usize, colour: Colour) -> String {
    let mut page = Page {
        out: String::new(),
        width: width.max(60),
        colour,
    };
    page.heading("claims");
    page.out.push('\n');
    let (verdict, effect, seeds, counter) = (15, 24, 2, 15);
    // Two spaces before each of five columns.
    let name = page
        .width
        .saturating_sub(verdict + effect + seeds + counter + 10)
        .max(14);
    let widths = [verdict, name, counter, effect, seeds];
    let header = ["verdict", "claim", "counter-arm", "effect [interval]", "n"];
    page.row(&header.map(|word| vec![word.to_owned()]), &widths, "2");
    for claim in &report.claims {
        let primary = claim.primary();
        let cells = [
            wrap(&primary.verdict, verdict),
            wrap(&format!("{}: {}", claim.name, claim.title), name),
            wrap(&claim.counter, counter),
            wrap(&effect_words(primary), effect),
            vec![primary.seeds.to_string()],
        ];
        page.row(&cells, &widths, paint_of(&primary.class));
    }
    for claim in &report.claims {
        page.out.push('\n');
        page.heading(&format!("{} · {}", claim.name, claim.title));
        page.paragraph("  ", &claim.question);
        for finding in &claim.findings {
            let verdict = page.paint(&finding.verdict, paint_of(&finding.class));
            let _ = writeln!(page.out, "  {verdict}  {}", finding.id);
            page.paragraph("    ", &finding.claim);
            page.paragraph("    ", &evidence(finding));
            if let Some(reason) = &finding.reason {
                page.paragraph("    ", reason);
            }
        }
        if claim.done < claim.cells {
            let missing = claim.cells - claim.done;
            page.paragraph(
                "  ",
                &format!("{missing} of {} cells are missing", claim.cells),
            );
        }
        if 0 < claim.diverged {
            let words = format!("{} of {} cells diverged", claim.diverged, claim.done);
            page.paragraph("  ", &words);
        }
    }
    page.out.push('\n');
    let lead = page.paint("what it says", "1");
    let _ = write!(page.out, "{lead}  ");
    page.hanging(14, &in_short(report));
    page.out
}

/// What was measured and what it came to.
pub(crate) fn evidence(finding: &Finding) -> String {
    if finding.measure.is_empty() {
        return String::new();
    }
    format!(
        "{}: {} (expected {}; n = {})",
        finding.measure,
        effect_words(finding),
        minus(&finding.expect),
        finding.seeds
    )
}

/// The effect and its interval.
pub(crate) fn effect_words(finding: &Finding) -> String {
    let number = |x: f64| significant(x, 3);
    match (finding.value, finding.low, finding.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{} [{}, {}]", number(value), number(low), number(high))
        }
        (Some(value), ..) => number(value),
        _ => DASH.to_owned(),
    }
}

/// How many claims came to what, those that do not hold first.
pub(crate) fn in_short(report: &ClaimReport) -> String {
    let words = [
        ("invalid", "invalid"),
        ("refuted", "refuted"),
        ("supported_under", "supported under a condition"),
        ("inconclusive", "inconclusive"),
        ("supported", "supported"),
        ("not_tested", "not tested"),
    ];
    let count = |class: &str| {
        let of_class = |claim: &&ClaimResult| claim.primary().class == class;
        report.claims.iter().filter(of_class).count()
    };
    let parts: Vec<String> = words
        .iter()
        .map(|(class, words)| (count(class), words))
        .filter(|(count, _)| 0 < *count)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    format!("Of {} claims {}.", report.claims.len(), parts.join(", "))
}

/// Renders the table as Markdown: every registered sentence of every claim.
pub fn claims_markdown(report: &ClaimReport) -> String {
    let mut out = format!("{}\n", in_short(report));
    out.push_str("\n| claim | verdict | sentence | effect | seeds | counter-arm |\n|---|---|---|--:|--:|---|\n");
    for claim in &report.claims {
        for finding in &claim.findings {
            let _ = writeln!(
                out,
                "| {} ({}) | **{}** | {} | {} | {} | {} |",
                cell(&finding.id),
                finding.about.join(" "),
                cell(&finding.verdict),
                cell(&finding.claim),
                cell(&effect_words(finding)),
                finding.seeds,
                cell(&claim.counter),
            );
        }
    }
    out
}
