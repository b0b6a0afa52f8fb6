//! The walk through a [`UNetConfig`], which writes down the steps of its forward pass.

mod parts;

use resnet_blocks::{Conv2dConfig, MagnitudeFlavour as Half};

use crate::{
    BlockPlan, DecoderAttention, Error, Layout, MagnitudeRole, Parts, ReadOut, Step, UNetConfig, Up,
};

/// The steps of a configuration that is checked.
pub(crate) fn steps(config: &UNetConfig) -> Result<Vec<Step>, Error> {
    let mut walk = Walk {
        config,
        steps: Vec::new(),
        last: String::new(),
        channels: config.frame.in_channels(),
        image: config.frame.in_channels(),
        kept: Vec::new(),
    };
    walk.read_in();
    match config.layout {
        Layout::Levels => walk.levels()?,
        Layout::Blocks => walk.blocks()?,
    }
    walk.read_out();
    Ok(walk.steps)
}

/// The forward pass on channels alone.
struct Walk<'a> {
    config: &'a UNetConfig,
    steps: Vec<Step>,
    /// The last block.
    last: String,
    /// Channels of the stream, and of the second path's image.
    channels: usize,
    image: usize,
    /// Channels of the kept features.
    kept: Vec<usize>,
}

impl Walk<'_> {
    fn levels(&mut self) -> Result<(), Error> {
        let UNetConfig {
            widths,
            blocks,
            attention,
            ..
        } = self.config;
        let middle = widths.len() - 1;
        for level in 0..middle {
            let attends = self.config.encoder_attends(level);
            for block in 0..*blocks {
                let stage = format!("encoder{level}");
                self.attended_block(&stage, block, widths[level], attends, Half::Encoder)?;
            }
            self.keep();
            self.down(level, widths[level + 1]);
        }
        for block in 0..*blocks {
            let attends = self.config.middle_attends(block);
            self.attended_block("middle", block, widths[middle], attends, Half::Decoder)?;
        }
        self.add_output(middle);
        for level in (0..middle).rev() {
            self.up(level, widths[level]);
            self.join(format!("up{level}"), level);
            if let (Parts::Residual(parts), true) =
                (self.config.parts, self.config.long.concatenates())
                && !matches!(parts.up, Up::Plain(_))
            {
                let merge = Conv2dConfig::new(self.channels, widths[level], 1, parts.init);
                self.block(
                    format!("up{level}.merge"),
                    BlockPlan::Conv(merge),
                    widths[level],
                );
            }
            for block in 0..*blocks {
                let attends = self.config.encoder_attends(level)
                    && (attention.decoder == DecoderAttention::EveryBlock || block + 1 == *blocks);
                let stage = format!("decoder{level}");
                self.attended_block(&stage, block, widths[level], attends, Half::Decoder)?;
            }
            self.add_output(level);
        }
        Ok(())
    }

    fn blocks(&mut self) -> Result<(), Error> {
        let UNetConfig {
            widths,
            blocks,
            attention,
            ..
        } = self.config;
        let deepest = widths.len() - 1;
        self.keep();
        for (level, width) in widths.iter().enumerate() {
            for block in 0..*blocks {
                let attends = self.config.encoder_attends(level);
                let stage = format!("encoder{level}");
                self.attended_block(&stage, block, *width, attends, Half::Encoder)?;
                self.keep();
            }
            if level < deepest {
                self.down(level, *width);
                self.keep();
            }
        }
        for block in 0..2 {
            let attends = self.config.middle_attends(block);
            self.attended_block("middle", block, widths[deepest], attends, Half::Decoder)?;
        }
        for (level, width) in widths.iter().enumerate().rev() {
            for block in 0..=*blocks {
                let index = level * (blocks + 1) + blocks - block;
                self.join(format!("decoder{level}.skip{block}"), index);
                let attends = self.config.encoder_attends(level)
                    && (attention.decoder == DecoderAttention::EveryBlock || block == *blocks);
                let stage = format!("decoder{level}");
                self.attended_block(&stage, block, *width, attends, Half::Decoder)?;
            }
            self.add_output(level);
            if 0 < level {
                self.up(level - 1, *width);
            }
        }
        Ok(())
    }

    fn read_in(&mut self) {
        let (in_channels, out_channels) = (self.channels, self.config.stem);
        let plan = match self.config.parts {
            Parts::Residual(parts) => {
                BlockPlan::Conv(Conv2dConfig::new(in_channels, out_channels, 3, parts.init))
            }
            Parts::Magnitude(_) => BlockPlan::MagnitudeConv {
                in_channels,
                out_channels,
                role: MagnitudeRole::ReadIn,
            },
        };
        self.block("read_in".to_owned(), plan, out_channels);
    }

    fn read_out(&mut self) {
        let (in_channels, out_channels) = (self.channels, self.config.frame.out_channels);
        let plan = match self.config.parts {
            Parts::Magnitude(_) => BlockPlan::MagnitudeConv {
                in_channels,
                out_channels,
                role: MagnitudeRole::ReadOut,
            },
            Parts::Residual(parts) => {
                let conv = Conv2dConfig::new(in_channels, out_channels, 3, parts.init);
                match parts.read_out {
                    ReadOut::Conv { gain } => BlockPlan::Conv(conv.gained(gain)),
                    ReadOut::NormConv { norm, gain } | ReadOut::EveryLevel { norm, gain, .. } => {
                        let conv = conv.gained(gain);
                        BlockPlan::ReadOut { norm, conv }
                    }
                }
            }
        };
        self.block("read_out".to_owned(), plan, out_channels);
    }
}
