//! Measurements on live networks, against identities that hold exactly.
#![cfg(feature = "tch")]

use learnability::gradient::{
    Snapshot, first_to_last, mean_grams, unit_gradients, unit_grams, unit_moments,
};
use learnability::index::silent_fraction;
use learnability::silence::absorbed_fraction;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor, nn, nn::OptimizerConfig};

type Units = Vec<(String, Vec<Tensor>)>;

/// `[rows, columns]` normal draws in `f64`, from our own stream.
fn normal(rows: i64, columns: i64, scale: f64, rng: &mut ChaCha8Rng) -> Tensor {
    let draws: Vec<f64> = (0..rows * columns)
        .map(|_| {
            let z: f64 = StandardNormal.sample(rng);
            scale * z
        })
        .collect();
    Tensor::from_slice(&draws).reshape([rows, columns])
}

fn weight(rows: i64, columns: i64, rng: &mut ChaCha8Rng) -> Tensor {
    let scale = (2.0 / rows as f64).sqrt();
    normal(rows, columns, scale, rng).set_requires_grad(true)
}

/// One unit per matrix.
fn layers(weights: &[Tensor]) -> Units {
    let unit = |(i, w): (usize, &Tensor)| (format!("layer {i}"), vec![w.shallow_clone()]);
    weights.iter().enumerate().map(unit).collect()
}

fn relu_mlp(x: &Tensor, weights: &[Tensor]) -> Tensor {
    let (last, hidden) = weights.split_last().unwrap();
    let mut h = x.shallow_clone();
    for w in hidden {
        h = h.matmul(w).relu();
    }
    h.matmul(last)
}

fn squared_error(y: &Tensor, target: &Tensor) -> Tensor {
    (y - target).square().mean(Kind::Double)
}

/// A ReLU MLP without biases, 3 → 6 → 6 → 6 → 2, with inputs and targets.
fn small_problem(samples: i64) -> (Vec<Tensor>, Tensor, Tensor) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let widths = [3, 6, 6, 6, 2];
    let weights = widths
        .windows(2)
        .map(|w| weight(w[0], w[1], &mut rng))
        .collect();
    let x = normal(samples, 3, 1.0, &mut rng);
    let target = normal(samples, 2, 1.0, &mut rng);
    (weights, x, target)
}

#[test]
fn a_zero_layer_silences_exactly_the_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (depth, zeroed) = (5, 2);
    let mut weights: Vec<Tensor> = (0..depth).map(|_| weight(4, 4, &mut rng)).collect();
    weights[zeroed] = weights[zeroed]
        .detach()
        .zeros_like()
        .set_requires_grad(true);
    let (x, target) = (normal(8, 4, 1.0, &mut rng), normal(8, 4, 1.0, &mut rng));

    let y = weights.iter().fold(x, |h, w| h.matmul(w));
    let gradients = unit_gradients(&squared_error(&y, &target), &layers(&weights));
    for (l, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.norm == 0.0, l != zeroed, "{gradient:?}");
    }
    let silent: Vec<bool> = gradients.iter().map(|g| g.norm == 0.0).collect();
    assert_eq!(silent_fraction(&silent), Some(4.0 / 5.0));
    assert_eq!(first_to_last(&gradients, 0, zeroed), None);
}

/// Residual blocks `h + relu(h W) V`: (W, V) per block.
fn residual(x: &Tensor, weights: &[Tensor]) -> Tensor {
    weights.chunks(2).fold(x.shallow_clone(), |h, block| {
        let branch = h.matmul(&block[0]).relu().matmul(&block[1]);
        h + branch
    })
}

#[test]
fn a_zero_branch_silences_only_its_own_inner_layer() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (x, target) = (normal(8, 4, 1.0, &mut rng), normal(8, 4, 1.0, &mut rng));
    let mut weights: Vec<Tensor> = (0..6).map(|_| weight(4, 4, &mut rng)).collect();
    let silent = |weights: &[Tensor]| -> Vec<usize> {
        let loss = squared_error(&residual(&x, weights), &target);
        let gradients = unit_gradients(&loss, &layers(weights));
        (0..6).filter(|l| gradients[*l].norm == 0.0).collect()
    };
    let zero = || Tensor::zeros([4, 4], (Kind::Double, Device::Cpu)).set_requires_grad(true);

    weights[3] = zero();
    assert_eq!(silent(&weights), [2]);

    weights[1] = zero();
    weights[5] = zero();
    assert_eq!(silent(&weights), [0, 2, 4]); // zero-initialised branches: half of the layers at step 0 …
    let loss = squared_error(&residual(&x, &weights), &target);
    let gradients = Tensor::run_backward(&[loss], &weights, false, false);
    let stepped: Vec<Tensor> = weights
        .iter()
        .zip(&gradients)
        .map(|(w, g)| (w.detach() - g * 0.1).set_requires_grad(true))
        .collect();
    assert_eq!(silent(&stepped), [0; 0]); // … and none at step 1
}

