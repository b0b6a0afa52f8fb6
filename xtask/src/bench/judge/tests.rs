//! A planted slowdown is found, identical commits raise no alarm, and a blind job says that it is blind.

use std::path::Path;

use super::fixture::{Mood, RUNNER, blocks, measured, steady};
use super::*;
use crate::bench::gate::Gate;

/// A job of 40 benchmarks, the first of which is changed.
fn job(log_ratio: f64, mood: Mood, shape: (usize, usize), seed: u64) -> Job {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let benchmarks = (0..40)
        .map(|i| {
            let planted = if i == 0 { log_ratio } else { 0.0 };
            measured(&format!("{i:02}"), planted, mood, shape, &mut rng)
        })
        .collect();
    judge(&blocks(benchmarks))
}

#[test]
fn identical_commits_raise_no_alarm() {
    let stumbling = Mood {
        stumbles: 0.1,
        ..RUNNER
    };
    let wild = Mood {
        shared: 0.3,
        own: 0.05,
        stumbles: 0.2,
    };
    for mood in [RUNNER, stumbling, wild] {
        for seed in 0..100 {
            let job = job(0.0, mood, (12, 4), seed);
            let alarms = job.count(Verdict::Regression) + job.count(Verdict::Improvement);
            assert_eq!(alarms, 0, "{mood:?}, job {seed}");
        }
    }
}

#[test]
fn a_slowdown_of_ten_percent_is_found_and_its_mirror_image_too() {
    for seed in 0..100 {
        let slower = job(1.10_f64.ln(), RUNNER, (12, 4), seed);
        let faster = job(-(1.10_f64.ln()), RUNNER, (12, 4), seed);
        assert_eq!(
            slower.benchmarks[0].verdict,
            Verdict::Regression,
            "job {seed}"
        );
        assert_eq!(slower.count(Verdict::Regression), 1, "job {seed}");
        assert_eq!(
            faster.benchmarks[0].verdict,
            Verdict::Improvement,
            "job {seed}"
        );
        assert!(!slower.benchmarks[0].hides());
        // It was not for nothing: what did not change is said not to have.
        assert!(35 <= slower.count(Verdict::NoChange), "job {seed}");
    }
}

/// Of real builds, see `tests/bench-ab/README.md`.
fn recorded(folder: &str) -> Blocks {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench-ab");
    Blocks::read(&runs.join(folder)).expect("it is committed")
}

#[test]
fn of_real_builds_identical_ones_raise_no_alarm() {
    let blocks = recorded("identical");
    let job = judge(&blocks);
    assert_eq!(job.count(Verdict::NoChange), job.benchmarks.len());
    assert_eq!(job.blind().count(), 0);
    let alarms = Gate::Same
        .findings(&blocks, &job)
        .expect("both were measured");
    assert_eq!(alarms, []);
}

#[test]
fn of_real_builds_a_planted_slowdown_of_ten_percent_is_found() {
    let blocks = recorded("planted");
    let job = judge(&blocks);
    for judged in &job.benchmarks {
        // What this makes is what was slowed; the others spend time besides.
        if judged.name.starts_with("tables/Discrete from betas/") {
            assert_eq!(judged.verdict, Verdict::Regression, "{}", judged.name);
            assert_eq!(judged.counted, Some(Counted::More), "{}", judged.name);
        }
        assert_ne!(judged.verdict, Verdict::Improvement, "{}", judged.name);
    }
    assert_eq!(job.count(Verdict::Regression), 3);
}

#[test]
fn what_a_job_says_that_it_would_see_it_sees() {
    let mood = Mood {
        own: 0.02,
        ..RUNNER
    };
    let (mut found, mut jobs) = (0, 0);
    for seed in 0..300 {
        let Some(sees) = job(0.0, mood, (12, 4), seed).benchmarks[0].sees else {
            panic!("twelve blocks and four A/A blocks see something");
        };
        let later = job(sees, mood, (12, 4), 1000 + seed);
        // The later job has a floor of its own, so compare where both ask the same.
        if (later.benchmarks[0].margin - WORTH.ln()).abs() < 1e-12 {
            jobs += 1;
            found += usize::from(later.benchmarks[0].verdict == Verdict::Regression);
        }
    }
    assert!(30 <= jobs, "{jobs} jobs");
    assert!(8 * jobs <= 10 * found, "{found} of {jobs}");
}

#[test]
fn where_the_floor_hides_ten_percent_the_job_says_so() {
    let storm = Mood {
        shared: 0.1,
        own: 0.10,
        stumbles: 0.0,
    };
    let job = job(1.10_f64.ln(), storm, (12, 4), 3);
    assert_eq!(job.blind().count(), 40);
    assert_ne!(job.benchmarks[0].verdict, Verdict::NoChange);
    assert!(2.0 * job.floor.expect("A/A blocks") <= job.benchmarks[0].margin);
}

#[test]
fn a_wide_floor_does_not_make_ten_percent_nothing() {
    let mut benchmark = steady("a", 1.10_f64.ln());
    for (i, pair) in benchmark.same.iter_mut().enumerate() {
        // ± 8 % between two runs of one program.
        pair.head = pair.base * if i % 2 == 0 { 1.08 } else { 1.0 / 1.08 };
    }
    let judged = &judge(&blocks(vec![benchmark])).benchmarks[0];
    assert_eq!(judged.verdict, Verdict::Noisy);
    assert!(judged.hides());
    let expected = 2.0 * 1.08_f64.ln();
    assert!((judged.margin - expected).abs() < 1e-12);
}

#[test]
fn without_a_floor_or_with_few_blocks_nothing_is_concluded() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for shape in [(12, 0), (12, 1), (5, 4), (1, 4)] {
        let benchmark = measured("a", 0.5, RUNNER, shape, &mut rng);
        let judged = &judge(&blocks(vec![benchmark])).benchmarks[0];
        assert_eq!(judged.verdict, Verdict::Noisy, "{shape:?}");
        assert!(judged.sees.is_none() && judged.hides(), "{shape:?}");
    }
    let benchmark = measured("a", 0.5, RUNNER, (6, 2), &mut rng);
    let judged = &judge(&blocks(vec![benchmark])).benchmarks[0];
    assert_eq!(judged.verdict, Verdict::Regression);
}

#[test]
fn many_blocks_do_not_make_a_job_blind() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    // All patterns of signs are counted up to forty blocks, and drawn above.
    for count in [EXACT_BLOCKS, EXACT_BLOCKS + 1, 100] {
        for (log_ratio, verdict) in [(0.1, Verdict::Regression), (0.0, Verdict::NoChange)] {
            let benchmark = measured("a", log_ratio, RUNNER, (count, 4), &mut rng);
            let job = blocks(vec![benchmark]);
            let judged = &judge(&job).benchmarks[0];
            assert_eq!(judged.verdict, verdict, "{count} blocks");
            assert!(judged.p_sign_flip.is_some(), "{count} blocks");
            assert_eq!(judge(&job).benchmarks[0], *judged, "one report of one file");
        }
    }
}

#[test]
fn the_mood_that_a_block_shares_cancels() {
    let wild = Mood {
        shared: 0.5,
        ..RUNNER
    };
    let tame = Mood {
        shared: 0.0,
        ..RUNNER
    };
    // The same draws, so the same differences.
    let (wild, tame) = (job(0.1, wild, (12, 4), 9), job(0.1, tame, (12, 4), 9));
    for (a, b) in wild.benchmarks.iter().zip(&tame.benchmarks) {
        assert!((a.log_ratio - b.log_ratio).abs() < 1e-9);
    }
}

#[test]
fn medians_of_even_and_odd_numbers() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
}
