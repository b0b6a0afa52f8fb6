//! From the configuration's words to the libraries' own network descriptions: pure data, no tch.

use resnet_blocks::{Activation, Init, LongSkip, Norm, ResidualMlpConfig, ShortSkip};
use unet::{Topology, UNetConfig};

use crate::{config, error::Error};

/// A network that can be built, with its cost.
#[derive(Clone, Debug)]
pub enum Architecture {
    /// The exact score.
    Exact,
    /// A residual MLP.
    Mlp(ResidualMlpConfig),
    /// A U-Net.
    UNet(UNetConfig),
}

impl Architecture {
    /// The architecture of `network` for data of `shape` (one number for vectors, channels × height × width for images).
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] where the network cannot be built.
    pub fn of(network: &config::Network, shape: &[usize], place: &str) -> Result<Architecture, Error> {
        let impossible = |name: &str, rule: String| Error::Impossible {
            place: place.to_owned(),
            name: name.to_owned(),
            value: serde_json::to_string(network).expect("plain data"),
            rule,
        };
        match network {
            config::Network::Exact {} => Ok(Architecture::Exact),
            config::Network::Mlp { width, blocks, activation, short, init } => {
                let mlp = ResidualMlpConfig {
                    inputs: shape.iter().product(),
                    width: *width,
                    blocks: *blocks,
                    activation: activation_of(*activation),
                    short: short_of(*short, *blocks),
                    init: init_of(*init),
                };
                mlp.check().map_err(|error| impossible("network", error.to_string()))?;
                Ok(Architecture::Mlp(mlp))
            }
            config::Network::Unet { base, multipliers, blocks, activation, norm, short, long, init } => {
                let &[channels, height, width] = shape else {
                    return Err(impossible("network", "a U-Net needs images: give this data an MLP".to_owned()));
                };
                if height != width {
                    return Err(impossible("network", format!("images are {height}×{width}, but must be square")));
                }
                let in_all = (2 * multipliers.len()).saturating_sub(1) * blocks;
                let unet = UNetConfig {
                    channels,
                    base: *base,
                    multipliers: multipliers.clone(),
                    blocks: *blocks,
                    side: height,
                    activation: activation_of(*activation),
                    norm: match norm {
                        config::Norm::None => Norm::None,
                        config::Norm::Group => Norm::Group,
                    },
                    short: short_of(*short, in_all),
                    long: match long {
                        config::LongSkip::None => LongSkip::None,
                        config::LongSkip::Add => LongSkip::Add(std::f64::consts::FRAC_1_SQRT_2),
                        config::LongSkip::Concat => LongSkip::Concat(1.0),
                    },
                    init: init_of(*init),
                };
                Topology::plan(&unet).map_err(|error| impossible("network", error.to_string()))?;
                Ok(Architecture::UNet(unet))
            }
        }
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> u64 {
        match self {
            Architecture::Exact => 0,
            Architecture::Mlp(mlp) => mlp.parameters() as u64,
            Architecture::UNet(unet) => topology(unet).parameters() as u64,
        }
    }

    /// Floating-point operations of a forward pass over `batch` examples.
    pub fn forward_flops(&self, batch: usize) -> f64 {
        match self {
            Architecture::Exact => 0.0,
            Architecture::Mlp(mlp) => mlp.forward_flops(batch) as f64,
            Architecture::UNet(unet) => topology(unet).forward_flops(batch) as f64,
        }
    }

    /// Layers with weights, for the overhead of calling each.
    pub fn layers(&self) -> usize {
        match self {
            Architecture::Exact => 0,
            Architecture::Mlp(mlp) => 2 * mlp.blocks + 2,
            Architecture::UNet(unet) => 2 * (2 * unet.multipliers.len() - 1) * unet.blocks + 2 * unet.multipliers.len(),
        }
    }

    /// One line for the report.
    pub fn words(&self) -> String {
        match self {
            Architecture::Exact => "the exact score, nothing trained".to_owned(),
            Architecture::Mlp(mlp) => format!(
                "MLP of {} square layers of width {} ({} blocks)",
                2 * mlp.blocks,
                mlp.width,
                mlp.blocks,
            ),
            Architecture::UNet(unet) => format!(
                "U-Net on {side}×{side}, channels {channels}, blocks per level: {blocks}",
                side = unet.side,
                channels =
                    unet.multipliers.iter().map(|m| (m * unet.base).to_string()).collect::<Vec<_>>().join("/"),
                blocks = unet.blocks,
            ),
        }
    }
}

/// Whether the initial weights are calibrated on data (layer-sequential unit variance).
pub fn calibrates(network: &config::Network) -> bool {
    let init = match network {
        config::Network::Exact {} => return false,
        config::Network::Mlp { init, .. } | config::Network::Unet { init, .. } => *init,
    };
    matches!(init, config::Init::OrthogonalLsuv | config::Init::DeltaOrthogonalLsuv)
}

fn topology(unet: &UNetConfig) -> Topology {
    Topology::plan(unet).expect("checked when the architecture was made")
}

fn activation_of(activation: config::Activation) -> Activation {
    match activation {
        config::Activation::Silu => Activation::Silu,
        config::Activation::Relu => Activation::Relu,
        config::Activation::Tanh => Activation::Tanh,
    }
}

fn short_of(short: config::ShortSkip, blocks: usize) -> ShortSkip {
    match short {
        config::ShortSkip::None => ShortSkip::None,
        config::ShortSkip::Identity => ShortSkip::Identity,
        config::ShortSkip::InverseSqrtDepth => ShortSkip::inverse_sqrt(blocks),
        config::ShortSkip::Scaled(b) => ShortSkip::Scaled(b),
    }
}

fn init_of(init: config::Init) -> Init {
    match init {
        config::Init::Pytorch => Init::PyTorch,
        config::Init::He => Init::He,
        config::Init::Orthogonal | config::Init::OrthogonalLsuv => Init::Orthogonal,
        config::Init::DeltaOrthogonal | config::Init::DeltaOrthogonalLsuv => Init::DeltaOrthogonal,
    }
}
