//! Named tables of betas: known ends, known answers, and refusals.

use std::f64::consts::PI;

use noise_schedule::{
    BetaSchedule, Discrete, Error, Laplace, NoiseSchedule, VpLinear, betas_for_alpha_bar,
};

/// The noise-to-signal ratios of the first and the last of a thousand levels, and the last alpha_bar.
fn ends(schedule: BetaSchedule) -> [f64; 3] {
    let table = Discrete::named(schedule, 1000).unwrap();
    let (first, last) = (table.level(0), table.level(999));
    [
        first.noise_to_signal(),
        last.noise_to_signal(),
        last.alpha().powi(2),
    ]
}

#[test]
fn ends_of_the_tables_in_use() {
    // Computed in double precision from the definitions, with diffusers' parameters.
    let logistic = BetaSchedule::Logistic {
        start: 1e-4,
        end: 0.02,
    };
    for (schedule, expected) in [
        (
            BetaSchedule::ho2020(),
            [0.010000500, 157.407281, 4.03583e-5],
        ),
        (
            BetaSchedule::rombach2022(),
            [0.02916716, 14.614641, 4.6601e-3],
        ),
        (
            BetaSchedule::nichol2021_cosine(),
            [0.00642541, 20291.17, 2.4288e-9],
        ),
        (logistic, [0.01221587, 158.743369, 3.96826e-5]),
    ] {
        for (found, expected) in ends(schedule).into_iter().zip(expected) {
            assert!(
                (found / expected - 1.0).abs() < 2e-5,
                "{schedule:?}: {found}"
            );
        }
    }
}

#[test]
fn known_answers() {
    let betas = |schedule: BetaSchedule, levels| schedule.betas(levels).unwrap();
    assert_eq!(
        betas(BetaSchedule::Reciprocal, 4),
        [0.25, 1.0 / 3.0, 0.5, 1.0]
    );
    assert_eq!(betas(BetaSchedule::Constant { beta: 0.1 }, 2), [0.1, 0.1]);
    let warm_up = BetaSchedule::WarmUp {
        start: 0.1,
        end: 0.3,
        fraction: 0.5,
    };
    assert_eq!(betas(warm_up, 6), [0.1, 0.2, 0.3, 0.3, 0.3, 0.3]);
    for beta in betas(BetaSchedule::Exponential { rate: 12.0 }, 1000) {
        assert!((beta + (-0.012_f64).exp_m1()).abs() < 1e-14);
    }
    // The Laplace schedule is its continuous form at t = i/N, but for the cap.
    let table = Discrete::named(BetaSchedule::hang2024(), 10).unwrap();
    for index in 0..9 {
        let expected = Laplace::hang2024().kernel((index + 1) as f64 / 10.0);
        assert!((table.level(index).log_snr() - expected.log_snr()).abs() < 1e-13);
    }
    // sigmoid schedule: symmetric about t = 1/2, where alpha_bar is 1/2.
    let table = Discrete::named(BetaSchedule::jabri2022(), 1000).unwrap();
    assert!((table.level(499).alpha().powi(2) - 0.5).abs() < 1e-12);
    assert_eq!(betas(BetaSchedule::ho2020(), 1), [1e-4]);
}

#[test]
fn fewer_levels_end_at_the_same_noise() {
    let vp = VpLinear::song2021().kernel(1.0).log_snr();
    for levels in [100, 1000, 10_000] {
        let schedule = BetaSchedule::nichol2021_linear(levels);
        let table = Discrete::named(schedule, levels).unwrap();
        let allowed = 100.0 / levels as f64;
        assert!((table.level(levels - 1).log_snr() - vp).abs() < 2.0 * allowed);
    }
    assert!(BetaSchedule::nichol2021_linear(19).betas(19).is_err());
}

#[test]
fn the_cosine_table_is_the_levels_of_iddpm() {
    // Karras et al. 2022, table 1: u_0 … u_M with u_M = 0 and
    // u_{j−1} = √((u_j² + 1)/max(alpha_bar_{j−1}/alpha_bar_j, C1) − 1), alpha_bar_j = sin²(π j/(2 M (C2 + 1))).
    let (c1, c2, m) = (0.001, 0.008, 1000_u32);
    let table = Discrete::named(BetaSchedule::Cosine { offset: c2 }, 1000).unwrap();
    let alpha_bar = |j: u32| {
        (0.5 * PI * f64::from(j) / f64::from(m) / (c2 + 1.0))
            .sin()
            .powi(2)
    };
    let mut u = 0.0_f64;
    for j in (1..=m).rev() {
        u = ((u * u + 1.0) / (alpha_bar(j - 1) / alpha_bar(j)).max(c1) - 1.0).sqrt();
        let found = table.level((m - j) as usize).noise_to_signal();
        assert!((found / u - 1.0).abs() < 1e-10, "{j}: {found} {u}");
    }
}

#[test]
fn parameters_are_checked() {
    use BetaSchedule::{
        Constant, Cosine, Exponential, Laplace, Linear, Logistic, ScaledLinear, Sigmoid, WarmUp,
    };
    let refused = |schedule: BetaSchedule| schedule.betas(10).unwrap_err();
    assert_eq!(
        refused(Linear {
            start: 0.5,
            end: 1.5
        }),
        Error::DiscreteBeta {
            index: 5,
            beta: 0.5 + 5.0 / 9.0
        }
    );
    for schedule in [
        Linear {
            start: 0.0,
            end: 0.1,
        },
        Linear {
            start: f64::NAN,
            end: 0.1,
        },
        ScaledLinear {
            start: -0.1,
            end: 0.1,
        },
        Logistic {
            start: 0.1,
            end: f64::INFINITY,
        },
        Constant { beta: 1.0 },
    ] {
        assert!(matches!(refused(schedule), Error::DiscreteBeta { .. }));
    }
    assert!(matches!(
        refused(Cosine { offset: -1.0 }),
        Error::CosineOffset { .. }
    ));
    assert!(matches!(
        refused(Exponential { rate: 0.0 }),
        Error::NotPositive { .. }
    ));
    assert!(matches!(
        refused(Sigmoid {
            start: 1.0,
            end: 1.0,
            tau: 1.0
        }),
        Error::SigmoidRange { .. }
    ));
    assert!(matches!(
        refused(Laplace {
            location: f64::NAN,
            scale: 0.5
        }),
        Error::NotFinite { .. }
    ));
    assert!(matches!(
        refused(WarmUp {
            start: 0.1,
            end: 0.2,
            fraction: 1.1
        }),
        Error::Fraction { .. }
    ));
    assert_eq!(
        BetaSchedule::ho2020().betas(0),
        Err(Error::NoDiscreteLevels)
    );
    assert!(betas_for_alpha_bar(3, 0.999, |t| 1.0 + t).is_err());
}
