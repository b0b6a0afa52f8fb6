//! Laws of the transformer: it is what its formulas and its plan say, and every skip is one choice.
#![cfg(feature = "tch")]

mod common;

use std::collections::HashMap;

use common::{assert_gradients, distance, gradient_norms, noise, store, values};
use resnet_blocks::{Activation, Feature, Init, LongSkip, Mode, Network, Params, ShortSkip};
use tch::{Kind, Tensor};
use unet::{LabelPath, Positions, Transformer, TransformerConfig};

/// A small one: patches of 2 x 2 on images of 2 x 4 x 6.
fn small(label: LabelPath, short: ShortSkip, long: LongSkip) -> TransformerConfig {
    let (width, init) = (8, Init::LeCun);
    TransformerConfig {
        image: Feature {
            channels: 2,
            height: 4,
            width: 6,
        },
        patch: 2,
        width,
        blocks: 3,
        heads: 2,
        hidden: 12,
        activation: Activation::Gelu,
        embedding: TransformerConfig::label_of(width, label, init),
        label,
        positions: match label {
            LabelPath::AdaLnZero => Positions::Sines,
            LabelPath::Token => Positions::Learned,
        },
        short,
        long,
        init,
    }
}

fn dit() -> TransformerConfig {
    small(LabelPath::AdaLnZero, ShortSkip::Identity, LongSkip::None)
}

fn u_vit() -> TransformerConfig {
    small(LabelPath::Token, ShortSkip::Identity, LongSkip::Concat(0.7))
}

fn question(kind: Kind) -> (Tensor, Tensor) {
    (noise(&[3, 2, 4, 6], kind, 1), noise(&[3], kind, 2))
}

/// Every number that learns is drawn anew, so that nothing is 0.
fn stirred(params: &Params<'_>) {
    let _guard = tch::no_grad_guard();
    for (index, (_, tensor)) in params.tensors().iter().enumerate() {
        let drawn = noise(&tensor.size(), tensor.kind(), 100 + index as u64);
        tensor.shallow_clone().copy_(&(drawn * 0.4));
    }
}

type Rows = Vec<Vec<f64>>;

/// The network in plain loops, for one example, from its formulas.
struct Plain<'a> {
    config: &'a TransformerConfig,
    numbers: HashMap<String, Vec<f64>>,
}

