//! From nats of a density to bits of discrete data.

use std::f64::consts::LN_2;

use crate::Error;

/// Data that were integers, spread evenly over an interval, and made continuous by uniform noise of one level's width.
///
/// A density p of such data bounds the probability of the integers: the mean of −log₂ p, plus log₂(levels/width) per coordinate, is
/// at least their entropy.
/// The noise is added by whoever evaluates the density.
///
/// Theis et al. 2016 (<https://arxiv.org/abs/1511.01844>).
///
/// ```
/// use samplers::Dequantised;
/// // 256 levels over [-1, 1], and over [0, 1]: the offsets 7 and 8 of the codes.
/// assert_eq!(Dequantised::new(256, 2.0)?.bits_per_dim(0.0, 3072), 7.0);
/// assert_eq!(Dequantised::new(256, 1.0)?.bits_per_dim(0.0, 3072), 8.0);
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "bpd")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dequantised {
    levels: u32,
    width: f64,
}

impl Dequantised {
    /// So many levels over an interval of this width.
    ///
    /// # Errors
    /// [`Error::Quantisation`] unless both are positive, and the width is finite.
    pub fn new(levels: u32, width: f64) -> Result<Dequantised, Error> {
        if 0 < levels && 0.0 < width && width.is_finite() {
            Ok(Dequantised { levels, width })
        } else {
            Err(Error::Quantisation { levels, width })
        }
    }

    /// −nats/(d ln 2) + log₂(levels/width), from ln p of a sample and the number d of its coordinates.
    ///
    /// A standard error of ln p is divided by d ln 2 alone.
    pub fn bits_per_dim(self, nats: f64, coordinates: usize) -> f64 {
        -nats / (coordinates as f64 * LN_2) + (f64::from(self.levels) / self.width).log2()
    }
}
