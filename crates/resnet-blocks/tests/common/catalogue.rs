//! One of every kind of block, small, and strategies that mix all choices.

use proptest::prelude::*;
use resnet_blocks::{
    Activation, Attention, AttentionBlock, AttentionScores, Bias, Block, Border, Conditioning,
    ConvBlockConfig, Dropout, Error, Feature, Groups, Init, Injection, Layer, MagnitudeBlock,
    MagnitudeBlockConfig, MagnitudeFlavour, MlpBlock, MlpBlockConfig, Norm, Params, Projection,
    ResBlockConfig, Resample, Residual, ShortSkip,
};
use tch::{Kind, Tensor};

use super::noise;

/// The width of every embedding.
pub(crate) const EMBEDDING: usize = 6;

/// A block of the catalogue, with the skip of those that have one.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Mlp(MlpBlockConfig, ShortSkip),
    Conv(ResBlockConfig),
    Attention(Attention),
    Magnitude(MagnitudeBlockConfig),
}

impl Part {
    pub(crate) fn build(&self, params: &Params<'_>) -> Result<Box<dyn Block>, Error> {
        Ok(match self {
            Part::Mlp(config, short) => {
                let branch = MlpBlock::prepared(params, config, *short)?;
                let skip = short.build(&params.sub("skip"), config.width)?;
                Box::new(Residual::new(Box::new(branch), skip))
            }
            Part::Conv(config) => Box::new(Residual::drawn(params, config)?),
            Part::Attention(config) => Box::new(AttentionBlock::new(params, config)?),
            Part::Magnitude(config) => Box::new(MagnitudeBlock::new(params, config)?),
        })
    }

    /// An image that it takes, or a vector.
    pub(crate) fn input(&self, side: usize) -> Feature {
        let image = |channels| Feature {
            channels,
            height: side,
            width: side + 1,
        };
        match self {
            Part::Mlp(config, _) => Feature::vector(config.width),
            Part::Conv(config) => image(config.branch.in_channels),
            Part::Attention(config) => image(config.channels),
            Part::Magnitude(config) => image(config.in_channels),
        }
    }

    pub(crate) fn layers(&self, name: &str, input: Feature) -> (Vec<Layer>, Feature) {
        match self {
            Part::Mlp(config, short) => {
                let mut layers = config.layers(name);
                layers.extend(short.layers(&format!("{name}.skip"), input));
                (layers, input)
            }
            Part::Conv(config) => config.layers(name, input),
            Part::Attention(config) => (config.layers(name, input), input),
            Part::Magnitude(config) => config.layers(name, input),
        }
    }

    /// So many examples, and their embeddings.
    pub(crate) fn batch(&self, count: i64, side: usize, seed: u64) -> (Tensor, Tensor) {
        let input = self.input(side);
        let [channels, height, width] =
            [input.channels, input.height, input.width].map(|n| n as i64);
        let x = match self {
            Part::Mlp(..) => noise(&[count, channels], Kind::Double, seed),
            _ => noise(&[count, channels, height, width], Kind::Double, seed),
        };
        (x, noise(&[count, EMBEDDING as i64], Kind::Double, seed + 1))
    }

    /// Whether it looks at the embedding.
    pub(crate) fn embedded(&self) -> bool {
        match self {
            Part::Mlp(..) | Part::Attention(_) => false,
            Part::Conv(config) => config.branch.conditioning.injection != Injection::None,
            Part::Magnitude(_) => true,
        }
    }
}

/// Every short skip.
pub(crate) fn shorts() -> Vec<ShortSkip> {
    vec![
        ShortSkip::None,
        ShortSkip::Identity,
        ShortSkip::Scaled(0.5),
        ShortSkip::Averaged(0.5f64.sqrt()),
        ShortSkip::MagnitudePreserving(0.3),
        ShortSkip::StochasticDepth { survival: 0.7 },
        ShortSkip::ReZero,
        ShortSkip::LayerScale(1e-4),
        ShortSkip::Highway { bias: -2.0 },
        ShortSkip::Fixup { blocks: 9 },
        ShortSkip::DeepNorm { blocks: 4 },
    ]
}

/// Laws of initial values that draw something.
pub(crate) fn inits() -> Vec<Init> {
    vec![
        Init::PyTorch,
        Init::He,
        Init::LeCun,
        Init::Xavier,
        Init::Orthogonal,
        Init::DeltaOrthogonal,
    ]
}

fn norms() -> Vec<Norm> {
    let eps = 1e-3;
    let groups = |groups| Norm::Group { groups, eps };
    vec![
        Norm::None,
        Norm::GROUP,
        groups(Groups::Exactly(2)),
        groups(Groups::Quarter),
        Norm::Layer { eps },
        Norm::Rms { eps },
        Norm::InstancePlus { eps },
    ]
}

fn resamples() -> Vec<Option<Resample>> {
    vec![
        None,
        Some(Resample::HalveMean),
        Some(Resample::DoubleNearest),
        Some(Resample::HalveFir(Border::Zeros)),
        Some(Resample::HalveFir(Border::Mirror)),
        Some(Resample::DoubleFir(Border::Zeros)),
        Some(Resample::DoubleFir(Border::Mirror)),
    ]
}

