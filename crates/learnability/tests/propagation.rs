//! Signals through networks for which their fate is known.
#![cfg(feature = "tch")]

use learnability::Error;
use learnability::propagation::{
    backpropagated, cka, gradients_along, jacobian, jacobian_spectrum, jvp, profile, vjp,
};
use learnability::shattering::Centring;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

fn normal(shape: &[i64], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = shape.iter().product::<i64>();
    let draws: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_slice(&draws).reshape(shape)
}

fn orthogonal(n: i64, seed: u64) -> Tensor {
    Tensor::linalg_qr(&normal(&[n, n], seed), "reduced").0
}

fn values(t: &Tensor) -> Vec<f64> {
    Vec::try_from(t.detach().flatten(0, -1).to_kind(Kind::Double)).unwrap()
}

#[track_caller]
fn assert_near(a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!(a.size(), b.size());
    let difference = (a.to_kind(Kind::Double) - b.to_kind(Kind::Double))
        .abs()
        .max()
        .double_value(&[]);
    assert!(difference < tolerance, "{difference}");
}

#[test]
fn orthogonal_layers_keep_everything() {
    let x = normal(&[6, 12], 1);
    let mut activations = vec![x.shallow_clone()];
    for layer in 0..20 {
        activations.push(activations[layer].matmul(&orthogonal(12, 2 + layer as u64)));
    }
    let layers = profile(&activations);
    for layer in &layers[1..] {
        let near = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-10;
        assert!((layer.second_moment / layers[0].second_moment - 1.0).abs() < 1e-12);
        assert!(near(layer.cosine, layers[0].cosine));
        assert!(near(layer.centred_cosine, layers[0].centred_cosine));
        assert!(near(layer.effective_rank, layers[0].effective_rank));
    }
    let through =
        |x: &Tensor| (0..20).fold(x.shallow_clone(), |h, l| h.matmul(&orthogonal(12, 2 + l)));
    let spectrum = jacobian_spectrum(&through, &x.narrow(0, 0, 1)).unwrap();
    assert!((spectrum.condition_number().unwrap() - 1.0).abs() < 1e-12);
    assert!((spectrum.squared().participation_ratio().unwrap() - 12.0).abs() < 1e-10);
    assert!((cka(&activations[0], &activations[20]).unwrap() - 1.0).abs() < 1e-12);
}

#[test]
fn readings_of_a_batch_by_hand() {
    // Three inputs: two alike up to scale, one at right angles.
    let h = Tensor::from_slice(&[1.0_f64, 0.0, 3.0, 0.0, 0.0, 2.0]).reshape([3, 2]);
    let layer = profile(&[h])[0];
    assert!((layer.second_moment - 14.0 / 6.0).abs() < 1e-15);
    assert!((layer.cosine.unwrap() - 1.0 / 3.0).abs() < 1e-15); // of the three pairs one is 1, two are 0
    // Eigenvalues 10, 4, 0.
    let (p, q) = (10.0 / 14.0_f64, 4.0 / 14.0_f64);
    let rank = (-p * p.ln() - q * q.ln()).exp();
    assert!((layer.effective_rank.unwrap() - rank).abs() < 1e-12);

    // A large mean hides that two inputs are opposite.
    let shifted = Tensor::from_slice(&[101.0_f64, 99.0, 99.0, 101.0]).reshape([2, 2]);
    let layer = profile(&[shifted])[0];
    assert!(0.999 < layer.cosine.unwrap());
    assert!((layer.centred_cosine.unwrap() + 1.0).abs() < 1e-12);

    let constant = Tensor::ones([4, 3], (Kind::Float, Device::Cpu));
    let layer = profile(&[constant])[0];
    assert!((layer.cosine.unwrap() - 1.0).abs() < 1e-12 && layer.centred_cosine.is_none());
    assert!((layer.effective_rank.unwrap() - 1.0).abs() < 1e-6);
    let alone = profile(&[normal(&[1, 2, 3, 3], 3)])[0];
    assert_eq!((alone.cosine, alone.second_moment > 0.0), (None, true));
}

