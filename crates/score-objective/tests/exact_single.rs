//! Mixtures of Gaussians in single precision against double precision, within what roundings of the points explain.

mod beds;

use beds::{noised, rng};
use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use proptest::prelude::*;
use rand::Rng;
use score_objective::exact::{ExactScore, GaussianMixture};

const UNIT: f64 = 0.5 * f32::EPSILON as f64;

/// How far Σ r_k f_k may be off at a point, by each coordinate, where f_k has the given lengths and is itself off by
/// `rounded`: with logits that are each off by at most so much, r_k lies between two numbers.
fn bound(
    mixture: &GaussianMixture,
    x: ArrayView1<'_, f64>,
    sigma: f64,
    lengths: &Array1<f64>,
    rounded: f64,
) -> f64 {
    let dim = x.len() as f64;
    let norm = |v: Array1<f64>| v.dot(&v).sqrt();
    let centre = mixture.means().mean_axis(Axis(0)).unwrap();
    let from_centre = norm(&x - &centre);
    let radii: Array1<f64> = (mixture.means().rows().into_iter())
        .map(|mean| norm(&mean - &centre))
        .collect();
    let distances: Array1<f64> = (mixture.means().rows().into_iter())
        .map(|mean| norm(&mean - &x))
        .collect();
    let precision = mixture.variances().mapv(|v| (v + sigma * sigma).recip());
    let offset = Array1::from_shape_fn(distances.len(), |k| {
        mixture.weights()[k].ln() + 0.5 * dim * precision[k].ln()
    });
    let logits = &offset - &(0.5 * &precision * &distances * &distances);
    let largest = logits.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let most = |values: &Array1<f64>| values.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let expanded = if x.len() < 16 {
        0.0
    } else {
        let size = 0.5 * most(&precision) * (from_centre + most(&radii)).powi(2);
        (4.0 * UNIT * size * dim.sqrt()).min(1e-4)
    };
    let error = Array1::from_shape_fn(distances.len(), |k| {
        let displaced = precision[k] * distances[k] * (from_centre + radii[k]);
        let summed = precision[k] * distances[k].powi(2) * dim.sqrt();
        let apart = (largest - logits[k]) + (most(&offset) - offset[k]);
        2.0 * UNIT * (displaced + summed + apart + 2.0) + expanded
    });
    let log_sum = |logits: Array1<f64>| {
        let largest = most(&logits);
        largest + logits.mapv(|l| (l - largest).exp()).sum().ln()
    };
    let (least_sum, most_sum) = (log_sum(&logits - &error), log_sum(&logits + &error));
    let terms = (0..distances.len()).map(|k| {
        let highest = (logits[k] + error[k] - least_sum).min(0.0).exp();
        let lowest = (logits[k] - error[k] - most_sum).exp();
        // Terms that are left out: each below e^−30, and all below e^−20.
        (highest - lowest + 3e-9) * lengths[k]
    });
    terms.sum::<f64>() + 4.0 * UNIT * rounded
}

