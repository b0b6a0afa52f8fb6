//! The catalogue of skips: how a block's branch rejoins the stream, and how the encoder joins the decoder.

use crate::{
    Bias, Error, Feature, Layer, LayerKind,
    error::{above_zero, finite, positive, share},
};

/// How a block's branch F(h) rejoins the stream h: the *short* skip.
///
/// The first six have no parameter, so two networks that differ in this choice alone have equally
/// many parameters, of equal names and equal initial values. The others have the few that
/// [`layers`](Self::layers) lists; beside them all names and, but for `Fixup` and `DeepNorm`, all
/// initial values are again the same. Where a block changes the number of channels, `None` needs no
/// [`Projection`](crate::Projection) and has none: such blocks are equal only after widths are matched.
///
/// | variant | h' | parameters | branch at the start |
/// |---|---|---|---|
/// | `None` | F(h) | – | as drawn |
/// | `Identity` | h + F(h) | – | as drawn |
/// | `Scaled(b)` | h + b F(h) | – | as drawn |
/// | `Averaged(s)` | s (h + F(h)) | – | as drawn |
/// | `MagnitudePreserving(t)` | ((1-t) h + t F(h)) / sqrt((1-t)^2 + t^2) | – | as drawn |
/// | `StochasticDepth` | h + F(h) or h in training; h + p F(h) in evaluation | – | as drawn |
/// | `ReZero` | h + a F(h), a = 0 at the start | 1 | as drawn |
/// | `LayerScale(a)` | h + a_c F(h), a_c = a at the start | channels | as drawn |
/// | `Highway` | g F(h) + (1 - g) h, g = sigmoid(W h + b) | channels (channels + 1) | as drawn |
/// | `Fixup` | h + a F(h), a = 1 at the start | 1 | times blocks^(-1/2), last layer 0 |
/// | `DeepNorm` | norm(blocks^(1/4) h + F(h)) | 2 channels | times (4 blocks)^(-1/4) |
///
/// ```
/// use resnet_blocks::ShortSkip;
/// assert_eq!(ShortSkip::inverse_sqrt(4), ShortSkip::Scaled(0.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ShortSkip {
    /// h' = F(h): a plain network.
    None,
    /// h' = h + F(h). He et al. 2016, "Identity Mappings in Deep Residual Networks".
    Identity,
    /// h' = h + b F(h), b finite; 0 makes the block the identity.
    ///
    /// De & Smith 2020, "Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep
    /// Networks": a branch scale that keeps the stream's variance bounded in depth.
    Scaled(f64),
    /// h' = s (h + F(h)), s finite; 1/sqrt(2) keeps the variance of independent h and F(h).
    ///
    /// Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN"; Song et al. 2021 (NCSN++).
    #[doc(alias = "skip_rescale")]
    #[doc(alias = "output_scale_factor")]
    Averaged(f64),
    /// h' = ((1-t) h + t F(h)) / sqrt((1-t)^2 + t^2), t in \[0, 1\]: of unit variance if h and F(h) are.
    ///
    /// Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", equation 88.
    #[doc(alias = "mp_sum")]
    MagnitudePreserving(f64),
    /// In training h' = h + F(h) with probability p and h' = h otherwise, for each example by itself;
    /// in evaluation h' = h + p F(h), the mean over the choices.
    ///
    /// Huang et al. 2016, "Deep Networks with Stochastic Depth"; one choice for a whole batch there.
    StochasticDepth {
        /// p in (0, 1\].
        survival: f64,
    },
    /// h' = h + a F(h), with one learned a, 0 at the start.
    ///
    /// Bachlechner et al. 2021, "ReZero is All You Need"; De & Smith 2020 (SkipInit).
    #[doc(alias = "SkipInit")]
    ReZero,
    /// h' = h + a_c F(h), with one learned a_c for each channel, all the same number at the start.
    ///
    /// Touvron et al. 2021, "Going deeper with Image Transformers": 0.1 up to 18 blocks there, 1e-5 up to 24,
    /// 1e-6 for more.
    LayerScale(f64),
    /// h' = g F(h) + (1 - g) h, g = sigmoid(W h + b), at each pixel by itself; W starts as
    /// [`Init::LeCun`](crate::Init::LeCun), b as given: negative numbers favour h.
    ///
    /// Srivastava et al. 2015, "Highway Networks", equation 3 (carry = 1 - transform).
    Highway {
        /// The initial b, finite.
        bias: f64,
    },
    /// h' = h + a F(h), with one learned a, 1 at the start; the branch's first layer begins scaled by
    /// blocks^(-1/2), the last one at 0.
    ///
    /// Zhang et al. 2019, "Fixup Initialization", for branches of m = 2 layers: L^(-1/(2m-2)). It is meant for
    /// branches without normalisation. The scalar biases there are part of the layers' own biases here.
    Fixup {
        /// Residual blocks of the whole network, at least 1.
        blocks: usize,
    },
    /// h' = norm(blocks^(1/4) h + F(h)), a layer normalisation after the sum, over the channels and all
    /// pixels of one example; the branch's layers begin scaled by (4 blocks)^(-1/4), but for the queries
    /// and keys of an attention.
    ///
    /// Wang et al. 2022, "DeepNet: Scaling Transformers to 1,000 Layers", figure 2: (2N)^(1/4) and (8N)^(-1/4)
    /// for an encoder of N layers, which are blocks = 2N residual blocks.
    #[doc(alias = "DeepNet")]
    DeepNorm {
        /// Residual blocks of the whole network, at least 1.
        blocks: usize,
    },
}

