//! Weightings on one footing: what each is on the target that its source names, and what levels have to do with it.

mod rows;

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, PI};

use noise_schedule::{
    Kernel, LevelDistribution, LogNormal, LogSnrLinear, LogUniform, NoiseSchedule, Rectified,
    UniformLogSnr, UniformTime, VpLinear,
};
use proptest::prelude::*;
use rows::all_rows;
use score_objective::{
    CleanSample, Cosmap, Direction, Edm, EdmVelocity, EdmWeight, Epsilon, FlowUniform,
    FlowVelocity, InverseSnr, KarrasVe, Likelihood, MinSnr, Ncsn, On, P2, PerLogSnr,
    Preconditioner, Score, Snr, SnrPlusOne, SoftMinSnr, TruncatedSnr, Uncertainty, Uniform,
    Velocity, Weighting, effective_weight, log_snr_density,
};

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

fn kernels() -> impl Strategy<Value = Kernel> {
    (0.05..1.5_f64, -5.0..4.0_f64)
        .prop_map(|(alpha, ln_sigma)| Kernel::new(alpha, ln_sigma.exp()).unwrap())
}

fn flow() -> FlowVelocity {
    FlowVelocity::new(Direction::ToNoise)
}

/// Every weighting without a schedule.
fn all_weightings(s: f64) -> Vec<(&'static str, Box<dyn Weighting>)> {
    vec![
        ("uniform", Box::new(Uniform)),
        ("snr", Box::new(Snr)),
        ("snr+1", Box::new(SnrPlusOne)),
        ("flow", Box::new(FlowUniform)),
        ("inverse", Box::new(InverseSnr)),
        ("truncated", Box::new(TruncatedSnr::salimans2022())),
        ("min", Box::new(MinSnr::new(5.0).unwrap())),
        ("soft min", Box::new(SoftMinSnr::for_data(s).unwrap())),
        ("p2", Box::new(P2::choi2022())),
        ("ncsn", Box::new(Ncsn::song2019())),
        ("cosmap", Box::new(Cosmap)),
        ("edm", Box::new(EdmWeight::new(s).unwrap())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_uniform_weight_on_each_target_has_a_name(k in kernels(), s in 0.1..5.0_f64) {
        let cases: [(&dyn Weighting, &dyn Preconditioner); 9] = [
            (&Uniform, &CleanSample::unit()),
            (&Snr, &Epsilon::unit()),
            (&Snr, &KarrasVe),
            (&SnrPlusOne, &Velocity::unit()),
            (&SnrPlusOne, &Edm::unit()),
            (&EdmWeight::new(s).unwrap(), &Edm::new(s).unwrap()),
            (&EdmWeight::new(s).unwrap(), &EdmVelocity::new(s).unwrap()),
            (&FlowUniform, &flow()),
            (&FlowUniform, &FlowVelocity::new(Direction::ToData)),
        ];
        for (index, (weighting, row)) in cases.into_iter().enumerate() {
            prop_assert!(close(weighting.on(row, k), 1.0, 1e-12), "{index}");
        }
        // At unit data, EDM's weight is that of v.
        prop_assert!(close(EdmWeight::new(1.0).unwrap().weight(k), SnrPlusOne.weight(k), 1e-14));
    }

    #[test]
    fn published_formulas(k in kernels(), s in 0.1..5.0_f64, gamma in 0.2..20.0_f64, bias in -4.0..4.0_f64) {
        let (snr, n) = (k.snr(), k.noise_to_signal());
        let tau = k.sigma() / (k.alpha() + k.sigma());
        let (epsilon, x0, v, f) = (
            Epsilon::unit(), CleanSample::unit(), Velocity::unit(), Edm::new(s).unwrap(),
        );
        // As the sources write them, each on its own target; k-diffusion's in its σ, which is n.
        let cases: [(&dyn Weighting, &dyn Preconditioner, f64); 18] = [
            (&Uniform, &epsilon, 1.0 / snr),
            (&Snr, &x0, snr),
            (&Snr, &f, s * s / (n * n + s * s)),
            (&InverseSnr, &x0, 1.0 / snr),
            (&TruncatedSnr::salimans2022(), &x0, snr.max(1.0)),
            (&TruncatedSnr::new(gamma).unwrap(), &epsilon, snr.max(gamma) / snr),
            (&MinSnr::new(gamma).unwrap(), &epsilon, snr.min(gamma) / snr),
            (&MinSnr::new(gamma).unwrap(), &x0, snr.min(gamma)),
            (&MinSnr::new(gamma).unwrap(), &v, snr.min(gamma) / (snr + 1.0)),
            (&SoftMinSnr::for_data(s).unwrap(), &x0, 1.0 / (n * n + s * s)),
            (&SoftMinSnr::for_data(s).unwrap(), &f, (n * s / (n * n + s * s)).powi(2)),
            (&SoftMinSnr::sigmoid(bias).unwrap(), &epsilon, 1.0 / (1.0 + (snr.ln() - bias).exp())),
            (&P2::choi2022(), &epsilon, 1.0 / (1.0 + snr)),
            (&P2::new(1.5, 0.5).unwrap(), &epsilon, (1.5 + snr).powf(-0.5)),
            (&EdmWeight::new(s).unwrap(), &x0, (n * n + s * s) / (n * s).powi(2)),
            (&Cosmap, &flow(), 2.0 / (PI * (1.0 - 2.0 * tau + 2.0 * tau * tau))),
            (&FlowUniform, &x0, tau.powi(-2)),
            // ½ σ^p on the score of x/α, which is α times that of x.
            (&Ncsn::new(1.3).unwrap(), &Score::unit(), 0.5 * n.powf(1.3) * k.alpha().powi(2)),
        ];
        for (index, (weighting, row, expected)) in cases.into_iter().enumerate() {
            let found = weighting.on(row, k);
            prop_assert!((found / expected - 1.0).abs() < 1e-11, "{index}: {found} {expected}");
        }
    }

    #[test]
    fn weights_move_between_targets_and_back(k in kernels(), s in 0.1..5.0_f64) {
        for (name, weighting) in all_weightings(s) {
            for (row_name, row) in all_rows(s) {
                let on = On::new(&*row, |k: Kernel| weighting.on(&*row, k));
                let (found, expected) = (on.weight(k), weighting.weight(k));
                prop_assert!((found / expected - 1.0).abs() < 1e-12, "{name} on {row_name}");
            }
        }
    }

    #[test]
    fn limits_and_bounds(k in kernels(), s in 0.1..5.0_f64, gamma in 0.2..20.0_f64) {
        let min = MinSnr::new(gamma).unwrap().weight(k);
        let soft = SoftMinSnr::new(gamma).unwrap().weight(k);
        prop_assert!(0.5 * min <= soft * (1.0 + 1e-14) && soft <= min);
        // min-SNR with a cap out of reach is the simple loss, with a low one a uniform weight.
        let capless = MinSnr::new(1e300).unwrap();
        prop_assert!(close(capless.on(&Epsilon::unit(), k), 1.0, 1e-13));
        prop_assert_eq!(MinSnr::new(1e-300).unwrap().weight(k), 1e-300);
        prop_assert!(close(SoftMinSnr::new(1e300).unwrap().weight(k), Snr.weight(k), 1e-13));
        // max(a, b) + min(a, b) = a + b
        let truncated = TruncatedSnr::new(gamma).unwrap().weight(k);
        prop_assert!(close(truncated + min, k.snr() + gamma, 1e-14));
        // The weight of both x0 and eps is that of v.
        prop_assert!(close(Uniform.weight(k) + Snr.weight(k), SnrPlusOne.weight(k), 1e-14));
        prop_assert!(close(2.0 * Ncsn::song2019().weight(k), Snr.weight(k), 1e-12));
        prop_assert!(close(P2::new(2.0, 0.0).unwrap().weight(k), Snr.weight(k), 1e-13));
        // A weighting knows a level by its noise-to-signal ratio alone.
        let rescaled = Kernel::new(3.0 * k.alpha(), 3.0 * k.sigma()).unwrap();
        for (name, weighting) in all_weightings(s) {
            prop_assert!((weighting.weight(rescaled) / weighting.weight(k) - 1.0).abs() < 1e-12, "{name}");
        }
    }

    #[test]
    fn likelihood_weighting_is_vdm_is_g_squared(t in 0.02..0.98_f64) {
        let vp = VpLinear::song2021();
        let schedules: [&dyn NoiseSchedule; 3] = [&vp, &Rectified, &LogSnrLinear::kingma2021()];
        for (index, schedule) in schedules.into_iter().enumerate() {
            let (k, rates) = (schedule.kernel(t), schedule.rates(t));
            let weighting = Likelihood::new(schedule);
            let g2 = rates.squared_diffusion(k);
            prop_assert!((weighting.on(&Score::unit(), k) / (0.5 * g2) - 1.0).abs() < 1e-9, "{index}");
            let h = 1e-5;
            let slope = (schedule.kernel(t - h).log_snr() - schedule.kernel(t + h).log_snr()) / (2.0 * h);
            prop_assert!((weighting.on(&Epsilon::unit(), k) / (0.5 * slope) - 1.0).abs() < 1e-4, "{index}");
            // Uniform times are one way to draw log-SNRs.
            let half = PerLogSnr::new(|k: Kernel| 0.5 * k.snr(), UniformTime::new(schedule, 0.0, 1.0).unwrap());
            prop_assert!((half.weight(k) / weighting.weight(k) - 1.0).abs() < 1e-7, "{index}");
        }
    }
}

#[test]
fn both_ends_of_the_scale_have_weights() {
    let (clean, noise) = (Kernel::CLEAN, Kernel::new(0.0, 2.0).unwrap());
    for (name, weighting) in all_weightings(0.5) {
        for k in [clean, noise] {
            assert!(0.0 <= weighting.weight(k), "{name} at {k:?}");
            for (row_name, row) in all_rows(0.5) {
                // The mean of a previous sample knows no step from a clean one, nor to pure noise.
                if row_name != "previous mean" {
                    assert!(
                        0.0 <= weighting.on(&*row, k),
                        "{name} on {row_name} at {k:?}"
                    );
                }
            }
        }
    }
    let gamma = MinSnr::new(5.0).unwrap();
    assert!(close(gamma.on(&Epsilon::unit(), noise), 1.0, 1e-12));
    assert!(close(gamma.on(&Velocity::unit(), noise), 0.0, 1e-12));
    assert_eq!(gamma.weight(clean), 5.0);
    assert!(close(Snr.on(&Epsilon::unit(), clean), 1.0, 1e-12));
    assert!(close(Snr.on(&Epsilon::unit(), noise), 1.0, 1e-12));
    assert!(close(FlowUniform.on(&flow(), clean), 1.0, 1e-12));
    assert!(close(P2::choi2022().weight(clean), 1.0, 1e-12));
    assert_eq!(P2::choi2022().weight(noise), 0.0);
    assert_eq!(P2::new(1.0, 2.0).unwrap().weight(clean), 0.0);
    assert_eq!(Ncsn::new(4.0).unwrap().weight(noise), 0.5);
    assert_eq!(SoftMinSnr::new(3.0).unwrap().weight(clean), 3.0);
    assert_eq!(Likelihood::new(Rectified).weight(clean), f64::INFINITY);
    assert_eq!(Likelihood::new(Rectified).weight(noise), 0.0);
}

#[test]
fn factors_that_leave_the_range_of_numbers_have_a_product() {
    // As far out as schedules reach: log-SNR ±1000.
    for log_snr in [-1000.0, -730.0, 730.0, 1000.0] {
        let k = Kernel::variance_preserving(log_snr);
        assert!(close(Snr.on(&Epsilon::unit(), k), 1.0, 1e-12), "{log_snr}");
        assert!(close(SnrPlusOne.on(&Velocity::unit(), k), 1.0, 1e-12));
        assert!(close(FlowUniform.on(&flow(), k), 1.0, 1e-12));
        let edm = EdmWeight::new(0.5).unwrap();
        assert!(close(edm.on(&Edm::new(0.5).unwrap(), k), 1.0, 1e-12));
    }
    let pure = Kernel::variance_preserving(-1000.0);
    assert!(close(
        MinSnr::new(5.0).unwrap().on(&Epsilon::unit(), pure),
        1.0,
        1e-12
    ));
    assert!(close(P2::choi2022().on(&Epsilon::unit(), pure), 1.0, 1e-12));
}

#[test]
fn without_a_network_each_level_of_a_ladder_costs_the_same() {
    // Song and Ermon's reason for σ²: a score of zero has D = x, an error of σ² per coordinate, a loss of one half.
    for sigma in [0.01, 0.3, 1.0, 40.0] {
        let k = Kernel::variance_exploding(sigma).unwrap();
        assert!((Ncsn::song2019().weight(k) * sigma * sigma - 0.5).abs() < 1e-14);
    }
}

#[test]
fn densities_of_known_distributions() {
    let normal = LogNormal::karras2022();
    for sigma in [0.01_f64, 0.1, 0.3, 1.0, 5.0] {
        // λ = −2 ln σ has mean 2.4 and standard deviation 2.4.
        let z = (-2.0 * sigma.ln() - 2.4) / 2.4;
        let exact = (-0.5 * z * z).exp() / (2.4 * (2.0 * PI).sqrt());
        let found = log_snr_density(&normal, Kernel::variance_exploding(sigma).unwrap());
        assert!(
            (found / exact - 1.0).abs() < 1e-7,
            "{sigma}: {found} {exact}"
        );
    }
    let schedule = LogSnrLinear::new(8.0, -4.0).unwrap();
    let uniform = UniformLogSnr::new(schedule, 0.25, 0.75).unwrap();
    let density = |log_snr| log_snr_density(&uniform, Kernel::variance_preserving(log_snr));
    assert!((density(1.3) - 1.0 / 6.0).abs() < 1e-9);
    assert_eq!((density(5.1), density(-1.1)), (0.0, 0.0));
    // Half a bell: t uniform on a straight path is a logistic log-odds, λ/2.
    let straight = UniformTime::new(Rectified, 0.0, 1.0).unwrap();
    let k = Kernel::new(0.3, 0.7).unwrap();
    assert!((log_snr_density(&straight, k) / (0.5 * 0.3 * 0.7) - 1.0).abs() < 1e-8);
}

#[test]
fn cosmap_on_uniform_times_is_the_cosine_schedule() {
    let straight = UniformTime::new(Rectified, 0.0, 1.0).unwrap();
    let cosine = |u: f64| Kernel::new((FRAC_PI_2 * u).cos(), (FRAC_PI_2 * u).sin()).unwrap();
    let weighting = |k: Kernel| Cosmap.on(&flow(), k);
    for tau in [0.03, 0.4, 0.5, 0.9] {
        let k = Kernel::new(1.0 - tau, tau).unwrap();
        let (a, b) = (
            effective_weight(&weighting, &straight, k),
            log_snr_density(&cosine, k),
        );
        assert!((a / b - 1.0).abs() < 1e-7, "{tau}: {a} {b}");
    }
    assert!((Cosmap.on(&flow(), Kernel::new(1.0, 1.0).unwrap()) - 2.0 * FRAC_2_PI).abs() < 1e-15);
}

/// The mean over u of weight · `error`, by the midpoint rule.
fn expected(
    weighting: &dyn Weighting,
    levels: &dyn LevelDistribution,
    error: &dyn Fn(Kernel) -> f64,
) -> f64 {
    let n = 4000;
    let at = |i: u32| {
        let k = levels.quantile((f64::from(i) + 0.5) / f64::from(n));
        weighting.weight(k) * error(k)
    };
    (0..n).map(at).sum::<f64>() / f64::from(n)
}

#[test]
fn draws_do_not_change_an_expected_loss() {
    // The best denoiser of N(0, s²) errs by s²/(1 + snr s²); half its integral over the snr is a difference of logarithms.
    let s2 = 0.25_f64;
    let error = |k: Kernel| s2 / (1.0 + k.snr() * s2);
    let (low, high) = (0.5_f64, 4.0_f64);
    let entropy = |sigma: f64| 0.5 * (1.0 + s2 / (sigma * sigma)).ln();
    let exact = entropy(low) - entropy(high);
    let elbo = |k: Kernel| 0.5 * k.snr();

    let log_uniform = LogUniform::new(low, high).unwrap();
    // σ uniform, and σ² uniform: the same range, other draws.
    let uniform = |u: f64| Kernel::variance_exploding(low + u * (high - low)).unwrap();
    let squared = |u: f64| {
        Kernel::variance_exploding((low * low + u * (high * high - low * low)).sqrt()).unwrap()
    };
    for levels in [&log_uniform as &dyn LevelDistribution, &uniform, &squared] {
        let found = expected(
            &PerLogSnr::new(elbo, |u: f64| levels.quantile(u)),
            levels,
            &error,
        );
        assert!((found / exact - 1.0).abs() < 1e-4, "{found} {exact}");
    }
    let found = expected(&PerLogSnr::new(elbo, log_uniform), &log_uniform, &error);
    assert!((found / exact - 1.0).abs() < 1e-5, "{found} {exact}");
    // A schedule's own weight says the same about its own range.
    let schedule = LogSnrLinear::new(-2.0 * low.ln(), -2.0 * high.ln()).unwrap();
    let times = UniformTime::new(schedule, 0.0, 1.0).unwrap();
    let found = expected(&Likelihood::new(schedule), &times, &error);
    assert!((found / exact - 1.0).abs() < 1e-5, "{found} {exact}");
    // Beyond the range there is nothing to count.
    let outside = Kernel::variance_exploding(2.0 * high).unwrap();
    assert_eq!(
        PerLogSnr::new(elbo, log_uniform).weight(outside),
        f64::INFINITY
    );
    assert_eq!(effective_weight(&elbo, &log_uniform, outside), 0.0);
}

#[test]
fn a_learned_uncertainty_evens_out_the_levels() {
    let error = |k: Kernel| 0.25 / (1.0 + 0.25 * k.snr());
    let weighting = EdmWeight::new(0.5).unwrap();
    let best = Uncertainty {
        weighting,
        log_variance: |k: Kernel| (weighting.weight(k) * error(k)).ln(),
    };
    for sigma in [0.02, 0.5, 30.0] {
        let k = Kernel::variance_exploding(sigma).unwrap();
        assert!((best.weight(k) * error(k) - 1.0).abs() < 1e-14);
        let loss = best.loss(error(k), k);
        assert!((loss - 1.0 - (best.log_variance)(k)).abs() < 1e-14);
        for shift in [-0.1, 0.1] {
            let other = Uncertainty {
                weighting,
                log_variance: |k: Kernel| (best.log_variance)(k) + shift,
            };
            assert!(loss < other.loss(error(k), k));
        }
    }
}

#[test]
fn parameters_are_checked() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(TruncatedSnr::new(bad).is_err());
        assert!(SoftMinSnr::new(bad).is_err());
        assert!(SoftMinSnr::for_data(bad).is_err());
        assert!(P2::new(bad, 1.0).is_err());
    }
    assert!(SoftMinSnr::sigmoid(1000.0).is_err());
    assert!(P2::new(1.0, -0.5).is_err());
    assert!(Ncsn::new(f64::NAN).is_err());
}
