//! `summary.md`: one line that says it, what changed, and the rest folded; fits a job summary and a comment.

use std::fmt::Write as _;

use crate::bench::blocks::{Benchmark, Blocks};
use crate::bench::counts::{self, Counted};
use crate::bench::gate::Gate;
use crate::bench::judge::{ASKED, Job, Judged, Verdict, WORTH};
use crate::bench::{number, words};
use crate::error::Error;

/// By which a workflow finds its own comment, so as to change it and not to add another.
pub(crate) const MARKER: &str = "<!-- cargo xtask bench-report -->";

/// Bytes; a comment may have 65 536 characters.
const LONGEST: usize = 60_000;

/// Longest name that is shown.
const LONGEST_NAME: usize = 80;

/// Longest words that say how something was measured.
const LONGEST_WORDS: usize = 300;

/// So many names are told in a list.
const MOST: usize = 10;

/// The one line that says it.
pub(crate) fn headline(job: &Job) -> String {
    let count = |verdict, one: &str, many: &str| {
        let n = job.count(verdict);
        format!("{n} {}", if n == 1 { one } else { many })
    };
    let floor = job.floor.map_or("no A/A blocks".to_owned(), |floor| {
        format!("A/A floor {}", number::size(floor))
    });
    format!(
        "{}, {}, {}, {} unchanged; {floor}",
        count(Verdict::Regression, "regression", "regressions"),
        count(Verdict::Improvement, "improvement", "improvements"),
        count(Verdict::Noisy, "noisy", "noisy"),
        job.count(Verdict::NoChange)
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

/// What the gate said, without what it found.
pub(crate) fn gate_line(gate: Gate, passed: &Result<(), Error>) -> String {
    let name = gate.name();
    match passed {
        Ok(()) => format!("Gate {name}: passed."),
        Err(Error::Gate { findings, .. }) => format!("Gate {name}: {} finding(s).", findings.len()),
        Err(_) => format!("Gate {name}: nothing to judge, which is no reason to pass."),
    }
}

/// `summary.md`.
pub(crate) fn summary(
    blocks: &Blocks,
    job: &Job,
    gate: Gate,
    passed: &Result<(), Error>,
) -> String {
    let changed = |judged: &&Judged| {
        matches!(judged.verdict, Verdict::Regression | Verdict::Improvement)
            || matches!(
                judged.counted,
                Some(Counted::More | Counted::Slightly | Counted::Less)
            )
    };
    let machine = code(&blocks.setting.machine);
    let mut text = format!("{MARKER}\n**{}**; {machine}\n\n", headline(job));
    for line in [counted_line(job), blind_line(job)].into_iter().flatten() {
        let _ = writeln!(text, "{line}\n");
    }
    let _ = writeln!(text, "{}\n", gate_line(gate, passed));
    if let Err(Error::Gate { findings, .. }) = passed {
        for finding in findings.iter().take(MOST) {
            let _ = writeln!(text, "- {}: {}", code(&finding.name), finding.what);
        }
        if MOST < findings.len() {
            let more = findings.len() - MOST;
            let _ = writeln!(text, "- {more} more are in the tables and in report.html");
        }
        text.push('\n');
    }
    let left_out = blocks.told();
    for (what, names) in &left_out {
        let _ = writeln!(text, "- {what}: {}", words::row(names, MOST, code));
    }
    if !left_out.is_empty() {
        text.push('\n');
    }
    let end = how(blocks);
    let room = LONGEST - end.len();
    let with_data = || job.benchmarks.iter().zip(&blocks.benchmarks);
    let rows: Vec<_> = with_data().filter(|(judged, _)| changed(judged)).collect();
    if rows.is_empty() {
        text.push_str("Nothing changed that these blocks can tell.\n");
    } else {
        table(&mut text, rows.into_iter(), room);
    }
    let rest: Vec<_> = with_data().filter(|(judged, _)| !changed(judged)).collect();
    if !rest.is_empty() {
        text.push_str("\n<details><summary>The other benchmarks</summary>\n\n");
        table(&mut text, rest.into_iter(), room);
        text.push_str("\n</details>\n");
    }
    text.push_str(&end);
    text
}

/// The end of the summary.
fn how(blocks: &Blocks) -> String {
    let mut text = "\n<details><summary>How this was measured</summary>\n\n".to_owned();
    let setting = &blocks.setting;
    for (what, how) in setting.told() {
        let _ = writeln!(text, "- {what}: {}", code_of(how, LONGEST_WORDS));
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

/// A table, cut where the text would have no room for it.
fn table<'a>(
    text: &mut String,
    rows: impl Iterator<Item = (&'a Judged, &'a Benchmark)>,
    room: usize,
) {
    text.push_str(
        "| benchmark | base | head | change | 95 % interval | verdict | instructions | sees |\n\
         |---|--:|--:|--:|---|---|--:|--:|\n",
    );
    let mut left_out = 0;
    for (judged, benchmark) in rows {
        let value = |value: f64| code(&number::value(value, &benchmark.unit));
        let row = format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            code(&judged.name),
            value(judged.base),
            value(judged.head),
            number::change(judged.log_ratio),
            interval(judged),
            judged.verdict,
            instructions(judged, benchmark),
            judged.sees.map_or("nothing".to_owned(), number::size),
        );
        if text.len() + row.len() < room {
            text.push_str(&row);
        } else {
            left_out += 1;
        }
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

/// Words from elsewhere as code that cannot end its cell, its line or itself; in code nobody is called and nothing links.
fn code(words: &str) -> String {
    code_of(words, LONGEST_NAME)
}

fn code_of(words: &str, longest: usize) -> String {
    let safe = |c: char| match c {
        '`' => '\'',
        '|' => '¦',
        c => c,
    };
    let line: String = words::line(words, longest).chars().map(safe).collect();
    // Code of nothing is none.
    if line.trim().is_empty() {
        "–".to_owned()
    } else {
        format!("`{line}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::blocks::{Lost, Uncounted};
    use crate::bench::judge::fixture::{blocks, steady};
    use crate::bench::judge::judge;

    #[test]
    fn the_first_line_says_it() {
        let blocks = blocks(vec![steady("slower", 0.1), steady("same", 0.0)]);
        let text = summary(&blocks, &judge(&blocks), Gate::None, &Ok(()));
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
    fn a_thousand_findings_fit_a_comment() {
        let many = (0..1000).map(|i| {
            let mut one = steady(&format!("{}{i}", "lång näme ".repeat(9)), 0.1);
            one.uncounted = Some(Uncounted::Head(Lost::TooLong));
            one
        });
        let mut blocks = blocks(many.collect());
        let names = blocks.benchmarks.iter().map(|one| one.name.clone());
        blocks.left_out.base_only = names.collect();
        blocks.setting.counting = "ü".repeat(10_000);
        let job = judge(&blocks);
        let passed = Gate::All.pass(&blocks, &job);
        let message = passed
            .as_ref()
            .expect_err("a thousand findings")
            .to_string();
        assert!(message.contains("2000 finding(s)") && message.len() < 10_000);
        let text = summary(&blocks, &job, Gate::All, &passed);
        assert!(text.len() < LONGEST + 100, "{}", text.len());
        for words in [
            "2000 finding(s)",
            "1990 more are",
            "and 990 more",
            "more are in report.html",
        ] {
            assert!(text.contains(words), "{words}");
        }
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count()
        );
        assert!(
            text.ends_with("</details>\n"),
            "it says how it was measured"
        );
    }

    #[test]
    fn what_is_left_out_is_named() {
        let mut one = steady("slow", 0.0);
        one.uncounted = Some(Uncounted::Head(Lost::TooLong));
        let mut blocks = blocks(vec![one]);
        blocks.left_out.base_only.push("old".to_owned());
        blocks.left_out.need_libtorch.push("p/torch".to_owned());
        let text = summary(&blocks, &judge(&blocks), Gate::None, &Ok(()));
        for line in [
            "- Not counted in the head: `slow (took too long)`",
            "- Only in base: `old`",
            "- Left out, need libtorch: `p/torch`",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(!text.contains("Only in head"));
    }

    #[test]
    fn words_from_elsewhere_stay_words() {
        let hostile = "x` | @everyone </details>\n<img src=x> https://a.example #1 \u{202e}";
        let mut blocks = blocks(vec![steady(hostile, 0.1)]);
        blocks.benchmarks[0].unit = hostile.to_owned();
        let left_out = &mut blocks.left_out;
        for names in [
            &mut left_out.base_only,
            &mut left_out.head_only,
            &mut left_out.no_result,
            &mut left_out.need_libtorch,
        ] {
            names.push(hostile.to_owned());
        }
        let setting = &mut blocks.setting;
        for words in [
            &mut setting.base,
            &mut setting.head,
            &mut setting.machine,
            &mut setting.build,
            &mut setting.counting,
        ] {
            *words = hostile.to_owned();
        }
        setting.registers = Some(hostile.to_owned());
        let job = judge(&blocks);
        let text = summary(&blocks, &job, Gate::Time, &Gate::Time.pass(&blocks, &job));
        let mut hostiles = 0;
        for line in text.lines() {
            // What is not between backticks is ours.
            let outside: String = line.split('`').step_by(2).collect();
            assert!(line.matches('`').count() % 2 == 0, "{line}");
            for mark in ["@", "<img", "https", "#1", "\u{202e}"] {
                assert!(!outside.contains(mark), "{line}");
            }
            hostiles += usize::from(line.contains("@everyone"));
            assert!(
                !line.contains("| @") && !line.contains('\u{202e}'),
                "{line}"
            );
        }
        // The headline, one row, one finding, four lists and six of the setting.
        assert_eq!(hostiles, 13, "{text}");
        assert_eq!(text.matches("</details>").count(), 1 + hostiles + 2);
    }

    #[test]
    fn a_blind_job_says_so() {
        let mut one = steady("a", 0.0);
        one.same.clear();
        let blocks = blocks(vec![one]);
        let text = summary(&blocks, &judge(&blocks), Gate::None, &Ok(()));
        assert!(
            text.contains("no A/A blocks")
                && text.contains("10 % would have gone unseen in 1 of 1")
        );
    }
}
