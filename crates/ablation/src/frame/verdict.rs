//! Verdicts on the registered contrasts.

use paired_stats::{
    Direction, Evidence, Expectation, Interval, Look, Member, Problem, Share, Verdict, decide,
    paired_t, share, skewness, t_test,
};

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

/// Skewness beyond which a t interval loses coverage.
const SKEWED: f64 = 1.0;

/// The moment at which a study is judged.
#[derive(Debug)]
pub(super) enum When<'l> {
    /// Not yet, and why: there are estimates, and no verdict.
    Before(String),
    /// All cells have ended.
    AtTheEnd,
    /// A planned look, and the seeds of the first one.
    AtLook(Look<'l>, u32),
}

/// The registered contrasts with their verdicts, in the order of registration; `of_run` makes them all invalid.
pub(super) fn verdicts(
    study: &PlannedStudy,
    blocks: &[Block],
    of_run: &[Problem],
    when: &When<'_>,
) -> Vec<VerdictRow> {
    let found: Vec<(PerSeed, EffectNumbers)> = study
        .contrasts
        .iter()
        .map(|contrast| {
            let block = block_of(study, blocks, contrast);
            let values = per_seed(blocks, block, &contrast.probe, contrast.effect);
            let numbers = numbers(&study.name, &values);
            (values, numbers)
        })
        .collect();
    let lists: Vec<Vec<f64>> = found
        .iter()
        .map(|(values, _)| values.complete.values().copied().collect())
        .collect();
    let members: Vec<Member<'_>> = study
        .contrasts
        .iter()
        .zip(&lists)
        .map(|(contrast, values)| Member {
            expectation: expectation(contrast),
            values,
            flip: flips(&study.name, values),
        })
        .collect();
    let look = match when {
        When::AtLook(look, _) => Some(*look),
        When::Before(_) | When::AtTheEnd => None,
    };
    let shares = share(&members, ALPHA, look).unwrap_or_else(|_| {
        // What cannot be computed is INVALID on its own; the others keep what is safe in any case.
        let share = Share {
            adjusted_p: 1.0,
            confidence: 1.0 - ALPHA / members.len() as f64,
        };
        vec![share; members.len()]
    });
    let problems = [of_run, &problems(study, blocks, when)].concat();
    let rows = study.contrasts.iter().zip(found).zip(shares);
    rows.map(|((contrast, (values, numbers)), share)| {
        let case = Case {
            study,
            blocks,
            contrast,
            values: &values,
            problems: &problems,
            share,
            when,
        };
        case.row(numbers)
    })
    .collect()
}

/// The block in which a contrast is measured: the 2×2, or the counter-arm's.
pub(super) fn block_of<'b>(
    study: &PlannedStudy,
    blocks: &'b [Block],
    contrast: &PlannedContrast,
) -> &'b Block {
    let role = contrast.effect.beside().unwrap_or(Role::Main);
    let index = study
        .blocks
        .iter()
        .position(|block| block.role == role)
        .unwrap_or(0);
    &blocks[index]
}

/// What was registered, in the words of the statistics.
pub(crate) fn expectation(contrast: &PlannedContrast) -> Expectation {
    Expectation {
        direction: match contrast.expect {
            Expect::Lower => Direction::Lower,
            Expect::Higher => Direction::Higher,
            Expect::Equal => Direction::Equal,
        },
        delta: contrast.delta,
    }
}

/// One registered contrast with everything that its verdict rests on.
struct Case<'a> {
    study: &'a PlannedStudy,
    blocks: &'a [Block],
    contrast: &'a PlannedContrast,
    values: &'a PerSeed,
    problems: &'a [Problem],
    share: Share,
    when: &'a When<'a>,
}

