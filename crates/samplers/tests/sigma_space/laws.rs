//! Identities between steppers, and what holds at the ends of a walk.

use ndarray::{Array1, array};
use noise_schedule::{Cosine, Grid, Kernel, NoiseSchedule, Path, Rectified, SubVp, VpLinear};
use proptest::prelude::*;

use super::common::{Mixture, streams};
use super::{all, churned, deterministic, distance, grid};
use samplers::{
    AdamsBashforth, Ancestral, Churn, ChurnLevels, Counted, Ddim, Dpm2, Heun, NoiseToSignal,
    Renewed, Rise, RungeKutta, Silent, Stepper, Tableau, Time, sample, walk,
};

fn one_step(
    mut stepper: impl Stepper<Array1<f64>>,
    x: f64,
    from: Kernel,
    to: Kernel,
    z: f64,
) -> f64 {
    let mixture = Mixture::two_modes();
    let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
    stepper.step(&mut mixture.model(), &mut noise, &array![x], from, to)[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn methods_that_are_one_method_agree(
        x in -5.0..5.0, z in -2.0..2.0, a in 0.05..2.0, s in 0.05..3.0, b in 0.05..2.0, shrink in 0.1..0.99, eta in 0.0..1.0,
    ) {
        let from = Kernel::new(a, s).unwrap();
        let to = Kernel::new(b, from.noise_to_signal() * shrink * b).unwrap();
        let euler = RungeKutta::new(Tableau::euler(), NoiseToSignal);
        let heun = RungeKutta::new(Tableau::heun(), NoiseToSignal);
        let pairs = [
            (one_step(Ddim, x, from, to, z), one_step(AdamsBashforth::new(1).unwrap(), x, from, to, z)),
            (one_step(Ddim, x, from, to, z), one_step(euler, x, from, to, z)),
            (one_step(Heun, x, from, to, z), one_step(heun, x, from, to, z)),
            (one_step(Heun, x, from, to, z), one_step(churned(Heun, 0.0), x, from, to, z)),
            (one_step(Dpm2, x, from, to, z), one_step(Renewed::new(Dpm2, 0.0).unwrap(), x, from, to, z)),
            (
                one_step(Ancestral::new(eta).unwrap(), x, from, to, z),
                one_step(Renewed::new(Ddim, eta).unwrap(), x, from, to, z),
            ),
        ];
        for (index, (one, other)) in pairs.into_iter().enumerate() {
            prop_assert!((one - other).abs() < 1e-9 * (1.0 + one.abs()), "pair {index}: {one} {other}");
        }
    }

    #[test]
    fn dpm2_is_the_midpoint_rule_at_the_geometric_mean(
        x in -5.0..5.0, s in 0.05..30.0, shrink in 0.01..0.99_f64,
    ) {
        let level = |sigma| Kernel::variance_exploding(sigma).unwrap();
        let slope = |x: f64, sigma: f64| (x - Mixture::two_modes().denoise(x, level(sigma))) / sigma;
        let (end, middle) = (s * shrink, s * shrink.sqrt());
        let halfway = x + (middle - s) * slope(x, s);
        let rule = x + (end - s) * slope(halfway, middle);
        let found = one_step(Dpm2, x, level(s), level(end), 0.0);
        prop_assert!((found - rule).abs() < 1e-9 * (1.0 + rule.abs()), "{found} {rule}");
    }

    #[test]
    fn euler_in_flow_time_follows_the_velocity(x in -5.0..5.0, t in 0.05..1.0, shrink in 0.0..0.99) {
        let (from, to) = (Rectified.kernel(t), Rectified.kernel(t * shrink));
        let denoised = Mixture::two_modes().denoise(x, from);
        let velocity = (x - from.alpha() * denoised) / from.sigma() - denoised;
        let expected: f64 = x + (t * shrink - t) * velocity;
        let found = one_step(RungeKutta::new(Tableau::euler(), Time(Rectified)), x, from, to, 0.0);
        prop_assert!((found - expected).abs() < 1e-10 * (1.0 + expected.abs()), "{found} {expected}");
    }

    #[test]
    fn a_level_kept_is_the_identity_and_costs_nothing(x in -5.0..5.0, a in 0.0..2.0, s in 0.1..3.0) {
        let (from, to) = (Kernel::new(a, s).unwrap(), Kernel::new(a * 0.5, s * 0.5).unwrap());
        let mut refuse = |_: &Array1<f64>, _: Kernel| -> Array1<f64> { panic!("evaluated") };
        for (name, mut stepper) in all() {
            let start = array![x];
            prop_assert_eq!(&stepper.step(&mut refuse, &mut Silent, &start, from, from), &start, "{}", name);
            let halved = stepper.step(&mut refuse, &mut Silent, &start, from, to);
            prop_assert_eq!(halved, start * 0.5, "{}", name);
        }
    }
}

/// Churn meets every level of its range with the right spread: what it adds and what the raised level says agree.
#[test]
fn churn_keeps_marginals() {
    let from = [
        VpLinear::song2021().kernel(0.5),
        Rectified.kernel(0.5),
        Kernel::variance_exploding(3.0).unwrap(),
    ];
    for from in from {
        let to = Kernel::new(from.alpha(), 0.0).unwrap();
        let to = if from.alpha() == 1.0 {
            to
        } else {
            Kernel::CLEAN
        };
        let respond = |x: f64, z: f64| {
            let mut raised = None;
            let mut model = |x: &Array1<f64>, at: Kernel| {
                raised.get_or_insert((x[0], at));
                x.clone()
            };
            let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
            let mut stepper = churned(Ddim, 3.0);
            stepper.step(&mut model, &mut noise, &array![x], from, to);
            raised.unwrap()
        };
        let ((kept, level), (fresh, _)) = (respond(1.0, 0.0), respond(0.0, 1.0));
        assert!((level.noise_to_signal() / from.noise_to_signal() - 1.25).abs() < 1e-12);
        assert!((kept * from.alpha() - level.alpha()).abs() < 1e-12);
        assert!(((kept * from.sigma()).hypot(fresh) - level.sigma()).abs() < 1e-12);
    }
}

#[test]
fn the_last_step_returns_the_denoised_state() {
    let mixture = Mixture::two_modes();
    let from = Kernel::new(0.8, 0.6).unwrap();
    let x = array![-0.4, 2.0];
    for scale in [1.0, 0.5] {
        let to = Kernel::new(scale, 0.0).unwrap();
        for (name, mut stepper) in all() {
            if name == "Churn" {
                continue; // It denoises what it has noised.
            }
            let found = stepper.step(&mut mixture.model(), &mut Silent, &x, from, to);
            let expected = x.mapv(|x| scale * mixture.denoise(x, from));
            assert!(distance(&found, &expected) < 1e-15, "{name}");
        }
    }
}

#[test]
fn evaluations_are_as_documented() {
    let mixture = Mixture::two_modes();
    let grid = Grid::karras(0.02, 8.0, 7.0, 12).unwrap().then_clean();
    for ((name, stepper), evaluations) in deterministic() {
        let mut model = Counted::new(mixture.model());
        sample(&grid, stepper, &mut model, &mut Silent, array![1.0]);
        assert_eq!(model.evaluations(), evaluations, "{name}");
    }
}

/// Down from pure noise to clean data and up again, by every stepper, on every kind of schedule.
#[test]
fn every_path_is_walked_in_finite_numbers() {
    let (vp, sub, cosine) = (
        VpLinear::song2021(),
        SubVp::song2021(),
        Cosine::nichol2021(),
    );
    let schedules: [&dyn NoiseSchedule; 4] = [&vp, &sub, &cosine, &Rectified];
    let mut paths = Vec::new();
    for schedule in schedules {
        for steps in [1, 2, 7] {
            let down = Path::from(Grid::uniform_time(schedule, 1.0, 0.0, steps).unwrap());
            paths.push(down.clone().reversed());
            paths.push(down);
        }
    }
    let ve = Grid::karras(0.002, 80.0, 7.0, 5).unwrap().then_clean();
    paths.push(Path::from(ve.clone()).reversed());
    paths.push(Path::from(ve));
    let mixture = Mixture::two_modes();
    for path in &paths {
        for which in 0..all().len() {
            let stepper = || all().swap_remove(which).1;
            let start = array![-1.0, 0.0, 2.0];
            let x = walk(
                path,
                Rise::Flow,
                stepper,
                &mut mixture.model(),
                &mut streams(1, 0..3),
                start,
            );
            let name = all()[which].0;
            assert!(
                x.iter().all(|v| v.is_finite() && v.abs() < 1e8),
                "{name} {x} {path:?}"
            );
        }
    }
}

/// What a deterministic stepper did downwards it undoes upwards, to its order.
#[test]
fn walks_up_undo_walks_down() {
    let mixture = Mixture::two_modes();
    let down = Path::from(grid(0, 200));
    let up = down.clone().reversed();
    let start = array![-1.4, 0.2, 1.7];
    for which in 0..deterministic().len() {
        let stepper = || deterministic().swap_remove(which).0.1;
        let data = walk(
            &down,
            Rise::Flow,
            stepper,
            &mut mixture.model(),
            &mut Silent,
            start.clone(),
        );
        let back = walk(
            &up,
            Rise::Flow,
            stepper,
            &mut mixture.model(),
            &mut Silent,
            data,
        );
        let bound = if stepper().order() == 1 { 0.2 } else { 0.01 };
        let name = deterministic()[which].0.0;
        assert!(
            distance(&back, &start) < bound,
            "{name}: {back} for {start}"
        );
    }
}

#[test]
fn arguments_are_checked() {
    assert!(AdamsBashforth::<f64>::new(0).is_err());
    assert!(AdamsBashforth::<f64>::new(5).is_err());
    assert!(Tableau::second(0.0).is_err());
    assert!(Tableau::second(f64::NAN).is_err());
    assert!(Renewed::new(Ddim, 1.1).is_err());
    let good = ChurnLevels::karras2022_imagenet64();
    assert!(
        Churn::new(
            Ddim,
            ChurnLevels {
                s_tmax: f64::INFINITY,
                ..good
            }
        )
        .is_ok()
    );
    for bad in [
        ChurnLevels {
            s_churn: -1.0,
            ..good
        },
        ChurnLevels {
            s_tmin: f64::NAN,
            ..good
        },
        ChurnLevels {
            s_noise: f64::INFINITY,
            ..good
        },
        ChurnLevels { steps: 0, ..good },
    ] {
        assert!(Churn::new(Ddim, bad).is_err(), "{bad:?}");
    }
}