#[test]
fn euler_makes_weight_dot_equal_over_homogeneous_layers() {
    let (weights, x, target) = small_problem(16);
    // Badly unequal layers, so that the norms of the gradients are far apart.
    let weights: Vec<Tensor> = weights
        .iter()
        .zip([1e-3, 1.0, 30.0, 5.0])
        .map(|(w, scale)| (w.detach() * scale).set_requires_grad(true))
        .collect();
    let loss = squared_error(&relu_mlp(&x, &weights), &target);
    let gradients = unit_gradients(&loss, &layers(&weights));
    let reference = gradients[0].weight_dot;
    assert!(1e-6 < reference.abs());
    for gradient in &gradients {
        assert!(
            (gradient.weight_dot / reference - 1.0).abs() < 1e-6,
            "{gradient:?}"
        );
    }
    assert!(3.0 < first_to_last(&gradients, 0, 2).unwrap());
}

#[test]
fn rescaling_changes_norms_and_not_gsnr() {
    let (weights, x, target) = small_problem(64);
    let measure = |weights: &[Tensor]| {
        let units = layers(weights);
        let y = relu_mlp(&x, weights);
        let norms: Vec<f64> = unit_gradients(&squared_error(&y, &target), &units)
            .iter()
            .map(|g| g.norm)
            .collect();
        let mut loss = |i: usize| {
            let batch = |t: &Tensor| t.narrow(0, 8 * i as i64, 8);
            squared_error(&relu_mlp(&batch(&x), weights), &batch(&target))
        };
        let gsnr: Vec<f64> = unit_moments(&mut loss, 8, &units)
            .iter()
            .map(|m| m.gsnr().unwrap())
            .collect();
        (norms, gsnr)
    };
    let rescaled: Vec<Tensor> = weights
        .iter()
        .zip([10.0, 0.1, 1.0, 1.0])
        .map(|(w, scale)| (w.detach() * scale).set_requires_grad(true))
        .collect();
    let ((norms, gsnr), (norms_after, gsnr_after)) = (measure(&weights), measure(&rescaled));
    for (l, factor) in [0.1, 10.0, 1.0, 1.0].into_iter().enumerate() {
        assert!((norms_after[l] / norms[l] / factor - 1.0).abs() < 1e-9);
        assert!((gsnr_after[l] / gsnr[l] - 1.0).abs() < 1e-6);
    }
}

#[test]
fn moments_average_to_the_full_gradient() {
    let (weights, x, target) = small_problem(32);
    let units = layers(&weights);
    let loss = squared_error(&relu_mlp(&x, &weights), &target);
    let full = unit_gradients(&loss, &units);
    // One forward pass, whose graph all losses share.
    let errors =
        (relu_mlp(&x, &weights) - &target)
            .square()
            .mean_dim(&[1i64][..], false, Kind::Double);
    let moments = unit_moments(&mut |i| errors.get(i as i64), 32, &units);
    for (moments, full) in moments.iter().zip(&full) {
        // |mean g|² = signal + noise / n.
        let squared_norm = moments.signal + moments.noise / 32.0;
        assert!((squared_norm / full.norm.powi(2) - 1.0).abs() < 1e-9);
        assert!(0.0 < moments.noise);
    }
}

