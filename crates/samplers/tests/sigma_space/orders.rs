//! The order of each stepper, measured against exact solutions.

use ndarray::{Array1, array};
use noise_schedule::{Grid, Kernel};

use super::common::{Mixture, Named};
use super::{GRIDS, deterministic, distance, grid};
use samplers::{
    AdamsBashforth, Churn, ChurnLevels, Ddim, Dpm2, HalfLogSnr, Heun, Renewed, RungeKutta, Silent,
    Start, Tableau, sample,
};

const TOLERANCE: f64 = 0.25;
const STEPS: [usize; 4] = [24, 48, 96, 192];

fn gaussian() -> Mixture {
    Mixture {
        weights: vec![1.0],
        means: vec![0.7],
        std: 0.6,
    }
}

/// The flow of a Gaussian keeps the standardised state.
fn gaussian_flow(x: &Array1<f64>, from: Kernel, to: Kernel) -> Array1<f64> {
    let spread = |k: Kernel| (k.alpha() * 0.6).hypot(k.sigma());
    x.mapv(|x| to.alpha() * 0.7 + spread(to) * (x - from.alpha() * 0.7) / spread(from))
}

fn check_order(name: &str, order: u32, error_of: impl Fn(usize) -> f64) {
    let errors = STEPS.map(error_of);
    let slopes: Vec<f64> = errors
        .windows(2)
        .map(|pair| (pair[0] / pair[1]).log2())
        .collect();
    // The last slope is the nearest to the limit; an error that is all rounding has none.
    let last = slopes[slopes.len() - 1];
    assert!(
        f64::from(order) - TOLERANCE < last || errors[3] < 1e-13,
        "{name}: claims {order}, slopes {slopes:?}, errors {errors:?}"
    );
    assert!(
        last < f64::from(order) + 1.3,
        "{name}: {order} is too modest, slopes {slopes:?}"
    );
}

#[test]
fn orders_hold_on_a_gaussian() {
    for which in 0..deterministic().len() {
        for kind in 0..GRIDS {
            let ((name, stepper), _) = deterministic().swap_remove(which);
            check_order(
                &format!("{name} on grid {kind}"),
                stepper.order(),
                |steps| {
                    let grid = grid(kind, steps);
                    let (first, last) = (grid.levels()[0], grid.levels()[steps]);
                    let x = array![-1.4, 0.2, 1.7] * first.alpha().hypot(first.sigma());
                    let exact = gaussian_flow(&x, first, last);
                    let ((_, stepper), _) = deterministic().swap_remove(which);
                    distance(
                        &sample(&grid, stepper, &mut gaussian().model(), &mut Silent, x),
                        &exact,
                    )
                },
            );
        }
    }
}

#[test]
fn orders_hold_on_a_mixture() {
    let mixture = Mixture::two_modes();
    for kind in 0..GRIDS {
        // Many steps of a method of fourth order that another test holds to an exact solution.
        let fine = grid(kind, 4000);
        let first = fine.levels()[0];
        let start = array![-1.4, 0.2, 1.7] * first.alpha().hypot(first.sigma());
        let reference = RungeKutta::new(Tableau::classical(), HalfLogSnr);
        let exact = sample(
            &fine,
            reference,
            &mut mixture.model(),
            &mut Silent,
            start.clone(),
        );
        for which in 0..deterministic().len() {
            let ((name, stepper), _) = deterministic().swap_remove(which);
            check_order(
                &format!("{name} on grid {kind}"),
                stepper.order(),
                |steps| {
                    let grid = grid(kind, steps);
                    let x = start.clone();
                    let ((_, stepper), _) = deterministic().swap_remove(which);
                    let found = sample(&grid, stepper, &mut mixture.model(), &mut Silent, x);
                    distance(&found, &exact)
                },
            );
        }
    }
}

