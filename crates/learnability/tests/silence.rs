//! Silence over tests, over behaviour and over time.

use learnability::Error;
use learnability::interval::Confidence;
use learnability::silence::{audible, benjamini_hochberg};
use learnability::solo::{Protocol, Run, Trained, rank_correlation};
use learnability::window::{Cadence, mean_over_looks, participation, silent_throughout};
use proptest::prelude::*;

#[test]
fn the_example_of_benjamini_and_hochberg() {
    let p = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
        0.5719, 0.6528, 0.7590, 1.0,
    ];
    let heard = audible(&p, 0.05);
    assert_eq!(heard.iter().filter(|h| **h).count(), 4); // theirs, 1995, section 4
    let adjusted = benjamini_hochberg(&p);
    assert!((adjusted[3] - 15.0 * 0.0095 / 4.0).abs() < 1e-15);
    assert!((adjusted[5] - 15.0 * 0.0298 / 7.0).abs() < 1e-15); // the minimum over all that are larger
    assert!(benjamini_hochberg(&[]).is_empty());
}

#[test]
#[should_panic(expected = "p 1 must lie in [0, 1], but is NaN")]
fn no_test_has_such_a_p() {
    benjamini_hochberg(&[0.1, f64::NAN]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The procedure as it is told: reject the k smallest, with the largest k such that p₍ₖ₎ ≤ k q / m.
    #[test]
    fn adjusted_p_values_are_the_step_up_procedure(p in prop::collection::vec(0.0..1.0f64, 1..12), rate in 0.01..0.5f64) {
        let mut sorted = p.clone();
        sorted.sort_by(f64::total_cmp);
        let m = p.len() as f64;
        let threshold = sorted.iter().zip(1u32..).filter(|(p, k)| **p <= f64::from(*k) * rate / m).map(|(p, _)| *p).last();
        let expected: Vec<bool> = p.iter().map(|p| threshold.is_some_and(|t| *p <= t)).collect();
        prop_assert_eq!(audible(&p, rate), expected);
    }
}

/// Loss Σ c_i (1 − x_i)² from x = 0, where unit i moves x_i by `rate · steps · c_i`, capped.
fn quadratic(c: &[f64], run: Run) -> f64 {
    c.iter()
        .enumerate()
        .map(|(i, c)| {
            let trained = match run.trained {
                Trained::Nothing => false,
                Trained::Only(unit) => unit == i,
                Trained::All => true,
            };
            let x = if trained {
                (run.rate * c).min(1.0)
            } else {
                0.0
            };
            c * (1.0 - x) * (1.0 - x)
        })
        .sum()
}

#[test]
fn solo_learnability_has_its_closed_form() {
    let c = [4.0, 1.0, 0.0];
    let protocol = Protocol::new(3, vec![0.1, 1.0], 3).unwrap();
    let mut asked = Vec::new();
    let units = protocol.run(Confidence::new(0.95).unwrap(), |run| {
        asked.push(run);
        // Each repeat has its own scale, which drops out of the ratio.
        (1.0 + run.repeat as f64) * quadratic(&c, run)
    });
    // At rate 1 every unit that matters is solved: Q = c_i / Σ c.
    for (unit, expected) in units.iter().zip([0.8, 0.2, 0.0]) {
        let mean = unit.mean.unwrap();
        assert!((mean.estimate - expected).abs() < 1e-12 && mean.high - mean.low < 1e-12);
        assert_eq!(unit.is_silent(), expected == 0.0);
    }
    let training = asked.iter().filter(|run| run.trained != Trained::Nothing);
    assert_eq!(training.count(), protocol.runs());
    assert_eq!(asked.len(), protocol.runs() + 3);
    assert!(
        asked
            .iter()
            .all(|run| run.repeat < 3 && [0.1, 1.0].contains(&run.rate))
    );
}

#[test]
fn the_best_rate_counts_and_divergence_does_not() {
    let confidence = Confidence::new(0.95).unwrap();
    let losses = |run: Run| match (run.trained, run.rate < 0.5) {
        (Trained::Nothing, _) => 1.0,
        (Trained::All, true) => 0.5,
        (Trained::Only(_), true) => 0.75,
        (Trained::All, _) => f64::NAN,
        _ => f64::NEG_INFINITY,
    };
    let solo = Protocol::new(1, vec![0.1, 1.0], 2)
        .unwrap()
        .run(confidence, losses);
    assert_eq!(solo[0].repeats, [Some(0.5), Some(0.5)]);

    // A hundredth of what all together learn is where silence ends, and an interval that reaches above it decides nothing.
    let alone = |shares: [f64; 2]| {
        let losses = move |run: Run| match run.trained {
            Trained::Nothing => 1.0,
            Trained::All => 0.0,
            Trained::Only(_) => 1.0 - shares[run.repeat],
        };
        let solo = Protocol::new(1, vec![0.1], 2).unwrap();
        solo.run(confidence, losses)[0].is_silent()
    };
    assert!(alone([0.009, 0.009]));
    assert!(!alone([0.011, 0.011]));
    assert!(!alone([0.0, 0.018]));

    // Where all together learn nothing, there is no share; and a silent unit is one that is known to be.
    let nothing = Protocol::new(1, vec![0.1], 2)
        .unwrap()
        .run(confidence, |_| 1.0);
    assert_eq!((nothing[0].mean, nothing[0].is_silent()), (None, false));
    let worse = |run: Run| match run.trained {
        Trained::Nothing => 1.0,
        Trained::All => 2.0,
        Trained::Only(_) => 1.5,
    };
    let worse = Protocol::new(1, vec![0.1], 2)
        .unwrap()
        .run(confidence, worse);
    assert_eq!(worse[0].repeats, [None, None]);
    let lost = |run: Run| match run.trained {
        Trained::Nothing => 1.0,
        Trained::All => 0.0,
        Trained::Only(_) => f64::INFINITY,
    };
    let lost = Protocol::new(1, vec![0.1], 2)
        .unwrap()
        .run(confidence, lost);
    assert_eq!(
        (&lost[0].repeats[..], lost[0].mean),
        (&[None, None][..], None)
    );
    let noisy = |run: Run| match run.trained {
        Trained::Nothing => 1.0,
        Trained::All => 0.0,
        Trained::Only(_) => 1.0 - 0.016 * run.repeat as f64,
    };
    let noisy = Protocol::new(1, vec![0.1], 2)
        .unwrap()
        .run(confidence, noisy);
    assert!(noisy[0].mean.unwrap().estimate < 0.0081 && !noisy[0].is_silent());
}

#[test]
fn protocols_that_say_nothing_are_refused() {
    assert!(matches!(
        Protocol::new(0, vec![0.1], 2),
        Err(Error::TooFew { .. })
    ));
    assert!(matches!(
        Protocol::new(1, vec![], 2),
        Err(Error::TooFew { .. })
    ));
    assert!(matches!(
        Protocol::new(1, vec![0.1], 1),
        Err(Error::TooFew { .. })
    ));
    assert_eq!(
        Protocol::new(1, vec![0.1, -1.0], 2)
            .unwrap_err()
            .to_string(),
        "a learning rate must lie in (0, ∞), but is -1; choose a value inside"
    );
}

#[test]
fn rank_correlations() {
    // scipy.stats.spearmanr([1, 2, 2, 4, 5], [2, 1, 3, 3, 5]) = 0.7631578947368421
    let found = rank_correlation(&[1.0, 2.0, 2.0, 4.0, 5.0], &[2.0, 1.0, 3.0, 3.0, 5.0]).unwrap();
    assert!((found - 29.0 / 38.0).abs() < 1e-15, "{found}");
    assert_eq!(rank_correlation(&[1.0, 2.0], &[5.0, -5.0]), Some(-1.0));
    assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
    assert_eq!(rank_correlation(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    assert_eq!(rank_correlation(&[], &[]), None);
}

#[test]
fn looks_and_windows() {
    let looks: Vec<u64> = (0..4000)
        .filter(|s| Cadence::HalfDecades.looks_at(*s))
        .collect();
    assert_eq!(looks, [0, 1, 3, 10, 30, 100, 300, 1000, 3000]);
    let looks: Vec<u64> = (0..20_000)
        .filter(|s| Cadence::Decades.looks_at(*s))
        .collect();
    assert_eq!(looks, [0, 1, 10, 100, 1000, 10_000]);

    // Four units at four looks: always, from the second on, once, never.
    let marks: Vec<Vec<bool>> = (0..4)
        .map(|look| vec![true, look != 0, look == 0, false])
        .collect();
    assert_eq!(participation(&marks), [1.0, 0.75, 0.25, 0.0]);
    assert_eq!(silent_throughout(&marks), [false, false, false, true]);
    assert!(participation(&[]).is_empty());
    assert_eq!(
        mean_over_looks(&[Some(0.5), None, Some(1.0), Some(0.5)]),
        Some(0.5)
    );
    assert_eq!(mean_over_looks(&[]), None);
}
