//! A change of trained long skips at inference.

use crate::{Error, error::finite};

/// FreeU: the channels of b' followed by those of a', in place of a concatenation that a network was
/// trained with; b' strengthens what the decoder has built, a' weakens what is coarse in the shortcut a.
///
/// The first half of the channels of b is multiplied by `backbone`; of a, the four coefficients of
/// frequency 0 or -1 along either side are multiplied by `skip`, and the real part is kept. With 1 for
/// both factors it is [`LongSkip::Concat`](crate::LongSkip::Concat) of 1.
///
/// Source: Si et al. 2024, "FreeU: Free Lunch in Diffusion U-Net"; the four coefficients are those of the
/// published code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeU {
    /// What is done to the first half of the decoder's channels.
    pub backbone: Backbone,
    /// Factor on the lowest frequencies of the shortcut, finite; published 0.2 to 0.9.
    pub skip: f64,
}

/// A factor on half of the decoder's channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backbone {
    /// This number, finite; published 1.1 to 1.6.
    Constant(f64),
    /// 1 + (f - 1) m with the number f, finite, where m is the mean of b over its channels, brought to
    /// \[0, 1\] over the pixels of each example; 1 where that mean is constant.
    Structured(f64),
}

impl FreeU {
    /// Whether the numbers are finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn check(self) -> Result<(), Error> {
        let (Backbone::Constant(factor) | Backbone::Structured(factor)) = self.backbone;
        finite("the factor on the decoder's feature", factor)?;
        finite("the factor on the shortcut", self.skip)
    }
}