impl Case<'_> {
    fn row(&self, numbers: EffectNumbers) -> VerdictRow {
        let contrast = self.contrast;
        let values: Vec<f64> = self.values.complete.values().copied().collect();
        let (verdict, mut remarks) = self.verdict();
        remarks.splice(0..0, verdict.reason().map(str::to_owned));
        if let (Some(low), Some(high), Some(b_low), Some(b_high)) = (
            numbers.low,
            numbers.high,
            numbers.bootstrap_low,
            numbers.bootstrap_high,
        ) && ((0.0 < low || high < 0.0) != (0.0 < b_low || b_high < 0.0))
        {
            let remark = "the t interval and the bootstrap-t interval disagree about zero";
            remarks.push(remark.to_owned());
        }
        remarks.extend(skewed(&values, &numbers));
        remarks.extend(self.samplers_alone());
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
        let judged = !matches!(self.when, When::Before(_));
        let deciding = paired_t(&values, self.share.confidence).ok();
        let deciding = deciding.filter(|_| judged);
        VerdictRow {
            id: contrast.id.clone(),
            claim: contrast.claim.clone(),
            probe: contrast.probe.clone(),
            effect: contrast.effect.words().to_owned(),
            expect: bound,
            delta: contrast.delta,
            verdict: verdict.to_string(),
            class: class.to_owned(),
            // A claim of equality rests on its interval alone.
            adjusted_p: numbers
                .p
                .filter(|_| judged && contrast.expect != Expect::Equal)
                .map(|_| self.share.adjusted_p),
            confidence: deciding.map(|interval| interval.confidence),
            deciding_low: deciding.map(|interval| interval.low),
            deciding_high: deciding.map(|interval| interval.high),
            // Once, for the rows that are shown: every look would make its resamples.
            larger: None,
            larger_low: None,
            larger_high: None,
            look: match self.when {
                When::AtLook(look, _) => Some(look.index() as u32 + 1),
                When::Before(_) | When::AtTheEnd => None,
            },
            settled: !matches!(
                verdict,
                Verdict::Inconclusive { .. } | Verdict::NotTested { .. }
            ) || judged && self.is_undetermined(),
            numbers,
            remarks,
        }
    }

    /// The verdict, and what qualifies it.
    fn verdict(&self) -> (Verdict, Vec<String>) {
        if let (When::Before(reason), []) = (self.when, self.problems) {
            let reason = reason.clone();
            return (Verdict::NotTested { reason }, Vec::new());
        }
        let values: Vec<f64> = self.values.complete.values().copied().collect();
        let calm = self.calm();
        let mut remarks = Vec::new();
        let verdict = decide(
            &expectation(self.contrast),
            &Evidence {
                values: &values,
                adjusted_p: self.share.adjusted_p,
                alpha: ALPHA,
                confidence: self.share.confidence,
                validity: self.problems.to_vec(),
                planned_seeds: block_of(self.study, self.blocks, self.contrast).seeds as usize,
                minimum_seeds: MINIMUM_SEEDS as usize,
                sensitivity: calm.as_deref(),
                condition: self.condition(),
            },
        );
        let decided = matches!(
            verdict,
            Verdict::Supported | Verdict::SupportedUnder { .. } | Verdict::Refuted(_)
        );
        if !self.values.lost.is_empty() {
            remarks.push(format!(
                "{} seeds have no number because a cell diverged before it could be measured",
                self.values.lost.len()
            ));
        }
        let capped: Vec<String> = self
            .values
            .capped
            .iter()
            .map(|(arm, seeds)| format!("{arm} in {seeds}"))
            .collect();
        if !capped.is_empty() {
            remarks.push(format!(
                "at the cap, no better than doing nothing: {}; the effect is of what is left",
                capped.join(", ")
            ));
        }
        if decided && self.is_undetermined() {
            let verdict = Verdict::Inconclusive {
                reason: "arms at the cap leave the interaction undetermined".to_owned(),
                seeds_needed: None,
            };
            return (verdict, remarks);
        }
        if let Some(calm) = calm {
            let mut remark = format!(
                "in {} of {} seeds a cell diverged and took the worst value",
                values.len() - calm.len(),
                values.len()
            );
            if let Ok(interval) = paired_t(&calm, CONFIDENCE) {
                let alone = words(&interval);
                remark += &format!("; the {} others alone give {alone}", calm.len());
            }
            remarks.push(remark);
        }
        (verdict, remarks)
    }

    /// Whether arms at the cap leave an interaction open, however many seeds there are: with two of them or more it
    /// is the effect of the others under another name.
    fn is_undetermined(&self) -> bool {
        self.contrast.effect == EffectName::Interaction && 1 < self.values.capped.len()
    }

    /// The effects of the seeds in which nothing diverged, where something did.
    fn calm(&self) -> Option<Vec<f64>> {
        let values = self.values;
        let calm = values.complete.iter();
        let calm = calm.filter(|(seed, _)| !values.diverged.contains(seed));
        (!values.diverged.is_empty()).then(|| calm.map(|(_, value)| *value).collect())
    }

    /// The condition under which alone a main effect holds, if it holds at one level of the other factor only.
    fn condition(&self) -> Option<String> {
        let levels = match self.contrast.effect {
            EffectName::Skip => [
                (EffectName::SkipWithoutNoise, "noise off"),
                (EffectName::SkipWithNoise, "noise on"),
            ],
            EffectName::Noise => [
                (EffectName::NoiseWithoutSkip, "skip off"),
                (EffectName::NoiseWithSkip, "skip on"),
            ],
            _ => return None,
        };
        let holds = levels.map(|(effect, _)| {
            let values = per_seed(self.blocks, &self.blocks[0], &self.contrast.probe, effect);
            let values: Vec<f64> = values.complete.into_values().collect();
            paired_t(&values, CONFIDENCE).is_ok_and(|interval| match self.contrast.expect {
                Expect::Lower => interval.high < -self.contrast.delta,
                Expect::Higher => self.contrast.delta < interval.low,
                Expect::Equal => true,
            })
        });
        match holds {
            [true, false] => Some(levels[0].1.to_owned()),
            [false, true] => Some(levels[1].1.to_owned()),
            _ => None,
        }
    }

    /// What the samplers alone make of noise, so that their failure is not taken for a network's.
    fn samplers_alone(&self) -> Option<String> {
        let of_noise = matches!(
            self.contrast.effect,
            EffectName::Noise | EffectName::NoiseWithSkip | EffectName::NoiseWithoutSkip
        );
        let block = self
            .blocks
            .iter()
            .find(|block| block.role == Role::Reference);
        let values = per_seed(
            self.blocks,
            block.filter(|_| of_noise)?,
            &self.contrast.probe,
            EffectName::NoiseWithoutSkip,
        );
        let interval = paired_t(
            &values.complete.into_values().collect::<Vec<_>>(),
            CONFIDENCE,
        )
        .ok()?;
        Some(format!(
            "with the exact score in place of the network the samplers alone give {} over {} seeds",
            words(&interval),
            interval.n
        ))
    }
}

