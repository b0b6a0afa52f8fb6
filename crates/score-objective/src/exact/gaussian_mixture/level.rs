//! A mixture at one noise level, and the two ways to its posterior: by lanes in few dimensions, by products in many.

use std::f64::consts::TAU;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::real::{Means, Real};
use super::registers::Registers;
use super::screen::Centred;
use super::{GaussianMixture, lanes, products};

/// From this dimension on a matrix product beats the direct distances, although it must be checked and repaired.
pub(super) const PRODUCTS_FROM: usize = 16;

/// log(π_k q_k(x)) = offset_k − precision_k ‖x − μ_k‖²/2, for all k.
pub(super) struct Level<'a, S> {
    /// μ_k less the centre, row by row: \[K · D\].
    pub(super) means: &'a [S],
    /// What means and points are measured from; the origin if there is none.
    pub(super) centre: Option<&'a [f64]>,
    /// D.
    pub(super) dim: usize,
    /// Half of the squared norms of the means.
    pub(super) half_norms: &'a [S],
    /// 1/(v_k + σ²).
    pub(super) precision: Vec<S>,
    /// log π_k − (D/2) log 2π(v_k + σ²), less the largest of them in single precision, whose digits are for differences.
    pub(super) offset: Vec<S>,
    /// What a [`Screen`](super::screen::Screen) needs of the means.
    pub(super) centred: &'a Centred,
    /// What the loops run on.
    pub(super) registers: Registers,
}

/// A sum over components, weighed by the responsibilities r_k.
pub(super) enum Combination<S> {
    /// Σ r_k a_k (μ_k − x): a score, whose digits are in the differences.
    Differences {
        /// a_k.
        mean: Vec<S>,
    },
    /// Σ r_k (a_k μ_k + b_k x), a_k + b_k = 1: a posterior mean, which lies between.
    Points {
        /// a_k.
        mean: Vec<S>,
        /// b_k.
        point: Vec<S>,
    },
}

impl<S> Combination<S> {
    /// a_k.
    pub(super) fn mean(&self) -> &[S] {
        match self {
            Combination::Differences { mean } | Combination::Points { mean, .. } => mean,
        }
    }
}

impl<'a, S: Real> Level<'a, S> {
    /// The mixture under noise of variance `noise`, where no v_k + `noise` is zero.
    pub(super) fn new(mixture: &'a GaussianMixture, noise: f64) -> Level<'a, S> {
        let dim = mixture.means.ncols();
        let variances = || mixture.variances.iter().map(|v| v + noise);
        let offsets = variances()
            .zip(&mixture.weights)
            .map(|(v, weight)| weight.ln() - 0.5 * dim as f64 * (TAU * v).ln());
        let Means {
            means,
            half_norms,
            centre,
        } = S::means(mixture);
        Level {
            means,
            centre,
            dim,
            half_norms,
            precision: variances().map(|v| S::nearest(v.recip())).collect(),
            offset: S::offsets(offsets.collect()),
            centred: &mixture.centred,
            registers: Registers::widest(),
        }
    }

    /// ∇ log q_σ = Σ r_k (μ_k − x)/(v_k + σ²).
    pub(super) fn score(&self) -> Combination<S> {
        Combination::Differences {
            mean: self.precision.clone(),
        }
    }

    /// E[x₀ | x] = Σ r_k (σ² μ_k + v_k x)/(v_k + σ²).
    pub(super) fn posterior_mean(mixture: &GaussianMixture, noise: f64) -> Combination<S> {
        let share = |of: f64, v: f64| S::nearest((v + noise).recip() * of);
        let variances = || mixture.variances.iter().copied();
        Combination::Points {
            mean: variances().map(|v| share(noise, v)).collect(),
            point: variances().map(|v| share(v, v)).collect(),
        }
    }

    /// Writes the combination at each row of `x`: \[n, D\].
    pub(super) fn combine(
        &self,
        combination: &Combination<S>,
        x: ArrayView2<'_, S>,
        mut out: ArrayViewMut2<'_, S>,
    ) {
        self.on_slices(x, out.view_mut(), |x, out| {
            if self.dim < PRODUCTS_FROM {
                lanes::combine(self.registers, self, combination, x, out);
            } else {
                products::combine(self.registers, self, combination, x, out);
            }
        });
        if let (Combination::Points { .. }, Some(centre)) = (combination, self.centre) {
            for (out, centre) in out.columns_mut().into_iter().zip(centre) {
                out.into_iter()
                    .for_each(|out| *out = S::nearest((*out).into() + centre));
            }
        }
    }

    /// Rows as plain memory, one behind the other, measured from the centre.
    fn on_slices(
        &self,
        x: ArrayView2<'_, S>,
        mut out: ArrayViewMut2<'_, S>,
        f: impl FnOnce(&[S], &mut [S]),
    ) {
        let mut x = x.as_standard_layout();
        if let Some(centre) = self.centre {
            for (x, centre) in x.columns_mut().into_iter().zip(centre) {
                x.into_iter()
                    .for_each(|x| *x = S::nearest((*x).into() - centre));
            }
        }
        f(
            x.as_slice().expect("laid out just now"),
            out.as_slice_mut().expect("whole rows of a fresh array"),
        );
    }
}

impl Level<'_, f64> {
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
                    ..Level::<f64>::new(&mixture, noise)
                };
                let (mut score, mut mean) = (x.clone(), x.clone());
                level.combine(&level.score(), x.view(), score.view_mut());
                let combination = Level::posterior_mean(&mixture, noise);
                level.combine(&combination, x.view(), mean.view_mut());
                let mut density = Array2::zeros((x.nrows(), 1));
                level.log_density(x.view(), density.view_mut());
                let mut shares = Array2::zeros((x.nrows(), 83));
                level.responsibilities(x.view(), shares.view_mut());
                let single = Level {
                    registers,
                    ..Level::<f32>::new(&mixture, noise)
                };
                let x = x.mapv(|x| x as f32);
                let (mut score_f32, mut mean_f32) = (x.clone(), x.clone());
                single.combine(&single.score(), x.view(), score_f32.view_mut());
                let combination = Level::posterior_mean(&mixture, noise);
                single.combine(&combination, x.view(), mean_f32.view_mut());
                let singles = [score_f32, mean_f32].map(|part| part.mapv(f64::from));
                let parts = [vec![score, mean, density, shares], singles.to_vec()].concat();
                let bits: Vec<_> = parts.iter().map(|part| part.mapv(f64::to_bits)).collect();
                let bits: Vec<_> = bits.iter().map(|bits| bits.view()).collect();
                ndarray::concatenate(Axis(1), &bits).unwrap()
            });
            let all: Vec<Array2<u64>> = all.collect();
            assert!(all.iter().all(|bits| *bits == all[0]), "{dim} {noise}");
        }
    }
}
