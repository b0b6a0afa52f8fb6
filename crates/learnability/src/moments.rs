//! Signal and noise of a gradient, unbiased, from the gradients of micro-batches.

/// What has to be accumulated over `n` micro-batch gradients `g_1 … g_n` of one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientSums {
    /// `Σ |g_i|²`, the sum of the squared norms.
    pub squared_norms: f64,
    /// `|Σ g_i|²`, the squared norm of the sum.
    pub squared_norm_of_sum: f64,
    /// Number of micro-batches.
    pub n: usize,
}

/// Unbiased estimates of the first two moments of the gradient of one unit.
///
/// ```text
/// signal = (|Σ g_i|² − Σ |g_i|²) / (n (n − 1))      E signal = |E g|²
/// noise  = (Σ |g_i|² − |Σ g_i|² / n) / (n − 1)      E noise  = tr Cov g
/// ```
///
/// `g` is the gradient of *one micro-batch*: with `b` independent samples in each, its noise is that of a sample
/// divided by `b`. Compare units, arms and steps at equal `b` only.
///
/// The naive `|mean g|²` exceeds `|E g|²` by `tr Cov g / n` on average, which is all there is to see of a unit without
/// signal. The unbiased estimate scatters around 0 instead, and is then often negative.
///
/// *Invariances*: rotation of the parameters of the unit; order of the micro-batches.
/// *Failure mode*: with few micro-batches the signal is mostly scatter, up to the order of `noise / n`. Micro-batches that
/// share samples are not independent, and the signal is then too large.
/// *Source*: the estimator as a U-statistic; GSNR after Liu et al. 2020 (there per parameter, here per unit), noise
/// scale after McCandlish et al. 2018.
///
/// ```
/// use learnability::moments::GradientMoments;
///
/// let moments = GradientMoments::from_gradients([&[3.0, 0.0][..], &[1.0, 0.0]]).unwrap();
/// assert_eq!(moments.signal, 3.0); // ⟨g_1, g_2⟩
/// assert_eq!(moments.noise, 2.0); // |g_1 − g_2|² / 2
/// assert_eq!(moments.gsnr(), Some(1.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientMoments {
    /// Unbiased `|E g|²`; may be negative.
    pub signal: f64,
    /// Unbiased `tr Cov g` of one micro-batch gradient; at least 0.
    pub noise: f64,
    /// Number of micro-batches; at least 2.
    pub n: usize,
}

impl GradientMoments {
    /// The moments from running sums; `None` for fewer than two micro-batches.
    ///
    /// Sums that are not finite give moments that are not finite.
    pub fn from_sums(sums: GradientSums) -> Option<Self> {
        if sums.n < 2 {
            return None;
        }
        let n = sums.n as f64;
        let noise = (sums.squared_norms - sums.squared_norm_of_sum / n) / (n - 1.0);
        Some(Self {
            signal: (sums.squared_norm_of_sum - sums.squared_norms) / (n * (n - 1.0)),
            // Rounding alone can go below 0. Not `max`, which would turn NaN into 0.
            noise: if noise < 0.0 { 0.0 } else { noise },
            n: sums.n,
        })
    }

    /// The moments from the gradients themselves; `None` for fewer than two.
    ///
    /// # Shapes
    /// Each gradient `[d]`, with the same `d`.
    ///
    /// # Panics
    /// If the gradients differ in length.
    pub fn from_gradients<'a>(gradients: impl IntoIterator<Item = &'a [f64]>) -> Option<Self> {
        let mut sum: Vec<f64> = Vec::new();
        let mut squared_norms = 0.0;
        let mut n = 0;
        for gradient in gradients {
            if n == 0 {
                sum = vec![0.0; gradient.len()];
            }
            assert_eq!(
                sum.len(),
                gradient.len(),
                "from_gradients: gradients differ in length"
            );
            for (total, g) in sum.iter_mut().zip(gradient) {
                *total += g;
                squared_norms += g * g;
            }
            n += 1;
        }
        Self::from_sums(GradientSums {
            squared_norms,
            squared_norm_of_sum: sum.iter().map(|s| s * s).sum(),
            n,
        })
    }

    /// Gradient signal-to-noise ratio `signal / noise` of one micro-batch gradient.
    ///
    /// *Range*: any real number, since the signal is an estimate; `None` if there is no noise or a moment is not finite.
    /// *Invariances*: unchanged by rescaling the unit (`W → a W` with the next layer divided by `a`), by the scale of the
    /// loss and by Adam's normalisation.
    /// *Failure mode*: a ratio of unbiased estimates is not unbiased. Average the moments over repetitions before taking
    /// it, and take enough micro-batches. It is proportional to the samples of a micro-batch.
    /// *Source*: Liu et al. 2020, there of each parameter.
    #[doc(alias = "gradient_signal_to_noise_ratio")]
    pub fn gsnr(&self) -> Option<f64> {
        let ratio = self.signal / self.noise;
        ratio.is_finite().then_some(ratio)
    }

    /// Gradient noise scale `noise / signal`: the number of micro-batches to average until noise equals signal.
    ///
    /// Multiply by the samples per micro-batch for the *simple noise scale* `tr Cov / |E g|²` in samples.
    ///
    /// *Range*: `[0, ∞)`; `None` if the estimated signal is not positive (no signal was found at this `n`) or a moment is
    /// not finite.
    /// *Invariances*: those of [`Self::gsnr`], whose reciprocal it is.
    /// *Failure mode*: near a signal of 0 it is arbitrarily large, and undefined in about half of all repetitions, so what
    /// is left of them is too small on average; average the moments first, or read the interval of
    /// [`crate::gram::Gram::noise_scale`]. It grows in the course of training, so say when.
    /// *Source*: McCandlish et al. 2018.
    #[doc(alias = "b_simple")]
    pub fn noise_scale(&self) -> Option<f64> {
        let ratio = self.noise / self.signal;
        (0.0 < self.signal && ratio.is_finite()).then_some(ratio)
    }
}
