//! Verdicts on synthetic records, and what every committed claim must be.

use std::collections::{BTreeMap, BTreeSet};

use super::{Claim, ClaimResult, Cost, Selection, judge, load};
use crate::{
    catalog,
    error::Error,
    frame::Results,
    plan::{Cell, Overrides, Plan},
    record::{Attempt, Evaluations, Outcome, Record, Stage},
    study,
};

/// Two arms of a tiny experiment, and one finding of each kind of rule.
const TINY: &str = include_str!("../../tests/common/claim.toml");

fn claim(text: &str) -> Claim {
    let mut claim: Claim = study::parse("tiny.toml", text).expect("a claim");
    claim.place = "tiny.toml".to_owned();
    claim
}

fn planned(text: &str) -> Result<Plan, Error> {
    Plan::of_claims(vec![claim(text)], &Overrides::default())
}

/// Judges the tiny claim with these accuracies of its two arms in each seed.
fn judged(text: &str, accuracy: impl Fn(&str, u32) -> Option<f64>) -> ClaimResult {
    judged_where(text, accuracy, |_, _| false)
}

/// The same, where some cells diverged and took these numbers for it.
fn judged_where(
    text: &str,
    accuracy: impl Fn(&str, u32) -> Option<f64>,
    diverged: impl Fn(&str, u32) -> bool,
) -> ClaimResult {
    let plan = planned(text).expect("a sound claim");
    let mut results = Results::default();
    for arm in &plan.claims[0].arms {
        for seed in plan.claims[0].all_seeds() {
            let Some(value) = accuracy(&arm.name, seed) else {
                continue;
            };
            let cell = Cell::new(arm.config.clone(), seed);
            let record = Record {
                schema: 1,
                outcome: match diverged(&arm.name, seed) {
                    true => Outcome::Diverged {
                        stage: Stage::Training,
                        step: 3,
                    },
                    false => Outcome::Measured {},
                },
                evaluations: Evaluations::default(),
                values: [("accuracy".to_owned(), value)].into(),
                curves: BTreeMap::new(),
                maps: Vec::new(),
                exhibit: None,
                cell,
            };
            let id = record.cell.id.clone();
            results.records.insert(id, (record, Attempt::default()));
        }
    }
    judge(&plan, &results, None).remove(0)
}

/// Small differences between seeds, the same in every run.
fn wiggle(seed: u32) -> f64 {
    0.01 * f64::from((7 * seed) % 5)
}

#[test]
fn verdicts_follow_the_registered_rules() {
    // What the wide arm has over the narrow one; delta = 0.1, refuted below 0.02, and equal within 0.05.
    for (gain, higher, equal) in [
        (0.3, "SUPPORTED", "REFUTED (different)"),
        (0.03, "INCONCLUSIVE", "SUPPORTED"),
        (0.0, "REFUTED (negligible)", "SUPPORTED"),
        (-0.3, "REFUTED (reversed)", "REFUTED (different)"),
    ] {
        let result = judged(TINY, |arm, seed| {
            let gain = if arm == "wide" { gain } else { 0.0 };
            Some(0.5 + gain + 0.1 * wiggle(seed) * f64::from(u8::from(arm == "wide")))
        });
        let verdicts: Vec<&str> = result.findings.iter().map(|f| f.verdict.as_str()).collect();
        assert_eq!(verdicts[0], higher, "a gain of {gain}");
        assert_eq!(verdicts[1], equal, "a gain of {gain}");
        assert_eq!(verdicts[2], "NOT TESTED");
        assert!((result.primary().value.expect("a number") - gain).abs() < 0.01);
        assert_eq!((result.cells, result.done), (16, 16));
    }
}

#[test]
fn a_condition_stands_unless_the_other_finding_lifts_it() {
    let text = TINY.replace(
        "# condition",
        "condition = { words = \"small ones\", unless = \"tiny-equal\" }",
    );
    let wide = |arm: &str, seed: u32| {
        let gain = if arm == "wide" { 0.3 } else { 0.0 };
        Some(0.5 + gain + wiggle(seed))
    };
    let result = judged(&text, wide);
    assert_eq!(result.primary().verdict, "SUPPORTED UNDER small ones");
    // The same, where the other finding is supported too.
    let lifted = text.replace("delta = 0.05, refute = 0.05", "delta = 0.5, refute = 0.5");
    assert_eq!(judged(&lifted, wide).primary().verdict, "SUPPORTED");
}

