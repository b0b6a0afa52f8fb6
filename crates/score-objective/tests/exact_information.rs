//! Fisher information and entropy: closed forms, inequalities, quadratures, and draws.

mod beds;

use beds::{all, gaussian_mixtures, rng};
use ndarray::{Array1, Array2, Axis, array};
use proptest::prelude::*;
use score_objective::exact::{
    Curve, ExactScore, Gaussian, GaussianField, GaussianMixture, Mixture, Product, Rotated, Sphere,
    sampled_fisher_information, sampled_implicit_loss,
};

/// Those whose information is known without sampling.
fn known() -> Vec<&'static dyn ExactScore> {
    let known = all().iter().map(|data| &**data).filter(|data| {
        // Not the curves: their quadrature is a second's work.
        let debug = format!("{data:?}");
        !debug.starts_with("Curve") && data.fisher_information(1.0).is_some()
    });
    known.collect()
}

#[test]
fn closed_forms() {
    let spectrum = array![4.0, 0.5, 0.0];
    let data = Gaussian::with_spectrum(spectrum.clone())
        .unwrap()
        .rotated(&mut rng(1));
    let exact: f64 = spectrum.iter().map(|l| 1.0 / (l + 0.09)).sum();
    assert_eq!(data.fisher_information(0.3), Some(exact));
    let one = GaussianMixture::new(array![1.0], array![[1.0, 2.0, 3.0]], 0.5).unwrap();
    assert_eq!(one.fisher_information(1.0), Some(2.0));
    // Far apart, each mode is a Gaussian of its own, whatever its weight.
    let far = |variances: Array1<f64>| {
        let means = array![[-200.0], [0.0], [200.0]];
        GaussianMixture::with_variances(array![1.0, 2.0, 5.0], means, variances).unwrap()
    };
    let exact = 0.125 / 1.25 + 0.25 / 0.5 + 0.625 / 2.25;
    let found = far(array![1.0, 0.25, 2.0]).fisher_information(0.5).unwrap();
    assert!((found - exact).abs() < 1e-12, "{found} vs {exact}");
    // Parts add; rotations change nothing.
    let parts = vec![far(array![1.0, 1.0, 1.0]), one.clone()];
    let sum = parts
        .iter()
        .map(|p| p.fisher_information(1.0).unwrap())
        .sum::<f64>();
    let product = Product::new(parts).unwrap();
    assert_eq!(product.fisher_information(1.0), Some(sum));
    let turned = Rotated::at_random(product, &mut rng(2));
    assert_eq!(turned.fisher_information(1.0), Some(sum));
    let alone = Mixture::new(array![2.0], vec![one]).unwrap();
    assert_eq!(alone.fisher_information(1.0), Some(2.0));
    // None where there is neither form nor quadrature.
    assert_eq!(GaussianField::grf16().fisher_information(1.0), None);
    let wide = GaussianMixture::zipf(4, 3, 1.0, 1.0, &mut rng(3)).unwrap();
    assert_eq!(wide.fisher_information(1.0), None);
}

/// Hyvärinen's identity: E[½‖s‖² + div s] = −½ J for the exact score, each side from a formula of its own.
#[test]
fn implicit_score_matching_ends_at_its_floor() {
    let flat = Gaussian::subspace(3, 5).unwrap();
    let floor = -0.5 * (3.0 / 1.04 + 2.0 / 0.04);
    let found = flat.implicit_loss_floor(0.2).unwrap();
    assert!((found - floor).abs() < 1e-12 * floor.abs(), "{found}");
    for data in known() {
        for sigma in [0.4, 2.0] {
            let floor = data.implicit_loss_floor(sigma).unwrap();
            let sampled = sampled_implicit_loss(data, sigma, 4000, &mut rng(6));
            let off = (sampled.value - floor).abs();
            assert!(
                off < 4.5 * sampled.standard_error + 1e-9 * floor.abs(),
                "{data:?} at {sigma}: {sampled:?} vs {floor}"
            );
        }
    }
}