/// A residual block of equal channels and many choices at their simplest, to start from.
pub(crate) fn conv() -> ResBlockConfig {
    ResBlockConfig {
        branch: ConvBlockConfig {
            in_channels: 8,
            out_channels: 8,
            conditioning: Conditioning {
                injection: Injection::Shift,
                width: EMBEDDING,
                activation: None,
                init: Init::PyTorch,
            },
            activation: Activation::Silu,
            norms: [Norm::GROUP; 2],
            resample: None,
            dropout: Dropout::None,
            init: Init::PyTorch,
            last_gain: 1.0,
        },
        projection: Projection::None,
        short: ShortSkip::Identity,
    }
}

pub(crate) fn attention() -> Attention {
    Attention {
        channels: 8,
        heads: 2,
        head_channels: 4,
        norm: Norm::GROUP,
        scores: AttentionScores::Dot,
        short: ShortSkip::Identity,
        init: Init::PyTorch,
        gain: 1.0,
        last_gain: 1.0,
    }
}

pub(crate) fn magnitude() -> MagnitudeBlockConfig {
    MagnitudeBlockConfig {
        in_channels: 8,
        out_channels: 8,
        embedding: EMBEDDING,
        flavour: MagnitudeFlavour::Encoder,
        resample: None,
        heads: 0,
        balance: 0.3,
        attention_balance: 0.3,
        dropout: Dropout::None,
        clip: 256.0,
    }
}

prop_compose! {
    fn any_mlp()(
        width in 1usize..4, hidden in 1usize..4,
        norm in prop::sample::select(norms()),
        short in prop::sample::select(shorts()),
        init in prop::sample::select(inits()),
    ) -> Part {
        let norm = match norm {
            Norm::InstancePlus { .. } => Norm::None,
            norm => norm,
        };
        Part::Mlp(
            MlpBlockConfig {
                hidden: 4 * hidden,
                norm,
                ..MlpBlockConfig::square(4 * width, Activation::Tanh, init)
            },
            short,
        )
    }
}

prop_compose! {
    fn any_conv()(
        in_channels in 1usize..4, out_channels in 1usize..4,
        injection in prop::sample::select(vec![
            Injection::None, Injection::Shift, Injection::ScaleShift, Injection::Adaptive,
        ]),
        activated in any::<bool>(),
        activation in prop::sample::select(vec![
            Activation::Silu, Activation::Gelu, Activation::Mish, Activation::Tanh,
            Activation::MagnitudeSilu,
        ]),
        first in prop::sample::select(norms()), second in prop::sample::select(norms()),
        resample in prop::sample::select(resamples()),
        kernel in prop::sample::select(vec![1usize, 3]),
        projected in any::<bool>(), bias in prop::sample::select(vec![Bias::Learned, Bias::None]),
        short in prop::sample::select(shorts()),
        init in prop::sample::select(inits()),
    ) -> Part {
        let (in_channels, out_channels) = (4 * in_channels, 4 * out_channels);
        let ResBlockConfig { branch, .. } = conv();
        let projection = if projected || in_channels != out_channels {
            Projection::Conv { kernel, bias }
        } else {
            Projection::None
        };
        Part::Conv(ResBlockConfig {
            branch: ConvBlockConfig {
                in_channels,
                out_channels,
                conditioning: Conditioning {
                    injection,
                    activation: activated.then_some(Activation::Silu),
                    ..branch.conditioning
                },
                activation,
                norms: [first, second],
                resample,
                init,
                ..branch
            },
            projection,
            short,
        })
    }
}

prop_compose! {
    fn any_attention()(
        channels in 1usize..3, heads in 1usize..4, head_channels in 3usize..6,
        norm in prop::sample::select(norms()),
        scores in prop::sample::select(vec![AttentionScores::Dot, AttentionScores::Cosine]),
        short in prop::sample::select(shorts()),
        init in prop::sample::select(inits()),
    ) -> Part {
        Part::Attention(Attention {
            channels: 4 * channels, heads, head_channels, norm, scores, short, init, ..attention()
        })
    }
}

prop_compose! {
    fn any_magnitude()(
        in_channels in 1usize..4, out_channels in 2usize..4,
        flavour in prop::sample::select(vec![MagnitudeFlavour::Encoder, MagnitudeFlavour::Decoder]),
        resample in prop::sample::select(resamples()),
        heads in prop::sample::select(vec![0usize, 1, 2]),
        balance in 0.0..1.0, attention_balance in 0.0..1.0,
    ) -> Part {
        Part::Magnitude(MagnitudeBlockConfig {
            in_channels: 4 * in_channels, out_channels: 4 * out_channels, flavour, resample, heads,
            balance, attention_balance, ..magnitude()
        })
    }
}

/// Any block of the catalogue, smooth, so that differences can stand for its gradients.
pub(crate) fn any_part() -> impl Strategy<Value = Part> {
    prop_oneof![1 => any_mlp(), 4 => any_conv(), 1 => any_attention(), 1 => any_magnitude()]
}
