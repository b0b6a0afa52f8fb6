//! Every part against PyTorch and diffusers, in f64, on the arrays that golden/blocks.py wrote.
#![cfg(feature = "tch")]

mod common;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use common::{distance, store};
use resnet_blocks::{
    Activation, Attention, AttentionBlock, AttentionScores, Backbone, Bias, Block, Border,
    Conditioning, Conv2d, Conv2dConfig, ConvBlockConfig, Dropout, Error, FreeU, Groups, Init,
    Injection, LongSkip, MagnitudeBlock, MagnitudeBlockConfig, MagnitudeFlavour, MlpBlock,
    MlpBlockConfig, Mode, Norm, Normalise, Padding, Params, Projection, ResBlockConfig, Resample,
    Residual, ShortSkip, Skip,
};
use tch::{Kind, Tensor};

/// Where group normalisation and the like have their eps in the goldens.
const EPS: f64 = 1e-3;
const PAIRS: Norm = Norm::Group {
    groups: Groups::Exactly(2),
    eps: EPS,
};
/// What the laws do not matter for: all values are read.
const INIT: Init = Init::PyTorch;

type Built = Result<Box<dyn Block>, Error>;

/// A skip, as a block of shortcut and branch.
struct Joined(Box<dyn Skip>);

impl Block for Joined {
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        self.0.join(x, embedding, mode)
    }
}

fn activation(activation: Activation) -> Built {
    Ok(Box::new(move |x: &Tensor, _: &Tensor| activation.apply(x)))
}

fn norm(params: &Params<'_>, norm: Norm) -> Built {
    let norm = Normalise::new(params, norm, 8)?;
    Ok(Box::new(move |x: &Tensor, _: &Tensor| norm.forward(x)))
}

fn short(params: &Params<'_>, skip: ShortSkip) -> Built {
    Ok(Box::new(Joined(skip.build(&params.sub("skip"), 8)?)))
}

fn long(params: &Params<'_>, skip: LongSkip) -> Built {
    Ok(Box::new(Joined(skip.build(&params.sub("skip"), 32)?)))
}

fn free_u(backbone: Backbone) -> Built {
    let skip = 0.6;
    Ok(Box::new(Joined(Box::new(FreeU { backbone, skip }))))
}

fn conv(params: &Params<'_>, kernel: usize, stride: usize, padding: Padding) -> Built {
    let config = Conv2dConfig {
        stride,
        padding,
        ..Conv2dConfig::new(8, 6, kernel, INIT)
    };
    Ok(Box::new(Conv2d::new(params, &config)?))
}

fn conditioning(injection: Injection, activation: Option<Activation>) -> Conditioning {
    Conditioning {
        injection,
        width: 6,
        activation,
        init: INIT,
    }
}

/// The block of DDPM from `in_channels` to 8, of which the others differ.
fn ddpm(in_channels: usize) -> ResBlockConfig {
    ResBlockConfig {
        branch: ConvBlockConfig {
            in_channels,
            out_channels: 8,
            conditioning: conditioning(Injection::Shift, Some(Activation::Silu)),
            activation: Activation::Silu,
            norms: [PAIRS; 2],
            resample: None,
            dropout: Dropout::Elements(0.5), // which evaluation does not do
            init: INIT,
            last_gain: 1.0,
        },
        projection: Projection::fit(in_channels, 8),
        short: ShortSkip::Identity,
    }
}

fn residual(params: &Params<'_>, config: ResBlockConfig) -> Built {
    Ok(Box::new(Residual::drawn(params, &config)?))
}

fn mlp(params: &Params<'_>, norm: Norm) -> Built {
    let config = MlpBlockConfig {
        hidden: 7,
        norm,
        ..MlpBlockConfig::square(5, Activation::Silu, INIT)
    };
    Ok(Box::new(MlpBlock::new(params, &config)?))
}

fn attention(params: &Params<'_>, heads: usize, head_channels: usize) -> Built {
    let config = Attention {
        channels: 8,
        heads,
        head_channels,
        norm: PAIRS,
        scores: AttentionScores::Dot,
        short: ShortSkip::Averaged(0.5f64.sqrt()),
        init: INIT,
        gain: 1.0,
        last_gain: 1.0,
    };
    Ok(Box::new(AttentionBlock::new(params, &config)?))
}

fn magnitude(
    params: &Params<'_>,
    in_channels: usize,
    flavour: MagnitudeFlavour,
    heads: usize,
    clip: f64,
) -> Built {
    let config = MagnitudeBlockConfig {
        in_channels,
        out_channels: 8,
        embedding: 6,
        flavour,
        resample: Some(match flavour {
            MagnitudeFlavour::Encoder => Resample::HalveMean,
            MagnitudeFlavour::Decoder => Resample::DoubleNearest,
        }),
        heads,
        balance: 0.3,
        attention_balance: 0.4,
        dropout: Dropout::None,
        clip,
    };
    Ok(Box::new(MagnitudeBlock::new(params, &config)?))
}

