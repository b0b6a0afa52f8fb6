//! The embedding of a label and of a class: what every block sees.

use resnet_blocks::{Activation, Bias, Feature, Init, Layer, LayerKind};

use crate::{Error, error::positive};

/// e = phi(... W1 features(label) + b1 ...), with what is added for a class.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingConfig {
    /// Features of the label.
    pub features: Features,
    /// How many features, at least 1; sinusoids of an odd number have a last one that is 0.
    pub channels: usize,
    /// Width of e, at least 1.
    pub width: usize,
    /// The layers between.
    pub layers: EmbeddingLayers,
    /// What is done for a class.
    pub classes: Classes,
    /// Law of the initial values.
    pub init: Init,
}

/// Features of a label t, `channels` of them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Features {
    /// sin(w_i t) and cos(w_i t).
    Sinusoids {
        /// The w_i.
        frequencies: Frequencies,
        /// Which half comes first.
        order: Order,
    },
    /// sin(2 pi w_i t) and cos(2 pi w_i t), w_i drawn from N(0, scale^2) and not learned.
    ///
    /// Source: Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions";
    /// Song et al. 2021 (NCSN++), scale 16.
    Fourier {
        /// Deviation of the w_i.
        scale: f64,
        /// Which half comes first.
        order: Order,
        /// What t stands for.
        of: FourierOf,
    },
    /// sqrt(2) cos(2 pi (w_i t + p_i)), w_i from N(0, 1), p_i from U(0, 1), not learned: of mean square 1.
    ///
    /// Source: Karras et al. 2024, equation 75.
    #[doc(alias = "MPFourier")]
    MagnitudeFourier,
    /// One learned row for each label 0, 1, ..., rows - 1.
    Learned {
        /// Number of rows, at least 1.
        rows: usize,
    },
}

/// What the label of [`Features::Fourier`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FourierOf {
    /// The number to take the features of, such as ln(sigma)/4.
    Label,
    /// A positive number, of whose logarithm the features are taken; the network's output is divided by it.
    LogarithmThenDivide,
}

/// Frequencies w_i, i = 0 .. n - 1, n half of the features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frequencies {
    /// 10000^(-i / (n - shift)): 1 down to 1/10000 with shift 1. For a time step from 0 to 1000.
    ///
    /// Source: Vaswani et al. 2017, "Attention Is All You Need"; Ho et al. 2020 (shift 1).
    Transformer {
        /// 0 or 1 in most networks; not n.
        shift: f64,
    },
    /// Geometric from 1 to `last`, both included. For a label of order 1 such as a log-SNR over 8, which is
    /// ln(sigma)/4 without its sign: differences from 1/last to 1 are resolved.
    Geometric {
        /// The largest, at least 1.
        last: f64,
    },
}

/// Which half of the features comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Cosines, then sines.
    CosineFirst,
    /// Sines, then cosines.
    SineFirst,
}

/// The layers from the features to e.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingLayers {
    /// phi(W f + b).
    One {
        /// phi.
        activation: Activation,
    },
    /// last(W2 phi(W1 f + b1) + b2).
    Two {
        /// phi.
        activation: Activation,
        /// What e passes through at the end, after a class is added, for all blocks at once.
        last: Option<Activation>,
    },
    /// phi(W f) with a magnitude-preserving W.
    Magnitude,
}

/// What is done for a class.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Classes {
    /// Nothing: the network takes no classes.
    None,
    /// A learned row for each class 0, 1, ..., rows - 1, added to e before its last activation.
    Rows {
        /// Number of rows, at least 1.
        rows: usize,
    },
    /// The class is embedded as the label is, with layers of its own, and added.
    AsLabel,
    /// A vector of the width of e, added as it is.
    Vector,
    /// W c for a vector c of this length (one-hot for a class), times sqrt(length), added to the features
    /// (NCSN++ and DDPM++ in EDM).
    Features {
        /// Length of the vector, at least 1.
        length: usize,
    },
    /// W c for a vector c of this length, in a balanced magnitude-preserving sum with e.
    ///
    /// Source: Karras et al. 2024, figure 21.
    Magnitude {
        /// Length of the vector, at least 1.
        length: usize,
        /// Share of the class in the sum, in \[0, 1\]; published 0.5.
        balance: f64,
    },
}

