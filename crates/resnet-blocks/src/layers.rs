//! Matrices and kernels.

use tch::{Kind, Tensor};

use crate::{
    Activation, Bias, Block, Conv2dConfig, Error, Init, Mode, Padding, Params,
    error::{finite, positive},
};

impl Activation {
    /// phi(x), element by element.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::Silu => x.silu(),
            Activation::Relu => x.relu(),
            Activation::Elu => x.elu(),
            Activation::LeakyRelu => x.maximum(&(x * 0.2)),
            Activation::Tanh => x.tanh(),
            Activation::Gelu => x.gelu("none"),
            Activation::Mish => x.mish(),
            Activation::MagnitudeSilu => x.silu() / 0.596,
        }
    }
}

/// W x, and + b if it is biased.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Draws a layer with a bias, from `inputs` to `outputs` features.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(
        params: &Params<'_>,
        inputs: usize,
        outputs: usize,
        init: Init,
    ) -> Result<Linear, Error> {
        Linear::gained(params, inputs, outputs, Bias::Learned, init, 1.0)
    }

    /// The same with or without a bias, its initial values multiplied by `gain`.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::NotFinite`].
    pub fn gained(
        params: &Params<'_>,
        inputs: usize,
        outputs: usize,
        bias: Bias,
        init: Init,
        gain: f64,
    ) -> Result<Linear, Error> {
        positive("the number of input features", inputs)?;
        positive("the number of output features", outputs)?;
        finite("the gain of the initial values", gain)?;
        let shape = [outputs, inputs];
        Ok(Linear {
            weight: params.variable("weight", &shape, init.weight(&shape, false), gain)?,
            bias: match bias {
                Bias::Learned => {
                    Some(params.variable("bias", &[outputs], init.bias(inputs), gain)?)
                }
                Bias::None => None,
            },
        })
    }

    /// W x + b.
    ///
    /// # Shapes
    /// x: `[B, ..., inputs]`; result: `[B, ..., outputs]`.
    ///
    /// # Panics
    /// If x has another width.
    pub fn forward(&self, x: &Tensor, mode: &mut Mode) -> Tensor {
        if let Mode::Calibrate = mode {
            let last = x.dim() as i64 - 1;
            standardise(&self.weight, self.bias.as_ref(), last, |weight, bias| {
                linear(x, weight, bias)
            });
        }
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// W x + b in the kind of x.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let bias = bias.map(|bias| in_kind_of(x, bias));
    x.linear(&in_kind_of(x, weight), bias)
}

/// A variable as a layer uses it on x: a cast that gradients pass through, or the variable itself.
pub(crate) fn in_kind_of(x: &Tensor, variable: &Tensor) -> Tensor {
    variable.to_kind(x.kind())
}

impl Block for Linear {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        self.forward(x, mode)
    }
}

/// A convolution with zeros around the image.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: Padding,
}

impl Conv2d {
    /// Draws a layer.
    ///
    /// # Errors
    /// As [`Conv2dConfig::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(params: &Params<'_>, config: &Conv2dConfig) -> Result<Conv2d, Error> {
        config.check()?;
        let Conv2dConfig {
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
            bias,
            init,
            gain,
        } = *config;
        let shape = [out_channels, in_channels, kernel, kernel];
        let fan_in = in_channels * kernel * kernel;
        Ok(Conv2d {
            weight: params.variable("weight", &shape, init.weight(&shape, 1 < stride), gain)?,
            bias: match bias {
                Bias::Learned => {
                    Some(params.variable("bias", &[out_channels], init.bias(fan_in), gain)?)
                }
                Bias::None => None,
            },
            stride: stride as i64,
            padding,
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
        let kernel = self.weight.size()[2];
        let (x, around) = match self.padding {
            Padding::AllSides => (x.shallow_clone(), kernel / 2),
            // One copy of the image: a convolution itself pads opposite sides alike.
            Padding::BottomRight => {
                let (_, _, height, width) = x.size4().expect("an image has four dimensions");
                let [(left, right), (above, below)] = [width, height].map(|side| {
                    let windows = (side + self.stride - 1) / self.stride;
                    let zeros = ((windows - 1) * self.stride + kernel - side).max(0);
                    (zeros / 2, zeros - zeros / 2)
                });
                (x.constant_pad_nd([left, right, above, below]), 0)
            }
        };
        let apply = |weight: &Tensor, bias: Option<&Tensor>| {
            let (weight, bias) = (in_kind_of(&x, weight), bias.map(|b| in_kind_of(&x, b)));
            x.conv2d(&weight, bias, [self.stride; 2], [around; 2], [1, 1], 1)
        };
        if let Mode::Calibrate = mode {
            standardise(&self.weight, self.bias.as_ref(), 1, apply);
        }
        apply(&self.weight, self.bias.as_ref())
    }
}

impl Block for Conv2d {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        self.forward(x, mode)
    }
}

/// One step of [`Mode::Calibrate`]: corrects an affine layer in place; `channels` is the dimension of its
/// output that the bias is added along.
fn standardise(
    weight: &Tensor,
    bias: Option<&Tensor>,
    channels: i64,
    layer: impl Fn(&Tensor, Option<&Tensor>) -> Tensor,
) {
    let _guard = tch::no_grad_guard();
    let output = layer(weight, bias);
    let rest: Vec<i64> = (0..output.dim() as i64)
        .filter(|dim| *dim != channels)
        .collect();
    let mean = match bias {
        Some(_) => output.mean_dim(rest, true, None::<Kind>),
        None => Tensor::zeros([1], (output.kind(), output.device())),
    };
    let root_mean_square = |x: &Tensor| x.square().mean(None::<Kind>).sqrt().double_value(&[]);
    let deviation = root_mean_square(&(&output - &mean));
    // Of a constant output only rounding is left: to scale that to 1 would be noise.
    if !(1e-6 * root_mean_square(&output) < deviation && deviation.is_finite()) {
        return;
    }
    weight.shallow_clone().copy_(&(weight / deviation));
    if let Some(bias) = bias {
        let corrected = (bias - mean.view([-1])) / deviation;
        bias.shallow_clone().copy_(&corrected);
    }
}