#[test]
fn a_claim_that_rests_on_several_findings_is_their_conjunction() {
    let wide = |gain: f64| {
        move |arm: &str, seed: u32| {
            let gain = if arm == "wide" { gain } else { 0.0 };
            Some(0.5 + gain + 0.1 * wiggle(seed) * f64::from(u8::from(arm == "wide")))
        }
    };
    // A gain of 0.3 supports the first and refutes the second, which is enough.
    for (decides, verdict) in [
        ("", "SUPPORTED"),
        (
            "decides = [\"tiny\", \"tiny-equal\"]\n",
            "REFUTED (different)",
        ),
        ("decides = [\"tiny\", \"tiny-loss\"]\n", "NOT TESTED"),
    ] {
        let text = TINY.replace("counter = ", &format!("{decides}counter = "));
        assert_eq!(judged(&text, wide(0.3)).primary().verdict, verdict);
    }
    // One of them undecided: so is the claim.
    let both = TINY.replace(
        "counter = ",
        "decides = [\"tiny-equal\", \"tiny\"]\ncounter = ",
    );
    let result = judged(&both, wide(0.03));
    assert_eq!(result.primary().verdict, "INCONCLUSIVE");
    assert_eq!(result.findings[1].verdict, "SUPPORTED");
}

#[test]
fn nothing_is_concluded_without_what_is_taken_for_granted() {
    let text = TINY.replace("# condition", "given = \"tiny-equal\"");
    let wide = |arm: &str, seed: u32| {
        let gain = if arm == "wide" { 0.3 } else { 0.0 };
        Some(0.5 + gain + wiggle(seed))
    };
    let result = judged(&text, wide);
    assert_eq!(result.primary().verdict, "INCONCLUSIVE");
    assert_eq!(
        result.primary().reason.as_deref(),
        Some("`tiny-equal`, which it takes for granted, is REFUTED (different)")
    );
    let granted = text.replace("delta = 0.05, refute = 0.05", "delta = 0.5, refute = 0.5");
    assert_eq!(judged(&granted, wide).primary().verdict, "SUPPORTED");
}

#[test]
fn seeds_that_did_not_diverge_must_not_contradict_a_finding() {
    // The narrow arm diverges in five of eight seeds; the wide one is better there, and in the others by this much.
    for (calm, verdict) in [
        (0.3, "SUPPORTED"),
        (0.1, "SUPPORTED"),
        (0.0, "INCONCLUSIVE"),
    ] {
        let accuracy = |arm: &str, seed: u32| {
            let gain = if seed < 5 { 0.8 } else { calm };
            let wide = f64::from(u8::from(arm == "wide"));
            Some(0.1 + wide * (gain + wiggle(seed)))
        };
        let result = judged_where(TINY, accuracy, |arm, seed| arm == "narrow" && seed < 5);
        let primary = result.primary();
        assert_eq!(primary.verdict, verdict, "{calm}: {:?}", primary.reason);
        assert_eq!(result.diverged, 5);
    }
}

#[test]
fn without_enough_seeds_nothing_is_concluded() {
    let nothing = judged(TINY, |_, _| None);
    assert!(nothing.primary().verdict.starts_with("NOT TESTED"));
    let few = judged(TINY, |arm, seed| {
        let gain = if arm == "wide" { 0.3 } else { 0.0 };
        (seed < 4).then_some(0.5 + gain + wiggle(seed))
    });
    assert!(few.primary().verdict.starts_with("INCONCLUSIVE"));
    assert_eq!(few.primary().seeds, 4);
}

#[test]
fn a_learning_rate_is_chosen_by_seeds_that_do_not_test() {
    let text = TINY
        .replace(
            "# grid",
            "[grid]\nsetting = \"rate\"\nvalues = [0.001, 0.01]\ntuning_seeds = 2\n",
        )
        .replace(
            "kind = \"metric\", metric = \"accuracy\"",
            "kind = \"tuned\", metric = \"accuracy\", by = \"accuracy\"",
        );
    let result = judged(&text, |arm, seed| {
        // By the test seeds the larger rate is better; by the tuning seeds the smaller one.
        let tuning = super::FIRST_TUNING_SEED <= seed;
        let large = arm.ends_with("0.01");
        let gain = if arm.starts_with("wide") { 0.3 } else { 0.0 };
        let luck = if tuning != large { 0.1 } else { 0.0 };
        Some(0.4 + gain + luck + wiggle(seed))
    });
    assert!(
        result.primary().measure.contains("wide at rate = 0.001"),
        "{}",
        result.primary().measure
    );
    assert_eq!(result.cells, 2 * 2 * (8 + 2));
}

