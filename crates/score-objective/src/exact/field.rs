//! Mixtures of stationary Gaussian random fields: images whose score is known per frequency.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis, Zip, array};
use rand::RngCore;

use super::bands::{Bands, squared_frequency};
use super::rows::{
    add_outer, all_finite, at_least_one, check_density, check_points, check_query, draw_index,
    map_rows, normalised, softmax, standard_normal,
};
use super::{ExactScore, basis};
use crate::Error;

/// p = Σ π_k N(m_k, C_k) on an S × S torus, each C_k stationary with spectrum λ_k(f).
///
/// In the orthonormal Hartley basis (the real form of the unitary Fourier transform) with coefficients X, all C_k are
/// diagonal, so that ∇ log q_σ has the coefficients Σ r_k(X) (M_k − X)/(λ_k + σ²).
/// An image is a row of S² pixels, pixel (i, j) at i S + j; its coefficients lie in the same way, (u, v) at u S + v,
/// where index u stands for the frequency u or u − S, whichever is smaller in size.
///
/// ```
/// use rand::SeedableRng;
/// use score_objective::exact::{ExactScore, GaussianField};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let data = GaussianField::grf16();
/// let x = data.draw(8, &mut rand_chacha::ChaCha8Rng::seed_from_u64(0));
/// let bands = data.bands(4)?;
/// // An error of the score, split by frequency:
/// let error = data.score(x.view(), 0.1) - data.score(x.view(), 0.2);
/// assert_eq!(data.band_power(error.view(), &bands).len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct GaussianField {
    side: usize,
    weights: Array1<f64>,
    // All in frequency order, one component per row.
    means: Array2<f64>,
    spectra: Array2<f64>,
    hartley: Array2<f64>,
}

impl GaussianField {
    /// K components with the given weights (divided by their sum), mean images and spectra.
    ///
    /// A spectrum holds the variance of each unitary Fourier coefficient, so that its mean is the variance of a pixel.
    /// The S² × S² basis is kept: 0.5 MB for S = 16, 8 MB for S = 32.
    ///
    /// # Shapes
    /// `weights`: \[K\]; `means`: \[K, S²\], pixels; `spectra`: \[K, S²\], frequencies.
    ///
    /// # Errors
    /// [`Error::Count`] and [`Error::Length`] for shapes, [`Error::NotPositive`] for a weight or a spectral value,
    /// [`Error::NotFinite`] for a pixel, and [`Error::AsymmetricSpectrum`] if λ(f) and λ(−f) differ by more than
    /// 1e-12 of their size.
    pub fn new(
        side: usize,
        weights: Array1<f64>,
        means: Array2<f64>,
        spectra: Array2<f64>,
    ) -> Result<GaussianField, Error> {
        at_least_one("side", side)?;
        at_least_one("weights", weights.len())?;
        let (components, pixels) = (weights.len(), side * side);
        Error::length("means", components, means.nrows())?;
        Error::length("mean image", pixels, means.ncols())?;
        Error::length("spectra", components, spectra.nrows())?;
        Error::length("spectrum", pixels, spectra.ncols())?;
        all_finite("mean image", &means)?;
        for ((component, f), &value) in spectra.indexed_iter() {
            Error::positive("spectrum", value)?;
            let (row, column) = (f / side, f % side);
            let opposite = ((side - row) % side) * side + (side - column) % side;
            if 1e-12 * value < (value - spectra[[component, opposite]]).abs() {
                return Err(Error::AsymmetricSpectrum {
                    component,
                    row,
                    column,
                });
            }
        }
        Ok(Self::assemble(side, normalised(weights)?, means, spectra))
    }

