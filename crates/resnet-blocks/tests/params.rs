//! Initial values depend on the seed and the variable's own path, and on nothing else.
#![cfg(feature = "tch")]

mod common;

use common::{store, values};
use resnet_blocks::{Conv2d, Conv2dConfig, Error, GroupNorm, Init, Linear, Params};
use tch::Kind;

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
fn impossible_layers_are_refused() {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    let conv = Conv2dConfig {
        in_channels: 2,
        out_channels: 2,
        kernel: 5,
        stride: 1,
        init: Init::PyTorch,
    };
    assert_eq!(
        Conv2d::new(&params, &conv).err(),
        Some(Error::KernelSide { kernel: 5 })
    );
    assert!(
        Conv2d::new(
            &params,
            &Conv2dConfig {
                kernel: 3,
                stride: 0,
                ..conv
            }
        )
        .is_err()
    );
    assert!(Linear::new(&params, 0, 1, Init::He).is_err());
    assert!(GroupNorm::new(&params, 0).is_err());
    assert!(store.is_empty());
}

#[test]
fn units_are_the_layers_in_order_and_hold_every_variable_once() -> Result<(), Error> {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    Linear::new(&params.sub("z"), 2, 3, Init::He)?;
    GroupNorm::new(&params.sub("m").sub("norm"), 3)?;
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
