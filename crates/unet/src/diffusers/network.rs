//! The network: steps of the plan, with weights.

use std::collections::HashMap;

use resnet_blocks::{Mode, Network};
use tch::{Kind, Tensor};

use super::{
    Config, Plan, PlannedTensor, TimeEmbedding,
    embedding::Embedding,
    nodes::{Affine, GroupNorm, Node, State, Values},
    plan::norm_out,
};
use crate::Error;

/// A diffusers `UNet2DModel` in evaluation mode: (x, timestep, perhaps classes) to something shaped like x.
///
/// Features of the timestep, summed with those of the class, are seen by every residual block. On each
/// level down: residual blocks, perhaps with attention, all outputs kept; halve. In the middle:
/// residual block, attention, residual block. On each level up: residual blocks of \[h, the last kept\];
/// double. Read-out: conv(silu(norm(h))).
///
/// Source: von Platen et al. 2022, "Diffusers"; the networks are those of Ho et al. 2020 ("Denoising Diffusion
/// Probabilistic Models"), Song et al. 2021 (NCSN++) and Dhariwal & Nichol 2021 by their configurations.
///
/// ```
/// use resnet_blocks::{Mode, Network};
/// use tch::{Device, Kind, Tensor};
/// use unet::diffusers::{Config, UNet2D};
/// # fn main() -> Result<(), unet::Error> {
/// let config = Config::from_json(
///     r#"{"in_channels": 1, "out_channels": 1, "block_out_channels": [8, 8], "norm_num_groups": 4,
///         "down_block_types": ["DownBlock2D", "DownBlock2D"],
///         "up_block_types": ["UpBlock2D", "UpBlock2D"]}"#,
/// )?;
/// let on = (Kind::Float, Device::Cpu);
/// let net = UNet2D::new(&config, |tensor| Tensor::zeros(tensor.dims(), on))?;
/// let (x, timestep) = (Tensor::ones([2, 1, 16, 16], on), Tensor::from_slice(&[999i64, 10]));
/// assert_eq!(net.forward(&x, &timestep, None).size(), x.size());
/// // As `dyn Network`, with a mode and without classes; a closure adds those.
/// let network: &dyn Network = &net;
/// assert_eq!(network.forward(&x, &timestep, &mut Mode::Eval).size(), x.size());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "UNet2DModel")]
pub struct UNet2D {
    plan: Plan,
    /// In the plan's order; the layers have views of the same numbers.
    weights: Vec<Tensor>,
    embedding: Embedding,
    conv_in: Affine,
    nodes: Vec<Node>,
    norm_out: GroupNorm,
    conv_out: Affine,
}

impl PlannedTensor {
    /// The shape, as tch writes it.
    pub fn dims(&self) -> Vec<i64> {
        self.shape.iter().map(|n| *n as i64).collect()
    }
}

impl UNet2D {
    /// A network whose weights the function gives, in the order of [`Plan::tensors`]: f32, all on one device.
    ///
    /// # Errors
    /// As [`Plan::new`].
    ///
    /// # Panics
    /// If a weight has another shape than was asked for.
    pub fn new(
        config: &Config,
        weight: impl FnMut(&PlannedTensor) -> Tensor,
    ) -> Result<UNet2D, Error> {
        let plan = Plan::new(config)?;
        let weights = plan.tensors().iter().map(weight).collect();
        Ok(UNet2D::with_weights(plan, weights))
    }

    /// Weights in the plan's order.
    pub(super) fn with_weights(plan: Plan, weights: Vec<Tensor>) -> UNet2D {
        let named = plan
            .tensors()
            .iter()
            .zip(&weights)
            .map(|(planned, weight)| {
                let (name, dims) = (&planned.name, planned.dims());
                assert_eq!(weight.size(), dims, "the shape of `{name}`");
                (name.clone(), weight.shallow_clone())
            });
        let mut values = Values::new(named.collect::<HashMap<_, _>>());
        let config = plan.config();
        let steps = plan.steps().iter();
        UNet2D {
            embedding: Embedding::new(config, &mut values),
            conv_in: values.affine("conv_in"),
            nodes: steps
                .map(|step| Node::new(config, step, &mut values))
                .collect(),
            norm_out: values.norm(&norm_out(config), config.norm_eps),
            conv_out: values.affine("conv_out"),
            plan,
            weights,
        }
    }

    /// What it is made of.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its tensors, as they are planned and as they are.
    pub fn weights(&self) -> impl Iterator<Item = (&PlannedTensor, &Tensor)> {
        self.plan.tensors().iter().zip(&self.weights)
    }

    /// The prediction, what diffusers has as `unet(sample, timestep, class_labels).sample`.
    ///
    /// Learned embeddings have rows for whole numbers; a timestep or label of another kind is rounded.
    ///
    /// # Shapes
    /// sample: `[B, in_channels, H, W]` in f32, H and W multiples of [`Plan::side_multiple`]; timestep: `[B]` or a
    /// single number, of any kind; class_labels: as the timestep, or `[B, E]` for
    /// [`ClassEmbedding::Identity`](super::ClassEmbedding::Identity); result: `[B, out_channels, H, W]`.
    ///
    /// # Panics
    /// If the shapes are others, or there are class labels that the network does not take, or none that it
    /// takes, or an embedding has no row for a number.
    pub fn forward(
        &self,
        sample: &Tensor,
        timestep: &Tensor,
        class_labels: Option<&Tensor>,
    ) -> Tensor {
        let (batch, _, height, width) = sample.size4().expect("an image has four dimensions");
        let multiple = self.plan.side_multiple() as i64;
        assert!(
            height % multiple == 0 && width % multiple == 0,
            "the sides of the image must be multiples of {multiple}, but are {height} and {width}"
        );
        let config = self.plan.config();
        let timestep = timestep
            .to_device(sample.device())
            .view([-1])
            .expand([batch], false);
        let classes = class_labels.map(|labels| labels.to_device(sample.device()));
        let embedding = self.embedding.forward(&timestep, classes.as_ref());
        let input = if config.center_input_sample {
            sample * 2.0 - 1.0
        } else {
            sample.shallow_clone()
        };
        let mut state = State {
            stream: self.conv_in.conv(&input),
            kept: Vec::new(),
            input,
            output: None,
        };
        for node in &self.nodes {
            state.step(node, &embedding);
        }
        let mut output = self
            .conv_out
            .conv(&self.norm_out.forward(&state.stream).silu());
        if let Some(image) = state.output {
            output += image;
        }
        match config.time_embedding_type {
            TimeEmbedding::Positional { .. } | TimeEmbedding::Learned { .. } => output,
            TimeEmbedding::Fourier => (output / timestep.view([-1, 1, 1, 1])).to_kind(Kind::Float),
        }
    }
}

/// A network without classes; one with classes is a closure that knows them:
/// `|x: &Tensor, t: &Tensor| net.forward(x, t, Some(&classes))`.
///
/// The weights are as they were trained: no mode changes them, [`Mode::Calibrate`] neither.
impl Network for UNet2D {
    fn forward(&self, x: &Tensor, label: &Tensor, _mode: &mut Mode) -> Tensor {
        self.forward(x, label, None)
    }
}
