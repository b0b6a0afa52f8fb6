//! From the configuration's words to the libraries' own network descriptions: pure data, no tch.

use resnet_blocks::{
    Activation, Feature, Init, Layer, LongSkip, Match, MlpBlockConfig, Norm, ResidualMlpConfig,
    ShortSkip,
};
use unet::{
    BlockPlan, Classes, LabelPath, Layout, Parts, Positions, ResidualParts, Step, Topology,
    TransformerConfig, UNetConfig,
};

use crate::{config, error::Error};

/// Most residual blocks of one network.
pub(crate) const MOST_BLOCKS: usize = 10_000;
/// Most weights of one network, roughly counted.
const MOST_WEIGHTS: f64 = 1e9;

/// A network that can be built, with its cost.
#[derive(Clone, Debug)]
pub enum Architecture {
    /// The exact score.
    Exact,
    /// A residual MLP.
    Mlp(ResidualMlpConfig),
    /// A U-Net.
    UNet(Box<UNetConfig>),
    /// A transformer over patches.
    Transformer(Box<TransformerConfig>),
}

impl Architecture {
    /// The architecture of `network` for data of `shape` (one number for vectors, channels × height × width for images).
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] where the network cannot be built.
    pub fn of(
        network: &config::Network,
        shape: &[usize],
        place: &str,
    ) -> Result<Architecture, Error> {
        let impossible = |name: &str, rule: String| Error::Impossible {
            place: place.to_owned(),
            name: name.to_owned(),
            value: serde_json::to_string(network).expect("plain data"),
            rule,
        };
        let (blocks, weights) = rough_size(network, shape);
        if MOST_BLOCKS < blocks || MOST_WEIGHTS < weights {
            let rule = "a network has at most 10⁴ blocks and 10⁹ weights here: make it smaller";
            return Err(impossible("network", rule.to_owned()));
        }
        match network {
            config::Network::Exact {} => Ok(Architecture::Exact),
            config::Network::Mlp {
                width,
                blocks,
                activation,
                short,
                init,
            } => {
                let mlp = ResidualMlpConfig {
                    inputs: shape.iter().product(),
                    blocks: *blocks,
                    block: MlpBlockConfig::square(
                        *width,
                        activation_of(*activation),
                        init_of(*init),
                    ),
                    short: short_of(*short, *blocks),
                };
                mlp.check()
                    .map_err(|error| impossible("network", error.to_string()))?;
                Ok(Architecture::Mlp(mlp))
            }
            config::Network::Unet {
                base,
                multipliers,
                blocks,
                activation,
                norm,
                short,
                long,
                init,
            } => {
                let image = image(shape).map_err(|rule| impossible("network", rule))?;
                if *base == 0 {
                    let rule = "`base`, the channels of the finest level, must be at least 1";
                    return Err(impossible("network", rule.to_owned()));
                }
                let in_all = (2 * multipliers.len()).saturating_sub(1) * blocks;
                let norm = match norm {
                    config::Norm::None => Norm::None,
                    config::Norm::Group => Norm::GROUP,
                    config::Norm::Layer => Norm::Layer { eps: 1e-5 },
                    config::Norm::Rms => Norm::Rms { eps: 1e-5 },
                };
                let parts = ResidualParts::plain(
                    activation_of(*activation),
                    norm,
                    short_of(*short, in_all),
                    init_of(*init),
                );
                let long = long_of(*long);
                let unet = UNetConfig::study(image, *base, multipliers, *blocks, parts, long);
                checked(unet).map_err(|rule| impossible("network", rule))
            }
            config::Network::Published {
                family,
                width,
                multipliers,
                blocks,
                short,
                long,
            } => {
                let image = image(shape).map_err(|rule| impossible("network", rule))?;
                let mut unet = match family {
                    config::Family::Ddpm => UNetConfig::ddpm(image, *width, multipliers),
                    config::Family::Ddpmpp => UNetConfig::ddpmpp(image, *width, multipliers),
                    config::Family::Ncsnpp => UNetConfig::ncsnpp(image, *width, multipliers),
                    config::Family::Adm => {
                        UNetConfig::adm(image, *width, multipliers, Classes::None)
                    }
                };
                unet.blocks = *blocks;
                let plan = Topology::plan(&unet)
                    .map_err(|error| impossible("network", error.to_string()))?;
                let is_residual = |step: &&Step| {
                    let plan = match step {
                        Step::Block { plan, .. } => plan,
                        _ => return false,
                    };
                    matches!(plan, BlockPlan::Residual(_))
                };
                let in_all = plan.steps().iter().filter(is_residual).count();
                if let (config::PublishedShort::Other(short), Parts::Residual(parts)) =
                    (short, &mut unet.parts)
                {
                    parts.short = short_of(*short, in_all);
                }
                if let config::PublishedLong::Other(long) = long {
                    unet.long = long_of(*long);
                }
                checked(unet).map_err(|rule| impossible("network", rule))
            }
            config::Network::Transformer {
                patch,
                width,
                blocks,
                heads,
                activation,
                conditioning,
                short,
                long,
                init,
            } => {
                let (label, positions) = match conditioning {
                    config::Conditioning::AdalnZero => (LabelPath::AdaLnZero, Positions::Sines),
                    config::Conditioning::Token => (LabelPath::Token, Positions::Learned),
                };
                let init = init_of(*init);
                let transformer = TransformerConfig {
                    image: image(shape).map_err(|rule| impossible("network", rule))?,
                    patch: *patch,
                    width: *width,
                    blocks: *blocks,
                    heads: *heads,
                    hidden: width.saturating_mul(4),
                    activation: activation_of(*activation),
                    embedding: TransformerConfig::label_of(*width, label, init),
                    label,
                    positions,
                    // Two branches for each block.
                    short: short_of(*short, 2 * blocks),
                    long: long_of(*long),
                    init,
                };
                transformer
                    .check()
                    .map_err(|error| impossible("network", error.to_string()))?;
                Ok(Architecture::Transformer(Box::new(transformer)))
            }
            config::Network::Matched {
                by,
                quantum,
                reference,
                network: matched,
            } => {
                const LARGEST_QUANTUM: usize = 1 << 16;
                if LARGEST_QUANTUM < *quantum {
                    let rule = format!("`quantum` is at most {LARGEST_QUANTUM}");
                    return Err(impossible("network", rule));
                }
                let by = match by {
                    config::MatchedCost::Parameters => Match::Parameters,
                    config::MatchedCost::Flops => Match::Flops,
                };
                let unmatched =
                    |error: &dyn std::fmt::Display| impossible("network", error.to_string());
                match (
                    Architecture::of(matched, shape, place)?,
                    Architecture::of(reference, shape, place)?,
                ) {
                    (Architecture::Mlp(mlp), Architecture::Mlp(reference)) => mlp
                        .matched_to(&reference, by, *quantum)
                        .map(Architecture::Mlp)
                        .map_err(|error| unmatched(&error)),
                    (Architecture::UNet(unet), Architecture::UNet(reference)) => unet
                        .matched_to(&reference, by, *quantum)
                        .map(|unet| Architecture::UNet(Box::new(unet)))
                        .map_err(|error| unmatched(&error)),
                    _ => Err(unmatched(
                        &"two networks of one kind can be matched, MLPs or U-Nets: give both",
                    )),
                }
            }
        }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> u64 {
        match self {
            Architecture::Exact => 0,
            Architecture::Mlp(mlp) => mlp.parameters() as u64,
            Architecture::UNet(unet) => topology(unet).parameters() as u64,
            Architecture::Transformer(transformer) => transformer.parameters() as u64,
        }
    }

    /// Floating-point operations of a forward pass over `batch` examples.
    pub fn forward_flops(&self, batch: usize) -> f64 {
        match self {
            Architecture::Exact => 0.0,
            Architecture::Mlp(mlp) => mlp.forward_flops(1) as f64 * batch as f64,
            Architecture::UNet(unet) => topology(unet).forward_flops(1) as f64 * batch as f64,
            Architecture::Transformer(transformer) => {
                transformer.forward_flops(1) as f64 * batch as f64
            }
        }
    }

    /// Whether it has attention, which libtorch differentiates once and no more.
    pub fn attends(&self) -> bool {
        let unet = match self {
            Architecture::UNet(unet) => unet,
            Architecture::Transformer(_) => return true,
            Architecture::Exact | Architecture::Mlp(_) => return false,
        };
        let steps = topology(unet);
        let mut plans = steps.steps().iter().filter_map(|step| match step {
            Step::Block { plan, .. } => Some(plan),
            _ => None,
        });
        plans.any(|plan| match plan {
            BlockPlan::Attention(_) => true,
            BlockPlan::Magnitude(block) => 0 < block.heads,
            _ => false,
        })
    }

    /// Numbers that the layers write in a forward pass over `batch` examples.
    pub fn activations(&self, batch: usize) -> f64 {
        let each = match self {
            Architecture::Exact => 0,
            Architecture::Mlp(mlp) => mlp.layers().iter().map(Layer::activations).sum(),
            Architecture::UNet(unet) => topology(unet).activations(1),
            Architecture::Transformer(transformer) => transformer.activations(1),
        };
        each as f64 * batch as f64
    }

    /// Layers with weights, for the overhead of calling each.
    pub fn layers(&self) -> usize {
        match self {
            Architecture::Exact => 0,
            Architecture::Mlp(mlp) => mlp.layers().len(),
            Architecture::Transformer(transformer) => transformer.layers().len(),
            Architecture::UNet(unet) => match unet.layout {
                // What the prices of old plans rest on: convolutions alone.
                Layout::Levels => {
                    2 * (2 * unet.widths.len() - 1) * unet.blocks + 2 * unet.widths.len()
                }
                Layout::Blocks => topology(unet).layers().len(),
            },
        }
    }

    /// Names of the layers, in forward order.
    pub fn layer_names(&self) -> Vec<String> {
        let layers = match self {
            Architecture::Exact => Vec::new(),
            Architecture::Mlp(mlp) => mlp.layers(),
            Architecture::UNet(unet) => topology(unet).layers().to_vec(),
            Architecture::Transformer(transformer) => transformer.layers(),
        };
        layers.into_iter().map(|layer| layer.name).collect()
    }

    /// Names of the skips that have a shortcut and no weights, in forward order.
    pub fn shortcut_names(&self) -> Vec<String> {
        match self {
            Architecture::Exact => Vec::new(),
            Architecture::Mlp(mlp) => mlp.shortcuts(),
            Architecture::UNet(unet) => topology(unet).shortcuts(),
            Architecture::Transformer(transformer) => transformer.shortcuts(),
        }
    }

    /// One line for the report.
    pub fn words(&self) -> String {
        match self {
            Architecture::Exact => "the exact score, nothing trained".to_owned(),
            Architecture::Mlp(mlp) => format!(
                "MLP of {} square layers of width {} ({} blocks)",
                2 * mlp.blocks,
                mlp.block.width,
                mlp.blocks,
            ),
            Architecture::UNet(unet) => format!(
                "U-Net on {side}×{side}, channels {channels}, blocks per level: {blocks}",
                side = unet.frame.input.height,
                channels = unet
                    .widths
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("/"),
                blocks = unet.blocks,
            ),
            Architecture::Transformer(transformer) => format!(
                "transformer of {} blocks, width {} and {} heads on patches of {patch}×{patch}",
                transformer.blocks,
                transformer.width,
                transformer.heads,
                patch = transformer.patch,
            ),
        }
    }
}

