//! The published networks, by the names of their sources.

use resnet_blocks::{
    Activation, AttentionScores, Bias, Border, Dropout, Feature, Groups, Init, Injection, LongSkip,
    Norm, Padding, ShortSkip,
};

use super::{
    AttentionParts, AttentionPlaces, DecoderAttention, Down, Filter, Heads, Layout, MagnitudeParts,
    MiddleAttention, Parts, ProgressiveInput, ReadOut, ResidualParts, Shortcut, ShortcutAt,
    UNetConfig, Up,
};
use crate::{
    Classes, EmbeddingConfig, EmbeddingLayers, Features, FourierOf, Frame, Frequencies, Order,
};

impl UNetConfig {
    /// The small network of our studies, for a label of order 1 such as ln(sigma)/4: level l has
    /// base * multipliers\[l\] channels; one long skip per level; the embedding, 4 base wide, is one layer
    /// behind sinusoids of frequencies 1 to 32.
    ///
    /// The parts are those of [`ResidualParts::plain`] in the studies; any others will do.
    pub fn study(
        image: Feature,
        base: usize,
        multipliers: &[usize],
        blocks: usize,
        parts: ResidualParts,
        long: LongSkip,
    ) -> UNetConfig {
        UNetConfig {
            frame: Frame::image(image),
            embedding: EmbeddingConfig {
                features: Features::Sinusoids {
                    frequencies: Frequencies::Geometric { last: 32.0 },
                    order: Order::CosineFirst,
                },
                channels: base.saturating_add(base % 2),
                width: base.saturating_mul(4),
                layers: EmbeddingLayers::One {
                    activation: Activation::Silu,
                },
                classes: Classes::None,
                init: parts.init,
            },
            stem: multipliers
                .first()
                .map_or(base, |first| base.saturating_mul(*first)),
            widths: widths(base, multipliers),
            blocks,
            layout: Layout::Levels,
            attention: AttentionPlaces::NOWHERE,
            long,
            parts: Parts::Residual(parts),
        }
    }

    /// DDPM of `width` * multipliers channels, for a time step 0, 1, ...: attention where the side is 16.
    ///
    /// Every width must be a multiple of 32, the number of groups; without dropout.
    ///
    /// Source: Ho et al. 2020, "Denoising Diffusion Probabilistic Models", appendix B and its code.
    pub fn ddpm(image: Feature, width: usize, multipliers: &[usize]) -> UNetConfig {
        let norm = Norm::Group {
            groups: Groups::Exactly(32),
            eps: 1e-6,
        };
        let shift = 1.0;
        UNetConfig {
            frame: Frame::image(image),
            embedding: sinusoidal(width, shift, Order::SineFirst, Init::Xavier),
            stem: width,
            widths: widths(width, multipliers),
            blocks: 2,
            layout: Layout::Blocks,
            attention: AttentionPlaces {
                levels: levels_of(image, multipliers.len(), &[16]),
                middle: MiddleAttention::AfterFirstBlock,
                decoder: DecoderAttention::EveryBlock,
                heads: Heads::One,
            },
            long: LongSkip::Concat(1.0),
            parts: Parts::Residual(ResidualParts {
                last_gain: ALMOST_ZERO,
                attention: AttentionParts {
                    norm,
                    scores: AttentionScores::Dot,
                    short: ShortSkip::Identity,
                    gain: 1.0,
                    last_gain: ALMOST_ZERO,
                },
                down: Down::Strided(Padding::BottomRight),
                read_out: ReadOut::NormConv {
                    norm,
                    gain: ALMOST_ZERO,
                },
                ..ResidualParts::plain(Activation::Silu, norm, ShortSkip::Identity, Init::Xavier)
            }),
        }
    }

    /// DDPM for CIFAR-10 at 32x32: 35,746,307 parameters, with the published dropout of 0.1.
    ///
    /// Source: Ho et al. 2020, appendix B; `google/ddpm-cifar10-32`.
    pub fn ddpm_cifar10() -> UNetConfig {
        let config = UNetConfig::ddpm(image(3, 32), 128, &[1, 2, 2, 2]);
        config.with_dropout(Dropout::Elements(0.1))
    }

    /// DDPM for CelebA-HQ and LSUN at 256x256: 113,673,219 parameters, without dropout.
    ///
    /// Source: Ho et al. 2020, appendix B; `google/ddpm-celebahq-256`.
    pub fn ddpm_256() -> UNetConfig {
        UNetConfig::ddpm(image(3, 256), 128, &[1, 1, 2, 2, 4, 4])
    }

