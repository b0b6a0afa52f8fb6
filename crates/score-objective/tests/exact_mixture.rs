//! Mixtures of Gaussians, in few and in many dimensions, against sums in plain loops.

mod beds;

use std::f64::consts::TAU;

use beds::{noised, rng};
use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use proptest::prelude::*;
use rand::Rng;
use score_objective::exact::{ExactScore, GaussianMixture};

/// Score, posterior mean, log-density and responsibilities at one point, as the formulas say.
fn plain(
    mixture: &GaussianMixture,
    x: ArrayView1<'_, f64>,
    sigma: f64,
) -> (Array1<f64>, Array1<f64>, f64, Array1<f64>) {
    let noise = sigma * sigma;
    let dim = x.len() as f64;
    let components = mixture.weights().len();
    let logits = Array1::from_shape_fn(components, |k| {
        let variance = mixture.variances()[k] + noise;
        let squared: f64 = x
            .iter()
            .zip(mixture.means().row(k))
            .map(|(x, m)| (x - m) * (x - m))
            .sum();
        mixture.weights()[k].ln() - 0.5 * dim * (TAU * variance).ln() - squared / (2.0 * variance)
    });
    let largest = logits.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let terms = logits.mapv(|l| (l - largest).exp());
    let total = terms.sum();
    let r = terms / total;
    let (mut score, mut mean) = (Array1::zeros(x.len()), Array1::zeros(x.len()));
    for k in 0..components {
        let (v, mu) = (mixture.variances()[k], mixture.means().row(k).to_owned());
        score.scaled_add(r[k] / (v + noise), &(&mu - &x));
        mean.scaled_add(r[k] / (v + noise), &(mu * noise + &x * v));
    }
    (score, mean, largest + total.ln(), r)
}

fn norm(v: ArrayView1<'_, f64>) -> f64 {
    v.dot(&v).sqrt()
}

fn check(mixture: &GaussianMixture, x: &Array2<f64>, sigma: f64) {
    let score = mixture.score(x.view(), sigma);
    let mean = mixture.denoise(x.view(), sigma);
    let log_density = mixture.log_density(x.view(), sigma);
    let shares = mixture.responsibilities(x.view(), sigma);
    let least = mixture
        .variances()
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min)
        + sigma * sigma;
    for (row, x) in x.rows().into_iter().enumerate() {
        let (plain_score, plain_mean, plain_log_density, plain_shares) = plain(mixture, x, sigma);
        let error = norm((&score.row(row) - &plain_score).view());
        let size = norm(plain_score.view()) + least.sqrt().recip();
        assert!(
            error < 1e-12 * size,
            "score: {error:e} of {size:e} at {sigma}"
        );
        let error = norm((&mean.row(row) - &plain_mean).view());
        let size = norm(x) + norm(plain_mean.view());
        assert!(
            error < 1e-12 * size,
            "mean: {error:e} of {size:e} at {sigma}"
        );
        let error = (log_density[row] - plain_log_density).abs();
        assert!(
            error < 1e-12 * (1.0 + plain_log_density.abs()),
            "density: {error:e}"
        );
        let error = (&shares.row(row) - &plain_shares).fold(0.0, |a: f64, b| a.max(b.abs()));
        assert!(error < 2e-12, "responsibilities: {error:e} at {sigma}");
        assert!((shares.row(row).sum() - 1.0).abs() < 1e-12);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_plain_loops(
        // On both sides of the dimension where the method changes, and of every width of vectors.
        dim in prop_oneof![1..6_usize, 13..20_usize, 60..66_usize],
        components in prop_oneof![1..20_usize, 60..130_usize],
        ln_spread in -1.0..4.0_f64,
        ln_sigma in -4.0..4.0_f64,
        offset in prop_oneof![Just(0.0), Just(1e3)],
        seed in 0..10_000_u64,
    ) {
        let mut rng = rng(seed);
        let mixture = GaussianMixture::zipf(components, dim, ln_spread.exp(), 0.0, &mut rng).unwrap();
        let variances = Array1::from_shape_simple_fn(components, || rng.random_range(0.0..2.0));
        let mixture = GaussianMixture::with_variances(
            mixture.weights().to_owned(),
            mixture.means().to_owned() + offset,
            variances,
        ).unwrap();
        let sigma = ln_sigma.exp();
        let x = noised(&mixture, 70, sigma, &mut rng);
        check(&mixture, &x, sigma);
    }

    #[test]
    fn rows_do_not_depend_on_their_neighbours(
        dim in prop_oneof![Just(2_usize), Just(20_usize)],
        ln_sigma in -3.0..3.0_f64,
        start in 0..150_usize,
        length in 1..150_usize,
        seed in 0..10_000_u64,
    ) {
        // Some points with few components that matter beside some with all.
        let mut rng = rng(seed);
        let mixture = GaussianMixture::zipf(37, dim, 1.0, 0.3, &mut rng).unwrap();
        let mut x = noised(&mixture, 300, ln_sigma.exp(), &mut rng);
        x.slice_mut(s![..;3, ..]).mapv_inplace(|x| 30.0 * x);
        let rows = s![start..start + length, ..];
        let sigma = ln_sigma.exp();
        let (part, all) = (mixture.score(x.slice(rows), sigma), mixture.score(x.view(), sigma));
        prop_assert_eq!(part, all.slice(rows));
        let (part, all) = (mixture.denoise(x.slice(rows), sigma), mixture.denoise(x.view(), sigma));
        prop_assert_eq!(part, all.slice(rows));
        let part = mixture.log_density(x.slice(rows), sigma);
        let all = mixture.log_density(x.view(), sigma);
        prop_assert_eq!(part, all.slice(s![start..start + length]));
    }
}

