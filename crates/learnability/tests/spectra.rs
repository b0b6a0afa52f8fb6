//! Lanczos, Hutchinson and quadrature on operators with known spectra.

use std::f64::consts::PI;

use learnability::Error;
use learnability::lanczos::{Lanczos, SpectralDensity, trace};
use learnability::spectrum::Spectrum;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// `2 v_i − v_{i−1} − v_{i+1}`, with eigenvalues `2 − 2 cos(k π / (n + 1))`.
fn second_differences(v: &[f64]) -> Vec<f64> {
    let at = |i: Option<usize>| i.and_then(|i| v.get(i)).copied().unwrap_or(0.0);
    (0..v.len())
        .map(|i| 2.0 * v[i] - at(i.checked_sub(1)) - at(Some(i + 1)))
        .collect()
}

fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// `A v` of a dense matrix, row by row.
fn product(a: &[f64], v: &[f64]) -> Vec<f64> {
    a.chunks(v.len())
        .map(|row| row.iter().zip(v).map(|(a, v)| a * v).sum())
        .collect()
}

#[test]
fn all_eigenvalues_where_the_space_is_exhausted() {
    let n = 40;
    let mut operator = |v: &[f64]| second_differences(v);
    let lanczos = Lanczos::run(&mut operator, &normals(n, 1), 1000).unwrap();
    assert_eq!(lanczos.ritz().len(), n);
    for (k, ritz) in lanczos.ritz().iter().rev().enumerate() {
        let expected = 2.0 - 2.0 * ((k + 1) as f64 * PI / (n + 1) as f64).cos();
        assert!((ritz.value - expected).abs() < 1e-13 && ritz.residual < 1e-13);
    }
}

