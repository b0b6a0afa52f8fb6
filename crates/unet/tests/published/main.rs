//! The presets against their authors' own code: what they compute, how they begin, and how they train.
//!
//! `golden/published.py` runs the original implementations in f64; weights come from our names on both sides.
#![cfg(feature = "tch")]

mod choices;
#[path = "../common/mod.rs"]
mod common;
mod networks;

use std::{collections::HashMap, fs, path::Path};

use common::{store, uniform, weight};
use networks::{config, edits};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use resnet_blocks::{Mode, Params};
use tch::{Kind, Tensor};
use unet::{Classes, Conditions, SkipEdit, Topology, UNet, UNetConfig};

fn goldens() -> Vec<(String, HashMap<String, Tensor>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/published");
    let entries = fs::read_dir(folder).expect("goldens");
    let read = |path: &Path| {
        let name = path.file_stem().expect("a file").to_string_lossy();
        let tensors = Tensor::read_safetensors(path).expect("a golden");
        (name.into_owned(), tensors.into_iter().collect())
    };
    entries
        .map(|entry| read(&entry.expect("goldens").path()))
        .collect()
}

/// The weights that the names give, as the generator has them.
fn weights(config: &UNetConfig, kind: Kind) -> HashMap<String, Tensor> {
    let plan = Topology::plan(config).unwrap_or_else(|error| panic!("{error}"));
    let planned = plan.tensors().into_iter();
    planned
        .map(|planned| (planned.name.clone(), weight(&planned, kind)))
        .collect()
}

/// The network with these weights.
fn made(config: &UNetConfig, weights: &HashMap<String, Tensor>, kind: Kind) -> UNet {
    let plan = Topology::plan(config).unwrap_or_else(|error| panic!("{error}"));
    let values = weights.iter();
    let values = values.map(|(name, value)| (name.clone(), value.shallow_clone()));
    let store = store(kind);
    let params = Params::with_values(store.root(), values.collect());
    UNet::build(&params, plan).expect("all values are there")
}

fn run(net: &UNet, golden: &HashMap<String, Tensor>, kind: Kind, mode: &mut Mode) -> Tensor {
    // EDM has a vector of zeros and one 1 where our table has a row.
    let classes = golden.get("class").map(|classes| {
        match (net.topology().embedding().classes, classes.size().len()) {
            (Classes::Rows { .. }, 2) => classes.argmax(1, false),
            _ => classes.shallow_clone(),
        }
    });
    let conditions = Conditions {
        classes: classes.as_ref(),
        estimate: None,
    };
    let [x, label] = ["x", "label"].map(|part| golden[part].to_kind(kind));
    net.forward_with(&x, &label, conditions, mode)
}

/// The largest |ours - theirs| / (1 + |theirs|).
fn deviation(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.size(), theirs.size());
    let relative = (ours.to_kind(Kind::Double) - theirs).abs() / (theirs.abs() + 1.0);
    relative.max().double_value(&[])
}

/// The deviation of the evaluated network, with these edits.
fn evaluated(net: UNet, edits: Vec<(&str, SkipEdit)>, golden: &HashMap<String, Tensor>) -> f64 {
    let mut net = net;
    for (skip, edit) in edits {
        net = net.edited(skip, edit).expect("it has such a skip");
    }
    let kind = net.tensors()[0].1.kind();
    let output = run(&net, golden, kind, &mut Mode::Eval);
    deviation(&output, &golden["output"])
}

#[test]
fn every_network_gives_what_its_authors_code_gives() {
    let goldens = goldens();
    assert_eq!(goldens.len(), 18);
    for (name, golden) in goldens.iter().filter(|(name, _)| name != "edm2-trained") {
        let config = config(name);
        for (kind, most) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
            let net = made(&config, &weights(&config, kind), kind);
            let worst = evaluated(net, edits(name), golden);
            assert!(worst < most, "{name} in {kind:?}: {worst:e}");
        }
    }
}