#[test]
fn draws_agree_with_what_is_known() {
    for data in known() {
        for sigma in [0.3, 2.0] {
            let exact = data.fisher_information(sigma).unwrap();
            let sampled = sampled_fisher_information(data, sigma, 4000, &mut rng(4));
            let off = (sampled.value - exact).abs() / sampled.standard_error;
            assert!(off < 4.5, "{data:?} at {sigma}: {off} standard errors");
        }
    }
}

#[test]
fn what_the_score_knows_the_denoiser_does_not() {
    // J = D/sigma² − E tr Cov[x0 | x]/sigma⁴, by draws of the right-hand side.
    for data in known() {
        // Not where rare points between far modes would make the mean: their number is too random.
        for sigma in [0.4_f64, 4.0] {
            let n = 4000;
            let kernel = noise_schedule::Kernel::variance_exploding(sigma).unwrap();
            let x = data.draw_at(n, kernel, &mut rng(5));
            let terms = data
                .posterior_variance(x.view(), sigma)
                .mapv(|v| data.dim() as f64 / sigma.powi(2) - v / sigma.powi(4));
            let exact = data.fisher_information(sigma).unwrap();
            let bound = 4.5 * terms.std(1.0) / (n as f64).sqrt() + 1e-7 * exact;
            let found = terms.mean().unwrap();
            assert!(
                (found - exact).abs() < bound,
                "{data:?} at {sigma}: {found} vs {exact}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn inequalities_hold(bed in 0..known().len(), ln_sigma in -1.5..2.0_f64, ln_more in -3.0..1.0_f64) {
        let data = &known()[bed];
        let dim = data.dim() as f64;
        let (sigma, more) = (ln_sigma.exp(), ln_more.exp());
        let j = data.fisher_information(sigma).unwrap();
        // Noise alone knows most.
        prop_assert!(j <= dim / sigma.powi(2) * (1.0 + 1e-9));
        // Cramér and Rao: J ≥ D²/tr Cov.
        let spread = data.covariance().diag().sum() + dim * sigma.powi(2);
        prop_assert!(dim * dim / spread <= j * (1.0 + 1e-9));
        // Stam: D/J of a sum of independent vectors is at least the sum of theirs.
        let later = data.fisher_information(sigma.hypot(more)).unwrap();
        prop_assert!(dim / j + more.powi(2) <= dim / later * (1.0 + 1e-8));
    }
}

#[test]
fn spheres_repel_along_all_normals() {
    // J sigma² = D − E tr Cov(x0 | x)/sigma², which is 1 − sigma²/2 + O(sigma⁴) on the circle: D − 1 in the limit.
    let circle = Sphere::new(2, 2, 1.0, &mut rng(6)).unwrap();
    for sigma in [0.1, 0.01, 1e-3_f64] {
        let found = circle.fisher_information(sigma).unwrap() * sigma.powi(2);
        assert!(
            (found - (1.0 - sigma.powi(2) / 2.0)).abs() < 3.0 * sigma.powi(4) + 1e-10,
            "{sigma}: {found}"
        );
    }
    for (d, ambient) in [(2, 512), (5, 9), (64, 64)] {
        let sphere = Sphere::new(d, ambient, 1.0, &mut rng(7)).unwrap();
        let codimension = (ambient - d + 1) as f64;
        let found = sphere.fisher_information(1e-4).unwrap() * 1e-8;
        assert!(
            (found / codimension - 1.0).abs() < 1e-4,
            "{found} vs {codimension}"
        );
        // Far away it is a Gaussian's: the sphere has the covariance R²/d I of its subspace.
        let gaussian = d as f64 / (1.0 / d as f64 + 400.0) + (ambient - d) as f64 / 400.0;
        let found = sphere.fisher_information(20.0).unwrap();
        assert!(
            (found / gaussian - 1.0).abs() < 1e-5,
            "{found} vs {gaussian}"
        );
    }
}

/// ∫ of exp(log-density) f(log-density, |score|²) over the line or a square, by the trapezoidal rule.
fn integral(
    data: &dyn ExactScore,
    sigma: f64,
    reach: f64,
    steps: usize,
    f: impl Fn(f64, f64) -> f64,
) -> f64 {
    let cell = 2.0 * reach / steps as f64;
    let offset = |i: usize| (i as f64 + 0.5) * cell - reach;
    let dim = data.dim();
    let grid = Array2::from_shape_fn((steps.pow(dim as u32), dim), |(p, axis)| {
        offset(if axis == 0 { p % steps } else { p / steps })
    });
    let log_density = data.log_density(grid.view(), sigma);
    let squares = data
        .score(grid.view(), sigma)
        .mapv_into(|s| s * s)
        .sum_axis(Axis(1));
    let terms = log_density
        .iter()
        .zip(&squares)
        .map(|(l, s)| l.exp() * f(*l, *s));
    terms.sum::<f64>() * cell.powi(dim as i32)
}

#[test]
fn densities_are_normalised_and_the_entropy_grows_at_the_rate_of_de_bruijn() {
    // d h(q_sigma)/d(sigma²) = J/2, with the entropy on a grid and J as the distribution says.
    let mut beds: Vec<(Box<dyn ExactScore>, f64, usize)> = vec![
        (Box::new(GaussianMixture::song_ermon()), 18.0, 240),
        (
            Box::new(Sphere::new(2, 2, 1.5, &mut rng(8)).unwrap()),
            10.0,
            200,
        ),
    ];
    for mixture in gaussian_mixtures().into_iter().filter(|m| m.dim() == 1) {
        beds.push((Box::new(mixture), 30.0, 2000));
    }
    for (data, reach, steps) in &beds {
        let at =
            |f: &dyn Fn(f64, f64) -> f64, v: f64| integral(&**data, v.sqrt(), *reach, *steps, f);
        let (v, h) = (1.2, 1e-3);
        let mass = at(&|_, _| 1.0, v);
        assert!((mass - 1.0).abs() < 1e-9, "{data:?}: {mass}");
        let rate = (at(&|l, _| -l, v + h) - at(&|l, _| -l, v - h)) / (2.0 * h);
        let j = data.fisher_information(v.sqrt()).unwrap();
        assert!(
            (rate / (j / 2.0) - 1.0).abs() < 1e-6,
            "{data:?}: {rate} vs {}",
            j / 2.0
        );
        let on_grid = at(&|_, s| s, v);
        assert!(
            (on_grid / j - 1.0).abs() < 1e-8,
            "{data:?}: {on_grid} vs {j}"
        );
    }
}

#[test]
fn quadratures_of_curves_have_converged() {
    // M against 2M nodes, down to the resolution.
    for (few, many) in [
        (
            Curve::swiss_roll(60).unwrap(),
            Curve::swiss_roll(120).unwrap(),
        ),
        (Curve::trefoil(80).unwrap(), Curve::trefoil(160).unwrap()),
    ] {
        for factor in [1.0, 2.0, 10.0] {
            let sigma = factor * few.resolution();
            let x = beds::noised(&few, 200, sigma, &mut rng(9));
            let (a, b) = (few.score(x.view(), sigma), many.score(x.view(), sigma));
            let worst = (a - &b).iter().fold(0.0, |w: f64, d| w.max(d.abs()));
            assert!(worst * sigma < 1e-6, "{few:?} at {sigma}: {worst}");
            let (a, b) = (
                few.log_density(x.view(), sigma),
                many.log_density(x.view(), sigma),
            );
            let worst = (a - &b).iter().fold(0.0, |w: f64, d| w.max(d.abs()));
            assert!(worst < 1e-6, "{few:?} at {sigma}: {worst}");
        }
    }
    // A circle as a curve is the circle in closed form.
    let curve = Curve::closed(60, |t| {
        let angle = std::f64::consts::TAU * t;
        array![angle.cos(), angle.sin()]
    });
    let (curve, circle) = (
        curve.unwrap(),
        Sphere::new(2, 2, 1.0, &mut rng(10)).unwrap(),
    );
    let x = beds::noised(&circle, 50, 0.4, &mut rng(11));
    let difference = curve.score(x.view(), 0.4) - circle.score(x.view(), 0.4);
    assert!(difference.iter().all(|d| d.abs() < 1e-10));
    let (found, exact) = (
        curve.fisher_information(0.8),
        circle.fisher_information(0.8),
    );
    assert!((found.unwrap() / exact.unwrap() - 1.0).abs() < 1e-8);
}
