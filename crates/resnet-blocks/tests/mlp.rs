//! Laws of the residual multilayer perceptron: one choice at a time, at equal parameters.
#![cfg(feature = "tch")]

mod common;

use common::{
    catalogue::{inits, shorts},
    distance, gradient_norms, noise, store, values,
};
use proptest::prelude::*;
use resnet_blocks::{
    Activation, Error, Init, MlpBlockConfig, Mode, Network, Norm, Opened, Params, ResidualMlp,
    ResidualMlpConfig, ShortSkip, Shortcut,
};
use tch::{Kind, Tensor};

/// A plain network of six blocks; `init` and `short` are what the tests change.
fn config(init: Init, short: ShortSkip) -> ResidualMlpConfig {
    ResidualMlpConfig {
        inputs: 2,
        blocks: 6,
        block: MlpBlockConfig::square(64, Activation::Silu, init),
        short,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_planned_is_created_and_shaped_like_x(
        inputs in 1usize..6, width in 1usize..4, hidden in 1usize..9, blocks in 1usize..4,
        batch in 1i64..4, init in prop::sample::select(inits()),
        short in prop::sample::select(shorts()),
        norm in prop::sample::select(vec![Norm::None, Norm::GROUP, Norm::Rms { eps: 1e-5 }]),
    ) {
        let square = MlpBlockConfig::square(4 * width, Activation::Silu, init);
        let block = MlpBlockConfig { hidden, norm, ..square };
        let config = ResidualMlpConfig { inputs, blocks, block, short };
        let store = store(Kind::Float);
        let params = Params::seeded(store.root(), 0);
        let net = ResidualMlp::new(&params, &config).expect("a valid configuration");
        let x = noise(&[batch, inputs as i64], Kind::Float, 1);
        let y = net.forward(&x, &noise(&[batch], Kind::Float, 2), &mut Mode::Eval);
        prop_assert_eq!(y.size(), x.size());
        let count: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        prop_assert_eq!(count, config.parameters());
        let layers: Vec<String> = config.layers().into_iter().map(|layer| layer.name).collect();
        let units: Vec<String> = params.units().into_iter().map(|unit| unit.name).collect();
        prop_assert_eq!(layers, units);
        let shortcuts = params.shortcuts();
        let names: Vec<&str> = shortcuts.iter().map(Shortcut::name).collect();
        prop_assert_eq!(config.shortcuts(), names);
    }
}

/// A factor of 1 changes nothing of the result, and its derivative is that of a change of what the shortcut carries.
#[test]
fn shortcuts_are_differentiated_by_a_factor() -> Result<(), Error> {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 5);
    let net = ResidualMlp::new(&params, &config(Init::He, ShortSkip::Scaled(0.5)))?;
    let x = noise(&[16, 2], Kind::Double, 1);
    let label = noise(&[16], Kind::Double, 2);
    let loss = || {
        let y = net.forward(&x, &label, &mut Mode::Eval);
        y.square().mean(Kind::Double)
    };
    let before = loss().double_value(&[]);
    let opened: Vec<Opened> = params.shortcuts().iter().map(Shortcut::open).collect();
    assert_eq!(loss().double_value(&[]), before);
    let factors: Vec<&Tensor> = opened.iter().map(Opened::factor).collect();
    let gradients = Tensor::run_backward(&[loss()], &factors, false, false);
    for (factor, gradient) in factors.iter().zip(gradients) {
        let at = |value: f64| {
            let _guard = tch::no_grad_guard();
            let _ = factor.shallow_clone().fill_(value);
            loss().double_value(&[])
        };
        let step = 2_f64.powi(-12); // exact in the factor's own type
        let slope = (at(1.0 + step) - at(1.0 - step)) / (2.0 * step);
        assert_eq!(at(1.0), before);
        let gradient = gradient.double_value(&[]);
        assert!((gradient / slope - 1.0).abs() < 1e-5, "{gradient} {slope}");
    }
    drop(opened);
    assert!(
        params
            .shortcuts()
            .iter()
            .all(|shortcut| shortcut.factor().is_none())
    );
    Ok(())
}

