//! The report as Markdown that fits a pull-request comment.

use std::fmt::Write as _;

use crate::report::figure;
use crate::report::number::{self, DASH};
use crate::report::view;
use crate::summary::{Block, Role, StudySummary, Summary};

/// A comment on a pull request takes 65,536 characters; we stay below with room for a header.
const LIMIT: usize = 60_000;

/// How much is shown; the next poorer one is taken when the text grows too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// Contrasts and the primary probe.
    Answer,
    /// Tables of all probes too.
    Probes,
    /// All effects too.
    Effects,
}

/// Renders the summary as Markdown of fewer than 60,000 bytes.
///
/// The answer stands open, tables of probes and effects are folded. If everything does not fit, the tables
/// of effects go first, then those of probes, and a line says so.
pub fn markdown(summary: &Summary) -> String {
    for detail in [Detail::Effects, Detail::Probes] {
        let text = page(summary, detail);
        if text.len() < LIMIT {
            return text;
        }
    }
    let mut text = page(summary, Detail::Answer);
    if LIMIT <= text.len() {
        let note = "\n\n*The rest does not fit here; it is in `report.html`.*\n";
        let end = (0..LIMIT - note.len())
            .rev()
            .find(|&at| text.as_bytes()[at] == b'\n')
            .unwrap_or(0);
        text.truncate(end);
        text.push_str(note);
    }
    text
}

fn page(summary: &Summary, detail: Detail) -> String {
    let mut out = format!("## {}\n\n{}\n", cell(&summary.name), summary.question);
    for stamp in &summary.stamps {
        let _ = write!(out, "\n> **{}** {}\n", stamp.word, stamp.reason);
    }
    let _ = write!(out, "\n**What it says:** {}\n", view::in_short(summary));
    contrasts(&mut out, summary);
    for study in &summary.studies {
        let _ = write!(out, "\n### {}\n\n{}\n", cell(&study.title), study.question);
        for words in [view::standing(study), view::noise_floors(study)] {
            let _ = write!(
                out,
                "{}",
                words.map_or_else(String::new, |words| format!("\n{words}\n"))
            );
        }
        primary(&mut out, study);
        depths(&mut out, study);
        for note in &study.notes {
            let _ = writeln!(out, "- {note}");
        }
        if Detail::Probes <= detail {
            probes(&mut out, study);
            maps(&mut out, study);
        }
        if Detail::Effects <= detail {
            effects(&mut out, study);
        }
    }
    if detail < Detail::Effects {
        out.push_str("\n*Tables that do not fit a comment are in `report.html`.*\n");
    }
    let from = &summary.provenance;
    let _ = write!(
        out,
        "\n<sub>programs {} · devices {} · numerics {} · libtorch {} · {} of computing · `{}`</sub>\n",
        list(&from.binaries),
        list(&from.devices),
        list(&from.numerics),
        list(&from.libtorch),
        number::duration(from.cell_seconds),
        from.command
    );
    out
}

fn contrasts(out: &mut String, summary: &Summary) {
    if summary
        .studies
        .iter()
        .all(|study| study.verdicts.is_empty())
    {
        return;
    }
    out.push_str(
        "\n| study | verdict | claim | effect [95 % interval] | P(A > B) | adjusted p | n |\n",
    );
    out.push_str("|---|---|---|---|---|--:|--:|\n");
    for study in &summary.studies {
        for row in &study.verdicts {
            let effect = number::effect(&row.numbers).whole();
            let deciding = number::deciding(row).map(|text| format!("<br>{text}"));
            let _ = writeln!(
                out,
                "| {} | **{}** | {} | {}{} | {} | {} | {} |",
                cell(&study.name),
                cell(&row.verdict),
                cell(&row.claim),
                effect,
                deciding.unwrap_or_default(),
                number::larger(row).unwrap_or_else(|| DASH.to_owned()),
                cell(&number::p(row.adjusted_p)),
                row.numbers.n
            );
        }
    }
    let _ = write!(out, "\n<sub>{}.</sub>\n", view::LARGER);
    let remarks: Vec<String> = summary
        .studies
        .iter()
        .flat_map(|study| study.verdicts.iter().map(move |row| (study, row)))
        .flat_map(|(study, row)| {
            row.remarks
                .iter()
                .map(|remark| format!("- {} / {}: {remark}", study.name, row.id))
        })
        .collect();
    if !remarks.is_empty() {
        let _ = write!(
            out,
            "\n<details><summary>Remarks on the verdicts</summary>\n\n{}\n\n</details>\n",
            remarks.join("\n")
        );
    }
}

