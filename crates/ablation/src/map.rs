//! The learnability map of a cell, and of an arm over its seeds: which unit gets a gradient that can be trusted, at
//! which noise level.
//!
//! ```text
//! rows     layers, or blocks, of the trained network, in forward order
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

use std::collections::BTreeSet;

use learnability::map::{LearnabilityMap, Mark};
use serde::{Deserialize, Serialize};

use crate::{architecture::Architecture, config::CellConfig, error::Error, frame::median};

/// False discovery rate at which cells are called audible, over all cells of one map.
pub const RATE: f64 = 0.05;
/// Confidence of the interval of a cell.
pub const CONFIDENCE: f64 = 0.95;
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
    /// Names of the rows.
    pub units: Vec<String>,
    /// Noise level of each column; none for the whole objective.
    pub columns: Vec<Option<f64>>,
    /// The cells, unit by unit.
    pub cells: Vec<Reading>,
}

/// One cell of a [`Map`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// GSNR of the gradient of one training step; none where it is undefined.
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
    /// Names of the rows.
    pub units: Vec<String>,
    /// Noise level of each column; none for the whole objective.
    pub columns: Vec<Option<f64>>,
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
    /// Median of log₁₀ GSNR over the seeds in which it is heard.
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
    /// The maps of an arm from those of its cells; maps of one look and objective belong together.
    pub fn over_seeds<'a>(maps: impl Iterator<Item = &'a Map> + Clone) -> Vec<ArmMap> {
        let kinds: BTreeSet<(Objective, Look)> =
            maps.clone().map(|map| (map.objective, map.look)).collect();
        let of_kind = |(objective, look)| {
            let of = |map: &&Map| (map.objective, map.look) == (objective, look);
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
                look,
                objective,
                units: first.units.clone(),
                columns: first.columns.clone(),
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

/// Whether so many micro-batches can mark a lone audible cell among all of the map, and the levels are those of the cell.
///
/// # Errors
/// [`Error::Impossible`].
pub(crate) fn check(
    config: &CellConfig,
    architecture: &Architecture,
    place: &str,
) -> Result<(), Error> {
    let Some(probe) = &config.probes.map else {
        return Ok(());
    };
    let refuse = |name: &str, value: String, rule: String| {
        Err(Error::Impossible {
            place: place.to_owned(),
            name: name.to_owned(),
            value,
            rule,
        })
    };
    let levels = config.noise.sigma_min..=config.noise.sigma_max;
    if let Some(level) = probe.levels.iter().find(|level| !levels.contains(level)) {
        let rule = "every level must lie within [noise.sigma_min, noise.sigma_max]";
        return refuse("probes.map.levels", level.to_string(), rule.to_owned());
    }
    if !(1..=1_000_000).contains(&probe.examples) {
        let rule = "a micro-batch has 1 to 1,000,000 examples";
        let value = probe.examples.to_string();
        return refuse("probes.map.examples", value, rule.to_owned());
    }
    let layers = architecture.layer_names();
    let rows: BTreeSet<&str> = layers.iter().map(|name| probe.units.row(name)).collect();
    let cells = rows.len() * (1 + probe.levels.len());
    let enough = enough(cells);
    if !(enough..=1024).contains(&probe.micro_batches) {
        let rule = format!(
            "{enough} to 1024 are needed: the signs of so many micro-batches tell one audible cell from {cells} silent ones"
        );
        let value = probe.micro_batches.to_string();
        return refuse("probes.map.micro_batches", value, rule);
    }
    Ok(())
}

/// Micro-batches whose signs have so many patterns that a lone cell of `cells` can be marked: 2¹⁻ⁿ ≤ rate / cells.
pub fn enough(cells: usize) -> usize {
    (3..63)
        .find(|n| cells as f64 / RATE <= (1_u64 << (n - 1)) as f64)
        .unwrap_or(63)
}

/// Random sign flips, where not all are listed, with which that many cells can be marked.
pub fn flips(cells: usize) -> usize {
    ((cells as f64 / RATE).ceil() as usize).max(999)
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
            units: vec!["a".to_owned(), "b".to_owned()],
            columns: vec![None, Some(0.5)],
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
    fn counterfactual_maps_stay_apart() {
        let own = map(&[(1.0, false); 4]);
        let other = Map {
            objective: Objective::Counterfactual,
            ..own.clone()
        };
        let arm = ArmMap::over_seeds([&own, &other, &own].into_iter());
        let n: Vec<_> = arm
            .iter()
            .map(|map| (map.objective, map.cells[0].n))
            .collect();
        assert_eq!(n, [(Objective::Own, 2), (Objective::Counterfactual, 1)]);
    }

    #[test]
    fn so_many_micro_batches_can_mark_a_lone_cell() {
        // The measurement itself refuses one fewer, and takes this many.
        for cells in [1, 70, 250] {
            let n = enough(cells);
            let floor = |n: usize| 0.5_f64.powi(n as i32 - 1);
            assert!(
                floor(n) * cells as f64 <= RATE && (n == 3 || RATE < floor(n - 1) * cells as f64)
            );
            assert!(1.0 / (1.0 + flips(cells) as f64) * cells as f64 <= RATE);
        }
        assert_eq!(enough(70), 12);
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
