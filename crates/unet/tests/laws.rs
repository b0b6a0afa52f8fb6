//! Laws of the plan over all configurations; no libtorch.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use resnet_blocks::{
    Activation, AttentionScores, Bias, Border, Feature, Groups, Init, Injection, LongSkip, Norm,
    Padding, ShortSkip,
};
use unet::{
    AttentionParts, AttentionPlaces, Classes, DecoderAttention, Down, EmbeddingConfig,
    EmbeddingLayers, Features, Filter, FourierOf, Frame, Frequencies, Heads, InputRange, Layout,
    MagnitudeParts, MiddleAttention, Order, Parts, ProgressiveInput, ReadOut, ResidualParts,
    SelfConditioning, Shortcut, ShortcutAt, Step, Topology, UNetConfig, Up,
};

fn filters() -> impl Strategy<Value = Filter> {
    prop::sample::select(vec![Filter::Box, Filter::Fir(Border::Zeros)])
}

/// Skips without parameters, under which branches are the same.
fn free_skips() -> impl Strategy<Value = ShortSkip> {
    prop::sample::select(vec![
        ShortSkip::Identity,
        ShortSkip::Scaled(0.3),
        ShortSkip::Averaged(0.7),
        ShortSkip::MagnitudePreserving(0.3),
        ShortSkip::StochasticDepth { survival: 0.8 },
    ])
}

fn short_skips() -> impl Strategy<Value = ShortSkip> {
    let learned = prop::sample::select(vec![
        ShortSkip::None,
        ShortSkip::ReZero,
        ShortSkip::LayerScale(1e-4),
        ShortSkip::Highway { bias: -1.0 },
        ShortSkip::Fixup { blocks: 7 },
        ShortSkip::DeepNorm { blocks: 7 },
    ]);
    prop_oneof![free_skips(), learned]
}

fn long_skips() -> impl Strategy<Value = LongSkip> {
    prop::sample::select(vec![
        LongSkip::None,
        LongSkip::Add(0.7),
        LongSkip::Concat(1.0),
        LongSkip::ConcatPower(0.9),
        LongSkip::ConcatMagnitudePreserving(0.5),
        LongSkip::ConcatLearned,
    ])
}

fn norms() -> impl Strategy<Value = Norm> {
    let eps = 1e-5;
    prop::sample::select(vec![
        Norm::None,
        Norm::GROUP,
        Norm::Group {
            groups: Groups::Quarter,
            eps,
        },
        Norm::Layer { eps },
        Norm::Rms { eps },
        Norm::InstancePlus { eps },
    ])
}

fn attention() -> impl Strategy<Value = AttentionParts> {
    let scores = prop::sample::select(vec![AttentionScores::Dot, AttentionScores::Cosine]);
    (norms(), scores, short_skips()).prop_map(|(norm, scores, short)| AttentionParts {
        norm,
        scores,
        short,
        gain: 0.5,
        last_gain: 0.0,
    })
}

fn resampling() -> impl Strategy<Value = (Down, Up)> {
    let down = prop_oneof![
        prop::sample::select(vec![Padding::AllSides, Padding::BottomRight]).prop_map(Down::Strided),
        filters().prop_map(Down::Plain),
        filters().prop_map(Down::Conv),
        filters().prop_map(Down::Block),
    ];
    let up = prop_oneof![
        filters().prop_map(Up::Plain),
        filters().prop_map(Up::Conv),
        filters().prop_map(Up::Block),
    ];
    (down, up)
}

fn ends() -> impl Strategy<Value = (ProgressiveInput, ReadOut)> {
    let input = prop_oneof![
        Just(ProgressiveInput::None),
        Just(ProgressiveInput::Residual),
        filters().prop_map(ProgressiveInput::Skip),
    ];
    let gain = 0.0;
    let output = prop_oneof![
        Just(ReadOut::Conv { gain }),
        norms().prop_map(move |norm| ReadOut::NormConv { norm, gain }),
        (norms(), filters()).prop_map(move |(norm, filter)| ReadOut::EveryLevel {
            norm,
            gain,
            filter
        }),
    ];
    (input, output)
}

fn residual() -> impl Strategy<Value = ResidualParts> {
    let injection = prop::sample::select(vec![
        Injection::None,
        Injection::Shift,
        Injection::ScaleShift,
        Injection::Adaptive,
    ]);
    let at = prop::sample::select(vec![ShortcutAt::Channels, ShortcutAt::ChannelsOrSide]);
    (
        norms(),
        injection,
        short_skips(),
        at,
        attention(),
        resampling(),
        ends(),
    )
        .prop_map(
            |(norm, injection, short, at, attention, (down, up), (progressive, read_out))| {
                ResidualParts {
                    injection,
                    shortcut: Shortcut {
                        kernel: 1,
                        bias: Bias::Learned,
                        at,
                    },
                    attention,
                    down,
                    up,
                    progressive,
                    read_out,
                    ..ResidualParts::plain(Activation::Silu, norm, short, Init::He)
                }
            },
        )
}

