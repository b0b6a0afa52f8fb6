//! The learnability map of a cell, and of an arm over its seeds: which unit gets a gradient that can be trusted, at
//! which noise level.
//!
//! ```text
//! rows     layers, or blocks, of the trained network, in forward order, and its skips
//! columns  the arm's own objective as training draws it, then the denoising loss at each noise level
//! cell     GSNR = |E g|² / tr Cov g of the gradient g of one training step; silent where E g = 0 is not rejected
//! ```
//!
//! At a GSNR of 1 a training step follows as much signal as noise; at 0.01 it takes a hundred steps to hear as much.
//! It is measured on micro-batches of `examples` and multiplied by `batch / examples`, since the noise of a mean falls as
//! its examples grow in number; so arms and studies of unlike micro-batches may be compared.
//!
//! An arm without noise has one column, its own objective. The denoising loss that its network was not trained with is
//! measured on the same weights, at the noise levels as its inputs and labels, and kept apart: [`Objective::Counterfactual`].
//!
//! *Range*: a GSNR is real, 0 and less where the estimate is all scatter; `p` in `[0, 1]`.
//! *Invariances*: the scale of the loss and of a unit, so levels, arms and layers may be compared.
//! *Misleading*: a cross is about so many micro-batches, and not about the unit; with more there are fewer. Near a minimum the
//! mean gradient is 0 and its noise is not, so a well-trained unit has a low GSNR. A row gathers what is unlike: a layer
//! of which one weight is heard is heard. And a gradient that can be trusted need not be one that helps.
//! *Source*: `learnability::map`.
//!
//! A study may ask for the same of the loss restricted [by region, mode or band](By): other columns, one map for each.

mod check;
mod parts;

use std::collections::BTreeSet;

use learnability::map::{LearnabilityMap, Mark};
use serde::{Deserialize, Serialize};

use crate::frame::median;

pub(crate) use self::check::{check, passes, reads_levels};
pub use self::check::{enough, flips};
pub use self::parts::{By, Parts};

/// False discovery rate at which cells are called audible, over all cells of one map.
pub const RATE: f64 = 0.05;
/// Confidence of the interval of a cell.
pub const CONFIDENCE: f64 = 0.95;
/// Independent estimates of the gradient of one noise level, where levels are compared.
pub const GROUPS: usize = 4;
/// The probes that need them.
pub(crate) const OF_LEVELS: [&str; 3] = [
    "map_log_noise_scale",
    "map_level_agreement",
    "map_level_confusion",
];
/// What the column of a cell's whole objective is called.
pub const WHOLE: &str = "own";

/// Size of the measurement, as a study declares it: `probes.map`.
///
/// It costs `looks · columns · micro_batches` passes forward and back, on `examples` each, in `seeds` of the seeds: where
/// calls cost more than arithmetic does, a pass costs two thirds of a training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapProbe {
    /// Noise levels of the columns.
    pub levels: Vec<f64>,
    /// What the rows are.
    pub units: Units,
    /// Micro-batches of a cell: the sample of the GSNR and of the test.
    pub micro_batches: usize,
    /// Examples of a micro-batch.
    pub examples: usize,
    /// When it is measured.
    pub looks: BTreeSet<Look>,
    /// In how many of the study's seeds, the first ones.
    pub seeds: u32,
    /// What stands for a skip that has no weights; without it such a skip has no row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skips: Option<Skips>,
    /// How far the levels agree on a step of the whole network, along training, and the noise scale of the arm's own objective;
    /// without it neither is read. An arm without noise has no levels of its own, and neither reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Maps of parts of the loss beside it; without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// Size of the comparison of noise levels: `probes.map.agreement`.
///
/// It costs `(1 + levels) · micro_batches` passes forward and back at each of its looks.
///
/// *Misleading*: where training has come to rest the gradients of the levels, as they weigh, add up to nothing, whatever the
/// weights: of `L` levels that count alike the mean cosine is then about `−1/(L − 1)`. So look while it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Micro-batches of each level, and of the arm's own objective: a multiple of [`GROUPS`].
    pub micro_batches: usize,
    /// The numbers of steps after which it is read, rising.
    pub after: Vec<u64>,
}

/// What the rows of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Every layer that learns: `block1.linear2`.
    Layers,
    /// The layers of a block together, and its skip apart: `block1`, `block1.skip`.
    Blocks,
}

impl Units {
    /// The row of a layer.
    pub fn row(self, layer: &str) -> &str {
        match (self, layer.rsplit_once('.')) {
            (Units::Blocks, Some((block, last))) if last != "skip" => block,
            _ => layer,
        }
    }
}

/// What stands for a skip that has no weights, and so no gradient of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skips {
    /// The gradient by a factor of 1 on what its shortcut carries: `resnet_blocks::Shortcut`, which says when it misleads.
    ///
    /// Such rows are no part of the indices over the rows, which would rise by units that are easily heard.
    Factor,
}

