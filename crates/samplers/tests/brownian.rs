//! Brownian paths under refinement: results converge to one another, sample by sample.

mod common;

use ndarray::{Array2, Axis, Slice, array};
use noise_schedule::{Grid, Kernel, NoiseSchedule, VpLinear};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use common::Mixture;
use samplers::{Ancestral, BrownianPath, Ddim, Heun, Renewed, Stepper, sample};

fn path(samples: std::ops::Range<u64>) -> BrownianPath {
    BrownianPath::new(samples.map(ChaCha8Rng::seed_from_u64))
}

const SAMPLES: u64 = 50;

#[test]
fn ancestral_sampling_converges_along_the_path() {
    let mixture = Mixture::two_modes();
    let vp = VpLinear::song2021();
    let end = |steps: usize| {
        let grid = Grid::uniform_log_snr(&vp, 0.9, 0.05, steps).unwrap();
        let x = Array2::from_shape_fn((SAMPLES as usize, 2), |(i, j)| {
            (i as f64 / 12.5 - 2.0) * (1.0 - j as f64)
        });
        let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
        sample(
            &grid,
            Ancestral::new(1.0).unwrap(),
            &mut model,
            &mut path(0..SAMPLES),
            x,
        )
    };
    let exact = end(1024);
    let errors: Vec<f64> = [32, 64, 128, 256]
        .map(|steps| (end(steps) - &exact).mapv(|d| d * d).mean().unwrap().sqrt())
        .to_vec();
    // Additive noise: strong order 1, where independent noise would leave an error of order 0.
    let slope = (errors[0] / errors[3]).log2() / 3.0;
    assert!((slope - 1.0).abs() < 0.2, "{slope}: {errors:?}");
}

/// What comes back up after a step asks for the noise of the step, as ancestral sampling does.
#[test]
fn renewed_steppers_follow_the_path() {
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let grid = Grid::uniform_log_snr(&VpLinear::song2021(), 0.9, 0.05, 512).unwrap();
    let x = array![[0.4, -1.0], [2.0, 0.1]];
    let mut end = |stepper: Box<dyn Stepper<Array2<f64>>>| {
        sample(&grid, stepper, &mut model, &mut path(0..2), x.clone())
    };
    let ancestral = end(Box::new(Ancestral::new(1.0).unwrap()));
    let ddim = end(Box::new(Renewed::new(Ddim, 1.0).unwrap()));
    let heun = end(Box::new(Renewed::new(Heun, 1.0).unwrap()));
    assert!((&ddim - &ancestral).iter().all(|d| d.abs() < 1e-12));
    assert!(
        (&heun - &ancestral).iter().all(|d| d.abs() < 0.05),
        "{heun} {ancestral}"
    );
}

/// Where D is constant, two steps are one: the clock is the one in which ancestral noise is a Wiener increment.
#[test]
fn with_constant_data_refinement_changes_nothing() {
    let vp = VpLinear::song2021();
    let mut model = |x: &Array2<f64>, _: Kernel| x * 0.0 + 0.3;
    let mut stepper = Ancestral::new(1.0).unwrap();
    let noise = Kernel::new(0.0, 1.0).unwrap();
    for (from, to) in [(noise, vp.kernel(0.1)), (vp.kernel(0.9), vp.kernel(0.1))] {
        let x = array![[0.4, -1.0], [2.0, 0.1]];
        let mut step =
            |x: &Array2<f64>, from, to| stepper.step(&mut model, &mut path(0..2), x, from, to);
        let whole = step(&x, from, to);
        let middle = vp.kernel(0.6);
        let half = step(&x, from, middle);
        let parts = step(&half, middle, to);
        assert!((whole - parts).iter().all(|d| d.abs() < 1e-12));
    }
}

#[test]
fn mates_change_nothing() {
    let mixture = Mixture::two_modes();
    let grid = Grid::karras(0.05, 10.0, 7.0, 12).unwrap().then_clean();
    let run = |samples: std::ops::Range<u64>| {
        let x = Array2::from_elem(((samples.end - samples.start) as usize, 3), 4.0);
        let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
        sample(
            &grid,
            Ancestral::new(1.0).unwrap(),
            &mut model,
            &mut path(samples),
            x,
        )
    };
    let batch = run(3..8);
    assert_eq!(batch.slice_axis(Axis(0), Slice::from(2..3)), run(5..6));
    assert!(batch.row(0) != batch.row(1));
}
