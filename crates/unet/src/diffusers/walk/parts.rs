//! Residual blocks and attention, as each kind of level has them.

use resnet_blocks::{
    Attention, AttentionScores, Bias, Conditioning, ConvBlockConfig, Dropout, Groups, Init,
    Injection, Norm, Projection, ResBlockConfig, Resample, ShortSkip,
};

use super::{Walk, divided};
use crate::{
    diffusers::config::{BlockType, TimeInjection},
    topology::BlockPlan,
};

impl Walk<'_> {
    /// The groups of the kinds that ask, twice.
    pub(super) fn groups(&mut self, name: &str) -> [usize; 2] {
        let groups = self.config.norm_num_groups.unwrap_or_else(|| {
            self.problems.push(format!(
                "`norm_num_groups` is null, but `{name}` needs a number"
            ));
            1
        });
        [groups; 2]
    }

    pub(super) fn check_groups(&mut self, name: &str, channels: usize, groups: usize) {
        if groups == 0 || !channels.is_multiple_of(groups) {
            self.problems.push(format!(
                "`{name}` normalises {channels} channels in {groups} groups, which must divide them"
            ));
        }
    }

    pub(super) fn group_norm(&self, groups: usize) -> Norm {
        Norm::Group {
            groups: Groups::Exactly(groups),
            eps: self.config.norm_eps,
        }
    }

    pub(super) fn resnet(
        &mut self,
        kind: BlockType,
        name: String,
        in_channels: usize,
        out_channels: usize,
        groups: [usize; 2],
        resample: Option<Resample>,
    ) {
        if self.stream.channels != in_channels {
            self.problems.push(format!(
                "`{name}` is made for {in_channels} channels but would get {}: its kind does not fit that of the other levels",
                self.stream.channels
            ));
        }
        self.check_groups(&name, in_channels, groups[0]);
        self.check_groups(&name, out_channels, groups[1]);
        let mut resnet = self.plain_resnet(in_channels, out_channels, groups);
        resnet.branch.resample = resample;
        match kind {
            BlockType::Plain | BlockType::Attention | BlockType::Resnet => {}
            BlockType::Skip | BlockType::AttentionSkip => {
                if resample.is_some() {
                    resnet.projection = Projection::Conv {
                        kernel: 1,
                        bias: Bias::Learned,
                    };
                }
                resnet.short = divided(2f64.sqrt());
            }
            BlockType::KDiffusion => {
                let conditioning = &mut resnet.branch.conditioning;
                conditioning.injection = Injection::Adaptive;
                conditioning.activation = None;
                if let Projection::Conv { bias, .. } = &mut resnet.projection {
                    *bias = Bias::None;
                }
            }
        }
        self.block(name, BlockPlan::Residual(resnet));
        self.stream.channels = out_channels;
        match resample {
            None => {}
            Some(resample) if resample.halves() => self.stream.halvings += 1,
            Some(_) => self.double(),
        }
    }

    pub(super) fn plain_resnet(
        &self,
        in_channels: usize,
        out_channels: usize,
        groups: [usize; 2],
    ) -> ResBlockConfig {
        let config = self.config;
        ResBlockConfig {
            branch: ConvBlockConfig {
                in_channels,
                out_channels,
                conditioning: Conditioning {
                    injection: match config.resnet_time_scale_shift {
                        TimeInjection::Shift => Injection::Shift,
                        TimeInjection::ScaleShift => Injection::ScaleShift,
                    },
                    width: config.embedding_width(),
                    activation: Some(config.act_fn),
                    init: Init::PyTorch,
                },
                activation: config.act_fn,
                norms: groups.map(|groups| self.group_norm(groups)),
                resample: None,
                dropout: if config.dropout == 0.0 {
                    Dropout::None
                } else {
                    Dropout::Elements(config.dropout)
                },
                init: Init::PyTorch,
                last_gain: 1.0,
            },
            projection: Projection::fit(in_channels, out_channels),
            short: ShortSkip::Identity,
        }
    }

    /// The attention of a level.
    pub(super) fn attention_of(&mut self, kind: BlockType, name: String) {
        if kind == BlockType::AttentionSkip {
            self.attention(name, Some(32), 2f64.sqrt());
        } else {
            let [groups, _] = self.groups(&name);
            self.attention(name, Some(groups), 1.0);
        }
    }

    pub(super) fn attention(&mut self, name: String, groups: Option<usize>, divisor: f64) {
        let channels = self.stream.channels;
        let head_channels = self.config.attention_head_dim.unwrap_or(channels);
        let heads = channels / head_channels;
        if heads == 0 {
            self.problems.push(format!(
                "`{name}` has {channels} channels, fewer than one head of `attention_head_dim` {head_channels}"
            ));
        }
        if let Some(groups) = groups {
            self.check_groups(&name, channels, groups);
        }
        let attention = Attention {
            channels,
            heads,
            head_channels,
            norm: groups.map_or(Norm::None, |groups| self.group_norm(groups)),
            scores: AttentionScores::Dot,
            short: divided(divisor),
            init: Init::PyTorch,
            gain: 1.0,
            last_gain: 1.0,
        };
        self.block(name, BlockPlan::Attention(attention));
    }
}
