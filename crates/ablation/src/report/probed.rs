//! The report of a probed network: one page of HTML, Markdown, and text for a terminal.

use std::fmt::Write as _;

use crate::map::Reading;
use crate::probing::{Increase, Probed, SkipReading};
use crate::report::figure::{Group, LEVELS, Ramp, Tile, gsnr, panel};
use crate::report::markdown::cell;
use crate::report::markup::{data, escape};
use crate::report::number::{self, DASH, significant};
use crate::report::terminal::{Colour, Page, columns};

/// Units in the table of those that are heard least.
const WORST: usize = 8;
/// How the map is read.
const MAP: &str = "Signal to noise |E g|²/tr Cov g of the gradient of one training step, by unit and noise level; a cross is \
                   a unit whose mean gradient cannot be told from zero. In a trained network little signal is left, so \
                   compare units and levels with each other.";
/// How the skips are read.
const SKIPS: &str = "Relative increase of the loss at the same noised examples where one skip is changed: set to zero, which \
                     the network has never seen, or given the content of another example, whose law it knows. A cross: \
                     the 95 % interval holds zero.";

/// Renders what was found as a self-contained HTML page: no script, no request, light and dark.
pub fn probed_html(probed: &Probed) -> String {
    let name = escape(&probed.model);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name}</title>\n<style>\n{}</style>\n</head>\n\
         <body>\n<main>\n<header>\n<p class=\"kicker\">probe · {name}</p>\n<h1>What its gradients and skips say</h1>\n</header>\n",
        include_str!("style.css")
    );
    let item = |text: &String| format!("<li>{}.</li>", escape(text));
    let findings: String = probed.findings().iter().map(item).collect();
    let _ = writeln!(out, "<ul class=\"lead findings\">{findings}</ul>");
    let facts = [
        format!("Network: {}.", probed.network),
        format!("Examples: {}.", probed.data),
        sizes(probed),
    ];
    let facts = facts.iter().chain(&probed.caveats);
    let facts: String = facts
        .map(|text| format!("<li>{}</li>", escape(text)))
        .collect();
    let _ = writeln!(out, "<div class=\"setup\"><ul>{facts}</ul></div>");

    let heights = probed.map.cells.iter().filter_map(Reading::heard);
    if let Some(ramp) = Ramp::over(heights).or_else(|| Ramp::over([0.0].into_iter())) {
        let key = ramp.key(
            "signal to noise of one training step; 1: as much signal as noise",
            "silent",
        );
        let _ = writeln!(
            out,
            "<section class=\"maps\">\n<h2>The learnability map</h2>\n<p>{}</p>\n<div class=\"key\">{key}</div>\n\
             <figure>{}</figure>\n</section>",
            escape(MAP),
            panel(
                "learnability map",
                &probed.map.units,
                &[map(probed)],
                LEVELS,
                probed.levels.len(),
                ramp
            )
        );
    }
    let increases = || {
        probed
            .skips
            .iter()
            .flat_map(|s| s.zero.iter().chain(&s.another))
    };
    let heights = increases().filter_map(height);
    if let Some(ramp) = Ramp::over(heights) {
        let key = ramp.key("relative increase of the loss; 1: twice the loss", "none");
        let names: Vec<String> = probed.skips.iter().map(|skip| skip.name.clone()).collect();
        let _ = writeln!(
            out,
            "<section class=\"maps\">\n<h2>What the skips carry</h2>\n<p>{}</p>\n<div class=\"key\">{key}</div>\n<div class=\"pair\">",
            escape(SKIPS)
        );
        for (title, of) in CHANGES {
            let svg = panel(
                title,
                &names,
                &[skips(probed, of)],
                LEVELS,
                probed.levels.len(),
                ramp,
            );
            let _ = writeln!(out, "<figure><h4>{title}</h4>{svg}</figure>");
        }
        out.push_str("</div>\n</section>\n");
    }
    out.push_str("<section>\n<h2>By noise level</h2>\n<div class=\"scroll\"><table>\n<thead><tr>");
    for title in LEVEL {
        let _ = write!(out, "<th>{}</th>", escape(title));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in level_rows(probed) {
        let cells: String = row.iter().map(|text| format!("<td>{text}</td>")).collect();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    }
    out.push_str("</tbody></table></div>\n</section>\n<section>\n<h2>The units that are heard least</h2>\n<div class=\"scroll\"><table>\n<thead><tr>");
    for title in UNIT {
        let _ = write!(out, "<th>{title}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in unit_rows(probed) {
        let cells = row.map(|text| format!("<td>{}</td>", escape(&text)));
        let _ = writeln!(out, "<tr>{}</tr>", cells.concat());
    }
    out.push_str("</tbody></table></div>\n</section>\n</main>\n</body>\n</html>\n");
    out
}

/// Renders what was found as Markdown.
pub fn probed_markdown(probed: &Probed) -> String {
    let mut out = format!("## Probe of {}\n\n", cell(&probed.model));
    for finding in probed.findings() {
        let _ = writeln!(out, "- {finding}.");
    }
    let _ = write!(
        out,
        "\nNetwork: {}.\nExamples: {}.\n{}\n",
        probed.network,
        probed.data,
        sizes(probed)
    );
    for caveat in &probed.caveats {
        let _ = writeln!(out, "{caveat}");
    }
    let _ = write!(
        out,
        "\n### By noise level\n\n| {} |\n|{}\n",
        LEVEL.join(" | "),
        "--:|".repeat(LEVEL.len())
    );
    for row in level_rows(probed) {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    let _ = write!(
        out,
        "\n### The units that are heard least\n\n{MAP}\n\n| {} |\n|---|--:|--:|--:|\n",
        UNIT.join(" | ")
    );
    for row in unit_rows(probed) {
        let _ = writeln!(out, "| {} |", row.map(|text| cell(&text)).join(" | "));
    }
    if !probed.skips.is_empty() {
        let sigmas: Vec<String> = probed
            .levels
            .iter()
            .map(|l| significant(l.sigma, 2))
            .collect();
        let _ = write!(
            out,
            "\n### What the skips carry\n\n{SKIPS}\n\n| skip | change | {} |\n|---|---|{}\n",
            sigmas.join(" | "),
            "--:|".repeat(sigmas.len())
        );
        for skip in &probed.skips {
            for (title, of) in CHANGES {
                let shown: Vec<String> = of(skip).iter().map(shown).collect();
                let _ = writeln!(
                    out,
                    "| {} | {title} | {} |",
                    cell(&skip.name),
                    shown.join(" | ")
                );
            }
        }
    }
    out
}

/// Renders what was found as text of at most `width` columns (at least 60).
pub fn probed_terminal(probed: &Probed, width: usize, colour: Colour) -> String {
    let mut page = Page {
        out: String::new(),
        width: width.max(60),
        colour,
    };
    page.heading(&format!("probe of {}", probed.model));
    for fact in [&probed.network, &probed.data, &sizes(probed)] {
        page.paragraph("  ", fact);
    }
    for caveat in &probed.caveats {
        page.out.push_str("note  ");
        page.hanging(6, caveat);
    }
    page.out.push('\n');
    table(&mut page, &LEVEL, &level_rows(probed));
    page.out.push('\n');
    page.heading("the units that are heard least");
    table(&mut page, &UNIT, &unit_rows(probed));
    if !probed.skips.is_empty() {
        page.out.push('\n');
        page.heading("what the skips carry: largest relative increase of the loss");
        let most = |increases: &[Increase]| {
            let levels = increases.iter().zip(&probed.levels);
            let carried = levels.filter(|(increase, _)| increase.is_carried());
            carried
                .max_by(|a, b| a.0.estimate.total_cmp(&b.0.estimate))
                .map_or_else(
                    || DASH.to_owned(),
                    |(i, level)| format!("{} at {}", shown(i), significant(level.sigma, 2)),
                )
        };
        let rows: Vec<[String; 3]> = probed
            .skips
            .iter()
            .map(|skip| [skip.name.clone(), most(&skip.zero), most(&skip.another)])
            .collect();
        table(&mut page, &["skip", CHANGES[0].0, CHANGES[1].0], &rows);
    }
    page.out.push('\n');
    for finding in probed.findings() {
        page.out.push_str("- ");
        page.hanging(2, &format!("{finding}."));
    }
    page.out
}

/// The two changes of a skip.
type Change = (&'static str, fn(&SkipReading) -> &Vec<Increase>);

const CHANGES: [Change; 2] = [
    ("set to zero", |skip| &skip.zero),
    ("of another example", |skip| &skip.another),
];

/// Columns of the table of levels.
const LEVEL: [&str; 7] = [
    "sigma",
    "timestep",
    "loss",
    "silent",
    "median S/N",
    "Jain",
    "Λ",
];

/// Columns of the table of units.
const UNIT: [&str; 4] = ["unit", "silent at", "lowest S/N", "at sigma"];

fn sizes(probed: &Probed) -> String {
    format!(
        "{} micro-batches of {} examples; signal to noise (S/N) is that of a step of {}.",
        probed.micro_batches, probed.examples, probed.batch
    )
}

fn map(probed: &Probed) -> Group {
    let columns = probed.map.columns.len();
    let rows = probed
        .map
        .units
        .iter()
        .zip(probed.map.cells.chunks(columns));
    let tile = |unit: &str, reading: &Reading, sigma: f64| {
        let place = format!("{unit}, σ = {}", significant(sigma, 3));
        let number = |x: f64| significant(x, 2);
        let words = match (reading.gsnr, reading.interval) {
            (Some(gsnr), Some([low, high])) => {
                format!(
                    "{place}: {} [{}, {}]",
                    number(gsnr),
                    number(low),
                    number(high)
                )
            }
            (Some(gsnr), None) => format!("{place}: {}", number(gsnr)),
            _ => format!("{place}: no gradient"),
        };
        Tile {
            height: reading.heard(),
            words: format!("{words}, p {}", number::p(Some(reading.p))),
            tags: data(&[("unit", unit), ("sigma", &sigma.to_string())]),
        }
    };
    by_level(
        probed,
        rows.map(|(unit, cells)| {
            let levels = cells.iter().zip(&probed.levels);
            levels
                .map(|(cell, level)| tile(unit, cell, level.sigma))
                .collect()
        })
        .collect(),
    )
}

fn skips(probed: &Probed, of: fn(&SkipReading) -> &Vec<Increase>) -> Group {
    let tile = |skip: &SkipReading, increase: &Increase, sigma: f64| Tile {
        height: height(increase),
        words: format!(
            "{} from {}, σ = {}: {} [{}, {}]",
            skip.name,
            skip.from,
            significant(sigma, 3),
            shown(increase),
            significant(increase.low, 2),
            significant(increase.high, 2)
        ),
        tags: data(&[("skip", &skip.name), ("sigma", &sigma.to_string())]),
    };
    by_level(
        probed,
        probed
            .skips
            .iter()
            .map(|skip| {
                let levels = of(skip).iter().zip(&probed.levels);
                levels
                    .map(|(increase, level)| tile(skip, increase, level.sigma))
                    .collect()
            })
            .collect(),
    )
}

/// A column for each noise level.
fn by_level(probed: &Probed, rows: Vec<Vec<Tile>>) -> Group {
    let levels = probed.levels.iter();
    Group {
        title: String::new(),
        apart: false,
        columns: levels.map(|level| significant(level.sigma, 2)).collect(),
        rows,
    }
}

/// log₁₀ of an increase that is known to be one.
fn height(increase: &Increase) -> Option<f64> {
    increase.is_carried().then(|| increase.estimate.log10())
}

fn shown(increase: &Increase) -> String {
    significant(increase.estimate, 2)
}

fn level_rows(probed: &Probed) -> Vec<[String; 7]> {
    let number = |x: Option<f64>| x.map_or_else(|| DASH.to_owned(), |x| significant(x, 2));
    let row = |level: &crate::probing::Level| {
        [
            significant(level.sigma, 3),
            significant(level.timestep, 4),
            significant(level.loss, 3),
            format!("{:.0} %", 100.0 * level.silent),
            level.log_gsnr.map_or_else(|| DASH.to_owned(), gsnr),
            number(level.jain),
            number(level.fairness),
        ]
    };
    probed.levels.iter().map(row).collect()
}

fn unit_rows(probed: &Probed) -> Vec<[String; 4]> {
    let arm = crate::map::ArmMap::over_seeds([&probed.map].into_iter());
    let rows = arm[0].worst();
    rows.into_iter()
        .take(WORST)
        .map(|row| {
            let (lowest, at) = match row.lowest {
                Some((log, Some(sigma))) => (gsnr(log), significant(sigma, 2)),
                _ => (DASH.to_owned(), DASH.to_owned()),
            };
            let silent = format!("{} of {}", row.silent, row.columns);
            [row.unit.to_owned(), silent, lowest, at]
        })
        .collect()
}

/// A table with its columns as wide as they must be, numbers to the right.
fn table<const N: usize>(page: &mut Page, titles: &[&str; N], rows: &[[String; N]]) {
    let width = |place: usize| {
        let cells = rows.iter().map(|row| columns(&row[place]));
        cells.chain([columns(titles[place])]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let titles = titles.map(str::to_owned);
    for row in [&titles].into_iter().chain(rows) {
        let mut line = String::from(" ");
        for (place, text) in row.iter().enumerate() {
            let gap = " ".repeat(widths[place] - columns(text));
            let cell = if place == 0 && N != 7 {
                format!("{text}{gap}")
            } else {
                format!("{gap}{text}")
            };
            line.push(' ');
            line.push_str(&cell);
            line.push(' ');
        }
        let _ = writeln!(page.out, "{}", line.trim_end());
    }
}
