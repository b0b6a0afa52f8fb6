//! The forward pass on shapes alone, which finds its steps, and what does not fit.

mod parts;

use super::{
    config::{BlockType, Config, MidBlock, Sampling, TimeInjection},
    layer::{Border, Conv, Norm, Resample, Resnet, Step},
    plan::{norm_out, quarter},
};
use crate::Error;

/// The steps from the read-in to the read-out, both left out; an error lists all that does not fit.
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
    kept: Vec<Feature>,
    /// Halvings of the small input image, and of the small output image once there is one.
    input: usize,
    output: Option<usize>,
}

/// Channels of the small images of NCSN++'s second paths, whatever the network's own.
const IMAGE_CHANNELS: usize = 3;

impl<'a> Walk<'a> {
    fn begin(config: &'a Config) -> Walk<'a> {
        let mut walk = Walk {
            config,
            steps: Vec::new(),
            problems: Vec::new(),
            stream: Feature {
                channels: config.block_out_channels[0],
                halvings: 0,
            },
            kept: Vec::new(),
            input: 0,
            output: None,
        };
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
                let conv = conv(format!("{sampler}.conv"), channels, channels, 3);
                self.push(Step::Downsample(conv));
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
                let conv = conv(format!("{name}.skip_conv"), IMAGE_CHANNELS, channels, 1);
                self.push(Step::AddInput(conv));
            }
            (BlockType::KDiffusion, _) => {
                self.push(Step::Resample(Resample::HalveFir(Border::Mirror)));
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
            let resnet = self.plain_resnet(name, channels, channels, [groups; 2]);
            self.push(Step::Resnet(Resnet {
                divisor: config.mid_block_scale_factor,
                ..resnet
            }));
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
            self.concat(&name);
            self.push(Step::Forget(layers - 1));
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
                self.concat(&name);
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
            self.push(Step::GrowOutput);
            self.output = self.output.map(|halvings| halvings.saturating_sub(1));
        }
        if level == last {
            return;
        }
        let sampler = format!("{name}.upsamplers.0");
        match (kind, self.config.upsample_type) {
            (BlockType::Plain, _) | (BlockType::Attention, Sampling::Conv) => {
                let conv = conv(format!("{sampler}.conv"), channels, channels, 3);
                self.push(Step::Upsample(conv));
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
                self.push(Step::AddOutput {
                    norm: Norm {
                        name: format!("{name}.skip_norm"),
                        channels,
                        groups,
                    },
                    conv: conv(format!("{name}.skip_conv"), channels, IMAGE_CHANNELS, 3),
                });
                let name = format!("{name}.resnet_up");
                let double = Some(Resample::DoubleFir(Border::Zeros));
                self.resnet(kind, name, channels, channels, [groups; 2], double);
            }
            (BlockType::KDiffusion, _) => {
                self.push(Step::Resample(Resample::DoubleFir(Border::Mirror)));
                self.double();
            }
        }
    }

    /// The read-out, and the output image that is added to it.
    fn end(&mut self) {
        let norm = norm_out(self.config);
        if self.stream
            != (Feature {
                channels: norm.channels,
                halvings: 0,
            })
        {
            self.problems.push(format!(
                "the way up ends with {} channels at 1/2^{} of the side instead of the {} and the whole side of its beginning",
                self.stream.channels, self.stream.halvings, norm.channels
            ));
        }
        self.check_groups(&norm.name, norm.channels, norm.groups);
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

    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn keep(&mut self) {
        self.push(Step::Keep);
        self.kept.push(self.stream);
    }

    fn double(&mut self) {
        self.stream.halvings = self.stream.halvings.saturating_sub(1);
    }

    fn concat(&mut self, name: &str) {
        self.push(Step::Concat);
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

fn conv(name: String, in_channels: usize, out_channels: usize, kernel: usize) -> Conv {
    Conv {
        name,
        in_channels,
        out_channels,
        kernel,
    }
}