impl EmbeddingConfig {
    /// Whether the embedding can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::TooLarge`], [`Error::Features`], [`Error::Range`].
    pub fn check(&self) -> Result<(), Error> {
        const LARGEST: usize = 1 << 20;
        let rows = match self.features {
            Features::Learned { rows } => rows,
            _ => 1,
        };
        let classes = match self.classes {
            Classes::None | Classes::AsLabel | Classes::Vector => 1,
            Classes::Rows { rows } => rows,
            Classes::Features { length } | Classes::Magnitude { length, .. } => length,
        };
        for (what, value) in [
            ("`embedding.channels`", self.channels),
            ("`embedding.width`", self.width),
            ("the rows of `embedding.features`", rows),
            ("the rows or the length of `embedding.classes`", classes),
        ] {
            positive(what, value)?;
            if LARGEST < value {
                return Err(Error::TooLarge {
                    what,
                    value,
                    most: LARGEST,
                });
            }
        }
        let fourier = matches!(self.features, Features::Fourier { .. });
        if fourier && !self.channels.is_multiple_of(2) {
            return Err(Error::Features {
                channels: self.channels,
            });
        }
        let half = (self.channels / 2) as f64;
        let feature = match self.features {
            Features::Sinusoids {
                frequencies: Frequencies::Transformer { shift },
                ..
            } => Some((
                "the shift of the frequencies",
                "finite and not half of `embedding.channels`",
                shift,
                shift.is_finite() && shift != half,
            )),
            Features::Sinusoids {
                frequencies: Frequencies::Geometric { last },
                ..
            } => Some((
                "the last of the frequencies",
                "finite and at least 1",
                last,
                last.is_finite() && 1.0 <= last,
            )),
            Features::Fourier { scale, .. } => {
                let what = "the scale of the frequencies";
                Some((what, "finite", scale, scale.is_finite()))
            }
            Features::MagnitudeFourier | Features::Learned { .. } => None,
        };
        let class = match self.classes {
            Classes::Magnitude { balance, .. } => {
                let what = "the balance of the classes";
                let fits = (0.0..=1.0).contains(&balance);
                Some((what, "in [0, 1]", balance, fits))
            }
            _ => None,
        };
        for (what, rule, value, fits) in feature.into_iter().chain(class) {
            if !fits {
                return Err(Error::Range { what, rule, value });
            }
        }
        Ok(())
    }

    /// The layers below `embedding`, in the order of the forward pass: `features` (if stored), `class` (of
    /// [`Classes::Features`]), `linear1` and `linear2` (or none of these two but `embedding` itself, if there
    /// is one layer), then `class`, or `class1` and `class2`.
    pub fn layers(&self) -> Vec<Layer> {
        let (channels, width) = (self.channels, self.width);
        let other = |name: &str, kind, output| Layer {
            name: name.to_owned(),
            kind,
            in_channels: 1,
            output: Feature::vector(output),
        };
        let features = "embedding.features";
        let mut layers = match self.features {
            Features::Sinusoids { .. } => Vec::new(),
            Features::Fourier { .. } => vec![other(features, LayerKind::Constant, channels / 2)],
            Features::MagnitudeFourier => vec![
                other(features, LayerKind::Constant, channels),
                other("embedding.phases", LayerKind::Constant, channels),
            ],
            Features::Learned { rows } => {
                vec![other(features, LayerKind::Table { rows }, channels)]
            }
        };
        let linear = |part: &str, inputs, outputs, bias| {
            Layer::linear(format!("embedding.{part}"), inputs, outputs, bias)
        };
        if let Classes::Features { length } = self.classes {
            layers.push(linear("class", length, channels, Bias::Learned));
        }
        match self.layers {
            EmbeddingLayers::One { .. } => {
                layers.push(Layer::linear("embedding", channels, width, Bias::Learned));
            }
            EmbeddingLayers::Two { .. } => {
                layers.push(linear("linear1", channels, width, Bias::Learned));
                layers.push(linear("linear2", width, width, Bias::Learned));
            }
            EmbeddingLayers::Magnitude => {
                layers.push(linear("linear1", channels, width, Bias::None));
            }
        }
        match self.classes {
            Classes::None | Classes::Vector | Classes::Features { .. } => {}
            Classes::Rows { rows } => {
                layers.push(other("embedding.class", LayerKind::Table { rows }, width));
            }
            Classes::AsLabel => {
                layers.push(linear("class1", channels, width, Bias::Learned));
                layers.push(linear("class2", width, width, Bias::Learned));
            }
            Classes::Magnitude { length, .. } => {
                layers.push(linear("class", length, width, Bias::None));
            }
        }
        layers
    }
}