fn check(mixture: &GaussianMixture, x: &Array2<f32>, sigma: f64) {
    let double = x.mapv(f64::from);
    let (score, exact_score) = (
        mixture.score_f32(x.view(), sigma),
        mixture.score(double.view(), sigma),
    );
    let (mean, exact_mean) = (
        mixture.denoise_f32(x.view(), sigma),
        mixture.denoise(double.view(), sigma),
    );
    let sharpest = mixture
        .variances()
        .fold(0.0, |a: f64, v| a.max((v + sigma * sigma).recip()));
    for (row, x) in double.rows().into_iter().enumerate() {
        let length = |v: Array1<f64>| v.dot(&v).sqrt();
        let pull = Array1::from_shape_fn(mixture.variances().len(), |k| {
            let precision = (mixture.variances()[k] + sigma * sigma).recip();
            precision * length(&mixture.means().row(k) - &x)
        });
        let centre = mixture.means().mean_axis(Axis(0)).unwrap();
        let reach = (mixture.means().rows().into_iter())
            .map(|mean| length(&mean - &centre))
            .fold(length(&x - &centre), f64::max);
        let most = bound(mixture, x, sigma, &pull, sharpest * reach);
        let error = length(score.row(row).mapv(f64::from) - exact_score.row(row));
        assert!(error <= most, "score: {error:e} of {most:e} at {sigma}");
        // Between means and x, and written with the digits of its own size.
        let spread = Array1::from_elem(pull.len(), 2.0 * reach);
        let size = reach + length(exact_mean.row(row).to_owned());
        let most = bound(mixture, x, sigma, &spread, size);
        let error = length(mean.row(row).mapv(f64::from) - exact_mean.row(row));
        assert!(error <= most, "mean: {error:e} of {most:e} at {sigma}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_double_precision(
        dim in prop_oneof![1..6_usize, 13..20_usize, 60..66_usize],
        components in prop_oneof![1..20_usize, 60..130_usize],
        ln_spread in -1.0..4.0_f64,
        // From nearest means to all alike.
        ln_sigma in -9.0..6.0_f64,
        offset in prop_oneof![Just(0.0), Just(1e3)],
        seed in 0..10_000_u64,
    ) {
        let mut rng = rng(seed);
        let mixture = GaussianMixture::zipf(components, dim, ln_spread.exp(), 0.0, &mut rng).unwrap();
        let scale = if ln_sigma < -4.0 { 0.0 } else { 2.0 };
        let variances = Array1::from_shape_simple_fn(components, || scale * rng.random::<f64>());
        let mixture = GaussianMixture::with_variances(
            mixture.weights().to_owned(),
            mixture.means().to_owned() + offset,
            variances,
        ).unwrap();
        let sigma = ln_sigma.exp();
        let mut x = noised(&mixture, 70, sigma, &mut rng);
        // Some far from all means.
        x.slice_mut(s![..;7, ..]).mapv_inplace(|x| 10.0 * x);
        check(&mixture, &x.mapv(|x| x as f32), sigma);
    }

    #[test]
    fn rows_do_not_depend_on_their_neighbours(
        dim in prop_oneof![Just(2_usize), Just(20_usize)],
        ln_sigma in -3.0..3.0_f64,
        start in 0..150_usize,
        length in 1..150_usize,
        seed in 0..10_000_u64,
    ) {
        let mut rng = rng(seed);
        let mixture = GaussianMixture::zipf(37, dim, 1.0, 0.3, &mut rng).unwrap();
        let mut x = noised(&mixture, 300, ln_sigma.exp(), &mut rng).mapv(|x| x as f32);
        x.slice_mut(s![..;3, ..]).mapv_inplace(|x| 30.0 * x);
        // Too far for single precision.
        x.slice_mut(s![..;11, ..]).mapv_inplace(|x| 1e25 * x);
        let rows = s![start..start + length, ..];
        let sigma = ln_sigma.exp();
        let (part, all) = (mixture.score_f32(x.slice(rows), sigma), mixture.score_f32(x.view(), sigma));
        prop_assert_eq!(part, all.slice(rows));
        let (part, all) = (mixture.denoise_f32(x.slice(rows), sigma), mixture.denoise_f32(x.view(), sigma));
        prop_assert_eq!(part, all.slice(rows));
    }
}

#[test]
fn what_overflows_is_computed_in_double_precision() {
    // 1/σ², squares of distances, or both are beyond single precision; the answers are not.
    for dim in [2, 24] {
        let mixture = GaussianMixture::zipf(33, dim, 2.0, 0.0, &mut rng(2)).unwrap();
        let x = mixture.means().slice(s![..9, ..]).mapv(|m| m as f32);
        let nearest = mixture.denoise(x.mapv(f64::from).view(), 0.0);
        for sigma in [0.0, 1e-160, 1e-30, 1e-19] {
            let mean = mixture.denoise_f32(x.view(), sigma);
            let error = (mean.mapv(f64::from) - &nearest).mapv(f64::abs);
            assert!(error.iter().all(|error| *error < 1e-6), "{sigma:e}");
        }
        for far in [1e10_f32, 1e20, 1e30] {
            let x = Array2::from_elem((3, dim), far);
            for sigma in [1.0, 1e15, 1e25] {
                let score = mixture.score_f32(x.view(), sigma);
                let exact = mixture.score(x.mapv(f64::from).view(), sigma);
                for (single, double) in score.iter().zip(&exact) {
                    let error = (f64::from(*single) - double).abs();
                    assert!(error <= 1e-5 * double.abs() + 1e-45, "{far:e} {sigma:e}");
                }
            }
        }
    }
}