    /// GRF16, the image benchmark: four components on a 16 × 16 torus.
    ///
    /// Weights 0.4, 0.3, 0.2, 0.1; mean images 0.7 times cos x, cos y, cos(x + y), cos(x − y), where x = 2π j/16 runs
    /// along a row and y = 2π i/16 along a column; spectra proportional to (f₀² + f²)^(−a) with f₀ = 1 cycle per side
    /// and a = 2, 1.6, 2, 2, scaled to the pixel variance 0.25, plus a white floor of 0.01.
    /// The spectral values run from about 0.01 to 20: a condition number of 2000.
    pub fn grf16() -> GaussianField {
        const SIDE: usize = 16;
        const MEANS: [fn(f64, f64) -> f64; 4] = [
            |x, _| x.cos(),
            |_, y| y.cos(),
            |x, y| (x + y).cos(),
            |x, y| (x - y).cos(),
        ];
        const EXPONENTS: [f64; 4] = [2.0, 1.6, 2.0, 2.0];
        let angle = |index: usize| TAU * index as f64 / SIDE as f64;
        let means = Array2::from_shape_fn((4, SIDE * SIDE), |(k, pixel)| {
            0.7 * MEANS[k](angle(pixel % SIDE), angle(pixel / SIDE))
        });
        let mut spectra = Array2::from_shape_fn((4, SIDE * SIDE), |(k, f)| {
            (1.0 + squared_frequency(SIDE, f) as f64).powf(-EXPONENTS[k])
        });
        for mut spectrum in spectra.rows_mut() {
            let scale = 0.25 * (SIDE * SIDE) as f64 / spectrum.sum();
            spectrum.mapv_inplace(|l| scale * l + 0.01);
        }
        Self::assemble(SIDE, array![0.4, 0.3, 0.2, 0.1], means, spectra)
    }

    fn assemble(
        side: usize,
        weights: Array1<f64>,
        means: Array2<f64>,
        spectra: Array2<f64>,
    ) -> GaussianField {
        let hartley = basis::hartley(side);
        GaussianField {
            side,
            weights,
            means: means.dot(&hartley),
            spectra,
            hartley,
        }
    }

    /// The side S of an image; points have S² coordinates.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The weights π_k, summing to 1: \[K\].
    pub fn weights(&self) -> ArrayView1<'_, f64> {
        self.weights.view()
    }

    /// The spectra λ_k(f): \[K, S²\].
    pub fn spectra(&self) -> ArrayView2<'_, f64> {
        self.spectra.view()
    }

    /// The mean images m_k, in pixels: \[K, S²\].
    pub fn means(&self) -> Array2<f64> {
        self.means.dot(&self.hartley)
    }

    /// The orthonormal Hartley coefficients of images, or of scores, or of errors.
    ///
    /// The transform preserves lengths and is its own inverse: apply it again to come back.
    ///
    /// # Shapes
    /// `x`: \[n, S²\]; returns \[n, S²\].
    ///
    /// # Panics
    /// If the rows do not have length S².
    pub fn to_frequency(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        map_rows(x, self.dim(), self.cost(), |x, mut out| {
            out.assign(&x.dot(&self.hartley))
        })
    }

    /// Divides the frequencies into rings of equal width in |f|, from 0 to the Nyquist frequency S/2.
    ///
    /// The corners of the spectrum, |f| ≥ S/2, join the last ring. No ring is empty.
    ///
    /// # Errors
    /// [`Error::Count`] unless 1 ≤ `count` ≤ max(1, S/2).
    pub fn bands(&self, count: usize) -> Result<Bands, Error> {
        let second_moments = &self.spectra + &self.means.mapv(|m| m * m);
        Bands::rings(self.side, count, &self.weights.dot(&second_moments))
    }

    /// The mean of X² per coefficient in each band, over a batch of images, scores or errors.
    ///
    /// Times [`Bands::sizes`] and summed, it is the mean squared length of the rows.
    ///
    /// # Shapes
    /// `x`: \[n, S²\], 1 ≤ n; returns \[bands\].
    ///
    /// # Panics
    /// If the rows do not have length S², if there are none, or if `bands` belong to a field of another side.
    pub fn band_power(&self, x: ArrayView2<'_, f64>, bands: &Bands) -> Array1<f64> {
        assert!(0 < x.nrows(), "the power of an empty batch is not defined");
        assert!(
            bands.index().len() == self.dim(),
            "bands partition {} coefficients, not {}",
            bands.index().len(),
            self.dim()
        );
        let squares = self.to_frequency(x).mapv_into(|c| c * c);
        bands.average(&(squares.sum_axis(Axis(0)) / x.nrows() as f64))
    }

    /// P(component k | x₀ + σ ε = x). Rows sum to 1, however far x lies from all means.
    ///
    /// # Shapes
    /// `x`: \[n, S²\]; returns \[n, K\].
    ///
    /// # Panics
    /// As [`ExactScore::score`].
    pub fn responsibilities(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        let level = Level::new(self, sigma);
        map_rows(x, self.weights.len(), self.cost(), |x, mut out| {
            let mut logits = vec![0.0; self.weights.len()];
            for (x, mut out) in x.dot(&self.hartley).rows().into_iter().zip(out.rows_mut()) {
                level.posterior(x, &mut logits);
                out.assign(&ArrayView1::from(&logits));
            }
        })
    }
}

