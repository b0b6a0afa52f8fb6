//! The plan: every tensor and every step of the forward pass as plain data, before any weight.

use super::{
    config::{ClassEmbedding, Config, TimeEmbedding},
    layer::{Norm, PlannedTensor, Step, Tensors},
    walk::walk,
};
use crate::Error;

/// What a [`Config`] makes: the names and shapes of its tensors, and the order of its layers.
///
/// It needs no libtorch. `UNet2D` is exactly this, with values.
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
/// assert_eq!((plan.tensors().len(), plan.parameters()), (328, 35_746_307));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    config: Config,
    steps: Vec<Step>,
    tensors: Vec<PlannedTensor>,
}

impl Plan {
    /// Plans a network.
    ///
    /// # Errors
    /// As [`Config::check`]; [`Error::Config`], with every place, if channels do not divide into groups or
    /// heads, or the levels do not fit each other.
    pub fn new(config: &Config) -> Result<Plan, Error> {
        config.check()?;
        let steps = walk(config)?;
        Ok(Plan {
            config: config.clone(),
            tensors: tensors(config, &steps),
            steps,
        })
    }

    /// What was planned.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensors of the file, each once.
    pub fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// Numbers in all tensors together.
    pub fn parameters(&self) -> usize {
        let numbers = |tensor: &PlannedTensor| tensor.shape.iter().product::<usize>();
        self.tensors.iter().map(numbers).sum()
    }

    /// What the height and the width of an image must be a multiple of: 2^(levels - 1).
    pub fn side_multiple(&self) -> usize {
        1 << (self.config.block_out_channels.len() - 1)
    }

    #[cfg(feature = "tch")]
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// The normalisation before the read-out.
pub(super) fn norm_out(config: &Config) -> Norm {
    let channels = config.block_out_channels[0];
    Norm {
        name: "conv_norm_out".to_owned(),
        channels,
        groups: config.norm_num_groups.unwrap_or(quarter(channels)),
    }
}

/// What a null `norm_num_groups` means, and what NCSN++'s levels have whatever it is.
pub(super) fn quarter(channels: usize) -> usize {
    (channels / 4).min(32)
}

fn tensors(config: &Config, steps: &[Step]) -> Vec<PlannedTensor> {
    let mut all = Tensors::default();
    let (first, embedding) = (config.block_out_channels[0], config.embedding());
    let features = match config.time_embedding_type {
        TimeEmbedding::Positional { .. } => first,
        TimeEmbedding::Fourier => {
            all.one("time_proj.weight", &[first]);
            2 * first
        }
        TimeEmbedding::Learned {
            num_train_timesteps,
        } => {
            all.one("time_proj.weight", &[num_train_timesteps, first]);
            first
        }
    };
    all.affine("time_embedding.linear_1", &[embedding, features]);
    all.affine("time_embedding.linear_2", &[embedding, embedding]);
    match config.class_embed_type {
        ClassEmbedding::None | ClassEmbedding::Identity => {}
        ClassEmbedding::Labels { num_class_embeds } => {
            all.one("class_embedding.weight", &[num_class_embeds, embedding]);
        }
        ClassEmbedding::Timestep => {
            all.affine("class_embedding.linear_1", &[embedding, features]);
            all.affine("class_embedding.linear_2", &[embedding, embedding]);
        }
    }
    all.affine("conv_in", &[first, config.in_channels, 3, 3]);
    for step in steps {
        all.step(step);
    }
    all.norm(&norm_out(config));
    all.affine("conv_out", &[config.out_channels, first, 3, 3]);
    all.0
}
