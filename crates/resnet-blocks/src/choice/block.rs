//! Convolutional residual blocks.

use crate::{
    Activation, Bias, Conv2dConfig, Dropout, Error, Feature, Init, Layer, Norm, Resample,
    ShortSkip,
    error::{finite, positive},
};

/// The branch of a convolutional residual block:
/// F(h, e) = conv2(drop(phi(norm2(conv1(resample(phi(norm1(h))))))), with e let in by [`Conditioning`].
///
/// Layers: `norm1`, `conv1`, `shift` or `scale_shift` (if any), `norm2`, `conv2`; under
/// [`Injection::Adaptive`] `modulate1`, `conv1`, `modulate2`, `conv2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvBlockConfig {
    /// Channels in, at least 1.
    pub in_channels: usize,
    /// Channels of the hidden feature and out, at least 1.
    pub out_channels: usize,
    /// How the embedding enters.
    pub conditioning: Conditioning,
    /// Nonlinearity.
    pub activation: Activation,
    /// Normalisations of the input and of the hidden feature.
    pub norms: [Norm; 2],
    /// Change of the side, before the first convolution; the shortcut has it too.
    pub resample: Option<Resample>,
    /// What training drops of the hidden feature, after its activation.
    pub dropout: Dropout,
    /// Law of the initial values.
    pub init: Init,
    /// Factor on the initial values of `conv2`; 0 begins with a branch that is 0.
    pub last_gain: f64,
}

/// How the embedding e enters a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditioning {
    /// Where it enters.
    pub injection: Injection,
    /// Width of e, at least 1; it does not matter for `Injection::None`.
    pub width: usize,
    /// What e passes through first, in each block: `None` if e is activated already.
    pub activation: Option<Activation>,
    /// Law of the initial values of its linear layer.
    pub init: Init,
}

/// Where the embedding enters, between the two convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Injection {
    /// Nowhere.
    None,
    /// norm2(h + W e + b). Ho et al. 2020, "Denoising Diffusion Probabilistic Models".
    Shift,
    /// norm2(h) (1 + s) + t, (s, t) = W e + b. Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on
    /// Image Synthesis" (adaptive group normalisation); without the 1 there, in the text.
    #[doc(alias = "FiLM")]
    #[doc(alias = "scale_shift")]
    ScaleShift,
    /// Both normalisations are without parameters and followed by x (1 + s) + t, (s, t) = W e + b, with
    /// a W of their own each (k-diffusion). `Rms` has no t; `InstancePlus` has 1 + a third part as the
    /// factor of the means. So W = 0 and b = 0 is the normalisation as it begins otherwise.
    #[doc(alias = "AdaGN")]
    Adaptive,
}

/// What a residual block does with its input so that it has the shape of the branch's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    /// Nothing: the channels must be as many.
    None,
    /// A convolution of this kernel, 1 or 3, with this bias.
    Conv {
        /// Side of the kernel, in pixels.
        kernel: usize,
        /// Whether it adds a learned number per channel.
        bias: Bias,
    },
}

/// A residual block: short(projection(resample(h)), F(h, e)).
///
/// Layers: those of the branch, then `projection` (if any), then `skip.*` (if the skip has any). With
/// [`ShortSkip::None`] there is no shortcut, and so no projection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResBlockConfig {
    /// The branch F.
    pub branch: ConvBlockConfig,
    /// The shortcut's way to the shape of the branch's output.
    pub projection: Projection,
    /// How the branch rejoins the shortcut.
    pub short: ShortSkip,
}

impl Projection {
    /// None where the channels are as many, else a 1x1 convolution with a bias.
    pub fn fit(in_channels: usize, out_channels: usize) -> Projection {
        if in_channels == out_channels {
            Projection::None
        } else {
            Projection::Conv {
                kernel: 1,
                bias: Bias::Learned,
            }
        }
    }
}

impl Conditioning {
    /// No embedding.
    pub const NONE: Conditioning = Conditioning {
        injection: Injection::None,
        width: 1,
        activation: None,
        init: Init::PyTorch,
    };
}

