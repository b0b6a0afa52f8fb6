//! A residual multilayer perceptron for data of few dimensions.

use tch::Tensor;

use crate::{
    Block, Error, Linear, MlpBlock, MlpBlockConfig, Mode, Network, Params, ResidualMlpConfig,
    ShortSkip, Skip,
};

/// h = W [x, label] + b; h = skip(h, F_k(h)) for every block k; result W' h + b'.
///
/// Layers: `read_in`, `block0.linear1`, `block0.linear2`, ..., `read_out`. The read-out is linear,
/// with no activation before it. With [`ShortSkip::None`] this is a plain network of the same
/// parameters, names and initial values.
///
/// # Shapes
/// x: `[B, inputs]`; label: `[B]`, one more input column; result: `[B, inputs]`.
#[derive(Debug)]
pub struct ResidualMlp {
    read_in: Linear,
    blocks: Vec<MlpBlock>,
    short: ShortSkip,
    read_out: Linear,
}

impl ResidualMlp {
    /// Draws the network.
    ///
    /// # Errors
    /// As [`ResidualMlpConfig::check`], and [`Error::DuplicateName`].
    pub fn new(params: &Params<'_>, config: &ResidualMlpConfig) -> Result<ResidualMlp, Error> {
        config.check()?;
        let ResidualMlpConfig {
            inputs,
            width,
            blocks,
            activation,
            short,
            init,
        } = *config;
        let block = MlpBlockConfig {
            width,
            activation,
            init,
        };
        Ok(ResidualMlp {
            read_in: Linear::new(&params.sub("read_in"), inputs + 1, width, init)?,
            blocks: (0..blocks)
                .map(|index| MlpBlock::new(&params.sub(format!("block{index}")), &block))
                .collect::<Result<_, _>>()?,
            short,
            read_out: Linear::new(&params.sub("read_out"), width, inputs, init)?,
        })
    }
}

impl Network for ResidualMlp {
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        let column = label.view([-1, 1]).to_kind(x.kind());
        let mut stream = self.read_in.forward(&Tensor::cat(&[x, &column], 1), mode);
        for block in &self.blocks {
            let branch = block.forward(&stream, label, mode);
            stream = self.short.join(&stream, &branch, mode);
        }
        self.read_out.forward(&stream, mode)
    }
}