fn parts() -> impl Strategy<Value = Parts> {
    let edm2 = UNetConfig::edm2(Feature::vector(1), 64, None).parts;
    let magnitude = filters().prop_map(move |filter| match edm2 {
        Parts::Magnitude(parts) => Parts::Magnitude(MagnitudeParts { filter, ..parts }),
        other => other,
    });
    prop_oneof![3 => residual().prop_map(Parts::Residual), 1 => magnitude]
}

fn embeddings() -> impl Strategy<Value = EmbeddingConfig> {
    let features = prop::sample::select(vec![
        Features::Sinusoids {
            frequencies: Frequencies::Geometric { last: 32.0 },
            order: Order::CosineFirst,
        },
        Features::Fourier {
            scale: 16.0,
            order: Order::SineFirst,
            of: FourierOf::Label,
        },
        Features::MagnitudeFourier,
        Features::Learned { rows: 5 },
    ]);
    let activation = Activation::Silu;
    let layers = prop::sample::select(vec![
        EmbeddingLayers::One { activation },
        EmbeddingLayers::Two {
            activation,
            last: None,
        },
        EmbeddingLayers::Magnitude,
    ]);
    let classes = prop::sample::select(vec![
        Classes::None,
        Classes::Rows { rows: 3 },
        Classes::AsLabel,
        Classes::Vector,
        Classes::Features { length: 3 },
        Classes::Magnitude {
            length: 3,
            balance: 0.5,
        },
    ]);
    (features, layers, classes, 1usize..5, 1usize..9).prop_map(
        |(features, layers, classes, half, width)| EmbeddingConfig {
            features,
            channels: 2 * half,
            width,
            layers,
            classes,
            init: Init::PyTorch,
        },
    )
}

fn frames() -> impl Strategy<Value = Frame> {
    let estimates = vec![SelfConditioning::None, SelfConditioning::Estimate];
    (
        1usize..4,
        1usize..35,
        1usize..35,
        1usize..4,
        prop::sample::select(estimates),
    )
        .prop_map(
            |(channels, height, width, out_channels, self_conditioning)| Frame {
                input: Feature {
                    channels,
                    height,
                    width,
                },
                out_channels,
                range: InputRange::AsGiven,
                self_conditioning,
            },
        )
}

fn places() -> impl Strategy<Value = AttentionPlaces> {
    (
        prop::collection::btree_set(0usize..4, 0..3),
        prop::sample::select(vec![
            MiddleAttention::None,
            MiddleAttention::AfterFirstBlock,
        ]),
        prop::sample::select(vec![
            DecoderAttention::EveryBlock,
            DecoderAttention::LastBlock,
        ]),
        prop::sample::select(vec![Heads::One, Heads::Count(4), Heads::Channels(8)]),
    )
        .prop_map(|(levels, middle, decoder, heads)| AttentionPlaces {
            levels: levels.into_iter().collect(),
            middle,
            decoder,
            heads,
        })
}

prop_compose! {
    fn configs()(
        frame in frames(),
        embedding in embeddings(),
        stem in 1usize..4,
        mut widths in prop::collection::vec(1usize..5, 1..5),
        blocks in 1usize..4,
        layout in prop::sample::select(vec![Layout::Levels, Layout::Blocks]),
        mut attention in places(),
        long in long_skips(),
        parts in parts(),
    ) -> UNetConfig {
        let side = frame.input.height.max(frame.input.width);
        let most = side.next_power_of_two().ilog2() as usize;
        widths.truncate(most + 1);
        attention.levels.retain(|level| *level < widths.len());
        let widths = widths.into_iter().map(|width| 8 * width).collect();
        UNetConfig { frame, embedding, stem: 8 * stem, widths, blocks, layout, attention, long, parts }
    }
}

fn with_short(mut config: UNetConfig, short: ShortSkip) -> UNetConfig {
    if let Parts::Residual(parts) = &mut config.parts {
        parts.short = short;
        parts.attention.short = short;
    }
    config
}

fn shapes(plan: &Topology) -> BTreeMap<String, Vec<usize>> {
    let tensors = plan.tensors().into_iter();
    tensors.map(|tensor| (tensor.name, tensor.shape)).collect()
}

