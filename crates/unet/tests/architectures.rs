//! The presets against the networks that they are named after: every tensor, in the order of use, and every operation.
//!
//! `golden/architectures.py` runs the original implementations; names differ, shapes do not.

use std::collections::BTreeMap;

use resnet_blocks::{
    Border, Feature, Init, Injection, LongSkip, MagnitudeFlavour, Padding, PlannedTensor, Resample,
    ShortSkip,
};
use unet::{
    BlockPlan, Classes, Down, Filter, Heads, InputPath, Layout, Parts, ProgressiveInput, ReadOut,
    Step, Topology, UNetConfig, Up,
};

const fn image(channels: usize, side: usize) -> Feature {
    Feature {
        channels,
        height: side,
        width: side,
    }
}

/// Parameters, operations of one image, and shapes.
fn original(name: &str) -> (usize, u64, Vec<String>) {
    let text = include_str!("golden/topology/architectures.txt");
    let found = text.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(name)).then(|| words.map(str::to_owned))
    });
    let mut words = found.expect("a case of the file");
    let mut number = || words.next().expect("a number").parse().expect("a number");
    let (parameters, flops) = (number(), number());
    (parameters as usize, flops, words.collect())
}

fn shape(tensor: &PlannedTensor) -> String {
    let sides: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
    sides.join("x")
}

/// As [`UNetConfig::ddpmpp`] and its kin, with other parts.
fn with(mut config: UNetConfig, change: impl Fn(&mut unet::ResidualParts)) -> UNetConfig {
    let Parts::Residual(parts) = &mut config.parts else {
        panic!("residual parts")
    };
    change(parts);
    config
}

fn guided(width: usize, multipliers: &[usize], blocks: usize, side: usize) -> UNetConfig {
    let channels = if width < 64 { 1 } else { 3 };
    let image = image(channels, side);
    let adm = UNetConfig::adm_learned_variance(image, width, multipliers, Classes::None);
    UNetConfig { blocks, ..adm }
}

fn imagenet(mut config: UNetConfig) -> UNetConfig {
    config.embedding.classes = Classes::Rows { rows: 1000 };
    config
}

fn cases() -> BTreeMap<&'static str, UNetConfig> {
    let fir = Filter::Fir(Border::Zeros);
    let mut ddpmpp_classes = UNetConfig::ddpmpp(image(1, 32), 16, &[1, 2]);
    ddpmpp_classes.embedding.classes = Classes::Features { length: 10 };
    let narrow = UNetConfig::ncsnpp(image(2, 32), 16, &[1, 2, 1]);
    let skips = with(narrow, |parts| {
        let ReadOut::NormConv { norm, gain } = parts.read_out else {
            panic!("one read-out")
        };
        parts.progressive = ProgressiveInput::Skip(fir);
        parts.read_out = ReadOut::EveryLevel {
            norm,
            gain,
            filter: fir,
        };
    });
    let shifted = |down, up, heads, blocks| {
        let mut config = with(guided(32, &[1, 2, 4], blocks, 64), |parts| {
            parts.injection = Injection::Shift;
            parts.down = down;
            parts.up = up;
        });
        config.attention.heads = Heads::Count(heads);
        config
    };
    let rows = Classes::Rows { rows: 1000 };
    let mut cases = BTreeMap::from([
        ("ddpm-cifar10", UNetConfig::ddpm_cifar10()),
        ("ddpm-256", UNetConfig::ddpm_256()),
        ("ddpm-gray", UNetConfig::ddpm(image(1, 28), 32, &[1, 2, 3])),
        (
            "ddpmpp-cifar10",
            UNetConfig::ddpmpp(image(3, 32), 128, &[2, 2, 2]),
        ),
        (
            "ddpmpp-ffhq",
            UNetConfig::ddpmpp(image(3, 64), 128, &[1, 2, 2, 2]),
        ),
        ("ddpmpp-classes", ddpmpp_classes),
        (
            "ncsnpp-cifar10",
            UNetConfig::ncsnpp(image(3, 32), 128, &[2, 2, 2]),
        ),
        (
            "ncsnpp-ffhq",
            UNetConfig::ncsnpp(image(3, 64), 128, &[1, 2, 2, 2]),
        ),
        ("ncsnpp-skips", UNetConfig { blocks: 2, ..skips }),
        (
            "adm-imagenet64",
            UNetConfig::adm(image(3, 64), 192, &[1, 2, 3, 4], rows),
        ),
        (
            "adm-narrow",
            UNetConfig {
                blocks: 2,
                ..UNetConfig::adm(image(3, 32), 64, &[1, 1, 2], Classes::None)
            },
        ),
        (
            "guided-imagenet64",
            imagenet(guided(192, &[1, 2, 3, 4], 3, 64)),
        ),
        (
            "guided-imagenet256",
            imagenet(guided(256, &[1, 1, 2, 2, 4, 4], 2, 256)),
        ),
        ("guided-lsun256", guided(256, &[1, 1, 2, 2, 4, 4], 2, 256)),
        (
            "guided-convolutions",
            shifted(
                Down::Strided(Padding::AllSides),
                Up::Conv(Filter::Box),
                4,
                1,
            ),
        ),
        (
            "guided-plain",
            shifted(Down::Plain(Filter::Box), Up::Plain(Filter::Box), 2, 2),
        ),
        ("edm2-64", UNetConfig::edm2(image(3, 64), 192, Some(1000))),
        ("edm2-narrow", UNetConfig::edm2(image(1, 32), 64, None)),
    ]);
    for (name, width) in [
        ("edm2-xs", 128),
        ("edm2-s", 192),
        ("edm2-m", 256),
        ("edm2-l", 320),
        ("edm2-xl", 384),
        ("edm2-xxl", 448),
    ] {
        cases.insert(name, UNetConfig::edm2(image(4, 64), width, Some(1000)));
    }
    cases
}

