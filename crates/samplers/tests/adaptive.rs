//! Adaptive steps: they keep to their tolerance, and each sample to itself.

mod common;

use ndarray::{Array2, Axis, Slice, array};
use noise_schedule::{Kernel, NoiseSchedule, Rectified, VpLinear};
use proptest::prelude::*;

use common::Mixture;
use samplers::{Adaptive, Control, Controller, Counted, Error, Integrand, Pair};

const PAIRS: [Pair; 4] = [
    Pair::DormandPrince,
    Pair::DpmSolver12(Integrand::Denoised),
    Pair::DpmSolver23(Integrand::Denoised),
    Pair::DpmSolver23(Integrand::Noise),
];

fn tolerance(tolerance: f64) -> Control {
    Control {
        relative: tolerance,
        absolute: tolerance,
        ..Control::song2021(100_000)
    }
}

fn exploding(sigma: f64) -> Kernel {
    Kernel::variance_exploding(sigma).unwrap()
}

fn mixed(mixture: &Mixture) -> impl FnMut(&Array2<f64>, Kernel) -> Array2<f64> + '_ {
    |x, at| x.mapv(|x| mixture.denoise(x, at))
}

#[test]
fn errors_follow_the_tolerance() {
    let mixture = Mixture::two_modes();
    let vp = VpLinear::song2021();
    let x = array![[-1.4], [-0.3], [0.2], [0.9], [1.7]];
    for (from, to) in [
        (vp.kernel(0.95), vp.kernel(0.01)),
        (vp.kernel(0.01), vp.kernel(0.95)),
        (Rectified.kernel(0.98), Rectified.kernel(0.02)),
        (exploding(20.0), exploding(0.02)),
    ] {
        let x = &x * from.alpha().hypot(from.sigma());
        let run = |pair, tol| {
            let adaptive = Adaptive::new(pair, tolerance(tol)).unwrap();
            adaptive.run(&mut mixed(&mixture), &x, from, to).unwrap()
        };
        let exact = run(Pair::DormandPrince, 1e-12).x;
        let error = |x: &Array2<f64>| (x - &exact).fold(0.0, |worst: f64, d| worst.max(d.abs()));
        for pair in PAIRS {
            let (loose, tight) = (run(pair, 1e-3), run(pair, 1e-6));
            let worst = (error(&loose.x), error(&tight.x));
            assert!(worst.0 < 0.05 && worst.1 < 1e-4, "{pair:?}: {worst:?}");
            assert!(worst.1 < 0.05 * worst.0, "{pair:?}: {worst:?}");
            assert!(loose.evaluations[0] < tight.evaluations[0]);
        }
    }
}

#[test]
fn the_flow_of_a_gaussian_is_met() {
    let gaussian = Mixture {
        weights: vec![1.0],
        means: vec![0.7],
        std: 0.6,
    };
    let (from, to) = (exploding(50.0), exploding(0.01));
    let spread = |k: Kernel| 0.6_f64.hypot(k.sigma());
    for pair in PAIRS {
        let adaptive = Adaptive::new(pair, tolerance(1e-7)).unwrap();
        let x = array![[30.0, -80.0]];
        let exact = x.mapv(|x| 0.7 + spread(to) * (x - 0.7) / spread(from));
        let found = adaptive.run(&mut mixed(&gaussian), &x, from, to).unwrap();
        assert!((found.x - exact).iter().all(|d| d.abs() < 2e-5), "{pair:?}");
    }
}

