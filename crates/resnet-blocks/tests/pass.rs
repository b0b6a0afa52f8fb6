//! Laws of the written passes: the gradient is that of the function, and both are those of the network.

use resnet_blocks::{
    Activation, Dropout, Init, MlpBlockConfig, MlpPass, Norm, ResidualMlpConfig, ShortSkip,
};

const SHORTS: [ShortSkip; 6] = [
    ShortSkip::None,
    ShortSkip::Identity,
    ShortSkip::Scaled(0.6),
    ShortSkip::Scaled(0.0),
    ShortSkip::Averaged(std::f64::consts::FRAC_1_SQRT_2),
    ShortSkip::MagnitudePreserving(0.3),
];

fn config(width: usize, hidden: usize) -> ResidualMlpConfig {
    let square = MlpBlockConfig::square(width, Activation::Silu, Init::PyTorch);
    ResidualMlpConfig {
        inputs: 2,
        blocks: 2,
        block: MlpBlockConfig { hidden, ..square },
        short: ShortSkip::Identity,
    }
}

/// Numbers of variance 1/2 without order.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let at = |i| (0.7 * f64::from(i) * f64::from(i) + seed as f64).sin() as f32;
    (0..count as u32).map(at).collect()
}

/// Parameters that keep features of order 1.
fn parameters(config: &ResidualMlpConfig, seed: u64) -> Vec<f32> {
    let mut all = Vec::new();
    for (place, tensor) in config
        .layers()
        .iter()
        .flat_map(|layer| layer.tensors())
        .enumerate()
    {
        let scale = match tensor.shape[..] {
            [_, inputs] => 1.5 / (inputs as f32).sqrt(),
            _ => 0.3,
        };
        let values = numbers(tensor.numbers(), seed + 100 * place as u64);
        all.extend(values.into_iter().map(|value| scale * value));
    }
    all
}

/// The gradient by all parameters of Σ output · by_output.
fn gradient(config: &ResidualMlpConfig, examples: usize, threads: usize, seed: u64) -> Vec<f32> {
    let numbers_of = |columns: usize, seed| numbers(examples * columns, seed);
    let (x, label) = (numbers_of(config.inputs, seed + 1), numbers_of(1, seed + 2));
    let parameters = parameters(config, seed);
    let mut pass = MlpPass::new(config, examples, threads).expect("it is written out");
    let by_output = numbers_of(config.inputs, seed + 3);
    let (_, gradient) = pass.gradient(&parameters, &x, &label, copied(&by_output, config.inputs));
    gradient.to_vec()
}

/// A gradient by the output that does not depend on it.
fn copied(all: &[f32], columns: usize) -> impl Fn(usize, &[f32], &mut [f32]) {
    move |first, outputs, by_output| {
        by_output.copy_from_slice(&all[first * columns..][..outputs.len()]);
    }
}

#[test]
fn the_gradient_is_that_of_differences() {
    // Smooth, so that differences are to be trusted.
    for (activation, short) in [Activation::Silu, Activation::MagnitudeSilu]
        .into_iter()
        .flat_map(|activation| SHORTS.map(|short| (activation, short)))
    {
        let mut config = config(5, 7);
        (config.block.activation, config.short) = (activation, short);
        let (examples, seed) = (3, 11);
        let found = gradient(&config, examples, 1, seed);
        let (x, label) = (numbers(6, seed + 1), numbers(3, seed + 2));
        let by_output = numbers(6, seed + 3);
        let begin = parameters(&config, seed);
        let mut pass = MlpPass::new(&config, examples, 1).expect("it is written out");
        let mut value = |parameters: &[f32]| -> f64 {
            let terms = pass.forward(parameters, &x, &label).iter().zip(&by_output);
            terms.map(|(y, d)| f64::from(y * d)).sum()
        };
        let largest = found.iter().fold(0.0, |most: f32, g| most.max(g.abs()));
        for place in 0..begin.len() {
            let step = 0.02;
            let mut moved = |by: f32| {
                let mut parameters = begin.clone();
                parameters[place] += by;
                value(&parameters)
            };
            let difference = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let error = (difference - f64::from(found[place])).abs();
            assert!(
                error < 2e-3 * f64::from(largest),
                "{activation:?}, {short:?}: {difference} against {} of {largest} at {place}",
                found[place]
            );
        }
    }
}