impl ConvBlockConfig {
    /// Whether the branch can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::Groups`], [`Error::NotPositive`], [`Error::NotAShare`], [`Error::NotFinite`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of input channels", self.in_channels)?;
        positive("the number of output channels", self.out_channels)?;
        if self.conditioning.injection != Injection::None {
            positive("the width of the embedding", self.conditioning.width)?;
        }
        self.dropout.check()?;
        finite("the gain of the initial values", self.last_gain)?;
        self.norms[0].check("norm1", self.in_channels)?;
        self.norms[1].check("norm2", self.out_channels)
    }

    /// The two convolutions, prepared for this skip.
    pub(crate) fn convs(&self, short: ShortSkip) -> [Conv2dConfig; 2] {
        let gains = short.branch_gains();
        let (inputs, outputs) = (self.in_channels, self.out_channels);
        [
            Conv2dConfig::new(inputs, outputs, 3, self.init).gained(gains.inner),
            Conv2dConfig::new(outputs, outputs, 3, self.init).gained(gains.last * self.last_gain),
        ]
    }

    /// The linear layers of the embedding before the first and before the second convolution: names and
    /// outputs.
    pub(crate) fn injections(&self) -> [Option<(&'static str, usize)>; 2] {
        let [first, second] = [self.in_channels, self.out_channels];
        let parts = self.norms.map(Norm::adaptive_parts);
        match self.conditioning.injection {
            Injection::None => [None, None],
            Injection::Shift => [None, Some(("shift", second))],
            Injection::ScaleShift => [None, Some(("scale_shift", 2 * second))],
            Injection::Adaptive => [
                Some(("modulate1", parts[0] * first)),
                Some(("modulate2", parts[1] * second)),
            ],
        }
    }

    /// The layers below this name, in the order of the forward pass, and what comes out.
    pub fn layers(&self, name: &str, input: Feature) -> (Vec<Layer>, Feature) {
        let norm = |norm: Norm, part: &str, feature| match self.conditioning.injection {
            Injection::Adaptive => Vec::new(),
            _ => norm.layers(&format!("{name}.{part}"), feature),
        };
        let [first, second] = self.injections().map(|linear| {
            let width = self.conditioning.width;
            linear.map(|(part, outputs)| {
                Layer::linear(format!("{name}.{part}"), width, outputs, Bias::Learned)
            })
        });
        let mut layers = norm(self.norms[0], "norm1", input);
        layers.extend(first);
        let resampled = self
            .resample
            .map_or(input, |resample| resample.output(input));
        let [conv1, conv2] = self.convs(ShortSkip::Identity);
        let conv1 = conv1.layer(format!("{name}.conv1"), resampled);
        let hidden = conv1.output;
        layers.push(conv1);
        layers.extend(second);
        layers.extend(norm(self.norms[1], "norm2", hidden));
        layers.push(conv2.layer(format!("{name}.conv2"), hidden));
        (layers, hidden)
    }
}

impl ResBlockConfig {
    /// Whether the block can be built.
    ///
    /// # Errors
    /// As [`ConvBlockConfig::check`] and [`ShortSkip::check`]; [`Error::Shortcut`] if channels change
    /// without a projection; [`Error::KernelSide`].
    pub fn check(&self) -> Result<(), Error> {
        self.branch.check()?;
        self.short.check()?;
        match self.shortcut() {
            Some(conv) => conv.check(),
            None if self.short != ShortSkip::None
                && self.branch.in_channels != self.branch.out_channels =>
            {
                Err(Error::Shortcut {
                    in_channels: self.branch.in_channels,
                    out_channels: self.branch.out_channels,
                })
            }
            None => Ok(()),
        }
    }

    /// The projection, if there is a shortcut and it is projected.
    pub(crate) fn shortcut(&self) -> Option<Conv2dConfig> {
        let Projection::Conv { kernel, bias } = self.projection else {
            return None;
        };
        let ConvBlockConfig {
            in_channels,
            out_channels,
            init,
            ..
        } = self.branch;
        (self.short != ShortSkip::None).then(|| Conv2dConfig {
            bias,
            ..Conv2dConfig::new(in_channels, out_channels, kernel, init)
        })
    }

    /// The layers below this name, in the order of the forward pass, and what comes out.
    pub fn layers(&self, name: &str, input: Feature) -> (Vec<Layer>, Feature) {
        let (mut layers, output) = self.branch.layers(name, input);
        if let Some(conv) = self.shortcut() {
            layers.push(conv.layer(format!("{name}.projection"), output));
        }
        layers.extend(self.short.layers(&format!("{name}.skip"), output));
        (layers, output)
    }
}