/// A residual block that differs from [`ddpm`]'s in its branch.
fn branch(in_channels: usize, change: impl FnOnce(&mut ConvBlockConfig)) -> ResBlockConfig {
    let mut config = ddpm(in_channels);
    change(&mut config.branch);
    config
}

/// The part that a case is about, or nothing if there is no such case.
fn build(case: &str, params: &Params<'_>) -> Option<Built> {
    use MagnitudeFlavour::{Decoder, Encoder};
    let eps = EPS;
    let groups = |groups| Norm::Group {
        groups: Groups::Exactly(groups),
        eps,
    };
    let resample = |resample: Resample| -> Built { Ok(Box::new(resample)) };
    let same = Padding::BottomRight;
    Some(match case {
        "activation/silu" => activation(Activation::Silu),
        "activation/relu" => activation(Activation::Relu),
        "activation/elu" => activation(Activation::Elu),
        "activation/leaky-relu" => activation(Activation::LeakyRelu),
        "activation/tanh" => activation(Activation::Tanh),
        "activation/gelu" => activation(Activation::Gelu),
        "activation/mish" => activation(Activation::Mish),
        "activation/magnitude-silu" => activation(Activation::MagnitudeSilu),
        "norm/group" => norm(params, groups(4)),
        "norm/group-of-vectors" => norm(params, groups(2)),
        "norm/layer" | "norm/layer-of-vectors" => norm(params, Norm::Layer { eps }),
        "norm/rms" | "norm/rms-of-vectors" => norm(params, Norm::Rms { eps }),
        "norm/instance-plus" => norm(params, Norm::InstancePlus { eps }),
        "short/none" => short(params, ShortSkip::None),
        "short/identity" => short(params, ShortSkip::Identity),
        "short/scaled" => short(params, ShortSkip::Scaled(0.3)),
        "short/averaged" => short(params, ShortSkip::Averaged(0.5f64.sqrt())),
        "short/magnitude-preserving" => short(params, ShortSkip::MagnitudePreserving(0.3)),
        "short/stochastic-depth" => short(params, ShortSkip::StochasticDepth { survival: 0.8 }),
        "short/re-zero" => short(params, ShortSkip::ReZero),
        "short/fixup" => short(params, ShortSkip::Fixup { blocks: 12 }),
        "short/layer-scale" => short(params, ShortSkip::LayerScale(1e-4)),
        "short/highway" | "short/highway-of-vectors" => {
            short(params, ShortSkip::Highway { bias: -2.0 })
        }
        "short/deep-norm" | "short/deep-norm-of-vectors" => {
            short(params, ShortSkip::DeepNorm { blocks: 12 })
        }
        "long/none" => long(params, LongSkip::None),
        "long/add" => long(params, LongSkip::Add(0.5)),
        "long/concat" => long(params, LongSkip::Concat(1.0)),
        "long/concat-scaled" => long(params, LongSkip::ConcatPower(0.5).at(1)),
        "long/concat-magnitude-preserving" => {
            long(params, LongSkip::ConcatMagnitudePreserving(0.3))
        }
        "long/concat-learned" => long(params, LongSkip::ConcatLearned),
        "long/free-u" | "long/free-u-odd" => free_u(Backbone::Constant(1.3)),
        "long/free-u-structured" => free_u(Backbone::Structured(1.3)),
        "conv/3x3" => conv(params, 3, 1, Padding::AllSides),
        "conv/1x1" => conv(params, 1, 1, same),
        "conv/halving-even" | "conv/halving-odd" => conv(params, 3, 2, Padding::AllSides),
        "conv/same-even" | "conv/same-odd" | "conv/same-odd-and-even" => conv(params, 3, 2, same),
        "conv/same-1x1" => conv(params, 1, 2, same),
        "conv/same-by-three" => conv(params, 3, 3, same),
        "resample/halve-mean" | "resample/halve-mean-odd" => resample(Resample::HalveMean),
        "resample/double-nearest" => resample(Resample::DoubleNearest),
        "resample/halve-fir" | "resample/halve-fir-odd" => {
            resample(Resample::HalveFir(Border::Zeros))
        }
        "resample/double-fir" => resample(Resample::DoubleFir(Border::Zeros)),
        "resample/halve-fir-mirror" | "resample/halve-fir-mirror-odd" => {
            resample(Resample::HalveFir(Border::Mirror))
        }
        "resample/double-fir-mirror" => resample(Resample::DoubleFir(Border::Mirror)),
        "block/ddpm" => residual(params, ddpm(4)),
        "block/ddpm-unembedded" => {
            let config = branch(8, |branch| {
                branch.activation = Activation::Mish;
                branch.conditioning = Conditioning::NONE;
            });
            residual(params, config)
        }
        "block/adm-halving" => {
            let config = branch(4, |branch| {
                branch.conditioning.injection = Injection::ScaleShift;
                branch.resample = Some(Resample::HalveMean);
            });
            residual(params, config)
        }
        "block/ncsnpp-doubling" => {
            let config = branch(4, |branch| {
                branch.resample = Some(Resample::DoubleFir(Border::Zeros));
            });
            let short = ShortSkip::Averaged(0.5f64.sqrt());
            residual(params, ResBlockConfig { short, ..config })
        }
        "block/k-diffusion" => {
            let config = branch(4, |branch| {
                branch.conditioning = conditioning(Injection::Adaptive, None);
                branch.activation = Activation::Gelu;
            });
            let (kernel, bias) = (1, Bias::None);
            let projection = Projection::Conv { kernel, bias };
            let config = ResBlockConfig {
                projection,
                ..config
            };
            residual(params, config)
        }
        "block/ncsn" => {
            let config = branch(4, |branch| {
                branch.conditioning.injection = Injection::Adaptive;
                branch.norms = [Norm::InstancePlus { eps }; 2];
                branch.activation = Activation::Elu;
            });
            let (kernel, bias) = (3, Bias::Learned);
            let projection = Projection::Conv { kernel, bias };
            let config = ResBlockConfig {
                projection,
                ..config
            };
            residual(params, config)
        }
        "block/adaptive-rms" => {
            let config = branch(8, |branch| {
                branch.conditioning = conditioning(Injection::Adaptive, None);
                branch.norms = [Norm::Rms { eps }; 2];
                branch.activation = Activation::Tanh;
            });
            let short = ShortSkip::None;
            residual(params, ResBlockConfig { short, ..config })
        }
        "block/rms" => {
            let config = branch(8, |branch| {
                branch.conditioning = conditioning(Injection::ScaleShift, None);
                branch.norms = [Norm::Rms { eps }; 2];
                branch.activation = Activation::LeakyRelu;
            });
            residual(params, config)
        }
        "mlp/plain" => mlp(params, Norm::None),
        "mlp/layer" => mlp(params, Norm::Layer { eps }),
        "block/attention" => attention(params, 2, 4),
        "block/attention-narrow" => attention(params, 3, 2),
        "block/cosine-attention" => {
            let config = Attention {
                channels: 8,
                heads: 2,
                head_channels: 4,
                norm: Norm::None,
                scores: AttentionScores::Cosine,
                short: ShortSkip::Identity,
                init: INIT,
                gain: 1.0,
                last_gain: 1.0,
            };
            AttentionBlock::new(params, &config).map(|block| Box::new(block) as Box<dyn Block>)
        }
        "magnitude/encoder" => magnitude(params, 4, Encoder, 2, 256.0),
        "magnitude/encoder-of-equal-channels" => magnitude(params, 8, Encoder, 0, 256.0),
        "magnitude/decoder" => magnitude(params, 12, Decoder, 4, 256.0),
        "magnitude/decoder-clipped" => magnitude(params, 8, Decoder, 0, 0.9),
        _ => return None,
    })
}

