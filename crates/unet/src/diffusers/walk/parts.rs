//! Residual blocks and attention, as each kind of level has them.

use super::Walk;
use crate::diffusers::{
    config::{BlockType, TimeInjection},
    layer::{Attention, Injection, Norm, Resample, Resnet, Shortcut, Step},
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
        let plain = self.plain_resnet(name, in_channels, out_channels, groups);
        let resnet = match kind {
            BlockType::Plain | BlockType::Attention | BlockType::Resnet => plain,
            BlockType::Skip | BlockType::AttentionSkip => Resnet {
                shortcut: match resample {
                    Some(_) => Shortcut::Conv,
                    None => plain.shortcut,
                },
                divisor: 2f64.sqrt(),
                ..plain
            },
            BlockType::KDiffusion => Resnet {
                injection: Injection::Adaptive,
                shortcut: match plain.shortcut {
                    Shortcut::Conv => Shortcut::ConvWithoutBias,
                    other => other,
                },
                ..plain
            },
        };
        self.push(Step::Resnet(Resnet { resample, ..resnet }));
        self.stream.channels = out_channels;
        match resample {
            None => {}
            Some(resample) if resample.halves() => self.stream.halvings += 1,
            Some(_) => self.double(),
        }
    }

    pub(super) fn plain_resnet(
        &self,
        name: String,
        in_channels: usize,
        out_channels: usize,
        groups: [usize; 2],
    ) -> Resnet {
        Resnet {
            name,
            in_channels,
            out_channels,
            embedding: self.config.embedding(),
            groups,
            injection: match self.config.resnet_time_scale_shift {
                TimeInjection::Shift => Injection::Shift,
                TimeInjection::ScaleShift => Injection::ScaleShift,
            },
            resample: None,
            shortcut: if in_channels == out_channels {
                Shortcut::Identity
            } else {
                Shortcut::Conv
            },
            divisor: 1.0,
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
        let norm = groups.map(|groups| Norm {
            name: format!("{name}.group_norm"),
            channels,
            groups,
        });
        self.push(Step::Attention(Attention {
            name,
            channels,
            heads,
            head_channels,
            norm,
            divisor,
        }));
    }
}
