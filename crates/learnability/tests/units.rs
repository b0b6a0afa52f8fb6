//! Units of a store, inner products of their gradients, and steps that are taken back: on live networks.
#![cfg(feature = "tch")]

use learnability::gradient::{Snapshot, unit_gradients, unit_grams, unit_moments};
use learnability::interval::Confidence;
use learnability::trust::trust;
use learnability::unit::units_of;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor, nn, nn::VarStore};

fn normal(shape: &[i64], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = shape.iter().product::<i64>();
    let draws: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_slice(&draws).reshape(shape)
}

/// A two-layer network with biases in single precision, as anybody would build it.
fn network() -> (VarStore, impl Fn(&Tensor) -> Tensor) {
    let store = VarStore::new(Device::Cpu);
    let fill = |path: nn::Path, name: &str, shape: &[i64], seed| {
        let mut tensor = path.var(name, shape, nn::Init::Const(0.0));
        let _guard = tch::no_grad_guard();
        tensor.copy_(&(normal(shape, seed) / 2.0));
        tensor
    };
    let root = store.root();
    let w1 = fill(&root / "encoder" / "0", "weight", &[3, 8], 1);
    let b1 = fill(&root / "encoder" / "0", "bias", &[8], 2);
    let w2 = fill(&root / "head", "weight", &[8, 2], 3);
    let scale = fill(store.root(), "scale", &[1], 4);
    let forward = move |x: &Tensor| (x.matmul(&w1) + &b1).tanh().matmul(&w2) * &scale;
    (store, forward)
}

#[test]
fn units_are_layers_in_the_order_of_construction() {
    let (mut store, _) = network();
    let shapes = |store: &VarStore| -> Vec<(String, Vec<Vec<i64>>)> {
        let units = units_of(store).into_iter();
        units
            .map(|(name, p)| (name, p.iter().map(Tensor::size).collect()))
            .collect()
    };
    let expected = [
        ("encoder.0".to_owned(), vec![vec![3, 8], vec![8]]),
        ("head".to_owned(), vec![vec![8, 2]]),
        ("scale".to_owned(), vec![vec![1]]),
    ];
    assert_eq!(shapes(&store), expected);

    // What does not learn is no unit; what learns is the very tensor of the store.
    let _statistics = store.root().zeros_no_train("running_mean", &[4]);
    let _empty = store.root().var("empty", &[0], nn::Init::Const(0.0));
    assert_eq!(shapes(&store), expected);
    let units = units_of(&store);
    assert_eq!(
        units[1].1[0].data_ptr(),
        store.variables()["head.weight"].data_ptr()
    );
    store.freeze();
    assert!(units_of(&store).is_empty());
}

#[test]
fn inner_products_hold_the_streamed_moments() {
    let (store, forward) = network();
    // A parameter that the loss does not see, as a unit of its own and in a unit with one that it sees.
    let unused = store.root().var(
        "head/unused".rsplit('/').next().unwrap(),
        &[5],
        nn::Init::Const(1.0),
    );
    let mut units = units_of(&store);
    units[1].1.push(unused);
    let x = normal(&[24, 3], 5).to_kind(Kind::Float);
    let mut loss = |i: usize| {
        forward(&x.narrow(0, 4 * i as i64, 4))
            .square()
            .mean(Kind::Float)
    };
    let streamed = unit_moments(&mut loss, 6, &units);
    let grams = unit_grams(&mut loss, 6, &units);
    let full = unit_gradients(&forward(&x).square().mean(Kind::Float), &units);
    for ((gram, streamed), full) in grams.iter().zip(&streamed).zip(&full).take(3) {
        let moments = gram.moments().unwrap();
        assert!((moments.signal - streamed.signal).abs() < 1e-9 * gram.trace());
        assert!((moments.noise - streamed.noise).abs() < 1e-9 * gram.trace());
        let total: f64 = (0..6)
            .flat_map(|i| (0..6).map(move |j| (i, j)))
            .map(|(i, j)| gram.get(i, j))
            .sum();
        assert!((total.sqrt() / 6.0 / full.norm - 1.0).abs() < 1e-5);
        assert!(gram.gsnr(Confidence::new(0.95).unwrap()).is_some());
    }
    assert_eq!(grams[3].trace(), 0.0);
}

/// A unit without signal, beside one with: the whole way from closures to marks.
#[test]
fn silence_is_told_from_noise() {
    let heard = Tensor::from_slice(&[0.0_f64; 6]).set_requires_grad(true);
    let noise_only = Tensor::from_slice(&[0.0_f64; 6]).set_requires_grad(true);
    let units = vec![
        ("heard".to_owned(), vec![heard.shallow_clone()]),
        ("noise only".to_owned(), vec![noise_only.shallow_clone()]),
    ];
    let targets = normal(&[16, 6], 6);
    let mut loss = |i: usize| {
        let z = targets.get(i as i64);
        ((&z + 1.0) * &heard).sum(Kind::Double) + (&z * &noise_only).sum(Kind::Double)
    };
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let grams = unit_grams(&mut loss, 16, &units);
    let p: Vec<f64> = grams.iter().map(|g| g.sign_flip(999, &mut rng).p).collect();
    assert_eq!(
        learnability::silence::audible(&p, 0.05),
        [true, false],
        "{p:?}"
    );
}

