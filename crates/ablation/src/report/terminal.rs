//! The report as plain text for a terminal or a log.

use std::fmt::Write as _;

use crate::report::number::{self, DASH};
use crate::report::view;
use crate::summary::{Arm, Block, StudySummary, Summary, VerdictRow};

/// Whether the text carries colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Characters only.
    Never,
    /// ANSI escape sequences around verdicts and headings.
    Ansi,
}

/// Renders the summary as text: stamps, the registered contrasts of each study, the medians of its primary
/// probe, and a last paragraph of what the numbers say.
///
/// `width` is in columns; below 60 the text is laid out for 60. Colour never changes the layout.
pub fn terminal(summary: &Summary, width: usize, colour: Colour) -> String {
    let mut page = Page {
        out: String::new(),
        width: width.max(60),
        colour,
    };
    page.heading(&summary.name);
    page.paragraph("", &summary.question);
    for stamp in &summary.stamps {
        let word = page.paint(&stamp.word, "1;33");
        let _ = write!(page.out, "! {word}  ");
        let indent = stamp.word.chars().count() + 4;
        page.hanging(indent, &stamp.reason);
    }
    for study in &summary.studies {
        page.study(study);
    }
    page.out.push('\n');
    let lead = page.paint("what it says", "1");
    let _ = write!(page.out, "{lead}  ");
    page.hanging(14, &view::in_short(summary));
    page.out
}

/// Text under construction.
pub(super) struct Page {
    pub(super) out: String,
    pub(super) width: usize,
    pub(super) colour: Colour,
}

impl Page {
    fn study(&mut self, study: &StudySummary) {
        self.out.push('\n');
        self.heading(&format!("{} · {}", study.name, study.title));
        self.paragraph("  ", &study.question);
        self.out.push('\n');
        if study.verdicts.is_empty() {
            self.paragraph("  ", "no contrast is registered");
        } else {
            self.contrasts(&study.verdicts);
        }
        for words in [view::standing(study), view::noise_floors(study)] {
            self.paragraph("  ", &words.unwrap_or_default());
        }
        self.out.push('\n');
        let better = view::better_words(view::better(study, &study.primary));
        let title = view::title(study, &study.primary);
        self.paragraph(
            "  ",
            &format!("{title} ({better}): median [min, max] over seeds"),
        );
        if let Some(block) = view::main_block(study) {
            self.square(block, &study.primary);
        }
        self.beside(study);
    }

