//! Impossible configurations are refused before anything is created, and the message says what to do.
#![cfg(feature = "tch")]

mod common;

use common::{
    catalogue::{Part, attention, conv, magnitude, shorts},
    store,
};
use resnet_blocks::{
    Activation, Attention, Backbone, Bias, Conv2d, Conv2dConfig, ConvBlockConfig, Dropout, FreeU,
    Groups, Init, Injection, Linear, LongSkip, MagnitudeBlockConfig, MlpBlockConfig, Norm,
    Normalise, Params, Projection, ResBlockConfig, ShortSkip,
};
use tch::Kind;

/// The message with which this part is refused, having created nothing.
fn refusal(part: &Part) -> String {
    let store = store(Kind::Float);
    let error = part.build(&Params::seeded(store.root(), 0)).err();
    assert!(store.is_empty(), "{part:?}");
    error.map_or_else(String::new, |error| error.to_string())
}

fn with_branch(change: impl FnOnce(&mut ConvBlockConfig)) -> Part {
    let mut config = conv();
    change(&mut config.branch);
    Part::Conv(config)
}

fn with_short(short: ShortSkip) -> Part {
    Part::Conv(ResBlockConfig { short, ..conv() })
}

#[test]
fn the_configurations_that_the_others_change_are_possible() {
    let square = MlpBlockConfig::square(8, Activation::Silu, Init::He);
    for part in [
        Part::Conv(conv()),
        Part::Attention(attention()),
        Part::Magnitude(magnitude()),
        Part::Mlp(square, ShortSkip::Identity),
    ] {
        let store = store(Kind::Float);
        assert!(part.build(&Params::seeded(store.root(), 0)).is_ok());
    }
    assert!(shorts().into_iter().all(|short| short.check().is_ok()));
}

#[test]
fn convolutional_blocks() {
    for (part, message) in [
        (
            with_branch(|branch| branch.in_channels = 0),
            "the number of input channels must be at least 1, but it is 0; give a positive number",
        ),
        (
            with_branch(|branch| branch.conditioning.width = 0),
            "the width of the embedding must be at least 1, but it is 0; give a positive number",
        ),
        (
            with_branch(|branch| branch.dropout = Dropout::Channels(1.5)),
            "the dropout must be in [0, 1], but it is 1.5; give a share",
        ),
        (
            with_branch(|branch| branch.dropout = Dropout::Elements(1.0)),
            "the share that dropout keeps must be positive, but it is 0; give a number above 0",
        ),
        (
            with_branch(|branch| branch.last_gain = f64::NAN),
            "the gain of the initial values must be finite, but it is NaN; give an ordinary number",
        ),
        (
            with_branch(|branch| {
                branch.norms[1] = Norm::Group {
                    groups: Groups::Exactly(3),
                    eps: 1e-5,
                };
            }),
            "the groups of `norm2` must divide its channels, but 3 do not divide 8; change one of them",
        ),
        (
            with_branch(|branch| branch.norms[0] = Norm::Rms { eps: 0.0 }),
            "the eps of a normalisation must be positive, but it is 0; give a number above 0",
        ),
        (
            with_branch(|branch| branch.out_channels = 16),
            "a shortcut must have as many channels as its branch, but the block maps 8 to 16; give it a projection",
        ),
        (
            Part::Conv(ResBlockConfig {
                projection: Projection::Conv {
                    kernel: 5,
                    bias: Bias::None,
                },
                ..conv()
            }),
            "a convolution's kernel must be 1 or 3 pixels wide, but it is 5; use 1 or 3",
        ),
    ] {
        assert_eq!(refusal(&part), message);
    }
    // Without a shortcut there is nothing to project, and without an embedding it has no width.
    let mut plain = conv();
    plain.branch.out_channels = 16;
    plain.branch.conditioning.injection = Injection::None;
    plain.branch.conditioning.width = 0;
    plain.short = ShortSkip::None;
    assert_eq!(plain.check(), Ok(()));
}

