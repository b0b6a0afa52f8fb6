//! Convolutions.

use crate::{
    Bias, Error, Feature, Init, Layer, LayerKind,
    error::{finite, positive},
};

/// A 2-D convolution that keeps the side of the image, but for its stride.
///
/// Output side: ceil(side / stride).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    /// Channels in, at least 1.
    pub in_channels: usize,
    /// Channels out, at least 1.
    pub out_channels: usize,
    /// Side of the kernel: 1 or 3 pixels.
    pub kernel: usize,
    /// Step, at least 1 pixel.
    pub stride: usize,
    /// Where the zeros around the image are.
    pub padding: Padding,
    /// Whether each output channel has a learned number added.
    pub bias: Bias,
    /// Law of the initial values.
    pub init: Init,
    /// Factor on the drawn weight and bias, finite; 0 makes the layer initially 0.
    pub gain: f64,
}

/// Zeros around the image before a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// A row and a column on each side for a kernel of 3, none for a kernel of 1.
    AllSides,
    /// As few as there can be, an odd one below and to the right: TensorFlow's "SAME", which DDPM has where it
    /// halves. Without a stride this is `AllSides`.
    #[doc(alias = "SAME")]
    BottomRight,
}

impl Conv2dConfig {
    /// A convolution of stride 1 with a bias, drawn by `init`.
    pub fn new(in_channels: usize, out_channels: usize, kernel: usize, init: Init) -> Conv2dConfig {
        Conv2dConfig {
            in_channels,
            out_channels,
            kernel,
            stride: 1,
            padding: Padding::AllSides,
            bias: Bias::Learned,
            init,
            gain: 1.0,
        }
    }

    /// The same with a gain on the initial values.
    pub fn gained(self, gain: f64) -> Conv2dConfig {
        Conv2dConfig { gain, ..self }
    }

    /// The same with stride 2.
    pub fn halving(self, padding: Padding) -> Conv2dConfig {
        Conv2dConfig {
            stride: 2,
            padding,
            ..self
        }
    }

    /// Whether the layer can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::KernelSide`], [`Error::NotFinite`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of input channels", self.in_channels)?;
        positive("the number of output channels", self.out_channels)?;
        positive("the stride", self.stride)?;
        finite("the gain of the initial values", self.gain)?;
        match self.kernel {
            1 | 3 => Ok(()),
            kernel => Err(Error::KernelSide { kernel }),
        }
    }

    /// The layer, for an input of this height and width.
    pub fn layer(&self, name: impl Into<String>, input: Feature) -> Layer {
        Layer {
            name: name.into(),
            kind: LayerKind::Conv {
                kernel: self.kernel,
                stride: self.stride,
                bias: self.bias,
            },
            in_channels: self.in_channels,
            output: Feature {
                channels: self.out_channels,
                height: input.height.div_ceil(self.stride),
                width: input.width.div_ceil(self.stride),
            },
        }
    }
}
