//! Records → one number per seed and probe → effects, intervals, verdicts: the [`Summary`].
//!
//! Pure: a bootstrap draws from a stream that the study's name fixes.

mod depth;
mod divergence;
mod effects;
mod looks;
mod stamps;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use effects::{CONFIDENCE, planning_draws};
pub use looks::due;
pub(crate) use verdict::ALPHA;

use std::collections::{BTreeMap, BTreeSet};

use paired_stats::{Problem, benjamini_hochberg, clopper_pearson};

use looks::Standing;

use crate::{
    catalog,
    lock::Lock,
    map::ArmMap,
    plan::{Cell, Plan, PlannedArm, PlannedBlock, PlannedContrast, PlannedLooks, PlannedStudy},
    record::{Attempt, Failure, Outcome, Record},
    summary::{
        Arm, Block, Curve, CurvePoint, EffectRow, Provenance, Spread, StudySummary, Summary,
    },
};

/// Seeds that a verdict takes at least.
pub const MINIMUM_SEEDS: u32 = 8;

/// What is known of the cells of a plan.
#[derive(Debug, Default)]
pub struct Results {
    /// Finished cells by id.
    pub records: BTreeMap<String, (Record, Attempt)>,
    /// Cells on which workers died.
    pub failures: BTreeMap<String, Failure>,
    /// Cells for which two different results were committed.
    pub conflicts: BTreeSet<String>,
    /// Cells whose file does not read.
    pub corrupt: BTreeMap<String, String>,
    /// The frozen plan, and its amendments.
    pub locks: Vec<Lock>,
}