impl Plain<'_> {
    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) = (
            &self.numbers[&format!("{name}.weight")],
            &self.numbers[&format!("{name}.bias")],
        );
        let of = |row: &Vec<f64>| {
            let outputs = weight.chunks(row.len()).zip(bias);
            let dot = |weight: &[f64]| weight.iter().zip(row).map(|(w, x)| w * x).sum::<f64>();
            outputs.map(|(weight, bias)| dot(weight) + bias).collect()
        };
        x.iter().map(of).collect()
    }

    /// norm(x), and its scale and shift by the label or its own.
    fn norm(&self, name: &str, x: &Rows, modulation: Option<[&[f64]; 2]>) -> Rows {
        let own = |part: &str| self.numbers.get(&format!("{name}.{part}"));
        let of = |row: &Vec<f64>| {
            let n = row.len() as f64;
            let mean = row.iter().sum::<f64>() / n;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            let normal = row.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt());
            let scaled = |(i, x): (usize, f64)| match modulation {
                Some([shift, scale]) => x * (1.0 + scale[i]) + shift[i],
                None => x * own("weight").expect("learned")[i] + own("bias").expect("learned")[i],
            };
            normal.enumerate().map(scaled).collect()
        };
        x.iter().map(of).collect()
    }

    fn attention(&self, name: &str, x: &Rows) -> Rows {
        let part = |part: &str| self.linear(&format!("{name}.{part}"), x);
        let [query, key, value] = ["query", "key", "value"].map(part);
        let each = self.config.width / self.config.heads;
        let mut mixed = vec![vec![0.0; self.config.width]; x.len()];
        for head in 0..self.config.heads {
            let of = head * each..(head + 1) * each;
            for (q, mixed) in query.iter().zip(&mut mixed) {
                let score = |k: &Vec<f64>| {
                    let dot = of.clone().map(|i| q[i] * k[i]).sum::<f64>();
                    (dot / (each as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = key.iter().map(score).collect();
                let all: f64 = scores.iter().sum();
                for (score, v) in scores.iter().zip(&value) {
                    of.clone().for_each(|i| mixed[i] += score / all * v[i]);
                }
            }
        }
        self.linear(&format!("{name}.out"), &mixed)
    }

    fn of(&self, x: &[f64], label: f64) -> Vec<f64> {
        let config = self.config;
        let (tall, wide, patch) = (config.image.height, config.image.width, config.patch);
        let silu = |x: &f64| x / (1.0 + (-x).exp());
        let phi = |x: &f64| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()));
        let each = |x: Rows, phi: &dyn Fn(&f64) -> f64| -> Rows {
            let rows = x.iter().map(|row| row.iter().map(phi).collect());
            rows.collect()
        };
        let half = config.embedding.channels / 2;
        let wave = |i: usize| label * 32f64.powf(i as f64 / (half - 1) as f64);
        let features = (0..half)
            .map(|i| wave(i).cos())
            .chain((0..half).map(|i| wave(i).sin()));
        let hidden = self.linear("embedding.linear1", &vec![features.collect()]);
        let mut e = self.linear("embedding.linear2", &each(hidden, &silu));
        if config.label == LabelPath::AdaLnZero {
            e = each(e, &silu);
        }
        // The number of pixel (row, column) and channel in an image.
        let at = |c: usize, row: usize, column: usize| (c * tall + row) * wide + column;
        let places = || {
            let (down, across) = (tall / patch, wide / patch);
            (0..down).flat_map(move |i| (0..across).map(move |j| (i, j)))
        };
        let within = || {
            let pixels = (0..patch).flat_map(|p| (0..patch).map(move |q| (p, q)));
            pixels.flat_map(|(p, q)| (0..config.image.channels).map(move |c| (p, q, c)))
        };
        let number = |(i, j): (usize, usize), (p, q, c)| at(c, i * patch + p, j * patch + q);
        let cut = |place| within().map(|pixel| x[number(place, pixel)]).collect();
        let mut h = self.linear("read_in", &places().map(cut).collect());
        if config.label == LabelPath::Token {
            h.insert(0, e[0].clone());
            let table = self.numbers["embedding.positions.weight"].chunks(config.width);
            for (h, position) in h.iter_mut().zip(table) {
                h.iter_mut().zip(position).for_each(|(h, p)| *h += p);
            }
        } else {
            let waves = config.width / 4;
            for (h, (i, j)) in h.iter_mut().zip(places()) {
                for (half, place) in [i, j].into_iter().enumerate() {
                    for wave in 0..waves {
                        let angle = place as f64 * 1e4f64.powf(-(wave as f64) / waves as f64);
                        h[2 * waves * half + wave] += angle.sin();
                        h[2 * waves * half + waves + wave] += angle.cos();
                    }
                }
            }
        }
        let width = config.width;
        let mut kept = Vec::new();
        for block in 0..config.blocks {
            let name = |part: &str| format!("block{block}.{part}");
            if config.blocks - 1 - block < block
                && let LongSkip::Concat(scale) = config.long
            {
                let other: Rows = kept.pop().expect("kept");
                let both = h.iter().zip(&other).map(|(h, other)| {
                    let scaled = other.iter().map(|a| scale * a);
                    h.iter().copied().chain(scaled).collect()
                });
                h = self.linear(&name("long.merge"), &both.collect());
            }
            let parts = (config.label == LabelPath::AdaLnZero)
                .then(|| self.linear(&name("shift"), &e).remove(0));
            let part = |i: usize| {
                parts
                    .as_ref()
                    .map(|parts| &parts[i * width..(i + 1) * width])
            };
            for (branch, norm) in ["norm1", "norm2"].into_iter().enumerate() {
                let modulation = part(3 * branch).zip(part(3 * branch + 1));
                let normal = self.norm(&name(norm), &h, modulation.map(|(t, s)| [t, s]));
                let added = if branch == 0 {
                    self.attention(&name("attention"), &normal)
                } else {
                    let hidden = self.linear(&name("mlp.linear1"), &normal);
                    self.linear(&name("mlp.linear2"), &each(hidden, &phi))
                };
                for (h, added) in h.iter_mut().zip(&added) {
                    for (i, (h, added)) in h.iter_mut().zip(added).enumerate() {
                        *h += added * part(3 * branch + 2).map_or(1.0, |gate| gate[i]);
                    }
                }
            }
            if block < config.blocks / 2 {
                kept.push(h.clone());
            }
        }
        if config.label == LabelPath::Token {
            h.remove(0);
        }
        let parts = (config.label == LabelPath::AdaLnZero)
            .then(|| self.linear("read_out.shift", &e).remove(0));
        let modulation = parts.as_ref().map(|parts| parts.split_at(width));
        let normal = self.norm("read_out.norm", &h, modulation.map(|(t, s)| [t, s]));
        let mut result = vec![0.0; x.len()];
        for (patch, place) in self.linear("read_out", &normal).iter().zip(places()) {
            for (value, pixel) in patch.iter().zip(within()) {
                result[number(place, pixel)] = *value;
            }
        }
        result
    }
}

