//! How a residual becomes a number: squares, absolute values and what lies between.

use tch::Tensor;

use super::row_sum;
use crate::Error;

/// ρ(d) of each row of a residual d: \[B, …\] → \[B\], summed over coordinates.
///
/// A closure `Fn(&Tensor) -> Tensor` is a penalty: a perceptual distance that was trained elsewhere is one.
///
/// ```
/// use score_objective::torch::{Absolute, Penalty, Squared};
/// use tch::Tensor;
///
/// let residual = Tensor::from_slice(&[3.0, -4.0]).view([1, 2]);
/// assert_eq!(Squared.of(&residual).double_value(&[0]), 25.0);
/// assert_eq!(Absolute.of(&residual).double_value(&[0]), 7.0);
/// let capped = |d: &Tensor| Squared.of(d).clamp_max(10.0);
/// assert_eq!(capped.of(&residual).double_value(&[0]), 10.0);
/// ```
pub trait Penalty {
    /// The penalty of each row.
    ///
    /// # Shapes
    /// `residual`: \[B, …\]; returns \[B\].
    fn of(&self, residual: &Tensor) -> Tensor;
}

impl<F: Fn(&Tensor) -> Tensor> Penalty for F {
    fn of(&self, residual: &Tensor) -> Tensor {
        self(residual)
    }
}

/// ‖d‖²: the only penalty whose minimiser is the posterior mean, and so the denoiser that a score needs.
#[doc(alias = "L2")]
#[doc(alias = "MSE")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Squared;

impl Penalty for Squared {
    fn of(&self, residual: &Tensor) -> Tensor {
        row_sum(&residual.square())
    }
}

/// Σ |dᵢ|: its minimiser is the posterior median of each coordinate. The gradient at zero is zero.
#[doc(alias = "L1")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absolute;

impl Penalty for Absolute {
    fn of(&self, residual: &Tensor) -> Tensor {
        row_sum(&residual.abs())
    }
}

/// Σ dᵢ² where |dᵢ| ≤ δ, else δ (2|dᵢ| − δ): twice the penalty of Huber 1964, so that it is [`Squared`] near zero.
#[doc(alias = "smooth L1")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    delta: f64,
}

impl Huber {
    /// The penalty that is linear beyond `delta`, in units of the residual.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < δ < ∞.
    pub fn new(delta: f64) -> Result<Huber, Error> {
        Ok(Huber {
            delta: Error::positive("delta", delta)?,
        })
    }
}

impl Penalty for Huber {
    fn of(&self, residual: &Tensor) -> Tensor {
        let size = residual.abs();
        // c (2|d| − c) with c = min(|d|, δ) is both branches, and has no kink to differentiate through.
        let capped = size.clamp_max(self.delta);
        row_sum(&(&capped * (size * 2.0 - &capped)))
    }
}

/// √(‖d‖² + c²) − c of the whole row: quadratic near zero, the distance ‖d‖ far out (Song and Dhariwal 2023, section 3.3).
#[doc(alias = "improved consistency training")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PseudoHuber {
    c: f64,
}

impl PseudoHuber {
    /// The penalty with its bend at ‖d‖ = `c`.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < c < ∞.
    pub fn new(c: f64) -> Result<PseudoHuber, Error> {
        Ok(PseudoHuber {
            c: Error::positive("c", c)?,
        })
    }

    /// c = 0.00054 √D for D coordinates per row: the choice of Song and Dhariwal 2023 for images in \[−1, 1\].
    ///
    /// # Panics
    /// If `coordinates` is zero.
    pub fn song2023(coordinates: usize) -> PseudoHuber {
        assert!(0 < coordinates, "a row has at least one coordinate");
        PseudoHuber {
            c: 0.00054 * (coordinates as f64).sqrt(),
        }
    }
}

impl Penalty for PseudoHuber {
    fn of(&self, residual: &Tensor) -> Tensor {
        let squared = row_sum(&residual.square());
        // Without the difference of near-equal terms that the definition has at small d.
        &squared / ((&squared + self.c * self.c).sqrt() + self.c)
    }
}

/// Σ √(dᵢ² + c²) − c: the pseudo-Huber penalty of each coordinate (Charbonnier et al. 1994).
///
/// Training scripts of diffusers scale it: 2c times this and the mean over coordinates is their `huber`, twice this and
/// the mean their `smooth_l1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Charbonnier {
    c: f64,
}

impl Charbonnier {
    /// The penalty with its bend at |dᵢ| = `c`.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < c < ∞.
    pub fn new(c: f64) -> Result<Charbonnier, Error> {
        Ok(Charbonnier {
            c: Error::positive("c", c)?,
        })
    }
}

impl Penalty for Charbonnier {
    fn of(&self, residual: &Tensor) -> Tensor {
        let squared = residual.square();
        row_sum(&(&squared / ((&squared + self.c * self.c).sqrt() + self.c)))
    }
}
