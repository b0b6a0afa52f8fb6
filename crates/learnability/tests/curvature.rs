//! Hessians and tangent kernels with closed forms.
#![cfg(feature = "tch")]

use learnability::curvature::{Hessian, tangent_kernel};
use learnability::gram::Gram;
use learnability::lanczos::{Lanczos, SpectralDensity, trace};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

fn draws(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

fn normal(shape: &[i64], seed: u64) -> Tensor {
    Tensor::from_slice(&draws(shape.iter().product::<i64>() as usize, seed)).reshape(shape)
}

fn unit(name: &str, parameters: &[&Tensor]) -> (String, Vec<Tensor>) {
    (
        name.to_owned(),
        parameters.iter().map(|p| p.shallow_clone()).collect(),
    )
}

/// ½ wᵀ A w over two parameters of different shape: the Hessian is A, in the order in which they were given.
#[test]
fn the_hessian_of_a_quadratic_is_its_matrix() {
    let n = 10;
    let half = normal(&[n, n], 1);
    let a = &half + half.tr();
    let w1 = normal(&[2, 3], 2).set_requires_grad(true);
    let w2 = normal(&[4], 3).set_requires_grad(true);
    let w = Tensor::cat(&[w1.flatten(0, -1), w2.shallow_clone()], 0);
    let loss = w.dot(&a.mv(&w)) * 0.5;
    let hessian = Hessian::new(&loss, &[unit("first", &[&w1]), unit("second", &[&w2])]);
    assert_eq!(hessian.dimension(), 10);
    for seed in 4..7 {
        let v = draws(10, seed);
        let expected = Vec::<f64>::try_from(a.mv(&Tensor::from_slice(&v))).unwrap();
        for (found, expected) in hessian.product(&v).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
    // One unit alone: its diagonal block.
    let block = Hessian::new(&loss, &[unit("second", &[&w2])]);
    let product = block.product(&[1.0, 0.0, 0.0, 0.0]);
    for (i, found) in product.iter().enumerate() {
        assert!((found - a.double_value(&[6 + i as i64, 6])).abs() < 1e-12);
    }

    let eigenvalues = Vec::<f64>::try_from(a.linalg_eigvalsh("L")).unwrap();
    let lanczos = Lanczos::run(&mut |v| hessian.product(v), &draws(10, 8), 10).unwrap();
    for (ritz, expected) in lanczos.ritz().iter().rev().zip(&eigenvalues) {
        assert!((ritz.value - expected).abs() < 1e-10, "{ritz:?} {expected}");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let estimate = trace(&mut |v| hessian.product(v), 10, 400, &mut rng).unwrap();
    let exact: f64 = eigenvalues.iter().sum();
    assert!((estimate.value - exact).abs() < 4.0 * estimate.standard_error);
    let density =
        SpectralDensity::estimate(&mut |v| hessian.product(v), 10, 200, 10, &mut rng).unwrap();
    let second = density.mean_of(|x| x * x);
    let exact = eigenvalues.iter().map(|x| x * x).sum::<f64>() / 10.0;
    assert!(
        (second.value - exact).abs() < 4.0 * second.standard_error,
        "{second:?} {exact}"
    );
    assert!(density.largest_residual() < 1e-8);
}

/// Least squares: the Hessian is the covariance of the inputs, in single precision too.
#[test]
fn the_hessian_of_least_squares_is_a_covariance() {
    let x = normal(&[50, 4], 10);
    let w = normal(&[4], 11)
        .to_kind(Kind::Float)
        .set_requires_grad(true);
    let loss = x.to_kind(Kind::Float).mv(&w).square().mean(Kind::Float) * 0.5;
    let hessian = Hessian::new(&loss, &[unit("w", &[&w])]);
    let covariance = x.tr().matmul(&x) / 50.0;
    for i in 0..4 {
        let mut v = vec![0.0; 4];
        v[i] = 1.0;
        for (j, found) in hessian.product(&v).iter().enumerate() {
            assert!((found - covariance.double_value(&[j as i64, i as i64])).abs() < 1e-5);
        }
    }
}

/// A loss that is linear in a parameter has no curvature along it, and one that does not see it neither.
#[test]
fn where_there_is_no_curvature_products_are_zero() {
    let options = (Kind::Double, Device::Cpu);
    let (a, b, c) = (
        Tensor::ones([2], options).set_requires_grad(true),
        Tensor::ones([2], options).set_requires_grad(true),
        Tensor::ones([3], options).set_requires_grad(true),
    );
    let linear = (&a * 3.0).sum(Kind::Double);
    let units = [unit("a", &[&a]), unit("b", &[&b]), unit("c", &[&c])];
    assert_eq!(Hessian::new(&linear, &units).product(&[1.0; 7]), [0.0; 7]);
    // Bilinear: only the mixed block.
    let mixed = a.dot(&b);
    let product = Hessian::new(&mixed, &units).product(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(product, [3.0, 4.0, 1.0, 2.0, 0.0, 0.0, 0.0]);
    assert!(!a.grad().defined());
}

/// A deep linear network of scalars, f = x Π w_i: every layer's kernel is x_i x_j (Π_{others} w)².
#[test]
fn the_kernel_of_a_deep_linear_network() {
    let inputs = [1.0, -2.0, 0.5];
    let weights = [2.0, 0.5, -3.0];
    let parameters: Vec<Tensor> = weights
        .iter()
        .map(|w| Tensor::from(*w).set_requires_grad(true))
        .collect();
    let x = Tensor::from_slice(&inputs);
    let output = parameters.iter().fold(x, |h, w| h * w);
    let units: Vec<_> = parameters.iter().map(|p| unit("layer", &[p])).collect();
    let kernels = tangent_kernel(&output, &units);
    let whole: f64 = weights.iter().product();
    for (kernel, w) in kernels.iter().zip(weights) {
        for (i, a) in inputs.iter().enumerate() {
            for (j, b) in inputs.iter().enumerate() {
                assert!((kernel.get(i, j) - a * b * (whole / w).powi(2)).abs() < 1e-12);
            }
        }
        // |w|² tr K is the same for every layer of a homogeneous network.
        assert!((w * w * kernel.trace() - whole * whole * 5.25).abs() < 1e-12);
    }
    let spectrum = Gram::sum(&kernels).spectrum().unwrap();
    assert_eq!(spectrum.rank(1e-12), 1); // one direction, however many inputs
    assert!((spectrum.effective_rank().unwrap() - 1.0).abs() < 1e-10);
}

/// One hidden layer of ReLUs, only its read-out trained: the kernel tends to that of the arc cosine (Cho & Saul 2009).
#[test]
fn the_kernel_of_random_features() {
    let width = 40_000;
    let (angle, width_root) = (0.7_f64, f64::from(width).sqrt());
    let x = Tensor::from_slice(&[1.0, 0.0, angle.cos(), angle.sin()]).reshape([2, 2]);
    let hidden = x.matmul(&normal(&[2, i64::from(width)], 12)).relu() * (2f64.sqrt() / width_root);
    let w = Tensor::zeros([i64::from(width)], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let kernel = tangent_kernel(&hidden.mv(&w), &[unit("read-out", &[&w])]).remove(0);
    let pi = std::f64::consts::PI;
    let expected = (angle.sin() + (pi - angle) * angle.cos()) / pi;
    assert!((kernel.get(0, 0) - 1.0).abs() < 0.04);
    assert!(
        (kernel.get(0, 1) - expected).abs() < 0.04,
        "{} {expected}",
        kernel.get(0, 1)
    );
}
