//! Gaussians: constructors, the exact flow, the distance between two of them.

mod beds;

use beds::rng;
use ndarray::{Array1, Array2, ArrayView2, Axis, array};
use noise_schedule::Kernel;
use proptest::prelude::*;
use score_objective::Error;
use score_objective::exact::{ExactScore, Gaussian};

fn largest<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values
        .into_iter()
        .fold(0.0, |worst: f64, v| worst.max(v.abs()))
}

fn skew() -> Gaussian {
    let covariance = array![[2.0, 0.8, 0.0], [0.8, 1.0, -0.3], [0.0, -0.3, 0.5]];
    Gaussian::with_covariance(array![1.0, -2.0, 0.5], covariance).unwrap()
}

fn noise(sigma: f64) -> Kernel {
    Kernel::variance_exploding(sigma).unwrap()
}

/// The classical Runge-Kutta method on dx/dσ = −σ ∇ log q_σ(x).
fn integrated(data: &dyn ExactScore, x: ArrayView2<'_, f64>, from: f64, to: f64) -> Array2<f64> {
    let steps = 2000;
    let h = (to - from) / f64::from(steps);
    // The last step of the last interval may end an ulp below 0.
    let slope = |x: &Array2<f64>, sigma: f64| data.score(x.view(), sigma.max(0.0)) * -sigma;
    let mut x = x.to_owned();
    for i in 0..steps {
        let sigma = from + f64::from(i) * h;
        let a = slope(&x, sigma);
        let b = slope(&(&x + &(&a * (h / 2.0))), sigma + h / 2.0);
        let c = slope(&(&x + &(&b * (h / 2.0))), sigma + h / 2.0);
        let d = slope(&(&x + &(&c * h)), sigma + h);
        x = x + (a + b * 2.0 + c * 2.0 + d) * (h / 6.0);
    }
    x
}

#[test]
fn the_flow_solves_its_differential_equation() {
    let data = skew();
    for (from, to) in [(5.0, 0.3), (0.2, 3.0), (2.0, 0.0)] {
        let x = data.draw_at(4, noise(from), &mut rng(1));
        let exact = data.flow(x.view(), noise(from), noise(to));
        let found = integrated(&data, x.view(), from, to);
        assert!(largest(&(&found - &exact)) < 1e-8, "{from} to {to}");
    }
}

#[test]
fn the_flow_carries_each_level_to_the_other() {
    // Of x_t the mean and covariance; and the density, by the determinant of the map.
    let data = skew();
    let (from, to) = (
        Kernel::new(0.3, 0.9).unwrap(),
        Kernel::new(0.95, 0.2).unwrap(),
    );
    let x = data.draw_at(20_000, from, &mut rng(2));
    let moved = data.flow(x.view(), from, to);
    let mean = moved.mean_axis(Axis(0)).unwrap();
    let target = data.at(to);
    assert!(largest(&(&mean - &target.mean())) < 0.05);
    let centred = &moved - &mean;
    let covariance = centred.t().dot(&centred) / 20_000.0;
    assert!(largest(&(&covariance - &target.covariance())) < 0.08);
    let ratio =
        target.spectrum().mapv(f64::ln).sum() - data.at(from).spectrum().mapv(f64::ln).sum();
    let before = data.log_density_at(x.view(), from);
    let after = data.log_density_at(moved.view(), to);
    assert!(largest(&(before - after - 0.5 * ratio)) < 1e-10);
}

