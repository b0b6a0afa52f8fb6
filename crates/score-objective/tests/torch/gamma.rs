//! The learned schedule of variational diffusion models, and the terms of its bound.

use super::*;
use score_objective::torch::{
    MonotoneGamma, diffusion_loss, discrete_slope, prior_loss, reconstruction_loss,
};
use score_objective::variational::Bins;

fn scrambled(seed: u64) -> MonotoneGamma {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let gamma = MonotoneGamma::new(-4.0, 3.0, 5, tch::Device::Cpu).unwrap();
    let _guard = tch::no_grad_guard();
    for mut leaf in gamma.shape() {
        let _ = leaf.g_add_(&normal(&mut rng, &leaf.size()));
    }
    gamma
}

/// Midpoints of n equal parts of [0, 1].
fn midpoints(n: usize) -> Vec<f64> {
    (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect()
}

#[test]
fn gamma_rises_between_its_ends_and_has_its_rate() {
    for seed in 0..5 {
        let gamma = scrambled(seed);
        let times = midpoints(50);
        let (at, rate) = gamma.at(&times);
        assert!(0.0 < number(&at.diff::<&Tensor>(1, 0, None, None).min()));
        assert!(0.0 < number(&rate.min()));
        let (ends, _) = gamma.at(&[0.0, 1.0]);
        assert!(distance(&ends, &tensor(&[-4.0, 3.0], &[2])) < 1e-13);
        let h = 1e-5;
        let shifted = |h: f64| gamma.at(&times.iter().map(|t| t + h).collect::<Vec<_>>()).0;
        assert!(distance(&((shifted(h) - shifted(-h)) / (2.0 * h)), &rate) < 1e-7);
    }
    // Before training it is nearly a line.
    let fresh = MonotoneGamma::new(-13.3, 5.0, 64, tch::Device::Cpu).unwrap();
    let (_, rate) = fresh.at(&midpoints(20));
    assert!(number(&(rate / 18.3 - 1.0).abs().max()) < 0.35);
    assert!(MonotoneGamma::new(1.0, 1.0, 8, tch::Device::Cpu).is_err());
    assert!(MonotoneGamma::new(f64::NEG_INFINITY, 1.0, 8, tch::Device::Cpu).is_err());
    assert!(MonotoneGamma::new(0.0, 1.0, 0, tch::Device::Cpu).is_err());
}

/// Data N(0, 0.49) and its ideal noise prediction σ z/(α² s² + σ²).
const STD: f64 = 0.7;

fn ideal(z: &Tensor, gamma: &Tensor) -> Tensor {
    let (alpha2, sigma2) = ((-gamma).sigmoid(), gamma.sigmoid());
    z * (sigma2.sqrt() / (alpha2 * (STD * STD) + sigma2)).unsqueeze(1)
}

/// Four rows per time with the moments of data and noise: a quadratic loss has its exact mean.
fn quadrature(n: usize) -> (Vec<f64>, Tensor, Tensor) {
    let times = midpoints(n).iter().flat_map(|&t| [t; 4]).collect();
    let x0 = tensor(&[STD, STD, -STD, -STD], &[4, 1]).repeat([n as i64, 1]);
    let noise = tensor(&[1.0, -1.0, 1.0, -1.0], &[4, 1]).repeat([n as i64, 1]);
    (times, x0, noise)
}

#[test]
fn the_diffusion_term_of_a_gaussian_depends_on_the_ends_only() {
    // ½ ∫ γ′ E|ε − ε̂|² dt = ½ ln((s² e^-γ₀ + 1)/(s² e^-γ₁ + 1)).
    let signal = |gamma: f64| (STD * STD * (-gamma).exp()).ln_1p();
    let expected = 0.5 * (signal(-4.0) - signal(3.0));
    let (times, x0, noise) = quadrature(4000);
    for seed in 0..3 {
        let gamma = scrambled(seed);
        let (at, slope) = gamma.at(&times);
        let loss = diffusion_loss(&ideal, &x0, &noise, &at, &slope);
        let mean = number(&loss.mean(Kind::Double));
        assert!((mean - expected).abs() < 1e-5, "{mean} {expected}");
        // So the mean has no gradient in the shape, and the mean square has.
        let largest = |loss: Tensor, leaves: &[Tensor]| {
            let leaves: Vec<&Tensor> = leaves.iter().collect();
            let slopes = Tensor::run_backward(&[loss.mean(Kind::Double)], &leaves, true, false);
            slopes
                .iter()
                .map(|s| number(&s.abs().max()))
                .fold(0.0, f64::max)
        };
        assert!(largest(loss.shallow_clone(), &gamma.shape()) < 1e-4);
        assert!(1e-2 < largest(loss.square(), &gamma.shape()));
        // d/dγ₀ = −½ s² e^-γ₀/(s² e^-γ₀ + 1); the range moves with it, so γ₁ moves too.
        let [start, _] = gamma.ends();
        let slopes = Tensor::run_backward(&[loss.mean(Kind::Double)], &[&start], true, false);
        let rate = |gamma: f64| -1.0 / (1.0 + gamma.exp() / (STD * STD));
        let expected = 0.5 * (rate(-4.0) - rate(3.0));
        assert!((number(&slopes[0]) - expected).abs() < 1e-4);
    }
}

#[test]
fn more_steps_tighten_the_discrete_bound_towards_the_continuous_one() {
    let gamma = scrambled(1);
    let signal = |gamma: f64| (STD * STD * (-gamma).exp()).ln_1p();
    let continuous = 0.5 * (signal(-4.0) - signal(3.0));
    let excess = |steps: usize| {
        let n = steps as f64;
        let later: Vec<f64> = (1..=steps).flat_map(|i| [i as f64 / n; 4]).collect();
        let earlier: Vec<f64> = later.iter().map(|t| t - 1.0 / n).collect();
        let earlier: Vec<f64> = earlier.into_iter().map(|t| t.max(0.0)).collect();
        let (_, x0, noise) = quadrature(steps);
        let (late, early) = (gamma.at(&later).0, gamma.at(&earlier).0);
        let slope = discrete_slope(&early, &late, steps);
        number(&diffusion_loss(&ideal, &x0, &noise, &late, &slope).mean(Kind::Double)) - continuous
    };
    let (coarse, fine) = (excess(200), excess(400));
    assert!(0.0 < fine && fine < coarse);
    assert!((coarse / fine - 2.0).abs() < 0.1, "{coarse} {fine}");
}

#[test]
fn the_diffusion_loss_is_half_the_slope_times_the_error_of_the_noise() {
    let x0 = tensor(&[0.6, -0.2], &[1, 2]);
    let noise = tensor(&[1.0, 0.5], &[1, 2]);
    let (gamma, slope) = (tensor(&[1.2], &[1]), tensor(&[3.0], &[1]));
    let sigma = (1.0 / (1.0 + (-1.2_f64).exp())).sqrt();
    let alpha = (1.0 - sigma * sigma).sqrt();
    let net = |z: &Tensor, gamma: &Tensor| {
        assert_eq!(gamma.double_value(&[0]), 1.2);
        z * 1.0
    };
    let loss = diffusion_loss(&net, &x0, &noise, &gamma, &slope).double_value(&[0]);
    let error = |x: f64, e: f64| (alpha * x + sigma * e - e).powi(2);
    let expected = 1.5 * (error(0.6, 1.0) + error(-0.2, 0.5));
    assert!((loss - expected).abs() < 1e-14);
    // f32 data is noised and weighed in f32.
    let single = |x: &Tensor| x.to_kind(Kind::Float);
    let zero = |z: &Tensor, _: &Tensor| z.zeros_like();
    let loss = diffusion_loss(&zero, &single(&x0), &single(&noise), &gamma, &slope);
    assert_eq!(loss.kind(), Kind::Float);
    assert!((loss.double_value(&[0]) - 1.875).abs() < 1e-6);
}

#[test]
fn the_prior_term_is_the_divergence_of_two_gaussians() {
    let x0 = tensor(&[1.0, -2.0, 0.0, 0.5], &[2, 2]);
    let loss = prior_loss(&x0, &tensor(&[2.0], &[1]));
    let variance = 1.0 / (1.0 + (-2.0_f64).exp());
    let of = |x: f64| 0.5 * (variance + (1.0 - variance) * x * x - 1.0 - variance.ln());
    let expected = [of(1.0) + of(-2.0), of(0.0) + of(0.5)];
    assert!(distance(&loss, &tensor(&expected, &[2])) < 1e-14);
    // Pure noise has none, to rounding.
    assert!(number(&prior_loss(&x0, &tensor(&[40.0, 40.0], &[2])).abs().max()) < 1e-15);
}

#[test]
fn reconstruction_is_a_choice_between_the_values() {
    // Two values: ln(1 + e^{-(d² − ε²)/2}), d the scaled distance to the other one.
    let (x0, noise) = (tensor(&[1.0, -1.0], &[1, 2]), tensor(&[0.3, -0.8], &[1, 2]));
    let scale = 0.25_f64.exp();
    let of = |away: f64, e: f64| {
        let d = away * scale + e;
        (-0.5 * (d * d - e * e)).exp().ln_1p()
    };
    let loss = reconstruction_loss(
        &x0,
        &noise,
        &tensor(&[-0.5], &[1]),
        Bins::new(-1.0, 1.0, 2).unwrap(),
    );
    assert!((loss.double_value(&[0]) - of(2.0, 0.3) - of(-2.0, -0.8)).abs() < 1e-14);
    // 256 values: all there is to know with little noise, ln 256 each without a signal.
    let bytes = Bins::eight_bit();
    let sharp = reconstruction_loss(&x0, &noise, &tensor(&[-13.3], &[1]), bytes);
    assert!(
        sharp.double_value(&[0]).abs() < 0.1,
        "{}",
        sharp.double_value(&[0])
    );
    let blind = reconstruction_loss(&x0, &noise, &tensor(&[30.0], &[1]), bytes);
    assert!((blind.double_value(&[0]) - 2.0 * 256.0_f64.ln()).abs() < 1e-4);
    // One coordinate at a time, in scalars.
    let gamma = -6.0_f64;
    let noisy = reconstruction_loss(&x0, &noise, &tensor(&[gamma], &[1]), bytes);
    let scalar = |index, x: f64, e: f64| {
        bytes.categorical_log_likelihood(index, x + e * (0.5 * gamma).exp(), (-gamma).exp())
    };
    let expected = -scalar(255, 1.0, 0.3) - scalar(0, -1.0, -0.8);
    assert!((noisy.double_value(&[0]) - expected).abs() < 1e-12);
}