#[test]
fn results_do_not_depend_on_the_threads() {
    // More than two shards, of which the last is not full.
    let config = config(33, 64);
    let of = |threads| {
        gradient(&config, 600, threads, 3)
            .into_iter()
            .map(f32::to_bits)
    };
    let one: Vec<u32> = of(1).collect();
    assert!(one.iter().any(|bits| *bits != 0));
    for threads in [2, 3, 7] {
        assert!(of(threads).eq(one.iter().copied()), "{threads} threads");
    }
}

#[test]
fn a_pass_leaves_nothing_for_the_next() {
    let config = config(9, 6);
    let parameters = parameters(&config, 1);
    let mut pass = MlpPass::new(&config, 4, 1).expect("it is written out");
    let mut once = |seed| {
        let (x, label, by_output) = (numbers(8, seed), numbers(4, seed), numbers(8, seed + 1));
        let (output, gradient) = pass.gradient(&parameters, &x, &label, copied(&by_output, 2));
        (output.to_vec(), gradient.to_vec())
    };
    let first = once(1);
    assert_ne!(once(2), first);
    assert_eq!(once(1), first);
}

#[test]
fn what_is_not_written_out_is_refused() {
    let written = |config: &ResidualMlpConfig| MlpPass::new(config, 1, 1).is_some();
    let plain = config(8, 8);
    assert!(written(&plain));
    for short in [
        ShortSkip::ReZero,
        ShortSkip::LayerScale(0.1),
        ShortSkip::StochasticDepth { survival: 0.5 },
        ShortSkip::Highway { bias: 0.0 },
        ShortSkip::Fixup { blocks: 2 },
        ShortSkip::DeepNorm { blocks: 2 },
    ] {
        assert!(!written(&ResidualMlpConfig { short, ..plain }), "{short:?}");
    }
    let other = |change: &dyn Fn(&mut MlpBlockConfig)| {
        let mut config = plain;
        change(&mut config.block);
        written(&config)
    };
    for activation in [
        Activation::Tanh,
        Activation::Gelu,
        Activation::Mish,
        Activation::Elu,
    ] {
        assert!(
            !other(&|block| block.activation = activation),
            "{activation:?}"
        );
    }
    assert!(!other(&|block| block.norm = Norm::Layer { eps: 1e-5 }));
    assert!(!other(&|block| block.dropout = Dropout::Elements(0.1)));
    // Nor a network that cannot be built.
    assert!(!other(&|block| block.width = 0));
}

#[test]
#[should_panic(expected = "are given to a pass of")]
fn another_batch_is_refused() {
    let config = config(4, 4);
    let mut pass = MlpPass::new(&config, 4, 1).expect("it is written out");
    let _ = pass.forward(&parameters(&config, 0), &[0.0; 10], &[0.0; 5]);
}

#[cfg(feature = "tch")]
mod beside_the_graph {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use resnet_blocks::{Mode, Network, Params, ResidualMlp};
    use tch::{Device, Kind, Tensor, nn::VarStore};

    use super::*;

