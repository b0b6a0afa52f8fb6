//! Levels drawn by the size of their losses, and what is done to labels and noise.

use proptest::prelude::*;
use score_objective::{Error, LossSecondMoment, OffsetNoise, drop_labels};

/// `n` numbers spread over [0, 1).
fn stratified(n: u32) -> Vec<f64> {
    (0..n)
        .map(|i| (f64::from(i) + 0.5) / f64::from(n))
        .collect()
}

fn filled(losses: &[f64], history: usize, uniform: f64) -> LossSecondMoment {
    let mut levels = LossSecondMoment::new(losses.len(), history, uniform).unwrap();
    for (level, &loss) in losses.iter().enumerate() {
        for _ in 0..history {
            levels.record(level, loss).unwrap();
        }
    }
    levels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn importance_weights_keep_the_expectation(
        losses in prop::collection::vec(0.0..5.0_f64, 1..20), uniform in 0.01..1.0_f64,
    ) {
        let levels = filled(&losses, 3, uniform);
        let p = levels.probabilities();
        prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(p.iter().all(|&p| uniform / losses.len() as f64 * (1.0 - 1e-12) <= p));
        // Every level is drawn in proportion to its probability, and weighted by its inverse.
        let draws = levels.draw(&stratified(20_000));
        for (level, &share) in p.iter().enumerate() {
            let drawn = draws.iter().filter(|d| d.level == level).count() as f64 / 20_000.0;
            prop_assert!((drawn - share).abs() <= 1.0 / 10_000.0);
        }
        for drawn in &draws {
            prop_assert!((drawn.weight * p[drawn.level] * losses.len() as f64 - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn levels_are_uniform_until_all_have_a_history() {
    let mut levels = LossSecondMoment::nichol2021(4).unwrap();
    for level in 0..4 {
        for _ in 0..10 {
            assert_eq!(levels.probabilities(), [0.25; 4]);
            levels.record(level, (level + 1) as f64).unwrap();
        }
    }
    // 0.999 · i/10 + 0.001/4
    for (level, p) in levels.probabilities().into_iter().enumerate() {
        let expected = 0.999 * (level + 1) as f64 / 10.0 + 0.00025;
        assert!((p - expected).abs() < 1e-14);
    }
}

#[test]
fn the_oldest_loss_is_forgotten() {
    let mut levels = filled(&[3.0, 1.0], 2, 0.0);
    levels.record(0, 1.0).unwrap();
    // √((9 + 1)/2)
    let p = levels.probabilities();
    assert!((p[0] / p[1] - 5f64.sqrt()).abs() < 1e-14);
    levels.record(0, -1.0).unwrap();
    assert_eq!(levels.probabilities(), [0.5, 0.5]);
}

#[test]
fn levels_without_a_share_are_not_drawn() {
    let levels = filled(&[0.0, 2.0, 0.0, 1.0, 0.0], 1, 0.0);
    let mut uniforms = stratified(1000);
    uniforms.extend([0.0, 2.0 / 3.0, 1.0 - f64::EPSILON / 2.0]);
    for drawn in levels.draw(&uniforms) {
        assert!(drawn.level == 1 || drawn.level == 3);
        assert!(drawn.weight.is_finite());
    }
    assert_eq!(filled(&[0.0, 0.0], 1, 0.0).probabilities(), [0.5, 0.5]);
}

#[test]
fn a_loss_that_is_no_number_is_refused_and_forgotten() {
    let mut levels = filled(&[1.0, 1.0], 1, 0.0);
    let before = levels.clone();
    for bad in [f64::NAN, f64::INFINITY, 1e200] {
        assert!(matches!(
            levels.record(0, bad),
            Err(Error::NotFinite { .. })
        ));
    }
    assert_eq!(levels, before);
    assert!(LossSecondMoment::new(0, 10, 0.0).is_err());
    assert!(LossSecondMoment::new(3, 0, 0.0).is_err());
    assert!(LossSecondMoment::new(3, 10, 1.5).is_err());
    assert!(matches!(
        LossSecondMoment::new(usize::MAX, 2, 0.0),
        Err(Error::Count {
            name: "history",
            ..
        })
    ));
}

#[test]
fn labels_are_dropped_at_the_rate_asked_for() {
    let uniforms = stratified(1000);
    let dropped = drop_labels(&vec![1; 1000], &0, 0.1, &uniforms).unwrap();
    assert_eq!(dropped.iter().filter(|&&label| label == 0).count(), 100);
    assert_eq!(drop_labels(&[1, 2], &0, 0.0, &[0.0, 0.5]).unwrap(), [1, 2]);
    assert_eq!(
        drop_labels(&[1, 2], &0, 1.0, &[0.0, 0.999]).unwrap(),
        [0, 0]
    );
    assert!(matches!(
        drop_labels(&[1], &0, 1.1, &[0.0]),
        Err(Error::Outside { .. })
    ));
    assert!(matches!(
        drop_labels(&[1], &0, 0.1, &[]),
        Err(Error::Length { .. })
    ));
}

#[test]
fn an_offset_moves_the_mean_of_a_channel() {
    let offset = OffsetNoise::new(0.1).unwrap();
    assert_eq!(OffsetNoise::new(0.0).unwrap().add(0.3, 5.0), 0.3);
    assert!((offset.add(0.3, -1.0) - 0.2).abs() < 1e-15);
    // Signs of equal odds have variance 1: four noises and one offset, all cases counted.
    let (mut variance, mut of_mean) = (0.0, 0.0);
    for case in 0..32_u32 {
        let sign = |bit: u32| if case >> bit & 1 == 0 { 1.0 } else { -1.0 };
        let values: Vec<f64> = (0..4).map(|bit| offset.add(sign(bit), sign(4))).collect();
        variance += values[0].powi(2) / 32.0;
        of_mean += (values.iter().sum::<f64>() / 4.0).powi(2) / 32.0;
    }
    assert!((variance - offset.variance()).abs() < 1e-14);
    assert!((of_mean - offset.variance_of_mean(4)).abs() < 1e-14);
    assert!(OffsetNoise::new(-0.1).is_err());
}
