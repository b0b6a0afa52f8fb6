//! Normalisations, and how many groups of channels they have.

use crate::{
    Error, Feature, Layer, LayerKind,
    error::{above_zero, positive},
};

/// What a feature is normalised by before it is activated: y = scale x' + shift for each channel.
///
/// Each kind has a scale (initially 1), and a shift (initially 0) but for `Rms`; under
/// [`Injection::Adaptive`](crate::Injection::Adaptive) the embedding gives both in their stead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// None.
    None,
    /// (x - mean) / sqrt(variance + eps) over each group of channels and all pixels of one example.
    /// Wu & He 2018, "Group Normalization".
    Group {
        /// The number of groups.
        groups: Groups,
        /// Positive.
        eps: f64,
    },
    /// The same over all channels and pixels of one example. Ba et al. 2016, "Layer Normalization".
    Layer {
        /// Positive.
        eps: f64,
    },
    /// x / sqrt(mean square of the channels + eps), at each pixel by itself. Zhang & Sennrich 2019,
    /// "Root Mean Square Layer Normalization".
    #[doc(alias = "pixel norm")]
    Rms {
        /// Positive.
        eps: f64,
    },
    /// (x - mean) / sqrt(variance + eps) over the pixels of each channel, plus a factor (learned, initially 1)
    /// times the channel's mean, itself normalised over the channels, with their unbiased variance.
    /// Vectors have no pixels, so it is for images.
    ///
    /// Source: Song & Ermon 2019, "Generative Modeling by Estimating Gradients of the Data Distribution",
    /// appendix A; conditional there, which is [`Injection::Adaptive`](crate::Injection::Adaptive). Scale and
    /// factor begin at exactly 1 here and at N(1, 0.02^2) there.
    #[doc(alias = "InstanceNorm2dPlus")]
    InstancePlus {
        /// Positive.
        eps: f64,
    },
}

/// How many groups a number of channels is divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Groups {
    /// The most that divide the channels, with at least 4 channels to a group and 32 groups at most.
    Fit,
    /// min(channels / 4, 32), which must divide the channels: the rule of NCSN++ and EDM.
    Quarter,
    /// So many, which must divide the channels.
    Exactly(usize),
}

impl Groups {
    /// The number of groups for so many channels; it may be one that does not divide them.
    ///
    /// ```
    /// use resnet_blocks::Groups;
    /// assert_eq!([4, 6, 8, 320].map(|c| Groups::Fit.of(c)), [1, 1, 2, 32]);
    /// assert_eq!(Groups::Quarter.of(64), 16);
    /// ```
    pub fn of(self, channels: usize) -> usize {
        match self {
            Groups::Fit => {
                let most = (channels / 4).clamp(1, 32);
                let mut fitting = (1..=most).rev();
                fitting
                    .find(|groups| channels.is_multiple_of(*groups))
                    .unwrap_or(1)
            }
            Groups::Quarter => (channels / 4).min(32),
            Groups::Exactly(groups) => groups,
        }
    }
}

impl Norm {
    /// Group normalisation in groups that fit, eps 1e-5.
    pub const GROUP: Norm = Norm::Group {
        groups: Groups::Fit,
        eps: 1e-5,
    };

    /// Whether so many channels can be normalised; `name` is for the message.
    ///
    /// # Errors
    /// [`Error::Groups`], [`Error::NotFinite`], [`Error::NotPositive`], [`Error::Zero`].
    pub fn check(self, name: &str, channels: usize) -> Result<(), Error> {
        const EPS: &str = "the eps of a normalisation";
        positive("the number of channels", channels)?;
        match self {
            Norm::None => Ok(()),
            Norm::Layer { eps } | Norm::Rms { eps } | Norm::InstancePlus { eps } => {
                above_zero(EPS, eps)
            }
            Norm::Group { groups, eps } => {
                above_zero(EPS, eps)?;
                let groups = groups.of(channels);
                if groups == 0 || !channels.is_multiple_of(groups) {
                    return Err(Error::Groups {
                        name: name.to_owned(),
                        channels,
                        groups,
                    });
                }
                Ok(())
            }
        }
    }

    /// The learned layers of this name: none for `None`.
    pub fn layers(self, name: &str, input: Feature) -> Vec<Layer> {
        let layer = |name: &str, kind| Layer {
            name: name.to_owned(),
            kind,
            in_channels: input.channels,
            output: input,
        };
        match self {
            Norm::None => Vec::new(),
            Norm::Group { .. } | Norm::Layer { .. } => vec![layer(name, LayerKind::Norm)],
            Norm::Rms { .. } => vec![layer(name, LayerKind::Scale)],
            Norm::InstancePlus { .. } => {
                let numbers = input.channels;
                let mean = layer(&format!("{name}.mean"), LayerKind::Gain { numbers });
                vec![layer(name, LayerKind::Norm), mean]
            }
        }
    }

    /// How many vectors of channels an embedding gives in place of the learned ones: scale, shift, and
    /// the factor of the mean.
    pub fn adaptive_parts(self) -> usize {
        match self {
            Norm::None | Norm::Group { .. } | Norm::Layer { .. } => 2,
            Norm::Rms { .. } => 1,
            Norm::InstancePlus { .. } => 3,
        }
    }
}
