//! The truth table of the verdicts.

use paired_stats::{
    Direction, Evidence, Expectation, Problem, Refutation, Verdict, decide, decide_deterministic,
    paired_t,
};

const HIGHER: Expectation = Expectation {
    direction: Direction::Higher,
    delta: 1.0,
};
const LOWER: Expectation = Expectation {
    direction: Direction::Lower,
    delta: 1.0,
};
const EQUAL: Expectation = Expectation {
    direction: Direction::Equal,
    delta: 1.0,
};

/// Eight contrasts whose 95 % interval is mean ± half_width.
fn values(mean: f64, half_width: f64) -> Vec<f64> {
    let shape = [-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0];
    let unit = paired_t(&shape, 0.95).unwrap().high;
    shape.iter().map(|v| mean + v * half_width / unit).collect()
}

fn evidence(values: &[f64], adjusted_p: f64) -> Evidence<'_> {
    Evidence {
        values,
        adjusted_p,
        alpha: 0.05,
        confidence: 0.95,
        validity: vec![],
        planned_seeds: 10,
        minimum_seeds: 8,
        sensitivity: None,
        condition: None,
    }
}

#[test]
fn truth_table() {
    // Mean and half-width of the interval, adjusted p, and the word for delta = 1.
    for (mean, half_width, p, higher, lower, equal) in [
        (
            2.0,
            0.5,
            0.01,
            "SUPPORTED",
            "REFUTED (reversed)",
            "REFUTED (different)",
        ),
        (
            -2.0,
            0.5,
            0.01,
            "REFUTED (reversed)",
            "SUPPORTED",
            "REFUTED (different)",
        ),
        // A p above alpha takes the direction away, not the bound.
        (
            2.0,
            0.5,
            0.06,
            "INCONCLUSIVE",
            "REFUTED (too small)",
            "REFUTED (different)",
        ),
        (
            0.0,
            0.5,
            0.90,
            "REFUTED (negligible)",
            "REFUTED (negligible)",
            "SUPPORTED",
        ),
        (
            0.4,
            0.5,
            0.01,
            "REFUTED (negligible)",
            "REFUTED (negligible)",
            "SUPPORTED",
        ),
        (
            -1.0,
            0.5,
            0.01,
            "REFUTED (too small)",
            "INCONCLUSIVE",
            "INCONCLUSIVE",
        ),
        (
            -1.0,
            1.5,
            0.01,
            "REFUTED (too small)",
            "INCONCLUSIVE",
            "INCONCLUSIVE",
        ),
        (
            1.0,
            0.5,
            0.01,
            "INCONCLUSIVE",
            "REFUTED (too small)",
            "INCONCLUSIVE",
        ),
        (
            0.0,
            3.0,
            0.90,
            "INCONCLUSIVE",
            "INCONCLUSIVE",
            "INCONCLUSIVE",
        ),
        (
            1.5,
            3.0,
            0.20,
            "INCONCLUSIVE",
            "INCONCLUSIVE",
            "INCONCLUSIVE",
        ),
    ] {
        let values = values(mean, half_width);
        for (expectation, expected) in [(HIGHER, higher), (LOWER, lower), (EQUAL, equal)] {
            let found = decide(&expectation, &evidence(&values, p)).to_string();
            // The seeds that an INCONCLUSIVE names are the matter of another test.
            assert!(
                found == expected
                    || found.starts_with("INCONCLUSIVE (") && expected == "INCONCLUSIVE",
                "{expectation:?}, mean {mean} ± {half_width}, p {p}: {found} instead of {expected}"
            );
        }
    }
}

#[test]
fn without_a_smallest_interesting_effect_nothing_is_negligible() {
    let zero = Expectation {
        direction: Direction::Higher,
        delta: 0.0,
    };
    for (mean, p, expected) in [
        (1.0, 0.01, "SUPPORTED"),
        (-1.0, 0.01, "REFUTED (reversed)"),
        (-1.0, 0.06, "REFUTED (too small)"),
        (0.0, 0.9, "INCONCLUSIVE"),
    ] {
        assert_eq!(
            decide(&zero, &evidence(&values(mean, 0.5), p)).to_string(),
            expected
        );
    }
}