/// The tiny claim on a grid of three rates, with this kind of term in the place of the metric.
fn on_a_grid(term: &str) -> String {
    TINY.replace(
        "# grid",
        "[grid]\nsetting = \"rate\"\nvalues = [0.001, 0.01, 0.1]\ntuning_seeds = 2\n",
    )
    .replace("kind = \"metric\", metric = \"accuracy\"", term)
}

#[test]
fn a_verdict_says_which_arms_are_tuned_to_an_end_of_the_grid() {
    let text = on_a_grid("kind = \"tuned\", metric = \"accuracy\", by = \"accuracy\"");
    for (narrow, wide, verdict) in [
        (0.01, 0.01, "SUPPORTED"),
        (
            0.001,
            0.01,
            "SUPPORTED; narrow tuned to the lower end of its grid",
        ),
        (
            0.01,
            0.1,
            "SUPPORTED; wide tuned to the upper end of its grid",
        ),
        // No rate is better than another.
        (
            0.5,
            0.01,
            "SUPPORTED; narrow the same at every value of its grid",
        ),
    ] {
        let result = judged(&text, |arm, seed| {
            let wide_one = arm.starts_with("wide");
            let best = if wide_one { wide } else { narrow };
            let at_best = arm.ends_with(&format!("@ {best}"));
            let gain = if wide_one { 0.3 } else { 0.0 };
            Some(0.4 + gain + 0.1 * f64::from(u8::from(at_best)) + wiggle(seed))
        });
        assert_eq!(result.primary().verdict, verdict);
        assert_eq!(result.primary().class, "supported");
    }
}

#[test]
fn what_is_learned_nowhere_has_no_range() {
    let text = on_a_grid("kind = \"usable\", metric = \"accuracy\", below = 0.5");
    // The narrow arm is usable at the middle rate in so many of 8 seeds, the wide one at all rates or at the upper two.
    for (narrow, wide, verdict) in [
        (
            8,
            ["0.01", "0.1"],
            "SUPPORTED; wide usable up to the upper end of the grid in 8 of 8 seeds",
        ),
        (0, ["0.01", "0.01"], "INCONCLUSIVE"),
        (4, ["0.01", "0.01"], "INCONCLUSIVE"),
        (8, ["0.01", "0.01"], "REFUTED (negligible)"),
    ] {
        let result = judged(&text, |arm, seed| {
            let usable = match arm.strip_prefix("narrow @ ") {
                Some(rate) => rate == "0.01" && seed < narrow,
                None => wide.iter().any(|rate| arm.ends_with(&format!("@ {rate}"))),
            };
            Some(if usable { 0.4 } else { 0.6 })
        });
        let primary = result.primary();
        assert_eq!(primary.verdict, verdict, "{narrow}: {:?}", primary.reason);
        let says = primary.reason.as_deref().unwrap_or_default();
        let nowhere = format!(
            "narrow comes below 0.5 at no value of the grid in {} of 8",
            8 - narrow
        );
        assert_eq!(says.starts_with(&nowhere), narrow <= 4, "{says}");
    }
}

#[test]
fn mistakes_are_refused_before_anything_runs() {
    for (from, to, wanted) in [
        ("arm = \"wide\"", "arm = \"wde\"", "did you mean `wide`?"),
        (
            "metric = \"accuracy\"",
            "metric = \"acuracy\"",
            "it measures accuracy, loss",
        ),
        ("\"T6\"", "\"T60\"", "T1 to T36"),
        (
            "counter = \"narrow\"",
            "counter = \"other\"",
            "the counter-arm is one of the arms",
        ),
        (
            "delta = 0.1, refute = 0.02",
            "delta = 0.1, refute = 0.2",
            "not larger than what supports",
        ),
        (
            "delta = 0.05, refute = 0.05",
            "delta = 0.05, refute = 0.0",
            "not smaller than what supports",
        ),
        ("rate = 0.03", "rate = -0.03", "it must be positive"),
        ("schema = 1", "schema = 2", "schema = 1"),
        (
            "# condition",
            "condition = { words = \"w\", unless = \"x\" }",
            "another finding",
        ),
        ("# condition", "given = \"x\"", "another finding"),
        (
            "# grid",
            "[grid]\nsetting = \"rate\"\nvalues = [0.1, 0.01]\ntuning_seeds = 1\n",
            "sort them",
        ),
        ("width = 8", "widht = 8", "did you mean"),
        (
            "counter = ",
            "decides = [\"tiny\", \"tinny\"]\ncounter = ",
            "all of which must hold",
        ),
    ] {
        assert!(TINY.contains(from), "{from}");
        let message = match study::parse::<Claim>("tiny.toml", &TINY.replace(from, to)) {
            Err(error) => error.to_string(),
            Ok(mut claim) => {
                claim.place = "tiny.toml".to_owned();
                let plan = Plan::of_claims(vec![claim], &Overrides::default());
                plan.expect_err(to).to_string()
            }
        };
        assert!(message.contains(wanted), "{to}: {message}");
        assert!(message.starts_with("tiny.toml"), "{message}");
    }
}

