//! Our configurations of the networks that the generator runs, by the names of the cases.

use resnet_blocks::{Backbone, Border, Feature, FreeU, Injection, LongSkip, Padding};
use unet::{
    Classes, Down, Filter, Heads, MagnitudeParts, Parts, ProgressiveInput, ReadOut, ResidualParts,
    SkipEdit, UNetConfig, Up,
};

const FIR: Filter = Filter::Fir(Border::Zeros);
const WIDE: Feature = image(8, 12);
const SQUARE: Feature = image(8, 8);

const fn image(height: usize, width: usize) -> Feature {
    Feature {
        channels: 2,
        height,
        width,
    }
}

/// A preset with fewer blocks, and attention on these levels.
fn small(blocks: usize, levels: &[usize], preset: UNetConfig) -> UNetConfig {
    let mut config = UNetConfig { blocks, ..preset };
    config.attention.levels = levels.to_vec();
    config
}

fn with_classes(classes: Classes, mut config: UNetConfig) -> UNetConfig {
    config.embedding.classes = classes;
    config
}

pub(crate) fn residual(config: &mut UNetConfig) -> &mut ResidualParts {
    match &mut config.parts {
        Parts::Residual(parts) => parts,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn magnitude(config: &mut UNetConfig) -> &mut MagnitudeParts {
    match &mut config.parts {
        Parts::Magnitude(parts) => parts,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn ddpmpp() -> UNetConfig {
    small(1, &[0], UNetConfig::ddpmpp(WIDE, 32, &[1, 2]))
}

fn joined(long: LongSkip) -> UNetConfig {
    UNetConfig { long, ..ddpmpp() }
}

/// Guided diffusion's network of one or two heads' worth of channels.
fn guided(image: Feature, heads: Heads, change: impl Fn(&mut ResidualParts)) -> UNetConfig {
    let mut config = UNetConfig::adm_learned_variance(image, 32, &[1, 2], Classes::None);
    config.attention.heads = heads;
    change(residual(&mut config));
    config
}

/// EDM2 of two levels, with heads of 16 channels.
fn edm2(image: Feature, classes: Option<usize>) -> UNetConfig {
    let mut config = UNetConfig::edm2(image, 32, classes);
    config.widths = vec![32, 64];
    config.embedding.width = 64;
    config.attention.heads = Heads::Channels(16);
    config
}

pub(crate) fn config(name: &str) -> UNetConfig {
    let features = Classes::Features { length: 3 };
    let none = |_: &mut ResidualParts| {};
    match name {
        "ddpmpp" | "freeu-constant" | "freeu-mean" => ddpmpp(),
        "ddpmpp-classes" => {
            let preset = UNetConfig::ddpmpp(SQUARE, 16, &[2, 1, 3]);
            with_classes(features, small(2, &[1], preset))
        }
        "ncsnpp" => small(1, &[1], UNetConfig::ncsnpp(WIDE, 16, &[1, 2, 1])),
        "ncsnpp-skips" => {
            let mut config = small(1, &[0], UNetConfig::ncsnpp(SQUARE, 16, &[1, 2, 2]));
            let parts = residual(&mut config);
            let ReadOut::NormConv { norm, gain } = parts.read_out else {
                panic!("one read-out")
            };
            parts.progressive = ProgressiveInput::Skip(FIR);
            parts.read_out = ReadOut::EveryLevel {
                norm,
                gain,
                filter: FIR,
            };
            with_classes(features, config)
        }
        "adm" => small(1, &[1], UNetConfig::adm(WIDE, 64, &[1, 2], Classes::None)),
        "adm-classes" => {
            let rows = Classes::Rows { rows: 3 };
            small(1, &[0, 1], UNetConfig::adm(SQUARE, 64, &[1, 2], rows))
        }
        "guided" => small(1, &[1], guided(WIDE, Heads::Channels(16), none)),
        "guided-classes" => {
            let config = small(1, &[0, 1], guided(SQUARE, Heads::Channels(16), none));
            with_classes(Classes::Rows { rows: 5 }, config)
        }
        "guided-convolutions" => {
            let change = |parts: &mut ResidualParts| {
                parts.injection = Injection::Shift;
                parts.down = Down::Strided(Padding::AllSides);
                parts.up = Up::Conv(Filter::Box);
            };
            small(1, &[1], guided(SQUARE, Heads::Count(4), change))
        }
        "guided-plain" => {
            let change = |parts: &mut ResidualParts| {
                parts.injection = Injection::Shift;
                parts.down = Down::Plain(Filter::Box);
                parts.up = Up::Plain(Filter::Box);
            };
            small(1, &[0], guided(WIDE, Heads::Count(2), change))
        }
        "edm2" => small(1, &[1], edm2(WIDE, None)),
        "edm2-trained" => small(1, &[0], edm2(SQUARE, Some(3))),
        "edm2-classes" => {
            let mut config = small(1, &[0], edm2(SQUARE, Some(3)));
            config.long = LongSkip::ConcatMagnitudePreserving(0.6);
            let parts = magnitude(&mut config);
            parts.balance = 0.4;
            parts.attention_balance = 0.2;
            parts.clip = 1.0;
            parts.filter = FIR;
            let classes = Classes::Magnitude {
                length: 3,
                balance: 0.3,
            };
            with_classes(classes, config)
        }
        "join-learned" => joined(LongSkip::ConcatLearned),
        "join-power" => joined(LongSkip::ConcatPower(0.7)),
        "join-magnitude" => joined(LongSkip::ConcatMagnitudePreserving(0.3)),
        other => panic!("no network is called {other}"),
    }
}

/// What is done to which long skips of the network, once it is there.
pub(crate) fn edits(name: &str) -> Vec<(&'static str, SkipEdit)> {
    let backbone: fn(f64) -> Backbone = match name {
        "freeu-constant" => Backbone::Constant,
        "freeu-mean" => Backbone::Structured,
        _ => return Vec::new(),
    };
    let edit = |factor, skip| {
        SkipEdit::FreeU(FreeU {
            backbone: backbone(factor),
            skip,
        })
    };
    vec![
        ("decoder1.skip0", edit(1.3, 0.4)),
        ("decoder0.skip1", edit(0.8, 1.5)),
    ]
}
