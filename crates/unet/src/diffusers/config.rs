//! What a `config.json` of a `UNet2DModel` says, as types.

use resnet_blocks::{Activation, Padding};

use crate::{Error, error::positive};

/// The choices of a diffusers `UNet2DModel`, under the names that they have there.
///
/// Absent fields of a `config.json` take the defaults of diffusers' constructor; here every field is
/// given. All fields can be written; [`check`](Self::check) says whether they make a network.
///
/// ```
/// use unet::diffusers::{BlockType, Config, Plan};
/// # fn main() -> Result<(), unet::Error> {
/// let config = Config::from_json(
///     r#"{"_class_name": "UNet2DModel", "block_out_channels": [32, 64], "norm_num_groups": 8,
///         "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
///         "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}"#,
/// )?;
/// assert_eq!(config.down_block_types, [BlockType::Plain, BlockType::Attention]);
/// assert_eq!(config.attention_head_dim, Some(8)); // absent; null would be one head for all channels
/// assert_eq!(Plan::new(&config)?.topology().parameters(), 1_002_883);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Height and width that the model was made for, in pixels; the network itself takes others too.
    pub sample_size: Option<[usize; 2]>,
    /// Channels of the input, at least 1.
    pub in_channels: usize,
    /// Channels of the output, at least 1.
    pub out_channels: usize,
    /// Whether the input is mapped from \[0, 1\] to \[-1, 1\] first: x to 2 x - 1.
    pub center_input_sample: bool,
    /// Features of the timestep, C0 of them (Fourier: 2 C0).
    pub time_embedding_type: TimeEmbedding,
    /// Width E of the embedding that the blocks see; `None`: 4 C0.
    pub time_embedding_dim: Option<usize>,
    /// What the timestep's embedding is summed with.
    pub class_embed_type: ClassEmbedding,
    /// Kinds of the levels on the way down, from the full resolution.
    pub down_block_types: Vec<BlockType>,
    /// What lies between the way down and the way up.
    pub mid_block_type: MidBlock,
    /// Kinds of the levels on the way up, from the deepest.
    pub up_block_types: Vec<BlockType>,
    /// Channels of each level from the full resolution; C0 is the first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each level on the way down, at least 1; the way up has one more.
    pub layers_per_block: usize,
    /// Divisor of what residual blocks and attention of the middle return.
    pub mid_block_scale_factor: f64,
    /// Zeros around the image of a strided convolution: `AllSides` is 1, `BottomRight` 0.
    pub downsample_padding: Padding,
    /// How [`BlockType::Attention`] halves the image; the other kinds do not ask.
    pub downsample_type: Sampling,
    /// How [`BlockType::Attention`] doubles the image; the other kinds do not ask.
    pub upsample_type: Sampling,
    /// Share of features that training drops, in \[0, 1). Evaluation drops none.
    pub dropout: f64,
    /// Nonlinearity of the residual blocks; that of the embedding and of the read-out is always SiLU.
    pub act_fn: Activation,
    /// Channels of one attention head; `None`: one head of all channels.
    pub attention_head_dim: Option<usize>,
    /// Groups of each group normalisation; `None`: min(channels / 4, 32), which only the middle, the
    /// read-out and the kinds that do not ask know.
    pub norm_num_groups: Option<usize>,
    /// Groups of the normalisation before the middle's attention; `None`: as elsewhere with
    /// [`TimeInjection::Shift`], and no normalisation with [`TimeInjection::ScaleShift`].
    pub attn_norm_num_groups: Option<usize>,
    /// What a group's variance is increased by, positive.
    pub norm_eps: f64,
    /// How the embedding enters a residual block.
    pub resnet_time_scale_shift: TimeInjection,
}

/// Features of the timestep t before the two linear layers; C0 is the width of the first level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeEmbedding {
    /// sin(w_i t) and cos(w_i t), w_i = 10000^(-i / (n - freq_shift)), i = 0 .. n - 1, n = C0 / 2
    /// rounded down.
    ///
    /// Source: Vaswani et al. 2017, "Attention Is All You Need"; Ho et al. 2020 (freq_shift 1).
    Positional {
        /// `false`: sines before cosines, as in Ho et al.; `true`: cosines first.
        flip_sin_to_cos: bool,
        /// What lengthens or shortens the geometric series of frequencies; not n.
        freq_shift: f64,
    },
    /// sin(2 pi w_i ln t), then cos(2 pi w_i ln t), with C0 stored w_i; the network's output is divided by
    /// t, so t is a noise level and positive.
    ///
    /// Source: Song et al. 2021, "Score-Based Generative Modeling through SDEs" (NCSN++).
    Fourier,
    /// One stored row for each t = 0, 1, ..., `num_train_timesteps` - 1.
    Learned {
        /// Number of rows, at least 1.
        num_train_timesteps: usize,
    },
}

