//! The choices a U-Net is made of.

mod check;
mod parts;
mod presets;

use resnet_blocks::LongSkip;

pub use parts::{
    AttentionParts, Down, Filter, MagnitudeParts, Parts, ProgressiveInput, ReadOut, ResidualParts,
    Shortcut, ShortcutAt, Up,
};

use crate::{EmbeddingConfig, Frame};

/// A U-Net of one of the published families, or between them.
///
/// The image is read in, goes down through the levels of `widths`, of which each but the last halves the
/// side, through the middle, and up again; long skips join what the way down kept. [`Layout`] says where
/// blocks and skips are, [`Parts`] what they are. Presets are named after their source.
///
/// ```
/// use unet::{Topology, UNetConfig};
/// # fn main() -> Result<(), unet::Error> {
/// let ddpm = UNetConfig::ddpm_cifar10();
/// assert_eq!(Topology::plan(&ddpm)?.parameters(), 35_746_307);
/// let narrow = UNetConfig { stem: 64, widths: vec![64, 128, 128, 128], ..ddpm };
/// assert_eq!(Topology::plan(&narrow)?.parameters(), 9_837_315);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// What goes in and comes out; any size that can be halved often enough.
    pub frame: Frame,
    /// The embedding of the label, which every block sees.
    pub embedding: EmbeddingConfig,
    /// Channels of the read-in, at least 1; in most networks those of the first level.
    pub stem: usize,
    /// Channels of each level, from the full resolution down; each at least 1.
    #[doc(alias = "channel_mult")]
    #[doc(alias = "block_out_channels")]
    pub widths: Vec<usize>,
    /// Blocks of each level on the way down, at least 1.
    #[doc(alias = "num_res_blocks")]
    #[doc(alias = "layers_per_block")]
    pub blocks: usize,
    /// Where blocks and long skips are.
    pub layout: Layout,
    /// Where self-attention is.
    pub attention: AttentionPlaces,
    /// How the kept features of the way down join the way up.
    ///
    /// With [`LongSkip::Add`] a feature of other channels than the stream's is brought to these by a 1x1
    /// convolution; [`LongSkipPlan::parameters`](crate::LongSkipPlan) counts it.
    pub long: LongSkip,
    /// What blocks, resampling and read-out are made of.
    pub parts: Parts,
}

/// Where the blocks and the long skips of a U-Net are, for `blocks` = n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One long skip for each level but the last, from the last of its n blocks; the last level is the
    /// middle and has n blocks, every level on the way up n. Resampling changes the channels, if it has
    /// parameters. A concatenation behind such resampling is merged by a 1x1 convolution, or in
    /// magnitude-preserving networks by the first block.
    ///
    /// Source: Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation".
    Levels,
    /// A long skip from every block, every halving and the read-in: n + 1 for each level. The middle,
    /// below the last level, has two blocks, every level on the way up n + 1, each of which takes one
    /// kept feature. Resampling keeps the channels.
    ///
    /// Source: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", and its descendants.
    Blocks,
}

/// Where self-attention is, and with how many heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionPlaces {
    /// Levels, 0 the full resolution, whose blocks on the way down are followed by attention; with
    /// [`Layout::Levels`], whose last level is the middle, naming it means every block there.
    #[doc(alias = "attn_resolutions")]
    pub levels: Vec<usize>,
    /// Whether attention follows the first block of the middle.
    pub middle: MiddleAttention,
    /// Blocks of these levels that are followed by attention on the way up.
    pub decoder: DecoderAttention,
    /// Number of heads.
    pub heads: Heads,
}

/// Whether the middle has attention, behind its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MiddleAttention {
    /// It has.
    AfterFirstBlock,
    /// It has not.
    None,
}

/// Attention on the levels of the way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecoderAttention {
    /// After every block.
    EveryBlock,
    /// After the last block alone (DDPM++ and NCSN++).
    LastBlock,
}

/// How many heads an attention of so many channels has; they share the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heads {
    /// One.
    One,
    /// So many, which must divide the channels.
    Count(usize),
    /// One for each so many channels, which must divide them.
    #[doc(alias = "num_head_channels")]
    #[doc(alias = "attention_head_dim")]
    Channels(usize),
}

impl AttentionPlaces {
    /// No attention at all.
    pub const NOWHERE: AttentionPlaces = AttentionPlaces {
        levels: Vec::new(),
        middle: MiddleAttention::None,
        decoder: DecoderAttention::EveryBlock,
        heads: Heads::One,
    };
}
