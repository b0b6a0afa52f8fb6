//! The choices and their costs, as pure data: what a plan knows without libtorch.

use resnet_blocks::{
    Activation, Attention, AttentionScores, Bias, Border, Conditioning, Conv2dConfig,
    ConvBlockConfig, Dropout, Error, Feature, Groups, Init, Injection, Layer, LongSkip,
    MagnitudeBlockConfig, MagnitudeFlavour, Norm, Padding, Projection, ResBlockConfig, Resample,
    ShortSkip,
};

fn image(channels: usize, side: usize) -> Feature {
    Feature {
        channels,
        height: side,
        width: side,
    }
}

/// The block of DDPM on CIFAR-10, with an embedding of 512.
fn ddpm(in_channels: usize, out_channels: usize) -> ResBlockConfig {
    ResBlockConfig {
        branch: ConvBlockConfig {
            in_channels,
            out_channels,
            conditioning: Conditioning {
                injection: Injection::Shift,
                width: 512,
                activation: Some(Activation::Silu),
                init: Init::Xavier,
            },
            activation: Activation::Silu,
            norms: [Norm::Group {
                groups: Groups::Exactly(32),
                eps: 1e-6,
            }; 2],
            resample: None,
            dropout: Dropout::Elements(0.1),
            init: Init::Xavier,
            last_gain: 0.0,
        },
        projection: Projection::fit(in_channels, out_channels),
        short: ShortSkip::Identity,
    }
}

fn parameters(layers: &[Layer]) -> usize {
    layers.iter().map(Layer::parameters).sum()
}

#[test]
fn the_block_of_ddpm_costs_its_kernels_its_shift_its_norms_and_its_projection() {
    let (layers, output) = ddpm(128, 256).layers("block", image(128, 16));
    assert_eq!(output, image(256, 16));
    let kernels = 9 * 256 * (128 + 256) + 2 * 256;
    let (shift, norms, projection) = (512 * 256 + 256, 2 * (128 + 256), 128 * 256 + 256);
    assert_eq!(parameters(&layers), kernels + shift + norms + projection);
    let operations: u64 = layers.iter().map(Layer::multiply_adds).sum();
    let pixels = 16 * 16;
    assert_eq!(
        operations,
        pixels * (9 * 256 * (128 + 256) + 128 * 256) + 512 * 256
    );
    let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    let expected = ["norm1", "conv1", "shift", "norm2", "conv2", "projection"];
    assert_eq!(names, expected.map(|name| format!("block.{name}")));
}

#[test]
fn a_branch_that_halves_pays_for_the_smaller_image() {
    let mut config = ddpm(8, 8);
    config.branch.norms = [Norm::None; 2];
    config.branch.resample = Some(Resample::HalveMean);
    let (layers, output) = config.layers("block", image(8, 7));
    assert_eq!(output, image(8, 4));
    assert_eq!(layers[0].multiply_adds(), 16 * 9 * 64);
}

#[test]
fn attention_costs_four_matrices_and_two_products_of_all_pixels() {
    let config = Attention {
        channels: 64,
        heads: 4,
        head_channels: 16,
        norm: Norm::GROUP,
        scores: AttentionScores::Dot,
        short: ShortSkip::Identity,
        init: Init::PyTorch,
        gain: 1.0,
        last_gain: 1.0,
    };
    let layers = config.layers("attention", image(64, 8));
    assert_eq!(parameters(&layers), 4 * (64 * 64 + 64) + 2 * 64);
    let operations: u64 = layers.iter().map(Layer::multiply_adds).sum();
    assert_eq!(operations, 64 * 4 * 64 * 64 + 2 * 64 * 64 * 64);
}

#[test]
fn the_block_of_edm2_has_no_bias_and_one_gain() {
    let config = MagnitudeBlockConfig {
        in_channels: 192,
        out_channels: 384,
        embedding: 768,
        flavour: MagnitudeFlavour::Encoder,
        resample: None,
        heads: 6,
        balance: 0.3,
        attention_balance: 0.3,
        dropout: Dropout::None,
        clip: 256.0,
    };
    let kernels = 9 * 2 * 384 * 384;
    let matrices = 192 * 384 + 768 * 384 + 4 * 384 * 384;
    let (layers, _) = config.layers("block", image(192, 16));
    assert_eq!(parameters(&layers), kernels + matrices + 1);
    // In a decoder the first kernel sees the channels that come in.
    let flavour = MagnitudeFlavour::Decoder;
    let (layers, _) = MagnitudeBlockConfig { flavour, ..config }.layers("block", image(192, 16));
    assert_eq!(
        parameters(&layers),
        kernels / 2 + 9 * 192 * 384 + matrices + 1
    );
}

