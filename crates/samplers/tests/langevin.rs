//! Mixture weights by Langevin dynamics, with the exact score: Song & Ermon 2019, figure 3.

mod common;

use ndarray::{Array2, Axis};
use noise_schedule::{Grid, Kernel};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use common::streams;
use samplers::{AnnealedLangevin, Counted, langevin};

const SAMPLES: usize = 600;
const STEPS: usize = 1000;

/// E[x_0 | x_t] for x_0 ~ 0.8 N((5, 5), I) + 0.2 N((−5, −5), I).
fn denoise(x: &Array2<f64>, at: Kernel) -> Array2<f64> {
    let variance = at.alpha().powi(2) + at.sigma().powi(2);
    let gain = at.alpha() / variance;
    let mut denoised = x.clone();
    for mut row in denoised.rows_mut() {
        // The log-odds of the two components are linear in x₁ + x₂.
        let odds = 4.0_f64.ln() + 10.0 * gain * (row[0] + row[1]);
        let centre = 5.0 * (0.5 * odds).tanh();
        let prior = at.sigma().powi(2) / variance;
        row.mapv_inplace(|x| gain * x + prior * centre);
    }
    denoised
}

/// The score of the data themselves: centre − x.
fn score(x: &Array2<f64>) -> Array2<f64> {
    let mut score = x.clone();
    for mut row in score.rows_mut() {
        let odds = 4.0_f64.ln() + 10.0 * (row[0] + row[1]);
        let centre = 5.0 * (0.5 * odds).tanh();
        row.mapv_inplace(|x| centre - x);
    }
    score
}

/// Uniform on the square [−8, 8]².
fn starts() -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    Array2::from_shape_simple_fn((SAMPLES, 2), || rng.random_range(-8.0..8.0))
}

/// The fraction of samples nearer to (5, 5), and the mean of their coordinates.
fn upper_mode(x: &Array2<f64>) -> (f64, f64) {
    let upper: Vec<f64> = x
        .sum_axis(Axis(1))
        .into_iter()
        .filter(|&sum| 0.0 < sum)
        .collect();
    let weight = upper.len() as f64 / SAMPLES as f64;
    (weight, upper.iter().sum::<f64>() / (2 * upper.len()) as f64)
}

#[test]
fn plain_langevin_keeps_the_weights_of_its_starts() {
    let x = langevin(
        &mut score,
        &mut streams(12, 0..SAMPLES as u64),
        starts(),
        0.1,
        STEPS,
    );
    let (weight, mean) = upper_mode(&x);
    // Within its mode it is right; between the modes nothing moved.
    assert!((mean - 5.0).abs() < 0.2, "{mean}");
    assert!((weight - 0.51).abs() < 0.08, "{weight}");
}

#[test]
fn annealed_langevin_finds_the_weights() {
    let dynamics = AnnealedLangevin {
        epsilon: 0.1,
        steps_per_level: STEPS / 10,
        final_denoise: false,
    };
    let grid = Grid::geometric(20.0, 1.0, 10).unwrap();
    let mut model = Counted::new(denoise);
    let x = dynamics.run(
        &grid,
        &mut model,
        &mut streams(12, 0..SAMPLES as u64),
        starts(),
    );
    // The same budget as plain Langevin.
    assert_eq!(model.evaluations(), STEPS);
    assert_eq!(dynamics.evaluations(&grid), STEPS);
    let (weight, mean) = upper_mode(&x);
    assert!((mean - 5.0).abs() < 0.3, "{mean}");
    assert!((weight - 0.78).abs() < 0.07, "{weight}");
}

#[test]
fn the_denoiser_and_the_score_belong_together() {
    let at = Kernel::variance_exploding(1e-3).unwrap();
    let x = starts();
    let found = samplers::score(&x, &denoise(&x, at), at);
    for (a, b) in found.iter().zip(&score(&x)) {
        assert!((a - b).abs() < 1e-3 * (1.0 + b.abs()), "{a} {b}");
    }
}