/// When a map is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Before the first step.
    Start,
    /// After the last step.
    End,
}

/// What the columns of a map have as their loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The arm's own.
    Own,
    /// The denoising loss, on weights that were not trained with it.
    Counterfactual,
}

/// One map of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// When.
    pub look: Look,
    /// Of which loss.
    pub objective: Objective,
    /// What the columns restrict the loss by; none where they have all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Names of the rows.
    pub units: Vec<String>,
    /// Noise level of each column; none for the arm's own objective.
    pub columns: Vec<Option<f64>>,
    /// The part of each column, where they are restricted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<usize>,
    /// The cells, unit by unit.
    pub cells: Vec<Reading>,
}

/// One cell of a [`Map`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// GSNR of the gradient of one training step; none where it is undefined. Any real number.
    pub gsnr: Option<f64>,
    /// Its 95 % interval over micro-batches.
    pub interval: Option<[f64; 2]>,
    /// `p` of `E g = 0`, after Benjamini & Hochberg over the map.
    pub p: f64,
    /// Whether that is all that can be said: `E g = 0` is not rejected at 5 %.
    pub silent: bool,
}

impl Reading {
    /// log₁₀ GSNR, where a gradient is heard.
    pub fn heard(&self) -> Option<f64> {
        let gsnr = self
            .gsnr
            .filter(|gsnr| !self.silent && 0.0 < *gsnr && gsnr.is_finite());
        gsnr.map(f64::log10)
    }
}

impl Map {
    /// A measured map, whose GSNR per micro-batch is multiplied by `steps`, the micro-batches of a training step.
    pub fn of(measured: &LearnabilityMap, look: Look, objective: Objective, steps: f64) -> Map {
        let reading = |cell: &learnability::map::Cell| Reading {
            gsnr: cell.gsnr.map(|gsnr| steps * gsnr.estimate),
            interval: cell
                .gsnr
                .map(|gsnr| [steps * gsnr.low, steps * gsnr.high])
                .filter(|ends| ends.iter().all(|end| end.is_finite())),
            p: cell.p,
            silent: cell.mark == Mark::Silent,
        };
        Map {
            look,
            objective,
            by: None,
            parts: Vec::new(),
            units: measured.units().to_vec(),
            columns: measured
                .columns()
                .iter()
                .map(|column| column.noise_level)
                .collect(),
            cells: measured.rows().flatten().map(reading).collect(),
        }
    }
}

/// One map of an arm: the maps of its seeds, cell by cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmMap {
    /// When.
    pub look: Look,
    /// Of which loss.
    pub objective: Objective,
    /// What the columns restrict the loss by; none where they have all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Names of the rows.
    pub units: Vec<String>,
    /// Noise level of each column; none for the arm's own objective.
    pub columns: Vec<Option<f64>>,
    /// The part of each column, where they are restricted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<usize>,
    /// The cells, unit by unit.
    pub cells: Vec<Readings>,
}

/// One cell of an [`ArmMap`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readings {
    /// Seeds that were measured.
    pub n: u32,
    /// Seeds in which the cell is silent.
    pub silent: u32,
    /// Median of log₁₀ GSNR over the seeds in which it is heard, and only those: where few hear it, it is too large.
    pub median: Option<f64>,
    /// Smallest of them.
    pub min: Option<f64>,
    /// Largest of them.
    pub max: Option<f64>,
}

impl Readings {
    /// Silent in most seeds; also where no seed has a positive GSNR.
    pub fn is_silent(&self) -> bool {
        self.n < 2 * self.silent || self.median.is_none()
    }
}

/// A row of an [`ArmMap`] in a few words.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// Name of the unit.
    pub unit: &'a str,
    /// Columns that are silent in most seeds.
    pub silent: usize,
    /// Columns.
    pub columns: usize,
    /// The lowest median log₁₀ GSNR of the others, and where.
    pub lowest: Option<(f64, Option<f64>)>,
}

