//! The plan: every layer and skip as plain data, before any weight.

use std::fmt;

use resnet_blocks::{Conv2dConfig, LongSkip, Norm};

use crate::{Error, UNetConfig};

/// A U-Net as a list of layers in the order of the forward pass, with their costs.
///
/// `UNet::new` builds exactly this; nothing here needs libtorch. `Display`
/// prints a table of at most 80 columns.
///
/// ```
/// # use resnet_blocks::{Activation, Init, LongSkip, Norm, ShortSkip};
/// # use unet::{Topology, UNetConfig};
/// # fn main() -> Result<(), unet::Error> {
/// # let config = UNetConfig {
/// #     channels: 1, base: 8, multipliers: vec![1, 2], blocks: 1, side: 28,
/// #     activation: Activation::Silu, norm: Norm::None, init: Init::PyTorch,
/// #     short: ShortSkip::Identity, long: LongSkip::Add(1.0),
/// # };
/// let plan = Topology::plan(&config)?;
/// assert_eq!(plan.layers().iter().map(|layer| layer.parameters).sum::<usize>(), plan.parameters());
/// assert_eq!(plan.long_skips()[0].side, 28);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    config: UNetConfig,
    stages: Vec<Stage>,
    layers: Vec<Layer>,
}

/// One layer of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its path in the variable store, with dots.
    pub name: String,
    /// What it is.
    pub kind: LayerKind,
    /// Channels, or features, in.
    pub in_channels: usize,
    /// Channels, or features, out.
    pub out_channels: usize,
    /// Side of its output, in pixels; 1 for a linear layer.
    pub side: usize,
    /// Weights and biases.
    pub parameters: usize,
    /// Multiply-adds for one image; a normalisation counts none.
    pub multiply_adds: u64,
}

/// Kinds of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerKind {
    /// W x + b.
    Linear,
    /// A convolution of this kernel and stride, in pixels.
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Step.
        stride: usize,
    },
    /// Group normalisation.
    GroupNorm,
}

/// One long skip of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongSkipPlan {
    /// The block whose output is kept.
    pub from: String,
    /// The stage whose output it joins.
    pub to: String,
    /// Channels of both.
    pub channels: usize,
    /// Side of both, in pixels.
    pub side: usize,
}

/// A step of the forward pass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) kind: StageKind,
}

/// What a stage does with the stream h and with the stack of kept encoder features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StageKind {
    /// h = conv(h).
    Conv(Conv2dConfig),
    /// h = short(h, F(h)), with so many channels.
    Block(usize),
    /// Keep h, then h = conv(h) with stride 2.
    Down(Conv2dConfig),
    /// Take the kept a, then h = long(a, conv(h as large as a)), then merge the channels of a
    /// concatenation.
    Up {
        conv: Conv2dConfig,
        merge: Option<Conv2dConfig>,
    },
}

impl Topology {
    /// Plans a network.
    ///
    /// # Errors
    /// As [`UNetConfig::check`].
    pub fn plan(config: &UNetConfig) -> Result<Topology, Error> {
        config.check()?;
        let stages = stages(config);
        let layers = layers(config, &stages);
        Ok(Topology {
            config: config.clone(),
            stages,
            layers,
        })
    }

    /// The layers, in the order of the forward pass.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The long skips, from the full resolution down; none for [`LongSkip::None`].
    pub fn long_skips(&self) -> Vec<LongSkipPlan> {
        if self.config.long == LongSkip::None {
            return Vec::new();
        }
        let (last, mut side) = (self.config.blocks - 1, self.config.side);
        let levels = self.config.multipliers.iter().enumerate();
        levels
            .take(self.config.multipliers.len() - 1)
            .map(|(level, multiplier)| {
                let skip = LongSkipPlan {
                    from: format!("encoder{level}.block{last}"),
                    to: format!("up{level}"),
                    channels: self.config.base * multiplier,
                    side,
                };
                side = side.div_ceil(2);
                skip
            })
            .collect()
    }

    /// Weights and biases in all.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// The part of [`parameters`](Self::parameters) that the long skips bring: 0 unless they
    /// concatenate.
    pub fn skip_parameters(&self) -> usize {
        let merges = self
            .layers
            .iter()
            .filter(|layer| layer.name.ends_with(".merge"));
        merges.map(|layer| layer.parameters).sum()
    }

    /// Floating-point operations of one forward pass over a batch: 2 for each multiply-add of a
    /// matrix or kernel, the padding included; biases, activations, normalisations, resizing and
    /// skips are left out.
    pub fn forward_flops(&self, batch: usize) -> u64 {
        2 * batch as u64
            * self
                .layers
                .iter()
                .map(|layer| layer.multiply_adds)
                .sum::<u64>()
    }

    #[cfg(feature = "tch")]
    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28} {:<14} {:>13} {:>6} {:>12}",
            "layer", "kind", "channels", "side", "parameters"
        )?;
        for layer in &self.layers {
            let kind = match layer.kind {
                LayerKind::Linear => "linear".to_owned(),
                LayerKind::GroupNorm => "group norm".to_owned(),
                LayerKind::Conv { kernel, stride: 1 } => format!("conv {kernel}x{kernel}"),
                LayerKind::Conv { kernel, stride } => format!("conv {kernel}x{kernel} / {stride}"),
            };
            let channels = format!("{} -> {}", layer.in_channels, layer.out_channels);
            let (name, side, parameters) = (&layer.name, layer.side, layer.parameters);
            writeln!(
                f,
                "{name:<28} {kind:<14} {channels:>13} {side:>6} {parameters:>12}"
            )?;
        }
        writeln!(
            f,
            "short skips: {:?}; long skips: {:?}",
            self.config.short, self.config.long
        )?;
        for LongSkipPlan {
            from,
            to,
            channels,
            side,
        } in self.long_skips()
        {
            writeln!(f, "  {from} -> {to}: {channels} channels, side {side}")?;
        }
        if 0 < self.skip_parameters() {
            let merges = self.skip_parameters();
            writeln!(
                f,
                "  concatenation adds {merges} parameters: not comparable at equal size"
            )?;
        }
        write!(
            f,
            "total: {} parameters, {} flops forward per image",
            self.parameters(),
            self.forward_flops(1)
        )
    }
}