#[test]
fn expanded_distances_are_repaired_where_they_fail() {
    // Long means, close together, and little noise: expanded, logits would be wrong by about 1e-16 · 1e12/1e-2.
    let mut rng = rng(1);
    let near = GaussianMixture::zipf(40, 24, 0.05, 1e-3, &mut rng).unwrap();
    let means = near.means().to_owned() + 2e5;
    let far = GaussianMixture::new(near.weights().to_owned(), means, 1e-3).unwrap();
    for sigma in [0.0, 0.05, 0.3] {
        let x = noised(&far, 40, sigma, &mut rng);
        check(&far, &x, sigma);
    }
}

#[test]
fn points_far_from_all_means_have_finite_answers() {
    for dim in [2, 24] {
        let mixture = GaussianMixture::zipf(33, dim, 2.0, 0.1, &mut rng(2)).unwrap();
        let x = Array2::from_shape_fn((5, dim), |(i, axis)| {
            10f64.powi(3 * i as i32) * if axis == i { 1.0 } else { 0.3 }
        });
        for sigma in [0.0, 1e-3, 1.0, 1e6] {
            for values in [
                mixture.score(x.view(), sigma),
                mixture.denoise(x.view(), sigma),
            ] {
                assert!(values.iter().all(|v| v.is_finite()));
            }
            assert!(
                mixture
                    .log_density(x.view(), sigma)
                    .iter()
                    .all(|l| l.is_finite())
            );
            let shares = mixture.responsibilities(x.view(), sigma).sum_axis(Axis(1));
            assert!(shares.iter().all(|total| (total - 1.0).abs() < 1e-12));
        }
    }
}

/// As it is written, a density of single precision is 0 from √(300 ln 2) ≈ 14.42 standard deviations on, and the score
/// that is its gradient over itself is 0/0; scores by logarithms go on.
#[test]
fn scores_go_on_where_densities_underflow() {
    let naive = |x: f32| {
        let density = (-0.5 * x * x).exp();
        -x * density / density
    };
    let data = GaussianMixture::of_points(Array2::zeros((1, 1))).unwrap();
    for (x, underflows) in [
        (14.0, false),
        (14.4, false),
        (14.45, true),
        (100.0, true),
        (1e4, true),
    ] {
        assert_eq!(naive(x).is_nan(), underflows, "{x}");
        let score = data.score_f32(Array2::from_elem((1, 1), x).view(), 1.0);
        assert!((score[[0, 0]] / -x - 1.0).abs() < 1e-6, "{x}: {score}");
        let x = f64::from(x);
        let score = data.score(Array2::from_elem((1, 1), x).view(), 1.0);
        assert!((score[[0, 0]] / -x - 1.0).abs() < 1e-12, "{x}: {score}");
    }
}
