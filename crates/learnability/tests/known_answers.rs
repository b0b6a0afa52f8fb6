//! Indices with answers known in closed form or computed independently.

use learnability::index::{
    atkinson, dynamic_range, effective_number, floor, floor_quantile, gini, jain, level_aware,
    participation_ratio, silent_fraction, theil, theil_decomposition,
};
use learnability::silence::{absorbed_fraction, is_silent, would_absorb};

/// `a` to within one unit of the last printed digit of the answers below.
#[track_caller]
fn assert_near(a: Option<f64>, b: f64, tolerance: f64) {
    let a = a.expect("the index is defined");
    assert!((a - b).abs() <= tolerance, "{a} is not {b} ± {tolerance}");
}

fn geometric(ratio: f64, n: i32) -> Vec<f64> {
    (0..n).map(|i| ratio.powi(i)).collect()
}

#[test]
fn one_unit_has_everything() {
    let u = [1.0, 0.0, 0.0, 0.0];
    assert_eq!(jain(&u), Some(0.25));
    assert_eq!(participation_ratio(&u), Some(1.0));
    assert_eq!(gini(&u), Some(0.75));
    assert_near(theil(&u), 4f64.ln(), 1e-15);
    assert_eq!(atkinson(&u, 1.0), Some(1.0));
    assert_eq!(atkinson(&u, 2.0), Some(1.0));
    assert_eq!(effective_number(&u), Some(1.0));
    assert_eq!(floor(&u), Some(0.0));
    assert_eq!(level_aware(&u, 1.0), Some(1.0 / 16.0));
}

#[test]
fn half_of_the_units_share_equally() {
    let u = [1.0, 1.0, 0.0, 0.0];
    assert_eq!(jain(&u), Some(0.5));
    assert_eq!(gini(&u), Some(0.5));
    assert_near(theil(&u), 2f64.ln(), 1e-15);
    assert_eq!(level_aware(&u, 1.0), Some(0.25));
}

#[test]
fn equal_and_vanished() {
    for eps in [1e-3, 1e-12, 1e-300] {
        let u = [eps; 4];
        assert_eq!(jain(&u), Some(1.0));
        assert_eq!(gini(&u), Some(0.0));
        assert_eq!(theil(&u), Some(0.0));
        assert_eq!(level_aware(&u, 1.0), Some(eps));
    }
}

#[test]
fn nothing_is_never_fair() {
    let u = [0.0; 4];
    assert_eq!(jain(&u), None);
    assert_eq!(effective_number(&u), None);
    assert_eq!(gini(&u), None);
    assert_eq!(theil(&u), None);
    assert_eq!(theil_decomposition(&u, &[0, 0, 1, 1]), None);
    assert_eq!(atkinson(&u, 0.5), None);
    assert_eq!(participation_ratio(&u), None);
    assert_eq!(floor(&u), None);
    assert_eq!(floor_quantile(&u, 0.05), None);
    assert_eq!(dynamic_range(&u), None);
    assert_eq!(level_aware(&u, 1.0), Some(0.0));
}

#[test]
fn four_three_two_one() {
    let u = [4.0, 3.0, 2.0, 1.0];
    assert_near(jain(&u), 100.0 / 120.0, 1e-15);
    assert_near(participation_ratio(&u), 100.0 / 30.0, 1e-14);
    assert_near(gini(&u), 0.25, 1e-15);
    assert_near(theil(&u), 0.1064401, 5e-8);
    assert_near(atkinson(&u, 1.0), 0.1146545, 5e-8);
    assert_near(effective_number(&u), 3.5961155, 5e-8);
    assert_near(floor(&u), 0.4, 1e-15);
    assert_near(floor_quantile(&u, 0.0), 0.4, 1e-15);
    assert_near(floor_quantile(&u, 0.05), 1.15 / 2.5, 1e-15); // numpy.quantile([4, 3, 2, 1], 0.05) is 1.15
    assert_near(floor_quantile(&u, 0.5), 1.0, 1e-15);

    let halves = theil_decomposition(&[1.0, 1.0, 0.0, 0.0], &[0, 0, 1, 1]).unwrap();
    assert_eq!(halves.within, 0.0); // one group has all, the other nothing, and each shares it equally
    assert_near(Some(halves.between), 2f64.ln(), 1e-15);
    let parts = theil_decomposition(&u, &[7, 7, 3, 3]).unwrap();
    assert_near(Some(parts.within), 0.0241573, 5e-8);
    assert_near(Some(parts.between), 0.0822829, 5e-8);
    assert_near(theil(&u), parts.within + parts.between, 1e-15);
}