impl ArmMap {
    /// The maps of an arm from those of its cells; maps of one look, objective and restriction belong together.
    pub fn over_seeds<'a>(maps: impl Iterator<Item = &'a Map> + Clone) -> Vec<ArmMap> {
        let kind = |map: &Map| (map.by, map.objective, map.look);
        let kinds: BTreeSet<(Option<By>, Objective, Look)> = maps.clone().map(kind).collect();
        let of_kind = |of_kind| {
            let of = |map: &&Map| kind(map) == of_kind;
            let maps: Vec<&Map> = maps.clone().filter(of).collect();
            let first = maps.first().expect("a kind is that of some map");
            let readings = |cell: usize| {
                let seeds = maps.iter().filter_map(|map| map.cells.get(cell));
                let heard: Vec<f64> = seeds.clone().filter_map(Reading::heard).collect();
                Readings {
                    n: seeds.clone().count() as u32,
                    silent: seeds.filter(|reading| reading.silent).count() as u32,
                    min: heard.iter().copied().reduce(f64::min),
                    max: heard.iter().copied().reduce(f64::max),
                    median: median(heard),
                }
            };
            ArmMap {
                look: first.look,
                objective: first.objective,
                by: first.by,
                units: first.units.clone(),
                columns: first.columns.clone(),
                parts: first.parts.clone(),
                cells: (0..first.cells.len()).map(readings).collect(),
            }
        };
        kinds.into_iter().map(of_kind).collect()
    }

    /// The cells of each unit.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &[Readings])> {
        let units = self.units.iter().map(String::as_str);
        units.zip(self.cells.chunks(self.columns.len()))
    }

    /// Cells that are silent in most seeds.
    pub fn silent(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_silent()).count()
    }

    /// The units, the one that is heard least first: by silent columns, then by the lowest median.
    pub fn worst(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self
            .rows()
            .map(|(unit, cells)| Row {
                unit,
                silent: cells.iter().filter(|cell| cell.is_silent()).count(),
                columns: cells.len(),
                lowest: cells
                    .iter()
                    .zip(&self.columns)
                    .filter(|(cell, _)| !cell.is_silent())
                    .filter_map(|(cell, level)| Some((cell.median?, *level)))
                    .min_by(|a, b| a.0.total_cmp(&b.0)),
            })
            .collect();
        let height = |row: &Row<'_>| row.lowest.map_or(f64::NEG_INFINITY, |(median, _)| median);
        rows.sort_by(|a, b| {
            let silent = b.silent.cmp(&a.silent);
            silent.then(height(a).total_cmp(&height(b)))
        });
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(gsnr: &[(f64, bool)]) -> Map {
        let reading = |&(gsnr, silent): &(f64, bool)| Reading {
            gsnr: Some(gsnr),
            interval: None,
            p: if silent { 1.0 } else { 0.01 },
            silent,
        };
        Map {
            look: Look::End,
            objective: Objective::Own,
            by: None,
            units: vec!["a".to_owned(), "b".to_owned()],
            columns: vec![None, Some(0.5)],
            parts: Vec::new(),
            cells: gsnr.iter().map(reading).collect(),
        }
    }

    #[test]
    fn an_arm_is_the_median_of_what_is_heard_and_silent_where_most_seeds_are() {
        let seeds = [
            map(&[(10.0, false), (1.0, false), (0.1, true), (1.0, false)]),
            map(&[(1000.0, false), (0.1, false), (0.1, true), (0.2, true)]),
            map(&[(100.0, false), (-0.3, false), (0.1, false), (0.5, false)]),
        ];
        let arm = ArmMap::over_seeds(seeds.iter());
        assert_eq!(arm.len(), 1);
        let [first, second, third, fourth] = &arm[0].cells[..] else {
            panic!("four cells");
        };
        assert_eq!((first.n, first.silent, first.median), (3, 0, Some(2.0)));
        // A negative estimate has no logarithm and is left out of the median.
        assert_eq!((second.median, second.is_silent()), (Some(-0.5), false));
        assert_eq!((third.silent, third.is_silent()), (2, true));
        assert_eq!((fourth.silent, fourth.is_silent()), (1, false));
        let worst = arm[0].worst();
        assert_eq!((worst[0].unit, worst[0].silent), ("b", 1));
        assert_eq!(worst[1].lowest, Some((-0.5, Some(0.5))));
        assert_eq!(arm[0].silent(), 1);
    }

    #[test]
    fn counterfactual_maps_and_those_of_parts_stay_apart() {
        let own = map(&[(1.0, false); 4]);
        let other = Map {
            objective: Objective::Counterfactual,
            ..own.clone()
        };
        let part = Map {
            by: Some(By::Modes),
            columns: vec![None; 2],
            parts: vec![0, 1],
            ..own.clone()
        };
        let arm = ArmMap::over_seeds([&own, &part, &other, &own].into_iter());
        let n: Vec<_> = arm
            .iter()
            .map(|map| (map.by, map.objective, map.cells[0].n))
            .collect();
        let wanted = [
            (None, Objective::Own, 2),
            (None, Objective::Counterfactual, 1),
            (Some(By::Modes), Objective::Own, 1),
        ];
        assert_eq!(n, wanted);
        assert_eq!(arm[2].parts, [0, 1]);
        // A map of all of the loss is written as it was before there were parts.
        let text = serde_json::to_string(&own).expect("plain data");
        assert!(!text.contains("parts") && !text.contains("by"));
    }

    #[test]
    fn a_block_is_its_layers_without_its_skip() {
        let rows = [
            "read_in",
            "block1.linear1",
            "encoder2.block1.conv1",
            "block1.skip",
        ];
        assert_eq!(
            rows.map(|layer| Units::Blocks.row(layer)),
            ["read_in", "block1", "encoder2.block1", "block1.skip"]
        );
        assert_eq!(rows.map(|layer| Units::Layers.row(layer)), rows);
    }
}
