//! Initial values depend on the seed and the variable's own path, and on nothing else.
#![cfg(feature = "tch")]

mod common;

use common::{
    catalogue::{any_part, conv},
    distance, store, values,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use resnet_blocks::{
    Activation, Conv2d, Conv2dConfig, ConvBlock, ConvBlockConfig, Dropout, Error, Init, Law,
    Linear, MlpBlockConfig, Mode, Norm, Normalise, Padding, Params, ResidualMlp, ResidualMlpConfig,
    ShortSkip,
};
use tch::{Device, Kind, Tensor};

#[test]
fn a_weight_depends_on_its_own_path_only() -> Result<(), Error> {
    let (alone, crowd) = (store(Kind::Float), store(Kind::Float));
    Linear::new(&Params::seeded(alone.root(), 7).sub("b"), 3, 5, Init::He)?;
    let params = Params::seeded(crowd.root(), 7);
    Linear::new(&params.sub("a"), 9, 9, Init::PyTorch)?;
    Linear::new(&params.sub("b"), 3, 5, Init::He)?;
    Linear::new(&params.sub("c"), 3, 5, Init::He)?;
    let crowd = values(&crowd);
    for variable in values(&alone) {
        assert!(crowd.contains(&variable), "{}", variable.0);
    }
    let weight = |name: &str| &crowd.iter().find(|v| v.0 == name).expect("a variable").2;
    assert_ne!(weight("b.weight"), weight("c.weight"));
    Ok(())
}

#[test]
fn the_seed_decides_and_torch_does_not() -> Result<(), Error> {
    let draw = |seed, torch_draws: i64| {
        let store = store(Kind::Float);
        let _discarded = tch::Tensor::rand([torch_draws], (Kind::Float, tch::Device::Cpu));
        Linear::new(&Params::seeded(store.root(), seed), 3, 5, Init::PyTorch)?;
        Ok::<_, Error>(values(&store))
    };
    assert_eq!(draw(1, 1)?, draw(1, 5)?);
    assert_ne!(draw(1, 1)?, draw(2, 1)?);
    Ok(())
}

#[test]
fn what_training_drops_does_not_depend_on_torch() {
    let x = Tensor::ones([64], (Kind::Float, Device::Cpu)).view([1, 64]);
    let draw = |torch_draws: i64| {
        let _discarded = Tensor::rand([torch_draws], (Kind::Float, Device::Cpu));
        let mut mode = Mode::Train(ChaCha8Rng::seed_from_u64(1));
        Dropout::Elements(0.5).apply(x.shallow_clone(), &mut mode)
    };
    assert_eq!(distance(&draw(1), &draw(5)), 0.0);
}

/// Guards recorded results against a change of hash, stream, order or law.
#[test]
fn first_draws_are_golden() -> Result<(), Error> {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    Linear::new(&params.sub("uniform"), 2, 2, Init::PyTorch)?;
    Linear::new(&params.sub("normal"), 2, 2, Init::He)?;
    Linear::new(&params.sub("orthogonal"), 2, 2, Init::Orthogonal)?;
    let first: Vec<(String, f64)> = values(&store).into_iter().map(|v| (v.0, v.2[0])).collect();
    let golden = [
        ("normal.bias", 0.0),
        ("normal.weight", 0.27503442764282227),
        ("orthogonal.bias", 0.0),
        ("orthogonal.weight", -0.9478663206100464),
        ("uniform.bias", -0.5523080825805664),
        ("uniform.weight", 0.6738008260726929),
    ];
    assert_eq!(first.len(), golden.len());
    for ((name, value), (golden_name, golden)) in first.iter().zip(golden) {
        assert_eq!(name, golden_name);
        assert!((value - golden).abs() < 1e-7, "{name} {value:?}");
    }
    Ok(())
}

/// The parts of the networks of the committed studies, as they were before there were other parts:
/// first number, and sum over i of sqrt(1 + i) times number i.
#[test]
fn the_networks_of_the_committed_studies_begin_as_ever() -> Result<(), Error> {
    let golden = [
        (
            Init::PyTorch,
            "down0.bias",
            0.037293802946805954,
            -0.47722072469619015,
        ),
        (
            Init::PyTorch,
            "down0.weight",
            0.07489923387765884,
            61.810618129264306,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.conv1.bias",
            -0.11376745998859406,
            -0.3458748725591177,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.conv1.weight",
            0.04409271851181984,
            6.057559690668339,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.conv2.bias",
            0.06272046267986298,
            0.05275690683594489,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.conv2.weight",
            -0.09844221919775009,
            51.471201420518256,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.norm1.weight",
            1.0,
            16.30600052603572,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.shift.bias",
            0.3836483657360077,
            0.44400736567977195,
        ),
        (
            Init::PyTorch,
            "encoder0.block0.shift.weight",
            -0.20839561522006989,
            14.238623230023677,
        ),
        (
            Init::PyTorch,
            "mlp.read_in.weight",
            -0.06704914569854736,
            -9.238748437348749,
        ),
        (
            Init::PyTorch,
            "mlp.block0.linear1.weight",
            0.06830146163702011,
            33.745376383424805,
        ),
        (
            Init::PyTorch,
            "mlp.block1.linear2.weight",
            0.23232148587703705,
            40.67020096977019,
        ),
        (
            Init::PyTorch,
            "mlp.read_out.bias",
            -0.1164071261882782,
            -0.08051559702953764,
        ),
        (
            Init::He,
            "down0.weight",
            0.07810664176940918,
            127.44980714081096,
        ),
        (
            Init::He,
            "encoder0.block0.conv1.weight",
            0.11969692260026932,
            31.538511072929126,
        ),
        (
            Init::Orthogonal,
            "down0.weight",
            0.05708560347557068,
            142.49197232400107,
        ),
        (
            Init::Orthogonal,
            "encoder0.block0.conv1.weight",
            0.08076043426990509,
            27.902020621196147,
        ),
        (
            Init::DeltaOrthogonal,
            "down0.weight",
            0.05708560347557068,
            142.49197232400107,
        ),
        (
            Init::DeltaOrthogonal,
            "encoder0.block0.conv1.weight",
            0.0,
            12.69834254509432,
        ),
    ];
    for (init, name, first, sum) in golden {
        let store = store(Kind::Float);
        let params = Params::seeded(store.root(), 7);
        let mlp = ResidualMlpConfig {
            inputs: 2,
            blocks: 2,
            block: MlpBlockConfig::square(16, Activation::Silu, init),
            short: ShortSkip::inverse_sqrt(2),
        };
        ResidualMlp::new(&params.sub("mlp"), &mlp)?;
        let mut branch = ConvBlockConfig {
            init,
            ..conv().branch
        };
        branch.conditioning.init = init;
        ConvBlock::new(&params.sub("encoder0.block0"), &branch)?;
        let down = Conv2dConfig::new(8, 16, 3, init).halving(Padding::AllSides);
        Conv2d::new(&params.sub("down0"), &down)?;
        let all = values(&store);
        let values = &all.iter().find(|v| v.0 == name).expect("a variable").2;
        let sums = values
            .iter()
            .enumerate()
            .map(|(i, value)| (1.0 + i as f64).sqrt() * value);
        let now = (values[0], sums.sum::<f64>());
        assert!((now.0 - first).abs() < 1e-7, "{init:?} {name} {now:?}");
        assert!((now.1 - sum).abs() < 1e-4, "{init:?} {name} {now:?}");
    }
    Ok(())
}

/// The other laws are the same draws at another scale, so the goldens above hold them too.
#[test]
fn normal_laws_share_their_draws_and_uniform_ones_theirs() -> Result<(), Error> {
    let draw = |init| {
        let store = store(Kind::Double);
        let conv = Conv2dConfig::new(3, 2, 3, init);
        Conv2d::new(&Params::seeded(store.root(), 7), &conv)?;
        Ok::<_, Error>(store.variables()["weight"].shallow_clone())
    };
    let (fan_in, fans) = (27.0, 9.0 * 5.0);
    for (init, other, ratio) in [
        (Init::He, Init::LeCun, 0.5f64.sqrt()),
        (Init::He, Init::UnitNormal, (fan_in / 2.0f64).sqrt()),
        (Init::PyTorch, Init::Xavier, (6.0 / fans * fan_in).sqrt()),
    ] {
        assert!(
            distance(&(draw(init)? * ratio), &draw(other)?) < 1e-6,
            "{other:?}"
        );
    }
    Ok(())
}

#[test]
fn the_kind_of_the_store_changes_no_value() -> Result<(), Error> {
    let (single, double, mut late) = (store(Kind::Float), store(Kind::Double), store(Kind::Float));
    for store in [&single, &double, &late] {
        Linear::new(
            &Params::seeded(store.root(), 3).sub("layer"),
            4,
            4,
            Init::Orthogonal,
        )?;
    }
    late.double();
    for store in [&double, &late] {
        assert_eq!(values(&single), values(store));
        for variable in store.variables().values() {
            assert!(variable.kind() == Kind::Double && variable.requires_grad());
        }
    }
    Ok(())
}

#[test]
fn a_duplicate_is_refused() -> Result<(), Error> {
    let store = store(Kind::Float);
    Linear::new(&Params::seeded(store.root(), 0).sub("a.b"), 2, 2, Init::He)?;
    let again = Linear::new(
        &Params::seeded(store.root(), 1).sub("a").sub("b"),
        2,
        2,
        Init::He,
    );
    assert_eq!(
        again.err(),
        Some(Error::DuplicateName {
            name: "a.b.weight".to_owned()
        })
    );
    assert_eq!(store.len(), 2);
    Ok(())
}

#[test]
fn units_are_the_layers_in_order_and_hold_every_variable_once() -> Result<(), Error> {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    Linear::new(&params.sub("z"), 2, 3, Init::He)?;
    Normalise::new(&params.sub("m").sub("norm"), Norm::GROUP, 3)?;
    Linear::new(&params.sub("a"), 3, 2, Init::He)?;
    let units = params.units();
    let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(names, ["z", "m.norm", "a"]);
    let held: usize = units
        .iter()
        .flat_map(|unit| &unit.parameters)
        .map(tch::Tensor::numel)
        .sum();
    let stored: usize = store
        .trainable_variables()
        .iter()
        .map(tch::Tensor::numel)
        .sum();
    assert_eq!(held, stored);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_network_made_of_the_values_of_another_is_its_copy(part in any_part()) {
        let [original, copy] = [store(Kind::Double), store(Kind::Double)];
        let ours = part.build(&Params::seeded(original.root(), 3)).expect("a valid configuration");
        let params = Params::with_values(copy.root(), original.variables());
        let theirs = part.build(&params).expect("all values are there");
        prop_assert_eq!(values(&original), values(&copy));
        let (x, embedding) = part.batch(2, 4, 1);
        let [y, z] = [ours, theirs].map(|block| block.forward(&x, &embedding, &mut Mode::Eval));
        prop_assert_eq!(distance(&y, &z), 0.0);
        // It is a copy and no view, it learns, and it has the units of one that is drawn.
        let _guard = tch::no_grad_guard();
        for mut variable in copy.trainable_variables() {
            variable += 1.0;
        }
        let again = values(&original);
        prop_assert!(values(&copy).iter().zip(&again).all(|(a, b)| a.2[0] == b.2[0] + 1.0));
        prop_assert_eq!(copy.trainable_variables().len(), original.trainable_variables().len());
    }
}

#[test]
fn values_that_are_not_there_or_of_another_shape_or_kind_are_refused() {
    let on = (Kind::Float, Device::Cpu);
    let message = |values: Vec<(&str, Tensor)>| {
        let store = store(Kind::Float);
        let values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let params = Params::with_values(store.root(), values.collect());
        let layer = Linear::new(&params.sub("a.b"), 3, 2, Init::PyTorch);
        layer.map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
    };
    let weight = || ("a.b.weight", Tensor::ones([2, 3], on));
    let bias = |bias: Tensor| vec![weight(), ("a.b.bias", bias)];
    assert_eq!(message(bias(Tensor::ones([2], on))), "accepted");
    assert_eq!(
        message(bias(Tensor::ones([2], (Kind::BFloat16, Device::Cpu)))),
        "accepted"
    );
    assert_eq!(
        message(vec![weight()]),
        "the value of `a.b.bias` must be given with shape [2], but it is not there; take weights and plan from one network"
    );
    assert_eq!(
        message(bias(Tensor::ones([3], on))),
        "the value of `a.b.bias` must be given with shape [2], but its shape is [3]; take weights and plan from one network"
    );
    assert_eq!(
        message(bias(Tensor::ones([2], (Kind::Int64, Device::Cpu)))),
        "the value of `a.b.bias` must be given with shape [2], but its numbers are of kind Int64; take weights and plan from one network"
    );
}

#[test]
fn a_constant_is_stored_and_neither_learned_nor_a_unit() -> Result<(), Error> {
    let [store, second] = [store(Kind::Double), store(Kind::Double)];
    let params = Params::seeded(store.root(), 0);
    let frequencies = params
        .sub("embedding")
        .constant("weight", &[4], Law::Normal(16.0))?;
    assert_eq!(frequencies.kind(), Kind::Double);
    assert!(!frequencies.requires_grad());
    assert!(params.units().is_empty() && store.trainable_variables().is_empty());
    let other = Params::with_values(second.root(), store.variables());
    let copied = other
        .sub("embedding")
        .constant("weight", &[4], Law::Normal(16.0))?;
    assert_eq!(distance(&frequencies, &copied), 0.0);
    Ok(())
}