/// One sample is what k-diffusion 0.1.1.post1's `sample_dpm_adaptive` makes of it from sigma 16 to 1/16.
#[test]
fn one_sample_is_that_of_k_diffusion() {
    let mixture = Mixture::two_modes();
    let pid = Control {
        relative: 1e-2,
        absolute: 1e-3,
        first_step: 1.5,
        controller: Controller {
            proportional: 0.2,
            integral: 0.6,
            derivative: 0.1,
            accept: 0.81,
        },
        ..Control::crowson2022(1000)
    };
    let fine = Control {
        relative: 1e-3,
        absolute: 1e-3,
        ..Control::crowson2022(1000)
    };
    let usual = Control::crowson2022(1000);
    let (two, three) = (
        Pair::DpmSolver12(Integrand::Noise),
        Pair::DpmSolver23(Integrand::Noise),
    );
    // In float64 but for λ, which is float32 there.
    for (pair, control, expected, rejected) in [
        (two, usual, [1.452_064_076_486, 0.431_413_122_805], 3),
        (two, fine, [1.404_250_801_429, 0.447_437_986_054], 3),
        (two, pid, [1.416_815_986_919, 0.441_639_108_049], 5),
        (three, usual, [1.407_403_319_508, 0.450_039_055_943], 2),
        (three, fine, [1.403_060_479_827, 0.447_862_744_087], 4),
        (three, pid, [1.403_642_929_677, 0.447_702_009_416], 3),
    ] {
        let adaptive = Adaptive::new(pair, control).unwrap();
        let (from, to) = (exploding(16.0), exploding(0.0625));
        let found = adaptive
            .run(&mut mixed(&mixture), &array![[17.0, -4.0]], from, to)
            .unwrap();
        let expected: Array2<f64> = array![expected];
        assert!(
            (&found.x - &expected).iter().all(|d| d.abs() < 1e-5),
            "{pair:?}: {found:?}"
        );
        assert_eq!(found.rejected, [rejected]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn mates_change_nothing(
        values in prop::collection::vec(-30.0..30.0, 8), which in 0..PAIRS.len(), cut in 1usize..4,
    ) {
        let mixture = Mixture::two_modes();
        let x = Array2::from_shape_vec((4, 2), values).unwrap();
        let adaptive = Adaptive::new(PAIRS[which], tolerance(1e-4)).unwrap();
        let run = |x: Array2<f64>| {
            adaptive.run(&mut mixed(&mixture), &x, exploding(20.0), exploding(0.05)).unwrap()
        };
        let whole = run(x.clone());
        let (left, right) = (
            run(x.slice_axis(Axis(0), Slice::from(..cut)).to_owned()),
            run(x.slice_axis(Axis(0), Slice::from(cut..)).to_owned()),
        );
        prop_assert_eq!(whole.x.slice_axis(Axis(0), Slice::from(..cut)), left.x);
        prop_assert_eq!(whole.x.slice_axis(Axis(0), Slice::from(cut..)), right.x);
        prop_assert_eq!(whole.evaluations, [left.evaluations, right.evaluations].concat());
    }
}

#[test]
fn samples_share_their_evaluations() {
    let mixture = Mixture::two_modes();
    let mut model = Counted::new(mixed(&mixture));
    let adaptive = Adaptive::new(Pair::DormandPrince, tolerance(1e-5)).unwrap();
    let x = array![[25.0], [-3.0], [0.1]];
    let found = adaptive
        .run(&mut model, &x, exploding(20.0), exploding(0.05))
        .unwrap();
    // As long as the slowest takes: nobody waits for another but in the first evaluation.
    assert_eq!(Some(&model.evaluations()), found.evaluations.iter().max());
    assert!(found.evaluations.iter().sum::<usize>() > 2 * model.evaluations());
}

#[test]
fn trouble_is_an_error_and_not_a_loop() {
    let from_to = (exploding(10.0), exploding(0.1));
    let run = |control, model: &mut dyn FnMut(&Array2<f64>, Kernel) -> Array2<f64>| {
        let adaptive = Adaptive::new(Pair::DormandPrince, control).unwrap();
        let mut model = |x: &Array2<f64>, k: Kernel| model(x, k);
        adaptive.run(&mut model, &array![[1.0], [2.0]], from_to.0, from_to.1)
    };
    let broken = run(Control::song2021(10_000), &mut |x, _| x * f64::NAN);
    assert!(
        matches!(broken, Err(Error::LeastStep { sample: 0, .. })),
        "{broken:?}"
    );
    let mixture = Mixture::two_modes();
    let poor = run(Control::song2021(20), &mut mixed(&mixture));
    assert!(
        matches!(poor, Err(Error::Budget { budget: 20, .. })),
        "{poor:?}"
    );
    let adaptive = Adaptive::new(Pair::DormandPrince, Control::song2021(20)).unwrap();
    let open = adaptive.run(
        &mut mixed(&mixture),
        &array![[1.0]],
        from_to.0,
        Kernel::CLEAN,
    );
    assert_eq!(
        open,
        Err(Error::OpenEnd {
            alpha: 1.0,
            sigma: 0.0
        })
    );
    let level = exploding(3.0);
    let still = adaptive
        .run(&mut mixed(&mixture), &array![[1.0]], level, level)
        .unwrap();
    assert_eq!((still.x, still.evaluations), (array![[1.0]], vec![0]));
}

#[test]
fn controls_are_checked() {
    let good = Control::crowson2022(100);
    let integral = Controller::integral();
    let check = |control| Adaptive::new(Pair::DormandPrince, control).is_err();
    assert!(!check(good));
    assert!(check(Control {
        relative: 0.0,
        ..good
    }));
    assert!(check(Control {
        absolute: f64::NAN,
        ..good
    }));
    assert!(check(Control {
        first_step: f64::INFINITY,
        ..good
    }));
    assert!(check(Control {
        least_step: -1.0,
        ..good
    }));
    assert!(check(Control {
        controller: Controller {
            integral: 0.0,
            ..integral
        },
        ..good
    }));
    assert!(check(Control {
        controller: Controller {
            accept: 1.5,
            ..integral
        },
        ..good
    }));
}
