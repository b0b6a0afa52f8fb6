//! The variational bound against scalars, identities and what it bounds.

use super::*;
use score_objective::torch::{
    Decoder, ReverseStep, denoise, denoising_loss, diffuse, discretized_nll, gaussian_kl,
    hybrid_loss, variational_bound, variational_term,
};
use score_objective::variational::{Bins, Normal, NormalCdf, Posterior, ReverseVariance, prior_kl};

fn bytes(cdf: NormalCdf) -> Decoder {
    Decoder {
        bins: Bins::eight_bit(),
        cdf,
        least_variance: 1e-6,
    }
}

#[test]
fn divergences_are_those_of_scalars() {
    let mut rng = ChaCha8Rng::seed_from_u64(81);
    let [m, l, n, k] = [0; 4].map(|_| normal(&mut rng, &[3, 2]));
    let loss = gaussian_kl(&m, &l, &n, &k);
    for row in 0..3 {
        let of = |column: i64| {
            let at = |t: &Tensor| t.double_value(&[row, column]);
            let p = Normal::new(at(&m), at(&l).exp()).unwrap();
            p.kl(Normal::new(at(&n), at(&k).exp()).unwrap())
        };
        assert!((loss.double_value(&[row]) - of(0) - of(1)).abs() < 1e-13);
    }
    assert_eq!(number(&gaussian_kl(&m, &l, &m, &l).abs().max()), 0.0);
}

#[test]
fn decoders_are_those_of_scalars() {
    let bins = Bins::eight_bit();
    let indices = [0, 1, 100, 254, 255];
    let values = indices.map(|index| bins.value(index));
    for cdf in [NormalCdf::Exact, NormalCdf::Tanh] {
        for (mean, log_variance) in [(0.1, -3.0), (-0.9, -9.0), (0.0, 2.0), (0.2, -14.0)] {
            let x0 = tensor(&values, &[5, 1]);
            let mean_tensor = x0.zeros_like() + mean;
            let nll = discretized_nll(&x0, &mean_tensor, &Tensor::from(log_variance), bytes(cdf));
            let decoder = Normal::new(mean, f64::exp(log_variance)).unwrap();
            for (row, &index) in indices.iter().enumerate() {
                let expected = -bins.log_likelihood(index, decoder, cdf);
                let relative = nll.double_value(&[row as i64]) / expected - 1.0;
                assert!(
                    relative.abs() < 1e-9,
                    "{cdf:?} {mean} {log_variance} {index}: {relative}"
                );
            }
            // In f32 too, where the bins are 1e-4 of the values' digits.
            let single = |t: &Tensor| t.to_kind(Kind::Float);
            let narrow = discretized_nll(
                &single(&x0),
                &single(&mean_tensor),
                &Tensor::from(log_variance as f32),
                bytes(cdf),
            );
            assert_eq!(narrow.kind(), Kind::Float);
            assert!(
                distance(
                    &(single(&nll) / narrow),
                    &Tensor::ones([5], (Kind::Float, tch::Device::Cpu))
                ) < 1e-3
            );
        }
    }
}

#[test]
fn decoders_have_finite_gradients_far_away_and_at_the_edges() {
    for cdf in [NormalCdf::Exact, NormalCdf::Tanh] {
        let x0 = tensor(&[-1.0, 1.0, 1.0 / 255.0, -1.0], &[4, 1]);
        let mean = tensor(&[0.9, 3.0, -50.0, -300.0], &[4, 1]).set_requires_grad(true);
        let log_variance = tensor(&[-12.0, -3.0, -10.0, 1.0], &[4, 1]).set_requires_grad(true);
        let loss = discretized_nll(&x0, &mean, &log_variance, bytes(cdf)).sum(Kind::Double);
        assert!(number(&loss).is_finite());
        for slope in Tensor::run_backward(&[loss], &[&mean, &log_variance], false, false) {
            assert!(number(&slope.abs().max()).is_finite(), "{cdf:?}");
        }
    }
}

