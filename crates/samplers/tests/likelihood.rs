//! Log-densities by the flow, against densities that are known.

mod common;

use std::f64::consts::PI;

use ndarray::{Array1, Array2, Axis, array, s};
use noise_schedule::{Grid, Kernel, VpLinear};

use common::{Mixture, streams};
use samplers::{
    CentralDifferences, Control, DensityChange, Dequantised, Error, Likelihood, NoiseSource, Prior,
    Tableau, rademacher,
};

/// N(0, C) in three dimensions: C = Q diag(VARIANCES) Qᵀ, Q a reflection.
const VARIANCES: [f64; 3] = [2.0, 0.5, 0.05];

/// Q diag(f(variance)) Qᵀ.
fn matrix(f: impl Fn(f64) -> f64) -> Array2<f64> {
    let u = array![1.0, -2.0, 2.0] / 3.0;
    let q = Array2::from_shape_fn((3, 3), |(i, j)| {
        f64::from(u8::from(i == j)) - 2.0 * u[i] * u[j]
    });
    let diagonal = Array2::from_diag(&Array1::from(VARIANCES.map(f).to_vec()));
    q.dot(&diagonal).dot(&q.t())
}

/// D = alpha C (alpha² C + sigma²)⁻¹ x.
fn gain(at: Kernel) -> Array2<f64> {
    matrix(|v| at.alpha() * v / (at.alpha().powi(2) * v + at.sigma().powi(2)))
}

fn gaussian(
    x: &Array2<f64>,
    directions: &[Array2<f64>],
    at: &[Kernel],
) -> (Array2<f64>, Vec<Array2<f64>>) {
    let gains: Vec<Array2<f64>> = at.iter().map(|&at| gain(at)).collect();
    let apply = |v: &Array2<f64>| {
        let rows: Vec<Array1<f64>> = v
            .outer_iter()
            .zip(&gains)
            .map(|(v, gain)| gain.dot(&v))
            .collect();
        let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
        ndarray::stack(Axis(0), &views).unwrap()
    };
    (apply(x), directions.iter().map(apply).collect())
}

fn gaussian_log_density(x: &Array2<f64>, at: Kernel) -> Vec<f64> {
    let spread = |v: f64| at.alpha().powi(2) * v + at.sigma().powi(2);
    let precision = matrix(|v| spread(v).recip());
    let volume: f64 = VARIANCES.iter().map(|&v| (2.0 * PI * spread(v)).ln()).sum();
    x.outer_iter()
        .map(|x| -0.5 * (x.dot(&precision.dot(&x)) + volume))
        .collect()
}

/// ln p at the cleaner level, from the exact density at the noisier one.
fn completed(change: &DensityChange<Array2<f64>>) -> Vec<f64> {
    let prior = gaussian_log_density(&change.x, change.at);
    prior
        .iter()
        .zip(&change.nats)
        .map(|(prior, nats)| prior + nats)
        .collect()
}

