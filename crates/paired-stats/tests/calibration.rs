//! Seeded Monte-Carlo studies: what the methods say happens as often as they say.
//!
//! The tolerances are about three standard errors, √(p(1 − p)/studies); the seeds are fixed, so a
//! failure is a change of the code.

use paired_stats::{bootstrap_t, holm, max_t, paired_t, sign_flip};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The share of `studies` for which `happens` returns true.
fn rate(studies: usize, seed: u64, mut happens: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..studies).filter(|_| happens(&mut rng)).count() as f64 / studies as f64
}

/// Contrasts with standard deviation 1 across seeds.
fn contrasts(mean: f64, n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n)
        .map(|_| mean + rng.sample::<f64, _>(StandardNormal))
        .collect()
}

/// A 2×2 of null contrasts: two main effects and an interaction that share a seed.
fn null_family(n: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let shared = contrasts(0.0, n, rng);
    let mix = |own: Vec<f64>| own.iter().zip(&shared).map(|(a, b)| a + b).collect();
    (0..3).map(|_| mix(contrasts(0.0, n, rng))).collect()
}

#[test]
fn t_interval_covers_at_eight_seeds() {
    let covered = rate(3000, 1, |rng| {
        paired_t(&contrasts(0.7, 8, rng), 0.95)
            .unwrap()
            .contains(0.7)
    });
    assert!((covered - 0.95).abs() < 0.012, "{covered}");
}

#[test]
fn bootstrap_t_covers_at_eight_seeds() {
    let covered = rate(600, 2, |rng| {
        let values = contrasts(0.7, 8, rng);
        bootstrap_t(&values, 0.95, 399, rng).unwrap().contains(0.7)
    });
    assert!((covered - 0.95).abs() < 0.03, "{covered}");
}

#[test]
fn sign_flip_keeps_the_level_that_it_attains() {
    // At 8 seeds p is a multiple of 1/128, and 6/128 is the largest that does not exceed 0.05.
    let rejected = rate(3000, 3, |rng| {
        sign_flip(&contrasts(0.0, 8, rng)).unwrap().p <= 0.05
    });
    assert!((rejected - 6.0 / 128.0).abs() < 0.012, "{rejected}");
}

#[test]
fn sign_flip_has_the_power_that_plans_assume() {
    for (n, effect, expected) in [
        (6, 1.0, 0.34),
        (8, 1.0, 0.65),
        (10, 1.0, 0.80),
        (8, 0.5, 0.22),
    ] {
        let power = rate(1000, 4, |rng| {
            sign_flip(&contrasts(effect, n, rng)).unwrap().p <= 0.05
        });
        assert!(
            (power - expected).abs() < 0.045,
            "n {n}, d {effect}: {power}"
        );
    }
}

#[test]
fn holm_and_max_t_keep_the_family_wise_level() {
    let (mut by_holm, mut by_max_t) = (0, 0);
    let studies = 10_000;
    rate(studies, 5, |rng| {
        let family = null_family(8, rng);
        let raw: Vec<f64> = family.iter().map(|c| sign_flip(c).unwrap().p).collect();
        by_holm += usize::from(holm(&raw).iter().any(|p| *p <= 0.05));
        by_max_t += usize::from(
            max_t(&family)
                .unwrap()
                .adjusted_p
                .iter()
                .any(|p| *p <= 0.05),
        );
        true
    });
    let (by_holm, by_max_t) = (
        by_holm as f64 / studies as f64,
        by_max_t as f64 / studies as f64,
    );
    // 6/128 is exact for max-T at 8 seeds.
    assert!(by_holm < 0.05, "{by_holm}");
    assert!((by_max_t - 6.0 / 128.0).abs() < 0.0065, "{by_max_t}");
    assert!(
        by_holm < by_max_t,
        "{by_holm} against {by_max_t}: the correlation is not used"
    );
}

#[test]
fn simultaneous_intervals_cover_together_at_any_effect() {
    for (n, mean) in [(8, 0.7), (10, 10.0)] {
        let covered = rate(1500, 6, |rng| {
            let mut family = null_family(n, rng);
            family.iter_mut().flatten().for_each(|v| *v += mean);
            let intervals = max_t(&family).unwrap().intervals(0.95).unwrap();
            intervals.iter().all(|interval| interval.contains(mean))
        });
        assert!(
            (covered - 0.95).abs() < 0.018,
            "n {n}, mean {mean}: {covered}"
        );
    }
}