#[test]
fn operations_are_those_of_the_matrices() {
    let config = config(Init::He, ShortSkip::Identity);
    let matrices = 3 * 64 + 12 * 64 * 64 + 64 * 2;
    assert_eq!(config.forward_flops(5), 5 * 2 * matrices);
}

#[test]
fn every_short_skip_has_the_same_parameters_and_initial_values() -> Result<(), Error> {
    for init in inits() {
        let draw = |short| {
            let store = store(Kind::Float);
            ResidualMlp::new(&Params::seeded(store.root(), 5), &config(init, short))?;
            Ok::<_, Error>(values(&store))
        };
        let plain = draw(ShortSkip::None)?;
        assert_eq!(plain, draw(ShortSkip::Identity)?);
        assert_eq!(plain, draw(ShortSkip::inverse_sqrt(6))?);
    }
    Ok(())
}

#[test]
fn a_zeroed_branch_is_the_identity_with_a_skip_and_a_wall_without() -> Result<(), Error> {
    let x = noise(&[4, 2], Kind::Double, 1);
    let label = noise(&[4], Kind::Double, 2);
    let input = Tensor::cat(&[&x, &label.view([-1, 1])], 1);
    for short in [ShortSkip::Identity, ShortSkip::Scaled(0.4), ShortSkip::None] {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 0);
        let net = ResidualMlp::new(&params, &config(Init::PyTorch, short))?;
        let units = params.units();
        for unit in units.iter().filter(|unit| unit.name.ends_with("linear2")) {
            let _guard = tch::no_grad_guard();
            for parameter in &unit.parameters {
                let _zeroed = parameter.shallow_clone().zero_();
            }
        }
        let layer = |at: usize, x: &Tensor| {
            let [weight, bias] = units[at].parameters.as_slice() else {
                panic!("two variables")
            };
            x.linear(weight, Some(bias))
        };
        let read_in = layer(0, &input);
        let stream = if short == ShortSkip::None {
            read_in.zeros_like()
        } else {
            read_in
        };
        let expected = layer(13, &stream);
        assert!(distance(&net.forward(&x, &label, &mut Mode::Eval), &expected) < 1e-14);
    }
    Ok(())
}

#[test]
fn an_example_does_not_see_its_batch() -> Result<(), Error> {
    let store = store(Kind::Float);
    let config = config(Init::PyTorch, ShortSkip::inverse_sqrt(6));
    let net = ResidualMlp::new(&Params::seeded(store.root(), 0), &config)?;
    let (x, label) = (noise(&[9, 2], Kind::Float, 1), noise(&[9], Kind::Float, 2));
    let together = net.forward(&x, &label, &mut Mode::Eval);
    for at in 0..9 {
        let alone = net.forward(
            &x.narrow(0, at, 1),
            &label.narrow(0, at, 1),
            &mut Mode::Eval,
        );
        assert!(distance(&alone, &together.narrow(0, at, 1)) < 1e-6);
    }
    Ok(())
}

/// Pre-activations of every layer of a plain network, computed from the variables alone.
fn pre_activations(params: &Params<'_>, x: &Tensor, label: &Tensor) -> Vec<Tensor> {
    let units = params.units();
    let mut outputs: Vec<Tensor> = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        let input = match outputs.last() {
            None => Tensor::cat(&[x, &label.view([-1, 1])], 1),
            Some(last) if at + 1 == units.len() => last.shallow_clone(),
            Some(last) => last.silu(),
        };
        outputs.push(input.linear(&unit.parameters[0], Some(&unit.parameters[1])));
    }
    outputs
}

