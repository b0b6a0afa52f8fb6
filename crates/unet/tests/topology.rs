//! Laws of the plan; no libtorch.

use proptest::prelude::*;
use resnet_blocks::{Activation, Init, LongSkip, Norm, ShortSkip};
use unet::{Error, LayerKind, Topology, UNetConfig};

fn default_study() -> UNetConfig {
    UNetConfig {
        channels: 1,
        base: 8,
        multipliers: vec![1, 2, 2],
        blocks: 1,
        side: 16,
        activation: Activation::Silu,
        norm: Norm::None,
        short: ShortSkip::inverse_sqrt(5),
        long: LongSkip::Add(0.5f64.sqrt()),
        init: Init::PyTorch,
    }
}

#[test]
fn the_default_study_has_five_blocks_sixteen_convolutions_and_about_26_000_parameters() {
    let plan = Topology::plan(&default_study()).expect("valid");
    let names = |end: &str| {
        plan.layers()
            .iter()
            .filter(|l| l.name.ends_with(end))
            .count()
    };
    assert_eq!(names(".conv1"), 5);
    let convs = plan
        .layers()
        .iter()
        .filter(|l| matches!(l.kind, LayerKind::Conv { .. }));
    assert_eq!(convs.count(), 16);
    assert_eq!(plan.parameters(), 25_777);
    let sides: Vec<usize> = plan
        .layers()
        .iter()
        .filter(|l| l.name.ends_with(".conv1"))
        .map(|l| l.side)
        .collect();
    assert_eq!(sides, [16, 8, 4, 8, 16]);
}

/// By hand: 1 -> 4 channels at side 4, one block of 4, 4 -> 1; embedding 4 -> 16; shift 16 -> 4.
#[test]
fn costs_are_those_counted_by_hand() {
    let config = UNetConfig {
        base: 4,
        multipliers: vec![1],
        side: 4,
        ..default_study()
    };
    let plan = Topology::plan(&config).expect("valid");
    let (read, block) = ((9 + 1) * 4 + (36 + 1), 2 * (36 + 1) * 4);
    assert_eq!(plan.parameters(), read + block + 5 * 16 + 17 * 4);
    let multiply_adds = 16 * (36 + 36 + 2 * 144) + 4 * 16 + 16 * 4;
    assert_eq!(plan.forward_flops(3), 3 * 2 * multiply_adds);
    assert!(plan.long_skips().is_empty());
}

#[test]
fn odd_sides_round_up_and_come_back() {
    let config = UNetConfig {
        side: 28,
        multipliers: vec![1, 1, 1, 1],
        ..default_study()
    };
    let plan = Topology::plan(&config).expect("valid");
    let sides: Vec<usize> = plan.long_skips().iter().map(|skip| skip.side).collect();
    assert_eq!(sides, [28, 14, 7]);
    let ups: Vec<usize> = plan
        .layers()
        .iter()
        .filter(|l| l.name.starts_with("up"))
        .map(|l| l.side)
        .collect();
    assert_eq!(ups, [7, 14, 28]);
}

#[test]
fn only_concatenation_costs_parameters_and_the_plan_says_so() {
    let plan = |long| {
        Topology::plan(&UNetConfig {
            long,
            ..default_study()
        })
        .expect("valid")
    };
    let (none, add, concat) = (
        plan(LongSkip::None),
        plan(LongSkip::Add(1.0)),
        plan(LongSkip::Concat(1.0)),
    );
    assert_eq!(none.layers(), add.layers());
    assert!(none.long_skips().is_empty() && add.long_skips().len() == 2);
    let merges = (16 + 1) * 8 + (32 + 1) * 16;
    assert_eq!(concat.skip_parameters(), merges);
    assert_eq!(concat.parameters(), add.parameters() + merges);
    assert!(
        concat
            .to_string()
            .contains(&format!("adds {merges} parameters"))
    );
    assert!(!add.to_string().contains("adds"));
}

#[test]
fn impossible_configurations_are_refused() {
    let refused = |config: &UNetConfig| Topology::plan(config).expect_err("to be refused");
    let valid = default_study();
    assert!(matches!(
        refused(&UNetConfig {
            channels: 0,
            ..valid.clone()
        }),
        Error::Zero { .. }
    ));
    assert!(matches!(
        refused(&UNetConfig {
            base: 0,
            ..valid.clone()
        }),
        Error::Zero { .. }
    ));
    assert!(matches!(
        refused(&UNetConfig {
            blocks: 0,
            ..valid.clone()
        }),
        Error::Zero { .. }
    ));
    assert!(matches!(
        refused(&UNetConfig {
            side: 0,
            ..valid.clone()
        }),
        Error::Zero { .. }
    ));
    let zero_factor = UNetConfig {
        multipliers: vec![1, 0],
        ..valid.clone()
    };
    assert!(matches!(refused(&zero_factor), Error::Zero { .. }));
    assert_eq!(
        refused(&UNetConfig {
            multipliers: vec![],
            ..valid.clone()
        }),
        Error::NoLevels
    );
    // 5 -> 3 -> 2 -> 1: three halvings, four levels.
    let deep = |levels| UNetConfig {
        side: 5,
        multipliers: vec![1; levels],
        ..valid.clone()
    };
    assert!(Topology::plan(&deep(4)).is_ok());
    assert_eq!(
        refused(&deep(5)),
        Error::TooManyLevels {
            side: 5,
            levels: 5,
            most: 3
        }
    );
    assert!(
        Topology::plan(&UNetConfig {
            side: 1,
            multipliers: vec![1],
            ..valid.clone()
        })
        .is_ok()
    );
    let endless = UNetConfig {
        long: LongSkip::Add(f64::NAN),
        ..valid.clone()
    };
    assert!(matches!(refused(&endless), Error::Block(_)));
    let endless = UNetConfig {
        short: ShortSkip::inverse_sqrt(0),
        ..valid
    };
    assert!(matches!(refused(&endless), Error::Block(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_layer_takes_what_the_one_before_gives(
        channels in 1usize..4, base in 1usize..20, side in 8usize..70, blocks in 1usize..4,
        multipliers in prop::collection::vec(1usize..5, 1..5),
        norm in prop::sample::select(vec![Norm::None, Norm::Group]),
        long in prop::sample::select(vec![LongSkip::None, LongSkip::Add(1.0), LongSkip::Concat(0.7)]),
    ) {
        let levels = multipliers.len();
        let config =
            UNetConfig { channels, base, side, blocks, multipliers, norm, long, ..default_study() };
        let plan = Topology::plan(&config).expect("valid");
        let mut stream = channels;
        for layer in plan.layers().iter().filter(|layer| layer.kind != LayerKind::Linear) {
            let taken = if layer.name.ends_with(".merge") { 2 * stream } else { stream };
            prop_assert_eq!(layer.in_channels, taken, "{}", layer.name);
            stream = layer.out_channels;
        }
        prop_assert_eq!(stream, channels);
        prop_assert_eq!(plan.layers().last().expect("a layer").side, side);
        let names: std::collections::BTreeSet<_> = plan.layers().iter().map(|l| &l.name).collect();
        prop_assert_eq!(names.len(), plan.layers().len());
        let skips = if long == LongSkip::None { 0 } else { levels - 1 };
        prop_assert_eq!(plan.long_skips().len(), skips);
        prop_assert!(plan.to_string().lines().all(|line| line.chars().count() <= 80));
    }
}
