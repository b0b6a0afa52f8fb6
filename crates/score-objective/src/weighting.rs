//! How a squared error of the denoiser is weighed at each level.
//!
//! Every weighting multiplies ‖D − x₀‖², whatever the network predicts.
//! In that one unit, weights of different parameterizations compare directly.
//! With snr = α²/σ²:
//!
//! | weighting | on ‖D − x₀‖² | the same as |
//! |---|---|---|
//! | [`Uniform`] | 1 | uniform on x₀ |
//! | [`Snr`] | snr | uniform on ε ("simple", Ho et al. 2020) |
//! | [`SnrPlusOne`] | snr + 1 | uniform on v (Salimans and Ho 2022) |
//! | [`MinSnr`] | min(snr, γ) | Hang et al. 2023 |
//! | [`EdmWeight`] | (σ² + α² s²)/(σ s)² | uniform on EDM's F (Karras et al. 2022, table 1) |

use noise_schedule::Kernel;

use crate::Error;

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
}

impl<F: Fn(Kernel) -> f64> Weighting for F {
    fn weight(&self, k: Kernel) -> f64 {
        self(k)
    }
}

/// 1 at every level: the plain error of the denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uniform;

impl Weighting for Uniform {
    fn weight(&self, _: Kernel) -> f64 {
        1.0
    }
}

/// α²/σ²: uniform on the noise ε. Infinite at σ = 0.
#[doc(alias = "epsilon")]
#[doc(alias = "simple")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snr;

impl Weighting for Snr {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr()
    }
}

/// α²/σ² + 1: uniform on the velocity v. Infinite at σ = 0.
#[doc(alias = "v")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnrPlusOne;

impl Weighting for SnrPlusOne {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr() + 1.0
    }
}

/// min(α²/σ², γ) (Hang et al. 2023; they use γ = 5): [`Snr`] that no clean level dominates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinSnr {
    gamma: f64,
}

impl MinSnr {
    /// The weighting capped at `gamma`, a signal-to-noise ratio in (0, ∞).
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < γ < ∞.
    pub fn new(gamma: f64) -> Result<MinSnr, Error> {
        Ok(MinSnr {
            gamma: Error::positive("gamma", gamma)?,
        })
    }
}

impl Weighting for MinSnr {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr().min(self.gamma)
    }
}

/// (σ² + α² s²)/(σ s)², s the standard deviation of the data: uniform on the output of [`Edm`](crate::Edm).
///
/// With σ/α for σ this is λ(σ) of Karras et al. 2022, table 1. Infinite at σ = 0.
#[doc(alias = "karras")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdmWeight {
    data_std: f64,
}

impl EdmWeight {
    /// The weighting for data of standard deviation `data_std` per coordinate.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < `data_std` < ∞.
    pub fn new(data_std: f64) -> Result<EdmWeight, Error> {
        Ok(EdmWeight {
            data_std: Error::positive("data_std", data_std)?,
        })
    }
}

impl Weighting for EdmWeight {
    fn weight(&self, k: Kernel) -> f64 {
        // The sum of the two precisions of x0: from x and from the prior.
        k.snr() + self.data_std.powi(-2)
    }
}
