//! The modes of a mixture as a study gives them.

use std::fmt;

use ndarray::Array1;
use serde::Deserialize;

/// One variance for all modes, or one for each.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "a variance must be a number, or a list with one for each mode"
)]
pub enum Variances {
    /// `variance = 1.0`
    Equal(f64),
    /// `variance = [1.0, 0.25]`
    Each(Vec<f64>),
}

impl Variances {
    /// The list.
    pub(super) fn of(&self, modes: usize) -> Array1<f64> {
        match self {
            Variances::Equal(variance) => Array1::from_elem(modes, *variance),
            Variances::Each(variances) => Array1::from(variances.clone()),
        }
    }

    /// The one variance, if all are equal.
    pub(super) fn equal(&self) -> Option<f64> {
        match self {
            Variances::Equal(variance) => Some(*variance),
            Variances::Each(variances) => {
                let first = variances[0];
                variances.iter().all(|v| *v == first).then_some(first)
            }
        }
    }

    pub(super) fn smallest(&self) -> f64 {
        match self {
            Variances::Equal(variance) => *variance,
            Variances::Each(variances) => variances.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }

    pub(super) fn largest(&self) -> f64 {
        match self {
            Variances::Equal(variance) => *variance,
            Variances::Each(variances) => super::rank::largest(variances),
        }
    }

    /// Their mean, modes counted by their weights.
    pub(super) fn mean(&self, weights: &[f64]) -> f64 {
        match self {
            Variances::Equal(variance) => *variance,
            Variances::Each(variances) => {
                let sum: f64 = weights.iter().zip(variances).map(|(w, v)| w * v).sum();
                sum / weights.iter().sum::<f64>()
            }
        }
    }
}

impl fmt::Display for Variances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Variances::Equal(variance) => write!(f, "variance {variance}"),
            Variances::Each(variances) => write!(f, "variances {variances:?}"),
        }
    }
}
