//! Exact scores against finite differences, quadrature and known answers.

mod beds;

use beds::{all, noised, rng};
use ndarray::{Array1, Array2, Axis, array, s};
use proptest::prelude::*;
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::Error;
use score_objective::exact::{
    Curve, ExactScore, Gaussian, GaussianField, GaussianMixture, Mixture, Product, Rotated, Sphere,
};

/// The largest difference between score and finite differences, over the root mean square of the score.
fn gradient_error(data: &dyn ExactScore, x: &Array2<f64>, sigma: f64) -> f64 {
    let score = data.score(x.view(), sigma);
    let scale = score.mapv(|s| s * s).mean().unwrap().sqrt();
    let scale_of_x = x.mapv(|x| x * x).mean().unwrap().sqrt();
    let step = 1e-4 * sigma.max(0.01).min(scale_of_x);
    let mut worst: f64 = 0.0;
    for axis in 0..data.dim() {
        // Fourth order: the truncation error must not hide a wrong score.
        let at = |offset: f64| {
            let mut x = x.clone();
            x.column_mut(axis).mapv_inplace(|v| v + offset * step);
            data.log_density(x.view(), sigma)
        };
        let slope = ((at(1.0) - at(-1.0)) * 8.0 - (at(2.0) - at(-2.0))) / (12.0 * step);
        let difference = slope - score.column(axis);
        worst = difference.iter().fold(worst, |worst, d| worst.max(d.abs()));
    }
    worst / scale
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_score_is_the_gradient_of_the_log_density(
        bed in 0..all().len(), ln_sigma in -2.9..3.0_f64, seed in 0..1000_u64
    ) {
        let (data, sigma) = (&all()[bed], ln_sigma.exp());
        let x = noised(&**data, 6, sigma, &mut rng(seed));
        let error = gradient_error(&**data, &x, sigma);
        prop_assert!(error < 1e-5, "{data:?} at {sigma}: {error}");
    }
}

#[test]
fn the_score_of_grf16_is_the_gradient_of_the_log_density() {
    let field = GaussianField::grf16();
    for sigma in [0.0_f64, 0.3] {
        let x = noised(&field, 2, sigma.max(0.05), &mut rng(3));
        let error = gradient_error(&field, &x, sigma);
        assert!(error < 1e-5, "{error}");
    }
}

#[test]
fn densities_without_noise_have_scores_without_noise() {
    for data in all().iter().filter(|data| data.has_density()) {
        let x = data.draw(4, &mut rng(4));
        assert!(gradient_error(&**data, &x, 0.0) < 1e-5, "{data:?}");
        let moved = data.denoise(x.view(), 0.0) - &x;
        assert!(moved.iter().all(|d| d.abs() < 1e-13), "{data:?}");
    }
}

#[test]
fn the_denoiser_is_the_posterior_mean() {
    // E[x0 - D] = 0 and E[(x0 - D) D] = 0: the error is orthogonal to what is known.
    let n = 4000;
    for data in all() {
        let sigma = 0.7;
        let mut rng = rng(5);
        let x0 = data.draw(n, &mut rng);
        let x = x0.mapv(|v| v + sigma * rng.sample::<f64, _>(StandardNormal));
        let denoised = data.denoise(x.view(), sigma);
        let error = &x0 - &denoised;
        for (name, weighed) in [
            ("1", error.clone()),
            ("D", &error * &denoised),
            ("x", &error * &x),
        ] {
            let total = weighed.sum_axis(Axis(1));
            let bound = 5.0 * (total.mapv(|t| t * t).sum() / n as f64).sqrt() / (n as f64).sqrt();
            assert!(
                total.mean().unwrap().abs() <= bound + 1e-12,
                "{data:?} against {name}"
            );
        }
    }
}

#[test]
fn the_mean_score_vanishes_and_stein_gives_the_dimension() {
    // E s = 0 and E[s · x] = -D, with E over q_sigma.
    for data in all() {
        let n = 4000;
        let x = noised(data, n, 0.6, &mut rng(6));
        let stein = (data.score(x.view(), 0.6) * &x).sum_axis(Axis(1));
        let bound = 5.0 * stein.std(1.0) / (n as f64).sqrt();
        assert!(
            (stein.mean().unwrap() + data.dim() as f64).abs() < bound,
            "{data:?}"
        );
    }
}

