//! The exact layer's report for a terminal and as Markdown: claims first, then every number beside what it should be.

use std::fmt::Write as _;

use crate::{
    exact::{
        Check, Finding, Report, Section,
        report::{Against, How},
    },
    report::{
        markdown::cell,
        number::{DASH, minus, significant},
        published::{published_in_short, published_markdown, published_terminal},
        terminal::{Colour, Page, columns, paint_of, wrap},
    },
};

/// Renders the report as text of at most `width` columns (at least 60).
///
/// Claims with their verdicts, then a table per quantity: the last column is the difference over what is allowed.
pub fn exact_terminal(report: &Report, width: usize, colour: Colour) -> String {
    let mut page = Page {
        out: String::new(),
        width: width.max(60),
        colour,
    };
    page.heading(&report.name);
    for question in &report.questions {
        page.paragraph("", question);
    }
    for section in &report.sections {
        page.out.push('\n');
        page.heading(&format!("{} · {}", section.quantity, section.name));
        page.paragraph("  ", &section.meaning);
        page.paragraph(
            "  ",
            &format!("{}; about {}", section.parameters, section.about.join(" ")),
        );
        page.out.push('\n');
        checks(&mut page, &section.checks);
    }
    page.out.push('\n');
    if findings(report).next().is_some() {
        page.heading("claims");
    }
    for (section, finding) in findings(report) {
        claim(&mut page, section, finding);
    }
    published_terminal(&mut page, report);
    page.out.push('\n');
    for note in &report.notes {
        page.out.push_str("note  ");
        page.hanging(6, note);
    }
    let lead = page.paint("what it says", "1");
    let _ = write!(page.out, "{lead}  ");
    page.hanging(14, &in_short(report));
    page.out
}

/// Renders the report as Markdown: the same rows, with differences and tolerances.
pub fn exact_markdown(report: &Report) -> String {
    let mut out = format!("## {}\n", report.name);
    for question in &report.questions {
        let _ = write!(out, "\n{question}\n");
    }
    let _ = write!(out, "\n**What it says:** {}\n", in_short(report));
    out.push_str(&published_markdown(report));
    if findings(report).next().is_some() {
        out.push_str("\n### Claims\n\n| claim | verdict | sentence | measured | value | expected | seeds |\n|---|---|---|---|--:|--:|--:|\n");
    }
    for (section, finding) in findings(report) {
        let _ = writeln!(
            out,
            "| {} ({}) | **{}** | {} | {}, {} | {} | {} | {} |",
            cell(&finding.id),
            finding.about.join(" "),
            finding.verdict,
            cell(&finding.claim),
            cell(&section.name),
            cell(&finding.measure),
            value(finding),
            finding.expect,
            finding.seeds,
        );
    }
    for section in &report.sections {
        let _ = write!(
            out,
            "\n### {}: {}\n\n{}.\n{}; about {}.\n\n| verdict | number | ours | held against | | difference | allowed |\n|---|---|--:|--:|---|--:|--:|\n",
            section.quantity,
            section.name,
            section.meaning,
            section.parameters,
            section.about.join(" "),
        );
        for check in &section.checks {
            let _ = writeln!(
                out,
                "| {} | {}{}{} | {} | {} | {} | {} | {} |",
                check.verdict,
                cell(&check.group),
                if check.group.is_empty() { "" } else { ", " },
                cell(&check.what),
                ours(check),
                number(check.wanted),
                words(check.against),
                number(check.difference),
                number(check.tolerance),
            );
        }
    }
    for note in &report.notes {
        let _ = write!(out, "\n- {note}");
    }
    if !report.notes.is_empty() {
        out.push('\n');
    }
    out
}

