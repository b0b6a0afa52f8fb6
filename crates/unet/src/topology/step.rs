//! The vocabulary of a plan: blocks, kept features, joins and second paths.

use resnet_blocks::{
    Attention, Bias, Border, Conv2dConfig, Feature, Init, Injection, Layer, LayerKind, LongSkip,
    MagnitudeBlockConfig, Norm, Projection, ResBlockConfig, Resample,
};

use crate::Error;

/// One instruction of the forward pass, for the stream h, the stack of kept encoder features, the small
/// image of the input path and the small image of the output path.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// h = block(h, e).
    Block {
        /// Its path in the variable store, with dots.
        name: String,
        /// What it is.
        plan: BlockPlan,
    },
    /// Push h on the stack of kept features.
    Keep {
        /// The block whose output h is.
        from: String,
    },
    /// Forget the topmost kept features, as many as there are up to this number.
    Forget(usize),
    /// Pop a and cut h to its size; h = rule(a, h).
    Join(Join),
    /// h is doubled without parameters and cut to the size of the topmost kept feature.
    Double(Resample),
    /// The input path's image is resampled; h = scale (h + block(image)).
    AddInput {
        /// Path of the block in the variable store.
        name: String,
        /// Halving of the image; `None` if the block does it.
        resample: Option<Resample>,
        /// From the image to the channels of h.
        plan: BlockPlan,
        /// Factor on the sum.
        scale: f64,
        /// What the image of the next such step is.
        then: InputPath,
    },
    /// The output path's image, if there is one, is doubled and cut to the size of the stream.
    GrowOutput(Resample),
    /// The output path's image, or 0, is increased by conv(silu(norm(h))).
    AddOutput {
        /// Path in the variable store: `{name}.norm` and `{name}.conv`.
        name: String,
        /// The normalisation.
        norm: Norm,
        /// To the channels of the output.
        conv: Conv2dConfig,
    },
}

/// What the second path from the input carries on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputPath {
    /// The resampled image itself.
    Image,
    /// The sum, which also is the stream.
    Stream,
}

/// A long skip of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Its path in the variable store, and its name in [`Topology::long_skips`](crate::Topology::long_skips).
    pub name: String,
    /// The rule, resolved for this place.
    pub rule: LongSkip,
    /// Brings a to the channels of h before an addition, where they differ.
    pub projection: Option<Conv2dConfig>,
}

/// A block of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BlockPlan {
    /// A convolution.
    Conv(Conv2dConfig),
    /// A 3x3 convolution over an image with a ring of zeros two pixels wide, then the filter
    /// (1, 3, 3, 1) / 8 in both directions at every other pixel: NCSN++'s residual input path.
    FilteredConv {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Law of the initial values.
        init: Init,
    },
    /// A residual block.
    Residual(ResBlockConfig),
    /// Residual self-attention.
    Attention(Attention),
    /// A magnitude-preserving block.
    Magnitude(MagnitudeBlockConfig),
    /// A magnitude-preserving 3x3 convolution.
    MagnitudeConv {
        /// Channels in; one more if `role` is `ReadIn`.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// What is done to what goes in and comes out.
        role: MagnitudeRole,
    },
    /// conv(silu(norm(h))): `{name}.norm` and `{name}.conv`.
    ReadOut {
        /// The normalisation.
        norm: Norm,
        /// The convolution.
        conv: Conv2dConfig,
    },
    /// A change of the side without parameters.
    Resample(Resample),
}

/// Where a magnitude-preserving convolution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MagnitudeRole {
    /// At the input: a channel of ones is appended to the image, in place of a bias.
    ReadIn,
    /// At the output: what comes out is multiplied by one learned gain, 0 at the start.
    ReadOut,
}

impl BlockPlan {
    /// The layers below this name, in the order of the forward pass, and what comes out.
    pub fn layers(&self, name: &str, input: Feature) -> (Vec<Layer>, Feature) {
        let one = |layer: Layer| {
            let output = layer.output;
            (vec![layer], output)
        };
        match self {
            BlockPlan::Conv(conv) => one(conv.layer(name, input)),
            BlockPlan::FilteredConv {
                in_channels,
                out_channels,
                init,
            } => {
                let conv = Conv2dConfig::new(*in_channels, *out_channels, 3, *init);
                let ringed = Feature {
                    height: input.height + 2,
                    width: input.width + 2,
                    ..input
                };
                let layer = conv.layer(name, ringed);
                let output = Resample::HalveFir(Border::Ring).output(layer.output);
                (vec![layer], output)
            }
            BlockPlan::Residual(config) => config.layers(name, input),
            BlockPlan::Attention(config) => (config.layers(name, input), input),
            BlockPlan::Magnitude(config) => config.layers(name, input),
            BlockPlan::MagnitudeConv {
                in_channels,
                out_channels,
                role,
            } => {
                let inputs = in_channels + usize::from(*role == MagnitudeRole::ReadIn);
                let conv = Conv2dConfig {
                    bias: Bias::None,
                    ..Conv2dConfig::new(inputs, *out_channels, 3, Init::UnitNormal)
                };
                let layer = conv.layer(name, input);
                let output = layer.output;
                let mut layers = vec![layer];
                if *role == MagnitudeRole::ReadOut {
                    layers.push(Layer {
                        name: format!("{name}.gain"),
                        kind: LayerKind::Gain { numbers: 1 },
                        in_channels: *out_channels,
                        output: Feature::vector(*out_channels),
                    });
                }
                (layers, output)
            }
            BlockPlan::ReadOut { norm, conv } => {
                let mut layers = norm.layers(&format!("{name}.norm"), input);
                let conv = conv.layer(format!("{name}.conv"), input);
                let output = conv.output;
                layers.push(conv);
                (layers, output)
            }
            BlockPlan::Resample(resample) => (Vec::new(), resample.output(input)),
        }
    }
}