#[test]
fn responsibilities_are_probabilities_and_far_points_stay_finite() {
    let mixture = GaussianMixture::song_ermon();
    let far = array![[1e6, 1e6], [-1e8, 3.0], [0.0, 0.0], [5.0, 5.0]];
    for sigma in [0.0, 0.1, 100.0] {
        let r = mixture.responsibilities(far.view(), sigma);
        assert!(
            r.sum_axis(Axis(1))
                .iter()
                .all(|total| (total - 1.0).abs() < 1e-14)
        );
        assert!(
            mixture
                .score(far.view(), sigma)
                .iter()
                .all(|s| s.is_finite())
        );
        assert!(
            mixture
                .log_density(far.view(), sigma)
                .iter()
                .all(|l| l.is_finite())
        );
    }
    // On the line between the modes they are equal up to the weights.
    assert!((mixture.responsibilities(far.view(), 1.0)[[2, 0]] - 0.8).abs() < 1e-15);

    let field = GaussianField::grf16();
    let x = field.draw(3, &mut rng(14)) * 1e6;
    let r = field.responsibilities(x.view(), 0.1);
    assert!(
        r.sum_axis(Axis(1))
            .iter()
            .all(|total| (total - 1.0).abs() < 1e-14)
    );
    assert!(field.score(x.view(), 0.1).iter().all(|s| s.is_finite()));

    let sphere = Sphere::new(3, 8, 1.0, &mut rng(15)).unwrap();
    for x in [Array2::zeros((1, 8)), Array2::from_elem((1, 8), 1e5)] {
        for sigma in [1e-4, 1.0, 1e4] {
            assert!(sphere.score(x.view(), sigma).iter().all(|s| s.is_finite()));
            assert!(
                sphere
                    .log_density(x.view(), sigma)
                    .iter()
                    .all(|l| l.is_finite())
            );
        }
    }
}

#[test]
fn mixtures_draw_their_weights_and_templates() {
    let mixture = GaussianMixture::song_ermon();
    let x = mixture.draw(20_000, &mut rng(16));
    let share = x.column(0).iter().filter(|v| 0.0 < **v).count() as f64 / 20_000.0;
    assert!((share - 0.8).abs() < 0.015);

    let field = GaussianField::grf16();
    let x = field.draw(4000, &mut rng(17));
    let mean = field
        .responsibilities(x.view(), 0.0)
        .mean_axis(Axis(0))
        .unwrap();
    for (found, weight) in mean.iter().zip(field.weights()) {
        assert!((found - weight).abs() < 0.035, "{found} vs {weight}");
    }
    let image = field.weights().dot(&field.means());
    let worst = (x.mean_axis(Axis(0)).unwrap() - image)
        .iter()
        .fold(0.0, |w: f64, d| w.max(d.abs()));
    assert!(worst < 5.0 * (0.6_f64 / 4000.0).sqrt(), "{worst}");
}

#[test]
fn spheres_know_their_distance() {
    let sphere = Sphere::new(3, 10, 2.0, &mut rng(21)).unwrap();
    let u = array![[0.0, 5.0, 0.0]];
    let x = sphere.embed(u.view());
    assert!(
        (sphere.project(x.view()) - &u)
            .iter()
            .all(|d| d.abs() < 1e-14)
    );
    assert!((sphere.radial_distance(x.view())[0] - 3.0).abs() < 1e-13);
    // A step of length 4 along a normal of the subspace makes it the hypotenuse.
    let any = Array2::from_shape_fn((1, 10), |(_, i)| i as f64);
    let normal = &any - &sphere.embed(sphere.project(any.view()).view());
    let normal = &normal * (4.0 / normal.mapv(|v| v * v).sum().sqrt());
    assert!((sphere.radial_distance((x + normal).view())[0] - 5.0).abs() < 1e-12);
    let drawn = sphere.draw(50, &mut rng(22));
    assert!(
        sphere
            .radial_distance(drawn.view())
            .iter()
            .all(|d| *d < 1e-13)
    );
}

#[test]
fn results_depend_neither_on_threads_nor_on_the_batch() {
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    for data in all() {
        let n = 40_000 / data.dim();
        let of = |threads| {
            pool(threads).install(|| {
                let x = data.draw(n, &mut rng(23));
                let (score, log_density) =
                    (data.score(x.view(), 0.5), data.log_density(x.view(), 0.5));
                (x, score, log_density)
            })
        };
        let (x, score, log_density) = of(1);
        assert_eq!(of(3), (x.clone(), score.clone(), log_density));
        for rows in [300..301, 17..24, 200..330] {
            let part = x.slice(s![rows.clone(), ..]);
            assert_eq!(data.score(part, 0.5), score.slice(s![rows, ..]), "{data:?}");
        }
    }
}

#[test]
#[should_panic(expected = "no density")]
fn a_manifold_has_no_score_without_noise() {
    let circle = Sphere::new(2, 3, 1.0, &mut rng(24)).unwrap();
    circle.score(circle.draw(1, &mut rng(25)).view(), 0.0);
}

#[test]
#[should_panic(expected = "points must have length 2")]
fn points_of_another_dimension_are_refused() {
    GaussianMixture::song_ermon().score(Array2::zeros((1, 3)).view(), 1.0);
}

