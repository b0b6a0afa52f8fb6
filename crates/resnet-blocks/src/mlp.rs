//! A residual multilayer perceptron for data of few dimensions.

use tch::Tensor;

use crate::{Block, Error, Linear, MlpBlock, Mode, Network, Params, Residual, ResidualMlpConfig};

/// h = W [x, label] + b; h = skip(h, F_k(h)) for every block k; result W' h + b'.
///
/// Layers: `read_in`, those of `block0` and its `skip`, ..., `read_out`. The read-out is linear,
/// with no activation before it. With [`ShortSkip::None`](crate::ShortSkip::None) this is a plain network
/// of the same parameters, names and initial values.
///
/// # Shapes
/// x: `[B, inputs]`; label: `[B]`, one more input column; result: `[B, inputs]`.
#[derive(Debug)]
pub struct ResidualMlp {
    read_in: Linear,
    blocks: Vec<Residual>,
    read_out: Linear,
}

impl ResidualMlp {
    /// Draws the network.
    ///
    /// # Errors
    /// As [`ResidualMlpConfig::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(params: &Params<'_>, config: &ResidualMlpConfig) -> Result<ResidualMlp, Error> {
        config.check()?;
        let ResidualMlpConfig {
            inputs,
            blocks,
            block,
            short,
        } = *config;
        let residual = |index: usize| {
            let params = params.sub(format!("block{index}"));
            let branch = MlpBlock::prepared(&params, &block, short)?;
            let skip = short.openable(&params.sub("skip"), block.width)?;
            Ok(Residual::new(Box::new(branch), skip))
        };
        Ok(ResidualMlp {
            read_in: Linear::new(&params.sub("read_in"), inputs + 1, block.width, block.init)?,
            blocks: (0..blocks).map(residual).collect::<Result<_, Error>>()?,
            read_out: Linear::new(&params.sub("read_out"), block.width, inputs, block.init)?,
        })
    }
}

impl Network for ResidualMlp {
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        let column = label.view([-1, 1]).to_kind(x.kind());
        let mut stream = self.read_in.forward(&Tensor::cat(&[x, &column], 1), mode);
        for block in &self.blocks {
            stream = block.forward(&stream, label, mode);
        }
        self.read_out.forward(&stream, mode)
    }
}
