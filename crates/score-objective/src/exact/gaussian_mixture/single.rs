//! Scores and posterior means in single precision.

use ndarray::{Array2, ArrayView2, Axis};

use super::super::rows::{check_points, check_query, map_rows};
use super::GaussianMixture;
use super::level::{Combination, Level};
use super::one_pass::Components;
use crate::exact::ExactScore;

impl GaussianMixture {
    /// ∇ log q_σ at each row of `x`, in single precision, for networks and samplers that compute in it: about twice as
    /// fast as [`score`](ExactScore::score), in up to three dimensions about five times.
    ///
    /// Points are measured from the centre c of the means, so that data far from the origin lose nothing.
    /// With d = ‖x − μ_k‖, the logarithm of r_k is off by some roundings (u = 6e-8) of p_k d (‖x − c‖ + ‖μ_k − c‖) and of
    /// p_k d² √D, which is what rounding x and μ_k in the last digit would change; so where σ is small against distances,
    /// responsibilities that are nearly equal may turn over.
    /// In 16 and more dimensions, where most components matter at a point, there may be 1e-4 more.
    /// Responsibilities below e^−30 of the largest may be taken for zero, and in 16 and more dimensions those that are
    /// together below e^−20.
    /// The few rows at which single precision overflows are computed in double precision and rounded.
    ///
    /// ```
    /// use ndarray::array;
    /// use score_objective::exact::{ExactScore, GaussianMixture};
    ///
    /// let data = GaussianMixture::song_ermon();
    /// let x = array![[1.0_f32, -3.0]];
    /// let difference = data.score_f32(x.view(), 0.5).mapv(f64::from) - data.score(x.mapv(f64::from).view(), 0.5);
    /// assert!(difference.iter().all(|d| d.abs() < 1e-5));
    /// ```
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// As [`ExactScore::score`].
    pub fn score_f32(&self, x: ArrayView2<'_, f32>, sigma: f64) -> Array2<f32> {
        check_query(self, x, sigma);
        let noise = sigma * sigma;
        let general = |x: ArrayView2<'_, f32>| {
            let level = Level::new(self, noise);
            self.combine_f32(x, &level, &level.score(), |x| self.score(x, sigma))
        };
        match self.dim() {
            1 => Components::<1>::new(&Level::new(self, noise)).score(x, general),
            2 => Components::<2>::new(&Level::new(self, noise)).score(x, general),
            3 => Components::<3>::new(&Level::new(self, noise)).score(x, general),
            _ => general(x),
        }
    }

    /// The best denoiser E\[x₀ | x₀ + σ ε = x\] in single precision, as [`score_f32`](GaussianMixture::score_f32).
    ///
    /// # Shapes
    /// `x`: \[n, D\]; returns \[n, D\].
    ///
    /// # Panics
    /// As [`ExactScore::denoise`].
    pub fn denoise_f32(&self, x: ArrayView2<'_, f32>, sigma: f64) -> Array2<f32> {
        check_points(self, x, sigma);
        let double = |x: ArrayView2<'_, f64>| self.denoise(x, sigma);
        if self.is_degenerate(sigma) {
            return double(x.mapv(f64::from).view()).mapv(|value| value as f32);
        }
        let level = Level::new(self, sigma * sigma);
        let mean = Level::posterior_mean(self, sigma * sigma);
        self.combine_f32(x, &level, &mean, double)
    }

    /// The combination at each row, by `double` where 1/(v_k + σ²) or the result is beyond single precision.
    fn combine_f32(
        &self,
        x: ArrayView2<'_, f32>,
        level: &Level<'_, f32>,
        combination: &Combination<f32>,
        double: impl Fn(ArrayView2<'_, f64>) -> Array2<f64> + Sync,
    ) -> Array2<f32> {
        if !level
            .precision
            .iter()
            .all(|precision| precision.is_normal())
        {
            return double(x.mapv(f64::from).view()).mapv(|value| value as f32);
        }
        map_rows(x, self.dim(), self.means.len(), |x, mut out| {
            level.combine(combination, x, out.view_mut());
            let overflown: Vec<usize> = (out.rows().into_iter().enumerate())
                .filter(|(_, row)| !row.iter().all(|value| value.is_finite()))
                .map(|(index, _)| index)
                .collect();
            if overflown.is_empty() {
                return;
            }
            let again = double(x.select(Axis(0), &overflown).mapv(f64::from).view());
            for (&index, row) in overflown.iter().zip(again.rows()) {
                out.row_mut(index).assign(&row.mapv(|value| value as f32));
            }
        })
    }
}
