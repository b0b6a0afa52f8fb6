//! The tables of the HTML page.

use std::fmt::Write as _;

use crate::report::markup::{data, escape, slug};
use crate::report::number::{self, DASH};
use crate::report::view::{self, Side};
use crate::summary::{Arm, Better, Block, EffectRow, Role, StudySummary, Summary};

/// The 2×2 of a study's primary probe as a card, shaded from its worst to its best median.
pub(super) fn square(out: &mut String, study: &StudySummary) {
    let title = escape(view::title(study, &study.primary));
    let better = view::better_words(view::better(study, &study.primary));
    let _ = writeln!(
        out,
        "<div class=\"card\"><h3><a href=\"#{}\">{}</a></h3><p>{title}, {better}</p>\n<table class=\"heat\">\
         <tr><td></td><th>noise off</th><th>noise on</th></tr>",
        slug(&study.name),
        escape(&study.title)
    );
    let main = view::main_block(study);
    let arm =
        |skip, noise| main.and_then(|block| Some((block, view::quarter(block, skip, noise)?)));
    let median = |arm: &Arm| {
        arm.values
            .get(&study.primary)
            .and_then(|spread| spread.median)
    };
    let medians: Vec<f64> = view::QUARTERS
        .iter()
        .filter_map(|&(skip, noise)| median(arm(skip, noise)?.1))
        .collect();
    let low = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let high = medians.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let goodness = |x: f64| match view::better(study, &study.primary) {
        _ if high <= low => 0.0,
        Better::Lower => (high - x) / (high - low),
        Better::Higher => (x - low) / (high - low),
        Better::Descriptive => 0.0,
    };
    for (name, skip) in [("skip off", false), ("skip on", true)] {
        let _ = write!(out, "<tr><th>{name}</th>");
        for noise in [false, true] {
            let Some((block, arm)) = arm(skip, noise) else {
                let _ = write!(out, "<td title=\"not part of the design\">{DASH}</td>");
                continue;
            };
            let depth = median(arm).map_or(0.0, goodness) * 52.0;
            let tags = tags(study, block, arm, &study.primary);
            let (text, title) = match arm.values.get(&study.primary) {
                Some(spread) if spread.median.is_some() => (number::median(spread), String::new()),
                spread => (
                    DASH.to_owned(),
                    format!(" title=\"{}\"", view::reason(arm, spread)),
                ),
            };
            let lost = view::diverged(arm);
            let _ = write!(
                out,
                "<td style=\"--depth:{depth:.0}%\"{tags}{title}>{text}<small>{lost}</small></td>"
            );
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}

/// What is worse for an intervention, and what the rival reaches without it.
pub(super) fn costs(out: &mut String, summary: &Summary) {
    if summary.studies.is_empty() {
        return;
    }
    out.push_str(
        "<section id=\"costs\">\n<h2>What noise and skips cost, and what the counter-arm reaches</h2>\n\
         <p>As loud as what helps. First every effect in a 2×2 whose 95&nbsp;% interval lies wholly on the worse side of zero, \
         registered or not; these intervals are not adjusted for their number.</p>\n",
    );
    let rows = || {
        summary
            .studies
            .iter()
            .flat_map(|study| study.effects.iter().map(move |row| (study, row)))
    };
    let side = |(study, row): &(&StudySummary, &EffectRow)| {
        view::side(view::better(study, &row.probe), &row.numbers)
    };
    // Blocks beside the 2×2 have few seeds and their own tables further down.
    let of_square = |(study, row): &(&StudySummary, &EffectRow)| {
        let main = study
            .blocks
            .iter()
            .any(|block| block.role == Role::Main && block.name == row.block);
        main && view::EFFECTS.iter().any(|(name, _)| *name == row.effect)
    };
    let has_side = |(study, row): &(&StudySummary, &EffectRow)| {
        view::better(study, &row.probe) != Better::Descriptive
    };
    let judged = rows().filter(of_square).filter(has_side);
    let judged = judged.filter(|(_, row)| row.numbers.low.is_some() && row.numbers.high.is_some());
    let worse: Vec<_> = rows()
        .filter(of_square)
        .filter(|row| side(row) == Side::Worse)
        .collect();
    match (judged.count(), worse.len()) {
        (0, _) => out.push_str("<p>No effect has an interval yet.</p>\n"),
        (all, 0) => {
            let _ = writeln!(out, "<p><strong>None</strong> of {all} intervals.</p>");
        }
        (all, count) => {
            let _ = writeln!(out, "<p>{count} of {all} intervals:</p>");
            effect_table(out, &worse, |effect, _| match effect {
                "interaction" => "worse than the sum of both",
                _ => "worse",
            });
        }
    }

    out.push_str("<h3>Skip against the counter-arm</h3>\n");
    let (shown, other): (Vec<_>, Vec<_>) = rows()
        .filter(|(_, row)| row.effect.starts_with("skip_over_counter"))
        .partition(|pair| pair.1.probe == pair.0.primary || side(pair) == Side::Worse);
    if shown.is_empty() {
        out.push_str("<p>No study here has numbers of a counter-arm yet.</p>\n");
    } else {
        out.push_str(
            "<p>The primary probe always, other probes where the counter-arm is ahead.</p>\n",
        );
        effect_table(out, &shown, |_, side| match side {
            Side::Better => "skip is ahead",
            Side::Worse => "the counter-arm is ahead",
            Side::Unclear => "no difference shown",
        });
    }
    if !other.is_empty() {
        let ahead = other.iter().filter(|row| side(row) == Side::Better).count();
        let _ = writeln!(
            out,
            "<p>Of the {} comparisons on other probes that are not listed, skip is ahead in {ahead}.</p>",
            other.len()
        );
    }
    lost(out, summary);
    out.push_str("</section>\n");
}

/// Arms in which cells diverged or failed.
fn lost(out: &mut String, summary: &Summary) {
    let mut items = String::new();
    for study in &summary.studies {
        for block in &study.blocks {
            for arm in block
                .arms
                .iter()
                .filter(|arm| 0 < arm.diverged + arm.failed)
            {
                let tags = data(&[
                    ("study", &study.name),
                    ("block", &block.name),
                    ("arm", &arm.label),
                ]);
                let _ = write!(
                    items,
                    "<li{tags}>{}, {}: {} of {} diverged{}, {} failed<small>{}</small></li>",
                    escape(&study.name),
                    escape(&arm.label),
                    arm.diverged,
                    arm.finished,
                    number::share(arm.diverged_interval),
                    arm.failed,
                    escape(&arm.divergences.join("; "))
                );
            }
        }
    }
    out.push_str("<h3>Cells that were lost</h3>\n");
    if items.is_empty() {
        out.push_str("<p>None diverged, none failed.</p>\n");
    } else {
        let _ = writeln!(out, "<ul class=\"lost-cells\">{items}</ul>");
    }
    let tests = summary
        .studies
        .iter()
        .flat_map(|study| study.divergences.iter().map(move |row| (study, row)));
    let tests: Vec<_> = tests.filter(|(_, row)| row.p <= 0.05).collect();
    if !tests.is_empty() {
        out.push_str("<p>Where a factor changes how often cells diverge (McNemar's exact test, 5&nbsp;%, not adjusted):</p>\n<ul>");
        for (study, row) in tests {
            let tags = data(&[
                ("study", &study.name),
                ("block", &row.block),
                ("effect", &row.effect),
            ]);
            let _ = write!(
                out,
                "<li{tags}>{}, {}: {} of {} seeds diverge only without it, {} only with it, p {}</li>",
                escape(&study.name),
                escape(&view::effect_words(&row.effect)),
                row.only_off,
                row.n,
                row.only_on,
                escape(&number::p(Some(row.p)))
            );
        }
        out.push_str("</ul>\n");
    }
}

/// Effects of several studies with a reading of each.
fn effect_table(
    out: &mut String,
    rows: &[(&StudySummary, &EffectRow)],
    reading: fn(&str, Side) -> &'static str,
) {
    out.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th>study</th><th>probe</th><th>effect</th>\
         <th>estimate [95&nbsp;% interval]</th><th>n</th><th>reading</th></tr></thead>\n<tbody>\n",
    );
    for (study, row) in rows {
        let side = view::side(view::better(study, &row.probe), &row.numbers);
        let class = match side {
            Side::Better => "better",
            Side::Worse => "worse",
            Side::Unclear => "unclear",
        };
        let block = if view::main_block(study).is_some_and(|main| main.name == row.block) {
            String::new()
        } else {
            format!(" <small>{}</small>", escape(&row.block))
        };
        let _ = writeln!(
            out,
            "<tr><td>{}{block}</td><td>{}</td><td>{}</td>{}<td class=\"read-{class}\">{}</td></tr>",
            escape(&study.name),
            escape(view::title(study, &row.probe)),
            escape(&view::effect_words(&row.effect)),
            estimate(study, row),
            reading(&row.effect, side)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

/// All probes of all arms, one table per block; the 2×2 stands open.
pub(super) fn blocks(out: &mut String, study: &StudySummary) {
    for block in &study.blocks {
        let open = if block.role == Role::Main {
            " open"
        } else {
            ""
        };
        let name = escape(&block.name);
        let _ = writeln!(out, "<details{open}><summary>All probes: {name}</summary>");
        if !block.change.is_empty() {
            let _ = writeln!(
                out,
                "<p>Changed against the 2×2: {}.</p>",
                escape(block.change.trim_end_matches('.'))
            );
        }
        block_table(out, study, block);
        out.push_str("</details>\n");
    }
}

fn block_table(out: &mut String, study: &StudySummary, block: &Block) {
    out.push_str(
        "<div class=\"scroll\"><table class=\"probes\">\n<thead><tr><th>median [min, max]</th>",
    );
    for arm in &block.arms {
        let tags = data(&[
            ("study", &study.name),
            ("block", &block.name),
            ("arm", &arm.label),
        ]);
        let mut small = format!(
            "{} parameters<br>{} of {} cells",
            number::thousands(arm.parameters),
            arm.finished,
            arm.planned
        );
        if 0 < arm.diverged {
            let _ = write!(small, "<br>{} diverged", arm.diverged);
        }
        if 0 < arm.failed {
            let _ = write!(small, "<br>{} failed", arm.failed);
        }
        if let Some(seconds) = arm.seconds {
            let _ = write!(small, "<br>{} a cell", number::duration(seconds));
        }
        let _ = write!(
            out,
            "<th{tags}>{}<small>{small}</small></th>",
            escape(&arm.label)
        );
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for probe in &study.probes {
        let class = if probe.id == study.primary {
            " class=\"primary\""
        } else {
            ""
        };
        let _ = write!(
            out,
            "<tr{class}><th><a href=\"#probe-{}\" title=\"{}\">{}</a><small>{}</small></th>",
            slug(&probe.id),
            escape(&probe.meaning),
            escape(&probe.title),
            view::better_words(probe.better)
        );
        for arm in &block.arms {
            let tags = tags(study, block, arm, &probe.id);
            match arm.values.get(&probe.id) {
                Some(spread) if spread.median.is_some() => {
                    let _ = write!(
                        out,
                        "<td{tags}>{}<small>n {}</small></td>",
                        number::spread(spread),
                        spread.n
                    );
                }
                spread => {
                    let _ = write!(
                        out,
                        "<td{tags} title=\"{}\">{DASH}</td>",
                        view::reason(arm, spread)
                    );
                }
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// Every effect, folded.
pub(super) fn effects(out: &mut String, study: &StudySummary) {
    if study.effects.is_empty() {
        return;
    }
    out.push_str(
        "<details><summary>All effects (looked at afterwards, no verdict)</summary>\n<div class=\"scroll\"><table>\n\
         <thead><tr><th>block</th><th>probe</th><th>effect</th><th>estimate [95&nbsp;% interval]</th><th>n</th><th>p</th>\
         <th title=\"Benjamini and Hochberg over all that was not registered\">q</th>\
         </tr></thead>\n<tbody>\n",
    );
    for row in &study.effects {
        let registered = if row.registered {
            " <small>registered</small>"
        } else {
            ""
        };
        let tags = effect_tags(study, row);
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}{registered}</td>{}<td{tags}>{}</td><td{tags}>{}</td></tr>",
            escape(&row.block),
            escape(view::title(study, &row.probe)),
            escape(&view::effect_words(&row.effect)),
            estimate(study, row),
            escape(&number::p(row.numbers.p)),
            escape(&number::p(row.q))
        );
    }
    out.push_str("</tbody></table></div></details>\n");
}

/// The cells with the estimate and n.
fn estimate(study: &StudySummary, row: &EffectRow) -> String {
    let tags = effect_tags(study, row);
    let shown = number::effect(&row.numbers);
    let title = if shown.interval.contains(DASH) {
        view::effect_reason(&row.numbers).to_owned()
    } else {
        format!("bootstrap-t {}", shown.bootstrap)
    };
    format!(
        "<td class=\"number\"{tags} title=\"{title}\">{}</td><td{tags}>{}</td>",
        shown.whole(),
        row.numbers.n
    )
}

fn effect_tags(study: &StudySummary, row: &EffectRow) -> String {
    data(&[
        ("study", &study.name),
        ("block", &row.block),
        ("probe", &row.probe),
        ("effect", &row.effect),
    ])
}

fn tags(study: &StudySummary, block: &Block, arm: &Arm, probe: &str) -> String {
    data(&[
        ("study", &study.name),
        ("block", &block.name),
        ("arm", &arm.label),
        ("probe", probe),
    ])
}