/// The error function, by its series where that keeps its digits and by a continued fraction beyond.
fn erf(x: f64) -> f64 {
    if 2.0 < x.abs() {
        let inner = (1..60)
            .rev()
            .fold(0.0, |rest, k| f64::from(k) / 2.0 / (x.abs() + rest));
        let beyond = (-x * x).exp() / std::f64::consts::PI.sqrt() / (x.abs() + inner);
        return x.signum() * (1.0 - beyond);
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

#[test]
fn it_computes_its_formulas() {
    for config in [dit(), u_vit()] {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 3);
        let network = Transformer::new(&params, &config).expect("it can be built");
        stirred(&params);
        let flat = |t: &Tensor| Vec::<f64>::try_from(t.contiguous().view([-1])).expect("numbers");
        let numbers = params.tensors();
        let plain = Plain {
            config: &config,
            numbers: numbers
                .iter()
                .map(|(name, t)| (name.clone(), flat(t)))
                .collect(),
        };
        let (x, label) = question(Kind::Double);
        let ours = network.forward(&x, &label, &mut Mode::Eval);
        for example in 0..3 {
            let wanted = plain.of(&flat(&x.get(example)), label.double_value(&[example]));
            let found = flat(&ours.get(example));
            let pairs = found.iter().zip(&wanted);
            let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let scale = wanted.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            assert!(
                error < 1e-12 * scale && 0.1 < scale,
                "{:?}: {error} of {scale}",
                config.label
            );
        }
    }
}

/// Layers, tensors and shortcuts, for every label, skip and kind of position.
#[test]
fn it_has_the_layers_of_its_plan() {
    let shorts = [
        ShortSkip::Identity,
        ShortSkip::LayerScale(0.1),
        ShortSkip::Highway { bias: -1.0 },
        ShortSkip::DeepNorm { blocks: 6 },
        ShortSkip::StochasticDepth { survival: 0.5 },
        ShortSkip::ReZero,
        ShortSkip::Fixup { blocks: 6 },
        ShortSkip::None,
    ];
    let longs = [
        LongSkip::None,
        LongSkip::Add(0.7),
        LongSkip::Concat(1.0),
        LongSkip::ConcatPower(0.7),
        LongSkip::ConcatLearned,
        LongSkip::ConcatMagnitudePreserving(0.5),
    ];
    for label in [LabelPath::AdaLnZero, LabelPath::Token] {
        for positions in [Positions::Sines, Positions::Learned] {
            for (short, long) in shorts
                .map(|short| (short, LongSkip::Concat(1.0)))
                .into_iter()
                .chain(longs.map(|long| (ShortSkip::Identity, long)))
            {
                let config = TransformerConfig {
                    positions,
                    ..small(label, short, long)
                };
                if config.check().is_err() {
                    continue;
                }
                let store = store(Kind::Float);
                let params = Params::seeded(store.root(), 3);
                let network = Transformer::new(&params, &config).expect("it can be built");
                let planned: Vec<_> = config.layers().iter().flat_map(|l| l.tensors()).collect();
                let found = params.tensors();
                assert_eq!(planned.len(), found.len(), "{config:?}");
                for (planned, (name, tensor)) in planned.iter().zip(&found) {
                    assert_eq!(&planned.name, name);
                    assert_eq!(planned.dims(), tensor.size(), "{name}");
                }
                let shortcuts = params.shortcuts();
                let names: Vec<_> = shortcuts.iter().map(|s| s.name().to_owned()).collect();
                assert_eq!(names, config.shortcuts());
                let (x, label) = question(Kind::Float);
                let result = network.forward(&x, &label, &mut Mode::Eval);
                assert_eq!(result.size(), x.size());
                assert!(result.isfinite().all().int64_value(&[]) == 1);
            }
        }
    }
}

/// Blocks are identities and the result is 0, whatever the weights that are drawn.
#[test]
fn behind_gates_of_zero_it_begins_at_zero() {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 3);
    let network = Transformer::new(&params, &dit()).expect("it can be built");
    let (x, label) = question(Kind::Float);
    let result = network.forward(&x, &label, &mut Mode::Eval);
    assert_eq!(result.abs().max().double_value(&[]), 0.0);
    let one = TransformerConfig { blocks: 1, ..dit() };
    let fewer = common::store(Kind::Float);
    let shallow = Transformer::new(&Params::seeded(fewer.root(), 3), &one).expect("it too");
    let [deep, shallow] = [network, shallow].map(|n| n.stream(&x, &label, &mut Mode::Eval));
    assert_eq!(deep, shallow);
}