#[test]
fn residuals_are_what_they_say() {
    let n = 200;
    let mut operator = |v: &[f64]| second_differences(v);
    let lanczos = Lanczos::run(&mut operator, &normals(n, 2), 25).unwrap();
    assert_eq!(lanczos.ritz().len(), 25);
    for (i, ritz) in lanczos.ritz().iter().enumerate() {
        let y = lanczos.vector(i);
        let residual: f64 = second_differences(&y)
            .iter()
            .zip(&y)
            .map(|(ay, y)| (ay - ritz.value * y).powi(2))
            .sum();
        assert!((residual.sqrt() - ritz.residual).abs() < 1e-13);
        // There is an eigenvalue no further away than the residual.
        let nearest = (1..=n)
            .map(|k| 2.0 - 2.0 * (k as f64 * PI / (n + 1) as f64).cos())
            .map(|eigenvalue| (eigenvalue - ritz.value).abs())
            .fold(f64::INFINITY, f64::min);
        assert!(nearest <= ritz.residual + 1e-13);
        assert!((y.iter().map(|y| y * y).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let weights: f64 = lanczos.ritz().iter().map(|r| r.weight).sum();
    assert!((weights - 1.0).abs() < 1e-12);
    assert!(lanczos.ritz()[12].residual > 1e-3); // the middle of the spectrum has not converged, and says so
}

#[test]
fn a_multiple_eigenvalue_comes_once() {
    let mut identity = |v: &[f64]| v.iter().map(|v| 5.0 * v).collect();
    let lanczos = Lanczos::run(&mut identity, &normals(30, 3), 10).unwrap();
    assert_eq!(lanczos.ritz().len(), 1);
    assert!((lanczos.ritz()[0].value - 5.0).abs() < 1e-14);
    let mut zero = |v: &[f64]| vec![0.0; v.len()];
    let lanczos = Lanczos::run(&mut zero, &[1.0, 2.0], 10).unwrap();
    assert_eq!((lanczos.ritz().len(), lanczos.ritz()[0].value), (1, 0.0));
}

#[test]
fn quadrature_is_exact_up_to_twice_its_degree() {
    let (n, steps) = (30, 4);
    let start = normals(n, 4);
    let square: f64 = start.iter().map(|x| x * x).sum();
    let mut operator = |v: &[f64]| second_differences(v);
    let lanczos = Lanczos::run(&mut operator, &start, steps).unwrap();
    let mut power = start.clone();
    for degree in 0..=2 * steps as i32 {
        let exact = power.iter().zip(&start).map(|(a, b)| a * b).sum::<f64>() / square;
        let found: f64 = lanczos
            .ritz()
            .iter()
            .map(|r| r.weight * r.value.powi(degree))
            .sum();
        let error = (found / exact - 1.0).abs();
        assert_eq!(
            error < 1e-12,
            degree < 2 * steps as i32,
            "degree {degree}: {error}"
        );
        power = second_differences(&power);
    }
}

#[test]
fn traces_have_the_variance_of_hutchinson() {
    let n = 12;
    let half = normals(n * n, 5);
    let a: Vec<f64> = (0..n * n)
        .map(|k| half[k] + half[k % n * n + k / n])
        .collect();
    let exact: f64 = (0..n).map(|i| a[i * n + i]).sum();
    let frobenius: f64 = a.iter().map(|x| x * x).sum();
    let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
    let variance = 2.0 * (frobenius - diagonal);

    let probes = 4000;
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let estimate = trace(&mut |v| product(&a, v), n, probes, &mut rng).unwrap();
    let error = (variance / probes as f64).sqrt();
    assert!(
        (estimate.value - exact).abs() < 4.0 * error,
        "{estimate:?} {exact}"
    );
    assert!(
        (estimate.standard_error / error - 1.0).abs() < 0.1,
        "{estimate:?} {error}"
    );
    let interval = estimate.interval(learnability::interval::Confidence::new(0.9999).unwrap());
    assert!(interval.contains(exact));
}

/// `X Xᵀ / n` with `n = 2 d` has the density of Marchenko & Pastur with ratio ½.
#[test]
fn a_wishart_matrix_has_the_density_of_marchenko_and_pastur() {
    let (d, n) = (120, 240);
    let x = normals(d * n, 7);
    let mut operator = |v: &[f64]| -> Vec<f64> {
        let mut back = vec![0.0; n];
        for (row, v) in x.chunks(n).zip(v) {
            for (b, x) in back.iter_mut().zip(row) {
                *b += v * x;
            }
        }
        product(&x, &back).iter().map(|y| y / n as f64).collect()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let density = SpectralDensity::estimate(&mut operator, d, 10, 30, &mut rng).unwrap();
    let ratio = d as f64 / n as f64;
    let (low, high) = ((1.0 - ratio.sqrt()).powi(2), (1.0 + ratio.sqrt()).powi(2));
    let exact = |x: f64| ((high - x) * (x - low)).max(0.0).sqrt() / (2.0 * PI * ratio * x);

    // Moments: E λ = 1, E λ² = 1 + ratio.
    let mean = density.mean_of(|x| x);
    assert!(
        (mean.value - 1.0).abs() < 4.0 * mean.standard_error + 2.0 / d as f64,
        "{mean:?}"
    );
    let second = density.mean_of(|x| x * x);
    assert!(
        (second.value - 1.0 - ratio).abs() < 4.0 * second.standard_error,
        "{second:?}"
    );
    for value in [0.5, 1.0, 2.0] {
        let found = density.smoothed(value, 0.1);
        assert!(
            (found / exact(value) - 1.0).abs() < 0.2,
            "{value}: {found} {}",
            exact(value)
        );
    }
    assert!(density.smoothed(4.0, 0.1) < 1e-3);
    let steps = 400;
    let width = 5.0 / f64::from(steps);
    let mass: f64 = (0..steps)
        .map(|i| density.smoothed(-1.0 + f64::from(i) * width, 0.1) * width)
        .sum();
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
    let middle = density.share_below(1.0);
    let grid = 10_000;
    let dx = (1.0 - low) / f64::from(grid);
    let expected: f64 = (0..grid)
        .map(|i| exact(low + (f64::from(i) + 0.5) * dx) * dx)
        .sum();
    assert!((middle - expected).abs() < 0.05, "{middle} {expected}");
    assert!(density.largest_residual() < 1.0 && density.probes().len() == 10);
}

#[test]
fn operators_that_fail_are_refused() {
    let mut identity = |v: &[f64]| v.to_vec();
    assert_eq!(
        Lanczos::run(&mut identity, &[0.0, 0.0], 3)
            .unwrap_err()
            .to_string(),
        "start of Lanczos must have a direction, but all of its 2 entries are 0"
    );
    assert!(matches!(
        Lanczos::run(&mut identity, &[1.0], 0),
        Err(Error::TooFew { .. })
    ));
    assert!(matches!(
        Lanczos::run(&mut identity, &[f64::NAN], 1),
        Err(Error::NotFinite { .. })
    ));
    let mut diverged = |v: &[f64]| vec![f64::INFINITY; v.len()];
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    assert_eq!(
        Lanczos::run(&mut diverged, &[1.0, 1.0], 3)
            .unwrap_err()
            .to_string(),
        "product with the operator: entry 0 must be finite, but is inf; look at divergence first"
    );
    // One dimension and two probes are enough.
    assert_eq!(trace(&mut identity, 1, 2, &mut rng).unwrap().value, 1.0);
    let density = SpectralDensity::estimate(&mut identity, 1, 2, 1, &mut rng).unwrap();
    assert_eq!(
        (density.share_below(1.0), density.share_below(1.5)),
        (0.0, 1.0)
    );
    assert!(trace(&mut diverged, 2, 2, &mut rng).is_err());
    assert!(trace(&mut identity, 2, 1, &mut rng).is_err());
    assert!(SpectralDensity::estimate(&mut identity, 0, 2, 2, &mut rng).is_err());
    assert!(matches!(
        Spectrum::new(vec![1.0, -1.0]),
        Err(Error::OutOfRange { .. })
    ));
    assert!(Spectrum::new(vec![]).is_err());
}

#[test]
fn readings_of_a_spectrum() {
    let spectrum = Spectrum::new(vec![1.0, 4.0, 2.0, 1.0]).unwrap();
    assert_eq!(spectrum.values(), [4.0, 2.0, 1.0, 1.0]);
    assert_eq!(spectrum.condition_number(), Some(4.0));
    assert_eq!(spectrum.largest_over_median(), Some(4.0 / 1.5));
    assert_eq!(
        (spectrum.rank(0.5), spectrum.rank(0.49), spectrum.rank(0.0)),
        (1, 2, 4)
    );
    let median = |values: &[f64]| {
        Spectrum::new(values.to_vec())
            .unwrap()
            .largest_over_median()
    };
    assert_eq!(median(&[7.0]), Some(1.0));
    assert_eq!(median(&[5.0, 3.0, 1.0]), Some(5.0 / 3.0));
    assert_eq!(median(&[12.0, 6.0, 4.0, 2.0, 1.0, 1.0]), Some(4.0));
    assert_eq!(spectrum.participation_ratio(), Some(64.0 / 22.0));
    assert_eq!(spectrum.squared().values(), [16.0, 4.0, 1.0, 1.0]);
    // p = ½, ¼, ⅛, ⅛: entropy 7/4 ln 2.
    assert!((spectrum.effective_rank().unwrap() - 2f64.powf(1.75)).abs() < 1e-14);
    let nothing = Spectrum::new(vec![0.0, 0.0]).unwrap();
    assert_eq!(nothing.condition_number(), None);
    assert_eq!(nothing.largest_over_median(), None);
    assert_eq!((nothing.effective_rank(), nothing.rank(0.1)), (None, 0));
}

#[test]
fn the_unit_of_an_operator_is_its_own() {
    // Second differences of four points: 2 − 2 cos(kπ/5), the golden ratio and its relatives.
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let expected = [golden + 3.0, golden + 2.0, 2.0 - golden, 1.0 - golden];
    for unit in [1e-40, 1.0, 1e40] {
        let mut operator =
            |v: &[f64]| -> Vec<f64> { second_differences(v).iter().map(|x| unit * x).collect() };
        let lanczos = Lanczos::run(&mut operator, &[1.0, 0.5, -0.3, 2.0], 4).unwrap();
        let found: Vec<f64> = lanczos.ritz().iter().map(|r| r.value / unit).collect();
        assert_eq!(found.len(), 4);
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-13, "{unit}: {found:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Ritz values lie within the spectrum, and the outer ones only improve with more steps.
    #[test]
    fn ritz_values_grow_outwards(eigenvalues in prop::collection::vec(-5.0..5.0f64, 5..12), start in prop::collection::vec(0.1..1.0f64, 12)) {
        let mut operator = |v: &[f64]| v.iter().zip(&eigenvalues).map(|(v, e)| v * e).collect();
        let start = &start[..eigenvalues.len()];
        let highest = eigenvalues.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut before = f64::NEG_INFINITY;
        for steps in 1..=eigenvalues.len() {
            let top = Lanczos::run(&mut operator, start, steps).unwrap().ritz()[0].value;
            prop_assert!(before - 1e-12 <= top && top <= highest + 1e-12);
            before = top;
        }
        prop_assert!((before - highest).abs() < 1e-6);
    }
}
