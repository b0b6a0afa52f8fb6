//! Self-attention over the pixels of an image.

use crate::{
    Bias, Error, Feature, Init, Layer, LayerKind, Norm, ShortSkip,
    error::{finite, positive},
};

/// Residual self-attention: short(h, W_o softmax(q k' / sqrt(head_channels)) v + b_o) over all pixels of
/// norm(h), for each head by itself.
///
/// Layers: `norm` (if any), `query`, `key`, `value`, `out`, `skip.*` (if the skip has any).
///
/// Source: Vaswani et al. 2017, "Attention Is All You Need", equation 1; in images as in Ho et al. 2020.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Channels of the image, at least 1.
    pub channels: usize,
    /// Number of heads, at least 1.
    pub heads: usize,
    /// Channels of each head's query, key and value, at least 1.
    pub head_channels: usize,
    /// Normalisation before the queries, keys and values.
    pub norm: Norm,
    /// What the softmax is taken of.
    pub scores: AttentionScores,
    /// How what was read rejoins the stream.
    pub short: ShortSkip,
    /// Law of the initial values.
    pub init: Init,
    /// Factor on the initial values of query, key and value.
    pub gain: f64,
    /// Factor on the initial values of `out`; 0 begins with attention that adds nothing.
    pub last_gain: f64,
}

/// The scores of a query q and a key k of dimension d.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttentionScores {
    /// q k' / sqrt(d).
    Dot,
    /// sqrt(d) cos(q, k): q and k are divided by their root mean square plus 1e-4 first, v too.
    ///
    /// Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models".
    Cosine,
}

impl Attention {
    /// Whether it can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::Groups`], [`Error::NotPositive`], [`Error::NotFinite`], [`Error::NotAShare`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of channels", self.channels)?;
        positive("the number of heads", self.heads)?;
        positive("the number of channels of a head", self.head_channels)?;
        finite("the gain of the initial values", self.gain)?;
        finite("the gain of the initial values", self.last_gain)?;
        self.norm.check("norm", self.channels)?;
        self.short.check()
    }

    /// The layers below this name, in the order of the forward pass; the size stays as it is.
    pub fn layers(&self, name: &str, input: Feature) -> Vec<Layer> {
        let inner = self.heads * self.head_channels;
        let (channels, bias) = (self.channels, Bias::Learned);
        let layer = |part: &str, kind, in_channels, out_channels| Layer {
            name: format!("{name}.{part}"),
            kind,
            in_channels,
            output: input.with_channels(out_channels),
        };
        let linear =
            |part, inputs, outputs| layer(part, LayerKind::Linear { bias }, inputs, outputs);
        let mut layers = self.norm.layers(&format!("{name}.norm"), input);
        layers.extend(["query", "key", "value"].map(|part| linear(part, channels, inner)));
        layers.push(layer("mix", LayerKind::Mixing { inner }, inner, inner));
        layers.push(linear("out", inner, channels));
        layers.extend(self.short.layers(&format!("{name}.skip"), input));
        layers
    }
}
