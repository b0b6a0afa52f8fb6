//! Predictions of one kind as predictions of another: all pairs, at all levels.

mod rows;

use ndarray::array;
use noise_schedule::{Kernel, Rectified, VpLinear};
use proptest::prelude::*;
use rows::all_rows;
use score_objective::{
    CleanSample, Consistency, Conversion, Direction, Edm, Epsilon, Error, FlowVelocity,
    LatentConsistency, Mixed, PathVelocity, Preconditioner, Prediction, PreviousMean, Score,
    Velocity, label,
    label::{IddpmIndex, Label, ScheduleTime},
};

fn kernels() -> impl Strategy<Value = Kernel> {
    (0.05..1.5_f64, -5.0..4.0_f64)
        .prop_map(|(alpha, ln_sigma)| Kernel::new(alpha, ln_sigma.exp()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_pairs_convert_and_invert(
        k in kernels(), s in 0.1..5.0_f64, x0 in -3.0..3.0_f64, noise in -3.0..3.0_f64,
    ) {
        let x = k.alpha() * x0 + k.sigma() * noise;
        let asked = |row: &dyn Preconditioner| {
            let (p, q) = row.target_at(k);
            p * x0 + q * noise
        };
        for (from_name, from) in all_rows(s) {
            let given = Prediction::new(&*from, asked(&*from));
            for (to_name, to) in all_rows(s) {
                let c = Conversion::between(&*from, &*to, k).unwrap();
                let size = (c.point * x).abs() + (c.prediction * given.value()).abs();
                let converted = given.to(&*to, &x, k).unwrap();
                let error = (converted.value() - asked(&*to)).abs();
                prop_assert!(error <= 1e-10 * (1.0 + size), "{from_name} -> {to_name}: {error}");
                let back = Conversion::between(&*to, &*from, k).unwrap();
                let round = back.point + back.prediction * c.point;
                let lost = back.point.abs() + (back.prediction * c.point).abs();
                prop_assert!(round.abs() <= 1e-10 * lost, "{from_name} <-> {to_name}");
                prop_assert!(
                    (back.prediction * c.prediction - 1.0).abs() < 1e-10,
                    "{from_name} <-> {to_name}"
                );
                // Both rows make the same denoiser of the same statement.
                let denoised = |row: &dyn Preconditioner, f: f64| {
                    let c = row.at(k);
                    (c.skip * x + c.out * f, (c.skip * x).abs() + (c.out * f).abs())
                };
                let (a, scale) = denoised(&*from, *given.value());
                let (b, other) = denoised(&*to, *converted.value());
                prop_assert!((a - b).abs() <= 1e-9 * (1.0 + scale + other), "{from_name} -> {to_name}");
            }
        }
    }

    #[test]
    fn mixed_answers_agree_with_either(k in kernels(), share in 0.0..1.0_f64, x0 in -3.0..3.0_f64, noise in -3.0..3.0_f64) {
        let x = k.alpha() * x0 + k.sigma() * noise;
        for mixed in [Mixed::salimans2022(k), Mixed::with_noise_share(k, share).unwrap()] {
            let denoised = mixed.point * x + mixed.noise * noise + mixed.clean * x0;
            let size = (mixed.point * x).abs() + (mixed.noise * noise).abs();
            prop_assert!((denoised - x0).abs() <= 1e-13 * (1.0 + size + x0.abs()));
        }
        let s = k.alpha().powi(2) / (k.alpha().powi(2) + k.sigma().powi(2));
        let (a, b) = (Mixed::salimans2022(k), Mixed::with_noise_share(k, s).unwrap());
        prop_assert!((a.point - b.point).abs() <= 1e-12 * a.point.abs().max(1.0));
        prop_assert!((a.noise - b.noise).abs() <= 1e-12);
    }
}

#[test]
fn what_a_level_does_not_determine_is_refused() {
    let (clean, noise) = (Kernel::CLEAN, Kernel::new(0.0, 2.0).unwrap());
    let between = |from: &dyn Preconditioner, to: &dyn Preconditioner, k| {
        Conversion::between(from, to, k).map(|c| (c.point, c.prediction))
    };
    let (epsilon, x0, v) = (Epsilon::unit(), CleanSample::unit(), Velocity::unit());
    // Pure noise: x says all of the noise and nothing of the data.
    assert!(matches!(
        between(&epsilon, &x0, noise),
        Err(Error::Undetermined { alpha: 0.0, .. })
    ));
    assert_eq!(between(&x0, &epsilon, noise), Ok((0.5, 0.0)));
    assert_eq!(between(&epsilon, &Score::unit(), noise), Ok((0.0, -0.5)));
    assert_eq!(between(&Score::unit(), &epsilon, noise), Ok((0.0, -2.0)));
    assert_eq!(between(&v, &x0, noise), Ok((0.0, -1.0)));
    assert_eq!(between(&v, &epsilon, noise), Ok((0.5, 0.0)));
    // No noise: the other way round.
    assert!(between(&x0, &epsilon, clean).is_err());
    assert!(between(&x0, &v, clean).is_err());
    assert!(between(&v, &Score::unit(), clean).is_err());
    assert_eq!(between(&epsilon, &x0, clean), Ok((1.0, 0.0)));
    assert_eq!(between(&v, &epsilon, clean), Ok((0.0, 1.0)));
    assert_eq!(between(&epsilon, &epsilon, noise), Ok((0.0, 1.0)));
}

#[test]
fn rows_for_both_ends_are_finite_there() {
    let consistency = Consistency::song2023();
    let path = PathVelocity::new(VpLinear::song2021(), Direction::ToData);
    let rows: [&dyn Preconditioner; 6] = [
        &Velocity::unit(),
        &CleanSample::unit(),
        &Edm::unit(),
        &FlowVelocity::new(Direction::ToNoise),
        &PathVelocity::new(Rectified, Direction::ToNoise),
        &consistency,
    ];
    for k in [Kernel::CLEAN, Kernel::new(0.0, 1.0).unwrap()] {
        for (index, row) in rows.iter().enumerate() {
            let c = row.at(k);
            let all = [c.skip, c.out, c.input, c.label, row.residual_signal(k)];
            assert!(all.iter().all(|v| v.is_finite()), "{index} {k:?} {c:?}");
            assert!(
                (1.0 - k.alpha() * c.skip - row.residual_signal(k)).abs() < 1e-15,
                "{index}"
            );
        }
    }
    // The rate of sigma is infinite here.
    let c = path.at(Kernel::CLEAN);
    assert_eq!((c.skip, c.out.abs(), c.label), (1.0, 0.0, 1.0));
    assert_eq!(Epsilon::unit().target_at(Kernel::CLEAN), (0.0, 1.0));
    assert_eq!(Edm::unit().target_at(Kernel::CLEAN), (0.0, -1.0));
}

#[test]
fn arrays_convert_as_numbers_do() {
    let k = Kernel::new(0.6, 0.8).unwrap();
    let (x0, noise) = (array![0.7, -0.2], array![-1.3, 0.4]);
    let x = &x0 * 0.6 + &noise * 0.8;
    let flow = Prediction::new(FlowVelocity::new(Direction::ToData), &x0 - &noise);
    let found = flow.to(CleanSample::unit(), &x, k).unwrap().into_value();
    assert!((found - x0).iter().all(|d| d.abs() < 1e-14));
}

#[test]
fn a_path_velocity_is_the_derivative_of_the_path() {
    // Along fixed x0 and noise, u = dx/dt, and time runs with it.
    use noise_schedule::NoiseSchedule;
    let schedule = VpLinear::song2021();
    let (x0, noise, t, h) = (0.7, -1.3, 0.4, 1e-5);
    let x = |t: f64| schedule.kernel(t).alpha() * x0 + schedule.kernel(t).sigma() * noise;
    let slope = (x(t + h) - x(t - h)) / (2.0 * h);
    for (direction, sign, time) in [
        (Direction::ToNoise, 1.0, t),
        (Direction::ToData, -1.0, 1.0 - t),
    ] {
        let row = PathVelocity::new(schedule, direction);
        let (p, q) = row.target_at(schedule.kernel(t));
        assert!((p * x0 + q * noise - sign * slope).abs() < 1e-8);
        assert!((row.at(schedule.kernel(t)).label - time).abs() < 1e-12);
    }
}

#[test]
fn the_last_mean_is_the_clean_sample() {
    let row = PreviousMean::new(1.0, |_| Kernel::CLEAN).unwrap();
    let c = row.at(Kernel::new(0.6, 0.8).unwrap());
    assert_eq!((c.skip, c.out), (0.0, 1.0));
}

#[test]
fn consistency_functions_meet_their_boundary() {
    let row = Consistency::song2023();
    for sigma in [0.0, 0.001, 0.002] {
        let c = row.at(Kernel::variance_exploding(sigma).unwrap());
        assert_eq!((c.skip, c.out), (1.0, 0.0), "{sigma}");
    }
    // Values of the authors' formula as diffusers 0.42.1 evaluates it.
    for (sigma, skip, out, label) in [
        (
            0.5,
            0.502_003_999_967_871_7,
            0.352_139_177_030_900_7,
            -173.286_795_139_986_3,
        ),
        (
            80.0,
            3.906_292_722_635_22e-5,
            0.499_977_734_905_226_46,
            1_095.506_658_668_470_2,
        ),
    ] {
        let c = row.at(Kernel::variance_exploding(sigma).unwrap());
        assert!((c.skip / skip - 1.0).abs() < 1e-11, "{} {skip}", c.skip);
        assert!((c.out - out).abs() < 1e-14);
        assert!((c.label - label).abs() < 1e-9);
    }
    let latent = LatentConsistency::luo2023();
    let start = latent.at(0.0);
    assert_eq!((start.skip, start.out), (1.0, 0.0));
    let at = latent.at(0.03);
    assert!((at.skip - 0.25 / 0.34).abs() < 1e-15);
    assert!((at.out - 0.3 / 0.34_f64.sqrt()).abs() < 1e-15);
    // Over an epsilon network it is one affine map again.
    let k = Kernel::new(0.6, 0.8).unwrap();
    let (x, f) = (0.3, -0.7);
    let base = Epsilon::unit().at(k);
    let over = at.over(base);
    let expected = at.skip * x + at.out * (base.skip * x + base.out * f);
    assert!((over.skip * x + over.out * f - expected).abs() < 1e-15);
}

#[test]
fn labels_are_those_of_their_sources() {
    // Labels of the networks of Karras et al. 2022 at these noise levels, from their code in single precision.
    let vp = ScheduleTime::karras2022_vp();
    let iddpm = IddpmIndex::karras2022();
    for (sigma, time, index, half) in [
        (0.02, 3.061_281, 6.0, -4.605_170),
        (0.5, 144.669_11, 289.0, -1.386_294),
        (1.0, 258.701_32, 495.0, -std::f64::consts::LN_2),
        (7.3, 627.960_08, 912.0, 1.294_727),
        (60.0, 901.286_56, 988.0, 3.401_197),
    ] {
        let k = Kernel::variance_exploding(sigma).unwrap();
        assert!((vp.label(k) - time).abs() < 3e-4 * time, "{}", vp.label(k));
        assert_eq!(iddpm.label(k), index);
        assert!((label::log_half(k) - half).abs() < 1e-6);
    }
    assert_eq!(iddpm.levels().len(), 1000);
    assert!(iddpm.levels().windows(2).all(|pair| pair[0] < pair[1]));
    assert!((iddpm.levels()[999] / 20_291.17 - 1.0).abs() < 1e-4);
    assert_eq!(iddpm.label(Kernel::CLEAN), 0.0);
    assert_eq!(iddpm.label(Kernel::new(0.0, 1.0).unwrap()), 999.0);
    let k = Kernel::new(1.0, 1.0).unwrap();
    assert!((label::angle(k) - 0.5).abs() < 1e-15);
    assert_eq!(label::angle(Kernel::CLEAN), 0.0);
}

#[test]
fn parameters_are_checked() {
    assert!(Consistency::new(-0.1, 0.5).is_err());
    assert!(Consistency::new(0.002, 0.0).is_err());
    assert!(LatentConsistency::new(0.5, f64::NAN).is_err());
    assert!(PreviousMean::new(0.0, |k: Kernel| k).is_err());
    let noise = Kernel::new(0.0, 1.0).unwrap();
    assert!(matches!(
        Mixed::with_noise_share(noise, 1.5),
        Err(Error::Outside { .. })
    ));
    assert!(matches!(
        Mixed::with_noise_share(noise, 0.5),
        Err(Error::Undetermined { .. })
    ));
    assert!(Mixed::with_noise_share(noise, 0.0).is_ok());
    let mixed = Mixed::salimans2022(noise);
    assert_eq!(
        (mixed.point, mixed.noise.abs(), mixed.clean),
        (0.0, 0.0, 1.0)
    );
}