/// One wide layer of ReLUs with He's weights: c ↦ (√(1 − c²) + c (π − arccos c)) / π, and the second moment stays.
#[test]
fn a_wide_relu_layer_maps_correlations_as_theory_says() {
    let (d, width) = (4_i64, 60_000_i64);
    for angle in [0.3_f64, 1.2, 2.5] {
        let c = angle.cos();
        let x = Tensor::from_slice(&[1.0, 0.0, 0.0, 0.0, c, angle.sin(), 0.0, 0.0]).reshape([2, d]);
        let weight = normal(&[d, width], 4) * (2.0 / d as f64).sqrt();
        let layers = profile(&[x.shallow_clone(), x.matmul(&weight).relu()]);
        let pi = std::f64::consts::PI;
        let expected = ((1.0 - c * c).sqrt() + c * (pi - angle)) / pi;
        assert!((layers[0].cosine.unwrap() - c).abs() < 1e-12);
        assert!(
            (layers[1].cosine.unwrap() - expected).abs() < 0.02,
            "{layers:?} {expected}"
        );
        assert!((layers[1].second_moment / layers[0].second_moment - 1.0).abs() < 0.05);
    }
}

#[test]
fn jacobians_from_either_side_are_one() {
    let (narrow, wide) = (normal(&[3, 7], 5), normal(&[7, 5], 6));
    let f = |x: &Tensor| x.matmul(&narrow).tanh().matmul(&wide).relu();
    let x = normal(&[1, 3], 7);
    // Three inputs and five outputs: by columns. Cut to two outputs: by rows.
    let tall = jacobian(&f, &x);
    let flat = jacobian(&|x| f(x).narrow(1, 0, 2), &x);
    assert_eq!((tall.size(), flat.size()), (vec![5, 3], vec![2, 3]));
    assert_near(&tall.narrow(0, 0, 2), &flat, 1e-12);
    for i in 0..3 {
        let step = 1e-6;
        let towards = Tensor::zeros_like(&x);
        let _ = towards.narrow(1, i, 1).fill_(1.0);
        let slope = (f(&(&x + &towards * step)) - f(&(&x - &towards * step))) / (2.0 * step);
        assert_near(
            &tall.narrow(1, i, 1).flatten(0, -1),
            &slope.flatten(0, -1),
            1e-8,
        );
        assert_near(
            &jvp(&f, &x, &towards).flatten(0, -1),
            &slope.flatten(0, -1),
            1e-8,
        );
    }
    // ⟨u, J v⟩ = ⟨Jᵀ u, v⟩.
    let (u, v) = (normal(&[1, 5], 8), normal(&[1, 3], 9));
    let left = (&u * jvp(&f, &x, &v)).sum(Kind::Double).double_value(&[]);
    let right = (vjp(&f, &x, &u) * &v).sum(Kind::Double).double_value(&[]);
    assert!((left - right).abs() < 1e-12 && 1e-3 < left.abs());
}

/// A product of matrices has the singular values of the product, those of the factors do not matter.
#[test]
fn the_spectrum_of_a_deep_linear_network() {
    let singular = [8.0, 2.0, 1.0, 0.25, 0.0];
    let (left, right) = (orthogonal(5, 10), orthogonal(5, 11));
    let middle = Tensor::from_slice(&singular).diag(0);
    let f = |x: &Tensor| x.matmul(&left).matmul(&middle).matmul(&right);
    let spectrum = jacobian_spectrum(&f, &normal(&[1, 5], 12)).unwrap();
    for (found, expected) in spectrum.values().iter().zip(singular) {
        assert!((found - expected).abs() < 1e-12);
    }
    assert_eq!(spectrum.rank(2f64.powi(-23)), 4);
    assert_eq!(spectrum.largest_over_median().map(f64::round), Some(8.0));
    let diverged = jacobian_spectrum(&|x| x.sqrt(), &Tensor::from_slice(&[0.0]));
    assert!(matches!(
        diverged,
        Err(Error::NotFinite {
            what: "Jacobian",
            ..
        })
    ));
}

