//! The plan of a configuration: every tensor of its file, before any weight.

use resnet_blocks::{Activation, Feature, Init, PlannedTensor};

use super::{
    config::{ClassEmbedding, Config, TimeEmbedding},
    names::file_name,
    walk::walk,
};
use crate::{
    Error, Topology,
    topology::{
        Classes, EmbeddingConfig, EmbeddingLayers, Features, FourierOf, Frame, Frequencies,
        InputRange, Order, SelfConditioning,
    },
};

/// What a [`Config`] makes: its layers as a [`Topology`], and the names of its tensors in a file.
///
/// It needs no libtorch.
///
/// ```
/// use unet::diffusers::{Config, Plan};
/// # fn main() -> Result<(), unet::Error> {
/// // `google/ddpm-cifar10-32`, but for what has the constructor's default.
/// let config = Config::from_json(
///     r#"{"attention_head_dim": null, "block_out_channels": [128, 256, 256, 256],
///         "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
///         "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
///         "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "norm_eps": 1e-06}"#,
/// )?;
/// let plan = Plan::new(&config)?;
/// assert_eq!((plan.tensors().len(), plan.topology().parameters()), (328, 35_746_307));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    config: Config,
    topology: Topology,
    tensors: Vec<PlannedTensor>,
}

impl Plan {
    /// Plans a network, for images of [`Config::sample_size`] or of 32 pixels.
    ///
    /// # Errors
    /// As [`Config::check`]; [`Error::Config`], with every place, if channels do not divide into groups or
    /// heads, or the levels do not fit each other.
    pub fn new(config: &Config) -> Result<Plan, Error> {
        config.check()?;
        let steps = walk(config)?;
        let levels = config.block_out_channels.len();
        let [height, width] = config.sample_size.unwrap_or([32.max(1 << (levels - 1)); 2]);
        let frame = Frame {
            input: Feature {
                channels: config.in_channels,
                height,
                width,
            },
            out_channels: config.out_channels,
            range: if config.center_input_sample {
                InputRange::Centred
            } else {
                InputRange::AsGiven
            },
            self_conditioning: SelfConditioning::None,
        };
        let topology = Topology::new(frame, embedding(config), steps)?;
        let tensors = topology.tensors().into_iter().map(|tensor| PlannedTensor {
            name: file_name(&tensor.name),
            shape: tensor.shape,
        });
        Ok(Plan {
            config: config.clone(),
            tensors: tensors.collect(),
            topology,
        })
    }

    /// What was planned.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The network as a program.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The tensors of the file, each once, in the order of [`Topology::tensors`].
    pub fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// What the height and the width of an image must be a multiple of for diffusers: 2^(levels - 1). Ours
    /// takes other sides too.
    pub fn side_multiple(&self) -> usize {
        1 << (self.config.block_out_channels.len() - 1)
    }
}

fn embedding(config: &Config) -> EmbeddingConfig {
    let first = config.block_out_channels[0];
    let (features, channels) = match config.time_embedding_type {
        TimeEmbedding::Positional {
            flip_sin_to_cos,
            freq_shift,
        } => {
            let sinusoids = Features::Sinusoids {
                frequencies: Frequencies::Transformer { shift: freq_shift },
                order: if flip_sin_to_cos {
                    Order::CosineFirst
                } else {
                    Order::SineFirst
                },
            };
            (sinusoids, first)
        }
        TimeEmbedding::Fourier => {
            let fourier = Features::Fourier {
                scale: 16.0,
                order: Order::SineFirst,
                of: FourierOf::LogarithmThenDivide,
            };
            (fourier, 2 * first)
        }
        TimeEmbedding::Learned {
            num_train_timesteps,
        } => {
            let rows = num_train_timesteps;
            (Features::Learned { rows }, first)
        }
    };
    EmbeddingConfig {
        features,
        channels,
        width: config.embedding_width(),
        layers: EmbeddingLayers::Two {
            activation: Activation::Silu,
            last: None,
        },
        classes: match config.class_embed_type {
            ClassEmbedding::None => Classes::None,
            ClassEmbedding::Labels { num_class_embeds } => Classes::Rows {
                rows: num_class_embeds,
            },
            ClassEmbedding::Timestep => Classes::AsLabel,
            ClassEmbedding::Identity => Classes::Vector,
        },
        init: Init::PyTorch,
    }
}