    /// DDPM++ of `width` * multipliers channels, for a label of order 1, such as ln(sigma)/4: blocks 4,
    /// attention where the side is 16, the box filter, dropout 0.1.
    ///
    /// EDM has it for CIFAR-10 with width 128 and multipliers 2, 2, 2 (32x32), and for FFHQ and AFHQv2 with
    /// 1, 2, 2, 2 (64x64), dropout 0.05 and 0.25. Its augmentation label is left out.
    ///
    /// Source: Song et al. 2021, "Score-Based Generative Modeling through Stochastic Differential
    /// Equations", as in Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
    /// Models", table 7 (`ddpmpp`).
    pub fn ddpmpp(image: Feature, width: usize, multipliers: &[usize]) -> UNetConfig {
        let norm = Norm::Group {
            groups: Groups::Quarter,
            eps: 1e-6,
        };
        let short = ShortSkip::Averaged(0.5f64.sqrt());
        UNetConfig {
            frame: Frame::image(image),
            embedding: sinusoidal(width, 1.0, Order::SineFirst, Init::Xavier),
            stem: width,
            widths: widths(width, multipliers),
            blocks: 4,
            layout: Layout::Blocks,
            attention: AttentionPlaces {
                levels: levels_of(image, multipliers.len(), &[16]),
                middle: MiddleAttention::AfterFirstBlock,
                decoder: DecoderAttention::LastBlock,
                heads: Heads::One,
            },
            long: LongSkip::Concat(1.0),
            parts: Parts::Residual(ResidualParts {
                dropout: Dropout::Elements(0.1),
                last_gain: ALMOST_ZERO,
                shortcut: Shortcut {
                    kernel: 1,
                    bias: Bias::Learned,
                    at: ShortcutAt::ChannelsOrSide,
                },
                attention: AttentionParts {
                    norm,
                    scores: AttentionScores::Dot,
                    short,
                    // Of variance 0.1 times Xavier's, for each of query, key and value.
                    gain: 0.1f64.sqrt(),
                    last_gain: ALMOST_ZERO,
                },
                down: Down::Block(Filter::Box),
                up: Up::Block(Filter::Box),
                read_out: ReadOut::NormConv {
                    norm,
                    gain: ALMOST_ZERO,
                },
                ..ResidualParts::plain(Activation::Silu, norm, short, Init::Xavier)
            }),
        }
    }

    /// NCSN++: as [`ddpmpp`](Self::ddpmpp), but with Fourier features of the label (2 `width` of them),
    /// (1, 3, 3, 1) filters and a residual second path from the image.
    ///
    /// Source: as `ddpmpp` (`ncsnpp`); Song et al. 2021 call this one NCSN++ with "residual" input.
    pub fn ncsnpp(image: Feature, width: usize, multipliers: &[usize]) -> UNetConfig {
        const FIR: Filter = Filter::Fir(Border::Zeros);
        let mut config = UNetConfig::ddpmpp(image, width, multipliers);
        config.embedding.features = Features::Fourier {
            scale: 16.0,
            order: Order::SineFirst,
            of: FourierOf::Label,
        };
        config.embedding.channels = width.saturating_mul(2);
        if let Parts::Residual(parts) = &mut config.parts {
            parts.down = Down::Block(FIR);
            parts.up = Up::Block(FIR);
            parts.progressive = ProgressiveInput::Residual;
        }
        config
    }

    /// ADM of `width` * multipliers channels, as EDM has it: 3 blocks, attention of 64 channels a head where
    /// the side is 32, 16 or 8, dropout 0.1. Every width must be a multiple of 64 where attention is.
    ///
    /// EDM has it for ImageNet at 64x64 with width 192 and multipliers 1, 2, 3, 4, and 1000 classes.
    ///
    /// Source: Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", as in Karras et al.
    /// 2022, table 7 (`adm`).
    #[doc(alias = "DhariwalUNet")]
    pub fn adm(
        image: Feature,
        width: usize,
        multipliers: &[usize],
        classes: Classes,
    ) -> UNetConfig {
        let norm = Norm::Group {
            groups: Groups::Quarter,
            eps: 1e-5,
        };
        let (short, init) = (ShortSkip::Identity, Init::PyTorch);
        UNetConfig {
            frame: Frame::image(image),
            embedding: EmbeddingConfig {
                classes,
                ..sinusoidal(width, 0.0, Order::CosineFirst, init)
            },
            stem: multipliers
                .first()
                .map_or(width, |first| width.saturating_mul(*first)),
            widths: widths(width, multipliers),
            blocks: 3,
            layout: Layout::Blocks,
            attention: AttentionPlaces {
                levels: levels_of(image, multipliers.len(), &[32, 16, 8]),
                middle: MiddleAttention::AfterFirstBlock,
                decoder: DecoderAttention::EveryBlock,
                heads: Heads::Channels(64),
            },
            long: LongSkip::Concat(1.0),
            parts: Parts::Residual(ResidualParts {
                injection: Injection::ScaleShift,
                dropout: Dropout::Elements(0.1),
                last_gain: 0.0,
                attention: AttentionParts {
                    norm,
                    scores: AttentionScores::Dot,
                    short,
                    gain: 1.0,
                    last_gain: 0.0,
                },
                down: Down::Block(Filter::Box),
                up: Up::Block(Filter::Box),
                read_out: ReadOut::NormConv { norm, gain: 0.0 },
                ..ResidualParts::plain(Activation::Silu, norm, short, init)
            }),
        }
    }