/// Blocks and about how many weights, in numbers that cannot overflow whatever a study says.
fn rough_size(network: &config::Network, shape: &[usize]) -> (usize, f64) {
    let inputs: f64 = shape.iter().map(|&n| n as f64).product();
    match network {
        config::Network::Matched {
            reference, network, ..
        } => {
            let (of, to) = (rough_size(network, shape), rough_size(reference, shape));
            (of.0.max(to.0), of.1.max(to.1))
        }
        config::Network::Exact {} => (0, 0.0),
        config::Network::Mlp { width, blocks, .. } => {
            let width = *width as f64;
            (*blocks, 2.0 * width * (inputs + *blocks as f64 * width))
        }
        config::Network::Transformer { width, blocks, .. } => {
            // Tokens and numbers of a patch are at most those of the image.
            let width = *width as f64;
            let of_blocks = *blocks as f64 * 20.0 * width * width;
            (*blocks, of_blocks + width * (3.0 * inputs + 256.0 + width))
        }
        config::Network::Unet {
            base,
            multipliers,
            blocks,
            ..
        }
        | config::Network::Published {
            width: base,
            multipliers,
            blocks,
            ..
        } => {
            let widest = multipliers.iter().max().map_or(0.0, |&m| m as f64) * *base as f64;
            let levels = 2 * multipliers.len();
            (
                blocks.saturating_mul(levels),
                18.0 * widest * widest * levels as f64 * *blocks as f64,
            )
        }
    }
}