#[test]
fn every_unit_gets_a_gradient() {
    for config in [
        dit(),
        u_vit(),
        small(LabelPath::Token, ShortSkip::None, LongSkip::ConcatLearned),
    ] {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 3);
        let network = Transformer::new(&params, &config).expect("it can be built");
        stirred(&params);
        let (x, label) = question(Kind::Double);
        let parameters: Vec<Tensor> = params.tensors().into_iter().map(|(_, t)| t).collect();
        let weights = noise(&x.size(), Kind::Double, 9);
        let loss = || (network.forward(&x, &label, &mut Mode::Eval) * &weights).sum(Kind::Double);
        let norms = gradient_norms(&loss(), &parameters);
        for ((name, _), norm) in params.tensors().iter().zip(norms) {
            // A key's bias adds the same to all scores of a query, which softmax does not see.
            let unseen = name.ends_with("key.bias");
            assert!(unseen || 1e-9 < norm, "{name}: {norm}");
        }
        assert_gradients(&parameters, loss);
    }
}

/// Blocks of the second half hear what their partners kept, and a factor of 0 is a network without.
#[test]
fn long_skips_join_partners() {
    let (x, label) = question(Kind::Float);
    let drawn = |long| {
        let store = store(Kind::Float);
        let config = TransformerConfig {
            blocks: 5,
            ..small(LabelPath::Token, ShortSkip::Identity, long)
        };
        let params = Params::seeded(store.root(), 3);
        let network = Transformer::new(&params, &config).expect("it can be built");
        let result = network.forward(&x, &label, &mut Mode::Eval);
        (result, values(&store))
    };
    let (scaled, weights) = drawn(LongSkip::ConcatPower(0.5));
    let (plain, same) = drawn(LongSkip::Concat(1.0));
    // One set of initial values, and other results.
    assert_eq!(weights, same);
    assert!(1e-4 < distance(&scaled, &plain));
    assert_eq!(distance(&drawn(LongSkip::ConcatPower(1.0)).0, &plain), 0.0);
    // The outermost pair has the factor 1 = k^0 even where k = 0, the inner one 0.
    let outer = drawn(LongSkip::ConcatPower(0.0)).0;
    let none = drawn(LongSkip::Concat(0.0)).0;
    assert!(1e-4 < distance(&outer, &none));
    assert!(1e-4 < distance(&outer, &plain));
}

#[test]
fn a_seed_decides_every_bit() {
    let of = |seed| {
        let store = store(Kind::Float);
        let network = Transformer::new(&Params::seeded(store.root(), seed), &u_vit());
        let (x, label) = question(Kind::Float);
        network
            .expect("it can be built")
            .forward(&x, &label, &mut Mode::Eval)
    };
    assert_eq!(of(3), of(3));
    assert!(1e-3 < distance(&of(3), &of(4)));
    // One label for all is the same for each.
    let (x, _) = question(Kind::Float);
    let store = store(Kind::Float);
    let network = Transformer::new(&Params::seeded(store.root(), 3), &u_vit()).expect("built");
    let [one, each] = [vec![0.3f32], vec![0.3; 3]].map(|label| Tensor::from_slice(&label));
    let [one, each] = [one, each].map(|label| network.forward(&x, &label, &mut Mode::Eval));
    assert_eq!(one, each);
}

/// Layer by layer: what comes out of every layer on the way has mean 0 and deviation 1.
#[test]
fn calibrated_it_has_unit_variance() {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 3);
    let network = Transformer::new(&params, &u_vit()).expect("it can be built");
    let (x, label) = (
        noise(&[64, 2, 4, 6], Kind::Double, 1),
        noise(&[64], Kind::Double, 2),
    );
    let calibrated = {
        let _guard = tch::no_grad_guard();
        network.forward(&x, &label, &mut Mode::Calibrate)
    };
    assert!((calibrated.std(false).double_value(&[]) - 1.0).abs() < 1e-9);
    let again = network.forward(&x, &label, &mut Mode::Eval);
    assert!(distance(&again, &calibrated) < 1e-9);
}
