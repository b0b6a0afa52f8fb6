//! The single parts: blocks, halving, doubling, kept features and joins.

use std::f64::consts::FRAC_1_SQRT_2;

use resnet_blocks::{
    Attention, Bias, Conditioning, Conv2dConfig, ConvBlockConfig, Init, Injection, LongSkip,
    MagnitudeBlockConfig, MagnitudeFlavour as Half, Projection, ResBlockConfig, Resample,
};

use super::Walk;
use crate::{
    BlockPlan, Down, Error, InputPath, Join, MagnitudeParts, Parts, ProgressiveInput, ReadOut,
    ResidualParts, ShortcutAt, Step, Up,
};

impl Walk<'_> {
    /// The block of this number on a stage, and the attention behind it.
    pub(super) fn attended_block(
        &mut self,
        stage: &str,
        number: usize,
        outputs: usize,
        attends: bool,
        half: Half,
    ) -> Result<(), Error> {
        let name = format!("{stage}.block{number}");
        let heads = if attends {
            self.config.attention.heads.of(outputs)?
        } else {
            0
        };
        match self.config.parts {
            Parts::Magnitude(parts) => {
                let block = self.magnitude(&parts, outputs, None, heads, half);
                self.block(name, block, outputs);
            }
            Parts::Residual(parts) => {
                let block = self.residual(&parts, outputs, None);
                self.block(name, block, outputs);
                if attends {
                    let attention = Attention {
                        channels: outputs,
                        heads,
                        head_channels: outputs / heads,
                        norm: parts.attention.norm,
                        scores: parts.attention.scores,
                        short: parts.attention.short,
                        init: parts.init,
                        gain: parts.attention.gain,
                        last_gain: parts.attention.last_gain,
                    };
                    let name = format!("{stage}.attention{number}");
                    self.block(name, BlockPlan::Attention(attention), outputs);
                }
            }
        }
        Ok(())
    }

    fn residual(
        &self,
        parts: &ResidualParts,
        outputs: usize,
        resample: Option<Resample>,
    ) -> BlockPlan {
        let shortcut = parts.shortcut;
        let projected = self.channels != outputs
            || resample.is_some() && shortcut.at == ShortcutAt::ChannelsOrSide;
        let conditioning = match parts.injection {
            Injection::None => Conditioning::NONE,
            injection => Conditioning {
                injection,
                width: self.config.embedding.width,
                activation: None,
                init: parts.init,
            },
        };
        BlockPlan::Residual(ResBlockConfig {
            branch: ConvBlockConfig {
                in_channels: self.channels,
                out_channels: outputs,
                conditioning,
                activation: parts.activation,
                norms: [parts.norm; 2],
                resample,
                dropout: parts.dropout,
                init: parts.init,
                last_gain: parts.last_gain,
            },
            projection: if projected {
                Projection::Conv {
                    kernel: shortcut.kernel,
                    bias: shortcut.bias,
                }
            } else {
                Projection::None
            },
            short: parts.short,
        })
    }

    fn magnitude(
        &self,
        parts: &MagnitudeParts,
        outputs: usize,
        resample: Option<Resample>,
        heads: usize,
        half: Half,
    ) -> BlockPlan {
        BlockPlan::Magnitude(MagnitudeBlockConfig {
            in_channels: self.channels,
            out_channels: outputs,
            embedding: self.config.embedding.width,
            flavour: half,
            resample,
            heads,
            balance: parts.balance,
            attention_balance: parts.attention_balance,
            dropout: parts.dropout,
            clip: parts.clip,
        })
    }

    /// Halves the stream, with so many channels behind it if the halving has parameters.
    pub(super) fn down(&mut self, level: usize, outputs: usize) {
        let name = format!("down{level}");
        match self.config.parts {
            Parts::Magnitude(parts) => {
                let halve = Some(parts.filter.halve());
                let block = self.magnitude(&parts, outputs, halve, 0, Half::Encoder);
                self.block(format!("{name}.block"), block, outputs);
            }
            Parts::Residual(parts) => {
                let conv = Conv2dConfig::new(self.channels, outputs, 3, parts.init);
                match parts.down {
                    Down::Strided(padding) => {
                        self.block(name, BlockPlan::Conv(conv.halving(padding)), outputs);
                    }
                    Down::Plain(filter) => self.resample(name, filter.halve()),
                    Down::Conv(filter) => {
                        self.resample(format!("{name}.filter"), filter.halve());
                        self.block(format!("{name}.conv"), BlockPlan::Conv(conv), outputs);
                    }
                    Down::Block(filter) => {
                        let block = self.residual(&parts, outputs, Some(filter.halve()));
                        self.block(format!("{name}.block"), block, outputs);
                    }
                }
                self.add_input(&parts, level);
            }
        }
    }

    /// Doubles the stream to a level, with so many channels behind it if the doubling has parameters.
    pub(super) fn up(&mut self, level: usize, outputs: usize) {
        let name = format!("up{level}");
        match self.config.parts {
            Parts::Magnitude(parts) => {
                let double = Some(parts.filter.double());
                let block = self.magnitude(&parts, outputs, double, 0, Half::Decoder);
                self.block(format!("{name}.block"), block, outputs);
            }
            Parts::Residual(parts) => match parts.up {
                Up::Plain(filter) => self.steps.push(Step::Double(filter.double())),
                Up::Conv(filter) => {
                    self.steps.push(Step::Double(filter.double()));
                    let conv = Conv2dConfig::new(self.channels, outputs, 3, parts.init);
                    self.block(format!("{name}.conv"), BlockPlan::Conv(conv), outputs);
                }
                Up::Block(filter) => {
                    let block = self.residual(&parts, outputs, Some(filter.double()));
                    self.block(format!("{name}.block"), block, outputs);
                }
            },
        }
    }

    /// Adds the second path's image to the stream.
    fn add_input(&mut self, parts: &ResidualParts, level: usize) {
        let (in_channels, out_channels) = (self.image, self.channels);
        let name = format!("input{level}");
        let step = match parts.progressive {
            ProgressiveInput::None => return,
            ProgressiveInput::Skip(filter) => Step::AddInput {
                name,
                resample: Some(filter.halve()),
                plan: BlockPlan::Conv(Conv2dConfig::new(in_channels, out_channels, 1, parts.init)),
                scale: 1.0,
                then: InputPath::Image,
            },
            ProgressiveInput::Residual => {
                self.image = out_channels;
                Step::AddInput {
                    name,
                    resample: None,
                    plan: BlockPlan::FilteredConv {
                        in_channels,
                        out_channels,
                        init: parts.init,
                    },
                    scale: FRAC_1_SQRT_2,
                    then: InputPath::Stream,
                }
            }
        };
        self.steps.push(step);
    }

    /// Brings the output path's image to the stream's size, and adds the stream of a level but the first,
    /// which the read-out adds.
    pub(super) fn add_output(&mut self, level: usize) {
        let Parts::Residual(parts) = self.config.parts else {
            return;
        };
        let ReadOut::EveryLevel { norm, gain, filter } = parts.read_out else {
            return;
        };
        self.steps.push(Step::GrowOutput(filter.double()));
        if 0 < level {
            let outputs = self.config.frame.out_channels;
            let conv = Conv2dConfig::new(self.channels, outputs, 3, parts.init).gained(gain);
            let name = format!("output{level}");
            self.steps.push(Step::AddOutput { name, norm, conv });
        }
    }

    pub(super) fn keep(&mut self) {
        self.kept.push(self.channels);
        let from = self.last.clone();
        self.steps.push(Step::Keep { from });
    }

    /// Joins the topmost kept feature, the one of this index from the full resolution down.
    pub(super) fn join(&mut self, name: String, index: usize) {
        let carried = self.kept.pop().expect("the layout keeps what it joins");
        let rule = self.config.long.at(index);
        let stream = self.channels;
        let projects = matches!(rule, LongSkip::Add(_)) && carried != stream;
        let projection = projects.then(|| match self.config.parts {
            Parts::Residual(parts) => Conv2dConfig::new(carried, stream, 1, parts.init),
            Parts::Magnitude(_) => Conv2dConfig {
                bias: Bias::None,
                ..Conv2dConfig::new(carried, stream, 1, Init::LeCun)
            },
        });
        if rule.concatenates() {
            self.channels += carried;
        }
        self.steps.push(Step::Join(Join {
            name,
            rule,
            projection,
        }));
    }

    fn resample(&mut self, name: String, resample: Resample) {
        let channels = self.channels;
        self.block(name, BlockPlan::Resample(resample), channels);
    }

    /// A block with so many channels out.
    pub(super) fn block(&mut self, name: String, plan: BlockPlan, outputs: usize) {
        self.last.clone_from(&name);
        self.channels = outputs;
        self.steps.push(Step::Block { name, plan });
    }
}