#[test]
fn presets_have_the_tensors_of_their_originals_in_their_order() {
    let lines = include_str!("golden/topology/architectures.txt").lines();
    assert_eq!(cases().len(), lines.count(), "every line has its preset");
    for (name, config) in cases() {
        let (parameters, flops, shapes) = original(name);
        let plan = Topology::plan(&config).unwrap_or_else(|error| panic!("{name}: {error}"));
        let ours = plan.tensors();
        for (index, (tensor, wanted)) in ours.iter().zip(&shapes).enumerate() {
            assert_eq!(&shape(tensor), wanted, "{name}: {index} `{}`", tensor.name);
        }
        assert_eq!(ours.len(), shapes.len(), "{name}");
        assert_eq!(plan.parameters(), parameters, "{name}");
        assert_eq!(plan.forward_flops(1), flops, "{name}");
    }
}

/// What shapes do not show.
#[test]
fn presets_make_the_choices_of_their_sources() {
    let plan = |config: UNetConfig| Topology::plan(&config).expect("valid");
    let find = |plan: &Topology, wanted: &str| {
        let found = plan.steps().iter().find_map(|step| match step {
            Step::Block { name, plan } if name == wanted => Some(*plan),
            _ => None,
        });
        found.expect("such a block")
    };
    let half = 0.5f64.sqrt();

    let ncsnpp = plan(UNetConfig::ncsnpp(image(3, 32), 128, &[2, 2, 2]));
    let BlockPlan::Residual(block) = find(&ncsnpp, "encoder1.block3") else {
        panic!("a residual block")
    };
    assert_eq!(block.short, ShortSkip::Averaged(half));
    assert_eq!(
        (block.branch.init, block.branch.last_gain),
        (Init::Xavier, 1e-5)
    );
    let BlockPlan::Attention(attention) = find(&ncsnpp, "encoder1.attention3") else {
        panic!("attention")
    };
    // Of one matrix for query, key and value, sqrt(0.2) times Xavier's bound sqrt(6 / (C + 3 C)).
    let bound = attention.gain * (6.0f64 / 2.0).sqrt();
    assert!((bound - 0.2f64.sqrt() * (6.0f64 / 4.0).sqrt()).abs() < 1e-12);
    assert_eq!(
        (attention.heads, attention.short),
        (1, ShortSkip::Averaged(half))
    );
    let BlockPlan::Residual(down) = find(&ncsnpp, "down0.block") else {
        panic!("a residual block")
    };
    assert_eq!(
        down.branch.resample,
        Some(Resample::HalveFir(Border::Zeros))
    );
    let sums = ncsnpp.steps().iter().filter_map(|step| match step {
        Step::AddInput { scale, then, .. } => Some((*scale, *then)),
        _ => None,
    });
    assert!({ sums }.eq([(half, InputPath::Stream); 2]));

    let adm = plan(UNetConfig::adm(
        image(3, 64),
        192,
        &[1, 2, 3, 4],
        Classes::None,
    ));
    let BlockPlan::Attention(attention) = find(&adm, "decoder3.attention0") else {
        panic!("attention")
    };
    assert_eq!((attention.heads, attention.head_channels), (12, 64));
    assert_eq!((attention.gain, attention.last_gain), (1.0, 0.0));
    let BlockPlan::ReadOut { conv, .. } = find(&adm, "read_out") else {
        panic!("a read-out")
    };
    assert_eq!((conv.init, conv.gain), (Init::PyTorch, 0.0));

    let ddpm = plan(UNetConfig::ddpm_cifar10());
    let BlockPlan::Conv(down) = find(&ddpm, "down0") else {
        panic!("a convolution")
    };
    assert_eq!((down.stride, down.padding), (2, Padding::BottomRight));

    let edm2 = plan(UNetConfig::edm2(image(4, 64), 192, Some(1000)));
    for (name, flavour, heads) in [
        ("encoder1.block0", MagnitudeFlavour::Encoder, 0),
        ("encoder2.block0", MagnitudeFlavour::Encoder, 9),
        ("down2.block", MagnitudeFlavour::Encoder, 0),
        ("middle.block0", MagnitudeFlavour::Decoder, 12),
        ("middle.block1", MagnitudeFlavour::Decoder, 0),
        ("up0.block", MagnitudeFlavour::Decoder, 0),
        ("decoder2.block3", MagnitudeFlavour::Decoder, 9),
    ] {
        let BlockPlan::Magnitude(block) = find(&edm2, name) else {
            panic!("a magnitude-preserving block")
        };
        assert_eq!((block.flavour, block.heads), (flavour, heads), "{name}");
    }
}

/// kappa^i counts from the full resolution down, so the last join has kappa^0.
#[test]
fn the_power_of_a_long_skip_falls_with_depth() {
    let long = LongSkip::ConcatPower(0.5);
    for layout in [Layout::Blocks, Layout::Levels] {
        let config = UNetConfig {
            long,
            layout,
            ..UNetConfig::ddpm_cifar10()
        };
        let plan = Topology::plan(&config).expect("valid");
        let skips = plan.long_skips();
        for (index, skip) in skips.iter().rev().enumerate() {
            assert_eq!(
                skip.rule,
                LongSkip::Concat(0.5f64.powi(index as i32)),
                "{}",
                skip.name
            );
        }
    }
}
