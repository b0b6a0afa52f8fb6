//! A mixture at one noise level, and the two ways to its posterior: by lanes in few dimensions, by products in many.

use std::f64::consts::TAU;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::registers::Registers;
use super::screen::Centred;
use super::{GaussianMixture, lanes, products};

/// From this dimension on a matrix product beats the direct distances, although it must be checked and repaired.
pub(super) const PRODUCTS_FROM: usize = 16;

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
    /// What a [`Screen`](super::screen::Screen) needs of the means, where products are made of them.
    pub(super) centred: Option<&'a Centred>,
    /// What the loops run on.
    pub(super) registers: Registers,
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
            centred: mixture.centred.as_ref(),
            registers: Registers::widest(),
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
                lanes::combine(self.registers, self, combination, x, out);
            } else {
                products::combine(self.registers, self, combination, x, out);
            }
        });
    }

    /// Writes log q_σ: \[n, 1\].
    pub(super) fn log_density(&self, x: ArrayView2<'_, f64>, out: ArrayViewMut2<'_, f64>) {
        self.on_slices(x, out, |x, out| {
            if self.dim < PRODUCTS_FROM {
                lanes::log_density(self.registers, self, x, out);
            } else {
                products::log_density(self.registers, self, x, out);
            }
        });
    }

    /// Writes r_k: \[n, K\].
    pub(super) fn responsibilities(&self, x: ArrayView2<'_, f64>, out: ArrayViewMut2<'_, f64>) {
        self.on_slices(x, out, |x, out| {
            if self.dim < PRODUCTS_FROM {
                lanes::responsibilities(self.registers, self, x, out);
            } else {
                products::responsibilities(self.registers, self, x, out);
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

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::exact::ExactScore;

    #[test]
    fn results_are_the_same_bits_on_all_registers() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        // Both ways to a posterior; few components that matter, and all.
        for (dim, noise) in [(2, 0.1), (5, 9.0), (20, 0.01), (20, 0.5), (67, 100.0)] {
            let mixture = GaussianMixture::zipf(83, dim, 2.0, 0.1, &mut rng).unwrap();
            let mut x = mixture.draw(61, &mut rng);
            x *= 1.1;
            let all = Registers::available().map(|registers| {
                let level = Level {
                    registers,
                    ..Level::new(&mixture, noise)
                };
                let (mut score, mut mean) = (x.clone(), x.clone());
                level.combine(&level.score(), x.view(), score.view_mut());
                let combination = level.posterior_mean(&mixture, noise);
                level.combine(&combination, x.view(), mean.view_mut());
                let mut density = Array2::zeros((x.nrows(), 1));
                level.log_density(x.view(), density.view_mut());
                let mut shares = Array2::zeros((x.nrows(), 83));
                level.responsibilities(x.view(), shares.view_mut());
                let parts = [score, mean, density, shares];
                let bits = parts.map(|part| part.mapv(f64::to_bits));
                ndarray::concatenate(Axis(1), &bits.each_ref().map(|b| b.view())).unwrap()
            });
            let all: Vec<Array2<u64>> = all.collect();
            assert!(all.iter().all(|bits| *bits == all[0]), "{dim} {noise}");
        }
    }
}
