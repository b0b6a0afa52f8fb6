//! Layers with a weight and a bias.

use tch::{Kind, Tensor};

use crate::{Activation, Conv2dConfig, Error, Init, Mode, Norm, Params, error::positive, init};

impl Activation {
    /// phi(x), element by element.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::Silu => x.silu(),
            Activation::Relu => x.relu(),
            Activation::Tanh => x.tanh(),
            Activation::Gelu => x.gelu("none"),
            Activation::Mish => x.mish(),
        }
    }
}

/// W x + b.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Draws a layer from `inputs` to `outputs` features.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::DuplicateName`].
    pub fn new(
        params: &Params<'_>,
        inputs: usize,
        outputs: usize,
        init: Init,
    ) -> Result<Linear, Error> {
        positive("the number of input features", inputs)?;
        positive("the number of output features", outputs)?;
        let dims = [outputs, inputs];
        let weight = init::weight(init, &dims, false, &mut params.stream("weight"));
        let bias = init::bias(init, outputs, inputs, &mut params.stream("bias"));
        let (weight, bias) = params.unit(&dims, &weight, &bias)?;
        Ok(Linear { weight, bias })
    }

    /// W x + b.
    ///
    /// # Shapes
    /// x: `[B, inputs]`; result: `[B, outputs]`.
    ///
    /// # Panics
    /// If x has another width.
    pub fn forward(&self, x: &Tensor, mode: &mut Mode) -> Tensor {
        if let Mode::Calibrate = mode {
            standardise(&self.weight, &self.bias, |weight, bias| {
                x.linear(weight, Some(bias))
            });
        }
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// A convolution with zeros around the image.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv2d {
    /// Draws a layer.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::KernelSide`], [`Error::DuplicateName`].
    pub fn new(params: &Params<'_>, config: &Conv2dConfig) -> Result<Conv2d, Error> {
        config.check()?;
        let Conv2dConfig {
            in_channels,
            out_channels,
            kernel,
            stride,
            init,
        } = *config;
        let dims = [out_channels, in_channels, kernel, kernel];
        let fan_in = in_channels * kernel * kernel;
        let weight = init::weight(init, &dims, 1 < stride, &mut params.stream("weight"));
        let bias = init::bias(init, out_channels, fan_in, &mut params.stream("bias"));
        let (weight, bias) = params.unit(&dims, &weight, &bias)?;
        Ok(Conv2d {
            weight,
            bias,
            stride: stride as i64,
            padding: (kernel / 2) as i64,
        })
    }

    /// The convolution.
    ///
    /// # Shapes
    /// x: `[B, in_channels, H, W]`; result: `[B, out_channels, ceil(H / stride), ceil(W / stride)]`.
    ///
    /// # Panics
    /// If x has other channels.
    pub fn forward(&self, x: &Tensor, mode: &mut Mode) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        let apply = |weight: &Tensor, bias: &Tensor| {
            x.conv2d(weight, Some(bias), stride, padding, [1, 1], 1)
        };
        if let Mode::Calibrate = mode {
            standardise(&self.weight, &self.bias, apply);
        }
        apply(&self.weight, &self.bias)
    }
}

/// Group normalisation with a learned scale (initially 1) and shift (initially 0) per channel.
///
/// y = scale (x - mean) / sqrt(variance + 1e-5) + shift, over each group of channels of one image.
#[derive(Debug)]
pub struct GroupNorm {
    scale: Tensor,
    shift: Tensor,
    groups: i64,
}

impl GroupNorm {
    /// A layer for so many channels; [`Norm::Group`] rules the number of groups.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::DuplicateName`].
    pub fn new(params: &Params<'_>, channels: usize) -> Result<GroupNorm, Error> {
        positive("the number of channels", channels)?;
        let groups = Norm::Group.groups(channels).unwrap_or(1) as i64;
        let (scale, shift) =
            params.unit(&[channels], &vec![1.0; channels], &vec![0.0; channels])?;
        Ok(GroupNorm {
            scale,
            shift,
            groups,
        })
    }

    /// The normalised feature.
    ///
    /// # Shapes
    /// x: `[B, channels, ...]`; result: as x.
    ///
    /// # Panics
    /// If x has other channels.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.group_norm(
            self.groups,
            Some(&self.scale),
            Some(&self.shift),
            1e-5,
            false,
        )
    }
}

/// One step of [`Mode::Calibrate`]: corrects an affine layer in place.
fn standardise(weight: &Tensor, bias: &Tensor, layer: impl Fn(&Tensor, &Tensor) -> Tensor) {
    let _guard = tch::no_grad_guard();
    let output = layer(weight, bias);
    // Channels are dimension 1 of [B, F] and of [B, C, H, W] alike.
    let rest: Vec<i64> = (0..output.dim() as i64).filter(|dim| *dim != 1).collect();
    let mean = output.mean_dim(rest, true, None::<Kind>);
    let root_mean_square = |x: &Tensor| x.square().mean(None::<Kind>).sqrt().double_value(&[]);
    let deviation = root_mean_square(&(&output - &mean));
    // Of a constant output only rounding is left: to scale that to 1 would be noise.
    if !(1e-6 * root_mean_square(&output) < deviation && deviation.is_finite()) {
        return;
    }
    let corrected = (bias - mean.view([-1])) / deviation;
    weight.shallow_clone().copy_(&(weight / deviation));
    bias.shallow_clone().copy_(&corrected);
}
