//! Records → one number per seed and probe → effects, intervals, verdicts: the [`Summary`].
//!
//! Pure: a bootstrap draws from a stream that the study's name fixes.

use std::collections::{BTreeMap, BTreeSet};

use paired_stats::{Direction, Evidence, Expectation, Problem, TwoByTwo, bootstrap_t, decide, holm, paired_t, sign_flip};

use crate::{
    catalog,
    plan::{Cell, Plan, PlannedArm, PlannedBlock, PlannedContrast, PlannedStudy},
    record::{Attempt, Failure, Outcome, Record},
    stream::{Role, Stream},
    study::{EffectName, Expect},
    summary::{
        Arm, Block, Curve, CurvePoint, EffectNumbers, EffectRow, Provenance, Spread, Stamp, StudySummary, Summary,
        VerdictRow,
    },
};

/// Seeds that a verdict takes at least.
pub const MINIMUM_SEEDS: u32 = 8;
/// Level of the registered family.
const ALPHA: f64 = 0.05;
/// Level at which the A/A arm makes a study invalid.
const AA_LEVEL: f64 = 0.01;
const CONFIDENCE: f64 = 0.95;
const RESAMPLES: usize = 2000;

/// What is known of the cells of a plan.
#[derive(Debug, Default)]
pub struct Results {
    /// Finished cells by id.
    pub records: BTreeMap<String, (Record, Attempt)>,
    /// Cells on which workers died.
    pub failures: BTreeMap<String, Failure>,
    /// Cells whose file does not read.
    pub corrupt: BTreeMap<String, String>,
}

