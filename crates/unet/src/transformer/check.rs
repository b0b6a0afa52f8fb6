//! Whether a configuration makes a transformer.

use resnet_blocks::{LongSkip, ShortSkip};

use super::{LabelPath, Positions, TransformerConfig};
use crate::{Error, error::positive};

/// No real network is wider.
const LARGEST: usize = 1 << 16;

/// No real network has more blocks.
const MOST_BLOCKS: usize = 1 << 10;

impl TransformerConfig {
    /// Whether it can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::TooLarge`], [`Error::Patch`], [`Error::Heads`], [`Error::Positions`],
    /// [`Error::Pairs`], [`Error::TwoZeros`], [`Error::TokenWidth`], [`Error::Block`], and as
    /// [`EmbeddingConfig::check`](crate::EmbeddingConfig::check).
    pub fn check(&self) -> Result<(), Error> {
        for (what, value, most) in [
            ("the number of image channels", self.image.channels, LARGEST),
            ("the height of the image", self.image.height, LARGEST),
            ("the width of the image", self.image.width, LARGEST),
            ("the side of a patch", self.patch, LARGEST),
            ("the width of a transformer", self.width, LARGEST),
            ("the number of blocks", self.blocks, MOST_BLOCKS),
            ("the number of heads", self.heads, LARGEST),
            ("the hidden width of a block", self.hidden, 4 * LARGEST),
        ] {
            positive(what, value)?;
            if most < value {
                return Err(Error::TooLarge { what, value, most });
            }
        }
        self.embedding.check()?;
        self.short.check()?;
        self.long.check()?;
        for side in [self.image.height, self.image.width] {
            if !side.is_multiple_of(self.patch) {
                let patch = self.patch;
                return Err(Error::Patch { side, patch });
            }
        }
        let (width, blocks) = (self.width, self.blocks);
        crate::Heads::Count(self.heads).of(width)?;
        if self.positions == Positions::Sines && !width.is_multiple_of(4) {
            return Err(Error::Positions { width });
        }
        if self.long != LongSkip::None && blocks.is_multiple_of(2) {
            return Err(Error::Pairs { blocks });
        }
        match self.label {
            LabelPath::AdaLnZero if self.is_never_heard() => {
                Err(Error::TwoZeros { short: self.short })
            }
            LabelPath::Token if self.embedding.width != width => {
                let label = self.embedding.width;
                Err(Error::TokenWidth { label, width })
            }
            _ => Ok(()),
        }
    }

    /// Whether a branch behind a gate of 0 has nothing beside it, or another 0 before or behind it: then neither
    /// has ever a gradient.
    fn is_never_heard(&self) -> bool {
        match self.short {
            ShortSkip::None | ShortSkip::ReZero | ShortSkip::Fixup { .. } => true,
            ShortSkip::LayerScale(start) => start == 0.0,
            _ => false,
        }
    }
}
