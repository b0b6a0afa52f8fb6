//! A transformer over the patches of an image: its choices, its layers and what they cost, without libtorch.

mod check;
#[cfg(feature = "tch")]
mod network;
mod presets;

use resnet_blocks::{
    Activation, Attention, AttentionScores, Bias, Feature, Init, Layer, LayerKind, LongSkip, Match,
    Norm, ShortSkip,
};

#[cfg(feature = "tch")]
pub use network::Transformer;

use crate::EmbeddingConfig;

/// A transformer that maps an image to one of its size, patch by patch.
///
/// ```text
/// h = W x + b + position              a token for each patch x, and one for the label if it is a token
/// h = merge(long(a, h))               in the second half of the blocks, a what the block's partner kept
/// h = short(h, g F(norm(h)))          F attention over all tokens, then F = W2 phi(W1 h + b1) + b2 at each token
/// result = W' norm(h) + b'            of each patch, in its place
/// ```
///
/// Block i of n keeps its feature for block n - 1 - i; the one in the middle has no partner. To skips the tokens are
/// pixels of an image one pixel wide: what is one for each example or each channel there is so here.
///
/// ```
/// use resnet_blocks::{Feature, LongSkip};
/// use unet::TransformerConfig;
/// # fn main() -> Result<(), unet::Error> {
/// let latent = Feature { channels: 4, height: 32, width: 32 };
/// let dit = TransformerConfig::dit_s(latent, 2);
/// dit.check()?;
/// assert_eq!((dit.tokens(), dit.parameters()), (256, 32_474_512));
/// let even = TransformerConfig { long: LongSkip::Concat(1.0), ..dit };
/// assert!(even.check().is_err_and(|error| error.to_string().contains("odd")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// The image, in and out.
    pub image: Feature,
    /// Side of a patch in pixels, which divides those of the image.
    #[doc(alias = "patch_size")]
    pub patch: usize,
    /// Numbers of a token, at least 1.
    #[doc(alias = "hidden_size")]
    #[doc(alias = "embed_dim")]
    pub width: usize,
    /// Blocks of an attention and two layers each, at least 1; an odd number if there are long skips.
    #[doc(alias = "depth")]
    pub blocks: usize,
    /// Heads of every attention, which share the width.
    pub heads: usize,
    /// Width of the layer between the two of a block, at least 1; four times that of a token in most networks.
    pub hidden: usize,
    /// Nonlinearity of that layer.
    pub activation: Activation,
    /// The embedding of the label.
    pub embedding: EmbeddingConfig,
    /// How the embedding reaches the tokens.
    pub label: LabelPath,
    /// How a token knows its place.
    pub positions: Positions,
    /// How attention and layers rejoin the stream: two residual blocks for each block.
    pub short: ShortSkip,
    /// How what the first half of the blocks kept joins the second; what is concatenated is merged by a linear layer.
    pub long: LongSkip,
    /// Law of the initial values of every layer but those of the embedding.
    pub init: Init,
}

/// How the embedding of the label reaches the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LabelPath {
    /// norm(h) (1 + s) + t before each branch and the read-out, in place of a learned scale and shift, and a factor g
    /// on each branch: all linear in the embedding and 0 at the start, as the read-out is, so that blocks begin as
    /// identities and the network as 0.
    ///
    /// Source: Peebles & Xie 2023, "Scalable Diffusion Models with Transformers".
    #[doc(alias = "adaLN-Zero")]
    AdaLnZero,
    /// It is a token before those of the patches.
    ///
    /// Source: Bao et al. 2023, "All are Worth Words: A ViT Backbone for Diffusion Models".
    Token,
}

/// How a token knows its place: a vector that is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Positions {
    /// For the row in the first half of the channels, and for the column in the second: sin(w_i p), then cos(w_i p),
    /// with w_i = 10000^(-4 i / width). A label's token has none.
    Sines,
    /// One learned vector for each token, from N(0, 0.02^2).
    Learned,
}

impl TransformerConfig {
    /// Tokens: patches, and one for the label where it is one.
    pub fn tokens(&self) -> usize {
        let [down, across] = self.grid();
        down * across + self.extra()
    }

    /// Tokens before those of the patches.
    pub(crate) fn extra(&self) -> usize {
        usize::from(self.label == LabelPath::Token)
    }

    /// Patches down and across.
    pub(crate) fn grid(&self) -> [usize; 2] {
        [self.image.height, self.image.width].map(|side| side / self.patch)
    }

    /// Numbers of a patch.
    pub fn patch_numbers(&self) -> usize {
        self.patch * self.patch * self.image.channels
    }

