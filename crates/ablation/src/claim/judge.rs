//! From cells to verdicts: one number per seed, its interval, and what the registered rule makes of it.

use std::collections::{BTreeMap, BTreeSet};

use paired_stats::{
    Evidence, Interval, Member, Problem, Verdict, decide, decide_deterministic, paired_t, share,
    sign_flip,
};
use serde::{Deserialize, Serialize};

use super::{
    ClaimArm, PlannedClaim, Registered,
    measure::{Numbers, Term},
    table::{Table, id},
};
use crate::{
    exact::report::{Finding, Report},
    frame::{ALPHA, CONFIDENCE, MINIMUM_SEEDS, Results},
    plan::Plan,
    record::{Outcome, Record},
};

/// All claims of a run, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimReport {
    /// Version of the format.
    pub schema: u32,
    /// The claims in the order of the run.
    pub claims: Vec<ClaimResult>,
}

/// A claim, judged: what is kept of its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimResult {
    /// Version of the format.
    pub schema: u32,
    /// Short name.
    pub name: String,
    /// Heading.
    pub title: String,
    /// Question.
    pub question: String,
    /// Sentences of the thesis.
    pub about: Vec<String>,
    /// The strongest rival explanation.
    pub counter: String,
    /// Caveats.
    pub notes: Vec<String>,
    /// The findings, by their ids, that must all hold; where none is listed the first decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decides: Vec<String>,
    /// Sentences of the thesis that findings, by their ids, speak against if they hold.
    pub against: BTreeMap<String, Vec<String>>,
    /// The run that the numbers come from; `exact` for those of the exact layer.
    pub run: String,
    /// The registered sentences.
    pub findings: Vec<Finding>,
    /// Medians of what the arms measured.
    pub arms: Vec<ArmResult>,
    /// Cells that were planned.
    pub cells: usize,
    /// Cells that have a result.
    pub done: usize,
    /// Cells that diverged.
    pub diverged: usize,
    /// Seconds that the cells took by the clock, added up and rounded; two at a time on a busy machine take longer each.
    pub seconds: u64,
}

/// What an arm measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmResult {
    /// Its name, with its value of the grid.
    pub name: String,
    /// Each metric: least, median and largest over the test seeds.
    pub metrics: BTreeMap<String, [f64; 3]>,
}

impl ClaimResult {
    /// The finding that decides: of those that must all hold, the one that does so least.
    ///
    /// # Panics
    ///
    /// If there is none: [`judge`] makes one at least.
    pub fn primary(&self) -> &Finding {
        let holding = [
            "invalid",
            "refuted",
            "not_tested",
            "inconclusive",
            "supported_under",
        ];
        let deciding = self.findings.iter().filter(|finding| self.decides(finding));
        let least = deciding.min_by_key(|finding| {
            let place = holding.iter().position(|class| *class == finding.class);
            place.unwrap_or(holding.len())
        });
        least
            .or(self.findings.first())
            .expect("a claim has a finding")
    }

    /// Whether the claim stands only if this finding of it holds.
    pub fn decides(&self, finding: &Finding) -> bool {
        match &self.decides[..] {
            [] => self.findings.first() == Some(finding),
            listed => listed.contains(&finding.id),
        }
    }
}

/// Judges the claims of a plan by what is finished, and by what the exact layer found, if it was computed.
pub fn judge(plan: &Plan, results: &Results, exact: Option<&Report>) -> Vec<ClaimResult> {
    let claims = plan.claims.iter();
    claims
        .map(|claim| one(plan, claim, results, exact))
        .collect()
}

fn one(
    plan: &Plan,
    claim: &PlannedClaim,
    results: &Results,
    exact: Option<&Report>,
) -> ClaimResult {
    let seeds = claim.all_seeds();
    let cells: BTreeSet<String> = claim
        .arms
        .iter()
        .flat_map(|arm| seeds.iter().map(|&seed| id(arm, seed)))
        .collect();
    let records: Vec<_> = cells
        .iter()
        .filter_map(|id| results.records.get(id))
        .collect();
    let diverged = |record: &Record| matches!(record.outcome, Outcome::Diverged { .. });
    let findings = if let Some(reason) = &claim.untested {
        vec![not_tested(claim, reason)]
    } else if !claim.exact.is_empty() {
        of_exact(claim, exact)
    } else {
        findings(claim, results, &problems(results, &cells))
    };
    let seconds: f64 = records.iter().map(|(_, attempt)| attempt.seconds).sum();
    ClaimResult {
        schema: 1,
        name: claim.name.clone(),
        title: claim.title.clone(),
        question: claim.question.clone(),
        about: claim.about.clone(),
        counter: claim.counter.clone(),
        notes: claim.notes.clone(),
        decides: claim.decides.clone(),
        against: claim.against.clone(),
        run: if claim.exact.is_empty() {
            plan.name.clone()
        } else {
            "exact".to_owned()
        },
        findings,
        arms: arms(claim, results),
        cells: cells.len(),
        done: records.len(),
        diverged: records
            .iter()
            .filter(|(record, _)| diverged(record))
            .count(),
        seconds: seconds.round() as u64,
    }
}

