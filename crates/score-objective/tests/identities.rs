//! Identities between preconditioners, weightings and scores.

mod rows;

use noise_schedule::Kernel;
use proptest::prelude::*;
use rows::{all_rows, unit_variance_rows};
use score_objective::{
    CleanSample, Edm, EdmVelocity, EdmWeight, Epsilon, Error, MinSnr, Preconditioner, Score, Snr,
    SnrPlusOne, Uniform, Velocity, Weighting, score_coefficients,
};

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

fn kernels() -> impl Strategy<Value = Kernel> {
    (0.05..1.5_f64, -5.0..4.0_f64)
        .prop_map(|(alpha, ln_sigma)| Kernel::new(alpha, ln_sigma.exp()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_target_denoises_perfectly(
        k in kernels(), s in 0.1..5.0_f64, x0 in -3.0..3.0_f64, noise in -3.0..3.0_f64,
    ) {
        let x = k.alpha() * x0 + k.sigma() * noise;
        for (name, row) in all_rows(s) {
            let c = row.at(k);
            let (p, q) = row.target_at(k);
            let target = p * x0 + q * noise;
            prop_assert!(close(c.skip * x + c.out * target, x0, 1e-10), "{name}");
            // And it is what inverting the affine map gives.
            let scale = (x0.abs() + (c.skip * x).abs()) / c.out.abs();
            prop_assert!((target - (x0 - c.skip * x) / c.out).abs() < 1e-13 * (1.0 + scale), "{name}");
        }
    }

    #[test]
    fn scores_agree_with_the_denoiser(
        k in kernels(), s in 0.1..5.0_f64, x in -3.0..3.0_f64, f in -3.0..3.0_f64,
    ) {
        for (name, row) in all_rows(s) {
            let c = row.at(k);
            let variance = k.sigma().powi(2);
            let naive = (k.alpha() * (c.skip * x + c.out * f) - x) / variance;
            let tolerance = 1e-14 * (1.0 + x.abs() + (k.alpha() * c.out * f).abs()) / variance;
            for (a, b) in [row.score_at(k), score_coefficients(k, c)] {
                prop_assert!((a * x + b * f - naive).abs() <= tolerance + 1e-13, "{name}");
            }
        }
    }

    #[test]
    fn predictions_have_their_standard_meaning(
        k in kernels(), x0 in -3.0..3.0_f64, noise in -3.0..3.0_f64,
    ) {
        let target = |row: &dyn Preconditioner| {
            let (p, q) = row.target_at(k);
            p * x0 + q * noise
        };
        prop_assert!(close(target(&Epsilon::unit()), noise, 1e-13));
        prop_assert!(close(target(&CleanSample::unit()), x0, 1e-13));
        let norm = k.alpha().hypot(k.sigma());
        let v = (k.alpha() * noise - k.sigma() * x0) / norm;
        prop_assert!(close(target(&Velocity::unit()), v, 1e-12));
        prop_assert!(close(target(&Score::unit()), -noise / k.sigma(), 1e-12));
        // With unit data EDM's output is -v.
        prop_assert!(close(target(&Edm::unit()), -v, 1e-12));
        prop_assert!(close(target(&EdmVelocity::unit()), v, 1e-12));
    }

    #[test]
    fn weights_agree_across_parameterizations(k in kernels(), s in 0.1..5.0_f64) {
        let on_output = |w: &dyn Weighting, row: &dyn Preconditioner| {
            w.weight(k) * row.at(k).out.powi(2)
        };
        prop_assert!(close(on_output(&Uniform, &CleanSample::unit()), 1.0, 1e-14));
        prop_assert!(close(on_output(&Snr, &Epsilon::unit()), 1.0, 1e-13));
        prop_assert!(close(on_output(&SnrPlusOne, &Velocity::unit()), 1.0, 1e-13));
        let (weight, row) = (EdmWeight::new(s).unwrap(), Edm::new(s).unwrap());
        prop_assert!(close(on_output(&weight, &row), 1.0, 1e-13));
        prop_assert!(MinSnr::new(5.0).unwrap().weight(k) <= 5.0_f64.min(k.snr()));
    }

    #[test]
    fn edm_without_a_network_has_weighted_loss_one(k in kernels(), s in 0.1..5.0_f64) {
        // E(skip x - x0)² for independent x0 of variance s² and noise of variance 1.
        let c = Edm::new(s).unwrap().at(k);
        let bias = 1.0 - k.alpha() * c.skip;
        let error = (bias * s).powi(2) + (c.skip * k.sigma()).powi(2);
        prop_assert!(close(EdmWeight::new(s).unwrap().weight(k) * error, 1.0, 1e-10));
    }

    #[test]
    fn rows_ask_the_same_of_a_rescaled_kernel(k in kernels(), r in 0.1..10.0_f64, s in 0.1..5.0_f64) {
        let rescaled = Kernel::new(r * k.alpha(), r * k.sigma()).unwrap();
        for (name, row) in all_rows(s) {
            let (a, b) = (row.at(k), row.at(rescaled));
            prop_assert!(close(a.skip, b.skip * r, 1e-11), "{name}");
            let unit = match name {
                // A score is per x, and a sample is an x.
                "score" => r,
                "previous mean" => 1.0 / r,
                _ => 1.0,
            };
            prop_assert!(close(a.out * unit, b.out, 1e-11), "{name}");
            prop_assert!(close(a.input, b.input * r, 1e-11), "{name}");
            prop_assert!(close(a.label, b.label, 1e-11), "{name}");
        }
    }
}

#[test]
fn the_network_sees_unit_variance_and_the_log_of_the_noise() {
    let k = Kernel::new(0.6, 0.8).unwrap();
    for (name, row) in unit_variance_rows(0.5) {
        let c = row.at(k);
        assert!(
            (c.input.powi(2) * (0.09 + 0.64) - 1.0).abs() < 1e-14,
            "{name}"
        );
        assert!(
            (c.label - (0.8_f64 / 0.6).ln() / 4.0).abs() < 1e-15,
            "{name}"
        );
    }
}

#[test]
fn edm_matches_the_table_of_karras() {
    let (sigma, s) = (2.0_f64, 0.5_f64);
    let c = Edm::new(s)
        .unwrap()
        .at(Kernel::variance_exploding(sigma).unwrap());
    let v = sigma * sigma + s * s;
    assert!((c.skip - s * s / v).abs() < 1e-15);
    assert!((c.out - sigma * s / v.sqrt()).abs() < 1e-15);
    let weight = EdmWeight::new(s).unwrap();
    let kernel = Kernel::variance_exploding(sigma).unwrap();
    assert!((weight.weight(kernel) - v / (sigma * s).powi(2)).abs() < 1e-14);
}

#[test]
fn epsilon_has_no_share_of_x_in_its_score() {
    for alpha in [1.0, 0.1, 0.7, 0.3, 1.0 / 49.0] {
        let k = Kernel::new(alpha, 1e-4).unwrap();
        assert_eq!(Epsilon::unit().score_at(k).0, 0.0);
        assert_eq!(score_coefficients(k, Epsilon::unit().at(k)).0, 0.0);
    }
}

#[test]
fn scores_keep_their_digits_at_low_noise() {
    let k = Kernel::variance_exploding(1e-9).unwrap();
    // a = -1/(sigma² + s²): the naive difference has no correct digit here.
    let (a, _) = Edm::new(0.5).unwrap().score_at(k);
    assert!((a + 4.0).abs() < 1e-14);
    let (naive, _) = score_coefficients(k, Edm::new(0.5).unwrap().at(k));
    assert!(1.0 < (naive + 4.0).abs());
    assert!((Velocity::unit().score_at(k).0 + 1.0).abs() < 1e-14);
}

#[test]
fn the_ends_of_the_scale_have_finite_labels() {
    let pure_noise = Kernel::new(0.0, 1.0).unwrap();
    for (name, row) in unit_variance_rows(1.0) {
        assert!(
            (row.at(Kernel::CLEAN).label + 1e8_f64.ln() / 4.0).abs() < 1e-14,
            "{name}"
        );
        assert!(
            (row.at(pure_noise).label - 1e8_f64.ln() / 4.0).abs() < 1e-14,
            "{name}"
        );
        let clean = row.at(Kernel::CLEAN);
        assert!(clean.skip.is_finite() && clean.out.is_finite() && clean.input.is_finite());
    }
    let c = Velocity::unit().at(pure_noise);
    assert_eq!((c.skip, c.out), (0.0, -1.0));
}

#[test]
fn a_user_row_needs_one_method_and_a_weighting_may_be_a_closure() {
    struct Half;
    impl Preconditioner for Half {
        fn at(&self, k: Kernel) -> score_objective::Coefficients {
            score_objective::Coefficients {
                skip: 0.5,
                out: 2.0,
                input: 1.0,
                label: k.log_snr(),
            }
        }
    }
    let k = Kernel::new(1.0, 0.5).unwrap();
    assert_eq!(Half.score_at(k), (-2.0, 8.0));
    assert_eq!(Half.target_at(k), (0.25, -0.125));
    let weighting: &dyn Weighting = &|k: Kernel| k.sigma();
    assert_eq!(weighting.weight(k), 0.5);
}

#[test]
fn constructors_refuse_what_is_not_positive() {
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            Edm::new(value),
            Err(Error::NotPositive {
                name: "data_std",
                ..
            })
        ));
        assert!(matches!(
            MinSnr::new(value),
            Err(Error::NotPositive { name: "gamma", .. })
        ));
        assert!(EdmWeight::new(value).is_err());
    }
}