/// What is added to the embedding of the timestep for a class or another condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassEmbedding {
    /// Nothing: the network takes no class labels.
    None,
    /// One stored row of width E for each label 0, 1, ..., `num_class_embeds` - 1.
    Labels {
        /// Number of rows, at least 1.
        num_class_embeds: usize,
    },
    /// The label is embedded as the timestep is, by two linear layers of its own.
    Timestep,
    /// The label is a vector of width E and is added as it is.
    Identity,
}

/// The kind of one level, on the way down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockType {
    /// Residual blocks; a strided convolution halves, a convolution of repeated pixels doubles.
    Plain,
    /// As `Plain`, with self-attention after each residual block.
    Attention,
    /// As `Plain`, but residual blocks halve (by the mean of four pixels) and double.
    Resnet,
    /// Residual blocks scaled by 1/sqrt(2), FIR-filtered resampling, and a second path of small
    /// images: NCSN++'s progressive input, or progressive output.
    Skip,
    /// As `Skip`, with self-attention: after each residual block on the way down, once on the way up.
    AttentionSkip,
    /// Residual blocks with adaptive group normalisation, and FIR-filtered resampling that mirrors
    /// the border; one long skip for each level. Source: k-diffusion.
    KDiffusion,
}

/// What lies between the way down and the way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MidBlock {
    /// Nothing.
    None,
    /// Two residual blocks.
    Resnets,
    /// Two residual blocks with self-attention between them.
    ResnetsAndAttention,
}

/// How a level of kind [`BlockType::Attention`] halves or doubles the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// By a convolution.
    Conv,
    /// By a residual block.
    Resnet,
}

/// How the embedding e enters a residual block, between its two convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInjection {
    /// norm(h + W e + b): `default`.
    Shift,
    /// norm(h) (1 + s) + t, with (s, t) = W e + b: `scale_shift`.
    ScaleShift,
}

impl BlockType {
    /// Every kind.
    pub const ALL: [BlockType; 6] = [
        BlockType::Plain,
        BlockType::Attention,
        BlockType::Resnet,
        BlockType::Skip,
        BlockType::AttentionSkip,
        BlockType::KDiffusion,
    ];

    /// Its name in `down_block_types`.
    pub fn down_name(self) -> &'static str {
        match self {
            BlockType::Plain => "DownBlock2D",
            BlockType::Attention => "AttnDownBlock2D",
            BlockType::Resnet => "ResnetDownsampleBlock2D",
            BlockType::Skip => "SkipDownBlock2D",
            BlockType::AttentionSkip => "AttnSkipDownBlock2D",
            BlockType::KDiffusion => "KDownBlock2D",
        }
    }

    /// Its name in `up_block_types`.
    pub fn up_name(self) -> &'static str {
        match self {
            BlockType::Plain => "UpBlock2D",
            BlockType::Attention => "AttnUpBlock2D",
            BlockType::Resnet => "ResnetUpsampleBlock2D",
            BlockType::Skip => "SkipUpBlock2D",
            BlockType::AttentionSkip => "AttnSkipUpBlock2D",
            BlockType::KDiffusion => "KUpBlock2D",
        }
    }
}

/// No count of a real network is larger, and the size of a tensor of such counts fits in 64 bits.
const LARGEST: usize = 1 << 20;

/// No image of a real network is larger.
const LARGEST_SIDE: usize = 1 << 16;

/// No real network has more levels, since the side of the image halves at each.
const MOST_LEVELS: usize = 1 << 5;

/// No real network has more residual blocks on a level.
const MOST_LAYERS: usize = 1 << 10;

