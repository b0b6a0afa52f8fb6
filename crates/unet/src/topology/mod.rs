//! The plan: every layer and skip as plain data, before any weight.

mod display;
mod embedding;
mod flow;
mod step;

use std::collections::HashSet;

use resnet_blocks::{Feature, Layer, LongSkip, Match, PlannedTensor};

pub use embedding::{
    Classes, EmbeddingConfig, EmbeddingLayers, Features, FourierOf, Frequencies, Order,
};
pub use step::{BlockPlan, InputPath, Join, MagnitudeRole, Step};

use flow::Flow;

use crate::{Error, UNetConfig, walk};

/// A U-Net as a program: the embedding of the label, and steps in the order of the forward pass, with the
/// layers that they have and what these cost.
///
/// `UNet::build` makes exactly this; nothing here needs libtorch. `Display` prints a table of at most 80
/// columns.
///
/// ```
/// use unet::{Topology, UNetConfig};
/// # fn main() -> Result<(), unet::Error> {
/// let plan = Topology::plan(&UNetConfig::ddpm_cifar10())?;
/// assert_eq!((plan.tensors().len(), plan.parameters()), (328, 35_746_307));
/// let deepest = &plan.long_skips()[0];
/// assert_eq!((deepest.from.as_str(), deepest.carried.channels), ("encoder3.block1", 256));
/// assert!(plan.to_string().contains("parameters: 35,746,307"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    frame: Frame,
    embedding: EmbeddingConfig,
    steps: Vec<Step>,
    layers: Vec<Layer>,
    long_skips: Vec<LongSkipPlan>,
}

/// What goes in and comes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// The image.
    pub input: Feature,
    /// Channels of the result.
    pub out_channels: usize,
    /// What is done to the image first.
    pub range: InputRange,
    /// Whether an earlier result is put in beside the image.
    pub self_conditioning: SelfConditioning,
}

impl Frame {
    /// A real image in and out, as it is, of so many channels.
    pub fn image(image: Feature) -> Frame {
        Frame {
            input: image,
            out_channels: image.channels,
            range: InputRange::AsGiven,
            self_conditioning: SelfConditioning::None,
        }
    }

    /// Channels that the first layer sees: with self-conditioning those of the estimate too.
    pub fn in_channels(&self) -> usize {
        match self.self_conditioning {
            SelfConditioning::None => self.input.channels,
            SelfConditioning::Estimate => self.input.channels + self.out_channels,
        }
    }
}

/// What is done to the image before the first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputRange {
    /// Nothing.
    AsGiven,
    /// 2 x - 1: from \[0, 1\] to \[-1, 1\].
    Centred,
}

/// Whether the network sees its own earlier estimate.
///
/// Source: Chen et al. 2023, "Analog Bits: Generating Discrete Data using Diffusion Models with
/// Self-Conditioning".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfConditioning {
    /// No.
    None,
    /// The channels of an estimate, or zeros, follow those of the image.
    Estimate,
}

/// One long skip of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct LongSkipPlan {
    /// Its name, by which it is edited.
    pub name: String,
    /// The block whose output is kept.
    pub from: String,
    /// How it joins.
    pub rule: LongSkip,
    /// The feature that is carried.
    pub carried: Feature,
    /// The stream that it joins.
    pub stream: Feature,
    /// Parameters that the network has for it: its own, those of its projection, and those by which the
    /// block behind is larger for the channels that it brings.
    pub parameters: usize,
}

impl Topology {
    /// Plans a network.
    ///
    /// # Errors
    /// As [`UNetConfig::check`], and as [`new`](Self::new) where parts do not fit their channels.
    pub fn plan(config: &UNetConfig) -> Result<Topology, Error> {
        config.check()?;
        let steps = walk::steps(config)?;
        Topology::new(config.frame, config.embedding.clone(), steps)
    }

    /// A program of one's own, checked: features that are joined or added have the same size, every join has
    /// a kept feature, every block gets the channels that it is made for, what comes out has the image's
    /// size, and names are unique.
    ///
    /// # Errors
    /// [`Error::Step`] for the first step that does not fit; [`Error::Block`] for a name that is taken, and as
    /// the blocks' own `check`.
    pub fn new(
        frame: Frame,
        embedding: EmbeddingConfig,
        steps: Vec<Step>,
    ) -> Result<Topology, Error> {
        let mut flow = Flow::begin(&frame, &embedding);
        for step in &steps {
            flow.step(step)?;
        }
        let (layers, long_skips) = flow.end()?;
        let mut names = HashSet::new();
        if let Some(twice) = layers.iter().find(|layer| !names.insert(&layer.name)) {
            let name = twice.name.clone();
            return Err(resnet_blocks::Error::DuplicateName { name }.into());
        }
        Ok(Topology {
            frame,
            embedding,
            steps,
            layers,
            long_skips,
        })
    }

    /// What goes in and comes out.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The embedding of the label.
    pub fn embedding(&self) -> &EmbeddingConfig {
        &self.embedding
    }

    /// The steps, in the order of the forward pass.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The layers, in the order of the forward pass, those of the embedding first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The long skips, in the order in which they join: from the deepest to the full resolution.
    pub fn long_skips(&self) -> &[LongSkipPlan] {
        &self.long_skips
    }

    /// Names of the skips that have a shortcut and no weights, short ones and long ones, in the order of the forward pass.
    pub fn shortcuts(&self) -> Vec<String> {
        let of = |step: &Step| match step {
            Step::Block { name, plan } | Step::AddInput { name, plan, .. } => {
                let fixed = match plan {
                    BlockPlan::Residual(config) => config.short.is_fixed(),
                    BlockPlan::Attention(config) => config.short.is_fixed(),
                    _ => false,
                };
                fixed.then(|| format!("{name}.skip"))
            }
            Step::Join(join) => join.rule.is_fixed().then(|| join.name.clone()),
            _ => None,
        };
        self.steps.iter().filter_map(of).collect()
    }

    /// Every tensor, in the order of the forward pass.
    pub fn tensors(&self) -> Vec<PlannedTensor> {
        self.layers.iter().flat_map(Layer::tensors).collect()
    }

    /// Numbers in all tensors together.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(Layer::parameters).sum()
    }

    /// The part of [`parameters`](Self::parameters) that the long skips bring: a network with
    /// [`LongSkip::None`] has so many less.
    pub fn skip_parameters(&self) -> usize {
        self.long_skips.iter().map(|skip| skip.parameters).sum()
    }

    /// Floating-point operations of one forward pass over a batch: 2 for each multiply-add of a
    /// matrix, a kernel or an attention, the padding included; biases, activations, normalisations,
    /// resizing and skips are left out.
    pub fn forward_flops(&self, batch: usize) -> u64 {
        Match::Flops.cost(&self.layers).saturating_mul(batch as u64)
    }

    /// Numbers that the layers write in one forward pass over a batch: times the size of one, about the
    /// memory that training keeps for the backward pass.
    pub fn activations(&self, batch: usize) -> u64 {
        let each: u64 = self.layers.iter().map(Layer::activations).sum();
        batch as u64 * each
    }
}
