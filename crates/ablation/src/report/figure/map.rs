//! The learnability map: units × noise levels, every arm on one scale of colours.
//!
//! Colour is log₁₀ GSNR. The style sheet mixes it in OKLab from a pale to a deep colour along a curve whose lightness is a
//! straight line, yellow to blue: equal steps of the number are equal steps for the eye, also on grey paper and for those
//! who see no red or no green. In the dark the ends change places, so that more signal is always more contrast.
//! What is silent has no colour but a cross.

use std::fmt::Write as _;

use crate::map::{ArmMap, By, Look, Objective, Readings};
use crate::report::figure::canvas::{Anchor, Canvas, short};
use crate::report::figure::{WIDTH, of_arm, parts};
use crate::report::markup::{data, escape};
use crate::report::number;
use crate::report::view;
use crate::summary::{Arm, Block, StudySummary};

/// Where the rows begin, below the titles of groups of columns.
const TOP: f64 = 44.0;
/// Where they begin if there are no titles.
const BARE: f64 = 8.0;
/// Width of a letter of a name, about.
const LETTER: f64 = 6.3;
/// Height of a row.
const ROW: f64 = 14.0;
/// Between two blocks of rows, and between two groups of columns.
const GAP: f64 = 4.0;
/// Units in the table of those that are heard least.
const WORST: usize = 5;

/// The colours of all panels that stand together: log₁₀ GSNR from pale to deep.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Ramp {
    low: f64,
    high: f64,
}

/// One tile.
#[derive(Clone, Debug)]
pub(in crate::report) struct Tile {
    /// log₁₀ GSNR; none where it is silent.
    pub(in crate::report) height: Option<f64>,
    /// What a pointer is told.
    pub(in crate::report) words: String,
    /// Attributes.
    pub(in crate::report) tags: String,
}

/// Columns that belong together.
#[derive(Clone, Debug)]
pub(in crate::report) struct Group {
    /// Above them.
    pub(in crate::report) title: String,
    /// Whether a frame sets them apart.
    pub(in crate::report) apart: bool,
    /// Below each.
    pub(in crate::report) columns: Vec<String>,
    /// The tiles of each row.
    pub(in crate::report) rows: Vec<Vec<Tile>>,
}

impl Ramp {
    /// From the smallest to the largest number, and at least a decade.
    pub(in crate::report) fn over(heights: impl Iterator<Item = f64>) -> Option<Ramp> {
        let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        (low <= high).then(|| {
            let spare = (0.5 - (high - low) / 2.0).max(0.0);
            Ramp {
                low: low - spare,
                high: high + spare,
            }
        })
    }

    fn style(self, height: f64) -> String {
        let part = (height - self.low) / (self.high - self.low);
        format!(" style=\"--t:{}%\"", short(100.0 * part.clamp(0.0, 1.0)))
    }

    /// The key: the colours with their numbers, and what a cross says.
    pub(in crate::report) fn key(self, title: &str, silent: &str) -> String {
        const STEPS: usize = 60;
        let (left, right) = (8.0, 300.0);
        let at = |height: f64| left + (right - left) * (height - self.low) / (self.high - self.low);
        let mut canvas = Canvas::new(WIDTH, 52.0);
        let wide = (right - left) / STEPS as f64;
        for step in 0..STEPS {
            let part = (step as f64 + 0.5) / STEPS as f64;
            let height = self.low + part * (self.high - self.low);
            let x = left + wide * step as f64;
            // A little wider than its step, so that no paper shows between two.
            let style = self.style(height);
            canvas.tile("tile bare", (x, 6.0), (wide + 0.4, 14.0), &style, "");
        }
        let span = self.high - self.low;
        let every = if span < 2.5 { 0.5 } else { (span / 5.0).ceil() };
        let first = (self.low / every).ceil() as i64;
        for tick in first..=(self.high / every).floor() as i64 {
            let x = at(every * tick as f64);
            canvas.line("axis", (x, 20.0), (x, 24.0));
            // Half a decade is about 3.
            let decade = (every * tick as f64).floor();
            let leading = if decade < every * tick as f64 {
                3.0
            } else {
                1.0
            };
            let label = number::significant(leading * 10_f64.powf(decade), 1);
            canvas.text("tick", Anchor::Middle, (x, 35.0), &label, "");
        }
        canvas.text("axis-title", Anchor::Start, (left, 49.0), title, "");
        canvas.rect("silent", (322.0, 6.0), (22.0, 14.0));
        cross(&mut canvas, (322.0, 6.0), (22.0, 14.0));
        canvas.text("tick", Anchor::Start, (350.0, 17.0), silent, "");
        canvas.finish("Colours of the maps")
    }
}

