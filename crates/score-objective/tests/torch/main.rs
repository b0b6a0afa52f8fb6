//! Losses on tensors against closed forms, finite differences, quadrature and the formulas they stand for.
#![cfg(feature = "tch")]

use noise_schedule::Kernel;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use score_objective::{
    CleanSample, Edm, EdmWeight, Epsilon, Preconditioner, Snr, Uniform, Velocity, Weighting,
};
use tch::{Kind, Tensor};

mod conditioning;
mod consistency;
mod denoising;
mod flow;
mod gamma;
mod gradients;
mod linear_gaussian;
mod network;
mod score_matching;
mod uncertainty;
mod variational;

fn normal(rng: &mut ChaCha8Rng, shape: &[i64]) -> Tensor {
    let n = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..n).map(|_| rng.sample(StandardNormal)).collect();
    Tensor::from_slice(&values).view(shape)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

fn levels() -> Vec<Kernel> {
    [(1.0, 0.3), (0.6, 0.8), (0.1, 2.0)]
        .map(|(a, s)| Kernel::new(a, s).unwrap())
        .to_vec()
}

fn rows() -> [(&'static str, Box<dyn Preconditioner>); 4] {
    [
        ("epsilon", Box::new(Epsilon::new(0.5).unwrap())),
        ("clean sample", Box::new(CleanSample::new(0.5).unwrap())),
        ("velocity", Box::new(Velocity::new(0.5).unwrap())),
        ("edm", Box::new(Edm::new(0.5).unwrap())),
    ]
}

/// A network that looks at its label, row by row.
fn net(x: &Tensor, label: &Tensor) -> Tensor {
    assert_eq!(label.size(), [x.size()[0]]);
    let mut shape = vec![1; x.dim()];
    shape[0] = x.size()[0];
    (x * 1.3 + label.view(shape.as_slice())).tanh()
}

/// Per-row reference for a [B, n] view, in plain f64.
fn reference(
    x: &Tensor,
    row: &dyn Preconditioner,
    f: impl Fn(Kernel, f64, f64) -> f64,
) -> Vec<Vec<f64>> {
    let x = Vec::<Vec<f64>>::try_from(x.reshape([x.size()[0], -1])).unwrap();
    x.into_iter()
        .zip(levels())
        .map(|(values, k)| {
            let c = row.at(k);
            let network = |x: f64| (1.3 * c.input * x + c.label).tanh();
            values
                .into_iter()
                .map(|x| f(k, x, c.skip * x + c.out * network(x)))
                .collect()
        })
        .collect()
}

/// s(x) = tanh(x W) − x/10 on images of any shape, from one parameter matrix.
fn nonlinear(w: &Tensor, x: &Tensor) -> Tensor {
    let flat = x.reshape([x.size()[0], -1]);
    flat.matmul(w).tanh().view(x.size().as_slice()) - x * 0.1
}

/// The sum of each row of [B, n].
fn sums(x: &Tensor) -> Tensor {
    x.sum_dim_intlist(1, false, Kind::Double)
}

fn tensor(values: &[f64], shape: &[i64]) -> Tensor {
    Tensor::from_slice(values).view(shape)
}

fn number(x: &Tensor) -> f64 {
    x.double_value(&[])
}

fn kernels(scales: &[(f64, f64)]) -> Vec<Kernel> {
    let kernels = scales
        .iter()
        .map(|&(alpha, sigma)| Kernel::new(alpha, sigma));
    kernels.map(Result::unwrap).collect()
}