#[test]
fn unit_gradients_agree_with_finite_differences() {
    let (weights, x, target) = small_problem(16);
    // Two matrices to a unit, and a parameter that the loss does not see.
    let unused = Tensor::ones([5], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let units: Units = vec![
        (
            "early".into(),
            vec![weights[0].shallow_clone(), weights[1].shallow_clone()],
        ),
        (
            "late".into(),
            vec![weights[2].shallow_clone(), weights[3].shallow_clone()],
        ),
        ("unused".into(), vec![unused]),
    ];
    let loss = || squared_error(&relu_mlp(&x, &weights).tanh(), &target);
    let measured = unit_gradients(&loss(), &units);

    let step = 1e-6;
    for (unit, parameters) in measured.iter().zip(&units[..2]) {
        let (mut square, mut weight_dot, mut weight_square, mut scalars) = (0.0, 0.0, 0.0, 0);
        for parameter in &parameters.1 {
            let flat = parameter.detach().view(-1);
            for i in 0..flat.numel() as i64 {
                let value = flat.double_value(&[i]);
                let at = |v: f64| {
                    let _ = flat.get(i).fill_(v);
                    loss().double_value(&[])
                };
                let slope = (at(value + step) - at(value - step)) / (2.0 * step);
                at(value);
                square += slope * slope;
                weight_dot += value * slope;
                weight_square += value * value;
                scalars += 1;
            }
        }
        assert!(
            (unit.norm / square.sqrt() - 1.0).abs() < 1e-6,
            "{unit:?} {square}"
        );
        assert!((unit.weight_dot - weight_dot).abs() < 1e-6 * unit.norm * unit.weight_norm);
        assert!((unit.weight_norm / weight_square.sqrt() - 1.0).abs() < 1e-12);
        assert!((unit.mean_square * f64::from(scalars) / unit.norm.powi(2) - 1.0).abs() < 1e-12);
    }
    let unused = &measured[2];
    assert_eq!(
        (unused.norm, unused.mean_square, unused.weight_dot),
        (0.0, 0.0, 0.0)
    );
    assert_eq!(unused.weight_norm, 5f64.sqrt());
}

#[test]
fn measuring_leaves_no_trace() {
    let (weights, x, target) = small_problem(8);
    let units = layers(&weights);
    let loss = squared_error(&relu_mlp(&x, &weights), &target);
    let before = unit_gradients(&loss, &units);
    assert!(unit_gradients(&loss, &[]).is_empty());
    unit_moments(&mut |_| loss.shallow_clone(), 2, &units);
    assert!(weights.iter().all(|w| !w.grad().defined()));

    loss.backward(); // the graph is still there
    assert!(weights.iter().all(|w| w.grad().defined()));
    let grads: Vec<Tensor> = weights.iter().map(|w| w.grad().copy()).collect();
    let loss = squared_error(&relu_mlp(&x, &weights), &target);
    assert_eq!(unit_gradients(&loss, &units), before);
    assert!(weights.iter().zip(&grads).all(|(w, g)| w.grad().equal(g)));
}

#[test]
fn grams_of_means_are_those_of_the_mean_gradients() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let weights: Vec<Tensor> = (0..2).map(|_| weight(3, 3, &mut rng)).collect();
    let units = layers(&weights);
    let batches: Vec<[Tensor; 2]> = (0..6)
        .map(|_| [(); 2].map(|()| normal(4, 3, 1.0, &mut rng)))
        .collect();
    let mut loss = |i: usize| {
        let [x, target] = &batches[i];
        squared_error(&x.matmul(&weights[0]).matmul(&weights[1]), target)
    };
    let of_each = unit_grams(&mut loss, 6, &units);
    for (unit, gram) in mean_grams(&mut loss, 3, 2, &units).iter().enumerate() {
        assert_eq!(gram.n(), 3);
        for (i, j) in [(0, 0), (0, 1), (2, 1), (2, 2)] {
            let pairs = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let sum: f64 = pairs
                .map(|(a, b)| of_each[unit].get(2 * i + a, 2 * j + b))
                .iter()
                .sum();
            let error = gram.get(i, j) - sum / 4.0;
            assert!(error.abs() < 1e-12 * gram.trace(), "{i} {j}: {error}");
        }
    }
}

#[test]
fn snapshot_sees_the_step_that_was_made() {
    let vs = nn::VarStore::new(Device::Cpu);
    // The gradient of the loss is 1 for every scalar, so a step of 2⁻²⁰ is absorbed from 2⁴ = 16 on.
    let fill = |name: &str, values: &[f32]| {
        let mut w = vs
            .root()
            .var(name, &[values.len() as i64], nn::Init::Const(0.0));
        let _guard = tch::no_grad_guard();
        w.copy_(&Tensor::from_slice(values));
        w
    };
    let units: Units = vec![
        ("a".into(), vec![fill("a", &[1.0, 2.0, 64.0, -64.0])]),
        ("b".into(), vec![fill("b", &[1e4; 3]), fill("c", &[1e9])]),
    ];
    let snapshot = Snapshot::of(&units);
    assert_eq!(snapshot.absorbed(&units), [1.0, 1.0]);

    let values = |t: &Tensor| Vec::<f32>::try_from(t.detach()).unwrap();
    let before = values(&units[0].1[0]);
    let loss = units
        .iter()
        .flat_map(|(_, parameters)| parameters)
        .map(|w| w.sum(Kind::Float))
        .reduce(|a, b| a + b)
        .unwrap();
    let mut sgd = nn::Sgd::default().build(&vs, 2f64.powi(-20)).unwrap();
    sgd.backward_step(&loss);
    let absorbed = snapshot.absorbed(&units);
    assert_eq!(absorbed, [0.5, 1.0]);
    assert_eq!(
        absorbed[0],
        absorbed_fraction(&before, &values(&units[0].1[0]))
    );
}