fn plan(config: &UNetConfig) -> Result<Topology, TestCaseError> {
    Topology::plan(config).map_err(|error| TestCaseError::fail(error.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_step_fits_and_what_is_kept_is_joined(config in configs()) {
        let plan = plan(&config)?;
        let count = |wanted: fn(&Step) -> bool| plan.steps().iter().filter(|step| wanted(step)).count();
        let kept = count(|step| matches!(step, Step::Keep { .. }));
        let joined = count(|step| matches!(step, Step::Join(_)));
        let levels = config.widths.len();
        let wanted = match config.layout {
            Layout::Levels => levels - 1,
            Layout::Blocks => levels * (config.blocks + 1),
        };
        prop_assert_eq!([kept, joined, plan.long_skips().len()], [wanted; 3]);
        let last = plan.layers().iter().rfind(|layer| layer.name.starts_with("read_out"));
        let out = config.frame.input.with_channels(config.frame.out_channels);
        let last = last.expect("a read-out").output;
        prop_assert!(last == out || matches!(config.parts, Parts::Magnitude(_)));
        // Encoder and decoder meet at the same size.
        for skip in plan.long_skips() {
            prop_assert_eq!((skip.carried.height, skip.carried.width), (skip.stream.height, skip.stream.width));
        }
    }

    #[test]
    fn names_are_unique_and_numbers_add_up(config in configs()) {
        let plan = plan(&config)?;
        let tensors = plan.tensors();
        prop_assert_eq!(shapes(&plan).len(), tensors.len());
        let blocks: Vec<&String> = plan.steps().iter().filter_map(|step| match step {
            Step::Block { name, .. } | Step::AddInput { name, .. } | Step::AddOutput { name, .. } => Some(name),
            _ => None,
        }).collect();
        let joins: BTreeSet<&String> = plan.long_skips().iter().map(|skip| &skip.name).collect();
        prop_assert_eq!(blocks.iter().collect::<BTreeSet<_>>().len(), blocks.len());
        prop_assert_eq!(joins.len(), plan.long_skips().len());
        prop_assert_eq!(plan.parameters(), tensors.iter().map(|tensor| tensor.numbers()).sum::<usize>());
        prop_assert_eq!(plan.forward_flops(3), 3 * plan.forward_flops(1));
        prop_assert_eq!(plan.activations(3), 3 * plan.activations(1));
        let text = plan.to_string();
        prop_assert!(text.lines().all(|line| line.chars().count() <= 80), "{}", text);
    }

    #[test]
    fn skips_without_parameters_change_no_tensor(
        config in configs(), one in free_skips(), other in free_skips(),
    ) {
        let [one, other] = [one, other].map(|short| plan(&with_short(config.clone(), short)));
        let (one, other) = (one?, other?);
        prop_assert_eq!(one.layers(), other.layers());
    }

    #[test]
    fn arms_share_the_tensors_of_common_names(
        config in configs(), one in short_skips(), other in short_skips(),
    ) {
        let [one, other] = [one, other].map(|short| plan(&with_short(config.clone(), short)));
        let (one, other) = (shapes(&one?), shapes(&other?));
        let of_branch = |name: &&String| !name.contains(".skip.") && !name.contains(".projection.");
        let names: Vec<_> = one.keys().filter(of_branch).collect();
        prop_assert_eq!(&names, &other.keys().filter(of_branch).collect::<Vec<_>>());
        prop_assert!(names.iter().all(|name| one[*name] == other[*name]));
    }

    #[test]
    fn long_skips_that_add_share_all_but_their_projections(config in configs()) {
        let with = |long| plan(&UNetConfig { long, ..config.clone() });
        let (none, add) = (with(LongSkip::None)?, with(LongSkip::Add(1.0))?);
        let none: BTreeSet<_> = shapes(&none).into_iter().collect();
        let projections: Vec<String> = add.long_skips().iter().map(|skip| format!("{}.projection.", skip.name)).collect();
        let more = shapes(&add).into_iter().filter(|tensor| !none.contains(tensor));
        for (name, _) in more {
            prop_assert!(projections.iter().any(|projection| name.starts_with(projection)), "{}", name);
        }
        prop_assert!(none.iter().all(|(name, shape)| shapes(&add).get(name) == Some(shape)));
    }

    #[test]
    fn the_plan_knows_what_its_long_skips_bring(config in configs()) {
        let none = plan(&UNetConfig { long: LongSkip::None, ..config.clone() })?;
        let plan = plan(&config)?;
        prop_assert_eq!(plan.skip_parameters(), plan.parameters() - none.parameters());
        prop_assert_eq!(none.skip_parameters(), 0);
    }

    #[test]
    fn a_program_without_one_of_its_kept_features_is_refused(config in configs(), which in any::<prop::sample::Index>()) {
        let plan = plan(&config)?;
        let keeps = plan.steps().iter().enumerate().filter(|(_, step)| matches!(step, Step::Keep { .. }));
        let keeps: Vec<usize> = keeps.map(|(index, _)| index).collect();
        prop_assume!(!keeps.is_empty());
        let mut steps = plan.steps().to_vec();
        steps.remove(keeps[which.index(keeps.len())]);
        prop_assert!(Topology::new(*plan.frame(), plan.embedding().clone(), steps).is_err());
    }
}
