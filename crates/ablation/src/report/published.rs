//! Published numbers beside ours, for a terminal and as Markdown.

use std::fmt::Write as _;

use crate::{
    exact::{
        Agreement, Comparison, Report,
        published::{Compare, Read},
    },
    report::{
        exact::{number, ours},
        markdown::cell,
        number::{DASH, significant},
        terminal::{Page, columns, paint_of},
    },
};

pub(super) fn published_terminal(page: &mut Page, report: &Report) {
    if report.published.is_empty() && report.cited.is_empty() {
        return;
    }
    page.out.push('\n');
    page.heading("published");
    for row in &report.published {
        let words = row.verdict.words();
        let verdict = page.paint(words, paint(row.verdict));
        let _ = write!(page.out, "  {verdict}  ");
        page.hanging(4 + columns(words), &format!("{}: {}", row.source, row.says));
        let text = format!(
            "theirs {}{}, ours {}, allowed {} ({})",
            sign(row.compare),
            row.printed,
            measured(row),
            allowed(row),
            read(row.read)
        );
        page.paragraph("    ", &text);
        page.paragraph("    ", &row.what);
        if let Some(note) = &row.note {
            page.paragraph("    ", note);
        }
    }
    for row in &report.cited {
        let verdict = page.paint("NOT TESTED", paint_of("not_tested"));
        let _ = write!(page.out, "  {verdict}  ");
        page.hanging(14, &format!("{}: {}", row.source, row.says));
        page.paragraph("    ", &row.why);
    }
}

pub(super) fn published_markdown(report: &Report) -> String {
    let mut out = String::new();
    if !report.published.is_empty() {
        out.push_str("\n### Published numbers\n\n| verdict | source | what it says | printed | ours | allowed | number | known from |\n|---|---|---|--:|--:|--:|---|---|\n");
    }
    for row in &report.published {
        let _ = writeln!(
            out,
            "| **{}** | {} | {} | {}{} | {} | {} | {} | {} |",
            row.verdict.words(),
            cell(&row.source),
            cell(&row.says),
            sign(row.compare),
            cell(&row.printed),
            measured(row),
            allowed(row),
            cell(&row.what),
            read(row.read),
        );
    }
    let mut notes = report
        .published
        .iter()
        .filter_map(|row| Some((row, row.note.as_ref()?)))
        .peekable();
    if notes.peek().is_some() {
        out.push_str("\nWhat a reader must know:\n\n");
    }
    for (row, note) in notes {
        let _ = writeln!(out, "- {} (`{}`): {note}", row.source, row.id);
    }
    if !report.cited.is_empty() {
        out.push_str("\n### Not tested\n\n| source | what it says | why not | known from |\n|---|---|---|---|\n");
    }
    for row in &report.cited {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell(&row.source),
            cell(&row.says),
            cell(&row.why),
            read(row.read),
        );
    }
    out
}

/// How many published numbers came to what; empty where there are none.
pub(super) fn published_in_short(report: &Report) -> String {
    if report.published.is_empty() && report.cited.is_empty() {
        return String::new();
    }
    let count = |verdict| {
        let rows = report.published.iter();
        rows.filter(|row| row.verdict == verdict).count()
    };
    let mut text = format!(
        "Of {} published numbers {} agree, {} differ, {} cannot be compared",
        report.published.len(),
        count(Agreement::Agrees),
        count(Agreement::Differs),
        count(Agreement::NotComparable)
    );
    match count(Agreement::Open) {
        0 => {}
        open => {
            let _ = write!(text, ", of {open} our error is too large to tell");
        }
    }
    match count(Agreement::NotFound) {
        0 => {}
        lost => {
            let _ = write!(text, ", {lost} have none of ours beside them");
        }
    }
    let _ = write!(text, "; {} more are not tested. ", report.cited.len());
    text
}

fn paint(verdict: Agreement) -> &'static str {
    paint_of(match verdict {
        Agreement::Agrees => "supported",
        Agreement::Differs => "refuted",
        Agreement::Open => "inconclusive",
        Agreement::NotComparable => "not_tested",
        Agreement::NotFound => "invalid",
    })
}

fn measured(row: &Comparison) -> String {
    match &row.ours {
        Some(check) => ours(check),
        None => number(None),
    }
}

fn allowed(row: &Comparison) -> String {
    row.allowed
        .map_or_else(|| DASH.to_owned(), |allowed| significant(allowed, 2))
}

fn sign(compare: Compare) -> &'static str {
    match compare {
        Compare::Near => "≈ ",
        Compare::Equal => "= ",
        Compare::Shown => "",
        Compare::AtLeast => "≥ ",
        Compare::AtMost => "≤ ",
    }
}

fn read(read: Read) -> &'static str {
    match read {
        Read::Text => "text",
        Read::Code => "code",
        Read::Formula => "formula",
        Read::Recalled => "memory",
    }
}
