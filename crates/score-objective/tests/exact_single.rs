//! Mixtures of Gaussians in single precision against double precision, within what roundings of the points explain.

mod beds;

use beds::{noised, rng};
use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use proptest::prelude::*;
use rand::Rng;
use score_objective::exact::{ExactScore, GaussianMixture};

const UNIT: f64 = 0.5 * f32::EPSILON as f64;

fn length(v: Array1<f64>) -> f64 {
    v.dot(&v).sqrt()
}

fn largest<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values
        .into_iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max)
}

/// A point, a mixture and a level: what roundings do to the responsibilities there.
struct Rounded {
    // r_k is off by less.
    shares: Array1<f64>,
    // The largest distance from the centre of the means.
    reach: f64,
}

impl Rounded {
    fn new(mixture: &GaussianMixture, x: ArrayView1<'_, f64>, sigma: f64) -> Rounded {
        let dim = x.len() as f64;
        let centre = mixture.means().mean_axis(Axis(0)).unwrap();
        let to = |point: ArrayView1<'_, f64>| -> Array1<f64> {
            (mixture.means().rows().into_iter())
                .map(|mean| length(&mean - &point))
                .collect()
        };
        let (radii, distances) = (to(centre.view()), to(x));
        let from_centre = length(&x - &centre);
        let reach = from_centre.max(largest(&radii));
        let precision = mixture.variances().mapv(|v| (v + sigma * sigma).recip());
        let offset = mixture.weights().mapv(f64::ln) + 0.5 * dim * precision.mapv(f64::ln);
        let logits = &offset - &(0.5 * &precision * &distances * &distances);
        let size = 0.5 * largest(&precision) * (from_centre + largest(&radii)).powi(2);
        let expanded = if x.len() < 16 {
            0.0
        } else {
            (UNIT * size * dim.sqrt()).min(3e-5)
        };
        let error = Array1::from_shape_fn(distances.len(), |k| {
            let displaced = precision[k] * distances[k] * (from_centre + radii[k]);
            let summed = precision[k] * distances[k].powi(2) * dim.sqrt();
            let apart = (largest(&logits) - logits[k]) + (largest(&offset) - offset[k]);
            UNIT * (displaced + summed + apart + 4.0) + expanded
        });
        let log_sum = |logits: Array1<f64>| {
            let most = largest(&logits);
            most + logits.mapv(|l| (l - most).exp()).sum().ln()
        };
        let (least, most) = (log_sum(&logits - &error), log_sum(&logits + &error));
        let shares = Array1::from_shape_fn(distances.len(), |k| {
            let highest = (logits[k] + error[k] - least).min(0.0).exp();
            let lowest = (logits[k] - error[k] - most).exp();
            // What is left out is each below e^−30, and together below e^−20.
            highest - lowest + highest.min(3e-9)
        });
        Rounded { shares, reach }
    }

    /// How far Σ r_k f_k may be off, where the f_k are these.
    fn bound(&self, values: &Array2<f64>, sum: ArrayView1<'_, f64>) -> f64 {
        // Errors of shares sum to zero.
        let apart = values.rows().into_iter().map(|value| length(&value - &sum));
        self.shares.iter().zip(apart).map(|(r, a)| r * a).sum()
    }
}

fn check(mixture: &GaussianMixture, x: &Array2<f32>, sigma: f64) {
    let double = x.mapv(f64::from);
    let scores = mixture.score_f32(x.view(), sigma).mapv(f64::from);
    let means = mixture.denoise_f32(x.view(), sigma).mapv(f64::from);
    let (exact_scores, exact_means) = (
        mixture.score(double.view(), sigma),
        mixture.denoise(double.view(), sigma),
    );
    // Of as many terms as components, one after the other.
    let sums = UNIT * (8.0 + 0.25 * mixture.weights().len() as f64);
    let noise = sigma * sigma;
    let variances = mixture.variances().insert_axis(Axis(1));
    for (row, x) in double.rows().into_iter().enumerate() {
        let rounded = Rounded::new(mixture, x, sigma);
        let exact = exact_scores.row(row);
        let pulls = (&mixture.means() - &x) / &(&variances + noise);
        let sharpest = largest(&variances.mapv(|v| (v + noise).recip()));
        let most = rounded.bound(&pulls, exact) + sums * sharpest * rounded.reach;
        let error = length(&scores.row(row) - &exact);
        assert!(error <= most, "score: {error:e} of {most:e} at {sigma}");
        let exact = exact_means.row(row);
        let parts = (&mixture.means() * noise + &variances * &x) / (&variances + noise);
        let size = rounded.reach + length(exact.to_owned());
        let most = rounded.bound(&parts, exact) + sums * size;
        let error = length(&means.row(row) - &exact);
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

#[test]
fn widths_may_differ_beyond_single_precision() {
    let widths = [1e-30, 1e20];
    let mixture = GaussianMixture::with_variances(
        Array1::ones(2),
        Array2::zeros((2, 1)),
        Array1::from_iter(widths),
    )
    .unwrap();
    let x = Array2::from_shape_vec((3, 1), vec![1e-15_f32, 1.0, 1e8]).unwrap();
    let exact = mixture.score(x.mapv(f64::from).view(), 0.0);
    for (single, double) in mixture.score_f32(x.view(), 0.0).iter().zip(&exact) {
        let error = (f64::from(*single) - double).abs();
        assert!(error < 1e-5 * double.abs(), "{single:e} for {double:e}");
    }
}