/// What the columns of levels stand for.
pub(in crate::report) const LEVELS: &str = "noise level sigma";

/// One panel: rows named at the left, groups of columns side by side above the name of what they stand for.
pub(in crate::report) fn panel(
    label: &str,
    units: &[String],
    groups: &[Group],
    axis: &str,
    slots: usize,
    ramp: Ramp,
) -> String {
    let begin = if groups.iter().all(|group| group.title.is_empty()) {
        BARE
    } else {
        TOP
    };
    let longest = units.iter().map(|unit| unit.chars().count()).max();
    let left = (LETTER * longest.unwrap_or(0) as f64 + 14.0).clamp(120.0, 220.0);
    let tops = tops(units, begin);
    let bottom = tops.last().map_or(begin, |top| top + ROW);
    let mut canvas = Canvas::new(WIDTH, bottom + 38.0);
    for (row, (unit, top)) in units.iter().zip(&tops).enumerate() {
        let (block, layer) = halves(unit);
        let same = |other: Option<&String>| other.is_some_and(|other| halves(other).0 == block);
        let (above, below) = (
            same(row.checked_sub(1).and_then(|row| units.get(row))),
            same(units.get(row + 1)),
        );
        // The first row of a block has its name, and all have the layer's; who is alone has both in one.
        match (above, below) {
            (false, false) => canvas.text("tick", Anchor::Start, (0.0, top + 11.0), unit, ""),
            (false, true) => canvas.text("tick", Anchor::Start, (0.0, top + 11.0), block, ""),
            (true, _) => {}
        }
        if above || below {
            canvas.text("tick", Anchor::End, (left - 6.0, top + 11.0), layer, "");
        }
    }
    // All panels have the same slots, so that equal levels stand above each other.
    let gaps = 2.5 * GAP;
    let wide = ((WIDTH - 6.0 - left - gaps) / slots.max(1) as f64).min(56.0);
    let mut x = left;
    for group in groups {
        let right = x + wide * group.columns.len() as f64;
        let middle = (x + right) / 2.0;
        if group.apart {
            let (at, size) = (
                (x - 3.0, begin - 4.0),
                (right - x + 6.0, bottom - begin + 8.0),
            );
            canvas.rect("apart", at, size);
        }
        canvas.text(
            "tick",
            Anchor::Middle,
            (middle, begin - 10.0),
            &group.title,
            "",
        );
        for (row, top) in group.rows.iter().zip(&tops) {
            for (place, tile) in row.iter().enumerate() {
                let at = (x + wide * place as f64 + 0.75, top + 0.5);
                let size = (wide - 1.5, ROW - 1.0);
                match tile.height {
                    Some(height) => {
                        let attributes = ramp.style(height) + &tile.tags;
                        canvas.tile("tile", at, size, &attributes, &tile.words);
                    }
                    None => {
                        canvas.tile("silent", at, size, &tile.tags, &tile.words);
                        cross(&mut canvas, at, size);
                    }
                }
            }
        }
        for (place, name) in group.columns.iter().enumerate() {
            let at = x + wide * (place as f64 + 0.5);
            canvas.text("tick", Anchor::Middle, (at, bottom + 16.0), name, "");
        }
        x = right + gaps;
    }
    if groups.iter().any(|group| 1 < group.columns.len()) {
        let at = ((left + x - gaps) / 2.0, bottom + 33.0);
        canvas.text("axis-title", Anchor::Middle, at, axis, "");
    }
    canvas.finish(label)
}

/// The upper edges of the rows: blocks stand a little apart.
fn tops(units: &[String], begin: f64) -> Vec<f64> {
    let mut blocks = 0;
    let top = |row: usize| {
        if 0 < row && halves(&units[row]).0 != halves(&units[row - 1]).0 {
            blocks += 1;
        }
        begin + ROW * row as f64 + GAP * f64::from(blocks)
    };
    (0..units.len()).map(top).collect()
}

/// A unit's block, and its name within.
fn halves(unit: &str) -> (&str, &str) {
    unit.rsplit_once('.').unwrap_or((unit, ""))
}

fn cross(canvas: &mut Canvas, at: (f64, f64), size: (f64, f64)) {
    let (x, y) = (at.0 + size.0 / 2.0, at.1 + size.1 / 2.0);
    for sign in [-1.0, 1.0] {
        canvas.line(
            "cross",
            (x - 3.5, y - 3.5 * sign),
            (x + 3.5, y + 3.5 * sign),
        );
    }
}

/// A GSNR from its logarithm.
pub(in crate::report) fn gsnr(log: f64) -> String {
    number::significant(10_f64.powf(log), 2)
}

