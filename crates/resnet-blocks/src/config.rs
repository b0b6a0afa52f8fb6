//! The choices: skips, activation, normalisation, initial values; and what they cost.
//!
//! Plain data, without libtorch, so that a plan can count parameters before anything is built.

use crate::error::{Error, finite, positive};

/// How a block's branch F(h) rejoins the stream h: the *short* skip.
///
/// None of the variants has a parameter, so two networks that differ in this choice alone have
/// equally many parameters, of equal names and equal initial values.
///
/// Source: He et al. 2016, "Identity Mappings in Deep Residual Networks" (identity);
/// De & Smith 2020, "Batch Normalization Biases Residual Blocks Towards the Identity Function in
/// Deep Networks" (a branch scale that keeps the stream's variance bounded in depth).
///
/// ```
/// use resnet_blocks::ShortSkip;
/// assert_eq!(ShortSkip::inverse_sqrt(4), ShortSkip::Scaled(0.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShortSkip {
    /// h' = F(h): a plain network.
    None,
    /// h' = h + F(h).
    Identity,
    /// h' = h + b F(h), b finite; 0 makes the block the identity.
    Scaled(f64),
}

impl ShortSkip {
    /// `Scaled(1/sqrt(blocks))`: branches of unit variance add variance 1 in all, whatever the depth.
    ///
    /// Of zero blocks the scale is infinite, which [`check`](Self::check) refuses.
    pub fn inverse_sqrt(blocks: usize) -> ShortSkip {
        ShortSkip::Scaled(1.0 / (blocks as f64).sqrt())
    }

    /// Whether the scale is finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn check(self) -> Result<(), Error> {
        match self {
            ShortSkip::None | ShortSkip::Identity => Ok(()),
            ShortSkip::Scaled(scale) => finite("the scale of the short skip", scale),
        }
    }
}

/// How an encoder feature a joins the decoder feature b of the same resolution: the *long* skip.
///
/// `None` and `Add` have no parameter. `Concat` doubles the channels, and whoever uses it pays
/// for a layer that brings them back: it is a skip *and* capacity, and cannot stand in a
/// comparison at equal parameters.
///
/// Source: Ronneberger et al. 2015, "U-Net" (concatenation); Huang et al. 2023, "ScaleLong"
/// (scaled skips).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LongSkip {
    /// b: the encoder's feature is not used.
    None,
    /// s (a + b), s finite; 1/sqrt(2) keeps the variance of independent a and b.
    Add(f64),
    /// The channels of s a followed by those of b, s finite.
    Concat(f64),
}

impl LongSkip {
    /// Whether the scale is finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn check(self) -> Result<(), Error> {
        match self {
            LongSkip::None => Ok(()),
            LongSkip::Add(scale) | LongSkip::Concat(scale) => {
                finite("the scale of the long skip", scale)
            }
        }
    }
}

/// The nonlinearity phi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x / (1 + exp(-x)), also called swish.
    #[doc(alias = "swish")]
    Silu,
    /// max(x, 0).
    Relu,
    /// tanh(x).
    Tanh,
    /// x Phi(x), with the normal distribution's Phi; exact, not the approximation by tanh.
    ///
    /// Source: Hendrycks & Gimpel 2016, "Gaussian Error Linear Units".
    Gelu,
    /// x tanh(ln(1 + exp(x))).
    ///
    /// Source: Misra 2019, "Mish: A Self Regularized Non-Monotonic Activation Function".
    Mish,
}

/// Normalisation before each activation of a convolutional block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    /// None.
    None,
    /// Group normalisation with learned scale and shift (Wu & He 2018), eps 1e-5.
    ///
    /// The groups are the most that divide the channels, with at least 4 channels to a group
    /// and 32 groups at most.
    Group,
}

impl Norm {
    /// The number of groups for so many channels, or nothing without normalisation.
    ///
    /// ```
    /// use resnet_blocks::Norm;
    /// assert_eq!([4, 6, 8, 320].map(|c| Norm::Group.groups(c)), [Some(1), Some(1), Some(2), Some(32)]);
    /// assert_eq!(Norm::None.groups(8), None);
    /// ```
    pub fn groups(self, channels: usize) -> Option<usize> {
        match self {
            Norm::None => None,
            Norm::Group => {
                let most = (channels / 4).clamp(1, 32);
                (1..=most)
                    .rev()
                    .find(|groups| channels.is_multiple_of(*groups))
            }
        }
    }
}