#[test]
fn the_first_six_short_skips_have_no_parameters() {
    let stream = image(8, 4);
    let count = |short: ShortSkip| parameters(&short.layers("skip", stream));
    for (short, expected) in [
        (ShortSkip::None, 0),
        (ShortSkip::Identity, 0),
        (ShortSkip::Scaled(0.5), 0),
        (ShortSkip::Averaged(0.5), 0),
        (ShortSkip::MagnitudePreserving(0.3), 0),
        (ShortSkip::StochasticDepth { survival: 0.7 }, 0),
        (ShortSkip::ReZero, 1),
        (ShortSkip::LayerScale(1e-4), 8),
        (ShortSkip::Highway { bias: -2.0 }, 8 * 8 + 8),
        (ShortSkip::Fixup { blocks: 9 }, 1),
        (ShortSkip::DeepNorm { blocks: 9 }, 2 * 8),
    ] {
        assert_eq!(count(short), expected, "{short:?}");
        // The block has just these more than a plain one, and no projection without a shortcut.
        let block = |short| {
            let config = ResBlockConfig {
                short,
                ..ddpm(64, 64)
            };
            parameters(&config.layers("block", image(64, 4)).0)
        };
        let skip = parameters(&short.layers("skip", image(64, 4)));
        assert_eq!(block(short) - block(ShortSkip::None), skip);
    }
    let plain = ResBlockConfig {
        short: ShortSkip::None,
        ..ddpm(64, 32)
    };
    let (layers, _) = plain.layers("block", image(64, 4));
    assert!(
        layers
            .iter()
            .all(|layer| !layer.name.contains("projection"))
    );
}

#[test]
fn long_skips_say_what_goes_on() {
    assert!(!LongSkip::None.concatenates() && !LongSkip::Add(1.0).concatenates());
    for skip in [
        LongSkip::Concat(1.0),
        LongSkip::ConcatPower(0.7),
        LongSkip::ConcatMagnitudePreserving(0.5),
        LongSkip::ConcatLearned,
    ] {
        assert!(skip.concatenates());
    }
    // ScaleLong's constant scaling: the deeper the skip, the smaller.
    let scales = [0, 1, 2].map(|index| LongSkip::ConcatPower(0.7).at(index));
    assert_eq!(scales[0], LongSkip::Concat(1.0));
    assert!(matches!(scales[2], LongSkip::Concat(scale) if (scale - 0.49).abs() < 1e-15));
    let layers = LongSkip::ConcatLearned.layers("skip", image(64, 4));
    assert_eq!(parameters(&layers), (64 * 4 + 4) + (4 * 64 + 64));
}

#[test]
fn what_a_skip_asks_of_its_branch() {
    for blocks in [1, 12, 100] {
        let deep = blocks as f64;
        let fixup = ShortSkip::Fixup { blocks }.branch_gains();
        assert!((fixup.inner - deep.powf(-1.0 / (2.0 * 2.0 - 2.0))).abs() < 1e-15);
        assert_eq!(fixup.last, 0.0);
        // An encoder of N layers has 2N blocks: beta = (8N)^(-1/4).
        let norm = ShortSkip::DeepNorm { blocks }.branch_gains();
        assert!((norm.inner - (8.0 * deep / 2.0).powf(-0.25)).abs() < 1e-15);
        assert_eq!(norm.inner, norm.last);
    }
    let gains = ShortSkip::ReZero.branch_gains();
    assert_eq!((gains.inner, gains.last), (1.0, 1.0));
}

#[test]
fn sides_halve_to_their_larger_half_and_double_to_at_least_what_they_were() {
    for side in 1..9 {
        let halved = Resample::HalveFir(Border::Mirror).output(image(1, side));
        assert_eq!(halved, Resample::HalveMean.output(image(1, side)));
        let conv = Conv2dConfig::new(1, 1, 3, Init::He);
        for padding in [Padding::AllSides, Padding::BottomRight] {
            let layer = conv.halving(padding).layer("down", image(1, side));
            assert_eq!(layer.output, halved);
        }
        let again = Resample::DoubleNearest.output(halved);
        assert!(side <= again.height && again.height <= side + 1);
    }
}

#[test]
fn groups_follow_their_rules() {
    let groups = |groups: Groups| [4, 6, 40, 128, 320].map(|channels| groups.of(channels));
    assert_eq!(groups(Groups::Fit), [1, 1, 10, 32, 32]);
    assert_eq!(groups(Groups::Quarter), [1, 1, 10, 32, 32]);
    assert_eq!(groups(Groups::Exactly(5)), [5; 5]);
    let norm = |groups| Norm::Group { groups, eps: 1e-5 };
    assert_eq!(norm(Groups::Fit).check("norm", 6), Ok(()));
    assert!(matches!(
        norm(Groups::Quarter).check("norm", 2),
        Err(Error::Groups { groups: 0, .. })
    ));
    // 36 / 4 = 9 groups divide 36, and 132 / 4 = 33 is cut to 32, which do not divide 132.
    assert_eq!(norm(Groups::Quarter).check("norm", 36), Ok(()));
    assert!(norm(Groups::Quarter).check("norm", 132).is_err());
}

#[test]
fn a_gain_without_a_bias_is_one_layer_without_a_bias() {
    let config = Conv2dConfig {
        bias: Bias::None,
        ..Conv2dConfig::new(3, 5, 1, Init::Dirac).gained(0.5)
    };
    let layer = config.layer("conv", image(3, 2));
    assert_eq!((layer.parameters(), layer.tensors().len()), (15, 1));
    assert_eq!(config.check(), Ok(()));
}