#[test]
fn the_first_match_wins() {
    let good = values(2.0, 0.5);
    let mut all_wrong = evidence(&[], 0.01);
    all_wrong.validity = vec![
        Problem::PlanChanged,
        Problem::AaRejected {
            p: 0.004,
            level: 0.01,
        },
    ];
    let verdict = decide(&HIGHER, &all_wrong);
    assert_eq!(verdict.word(), "INVALID");
    assert_eq!(
        verdict.reason(),
        Some(
            "the plan was changed after it was locked; \
             the A/A control differs from its copy (p = 0.0040 <= 0.01)"
        )
    );
    assert_eq!(
        decide(&HIGHER, &evidence(&[], 1.0)).to_string(),
        "NOT TESTED"
    );
    let mut conditional = evidence(&good, 0.01);
    conditional.condition = Some("depth >= 16".to_owned());
    assert_eq!(
        decide(&HIGHER, &conditional).to_string(),
        "SUPPORTED UNDER depth >= 16"
    );
    assert_eq!(
        decide(&LOWER, &conditional),
        Verdict::Refuted(Refutation::Reversed)
    );
}

#[test]
fn evidence_that_is_not_well_formed_is_invalid() {
    let mut bad = values(2.0, 0.5);
    bad[3] = f64::NAN;
    let verdict = decide(&HIGHER, &evidence(&bad, 0.01));
    assert_eq!(verdict.word(), "INVALID");
    assert!(
        verdict
            .reason()
            .unwrap()
            .starts_with("value 3 must be finite, but is NaN")
    );
    let good = values(2.0, 0.5);
    for p in [f64::NAN, -0.1, 1.1] {
        assert_eq!(decide(&HIGHER, &evidence(&good, p)).word(), "INVALID");
    }
    for (direction, delta) in [
        (Direction::Equal, 0.0),
        (Direction::Higher, -1.0),
        (Direction::Lower, f64::INFINITY),
    ] {
        let expectation = Expectation { direction, delta };
        assert_eq!(
            decide(&expectation, &evidence(&good, 0.01)).word(),
            "INVALID"
        );
    }
}

#[test]
fn below_the_minimum_nothing_is_decided() {
    let good = values(2.0, 0.5);
    let Verdict::Inconclusive {
        reason,
        seeds_needed,
    } = decide(&HIGHER, &evidence(&good[..7], 0.01))
    else {
        panic!("7 seeds gave a verdict");
    };
    assert_eq!(seeds_needed, Some(8));
    assert_eq!(
        reason,
        "7 of 10 planned seed blocks are complete, and a verdict takes at least 8"
    );
    assert_eq!(
        decide(&HIGHER, &evidence(&good[..1], 1.0)).word(),
        "INCONCLUSIVE"
    );
    let mut lenient = evidence(&good[..7], 0.01);
    lenient.minimum_seeds = 6;
    assert_eq!(decide(&HIGHER, &lenient), Verdict::Supported);
}

/// The verdict on `with`, of which `without` are the blocks in which nothing diverged.
fn qualified(expectation: &Expectation, with: &[f64], without: &[f64]) -> Verdict {
    let mut evidence = evidence(with, 0.01);
    evidence.sensitivity = Some(without);
    decide(expectation, &evidence)
}

#[test]
fn a_verdict_must_survive_without_the_diverged_blocks() {
    let with = [values(2.0, 0.5), values(2.0, 0.5)].concat();
    for (without, says) in [
        (values(2.0, 0.9), None),
        (values(1.0, 0.9), Some("left open by the 8 others alone")),
        (values(0.0, 0.5), Some("contradicted by the 8 others alone")),
    ] {
        let verdict = qualified(&HIGHER, &with, &without);
        match says {
            None => assert_eq!(verdict, Verdict::Supported),
            Some(says) => {
                let reason = verdict.reason().expect("a reason");
                assert!(
                    reason.starts_with("SUPPORTED with 8 diverged blocks"),
                    "{reason}"
                );
                assert!(
                    verdict.word() == "INCONCLUSIVE" && reason.ends_with(says),
                    "{reason}"
                );
            }
        }
    }
    // Two kinds of refutation are one class.
    assert_eq!(
        qualified(&HIGHER, &values(0.0, 0.5), &values(-1.0, 0.5)),
        Verdict::Refuted(Refutation::Negligible)
    );
}

