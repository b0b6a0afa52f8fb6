//! Test beds: one of each distribution, in few dimensions.
#![allow(dead_code)] // Each file of tests uses some of them.

use std::sync::LazyLock;

use ndarray::{Array1, Array2, Axis, array};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use score_objective::exact::{
    Curve, ExactScore, Gaussian, GaussianField, GaussianMixture, Mixture, Product, Rotated, Sphere,
};

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub(crate) fn noised(
    data: &dyn ExactScore,
    n: usize,
    sigma: f64,
    rng: &mut ChaCha8Rng,
) -> Array2<f64> {
    let x = data.draw(n, rng);
    let noise = Array2::from_shape_simple_fn(x.dim(), || rng.sample::<f64, _>(StandardNormal));
    x + noise * sigma
}

/// A field whose spectra are not symmetric in their two axes: only f and −f agree.
pub(crate) fn small_field() -> GaussianField {
    let spectrum = |tilt: f64| {
        Array1::from_shape_fn(25, |f| {
            let folded = |i: usize| i.min(5 - i) as f64;
            (1.0 + 3.0 * folded(f / 5) + tilt * folded(f % 5)).recip()
        })
    };
    let spectra = ndarray::stack![Axis(0), spectrum(0.5), spectrum(2.0)];
    let means = Array2::from_shape_fn((2, 25), |(k, p)| ((k + 1) * p) as f64 / 20.0);
    GaussianField::new(5, array![3.0, 1.0], means, spectra).unwrap()
}

/// Mixtures of isotropic Gaussians: few and many dimensions, one width and several, points among them.
pub(crate) fn gaussian_mixtures() -> Vec<GaussianMixture> {
    let mut rng = rng(12);
    let means = array![[0.0, 1.0, 2.0], [1.0, -1.0, 0.5], [-2.0, 0.0, 0.0]];
    let weights = array![1.0, 2.0, 0.5];
    let wide = Array2::from_shape_fn((7, 18), |(k, i)| ((3 * k + i) % 5) as f64 - 2.0);
    let several = Array1::from_shape_fn(7, |k| 0.1 + 0.2 * k as f64);
    let points = Array2::from_shape_fn((5, 2), |(k, i)| ((k * k + 3 * i) % 7) as f64 / 3.0);
    vec![
        GaussianMixture::song_ermon(),
        GaussianMixture::new(weights.clone(), means.clone(), 0.3).unwrap(),
        GaussianMixture::with_variances(weights, means, array![0.01, 2.0, 0.5]).unwrap(),
        GaussianMixture::new(array![1.0], array![[0.5, -0.5]], 0.0).unwrap(),
        GaussianMixture::with_variances(Array1::ones(7), wide, several).unwrap(),
        GaussianMixture::of_points(points).unwrap(),
        GaussianMixture::zipf(30, 1, 3.0, 0.2, &mut rng).unwrap(),
    ]
}

/// One of each, none of which needs σ above 0.05.
pub(crate) fn all() -> &'static [Box<dyn ExactScore>] {
    static ALL: LazyLock<Vec<Box<dyn ExactScore>>> = LazyLock::new(build);
    &ALL
}

fn build() -> Vec<Box<dyn ExactScore>> {
    let mut rng = rng(11);
    let spectrum = array![4.0, 1.0, 0.25, 0.0, 1e-3];
    let turned = Gaussian::with_spectrum(spectrum.clone())
        .unwrap()
        .rotated(&mut rng);
    let gaussian = |a: f64| {
        let covariance = array![[2.0, a], [a, 1.0]];
        Gaussian::with_covariance(array![a, -1.0], covariance).unwrap()
    };
    let ring: Box<dyn ExactScore> = Box::new(Sphere::new(2, 2, 1.0, &mut rng).unwrap());
    let blob: Box<dyn ExactScore> = Box::new(gaussian(0.9));
    let product = Product::new(vec![
        GaussianMixture::song_ermon(),
        GaussianMixture::new(array![1.0, 1.0], array![[0.0], [1.0]], 0.0).unwrap(),
    ])
    .unwrap();
    let mut all: Vec<Box<dyn ExactScore>> = vec![
        Box::new(Sphere::new(2, 2, 1.5, &mut rng).unwrap()),
        Box::new(Sphere::new(2, 7, 1.0, &mut rng).unwrap()),
        Box::new(Sphere::new(5, 6, 2.0, &mut rng).unwrap()),
        Box::new(Gaussian::with_spectrum(spectrum).unwrap()),
        Box::new(turned.around(Array1::linspace(-1.0, 1.0, 5)).unwrap()),
        Box::new(gaussian(-1.2)),
        Box::new(small_field()),
        Box::new(Mixture::new(array![1.0, 2.0], vec![gaussian(1.3), gaussian(-0.5)]).unwrap()),
        Box::new(Mixture::new(array![3.0, 1.0], vec![ring, blob]).unwrap()),
        Box::new(
            Rotated::at_random(product, &mut rng)
                .shifted(array![1.0, 0.0, -2.0])
                .unwrap(),
        ),
        Box::new(Curve::swiss_roll(800).unwrap()),
        Box::new(Curve::trefoil(700).unwrap()),
    ];
    all.extend(
        gaussian_mixtures()
            .into_iter()
            .map(|m| Box::new(m) as Box<dyn ExactScore>),
    );
    all
}
