//! From numbers to verdicts: the list of `paired_stats`, for numbers with one value and for numbers with seeds.

use paired_stats::{
    Direction, Evidence, Expectation, Verdict, decide, decide_deterministic, holm, paired_t,
    sign_flip,
};

use rayon::prelude::*;

use super::{
    report::{Against, Check, Finding, Found, How, Report, Row, Section},
    study::{Registered, Study},
};
use crate::{
    claim::ClaimResult,
    frame::{ALPHA, CONFIDENCE, MINIMUM_SEEDS},
    study::Expect,
};

/// How many standard errors of its own a sampled number may be off.
const STANDARD_ERRORS: f64 = 4.0;

/// Computes every table of the studies, which have been [checked](Study::check), and judges it; published numbers that
/// claims stand beside are held against those that are `kept`.
pub fn run(name: &str, studies: &[Study], kept: &[ClaimResult]) -> Report {
    let mut sections = Vec::new();
    let mut published = Vec::new();
    for study in studies {
        let first = sections.len();
        let tables = study.tables();
        let measured: Vec<_> = tables
            .par_iter()
            .map(|table| table.measure(study.seed))
            .collect();
        let cases: Vec<(Registered<'_>, &Found)> = tables
            .iter()
            .zip(&measured)
            .flat_map(|(table, measured)| table.claims().into_iter().zip(&measured.found))
            .collect();
        let mut findings = judged(&cases).into_iter();
        for (table, measured) in tables.iter().zip(&measured) {
            sections.push(Section {
                study: study.name.clone(),
                quantity: table.word().to_owned(),
                name: table.name().to_owned(),
                meaning: measured.meaning.to_owned(),
                parameters: measured.parameters.clone(),
                about: table.about().to_vec(),
                checks: measured.rows.iter().map(check).collect(),
                findings: findings.by_ref().take(table.claims().len()).collect(),
            });
        }
        let own = &sections[first..];
        published.extend(study.published.iter().map(|row| row.compared(own, kept)));
    }
    Report {
        schema: 1,
        name: name.to_owned(),
        questions: studies.iter().map(|study| study.question.clone()).collect(),
        notes: studies
            .iter()
            .flat_map(|study| study.notes.clone())
            .collect(),
        sections,
        published,
        cited: studies
            .iter()
            .flat_map(|study| study.cited.clone())
            .collect(),
    }
}

/// What a number may be off by its own error, and by the standard error of what it is held against.
pub(super) fn allowed(how: How, error: f64, wanted_error: f64) -> f64 {
    match how {
        How::Sampled => STANDARD_ERRORS * error.hypot(wanted_error),
        How::Rounding | How::Grid | How::Interval => error + STANDARD_ERRORS * wanted_error,
    }
}

fn check(row: &Row) -> Check {
    let number = row.number;
    let tolerance = row.tolerance + allowed(number.how, number.error, row.wanted_error);
    let difference = row.wanted.map(|wanted| match row.against {
        // An error that is no number tells nothing, and no bound is kept by what is none.
        _ if number.error.is_nan() || number.value.is_nan() => f64::NAN,
        Against::AtMost => (number.value - wanted).max(0.0),
        Against::ClosedForm | Against::Expected | Against::Nothing => number.value - wanted,
    });
    let verdict = match difference {
        None => Verdict::NotTested {
            reason: "no value is expected".to_owned(),
        },
        Some(_) if number.error == f64::INFINITY => Verdict::NotTested {
            reason: "one seed has no standard error".to_owned(),
        },
        // Equal to the last bit is equal within any tolerance, none included.
        Some(0.0) => Verdict::Supported,
        Some(difference) => {
            let expectation = Expectation {
                direction: Direction::Equal,
                delta: tolerance.max(f64::MIN_POSITIVE),
            };
            decide_deterministic(&expectation, difference, &[])
        }
    };
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    Check {
        group: row.group.clone(),
        what: row.what.clone(),
        value: finite(number.value),
        error: finite(number.error),
        how: number.how,
        against: row.against,
        wanted: row.wanted.and_then(finite),
        difference: difference.and_then(finite),
        tolerance: row.wanted.and(finite(tolerance)),
        verdict: verdict.to_string(),
        class: class(&verdict).to_owned(),
    }
}

/// The claims of one study: those with seeds are one family.
fn judged(cases: &[(Registered<'_>, &Found)]) -> Vec<Finding> {
    // A claim of equality rests on its interval alone: its p would only weaken the others.
    let tested = |(claim, found): &(Registered<'_>, &Found)| {
        (found.sampled && claim.expect != Expect::Equal)
            .then(|| sign_flip(&found.values).map_or(1.0, |test| test.p))
    };
    let p: Vec<f64> = cases.iter().filter_map(tested).collect();
    let mut adjusted = holm(&p).into_iter();
    cases
        .iter()
        .map(|case| {
            let adjusted_p = tested(case).and_then(|_| adjusted.next());
            finding(case.0, case.1, adjusted_p)
        })
        .collect()
}

fn finding(claim: Registered<'_>, found: &Found, adjusted_p: Option<f64>) -> Finding {
    let expectation = Expectation {
        direction: match claim.expect {
            Expect::Lower => Direction::Lower,
            Expect::Higher => Direction::Higher,
            Expect::Equal => Direction::Equal,
        },
        delta: claim.delta,
    };
    let diverged = found.values.iter().any(|value| !value.is_finite());
    let verdict = if diverged {
        Verdict::Inconclusive {
            reason: "a value is not finite".to_owned(),
            seeds_needed: None,
        }
    } else if found.sampled {
        decide(
            &expectation,
            &Evidence {
                values: &found.values,
                adjusted_p: adjusted_p.unwrap_or(1.0),
                alpha: ALPHA,
                confidence: CONFIDENCE,
                validity: Vec::new(),
                planned_seeds: found.values.len(),
                minimum_seeds: MINIMUM_SEEDS as usize,
                sensitivity: None,
                condition: None,
            },
        )
    } else {
        decide_deterministic(&expectation, found.values[0], &[])
    };
    let interval = found
        .sampled
        .then(|| paired_t(&found.values, CONFIDENCE).ok())
        .flatten();
    let value = found.values.iter().sum::<f64>() / found.values.len() as f64;
    Finding {
        id: claim.id.to_owned(),
        claim: claim.claim.to_owned(),
        about: claim.about.to_vec(),
        measure: found.measure.clone(),
        expect: match claim.expect {
            Expect::Lower => format!("< {}", short(0.0 - claim.delta)),
            Expect::Higher => format!("> {}", short(claim.delta)),
            Expect::Equal => format!("within ±{}", short(claim.delta)),
        },
        value: Some(value).filter(|value| value.is_finite()),
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        adjusted_p,
        seeds: found.values.len(),
        verdict: verdict.to_string(),
        class: class(&verdict).to_owned(),
        reason: verdict.reason().map(str::to_owned),
    }
}

/// A bound as a person writes it.
pub(crate) fn short(x: f64) -> String {
    if x != 0.0 && x.abs() < 1e-3 {
        format!("{x:e}")
    } else {
        x.to_string()
    }
}

/// The bare class of a verdict.
pub(crate) fn class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Invalid { .. } => "invalid",
        Verdict::Supported => "supported",
        Verdict::SupportedUnder { .. } => "supported_under",
        Verdict::Refuted(_) => "refuted",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::NotTested { .. } => "not_tested",
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Measured, Number};
    use super::*;

    #[test]
    fn what_is_no_number_keeps_no_bound_and_differs_from_nothing() {
        let no_error = Number {
            error: f64::NAN,
            how: How::Sampled,
            ..Number::exact(1.0)
        };
        for number in [Number::exact(f64::NAN), no_error] {
            let mut measured = Measured::default();
            measured.at_most("bound", number, 2.0);
            measured.closed_form("law", number, 1.5, 0.1);
            for row in &measured.rows {
                assert_eq!(check(row).class, "invalid", "{}", row.what);
            }
        }
    }
}
