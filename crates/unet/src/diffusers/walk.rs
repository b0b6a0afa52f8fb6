//! The forward pass on shapes alone, which writes the steps of a configuration, and what does not fit.

mod parts;

use resnet_blocks::{Border, Conv2dConfig, Init, LongSkip, Resample, ShortSkip};

use super::config::{BlockType, Config, MidBlock, Sampling, TimeInjection};
use crate::{
    Error,
    topology::{BlockPlan, InputPath, Join, Step},
};

/// The steps from the read-in to the read-out; an error lists all that does not fit.
pub(super) fn walk(config: &Config) -> Result<Vec<Step>, Error> {
    let mut walk = Walk::begin(config);
    for level in 0..config.down_block_types.len() {
        walk.down(level);
    }
    walk.middle();
    for level in 0..config.up_block_types.len() {
        walk.up(level);
    }
    walk.end();
    walk.problems.dedup();
    if walk.problems.is_empty() {
        Ok(walk.steps)
    } else {
        Err(Error::Config {
            problems: walk.problems,
        })
    }
}

/// Channels of a feature, and how often its side was halved.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Feature {
    channels: usize,
    halvings: usize,
}

/// The forward pass on features alone: it writes down the steps, and what does not fit.
struct Walk<'a> {
    config: &'a Config,
    steps: Vec<Step>,
    problems: Vec<String>,
    stream: Feature,
    /// Where the stream was made.
    from: String,
    kept: Vec<Feature>,
    /// Halvings of the small input image, and of the small output image once there is one.
    input: usize,
    output: Option<usize>,
}

/// Channels of the small images of NCSN++'s second paths, whatever the network's own.
const IMAGE_CHANNELS: usize = 3;

