//! Verdicts on the registered contrasts.

use paired_stats::{Direction, Evidence, Expectation, Problem, Verdict, decide, holm, paired_t};

use super::{
    MINIMUM_SEEDS,
    effects::{CONFIDENCE, PerSeed, flips, numbers, per_seed},
};
use crate::{
    plan::{PlannedContrast, PlannedStudy},
    study::{EffectName, Expect},
    summary::{Block, EffectNumbers, Role, VerdictRow},
};

/// Level of the registered family.
pub(crate) const ALPHA: f64 = 0.05;
/// Level at which the A/A arm makes a study invalid.
const AA_LEVEL: f64 = 0.01;

/// The registered contrasts with their verdicts, in the order of registration.
pub(super) fn verdicts(study: &PlannedStudy, blocks: &[Block]) -> Vec<VerdictRow> {
    let evidence: Vec<(u32, PerSeed, EffectNumbers)> = study
        .contrasts
        .iter()
        .map(|contrast| {
            let block = block_of(study, blocks, contrast);
            let values = per_seed(blocks, block, &contrast.probe, contrast.effect);
            let numbers = numbers(&study.name, &values);
            (block.seeds, values, numbers)
        })
        .collect();
    let adjusted = holm(
        &evidence
            .iter()
            .map(|(.., numbers)| numbers.p.unwrap_or(1.0))
            .collect::<Vec<_>>(),
    );
    let problems = problems(study, blocks);
    let rows = study.contrasts.iter().zip(evidence).zip(adjusted);
    rows.map(|((contrast, (planned, values, numbers)), adjusted)| {
        verdict(contrast, planned, &values, numbers, adjusted, &problems)
    })
    .collect()
}

/// The block in which a contrast is measured: the 2×2, or the counter-arm's.
pub(super) fn block_of<'b>(
    study: &PlannedStudy,
    blocks: &'b [Block],
    contrast: &PlannedContrast,
) -> &'b Block {
    let role = match contrast.effect {
        EffectName::SkipOverCounterWithoutNoise | EffectName::SkipOverCounterWithNoise => {
            Role::CounterArm
        }
        EffectName::AA => Role::AA,
        _ => Role::Main,
    };
    let index = study
        .blocks
        .iter()
        .position(|block| block.role == role)
        .unwrap_or(0);
    &blocks[index]
}

fn verdict(
    contrast: &PlannedContrast,
    planned: u32,
    values: &PerSeed,
    numbers: EffectNumbers,
    adjusted: f64,
    problems: &[Problem],
) -> VerdictRow {
    let list: Vec<f64> = values.complete.values().copied().collect();
    let calm: Vec<f64> = values
        .complete
        .iter()
        .filter(|(seed, _)| !values.diverged.contains(seed))
        .map(|(_, v)| *v)
        .collect();
    let calm = (!values.diverged.is_empty()).then_some(calm);
    let direction = match contrast.expect {
        Expect::Lower => Direction::Lower,
        Expect::Higher => Direction::Higher,
        Expect::Equal => Direction::Equal,
    };
    // Complete blocks alone are too few to judge by where most seeds diverged: then the cap speaks alone.
    let sensitivity = calm
        .as_deref()
        .filter(|calm| MINIMUM_SEEDS as usize <= calm.len());
    let verdict = decide(
        &Expectation {
            direction,
            delta: contrast.delta,
        },
        &Evidence {
            values: &list,
            adjusted_p: adjusted,
            alpha: ALPHA,
            confidence: CONFIDENCE,
            validity: problems.to_vec(),
            planned_seeds: planned as usize,
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
                    let judged = if sensitivity.is_some() {
                        "were judged too"
                    } else {
                        "are too few to be judged alone"
                    };
                    format!("the {} others, mean effect {mean:.2}, {judged}", calm.len())
                }
                None => String::new(),
            }
        ));
    }
    if let (Some(low), Some(high), Some(b_low), Some(b_high)) = (
        numbers.low,
        numbers.high,
        numbers.bootstrap_low,
        numbers.bootstrap_high,
    ) && ((0.0 < low || high < 0.0) != (0.0 < b_low || b_high < 0.0))
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
        Verdict::Invalid { .. } => "invalid",
        Verdict::Supported => "supported",
        Verdict::SupportedUnder { .. } => "supported_under",
        Verdict::Refuted(_) => "refuted",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::NotTested { .. } => "not_tested",
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
    for block in blocks.iter().filter(|block| block.role == Role::AA) {
        let values: Vec<f64> = per_seed(blocks, block, &study.primary, EffectName::AA)
            .complete
            .into_values()
            .collect();
        // By t, since the sign-flip test of fewer than 8 seeds cannot reach 1 %.
        if let Ok(interval) = paired_t(&values, 1.0 - AA_LEVEL)
            && !interval.contains(0.0)
        {
            let p = flips(&study.name, &values).map_or(AA_LEVEL, |flips| flips.p);
            problems.push(Problem::AaRejected { p, level: AA_LEVEL });
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
    study.blocks[0]
        .arms
        .iter()
        .map(|arm| arm.config.training.steps)
}
