//! How the start of a multistep method shows in its order; `tests/orders.rs` measures every method.

use ndarray::{Array1, array};
use noise_schedule::{Grid, Kernel};

use super::common::Mixture;
use super::{distance, grid};
use samplers::{AdamsBashforth, Silent, Start, sample};

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