impl BlockPlan {
    /// Channels that it is made for; none if any.
    pub fn in_channels(&self) -> Option<usize> {
        match self {
            BlockPlan::Conv(conv) | BlockPlan::ReadOut { conv, .. } => Some(conv.in_channels),
            BlockPlan::FilteredConv { in_channels, .. }
            | BlockPlan::MagnitudeConv { in_channels, .. } => Some(*in_channels),
            BlockPlan::Residual(config) => Some(config.branch.in_channels),
            BlockPlan::Attention(config) => Some(config.channels),
            BlockPlan::Magnitude(config) => Some(config.in_channels),
            BlockPlan::Resample(_) => None,
        }
    }

    /// The same for so many channels less; nothing if it would be a 1x1 convolution to as many channels, which
    /// only merges what a skip has brought.
    pub(crate) fn without(&self, channels: usize) -> Option<BlockPlan> {
        let mut plan = *self;
        match &mut plan {
            BlockPlan::Conv(conv) => {
                conv.in_channels -= channels;
                if (conv.kernel, conv.stride, conv.in_channels) == (1, 1, conv.out_channels) {
                    return None;
                }
            }
            BlockPlan::ReadOut { conv, .. } => conv.in_channels -= channels,
            BlockPlan::FilteredConv { in_channels, .. }
            | BlockPlan::MagnitudeConv { in_channels, .. } => *in_channels -= channels,
            BlockPlan::Residual(config) => {
                let branch = &mut config.branch;
                branch.in_channels -= channels;
                let same = branch.in_channels == branch.out_channels;
                match config.projection {
                    Projection::Conv { .. } if same && branch.resample.is_none() => {
                        config.projection = Projection::None;
                    }
                    Projection::None if !same => {
                        config.projection =
                            Projection::fit(branch.in_channels, branch.out_channels);
                    }
                    Projection::Conv { .. } | Projection::None => {}
                }
            }
            BlockPlan::Attention(config) => config.channels -= channels,
            BlockPlan::Magnitude(config) => config.in_channels -= channels,
            BlockPlan::Resample(_) => {}
        }
        Some(plan)
    }

    /// Whether it can be built, for an embedding of this width.
    ///
    /// # Errors
    /// As the `check` of its configuration; [`Error::Step`] if it is made for another embedding.
    pub(crate) fn check(&self, embedding: usize) -> Result<(), Error> {
        match self {
            BlockPlan::Conv(conv) => conv.check()?,
            BlockPlan::ReadOut { norm, conv } => {
                norm.check("norm", conv.in_channels)?;
                conv.check()?;
            }
            BlockPlan::FilteredConv {
                in_channels,
                out_channels,
                init,
            } => Conv2dConfig::new(*in_channels, *out_channels, 3, *init).check()?,
            BlockPlan::MagnitudeConv {
                in_channels,
                out_channels,
                ..
            } => Conv2dConfig::new(*in_channels, *out_channels, 3, Init::UnitNormal).check()?,
            BlockPlan::Residual(config) => {
                config.check()?;
                let conditioning = config.branch.conditioning;
                if conditioning.injection != Injection::None {
                    width(conditioning.width, embedding)?;
                }
            }
            BlockPlan::Attention(config) => config.check()?,
            BlockPlan::Magnitude(config) => {
                config.check()?;
                width(config.embedding, embedding)?;
            }
            BlockPlan::Resample(_) => {}
        }
        Ok(())
    }
}

fn width(wanted: usize, embedding: usize) -> Result<(), Error> {
    if wanted == embedding {
        return Ok(());
    }
    Err(Error::Step {
        name: "a block".to_owned(),
        reason: format!(
            "it is made for an embedding of width {wanted} and gets one of {embedding}"
        ),
    })
}