/// The stages of the forward pass; the embedding of the label is not one of them.
fn stages(config: &UNetConfig) -> Vec<Stage> {
    let widths: Vec<usize> = config
        .multipliers
        .iter()
        .map(|factor| config.base * factor)
        .collect();
    let conv = |in_channels, out_channels, kernel, stride| Conv2dConfig {
        in_channels,
        out_channels,
        kernel,
        stride,
        init: config.init,
    };
    let middle = widths.len() - 1;
    let mut stages = Vec::new();
    let mut push = |name: String, kind| stages.push(Stage { name, kind });

    push(
        "read_in".to_owned(),
        StageKind::Conv(conv(config.channels, widths[0], 3, 1)),
    );
    for level in 0..middle {
        for block in 0..config.blocks {
            push(
                format!("encoder{level}.block{block}"),
                StageKind::Block(widths[level]),
            );
        }
        let halve = conv(widths[level], widths[level + 1], 3, 2);
        push(format!("down{level}"), StageKind::Down(halve));
    }
    for block in 0..config.blocks {
        push(
            format!("middle.block{block}"),
            StageKind::Block(widths[middle]),
        );
    }
    for level in (0..middle).rev() {
        let merge = match config.long {
            LongSkip::None | LongSkip::Add(_) => None,
            LongSkip::Concat(_) => Some(conv(2 * widths[level], widths[level], 1, 1)),
        };
        let conv = conv(widths[level + 1], widths[level], 3, 1);
        push(format!("up{level}"), StageKind::Up { conv, merge });
        for block in 0..config.blocks {
            push(
                format!("decoder{level}.block{block}"),
                StageKind::Block(widths[level]),
            );
        }
    }
    push(
        "read_out".to_owned(),
        StageKind::Conv(conv(widths[0], config.channels, 3, 1)),
    );
    stages
}

/// The layers of those stages, after the embedding of the label.
fn layers(config: &UNetConfig, stages: &[Stage]) -> Vec<Layer> {
    let mut layers = vec![linear(
        "embedding",
        2 * config.frequencies(),
        config.embedding(),
    )];
    let mut side = config.side;
    let mut kept = Vec::new();
    for Stage { name, kind } in stages {
        match kind {
            StageKind::Conv(conv) => layers.push(convolution(name, conv, side)),
            StageKind::Block(channels) => block(&mut layers, config, name, *channels, side),
            StageKind::Down(conv) => {
                kept.push(side);
                side = side.div_ceil(conv.stride);
                layers.push(convolution(name, conv, side));
            }
            StageKind::Up { conv, merge } => {
                side = kept.pop().unwrap_or(side);
                layers.push(convolution(&format!("{name}.conv"), conv, side));
                let merge = merge
                    .iter()
                    .map(|c| convolution(&format!("{name}.merge"), c, side));
                layers.extend(merge);
            }
        }
    }
    layers
}

/// The layers of one `resnet_blocks::ConvBlock`, in its order.
fn block(layers: &mut Vec<Layer>, config: &UNetConfig, name: &str, channels: usize, side: usize) {
    let conv = Conv2dConfig {
        in_channels: channels,
        out_channels: channels,
        kernel: 3,
        stride: 1,
        init: config.init,
    };
    let norm = |which: &str| {
        (config.norm == Norm::Group).then(|| Layer {
            name: format!("{name}.{which}"),
            kind: LayerKind::GroupNorm,
            in_channels: channels,
            out_channels: channels,
            side,
            parameters: 2 * channels,
            multiply_adds: 0,
        })
    };
    layers.extend(norm("norm1"));
    layers.push(convolution(&format!("{name}.conv1"), &conv, side));
    layers.push(linear(
        &format!("{name}.shift"),
        config.embedding(),
        channels,
    ));
    layers.extend(norm("norm2"));
    layers.push(convolution(&format!("{name}.conv2"), &conv, side));
}

fn linear(name: &str, in_channels: usize, out_channels: usize) -> Layer {
    Layer {
        name: name.to_owned(),
        kind: LayerKind::Linear,
        in_channels,
        out_channels,
        side: 1,
        parameters: (in_channels + 1) * out_channels,
        multiply_adds: (in_channels * out_channels) as u64,
    }
}

/// `side` is that of the output.
fn convolution(name: &str, conv: &Conv2dConfig, side: usize) -> Layer {
    let Conv2dConfig {
        in_channels,
        out_channels,
        kernel,
        stride,
        ..
    } = *conv;
    Layer {
        name: name.to_owned(),
        kind: LayerKind::Conv { kernel, stride },
        in_channels,
        out_channels,
        side,
        parameters: conv.parameters(),
        multiply_adds: (side * side * kernel * kernel * in_channels * out_channels) as u64,
    }
}