/// A column in a few characters.
pub(in crate::report) fn column(level: Option<f64>) -> String {
    level.map_or_else(|| "own".to_owned(), |level| level.to_string())
}

/// The maps of all arms of a study after training, and what they show in numbers.
pub(in crate::report) fn map(study: &StudySummary) -> Option<String> {
    let arms: Vec<(&Block, &Arm)> = view::drawn(study)
        .into_iter()
        .filter(|(_, arm)| !arm.maps.is_empty())
        .collect();
    let ramp = ramp(arms.iter().flat_map(|(_, arm)| &arm.maps))?;
    let mut units = arms
        .iter()
        .flat_map(|(_, arm)| &arm.maps)
        .flat_map(|map| &map.units);
    let of_skips = if units.any(|unit| halves(unit).1.starts_with("skip")) {
        "The row of a skip that has no weights is the gradient by a factor of 1 on what its shortcut carries. "
    } else {
        ""
    };
    let mut out = format!(
        "<section class=\"maps\"{}>\n<h3>The learnability map</h3>\n<p>Is there a gradient in each unit at each noise level, \
         and can it be trusted? Colour is the signal-to-noise ratio |E g|²/tr Cov g of the gradient of one training step, median \
         over seeds; a cross is a unit whose mean gradient cannot be told from zero in most seeds. The rows are in forward order. \
         {of_skips}“own” is the arm's own objective. An arm without noise learns from no noise level: what the denoising loss would say \
         to its weights is drawn apart, as counterfactual. One scale for all arms.</p>\n<div class=\"key\">{}</div>\n",
        data(&[("study", &study.name), ("figure", "map")]),
        ramp.key(
            "signal to noise of one training step; 1: as much signal as noise",
            "silent"
        )
    );
    let looks = [
        (Look::End, "", ""),
        (
            Look::Start,
            "<details><summary>The same before the first step</summary>\n",
            "</details>\n",
        ),
    ];
    for (look, open, close) in looks {
        let here: Vec<_> = arms
            .iter()
            .filter(|(_, arm)| of_kind(arm, look, None).next().is_some())
            .collect();
        if here.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "{open}{}{close}",
            panels(study, &here, look, None, ramp)
        );
    }
    out += &worst(study, &arms);
    out += "</section>\n";
    Some(out)
}

/// One scale for these maps; none where there are none.
pub(super) fn ramp<'a>(maps: impl Iterator<Item = &'a ArmMap> + Clone) -> Option<Ramp> {
    let heard = maps
        .clone()
        .flat_map(|map| &map.cells)
        .filter(|cell| !cell.is_silent())
        .filter_map(|cell| cell.median);
    // Where nothing is heard at all, there is still a map to show: all crosses.
    let nothing = || Ramp::over([0.0].into_iter()).filter(|_| maps.clone().next().is_some());
    Ramp::over(heard).or_else(nothing)
}

/// The maps of an arm at one look, of all of the loss or of one kind of parts.
pub(super) fn of_kind(arm: &Arm, look: Look, by: Option<By>) -> impl Iterator<Item = &ArmMap> {
    let maps = arm.maps.iter();
    maps.filter(move |map| (map.look, map.by) == (look, by))
}

/// The panels of arms side by side, all of which have such maps.
pub(super) fn panels(
    study: &StudySummary,
    arms: &[&(&Block, &Arm)],
    look: Look,
    by: Option<By>,
    ramp: Ramp,
) -> String {
    let of_arm = |(block, arm): &(&Block, &Arm)| {
        let tags = of_arm(study, block, arm);
        tags.map(|(key, value)| data(&[(key, &value)])).concat()
    };
    let columns = |arm: &Arm| -> usize {
        let maps = of_kind(arm, look, by);
        maps.map(|map| map.columns.len()).sum()
    };
    let slots = arms.iter().map(|(_, arm)| columns(arm)).max().unwrap_or(1);
    let mut out = String::from("<div class=\"pair\">\n");
    for place in arms {
        let ((_, arm), tags) = (place, of_arm(place));
        let maps: Vec<&ArmMap> = of_kind(arm, look, by).collect();
        let groups: Vec<Group> = maps
            .iter()
            .flat_map(|map| match by {
                None => groups(map, &tags),
                Some(by) => parts::groups(map, by, &tags),
            })
            .collect();
        let said: Vec<String> = maps.iter().filter_map(|map| in_words(map)).collect();
        let axis = by.map_or(LEVELS, parts::axis);
        let _ = writeln!(
            out,
            "<figure{tags}><h4>{}</h4>{}<figcaption>{}.</figcaption></figure>",
            escape(&arm.label),
            panel(&arm.label, &maps[0].units, &groups, axis, slots, ramp),
            escape(&said.join("; "))
        );
    }
    out + "</div>\n"
}

