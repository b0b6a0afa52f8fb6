//! The published transformers, by the names of their sources.

use resnet_blocks::{Activation, Feature, Init, LongSkip, ShortSkip};

use super::{LabelPath, Positions, TransformerConfig};
use crate::{Classes, EmbeddingConfig, EmbeddingLayers, Features, Frequencies, Order};

impl TransformerConfig {
    /// DiT-S with patches of this side: width 384, 12 blocks, 6 heads.
    ///
    /// As published but for the labels of classes and the channels for the variance, which are left out, and for GELU,
    /// which is exact here. The label is one of order 1, such as ln(sigma)/4, with frequencies from 1 to 32.
    ///
    /// Source: Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", table 1 (33 M parameters at patches
    /// of 2 pixels of a latent of 4 x 32 x 32).
    pub fn dit_s(image: Feature, patch: usize) -> TransformerConfig {
        TransformerConfig {
            image,
            patch,
            width: 384,
            blocks: 12,
            heads: 6,
            hidden: 4 * 384,
            activation: Activation::Gelu,
            embedding: TransformerConfig::label_of(384, LabelPath::AdaLnZero, Init::Xavier),
            label: LabelPath::AdaLnZero,
            positions: Positions::Sines,
            short: ShortSkip::Identity,
            long: LongSkip::None,
            init: Init::Xavier,
        }
    }

    /// U-ViT-S with patches of this side: width 512, 13 blocks, 8 heads, 6 long skips.
    ///
    /// As published but for the convolution behind the read-out, which is left out, biases of queries, keys and values,
    /// and the embedding's two layers, which that of CIFAR-10 does not have.
    ///
    /// Source: Bao et al. 2023, "All are Worth Words: A ViT Backbone for Diffusion Models", table 1 (44 M parameters,
    /// "12 layers" beside the one in the middle).
    pub fn u_vit_s(image: Feature, patch: usize) -> TransformerConfig {
        TransformerConfig {
            image,
            patch,
            width: 512,
            blocks: 13,
            heads: 8,
            hidden: 4 * 512,
            activation: Activation::Gelu,
            embedding: TransformerConfig::label_of(512, LabelPath::Token, Init::Bert),
            label: LabelPath::Token,
            positions: Positions::Learned,
            short: ShortSkip::Identity,
            long: LongSkip::Concat(1.0),
            init: Init::Bert,
        }
    }

    /// The embedding of a label of order 1 for tokens of this width: 256 sinusoids at most and two layers, and SiLU at
    /// the end where it modulates.
    pub fn label_of(width: usize, label: LabelPath, init: Init) -> EmbeddingConfig {
        EmbeddingConfig {
            features: Features::Sinusoids {
                frequencies: Frequencies::Geometric { last: 32.0 },
                order: Order::CosineFirst,
            },
            channels: width.min(256),
            width,
            layers: EmbeddingLayers::Two {
                activation: Activation::Silu,
                last: match label {
                    LabelPath::AdaLnZero => Some(Activation::Silu),
                    LabelPath::Token => None,
                },
            },
            classes: Classes::None,
            init,
        }
    }
}
