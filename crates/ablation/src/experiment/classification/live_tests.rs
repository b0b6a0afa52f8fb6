//! Networks and training.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use resnet_blocks::Params;
use tch::{Device, Kind, Tensor, nn::VarStore};

use super::{
    network::{Classifier, Statistics, shortcut},
    *,
};
use crate::{
    config,
    data::Images,
    experiment::tests::record_of,
    record::{Outcome, Record},
};

const KEPT_BACK: usize = 32;

/// Stripes that lie or stand, with noise, of 8×8 pixels.
fn stripes() -> Images {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for number in 0..96 + KEPT_BACK {
        let label = (number % 2) as u8;
        let phase = rng.random_range(0..4);
        for row in 0..8 {
            for column in 0..8 {
                let place = if label == 0 { row } else { column };
                let bright = (place + phase) % 4 < 2;
                pixels.push(if bright { 140 } else { 60 } + rng.random_range(0..60));
            }
        }
        labels.push(label);
    }
    Images::new(pixels, [1, 8, 8], Some(labels)).expect("images")
}

fn small(short: Short) -> Classification {
    Classification {
        data: Data::Images {
            name: "stripes".to_owned(),
            held_out: KEPT_BACK,
            noise: 0.0,
            digest: stripes().digest(),
            shape: [1, 8, 8],
        },
        classes: 2,
        widths: vec![4, 8],
        blocks: 1,
        short,
        steps: 60,
        batch: 16,
        rate: 0.1,
        warmup: 3,
        drops: vec![40],
        momentum: 0.9,
        decay: 1e-4,
        padding: 1,
        flips: true,
        measured: 1000,
        numerics: config::Numerics {
            device: config::Device::Cpu,
            threads: 1,
            precision: Precision::F32,
            memory_format: MemoryFormat::Contiguous,
        },
    }
}

fn trained(own: Classification, seed: u32) -> Record {
    record_of(own, seed, Some(&stripes()), u64::MAX).expect("it was not stopped")
}

#[test]
fn both_kinds_have_the_same_parameters_and_beginnings_and_as_many_as_planned() {
    for blocks in [1, 3] {
        let of = |short| {
            let own = Classification {
                widths: vec![3, 5, 8],
                blocks,
                ..small(short)
            };
            let store = VarStore::new(Device::Cpu);
            let params = Params::seeded(store.root(), 7);
            Classifier::new(&own, &params).expect("it can be built");
            let variables = params.tensors();
            let trainable = store.trainable_variables();
            let count: usize = trainable.iter().map(Tensor::numel).sum();
            assert_eq!(count, own.parameters());
            variables
        };
        let (plain, residual) = (of(Short::None), of(Short::Identity));
        assert_eq!(plain.len(), residual.len());
        for ((name, own), (other, theirs)) in plain.iter().zip(&residual) {
            assert_eq!(name, other);
            assert!(own.equal(theirs), "{name}");
        }
    }
}

#[test]
fn a_shortcut_takes_every_other_pixel_and_adds_channels_of_zeros() {
    let h = Tensor::arange(18_i64, (Kind::Float, Device::Cpu)).view([1, 2, 3, 3]);
    let like = Tensor::ones([1, 3, 2, 2], (Kind::Float, Device::Cpu));
    let found = Vec::<f32>::try_from(shortcut(&h, &like).reshape([-1])).expect("floats");
    let taken = [0.0, 2.0, 6.0, 8.0, 9.0, 11.0, 15.0, 17.0_f32];
    assert_eq!(found, [taken.as_slice(), &[0.0; 4]].concat());
    let same = Tensor::ones([1, 2, 3, 3], (Kind::Float, Device::Cpu));
    assert!(shortcut(&h, &same).equal(&h));
}

#[test]
fn with_branches_of_zero_a_residual_network_passes_its_input_and_a_plain_one_nothing() {
    // The scale of the last normalisation of every branch is 0, so that blocks add nothing.
    let answers = |short| {
        let store = VarStore::new(Device::Cpu);
        let params = Params::seeded(store.root(), 7);
        let network = Classifier::new(&small(short), &params).expect("it can be built");
        let _guard = tch::no_grad_guard();
        for (name, tensor) in params.tensors() {
            if ["convolution2.norm.weight", "convolution4.norm.weight"].contains(&name.as_str()) {
                let _ = tensor.shallow_clone().zero_();
            }
        }
        let x = Tensor::arange(128_i64, (Kind::Float, Device::Cpu)).view([2, 1, 8, 8]);
        let answers = network.forward(&x, Statistics::Noted);
        let difference = answers.get(0) - answers.get(1);
        difference.abs().max().double_value(&[])
    };
    assert_eq!(answers(Short::None), 0.0);
    assert!(0.01 < answers(Short::Identity));
}

#[test]
fn stripes_are_learned_without_an_error_and_the_same_seed_says_the_same() {
    for short in [Short::None, Short::Identity] {
        let record = trained(small(short), 1);
        assert_eq!(record.outcome, Outcome::Measured {});
        assert_eq!(record.evaluations.training, 60);
        assert_eq!(record.values["held_out_error"], 0.0, "{:?}", record.values);
        assert_eq!(record.values["training_error"], 0.0);
        // Half an image of 32.
        let least = (1.0 / 64.0_f64).log10();
        assert_eq!(record.values["log_held_out_error"], least);
        assert!(record.values["gradient_ratio"].abs() < 3.0);
        assert_eq!(record, trained(small(short), 1));
        assert_ne!(record.curves, trained(small(short), 2).curves);
    }
}

#[test]
fn what_has_learned_nothing_guesses_and_what_diverges_counts_as_that() {
    let mut own = small(Short::Identity);
    own.rate = 1e-12;
    let untrained = trained(own.clone(), 1).values["held_out_error"];
    assert!((0.2..=0.5).contains(&untrained), "{untrained}");
    own.rate = 1e38;
    let record = trained(own, 1);
    assert!(matches!(record.outcome, Outcome::Diverged { .. }));
    assert_eq!(record.values["held_out_error"], 0.5);
    assert_eq!(record.values["log_held_out_error"], 0.5_f64.log10());
    assert_eq!(record.values["training_error"], 0.5);
}

#[test]
fn one_that_is_told_to_stop_leaves_nothing() {
    let stopped = |steps| record_of(small(Short::None), 1, Some(&stripes()), steps).is_none();
    assert!(stopped(1) && stopped(60) && !stopped(61));
}
