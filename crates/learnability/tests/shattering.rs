//! Autocorrelations with closed forms.

use learnability::Error;
use learnability::shattering::{Centring, GradientLine};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn line(gradients: impl IntoIterator<Item = f64>) -> GradientLine {
    GradientLine::new(gradients.into_iter().map(|g| vec![g]).collect()).unwrap()
}

#[test]
fn a_constant_gradient_agrees_with_itself() {
    let constant = line([0.1; 100]);
    for lag in [0, 1, 50, 99] {
        let found = constant.autocorrelation(lag, Centring::Uncentred).unwrap();
        assert!((found - 1.0).abs() < 1e-14);
    }
    assert_eq!(constant.autocorrelation(1, Centring::Centred), None);
    assert_eq!(constant.whiteness(5), None);
    assert_eq!(constant.autocorrelation(100, Centring::Uncentred), None);
    assert_eq!(constant.autocorrelation(101, Centring::Uncentred), None);
}

#[test]
fn four_numbers_by_hand() {
    let four = line([1.0, 2.0, 0.0, 1.0]);
    // (1·2 + 2·0 + 0·1) / √((1 + 4 + 0)(4 + 0 + 1))
    assert!((four.autocorrelation(1, Centring::Uncentred).unwrap() - 0.4).abs() < 1e-15);
    // Its two sides need not be of one length: 2 / √(5 · 13).
    let uneven = line([1.0, 2.0, 0.0, 3.0]);
    let found = uneven.autocorrelation(1, Centring::Uncentred).unwrap();
    assert!((found - 2.0 / 65f64.sqrt()).abs() < 1e-15);
    // Centred: 0, 1, −1, 0; (0 − 1 + 0) / √(2 · 2)
    assert!((four.autocorrelation(1, Centring::Centred).unwrap() + 0.5).abs() < 1e-15);
    // r_1 = −1/2, r_2 = 0: Q = 4 · 6 · (1/4 / 3 + 0), over two lags.
    assert!((four.whiteness(2).unwrap() - 1.0).abs() < 1e-14);
    // Over one lag: 4 · 6 · 1/4 / 3.
    assert!((four.whiteness(1).unwrap() - 2.0).abs() < 1e-14);
    // Each component has a mean of its own to lose.
    let shifted = [1.0, 2.0, 0.0, 1.0]
        .map(|g| vec![g + 5.0, g - 3.0])
        .to_vec();
    let shifted = GradientLine::new(shifted).unwrap();
    assert!((shifted.autocorrelation(1, Centring::Centred).unwrap() + 0.5).abs() < 1e-14);
    // Two equal components are not white: d doubles and r stays.
    let twice = [1.0, 2.0, 0.0, 1.0].map(|g| vec![g, g]).to_vec();
    let twice = GradientLine::new(twice).unwrap().whiteness(2).unwrap();
    assert!((twice - 2.0).abs() < 1e-14);
    assert_eq!((four.whiteness(0), four.whiteness(4)), (None, None));
}

#[test]
fn a_wave_has_the_cosine_of_its_phase() {
    let (periods, n) = (8.0, 2048);
    let step = periods * std::f64::consts::TAU / f64::from(n);
    // Two components a quarter of a period apart turn at constant length: exactly the cosine.
    let turning = (0..n).map(|i| {
        let (s, c) = (f64::from(i) * step).sin_cos();
        vec![s, c]
    });
    let turning = GradientLine::new(turning.collect()).unwrap();
    for lag in [1, 16, 100] {
        for centring in [Centring::Uncentred, Centring::Centred] {
            let found = turning.autocorrelation(lag, centring).unwrap();
            assert!((found - (lag as f64 * step).cos()).abs() < 1e-12);
        }
    }
}

#[test]
fn white_noise_is_white_and_a_walk_is_not() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (n, d, lags) = (512, 3, 64);
    let white: Vec<Vec<f64>> = (0..n)
        .map(|_| (0..d).map(|_| StandardNormal.sample(&mut rng)).collect())
        .collect();
    let mut at = vec![0.0; d];
    let walk = white.iter().map(|step| {
        for (at, step) in at.iter_mut().zip(step) {
            *at += step;
        }
        at.clone()
    });
    let walk: Vec<Vec<f64>> = walk.collect();
    let (white, walk) = (
        GradientLine::new(white).unwrap(),
        GradientLine::new(walk).unwrap(),
    );
    let whiteness = white.whiteness(lags).unwrap();
    assert!(
        (whiteness - 1.0).abs() < 4.0 * (2.0 / lags as f64).sqrt(),
        "{whiteness}"
    );
    assert!(100.0 < walk.whiteness(lags).unwrap());
    let within = 4.0 / ((n * d) as f64).sqrt();
    assert!(white.autocorrelation(1, Centring::Uncentred).unwrap().abs() < within);
    assert!(0.9 < walk.autocorrelation(1, Centring::Centred).unwrap());
}

#[test]
fn lines_that_are_none_are_refused() {
    assert!(matches!(
        GradientLine::new(vec![vec![1.0]; 2]),
        Err(Error::TooFew { .. })
    ));
    let uneven = vec![vec![1.0], vec![1.0, 2.0], vec![1.0]];
    assert!(matches!(
        GradientLine::new(uneven),
        Err(Error::Length {
            expected: 1,
            found: 2,
            ..
        })
    ));
    let diverged = vec![vec![1.0], vec![f64::NAN], vec![1.0]];
    assert!(matches!(
        GradientLine::new(diverged),
        Err(Error::NotFinite { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scale_and_rotation_do_not_matter(entries in prop::collection::vec(-1.0..1.0f64, 20), angle in 0.0..6.0f64, scale in 1e-6..1e6f64, lag in 0usize..9) {
        let (s, c) = f64::sin_cos(angle);
        let plain: Vec<Vec<f64>> = entries.chunks(2).map(<[f64]>::to_vec).collect();
        let moved = plain.iter().map(|v| vec![scale * (c * v[0] - s * v[1]), scale * (s * v[0] + c * v[1])]).collect();
        let (a, b) = (GradientLine::new(plain).unwrap(), GradientLine::new(moved).unwrap());
        for centring in [Centring::Uncentred, Centring::Centred] {
            let (x, y) = (a.autocorrelation(lag, centring), b.autocorrelation(lag, centring));
            if let (Some(x), Some(y)) = (x, y) {
                prop_assert!((-1.0..=1.0).contains(&x) && (x - y).abs() < 1e-9);
            }
        }
        prop_assert!((a.whiteness(5).unwrap() - b.whiteness(5).unwrap()).abs() < 1e-8);
    }
}
