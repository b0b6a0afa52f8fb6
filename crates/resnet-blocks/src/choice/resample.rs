//! Changes of an image's side by a factor of two, without parameters.

use crate::Feature;

/// Halving or doubling of both sides, without parameters.
///
/// An odd side halves to its larger half, so that doubling gives at least the side back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resample {
    /// The mean of each 2x2 square, or of what of it lies in the image.
    HalveMean,
    /// Each pixel repeated in a 2x2 square.
    DoubleNearest,
    /// Every other pixel after the filter (1, 3, 3, 1) / 8 in both directions, from the first on.
    ///
    /// NCSN++ has it with zeros outside, k-diffusion mirrored.
    HalveFir(Border),
    /// The filter (1, 3, 3, 1) / 4 in both directions, after zeros between the pixels.
    DoubleFir(Border),
}

/// What a filter sees outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Border {
    /// Zeros.
    Zeros,
    /// The image again, mirrored at its outermost pixels, which are not repeated; a side of one pixel is
    /// constant.
    Mirror,
    /// Its own outermost ring of pixels, which does not count as image any more; only where it halves.
    Ring,
}

impl Resample {
    /// Whether the image becomes smaller.
    pub fn halves(self) -> bool {
        matches!(self, Resample::HalveMean | Resample::HalveFir(_))
    }

    /// What comes out.
    pub fn output(self, input: Feature) -> Feature {
        let side = |side: usize| match self {
            Resample::HalveFir(Border::Ring) => side.saturating_sub(2).div_ceil(2),
            Resample::HalveMean | Resample::HalveFir(_) => side.div_ceil(2),
            Resample::DoubleNearest | Resample::DoubleFir(_) => 2 * side,
        };
        Feature {
            height: side(input.height),
            width: side(input.width),
            ..input
        }
    }
}