    /// ADM as its authors' own code has it: as [`adm`](Self::adm), but with 32 groups everywhere, and twice
    /// as many channels out, the second half for the variance.
    ///
    /// Published: ImageNet at 64x64, width 192, multipliers 1, 2, 3, 4, 3 blocks, dropout 0.1 (also 128x128
    /// with 256 and 1, 1, 2, 3, 4; 256x256 with 256 and 1, 1, 2, 2, 4, 4; both with 2 blocks, no dropout).
    ///
    /// Source: Dhariwal & Nichol 2021, table 11 and `guided_diffusion`.
    #[doc(alias = "guided_diffusion")]
    pub fn adm_learned_variance(
        image: Feature,
        width: usize,
        multipliers: &[usize],
        classes: Classes,
    ) -> UNetConfig {
        let groups = Norm::Group {
            groups: Groups::Exactly(32),
            eps: 1e-5,
        };
        let mut config = UNetConfig::adm(image, width, multipliers, classes);
        config.frame.out_channels = 2 * image.channels;
        if let Parts::Residual(parts) = &mut config.parts {
            parts.norm = groups;
            parts.attention.norm = groups;
            parts.read_out = ReadOut::NormConv {
                norm: groups,
                gain: 0.0,
            };
        }
        config
    }

    /// EDM2 of `width` * (1, 2, 3, 4) channels, a multiple of 64: 3 blocks, attention of 64 channels a head
    /// where the side is 16 or 8, no dropout.
    ///
    /// Published widths: XS 128, S 192, M 256, L 320, XL 384, XXL 448, with 1000 classes, for ImageNet at
    /// 64x64 and its latents of 512x512 (4 x 64 x 64); dropout 0.1 from M on.
    ///
    /// Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
    /// figure 21 and table 6 (configuration G).
    pub fn edm2(image: Feature, width: usize, classes: Option<usize>) -> UNetConfig {
        let multipliers = [1, 2, 3, 4];
        UNetConfig {
            frame: Frame::image(image),
            embedding: EmbeddingConfig {
                features: Features::MagnitudeFourier,
                channels: width,
                width: width.saturating_mul(4),
                layers: EmbeddingLayers::Magnitude,
                classes: classes.map_or(Classes::None, |length| Classes::Magnitude {
                    length,
                    balance: 0.5,
                }),
                init: Init::UnitNormal,
            },
            stem: width,
            widths: widths(width, &multipliers),
            blocks: 3,
            layout: Layout::Blocks,
            attention: AttentionPlaces {
                levels: levels_of(image, multipliers.len(), &[16, 8]),
                middle: MiddleAttention::AfterFirstBlock,
                decoder: DecoderAttention::EveryBlock,
                heads: Heads::Channels(64),
            },
            long: LongSkip::ConcatMagnitudePreserving(0.5),
            parts: Parts::Magnitude(MagnitudeParts {
                filter: Filter::Box,
                balance: 0.3,
                attention_balance: 0.3,
                dropout: Dropout::None,
                clip: 256.0,
            }),
        }
    }

    /// The same with this dropout in every block.
    pub fn with_dropout(mut self, dropout: Dropout) -> UNetConfig {
        match &mut self.parts {
            Parts::Residual(parts) => parts.dropout = dropout,
            Parts::Magnitude(parts) => parts.dropout = dropout,
        }
        self
    }
}

/// Variance scaling by 1e-10 in place of 0, as DDPM and its descendants have it: 1e-5 on the weights.
const ALMOST_ZERO: f64 = 1e-5;

fn image(channels: usize, side: usize) -> Feature {
    Feature {
        channels,
        height: side,
        width: side,
    }
}

fn widths(base: usize, multipliers: &[usize]) -> Vec<usize> {
    multipliers
        .iter()
        .map(|factor| base.saturating_mul(*factor))
        .collect()
}

/// Levels on which the smaller side is one of these.
fn levels_of(image: Feature, levels: usize, sides: &[usize]) -> Vec<usize> {
    let smaller = image.height.min(image.width);
    let side = |level: &usize| smaller.div_ceil(1 << level);
    (0..levels.min(32))
        .filter(|level| sides.contains(&side(level)))
        .collect()
}

/// Sinusoids as in transformers, two linear layers to four times as many features, and SiLU at the end.
fn sinusoidal(channels: usize, shift: f64, order: Order, init: Init) -> EmbeddingConfig {
    EmbeddingConfig {
        features: Features::Sinusoids {
            frequencies: Frequencies::Transformer { shift },
            order,
        },
        channels,
        width: channels.saturating_mul(4),
        layers: EmbeddingLayers::Two {
            activation: Activation::Silu,
            last: Some(Activation::Silu),
        },
        classes: Classes::None,
        init,
    }
}
