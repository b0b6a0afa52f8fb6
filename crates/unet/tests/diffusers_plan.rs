//! Configurations and plans of diffusers' networks; no libtorch.

use proptest::prelude::*;
use resnet_blocks::{Activation, Feature, LongSkip, Padding, ShortSkip};
use unet::{
    BlockPlan, Error, Step, Topology, UNetConfig,
    diffusers::{
        BlockType, ClassEmbedding, Config, MidBlock, Plan, Sampling, TimeEmbedding, TimeInjection,
    },
};

/// Two levels of two kinds, in a network that has both.
fn config(kind: BlockType) -> Config {
    Config {
        sample_size: None,
        in_channels: 3,
        out_channels: 3,
        center_input_sample: false,
        time_embedding_type: TimeEmbedding::Fourier,
        time_embedding_dim: None,
        class_embed_type: ClassEmbedding::None,
        down_block_types: vec![kind; 2],
        mid_block_type: MidBlock::ResnetsAndAttention,
        up_block_types: vec![kind; 2],
        block_out_channels: vec![32, 64],
        layers_per_block: 2,
        mid_block_scale_factor: 1.0,
        downsample_padding: Padding::AllSides,
        downsample_type: Sampling::Conv,
        upsample_type: Sampling::Conv,
        dropout: 0.0,
        act_fn: Activation::Silu,
        attention_head_dim: Some(8),
        norm_num_groups: Some(8),
        attn_norm_num_groups: None,
        norm_eps: 1e-5,
        resnet_time_scale_shift: TimeInjection::Shift,
    }
}

fn ddpm(channels: &str, down: &str, up: &str) -> String {
    format!(
        r#"{{"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "attention_head_dim": null,
            "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "norm_eps": 1e-06,
            "block_out_channels": {channels}, "down_block_types": {down}, "up_block_types": {up}}}"#
    )
}

#[test]
fn the_published_networks_have_their_published_sizes() -> Result<(), Error> {
    let cifar = ddpm(
        "[128, 256, 256, 256]",
        r#"["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"]"#,
        r#"["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]"#,
    );
    let plan = Plan::new(&Config::from_json(&cifar)?)?;
    let size = (plan.tensors().len(), plan.topology().parameters());
    assert_eq!(size, (328, 35_746_307));
    assert_eq!(plan.side_multiple(), 8);
    let large = ddpm(
        "[128, 128, 256, 256, 512, 512]",
        r#"["DownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"]"#,
        r#"["UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"]"#,
    );
    let plan = Plan::new(&Config::from_json(&large)?)?;
    let size = (plan.tensors().len(), plan.topology().parameters());
    assert_eq!(size, (450, 113_673_219));
    Ok(())
}

#[test]
fn every_tensor_has_one_name() -> Result<(), Error> {
    for kind in BlockType::ALL {
        let plan = Plan::new(&config(kind))?;
        let mut names: Vec<_> = plan.tensors().iter().map(|tensor| &tensor.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), plan.tensors().len(), "{kind:?}");
    }
    Ok(())
}

#[test]
fn absent_is_the_default_and_null_is_not() -> Result<(), Error> {
    let absent = Config::from_json("{}")?;
    assert_eq!(absent.attention_head_dim, Some(8));
    assert_eq!(absent.block_out_channels, [224, 448, 672, 896]);
    let null = Config::from_json(r#"{"attention_head_dim": null}"#)?;
    assert_eq!(null.attention_head_dim, None);
    Ok(())
}

#[test]
fn names_of_2022_are_read() -> Result<(), Error> {
    let config = Config::from_json(
        r#"{"block_out_channels": [32], "down_block_types": ["UNetResAttnDownBlock2D"],
            "up_block_types": ["UNetResUpBlock2D"], "act_fn": "SiLU"}"#,
    )?;
    assert_eq!(config.down_block_types, [BlockType::Attention]);
    assert_eq!(config.up_block_types, [BlockType::Plain]);
    Ok(())
}