/// Every tensor begins by the law that its original has: constant, uniform or normal, with its numbers.
#[test]
fn initial_values_have_the_laws_of_the_authors_code() {
    for (name, golden) in goldens() {
        let store = store(Kind::Float);
        let params = Params::seeded(store.root(), 1);
        let net = UNet::new(&params, &config(&name)).expect("it was built before");
        let mut tensors: Vec<_> = net.tensors().iter().collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let laws: Vec<Vec<f64>> = Vec::try_from(&golden["laws"]).expect("a matrix");
        assert_eq!(tensors.len(), laws.len(), "{name}");
        for ((tensor, values), law) in tensors.into_iter().zip(laws) {
            let &[centre, half_width, deviation] = &law[..] else {
                panic!("three numbers")
            };
            if tensor == "embedding.phases.weight" {
                continue; // uniform modulo 1, from another interval
            }
            let distance = values.to_kind(Kind::Double) - centre;
            let count = values.numel() as f64;
            let largest = distance.abs().max().double_value(&[]);
            let square = distance.square().mean(None::<Kind>).double_value(&[]);
            // Five deviations of the mean square of so many numbers, and the largest of them.
            let (variance, spread, fits) = if 0.0 < deviation {
                let beyond_uniform = count < 256.0 || 3f64.sqrt() * deviation < largest;
                (deviation.powi(2), 2f64.sqrt(), beyond_uniform)
            } else {
                let least = half_width * (1.0 - 20.0 / count);
                let within = least <= largest && largest <= half_width * (1.0 + 1e-6);
                (half_width.powi(2) / 3.0, 0.8f64.sqrt(), within)
            };
            assert!(
                fits,
                "{name}: the largest of `{tensor}` is {largest} away from {law:?}"
            );
            let error = (square - variance).abs();
            let most = 5.0 * spread * variance / count.sqrt();
            assert!(
                error <= most,
                "{name}: `{tensor}` has variance {square} and not {variance}"
            );
        }
    }
}

/// Two passes of training with a step of gradient descent between them leave the outputs and the stored weights
/// that EDM2's forced weight normalisation leaves; two evaluations leave others.
#[test]
fn training_normalises_the_stored_weights_as_edm2_does() {
    let (_, golden) = goldens()
        .into_iter()
        .find(|(name, _)| name == "edm2-trained")
        .expect("a golden");
    let deviations = |mut mode: Mode| {
        let config = config("edm2-trained");
        let net = made(&config, &weights(&config, Kind::Double), Kind::Double);
        let first = run(&net, &golden, Kind::Double, &mut mode);
        let along = uniform("cotangent", first.numel());
        let along = Tensor::from_slice(&along).view_as(&first) * 3f64.sqrt();
        let mut learned: Vec<Tensor> = net
            .tensors()
            .iter()
            .filter(|(_, tensor)| tensor.requires_grad())
            .map(|(_, tensor)| tensor.shallow_clone())
            .collect();
        let gradients = Tensor::run_backward(
            &[(&first * along).sum(None::<Kind>)],
            &learned,
            false,
            false,
        );
        let _guard = tch::no_grad_guard();
        for (weight, gradient) in learned.iter_mut().zip(gradients) {
            *weight -= gradient * 0.1;
        }
        let second = run(&net, &golden, Kind::Double, &mut mode);
        let mut tensors: Vec<_> = net.tensors().iter().collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let seen = tensors.into_iter().map(|(name, tensor)| {
            let probe = Tensor::from_slice(&uniform(&format!("probe.{name}"), tensor.numel()));
            tensor.view([-1]).dot(&probe).double_value(&[])
        });
        let stored = Tensor::from_slice(&seen.collect::<Vec<_>>());
        [("output", first), ("output2", second), ("stored", stored)]
            .map(|(part, ours)| deviation(&ours, &golden[part]))
    };
    let trained = deviations(Mode::Train(ChaCha8Rng::seed_from_u64(0)));
    assert!(trained.iter().all(|worst| *worst < 1e-12), "{trained:?}");
    let [_, output2, stored] = deviations(Mode::Eval);
    assert!(1e-3 < output2 && 1e-3 < stored, "{output2:e} {stored:e}");
}