#[test]
fn a_finding_about_noise_levels_needs_arms_that_compare_them() {
    let weights = catalog::CLAIMS
        .iter()
        .find(|(name, _)| *name == "6-weights");
    let (_, text) = weights.expect("it is built in");
    for (from, to, wanted) in [
        ("seeds = 8", "seeds = 8", ""),
        (
            "micro_batches = 32",
            "micro_batches = 30",
            "a multiple of 4",
        ),
        (
            ", agreement = { micro_batches = 32, after = [10, 30, 100, 300] }",
            "",
            "give probes.map.agreement",
        ),
        (
            "micro_batches = 13",
            "micro_batches = 3",
            "tell one audible cell",
        ),
        (
            "{ kind = \"denoising\", weighting = \"edm\" }",
            "{ kind = \"sliced\" }",
            "train them with noise",
        ),
        (
            "{ min_snr = 5.0 }",
            "{ min_snr = -5.0 }",
            "the cap is a finite",
        ),
        ("\"edm\"", "\"edn\"", "edn"),
    ] {
        assert!(text.contains(from), "{from}");
        match planned(&text.replace(from, to)) {
            Ok(_) => assert_eq!(wanted, "", "{to}"),
            Err(error) => {
                let said = error.to_string();
                assert!(!wanted.is_empty() && said.contains(wanted), "{to}: {said}");
            }
        }
    }
}

#[test]
fn every_committed_claim_can_be_planned() {
    let claims = load(&Selection::All).expect("they read");
    let names: Vec<&str> = claims.iter().map(|claim| claim.name.as_str()).collect();
    let listed: Vec<&str> = catalog::CLAIMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "a file is named as its claim");
    let mut ids = BTreeSet::new();
    for claim in &claims {
        let own: Vec<&Claim> = claims.iter().filter(|c| c.run() == claim.run()).collect();
        assert!(
            own.iter().all(|other| other.cost == claim.cost),
            "{}: what is run together is run at the same time",
            claim.name
        );
        let plan = Plan::of_claims(vec![claim.clone()], &Overrides::default());
        let plan = plan.unwrap_or_else(|error| panic!("{error}"));
        if claim.cost == Cost::Default && claim.exact.is_empty() {
            let enough = claim.seeds == 1 || 8 <= claim.seeds;
            assert!(
                enough,
                "{}: a verdict takes 8 seeds, or 1 of what is exact",
                claim.name
            );
        }
        let own = plan.claims[0].findings.iter().map(|finding| &finding.id);
        for id in own.chain(&plan.claims[0].exact) {
            assert!(ids.insert(id.clone()), "{id} is there twice");
        }
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/studies/claims"));
    assert_eq!(files.expect("a folder").count(), claims.len());
}

#[test]
fn the_claims_that_are_run_by_default_fit_their_time() {
    let claims = load(&Selection::Default).expect("they read");
    let mut cells = BTreeMap::new();
    for claim in claims {
        let plan = Plan::of_claims(vec![claim], &Overrides::default()).expect("sound");
        cells.extend(
            plan.cells()
                .into_iter()
                .map(|(cell, seconds)| (cell.id, seconds)),
        );
    }
    let minutes = cells.values().sum::<f64>() / 60.0;
    // Half an hour on two cores.
    assert!(
        minutes < 60.0,
        "{minutes:.1} minutes of one core are predicted"
    );
}

#[test]
fn the_ids_of_experiments_stay() {
    let plan = planned(TINY).expect("sound");
    let ids: Vec<String> = plan.cells().into_iter().map(|(cell, _)| cell.id).collect();
    assert_eq!(ids[0], "d8056b8d05d9e0b1a548cc4dd55d21c2");
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), 16);
}