    /// One line per contrast; long claims and verdicts continue below themselves.
    fn contrasts(&mut self, rows: &[VerdictRow]) {
        let shown: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let effect = number::effect(&row.numbers).whole();
                [effect].into_iter().chain(number::deciding(row)).collect()
            })
            .collect();
        let numbers = shown
            .iter()
            .flatten()
            .map(|text| columns(text))
            .max()
            .unwrap_or(0)
            .max(18);
        let verdict = 15;
        // Two spaces before each of five columns; p takes 6, n takes 3.
        let claim = self
            .width
            .saturating_sub(verdict + numbers + 6 + 3 + 10)
            .max(16);
        let header =
            ["verdict", "claim", "effect [95 %]", "adj. p", "n"].map(|word| vec![word.to_owned()]);
        let widths = [verdict, claim, numbers, 6, 3];
        self.row(&header, &widths, "2");
        for (row, effect) in rows.iter().zip(shown) {
            let cells = [
                wrap(&row.verdict, verdict),
                wrap(&row.claim, claim),
                effect,
                vec![number::p(row.adjusted_p)],
                vec![row.numbers.n.to_string()],
            ];
            self.row(&cells, &widths, paint_of(&row.class));
        }
    }

    /// Lines of a row; `paint` colours the first column, the last two are flush right.
    pub(super) fn row(&mut self, cells: &[Vec<String>; 5], widths: &[usize; 5], paint: &str) {
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let mut text = String::new();
            for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let part = cell.get(line).map_or("", String::as_str);
                let gap = " ".repeat(width.saturating_sub(columns(part)));
                text.push_str("  ");
                match place {
                    0 => text.push_str(&(self.paint(part, paint) + &gap)),
                    3 | 4 => text.push_str(&(gap + part)),
                    _ => text.push_str(&(part.to_owned() + &gap)),
                }
            }
            self.out.push_str(text.trim_end());
            self.out.push('\n');
        }
    }

    /// The 2×2: rows skip off and on, columns noise off and on; what was lost is listed below.
    fn square(&mut self, block: &Block, probe: &str) {
        let arm = |skip, noise| view::quarter(block, skip, noise);
        let cell = |skip, noise| {
            arm(skip, noise).map_or_else(|| DASH.to_owned(), |arm| view::shown(arm, probe))
        };
        let rows = [("skip off", false), ("skip on", true)]
            .map(|(name, skip)| (name, cell(skip, false), cell(skip, true)));
        let first = rows
            .iter()
            .map(|row| columns(&row.1))
            .max()
            .unwrap_or(0)
            .max(9);
        let _ = writeln!(self.out, "    {:10}{:first$}   noise on", "", "noise off");
        for (name, off, on) in rows {
            let _ = writeln!(self.out, "    {name:10}{off:first$}   {on}");
        }
        for arm in view::QUARTERS
            .iter()
            .filter_map(|&(skip, noise)| arm(skip, noise))
        {
            let lost = lost(arm);
            if !lost.is_empty() {
                self.paragraph("    ", &format!("{}: {lost}", arm.label));
            }
        }
    }

    /// The other blocks, one arm per line.
    fn beside(&mut self, study: &StudySummary) {
        let Some(main) = view::main_block(study) else {
            return;
        };
        let others = || {
            study
                .blocks
                .iter()
                .filter(|block| !std::ptr::eq(*block, main))
        };
        let labels = others()
            .flat_map(|block| &block.arms)
            .map(|arm| columns(&arm.label));
        let widest = labels.max().unwrap_or(0).min(self.width / 2);
        for block in others() {
            self.paragraph("    ", &format!("beside it: {}", block.name));
            for arm in &block.arms {
                let mut entry = view::shown(arm, &study.primary);
                let lost = lost(arm);
                if !lost.is_empty() {
                    entry = format!("{entry}, {lost}");
                }
                let _ = write!(self.out, "      {:widest$}   ", arm.label);
                self.hanging(9 + widest.max(columns(&arm.label)), &entry);
            }
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        let painted = self.paint(text, "1");
        let _ = writeln!(self.out, "{painted}");
    }

    pub(super) fn paragraph(&mut self, indent: &str, text: &str) {
        for line in wrap(text, self.width.saturating_sub(columns(indent))) {
            let _ = writeln!(self.out, "{indent}{line}");
        }
    }

    /// Continues the open line; further lines are indented.
    pub(super) fn hanging(&mut self, indent: usize, text: &str) {
        let lines = wrap(text, self.width.saturating_sub(indent).max(20));
        let _ = writeln!(self.out, "{}", lines.join(&format!("\n{:indent$}", "")));
    }

    pub(super) fn paint(&self, text: &str, code: &str) -> String {
        match self.colour {
            Colour::Ansi if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Colour::Ansi | Colour::Never => text.to_owned(),
        }
    }
}

/// ANSI colour of a class of verdicts.
pub(super) fn paint_of(class: &str) -> &'static str {
    match class {
        "supported" => "1;32",
        "supported_under" => "1;36",
        "refuted" => "1;31",
        "invalid" => "1;35",
        "inconclusive" => "1;33",
        _ => "2",
    }
}

/// `1 of 5 diverged, 5 of 6 finished`; empty if nothing was lost or is missing.
fn lost(arm: &Arm) -> String {
    let mut parts = vec![view::diverged(arm)];
    if arm.finished < arm.planned {
        parts.push(format!("{} of {} finished", arm.finished, arm.planned));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Columns of a text; every character we print is one column wide.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Words into lines of at most `width` columns; a longer word stands alone.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