impl GaussianField {
    /// Operations per row.
    fn cost(&self) -> usize {
        2 * self.dim() * self.dim()
    }

    /// Σ_k term(r_k, X, M_k, λ_k, 1/(λ_k + σ²)) at each frequency, back in pixels: a score or a posterior mean.
    fn combine(
        &self,
        x: ArrayView2<'_, f64>,
        sigma: f64,
        term: impl Fn(f64, f64, f64, f64, f64) -> f64 + Sync,
    ) -> Array2<f64> {
        let level = Level::new(self, sigma);
        map_rows(x, self.dim(), self.cost(), |x, mut out| {
            let mut coefficients = x.dot(&self.hartley);
            let mut responsibilities = vec![0.0; self.weights.len()];
            let mut sum = Array1::zeros(self.dim());
            for mut row in coefficients.rows_mut() {
                level.posterior(row.view(), &mut responsibilities);
                sum.fill(0.0);
                for (k, r) in responsibilities.iter().enumerate() {
                    Zip::from(&mut sum)
                        .and(&row)
                        .and(self.means.row(k))
                        .and(self.spectra.row(k))
                        .and(level.precision.row(k))
                        .for_each(|sum, x, mean, variance, precision| {
                            *sum += term(*r, *x, *mean, *variance, *precision);
                        });
                }
                row.assign(&sum);
            }
            out.assign(&coefficients.dot(&self.hartley));
        })
    }

    /// For each row: calls `f` with its number, and with r_k, the variances λ_k σ²/(λ_k + σ²) and the posterior mean of
    /// each component less that of all, by frequency.
    fn visit_posterior(
        &self,
        x: ArrayView2<'_, f64>,
        sigma: f64,
        mut f: impl FnMut(usize, f64, &Array1<f64>, &Array1<f64>),
    ) {
        let level = Level::new(self, sigma);
        let noise = sigma * sigma;
        let within: Vec<Array1<f64>> = (self.spectra.rows().into_iter())
            .zip(level.precision.rows())
            .map(|(variance, precision)| &variance * &precision * noise)
            .collect();
        let coefficients = self.to_frequency(x);
        let denoised = self.to_frequency(self.denoise(x, sigma).view());
        let mut responsibilities = vec![0.0; self.weights.len()];
        for (row, (x, denoised)) in coefficients
            .rows()
            .into_iter()
            .zip(denoised.rows())
            .enumerate()
        {
            level.posterior(x, &mut responsibilities);
            for (k, &r) in responsibilities.iter().enumerate() {
                let mean = &self.means.row(k) * noise + &x * &self.spectra.row(k);
                f(
                    row,
                    r,
                    &within[k],
                    &(mean * level.precision.row(k) - denoised),
                );
            }
        }
    }
}