/// Whether the initial weights are calibrated on data (layer-sequential unit variance).
pub fn calibrates(network: &config::Network) -> bool {
    let init = match network.trained() {
        config::Network::Exact {}
        | config::Network::Published { .. }
        | config::Network::Matched { .. } => return false,
        config::Network::Mlp { init, .. }
        | config::Network::Unet { init, .. }
        | config::Network::Transformer { init, .. } => *init,
    };
    matches!(
        init,
        config::Init::OrthogonalLsuv | config::Init::DeltaOrthogonalLsuv
    )
}

/// A square image of this shape.
fn image(shape: &[usize]) -> Result<Feature, String> {
    match *shape {
        [channels, height, width] if height == width => Ok(Feature {
            channels,
            height,
            width,
        }),
        [_, height, width] => Err(format!("images are {height}×{width}, but must be square")),
        _ => Err("this network needs images: give this data an MLP".to_owned()),
    }
}

fn checked(unet: UNetConfig) -> Result<Architecture, String> {
    Topology::plan(&unet).map_err(|error| error.to_string())?;
    Ok(Architecture::UNet(Box::new(unet)))
}

fn topology(unet: &UNetConfig) -> Topology {
    Topology::plan(unet).expect("checked when the architecture was made")
}

pub(crate) fn activation_of(activation: config::Activation) -> Activation {
    match activation {
        config::Activation::Silu => Activation::Silu,
        config::Activation::Relu => Activation::Relu,
        config::Activation::Tanh => Activation::Tanh,
        config::Activation::Gelu => Activation::Gelu,
        config::Activation::Mish => Activation::Mish,
        config::Activation::Elu => Activation::Elu,
    }
}

