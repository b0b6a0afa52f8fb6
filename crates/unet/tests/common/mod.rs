//! Inputs and measurements that the tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use resnet_blocks::PlannedTensor;
use tch::{Device, Kind, Tensor, nn::VarStore};

/// White noise, uniform of mean 0 and variance 1, from splitmix64: the same on every machine.
pub(crate) fn noise(dims: &[i64], kind: Kind, seed: u64) -> Tensor {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        12f64.sqrt() * (((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5)
    };
    let values: Vec<f64> = (0..dims.iter().product()).map(|_| draw()).collect();
    Tensor::from_slice(&values).view(dims).to_kind(kind)
}

/// What the generators of the goldens call `uniform`: numbers that the name decides.
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f64> {
    let fnv = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let number = |index: usize| {
        let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    };
    (0..count).map(number).collect()
}

/// What the generators of the goldens call `weight`.
pub(crate) fn weight(planned: &PlannedTensor, kind: Kind) -> Tensor {
    let fan_in: usize = planned.shape[1..].iter().product();
    let scaled = |u: f64| match planned.shape.len() {
        1 if planned.name.ends_with("weight") => 1.0 + u / 2.0,
        1 => u / 4.0,
        _ => u * (3.0 / fan_in as f64).sqrt(),
    };
    let values = uniform(&planned.name, planned.shape.iter().product());
    let values: Vec<f64> = values.into_iter().map(scaled).collect();
    Tensor::from_slice(&values)
        .view(&planned.dims()[..])
        .to_kind(kind)
}

/// A store on the CPU whose variables are of this kind; torch then keeps to one thread, since the
/// tests are many and their tensors small.
pub(crate) fn store(kind: Kind) -> VarStore {
    tch::set_num_threads(1);
    let mut store = VarStore::new(Device::Cpu);
    store.set_kind(kind);
    store
}

/// Names and values, sorted by name.
pub(crate) fn values(store: &VarStore) -> Vec<(String, Vec<i64>, Vec<f64>)> {
    let flat = |t: &Tensor| Vec::try_from(t.to_kind(Kind::Double).view([-1])).expect("a vector");
    let mut all: Vec<_> = store
        .variables()
        .into_iter()
        .map(|(name, t)| (name, t.size(), flat(&t)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The largest |a - b|.
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

/// The norm of the gradient of each tensor.
pub(crate) fn gradient_norms(loss: &Tensor, of: &[Tensor]) -> Vec<f64> {
    let gradients = Tensor::run_backward(&[loss], of, false, false);
    gradients
        .iter()
        .map(|g| g.norm().double_value(&[]))
        .collect()
}

/// Asserts that the gradient of the scalar `loss` agrees with central differences of step 1e-5 in
/// five entries of each parameter; everything must be f64.
pub(crate) fn assert_gradients(parameters: &[Tensor], loss: impl Fn() -> Tensor) {
    let gradients = Tensor::run_backward(&[loss()], parameters, false, false);
    let _guard = tch::no_grad_guard();
    for (which, (parameter, gradient)) in parameters.iter().zip(&gradients).enumerate() {
        let count = parameter.numel() as i64;
        for at in (0..5).map(|k| (k * 7919) % count) {
            let shifted = |by: f64| {
                let mut entry = parameter.view([-1]).narrow(0, at, 1);
                entry += by;
                let value = loss().double_value(&[]);
                entry -= by;
                value
            };
            let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            let exact = gradient.contiguous().view([-1]).double_value(&[at]);
            let tolerance = 1e-7 * (1.0 + exact.abs());
            assert!(
                (numeric - exact).abs() < tolerance,
                "{which}[{at}]: {numeric} {exact}"
            );
        }
    }
}