#[test]
fn reverse_steps_are_those_of_the_posterior() {
    let mut rng = ChaCha8Rng::seed_from_u64(82);
    let [x, denoised, output] = [0; 3].map(|_| normal(&mut rng, &[3, 2]));
    let (from, to) = (levels(), kernels(&[(1.0, 0.0), (0.9, 0.4), (0.5, 1.0)]));
    let decoder = bytes(NormalCdf::Exact);
    let learned = ReverseStep::learned_range(&denoised, &output, &x, &from, &to, decoder);
    let large = ReverseVariance::FixedLarge;
    let fixed = ReverseStep::fixed(&denoised, &x, &from, &to, large, decoder);
    for row in 0..3 {
        let step = Posterior::between(from[row], to[row]).unwrap();
        for column in 0..2 {
            let at = |t: &Tensor| t.double_value(&[row as i64, column]);
            let mean = step.point() * at(&x) + step.clean() * at(&denoised);
            assert!((at(&learned.mean) - mean).abs() < 1e-14);
            assert!((at(&fixed.mean) - mean).abs() < 1e-14);
            let fraction = (at(&output) + 1.0) * 0.5;
            if 0.0 < to[row].sigma() {
                let expected = step.variance(ReverseVariance::Range { fraction }).ln();
                assert!((at(&learned.log_variance) - expected).abs() < 1e-13);
            } else {
                let (small, large) = (1e-6_f64.ln(), step.variance(large).ln());
                let expected = fraction * large + (1.0 - fraction) * small;
                assert!((at(&learned.log_variance) - expected).abs() < 1e-13);
            }
        }
        let at = fixed.log_variance.double_value(&[row as i64, 0]);
        assert!((at - step.variance(large).ln()).abs() < 1e-14);
    }
}

#[test]
fn a_term_with_the_variance_of_the_posterior_is_a_weighted_error() {
    let mut rng = ChaCha8Rng::seed_from_u64(83);
    let (x0, noise) = (normal(&mut rng, &[3, 2]), normal(&mut rng, &[3, 2]));
    let (from, to) = (levels(), kernels(&[(1.0, 0.1), (0.9, 0.4), (0.5, 1.0)]));
    let row = Edm::new(0.5).unwrap();
    let decoder = bytes(NormalCdf::Exact);
    let reverse = |x: &Tensor, from: &[Kernel], to: &[Kernel]| {
        let denoised = denoise(&net, &row, x, from);
        ReverseStep::fixed(&denoised, x, from, to, ReverseVariance::FixedSmall, decoder)
    };
    let terms = variational_term(&reverse, decoder, &x0, &noise, &from, &to);
    let errors = denoising_loss(&net, &row, &Uniform, &x0, &noise, &from);
    for i in 0..3 {
        let step = Posterior::between(from[i], to[i]).unwrap();
        let expected = step.loss_weight() * errors.double_value(&[i as i64]);
        let relative = terms.double_value(&[i as i64]) / expected - 1.0;
        assert!(relative.abs() < 1e-10, "{i}: {relative}");
    }
}

/// F and the second output of a network with two parameters.
fn two_heads(a: &Tensor, b: &Tensor) -> impl Fn(&Tensor, &Tensor) -> (Tensor, Tensor) {
    let (a, b) = (a.shallow_clone(), b.shallow_clone());
    move |x, label| (net(x, label) * &a, (x * &b).tanh())
}