fn worst(found: &[f64], exact: &[f64]) -> f64 {
    found
        .iter()
        .zip(exact)
        .fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

fn points() -> Array2<f64> {
    array![[0.3, -0.5, 1.0], [2.0, 0.4, -0.1], [0.0, 0.0, 0.0]]
}

#[test]
fn a_gaussian_has_its_density() {
    let vp = VpLinear::song2021();
    let exploding = |sigma| Kernel::variance_exploding(sigma).unwrap();
    for grid in [
        Grid::geometric(100.0, 0.01, 600).unwrap(),
        Grid::uniform_log_snr(&vp, 1.0, 0.001, 600).unwrap(),
    ] {
        let levels = grid.levels();
        let (from, to) = (levels[levels.len() - 1], levels[0]);
        let x = points();
        let exact = gaussian_log_density(&x, from);
        let fixed = Likelihood::exact()
            .along(&grid, &Tableau::classical(), &mut gaussian, &x)
            .unwrap();
        assert!(
            worst(&completed(&fixed), &exact) < 1e-6,
            "{:?} {exact:?}",
            completed(&fixed)
        );
        assert_eq!((fixed.at, &fixed.standard_error), (to, &None));
        let control = Control {
            relative: 1e-9,
            absolute: 1e-9,
            ..Control::song2021(100_000)
        };
        let own = Likelihood::exact()
            .adaptive(&control, &mut gaussian, &x, from, to)
            .unwrap();
        assert!(
            worst(&completed(&own), &exact) < 1e-6,
            "{:?} {exact:?}",
            completed(&own)
        );
        let differences = |x: &Array2<f64>, at: Kernel| x.dot(&gain(at));
        let mut differences = CentralDifferences::new(differences, 1e-3).unwrap();
        let found = Likelihood::exact()
            .along(&grid, &Tableau::classical(), &mut differences, &x)
            .unwrap();
        assert!(worst(&found.nats, &fixed.nats) < 1e-8);
    }
    // The prior N(0, sigma²) alone is off by what it neglects.
    let change = Likelihood::exact()
        .along(
            &Grid::geometric(1e3, 0.01, 600).unwrap(),
            &Tableau::classical(),
            &mut gaussian,
            &points(),
        )
        .unwrap();
    let exact = gaussian_log_density(&points(), exploding(0.01));
    assert!(worst(&change.log_density(Prior::new(0.0).unwrap()), &exact) < 1e-5);
}

#[test]
fn the_order_is_that_of_the_method() {
    let exact = gaussian_log_density(&points(), Kernel::variance_exploding(0.05).unwrap());
    for (tableau, order) in [
        (Tableau::euler(), 1.0),
        (Tableau::heun(), 2.0),
        (Tableau::kutta(), 3.0),
        (Tableau::classical(), 4.0),
    ] {
        let error = |levels: usize| {
            let grid = Grid::geometric(20.0, 0.05, levels).unwrap();
            let change = Likelihood::exact()
                .along(&grid, &tableau, &mut gaussian, &points())
                .unwrap();
            worst(&completed(&change), &exact)
        };
        let slope = (error(161) / error(321)).log2();
        assert!((slope - order).abs() < 0.25, "{order}: {slope}");
    }
}

#[test]
fn a_mixture_has_its_density() {
    let mixture = Mixture::two_modes();
    let log_density = |x: f64, at: Kernel| {
        let variance = (at.alpha() * mixture.std).powi(2) + at.sigma().powi(2);
        let part = |(weight, mean): (&f64, &f64)| {
            weight * (-(x - at.alpha() * mean).powi(2) / (2.0 * variance)).exp()
                / (2.0 * PI * variance).sqrt()
        };
        mixture
            .weights
            .iter()
            .zip(&mixture.means)
            .map(part)
            .sum::<f64>()
            .ln()
    };
    let vp = VpLinear::song2021();
    let grid = Grid::uniform_log_snr(&vp, 0.9, 0.01, 400).unwrap();
    let (to, from) = (grid.levels()[0], grid.levels()[400]);
    let model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let mut model = CentralDifferences::new(model, 1e-3).unwrap();
    let x = array![[-1.5], [-0.2], [0.8], [3.0]];
    let change = Likelihood::exact()
        .along(&grid, &Tableau::classical(), &mut model, &x)
        .unwrap();
    for i in 0..4 {
        let found = log_density(change.x[[i, 0]], to) + change.nats[i];
        let exact = log_density(x[[i, 0]], from);
        assert!((found - exact).abs() < 1e-5, "{found} {exact}");
    }
}

#[test]
fn the_standard_error_is_right() {
    const SAMPLES: usize = 300;
    const PROBES: usize = 12;
    let zeros = Array2::<f64>::zeros((SAMPLES, 3));
    let grid = Grid::geometric(20.0, 0.1, 25).unwrap();
    let run = |likelihood: Likelihood<Array2<f64>>| {
        likelihood
            .along(&grid, &Tableau::classical(), &mut gaussian, &zeros)
            .unwrap()
    };
    let exact = run(Likelihood::exact()).nats;
    let mut noise = streams(5, 0..SAMPLES as u64);
    let signs: Vec<_> = (0..PROBES)
        .map(|_| rademacher(&mut noise, &zeros))
        .collect();
    let normals = (0..PROBES)
        .map(|_| noise.between(&zeros, Kernel::CLEAN, Kernel::CLEAN))
        .collect();
    let mut typical = Vec::new();
    for probes in [signs, normals] {
        let found = run(Likelihood::hutchinson(probes).unwrap());
        let errors = found.standard_error.unwrap();
        let scores: Vec<f64> = (0..SAMPLES)
            .map(|i| (found.nats[i] - exact[i]) / errors[i])
            .collect();
        let mean = scores.iter().sum::<f64>() / SAMPLES as f64;
        assert!(mean.abs() < 0.5, "{mean}");
        // The quantile of Student's distribution with 11 degrees of freedom, for 95 %.
        let covered = scores.iter().filter(|z| z.abs() < 2.201).count() as f64 / SAMPLES as f64;
        assert!(0.9 < covered && covered < 0.99, "{covered}");
        typical.push(errors.iter().sum::<f64>() / SAMPLES as f64);
        let all = found.nats.iter().sum::<f64>() / SAMPLES as f64;
        assert!((all - exact[0]).abs() < 4.0 * typical.last().unwrap() / (SAMPLES as f64).sqrt());
    }
    assert!(
        typical[0] < typical[1],
        "signs have less variance: {typical:?}"
    );
}

#[test]
fn mates_change_nothing() {
    let x = points();
    let mut noise = streams(9, 0..3);
    let probes: Vec<_> = (0..2).map(|_| rademacher(&mut noise, &x)).collect();
    assert!(probes[0].iter().all(|v| v.abs() == 1.0));
    let (from, to) = (
        Kernel::variance_exploding(0.1).unwrap(),
        Kernel::variance_exploding(9.0).unwrap(),
    );
    let run = |x: &Array2<f64>, probes: Vec<Array2<f64>>| {
        let likelihood = Likelihood::hutchinson(probes).unwrap();
        likelihood
            .adaptive(&Control::song2021(10_000), &mut gaussian, x, from, to)
            .unwrap()
    };
    let batch = run(&x, probes.clone());
    for i in 0..3 {
        let own = |x: &Array2<f64>| x.slice(s![i..i + 1, ..]).to_owned();
        let alone = run(&own(&x), probes.iter().map(own).collect());
        assert_eq!(batch.nats[i], alone.nats[0]);
        assert_eq!(
            batch.standard_error.as_ref().unwrap()[i],
            alone.standard_error.unwrap()[0]
        );
        assert_eq!(batch.x.row(i), alone.x.row(0));
    }
}

#[test]
fn what_has_no_density_is_an_error() {
    let clean = Grid::geometric(10.0, 0.1, 5).unwrap().then_clean();
    let found = Likelihood::exact().along(&clean, &Tableau::heun(), &mut gaussian, &points());
    assert_eq!(
        found,
        Err(Error::OpenEnd {
            alpha: 1.0,
            sigma: 0.0
        })
    );
    assert_eq!(
        Likelihood::<Array2<f64>>::hutchinson(Vec::new()),
        Err(Error::NoProbes)
    );
    assert!(Prior::new(-1.0).is_err());
    assert!(Dequantised::new(0, 1.0).is_err());
    assert!(Dequantised::new(256, f64::NAN).is_err());
    assert!(CentralDifferences::new((), 0.0).is_err());
}