/// Makes the summary of whatever is finished.
pub fn summarise(plan: &Plan, results: &Results, command: &str) -> Summary {
    let planned = plan.cells().len();
    let done = results.records.len();
    let mut stamps = Vec::new();
    let mut stamp = |word: &str, reason: String| stamps.push(Stamp { word: word.to_owned(), reason });
    if done < planned {
        let failed = results.failures.len() + results.corrupt.len();
        stamp("INTERIM", format!("{done} of {planned} cells have a result ({failed} failed)"));
    }
    if let Some(study) = plan.studies.iter().find(|study| study.seeds < MINIMUM_SEEDS) {
        let reason = format!(
            "{} seeds in `{}`: fewer than {MINIMUM_SEEDS} give estimates and no verdict",
            study.seeds, study.name
        );
        stamp("EXPLORATORY", reason);
    }
    let distinct = |of: &dyn Fn(&(Record, Attempt)) -> String| -> Vec<String> {
        results.records.values().map(of).filter(|text| !text.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let binaries = distinct(&|(_, attempt)| attempt.binary.clone());
    if 1 < binaries.len() {
        let reason = format!("results of {} different builds of the program stand side by side", binaries.len());
        stamp("MIXED BUILDS", reason);
    }
    let provenance = Provenance {
        devices: distinct(&|(record, _)| format!("{:?}", record.cell.config.numerics.device).to_lowercase()),
        hosts: distinct(&|(_, attempt)| attempt.host.clone()),
        libtorch: distinct(&|(_, attempt)| attempt.libtorch.clone()),
        binaries,
        cell_seconds: results.records.values().map(|(_, attempt)| attempt.seconds).sum(),
        command: command.to_owned(),
    };
    Summary {
        schema: 1,
        name: plan.name.clone(),
        question: plan.question.clone(),
        stamps,
        studies: plan.studies.iter().map(|study| summarise_study(study, results)).collect(),
        provenance,
    }
}

fn summarise_study(study: &PlannedStudy, results: &Results) -> StudySummary {
    let blocks: Vec<Block> = study.blocks.iter().map(|block| summarise_block(block, results)).collect();
    let mut probes: Vec<&str> = vec![&study.primary];
    for (id, ..) in catalog::PROBES {
        let occurs = blocks.iter().flat_map(|b| &b.arms).any(|arm| arm.values.contains_key(*id));
        if occurs && *id != study.primary {
            probes.push(id);
        }
    }
    let (mut effects, verdicts) = (all_effects(study, &blocks, &probes), verdicts(study, &blocks));
    for row in &mut effects {
        row.registered = study
            .contrasts
            .iter()
            .any(|c| row.block == study.blocks[0].name && c.probe == row.probe && c.effect.id() == row.effect);
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
        arms: block.arms.iter().map(|arm| summarise_arm(arm, block.seeds, results)).collect(),
    }
}

fn summarise_arm(arm: &PlannedArm, seeds: u32, results: &Results) -> Arm {
    let cells: Vec<Cell> = (0..seeds).map(|seed| Cell::new(arm.config.clone(), seed)).collect();
    let finished: Vec<&(Record, Attempt)> = cells.iter().filter_map(|cell| results.records.get(&cell.id)).collect();
    let mut divergences = Vec::new();
    let mut probes: BTreeSet<&String> = BTreeSet::new();
    let mut names: BTreeSet<&String> = BTreeSet::new();
    for (record, _) in &finished {
        if let Outcome::Diverged { stage, step } = record.outcome {
            divergences.push(format!("seed {}: {} at step {step}", record.cell.seed, stage.words()));
        }
        probes.extend(record.values.keys());
        names.extend(record.curves.keys());
    }
    let records = || finished.iter().map(|(record, _)| record);
    let values = probes.into_iter().map(|probe| {
        let seeds = records().map(|record| (record.cell.seed, record.values.get(probe).copied())).collect();
        (probe.clone(), spread(seeds))
    });
    let curves = names.into_iter().map(|name| (name.clone(), curve(name, &records().collect::<Vec<_>>())));
    let failed = |cell: &&Cell| results.failures.contains_key(&cell.id) || results.corrupt.contains_key(&cell.id);
    Arm {
        levels: arm.levels.clone(),
        label: arm.label.clone(),
        parameters: arm.parameters,
        planned: seeds,
        finished: finished.len() as u32,
        diverged: divergences.len() as u32,
        divergences,
        failed: cells.iter().filter(failed).count() as u32,
        seconds: median(finished.iter().map(|(_, attempt)| attempt.seconds).collect()),
        values: values.collect(),
        curves: curves.collect(),
        exhibit: records().find_map(|record| record.exhibit.clone()),
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

fn median(mut values: Vec<f64>) -> Option<f64> {
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
            match points.iter_mut().find(|(x, label, _)| *x == point.x && *label == point.label) {
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
    Curve { x_title, y_title, log_x, points: points.collect() }
}

fn all_effects(study: &PlannedStudy, blocks: &[Block], probes: &[&str]) -> Vec<EffectRow> {
    let mut rows = Vec::new();
    for (block, own) in blocks.iter().zip(&study.blocks) {
        let names: Vec<EffectName> = match own.role {
            crate::summary::Role::Main | crate::summary::Role::Depth if own.arms.len() == 4 => {
                EffectName::OF_A_SQUARE.to_vec()
            }
            crate::summary::Role::CounterArm => {
                vec![EffectName::SkipOverCounterWithoutNoise, EffectName::SkipOverCounterWithNoise]
            }
            crate::summary::Role::AA => vec![EffectName::AA],
            _ => Vec::new(),
        };
        for probe in probes {
            for name in &names {
                let values = per_seed(blocks, block, probe, *name);
                if !values.complete.is_empty() {
                    rows.push(EffectRow {
                        block: block.name.clone(),
                        probe: (*probe).to_owned(),
                        effect: name.id().to_owned(),
                        numbers: numbers(&study.name, &values),
                        registered: false,
                    });
                }
            }
        }
    }
    rows
}

/// One effect per seed.
#[derive(Debug, Default)]
struct PerSeed {
    complete: BTreeMap<u32, f64>,
    /// Seeds among the complete ones in which a cell diverged.
    diverged: BTreeSet<u32>,
    incomplete: u32,
}

fn per_seed(blocks: &[Block], block: &Block, probe: &str, effect: EffectName) -> PerSeed {
    let main = &blocks[0];
    let arm = |block: &'_ Block, skip: &str, noise: &str| -> Option<Arm> {
        block.arms.iter().find(|arm| arm.levels["skip"] == skip && arm.levels["noise"] == noise).cloned()
    };
    // The arms that the effect is made of, in the order in which `combine` takes them.
    let needed: Vec<Option<Arm>> = match effect {
        EffectName::Skip | EffectName::Noise | EffectName::Interaction => {
            [("off", "off"), ("off", "on"), ("on", "off"), ("on", "on")].map(|(s, n)| arm(block, s, n)).to_vec()
        }
        EffectName::SkipWithoutNoise => vec![arm(block, "off", "off"), arm(block, "on", "off")],
        EffectName::SkipWithNoise => vec![arm(block, "off", "on"), arm(block, "on", "on")],
        EffectName::NoiseWithoutSkip => vec![arm(block, "off", "off"), arm(block, "off", "on")],
        EffectName::NoiseWithSkip => vec![arm(block, "on", "off"), arm(block, "on", "on")],
        EffectName::SkipOverCounterWithoutNoise => vec![arm(block, "off", "off"), arm(main, "on", "off")],
        EffectName::SkipOverCounterWithNoise => vec![arm(block, "off", "on"), arm(main, "on", "on")],
        EffectName::AA => {
            let copy = block.arms.first().cloned();
            let original = copy.as_ref().and_then(|copy| arm(main, &copy.levels["skip"], &copy.levels["noise"]));
            vec![original, copy]
        }
    };
    let Some(arms) = needed.into_iter().collect::<Option<Vec<Arm>>>() else { return PerSeed::default() };
    let mut found = PerSeed::default();
    for seed in 0..block.seeds {
        let values: Option<Vec<f64>> =
            arms.iter().map(|arm| arm.values.get(probe)?.seeds.get(&seed).copied().flatten()).collect();
        let Some(values) = values else {
            found.incomplete += 1;
            continue;
        };
        let value = match (effect, &values[..]) {
            (EffectName::Skip, &[y00, y01, y10, y11]) => TwoByTwo { y00, y01, y10, y11 }.effects().skip,
            (EffectName::Noise, &[y00, y01, y10, y11]) => TwoByTwo { y00, y01, y10, y11 }.effects().noise,
            (EffectName::Interaction, &[y00, y01, y10, y11]) => TwoByTwo { y00, y01, y10, y11 }.effects().interaction,
            (_, &[from, to]) => to - from,
            _ => unreachable!("an effect has two or four arms"),
        };
        found.complete.insert(seed, value);
        let prefix = format!("seed {seed}:");
        if arms.iter().any(|arm| arm.divergences.iter().any(|text| text.starts_with(&prefix))) {
            found.diverged.insert(seed);
        }
    }
    found
}

fn numbers(study: &str, values: &PerSeed) -> EffectNumbers {
    let list: Vec<f64> = values.complete.values().copied().collect();
    let interval = paired_t(&list, CONFIDENCE).ok();
    let digest = blake3::hash(study.as_bytes());
    let root = u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("eight bytes"));
    let mut rng = Stream::new(root).at(Role::Bootstrap, list.len() as u64);
    let bootstrap = bootstrap_t(&list, CONFIDENCE, RESAMPLES, &mut rng).ok();
    let flips = sign_flip(&list).ok();
    EffectNumbers {
        n: list.len() as u32,
        incomplete: values.incomplete,
        estimate: (!list.is_empty()).then(|| list.iter().sum::<f64>() / list.len() as f64),
        low: interval.as_ref().map(|i| i.low),
        high: interval.as_ref().map(|i| i.high),
        bootstrap_low: bootstrap.as_ref().map(|i| i.low),
        bootstrap_high: bootstrap.as_ref().map(|i| i.high),
        p: flips.as_ref().map(|f| f.p),
        p_floor: flips.as_ref().map(|f| f.floor),
        seeds: values.complete.clone(),
    }
}

fn verdicts(study: &PlannedStudy, blocks: &[Block]) -> Vec<VerdictRow> {
    let evidence: Vec<(PerSeed, EffectNumbers)> = study
        .contrasts
        .iter()
        .map(|contrast| {
            let values = per_seed(blocks, block_of(study, blocks, contrast), &contrast.probe, contrast.effect);
            let numbers = numbers(&study.name, &values);
            (values, numbers)
        })
        .collect();
    let adjusted = holm(&evidence.iter().map(|(_, numbers)| numbers.p.unwrap_or(1.0)).collect::<Vec<_>>());
    let problems = problems(study, blocks);
    let rows = study.contrasts.iter().zip(evidence).zip(adjusted);
    rows.map(|((contrast, (values, numbers)), adjusted)| verdict(study, contrast, &values, numbers, adjusted, &problems))
        .collect()
}

/// The block in which a contrast is measured: the 2×2, or the counter-arm's.
fn block_of<'b>(study: &PlannedStudy, blocks: &'b [Block], contrast: &PlannedContrast) -> &'b Block {
    let role = match contrast.effect {
        EffectName::SkipOverCounterWithoutNoise | EffectName::SkipOverCounterWithNoise => crate::summary::Role::CounterArm,
        EffectName::AA => crate::summary::Role::AA,
        _ => crate::summary::Role::Main,
    };
    let index = study.blocks.iter().position(|block| block.role == role).unwrap_or(0);
    &blocks[index]
}

fn verdict(
    study: &PlannedStudy,
    contrast: &PlannedContrast,
    values: &PerSeed,
    numbers: EffectNumbers,
    adjusted: f64,
    problems: &[Problem],
) -> VerdictRow {
    let list: Vec<f64> = values.complete.values().copied().collect();
    let calm: Vec<f64> =
        values.complete.iter().filter(|(seed, _)| !values.diverged.contains(seed)).map(|(_, v)| *v).collect();
    let calm = (!values.diverged.is_empty()).then_some(calm);
    let direction = match contrast.expect {
        Expect::Lower => Direction::Lower,
        Expect::Higher => Direction::Higher,
        Expect::Equal => Direction::Equal,
    };
    // Complete blocks alone are too few to judge by where most seeds diverged: then the cap speaks alone.
    let sensitivity = calm.as_deref().filter(|calm| MINIMUM_SEEDS as usize <= calm.len());
    let verdict = decide(
        &Expectation { direction, delta: contrast.delta },
        &Evidence {
            values: &list,
            adjusted_p: adjusted,
            alpha: ALPHA,
            confidence: CONFIDENCE,
            validity: problems.to_vec(),
            planned_seeds: study.seeds as usize,
            minimum_seeds: MINIMUM_SEEDS as usize,
            sensitivity,
            condition: None,
        },
    );
    let mut remarks: Vec<String> = verdict.reason().map(str::to_owned).into_iter().collect();
    if !values.diverged.is_empty() {
        remarks.push(format!(
            "in {} of {} seeds a cell diverged and took the cap; {}",
            values.diverged.len(),
            list.len(),
            match &calm {
                Some(calm) if calm.is_empty() => "no seed is free of it".to_owned(),
                Some(calm) => {
                    let mean = calm.iter().sum::<f64>() / calm.len() as f64;
                    let judged = if sensitivity.is_some() { "were judged too" } else { "are too few to be judged alone" };
                    format!("the {} others, mean effect {mean:.2}, {judged}", calm.len())
                }
                None => String::new(),
            }
        ));
    }
    if let (Some(low), Some(high), Some(b_low), Some(b_high)) =
        (numbers.low, numbers.high, numbers.bootstrap_low, numbers.bootstrap_high)
        && ((0.0 < low || high < 0.0) != (0.0 < b_low || b_high < 0.0))
    {
        remarks.push("the t interval and the bootstrap-t interval disagree about zero".to_owned());
    }
    let bound = match contrast.expect {
        Expect::Lower if contrast.delta == 0.0 => "lower".to_owned(),
        Expect::Higher if contrast.delta == 0.0 => "higher".to_owned(),
        Expect::Lower => format!("lower by more than {}", contrast.delta),
        Expect::Higher => format!("higher by more than {}", contrast.delta),
        Expect::Equal => format!("equal within ±{}", contrast.delta),
    };
    let class = match &verdict {
        paired_stats::Verdict::Invalid { .. } => "invalid",
        paired_stats::Verdict::Supported => "supported",
        paired_stats::Verdict::SupportedUnder { .. } => "supported_under",
        paired_stats::Verdict::Refuted(_) => "refuted",
        paired_stats::Verdict::Inconclusive { .. } => "inconclusive",
        paired_stats::Verdict::NotTested { .. } => "not_tested",
    };
    VerdictRow {
        id: contrast.id.clone(),
        claim: contrast.claim.clone(),
        probe: contrast.probe.clone(),
        effect: contrast.effect.words().to_owned(),
        expect: bound,
        delta: contrast.delta,
        verdict: verdict.to_string(),
        class: class.to_owned(),
        adjusted_p: numbers.p.map(|_| adjusted),
        numbers,
        remarks,
    }
}

/// What makes the whole study invalid.
fn problems(study: &PlannedStudy, blocks: &[Block]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for block in blocks.iter().filter(|block| block.role == crate::summary::Role::AA) {
        let values: Vec<f64> = per_seed(blocks, block, &study.primary, EffectName::AA).complete.into_values().collect();
        if let Ok(flips) = sign_flip(&values)
            && flips.p <= AA_LEVEL
        {
            problems.push(Problem::AaRejected { p: flips.p, level: AA_LEVEL });
        }
    }
    let budgets = || blocks_budgets(study);
    if let (Some(fewest), Some(most)) = (budgets().min(), budgets().max())
        && fewest < most
    {
        problems.push(Problem::UnequalBudgets { fewest, most });
    }
    problems
}

fn blocks_budgets(study: &PlannedStudy) -> impl Iterator<Item = u64> + '_ {
    study.blocks[0].arms.iter().map(|arm| arm.config.training.steps)
}
