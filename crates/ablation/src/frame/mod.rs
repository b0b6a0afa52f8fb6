//! Records → one number per seed and probe → effects, intervals, verdicts: the [`Summary`].
//!
//! Pure: a bootstrap draws from a stream that the study's name fixes.

mod effects;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use effects::{CONFIDENCE, planning_draws};
pub(crate) use verdict::ALPHA;

use std::collections::{BTreeMap, BTreeSet};

use paired_stats::Problem;

use crate::{
    catalog,
    lock::Lock,
    map::ArmMap,
    plan::{Cell, Plan, PlannedArm, PlannedBlock, PlannedContrast, PlannedStudy},
    record::{Attempt, Failure, Outcome, Record},
    summary::{Arm, Block, Curve, CurvePoint, Provenance, Spread, Stamp, StudySummary, Summary},
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
    let planned = plan.cells().len();
    let done = results.records.len();
    let mut stamps = Vec::new();
    let mut stamp = |word: &str, reason: String| {
        stamps.push(Stamp {
            word: word.to_owned(),
            reason,
        })
    };
    if done < planned {
        let failed = results.failures.len() + results.corrupt.len();
        stamp(
            "INTERIM",
            format!("{done} of {planned} cells have a result ({failed} failed)"),
        );
    }
    if let Some(study) = plan
        .studies
        .iter()
        .find(|study| study.seeds < MINIMUM_SEEDS)
    {
        let reason = format!(
            "{} seeds in `{}`: fewer than {MINIMUM_SEEDS} give estimates and no verdict",
            study.seeds, study.name
        );
        stamp("EXPLORATORY", reason);
    }
    if !results.conflicts.is_empty() {
        stamp(
            "NOT DETERMINISTIC",
            format!(
                "{} cells were computed twice with different results; the first one counts",
                results.conflicts.len()
            ),
        );
    }
    let mut problems = Vec::new();
    let amendments = results
        .locks
        .iter()
        .filter_map(|lock| Some((lock, lock.reason.as_ref()?)));
    for (lock, reason) in amendments {
        let registered = lock.changed.iter().any(|change| change.registered);
        if registered && !problems.contains(&Problem::PlanChanged) {
            problems.push(Problem::PlanChanged);
        }
        let changes: Vec<&str> = lock
            .changed
            .iter()
            .map(|change| change.what.as_str())
            .collect();
        let more = match changes.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        stamp(
            "AMENDED",
            format!(
                "after {} cells were finished: {}{more} ({reason})",
                lock.finished,
                changes.first().unwrap_or(&"nothing")
            ),
        );
    }
    if !results.conflicts.is_empty() {
        problems.push(Problem::Conflicts {
            cells: results.conflicts.len(),
        });
    }
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
    if 1 < binaries.len() {
        let reason = format!(
            "results of {} different builds of the program stand side by side",
            binaries.len()
        );
        stamp("MIXED BUILDS", reason);
        problems.push(Problem::MixedCode {
            builds: binaries.len(),
        });
    }
    let provenance = Provenance {
        devices: distinct(&|(record, _)| {
            format!("{:?}", record.cell.config.device()).to_lowercase()
        }),
        hosts: distinct(&|(_, attempt)| attempt.host.clone()),
        libtorch: distinct(&|(_, attempt)| attempt.libtorch.clone()),
        binaries,
        cell_seconds: results
            .records
            .values()
            .map(|(_, attempt)| attempt.seconds)
            .sum(),
        command: command.to_owned(),
    };
    Summary {
        schema: 1,
        name: plan.name.clone(),
        question: plan.question.clone(),
        stamps,
        studies: plan
            .studies
            .iter()
            .map(|study| summarise_study(study, results, &problems))
            .collect(),
        provenance,
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
        .map(|block| summarise_block(block, results))
        .collect();
    let block = verdict::block_of(study, &blocks, contrast);
    let values = effects::per_seed(&blocks, block, &contrast.probe, contrast.effect);
    values.complete.into_values().collect()
}

fn summarise_study(study: &PlannedStudy, results: &Results, problems: &[Problem]) -> StudySummary {
    let blocks: Vec<Block> = study
        .blocks
        .iter()
        .map(|block| summarise_block(block, results))
        .collect();
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
    let (mut effects, verdicts) = (
        effects::all_effects(study, &blocks, &probes),
        verdict::verdicts(study, &blocks, problems),
    );
    for row in &mut effects {
        row.registered = study.contrasts.iter().any(|contrast| {
            let block = verdict::block_of(study, &blocks, contrast);
            block.name == row.block
                && contrast.probe == row.probe
                && contrast.effect.id() == row.effect
        });
    }
    StudySummary {
        name: study.name.clone(),
        title: study.title.clone(),
        question: study.question.clone(),
        setup: study.setup.clone(),
        notes: study.notes.clone(),
        seeds: study.seeds,
        primary: study.primary.clone(),
        probes: probes.iter().filter_map(|id| catalog::probe(id)).collect(),
        blocks,
        verdicts,
        effects,
    }
}

fn summarise_block(block: &PlannedBlock, results: &Results) -> Block {
    Block {
        name: block.name.clone(),
        role: block.role,
        change: block.change.clone(),
        seeds: block.seeds,
        arms: block
            .arms
            .iter()
            .map(|arm| summarise_arm(arm, block.seeds, results))
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
    let mut divergences = Vec::new();
    let mut probes: BTreeSet<&String> = BTreeSet::new();
    let mut names: BTreeSet<&String> = BTreeSet::new();
    for (record, _) in &finished {
        if let Outcome::Diverged { stage, step } = record.outcome {
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
