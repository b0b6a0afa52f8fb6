//! The branches of residual blocks, pre-activation and of constant shape.

use tch::Tensor;

use crate::{
    Activation, Block, Conv2d, Conv2dConfig, ConvBlockConfig, Error, GroupNorm, Linear,
    MlpBlockConfig, Mode, Norm, Params,
};

/// F(h) = W2 phi(W1 phi(h) + b1) + b2.
///
/// Layers: `linear1`, `linear2`. It takes no embedding: whatever is given is ignored.
///
/// Source: He et al. 2016, "Identity Mappings in Deep Residual Networks" (pre-activation).
#[derive(Debug)]
pub struct MlpBlock {
    linear1: Linear,
    linear2: Linear,
    activation: Activation,
}

impl MlpBlock {
    /// Draws the two layers.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::DuplicateName`].
    pub fn new(params: &Params<'_>, config: &MlpBlockConfig) -> Result<MlpBlock, Error> {
        let MlpBlockConfig {
            width,
            activation,
            init,
        } = *config;
        Ok(MlpBlock {
            linear1: Linear::new(&params.sub("linear1"), width, width, init)?,
            linear2: Linear::new(&params.sub("linear2"), width, width, init)?,
            activation,
        })
    }
}

impl Block for MlpBlock {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let hidden = self.linear1.forward(&self.activation.apply(x), mode);
        self.linear2.forward(&self.activation.apply(&hidden), mode)
    }
}

/// F(h, e) = conv2(phi(norm2(conv1(phi(norm1(h))) + W e + b))), with 3x3 convolutions.
///
/// Layers: `norm1` (if any), `conv1`, `shift`, `norm2` (if any), `conv2`. Channels and side stay
/// as they are, so the shortcut is the stream itself and never a projection.
///
/// # Shapes
/// x: `[B, channels, H, W]`; embedding: `[B, embedding]`.
#[derive(Debug)]
pub struct ConvBlock {
    norm1: Option<GroupNorm>,
    conv1: Conv2d,
    shift: Linear,
    norm2: Option<GroupNorm>,
    conv2: Conv2d,
    activation: Activation,
}

impl ConvBlock {
    /// Draws the layers.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::DuplicateName`].
    pub fn new(params: &Params<'_>, config: &ConvBlockConfig) -> Result<ConvBlock, Error> {
        let ConvBlockConfig {
            channels,
            embedding,
            activation,
            norm,
            init,
        } = *config;
        let normalise = |name| match norm {
            Norm::None => Ok(None),
            Norm::Group => GroupNorm::new(&params.sub(name), channels).map(Some),
        };
        let convolve = Conv2dConfig {
            in_channels: channels,
            out_channels: channels,
            kernel: 3,
            stride: 1,
            init,
        };
        Ok(ConvBlock {
            norm1: normalise("norm1")?,
            conv1: Conv2d::new(&params.sub("conv1"), &convolve)?,
            shift: Linear::new(&params.sub("shift"), embedding, channels, init)?,
            norm2: normalise("norm2")?,
            conv2: Conv2d::new(&params.sub("conv2"), &convolve)?,
            activation,
        })
    }

    fn activate(&self, norm: &Option<GroupNorm>, x: &Tensor) -> Tensor {
        match norm {
            Some(norm) => self.activation.apply(&norm.forward(x)),
            None => self.activation.apply(x),
        }
    }
}

impl Block for ConvBlock {
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let hidden = self.conv1.forward(&self.activate(&self.norm1, x), mode);
        // The shift sees the embedding only, so `Calibrate` leaves it alone.
        let shift = self
            .shift
            .forward(embedding, &mut Mode::Eval)
            .unsqueeze(-1)
            .unsqueeze(-1);
        self.conv2
            .forward(&self.activate(&self.norm2, &(hidden + shift)), mode)
    }
}