/// The whole objective by itself, and the noise levels beside it.
fn groups(map: &ArmMap, arm_tags: &str) -> Vec<Group> {
    let (whole, levels): (Vec<usize>, Vec<usize>) =
        (0..map.columns.len()).partition(|&place| map.columns[place].is_none());
    let apart = map.objective == Objective::Counterfactual;
    let title = if apart {
        "counterfactual: denoising"
    } else {
        "its parts by noise level"
    };
    let parts = [(whole, "", false), (levels, title, apart)];
    let of = |(places, title, apart): (Vec<usize>, &str, bool)| Group {
        title: title.to_owned(),
        apart,
        columns: places.iter().map(|&p| column(map.columns[p])).collect(),
        rows: map
            .rows()
            .map(|(unit, cells)| {
                let tile = |&place: &usize| {
                    let name = match map.columns[place] {
                        None => format!("{unit}, own objective"),
                        Some(level) => format!("{unit}, σ = {level}"),
                    };
                    let tags = data(&[("unit", unit), ("column", &column(map.columns[place]))]);
                    tile(&name, &cells[place], arm_tags.to_owned() + &tags)
                };
                places.iter().map(tile).collect()
            })
            .collect(),
    };
    let held = parts.into_iter().filter(|(places, ..)| !places.is_empty());
    held.map(of).collect()
}

/// A cell with what a pointer is told of it.
pub(super) fn tile(place: &str, cell: &Readings, tags: String) -> Tile {
    let mut words = match (cell.median, cell.min, cell.max) {
        (Some(median), Some(min), Some(max)) => {
            format!("{place}: {} [{}, {}]", gsnr(median), gsnr(min), gsnr(max))
        }
        _ => format!("{place}: no signal"),
    };
    if 0 < cell.silent {
        let _ = write!(words, "; silent in {} of {} seeds", cell.silent, cell.n);
    }
    Tile {
        height: cell.median.filter(|_| !cell.is_silent()),
        words,
        tags,
    }
}

/// `own objective: 2 of 14 cells are silent, the others from 0.1 to 20`.
fn in_words(map: &ArmMap) -> Option<String> {
    let name = match map.objective {
        Objective::Own => "own objective",
        Objective::Counterfactual => "counterfactual",
    };
    let mut heard: Vec<f64> = map
        .cells
        .iter()
        .filter(|cell| !cell.is_silent())
        .filter_map(|cell| cell.median)
        .collect();
    heard.sort_by(f64::total_cmp);
    let mut words = format!(
        "{name}: {} of {} cells silent",
        map.silent(),
        map.cells.len()
    );
    if let (Some(low), Some(high)) = (heard.first(), heard.last()) {
        let _ = write!(words, ", the others from {} to {}", gsnr(*low), gsnr(*high));
    }
    (!map.cells.is_empty()).then_some(words)
}

/// The units that are heard least, arm by arm.
fn worst(study: &StudySummary, arms: &[(&Block, &Arm)]) -> String {
    let mut out = String::from(
        "<details><summary>The units that are heard least</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th>arm</th>\
         <th>loss</th><th>unit</th><th>silent columns</th><th>lowest signal to noise</th><th>at</th></tr></thead>\n<tbody>\n",
    );
    for (block, arm) in arms {
        let tags = of_arm(study, block, arm)
            .map(|(key, value)| data(&[(key, &value)]))
            .concat();
        for line in lines(arm, WORST) {
            let [loss, unit, silent, lowest, at] = line.map(|text| escape(&text));
            let _ = writeln!(
                out,
                "<tr{tags}><td>{}</td><td>{loss}</td><td>{unit}</td><td>{silent}</td><td>{lowest}</td><td>{at}</td></tr>",
                escape(&arm.label)
            );
        }
    }
    out + "</tbody></table></div></details>\n"
}

/// Loss, unit, silent columns, lowest GSNR and its column of the units of an arm that are heard least after training.
pub(in crate::report) fn lines(arm: &Arm, most: usize) -> Vec<[String; 5]> {
    of_kind(arm, Look::End, None)
        .flat_map(|map| {
            let loss = match map.objective {
                Objective::Own => "own",
                Objective::Counterfactual => "counterfactual",
            };
            map.worst().into_iter().take(most).map(move |row| {
                let (lowest, at) = match row.lowest {
                    Some((log, level)) => (gsnr(log), column(level)),
                    None => (number::DASH.to_owned(), number::DASH.to_owned()),
                };
                [
                    loss.to_owned(),
                    row.unit.to_owned(),
                    format!("{} of {}", row.silent, row.columns),
                    lowest,
                    at,
                ]
            })
        })
        .collect()
}