/// The law of the initial values, named as in the literature. f is the fan-in of a layer.
///
/// Trainability of plain networks hangs on this choice, and the defaults of PyTorch and of tch
/// differ by a factor of 6 in variance, so it is a factor and has no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Init {
    /// PyTorch's default of `nn.Linear` and `nn.Conv2d`: weights and biases U(-1/sqrt f, 1/sqrt f),
    /// that is variance 1/(3 f) (Kaiming-uniform with a = sqrt 5).
    PyTorch,
    /// Weights N(0, 2/f), biases 0. He et al. 2015, "Delving Deep into Rectifiers".
    He,
    /// A uniformly random orthogonal matrix (out x f; with orthonormal rows, or columns if the
    /// matrix is tall), biases 0. Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of
    /// learning in deep linear neural networks".
    Orthogonal,
    /// Convolution kernels are 0 but for their centre, an orthogonal matrix (out x in), biases 0:
    /// Xiao et al. 2018, "Dynamical Isometry and a Mean Field Theory of CNNs". Linear layers are as
    /// `Orthogonal`; so are strided convolutions, since a delta would discard three of four pixels.
    DeltaOrthogonal,
}

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
    /// Law of the initial values.
    pub init: Init,
}

impl Conv2dConfig {
    /// Weights and biases: out (in kernel^2 + 1).
    pub fn parameters(&self) -> usize {
        self.out_channels * (self.in_channels * self.kernel * self.kernel + 1)
    }

    /// Whether the layer can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::KernelSide`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of input channels", self.in_channels)?;
        positive("the number of output channels", self.out_channels)?;
        positive("the stride", self.stride)?;
        match self.kernel {
            1 | 3 => Ok(()),
            kernel => Err(Error::KernelSide { kernel }),
        }
    }
}

/// The branch of a fully connected residual block, at constant width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlpBlockConfig {
    /// Width of the stream and of the hidden layer, at least 1.
    pub width: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// Law of the initial values.
    pub init: Init,
}

/// The branch of a convolutional residual block, at constant channels and side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvBlockConfig {
    /// Channels of the stream and of the hidden feature, at least 1.
    pub channels: usize,
    /// Width of the embedding that shifts the hidden feature, at least 1.
    pub embedding: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// Normalisation before each activation.
    pub norm: Norm,
    /// Law of the initial values.
    pub init: Init,
}

/// A residual multilayer perceptron for data of few dimensions.
///
/// Square layers: 2 per block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualMlpConfig {
    /// Dimensions of x, at least 1.
    pub inputs: usize,
    /// Width of the stream, at least 1.
    pub width: usize,
    /// Number of blocks, each of two square layers, at least 1.
    pub blocks: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// How each block rejoins the stream.
    pub short: ShortSkip,
    /// Law of the initial values.
    pub init: Init,
}

impl ResidualMlpConfig {
    /// Whether the network can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::NotFinite`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of inputs", self.inputs)?;
        positive("the width", self.width)?;
        positive("the number of blocks", self.blocks)?;
        self.short.check()
    }

    /// Weights and biases, the same for every `short`.
    ///
    /// ```
    /// use resnet_blocks::{Activation, Init, ResidualMlpConfig, ShortSkip};
    /// let config = ResidualMlpConfig {
    ///     inputs: 2, width: 64, blocks: 6, activation: Activation::Silu,
    ///     short: ShortSkip::inverse_sqrt(6), init: Init::PyTorch,
    /// };
    /// assert_eq!(config.parameters(), 50_306);
    /// ```
    pub fn parameters(&self) -> usize {
        self.layers()
            .map(|(inputs, outputs)| (inputs + 1) * outputs)
            .sum()
    }

    /// Floating-point operations of one forward pass over a batch: 2 for each multiply-add of a
    /// matrix; biases, activations and skips are left out.
    pub fn forward_flops(&self, batch: usize) -> u64 {
        let each: usize = self
            .layers()
            .map(|(inputs, outputs)| 2 * inputs * outputs)
            .sum();
        each as u64 * batch as u64
    }

    /// (inputs, outputs) of every linear layer.
    fn layers(&self) -> impl Iterator<Item = (usize, usize)> {
        std::iter::once((self.inputs + 1, self.width))
            .chain(std::iter::repeat_n(
                (self.width, self.width),
                2 * self.blocks,
            ))
            .chain(std::iter::once((self.width, self.inputs)))
    }
}
