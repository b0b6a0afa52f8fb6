//! The laws of schedules, tables and level distributions, over every one of the crate.

use proptest::prelude::*;

use noise_schedule::single::Table;
use noise_schedule::{
    BetaSchedule, BetaTime, Cosine, CosineLogSnr, Decay, Discrete, Exploding, FromLogSnr, Grid,
    HalfCauchy, Kernel, Ladder, Laplace, LevelDistribution, LogLogistic, LogNormal, LogSnrLinear,
    LogUniform, LogitNormalTime, ModeTime, NoiseSchedule, PolynomialConvex, Rates, Rectified,
    Segment, ShiftedRectified, SineSquared, SplitLogNormal, SubVp, Timed, UniformLogSnr,
    UniformTime, VeGeometric, VePower, VpLinear, VpPower,
};

/// Discrete schedules have this many levels here: their rates jump at multiples of its inverse.
const LEVELS: usize = 10;

type Schedules = Vec<(&'static str, Box<dyn NoiseSchedule>)>;

/// A schedule of each kind, with parameters spread over their useful range by p and q in [0, 1].
fn schedules(p: f64, q: f64) -> Schedules {
    let vp = VpLinear::new(0.01 + p, 1.1 + 30.0 * q).unwrap();
    let betas: Vec<f64> = (0..LEVELS)
        .map(|i| 0.001 + 0.1 * p + 0.08 * q * i as f64)
        .collect();
    let discrete = Discrete::from_betas(&betas).unwrap();
    let log_snr = move |t: f64| (3.0 + p - 8.0 * t - q * t * t, -8.0 - 2.0 * q * t);
    let (max, min) = (1.0 + 20.0 * p, -1.0 - 20.0 * q);
    let sides = (32.0 * (0.5 + p), 64.0 * (1.0 + q));
    vec![
        ("VpLinear", Box::new(vp)),
        (
            "VpLinear, equal",
            Box::new(VpLinear::new(1.0 + p, 1.0 + p).unwrap()),
        ),
        (
            "VpLinear, from 0",
            Box::new(VpLinear::new(0.0, 1.0 + 30.0 * p).unwrap()),
        ),
        (
            "SubVp",
            Box::new(SubVp::new(0.01 + p, 1.1 + 30.0 * q).unwrap()),
        ),
        ("Cosine", Box::new(Cosine::new(0.5 * p).unwrap())),
        ("Cosine, a circle", Box::new(Cosine::salimans2022())),
        (
            "CosineLogSnr",
            Box::new(CosineLogSnr::new(max, min).unwrap()),
        ),
        (
            "CosineLogSnr, shifted",
            Box::new(CosineLogSnr::shifted(max, min, 64.0, sides.0).unwrap()),
        ),
        (
            "CosineLogSnr, interpolated",
            Box::new(CosineLogSnr::between_sides(max, min, 64.0, sides.0, sides.1).unwrap()),
        ),
        (
            "VeGeometric",
            Box::new(VeGeometric::new(0.001 + p, 1.1 + 100.0 * q).unwrap()),
        ),
        (
            "VePower",
            Box::new(VePower::new(0.1 * p, 1.1 + 100.0 * q, 0.4 + 7.0 * p).unwrap()),
        ),
        (
            "VePower, linear",
            Box::new(VePower::new(0.0, 1.0 + 80.0 * q, 1.0).unwrap()),
        ),
        ("Rectified", Box::new(Rectified)),
        (
            "ShiftedRectified",
            Box::new(ShiftedRectified::new(0.2 + 5.0 * p).unwrap()),
        ),
        (
            "Decay",
            Box::new(Decay::new(0.01 + 0.9 * p, 0.1 * q, 0.1 * p).unwrap()),
        ),
        (
            "Decay, no decay",
            Box::new(Decay::new(1.0, 0.1 * q, 0.1 * p).unwrap()),
        ),
        (
            "PolynomialConvex",
            Box::new(PolynomialConvex::new(0.4 + 3.0 * p).unwrap()),
        ),
        ("VpPower", Box::new(VpPower::new(0.4 + 3.0 * p).unwrap())),
        ("SineSquared", Box::new(SineSquared)),
        (
            "LogSnrLinear",
            Box::new(LogSnrLinear::new(max, min).unwrap()),
        ),
        ("FromLogSnr", Box::new(FromLogSnr(log_snr))),
        (
            "Laplace",
            Box::new(Laplace::new(p - q, 0.3 + 2.0 * q).unwrap()),
        ),
        (
            "Segment",
            Box::new(Segment::new(vp, 0.1 * p, 1.0 - 0.1 * q).unwrap()),
        ),
        (
            "Discrete, to pure noise",
            Box::new(discrete.zero_terminal_snr().unwrap()),
        ),
        ("Discrete", Box::new(discrete)),
    ]
}

/// A distribution of each kind, with parameters spread over their useful range by p and q in [0, 1].
fn distributions(p: f64, q: f64) -> Vec<(&'static str, Box<dyn LevelDistribution>)> {
    let cosine = CosineLogSnr::new(10.0 + p, -10.0 - q).unwrap();
    let uniform = UniformTime::new(cosine, 0.1 * p, 1.0 - 0.1 * q).unwrap();
    let logit = LogitNormalTime::new(p - q, 0.2 + q).unwrap();
    let mode = ModeTime::new(-0.9 + 2.6 * p).unwrap();
    let (sigma_min, sigma_max) = (0.01 + p, 2.0 + 80.0 * q);
    vec![
        (
            "LogUniform",
            Box::new(LogUniform::new(sigma_min, sigma_max).unwrap()),
        ),
        (
            "LogNormal",
            Box::new(LogNormal::new(p - q, 0.1 + q).unwrap()),
        ),
        (
            "SplitLogNormal",
            Box::new(SplitLogNormal::new(p - q, 0.1 + p, 0.1 + q).unwrap()),
        ),
        (
            "LogLogistic",
            Box::new(LogLogistic::new(p - q, 0.1 + q, sigma_min, sigma_max).unwrap()),
        ),
        (
            "HalfCauchy",
            Box::new(HalfCauchy::new(0.1 + q, sigma_min, sigma_max).unwrap()),
        ),
        ("UniformTime", Box::new(uniform)),
        (
            "Exploding",
            Box::new(Exploding::new(uniform, 0.1 + p).unwrap()),
        ),
        (
            "UniformLogSnr",
            Box::new(UniformLogSnr::new(Rectified, 0.01 + 0.1 * p, 0.99).unwrap()),
        ),
        ("LogitNormalTime", Box::new(Timed::new(Rectified, logit))),
        ("ModeTime", Box::new(Timed::new(Rectified, mode))),
        (
            "BetaTime",
            Box::new(Timed::new(
                Rectified,
                BetaTime::new(0.5 + p, 0.5 + q).unwrap(),
            )),
        ),
        ("closure", Box::new(|u: f64| Rectified.kernel(u))),
    ]
}

/// A table of each kind with a valid set of parameters.
fn beta_schedules(p: f64, q: f64) -> [BetaSchedule; 11] {
    let (start, end) = (1e-4 + 0.01 * p, 0.011 + 0.2 * q);
    [
        BetaSchedule::Linear { start, end },
        BetaSchedule::ScaledLinear { start, end },
        BetaSchedule::Logistic { start, end },
        BetaSchedule::Cosine {
            offset: 1e-3 + 0.1 * p,
        },
        BetaSchedule::Sigmoid {
            start: -3.0 - p,
            end: 3.0 + q,
            tau: 0.5 + q,
        },
        BetaSchedule::Exponential {
            rate: 1.0 + 12.0 * p,
        },
        BetaSchedule::Laplace {
            location: p - q,
            scale: 0.2 + q,
        },
        BetaSchedule::LaplaceRoot,
        BetaSchedule::Constant { beta: end },
        BetaSchedule::Reciprocal,
        BetaSchedule::WarmUp {
            start,
            end,
            fraction: p,
        },
    ]
}

/// The same schedule with the provided inverse instead of its own.
struct Bisected<'a>(&'a dyn NoiseSchedule);