impl Config {
    /// Whether the fields make sense one by one, and the lists fit each other; [`Plan::new`](super::Plan::new)
    /// finds whether the levels do.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::NoLevels`], [`Error::TooLarge`], [`Error::Config`].
    pub fn check(&self) -> Result<(), Error> {
        let counts = [
            ("in_channels", Some(self.in_channels), LARGEST),
            ("out_channels", Some(self.out_channels), LARGEST),
            ("time_embedding_dim", self.time_embedding_dim, LARGEST),
            ("layers_per_block", Some(self.layers_per_block), MOST_LAYERS),
            ("attention_head_dim", self.attention_head_dim, LARGEST),
            ("norm_num_groups", self.norm_num_groups, LARGEST),
            ("attn_norm_num_groups", self.attn_norm_num_groups, LARGEST),
            ("num_train_timesteps", self.num_train_timesteps(), LARGEST),
            ("num_class_embeds", self.num_class_embeds(), LARGEST),
        ];
        if let Some(sides) = self.sample_size {
            for value in sides {
                positive("sample_size", value)?;
                if LARGEST_SIDE < value {
                    let (what, most) = ("sample_size", LARGEST_SIDE);
                    return Err(Error::TooLarge { what, value, most });
                }
            }
        }
        let channels = self.block_out_channels.iter();
        let channels = channels.map(|count| ("block_out_channels", Some(*count), LARGEST));
        for (what, count, most) in counts.into_iter().chain(channels) {
            let Some(value) = count else { continue };
            positive(what, value)?;
            if most < value {
                return Err(Error::TooLarge { what, value, most });
            }
        }
        let levels = self.block_out_channels.len();
        if levels == 0 {
            return Err(Error::NoLevels);
        }
        if MOST_LEVELS < levels {
            return Err(Error::TooLarge {
                what: "the number of levels",
                value: levels,
                most: MOST_LEVELS,
            });
        }
        let mut problems = Vec::new();
        for (what, length) in [
            ("down_block_types", self.down_block_types.len()),
            ("up_block_types", self.up_block_types.len()),
        ] {
            if length != levels {
                problems.push(format!(
                    "`{what}` must name one kind for each of the {levels} `block_out_channels`, but names {length}"
                ));
            }
        }
        for (what, value, low, high) in [
            (
                "mid_block_scale_factor",
                self.mid_block_scale_factor,
                f64::MIN_POSITIVE,
                f64::MAX,
            ),
            ("norm_eps", self.norm_eps, f64::MIN_POSITIVE, f64::MAX),
            ("dropout", self.dropout, 0.0, 1.0 - f64::EPSILON),
        ] {
            if !(low <= value && value <= high) {
                problems.push(format!("`{what}` is out of its range: {value}"));
            }
        }
        if let TimeEmbedding::Positional { freq_shift, .. } = self.time_embedding_type {
            let frequencies = self.block_out_channels[0] / 2;
            if !freq_shift.is_finite() || freq_shift == frequencies as f64 {
                problems.push(format!(
                    "`freq_shift` must be finite and not the number of frequencies, {frequencies}, but is {freq_shift}"
                ));
            }
        }
        if activation_name(self.act_fn).is_none() {
            problems.push(format!(
                "`act_fn` is {:?}, which diffusers does not have",
                self.act_fn
            ));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Config { problems })
        }
    }

    /// Width E of the embedding that every block sees.
    pub(crate) fn embedding_width(&self) -> usize {
        self.time_embedding_dim
            .unwrap_or(4 * self.block_out_channels[0])
    }

    /// Rows of a learned time embedding.
    pub(crate) fn num_train_timesteps(&self) -> Option<usize> {
        match self.time_embedding_type {
            TimeEmbedding::Learned {
                num_train_timesteps,
            } => Some(num_train_timesteps),
            TimeEmbedding::Positional { .. } | TimeEmbedding::Fourier => None,
        }
    }

    /// Rows of a learned class embedding.
    pub(crate) fn num_class_embeds(&self) -> Option<usize> {
        match self.class_embed_type {
            ClassEmbedding::Labels { num_class_embeds } => Some(num_class_embeds),
            ClassEmbedding::None | ClassEmbedding::Timestep | ClassEmbedding::Identity => None,
        }
    }
}

/// What diffusers calls an activation.
pub(super) fn activation_name(activation: Activation) -> Option<&'static str> {
    match activation {
        Activation::Silu => Some("silu"),
        Activation::Mish => Some("mish"),
        Activation::Gelu => Some("gelu"),
        Activation::Relu => Some("relu"),
        _ => None,
    }
}
