//! The learnability map by parts of the data: regions, modes, frequency bands.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::frame::median;
use crate::map::{ArmMap, By, Look, Objective};
use crate::report::figure::map::{Group, gsnr, of_kind, panels, ramp, tile};
use crate::report::figure::of_arm;
use crate::report::markup::{data, escape};
use crate::report::number::DASH;
use crate::report::view;
use crate::summary::{Arm, Block, StudySummary};

/// The maps of parts of all arms of a study, on the scale of the map of all of the loss.
pub(in crate::report) fn parts(study: &StudySummary) -> Option<String> {
    let arms = view::drawn(study);
    let maps = || arms.iter().flat_map(|(_, arm)| &arm.maps);
    let kinds: BTreeSet<(By, Look)> = maps().filter_map(|map| Some((map.by?, map.look))).collect();
    if kinds.is_empty() {
        return None;
    }
    let ramp = ramp(maps())?;
    let mut out = format!(
        "<section class=\"maps parts\"{}>\n<h3>The map by parts of the data</h3>\n<p>Which part of the data does a unit hear? \
         The same numbers in the same colours, with the loss restricted: to examples of one region or mode alone, as many of each, \
         or to the error in one frequency band. Framed is counterfactual: the denoising loss on weights that were trained without \
         noise; “own, clean” is what those were trained with. \
         After training a part may be silent because it is learned, and its mean gradient with it.</p>\n",
        data(&[("study", &study.name), ("figure", "map-parts")]),
    );
    for (by, look) in kinds {
        let here: Vec<&(&Block, &Arm)> = arms
            .iter()
            .filter(|(_, arm)| of_kind(arm, look, Some(by)).next().is_some())
            .collect();
        let when = match look {
            Look::Start => ", before the first step",
            Look::End => "",
        };
        let _ = writeln!(
            out,
            "<h4 class=\"part\">{}{when}</h4>\n{}",
            heading(by),
            panels(study, &here, look, Some(by), ramp)
        );
    }
    out += "<details><summary>All units of a part together</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th>arm</th>\
            <th>loss</th><th>part</th><th>at</th><th>median signal to noise of each</th><th>silent cells</th></tr></thead>\n<tbody>\n";
    for (block, arm) in &arms {
        let tags = of_arm(study, block, arm)
            .map(|(key, value)| data(&[(key, &value)]))
            .concat();
        for line in part_lines(arm) {
            let cells = line.map(|text| format!("<td>{}</td>", escape(&text)));
            let _ = writeln!(
                out,
                "<tr{tags}><td>{}</td>{}</tr>",
                escape(&arm.label),
                cells.concat()
            );
        }
    }
    out += "</tbody></table></div></details>\n</section>\n";
    Some(out)
}

/// Loss, parts, level, the median over the units that hear each part, and silent cells of an arm after training.
pub(in crate::report) fn part_lines(arm: &Arm) -> Vec<[String; 5]> {
    let maps = arm.maps.iter().filter(|map| map.look == Look::End);
    let restricted = maps.filter_map(|map| Some((map.by?, map)));
    let lines = restricted.flat_map(|(by, map)| {
        let line = move |(level, places): (Option<f64>, Vec<usize>)| {
            let column = |place: &usize| map.cells.iter().skip(*place).step_by(map.columns.len());
            let cells = || places.iter().flat_map(column);
            let heard = |place: &usize| {
                let heard = column(place).filter(|cell| !cell.is_silent());
                let middle = median(heard.filter_map(|cell| cell.median).collect());
                middle.map_or_else(|| DASH.to_owned(), gsnr)
            };
            let names: Vec<String> = [places.first(), places.last()]
                .into_iter()
                .flatten()
                .map(|place| by.label(map.parts[*place]))
                .collect();
            [
                loss(map).to_owned(),
                format!("{} {}", by.name(), names.join("–")),
                level.map_or_else(|| "clean".to_owned(), |level| level.to_string()),
                places.iter().map(heard).collect::<Vec<_>>().join(", "),
                format!(
                    "{} of {}",
                    cells().filter(|cell| cell.is_silent()).count(),
                    cells().count()
                ),
            ]
        };
        by_level(map).into_iter().map(line)
    });
    lines.collect()
}

/// The columns of each level.
fn by_level(map: &ArmMap) -> Vec<(Option<f64>, Vec<usize>)> {
    let mut levels: Vec<(Option<f64>, Vec<usize>)> = Vec::new();
    for (place, &level) in map.columns.iter().enumerate() {
        match levels.last_mut() {
            Some((last, places)) if *last == level => places.push(place),
            _ => levels.push((level, vec![place])),
        }
    }
    levels
}

fn loss(map: &ArmMap) -> &'static str {
    match map.objective {
        Objective::Own => "own",
        Objective::Counterfactual => "counterfactual",
    }
}

fn heading(by: By) -> String {
    match by {
        By::Regions(count) => {
            format!("By region: {count} of equal mass, by the density of the noised data")
        }
        By::Modes => "By mode".to_owned(),
        By::Bands(_) => "By frequency band".to_owned(),
    }
}

/// What the columns stand for.
pub(super) fn axis(by: By) -> &'static str {
    match by {
        By::Regions(_) => "region, thinnest first",
        By::Modes => "mode",
        By::Bands(_) => "frequency band, 0 the constant",
    }
}

/// The parts at each level, which stands above them.
pub(super) fn groups(map: &ArmMap, by: By, arm_tags: &str) -> Vec<Group> {
    let group = |(level, places): (Option<f64>, Vec<usize>)| {
        let at = level.map_or_else(|| "own, clean".to_owned(), |level| format!("σ = {level}"));
        let name = |place: &usize| by.label(map.parts[*place]);
        let row = |(unit, cells): (&str, &[crate::map::Readings])| {
            let tile = |place: &usize| {
                let words = format!("{unit}, {} {}, {at}", by.name(), name(place));
                let tags = data(&[
                    ("unit", unit),
                    ("by", by.name()),
                    ("part", &name(place)),
                    ("at", &at),
                ]);
                tile(&words, &cells[*place], arm_tags.to_owned() + &tags)
            };
            places.iter().map(tile).collect()
        };
        Group {
            apart: map.objective == Objective::Counterfactual,
            columns: places.iter().map(name).collect(),
            rows: map.rows().map(row).collect(),
            title: at.clone(),
        }
    };
    by_level(map).into_iter().map(group).collect()
}
