//! How often a sampler passes over its state: once a step.

use std::cell::Cell;

use ndarray::{Array1, Array2, array};
use noise_schedule::Grid;
use samplers::compat::{Options, Value, diffusers};
use samplers::{Call, Prediction, Prepared, Scheduler, Silent, Solver, VectorSpace};

thread_local! {
    /// Sums in fresh memory, sums in memory that was there, and copies.
    static PASSES: Cell<[usize; 3]> = const { Cell::new([0; 3]) };
}

fn count(which: usize) {
    let mut passes = PASSES.get();
    passes[which] += 1;
    PASSES.set(passes);
}

/// A state that counts.
struct Counting(Array1<f64>);

impl Clone for Counting {
    fn clone(&self) -> Counting {
        count(2);
        Counting(self.0.clone())
    }
}

impl VectorSpace for Counting {
    fn axpby(a: f64, x: &Counting, b: f64, y: &Counting) -> Counting {
        Counting::combine(&[(a, x), (b, y)])
    }

    fn combine(terms: &[(f64, &Counting)]) -> Counting {
        count(0);
        let terms: Vec<_> = terms.iter().map(|(a, x)| (*a, &x.0)).collect();
        Counting(VectorSpace::combine(&terms))
    }

    fn combine_in(a: f64, x: Counting, terms: &[(f64, &Counting)]) -> Counting {
        count(1);
        let terms: Vec<_> = terms.iter().map(|(b, y)| (*b, &y.0)).collect();
        Counting(VectorSpace::combine_in(a, x.0, &terms))
    }
}

/// The passes of a trajectory of seven steps, whoever drives it; the network costs none.
fn passes(solver: Solver) -> [usize; 3] {
    let grid = Grid::karras(0.02, 10.0, 7.0, 7).unwrap().then_clean();
    let prepared = Prepared::along(&grid, solver, |at| at.sigma(), Prediction::Epsilon);
    let answer = |x: &Counting| Counting(x.0.mapv(f64::sin));
    let start = || Counting(array![7.0, -12.0]);
    let mut network = |x: &Counting, _: Call| answer(x);
    let pulled = prepared.run_network(&mut network, &mut Silent, start());
    let passes = PASSES.take();
    let mut scheduler = Scheduler::new(prepared);
    let mut x = start();
    while let Some(Call { timestep, .. }) = scheduler.next_call() {
        x = scheduler.step(answer(&x), timestep, x, &mut Silent);
    }
    assert_eq!(PASSES.take(), passes, "{solver}");
    assert_eq!(x.0, pulled.0, "{solver}");
    passes
}

#[test]
fn a_step_of_one_evaluation_is_one_pass() {
    assert_eq!(passes(Solver::Euler), [0, 7, 0]);
    // The first step's state and answer are remembered, so that their memory is not free.
    assert_eq!(passes(Solver::DpmPlusPlus2M), [1, 6, 0]);
}

#[test]
fn a_second_evaluation_is_a_second_pass() {
    // The state between is shown to the network and dropped; the last step has none.
    assert_eq!(passes(Solver::Heun), [6, 7, 0]);
}

/// Classes of diffusers that round to `f32` on the way leave states in `f32` to their own rounding.
#[test]
fn single_precision_is_the_same_trajectory() {
    for class in [
        "DDIMScheduler",
        "DPMSolverMultistepScheduler",
        "EulerDiscreteScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "UniPCMultistepScheduler",
    ] {
        let unclipped = ("clip_sample".to_owned(), Value::Bool(false));
        let config = || match class {
            "DDIMScheduler" => Options::new(class, [unclipped.clone()]),
            _ => Options::new(class, []),
        };
        let step = || Options::new("step", []);
        let start = array![[0.3, -1.0], [1.4, 0.2]];
        let double: Prepared<Array2<f64>> = diffusers::prepare(class, config(), 9, step()).unwrap();
        let mut network = |x: &Array2<f64>, _: Call| x.mapv(|x| 0.3 * x.sin());
        let expected = double.run_network(&mut network, &mut Silent, start.clone());
        let single: Prepared<Array2<f32>> = diffusers::prepare(class, config(), 9, step()).unwrap();
        let mut network = |x: &Array2<f32>, _: Call| x.mapv(|x| 0.3 * x.sin());
        let start = start.mapv(|x| x as f32);
        let found = single.run_network(&mut network, &mut Silent, start);
        for (found, expected) in found.iter().zip(&expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(
                error < 1e-5 * expected.abs().max(1.0),
                "{class}: {found} {expected}"
            );
        }
    }
}