impl NoiseSchedule for Bisected<'_> {
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
    fn log_snr_strictly_falls(p in 0.0..1.0, q in 0.0..1.0, t in 0.0..0.999, h in 1e-6..1e-3) {
        for (name, schedule) in schedules(p, q) {
            let (early, late) = (schedule.kernel(t).log_snr(), schedule.kernel(t + h).log_snr());
            prop_assert!(late < early, "{name}: {late} at {} is not below {early} at {t}", t + h);
        }
    }

    #[test]
    fn the_inverse_inverts(p in 0.0..1.0, q in 0.0..1.0, t in 1e-4..1.0) {
        for (name, schedule) in schedules(p, q) {
            let log_snr = schedule.kernel(t).log_snr();
            for found in [schedule.time_at(log_snr), Bisected(&schedule).time_at(log_snr)] {
                prop_assert!((found - t).abs() < 1e-9, "{name}: {found} is not {t}");
            }
        }
    }

    #[test]
    fn log_snrs_out_of_reach_give_the_nearer_end(p in 0.0..1.0, q in 0.0..1.0) {
        for (name, schedule) in schedules(p, q) {
            for (log_snr, end) in [(f64::INFINITY, 0.0), (f64::NEG_INFINITY, 1.0), (-1e6, 1.0)] {
                let found = schedule.time_at(log_snr);
                prop_assert!((found - end).abs() < 1e-12, "{name}: {log_snr} {found}");
            }
            let bisected = Bisected(&schedule);
            prop_assert!(bisected.time_at(f64::INFINITY).abs() < 1e-12, "{name}");
            prop_assert!((bisected.time_at(f64::NEG_INFINITY) - 1.0).abs() < 1e-12, "{name}");
        }
    }

    #[test]
    fn rates_are_derivatives(p in 0.0..1.0, q in 0.0..1.0, u in 0.05..0.95, piece in 0..LEVELS) {
        // Inside a piece of the discrete schedules, whose derivatives jump.
        let t = (piece as f64 + u) / LEVELS as f64;
        let h = 1e-5;
        for (name, schedule) in schedules(p, q) {
            let (before, after) = (schedule.kernel(t - h), schedule.kernel(t + h));
            let rates = schedule.rates(t);
            for (rate, difference) in [
                (rates.alpha, after.alpha() - before.alpha()),
                (rates.sigma, after.sigma() - before.sigma()),
            ] {
                let difference = difference / (2.0 * h);
                prop_assert!(
                    (difference - rate).abs() < 1e-4 * (1.0 + rate.abs()),
                    "{name} at {t}: {difference} is not {rate}"
                );
            }
        }
    }

    #[test]
    fn diffusions_are_positive(p in 0.0..1.0, q in 0.0..1.0, t in 0.001..0.999) {
        for (name, schedule) in schedules(p, q) {
            let g2 = schedule.rates(t).squared_diffusion(schedule.kernel(t));
            prop_assert!(0.0 < g2, "{name}: {g2}");
        }
    }

    #[test]
    fn the_ends_of_time_are_numbers(p in 0.0..1.0, q in 0.0..1.0) {
        for (name, schedule) in schedules(p, q) {
            for t in [0.0, 1.0] {
                let (kernel, rates) = (schedule.kernel(t), schedule.rates(t));
                prop_assert!(Kernel::new(kernel.alpha(), kernel.sigma()).is_ok(), "{name}");
                prop_assert!(!rates.alpha.is_nan() && !rates.sigma.is_nan(), "{name}: {rates:?}");
                prop_assert!(rates.alpha <= 0.0, "{name}: {rates:?}");
            }
        }
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
    fn named_betas_are_positive(p in 0.0..1.0, q in 0.0..1.0, levels in 1usize..200) {
        for named in beta_schedules(p, q) {
            let betas = named.betas(levels).unwrap();
            prop_assert_eq!(betas.len(), levels);
            prop_assert!(betas.iter().all(|&beta| 0.0 < beta && beta <= 1.0), "{:?}", named);
            let schedule = Discrete::from_betas(&betas).unwrap();
            for (found, given) in schedule.betas().zip(betas) {
                prop_assert!((found - given).abs() < 1e-13, "{:?}", named);
            }
        }
    }

    #[test]
    fn single_precision_is_close(p in 0.0..1.0, q in 0.0..1.0, levels in 2usize..200) {
        for named in beta_schedules(p, q) {
            let exact = Discrete::named(named, levels).unwrap();
            let table = Table::new(named, levels).unwrap();
            for index in 0..levels {
                let (rounded, level) = (table.kernel(index), exact.level(index));
                prop_assert!((rounded.alpha() - level.alpha()).abs() < 2e-6, "{:?}", named);
                prop_assert!((rounded.sigma() - level.sigma()).abs() < 1e-5, "{:?}", named);
            }
        }
    }

    #[test]
    fn zero_terminal_snr_ends_in_pure_noise(betas in prop::collection::vec(1e-4..0.5, 2..50)) {
        let schedule = Discrete::from_betas(&betas).unwrap();
        let rescaled = schedule.zero_terminal_snr().unwrap();
        prop_assert_eq!(rescaled.level(betas.len() - 1), Kernel::new(0.0, 1.0).unwrap());
        prop_assert_eq!(rescaled.level(0), schedule.level(0));
        for index in 1..betas.len() {
            let (noise, before) = (rescaled.level(index).sigma(), schedule.level(index).sigma());
            prop_assert!(before < noise || before == 1.0, "{} {}", before, noise);
        }
        // Once there, it stays.
        let again = rescaled.zero_terminal_snr().unwrap();
        for (found, beta) in again.betas().zip(rescaled.betas()) {
            prop_assert!((found - beta).abs() < 1e-12);
        }
    }

    #[test]
    fn variance_preserving_kernels_preserve_it(log_snr in -700.0..700.0) {
        let kernel = Kernel::variance_preserving(log_snr);
        prop_assert!((kernel.alpha().hypot(kernel.sigma()) - 1.0).abs() < 1e-15);
        prop_assert!((kernel.log_snr() - log_snr).abs() < 1e-12 * (1.0 + log_snr.abs()));
    }

    #[test]
    fn grids_fall(kind in 0usize..1000, p in 0.0..1.0, q in 0.0..1.0, steps in 1usize..60, rho in 0.1..20.0) {
        let mut schedules = schedules(p, q);
        let (_, schedule) = schedules.swap_remove(kind % schedules.len());
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
    fn noise_rises_with_u(p in 0.0..1.0, q in 0.0..1.0, u in 0.001..0.99) {
        for (name, levels) in distributions(p, q) {
            let (low, high) = (levels.quantile(u), levels.quantile(u + 1e-3));
            prop_assert!(
                low.noise_to_signal() < high.noise_to_signal(),
                "{name}: {low:?} {high:?}"
            );
        }
    }

    #[test]
    fn the_ends_of_u_are_levels(p in 0.0..1.0, q in 0.0..1.0) {
        for (name, levels) in distributions(p, q) {
            let ends = [0.0, 1.0].map(|u| levels.quantile(u));
            for kernel in ends {
                prop_assert!(Kernel::new(kernel.alpha(), kernel.sigma()).is_ok(), "{name}");
            }
            prop_assert!(ends[0].noise_to_signal() < ends[1].noise_to_signal(), "{name}");
        }
    }

    #[test]
    fn ladders_draw_what_they_weigh(
        weights in prop::collection::vec(prop_oneof![Just(0.0), 0.01..1.0], 1..30),
        u in 0.0..1.0,
    ) {
        prop_assume!(weights.iter().any(|&weight| 0.0 < weight));
        let levels = (1..=weights.len()).map(|i| Kernel::variance_exploding(i as f64).unwrap());
        let ladder = Ladder::weighted(levels.collect(), &weights).unwrap();
        let index = ladder.index(u);
        let below: f64 = (0..index).map(|i| ladder.probability(i)).sum();
        prop_assert!(0.0 < weights[index]);
        prop_assert!(below <= u + 1e-12 && u < below + ladder.probability(index) + 1e-12);
    }
}