#[test]
fn fewer_blocks_than_a_verdict_takes_may_only_contradict() {
    let seven = |mean: f64| values(mean, 0.5)[..7].to_vec();
    // Delta is 1; the first 7 blocks lie 0.13 lower, ±0.48.
    for (with, without, expected) in [
        (2.0, seven(2.0), "SUPPORTED"),
        // Across delta: they leave it open, and have no verdict of their own.
        (2.0, seven(1.0), "SUPPORTED"),
        (2.0, seven(0.0), "INCONCLUSIVE"),
        (2.0, vec![0.0, 0.01], "SUPPORTED"),
        (2.0, vec![0.0, 0.01, -0.01], "INCONCLUSIVE"),
        (2.0, vec![], "SUPPORTED"),
        (0.0, seven(0.0), "REFUTED (negligible)"),
        (0.0, seven(1.0), "REFUTED (negligible)"),
        (0.0, seven(2.0), "INCONCLUSIVE"),
    ] {
        let verdict = qualified(&HIGHER, &values(with, 0.5), &without).to_string();
        assert_eq!(verdict, expected, "{with}: {without:?}");
    }
    let equal = |with, without: &[f64]| qualified(&EQUAL, &values(with, 0.5), without).to_string();
    assert_eq!(equal(0.0, &seven(1.0)), "SUPPORTED");
    assert_eq!(equal(0.0, &seven(3.0)), "INCONCLUSIVE");
    assert_eq!(equal(3.0, &seven(1.2)), "REFUTED (different)");
    assert_eq!(equal(3.0, &seven(0.0)), "INCONCLUSIVE");
    // At the level of one contrast alone, whatever its share of the family leaves: 99.9 % would reach delta.
    let with = values(3.0, 0.5);
    let mut shared = evidence(&with, 0.01);
    let without = values(0.6, 0.5)[..7].to_vec();
    shared.confidence = 0.999;
    shared.sensitivity = Some(&without);
    assert_eq!(decide(&HIGHER, &shared).word(), "INCONCLUSIVE");
}

#[test]
fn seeds_needed_are_more_than_there_are() {
    for mean in [1.1, 1.5, 2.0, 3.0] {
        let values = values(mean, 3.0);
        match decide(&HIGHER, &evidence(&values, 0.2)) {
            Verdict::Inconclusive {
                seeds_needed: Some(n),
                ..
            } => assert!(8 < n, "{n}"),
            other => panic!("{other}"),
        }
    }
    let hopeless = values(0.9, 3.0);
    assert!(matches!(
        decide(&HIGHER, &evidence(&hopeless, 0.2)),
        Verdict::Inconclusive {
            seeds_needed: None,
            ..
        }
    ));
    // Half-width 3 at n = 8 is sd = 3.588; (1.960 + 0.842)² / (0.5/3.588)² + 1.96²/2 = 406.1.
    let slow = values(1.5, 3.0);
    assert_eq!(
        decide(&HIGHER, &evidence(&slow, 0.2)).to_string(),
        "INCONCLUSIVE (about 407 seeds needed)"
    );
    let nearly = values(1.001, 3.0);
    assert_eq!(
        decide(&HIGHER, &evidence(&nearly, 0.2)).to_string(),
        "INCONCLUSIVE (1000 seeds or more needed)"
    );
}

#[test]
fn deterministic_rows_always_decide() {
    for (value, higher, lower, equal) in [
        (
            1.5,
            "SUPPORTED",
            "REFUTED (reversed)",
            "REFUTED (different)",
        ),
        (
            -1.5,
            "REFUTED (reversed)",
            "SUPPORTED",
            "REFUTED (different)",
        ),
        (
            0.5,
            "REFUTED (negligible)",
            "REFUTED (negligible)",
            "SUPPORTED",
        ),
        (
            1.0,
            "REFUTED (too small)",
            "REFUTED (too small)",
            "REFUTED (different)",
        ),
    ] {
        for (expectation, expected) in [(HIGHER, higher), (LOWER, lower), (EQUAL, equal)] {
            assert_eq!(
                decide_deterministic(&expectation, value, &[]).to_string(),
                expected
            );
        }
    }
    assert_eq!(
        decide_deterministic(&HIGHER, f64::NAN, &[]).word(),
        "INVALID"
    );
    let problems = [Problem::MixedCode { builds: 2 }];
    assert_eq!(
        decide_deterministic(&HIGHER, 2.0, &problems).word(),
        "INVALID"
    );
}