/// Where the seeds of a verdict are too skewed for a t interval.
fn skewed(values: &[f64], numbers: &EffectNumbers) -> Option<String> {
    let skewness = skewness(values).ok()?;
    if numbers.n < MINIMUM_SEEDS || skewness.abs() <= SKEWED {
        return None;
    }
    let shown = format!("{skewness:.1}").replace('-', "−");
    let mut remark = format!(
        "the seeds are skewed ({shown}, beyond ±{SKEWED}), and a t interval may cover less than it says"
    );
    if let (Some(low), Some(high)) = (numbers.bootstrap_low, numbers.bootstrap_high) {
        let interval = format!("[{low:.2}, {high:.2}]").replace('-', "−");
        remark += &format!("; bootstrap-t gives {interval}");
    }
    Some(remark)
}

/// An interval in words, with a proper minus sign.
fn words(interval: &Interval) -> String {
    let Interval {
        estimate,
        low,
        high,
        ..
    } = interval;
    format!("{estimate:.2} [{low:.2}, {high:.2}]").replace('-', "−")
}

/// What makes the whole study invalid.
fn problems(study: &PlannedStudy, blocks: &[Block], when: &When<'_>) -> Vec<Problem> {
    // Once, however often one looks: else every look would have its own chance to find a sound study invalid.
    let seeds = match when {
        When::AtLook(_, first) => *first,
        When::Before(_) | When::AtTheEnd => u32::MAX,
    };
    let mut problems = Vec::new();
    for block in blocks.iter().filter(|block| block.role == Role::AA) {
        let effects = per_seed(blocks, block, &study.primary, EffectName::AA).complete;
        let values: Vec<f64> = effects.range(..seeds).map(|(_, value)| *value).collect();
        // By t, since the sign-flip test of fewer than 8 seeds cannot reach 1 %.
        if let Ok(p) = t_test(&values, 0.0)
            && p <= AA_LEVEL
        {
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
