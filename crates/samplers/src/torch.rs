//! Tensors of torch as states.

use std::ops::Deref;

use noise_schedule::Kernel;
use rand::RngCore;
use rand_distr::{Distribution, StandardNormal};
use tch::{Device, Kind, Tensor};

use crate::{Batch, Coordinates, NoiseSource, PerSample, VectorSpace};

/// A tensor as the state of a sampler, with the samples along its leading axis.
///
/// It exists because a tensor has no `Clone`: a clone of a state shares the tensor's memory, which no sampler writes to.
/// It derefs to the tensor, and is made from one with `TensorState(tensor)`.
///
/// The arithmetic is that of the tensor's kind: a state in `f32` is rounded after every product and sum.
/// What is recorded for gradients is the caller's choice: sample under a `no_grad_guard`.
///
/// ```
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Heun, Silent, TensorState, sample};
/// use tch::{Device, Kind, Tensor};
/// // The exact denoiser of N(0, 1) data.
/// let mut model = |x: &TensorState, k: Kernel| TensorState(&x.0 / (1.0 + k.sigma().powi(2)));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 18)?.then_clean();
/// let start = TensorState(Tensor::full([4, 2], 80.0, (Kind::Float, Device::Cpu)));
/// let x = sample(&grid, Heun, &mut model, &mut Silent, start);
/// assert!((x.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.05);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[derive(Debug)]
pub struct TensorState(pub Tensor);

impl Clone for TensorState {
    fn clone(&self) -> TensorState {
        TensorState(self.0.shallow_clone())
    }
}

impl Deref for TensorState {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}

impl VectorSpace for TensorState {
    /// # Panics
    /// If the shapes or kinds differ: broadcasting is refused.
    fn axpby(a: f64, x: &TensorState, b: f64, y: &TensorState) -> TensorState {
        TensorState::combine(&[(a, x), (b, y)])
    }

    fn combine(terms: &[(f64, &TensorState)]) -> TensorState {
        let (&(a, x), rest) = terms.split_first().expect("combine: at least one term");
        TensorState(rest.iter().fold(&x.0 * a, |sum, &(b, y)| {
            assert!(
                x.size() == y.size() && x.kind() == y.kind(),
                "combine: states must agree in shape and kind, got {:?} {:?} and {:?} {:?}",
                x.size(),
                x.kind(),
                y.size(),
                y.kind()
            );
            sum + &y.0 * b
        }))
    }
}

impl Batch for TensorState {
    fn split(&self) -> Vec<TensorState> {
        self.0.split(1, 0).into_iter().map(TensorState).collect()
    }

    fn stack(parts: &[TensorState]) -> TensorState {
        let tensors: Vec<&Tensor> = parts.iter().map(|part| &part.0).collect();
        TensorState(Tensor::cat(&tensors, 0))
    }
}

impl Coordinates for TensorState {
    fn values(&self) -> Vec<f64> {
        let flat = self
            .0
            .detach()
            .to_device(Device::Cpu)
            .to_kind(Kind::Double)
            .flatten(0, -1);
        Vec::try_from(&flat).expect("a flat tensor of doubles is a list of numbers")
    }

    fn with_values(&self, values: Vec<f64>) -> TensorState {
        let tensor = Tensor::from_slice(&values).reshape(self.size());
        TensorState(tensor.to_kind(self.kind()).to_device(self.device()))
    }

    fn is_single(&self) -> bool {
        self.kind() == Kind::Float
    }

    fn inner(&self, other: &TensorState) -> f64 {
        assert!(self.size() == other.size(), "inner product: shapes differ");
        let products = self.to_kind(Kind::Double) * other.to_kind(Kind::Double);
        products.sum(Kind::Double).double_value(&[])
    }
}

/// The draws are those for an array of the same shape, made in `f64` on the processor and moved to the tensor's device:
/// a card changes the rounding and not the experiment.
impl<R: RngCore> NoiseSource<TensorState> for PerSample<R> {
    /// # Panics
    /// If the length of the leading axis is not the number of streams.
    fn between(&mut self, like: &TensorState, _from: Kernel, _to: Kernel) -> TensorState {
        let samples = like.size().first().map_or(0, |&n| n as usize);
        self.expect(samples);
        let each = like.numel() / samples.max(1);
        let mut draws: Vec<f64> = Vec::with_capacity(like.numel());
        for stream in &mut self.streams {
            let normal = Distribution::<f64>::sample_iter(StandardNormal, stream);
            draws.extend(normal.take(each));
        }
        like.with_values(draws)
    }
}
