//! `report.html`: all benchmarks with their intervals drawn; one file that needs no other.

use std::fmt::Write as _;

use crate::bench::blocks::Blocks;
use crate::bench::gate::Gate;
use crate::bench::judge::{Job, Judged, Verdict};
use crate::bench::markdown;
use crate::bench::number;
use crate::error::Error;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8888; --bad: #c0392b; --good: #1e8449; --dim: #888; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 92rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; } table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 16rem; }
td:first-child { font-family: ui-monospace, monospace; font-size: .85rem; }
th { position: sticky; top: 0; background: Canvas; } .wide { overflow-x: auto; }
.regression { color: var(--bad); font-weight: 600; } .improvement { color: var(--good); font-weight: 600; } .noisy { color: var(--dim); }
svg { display: block; width: 12rem; height: 1.2rem; } dt { font-weight: 600; } dd { margin: 0 0 .4rem; }
";

/// Half of the drawn range, as a log ratio: what lies beyond is cut at the edge.
const REACH: f64 = 0.25;

/// `report.html`.
pub(crate) fn report(blocks: &Blocks, job: &Job, gate: Gate, passed: &Result<(), Error>) -> String {
    let setting = &blocks.setting;
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Benchmarks: {head}</title>\n<style>{STYLE}</style>\n<h1>{line}</h1>\n",
        head = text(&setting.head),
        line = text(&format!("{}; {}", markdown::headline(job), setting.machine))
    );
    let lines = [markdown::counted_line(job), markdown::blind_line(job)];
    for line in lines.into_iter().flatten() {
        let _ = writeln!(page, "<p>{}</p>", text(&line));
    }
    let _ = writeln!(page, "<p>{}</p>", markdown::gate_line(gate, passed));
    if let Err(Error::Gate { findings, .. }) = passed {
        let names = findings.iter().map(|finding| text(&finding.to_string()));
        let items: Vec<String> = names.map(|line| format!("<li>{line}")).collect();
        let _ = writeln!(page, "<ul>{}</ul>", items.join("\n"));
    }
    for (what, names) in blocks.told() {
        let _ = writeln!(page, "<p>{what}: {}</p>", text(&names.join(", ")));
    }
    page.push_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>benchmark<th>base<th>head<th>change\
         <th>95 % interval<th>verdict<th>p (Holm)<th>p (signs)<th>floor\
         <th>instructions<th>sees</tr></thead>\n<tbody>\n",
    );
    let mut rows: Vec<_> = job.benchmarks.iter().zip(&blocks.benchmarks).collect();
    rows.sort_by_key(|(judged, _)| judged.verdict);
    let p = |p: Option<f64>| p.map_or("–".to_owned(), |p| format!("{p:.3}"));
    for (judged, benchmark) in rows {
        let class = match judged.verdict {
            Verdict::Regression => "regression",
            Verdict::Improvement => "improvement",
            Verdict::Noisy => "noisy",
            Verdict::NoChange => "same",
        };
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td title=\"{}\">{}<td class=\"{class}\">{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            text(&judged.name),
            text(&number::value(judged.base, &benchmark.unit)),
            text(&number::value(judged.head, &benchmark.unit)),
            number::change(judged.log_ratio),
            markdown::interval(judged),
            drawn(judged),
            judged.verdict,
            p(judged.p_holm),
            p(judged.p_sign_flip),
            judged.floor.map_or("–".to_owned(), number::size),
            markdown::instructions(judged, benchmark),
            judged.sees.map_or("nothing".to_owned(), number::size),
        );
    }
    page.push_str("</tbody></table></div>\n<h2>How this was measured</h2>\n<dl>");
    for (what, how) in setting.told() {
        let _ = write!(page, "<dt>{what}<dd>{}", text(how));
    }
    let _ = writeln!(
        page,
        "</dl>\n<p>{}\nThe band is the margin that a change must lie beyond; the drawing reaches from {} to {}.</p>\n</html>",
        text(&markdown::method()),
        number::change(-REACH),
        number::change(REACH),
    );
    page
}

/// The interval over the band of the margin, around a line at no change.
fn drawn(judged: &Judged) -> String {
    let place = |log_ratio: f64| 100.0 * (1.0 + (log_ratio / REACH).clamp(-1.0, 1.0));
    let (left, right) = (place(-judged.margin), place(judged.margin));
    let [low, high] = judged.interval.unwrap_or([judged.log_ratio; 2]).map(place);
    format!(
        "<svg viewBox=\"0 0 200 16\" preserveAspectRatio=\"none\" role=\"img\">\
         <rect x=\"{left:.1}\" y=\"0\" width=\"{:.1}\" height=\"16\" fill=\"currentColor\" opacity=\".12\"/>\
         <line x1=\"100\" x2=\"100\" y1=\"0\" y2=\"16\" stroke=\"currentColor\" opacity=\".4\"/>\
         <rect x=\"{low:.1}\" y=\"6\" width=\"{:.1}\" height=\"4\" fill=\"currentColor\"/>\
         <rect x=\"{:.1}\" y=\"3\" width=\"2\" height=\"10\" fill=\"currentColor\"/></svg>",
        right - left,
        (high - low).max(1.0),
        place(judged.log_ratio) - 1.0
    )
}

/// Words from elsewhere as text.
fn text(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::judge::fixture::{blocks, steady};
    use crate::bench::judge::judge;

    #[test]
    fn every_benchmark_has_a_row_and_the_worst_come_first() {
        let blocks = blocks(vec![steady("same", 0.0), steady("slower", 0.1)]);
        let page = report(&blocks, &judge(&blocks), Gate::None, &Ok(()));
        assert_eq!(page.matches("<svg").count(), 2);
        let at = |word: &str| page.find(word).expect("it is there");
        assert!(at("<td>slower") < at("<td>same"));
        assert!(!page.contains("http"), "it needs no other file");
    }

    #[test]
    fn names_from_elsewhere_stay_names() {
        let hostile = "<script>alert(1)</script>";
        let mut blocks = blocks(vec![steady(hostile, 0.1)]);
        blocks.benchmarks[0].unit = hostile.to_owned();
        blocks.left_out.head_only.push(hostile.to_owned());
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
        let page = report(&blocks, &job, Gate::Time, &Gate::Time.pass(&blocks, &job));
        assert!(!page.contains("<script") && page.contains("Only in head: &lt;script"));
    }
}
