//! `summary.md`: one line that says it, what changed, and the rest folded; fits a job summary and a comment.

use std::fmt::Write as _;

use crate::bench::blocks::{Benchmark, Blocks};
use crate::bench::counts::{self, Counted};
use crate::bench::judge::{ASKED, Job, Judged, Verdict, WORTH};
use crate::bench::number;

/// By which a workflow finds its own comment, so as to change it and not to add another.
pub(crate) const MARKER: &str = "<!-- cargo xtask bench-report -->";

/// A comment may have 65 536 characters.
const LONGEST: usize = 60_000;

/// Longest name that is shown: whoever proposes a change chooses them.
const LONGEST_NAME: usize = 80;

/// The one line that says it.
pub(crate) fn headline(blocks: &Blocks, job: &Job) -> String {
    let count = |verdict, one: &str, many: &str| {
        let n = job.count(verdict);
        format!("{n} {}", if n == 1 { one } else { many })
    };
    let floor = job.floor.map_or("no A/A blocks".to_owned(), |floor| {
        format!("A/A floor {}", number::size(floor))
    });
    format!(
        "{}, {}, {}, {} unchanged; {floor}; {}",
        count(Verdict::Regression, "regression", "regressions"),
        count(Verdict::Improvement, "improvement", "improvements"),
        count(Verdict::Noisy, "noisy", "noisy"),
        job.count(Verdict::NoChange),
        blocks.setting.machine
    )
}

/// What the counts say in one line; `None` where nothing was counted.
pub(crate) fn counted_line(job: &Job) -> Option<String> {
    let count = |which| {
        let counted = job.benchmarks.iter().filter_map(|judged| judged.counted);
        counted.filter(|counted| *counted == which).count()
    };
    (job.benchmarks.iter().any(|judged| judged.counted.is_some())).then(|| {
        format!(
            "Instructions: {} more by over {:.0} %, {} by over {:.0} %, {} less, {} the same, {} not repeatable.",
            count(Counted::More),
            100.0 * counts::FAIL,
            count(Counted::Slightly),
            100.0 * counts::WARN,
            count(Counted::Less),
            count(Counted::Same),
            count(Counted::Unsteady)
        )
    })
}

/// What the job could not have seen, in one line; `None` where it would have seen 10 % everywhere.
pub(crate) fn blind_line(job: &Job) -> Option<String> {
    let blind = job.blind().count();
    (0 < blind).then(|| {
        format!(
            "A slowdown of {:.0} % would have gone unseen in {blind} of {} benchmarks: too few blocks, or blocks and A/A blocks that differ too much.",
            100.0 * (ASKED - 1.0),
            job.benchmarks.len()
        )
    })
}

/// `summary.md`.
pub(crate) fn summary(blocks: &Blocks, job: &Job, gate: &str) -> String {
    let changed = |judged: &&Judged| {
        matches!(judged.verdict, Verdict::Regression | Verdict::Improvement)
            || matches!(
                judged.counted,
                Some(Counted::More | Counted::Slightly | Counted::Less)
            )
    };
    let mut text = format!("{MARKER}\n**{}**\n\n", plain(&headline(blocks, job)));
    for line in [counted_line(job), blind_line(job)].into_iter().flatten() {
        let _ = writeln!(text, "{line}\n");
    }
    let _ = writeln!(text, "{}\n", plain(gate));
    let with_data = || job.benchmarks.iter().zip(&blocks.benchmarks);
    let rows: Vec<_> = with_data().filter(|(judged, _)| changed(judged)).collect();
    if rows.is_empty() {
        text.push_str("Nothing changed that these blocks can tell.\n");
    } else {
        table(&mut text, rows.into_iter());
    }
    let rest: Vec<_> = with_data().filter(|(judged, _)| !changed(judged)).collect();
    if !rest.is_empty() {
        text.push_str("\n<details><summary>The other benchmarks</summary>\n\n");
        table(&mut text, rest.into_iter());
        text.push_str("\n</details>\n");
    }
    text.push_str("\n<details><summary>How this was measured</summary>\n\n");
    let setting = &blocks.setting;
    for (what, how) in [
        ("base", &setting.base),
        ("head", &setting.head),
        ("machine", &setting.machine),
        ("build", &setting.build),
        ("instructions", &setting.counting),
    ] {
        let _ = writeln!(text, "- {what}: {}", plain(how));
    }
    if let Some(seed) = setting.seed {
        let _ = writeln!(
            text,
            "- order of the runs in a block: drawn with seed {seed}"
        );
    }
    let _ = writeln!(
        text,
        "\n{}\nInstructions do not see memory bandwidth, wider registers or threads that wait.\n\n</details>",
        method()
    );
    text
}