#[test]
fn the_hybrid_trains_the_mean_by_the_error_and_the_variance_by_the_bound() {
    let mut rng = ChaCha8Rng::seed_from_u64(84);
    let bins = Bins::eight_bit();
    let x0 = tensor(&[0, 20, 100, 128, 200, 255].map(|i| bins.value(i)), &[3, 2]);
    let noise = normal(&mut rng, &[3, 2]);
    let (from, to) = (levels(), kernels(&[(1.0, 0.0), (0.9, 0.4), (0.5, 1.0)]));
    let (p, decoder) = (Epsilon::new(0.5).unwrap(), bytes(NormalCdf::Exact));
    let (a, b) = (Tensor::from(0.7_f64), Tensor::from(0.4_f64));
    let (a, b) = (a.set_requires_grad(true), b.set_requires_grad(true));
    let heads = two_heads(&a, &b);
    let loss = hybrid_loss(&heads, &p, &Snr, decoder, 0.3, &x0, &noise, &from, &to);

    let mean_only = |x: &Tensor, label: &Tensor| heads(x, label).0;
    let simple = denoising_loss(&mean_only, &p, &Snr, &x0, &noise, &from);
    let reverse = |x: &Tensor, from: &[Kernel], to: &[Kernel]| {
        let denoised = denoise(&mean_only, &p, x, from);
        let inner = x * Tensor::from_slice(&[
            p.at(from[0]).input,
            p.at(from[1]).input,
            p.at(from[2]).input,
        ])
        .unsqueeze(1);
        let output = heads(&inner, &inner.select(1, 0)).1;
        ReverseStep::learned_range(&denoised, &output, x, from, to, decoder)
    };
    let term = variational_term(&reverse, decoder, &x0, &noise, &from, &to);
    assert!(distance(&loss, &(&simple + &term * 0.3)) < 1e-12 * number(&loss.max()));

    let slopes = |loss: &Tensor, leaves: &[&Tensor]| {
        let slopes = Tensor::run_backward(&[loss.sum(Kind::Double)], leaves, true, false);
        slopes.iter().map(number).collect::<Vec<_>>()
    };
    let (of_loss, of_simple) = (slopes(&loss, &[&a, &b]), slopes(&simple, &[&a]));
    let of_term = slopes(&term, &[&a, &b]);
    assert!((of_loss[0] / of_simple[0] - 1.0).abs() < 1e-12);
    assert!((of_loss[1] / (0.3 * of_term[1]) - 1.0).abs() < 1e-12);
    // The bound alone trains the mean too.
    assert!(1e-3 < of_term[0].abs());
}

#[test]
fn the_bound_of_a_gaussian_is_tight() {
    // Data N(0, 0.04) rounded to 41 values, with the ideal denoiser of N(0, 0.04): the mean of the bound over the data is
    // at least their entropy, and nearly that with many steps.
    let (std, bins) = (0.2_f64, Bins::new(-1.0, 1.0, 41).unwrap());
    let normal = Normal::new(0.0, std * std).unwrap();
    let log_p: Vec<f64> = (0..41)
        .map(|i| bins.log_likelihood(i, normal, NormalCdf::Exact))
        .collect();
    let entropy: f64 = log_p.iter().map(|l| -l * l.exp()).sum();
    let decoder = Decoder {
        bins,
        cdf: NormalCdf::Exact,
        least_variance: 1e-12,
    };
    // Values × nodes of the noise, weighted: the terms are independent functions of one noise each.
    let nodes: Vec<f64> = (-50..=50).map(|i| f64::from(i) * 0.12).collect();
    let rows: Vec<(f64, f64)> = (0..41)
        .flat_map(|i| nodes.iter().map(move |&e| (i, e)))
        .map(|(i, e)| (bins.value(i), e))
        .collect();
    let weights: Vec<f64> = (0..41)
        .flat_map(|i| nodes.iter().map(move |e| (i, e)))
        .map(|(i, e)| log_p[i].exp() * (-0.5 * e * e).exp() * 0.12 / std::f64::consts::TAU.sqrt())
        .collect();
    let x0 = tensor(&rows.iter().map(|r| r.0).collect::<Vec<_>>(), &[-1, 1]);
    let noise = tensor(&rows.iter().map(|r| r.1).collect::<Vec<_>>(), &[-1, 1]);
    let reverse = |x: &Tensor, from: &[Kernel], to: &[Kernel]| {
        // The posterior of the clean value has a variance of its own at each level, which the best step adds.
        let k = from[0];
        let total = (k.alpha() * std).powi(2) + k.sigma().powi(2);
        let denoised = x * (k.alpha() * std * std / total);
        let step = Posterior::between(k, to[0]).unwrap();
        let spread = (std * k.sigma()).powi(2) / total;
        let variance = step.variance(ReverseVariance::FixedSmall) + step.clean().powi(2) * spread;
        let choice = ReverseVariance::Learned {
            log_variance: variance.ln(),
        };
        ReverseStep::fixed(&denoised, x, from, to, choice, decoder)
    };
    let excess = |steps: usize, cleanest: f64| {
        let mut grid: Vec<Kernel> = (0..steps)
            .map(|i| {
                let share = i as f64 / (steps as f64 - 1.0);
                Kernel::variance_preserving(-9.0 + share * (9.0 + cleanest))
            })
            .collect();
        grid.push(Kernel::CLEAN);
        let noises: Vec<Tensor> = grid[1..].iter().map(|_| noise.shallow_clone()).collect();
        let bound = variational_bound(&reverse, decoder, &x0, &noises, &grid, 1.0);
        number(&(bound * Tensor::from_slice(&weights)).sum(Kind::Double)) - entropy
    };
    let (coarse, fine) = (excess(5, 7.0), excess(40, 7.0));
    assert!(
        0.0 < fine && fine < coarse && fine < 0.02,
        "{coarse} {fine}"
    );
}