/// With exact slopes before the first step the order does not depend on a start; with rising orders it is capped.
#[test]
fn adams_bashforth_starts_as_it_is_told() {
    let error = |steps: usize, stepper: AdamsBashforth<Array1<f64>>, begin: usize| {
        let grid = grid(0, steps);
        let levels = &grid.levels()[begin..];
        let x0 = array![-1.4, 0.2, 1.7];
        let x = gaussian_flow(&x0, grid.levels()[0], levels[0]);
        let exact = gaussian_flow(&x, levels[0], levels[levels.len() - 1]);
        let rest = Grid::new(levels.to_vec()).unwrap();
        distance(
            &sample(&rest, stepper, &mut gaussian().model(), &mut Silent, x),
            &exact,
        )
    };
    for order in 1..=4 {
        check_order("exact start", order, |steps| {
            let grid = grid(0, steps);
            let begin = order as usize - 1;
            let history = (0..begin).rev().map(|index| {
                let level = grid.levels()[index];
                let x = gaussian_flow(&array![-1.4, 0.2, 1.7], grid.levels()[0], level);
                let denoised = x.mapv(|x| gaussian().denoise(x, level));
                (level, (&x - &(denoised * level.alpha())) / level.sigma())
            });
            let stepper = AdamsBashforth::new(order)
                .unwrap()
                .with_history(history.collect());
            error(steps, stepper, begin)
        });
    }
    // The first step is long where the flow bends: a start of order 1 is seen.
    let rising = |steps| {
        let grid = Grid::geometric(1.5, 0.3, steps + 1).unwrap();
        let x = array![-1.4, 0.2, 1.7];
        let exact = gaussian_flow(&x, grid.levels()[0], grid.levels()[steps]);
        let stepper = AdamsBashforth::new(4).unwrap().with_start(Start::Rising);
        distance(
            &sample(&grid, stepper, &mut gaussian().model(), &mut Silent, x),
            &exact,
        )
    };
    let slope = (rising(192) / rising(384)).log2();
    assert!(
        (1.75..2.3).contains(&slope),
        "a start of order 1 caps the order at 2, got {slope}"
    );
}

/// On Gaussian data a step is linear, x' = a x + b z: the variance of the samples follows v' = a² v + b² exactly.
#[test]
fn added_noise_keeps_the_weak_order() {
    let zero_mean = Mixture {
        weights: vec![1.0],
        means: vec![0.0],
        std: 0.6,
    };
    let variance = |k: Kernel| (k.alpha() * 0.6).powi(2) + k.sigma().powi(2);
    let steppers: [fn(usize) -> Named; 4] = [
        |steps| {
            let levels = ChurnLevels {
                steps,
                s_noise: 1.0,
                ..ChurnLevels::karras2022_imagenet64()
            };
            ("Churn of Heun", Box::new(Churn::new(Heun, levels).unwrap()))
        },
        |_| ("Renewed Dpm2", Box::new(Renewed::new(Dpm2, 1.0).unwrap())),
        |_| {
            (
                "Renewed Dpm2, half",
                Box::new(Renewed::new(Dpm2, 0.5).unwrap()),
            )
        },
        |_| ("Renewed Ddim", Box::new(Renewed::new(Ddim, 1.0).unwrap())),
    ];
    for make in steppers {
        for kind in 0..GRIDS {
            let (name, stepper) = make(1);
            check_order(
                &format!("{name} on grid {kind}"),
                stepper.order(),
                |steps| {
                    let grid = grid(kind, steps);
                    let (_, mut stepper) = make(steps);
                    let mut v = variance(grid.levels()[0]);
                    for (from, to) in grid.steps() {
                        let mut respond = |x: f64, z: f64| {
                            let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
                            stepper.step(&mut zero_mean.model(), &mut noise, &array![x], from, to)
                                [0]
                        };
                        let (a, b) = (respond(1.0, 0.0), respond(0.0, 1.0));
                        v = a * a * v + b * b;
                    }
                    (v - variance(grid.levels()[steps])).abs()
                },
            );
        }
    }
}