#[test]
fn geometric_access() {
    for (ratio, n) in [(0.5, 8), (0.5, 32), (0.9, 32), (6f64.powf(-0.5), 32)] {
        let (m, r2) = (f64::from(n), ratio * ratio);
        let closed = (1.0 - ratio.powi(n)).powi(2) * (1.0 - r2)
            / (m * (1.0 - ratio).powi(2) * (1.0 - r2.powi(n)));
        assert_near(jain(&geometric(ratio, n)), closed, 1e-14);
        let decades = 0.8 * (m - 1.0) * ratio.log10().abs();
        assert_near(dynamic_range(&geometric(ratio, n)), decades, 1e-12);
    }
    assert_near(jain(&geometric(0.5, 8)), 0.3720817, 5e-8);

    let half = geometric(0.5, 32);
    assert_near(jain(&half), 0.09375, 1e-9);
    assert_near(effective_number(&half), 4.0, 5e-5);
    assert_near(theil(&half), 2.0794415, 5e-8);
    assert_near(gini(&half), 0.90625, 1e-7);

    let gentle = geometric(0.9, 32);
    assert_near(jain(&gentle), 0.5543286, 5e-8);
    assert_near(gini(&gentle), 0.4773656, 5e-8);

    // The gradient of a plain network under PyTorch's default initialisation: a factor of √6 per layer.
    let plain = geometric(6f64.powf(-0.5), 32);
    assert_near(jain(&plain), 0.0743686, 5e-8);
    assert_near(floor(&plain), 1.6e-11, 5e-13);
}

#[test]
fn atkinson_over_its_parameter() {
    // Below 1 a unit with nothing does not decide it: 1 − (½ · √1)² / ½.
    assert_near(atkinson(&[1.0, 0.0], 0.5), 0.5, 1e-15);
    let u = [4.0, 3.0, 2.0, 1.0];
    assert_eq!(atkinson(&u, 0.0), Some(0.0));
    assert_near(atkinson(&u, 2.0), 1.0 - (4.0 / (25.0 / 12.0)) / 2.5, 1e-15); // one minus harmonic over arithmetic mean
    // Smooth through 1, and towards the floor without overflow.
    assert_near(atkinson(&u, 1.0 + 1e-9), atkinson(&u, 1.0).unwrap(), 1e-9);
    assert_near(
        atkinson(&[1e-3, 1.0], 1e4),
        1.0 - floor(&[1e-3, 1.0]).unwrap(),
        1e-6,
    );
    assert_eq!(atkinson(&u, -0.5), None);
    assert_eq!(atkinson(&u, f64::NAN), None);
}

#[test]
fn undefined_inputs_give_none() {
    for u in [
        &[][..],
        &[1.0, -1.0],
        &[1.0, f64::NAN],
        &[1.0, f64::INFINITY],
    ] {
        assert_eq!(jain(u), None);
        assert_eq!(gini(u), None);
        assert_eq!(theil(u), None);
        assert_eq!(atkinson(u, 1.0), None);
        assert_eq!(effective_number(u), None);
        assert_eq!(floor(u), None);
        assert_eq!(dynamic_range(u), None);
        assert_eq!(level_aware(u, 1.0), None);
    }
    for reference in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(level_aware(&[1.0], reference), None);
    }
    for q in [-0.1, 1.0, f64::NAN] {
        assert_eq!(floor_quantile(&[1.0], q), None);
    }
    assert_eq!(silent_fraction(&[]), None);
}

#[test]
fn dynamic_range_sees_zeros_from_a_tenth_on() {
    let mut u = vec![1.0; 21];
    u[20] = 0.0;
    assert_eq!(dynamic_range(&u), Some(0.0));
    u[..3].fill(0.0);
    assert_eq!(dynamic_range(&u), None);
}

#[test]
fn level_aware_is_not_monotone() {
    let mut u = [0.1; 9];
    u[0] = 0.5;
    let before = level_aware(&u, 1.0).unwrap();
    u[0] = 1.0;
    assert!(level_aware(&u, 1.0).unwrap() < before);
}

#[test]
fn theil_survives_units_that_have_almost_nothing() {
    assert_near(theil(&[1.0, 1e-300, 1e-30, 1e-17]), 4f64.ln(), 1e-14);
}

#[test]
fn absorption_is_half_a_spacing_with_ties_to_even() {
    let two = 2f32;
    assert!(would_absorb(1.0, two.powi(-24)));
    assert!(!would_absorb(1.0, two.powi(-24) * 1.0001));
    assert!(would_absorb(1.0, -two.powi(-25))); // below a power of two the spacing is half as wide
    assert!(!would_absorb(1.0, -two.powi(-25) * 1.0001));
    assert!(!would_absorb(1.0 + two.powi(-23), two.powi(-24))); // the even neighbour is above
    assert!(!would_absorb(0.0, f32::from_bits(1)));
    assert!(would_absorb(0.0, 0.0));
}

#[test]
fn absorbed_fraction_counts_what_stayed() {
    let before = [1.0_f32, -3.0, 0.0, f32::NAN];
    assert_eq!(absorbed_fraction(&before, &before), 0.75);
    assert_eq!(absorbed_fraction(&before, &[1.0, -2.0, -0.0, 0.0]), 0.5);
    // One spacing is an update, however small.
    let moved = [f32::from_bits(1.0_f32.to_bits() + 1), -3.0];
    assert_eq!(absorbed_fraction(&before[..2], &moved), 0.5);
    assert!(!is_silent(0.99));
    assert!(is_silent(0.991));
}

#[test]
#[should_panic(expected = "differ in length")]
fn absorbed_fraction_refuses_another_unit() {
    absorbed_fraction(&[1.0], &[1.0, 2.0]);
}