#[test]
#[should_panic(expected = "must start where the distribution has a density")]
fn the_flow_does_not_leave_a_subspace() {
    let flat = Gaussian::subspace(1, 2).unwrap();
    flat.flow(array![[1.0, 0.0]].view(), Kernel::CLEAN, noise(1.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn flows_compose_and_invert(
        alphas in prop::array::uniform3(0.0..2.0_f64),
        sigmas in prop::array::uniform3(0.01..5.0_f64),
        seed in 0..1000_u64,
    ) {
        let data = Gaussian::with_spectrum(array![3.0, 0.1, 0.0]).unwrap()
            .rotated(&mut rng(seed)).around(array![1.0, 0.0, -2.0]).unwrap();
        let [a, b, c] = [0, 1, 2].map(|i| Kernel::new(alphas[i], sigmas[i]).unwrap());
        let x = data.draw_at(3, a, &mut rng(seed));
        let direct = data.flow(x.view(), a, c);
        let detour = data.flow(data.flow(x.view(), a, b).view(), b, c);
        prop_assert!(largest(&(&direct - &detour)) < 1e-10);
        prop_assert!(largest(&(data.flow(direct.view(), c, a) - &x)) < 1e-10);
    }

    #[test]
    fn the_distance_is_a_distance(seed in 0..1000_u64, spectra in prop::array::uniform9(0.01..4.0_f64)) {
        let mut rng = rng(seed);
        let [a, b, c] = [0, 3, 6].map(|i| {
            let spectrum = Array1::from(spectra[i..i + 3].to_vec());
            Gaussian::with_spectrum(spectrum).unwrap().rotated(&mut rng)
        });
        prop_assert!((a.wasserstein(&b) - b.wasserstein(&a)).abs() < 1e-7);
        prop_assert!(a.wasserstein(&c) <= a.wasserstein(&b) + b.wasserstein(&c) + 1e-7);
        prop_assert_eq!(a.wasserstein(&a), 0.0);
        // A shift adds its square, whatever the shapes.
        let shifted = b.clone().around(array![3.0, 0.0, 4.0]).unwrap();
        prop_assert!((a.wasserstein(&shifted).powi(2) - a.wasserstein(&b).powi(2) - 25.0).abs() < 1e-9);
        // Never more than under independence, never less than between the traces of the roots.
        let independent = (spectra[..6].iter().sum::<f64>()).sqrt();
        prop_assert!(a.wasserstein(&b) <= independent + 1e-9);
    }
}

#[test]
fn distances_that_are_known() {
    let a = Gaussian::with_spectrum(array![1.0, 4.0]).unwrap();
    let b = Gaussian::with_spectrum(array![4.0, 9.0]).unwrap();
    assert!((a.wasserstein(&b) - 2.0_f64.sqrt()).abs() < 1e-15);
    // The same two, in a basis of their own that is the standard one with its axes exchanged.
    let swap = array![[0.0, 1.0], [1.0, 0.0]];
    let turned = Gaussian::with_spectrum(array![9.0, 4.0])
        .unwrap()
        .in_basis(swap)
        .unwrap();
    assert!((a.wasserstein(&turned) - 2.0_f64.sqrt()).abs() < 1e-7);
    // What starting from N(0, σ² I) in place of the noised data costs.
    let start = Gaussian::with_spectrum(Array1::from_elem(2, 100.0)).unwrap();
    let exact = (101.0_f64.sqrt() - 10.0).hypot(104.0_f64.sqrt() - 10.0);
    assert!((a.at(noise(10.0)).wasserstein(&start) - exact).abs() < 1e-13);
}

#[test]
fn covariances_are_checked_and_kept() {
    let data = skew();
    let covariance = array![[2.0, 0.8, 0.0], [0.8, 1.0, -0.3], [0.0, -0.3, 0.5]];
    assert!(largest(&(data.covariance() - &covariance)) < 1e-14);
    assert!(data.has_density());
    // Rank one: eigenvalues that are zero but for rounding are zero.
    let direction = array![[1.0, 2.0, -1.0]];
    let flat = Gaussian::with_covariance(Array1::zeros(3), direction.t().dot(&direction)).unwrap();
    assert!(!flat.has_density());
    assert_eq!(flat.spectrum().iter().filter(|l| 0.0 < **l).count(), 1);
    let with = |covariance| Gaussian::with_covariance(Array1::zeros(2), covariance);
    assert!(matches!(
        with(array![[1.0, 0.5], [0.4, 1.0]]),
        Err(Error::Asymmetric { row: 0, column: 1 })
    ));
    assert!(matches!(
        with(array![[1.0, 2.0], [2.0, 1.0]]),
        Err(Error::Negative { .. })
    ));
    assert!(matches!(
        with(array![[1.0, f64::NAN], [0.0, 1.0]]),
        Err(Error::NotFinite { .. })
    ));
    assert!(matches!(with(Array2::eye(3)), Err(Error::Length { .. })));
    assert!(Gaussian::with_covariance(Array1::zeros(0), Array2::zeros((0, 0))).is_err());
    assert!(matches!(
        skew().around(array![1.0]),
        Err(Error::Length { .. })
    ));
    assert!(matches!(Gaussian::subspace(3, 2), Err(Error::Count { .. })));
    assert!(Gaussian::power_law(4, -2000.0).is_err());
    assert_eq!(
        Gaussian::power_law(2, 2.0).unwrap().spectrum().to_vec(),
        [1.0, 0.25]
    );
    assert_eq!(
        Gaussian::subspace(1, 2).unwrap().spectrum().to_vec(),
        [1.0, 0.0]
    );
}
