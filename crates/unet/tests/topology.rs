//! The plan in single cases: the study network as it was, costs by hand, refusals; no libtorch.

use resnet_blocks::{
    Activation, Border, Feature, Groups, Init, Layer, LongSkip, Norm, PlannedTensor, ShortSkip,
};
use unet::{
    AttentionPlaces, Classes, DecoderAttention, Down, Error, Features, FourierOf, Heads, Layout,
    MiddleAttention, Order, Parts, ResidualParts, SelfConditioning, Step, Topology, UNetConfig, Up,
};

const fn image(channels: usize, height: usize, width: usize) -> Feature {
    Feature {
        channels,
        height,
        width,
    }
}

fn parts(norm: Norm, short: ShortSkip) -> ResidualParts {
    ResidualParts::plain(Activation::Silu, norm, short, Init::PyTorch)
}

fn study(side: usize, base: usize, multipliers: &[usize], long: LongSkip) -> UNetConfig {
    let parts = parts(Norm::None, ShortSkip::inverse_sqrt(5));
    UNetConfig::study(image(1, side, side), base, multipliers, 1, parts, long)
}

fn default_study() -> UNetConfig {
    study(16, 8, &[1, 2, 2], LongSkip::Add(0.5f64.sqrt()))
}

fn plan(config: &UNetConfig) -> Topology {
    Topology::plan(config).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(config: &UNetConfig) -> Error {
    Topology::plan(config).expect_err("to be refused")
}

fn listed(tensors: &[PlannedTensor]) -> String {
    let line = |tensor: &PlannedTensor| {
        let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
        format!("{} {}\n", tensor.name, shape.join("x"))
    };
    tensors.iter().map(line).collect()
}

/// The lists were written by the code that the committed studies ran on: names decide initial values.
#[test]
fn the_study_network_keeps_its_tensors_and_their_order() {
    let concat = include_str!("golden/topology/study_concat.txt");
    let add = include_str!("golden/topology/study_add.txt");
    for (norm, long, list, flops) in [
        (Norm::GROUP, LongSkip::Concat(1.0), concat, 608_060),
        (Norm::None, LongSkip::Add(0.5), add, 596_760),
    ] {
        let parts = parts(norm, ShortSkip::Identity);
        let config = UNetConfig::study(image(1, 7, 7), 5, &[1, 2, 3], 2, parts, long);
        let plan = plan(&config);
        assert_eq!(listed(&plan.tensors()), list);
        assert_eq!(plan.forward_flops(1), flops);
        let skips = plan.long_skips().iter();
        let skips: Vec<_> = skips
            .map(|skip| (skip.name.as_str(), skip.from.as_str(), skip.carried))
            .collect();
        assert_eq!(
            skips,
            [
                ("up1", "encoder1.block1", image(10, 4, 4)),
                ("up0", "encoder0.block1", image(5, 7, 7)),
            ]
        );
    }
    assert_eq!(plan(&default_study()).parameters(), 25_777);
}

/// By hand: 1 -> 4 channels at side 4, one block of 4, 4 -> 1; embedding 4 -> 16; shift 16 -> 4.
#[test]
fn costs_are_those_counted_by_hand() {
    let plan = plan(&study(4, 4, &[1], LongSkip::None));
    let (read, block) = ((9 + 1) * 4 + (36 + 1), 2 * (36 + 1) * 4);
    assert_eq!(plan.parameters(), read + block + 5 * 16 + 17 * 4);
    let multiply_adds = 16 * (36 + 36 + 2 * 144) + 4 * 16 + 16 * 4;
    assert_eq!(plan.forward_flops(3), 3 * 2 * multiply_adds);
    let written = 16 * (4 + 2 * 4 + 1) + 16 + 4;
    assert_eq!(plan.activations(3), 3 * written);
    assert!(plan.long_skips().is_empty());
}

/// One block, attention of 2 heads of 2 channels behind it, at 3x2 pixels: four matrices of 4x4 with
/// biases, and two products of 6x6 pixels over 4 channels.
#[test]
fn attention_costs_are_those_counted_by_hand() {
    let mut config = study(3, 4, &[1], LongSkip::None);
    config.frame.input.width = 2;
    let without = plan(&config);
    config.attention.middle = MiddleAttention::AfterFirstBlock;
    config.attention.heads = Heads::Count(2);
    let with = plan(&config);
    assert_eq!(with.parameters() - without.parameters(), 4 * (16 + 4));
    let multiply_adds = 4 * 6 * 16 + 2 * 36 * 4;
    assert_eq!(
        with.forward_flops(1) - without.forward_flops(1),
        2 * multiply_adds
    );
    assert_eq!(with.activations(1) - without.activations(1), 5 * 6 * 4);
}

#[test]
fn odd_and_oblong_sizes_round_up_and_come_back() {
    let mut config = study(28, 8, &[1, 1, 1, 1, 1], LongSkip::Add(1.0));
    config.frame.input.width = 5;
    let plan = plan(&config);
    let sizes = plan.long_skips().iter();
    let sizes: Vec<_> = sizes
        .map(|skip| [skip.carried.height, skip.carried.width])
        .collect();
    assert_eq!(sizes, [[4, 1], [7, 2], [14, 3], [28, 5]]);
    let last = plan.layers().last().expect("a layer");
    assert_eq!(last.output, image(1, 28, 5));
}

#[test]
fn what_differs_in_channels_is_projected_before_it_is_added() {
    let ddpm = UNetConfig {
        long: LongSkip::Add(1.0),
        ..UNetConfig::ddpm_cifar10()
    };
    let plan = plan(&ddpm);
    let projections: Vec<&Layer> = plan
        .layers()
        .iter()
        .filter(|layer| layer.name.contains("skip") && layer.name.ends_with("projection"))
        .collect();
    let places: Vec<_> = projections
        .iter()
        .map(|layer| {
            (
                layer.name.as_str(),
                layer.in_channels,
                layer.output.channels,
            )
        })
        .collect();
    // The first join of the full resolution meets 256 channels, and down0 keeps 128.
    assert_eq!(
        places,
        [
            ("decoder1.skip2.projection", 128, 256),
            ("decoder0.skip0.projection", 128, 256),
        ]
    );
    assert_eq!(plan.skip_parameters(), 2 * 129 * 256);
}

#[test]
fn a_plan_prints_what_it_is() {
    let ddpm = plan(&UNetConfig::ddpm_cifar10());
    let text = ddpm.to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    let words = |start: &str| -> Vec<&str> {
        let line = text.lines().find(|line| line.starts_with(start));
        line.expect("such a line").split_whitespace().collect()
    };
    assert_eq!(
        words("encoder1.attention0.query"),
        [
            "encoder1.attention0.query",
            "linear",
            "256",
            "->",
            "256",
            "16x16",
            "65,792"
        ]
    );
    // 3x3 kernels of 128 more channels, their normalisation, and a projection that would not be needed.
    let brought = 9 * 128 * 256 + 2 * 128 + (384 + 1) * 256;
    assert_eq!(brought, 393_728);
    assert_eq!(
        words("decoder1.skip2 "),
        [
            "decoder1.skip2",
            "down0",
            "128x16x16",
            "cat",
            "x",
            "1",
            "393,728"
        ]
    );
    assert_eq!(words("parameters:"), ["parameters:", "35,746,307"]);
    assert_eq!(words("short skips:"), ["short", "skips:", "Identity"]);
    assert!(text.contains("of them for long skips"));
    let none = plan(&study(16, 8, &[1, 2], LongSkip::None)).to_string();
    assert!(none.contains("nothing") && !none.contains("of them for long skips"));
}

#[test]
fn impossible_configurations_are_refused() {
    let valid = default_study();
    let with = |change: fn(&mut UNetConfig)| {
        let mut config = valid.clone();
        change(&mut config);
        refused(&config)
    };
    for error in [
        with(|config| config.frame.input.channels = 0),
        with(|config| config.frame.input.height = 0),
        with(|config| config.frame.out_channels = 0),
        with(|config| config.stem = 0),
        with(|config| config.widths[1] = 0),
        with(|config| config.blocks = 0),
        with(|config| config.embedding.channels = 0),
        with(|config| config.embedding.width = 0),
        with(|config| config.embedding.classes = Classes::Rows { rows: 0 }),
    ] {
        assert!(matches!(error, Error::Zero { .. }), "{error}");
    }
    for error in [
        with(|config| config.widths[2] = usize::MAX),
        with(|config| config.blocks = 1 << 20),
        with(|config| config.frame.input.width = 1 << 40),
    ] {
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    assert_eq!(with(|config| config.widths.clear()), Error::NoLevels);
    assert!(matches!(
        with(|config| config.long = LongSkip::Add(f64::NAN)),
        Error::Block(_)
    ));
    assert!(matches!(
        with(|config| config.parts = Parts::Residual(parts(Norm::None, ShortSkip::inverse_sqrt(0)))),
        Error::Block(_)
    ));
    let fourier = |config: &mut UNetConfig, scale| {
        config.embedding.features = Features::Fourier {
            scale,
            order: Order::SineFirst,
            of: FourierOf::Label,
        };
    };
    let mut config = valid.clone();
    fourier(&mut config, f64::INFINITY);
    assert!(matches!(refused(&config), Error::Range { .. }));
    fourier(&mut config, 16.0);
    config.embedding.channels = 7;
    assert_eq!(refused(&config), Error::Features { channels: 7 });
}

#[test]
fn the_largest_network_has_costs() {
    let mut config = study(1 << 16, 1 << 16, &[1, 1], LongSkip::Add(1.0));
    config.attention.levels = vec![0];
    assert_eq!(plan(&config).forward_flops(8), u64::MAX);
}

#[test]
fn levels_end_where_the_larger_side_is_one_pixel() {
    let deep = |side, levels| study(side, 8, &vec![1; levels], LongSkip::Concat(1.0));
    // 5 -> 3 -> 2 -> 1: three halvings, four levels.
    assert!(Topology::plan(&deep(5, 4)).is_ok());
    assert!(Topology::plan(&deep(1, 1)).is_ok());
    let (side, levels, most) = (5, 5, 3);
    assert_eq!(
        refused(&deep(5, 5)),
        Error::TooManyLevels { side, levels, most }
    );
    let mut flat = deep(5, 4);
    flat.frame.input.height = 1;
    assert!(Topology::plan(&flat).is_ok());
}

#[test]
fn attention_must_find_its_level_and_share_its_channels() {
    let mut config = default_study();
    config.attention = AttentionPlaces {
        levels: vec![0, 3],
        middle: MiddleAttention::None,
        decoder: DecoderAttention::EveryBlock,
        heads: Heads::Channels(6),
    };
    let (level, levels) = (3, 3);
    assert_eq!(refused(&config), Error::AttentionLevel { level, levels });
    config.attention.levels = vec![0];
    let error = refused(&config);
    assert_eq!(
        error.to_string(),
        "the heads of an attention must share its channels evenly, but Channels(6) does not divide 8; \
         change it or `widths`"
    );
    for (heads, fits) in [
        (Heads::One, true),
        (Heads::Count(0), false),
        (Heads::Count(3), false),
        (Heads::Count(8), true),
        (Heads::Channels(0), false),
        (Heads::Channels(16), false),
        (Heads::Channels(8), true),
    ] {
        config.attention.heads = heads;
        assert_eq!(Topology::plan(&config).is_ok(), fits, "{heads:?}");
    }
}

#[test]
fn one_pixel_has_no_mirror_and_a_ring_is_no_border() {
    let with = |border, side| {
        let mut config = study(side, 8, &[1, 1, 1], LongSkip::Add(1.0));
        let filter = unet::Filter::Fir(border);
        config.parts = Parts::Residual(ResidualParts {
            down: Down::Conv(filter),
            up: Up::Plain(filter),
            ..parts(Norm::None, ShortSkip::Identity)
        });
        Topology::plan(&config).map(|_| ())
    };
    assert_eq!(with(Border::Mirror, 5), Ok(()));
    assert_eq!(with(Border::Mirror, 4), Err(Error::Mirror { levels: 3 }));
    assert_eq!(with(Border::Zeros, 4), Ok(()));
    assert_eq!(with(Border::Ring, 16), Err(Error::Ring));
}

#[test]
fn a_refusal_names_the_layer_that_it_is_about() {
    let narrow = UNetConfig::ddpm(image(3, 16, 16), 16, &[1, 2]);
    assert_eq!(
        refused(&narrow).to_string(),
        "the groups of `encoder0.block0.norm1` must divide its channels, but 32 do not divide 16; change one \
         of them"
    );
    let norm = Norm::Group {
        groups: Groups::Exactly(8),
        eps: 0.0,
    };
    let mut config = default_study();
    config.parts = Parts::Residual(parts(norm, ShortSkip::Identity));
    assert!(matches!(refused(&config), Error::Block(_)));
}

#[test]
fn self_conditioning_widens_the_read_in_alone() {
    let mut config = UNetConfig::ncsnpp(image(3, 32, 32), 16, &[1, 2]);
    let without = plan(&config);
    config.frame.self_conditioning = SelfConditioning::Estimate;
    let with = plan(&config);
    let (read_in, input) = (9 * 3 * 16, 9 * 3 * 16); // and the second path's first convolution
    assert_eq!(with.parameters() - without.parameters(), read_in + input);
}

fn broken(config: &UNetConfig, change: impl Fn(&mut Vec<Step>)) -> Error {
    let plan = plan(config);
    let mut steps = plan.steps().to_vec();
    change(&mut steps);
    Topology::new(*plan.frame(), plan.embedding().clone(), steps).expect_err("to be refused")
}

#[test]
fn broken_programs_are_refused() {
    for layout in [Layout::Levels, Layout::Blocks] {
        let config = UNetConfig {
            layout,
            ..default_study()
        };
        let at = |steps: &[Step], wanted: fn(&Step) -> bool| {
            steps.iter().position(wanted).expect("such a step")
        };
        let keep: fn(&Step) -> bool = |step| matches!(step, Step::Keep { .. });
        let double: fn(&Step) -> bool = |step| matches!(step, Step::Double(_));
        let join: fn(&Step) -> bool = |step| matches!(step, Step::Join(_));
        let block: fn(&Step) -> bool = |step| matches!(step, Step::Block { .. });
        for kind in [keep, double] {
            let error = broken(&config, |steps| {
                steps.remove(at(steps, kind));
            });
            assert!(matches!(error, Error::Step { .. }), "{error}");
        }
        let error = broken(&config, |steps| {
            let twice = steps[at(steps, join)].clone();
            steps.push(twice);
        });
        assert!(
            error.to_string().contains("no kept feature is left"),
            "{error}"
        );
        let error = broken(&config, |steps| {
            steps.remove(at(steps, block));
        });
        assert!(matches!(error, Error::Step { .. }), "{error}");
        let error = broken(&config, |steps| steps.truncate(steps.len() - 1));
        assert!(error.to_string().contains("the end"), "{error}");
        let error = broken(&config, |steps| {
            let index = 1 + at(&steps[1..], block);
            let twice = steps[index].clone();
            steps.insert(index, twice);
        });
        assert!(
            matches!(&error, Error::Block(resnet_blocks::Error::DuplicateName { name }) if name.starts_with("encoder0.block0")),
            "{error}"
        );
    }
    let valid = plan(&default_study());
    let mut embedding = valid.embedding().clone();
    embedding.width += 1;
    let other = Topology::new(*valid.frame(), embedding, valid.steps().to_vec());
    assert_eq!(
        other.expect_err("to be refused").to_string(),
        "the steps of a network must fit each other, but at `encoder0.block0` it is made for an embedding of \
         width 32 and gets one of 33; change one of them"
    );
}
