//! Posteriors: means and covariances against derivatives of each other, against draws, and at their limits.

mod beds;

use beds::{all, gaussian_mixtures, noised, rng};
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, array};
use noise_schedule::Kernel;
use proptest::prelude::*;
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::exact::{
    Curve, ExactScore, Gaussian, GaussianField, GaussianMixture, Mixture, Sphere,
};

/// The Jacobian of the denoiser by differences of fourth order.
fn jacobian(data: &dyn ExactScore, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
    let (n, dim) = x.dim();
    let step = 2e-3 * sigma;
    let mut jacobian = Array3::zeros((n, dim, dim));
    for axis in 0..dim {
        let at = |offset: f64| {
            let mut x = x.to_owned();
            x.column_mut(axis).mapv_inplace(|v| v + offset * step);
            data.denoise(x.view(), sigma)
        };
        let slope = ((at(1.0) - at(-1.0)) * 8.0 - (at(2.0) - at(-2.0))) / (12.0 * step);
        jacobian.index_axis_mut(Axis(2), axis).assign(&slope);
    }
    jacobian
}

fn largest<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values
        .into_iter()
        .fold(0.0, |worst: f64, v| worst.max(v.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn moments_are_derivatives(bed in 0..all().len(), ln_sigma in -2.9..2.0_f64, seed in 0..1000_u64) {
        let (data, sigma) = (&all()[bed], ln_sigma.exp());
        let x = noised(&**data, 3, sigma, &mut rng(seed));
        // First order (Tweedie), where mean and score are computed apart.
        let (denoised, score) = (data.denoise(x.view(), sigma), data.score(x.view(), sigma));
        let difference = &denoised - &x - &score * (sigma * sigma);
        prop_assert!(largest(&difference) < 1e-12 * (1.0 + largest(&x)), "{:?}", data);
        // Second order.
        let covariance = data.posterior_covariance(x.view(), sigma);
        let slope = jacobian(&**data, x.view(), sigma) * (sigma * sigma);
        let error = largest(&(&covariance - &slope));
        prop_assert!(error < 2e-6 * sigma * sigma, "{data:?} at {sigma}: {error:e}");
        // Its trace, computed apart; symmetry; and no variance is negative.
        let variance = data.posterior_variance(x.view(), sigma);
        for (covariance, variance) in covariance.outer_iter().zip(&variance) {
            prop_assert!((covariance.diag().sum() - variance).abs() < 1e-10 * (variance + sigma * sigma));
            prop_assert!(largest(&(&covariance - &covariance.t())) < 1e-12 * (1.0 + variance));
            let direction = Array1::from_shape_simple_fn(data.dim(), || rng(seed).random::<f64>() - 0.5);
            prop_assert!(-1e-12 * (1.0 + variance) < direction.dot(&covariance.dot(&direction)));
        }
    }

    #[test]
    fn every_kernel_is_a_rescaled_noise(
        bed in 0..all().len(), alpha in 0.05..2.0_f64, ratio in 0.06..5.0_f64, seed in 0..1000_u64
    ) {
        let data = &all()[bed];
        let kernel = Kernel::new(alpha, alpha * ratio).unwrap();
        let x = data.draw_at(3, kernel, &mut rng(seed));
        // Tweedie with alpha: E[x0 | x] = (x + sigma² score)/alpha.
        let score = data.score_at(x.view(), kernel);
        let found = data.denoise_at(x.view(), kernel);
        let tweedie = (&x + &(&score * kernel.sigma().powi(2))) / alpha;
        prop_assert!(largest(&(&found - &tweedie)) < 1e-10 * (1.0 + largest(&tweedie)));
        // The score is the gradient of the log-density, along one direction.
        let direction = Array1::linspace(-1.0, 2.0, data.dim());
        let step = 1e-3 * kernel.sigma();
        let at = |offset: f64| data.log_density_at((&x + &(&direction * (offset * step))).view(), kernel);
        let slope = ((at(1.0) - at(-1.0)) * 8.0 - (at(2.0) - at(-2.0))) / (12.0 * step);
        let wanted = score.dot(&direction);
        prop_assert!(largest(&(slope - &wanted)) < 1e-6 * (1.0 + largest(&wanted)) / kernel.sigma());
    }
}

#[test]
fn posterior_moments_are_those_of_draws() {
    // Law of total variance, with the posterior in closed form on one side and draws alone on the other.
    let n = 8_000;
    for data in all() {
        let mut rng = rng(31);
        let x0 = data.draw(n, &mut rng);
        let sigma = 0.8;
        let x = x0.mapv(|v| v + sigma * rng.sample::<f64, _>(StandardNormal));
        let errors = (&x0 - &data.denoise(x.view(), sigma))
            .mapv_into(|d| d * d)
            .sum_axis(Axis(1));
        let said = data.posterior_variance(x.view(), sigma);
        let difference = &errors - &said;
        let bound = 5.0 * difference.std(1.0) / (n as f64).sqrt();
        assert!(
            difference.mean().unwrap().abs() <= bound + 1e-12,
            "{data:?}"
        );
        // Prior moments, against the same draws.
        let bound = |exact: f64| 5.0 * (exact / n as f64).sqrt() + 1e-12;
        let covariance = data.covariance();
        for (axis, exact) in data.mean().iter().enumerate() {
            let found = x0.column(axis).mean().unwrap();
            assert!(
                (found - exact).abs() < bound(covariance[[axis, axis]]),
                "{data:?}"
            );
        }
        let centred = &x0 - &data.mean();
        let found = centred.t().dot(&centred) / n as f64;
        let scale = covariance.diag().sum();
        let worst = largest(&(found - &covariance));
        assert!(worst < 0.1 * scale + 1e-12, "{data:?}: {worst}");
    }
}

#[test]
fn without_signal_the_posterior_is_the_prior() {
    let noise = Kernel::new(0.0, 2.0).unwrap();
    for data in all() {
        let x = data.draw_at(2, noise, &mut rng(32));
        // Along a falling signal, down to where alpha is too small for its reciprocal's square.
        for kernel in [
            noise,
            Kernel::new(1e-9, 2.0).unwrap(),
            Kernel::new(1e-200, 2.0).unwrap(),
        ] {
            let mean = data.denoise_at(x.view(), kernel);
            assert!(
                largest(&(&mean - &data.mean())) < 1e-6,
                "{data:?} at {kernel:?}"
            );
            let covariance = data.posterior_covariance_at(x.view(), kernel);
            assert!(
                largest(&(&covariance - &data.covariance())) < 1e-6,
                "{data:?}"
            );
            let variance = data.posterior_variance_at(x.view(), kernel);
            assert!((variance[1] - data.covariance().diag().sum()).abs() < 1e-6);
            let score = data.score_at(x.view(), kernel);
            assert!(largest(&(&score + &(&x / 4.0))) < 1e-6);
            let log_density = data.log_density_at(x.view(), kernel);
            let normal = x.mapv(|x| -x * x / 8.0 - (8.0 * std::f64::consts::PI).ln() / 2.0);
            assert!(largest(&(&log_density - &normal.sum_axis(Axis(1)))) < 1e-6);
        }
    }
}

#[test]
fn without_noise_the_denoiser_is_the_nearest_point() {
    let tiny = [0.0, 1e-200, 1e-160];
    for data in all() {
        let x = data.draw(3, &mut rng(33)) * 1.1;
        let clean = Kernel::new(0.5, 0.0).unwrap();
        for sigma in tiny {
            let denoised = data.denoise(x.view(), sigma);
            assert!(denoised.iter().all(|v| v.is_finite()));
            if data.has_density() {
                assert!(largest(&(&denoised - &x)) < 1e-12, "{data:?} at {sigma}");
            } else {
                // A projection: doing it again changes nothing.
                let again = data.denoise(denoised.view(), sigma);
                assert!(largest(&(&again - &denoised)) < 1e-7, "{data:?} at {sigma}");
            }
            assert!(largest(&data.posterior_covariance(x.view(), sigma)) < 1e-28);
            assert!(largest(&data.posterior_variance(x.view(), sigma)) < 1e-28);
        }
        let half = data.denoise_at((&x * 0.5).view(), clean);
        assert!(largest(&(half - data.denoise(x.view(), 0.0))) < 1e-12);
    }
    // Known ones.
    let sphere = Sphere::new(2, 3, 2.0, &mut rng(34)).unwrap();
    let x = sphere.embed(array![[3.0, 4.0], [0.0, 0.0]].view());
    let wanted = sphere.embed(array![[1.2, 1.6], [0.0, 0.0]].view());
    assert!(largest(&(sphere.denoise(x.view(), 0.0) - wanted)) < 1e-14);
    let flat = Gaussian::subspace(1, 2).unwrap();
    assert_eq!(
        flat.denoise(array![[3.0, 4.0]].view(), 0.0),
        array![[3.0, 0.0]]
    );
    let points = GaussianMixture::of_points(array![[0.0], [1.0], [4.0]]).unwrap();
    let x = array![[-3.0], [0.5], [2.4], [2.6]];
    assert_eq!(
        points.denoise(x.view(), 0.0),
        array![[0.0], [0.5], [1.0], [4.0]]
    );
    let near = points.denoise(x.view(), 0.02);
    assert!(largest(&(near - points.denoise(x.view(), 0.0))) < 1e-12);
    // Points beside something wide: almost everywhere the wide part explains x.
    let both =
        GaussianMixture::with_variances(array![1.0, 1.0], array![[0.0], [1.0]], array![0.0, 1.0]);
    assert_eq!(
        both.unwrap().denoise(array![[0.3]].view(), 0.0),
        array![[0.3]]
    );
    let roll = Curve::swiss_roll(60).unwrap();
    let on = roll.points(array![0.0, 0.123_456, 0.77, 1.0].view());
    assert!(largest(&(roll.denoise(on.view(), 0.0) - &on)) < 1e-7);
    let knot = Curve::trefoil(60).unwrap();
    let on = knot.points(array![0.0, 0.003, 0.5, 0.999].view());
    assert!(largest(&(knot.denoise(on.view(), 0.0) - &on)) < 1e-7);
}

#[test]
fn denoisers_keep_their_digits_at_large_noise() {
    // x + sigma² score would lose the eight digits that x has more than the mean.
    for mixture in gaussian_mixtures() {
        let mean = mixture.mean();
        let x = Array2::from_elem((1, mixture.dim()), 1e8);
        let found = mixture.denoise(x.view(), 1e8);
        // To first order in 1/sigma²: mean + Cov x/sigma².
        let wanted = &mean + &(mixture.covariance().sum_axis(Axis(1)) * 1e-8);
        assert!(largest(&(found - wanted)) < 1e-12, "{mixture:?}");
    }
    let sphere = Sphere::new(3, 3, 1.0, &mut rng(35)).unwrap();
    let found = sphere.denoise(array![[1e8, 0.0, 0.0]].view(), 1e8);
    assert!((found[[0, 0]] / (1e-8 / 3.0) - 1.0).abs() < 1e-12);
}

#[test]
fn a_sphere_seen_from_close_by_is_flat() {
    // Tr Cov = sigma² (d − 1) + O(sigma⁴), of which none is radial; down to where 1 − A is 1e-12.
    for d in [2, 3, 8] {
        let sphere = Sphere::new(d, d + 2, 1.0, &mut rng(36)).unwrap();
        let x = sphere.draw(1, &mut rng(37));
        for sigma in [1e-2, 1e-4, 1e-6_f64] {
            let flat = sigma * sigma * (d as f64 - 1.0);
            let variance = sphere.posterior_variance(x.view(), sigma)[0];
            assert!(
                (variance / flat - 1.0).abs() < 20.0 * sigma * sigma + 1e-9,
                "{d} {sigma}"
            );
            let covariance = sphere.posterior_covariance(x.view(), sigma);
            let covariance = covariance.index_axis(Axis(0), 0);
            let radial = x.row(0).dot(&covariance.dot(&x.row(0)));
            let exact = 0.5 * (d as f64 - 1.0) * sigma.powi(4);
            assert!(
                (radial - exact).abs() < 20.0 * sigma.powi(6) + 1e-15 * sigma * sigma,
                "{d} {sigma}"
            );
        }
    }
}

#[test]
fn grf16_has_the_covariance_of_its_denoiser() {
    let field = GaussianField::grf16();
    let x = noised(&field, 1, 0.5, &mut rng(38));
    let covariance = field.posterior_covariance(x.view(), 0.5);
    let direction = Array2::from_shape_fn((1, 256), |(_, i)| ((i * i) % 11) as f64 - 5.0);
    let step = 1e-4;
    let at = |s: f64| field.denoise((&x + &(&direction * s)).view(), 0.5);
    let slope = (at(step) - at(-step)) * (0.25 / (2.0 * step));
    let wanted = direction.dot(&covariance.index_axis(Axis(0), 0));
    assert!(largest(&(slope - &wanted)) < 1e-6 * largest(&wanted));
    let variance = field.posterior_variance(x.view(), 0.5)[0];
    assert!((covariance.index_axis(Axis(0), 0).diag().sum() / variance - 1.0).abs() < 1e-12);
}

#[test]
fn kinds_agree_where_they_overlap() {
    // The same mixture as isotropic components and as a mixture of Gaussians.
    let (weights, means) = (array![1.0, 3.0], array![[0.0, 1.0], [2.0, -1.0]]);
    let variances = array![0.5, 1.5];
    let isotropic =
        GaussianMixture::with_variances(weights.clone(), means.clone(), variances.clone()).unwrap();
    let parts = (0..2).map(|k| {
        let covariance = Array2::eye(2) * variances[k];
        Gaussian::with_covariance(means.row(k).to_owned(), covariance).unwrap()
    });
    let full = Mixture::new(weights, parts.collect()).unwrap();
    let x = noised(&isotropic, 50, 0.3, &mut rng(39));
    let (x, sigma) = (x.view(), 0.3);
    assert!(largest(&(isotropic.score(x, sigma) - full.score(x, sigma))) < 1e-12);
    assert!(largest(&(isotropic.log_density(x, sigma) - full.log_density(x, sigma))) < 1e-12);
    assert!(largest(&(isotropic.denoise(x, sigma) - full.denoise(x, sigma))) < 1e-12);
    let covariances =
        isotropic.posterior_covariance(x, sigma) - full.posterior_covariance(x, sigma);
    assert!(largest(&covariances) < 1e-12);
    let shares = isotropic.responsibilities(x, sigma) - full.responsibilities(x, sigma);
    assert!(largest(&shares) < 1e-12);
    assert_eq!(isotropic.mean(), full.mean());
    assert!(largest(&(isotropic.covariance() - full.covariance())) < 1e-14);
}
