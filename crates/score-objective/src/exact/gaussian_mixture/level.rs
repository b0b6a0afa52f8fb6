//! A mixture at one noise level, and the two ways to its posterior: by lanes in few dimensions, by products in many.

use std::f64::consts::TAU;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::{GaussianMixture, lanes, products};

/// From this dimension on a matrix product beats the direct distances, although it must be checked and repaired.
const PRODUCTS_FROM: usize = 16;

/// log(π_k q_k(x)) = offset_k − precision_k ‖x − μ_k‖²/2, for all k.
pub(super) struct Level<'a> {
    /// μ_k, row by row: \[K · D\].
    pub(super) means: &'a [f64],
    /// D.
    pub(super) dim: usize,
    /// ‖μ_k‖²/2.
    pub(super) half_norms: &'a [f64],
    /// 1/(v_k + σ²).
    pub(super) precision: Vec<f64>,
    /// log π_k − (D/2) log 2π(v_k + σ²).
    pub(super) offset: Vec<f64>,
}

/// A sum over components, weighed by the responsibilities r_k.
pub(super) enum Combination {
    /// Σ r_k a_k (μ_k − x): a score, whose digits are in the differences.
    Differences {
        /// a_k.
        mean: Vec<f64>,
    },
    /// Σ r_k (a_k μ_k + b_k x): a posterior mean, which lies between.
    Points {
        /// a_k.
        mean: Vec<f64>,
        /// b_k.
        point: Vec<f64>,
    },
}

impl Combination {
    /// a_k.
    pub(super) fn mean(&self) -> &[f64] {
        match self {
            Combination::Differences { mean } | Combination::Points { mean, .. } => mean,
        }
    }
}

impl<'a> Level<'a> {
    /// The mixture under noise of variance `noise`, where no v_k + `noise` is zero.
    pub(super) fn new(mixture: &'a GaussianMixture, noise: f64) -> Level<'a> {
        let dim = mixture.means.ncols();
        let variances = || mixture.variances.iter().map(|v| v + noise);
        Level {
            means: mixture.means.as_slice().expect("laid out at construction"),
            dim,
            half_norms: &mixture.half_norms,
            precision: variances().map(f64::recip).collect(),
            offset: variances()
                .zip(&mixture.weights)
                .map(|(v, weight)| weight.ln() - 0.5 * dim as f64 * (TAU * v).ln())
                .collect(),
        }
    }

    /// ∇ log q_σ = Σ r_k (μ_k − x)/(v_k + σ²).
    pub(super) fn score(&self) -> Combination {
        Combination::Differences {
            mean: self.precision.clone(),
        }
    }

    /// E[x₀ | x] = Σ r_k (σ² μ_k + v_k x)/(v_k + σ²).
    pub(super) fn posterior_mean(&self, mixture: &GaussianMixture, noise: f64) -> Combination {
        let variances = self.precision.iter().zip(&mixture.variances);
        Combination::Points {
            mean: self.precision.iter().map(|p| noise * p).collect(),
            point: variances.map(|(p, v)| v * p).collect(),
        }
    }

    /// Writes the combination at each row of `x`: \[n, D\].
    pub(super) fn combine(
        &self,
        combination: &Combination,
        x: ArrayView2<'_, f64>,
        out: ArrayViewMut2<'_, f64>,
    ) {
        self.on_slices(x, out, |x, out| {
            if self.dim < PRODUCTS_FROM {
                lanes::combine(self, combination, x, out);
            } else {
                products::combine(self, combination, x, out);
            }
        });
    }

    /// Writes log q_σ: \[n, 1\].
    pub(super) fn log_density(&self, x: ArrayView2<'_, f64>, out: ArrayViewMut2<'_, f64>) {
        self.on_slices(x, out, |x, out| {
            if self.dim < PRODUCTS_FROM {
                lanes::log_density(self, x, out);
            } else {
                products::log_density(self, x, out);
            }
        });
    }

    /// Writes r_k: \[n, K\].
    pub(super) fn responsibilities(&self, x: ArrayView2<'_, f64>, out: ArrayViewMut2<'_, f64>) {
        self.on_slices(x, out, |x, out| {
            if self.dim < PRODUCTS_FROM {
                lanes::responsibilities(self, x, out);
            } else {
                products::responsibilities(self, x, out);
            }
        });
    }

    /// Rows as plain memory, one behind the other.
    fn on_slices(
        &self,
        x: ArrayView2<'_, f64>,
        mut out: ArrayViewMut2<'_, f64>,
        f: impl FnOnce(&[f64], &mut [f64]),
    ) {
        let x = x.as_standard_layout();
        f(
            x.as_slice().expect("laid out just now"),
            out.as_slice_mut().expect("whole rows of a fresh array"),
        );
    }
}
