//! Synthetic studies.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StudentT};

/// How contrasts vary over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Standard normal.
    Normal,
    /// Student's t with 3 degrees of freedom: a seed far out now and then.
    HeavyTail,
    /// exp of a standard normal: skewed.
    Lognormal,
}

impl Shape {
    pub(super) const ALL: [Self; 3] = [Self::Normal, Self::HeavyTail, Self::Lognormal];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::HeavyTail => "t3",
            Self::Lognormal => "lognormal",
        }
    }

    pub(super) fn mean(self) -> f64 {
        match self {
            Self::Normal | Self::HeavyTail => 0.0,
            Self::Lognormal => 0.5_f64.exp(),
        }
    }

    /// One contrast for each of `n` seeds.
    pub(super) fn contrasts(self, n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..n)
            .map(|_| match self {
                Self::Normal => rng.sample(StandardNormal),
                Self::HeavyTail => StudentT::new(3.0)
                    .expect("three degrees of freedom")
                    .sample(rng),
                Self::Lognormal => rng.sample::<f64, _>(StandardNormal).exp(),
            })
            .collect()
    }
}

/// Normal contrasts with standard deviation 1.
pub(super) fn normal(mean: f64, n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n)
        .map(|_| mean + rng.sample::<f64, _>(StandardNormal))
        .collect()
}

/// Null contrasts at several depths that share half of their variance.
pub(super) fn depths(columns: usize, n: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let shared = normal(0.0, n, rng);
    let mix = |own: Vec<f64>| own.iter().zip(&shared).map(|(a, b)| a + b).collect();
    (0..columns).map(|_| mix(normal(0.0, n, rng))).collect()
}
