//! Adam on one flat buffer.

use resnet_blocks::MlpPass;
use tch::Tensor;

mod one_pass;

/// Adam (Kingma & Ba 2015, Algorithm 1) with β = (0.9, 0.999) and ε = 10⁻⁸.
///
/// All parameters become views of one buffer, so that a step is one pass over memory, or a dozen operations of torch,
/// whatever the number of layers, and so that the whole state is three tensors and a counter.
#[derive(Debug)]
pub struct Adam {
    parameters: Tensor,
    mean: Tensor,
    square: Tensor,
    step: i32,
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl Adam {
    /// Takes over the parameters, which become views of one buffer; their values stay.
    pub fn new(parameters: &mut [Tensor]) -> Adam {
        let flat = views_of_one_buffer(parameters);
        Adam {
            mean: flat.zeros_like(),
            square: flat.zeros_like(),
            parameters: flat,
            step: 0,
        }
    }

    /// The parameters, flat.
    pub fn parameters(&self) -> Vec<f32> {
        numbers(&self.parameters)
    }

    /// Sets the parameters, which stay views of one buffer.
    pub fn set_parameters(&mut self, values: &[f32]) {
        let _guard = tch::no_grad_guard();
        self.parameters.copy_(&Tensor::from_slice(values));
    }

    /// Mean and mean square of the gradients.
    pub fn moments(&self) -> [Vec<f32>; 2] {
        [numbers(&self.mean), numbers(&self.square)]
    }

    /// Sets the moments after `steps` steps.
    pub fn set_moments(&mut self, steps: u64, [mean, square]: [&[f32]; 2]) {
        let _guard = tch::no_grad_guard();
        self.step = steps as i32;
        self.mean.copy_(&Tensor::from_slice(mean));
        self.square.copy_(&Tensor::from_slice(square));
    }

    /// One step along the gradients of the parameters, in their order.
    #[expect(unsafe_code, reason = "tch gives no slice of a tensor")]
    pub fn step(&mut self, gradients: &[Tensor], rate: f64) {
        let _guard = tch::no_grad_guard();
        self.step += 1;
        let factors = Factors::new(self.step, rate);
        let contiguous: Vec<Tensor> = gradients.iter().map(Tensor::contiguous).collect();
        // SAFETY: while the slices live nothing is written but by `one_pass::step`, which writes to no memory of theirs.
        let slices = contiguous.iter().map(|g| unsafe { one_pass::numbers(g) });
        let slices: Option<Vec<&[f32]>> = slices.collect();
        let state = [&mut self.parameters, &mut self.mean, &mut self.square];
        if !slices.is_some_and(|slices| one_pass::step(state, &slices, &factors)) {
            self.step_by_tensors(gradients, &factors);
        }
    }

    /// A network's answer with the parameters as they are in memory, and the gradient by all of them, flat:
    /// [`MlpPass::gradient`].
    ///
    /// # Panics
    ///
    /// If they are not numbers of single precision in the processor's memory, and as [`MlpPass::gradient`].
    #[expect(unsafe_code, reason = "tch gives no slice of a tensor")]
    pub fn gradient<'a>(
        &self,
        pass: &'a mut MlpPass,
        x: &[f32],
        label: &[f32],
        by_answer: impl Fn(usize, &[f32], &mut [f32]) + Sync,
    ) -> (&'a [f32], &'a [f32]) {
        // SAFETY: a pass writes to buffers of its own alone, and knows no tensors; `by_answer` is given such buffers.
        pass.gradient(unsafe { self.in_memory() }, x, label, by_answer)
    }

    /// One step along the gradient by all parameters, flat.
    ///
    /// # Panics
    ///
    /// If the parameters are not numbers of single precision in the processor's memory, or not as many.
    pub fn step_along(&mut self, gradient: &[f32], rate: f64) {
        self.step += 1;
        let state = [&mut self.parameters, &mut self.mean, &mut self.square];
        let done = one_pass::step(state, &[gradient], &Factors::new(self.step, rate));
        assert!(
            done,
            "a flat gradient is for parameters in the processor's memory"
        );
    }

    /// The parameters as they are in memory.
    ///
    /// # Safety
    ///
    /// As [`one_pass::numbers`]: the network's tensors share this memory.
    #[expect(unsafe_code, reason = "tch gives no slice of a tensor")]
    unsafe fn in_memory(&self) -> &[f32] {
        // SAFETY: the caller's word.
        let numbers = unsafe { one_pass::numbers(&self.parameters) };
        numbers.expect("single precision, in the processor's memory")
    }

    /// The step as operations of torch, for any device.
    fn step_by_tensors(&mut self, gradients: &[Tensor], factors: &Factors) {
        let gradient = flatten(gradients);
        let _ = self.mean.lerp_(&gradient, factors.fresh.0);
        self.square *= factors.kept;
        let _ = self
            .square
            .addcmul_(&gradient, &(&gradient * factors.fresh.1));
        let scale = self.square.sqrt() / factors.square + EPSILON;
        let _ = self
            .parameters
            .addcdiv_(&(&self.mean * factors.mean), &scale);
    }
}