#[test]
fn the_prior_term_is_part_of_the_bound() {
    let x0 = tensor(&[Bins::eight_bit().value(200)], &[1, 1]);
    let decoder = bytes(NormalCdf::Exact);
    let knows = |x: &Tensor, from: &[Kernel], to: &[Kernel]| {
        ReverseStep::fixed(&x0, x, from, to, ReverseVariance::FixedSmall, decoder)
    };
    let grid = kernels(&[(0.6, 0.8), (0.9, 0.3), (1.0, 0.0)]);
    let noises = [&x0 * 0.3, &x0 * -2.0];
    // A model that knows the data pays for the prior alone.
    for std in [1.0, 0.5] {
        let bound = variational_bound(&knows, decoder, &x0, &noises, &grid, std);
        let prior = Normal::new(0.0, std * std).unwrap();
        let expected = prior_kl(grid[0], x0.double_value(&[0, 0]), prior).unwrap();
        assert!((bound.double_value(&[0]) - expected).abs() < 1e-4);
    }
    // The rows that are decoded and those that are not do not see each other.
    let both = Tensor::cat(&[&x0, &x0], 0);
    let mixed = |x: &Tensor, from: &[Kernel], to: &[Kernel]| {
        ReverseStep::fixed(
            &(x * 0.5),
            x,
            from,
            to,
            ReverseVariance::FixedLarge,
            decoder,
        )
    };
    let terms = variational_term(&mixed, decoder, &both, &both, &grid[..2], &grid[1..]);
    for row in 0..2 {
        let (from, to) = (&grid[row..row + 1], &grid[row + 1..row + 2]);
        let alone = variational_term(&mixed, decoder, &x0, &x0, from, to);
        assert!((terms.double_value(&[row as i64]) - alone.double_value(&[0])).abs() < 1e-12);
    }
    let x = diffuse(&x0, &x0, &grid[..1]);
    assert_eq!(x.size(), [1, 1]);
}

#[test]
fn guided_diffusion_has_the_same_hybrid() {
    // openai/guided-diffusion's `training_losses` with a learned range, 100 linear steps at t = 0, 40 and 99
    // (tests/golden/hybrid.py).
    let golden = [1.1772795612903515, 0.12047402211903073, 0.5234658213630745];
    let alpha_bar = [
        0.999,
        0.19151625146104098,
        0.17592605478907605,
        2.5487612194550972e-05,
        2.039008975564078e-05,
    ];
    let [k0, k39, k40, k98, k99] =
        alpha_bar.map(|a: f64| Kernel::new(a.sqrt(), (1.0 - a).sqrt()).unwrap());
    let (from, to) = ([k0, k40, k99], [Kernel::CLEAN, k39, k98]);
    let x0 = tensor(&[0.0, 63.75, 100.0, 255.0, 51.0, 200.0], &[3, 1, 2]) / 127.5 - 1.0;
    let noise = tensor(&[0.3, -1.2, 0.7, 0.1, -0.4, 2.0], &[3, 1, 2]);
    let decoder = Decoder {
        least_variance: 0.0007511935911591084,
        ..bytes(NormalCdf::Tanh)
    };
    let heads = |x: &Tensor, _: &Tensor| ((x * 1.3).tanh(), x.sin());
    let share = 0.1 / std::f64::consts::LN_2;
    let epsilon = Epsilon::unit();
    let loss = hybrid_loss(
        &heads, &epsilon, &Snr, decoder, share, &x0, &noise, &from, &to,
    );
    // Theirs is a mean over two coordinates, with coefficients rounded to f32.
    let ratio = loss * 0.5 / tensor(&golden, &[3]);
    let error = distance(&ratio, &ratio.ones_like());
    assert!(error < 1e-6, "{error}");
}