impl ExactScore for GaussianField {
    fn dim(&self) -> usize {
        self.side * self.side
    }

    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut coefficients = Array2::zeros((n, self.dim()));
        for mut row in coefficients.rows_mut() {
            let component = draw_index(&self.weights, rng);
            let noise = standard_normal(1, self.dim(), rng);
            Zip::from(&mut row)
                .and(noise.row(0))
                .and(self.means.row(component))
                .and(self.spectra.row(component))
                .for_each(|out, noise, mean, variance| *out = mean + variance.sqrt() * noise);
        }
        self.to_frequency(coefficients.view())
    }

    fn mean(&self) -> Array1<f64> {
        self.weights.dot(&self.means).dot(&self.hartley)
    }

    fn covariance(&self) -> Array2<f64> {
        let centred = &self.means - &self.weights.dot(&self.means);
        let weighted = &centred * &self.weights.view().insert_axis(Axis(1));
        let covariance =
            centred.t().dot(&weighted) + Array2::from_diag(&self.weights.dot(&self.spectra));
        self.hartley.dot(&covariance).dot(&self.hartley)
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        self.combine(x, sigma, |r, x, mean, _, precision| {
            r * (mean - x) * precision
        })
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        let noise = sigma * sigma;
        self.combine(x, sigma, |r, x, mean, variance, precision| {
            r * precision * (noise * mean + variance * x)
        })
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        let mut covariance = Array3::zeros((x.nrows(), self.dim(), self.dim()));
        self.visit_posterior(x, sigma, |row, r, within, apart| {
            let mut covariance = covariance.index_axis_mut(Axis(0), row);
            add_outer(&mut covariance, r, apart);
            covariance.diag_mut().scaled_add(r, within);
        });
        for mut covariance in covariance.axis_iter_mut(Axis(0)) {
            let pixels = self.hartley.dot(&covariance).dot(&self.hartley);
            covariance.assign(&pixels);
        }
        covariance
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        let mut variance = Array1::zeros(x.nrows());
        self.visit_posterior(x, sigma, |row, r, within, apart| {
            variance[row] += r * (within.sum() + apart.dot(apart));
        });
        variance
    }

    /// In closed form for one component: Σ 1/(λ + σ²).
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        check_density(self, sigma);
        let one = self.weights.len() == 1;
        one.then(|| self.spectra.mapv(|l| 1.0 / (l + sigma * sigma)).sum())
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        let level = Level::new(self, sigma);
        map_rows(x, 1, self.cost(), |x, mut out| {
            let mut logits = vec![0.0; self.weights.len()];
            for (x, out) in x.dot(&self.hartley).rows().into_iter().zip(&mut out) {
                *out = level.posterior(x, &mut logits);
            }
        })
        .remove_axis(Axis(1))
    }
}

/// What a field needs at one σ, once for all rows.
struct Level<'a> {
    field: &'a GaussianField,
    // 1/(λ_k + σ²): [K, S²].
    precision: Array2<f64>,
    // log π_k − ½ Σ log 2π(λ_k + σ²): [K].
    offset: Array1<f64>,
}

impl<'a> Level<'a> {
    fn new(field: &'a GaussianField, sigma: f64) -> Level<'a> {
        let variance = &field.spectra + sigma * sigma;
        let log_determinant = variance.mapv(|v| (TAU * v).ln()).sum_axis(Axis(1));
        Level {
            field,
            offset: field.weights.mapv(f64::ln) - 0.5 * log_determinant,
            precision: variance.mapv_into(f64::recip),
        }
    }

    /// Writes the responsibilities at the coefficients `x` and returns log q_σ.
    fn posterior(&self, x: ArrayView1<'_, f64>, responsibilities: &mut [f64]) -> f64 {
        for (k, r) in responsibilities.iter_mut().enumerate() {
            let mut squared = 0.0;
            Zip::from(x)
                .and(self.field.means.row(k))
                .and(self.precision.row(k))
                .for_each(|x, mean, precision| squared += (x - mean) * (x - mean) * precision);
            *r = self.offset[k] - 0.5 * squared;
        }
        softmax(responsibilities)
    }
}
