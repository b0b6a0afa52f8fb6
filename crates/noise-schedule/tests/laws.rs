//! The laws of schedules, grids and level distributions, over every schedule of the crate.

use proptest::prelude::*;

use noise_schedule::{
    Cosine, Discrete, Grid, Kernel, LevelDistribution, LogNormal, LogSnrLinear, LogUniform,
    NoiseSchedule, Rates, Rectified, SubVp, UniformLogSnr, UniformTime, VeGeometric, VpLinear,
};

const KINDS: usize = 8;
const DISCRETE: usize = 7;
const DISCRETE_LEVELS: usize = 10;

/// A schedule of each kind, with parameters spread over their useful range by p and q in [0, 1].
fn schedule(kind: usize, p: f64, q: f64) -> Box<dyn NoiseSchedule> {
    match kind {
        0 => Box::new(VpLinear::new(0.01 + p, 1.1 + 30.0 * q).unwrap()),
        1 => Box::new(SubVp::new(0.01 + p, 1.1 + 30.0 * q).unwrap()),
        2 => Box::new(Cosine::new(0.5 * p).unwrap()),
        3 => Box::new(VeGeometric::new(0.001 + p, 1.1 + 100.0 * q).unwrap()),
        4 => Box::new(Rectified),
        5 => Box::new(LogSnrLinear::new(1.0 + 20.0 * p, -1.0 - 20.0 * q).unwrap()),
        6 => Box::new(VpLinear::new(1.0 + p, 1.0 + p).unwrap()),
        DISCRETE => {
            let betas: Vec<f64> = (0..DISCRETE_LEVELS)
                .map(|i| 0.001 + 0.1 * p + 0.08 * q * i as f64)
                .collect();
            Box::new(Discrete::from_betas(&betas).unwrap())
        }
        _ => unreachable!("there are {KINDS} kinds"),
    }
}

/// The same schedule with the provided inverse instead of its own.
struct Bisected(Box<dyn NoiseSchedule>);

impl NoiseSchedule for Bisected {
    fn kernel(&self, t: f64) -> Kernel {
        self.0.kernel(t)
    }
    fn rates(&self, t: f64) -> Rates {
        self.0.rates(t)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn log_snr_strictly_falls(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0, t in 0.0..0.999, h in 1e-6..1e-3) {
        let schedule = schedule(kind, p, q);
        let (early, late) = (schedule.kernel(t).log_snr(), schedule.kernel(t + h).log_snr());
        prop_assert!(late < early, "{late} at {} is not below {early} at {t}", t + h);
    }

    #[test]
    fn the_inverse_inverts(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0, t in 1e-4..1.0) {
        let schedule = schedule(kind, p, q);
        let log_snr = schedule.kernel(t).log_snr();
        prop_assert!((schedule.time_at(log_snr) - t).abs() < 1e-9);
        prop_assert!((Bisected(schedule).time_at(log_snr) - t).abs() < 1e-9);
    }

    #[test]
    fn log_snrs_out_of_reach_give_the_nearer_end(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0) {
        let schedule = schedule(kind, p, q);
        for (log_snr, end) in [(f64::INFINITY, 0.0), (f64::NEG_INFINITY, 1.0), (-1e6, 1.0)] {
            prop_assert!((schedule.time_at(log_snr) - end).abs() < 1e-12);
        }
        let schedule = Bisected(schedule);
        prop_assert!((schedule.time_at(f64::INFINITY)).abs() < 1e-12);
        prop_assert!((schedule.time_at(f64::NEG_INFINITY) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn rates_are_derivatives(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0, u in 0.05..0.95, piece in 0..DISCRETE_LEVELS) {
        let schedule = schedule(kind, p, q);
        // The derivative of a discrete schedule jumps between its pieces: stay inside one.
        let t = if kind == DISCRETE { (piece as f64 + u) / DISCRETE_LEVELS as f64 } else { u };
        let h = 1e-5;
        let (before, after) = (schedule.kernel(t - h), schedule.kernel(t + h));
        let rates = schedule.rates(t);
        for (rate, difference) in [
            (rates.alpha, after.alpha() - before.alpha()),
            (rates.sigma, after.sigma() - before.sigma()),
        ] {
            prop_assert!((difference / (2.0 * h) - rate).abs() < 1e-4 * (1.0 + rate.abs()), "{difference} {rate}");
        }
    }

    #[test]
    fn diffusions_are_positive(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0, t in 0.001..0.999) {
        let schedule = schedule(kind, p, q);
        prop_assert!(0.0 < schedule.rates(t).squared_diffusion(schedule.kernel(t)));
    }

    #[test]
    fn discrete_betas_are_positive_and_return(betas in prop::collection::vec(1e-6..0.999, 1..50)) {
        let schedule = Discrete::from_betas(&betas).unwrap();
        prop_assert_eq!(schedule.betas().count(), betas.len());
        for (found, given) in schedule.betas().zip(betas) {
            prop_assert!(0.0 < found && (found - given).abs() < 1e-12);
        }
    }

    #[test]
    fn variance_preserving_kernels_preserve_it(log_snr in -700.0..700.0) {
        let kernel = Kernel::variance_preserving(log_snr);
        prop_assert!((kernel.alpha().hypot(kernel.sigma()) - 1.0).abs() < 1e-15);
        prop_assert!((kernel.log_snr() - log_snr).abs() < 1e-12 * (1.0 + log_snr.abs()));
    }

    #[test]
    fn grids_fall(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0, steps in 1usize..60, rho in 0.1..20.0) {
        let schedule = schedule(kind, p, q);
        let grids = [
            (Grid::uniform_time(&schedule, 1.0, 0.0, steps), steps + 1),
            (Grid::uniform_log_snr(&schedule, 0.99, 0.01, steps), steps + 1),
            (Grid::karras(0.01 + p, 2.0 + q, rho, steps), steps),
            (Grid::geometric(2.0 + q, 0.01 + p, steps), steps),
        ];
        for (grid, levels) in grids {
            let grid = grid.unwrap();
            prop_assert_eq!(grid.levels().len(), levels);
            let grid = grid.then_clean();
            prop_assert_eq!(grid.levels().last(), Some(&Kernel::CLEAN));
            prop_assert_eq!(grid.steps().len(), grid.levels().len() - 1);
            for (from, to) in grid.steps() {
                prop_assert!(to.noise_to_signal() <= from.noise_to_signal());
            }
        }
    }

    #[test]
    fn noise_rises_with_u(kind in 0..KINDS, p in 0.0..1.0, q in 0.0..1.0, u in 0.001..0.99) {
        let distributions: [Box<dyn LevelDistribution>; 4] = [
            Box::new(LogUniform::new(0.01 + p, 2.0 + q).unwrap()),
            Box::new(LogNormal::new(p - q, 0.1 + q).unwrap()),
            Box::new(UniformTime::new(schedule(kind, p, q), 0.1 * p, 1.0 - 0.1 * q).unwrap()),
            Box::new(UniformLogSnr::new(schedule(kind, p, q), 0.01, 0.99).unwrap()),
        ];
        for levels in distributions {
            let (low, high) = (levels.quantile(u), levels.quantile(u + 1e-3));
            prop_assert!(low.noise_to_signal() < high.noise_to_signal());
        }
    }
}
