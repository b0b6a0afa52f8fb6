//! The facade: the same numbers, one answer of the network at a time.

mod common;

use ndarray::Array2;
use noise_schedule::{Grid, Kernel, NoiseSchedule, VpLinear};

use common::{Mixture, streams};
use samplers::{Call, Prediction, Prepared, Scheduler, Solver, sample};

const PREDICTIONS: [Prediction; 6] = [
    Prediction::Epsilon,
    Prediction::Sample,
    Prediction::Velocity,
    Prediction::Score,
    Prediction::Flow,
    Prediction::Edm {
        sigma_data: 0.5,
        sign: 1.0,
    },
];

fn start() -> Array2<f64> {
    Array2::from_shape_fn((4, 2), |(i, j)| i as f64 - 1.7 + 0.3 * j as f64)
}

/// Every solver, whatever it asks per step and draws, gives to the bit what it gives when it asks itself,
/// and to rounding what it gives where every sum is made at once.
#[test]
fn pushing_is_pulling() {
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let schedule = VpLinear::song2021();
    let grids = [
        Grid::uniform_log_snr(&schedule, 0.95, 0.02, 7)
            .unwrap()
            .then_clean(),
        Grid::karras(0.02, 10.0, 7.0, 6).unwrap(),
    ];
    for solver in Solver::all() {
        for grid in &grids {
            let stepper = solver.stepper::<Array2<f64>>();
            let at_once = sample(grid, stepper, &mut model, &mut streams(7, 0..4), start());
            let label = |at: Kernel| schedule.time_at(at.log_snr());
            let prepared = Prepared::along(grid, solver, label, Prediction::Sample);
            let expected = prepared.run(&mut model, &mut streams(7, 0..4), start());
            assert!(
                (&expected - &at_once).iter().all(|d| d.abs() < 1e-13),
                "{solver}: {expected} {at_once}"
            );
            let mut scheduler = Scheduler::new(prepared);
            let mut noise = streams(7, 0..4);
            let mut x = start();
            while let Some(Call { timestep, at }) = scheduler.next_call() {
                let answer = model(&scheduler.scale_model_input(&x, timestep), at);
                x = scheduler.step(answer, timestep, x, &mut noise);
            }
            assert_eq!(x, expected, "{solver}");
        }
    }
}

/// What the network answers does not matter, as long as the scheduler knows what it means.
#[test]
fn predictions_mean_the_same() {
    let mixture = Mixture::two_modes();
    let model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let grid = Grid::karras(0.02, 10.0, 7.0, 6).unwrap();
    let mut results = PREDICTIONS.iter().map(|&prediction| {
        let label = |at: Kernel| at.noise_to_signal();
        let prepared = Prepared::along(&grid, Solver::Heun, label, prediction);
        let mut network = |x: &Array2<f64>, call: Call| {
            let denoised = model(x, call.at);
            prediction.answer(&denoised, x, call.at)
        };
        let pulled = prepared.run_network(&mut network, &mut samplers::Silent, start());
        let mut scheduler = Scheduler::new(prepared);
        let mut x = start();
        while let Some(call) = scheduler.next_call() {
            x = scheduler.step(network(&x, call), call.timestep, x, &mut samplers::Silent);
        }
        assert_eq!(x, pulled, "{prediction:?}");
        x
    });
    let first = results.next().unwrap();
    for other in results {
        assert!(
            (&other - &first).iter().all(|d| d.abs() < 1e-10),
            "{other} {first}"
        );
    }
}

#[test]
fn answers_invert_denoising_at_every_level() {
    let x = start();
    let denoised = start().mapv(f64::tanh);
    for at in [
        VpLinear::song2021().kernel(0.4),
        Kernel::variance_exploding(3.0).unwrap(),
        Kernel::new(0.3, 0.7).unwrap(),
        Kernel::new(2.0, 0.1).unwrap(),
    ] {
        for prediction in PREDICTIONS {
            let answer = prediction.answer(&denoised, &x, at);
            let back = prediction.denoised(&answer, &x, at);
            assert!(
                (&back - &denoised).iter().all(|d| d.abs() < 1e-12),
                "{prediction:?} {at:?}"
            );
        }
    }
    // From pure noise the noise is the state, and a flow's answer is finite.
    let noise = Kernel::new(0.0, 1.0).unwrap();
    assert_eq!(Prediction::Epsilon.answer(&denoised, &x, noise), x);
    let flow = Prediction::Flow.answer(&denoised, &x, noise);
    assert!(
        (Prediction::Flow.denoised(&flow, &x, noise) - &denoised)
            .iter()
            .all(|d: &f64| d.abs() < 1e-12)
    );
}

#[test]
fn noise_is_added_at_the_level_of_the_timestep() {
    let grid = Grid::karras(0.5, 10.0, 7.0, 4).unwrap();
    let prepared = Prepared::along(&grid, Solver::Euler, |at| at.sigma(), Prediction::Epsilon);
    let scheduler: Scheduler<Array2<f64>> = Scheduler::new(prepared);
    let (x, z) = (start(), start().mapv(f64::sin));
    let sigma = scheduler.timesteps()[1];
    let noisy = scheduler.add_noise(&x, &z, sigma).unwrap();
    assert!(
        (&noisy - &(&x + &(&z * sigma)))
            .iter()
            .all(|d| d.abs() < 1e-12)
    );
    let error = scheduler.add_noise(&x, &z, -1.0).unwrap_err();
    assert!(error.to_string().contains("timestep -1"), "{error}");
}

#[test]
#[should_panic(expected = "the next timestep is 10, got 3")]
fn timesteps_come_in_order() {
    let grid = Grid::karras(0.5, 10.0, 7.0, 4).unwrap();
    let prepared = Prepared::along(&grid, Solver::Euler, |at| at.sigma(), Prediction::Epsilon);
    let mut scheduler = Scheduler::new(prepared);
    scheduler.step(start(), 3.0, start(), &mut samplers::Silent);
}
