//! The choices a U-Net is made of.

use resnet_blocks::{Activation, Init, LongSkip, Norm, ShortSkip};

use crate::{Error, error::positive};

/// A U-Net of plain pre-activation blocks, for square images and a scalar label.
///
/// Level l has base * multipliers\[l\] channels. Every level but the last halves the side; the last
/// one is the middle. There are `blocks` blocks on each level on the way down, `blocks` in the
/// middle and `blocks` on each level on the way up, hence blocks (2 levels - 1) in all.
///
/// ```
/// use resnet_blocks::{Activation, Init, LongSkip, Norm, ShortSkip};
/// use unet::{Topology, UNetConfig};
/// # fn main() -> Result<(), unet::Error> {
/// let config = UNetConfig {
///     channels: 1, base: 8, multipliers: vec![1, 2, 2], blocks: 1, side: 16,
///     activation: Activation::Silu, norm: Norm::None, init: Init::PyTorch,
///     short: ShortSkip::inverse_sqrt(5), long: LongSkip::Add(0.5f64.sqrt()),
/// };
/// assert_eq!(Topology::plan(&config)?.parameters(), 25_777);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// Channels of the image, at least 1.
    pub channels: usize,
    /// Channels of a level of multiplier 1, at least 1.
    pub base: usize,
    /// One factor per level, each at least 1, from the full resolution down.
    pub multipliers: Vec<usize>,
    /// Blocks per level, at least 1.
    pub blocks: usize,
    /// Side of the image, in pixels.
    pub side: usize,
    /// Nonlinearity of the blocks.
    pub activation: Activation,
    /// Normalisation before each activation of a block.
    pub norm: Norm,
    /// How each block rejoins the stream.
    pub short: ShortSkip,
    /// How the last feature of each level joins the way up.
    pub long: LongSkip,
    /// Law of the initial values of every layer.
    pub init: Init,
}

impl UNetConfig {
    /// Whether the network can be planned.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::NoLevels`], [`Error::TooManyLevels`], [`Error::Block`].
    pub fn check(&self) -> Result<(), Error> {
        let counts = [
            ("the number of image channels", self.channels),
            ("the base number of channels", self.base),
            ("the number of blocks per level", self.blocks),
            ("the side of the image", self.side),
        ];
        for (what, count) in counts {
            positive(what, count)?;
        }
        for multiplier in &self.multipliers {
            positive("a multiplier", *multiplier)?;
        }
        let levels = self.multipliers.len();
        let most = (usize::BITS - (self.side - 1).leading_zeros()) as usize; // ceil(log2(side))
        match levels {
            0 => Err(Error::NoLevels),
            _ if most + 1 < levels => Err(Error::TooManyLevels {
                side: self.side,
                levels,
                most,
            }),
            _ => {
                self.short.check()?;
                self.long.check()?;
                Ok(())
            }
        }
    }

    /// Number of sine-and-cosine pairs that describe the label: half of `base`.
    pub(crate) fn frequencies(&self) -> usize {
        self.base.div_ceil(2)
    }

    /// Width of the embedding that every block sees: four times `base`.
    pub(crate) fn embedding(&self) -> usize {
        4 * self.base
    }
}