/// How verdicts on time come about.
pub(crate) fn method() -> String {
    let worth = number::size(WORTH.ln());
    format!(
        "Times are compared block by block, both sides of a block within seconds of each other; intervals are 95 %.\n\
         A REGRESSION or an IMPROVEMENT lies wholly beyond the larger of {worth} and twice the A/A floor, \
         and survives Holm's correction over all benchmarks; NO CHANGE lies wholly within {worth}; the rest is NOISY.\n\
         \"sees\" is the slowdown that nine of ten such runs would have found."
    )
}

/// A table, cut where the text grows too long.
fn table<'a>(text: &mut String, rows: impl Iterator<Item = (&'a Judged, &'a Benchmark)>) {
    text.push_str(
        "| benchmark | base | head | change | 95 % interval | verdict | instructions | sees |\n\
         |---|--:|--:|--:|---|---|--:|--:|\n",
    );
    let mut left_out = 0;
    for (judged, benchmark) in rows {
        if LONGEST < text.len() {
            left_out += 1;
            continue;
        }
        let unit = &benchmark.unit;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            code(&judged.name),
            plain(&number::value(judged.base, unit)),
            plain(&number::value(judged.head, unit)),
            number::change(judged.log_ratio),
            interval(judged),
            judged.verdict,
            instructions(judged, benchmark),
            judged.sees.map_or("nothing".to_owned(), number::size),
        );
    }
    if 0 < left_out {
        let _ = writeln!(text, "\n{left_out} more are in report.html.");
    }
}

/// `-0.3 % to +1.2 %`.
pub(crate) fn interval(judged: &Judged) -> String {
    judged.interval.map_or("one block".to_owned(), |ends| {
        let [low, high] = ends.map(number::change);
        format!("{low} to {high}")
    })
}

/// `+0.2 %`, or why there is none.
pub(crate) fn instructions(judged: &Judged, benchmark: &Benchmark) -> String {
    match (judged.counted, &benchmark.instructions) {
        (Some(Counted::Unsteady), _) => "not repeatable".to_owned(),
        (Some(_), Some(count)) => format!("{:+.2} %", 100.0 * counts::change(count)),
        _ => "–".to_owned(),
    }
}

/// A name from elsewhere as code that cannot end its cell, its line or itself.
fn code(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| match c {
            '`' => '\'',
            '|' => '¦',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let mut short: String = safe.chars().take(LONGEST_NAME).collect();
    if short.len() < safe.len() {
        short.push('…');
    }
    format!("`{short}`")
}

/// Words from elsewhere without a way to mean anything.
fn plain(words: &str) -> String {
    let mut safe = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A mention would call people.
            '@' => safe.push_str("@\u{200b}"),
            '`' | '|' | '[' | ']' | '*' | '_' | '!' | '\\' => {
                safe.push('\\');
                safe.push(c);
            }
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::judge::fixture::{blocks, steady};
    use crate::bench::judge::judge;

    #[test]
    fn the_first_line_says_it() {
        let blocks = blocks(vec![steady("slower", 0.1), steady("same", 0.0)]);
        let text = summary(&blocks, &judge(&blocks), "gate none: nothing fails");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(MARKER));
        let line = lines.next().expect("the headline");
        assert!(
            line.starts_with("**1 regression, 0 improvements, 0 noisy, 1 unchanged; A/A floor "),
            "{line}"
        );
        let (changed, rest) = text.split_once("<details>").expect("the rest is folded");
        assert!(changed.contains("| `slower` |") && !changed.contains("| `same` |"));
        assert!(rest.contains("| `same` |") && !rest.contains("| `slower` |"));
    }

    #[test]
    fn a_thousand_benchmarks_fit_a_comment() {
        let many = (0..1000).map(|i| steady(&format!("{}{i}", "long name ".repeat(9)), 0.1));
        let blocks = blocks(many.collect());
        let text = summary(&blocks, &judge(&blocks), "gate none");
        assert!(text.chars().count() < 65_536 && text.contains("more are in report.html"));
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count()
        );
    }

    #[test]
    fn names_from_elsewhere_stay_names() {
        let hostile = "x` | @everyone </details>\n<img src=x>";
        let mut blocks = blocks(vec![steady(hostile, 0.1)]);
        blocks.setting.head = "@everyone [a](http://x) <script>".to_owned();
        let text = summary(&blocks, &judge(&blocks), "gate none");
        let row = text.lines().find(|line| line.starts_with("| `x"));
        let row = row.expect("one line");
        assert_eq!(row.matches('`').count(), 2);
        assert_eq!(row.matches('|').count(), 9);
        assert!(!text.contains("<script>") && !text.contains("a](http"));
        assert!(text.contains("@\u{200b}everyone"));
    }

    #[test]
    fn a_blind_job_says_so() {
        let mut one = steady("a", 0.0);
        one.same.clear();
        let blocks = blocks(vec![one]);
        let text = summary(&blocks, &judge(&blocks), "gate none");
        assert!(
            text.contains("no A/A blocks")
                && text.contains("10 % would have gone unseen in 1 of 1")
        );
    }
}