/// Factors on the initial weights of a branch, by which a skip prepares it. The queries and keys of an
/// attention are not scaled: they decide where is read, not how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BranchGains {
    /// On every layer but the last.
    pub inner: f64,
    /// On the last layer.
    pub last: f64,
}

impl ShortSkip {
    /// `Scaled(1/sqrt(blocks))`: branches of unit variance add variance 1 in all, whatever the depth.
    ///
    /// Of zero blocks the scale is infinite, which [`check`](Self::check) refuses.
    pub fn inverse_sqrt(blocks: usize) -> ShortSkip {
        ShortSkip::Scaled(1.0 / (blocks as f64).sqrt())
    }

    /// Whether it has a shortcut and no weights: nothing of it learns.
    pub fn is_fixed(self) -> bool {
        self != ShortSkip::None && self.layers("", Feature::vector(1)).is_empty()
    }

    /// Whether the numbers are in their ranges.
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::NotAShare`], [`Error::NotPositive`], [`Error::Zero`].
    pub fn check(self) -> Result<(), Error> {
        const SCALE: &str = "the scale of the short skip";
        match self {
            ShortSkip::None | ShortSkip::Identity | ShortSkip::ReZero => Ok(()),
            ShortSkip::Scaled(scale) | ShortSkip::Averaged(scale) => finite(SCALE, scale),
            ShortSkip::LayerScale(start) => finite("the start of the layer scale", start),
            ShortSkip::Highway { bias } => finite("the bias of the highway's gate", bias),
            ShortSkip::MagnitudePreserving(balance) => {
                share("the balance of the short skip", balance)
            }
            ShortSkip::StochasticDepth { survival } => {
                share("the survival of a block", survival)?;
                above_zero("the survival of a block", survival)
            }
            ShortSkip::Fixup { blocks } | ShortSkip::DeepNorm { blocks } => {
                positive("the number of blocks of the short skip", blocks)
            }
        }
    }

    /// The learned layers of the skip itself, below this name, for a stream of this size.
    pub fn layers(self, name: &str, stream: Feature) -> Vec<Layer> {
        let layer = |part: &str, kind| Layer {
            name: format!("{name}.{part}"),
            kind,
            in_channels: stream.channels,
            output: stream,
        };
        match self {
            ShortSkip::None
            | ShortSkip::Identity
            | ShortSkip::Scaled(_)
            | ShortSkip::Averaged(_)
            | ShortSkip::MagnitudePreserving(_)
            | ShortSkip::StochasticDepth { .. } => Vec::new(),
            ShortSkip::ReZero | ShortSkip::Fixup { .. } => {
                vec![layer("gain", LayerKind::Gain { numbers: 1 })]
            }
            ShortSkip::LayerScale(_) => {
                let numbers = stream.channels;
                vec![layer("gain", LayerKind::Gain { numbers })]
            }
            ShortSkip::Highway { .. } => {
                let bias = Bias::Learned;
                vec![layer("gate", LayerKind::Linear { bias })]
            }
            ShortSkip::DeepNorm { .. } => vec![layer("norm", LayerKind::Norm)],
        }
    }

    /// What the initial weights of the branch are multiplied by.
    pub fn branch_gains(self) -> BranchGains {
        match self {
            ShortSkip::Fixup { blocks } => BranchGains {
                inner: (blocks as f64).powf(-0.5),
                last: 0.0,
            },
            ShortSkip::DeepNorm { blocks } => {
                let gain = (4.0 * blocks as f64).powf(-0.25);
                BranchGains {
                    inner: gain,
                    last: gain,
                }
            }
            _ => BranchGains {
                inner: 1.0,
                last: 1.0,
            },
        }
    }
}

/// How an encoder feature a joins the decoder feature b of the same resolution: the *long* skip.
///
/// `None` and `Add` have no parameter, and the layers after them are the same. The others concatenate:
/// the layer after them has more inputs, or there is one more layer; such a skip is a skip *and*
/// capacity, and stands in a comparison at equal parameters only after the widths are matched.
///
/// | variant | what goes on | channels |
/// |---|---|---|
/// | `None` | b | b's |
/// | `Add(s)` | s (a + b) | b's, and a's are as many |
/// | `Concat(s)` | \[b, s a\] | both |
/// | `ConcatPower(k)` | \[b, k^i a\], i = 0 for the skip nearest to input and output | both |
/// | `ConcatMagnitudePreserving(t)` | \[w_b b, w_a a\] of the same mean square as b and a | both |
/// | `ConcatLearned` | \[b, g(a) a\], g = sigmoid(W2 relu(W1 mean(a))) | both |
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LongSkip {
    /// b: the encoder's feature is not used.
    None,
    /// s (a + b), s finite; 1/sqrt(2) keeps the variance of independent a and b.
    Add(f64),
    /// The channels of b followed by those of s a, s finite. Ronneberger et al. 2015, "U-Net" (s = 1);
    /// Huang et al. 2023, "ScaleLong" (s = 1/sqrt(2)).
    Concat(f64),
    /// The channels of b followed by those of k^i a, k finite, where i counts the skips from the full
    /// resolution down, from 0: the deeper, the smaller for k < 1.
    ///
    /// Huang et al. 2023, "ScaleLong: Towards More Stable Training of Diffusion Model via Scaling Network
    /// Long Skip Connection", constant scaling (CS).
    ConcatPower(f64),
    /// The channels of w_b b followed by those of w_a a, with w_b = C (1-t) / sqrt(N_b) and
    /// w_a = C t / sqrt(N_a), C^2 = (N_a + N_b) / ((1-t)^2 + t^2), N the channels, t in \[0, 1\]: the
    /// mean square of all channels stays that of b and a.
    ///
    /// Karras et al. 2024, equation 103.
    #[doc(alias = "mp_cat")]
    ConcatMagnitudePreserving(f64),
    /// The channels of b followed by those of g(a) a, with one learned factor for each channel,
    /// g = sigmoid(W2 relu(W1 m + b1) + b2), where m is the mean of a over the pixels and W1 has a
    /// sixteenth of the channels, at least 1; both drawn by [`Init::PyTorch`](crate::Init::PyTorch).
    ///
    /// Huang et al. 2023, learnable scaling (LS), each skip with its own; the published code, for
    /// transformers, has one factor for each token in place of each channel.
    #[doc(alias = "ScaleLong")]
    ConcatLearned,
}

impl LongSkip {
    /// Whether it has a shortcut and no weights: nothing of it learns.
    pub fn is_fixed(self) -> bool {
        self != LongSkip::None && self.layers("", Feature::vector(1)).is_empty()
    }

    /// Whether the number is in its range.
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::NotAShare`].
    pub fn check(self) -> Result<(), Error> {
        match self {
            LongSkip::None | LongSkip::ConcatLearned => Ok(()),
            LongSkip::Add(scale) | LongSkip::Concat(scale) | LongSkip::ConcatPower(scale) => {
                finite("the scale of the long skip", scale)
            }
            LongSkip::ConcatMagnitudePreserving(balance) => {
                share("the balance of the long skip", balance)
            }
        }
    }

    /// Whether what goes on has the channels of both.
    pub fn concatenates(self) -> bool {
        !matches!(self, LongSkip::None | LongSkip::Add(_))
    }

    /// The rule for the i-th skip from the full resolution down: `ConcatPower(k)` becomes `Concat(k^i)`.
    ///
    /// ```
    /// use resnet_blocks::LongSkip;
    /// assert_eq!(LongSkip::ConcatPower(0.5).at(2), LongSkip::Concat(0.25));
    /// assert_eq!(LongSkip::Add(1.0).at(2), LongSkip::Add(1.0));
    /// ```
    pub fn at(self, index: usize) -> LongSkip {
        match self {
            LongSkip::ConcatPower(base) => {
                LongSkip::Concat(base.powi(i32::try_from(index).unwrap_or(i32::MAX)))
            }
            rule => rule,
        }
    }

    /// The learned layers of the skip itself, below this name, for an encoder feature of this size.
    pub fn layers(self, name: &str, shortcut: Feature) -> Vec<Layer> {
        match self {
            LongSkip::ConcatLearned => {
                let channels = shortcut.channels;
                let squeezed = LongSkip::squeezed(channels);
                let linear = |part: &str, inputs, outputs| {
                    Layer::linear(format!("{name}.{part}"), inputs, outputs, Bias::Learned)
                };
                vec![
                    linear("squeeze", channels, squeezed),
                    linear("excite", squeezed, channels),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// Width of the hidden layer of `ConcatLearned`.
    pub(crate) fn squeezed(channels: usize) -> usize {
        (channels / 16).max(1)
    }
}