pub(crate) fn short_of(short: config::ShortSkip, blocks: usize) -> ShortSkip {
    match short {
        config::ShortSkip::None => ShortSkip::None,
        config::ShortSkip::Identity => ShortSkip::Identity,
        config::ShortSkip::InverseSqrtDepth => ShortSkip::inverse_sqrt(blocks),
        config::ShortSkip::Scaled(b) => ShortSkip::Scaled(b),
        config::ShortSkip::Averaged(s) => ShortSkip::Averaged(s),
        config::ShortSkip::MagnitudePreserving(t) => ShortSkip::MagnitudePreserving(t),
        config::ShortSkip::StochasticDepth(survival) => ShortSkip::StochasticDepth { survival },
        config::ShortSkip::ReZero => ShortSkip::ReZero,
        config::ShortSkip::LayerScale(start) => ShortSkip::LayerScale(start),
        config::ShortSkip::Highway(bias) => ShortSkip::Highway { bias },
        config::ShortSkip::Fixup => ShortSkip::Fixup { blocks },
        config::ShortSkip::DeepNorm => ShortSkip::DeepNorm { blocks },
    }
}

fn long_of(long: config::LongSkip) -> LongSkip {
    match long {
        config::LongSkip::None => LongSkip::None,
        config::LongSkip::Add => LongSkip::Add(std::f64::consts::FRAC_1_SQRT_2),
        config::LongSkip::Concat => LongSkip::Concat(1.0),
        config::LongSkip::ConcatScaled(s) => LongSkip::Concat(s),
        config::LongSkip::ConcatPower(k) => LongSkip::ConcatPower(k),
        config::LongSkip::ConcatLearned => LongSkip::ConcatLearned,
        config::LongSkip::ConcatMagnitudePreserving(t) => LongSkip::ConcatMagnitudePreserving(t),
    }
}

pub(crate) fn init_of(init: config::Init) -> Init {
    match init {
        config::Init::Pytorch => Init::PyTorch,
        config::Init::He => Init::He,
        config::Init::LeCun => Init::LeCun,
        config::Init::Xavier => Init::Xavier,
        config::Init::Bert => Init::Bert,
        config::Init::Dirac => Init::Dirac,
        config::Init::Orthogonal | config::Init::OrthogonalLsuv => Init::Orthogonal,
        config::Init::DeltaOrthogonal | config::Init::DeltaOrthogonalLsuv => Init::DeltaOrthogonal,
    }
}

#[cfg(test)]
mod tests;
