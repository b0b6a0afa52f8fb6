//! Laws that every index of inequality owes its users.

use learnability::index::{
    atkinson, dynamic_range, effective_number, floor, floor_quantile, gini, jain, level_aware,
    participation_ratio, theil, theil_decomposition,
};
use learnability::silence::would_absorb;
use proptest::prelude::*;

const REFERENCE: f64 = 2.0;

/// Every index of shares, and the level-aware one, by name.
fn all(u: &[f64]) -> Vec<(&'static str, f64)> {
    vec![
        ("jain", jain(u).unwrap()),
        ("participation_ratio", participation_ratio(u).unwrap()),
        ("effective_number", effective_number(u).unwrap()),
        ("gini", gini(u).unwrap()),
        ("theil", theil(u).unwrap()),
        ("atkinson 0.5", atkinson(u, 0.5).unwrap()),
        ("atkinson 1", atkinson(u, 1.0).unwrap()),
        ("atkinson 2", atkinson(u, 2.0).unwrap()),
        ("floor", floor(u).unwrap()),
        ("floor_quantile", floor_quantile(u, 0.3).unwrap()),
        ("dynamic_range", dynamic_range(u).unwrap()),
        ("level_aware", level_aware(u, REFERENCE).unwrap()),
    ]
}

fn access() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-3.0..1.0f64).prop_map(|e| 10f64.powf(e)), 2..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn within_its_range(u in prop::collection::vec(prop_oneof![Just(0.0), 0.0..10.0f64], 1..20)) {
        prop_assume!(u.iter().any(|x| 0.0 < *x));
        let (n, slack) = (u.len() as f64, 1e-12);
        let holds = |x: Option<f64>, low: f64, high: f64| {
            x.is_some_and(|x| low - slack <= x && x <= high + slack)
        };
        prop_assert!(holds(jain(&u), 1.0 / n, 1.0));
        prop_assert!(holds(effective_number(&u), 1.0, n));
        prop_assert!(holds(gini(&u), 0.0, (n - 1.0) / n));
        prop_assert!(holds(theil(&u), 0.0, n.ln()));
        for epsilon in [0.5, 1.0, 2.0] {
            prop_assert!(holds(atkinson(&u, epsilon), 0.0, 1.0));
        }
        prop_assert!(holds(participation_ratio(&u), 1.0, n));
        prop_assert!(holds(floor(&u), 0.0, 1.0));
        for q in [0.05, 0.5, 0.9] {
            // With interpolation the bound holds up to the last order statistic.
            let above = (n - 1.0 - (q * (n - 1.0)).floor()).max(1.0) / n;
            prop_assert!(holds(floor_quantile(&u, q), 0.0, 1.0 / above));
        }
        prop_assert!(holds(level_aware(&u, REFERENCE), 0.0, 1.0));
    }

    #[test]
    fn order_does_not_matter((u, shuffled) in access().prop_flat_map(|u| (Just(u.clone()), Just(u).prop_shuffle()))) {
        for ((name, a), (_, b)) in all(&u).into_iter().zip(all(&shuffled)) {
            prop_assert!((a - b).abs() < 1e-12 * (1.0 + a.abs()), "{name}: {a} {b}");
        }
    }

    #[test]
    fn replication_leaves_all_but_the_effective_number(u in access()) {
        for ((name, a), (_, b)) in all(&u).into_iter().zip(all(&u.repeat(2))) {
            let expected = match name {
                "effective_number" | "participation_ratio" => 2.0 * a,
                "dynamic_range" | "floor_quantile" => continue, // quantiles are interpolated
                _ => a,
            };
            prop_assert!((expected - b).abs() < 1e-12 * (1.0 + a), "{name}: {a} {b}");
        }
    }

    #[test]
    fn shares_ignore_the_scale(u in access(), exponent in -200i32..200) {
        let scaled: Vec<f64> = u.iter().map(|x| x * 10f64.powi(exponent)).collect();
        for ((name, a), (_, b)) in all(&u).into_iter().zip(all(&scaled)) {
            if name != "level_aware" {
                prop_assert!((a - b).abs() < 1e-11 * (1.0 + a), "{name}: {a} {b}");
            }
        }
    }

    /// Pigou–Dalton: to give from a unit that has more to one that has less, without changing places, is fairer.
    #[test]
    fn a_transfer_downwards_is_fairer(u in access(), from: prop::sample::Index, to: prop::sample::Index, part in 0.05..0.5f64) {
        let (from, to) = (from.index(u.len()), to.index(u.len()));
        prop_assume!(1e-3 < u[from] - u[to]);
        let mut fairer = u.clone();
        let amount = part * (u[from] - u[to]);
        fairer[from] -= amount;
        fairer[to] += amount;

        prop_assert!(jain(&u) < jain(&fairer));
        prop_assert!(effective_number(&u) < effective_number(&fairer));
        prop_assert!(gini(&fairer) < gini(&u));
        prop_assert!(theil(&fairer) < theil(&u));
        for epsilon in [0.5, 1.0, 2.0] {
            prop_assert!(atkinson(&fairer, epsilon) < atkinson(&u, epsilon));
        }
        // Λ agrees as long as nobody is above the reference.
        prop_assert!(level_aware(&u, 10.0) < level_aware(&fairer, 10.0));
    }

    #[test]
    fn theil_is_the_sum_of_its_parts(units in prop::collection::vec((prop_oneof![Just(0.0), 0.0..10.0f64], 0usize..4), 1..30)) {
        let (u, groups): (Vec<f64>, Vec<usize>) = units.into_iter().unzip();
        prop_assume!(u.iter().any(|x| 0.0 < *x));
        let parts = theil_decomposition(&u, &groups).unwrap();
        prop_assert!(0.0 <= parts.within && 0.0 <= parts.between);
        prop_assert!((parts.within + parts.between - theil(&u).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn absorption_is_relative_to_the_weight(w in prop_oneof![-1e30f32..-1e-30, 1e-30f32..1e30], sign in prop_oneof![Just(-1f32), Just(1f32)]) {
        let unit = sign * w * 2f32.powi(-25);
        prop_assert!(would_absorb(w, 0.999 * unit));
        prop_assert!(!would_absorb(w, 2.001 * unit));
    }
}
