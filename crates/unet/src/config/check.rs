//! Whether a configuration makes a network.

use resnet_blocks::Border;

use super::{
    Down, Filter, Heads, Layout, MiddleAttention, Parts, ProgressiveInput, ReadOut, UNetConfig, Up,
};
use crate::{Error, error::positive};

/// No real network has more channels, nor a larger side.
const LARGEST: usize = 1 << 16;

/// No real network has more blocks on a level.
const MOST_BLOCKS: usize = 1 << 10;

impl UNetConfig {
    /// Whether the fields make sense one by one and together; [`Topology::plan`](crate::Topology::plan)
    /// finds whether the parts fit their channels.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::TooLarge`], [`Error::NoLevels`], [`Error::TooManyLevels`],
    /// [`Error::AttentionLevel`], [`Error::Heads`], [`Error::Ring`], [`Error::Mirror`], [`Error::Block`], and as
    /// [`EmbeddingConfig::check`](crate::EmbeddingConfig::check).
    pub fn check(&self) -> Result<(), Error> {
        let image = self.frame.input;
        let counts = [
            ("the number of image channels", image.channels, LARGEST),
            ("the height of the image", image.height, LARGEST),
            ("the width of the image", image.width, LARGEST),
            (
                "the number of output channels",
                self.frame.out_channels,
                LARGEST,
            ),
            ("the stem", self.stem, LARGEST),
            ("the number of blocks per level", self.blocks, MOST_BLOCKS),
        ];
        let widths = self.widths.iter();
        let widths = widths.map(|width| ("a width of a level", *width, LARGEST));
        for (what, value, most) in counts.into_iter().chain(widths) {
            positive(what, value)?;
            if most < value {
                return Err(Error::TooLarge { what, value, most });
            }
        }
        self.embedding.check()?;
        self.long.check()?;
        let (side, levels) = (image.height.max(image.width), self.widths.len());
        let most = (usize::BITS - (side - 1).leading_zeros()) as usize; // ceil(log2(side))
        if levels == 0 {
            return Err(Error::NoLevels);
        }
        if most + 1 < levels {
            return Err(Error::TooManyLevels { side, levels, most });
        }
        if let Some(level) = self.attention.levels.iter().find(|level| levels <= **level) {
            return Err(Error::AttentionLevel {
                level: *level,
                levels,
            });
        }
        for channels in self.attended() {
            self.attention.heads.of(channels)?;
        }
        let borders = self.borders();
        if borders.contains(&Border::Ring) {
            return Err(Error::Ring);
        }
        // One pixel has no mirror; where the deepest image has two, those that are halved have three.
        let deepest = image.height.min(image.width).div_ceil(1 << (levels - 1));
        if 1 < levels && deepest < 2 && borders.contains(&Border::Mirror) {
            return Err(Error::Mirror { levels });
        }
        Ok(())
    }

    /// Channels of every attention that is asked for.
    fn attended(&self) -> impl Iterator<Item = usize> {
        let middle = (self.attention.middle == MiddleAttention::AfterFirstBlock)
            .then(|| self.widths.last().copied());
        let levels = self.attention.levels.iter();
        let levels = levels.map(|level| self.widths[*level]);
        levels.chain(middle.flatten())
    }

    /// What the filters see outside the image.
    fn borders(&self) -> Vec<Border> {
        let filters = match self.parts {
            Parts::Magnitude(parts) => [Some(parts.filter), None, None, None],
            Parts::Residual(parts) => {
                let down = match parts.down {
                    Down::Strided(_) => None,
                    Down::Plain(filter) | Down::Conv(filter) | Down::Block(filter) => Some(filter),
                };
                let (Up::Plain(up) | Up::Conv(up) | Up::Block(up)) = parts.up;
                let input = match parts.progressive {
                    ProgressiveInput::None | ProgressiveInput::Residual => None,
                    ProgressiveInput::Skip(filter) => Some(filter),
                };
                let output = match parts.read_out {
                    ReadOut::Conv { .. } | ReadOut::NormConv { .. } => None,
                    ReadOut::EveryLevel { filter, .. } => Some(filter),
                };
                [down, Some(up), input, output]
            }
        };
        let border = |filter| match filter {
            Filter::Box => None,
            Filter::Fir(border) => Some(border),
        };
        filters.into_iter().flatten().filter_map(border).collect()
    }

    /// Whether attention follows this block of this level, on the way down.
    pub(crate) fn encoder_attends(&self, level: usize) -> bool {
        self.attention.levels.contains(&level)
    }

    /// Whether attention follows this block of the middle.
    pub(crate) fn middle_attends(&self, block: usize) -> bool {
        let first = block == 0 && self.attention.middle == MiddleAttention::AfterFirstBlock;
        let level = self.layout == Layout::Levels && self.encoder_attends(self.widths.len() - 1);
        first || level
    }
}

impl Heads {
    /// The number of heads of so many channels.
    ///
    /// # Errors
    /// [`Error::Heads`] if they do not divide the channels.
    pub fn of(self, channels: usize) -> Result<usize, Error> {
        let (each, heads) = match self {
            Heads::One => (channels, 1),
            Heads::Count(heads) => (channels.checked_div(heads).unwrap_or(0), heads),
            Heads::Channels(each) => (each, channels.checked_div(each).unwrap_or(0)),
        };
        if 0 < heads && heads.checked_mul(each) == Some(channels) {
            Ok(heads)
        } else {
            Err(Error::Heads {
                heads: self,
                channels,
            })
        }
    }
}