    /// How far output and gradient are from those of the network in double precision, as shares of the largest of each.
    fn errors(config: &ResidualMlpConfig, examples: usize, seed: u64) -> [f64; 2] {
        let mut store = VarStore::new(Device::Cpu);
        store.set_kind(Kind::Double);
        let flat = parameters(config, seed);
        let mut rest = &flat[..];
        let mut values = HashMap::new();
        for tensor in config.layers().iter().flat_map(|layer| layer.tensors()) {
            let (own, others) = rest.split_at(tensor.numbers());
            let value = Tensor::from_slice(own).view(&tensor.dims()[..]);
            values.insert(tensor.name.clone(), value);
            rest = others;
        }
        let params = Params::with_values(store.root(), values);
        let network = ResidualMlp::new(&params, config).expect("it can be built");
        let [x, label, by_output] = [(config.inputs, 1), (1, 2), (config.inputs, 3)]
            .map(|(columns, more)| numbers(examples * columns, seed + more));
        let rows = |values: &[f32]| {
            let rows = Tensor::from_slice(values).view([examples as i64, -1]);
            rows.to_kind(Kind::Double)
        };
        let output = network.forward(&rows(&x), &rows(&label).view([-1]), &mut Mode::Eval);
        let loss = (&output * rows(&by_output)).sum(Kind::Double);
        let units = params.units().into_iter();
        let tensors: Vec<Tensor> = units.flat_map(|unit| unit.parameters).collect();
        let gradients = Tensor::run_backward(&[&loss], &tensors, false, false);
        let gradients: Vec<Tensor> = gradients.iter().map(|g| g.reshape([-1])).collect();
        let mut pass = MlpPass::new(config, examples, 1).expect("it is written out");
        let error = |found: &[f32], wanted: &Tensor| {
            let found = Tensor::from_slice(found).to_kind(Kind::Double);
            let error = (found - wanted.reshape([-1])).abs().max();
            (error / wanted.abs().max()).double_value(&[])
        };
        let by_output = copied(&by_output, config.inputs);
        let (answer, gradient) = pass.gradient(&flat, &x, &label, by_output);
        let errors = [
            error(answer, &output),
            error(gradient, &Tensor::cat(&gradients, 0)),
        ];
        let answer = answer.to_vec();
        assert_eq!(pass.forward(&flat, &x, &label), answer);
        errors
    }

    /// Both may use the tiles of the processor, each in its own way.
    #[test]
    fn it_and_products_of_libtorch_leave_each_other_alone() {
        let half = |size: &[i64]| {
            let wave = (Tensor::arange(size.iter().product::<i64>(), (Kind::Float, Device::Cpu))
                * 0.37)
                .sin();
            wave.view(size).to_kind(Kind::BFloat16)
        };
        let (image, kernel) = (half(&[4, 32, 16, 16]), half(&[32, 32, 3, 3]));
        let (a, b) = (half(&[128, 128]), half(&[128, 128]));
        let theirs = || {
            let convolved = image.conv2d(&kernel, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1);
            [convolved, a.matmul(&b)]
        };
        let config = config(64, 64);
        let ours = || gradient(&config, 64, 1, 5);
        let (before, first) = (theirs(), ours());
        for (before, after) in before.iter().zip(theirs()) {
            assert!(before.equal(&after));
        }
        assert_eq!(ours(), first);
    }

    #[test]
    fn every_choice_is_that_of_the_network() {
        for activation in [
            Activation::Silu,
            Activation::MagnitudeSilu,
            Activation::Relu,
            Activation::LeakyRelu,
        ] {
            for short in SHORTS {
                let mut config = config(20, 70);
                (config.block.activation, config.short) = (activation, short);
                let errors = errors(&config, 300, 5);
                assert!(
                    errors.iter().all(|error| *error < 1e-5),
                    "{config:?}: {errors:?}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Of smooth networks: at the corner of a rectifier single and double precision may fall on two sides.
        #[test]
        fn every_size_is_that_of_the_network(
            (inputs, blocks, width, hidden) in (1usize..4, 1usize..4, 1usize..40, 1usize..90),
            examples in prop::sample::select(vec![1usize, 5, 40, 300]),
            short in prop::sample::select(&SHORTS[..]),
            seed in 0u64..50,
        ) {
            let config = ResidualMlpConfig { inputs, blocks, short, ..config(width, hidden) };
            let errors = errors(&config, examples, seed);
            prop_assert!(errors.iter().all(|error| *error < 1e-5), "{config:?}: {errors:?}");
        }
    }
}
