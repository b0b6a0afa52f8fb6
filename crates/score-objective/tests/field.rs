//! Random fields: their bands, their configuration, their symmetry.

use std::f64::consts::TAU;

use ndarray::{Array2, array};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use score_objective::Error;
use score_objective::exact::{ExactScore, GaussianField};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

#[test]
fn draws_of_a_field_have_its_band_power() {
    let field = GaussianField::grf16();
    let bands = field.bands(5).unwrap();
    let x = field.draw(6000, &mut rng(18));
    let found = field.band_power(x.view(), &bands);
    for (band, (found, exact)) in found.iter().zip(bands.power()).enumerate() {
        // Means and the few low frequencies dominate the spread.
        assert!(
            (found / exact - 1.0).abs() < 0.06,
            "band {band}: {found} vs {exact}"
        );
    }
    // Parseval: bands hold all of the power.
    let total: f64 = found
        .iter()
        .zip(bands.sizes())
        .map(|(p, size)| p * *size as f64)
        .sum();
    let length = x.mapv(|v| v * v).sum() / 6000.0;
    assert!((total / length - 1.0).abs() < 1e-12);
    assert_eq!(bands.sizes().iter().sum::<usize>(), 256);
}

#[test]
fn bands_are_rings_of_equal_width() {
    let field = GaussianField::grf16();
    for count in 1..=8 {
        let bands = field.bands(count).unwrap();
        assert!(bands.sizes().iter().all(|size| 0 < *size));
        for (f, &band) in bands.index().iter().enumerate() {
            let folded = |i: usize| i.min(16 - i) as f64;
            let radius = folded(f / 16).hypot(folded(f % 16));
            let expected = (radius * count as f64 / 8.0 + 1e-12) as usize;
            assert_eq!(band, expected.min(count - 1));
        }
    }
    assert!(matches!(field.bands(9), Err(Error::Count { most: 8, .. })));
    assert!(field.bands(0).is_err());
}

#[test]
fn grf16_is_the_stated_configuration() {
    let field = GaussianField::grf16();
    for (k, spectrum) in field.spectra().rows().into_iter().enumerate() {
        assert!((spectrum.mean().unwrap() - 0.26).abs() < 1e-12);
        let smallest = spectrum.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = spectrum.iter().copied().fold(0.0, f64::max);
        assert!(0.01 < smallest && smallest < 0.02, "{k}: {smallest}");
        assert!(10.0 < largest && largest < 25.0, "{k}: {largest}");
    }
    // cos(x - y) at row 1, column 3.
    assert!((field.means()[[3, 19]] - 0.7 * (TAU * 2.0 / 16.0).cos()).abs() < 1e-12);
    assert_eq!(field.weights().to_vec(), [0.4, 0.3, 0.2, 0.1]);
    // The public constructor accepts it and builds the same score.
    let rebuilt = GaussianField::new(
        16,
        field.weights().to_owned(),
        field.means(),
        field.spectra().to_owned(),
    )
    .unwrap();
    let x = field.draw(3, &mut rng(19));
    let difference = field.score(x.view(), 0.2) - rebuilt.score(x.view(), 0.2);
    assert!(difference.iter().all(|d| d.abs() < 1e-10));
}

#[test]
fn covariances_of_a_field_are_stationary() {
    // The score of a one-component field with mean zero commutes with shifts of the torus.
    // Its spectrum is symmetric under f → -f and under nothing else.
    let spectrum = Array2::from_shape_fn((1, 25), |(_, f)| {
        let folded = |i: usize| i.min(5 - i) as f64;
        let slope = folded((f / 5 + f % 5) % 5);
        (1.0 + 3.0 * folded(f / 5) + 0.5 * folded(f % 5) + 2.0 * slope).recip()
    });
    let field = GaussianField::new(5, array![1.0], Array2::zeros((1, 25)), spectrum).unwrap();
    let shift = |x: &Array2<f64>| {
        Array2::from_shape_fn((1, 25), |(_, p)| {
            x[[0, ((p / 5 + 2) % 5) * 5 + (p % 5 + 1) % 5]]
        })
    };
    let x = field.draw(1, &mut rng(20));
    let difference = field.score(shift(&x).view(), 0.4) - shift(&field.score(x.view(), 0.4));
    assert!(difference.iter().all(|d| d.abs() < 1e-12));
}
