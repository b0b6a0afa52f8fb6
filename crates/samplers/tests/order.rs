//! The order of convergence that each stepper claims, measured against exact scores.

mod common;

use ndarray::{Array1, array};
use noise_schedule::{Grid, Kernel, SubVp, VpLinear};

use common::{Mixture, Named, steppers};
use samplers::{Ancestral, Silent, Stepper, sample};

const TOLERANCE: f64 = 0.25;
const STEPS: [usize; 4] = [64, 128, 256, 512];

/// The deterministic steppers, by name and place in `steppers()`.
const DETERMINISTIC: [usize; 4] = [0, 1, 2, 3];

fn stepper(which: usize) -> Named {
    steppers().swap_remove(which)
}

/// log2 of the ratios of the errors at neighbouring step counts.
fn slopes(errors: &[f64]) -> Vec<f64> {
    errors
        .windows(2)
        .map(|pair| (pair[0] / pair[1]).log2())
        .collect()
}

fn check(which: usize, case: &str, error_of: impl Fn(usize) -> f64) {
    let (name, claimed) = stepper(which);
    let errors = STEPS.map(error_of);
    let order = f64::from(claimed.order());
    // The first halving may still be on its way to the limit.
    for slope in &slopes(&errors)[1..] {
        assert!(
            (slope - order).abs() < TOLERANCE,
            "{name} on {case}: claims {order}, slopes {:?}, errors {errors:?}",
            slopes(&errors)
        );
    }
}

/// The grids: both times and log-SNRs spaced evenly, VP, sub-VP and VE.
fn grid(kind: usize, steps: usize) -> Grid {
    let (vp, sub) = (VpLinear::song2021(), SubVp::song2021());
    match kind {
        0 => Grid::uniform_log_snr(&vp, 0.9, 0.05, steps),
        1 => Grid::uniform_time(&sub, 0.9, 0.1, steps),
        _ => Grid::karras(0.05, 10.0, 7.0, steps + 1),
    }
    .unwrap()
}

const GRIDS: usize = 3;

fn starts(first: Kernel) -> Array1<f64> {
    array![-1.4, -0.3, 0.2, 0.9, 1.7] * first.alpha().hypot(first.sigma())
}

fn distance(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    (a - b).fold(0.0, |worst: f64, v| worst.max(v.abs()))
}

#[test]
fn deterministic_steppers_keep_their_order_on_a_gaussian() {
    let gaussian = Mixture {
        weights: vec![1.0],
        means: vec![0.7],
        std: 0.6,
    };
    let spread = |k: Kernel| (k.alpha() * 0.6).hypot(k.sigma());
    for which in DETERMINISTIC {
        for kind in 0..GRIDS {
            check(which, &format!("Gaussian, grid {kind}"), |steps| {
                let grid = grid(kind, steps);
                let (first, last) = (grid.levels()[0], grid.levels()[steps]);
                let x = starts(first);
                // The flow of a Gaussian keeps the standardised state.
                let exact = x.mapv(|x| {
                    last.alpha() * 0.7 + spread(last) * (x - first.alpha() * 0.7) / spread(first)
                });
                let found = sample(
                    &grid,
                    stepper(which).1,
                    &mut gaussian.model(),
                    &mut Silent,
                    x,
                );
                distance(&found, &exact)
            });
        }
    }
}

#[test]
fn deterministic_steppers_keep_their_order_on_a_mixture() {
    let mixture = Mixture::two_modes();
    for kind in 0..GRIDS {
        let ends = grid(kind, 1);
        let (first, last) = (ends.levels()[0], ends.levels()[1]);
        let exact = flow(&mixture, starts(first), first, last);
        for which in DETERMINISTIC {
            check(which, &format!("mixture, grid {kind}"), |steps| {
                let x = starts(first);
                let found = sample(
                    &grid(kind, steps),
                    stepper(which).1,
                    &mut mixture.model(),
                    &mut Silent,
                    x,
                );
                distance(&found, &exact)
            });
        }
    }
}

/// The probability flow by the classical fourth-order Runge-Kutta method, in l = ln(sigma/alpha) and y = x/alpha,
/// where it reads dy/dl = y - D.
fn flow(mixture: &Mixture, x: Array1<f64>, from: Kernel, to: Kernel) -> Array1<f64> {
    let steps = 4000;
    let (start, end) = (from.noise_to_signal().ln(), to.noise_to_signal().ln());
    let h = (end - start) / f64::from(steps);
    // D at (x, alpha, sigma) is D at (x/alpha, 1, sigma/alpha).
    let slope = |y: f64, l: f64| y - mixture.denoise(y, Kernel::new(1.0, l.exp()).unwrap());
    x.mapv(|x| {
        let mut y = x / from.alpha();
        for i in 0..steps {
            let l = start + f64::from(i) * h;
            let k1 = slope(y, l);
            let k2 = slope(y + 0.5 * h * k1, l + 0.5 * h);
            let k3 = slope(y + 0.5 * h * k2, l + 0.5 * h);
            let k4 = slope(y + h * k3, l + h);
            y += h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4);
        }
        y * to.alpha()
    })
}

/// On Gaussian data an ancestral step is linear, x' = a x + b z, so that the variance of its samples
/// follows v' = a² v + b² exactly: the weak order without a single random number.
#[test]
fn ancestral_keeps_its_weak_order() {
    let gaussian = Mixture {
        weights: vec![1.0],
        means: vec![0.0],
        std: 0.6,
    };
    let variance = |k: Kernel| (k.alpha() * 0.6).powi(2) + k.sigma().powi(2);
    for eta in [0.5, 1.0] {
        for kind in 0..GRIDS {
            check(4, &format!("variance, eta {eta}, grid {kind}"), |steps| {
                let grid = grid(kind, steps);
                let mut stepper = Ancestral::new(eta).unwrap();
                let mut v = variance(grid.levels()[0]);
                for (from, to) in grid.steps() {
                    let mut respond = |x: f64, z: f64| {
                        let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
                        stepper.step(&mut gaussian.model(), &mut noise, &array![x], from, to)[0]
                    };
                    let (a, b) = (respond(1.0, 0.0), respond(0.0, 1.0));
                    v = a * a * v + b * b;
                }
                (v - variance(grid.levels()[steps])).abs()
            });
        }
    }
}
