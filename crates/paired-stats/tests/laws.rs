//! Laws that hold for all inputs.

use paired_stats::{
    benjamini_hochberg, clopper_pearson, holm, max_t, paired_t, power_t, sign_flip, skewness, tost,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Relative comparison; the scale is that of the values involved.
fn close(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * scale.max(f64::MIN_POSITIVE)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flipping_all_signs_flips_the_interval(values in vec(-10.0..10.0_f64, 2..12)) {
        let flipped: Vec<f64> = values.iter().map(|v| -v).collect();
        let (a, b) = (paired_t(&values, 0.9).unwrap(), paired_t(&flipped, 0.9).unwrap());
        prop_assert_eq!((a.low, a.estimate, a.high), (-b.high, -b.estimate, -b.low));
        prop_assert_eq!(sign_flip(&values).unwrap(), sign_flip(&flipped).unwrap());
        if 3 <= values.len() {
            prop_assert_eq!(skewness(&values).unwrap(), -skewness(&flipped).unwrap());
        }
    }

    #[test]
    fn the_interval_moves_and_scales_with_the_values(
        values in vec(-10.0..10.0_f64, 2..12), shift in -5.0..5.0_f64, factor in 1e-3..1e3_f64,
    ) {
        let moved: Vec<f64> = values.iter().map(|v| factor * (v + shift)).collect();
        let (a, b) = (paired_t(&values, 0.95).unwrap(), paired_t(&moved, 0.95).unwrap());
        let size = factor * (a.high - a.low + 20.0);
        prop_assert!(close(factor * (a.low + shift), b.low, size));
        prop_assert!(close(factor * (a.high + shift), b.high, size));
    }

    #[test]
    fn more_confidence_is_wider(values in vec(-10.0..10.0_f64, 3..12)) {
        let (a, b) = (paired_t(&values, 0.8).unwrap(), paired_t(&values, 0.99).unwrap());
        prop_assert!(b.low <= a.low && a.high <= b.high && a.contains(a.estimate));
    }

    #[test]
    fn sign_flip_p_lies_above_its_floor_and_ignores_scale_and_order(
        mut values in vec(-10.0..10.0_f64, 1..11), factor in 1e-6..1e6_f64,
    ) {
        let test = sign_flip(&values).unwrap();
        prop_assert!(test.floor <= test.p && test.p <= 1.0);
        values.reverse();
        for v in &mut values { *v *= factor; }
        prop_assert_eq!(sign_flip(&values).unwrap().p, test.p);
    }

    #[test]
    fn max_t_is_at_least_the_raw_p_and_ignores_the_unit_of_each_column(
        columns in (2..9_usize).prop_flat_map(|n| vec(vec(-10.0..10.0_f64, n), 1..5)),
    ) {
        let family = max_t(&columns).unwrap();
        for (column, adjusted) in columns.iter().zip(&family.adjusted_p) {
            let raw = sign_flip(column).unwrap().p;
            prop_assert!(raw <= *adjusted && *adjusted <= 1.0 && family.floor <= *adjusted);
        }
        // Each column has its own unit.
        let scaled: Vec<Vec<f64>> = columns
            .iter()
            .enumerate()
            .map(|(j, c)| c.iter().map(|v| v * 10.0_f64.powi(j as i32)).collect())
            .collect();
        prop_assert_eq!(max_t(&scaled).unwrap().adjusted_p, family.adjusted_p);
    }

    #[test]
    fn adjusted_p_is_monotone_and_at_least_raw(p in vec(0.0..=1.0_f64, 1..12)) {
        for adjusted in [holm(&p), benjamini_hochberg(&p)] {
            for i in 0..p.len() {
                // m · p / m may round below p.
                prop_assert!(p[i] <= adjusted[i] * (1.0 + 1e-15) && adjusted[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[j] < p[i] || adjusted[i] <= adjusted[j]);
                }
            }
        }
        for (strict, lax) in holm(&p).iter().zip(benjamini_hochberg(&p)) {
            prop_assert!(lax <= *strict + 1e-15);
        }
    }

    #[test]
    fn tost_agrees_with_the_interval_at_twice_alpha(
        values in vec(-1.0..1.0_f64, 3..12), delta in 0.01..2.0_f64,
    ) {
        let interval = paired_t(&values, 0.9).unwrap();
        let slack = 1e-9 * delta;
        let inside = -delta < interval.low - slack && interval.high + slack < delta;
        let outside = interval.low + slack < -delta || delta < interval.high - slack;
        let test = tost(&values, delta, 0.05).unwrap();
        prop_assert!(!inside || test.equivalent);
        prop_assert!(!outside || !test.equivalent);
    }

    #[test]
    fn clopper_pearson_is_symmetric_and_holds_the_rate(n in 1..400_u64, share in 0.0..=1.0_f64) {
        let failures = (share * n as f64) as u64;
        let (low, high) = clopper_pearson(failures, n, 0.95).unwrap();
        let rate = failures as f64 / n as f64;
        prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
        let (mirrored_low, mirrored_high) = clopper_pearson(n - failures, n, 0.95).unwrap();
        prop_assert!(close(low, 1.0 - mirrored_high, 1.0) && close(high, 1.0 - mirrored_low, 1.0));
    }

    #[test]
    fn power_rises_with_effect_and_seeds(effect in 0.05..2.0_f64, n in 2..40_usize) {
        let power = power_t(effect, n, 0.05).unwrap();
        prop_assert!((0.05..=1.0 + 1e-9).contains(&power));
        prop_assert!(power <= power_t(effect, n + 1, 0.05).unwrap() + 1e-9);
        prop_assert!(power <= power_t(effect + 0.1, n, 0.05).unwrap() + 1e-9);
        prop_assert!(close(power, power_t(-effect, n, 0.05).unwrap(), 1.0));
    }
}