/// Makes the summary of whatever is finished.
pub fn summarise(plan: &Plan, results: &Results, command: &str) -> Summary {
    let distinct = |of: &dyn Fn(&(Record, Attempt)) -> String| -> Vec<String> {
        results
            .records
            .values()
            .map(of)
            .filter(|text| !text.is_empty())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    let binaries = distinct(&|(_, attempt)| attempt.binary.clone());
    let problems = stamps::problems(results, &binaries);
    let studies: Vec<StudySummary> = plan
        .studies
        .iter()
        .map(|study| summarise_study(study, results, &problems, plan.looks.as_ref()))
        .collect();
    Summary {
        schema: 1,
        name: plan.name.clone(),
        question: plan.question.clone(),
        stamps: stamps::stamps(plan, results, &studies, &binaries),
        studies,
        provenance: Provenance {
            devices: distinct(&|(record, _)| {
                format!("{:?}", record.cell.config.device()).to_lowercase()
            }),
            numerics: distinct(&|(record, _)| record.cell.config.numerics()),
            hosts: distinct(&|(_, attempt)| attempt.host.clone()),
            libtorch: distinct(&|(_, attempt)| attempt.libtorch.clone()),
            binaries,
            cell_seconds: results
                .records
                .values()
                .map(|(_, attempt)| attempt.seconds)
                .sum(),
            command: command.to_owned(),
        },
    }
}

/// The effect of a contrast in each seed that has it: one that this study registered, or one like it.
pub(crate) fn contrast_values(
    study: &PlannedStudy,
    results: &Results,
    contrast: &PlannedContrast,
) -> Vec<f64> {
    let blocks: Vec<Block> = study
        .blocks
        .iter()
        .map(|block| summarise_block(block, u32::MAX, results))
        .collect();
    let block = verdict::block_of(study, &blocks, contrast);
    let values = effects::per_seed(&blocks, block, &contrast.probe, contrast.effect);
    values.complete.into_values().collect()
}

fn summarise_study(
    study: &PlannedStudy,
    results: &Results,
    problems: &[Problem],
    looks: Option<&PlannedLooks>,
) -> StudySummary {
    let Standing {
        blocks,
        mut verdicts,
        looks,
        ended,
        ..
    } = Standing::of(study, results, problems, looks);
    for (row, contrast) in verdicts.iter_mut().zip(&study.contrasts) {
        let block = verdict::block_of(study, &blocks, contrast);
        let values = effects::per_seed(&blocks, block, &contrast.probe, contrast.effect);
        let order = effects::order(&study.name, &values, &row.numbers.seeds);
        row.larger = order.map(|order| order.estimate);
        row.larger_low = order.map(|order| order.low);
        row.larger_high = order.map(|order| order.high);
    }
    let mut probes: Vec<&str> = vec![&study.primary];
    for (id, ..) in catalog::PROBES {
        let occurs = blocks
            .iter()
            .flat_map(|b| &b.arms)
            .any(|arm| arm.values.contains_key(*id));
        if occurs && *id != study.primary {
            probes.push(id);
        }
    }
    let mut effects = effects::all_effects(study, &blocks, &probes);
    for row in &mut effects {
        row.registered = study.contrasts.iter().any(|contrast| {
            let block = verdict::block_of(study, &blocks, contrast);
            block.name == row.block
                && contrast.probe == row.probe
                && contrast.effect.id() == row.effect
        });
    }
    let mut found: Vec<&mut EffectRow> = effects.iter_mut().filter(|row| !row.registered).collect();
    found.retain(|row| row.numbers.p.is_some());
    let p: Vec<f64> = found.iter().filter_map(|row| row.numbers.p).collect();
    for (row, q) in found.into_iter().zip(benjamini_hochberg(&p)) {
        row.q = Some(q);
    }
    StudySummary {
        depths: depth::by_depth(study, &blocks),
        divergences: divergence::divergences(&blocks),
        name: study.name.clone(),
        title: study.title.clone(),
        question: study.question.clone(),
        setup: study.setup.clone(),
        notes: study.notes.clone(),
        seeds: blocks[0].seeds,
        looks,
        ended,
        primary: study.primary.clone(),
        probes: probes.iter().filter_map(|id| catalog::probe(id)).collect(),
        blocks,
        verdicts,
        effects,
    }
}

/// A block with the first of its seeds.
fn summarise_block(block: &PlannedBlock, seeds: u32, results: &Results) -> Block {
    let seeds = block.seeds.min(seeds);
    Block {
        name: block.name.clone(),
        role: block.role,
        change: block.change.clone(),
        seeds,
        arms: block
            .arms
            .iter()
            .map(|arm| summarise_arm(arm, seeds, results))
            .collect(),
    }
}

fn summarise_arm(arm: &PlannedArm, seeds: u32, results: &Results) -> Arm {
    let cells: Vec<Cell> = (0..seeds)
        .map(|seed| Cell::new(arm.config.clone(), seed))
        .collect();
    let finished: Vec<&(Record, Attempt)> = cells
        .iter()
        .filter_map(|cell| results.records.get(&cell.id))
        .collect();
    let (mut divergences, mut diverged_seeds) = (Vec::new(), Vec::new());
    let mut probes: BTreeSet<&String> = BTreeSet::new();
    let mut names: BTreeSet<&String> = BTreeSet::new();
    for (record, _) in &finished {
        if let Outcome::Diverged { stage, step } = record.outcome {
            diverged_seeds.push(record.cell.seed);
            divergences.push(format!(
                "seed {}: {} at step {step}",
                record.cell.seed,
                stage.words()
            ));
        }
        probes.extend(record.values.keys());
        names.extend(record.curves.keys());
    }
    let records = || finished.iter().map(|(record, _)| record);
    let values = probes.into_iter().map(|probe| {
        let seeds = records()
            .map(|record| (record.cell.seed, record.values.get(probe).copied()))
            .collect();
        (probe.clone(), spread(seeds))
    });
    let curves = names
        .into_iter()
        .map(|name| (name.clone(), curve(name, &records().collect::<Vec<_>>())));
    let failed = |cell: &&Cell| {
        results.failures.contains_key(&cell.id) || results.corrupt.contains_key(&cell.id)
    };
    Arm {
        levels: arm.levels.clone(),
        label: arm.label.clone(),
        parameters: arm.parameters,
        planned: seeds,
        finished: finished.len() as u32,
        diverged: divergences.len() as u32,
        finished_seeds: records().map(|record| record.cell.seed).collect(),
        diverged_interval: (!diverged_seeds.is_empty())
            .then(|| clopper_pearson(divergences.len() as u64, finished.len() as u64, CONFIDENCE))
            .and_then(|interval| interval.ok().map(|(low, high)| [low, high])),
        diverged_seeds,
        divergences,
        failed: cells.iter().filter(failed).count() as u32,
        seconds: median(
            finished
                .iter()
                .map(|(_, attempt)| attempt.seconds)
                .collect(),
        ),
        values: values.collect(),
        curves: curves.collect(),
        exhibit: records().find_map(|record| record.exhibit.clone()),
        maps: ArmMap::over_seeds(records().flat_map(|record| &record.maps)),
    }
}

fn spread(seeds: BTreeMap<u32, Option<f64>>) -> Spread {
    let values: Vec<f64> = seeds.values().flatten().copied().collect();
    let n = values.len();
    let mean = (0 < n).then(|| values.iter().sum::<f64>() / n as f64);
    let sd = mean.filter(|_| 1 < n).map(|mean| {
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt()
    });
    Spread {
        n: n as u32,
        mean,
        sd,
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
        median: median(values),
        seeds,
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (0 < n).then(|| 0.5 * (values[(n - 1) / 2] + values[n / 2]))
}

fn curve(name: &str, records: &[&Record]) -> Curve {
    let mut first = None;
    // Points of one abscissa, in the order of the abscissae; f64 is no key, its bits are.
    let mut points: Vec<(f64, String, Vec<f64>)> = Vec::new();
    for series in records.iter().filter_map(|record| record.curves.get(name)) {
        let titles = (series.x_title.clone(), series.y_title.clone(), series.log_x);
        first.get_or_insert(titles);
        for point in &series.points {
            match points
                .iter_mut()
                .find(|(x, label, _)| *x == point.x && *label == point.label)
            {
                Some((_, _, values)) => values.push(point.y),
                None => points.push((point.x, point.label.clone(), vec![point.y])),
            }
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (x_title, y_title, log_x) = first.unwrap_or_default();
    let points = points.into_iter().map(|(x, label, values)| CurvePoint {
        x,
        label,
        n: values.len() as u32,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        median: median(values).expect("a point has at least one value"),
    });
    Curve {
        x_title,
        y_title,
        log_x,
        points: points.collect(),
    }
}