#[test]
fn every_part_agrees_with_pytorch_in_double_precision() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/blocks.safetensors");
    let all: HashMap<String, Tensor> = Tensor::read_safetensors(path)
        .expect("golden/blocks.py writes it")
        .into_iter()
        .collect();
    let cases: BTreeSet<&str> = all
        .keys()
        .filter_map(|key| key.strip_suffix("/y"))
        .collect();
    assert_eq!(cases.len(), 72);
    for case in cases {
        let part = |name: &str| all[&format!("{case}/{name}")].shallow_clone();
        let prefix = format!("{case}/w/");
        let weights = all.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(&prefix)?;
            Some((name.to_owned(), value.shallow_clone()))
        });
        let weights: HashMap<String, Tensor> = weights.collect();
        let (store, count) = (store(Kind::Double), weights.len());
        let params = Params::with_values(store.root(), weights);
        let block = build(case, &params)
            .unwrap_or_else(|| panic!("no test for {case}"))
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(store.len(), count, "{case} does not use all weights");
        let (x, e) = (part("x"), part("e"));
        let expected = part("y");
        // The layout of the memory changes no number: as it comes, and channels last.
        let last = if x.dim() == 4 {
            let order = |x: &Tensor| x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            let e = if e.dim() == 4 {
                order(&e)
            } else {
                e.shallow_clone()
            };
            block.forward(&order(&x), &e, &mut Mode::Eval)
        } else {
            expected.shallow_clone()
        };
        let y = block.forward(&x, &e, &mut Mode::Eval);
        for y in [y, last] {
            let error = distance(&y, &expected) / expected.abs().max().double_value(&[]).max(1.0);
            assert!(error < 1e-13, "{case}: {error:e}");
        }
    }
}