fn checks(page: &mut Page, rows: &[Check]) {
    let (verdict, number, wanted, off) = (12, 19, 11, 4);
    // Two spaces before each of five columns.
    let what = page
        .width
        .saturating_sub(verdict + number + wanted + off + 10)
        .max(16);
    let widths = [verdict, what, number, wanted, off];
    let header = ["verdict", "number", "ours", "wanted", "off"].map(|word| vec![word.to_owned()]);
    page.row(&header, &widths, "2");
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = &row.group;
            page.paragraph("  ", group);
        }
        let sign = match row.against {
            Against::ClosedForm => "= ",
            Against::Expected => "≈ ",
            Against::AtMost => "≤ ",
            Against::Nothing => "",
        };
        let off = match (row.difference, row.tolerance) {
            (Some(difference), Some(tolerance)) if difference.abs() < 9.995 * tolerance => {
                format!("{:.2}", difference.abs() / tolerance)
            }
            (Some(0.0), _) => "0.00".to_owned(),
            (Some(_), _) => ">9".to_owned(),
            (None, _) => DASH.to_owned(),
        };
        let cells = [
            wrap(&row.verdict, verdict),
            wrap(&row.what, what),
            vec![ours(row)],
            vec![format!("{sign}{}", self::number(row.wanted))],
            vec![off],
        ];
        page.row(&cells, &widths, paint_of(&row.class));
    }
}

fn claim(page: &mut Page, section: &Section, finding: &Finding) {
    let verdict = page.paint(&finding.verdict, paint_of(&finding.class));
    let _ = write!(page.out, "  {verdict}  ");
    let about = finding.about.join(" ");
    let text = format!("{} ({about}): {}", finding.id, finding.claim);
    page.hanging(4 + columns(&finding.verdict), &text);
    let mut evidence = format!(
        "{}, {}: {}, expected {}",
        section.name,
        finding.measure,
        value(finding),
        finding.expect
    );
    if 1 < finding.seeds {
        let _ = write!(evidence, ", {} seeds", finding.seeds);
    }
    if let Some(reason) = &finding.reason {
        let _ = write!(evidence, " ({reason})");
    }
    page.paragraph("    ", &evidence);
}

fn findings(report: &Report) -> impl Iterator<Item = (&Section, &Finding)> {
    report.sections.iter().flat_map(|section| {
        section
            .findings
            .iter()
            .map(move |finding| (section, finding))
    })
}

/// How many numbers and claims have which verdict.
fn in_short(report: &Report) -> String {
    let checks: Vec<&Check> = report.sections.iter().flat_map(|s| &s.checks).collect();
    let count = |class: &str| checks.iter().filter(|check| check.class == class).count();
    let claims: Vec<String> = ["supported", "refuted", "inconclusive", "not_tested"]
        .iter()
        .filter_map(|class| {
            let ids: Vec<&str> = findings(report)
                .filter(|(_, finding)| finding.class == *class)
                .map(|(_, finding)| finding.id.as_str())
                .collect();
            let word = class.replace('_', " ");
            (!ids.is_empty()).then(|| format!("{word}: {}", ids.join(", ")))
        })
        .collect();
    let published = published_in_short(report);
    let numbers = format!(
        "{published}{} {} numbers {} agree with their closed form, bound or expected value, {} differ, {} have none to agree with",
        if published.is_empty() { "of" } else { "Of" },
        checks.len(),
        count("supported"),
        count("refuted"),
        checks.len() - count("supported") - count("refuted"),
    );
    if claims.is_empty() {
        format!(
            "{numbers}{}.",
            if published.is_empty() {
                "; no claim is registered"
            } else {
                ""
            }
        )
    } else {
        format!("{numbers}. Claims {}.", claims.join("; "))
    }
}

pub(super) fn ours(check: &Check) -> String {
    let value = number(check.value);
    match check.error {
        Some(error) if 0.0 < error && check.how != How::Rounding => {
            let error = if error < 1e-3 {
                minus(&format!("{error:.0e}"))
            } else {
                significant(error, 2)
            };
            format!("{value} ± {error}")
        }
        _ => value,
    }
}

fn value(finding: &Finding) -> String {
    match (finding.low, finding.high) {
        (Some(low), Some(high)) => format!(
            "{} [{}, {}]",
            number(finding.value),
            significant(low, 3),
            significant(high, 3)
        ),
        _ => number(finding.value),
    }
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| DASH.to_owned(), |value| significant(value, 4))
}

fn words(against: Against) -> &'static str {
    match against {
        Against::ClosedForm => "closed form",
        Against::Expected => "expected",
        Against::AtMost => "upper bound",
        Against::Nothing => "",
    }
}