#[test]
fn skips() {
    for (short, message) in [
        (
            ShortSkip::inverse_sqrt(0),
            "the scale of the short skip must be finite, but it is inf; give an ordinary number",
        ),
        (
            ShortSkip::MagnitudePreserving(1.5),
            "the balance of the short skip must be in [0, 1], but it is 1.5; give a share",
        ),
        (
            ShortSkip::StochasticDepth { survival: 0.0 },
            "the survival of a block must be positive, but it is 0; give a number above 0",
        ),
        (
            ShortSkip::Fixup { blocks: 0 },
            "the number of blocks of the short skip must be at least 1, but it is 0; give a positive number",
        ),
        (
            ShortSkip::Highway { bias: f64::NAN },
            "the bias of the highway's gate must be finite, but it is NaN; give an ordinary number",
        ),
    ] {
        assert_eq!(refusal(&with_short(short)), message);
    }
    for bad in [
        ShortSkip::Averaged(f64::INFINITY),
        ShortSkip::LayerScale(f64::NAN),
        ShortSkip::DeepNorm { blocks: 0 },
        ShortSkip::StochasticDepth { survival: f64::NAN },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
    for (backbone, skip) in [
        (Backbone::Constant(f64::NAN), 1.0),
        (Backbone::Structured(f64::INFINITY), 1.0),
        (Backbone::Constant(1.0), f64::NAN),
    ] {
        assert!(FreeU { backbone, skip }.check().is_err());
    }
    for bad in [
        LongSkip::Add(f64::NAN),
        LongSkip::Concat(f64::INFINITY),
        LongSkip::ConcatPower(f64::NAN),
        LongSkip::ConcatMagnitudePreserving(-0.1),
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}

#[test]
fn attention_vectors_and_magnitude_preserving_blocks() {
    let square = MlpBlockConfig::square(8, Activation::Silu, Init::He);
    let vector = |config| Part::Mlp(config, ShortSkip::Identity);
    for (part, message) in [
        (
            Part::Attention(Attention {
                heads: 0,
                ..attention()
            }),
            "the number of heads must be at least 1, but it is 0; give a positive number",
        ),
        (
            Part::Magnitude(MagnitudeBlockConfig {
                heads: 3,
                ..magnitude()
            }),
            "the heads of an attention must divide its channels, but 3 do not divide 8; change one of them",
        ),
        (
            Part::Magnitude(MagnitudeBlockConfig {
                clip: 0.0,
                ..magnitude()
            }),
            "the clip must be positive, but it is 0; give a number above 0",
        ),
        (
            vector(MlpBlockConfig {
                hidden: 0,
                ..square
            }),
            "the hidden width must be at least 1, but it is 0; give a positive number",
        ),
        (
            vector(MlpBlockConfig {
                norm: Norm::InstancePlus { eps: 1e-5 },
                ..square
            }),
            "a normalisation of vectors must not be over pixels, but it is `InstancePlus`; use `Norm::Layer` or `Norm::Rms`",
        ),
    ] {
        assert_eq!(refusal(&part), message);
    }
}

#[test]
fn layers() {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    let conv = Conv2dConfig::new(2, 2, 3, Init::PyTorch);
    for bad in [
        Conv2dConfig { kernel: 5, ..conv },
        Conv2dConfig { stride: 0, ..conv },
        conv.gained(f64::INFINITY),
    ] {
        assert_eq!(Conv2d::new(&params, &bad).err(), bad.check().err());
        assert!(bad.check().is_err());
    }
    assert!(Linear::new(&params, 0, 1, Init::He).is_err());
    let infinite = Linear::gained(&params, 1, 1, Bias::None, Init::He, f64::INFINITY);
    assert!(infinite.is_err());
    assert!(Normalise::new(&params, Norm::GROUP, 0).is_err());
    assert!(store.is_empty());
}
