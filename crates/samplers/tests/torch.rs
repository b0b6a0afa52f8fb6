//! Tensors as states: the same numbers as arrays.
#![cfg(feature = "tch")]

mod common;

use ndarray::Array2;
use noise_schedule::{Grid, Kernel};
use tch::{Device, Kind, Tensor};

use common::{Mixture, streams};
use samplers::{
    Ancestral, Batch, Coordinates, DpmSolverMultistep, Heun, Integrand, NoiseSource, Silent,
    TensorState, VectorSpace, sample,
};

fn tensor(array: &Array2<f64>) -> TensorState {
    TensorState(Tensor::try_from(array.clone()).expect("an array is a tensor"))
}

fn array(tensor: &TensorState) -> Array2<f64> {
    let size: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
    Array2::from_shape_vec((size[0], size[1]), tensor.values()).expect("two axes")
}

fn start() -> Array2<f64> {
    Array2::from_shape_fn((4, 3), |(i, j)| 10.0 * (i as f64 - 1.7) + j as f64)
}

fn zeros(size: [i64; 2]) -> TensorState {
    TensorState(Tensor::zeros(size, (Kind::Double, Device::Cpu)))
}

fn close(a: &Array2<f64>, b: &Array2<f64>) -> bool {
    (a - b).iter().all(|difference| difference.abs() < 1e-12)
}

#[test]
fn trajectories_are_those_of_arrays() {
    let mixture = Mixture::two_modes();
    let grid = Grid::karras(0.02, 10.0, 7.0, 12).unwrap().then_clean();
    let mut on_arrays = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let mut on_tensors = |x: &TensorState, at: Kernel| x.apply(|x| mixture.denoise(x, at));
    let expected = sample(&grid, Heun, &mut on_arrays, &mut Silent, start());
    let found = sample(&grid, Heun, &mut on_tensors, &mut Silent, tensor(&start()));
    assert!(close(&array(&found), &expected));

    let expected = sample(
        &grid,
        DpmSolverMultistep::new(Integrand::Denoised, 3).unwrap(),
        &mut on_arrays,
        &mut Silent,
        start(),
    );
    let found = sample(
        &grid,
        DpmSolverMultistep::new(Integrand::Denoised, 3).unwrap(),
        &mut on_tensors,
        &mut Silent,
        tensor(&start()),
    );
    assert!(close(&array(&found), &expected));

    let noisy = Ancestral::new(1.0).unwrap();
    let expected = sample(&grid, noisy, &mut on_arrays, &mut streams(3, 0..4), start());
    let found = sample(
        &grid,
        noisy,
        &mut on_tensors,
        &mut streams(3, 0..4),
        tensor(&start()),
    );
    assert!(close(&array(&found), &expected));
}

#[test]
fn kinds_are_kept() {
    let x = TensorState(Tensor::ones([2, 3], (Kind::Float, Device::Cpu)));
    assert_eq!(TensorState::axpby(0.5, &x, 0.25, &x).kind(), Kind::Float);
    assert_eq!(x.with_values(x.values()).kind(), Kind::Float);
    let drawn = streams(1, 0..2).between(&x, Kernel::CLEAN, Kernel::CLEAN);
    let exact: Array2<f64> =
        streams(1, 0..2).between(&Array2::zeros((2, 3)), Kernel::CLEAN, Kernel::CLEAN);
    assert_eq!(drawn.kind(), Kind::Float);
    let rounded: Vec<f64> = exact.iter().map(|&v| f64::from(v as f32)).collect();
    assert_eq!(drawn.values(), rounded);
}

#[test]
fn samples_come_apart_and_together() {
    let x = tensor(&start());
    let parts = Batch::split(&x);
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[1].size(), [1, 3]);
    assert_eq!(array(&TensorState::stack(&parts)), start());
    assert!((x.inner(&x) - start().iter().map(|v| v * v).sum::<f64>()).abs() < 1e-9);
}

#[test]
#[should_panic(expected = "must agree in shape")]
fn shapes_that_would_broadcast_are_refused() {
    TensorState::axpby(1.0, &zeros([3, 2]), 1.0, &zeros([1, 2]));
}
