//! Paths that rise: forward transitions, restarts and inversion.

mod common;

use ndarray::{Array1, Array2, Axis, array};
use noise_schedule::{Grid, Kernel, NoiseSchedule, Path, Restart, SubVp, VpLinear};

use common::{Mixture, streams};
use samplers::{Ddim, Heun, PerSample, Rise, Silent, noised, sample, walk};

/// The forward process is Markov: its transitions take a Gaussian's marginals to its marginals, on any kernels.
#[test]
fn transitions_keep_the_marginals() {
    let (vp, sub) = (VpLinear::song2021(), SubVp::song2021());
    let exploding = |sigma| Kernel::variance_exploding(sigma).unwrap();
    for (from, to) in [
        (vp.kernel(0.2), vp.kernel(0.7)),
        (sub.kernel(0.2), sub.kernel(0.7)),
        (exploding(0.5), exploding(3.0)),
        (Kernel::CLEAN, vp.kernel(0.5)),
        (vp.kernel(0.5), Kernel::new(0.0, 1.0).unwrap()),
    ] {
        let respond = |x: f64, z: f64| {
            let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
            noised(&array![x], from, to, &mut noise)[0]
        };
        // x_from = alpha x_0 + sigma e, e independent of the fresh noise.
        let (a, b) = (respond(1.0, 0.0), respond(0.0, 1.0));
        assert!(
            (a * from.alpha() - to.alpha()).abs() < 1e-12,
            "{from:?} {to:?}"
        );
        assert!(
            ((a * from.sigma()).hypot(b) - to.sigma()).abs() < 1e-12,
            "{from:?} {to:?}"
        );
    }
}

#[test]
#[should_panic(expected = "a transition adds noise")]
fn a_transition_takes_no_noise_away() {
    noised(
        &array![1.0],
        Kernel::new(1.0, 2.0).unwrap(),
        Kernel::CLEAN,
        &mut Silent,
    );
}

/// The flow of a Gaussian is known: a walk up and down ends where it began, to the order of the stepper.
#[test]
fn inversion_returns_with_the_order_of_the_stepper() {
    let mixture = Mixture::two_modes();
    let errors = [40, 80].map(|steps| {
        let grid = Grid::uniform_log_snr(&VpLinear::song2021(), 0.9, 0.05, steps).unwrap();
        let (up, down) = (Path::from(grid.clone()).reversed(), Path::from(grid));
        let start = array![-1.5, 0.1, 1.2];
        let noise = walk(
            &up,
            Rise::Flow,
            || Heun,
            &mut mixture.model(),
            &mut Silent,
            start.clone(),
        );
        let back = walk(
            &down,
            Rise::Flow,
            || Heun,
            &mut mixture.model(),
            &mut Silent,
            noise,
        );
        (&back - &start).fold(0.0, |worst: f64, d| worst.max(d.abs()))
    });
    let order = (errors[0] / errors[1]).log2();
    assert!(1.75 < order, "order {order}, errors {errors:?}");
}

/// Restarts contract the error of the steps: closer to the data than the same steps without.
#[test]
fn restarts_bring_samples_closer_to_the_data() {
    let mixture = Mixture {
        weights: vec![1.0],
        means: vec![0.0],
        std: 1.0,
    };
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    // Few steps of a first-order method leave the variance of N(0, 1) too small.
    let grid = Grid::karras(0.02, 10.0, 7.0, 6).unwrap().then_clean();
    let restart = Restart::karras(&grid, 0.1, 2.0, 7.0, 40, 3).unwrap();
    let path = Path::restart(&grid, &[restart]).unwrap();
    let error = |x: Array2<f64>| (x.var(0.0) - 1.0).abs();
    let start = |noise: &mut PerSample<_>| {
        use samplers::NoiseSource;
        noise.between(
            &Array2::zeros((4000, 1)),
            grid.levels()[0],
            grid.levels()[0],
        ) * 101_f64.sqrt()
    };
    let mut noise = streams(5, 0..4000);
    let x = start(&mut noise);
    let plain = error(sample(&grid, Ddim, &mut model, &mut Silent, x.clone()));
    let restarted = error(walk(&path, Rise::Noise, || Ddim, &mut model, &mut noise, x));
    assert!(
        restarted < 0.5 * plain,
        "restarted {restarted}, plain {plain}"
    );
}

/// A sample of a walk depends on its own stream alone.
#[test]
fn a_walk_does_not_couple_samples() {
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let grid = Grid::karras(0.02, 10.0, 7.0, 6).unwrap().then_clean();
    let path = Path::repaint(&grid, 2, 2).unwrap();
    let start = Array2::from_shape_fn((5, 2), |(i, j)| (i as f64 - 2.0) * 3.0 + j as f64);
    let all = walk(
        &path,
        Rise::Noise,
        || Heun,
        &mut model,
        &mut streams(1, 0..5),
        start.clone(),
    );
    for i in 0..5 {
        let own = start.select(Axis(0), &[i]);
        let alone = walk(
            &path,
            Rise::Noise,
            || Heun,
            &mut model,
            &mut streams(1, i as u64..i as u64 + 1),
            own,
        );
        assert_eq!(alone.row(0), all.row(i));
    }
}