#[test]
fn constructors_refuse_what_breaks_their_rules() {
    let mut rng = rng(26);
    let means = Array2::<f64>::zeros((2, 3));
    let mixture = |weights, variance| GaussianMixture::new(weights, means.clone(), variance);
    assert!(matches!(
        mixture(array![1.0], 1.0),
        Err(Error::Length {
            expected: 2,
            given: 1,
            ..
        })
    ));
    assert!(matches!(
        mixture(array![1.0, -0.5], 1.0),
        Err(Error::NotPositive { .. })
    ));
    assert!(matches!(
        mixture(array![1.0, 1.0], f64::NAN),
        Err(Error::Negative { .. })
    ));
    assert!(matches!(
        Sphere::new(3, 2, 1.0, &mut rng),
        Err(Error::Count { .. })
    ));
    assert!(matches!(
        Sphere::new(2, 2, 0.0, &mut rng),
        Err(Error::NotPositive { .. })
    ));
    assert!(matches!(
        Gaussian::with_spectrum(array![-1.0]),
        Err(Error::Negative { .. })
    ));
    let plane = Gaussian::with_spectrum(array![1.0, 1.0]).unwrap();
    assert!(matches!(
        plane.clone().in_basis(array![[1.0, 0.5], [0.0, 1.0]]),
        Err(Error::NotOrthonormal { .. })
    ));
    assert!(
        plane
            .clone()
            .in_basis(array![[f64::NAN, 0.0], [0.0, 1.0]])
            .is_err()
    );
    assert!(plane.in_basis(array![[0.0, 1.0], [1.0, 0.0]]).is_ok());
    let mut spectra = Array2::ones((1, 9));
    spectra[[0, 1]] = 2.0;
    assert!(matches!(
        GaussianField::new(3, array![1.0], Array2::zeros((1, 9)), spectra),
        Err(Error::AsymmetricSpectrum {
            component: 0,
            row: 0,
            column: 1
        })
    ));
}

#[test]
fn compositions_refuse_what_breaks_their_rules() {
    let plane = || Gaussian::with_spectrum(array![1.0, 1.0]).unwrap();
    let line = Gaussian::with_spectrum(array![1.0]).unwrap();
    assert!(matches!(
        Mixture::new(array![1.0, 1.0], vec![plane(), line]),
        Err(Error::Length {
            expected: 2,
            given: 1,
            ..
        })
    ));
    assert!(matches!(
        Mixture::new(array![0.0], vec![plane()]),
        Err(Error::NotPositive { .. })
    ));
    assert!(matches!(
        Mixture::<Gaussian>::new(array![], vec![]),
        Err(Error::Count { .. })
    ));
    assert!(matches!(
        Product::<Gaussian>::new(vec![]),
        Err(Error::Count { .. })
    ));
    let skewed = array![[1.0, 0.1], [0.0, 1.0]];
    assert!(matches!(
        Rotated::new(plane(), skewed),
        Err(Error::NotOrthonormal { .. })
    ));
    let still = Rotated::new(plane(), Array2::eye(2)).unwrap();
    assert!(matches!(
        still.clone().shifted(array![1.0]),
        Err(Error::Length { .. })
    ));
    assert!(matches!(
        still.shifted(array![1.0, f64::NAN]),
        Err(Error::NotFinite { .. })
    ));
    assert!(matches!(Curve::trefoil(1), Err(Error::Count { .. })));
    assert!(matches!(
        Curve::open(3, |_| array![f64::NAN]),
        Err(Error::NotFinite { .. })
    ));
    assert!(matches!(
        Curve::open(3, |_| array![1.0]),
        Err(Error::NotPositive { .. })
    ));
    let growing = |t: f64| Array1::zeros(if t < 0.5 { 1 } else { 2 });
    assert!(matches!(Curve::open(3, growing), Err(Error::Length { .. })));
    let points = array![[0.0, 1.0], [f64::INFINITY, 0.0]];
    assert!(matches!(
        GaussianMixture::of_points(points),
        Err(Error::NotFinite { .. })
    ));
    let means = Array2::zeros((2, 1));
    assert!(matches!(
        GaussianMixture::with_variances(array![1.0, 1.0], means, array![1.0]),
        Err(Error::Length { .. })
    ));
    assert!(GaussianMixture::zipf(0, 2, 1.0, 1.0, &mut rng(30)).is_err());
}

#[test]
#[should_panic(expected = "below the curve's resolution")]
fn a_curve_has_no_score_between_its_nodes() {
    let roll = Curve::swiss_roll(20).unwrap();
    roll.score(array![[1.0, 0.0]].view(), 0.9 * roll.resolution());
}

#[test]
fn draws_are_fixed() {
    // Golden: an upgrade of a generator must not shift results unnoticed.
    let x = GaussianMixture::song_ermon().draw(2, &mut rng(0));
    let again = GaussianMixture::song_ermon().draw(2, &mut rng(0));
    assert_eq!(x, again);
    let golden = array![
        [4.855938364572152, 5.302886280245586],
        [6.200341661914451, 5.110781355835143]
    ];
    assert!((&x - &golden).iter().all(|d| d.abs() < 1e-14), "{x:?}");
}