#[test]
fn all_that_is_unknown_is_named_at_once() {
    let text = r#"{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "act_fn": "elu",
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"],
        "up_block_types": ["KCrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpDecoderBlock2D"],
        "mid_block_type": "UNetMidBlock2DCrossAttn", "downsample_padding": 2, "downsample_type": "fir",
        "time_embedding_type": "sigma", "class_embed_type": "projection",
        "resnet_time_scale_shift": "spatial"}"#;
    let error = Config::from_json(text).expect_err("nothing of it is known");
    let Error::Config { problems } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(problems.len(), 12, "{problems:#?}");
    let text = error.to_string();
    for word in [
        "UNet2DConditionModel",
        "cross_attention_dim",
        "elu",
        "CrossAttnDownBlock2D",
        "KCrossAttnUpBlock2D",
        "UpDecoderBlock2D",
        "UNetMidBlock2DCrossAttn",
        "`downsample_padding` is 2",
        "fir",
        "sigma",
        "projection",
        "spatial",
    ] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[test]
fn what_is_no_configuration_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        r#"{"in_channels": -1}"#,
        r#"{"in_channels": 1.5}"#,
        r#"{"add_attention": null}"#,
        r#"{"in_channels": 1, "in_channels": 2}"#,
    ] {
        let error = Config::from_json(text).expect_err(text);
        assert!(matches!(error, Error::Json { .. }), "{text}: {error:?}");
    }
    let refused = |text: &str| Config::from_json(text).expect_err(text);
    assert!(matches!(
        refused(r#"{"layers_per_block": 0}"#),
        Error::Zero {
            what: "layers_per_block"
        }
    ));
    assert!(matches!(
        refused(r#"{"block_out_channels": [4611686018427387904, 1, 1, 1]}"#),
        Error::TooLarge {
            what: "block_out_channels",
            ..
        }
    ));
    assert!(matches!(
        refused(r#"{"layers_per_block": 1000000000}"#),
        Error::TooLarge { .. }
    ));
    let empty = r#"{"block_out_channels": [], "down_block_types": [], "up_block_types": []}"#;
    assert_eq!(refused(empty), Error::NoLevels);
    for text in [
        r#"{"block_out_channels": [32, 32]}"#,
        r#"{"mid_block_scale_factor": 0}"#,
        r#"{"norm_eps": 0}"#,
        r#"{"dropout": 1.5}"#,
        r#"{"freq_shift": 112}"#,
        r#"{"time_embedding_type": "learned"}"#,
    ] {
        let error = refused(text);
        assert!(matches!(error, Error::Config { .. }), "{text}: {error:?}");
    }
    let tanh = Config {
        act_fn: Activation::Tanh,
        ..config(BlockType::Plain)
    };
    assert!(tanh.check().is_err());
}

/// Each of these is refused by diffusers 0.42.1 too, when it builds or when it runs the network.
#[test]
fn levels_that_do_not_fit_are_refused() {
    let plain = config(BlockType::Plain);
    let skip = config(BlockType::Skip);
    let (narrow, wide) = (vec![16, 64], vec![36, 64]);
    let cases = [
        (
            "groups",
            Config {
                norm_num_groups: Some(12),
                ..plain.clone()
            },
        ),
        (
            "needs a number",
            Config {
                norm_num_groups: None,
                ..plain.clone()
            },
        ),
        (
            "fewer than one head",
            Config {
                attention_head_dim: Some(65),
                ..plain.clone()
            },
        ),
        (
            "`in_channels` must be 3",
            Config {
                in_channels: 1,
                ..skip.clone()
            },
        ),
        (
            "`out_channels` is 1",
            Config {
                out_channels: 1,
                ..skip.clone()
            },
        ),
        (
            "the levels above it be skip levels",
            Config {
                down_block_types: vec![BlockType::Plain, BlockType::Skip, BlockType::Plain],
                up_block_types: vec![BlockType::Plain; 3],
                block_out_channels: vec![32; 3],
                ..plain.clone()
            },
        ),
        (
            "every level between must be a skip level",
            Config {
                up_block_types: vec![BlockType::Skip, BlockType::Plain],
                ..plain.clone()
            },
        ),
        (
            "different sides",
            Config {
                down_block_types: vec![BlockType::KDiffusion; 2],
                ..plain.clone()
            },
        ),
        (
            "in 0 groups",
            Config {
                block_out_channels: narrow,
                ..config(BlockType::KDiffusion)
            },
        ),
        (
            "in 32 groups",
            Config {
                block_out_channels: wide,
                ..config(BlockType::AttentionSkip)
            },
        ),
    ];
    for (words, config) in cases {
        assert!(config.check().is_ok(), "{words}");
        let error = Plan::new(&config).expect_err(words).to_string();
        assert!(error.contains(words), "{words} is not in: {error}");
    }
}

/// The configuration that is found for a plan's topology plans the same tensors.
fn found_again(plan: &Plan) -> Result<(), String> {
    let found = Config::of(plan.topology()).map_err(|error| error.to_string())?;
    let again = Plan::new(&found).map_err(|error| error.to_string())?;
    if again.tensors() == plan.tensors() {
        Ok(())
    } else {
        Err(format!("{found:?} has other tensors"))
    }
}

#[test]
fn the_configuration_is_found_from_the_network_alone() -> Result<(), Error> {
    let pairs = BlockType::ALL.map(|kind| (kind, kind)).into_iter().chain([
        (BlockType::Plain, BlockType::Attention),
        (BlockType::Resnet, BlockType::Plain),
        (BlockType::AttentionSkip, BlockType::Skip),
    ]);
    let mut cases = 0;
    for (deep, shallow) in pairs {
        for (mid_block_type, injection, sampling) in [
            (MidBlock::None, TimeInjection::Shift, Sampling::Conv),
            (
                MidBlock::Resnets,
                TimeInjection::ScaleShift,
                Sampling::Resnet,
            ),
            (
                MidBlock::ResnetsAndAttention,
                TimeInjection::ScaleShift,
                Sampling::Conv,
            ),
            (
                MidBlock::ResnetsAndAttention,
                TimeInjection::Shift,
                Sampling::Resnet,
            ),
        ] {
            for (attention_head_dim, attn_norm_num_groups) in [(None, None), (Some(4), Some(2))] {
                let config = Config {
                    sample_size: Some([32, 16]),
                    down_block_types: vec![shallow, deep],
                    up_block_types: vec![deep, shallow],
                    block_out_channels: vec![32, 128],
                    mid_block_type,
                    mid_block_scale_factor: 3.0,
                    resnet_time_scale_shift: injection,
                    downsample_type: sampling,
                    upsample_type: sampling,
                    attention_head_dim,
                    attn_norm_num_groups,
                    dropout: 0.1,
                    downsample_padding: Padding::BottomRight,
                    ..config(BlockType::Plain)
                };
                let plan = Plan::new(&config)?;
                assert_eq!(found_again(&plan), Ok(()), "{config:?}");
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 72);
    Ok(())
}

#[test]
fn groups_that_a_null_makes_are_found() -> Result<(), Error> {
    let config = Config {
        norm_num_groups: None,
        ..config(BlockType::Skip)
    };
    assert_eq!(found_again(&Plan::new(&config)?), Ok(()));
    Ok(())
}

#[test]
fn sides_that_diffusers_cannot_halve_are_refused() -> Result<(), Error> {
    let [channels, height, width] = [3, 28, 28];
    let image = Feature {
        channels,
        height,
        width,
    };
    let of = |levels: &[usize]| Config::of(&Topology::plan(&UNetConfig::ddpm(image, 32, levels))?);
    assert!(of(&[1; 3]).is_ok());
    let error = of(&[1; 4]).expect_err("28 = 4 · 7").to_string();
    assert!(error.contains("no multiples of 8"), "{error}");
    Ok(())
}

#[test]
fn the_published_ddpm_is_one_of_theirs() -> Result<(), Error> {
    let config = Config::of(&Topology::plan(&UNetConfig::ddpm_cifar10())?)?;
    let theirs = ddpm(
        "[128, 256, 256, 256]",
        r#"["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"]"#,
        r#"["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]"#,
    );
    let mut theirs = Config::from_json(&theirs)?;
    (theirs.sample_size, theirs.dropout) = (Some([32, 32]), 0.1);
    assert_eq!(config, theirs);
    Ok(())
}

#[test]
fn what_diffusers_has_no_word_for_is_refused_with_its_place() -> Result<(), Error> {
    let plan = Plan::new(&config(BlockType::Plain))?;
    let with = |change: &dyn Fn(&mut Step)| {
        let mut steps = plan.topology().steps().to_vec();
        steps.iter_mut().for_each(change);
        let (frame, embedding) = (
            *plan.topology().frame(),
            plan.topology().embedding().clone(),
        );
        let topology = Topology::new(frame, embedding, steps).expect("it fits");
        Config::of(&topology)
            .expect_err("it is none of theirs")
            .to_string()
    };
    let plain = with(&|step| {
        if let Step::Block {
            plan: BlockPlan::Residual(block),
            ..
        } = step
        {
            block.short = ShortSkip::None;
        }
    });
    let place = "at `down_blocks.0.resnets.0` there is `short: None` where there would have to be `short: Identity`";
    assert!(plain.contains(place), "{plain}");
    let scaled = with(&|step| {
        if let Step::Join(join) = step {
            join.rule = LongSkip::Concat(0.5);
        }
    });
    assert!(scaled.contains("Concat(0.5)"), "{scaled}");
    Ok(())
}

fn kinds() -> impl Strategy<Value = BlockType> {
    prop::sample::select(BlockType::ALL.to_vec())
}

prop_compose! {
    /// Any configuration whose fields make sense one by one.
    fn configs()(
        levels in prop::collection::vec((kinds(), kinds(), 1usize..100), 1..4),
        (in_channels, out_channels, layers_per_block) in (1usize..5, 1usize..5, 1usize..4),
        (time, class, mid, injection) in (0..4, 0usize..4, 0usize..3, any::<bool>()),
        (flip_sin_to_cos, center_input_sample) in any::<(bool, bool)>(),
        (down, up, padding) in any::<(bool, bool, bool)>(),
        (scale, dropout, eps) in (0.1f64..3.0, 0.0f64..1.0, 1e-8f64..1.0),
        act_fn in prop::sample::select(vec![
            Activation::Silu, Activation::Mish, Activation::Gelu, Activation::Relu,
        ]),
        (heads, groups, middle, width) in (
            prop::option::of(1usize..9), prop::option::of(1usize..9),
            prop::option::of(1usize..9), prop::option::of(1usize..99),
        ),
        sides in prop::option::of([1usize..99, 1usize..99]),
    ) -> Config {
        let sampling = |resnet| if resnet { Sampling::Resnet } else { Sampling::Conv };
        Config {
            sample_size: sides,
            in_channels,
            out_channels,
            center_input_sample,
            time_embedding_type: match time {
                0 => TimeEmbedding::Fourier,
                1 => TimeEmbedding::Learned { num_train_timesteps: 7 },
                _ => TimeEmbedding::Positional { flip_sin_to_cos, freq_shift: 0.5 },
            },
            time_embedding_dim: width,
            class_embed_type: [
                ClassEmbedding::None,
                ClassEmbedding::Labels { num_class_embeds: 5 },
                ClassEmbedding::Timestep,
                ClassEmbedding::Identity,
            ][class],
            down_block_types: levels.iter().map(|level| level.0).collect(),
            mid_block_type:
                [MidBlock::None, MidBlock::Resnets, MidBlock::ResnetsAndAttention][mid],
            up_block_types: levels.iter().map(|level| level.1).collect(),
            block_out_channels: levels.iter().map(|level| level.2).collect(),
            layers_per_block,
            mid_block_scale_factor: scale,
            downsample_padding: if padding { Padding::AllSides } else { Padding::BottomRight },
            downsample_type: sampling(down),
            upsample_type: sampling(up),
            dropout,
            act_fn,
            attention_head_dim: heads,
            norm_num_groups: groups,
            attn_norm_num_groups: middle,
            norm_eps: eps,
            resnet_time_scale_shift:
                if injection { TimeInjection::Shift } else { TimeInjection::ScaleShift },
        }
    }
}

proptest! {
    #[test]
    fn a_configuration_survives_its_text(config in configs()) {
        prop_assert_eq!(Config::from_json(&config.to_json()), Ok(config));
    }

    #[test]
    fn planning_gives_a_plan_or_says_why_not(config in configs()) {
        match Plan::new(&config) {
            Ok(plan) => {
                let whole = |side: usize| side.is_multiple_of(plan.side_multiple());
                let runs_there = config.sample_size.is_none_or(|sides| sides.into_iter().all(whole));
                let found = found_again(&plan);
                prop_assert_eq!(found.is_ok(), runs_there, "{:?}", found);
            }
            Err(Error::Config { problems }) => prop_assert!(!problems.is_empty()),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = Config::from_json(&text);
    }
}