impl<'a> Walk<'a> {
    fn begin(config: &'a Config) -> Walk<'a> {
        let channels = config.block_out_channels[0];
        let mut walk = Walk {
            config,
            steps: Vec::new(),
            problems: Vec::new(),
            stream: Feature {
                channels,
                halvings: 0,
            },
            from: String::new(),
            kept: Vec::new(),
            input: 0,
            output: None,
        };
        walk.block(
            "conv_in".to_owned(),
            BlockPlan::Conv(conv(config.in_channels, channels, 3)),
        );
        walk.keep();
        walk
    }

    fn down(&mut self, level: usize) {
        let name = format!("down_blocks.{level}");
        let kind = self.config.down_block_types[level];
        let channels = self.config.block_out_channels[level];
        for layer in 0..self.config.layers_per_block {
            let inputs = self.stream.channels;
            let groups = match kind {
                BlockType::Skip | BlockType::AttentionSkip => [quarter(inputs), quarter(channels)],
                BlockType::KDiffusion => [inputs / 32, channels / 32],
                BlockType::Plain | BlockType::Attention | BlockType::Resnet => self.groups(&name),
            };
            self.resnet(
                kind,
                format!("{name}.resnets.{layer}"),
                inputs,
                channels,
                groups,
                None,
            );
            if let BlockType::Attention | BlockType::AttentionSkip = kind {
                self.attention_of(kind, format!("{name}.attentions.{layer}"));
            }
            self.keep();
        }
        if level + 1 == self.config.block_out_channels.len() {
            return;
        }
        let sampler = format!("{name}.downsamplers.0");
        match (kind, self.config.downsample_type) {
            (BlockType::Plain, _) | (BlockType::Attention, Sampling::Conv) => {
                let halving = conv(channels, channels, 3).halving(self.config.downsample_padding);
                self.block(format!("{sampler}.conv"), BlockPlan::Conv(halving));
                self.stream.halvings += 1;
            }
            (BlockType::Resnet, _) | (BlockType::Attention, Sampling::Resnet) => {
                let groups = self.groups(&sampler);
                let halve = Some(Resample::HalveMean);
                self.resnet(kind, sampler, channels, channels, groups, halve);
            }
            (BlockType::Skip | BlockType::AttentionSkip, _) => {
                let halve = Some(Resample::HalveFir(Border::Zeros));
                let groups = [quarter(channels); 2];
                self.resnet(
                    kind,
                    format!("{name}.resnet_down"),
                    channels,
                    channels,
                    groups,
                    halve,
                );
                self.input += 1;
                if self.input != self.stream.halvings || self.config.in_channels != IMAGE_CHANNELS {
                    self.problems.push(format!(
                        "`{name}` adds the image of {IMAGE_CHANNELS} channels, halved by each skip level so far, to its feature, so `in_channels` must be {IMAGE_CHANNELS} and the levels above it be skip levels"
                    ));
                }
                let name = format!("{name}.skip_conv");
                self.from.clone_from(&name);
                self.steps.push(Step::AddInput {
                    name,
                    resample: halve,
                    plan: BlockPlan::Conv(conv(IMAGE_CHANNELS, channels, 1)),
                    scale: 1.0,
                    then: InputPath::Image,
                });
            }
            (BlockType::KDiffusion, _) => {
                let halve = Resample::HalveFir(Border::Mirror);
                self.block(sampler, BlockPlan::Resample(halve));
                self.stream.halvings += 1;
                return; // the level below it begins with a feature that is not kept
            }
        }
        self.keep();
    }

    fn middle(&mut self) {
        let config = self.config;
        if config.mid_block_type == MidBlock::None {
            return;
        }
        let channels = self.stream.channels;
        let groups = config.norm_num_groups.unwrap_or(quarter(channels));
        for layer in 0..2 {
            self.check_groups("mid_block", channels, groups);
            let name = format!("mid_block.resnets.{layer}");
            let mut resnet = self.plain_resnet(channels, channels, [groups; 2]);
            resnet.short = divided(config.mid_block_scale_factor);
            self.block(name, BlockPlan::Residual(resnet));
            if layer == 0 && config.mid_block_type == MidBlock::ResnetsAndAttention {
                let groups = match (config.attn_norm_num_groups, config.resnet_time_scale_shift) {
                    (Some(groups), _) => Some(groups),
                    (None, TimeInjection::Shift) => Some(groups),
                    (None, TimeInjection::ScaleShift) => None,
                };
                let name = "mid_block.attentions.0".to_owned();
                self.attention(name, groups, config.mid_block_scale_factor);
            }
        }
    }

    fn up(&mut self, level: usize) {
        let name = format!("up_blocks.{level}");
        let kind = self.config.up_block_types[level];
        let last = self.config.block_out_channels.len() - 1;
        // Of the level from the deepest, which is 0.
        let channels_of = |level: usize| self.config.block_out_channels[last - level.min(last)];
        let (channels, next) = (channels_of(level), channels_of(level + 1));
        let before = channels_of(level.saturating_sub(1));
        let layers = self.config.layers_per_block;
        if kind == BlockType::KDiffusion {
            self.concat(&name, 0);
            self.steps.push(Step::Forget(layers - 1));
            self.kept
                .truncate((self.kept.len() + 1).saturating_sub(layers));
            for layer in 0..layers {
                let inputs = if layer == 0 { 2 * channels } else { channels };
                let outputs = if layer + 1 == layers { next } else { channels };
                let groups = [inputs / 32, channels / 32];
                let name = format!("{name}.resnets.{layer}");
                self.resnet(kind, name, inputs, outputs, groups, None);
            }
        } else {
            for layer in 0..=layers {
                self.concat(&name, layer);
                let stream = if layer == 0 { before } else { channels };
                let skip = if layer == layers { next } else { channels };
                let inputs = stream + skip;
                let groups = match kind {
                    BlockType::Skip => [quarter(inputs), quarter(channels)],
                    // Only the skip's channels are divided by 4 in diffusers.
                    BlockType::AttentionSkip => [(stream + skip / 4).min(32), quarter(channels)],
                    _ => self.groups(&name),
                };
                self.resnet(
                    kind,
                    format!("{name}.resnets.{layer}"),
                    inputs,
                    channels,
                    groups,
                    None,
                );
                if kind == BlockType::Attention {
                    self.attention_of(kind, format!("{name}.attentions.{layer}"));
                }
            }
        }
        if kind == BlockType::AttentionSkip {
            self.attention_of(kind, format!("{name}.attentions.0"));
        }
        if let BlockType::Skip | BlockType::AttentionSkip = kind {
            let double = Resample::DoubleFir(Border::Zeros);
            self.steps.push(Step::GrowOutput(double));
            self.output = self.output.map(|halvings| halvings.saturating_sub(1));
        }
        if level == last {
            return;
        }
        let sampler = format!("{name}.upsamplers.0");
        match (kind, self.config.upsample_type) {
            (BlockType::Plain, _) | (BlockType::Attention, Sampling::Conv) => {
                self.steps.push(Step::Double(Resample::DoubleNearest));
                let conv = BlockPlan::Conv(conv(channels, channels, 3));
                self.block(format!("{sampler}.conv"), conv);
                self.double();
            }
            (BlockType::Resnet, _) | (BlockType::Attention, Sampling::Resnet) => {
                let groups = self.groups(&sampler);
                let double = Some(Resample::DoubleNearest);
                self.resnet(kind, sampler, channels, channels, groups, double);
            }
            (BlockType::Skip | BlockType::AttentionSkip, _) => {
                let groups = quarter(channels);
                self.fits_output(&name);
                self.output = Some(self.stream.halvings);
                self.check_groups(&name, channels, groups);
                let norm = self.group_norm(groups);
                self.steps.push(Step::AddOutput {
                    name: format!("{name}.skip"),
                    norm,
                    conv: conv(channels, IMAGE_CHANNELS, 3),
                });
                let name = format!("{name}.resnet_up");
                let double = Some(Resample::DoubleFir(Border::Zeros));
                self.resnet(kind, name, channels, channels, [groups; 2], double);
            }
            (BlockType::KDiffusion, _) => {
                self.steps
                    .push(Step::Double(Resample::DoubleFir(Border::Mirror)));
                self.double();
            }
        }
    }

    /// The read-out, and the output image that is added to it.
    fn end(&mut self) {
        let channels = self.config.block_out_channels[0];
        let groups = self.config.norm_num_groups.unwrap_or(quarter(channels));
        let begin = Feature {
            channels,
            halvings: 0,
        };
        if self.stream != begin {
            self.problems.push(format!(
                "the way up ends with {} channels at 1/2^{} of the side instead of the {} and the whole side of its beginning",
                self.stream.channels, self.stream.halvings, channels
            ));
        }
        self.check_groups("conv_norm_out", channels, groups);
        let read_out = BlockPlan::ReadOut {
            norm: self.group_norm(groups),
            conv: conv(channels, self.config.out_channels, 3),
        };
        self.block("conv_out".to_owned(), read_out);
        self.fits_output("conv_out");
        if self.output.is_some() && self.config.out_channels != IMAGE_CHANNELS {
            self.problems.push(format!(
                "skip levels add an image of {IMAGE_CHANNELS} channels to the output, but `out_channels` is {}",
                self.config.out_channels
            ));
        }
    }

    fn fits_output(&mut self, name: &str) {
        if self
            .output
            .is_some_and(|halvings| halvings != self.stream.halvings)
        {
            self.problems.push(format!(
                "`{name}` adds the output image of the skip levels before it, so every level between must be a skip level"
            ));
        }
    }

    /// Writes a block down; what it does to the stream is the caller's to say.
    fn block(&mut self, name: String, plan: BlockPlan) {
        self.from.clone_from(&name);
        self.steps.push(Step::Block { name, plan });
    }

    fn keep(&mut self) {
        let from = self.from.clone();
        self.steps.push(Step::Keep { from });
        self.kept.push(self.stream);
    }

    fn double(&mut self) {
        self.stream.halvings = self.stream.halvings.saturating_sub(1);
    }

    fn concat(&mut self, name: &str, index: usize) {
        self.steps.push(Step::Join(Join {
            name: format!("{name}.skips.{index}"),
            rule: LongSkip::Concat(1.0),
            projection: None,
        }));
        let Some(kept) = self.kept.pop() else {
            self.problems.push(format!(
                "`{name}` would join more features than the way down keeps"
            ));
            return;
        };
        if kept.halvings != self.stream.halvings {
            self.problems.push(format!(
                "`{name}` would join features of different sides: its kind does not fit that of the levels on the way down"
            ));
        }
        self.stream.channels += kept.channels;
    }
}

/// What a null `norm_num_groups` means, and what NCSN++'s levels have whatever it is.
fn quarter(channels: usize) -> usize {
    (channels / 4).min(32)
}

fn conv(in_channels: usize, out_channels: usize, kernel: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel, Init::PyTorch)
}

/// (h + F(h)) / divisor.
fn divided(divisor: f64) -> ShortSkip {
    if divisor == 1.0 {
        ShortSkip::Identity
    } else {
        ShortSkip::Averaged(1.0 / divisor)
    }
}
