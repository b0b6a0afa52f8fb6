//! What the blocks, the resampling, the read-in and the read-out are made of.

use resnet_blocks::{
    Activation, AttentionScores, Bias, Border, Dropout, Init, Injection, Norm, Padding, Resample,
    ShortSkip,
};

/// The kind of a network's parts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Parts {
    /// Residual blocks with normalisations and biases.
    Residual(ResidualParts),
    /// Magnitude-preserving blocks, read-in and read-out, without biases.
    Magnitude(MagnitudeParts),
}

/// Residual blocks, and the layers around them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualParts {
    /// Law of the initial values of every layer but those of the embedding.
    pub init: Init,
    /// Nonlinearity of the blocks.
    pub activation: Activation,
    /// Normalisation before each activation of a block.
    pub norm: Norm,
    /// Where the embedding enters a block.
    pub injection: Injection,
    /// What training drops of the hidden features of a block.
    pub dropout: Dropout,
    /// Factor on the initial values of the last layer of each block; 0 begins with branches that are 0.
    pub last_gain: f64,
    /// How each block rejoins the stream.
    pub short: ShortSkip,
    /// The convolution on the shortcut of a block whose ends differ.
    pub shortcut: Shortcut,
    /// The attention.
    pub attention: AttentionParts,
    /// Halving of the side.
    pub down: Down,
    /// Doubling of the side.
    pub up: Up,
    /// A second path from the image to the levels.
    pub progressive: ProgressiveInput,
    /// The way from the last feature, or from those of all levels, to the result.
    pub read_out: ReadOut,
}

/// The convolution on the shortcut of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shortcut {
    /// Side of its kernel: 1 or 3 pixels.
    pub kernel: usize,
    /// Whether it adds a learned number per channel.
    pub bias: Bias,
    /// Which blocks have it.
    pub at: ShortcutAt,
}

/// Blocks whose shortcut is a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShortcutAt {
    /// Those that change the channels.
    Channels,
    /// Those that change the channels or the side (DDPM++ and NCSN++).
    #[doc(alias = "resample_proj")]
    ChannelsOrSide,
}

/// Residual self-attention, but for its place and its heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionParts {
    /// Normalisation before it.
    pub norm: Norm,
    /// What the softmax is taken of.
    pub scores: AttentionScores,
    /// How it rejoins the stream.
    pub short: ShortSkip,
    /// Factor on the initial values of query, key and value.
    pub gain: f64,
    /// Factor on the initial values of its last layer; 0 begins with attention that adds nothing.
    pub last_gain: f64,
}

/// The low-pass filter of a change of the side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// (1, 1): the mean of four pixels down, the nearest pixel up.
    Box,
    /// (1, 3, 3, 1).
    Fir(Border),
}

/// How the side is halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Down {
    /// A 3x3 convolution of stride 2.
    Strided(Padding),
    /// A filter, without parameters: the channels stay in each [`Layout`](crate::Layout).
    Plain(Filter),
    /// A filter, then a 3x3 convolution.
    Conv(Filter),
    /// A residual block that filters its branch and its shortcut.
    #[doc(alias = "resblock_updown")]
    Block(Filter),
}

/// How the side is doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Up {
    /// A filter, without parameters: the channels stay in each [`Layout`](crate::Layout).
    Plain(Filter),
    /// A filter, then a 3x3 convolution.
    Conv(Filter),
    /// A residual block that filters its branch and its shortcut.
    #[doc(alias = "resblock_updown")]
    Block(Filter),
}

/// A second path: the image, halved like the stream, is added to the stream behind each halving.
///
/// Source: Song et al. 2021, "Score-Based Generative Modeling through Stochastic Differential Equations",
/// appendix H (progressive growing of the input).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressiveInput {
    /// There is none.
    None,
    /// The filtered image itself, brought to the stream's channels by a 1x1 convolution.
    Skip(Filter),
    /// A 3x3 convolution with (1, 3, 3, 1) behind it, from what the last such sum was (at first the
    /// image); the sum is divided by sqrt(2).
    Residual,
}

/// The way to the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadOut {
    /// A 3x3 convolution of the last feature.
    Conv {
        /// Factor on its initial values.
        gain: f64,
    },
    /// conv(silu(norm(h))) of the last feature.
    NormConv {
        /// The normalisation.
        norm: Norm,
        /// Factor on the convolution's initial values.
        gain: f64,
    },
    /// conv(silu(norm(h))) of the last feature of every level, each doubled to the next and added.
    ///
    /// Source: Song et al. 2021, appendix H (progressive growing of the output, "output skip").
    #[doc(alias = "decoder_type")]
    EveryLevel {
        /// The normalisations.
        norm: Norm,
        /// Factor on the convolutions' initial values.
        gain: f64,
        /// Filter of the doubling.
        filter: Filter,
    },
}

/// Parts of EDM2: [`MagnitudeBlockConfig`](resnet_blocks::MagnitudeBlockConfig) and its kin.
///
/// What has no magnitude-preserving kind, the projection of a long skip that adds, is a convolution without
/// bias that begins with variance 1/fan-in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MagnitudeParts {
    /// Filter of halving and doubling, which blocks do.
    pub filter: Filter,
    /// Share t of the branch in the sum with the stream, in \[0, 1\]; published 0.3.
    pub balance: f64,
    /// Share t of the attention in the sum with the stream, in \[0, 1\]; published 0.3.
    pub attention_balance: f64,
    /// What training drops of the hidden features of a block.
    pub dropout: Dropout,
    /// Largest absolute value of what a block returns, positive; published 256.
    pub clip: f64,
}

impl Filter {
    /// The halving with this filter.
    pub fn halve(self) -> Resample {
        match self {
            Filter::Box => Resample::HalveMean,
            Filter::Fir(border) => Resample::HalveFir(border),
        }
    }

    /// The doubling with this filter.
    pub fn double(self) -> Resample {
        match self {
            Filter::Box => Resample::DoubleNearest,
            Filter::Fir(border) => Resample::DoubleFir(border),
        }
    }
}

impl ResidualParts {
    /// Blocks that a scalar label shifts, strided convolutions down, nearest pixels and a convolution up,
    /// and a convolution to read out: the plainest network, of which each of these four can be a factor.
    ///
    /// Attention, if there is any, has the same normalisation and skip.
    pub fn plain(
        activation: Activation,
        norm: Norm,
        short: ShortSkip,
        init: Init,
    ) -> ResidualParts {
        ResidualParts {
            init,
            activation,
            norm,
            injection: Injection::Shift,
            dropout: Dropout::None,
            last_gain: 1.0,
            short,
            shortcut: Shortcut {
                kernel: 1,
                bias: Bias::Learned,
                at: ShortcutAt::Channels,
            },
            attention: AttentionParts {
                norm,
                scores: AttentionScores::Dot,
                short,
                gain: 1.0,
                last_gain: 1.0,
            },
            down: Down::Strided(Padding::AllSides),
            up: Up::Conv(Filter::Box),
            progressive: ProgressiveInput::None,
            read_out: ReadOut::Conv { gain: 1.0 },
        }
    }
}
