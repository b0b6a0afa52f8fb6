//! The variational bound: its terms against Bayes' rule, other toolkits, and the exact likelihood of Gaussian data.

use std::f64::consts::{E, LN_2, PI};

use noise_schedule::{Discrete, Kernel, LogSnrLinear, NoiseSchedule};
use proptest::prelude::*;
use score_objective::variational::{
    Bins, Measure, Normal, NormalCdf, Posterior, ReverseVariance, bits_per_dimension, prior_kl,
};
use score_objective::{Error, Likelihood, Weighting};

/// A noisier kernel and a cleaner one, of any scale.
fn steps() -> impl Strategy<Value = (Kernel, Kernel)> {
    (-12.0..8.0_f64, 1e-9..6.0_f64, -2.0..2.0_f64, -2.0..2.0_f64).prop_map(|(noisy, rise, a, b)| {
        let scaled = |log_snr: f64, ln_scale: f64| {
            let k = Kernel::variance_preserving(log_snr);
            Kernel::new(ln_scale.exp() * k.alpha(), ln_scale.exp() * k.sigma()).unwrap()
        };
        (scaled(noisy, a), scaled(noisy + rise, b))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_posterior_is_bayes_rule((noisier, cleaner) in steps()) {
        let step = Posterior::between(noisier, cleaner).unwrap();
        // x_t = a x_s + noise of variance b.
        let a = noisier.alpha() / cleaner.alpha();
        let b = step.variance(ReverseVariance::FixedLarge);
        let prior = cleaner.sigma().powi(2);
        // Marginals agree.
        prop_assert!(((a * a * prior + b) / noisier.sigma().powi(2) - 1.0).abs() < 1e-9);
        // Precisions add, and so do precision-weighted means.
        let precision = 1.0 / prior + a * a / b;
        let variance = step.variance(ReverseVariance::FixedSmall);
        prop_assert!((variance * precision - 1.0).abs() < 1e-9);
        prop_assert!((step.point() / (variance * a / b) - 1.0).abs() < 1e-9);
        prop_assert!((step.clean() / (variance * cleaner.alpha() / prior) - 1.0).abs() < 1e-9);
        // Without noise the mean is that of x_s.
        let mean = step.point() * noisier.alpha() + step.clean();
        prop_assert!((mean / cleaner.alpha() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_weight_of_a_step_is_its_divergence(
        (noisier, cleaner) in steps(), x0 in -2.0..2.0_f64, error in -1.0..1.0_f64, x in -2.0..2.0_f64,
    ) {
        let step = Posterior::between(noisier, cleaner).unwrap();
        let variance = step.variance(ReverseVariance::FixedSmall);
        let at = |clean: f64| Normal::new(step.point() * x + step.clean() * clean, variance).unwrap();
        let kl = at(x0).kl(at(x0 + error));
        // The difference of the means has lost digits where the step is short.
        let rounding = 1e-14 * (step.point() * x).abs().max(1.0) / variance.sqrt() * kl.sqrt();
        prop_assert!((step.loss_weight() * error * error - kl).abs() <= 1e-9 * kl + rounding);
        // On the noise it is expm1 of the rise of the log-SNR.
        let rise = cleaner.log_snr() - noisier.log_snr();
        prop_assert!((step.loss_weight() / noisier.snr() / (0.5 * rise.exp_m1()) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn variances_lie_between_small_and_large((noisier, cleaner) in steps(), fraction in 0.0..1.0_f64) {
        let cleaner = Kernel::new(
            cleaner.alpha() / cleaner.alpha().hypot(cleaner.sigma()),
            cleaner.sigma() / cleaner.alpha().hypot(cleaner.sigma()),
        ).unwrap();
        let noisier = Kernel::new(
            noisier.alpha() / noisier.alpha().hypot(noisier.sigma()),
            noisier.sigma() / noisier.alpha().hypot(noisier.sigma()),
        ).unwrap();
        let step = Posterior::between(noisier, cleaner).unwrap();
        let small = step.variance(ReverseVariance::FixedSmall);
        let large = step.variance(ReverseVariance::FixedLarge);
        let range = step.variance(ReverseVariance::Range { fraction });
        prop_assert!(small <= range * (1.0 + 1e-12) && range <= large * (1.0 + 1e-12));
        let log = fraction * large.ln() + (1.0 - fraction) * small.ln();
        let learned = step.variance(ReverseVariance::Learned { log_variance: log });
        prop_assert!((learned / range - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_divergence_is_positive_and_the_mean_of_the_log_ratio(
        m in -2.0..2.0_f64, v in 0.1..4.0_f64, m2 in -2.0..2.0_f64, v2 in 0.1..4.0_f64,
    ) {
        let (p, q) = (Normal::new(m, v).unwrap(), Normal::new(m2, v2).unwrap());
        prop_assert!(0.0 <= p.kl(q));
        prop_assert_eq!(p.kl(p), 0.0);
        // The trapezoidal rule is exact to rounding for such integrands.
        let h = 0.02;
        let integral: f64 = (-800..=800).map(|i| {
            let x = m + h * f64::from(i) * v.sqrt();
            h * v.sqrt() * p.log_density(x).exp() * (p.log_density(x) - q.log_density(x))
        }).sum();
        prop_assert!((integral - p.kl(q)).abs() < 1e-10 * (1.0 + p.kl(q)));
    }
}

#[test]
fn a_short_step_keeps_its_digits() {
    let k = |sigma: f64| Kernel::variance_exploding(sigma).unwrap();
    let h = 2f64.powi(-40);
    let step = Posterior::between(k(1.0 + h), k(1.0)).unwrap();
    // 1 - ρ = 1 - (1 + h)^-2
    let fall = 2.0 * h - 3.0 * h * h;
    assert!((step.clean() / fall - 1.0).abs() < 1e-15);
    assert!((step.loss_weight() / (0.5 * fall) - 1.0).abs() < 1e-15);
    assert_eq!(Posterior::between(k(0.3), k(0.3)).unwrap().clean(), 0.0);
    // Where products of the scales are rounded by more than a part of the step.
    let h = 2f64.powi(-42);
    let [noisier, cleaner] = [0.3 + h, 0.3].map(|sigma| Kernel::new(0.1, sigma).unwrap());
    let step = Posterior::between(noisier, cleaner).unwrap();
    let fall = h * (0.6 + h) / (0.3 + h).powi(2);
    assert!((step.clean() / (0.1 * fall) - 1.0).abs() < 1e-14);
}

#[test]
fn nearly_equal_distributions_are_told_apart() {
    let h = 2f64.powi(-30);
    let near = Normal::new(0.0, 1.0 + h).unwrap();
    // ½ (h − ln(1 + h)) = h²/4 − h³/6 …
    let expected = h * h * (0.25 - h / 6.0);
    assert!((near.kl(Normal::STANDARD) / expected - 1.0).abs() < 1e-14);
}

#[test]
fn the_posterior_of_ddpm() {
    let schedule = Discrete::ho2020();
    let (t, s) = (schedule.level(10), schedule.level(9));
    let step = Posterior::between(t, s).unwrap();
    let beta = step.variance(ReverseVariance::FixedLarge);
    let found = beta / (1e-4 + 10.0 * (0.02 - 1e-4) / 999.0) - 1.0;
    assert!(found.abs() < 1e-11, "{found}");
    // diffusers 0.42.1, `DDPMScheduler()._get_variance(10)`, which subtracts in single precision.
    let variance = step.variance(ReverseVariance::FixedSmall);
    assert!((variance / 2.585_242e-4 - 1.0).abs() < 3e-4, "{variance}");
    let (bar, before) = (t.alpha().powi(2), s.alpha().powi(2));
    assert!((step.clean() / (before.sqrt() * beta / (1.0 - bar)) - 1.0).abs() < 1e-11);
    let point = (1.0 - beta).sqrt() * (1.0 - before) / (1.0 - bar);
    assert!((step.point() / point - 1.0).abs() < 1e-11);
}

#[test]
fn the_last_step_and_the_first() {
    let (noise, k) = (
        Kernel::new(0.0, 1.0).unwrap(),
        Kernel::new(0.6, 0.8).unwrap(),
    );
    let last = Posterior::between(k, Kernel::CLEAN).unwrap();
    assert_eq!(
        (last.point(), last.clean(), last.snr_ratio()),
        (0.0, 1.0, 0.0)
    );
    for (fraction, expected) in [(0.0, 0.0), (0.5, 0.0), (1.0, 0.64)] {
        let found = last.variance(ReverseVariance::Range { fraction });
        assert!((found - expected).abs() < 1e-15, "{fraction}");
    }
    assert_eq!(last.loss_weight(), f64::INFINITY);
    // From no signal at all, as after a rescaling to zero terminal SNR.
    let first = Posterior::between(noise, k).unwrap();
    assert_eq!((first.point(), first.clean()), (0.0, 0.6));
    assert!((first.loss_weight() - 0.5 * 0.5625).abs() < 1e-15);
    let whole = Posterior::between(noise, Kernel::CLEAN).unwrap();
    assert_eq!((whole.point(), whole.clean()), (0.0, 1.0));
    assert_eq!(whole.variance(ReverseVariance::FixedLarge), 1.0);
    for (from, to) in [
        (Kernel::CLEAN, k),
        (Kernel::CLEAN, Kernel::CLEAN),
        (k, noise),
        (noise, noise),
    ] {
        assert!(matches!(
            Posterior::between(from, to),
            Err(Error::StepOrder { .. })
        ));
    }
}

/// Levels of a linear log-SNR, from noise to data.
fn levels(steps: u32) -> Vec<Kernel> {
    let schedule = LogSnrLinear::new(9.0, -6.0).unwrap();
    (0..=steps)
        .rev()
        .map(|i| schedule.kernel(f64::from(i) / f64::from(steps)))
        .collect()
}

/// The bound for N(0, s²) with the best denoiser, averaged over the data: prior + steps + decoder, where `term` is a step's.
fn bound(s2: f64, levels: &[Kernel], term: impl Fn(Posterior, f64) -> f64) -> f64 {
    let marginal = |k: Kernel| k.alpha().powi(2) * s2 + k.sigma().powi(2);
    // E[x0 | x] errs by this much.
    let error = |k: Kernel| s2 * k.sigma().powi(2) / marginal(k);
    let (first, last) = (levels[0], levels[levels.len() - 1]);
    // The mean of KL(N(αx0, σ²) ‖ N(0, marginal)) is half the logarithm of the ratio of variances.
    let prior = 0.5 * (marginal(first) / first.sigma().powi(2)).ln();
    let decoder = 0.5 * (2.0 * PI * E * error(last)).ln();
    let steps: f64 = levels
        .windows(2)
        .map(|pair| {
            term(
                Posterior::between(pair[0], pair[1]).unwrap(),
                error(pair[0]),
            )
        })
        .sum();
    prior + steps + decoder
}

#[test]
fn with_the_right_variance_the_bound_is_the_likelihood() {
    for s2 in [0.25, 1.0, 3.0] {
        let entropy = 0.5 * (2.0 * PI * E * s2).ln();
        for steps in [1, 7, 100] {
            // The reverse step of the data is normal: its variance is the posterior's and that of its mean.
            let found = bound(s2, &levels(steps), |step, error| {
                let small = step.variance(ReverseVariance::FixedSmall);
                let shift = step.clean().powi(2) * error;
                let right = Normal::new(0.0, small + shift).unwrap();
                // The mean over shifts of variance `shift`.
                let at = |shift: f64| Normal::new(shift, small).unwrap().kl(right);
                0.5 * (at(shift.sqrt()) + at(-shift.sqrt()))
            });
            assert!(
                (found - entropy).abs() < 1e-11,
                "{s2} {steps}: {found} {entropy}"
            );
        }
    }
}

#[test]
fn with_the_small_variance_the_bound_closes_as_steps_grow() {
    for s2 in [0.25, 1.0, 3.0] {
        let entropy = 0.5 * (2.0 * PI * E * s2).ln();
        let gap =
            |steps| bound(s2, &levels(steps), |step, error| step.loss_weight() * error) - entropy;
        let gaps = [10, 100, 1000, 10_000].map(gap);
        for pair in gaps.windows(2) {
            assert!(0.0 < pair[1] && pair[1] < 0.12 * pair[0], "{gaps:?}");
        }
        // First order in the step, so that extrapolation closes it: infinitely many steps are the likelihood.
        let left = (2.0 * gap(2000) - gap(1000)) / gap(1000);
        assert!(left.abs() < 5e-3, "{left}");
    }
}

#[test]
fn many_steps_are_the_continuous_weight() {
    let schedule = LogSnrLinear::new(9.0, -6.0).unwrap();
    let steps = 100_000.0;
    for t in [0.1, 0.5, 0.9] {
        let (noisier, cleaner) = (
            schedule.kernel(t + 0.5 / steps),
            schedule.kernel(t - 0.5 / steps),
        );
        let step = Posterior::between(noisier, cleaner).unwrap();
        let continuous = Likelihood::new(schedule).weight(schedule.kernel(t));
        assert!((steps * step.loss_weight() / continuous - 1.0).abs() < 1e-8);
    }
    // All steps together: half of what the SNR gains.
    let levels = levels(50);
    let total: f64 = levels
        .windows(2)
        .map(|pair| Posterior::between(pair[0], pair[1]).unwrap().loss_weight())
        .sum();
    assert!((total / (0.5 * (9f64.exp() - (-6f64).exp())) - 1.0).abs() < 1e-12);
}

#[test]
fn the_prior_term_is_known() {
    let k = Kernel::new(0.6, 0.8).unwrap();
    // ½ (σ² − 1 − ln σ² + α² x0²)
    let expected = 0.5 * (0.64 - 1.0 - 0.64_f64.ln() + 0.36 * 4.0);
    assert!((prior_kl(k, 2.0, Normal::STANDARD).unwrap() - expected).abs() < 1e-15);
    let noise = Kernel::new(0.0, 1.0).unwrap();
    assert_eq!(prior_kl(noise, 2.0, Normal::STANDARD), Ok(0.0));
    assert!(prior_kl(Kernel::CLEAN, 2.0, Normal::STANDARD).is_err());
}

#[test]
fn bins_share_out_all_probability() {
    for (mean, std) in [(0.1, 0.1), (-1.3, 0.002), (0.0, 40.0), (0.5, 1e-6)] {
        let decoder = Normal::new(mean, std * std).unwrap();
        let total: f64 = (0..256)
            .map(|i| {
                Bins::eight_bit()
                    .log_likelihood(i, decoder, NormalCdf::Exact)
                    .exp()
            })
            .sum();
        assert!((total - 1.0).abs() < 1e-12, "{mean} {std}: {total}");
    }
    let bins = Bins::new(-0.5, 1.0, 4).unwrap();
    assert_eq!([0, 1, 2, 3].map(|i| bins.value(i)), [-0.5, 0.0, 0.5, 1.0]);
    // Φ(1) − Φ(−1), and Φ(−1).
    let decoder = Normal::new(0.0, 0.0625).unwrap();
    let log = |i| bins.log_likelihood(i, decoder, NormalCdf::Exact);
    assert!((log(1) - 0.682_689_492_137_085_9_f64.ln()).abs() < 1e-14);
    assert!((log(0) - 0.158_655_253_931_457_05_f64.ln()).abs() < 1e-14);
}

#[test]
fn far_bins_cost_what_they_should() {
    // 50 standard deviations away: −z²/2 − ln(z √(2π)) − 1/z² + 5/(2 z⁴) …
    let decoder = Normal::new(0.0, 1e-4).unwrap();
    let bins = Bins::new(-0.5, 0.5, 2).unwrap();
    let z = 50.0_f64;
    assert!((bins.log_likelihood(1, decoder, NormalCdf::Exact) - 0.5_f64.ln()).abs() < 1e-14);
    let far = Normal::new(-0.5, 1e-4).unwrap();
    let expected = -0.5 * z * z - (z * (2.0 * PI).sqrt()).ln() - z.powi(-2) + 2.5 * z.powi(-4);
    let found = bins.log_likelihood(1, far, NormalCdf::Exact);
    assert!((found - expected).abs() < 1e-8, "{found} {expected}");
    assert_eq!(bins.log_likelihood(1, far, NormalCdf::Tanh), 1e-12_f64.ln());
}

#[test]
fn the_tanh_form_is_that_of_guided_diffusion() {
    // guided-diffusion's `discretized_gaussian_log_likelihood` in double precision.
    for (index, mean, std, expected) in [
        (0, -0.9, 0.02, -15.576_578_873_615_158),
        (255, 0.98, 0.05, -0.983_767_068_218_080_6),
        (100, -0.2, 0.003, -10.561_255_198_416_248),
        (128, 0.01, 0.3, -4.563_316_979_758_207),
        (3, 0.5, 0.01, -27.631_021_115_928_547),
    ] {
        let decoder = Normal::new(mean, std * std).unwrap();
        let found = Bins::eight_bit().log_likelihood(index, decoder, NormalCdf::Tanh);
        assert!(
            (found - expected).abs() < 1e-8,
            "{index}: {found} {expected}"
        );
    }
    let decoder = Normal::new(0.01, 0.09).unwrap();
    let [tanh, exact] = [NormalCdf::Tanh, NormalCdf::Exact]
        .map(|cdf| Bins::eight_bit().log_likelihood(128, decoder, cdf));
    assert!(tanh != exact && (tanh - exact).abs() < 1e-3);
}

#[test]
fn the_categorical_decoder_is_a_distribution() {
    let bins = Bins::eight_bit();
    for snr in [0.0, 1.0, 1e5] {
        let total: f64 = (0..256)
            .map(|i| bins.categorical_log_likelihood(i, 0.3, snr).exp())
            .sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
    assert!((bins.categorical_log_likelihood(9, 0.3, 0.0) + 256f64.ln()).abs() < 1e-12);
    assert!(bins.categorical_log_likelihood(9, bins.value(9), 1e8).abs() < 1e-12);
}

#[test]
fn units_of_a_likelihood() {
    let bits = |nats, measure| bits_per_dimension(nats, 3072, measure).unwrap();
    // A uniform distribution over 256 levels, as probabilities and as a density.
    let uniform = 3072.0 * 256f64.ln();
    assert!((bits(uniform, Measure::Probability) - 8.0).abs() < 1e-12);
    assert!(
        (bits(
            0.0,
            Measure::Density {
                bin_width: 1.0 / 256.0
            }
        ) - 8.0)
            .abs()
            < 1e-12
    );
    assert!(
        (bits(
            0.0,
            Measure::Density {
                bin_width: 2.0 / 256.0
            }
        ) - 7.0)
            .abs()
            < 1e-12
    );
    assert!((bits(3072.0 * LN_2, Measure::Probability) - 1.0).abs() < 1e-12);
    assert!(matches!(
        bits_per_dimension(1.0, 0, Measure::Probability),
        Err(Error::Count { .. })
    ));
    assert!(bits_per_dimension(1.0, 2, Measure::Density { bin_width: 0.0 }).is_err());
}

#[test]
fn parameters_are_checked() {
    assert!(Normal::new(f64::NAN, 1.0).is_err());
    assert!(Normal::new(0.0, 0.0).is_err());
    assert!(Bins::new(1.0, -1.0, 256).is_err());
    assert!(Bins::new(-1.0, 1.0, 1).is_err());
    assert!(Bins::new(f64::NEG_INFINITY, 1.0, 2).is_err());
}
