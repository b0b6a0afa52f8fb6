//! Identities that hold to rounding: between steppers, with textbook formulas, and at the ends of a grid.

mod common;

use ndarray::{Array1, array};
use noise_schedule::{Cosine, Grid, Kernel, NoiseSchedule, Rectified, SubVp, VpLinear};
use proptest::prelude::*;

use common::{Mixture, steppers, streams};
use samplers::{
    Ancestral, AnnealedLangevin, Counted, Ddim, Denoiser, Heun, Silent, Stepper, Trajectory,
    langevin, sample, score,
};

/// One step on the line.
fn step(mut stepper: impl Stepper<Array1<f64>>, x: f64, from: Kernel, to: Kernel, z: f64) -> f64 {
    let mixture = Mixture::two_modes();
    let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
    stepper.step(&mut mixture.model(), &mut noise, &array![x], from, to)[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ddim_is_euler_in_noise_to_signal(
        x in -5.0..5.0, a in 0.05..2.0, s in 0.05..3.0, b in 0.05..2.0, shrink in 0.0..0.99,
    ) {
        let from = Kernel::new(a, s).unwrap();
        let to = Kernel::new(b, from.noise_to_signal() * shrink * b).unwrap();
        let denoised = Mixture::two_modes().denoise(x, from);
        let slope = (x / a - denoised) / from.noise_to_signal();
        let euler = x / a + (to.noise_to_signal() - from.noise_to_signal()) * slope;
        let ddim = step(Ddim, x, from, to, 0.0);
        prop_assert!((ddim - b * euler).abs() < 1e-10 * (1.0 + ddim.abs()), "{ddim} {}", b * euler);
    }

    #[test]
    fn heun_is_the_trapezoidal_rule_in_noise_to_signal(
        x in -5.0..5.0, a in 0.05..2.0, s in 0.05..3.0, b in 0.05..2.0, shrink in 0.1..0.99,
    ) {
        let from = Kernel::new(a, s).unwrap();
        let to = Kernel::new(b, from.noise_to_signal() * shrink * b).unwrap();
        let slope = |y: f64, k: Kernel| {
            (y - Mixture::two_modes().denoise(y * k.alpha(), k)) / k.noise_to_signal()
        };
        let h = to.noise_to_signal() - from.noise_to_signal();
        let first = slope(x / a, from);
        let rule = x / a + 0.5 * h * (first + slope(x / a + h * first, to));
        let heun = step(Heun, x, from, to, 0.0);
        prop_assert!((heun - b * rule).abs() < 1e-9 * (1.0 + heun.abs()), "{heun} {}", b * rule);
    }

    #[test]
    fn ancestral_without_fresh_noise_is_ddim(x in -5.0..5.0, t in 0.1..0.99, shrink in 0.0..0.99) {
        let schedule = VpLinear::song2021();
        let (from, to) = (schedule.kernel(t), schedule.kernel(t * shrink));
        let ancestral = step(Ancestral::new(0.0).unwrap(), x, from, to, f64::NAN);
        prop_assert!((ancestral - step(Ddim, x, from, to, 0.0)).abs() < 1e-14 * (1.0 + x.abs()));
    }

    /// The posterior of DDPM in its own notation, with alpha_bar and beta of the step.
    #[test]
    fn ancestral_is_the_posterior_of_ddpm(x in -5.0..5.0, z in -3.0..3.0, t in 0.1..0.99, shrink in 0.05..0.99) {
        let schedule = VpLinear::song2021();
        let (from, to) = (schedule.kernel(t), schedule.kernel(t * shrink));
        let (bar, bar_before) = (from.alpha().powi(2), to.alpha().powi(2));
        let beta = 1.0 - bar / bar_before;
        let denoised = Mixture::two_modes().denoise(x, from);
        let mean = bar_before.sqrt() * beta / (1.0 - bar) * denoised
            + (1.0 - beta).sqrt() * (1.0 - bar_before) / (1.0 - bar) * x;
        let variance = (1.0 - bar_before) / (1.0 - bar) * beta;
        let found = step(Ancestral::new(1.0).unwrap(), x, from, to, z);
        prop_assert!((found - mean - variance.sqrt() * z).abs() < 1e-9 * (1.0 + found.abs()));
    }

    #[test]
    fn a_level_kept_is_the_identity_and_costs_nothing(x in -5.0..5.0, a in 0.0..2.0, s in 0.1..3.0, scale in 0.1..3.0) {
        let from = Kernel::new(a, s).unwrap();
        // A power of two, so that the ratio is kept exactly.
        let to = Kernel::new(a * 0.5, s * 0.5).unwrap();
        let mut refuse = |_: &Array1<f64>, _: Kernel| -> Array1<f64> { panic!("evaluated") };
        for (name, mut stepper) in steppers() {
            let start = array![x, x * scale];
            prop_assert_eq!(&stepper.step(&mut refuse, &mut Silent, &start, from, from), &start, "{}", name);
            let halved = stepper.step(&mut refuse, &mut Silent, &start, from, to);
            prop_assert_eq!(halved, start * 0.5, "{}", name);
        }
    }
}

#[test]
fn the_last_step_returns_the_denoised_state() {
    let mixture = Mixture::two_modes();
    let from = Kernel::new(0.8, 0.6).unwrap();
    let x = array![-0.4, 2.0];
    for scale in [1.0, 0.5] {
        let to = Kernel::new(scale, 0.0).unwrap();
        for (name, mut stepper) in steppers() {
            let found = stepper.step(&mut mixture.model(), &mut Silent, &x, from, to);
            let expected = x.mapv(|x| scale * mixture.denoise(x, from));
            assert!(
                (found - &expected).iter().all(|d| d.abs() < 1e-15),
                "{name}"
            );
        }
    }
}

#[test]
fn every_grid_is_walked_in_finite_numbers() {
    let (vp, sub, cosine) = (
        VpLinear::song2021(),
        SubVp::song2021(),
        Cosine::nichol2021(),
    );
    let schedules: [&dyn NoiseSchedule; 4] = [&vp, &sub, &cosine, &Rectified];
    let mut grids = vec![
        Grid::karras(0.002, 80.0, 7.0, 1).unwrap().then_clean(),
        Grid::karras(0.002, 80.0, 7.0, 1).unwrap(),
        Grid::geometric(1.0, 1.0, 3).unwrap().then_clean(),
        Grid::new(vec![Kernel::CLEAN, Kernel::CLEAN]).unwrap(),
        Grid::new(vec![Kernel::new(0.0, 2.0).unwrap(), Kernel::CLEAN]).unwrap(),
    ];
    for schedule in schedules {
        for steps in [1, 2, 3, 20] {
            grids.push(Grid::uniform_time(schedule, 1.0, 0.0, steps).unwrap());
        }
    }
    // Every level twice: zero-length steps between the real ones.
    let doubled = grids[grids.len() - 1]
        .levels()
        .iter()
        .flat_map(|&level| [level, level]);
    grids.push(Grid::new(doubled.collect()).unwrap());

    let mixture = Mixture::two_modes();
    for grid in &grids {
        for (name, stepper) in steppers() {
            let x = array![-1.0, 0.0, 2.0];
            let x = sample(
                grid,
                stepper,
                &mut mixture.model(),
                &mut streams(1, 0..3),
                x,
            );
            assert!(
                x.iter().all(|v| v.is_finite() && v.abs() < 100.0),
                "{name} {x} {grid:?}"
            );
        }
    }
}

#[test]
fn zero_length_steps_change_nothing() {
    let grid = Grid::karras(0.05, 10.0, 7.0, 8).unwrap().then_clean();
    let doubled = grid.levels().iter().flat_map(|&level| [level, level]);
    let doubled = Grid::new(doubled.collect()).unwrap();
    let mixture = Mixture::two_modes();
    for (once, twice) in steppers().into_iter().zip(steppers()) {
        let run = |grid: &Grid, stepper| {
            let x = array![3.0, -7.0];
            sample(
                grid,
                stepper,
                &mut mixture.model(),
                &mut streams(2, 0..2),
                x,
            )
        };
        assert_eq!(run(&grid, once.1), run(&doubled, twice.1), "{}", once.0);
    }
}

#[test]
fn evaluations_are_as_documented() {
    let mixture = Mixture::two_modes();
    // 18 steps to sigma = 0, and 10 that also start at alpha = 0.
    let ve = Grid::karras(0.002, 80.0, 7.0, 18).unwrap().then_clean();
    let rectified = Grid::uniform_time(&Rectified, 1.0, 0.0, 10).unwrap();
    for (grid, once, heun) in [(ve, 18, 35), (rectified, 10, 18)] {
        for (name, stepper) in steppers() {
            let mut model = Counted::new(mixture.model());
            sample(
                &grid,
                stepper,
                &mut model,
                &mut streams(3, 0..1),
                array![1.0],
            );
            let expected = if name == "Heun" { heun } else { once };
            assert_eq!(model.evaluations(), expected, "{name}");
        }
    }
}

#[test]
fn the_trajectory_ends_where_sample_does() {
    let grid = Grid::karras(0.05, 10.0, 7.0, 6).unwrap().then_clean();
    let mixture = Mixture::two_modes();
    let mut model = mixture.model();
    for (whole, mut single) in steppers().into_iter().zip(steppers()) {
        let end = sample(
            &grid,
            whole.1,
            &mut model,
            &mut streams(4, 0..1),
            array![5.0],
        );
        let mut noise = streams(4, 0..1);
        let path = Trajectory::new(&grid, &mut single.1, &mut model, &mut noise, array![5.0]);
        assert_eq!(path.len(), 6);
        let (level, state) = path.last().unwrap();
        assert_eq!((level, state), (Kernel::CLEAN, end), "{}", whole.0);
    }
}

#[test]
fn annealed_langevin_at_one_level_is_langevin() {
    let mixture = Mixture::two_modes();
    let level = Kernel::variance_exploding(0.8).unwrap();
    let annealed = AnnealedLangevin {
        epsilon: 0.1,
        steps_per_level: 25,
        final_denoise: false,
    };
    let start = array![3.0, -2.0, 0.0];
    let mut model = Counted::new(mixture.model());
    let grid = Grid::new(vec![level]).unwrap().then_clean();
    let a = annealed.run(&grid, &mut model, &mut streams(5, 0..3), start.clone());
    assert_eq!(model.evaluations(), 25);
    assert_eq!(annealed.evaluations(&grid), 25);

    let mut model = mixture.model();
    let mut exact = |x: &Array1<f64>| score(x, &model.denoise(x, level), level);
    let step = 0.1 * 0.8 * 0.8;
    let b = langevin(&mut exact, &mut streams(5, 0..3), start.clone(), step, 25);
    assert!((&a - &b).iter().all(|d| d.abs() < 1e-12), "{a} {b}");

    // The last denoising step is one evaluation more, and returns D.
    let ended = AnnealedLangevin {
        final_denoise: true,
        ..annealed
    };
    assert_eq!(ended.evaluations(&grid), 26);
    let mut model = mixture.model();
    let c = ended.run(&grid, &mut model, &mut streams(5, 0..3), start);
    assert_eq!(c, model.denoise(&a, level));
}

#[test]
#[should_panic(expected = "every level needs alpha = 1")]
fn annealed_langevin_refuses_other_kernels() {
    let annealed = AnnealedLangevin {
        epsilon: 0.1,
        steps_per_level: 1,
        final_denoise: false,
    };
    let grid = Grid::uniform_time(&Rectified, 0.9, 0.1, 3).unwrap();
    let mixture = Mixture::two_modes();
    annealed.run(
        &grid,
        &mut mixture.model(),
        &mut streams(6, 0..1),
        array![0.0],
    );
}
