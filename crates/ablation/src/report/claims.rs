//! The claims table, for a terminal and as Markdown.

use std::fmt::Write as _;

use crate::{
    claim::{ClaimReport, ClaimResult, bears_on},
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
            wrap(&primary.words(), verdict),
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
            let verdict = page.paint(&finding.words(), paint_of(&finding.class));
            let decides = match claim.decides(finding) {
                true if 1 < claim.decides.len() => "  (must hold)",
                _ => "",
            };
            let _ = writeln!(page.out, "  {verdict}  {}{decides}", finding.id);
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

/// The effect and its interval; an interval without width is none: every seed gave the same number.
pub(crate) fn effect_words(finding: &Finding) -> String {
    let number = |x: f64| significant(x, 3);
    match (finding.value, finding.low, finding.high) {
        (Some(value), Some(low), Some(high)) if high - low <= 1e-12 * value.abs() => {
            format!("{} in each of {} seeds", number(value), finding.seeds)
        }
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
    let primaries = || report.claims.iter().map(ClaimResult::primary);
    let count = |class: &str| primaries().filter(|finding| finding.class == class).count();
    let mut parts: Vec<String> = words
        .iter()
        .map(|(class, words)| (count(class), words))
        .filter(|(count, _)| 0 < *count)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    let measured = |finding: &&Finding| finding.class == "not_tested" && finding.value.is_some();
    match (primaries().filter(measured).count(), parts.last_mut()) {
        (0, _) | (_, None) => {}
        (shown, Some(last)) => {
            let _ = write!(last, " ({shown} of them measured and reported only)");
        }
    }
    format!("Of {} claims {}.", report.claims.len(), parts.join(", "))
}

/// Renders the table as Markdown: every registered sentence of every claim, those in bold by which their claim stands.
pub fn claims_markdown(report: &ClaimReport) -> String {
    let mut out = format!("{}\n", in_short(report));
    out.push_str("A claim stands by its findings in bold: it holds if all of them do, and its verdict is that of the one that does so least.\n");
    out.push_str("\n| claim | verdict | sentence | measured | supported if | effect | seeds | counter-arm |\n|---|---|---|---|---|--:|--:|---|\n");
    for claim in &report.claims {
        for finding in &claim.findings {
            let name = match claim.decides(finding) {
                true => format!("**{}**", cell(&finding.id)),
                false => cell(&finding.id),
            };
            let verdict = match &finding.reason {
                Some(reason) => format!("**{}**: {}", cell(&finding.words()), cell(reason)),
                None => format!("**{}**", cell(&finding.words())),
            };
            let _ = writeln!(
                out,
                "| {name} ({}) | {verdict} | {} | {} | {} | {} | {} | {} |",
                bears_on(finding).join(" "),
                cell(&finding.claim),
                cell(&finding.measure),
                cell(&minus(&finding.expect)),
                cell(&effect_words(finding)),
                finding.seeds,
                cell(&claim.counter),
            );
        }
    }
    out
}