/// A claim without numbers.
fn not_tested(claim: &PlannedClaim, reason: &str) -> Finding {
    let verdict = Verdict::NotTested {
        reason: reason.to_owned(),
    };
    Finding {
        id: claim.name.clone(),
        claim: claim.title.clone(),
        about: claim.about.clone(),
        measure: String::new(),
        expect: String::new(),
        value: None,
        low: None,
        high: None,
        adjusted_p: None,
        seeds: 0,
        verdict: verdict.to_string(),
        class: "not_tested".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

/// What the exact layer says of the claims that are named.
fn of_exact(claim: &PlannedClaim, exact: Option<&Report>) -> Vec<Finding> {
    let Some(report) = exact else {
        let reason = "the exact layer was not computed: run `cargo xtask ablate exact`";
        return vec![not_tested(claim, reason)];
    };
    let found = |id: &String| {
        let mut all = report.sections.iter().flat_map(|section| &section.findings);
        let found = all.find(|finding| finding.id == *id).cloned();
        found.unwrap_or_else(|| not_tested(claim, &format!("the exact layer has no claim `{id}`")))
    };
    claim.exact.iter().map(found).collect()
}

/// Why nothing can be concluded from these cells.
fn problems(results: &Results, cells: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let changed = results.locks.iter().flat_map(|lock| &lock.changed);
    if changed.clone().any(|change| change.registered) {
        problems.push(Problem::PlanChanged);
    }
    let conflicts = cells.intersection(&results.conflicts).count();
    if 0 < conflicts {
        problems.push(Problem::Conflicts { cells: conflicts });
    }
    let records = cells.iter().filter_map(|id| results.records.get(id));
    let builds: BTreeSet<&String> = records.map(|(_, attempt)| &attempt.binary).collect();
    if 1 < builds.len() {
        problems.push(Problem::MixedCode {
            builds: builds.len(),
        });
    }
    problems
}

/// The registered sentences of a claim, which are one family.
fn findings(claim: &PlannedClaim, results: &Results, problems: &[Problem]) -> Vec<Finding> {
    let table = Table { claim, results };
    let values: Vec<Vec<f64>> = claim
        .findings
        .iter()
        .map(|registered| {
            let seeds = 0..claim.seeds;
            seeds
                .filter_map(|seed| registered.measure.at(&table, seed))
                .collect()
        })
        .collect();
    let calm: Vec<Option<Vec<f64>>> = claim.findings.iter().map(|of| table.calm(of)).collect();
    let judged = || {
        let cases = claim.findings.iter().zip(&values);
        cases.filter_map(|(registered, values)| Some((registered.rule.expectation()?, values)))
    };
    let members: Vec<Member<'_>> = judged()
        .map(|(expectation, values)| Member {
            expectation,
            values,
            // A claim of equality rests on its interval alone.
            flip: sign_flip(values).ok(),
        })
        .collect();
    let shares = share(&members, ALPHA, None);
    let mut shares = shares.into_iter().flatten();
    let verdicts: Vec<(Verdict, Option<f64>, f64)> = claim
        .findings
        .iter()
        .zip(values.iter().zip(&calm))
        .map(
            |(registered, (values, calm))| match registered.rule.expectation() {
                None => {
                    let reason = "reported; nothing was registered".to_owned();
                    (Verdict::NotTested { reason }, None, CONFIDENCE)
                }
                Some(expectation) => {
                    let share = shares.next();
                    let (p, confidence) = share.map_or((1.0, CONFIDENCE), |share| {
                        (share.adjusted_p, share.confidence)
                    });
                    let verdict = if claim.seeds == 1 && values.len() == 1 {
                        decide_deterministic(&expectation, values[0], problems)
                    } else {
                        decide(
                            &expectation,
                            &Evidence {
                                values,
                                adjusted_p: p,
                                alpha: ALPHA,
                                confidence,
                                validity: problems.to_vec(),
                                planned_seeds: claim.seeds as usize,
                                minimum_seeds: MINIMUM_SEEDS as usize,
                                sensitivity: calm.as_deref(),
                                condition: None,
                            },
                        )
                    };
                    let verdict = registered.rule.confined(verdict, values, confidence);
                    (
                        open_where_nothing_is_learned(&table, registered, verdict),
                        Some(p),
                        confidence,
                    )
                }
            },
        )
        .collect();
    let cases = claim.findings.iter().zip(&values).zip(&verdicts);
    cases
        .map(|((registered, values), (verdict, p, confidence))| {
            let verdict = conditional(claim, registered, verdict, &verdicts);
            let verdict = granted(claim, registered, verdict, &verdicts);
            finding(claim, &table, registered, values, &verdict, *p, *confidence)
        })
        .collect()
}

/// What compares ranges of usable values decides nothing where an arm has none.
fn open_where_nothing_is_learned(
    table: &Table<'_>,
    registered: &Registered,
    verdict: Verdict,
) -> Verdict {
    match table.learns_nowhere(registered) {
        Some(reason) if is_judged(&verdict) => Verdict::Inconclusive {
            reason,
            seeds_needed: None,
        },
        _ => verdict,
    }
}

/// SUPPORTED becomes SUPPORTED UNDER its condition, where the sentence that would lift it does not hold.
fn conditional(
    claim: &PlannedClaim,
    registered: &Registered,
    verdict: &Verdict,
    verdicts: &[(Verdict, Option<f64>, f64)],
) -> Verdict {
    let Some(condition) = &registered.condition else {
        return verdict.clone();
    };
    let mut cases = claim.findings.iter().zip(verdicts);
    let lifted = cases.any(|(other, (verdict, ..))| {
        other.id == condition.unless && *verdict == Verdict::Supported
    });
    match verdict {
        Verdict::Supported if !lifted => Verdict::SupportedUnder {
            condition: condition.words.clone(),
        },
        verdict => verdict.clone(),
    }
}

/// Nothing is concluded where what is taken for granted does not hold.
fn granted(
    claim: &PlannedClaim,
    registered: &Registered,
    verdict: Verdict,
    verdicts: &[(Verdict, Option<f64>, f64)],
) -> Verdict {
    let mut cases = claim.findings.iter().zip(verdicts);
    let missing = registered.given.as_ref().and_then(|given| {
        let (_, (found, ..)) = cases.find(|(other, _)| other.id == *given)?;
        (*found != Verdict::Supported)
            .then(|| format!("`{given}`, which it takes for granted, is {found}"))
    });
    match missing {
        Some(reason) if is_judged(&verdict) => Verdict::Inconclusive {
            reason,
            seeds_needed: None,
        },
        _ => verdict,
    }
}

/// Whether there was evidence to judge by.
fn is_judged(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Invalid { .. } | Verdict::NotTested { .. })
}

fn finding(
    claim: &PlannedClaim,
    table: &Table<'_>,
    registered: &Registered,
    values: &[f64],
    verdict: &Verdict,
    adjusted_p: Option<f64>,
    confidence: f64,
) -> Finding {
    let interval: Option<Interval> = paired_t(values, confidence).ok();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let mut measure = registered.measure.words();
    for term in registered.measure.terms() {
        if let Term::Tuned { arm, by, .. } = term
            && let (Some(value), Some(grid)) = (table.tuned(arm, by), &claim.grid)
        {
            measure += &format!("; {arm} at {} = {value}", grid.setting);
        }
        if let Term::Usable { arm, .. } = term {
            let seeds = (0..claim.seeds).filter_map(|seed| term.at(table, seed));
            let decades: Vec<f64> = seeds.collect();
            if !decades.is_empty() {
                let median = crate::exact::report::median(&decades);
                measure += &format!("; {arm} {median:.2} in the median");
            }
        }
    }
    let mut words = vec![verdict.to_string()];
    words.extend(table.caveats(registered));
    Finding {
        id: registered.id.clone(),
        claim: registered.claim.clone(),
        about: registered.about.clone(),
        measure,
        expect: registered.rule.words(),
        value: Some(mean).filter(|mean| mean.is_finite()),
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        adjusted_p,
        seeds: values.len(),
        verdict: words.join("; "),
        class: crate::exact::judge::class(verdict).to_owned(),
        reason: verdict.reason().map(str::to_owned),
    }
}

/// Least, median and largest of every metric of every arm.
fn arms(claim: &PlannedClaim, results: &Results) -> Vec<ArmResult> {
    let of_arm = |arm: &ClaimArm| {
        let mut metrics: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for seed in 0..claim.seeds {
            let Some((record, _)) = results.records.get(&id(arm, seed)) else {
                continue;
            };
            for (name, value) in &record.values {
                metrics.entry(name.clone()).or_default().push(*value);
            }
        }
        let spread = |(name, mut values): (String, Vec<f64>)| {
            values.sort_by(f64::total_cmp);
            let median = crate::exact::report::median(&values);
            (
                name,
                [values[0], median, values[values.len() - 1]].map(rounded),
            )
        };
        ArmResult {
            name: arm.name.clone(),
            metrics: metrics.into_iter().map(spread).collect(),
        }
    };
    claim.arms.iter().map(of_arm).collect()
}

/// To six digits: what is looked at, not computed with.
fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().expect("a number")
}
