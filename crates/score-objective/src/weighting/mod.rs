//! How a squared error of the denoiser is weighed at each level.
//!
//! Every weighting multiplies ‖D − x₀‖², whatever the network predicts.
//! In that one unit, weights of different parameterizations compare directly.
//! With snr = α²/σ², n = σ/α and s the standard deviation of the data:
//!
//! | weighting | on ‖D − x₀‖² | the same as |
//! |---|---|---|
//! | [`Uniform`] | 1 | uniform on x₀ |
//! | [`Snr`] | snr | uniform on ε ("simple", Ho et al. 2020) |
//! | [`SnrPlusOne`] | snr + 1 | uniform on v (Salimans and Ho 2022) |
//! | [`FlowUniform`] | (1 + 1/n)² | uniform on ε − x₀ (Liu et al. 2022, Lipman et al. 2022) |
//! | [`EdmWeight`] | snr + 1/s² | uniform on EDM's F (Karras et al. 2022, table 1) |
//! | [`InverseSnr`] | 1/snr | in the code of Hang et al. 2023 |
//! | [`TruncatedSnr`] | max(snr, floor) | Salimans and Ho 2022, floor 1 |
//! | [`MinSnr`] | min(snr, γ) | Hang et al. 2023, γ = 5 |
//! | [`SoftMinSnr`] | 1/(1/snr + 1/γ) | k-diffusion, γ = 1/s²; sigmoid(b − ln snr) on ε, γ = e^b (Kingma and Gao 2023) |
//! | [`P2`] | snr/(k + snr)^γ | 1/(k + snr)^γ on ε (Choi et al. 2022) |
//! | [`Ncsn`] | ½ n^(p − 4) | ½ n^p on the score of x/α (Song and Ermon 2019, p = 2) |
//! | [`Cosmap`] | 2 (1 + 1/n)²/(π (1 − 2τ + 2τ²)), τ = n/(1 + n) | Esser et al. 2024, on ε − x₀ |
//! | [`Likelihood`] | ½ snr (−d ln snr/dt) | ½ g² on the score (Song et al. 2021); ½ γ′ on ε (Kingma et al. 2021) |
//! | [`PerLogSnr`] | any w over the density of ln snr | the same integral under any level distribution |
//! | [`On`] | w/out² | any w on the output of any row |
//! | [`Uncertainty`] | w e^(−u) | Karras et al. 2024, with u learned |
//!
//! [`Weighting::on`] reads a weighting as one on the output of any row.

use noise_schedule::Kernel;

use crate::Preconditioner;

pub use density::{PerLogSnr, effective_weight, log_snr_density};
pub use likelihood::Likelihood;
pub use named::{
    Cosmap, EdmWeight, FlowUniform, InverseSnr, MinSnr, Ncsn, P2, Snr, SnrPlusOne, SoftMinSnr,
    TruncatedSnr, Uniform,
};

mod density;
mod likelihood;
mod named;

/// Multiplies ‖D − x₀‖², whatever the parameterization: one unit for all weights.
///
/// A closure `Fn(Kernel) -> f64` is a weighting.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{Snr, Weighting};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = Kernel::variance_exploding(0.5)?;
/// assert_eq!(Snr.weight(kernel), 4.0);
/// let capped = |k: Kernel| Snr.weight(k).min(3.0);
/// assert_eq!(capped.weight(kernel), 3.0);
/// # Ok(())
/// # }
/// ```
pub trait Weighting {
    /// The weight at the level `k`; non-negative.
    fn weight(&self, k: Kernel) -> f64;

    /// The same weighting as one on ‖F − F*‖², the squared error of a row's output: weight · out².
    ///
    /// Where that is 0 · ∞, at an end of the scale or near one, it is the value at the noise-to-signal ratio 10^∓100 instead, which is the limit.
    ///
    /// ```
    /// use noise_schedule::Kernel;
    /// use score_objective::{Epsilon, MinSnr, Velocity, Weighting};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let k = Kernel::variance_preserving(2.0);
    /// let weighting = MinSnr::new(5.0)?; // snr = e² = 7.39
    /// assert!((weighting.on(&Epsilon::unit(), k) - 5.0 / k.snr()).abs() < 1e-12);
    /// assert!((weighting.on(&Velocity::unit(), k) - 5.0 / (k.snr() + 1.0)).abs() < 1e-12);
    /// // No signal at all, as after a rescaling to zero terminal SNR.
    /// let noise = Kernel::new(0.0, 1.0)?;
    /// assert!((weighting.on(&Epsilon::unit(), noise) - 1.0).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    fn on(&self, row: &dyn Preconditioner, k: Kernel) -> f64 {
        defined(k, |k| self.weight(k) * row.at(k).out.powi(2))
    }
}

impl<F: Fn(Kernel) -> f64> Weighting for F {
    fn weight(&self, k: Kernel) -> f64 {
        self(k)
    }
}

/// A weighting that is given on the output of a row: `weight` multiplies ‖F − F*‖².
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{Epsilon, On, Snr, Uniform, Weighting};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let k = Kernel::new(0.6, 0.8)?;
/// let simple = On::new(Epsilon::unit(), Uniform);
/// assert!((simple.weight(k) - Snr.weight(k)).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct On<P, W> {
    row: P,
    weighting: W,
}

impl<P: Preconditioner, W: Weighting> On<P, W> {
    /// `weighting` as a weight on what `row` predicts.
    pub fn new(row: P, weighting: W) -> On<P, W> {
        On { row, weighting }
    }
}

impl<P: Preconditioner, W: Weighting> Weighting for On<P, W> {
    fn weight(&self, k: Kernel) -> f64 {
        defined(k, |k| self.weighting.weight(k) / self.row.at(k).out.powi(2))
    }
}

/// A weighting under a log-variance u: w(k) e^(−u(k)) ‖D − x₀‖² + u(k), per coordinate.
///
/// Where u is learned, its best value is the logarithm of the mean weighted error, so that every level trains with the
/// same effective loss, 1 + u (Karras et al. 2024; Kendall and Gal 2017).
/// This is the formula for a u that is known; the one that learns it is in `torch`.
#[doc(alias = "logvar")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty<W, U> {
    /// What multiplies the error where u = 0.
    pub weighting: W,
    /// u, a function of the level.
    pub log_variance: U,
}

impl<W: Weighting, U: Fn(Kernel) -> f64> Uncertainty<W, U> {
    /// w e^(−u) `error` + u, for an `error` that is a mean over coordinates.
    pub fn loss(&self, error: f64, k: Kernel) -> f64 {
        self.weight(k) * error + (self.log_variance)(k)
    }
}

impl<W: Weighting, U: Fn(Kernel) -> f64> Weighting for Uncertainty<W, U> {
    fn weight(&self, k: Kernel) -> f64 {
        self.weighting.weight(k) * (-(self.log_variance)(k)).exp()
    }
}

/// `f` at the level, or inside the scale if the level is an end where `f` is 0 · ∞, or so near to one that its factors
/// leave the range of `f64`.
fn defined(k: Kernel, f: impl Fn(Kernel) -> f64) -> f64 {
    let value = f(k);
    let at_end = k.alpha() == 0.0 || k.sigma() == 0.0;
    if value.is_finite() || (at_end && !value.is_nan()) {
        return value;
    }
    let scale = k.alpha().max(k.sigma());
    let inside = |part: f64| (part / scale).max(1e-100);
    Kernel::new(inside(k.alpha()), inside(k.sigma())).map_or(value, f)
}
