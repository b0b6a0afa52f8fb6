//! The table of a run against others, for the terminal and for docs/performance.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bench::contest::Line;
use crate::bench::kept::Kept;
use crate::bench::number;
use crate::error::{Error, at};

/// What surrounds the numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// What was measured: a commit, or that it was none.
    pub(crate) revision: String,
    /// The machine in words.
    pub(crate) machine: String,
    /// The compiler.
    pub(crate) build: String,
    /// The widest vector registers of the processor that our code has loops for; runs of old do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) registers: Option<String>,
    /// Threads of each side.
    pub(crate) threads: usize,
    /// Passes of each side.
    pub(crate) passes: usize,
}

/// Between these lines of the page the table stands.
const MARKS: [&str; 2] = [
    "<!-- made by `cargo xtask bench --peers --docs` -->",
    "<!-- end -->",
];

fn seconds(seconds: f64) -> String {
    number::value(seconds * 1e9, "ns")
}

fn verdict(line: &Line) -> &'static str {
    match (line.agrees, line.holds()) {
        (false, _) => "answers differ",
        (true, None) => "told",
        (true, Some(true)) => "holds",
        (true, Some(false)) => "does not hold",
    }
}

fn goal(line: &Line) -> String {
    match (line.goal, line.reach) {
        (Some(goal), Some(reach)) if goal < reach => format!("{goal} ({reach})"),
        (Some(goal), _) => goal.to_string(),
        _ => "–".to_owned(),
    }
}

/// At most 80 columns.
pub(crate) fn terminal(lines: &[Line], setting: &Setting) -> String {
    let mut text = format!(
        "{}\n{} threads each, {} alternating passes\n\n\
         against, seconds of ours and of theirs, theirs over ours [spread], goal (reach)\n",
        setting.machine, setting.threads, setting.passes
    );
    let mut work = "";
    for line in lines {
        if line.work != work {
            let _ = writeln!(text, "{}", line.work);
            work = &line.work;
        }
        let _ = writeln!(
            text,
            "  {:<12} {:>8} {:>8} {:>6.2} [{:.2}..{:.2}] {:<10} {}",
            line.other,
            seconds(line.medians[0]),
            seconds(line.medians[1]),
            line.ratio,
            line.spread[0],
            line.spread[1],
            goal(line),
            verdict(line)
        );
    }
    text
}

/// The table of the page: the last of the runs, with the ratios of those before it.
pub(crate) fn markdown(runs: &[Kept]) -> String {
    let Some((last, before)) = runs.split_last() else {
        return "No run is kept.\n".to_owned();
    };
    let setting = &last.setting;
    let mut text = format!(
        "Measured on {} ({}), {} threads each, {} alternating passes, of {}.\n",
        setting.machine, setting.build, setting.threads, setting.passes, setting.revision
    );
    if !before.is_empty() {
        let revisions: Vec<&str> = before.iter().map(|run| &*run.setting.revision).collect();
        let _ = writeln!(
            text,
            "The runs before it were of {}; every pass of all runs is in `docs/results/peers`.",
            revisions.join(", ")
        );
    }
    text.push_str(
        "\n| work | against | ours | theirs | ratio of medians | least to largest | ratios before | goal (reach) | |\n\
         |---|---|--:|--:|--:|---|---|---|---|\n",
    );
    for line in &last.lines {
        let ratios: Vec<String> = before
            .iter()
            .map(|run| {
                run.about(line)
                    .map_or("–".to_owned(), |line| format!("{:.2}", line.ratio))
            })
            .collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} | {:.2} to {:.2} | {} | {} | {} |",
            line.work,
            line.other,
            seconds(line.medians[0]),
            seconds(line.medians[1]),
            line.ratio,
            line.spread[0],
            line.spread[1],
            ratios.join(", "),
            goal(line),
            verdict(line)
        );
    }
    text
}

/// Puts the table between its marks.
pub(crate) fn into_page(page: &Path, table: &str) -> Result<(), Error> {
    let old = fs::read_to_string(page).map_err(at("read", page))?;
    let Some(new) = replaced(&old, table) else {
        return Err(Error::NoMarks {
            path: page.to_path_buf(),
            marks: MARKS.join(" and "),
        });
    };
    fs::write(page, new).map_err(at("write", page))
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!(
        "{before}{}\n\n{table}\n{}{after}",
        MARKS[0], MARKS[1]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ratio: f64) -> Line {
        Line {
            work: "a step of something: strict f32".to_owned(),
            ours: "f32".to_owned(),
            other: "compile+bf16".to_owned(),
            medians: [0.01, 0.01 * ratio],
            ratio,
            spread: [0.9 * ratio, 1.1 * ratio],
            goal: Some(1.25),
            reach: Some(2.0),
            agrees: true,
        }
    }

    fn setting() -> Setting {
        Setting {
            revision: "0123456".to_owned(),
            machine: "a machine of tests, 2 cores".to_owned(),
            build: "rustc of tests".to_owned(),
            registers: None,
            threads: 2,
            passes: 5,
        }
    }

    #[test]
    fn the_table_says_what_holds_and_fits() {
        let text = terminal(&[line(1.5), line(1.1), line(12.0)], &setting());
        assert!(
            text.contains(" holds") && text.contains("does not hold"),
            "{text}"
        );
        for line in text.lines().skip(2) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let mut other = line(9.0);
        other.agrees = false;
        let run = |line| Kept {
            setting: setting(),
            lines: vec![line],
        };
        let page = markdown(&[run(line(1.5)), run(line(1.25)), run(other)]);
        assert!(
            page.contains("| 1.50, 1.25 |") && page.contains("answers differ"),
            "{page}"
        );
    }

    #[test]
    fn the_page_keeps_everything_else() {
        let page = format!("before\n{}\nold\n{}\nafter\n", MARKS[0], MARKS[1]);
        let once = replaced(&page, "| new |\n").expect("it has marks");
        assert!(once.starts_with("before\n") && once.ends_with("\nafter\n"));
        assert!(once.contains("| new |") && !once.contains("old"));
        assert_eq!(replaced(&once, "| new |\n"), Some(once.clone()));
        assert_eq!(replaced("no marks", "t"), None);
    }
}
