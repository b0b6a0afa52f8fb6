//! The catalogue: what a plan names, with weights.

use resnet_blocks::{
    Activation, AttentionBlock, Block, Border, Conv2d, Conv2dConfig, Law, MagnitudeBlock,
    MagnitudeConv2d, Mode, Norm, Normalise, Params, Resample, Residual, Skip,
};
use tch::Tensor;

use crate::{
    Error,
    topology::{BlockPlan, Join, MagnitudeRole},
};

/// The block of the catalogue for a plan.
///
/// # Errors
/// [`Error::Block`] if it cannot be built, or a name is taken.
pub fn block(params: &Params<'_>, plan: &BlockPlan) -> Result<Box<dyn Block>, Error> {
    Ok(match plan {
        BlockPlan::Conv(conv) => Box::new(Conv2d::new(params, conv)?),
        BlockPlan::FilteredConv {
            in_channels,
            out_channels,
            init,
        } => {
            let conv = Conv2dConfig::new(*in_channels, *out_channels, 3, *init);
            Box::new(FilteredConv(Conv2d::new(params, &conv)?))
        }
        BlockPlan::Residual(config) => Box::new(Residual::drawn(params, config)?),
        BlockPlan::Attention(config) => Box::new(AttentionBlock::new(params, config)?),
        BlockPlan::Magnitude(config) => Box::new(MagnitudeBlock::new(params, config)?),
        BlockPlan::MagnitudeConv {
            in_channels,
            out_channels,
            role,
        } => {
            let inputs = in_channels + usize::from(*role == MagnitudeRole::ReadIn);
            let conv = MagnitudeConv2d::new(params, inputs, *out_channels, 3)?;
            let start = Law::Constant(0.0);
            match role {
                MagnitudeRole::ReadIn => Box::new(MagnitudeReadIn(conv)),
                MagnitudeRole::ReadOut => Box::new(MagnitudeReadOut {
                    conv,
                    gain: params.sub("gain").variable("weight", &[1], start, 1.0)?,
                }),
            }
        }
        BlockPlan::ReadOut { norm, conv } => Box::new(ReadOut::new(params, *norm, conv)?),
        BlockPlan::Resample(resample) => Box::new(*resample),
    })
}

/// The long skip of the catalogue for a join of an encoder feature of so many channels.
///
/// # Errors
/// [`Error::Block`] if it cannot be built, or a name is taken.
pub fn skip(params: &Params<'_>, join: &Join, channels: usize) -> Result<Box<dyn Skip>, Error> {
    Ok(join.rule.openable(params, channels)?)
}

/// conv(silu(norm(h))).
pub(crate) struct ReadOut {
    norm: Normalise,
    conv: Conv2d,
}

impl ReadOut {
    pub(crate) fn new(
        params: &Params<'_>,
        norm: Norm,
        conv: &Conv2dConfig,
    ) -> Result<ReadOut, Error> {
        Ok(ReadOut {
            norm: Normalise::new(&params.sub("norm"), norm, conv.in_channels)?,
            conv: Conv2d::new(&params.sub("conv"), conv)?,
        })
    }
}

impl Block for ReadOut {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let activated = self.norm.activated(x, None, Activation::Silu);
        self.conv.forward(&activated, mode)
    }
}

/// A convolution over an image with a wider ring of zeros, then every other pixel of the filtered result.
struct FilteredConv(Conv2d);

impl Block for FilteredConv {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let wide = self.0.forward(&x.constant_pad_nd([1, 1, 1, 1]), mode);
        Resample::HalveFir(Border::Ring).apply(&wide)
    }
}

struct MagnitudeReadIn(MagnitudeConv2d);

impl Block for MagnitudeReadIn {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let ones = x.narrow(1, 0, 1).ones_like();
        self.0.forward(&Tensor::cat(&[x, &ones], 1), mode)
    }
}

struct MagnitudeReadOut {
    conv: MagnitudeConv2d,
    gain: Tensor,
}

impl Block for MagnitudeReadOut {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        self.conv.forward(x, mode) * self.gain.to_kind(x.kind())
    }
}