/// Lyapunov exponents of products of Gaussian n × n matrices (Newman 1986): μ_i = (ln(2/n) + ψ((n − i + 1)/2)) / 2. For n = 2
/// the first two differ by (ψ(1) − ψ(½)) / 2 = ln 2, which is what ln κ gains with every layer.
#[test]
fn a_product_of_gaussian_matrices_loses_its_condition_at_a_known_rate() {
    let x = Tensor::ones([1, 2], (Kind::Double, Device::Cpu));
    let mean_log_condition = |layers: u64| {
        let runs = 200;
        let total: f64 = (0..runs)
            .map(|run| {
                let f = |x: &Tensor| {
                    let weights = (0..layers).map(|l| normal(&[2, 2], 1000 + 100 * run + l));
                    weights.fold(x.shallow_clone(), |h, w| h.matmul(&w))
                };
                let spectrum = jacobian_spectrum(&f, &x).unwrap();
                spectrum.condition_number().unwrap().ln()
            })
            .sum();
        total / runs as f64
    };
    // A difference of depths, since the first layers have not settled yet.
    let rate = (mean_log_condition(24) - mean_log_condition(8)) / 16.0;
    assert!((rate - 2f64.ln()).abs() < 0.08, "{rate}");
}

#[test]
fn gradients_at_every_depth_of_a_linear_chain() {
    let x = normal(&[4, 3], 13);
    let weights: Vec<Tensor> = (0..3).map(|l| normal(&[3, 3], 14 + l)).collect();
    let mut activations = vec![x.detach().set_requires_grad(true)];
    for w in &weights {
        activations.push(activations[activations.len() - 1].matmul(w));
    }
    let loss = activations[3].square().sum(Kind::Double) * 0.5;
    let found = backpropagated(&loss, &activations);
    // ∂L/∂h_3 = h_3, and before it the transposed weights.
    let mut expected = activations[3].detach();
    for l in (0..4).rev() {
        let norm = expected.square().sum(Kind::Double).sqrt().double_value(&[]);
        assert!((found[l] / norm - 1.0).abs() < 1e-12);
        if 0 < l {
            expected = expected.matmul(&weights[l - 1].tr());
        }
    }
    let aside = activations[1].matmul(&weights[0]);
    assert_eq!(backpropagated(&loss, &[aside]), [0.0]);
}

#[test]
fn gradients_along_a_line_are_those_of_each_input() {
    let w = normal(&[2, 16], 17);
    let f = |x: &Tensor| {
        x.matmul(&w)
            .sin()
            .sum_dim_intlist(&[1i64][..], true, Kind::Double)
    };
    let t = Tensor::linspace(-2, 2, 32, (Kind::Double, Device::Cpu)).reshape([32, 1]);
    let inputs = t.matmul(&normal(&[1, 2], 18));
    let line = gradients_along(&f, &inputs).unwrap();
    assert_eq!(line.gradients().len(), 32);
    for (i, gradient) in line.gradients().iter().enumerate() {
        let alone = jacobian(&f, &inputs.narrow(0, i as i64, 1));
        for (a, b) in gradient.iter().zip(values(&alone)) {
            assert!((a - b).abs() < 1e-12);
        }
    }
    // A parabola's gradient is a straight line: at −1, 0, 1 neighbours are orthogonal.
    let three = Tensor::from_slice(&[-1.0_f64, 0.0, 1.0]).reshape([3, 1]);
    let parabola = gradients_along(&|x| x.square(), &three).unwrap();
    assert_eq!(parabola.gradients(), [[-2.0], [0.0], [2.0]]);
    assert_eq!(parabola.autocorrelation(1, Centring::Uncentred), Some(0.0));
    assert!(matches!(
        gradients_along(&f, &inputs.narrow(0, 0, 2)),
        Err(Error::TooFew { .. })
    ));
}

#[test]
fn similarity_of_representations() {
    let a = normal(&[20, 5], 19);
    let turned = a.matmul(&orthogonal(5, 20)) * 7.0 + 3.0;
    assert!((cka(&a, &turned).unwrap() - 1.0).abs() < 1e-12);
    // One of two orthogonal directions of equal variance kept: 1/√2.
    let square =
        Tensor::from_slice(&[1.0_f64, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0]).reshape([4, 2]);
    let half = cka(&square, &square.narrow(1, 0, 1)).unwrap();
    assert!(
        (half - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-12,
        "{half}"
    );
    assert_eq!(
        cka(&a, &Tensor::ones([20, 2], (Kind::Double, Device::Cpu))),
        None
    );
}