    /// Learned numbers.
    pub fn parameters(&self) -> usize {
        self.layers().iter().map(Layer::parameters).sum()
    }

    /// Floating-point operations of a forward pass, two for each multiply-add of matrices and attention.
    pub fn forward_flops(&self, batch: usize) -> u64 {
        let each = Match::Flops.cost(&self.layers());
        each.saturating_mul(batch as u64)
    }

    /// Numbers that the layers write in a forward pass.
    pub fn activations(&self, batch: usize) -> u64 {
        let each: u64 = self.layers().iter().map(Layer::activations).sum();
        batch as u64 * each
    }

    /// The partner in the first half whose feature this block joins.
    pub(crate) fn partner(&self, block: usize) -> Option<usize> {
        let first = self.blocks - 1 - block;
        (self.long != LongSkip::None && first < block).then_some(first)
    }

    /// Normalisation of a token.
    pub(crate) fn norm(&self) -> Norm {
        Norm::Layer { eps: 1e-6 }
    }

    /// The attention, without its normalisation and its skip, which stand outside.
    pub(crate) fn attention(&self) -> Attention {
        Attention {
            channels: self.width,
            heads: self.heads,
            head_channels: self.width / self.heads,
            norm: Norm::None,
            scores: AttentionScores::Dot,
            short: ShortSkip::None,
            init: self.init,
            gain: 1.0,
            last_gain: 1.0,
        }
    }

    /// The layers in the order of the forward pass: those of the embedding and `embedding.positions` (if learned),
    /// `read_in`; of each block `long.skip` (if learned) and `long.merge`, `shift` or `norm1`, those of `attention`,
    /// `norm2`, those of `mlp`; and `read_out.shift` or `read_out.norm`, and `read_out`.
    pub fn layers(&self) -> Vec<Layer> {
        let width = self.width;
        let stream = Feature {
            channels: width,
            height: self.tokens(),
            width: 1,
        };
        let layer = |name: String, kind, inputs, outputs| Layer {
            name,
            kind,
            in_channels: inputs,
            output: stream.with_channels(outputs),
        };
        let bias = Bias::Learned;
        let linear = |name: String, inputs, outputs| {
            layer(name, LayerKind::Linear { bias }, inputs, outputs)
        };
        let shift =
            |name: String, parts| Layer::linear(name, self.embedding.width, parts * width, bias);
        let mut layers = self.embedding.layers();
        if self.positions == Positions::Learned {
            let rows = self.tokens();
            let kind = LayerKind::Table { rows };
            layers.push(layer("embedding.positions".to_owned(), kind, 1, width));
        }
        layers.push(linear("read_in".to_owned(), self.patch_numbers(), width));
        for block in 0..self.blocks {
            let part = |part: &str| format!("block{block}.{part}");
            if let Some(partner) = self.partner(block) {
                let rule = self.long.at(partner);
                layers.extend(rule.layers(&part("long.skip"), stream));
                if rule.concatenates() {
                    layers.push(linear(part("long.merge"), 2 * width, width));
                }
            }
            if self.label == LabelPath::AdaLnZero {
                layers.push(shift(part("shift"), 6));
            } else {
                layers.extend(self.norm().layers(&part("norm1"), stream));
            }
            layers.extend(self.attention().layers(&part("attention"), stream));
            layers.extend(self.short.layers(&part("attention.skip"), stream));
            if self.label == LabelPath::Token {
                layers.extend(self.norm().layers(&part("norm2"), stream));
            }
            layers.push(linear(part("mlp.linear1"), width, self.hidden));
            layers.push(linear(part("mlp.linear2"), self.hidden, width));
            layers.extend(self.short.layers(&part("mlp.skip"), stream));
        }
        if self.label == LabelPath::AdaLnZero {
            layers.push(shift("read_out.shift".to_owned(), 2));
        } else {
            layers.extend(self.norm().layers("read_out.norm", stream));
        }
        layers.push(linear("read_out".to_owned(), width, self.patch_numbers()));
        layers
    }

    /// Names of the skips that have a shortcut and no weights, in the order of the forward pass.
    pub fn shortcuts(&self) -> Vec<String> {
        let of = |block: usize| {
            let long = self.partner(block).is_some() && self.long.is_fixed();
            let short = self.short.is_fixed();
            [("long", long), ("attention", short), ("mlp", short)]
                .into_iter()
                .filter(|(_, fixed)| *fixed)
                .map(move |(part, _)| format!("block{block}.{part}.skip"))
        };
        (0..self.blocks).flat_map(of).collect()
    }
}