/// What a step multiplies with.
struct Factors {
    /// 1 − β.
    fresh: (f64, f64),
    /// β₂.
    kept: f64,
    /// −rate/(1 − β₁ⁿ) at step n.
    mean: f64,
    /// √(1 − β₂ⁿ).
    square: f64,
}

impl Factors {
    fn new(step: i32, rate: f64) -> Factors {
        Factors {
            fresh: (1.0 - BETA.0, 1.0 - BETA.1),
            kept: BETA.1,
            mean: -rate / (1.0 - BETA.0.powi(step)),
            square: (1.0 - BETA.1.powi(step)).sqrt(),
        }
    }
}

fn numbers(flat: &Tensor) -> Vec<f32> {
    Vec::try_from(flat.to_device(tch::Device::Cpu)).expect("a flat tensor of single precision")
}

/// Moves tensors to one buffer, of which they become views; their values stay.
pub(crate) fn views_of_one_buffer(parameters: &mut [Tensor]) -> Tensor {
    let _guard = tch::no_grad_guard();
    let flat = flatten(parameters);
    let mut offset = 0;
    for parameter in parameters {
        let (size, length) = (parameter.size(), parameter.numel() as i64);
        parameter.set_data(&flat.narrow(0, offset, length).view(&size[..]));
        offset += length;
    }
    flat
}

/// The numbers of all, one after the other.
pub(crate) fn flatten(tensors: &[Tensor]) -> Tensor {
    let flat: Vec<Tensor> = tensors.iter().map(|t| t.reshape([-1])).collect();
    Tensor::cat(&flat, 0)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use tch::{Device, Kind, nn};

    use super::*;

    #[test]
    fn agrees_with_the_algorithm_written_out() {
        let store = nn::VarStore::new(Device::Cpu);
        let mut parameters = vec![
            store.root().zeros("a", &[2]),
            store.root().zeros("b", &[1, 3]),
        ];
        let mut adam = Adam::new(&mut parameters);
        let (mut w, mut m, mut v) = ([0.0f64; 5], [0.0f64; 5], [0.0f64; 5]);
        for step in 1..=4 {
            let g: Vec<f64> = (0..5)
                .map(|i| f64::from(i - 2) * 0.3 + f64::from(step))
                .collect();
            let all = Tensor::from_slice(&g).to_kind(Kind::Float);
            adam.step(
                &[all.narrow(0, 0, 2), all.narrow(0, 2, 3).view([1, 3])],
                0.1,
            );
            for i in 0..5 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let (mh, vh) = (
                    m[i] / (1.0 - 0.9f64.powi(step)),
                    v[i] / (1.0 - 0.999f64.powi(step)),
                );
                w[i] -= 0.1 * mh / (vh.sqrt() + 1e-8);
            }
        }
        let found = Vec::<f32>::try_from(&flatten(&parameters)).expect("floats");
        for (found, wanted) in found.iter().zip(w) {
            assert!(
                (f64::from(*found) - wanted).abs() < 1e-5,
                "{found} against {wanted}"
            );
        }
        assert_eq!(store.trainable_variables().len(), 2);
    }

    #[test]
    fn the_single_pass_agrees_with_the_operations_of_torch() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        // Lengths that fill no register, and one that fills many.
        let sizes: [&[i64]; 4] = [&[3], &[5, 7], &[64, 33], &[1]];
        let mut draw = |scale: f32| -> Vec<Tensor> {
            let each = sizes.map(|size| {
                let values: Vec<f32> = (0..size.iter().product::<i64>())
                    .map(|_| scale * rng.random_range(-1.0..1.0f32).powi(5))
                    .collect();
                Tensor::from_slice(&values).view(size)
            });
            each.into()
        };
        let start = draw(1.0);
        let [mut one, mut many] = [(); 2].map(|()| {
            let mut parameters: Vec<Tensor> = start.iter().map(Tensor::copy).collect();
            Adam::new(&mut parameters)
        });
        for step in 1..=6 {
            let scale = 10f32.powi(step - 3);
            let mut gradients = draw(scale);
            // One that is not laid out row by row.
            gradients[2] = gradients[2].transpose(0, 1).contiguous().transpose(0, 1);
            let factors = Factors::new(step, 0.01);
            let state = [&mut one.parameters, &mut one.mean, &mut one.square];
            let contiguous: Vec<Tensor> = gradients.iter().map(Tensor::contiguous).collect();
            let values = contiguous.iter().map(|g| numbers(&g.view([-1])));
            let values: Vec<Vec<f32>> = values.collect();
            let slices: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            assert!(one_pass::step(state, &slices, &factors));
            many.step_by_tensors(&gradients, &factors);
            // Torch fuses products with sums, and its root is not always the nearest number.
            let near = |a: Vec<f32>, b: Vec<f32>, least: f32| {
                for (a, b) in a.iter().zip(&b) {
                    assert!(
                        (a - b).abs() < 1e-6 * b.abs() + least,
                        "step {step}: {a} {b}"
                    );
                }
            };
            near(one.parameters(), many.parameters(), 1e-7);
            let ([mean, square], [other_mean, other_square]) = (one.moments(), many.moments());
            near(mean, other_mean, 1e-7 * scale);
            near(square, other_square, 1e-30);
        }
    }
}
