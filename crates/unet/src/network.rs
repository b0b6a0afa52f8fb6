//! The network: stages of the plan, with weights.

use resnet_blocks::{
    Block, Conv2d, ConvBlock, ConvBlockConfig, LongSkip, Mode, Network, Params, ShortSkip, Skip,
};
use tch::Tensor;

use crate::{
    Error, Topology, UNetConfig,
    embedding::Embedding,
    topology::{Stage, StageKind},
};

/// A U-Net, built as [`Topology`] plans it.
///
/// h = read-in(x); on each level h = skip(h, F_k(h, e)), keep h as a, halve; in the middle blocks;
/// on each level up h = long(a, conv(h as large as a)), blocks; read-out(h), a linear convolution
/// without activation. Halving is a 3x3 convolution of stride 2; doubling repeats the nearest pixel
/// up to the size of a, so odd sides work.
///
/// The network is convolutional: other sides than the planned one run, as long as every level has
/// a pixel, though the plan's operations then do not count them.
///
/// # Shapes
/// x: `[B, C, H, W]`; label: `[B]`; result: `[B, C, H, W]`.
///
/// Source: Ronneberger et al. 2015, "U-Net"; conditioning as in Ho et al. 2020, "Denoising
/// Diffusion Probabilistic Models".
#[derive(Debug)]
pub struct UNet {
    embedding: Embedding,
    nodes: Vec<Node>,
    short: ShortSkip,
    long: LongSkip,
}

/// A [`StageKind`] with weights.
#[derive(Debug)]
enum Node {
    Conv(Conv2d),
    Block(ConvBlock),
    Down(Conv2d),
    Up { conv: Conv2d, merge: Option<Conv2d> },
}

impl UNet {
    /// Plans and draws the network.
    ///
    /// # Errors
    /// As [`UNetConfig::check`]; [`Error::Block`] if a name is taken.
    pub fn new(params: &Params<'_>, config: &UNetConfig) -> Result<UNet, Error> {
        let plan = Topology::plan(config)?;
        let (frequencies, width) = (config.frequencies(), config.embedding());
        Ok(UNet {
            embedding: Embedding::new(&params.sub("embedding"), frequencies, width, config.init)?,
            nodes: plan
                .stages()
                .iter()
                .map(|stage| Node::new(&params.sub(&stage.name), config, stage))
                .collect::<Result<_, _>>()?,
            short: config.short,
            long: config.long,
        })
    }
}

impl Node {
    fn new(params: &Params<'_>, config: &UNetConfig, stage: &Stage) -> Result<Node, Error> {
        Ok(match &stage.kind {
            StageKind::Conv(conv) => Node::Conv(Conv2d::new(params, conv)?),
            StageKind::Block(channels) => {
                let block = ConvBlockConfig {
                    channels: *channels,
                    embedding: config.embedding(),
                    activation: config.activation,
                    norm: config.norm,
                    init: config.init,
                };
                Node::Block(ConvBlock::new(params, &block)?)
            }
            StageKind::Down(conv) => Node::Down(Conv2d::new(params, conv)?),
            StageKind::Up { conv, merge } => Node::Up {
                conv: Conv2d::new(&params.sub("conv"), conv)?,
                merge: match merge {
                    None => None,
                    Some(merge) => Some(Conv2d::new(&params.sub("merge"), merge)?),
                },
            },
        })
    }
}

impl Network for UNet {
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        let embedding = self.embedding.forward(&label.to_kind(x.kind()));
        let mut stream = x.shallow_clone();
        let mut kept = Vec::new();
        for node in &self.nodes {
            stream = match node {
                Node::Conv(conv) => conv.forward(&stream, mode),
                Node::Block(block) => {
                    let branch = block.forward(&stream, &embedding, mode);
                    self.short.join(&stream, &branch, mode)
                }
                Node::Down(conv) => {
                    let smaller = conv.forward(&stream, mode);
                    kept.push(stream);
                    smaller
                }
                Node::Up { conv, merge } => {
                    let shortcut = kept.pop().expect("the plan has one Down before each Up");
                    let size = &shortcut.size()[2..];
                    let larger = stream.upsample_nearest2d(size, None, None);
                    let joined = self
                        .long
                        .join(&shortcut, &conv.forward(&larger, mode), mode);
                    match merge {
                        Some(merge) => merge.forward(&joined, mode),
                        None => joined,
                    }
                }
            };
        }
        stream
    }
}