#[test]
fn calibration_gives_every_layer_of_a_deep_plain_network_zero_mean_and_unit_deviation()
-> Result<(), Error> {
    for init in [Init::PyTorch, Init::Orthogonal] {
        let store = store(Kind::Float);
        let params = Params::seeded(store.root(), 0);
        let config = ResidualMlpConfig {
            blocks: 32,
            ..config(init, ShortSkip::None)
        };
        let net = ResidualMlp::new(&params, &config)?;
        let (x, label) = (
            noise(&[256, 2], Kind::Float, 1),
            noise(&[256], Kind::Float, 2),
        );
        let before = net.forward(&x, &label, &mut Mode::Eval);
        let calibrated = net.forward(&x, &label, &mut Mode::Calibrate);
        let outputs = pre_activations(&params, &x, &label);
        assert_eq!(outputs.len(), 66);
        for (layer, output) in outputs.iter().enumerate() {
            let means = output
                .mean_dim(0, false, None::<Kind>)
                .abs()
                .max()
                .double_value(&[]);
            let deviation = output.std(false).double_value(&[]);
            assert!(means < 1e-4, "{init:?} layer {layer}: mean {means}");
            assert!(
                (deviation - 1.0).abs() < 1e-4,
                "{init:?} layer {layer}: {deviation}"
            );
        }
        let after = net.forward(&x, &label, &mut Mode::Eval);
        assert_eq!(distance(&calibrated, &after), 0.0);
        assert!(1e-2 < distance(&before, &after));
        assert!(
            store
                .trainable_variables()
                .iter()
                .all(|v| v.requires_grad())
        );
    }
    Ok(())
}

/// Norm of the gradient of the first square layer's weight over that of the last's.
fn gradient_ratio(short: ShortSkip, seed: u64) -> Result<f64, Error> {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), seed);
    let net = ResidualMlp::new(&params, &config(Init::PyTorch, short))?;
    let (x, label) = (
        noise(&[128, 2], Kind::Float, 1),
        noise(&[128], Kind::Float, 2),
    );
    let target = noise(&[128, 2], Kind::Float, 3);
    let loss = (net.forward(&x, &label, &mut Mode::Eval) - target)
        .square()
        .mean(None::<Kind>);
    let units = params.units();
    let square = [&units[1].parameters[0], &units[12].parameters[0]].map(Tensor::shallow_clone);
    let norms = gradient_norms(&loss, &square);
    Ok(norms[0] / norms[1])
}

/// The pathology and its repair, as the default study found them in Python: about 1e-5 and about 1.
#[test]
fn gradients_vanish_in_the_plain_network_and_not_with_scaled_skips() -> Result<(), Error> {
    for seed in 0..4 {
        let plain = gradient_ratio(ShortSkip::None, seed)?;
        let scaled = gradient_ratio(ShortSkip::inverse_sqrt(6), seed)?;
        assert!(1e-6 < plain && plain < 1e-3, "plain {plain:e}");
        assert!(0.4 < scaled && scaled < 2.5, "scaled {scaled}");
    }
    Ok(())
}

#[test]
fn impossible_configurations_are_refused() {
    let plain = config(Init::PyTorch, ShortSkip::None);
    let refused = |config: ResidualMlpConfig| {
        let store = store(Kind::Float);
        let error = ResidualMlp::new(&Params::seeded(store.root(), 0), &config).err();
        assert_eq!(error, config.check().err());
        error.is_some() && store.is_empty()
    };
    let of_width = |width| MlpBlockConfig {
        width,
        ..plain.block
    };
    assert!(refused(ResidualMlpConfig { inputs: 0, ..plain }));
    assert!(refused(ResidualMlpConfig { blocks: 0, ..plain }));
    assert!(refused(ResidualMlpConfig {
        block: of_width(0),
        ..plain
    }));
    assert!(refused(ResidualMlpConfig {
        short: ShortSkip::inverse_sqrt(0),
        ..plain
    }));
    assert!(!refused(plain));
}