/// The 2×2 of the primary probe, and one line per arm beside it.
fn primary(out: &mut String, study: &StudySummary) {
    let probe = &study.primary;
    let better = view::better_words(view::better(study, probe));
    let _ = write!(
        out,
        "\n{} ({better}), median [min, max]:\n\n",
        cell(view::title(study, probe))
    );
    out.push_str("| | noise off | noise on |\n|---|---|---|\n");
    let entry = |block: &Block, skip, noise| {
        view::quarter(block, skip, noise).map_or_else(
            || DASH.to_owned(),
            |arm| {
                let lost = view::diverged(arm);
                let gap = if lost.is_empty() { "" } else { ", " };
                format!("{}{gap}{lost}", view::shown(arm, probe))
            },
        )
    };
    for block in study
        .blocks
        .iter()
        .filter(|block| matches!(block.role, Role::Main | Role::Depth))
    {
        let where_ = if block.role == Role::Main {
            String::new()
        } else {
            format!("{}: ", cell(&block.name))
        };
        for (name, skip) in [("skip off", false), ("skip on", true)] {
            let _ = writeln!(
                out,
                "| {where_}{name} | {} | {} |",
                entry(block, skip, false),
                entry(block, skip, true)
            );
        }
    }
    out.push('\n');
    for block in study
        .blocks
        .iter()
        .filter(|block| !matches!(block.role, Role::Main | Role::Depth))
    {
        for arm in &block.arms {
            let lost = view::diverged(arm);
            let gap = if lost.is_empty() { "" } else { ", " };
            let _ = writeln!(
                out,
                "- {}: {}{gap}{lost}",
                arm.label,
                view::shown(arm, probe)
            );
        }
    }
}

/// The effects at each depth, and their slope.
fn depths(out: &mut String, study: &StudySummary) {
    let Some(first) = study.depths.first() else {
        return;
    };
    out.push_str("\n| by depth, band of 95 % together |");
    for point in &first.points {
        let _ = write!(out, " {} blocks |", point.depth);
    }
    let _ = write!(
        out,
        " per doubling |\n|---|{}---|\n",
        "---|".repeat(first.points.len())
    );
    for row in &study.depths {
        let points = row.points.iter().map(number::band);
        let slope = number::slope(row).unwrap_or_else(|| DASH.to_owned());
        let shown: Vec<String> = points.chain([slope]).collect();
        let _ = writeln!(
            out,
            "| {} | {} |",
            view::effect_words(&row.effect),
            shown.join(" | ")
        );
    }
    out.push('\n');
}

fn probes(out: &mut String, study: &StudySummary) {
    let _ = writeln!(
        out,
        "\n<details><summary>All probes: median [min, max]</summary>"
    );
    for block in &study.blocks {
        let _ = write!(out, "\n{}\n\n| probe |", cell(&block.name));
        for arm in &block.arms {
            let _ = write!(out, " {} |", cell(&arm.label));
        }
        let _ = write!(out, "\n|---|{}\n", "---|".repeat(block.arms.len()));
        for probe in &study.probes {
            let _ = write!(out, "| {} |", cell(&probe.title));
            for arm in &block.arms {
                let _ = write!(out, " {} |", view::shown(arm, &probe.id));
            }
            out.push('\n');
        }
    }
    out.push_str("\n</details>\n");
}

/// The units that are heard least; the map itself is a figure.
fn maps(out: &mut String, study: &StudySummary) {
    const MOST: usize = 3;
    let drawn = view::drawn(study);
    if drawn.iter().all(|(_, arm)| arm.maps.is_empty()) {
        return;
    }
    out.push_str(
        "\n<details><summary>Learnability map: the units that are heard least</summary>\n\n\
         Signal to noise of the gradient of one training step, median over seeds; the map is in `report.html` and `map.csv`.\n\n\
         | arm | loss | unit | silent columns | lowest signal to noise | at |\n|---|---|---|---|--:|--:|\n",
    );
    for (_, arm) in &drawn {
        for [loss, unit, silent, lowest, at] in figure::lines(arm, MOST) {
            let (arm, unit) = (cell(&arm.label), cell(&unit));
            let _ = writeln!(
                out,
                "| {arm} | {loss} | {unit} | {silent} | {lowest} | {at} |"
            );
        }
    }
    out.push_str("\n</details>\n");
    if drawn
        .iter()
        .all(|(_, arm)| figure::part_lines(arm).is_empty())
    {
        return;
    }
    out.push_str(
        "\n<details><summary>Learnability map by parts of the data: all units together</summary>\n\n\
         | arm | loss | part | at | median signal to noise of each | silent cells |\n|---|---|---|---|--:|--:|\n",
    );
    for (_, arm) in drawn {
        for line in figure::part_lines(arm) {
            let _ = writeln!(out, "| {} | {} |", cell(&arm.label), line.join(" | "));
        }
    }
    out.push_str("\n</details>\n");
}

fn effects(out: &mut String, study: &StudySummary) {
    let _ = write!(
        out,
        "\n<details><summary>All effects (looked at afterwards, no verdict)</summary>\n\n"
    );
    out.push_str("| block | probe | effect | estimate [95 % interval] | p | q | n |\n|---|---|---|---|--:|--:|--:|\n");
    for row in &study.effects {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&row.block),
            cell(view::title(study, &row.probe)),
            view::effect_words(&row.effect),
            number::effect(&row.numbers).whole(),
            cell(&number::p(row.numbers.p)),
            cell(&number::p(row.q)),
            row.numbers.n
        );
    }
    out.push_str("\n</details>\n");
}

/// Text that cannot break a table or open a tag.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        DASH.to_owned()
    } else {
        items.join(", ")
    }
}