#[test]
fn a_step_is_judged_and_taken_back() {
    let (store, forward) = network();
    let units = units_of(&store);
    let x = normal(&[16, 3], 8).to_kind(Kind::Float);
    let loss = || (forward(&x) - 1.0).square().mean(Kind::Float);
    let before: Vec<Vec<f32>> = units
        .iter()
        .flat_map(|(_, p)| p)
        .map(|p| Vec::try_from(p.flatten(0, -1)).unwrap())
        .collect();
    // Small steps keep their promise, long ones do not.
    for trust in trust(&loss, &units, 1e-2) {
        assert!(
            (trust.ratio.unwrap() - 1.0).abs() < 0.2 && trust.change.unwrap() < 0.2,
            "{trust:?}"
        );
    }
    assert!(
        trust(&loss, &units, 1e3)
            .iter()
            .all(|t| t.ratio.unwrap() < 0.5)
    );
    let after: Vec<Vec<f32>> = units
        .iter()
        .flat_map(|(_, p)| p)
        .map(|p| Vec::try_from(p.flatten(0, -1)).unwrap())
        .collect();
    assert_eq!(before, after);
    assert!(
        units
            .iter()
            .flat_map(|(_, p)| p)
            .all(|p| p.requires_grad() && !p.grad().defined())
    );

    let unused = vec![(
        "unused".to_owned(),
        vec![Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true)],
    )];
    let both: Vec<_> = units.into_iter().chain(unused).collect();
    let last = *trust(&loss, &both, 1e-2).last().unwrap();
    assert_eq!((last.ratio, last.change), (None, None));
}

#[test]
fn relative_readings() {
    let w = Tensor::from_slice(&[3.0_f64, 4.0]).set_requires_grad(true);
    let units = vec![("w".to_owned(), vec![w.shallow_clone()])];
    let loss = (&w * Tensor::from_slice(&[6.0, 8.0])).sum(Kind::Double);
    let gradient = unit_gradients(&loss, &units).remove(0);
    assert_eq!(
        (gradient.relative(), gradient.scale_free()),
        (Some(2.0), 50.0)
    );
    let snapshot = Snapshot::of(&units);
    {
        let _guard = tch::no_grad_guard();
        let _ = w
            .shallow_clone()
            .g_sub_(&Tensor::from_slice(&[0.3_f64, 0.4]));
    }
    assert!((snapshot.relative_update(&units)[0] - 0.1).abs() < 1e-15);
}

/// The columns of the table of access that do not change when layers trade scale.
#[test]
fn what_rescaling_between_layers_changes() {
    let (x, y) = (normal(&[32, 4], 9), normal(&[32, 1], 10));
    let (w1, w2) = (normal(&[4, 8], 11), normal(&[8, 1], 12));
    let measure = |a: f64| {
        let w1 = (&w1 * a).set_requires_grad(true);
        let w2 = (&w2 / a).set_requires_grad(true);
        let units = vec![
            ("1".to_owned(), vec![w1.shallow_clone()]),
            ("2".to_owned(), vec![w2.shallow_clone()]),
        ];
        let output = x.matmul(&w1).relu().matmul(&w2);
        let errors = (&output - &y).square().flatten(0, -1);
        let gradients = unit_gradients(&errors.mean(Kind::Double), &units);
        let kernel = learnability::curvature::tangent_kernel(&output, &units);
        let gsnr = unit_grams(&mut |i| errors.get(i as i64), 32, &units);
        gradients
            .iter()
            .zip(kernel)
            .zip(gsnr)
            .map(|((g, k), gram)| {
                let energy = g.weight_norm.powi(2) * k.trace();
                let gsnr = gram.moments().unwrap().gsnr().unwrap();
                (
                    [g.norm, g.relative().unwrap()],
                    [g.scale_free(), energy, gsnr],
                )
            })
            .collect::<Vec<_>>()
    };
    let (plain, moved) = (measure(1.0), measure(10.0));
    for (layer, factor) in [0.1, 10.0].into_iter().enumerate() {
        let ((changes, stays), (changes_after, stays_after)) = (plain[layer], moved[layer]);
        assert!((changes_after[0] / changes[0] / factor - 1.0).abs() < 1e-9);
        assert!((changes_after[1] / changes[1] / (factor * factor) - 1.0).abs() < 1e-9);
        for (a, b) in stays.iter().zip(stays_after) {
            assert!((b / a - 1.0).abs() < 1e-9, "{a} {b}");
        }
    }
}
