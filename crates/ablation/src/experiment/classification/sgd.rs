//! Gradient descent with momentum and weight decay on one flat buffer.

use tch::Tensor;

use crate::cell::optimizer::{flatten, views_of_one_buffer};

/// v ← μ v + g + λ w, w ← w − rate·v: as PyTorch has it, where a velocity does not know the rate it was made with.
pub(super) struct Sgd {
    parameters: Tensor,
    velocity: Tensor,
    momentum: f64,
    decay: f64,
}

impl Sgd {
    /// Takes over the parameters, which become views of one buffer; their values stay.
    pub(super) fn new(parameters: &mut [Tensor], momentum: f64, decay: f64) -> Sgd {
        let parameters = views_of_one_buffer(parameters);
        Sgd {
            velocity: parameters.zeros_like(),
            parameters,
            momentum,
            decay,
        }
    }

    /// One step along the gradients of the parameters, in their order.
    pub(super) fn step(&mut self, gradients: &[Tensor], rate: f64) {
        let _guard = tch::no_grad_guard();
        self.velocity *= self.momentum;
        self.velocity += flatten(gradients) + &self.parameters * self.decay;
        self.parameters -= &self.velocity * rate;
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, nn};

    use super::*;

    #[test]
    fn two_steps_are_those_made_by_hand() {
        let store = nn::VarStore::new(Device::Cpu);
        let mut parameters = vec![
            store.root().ones("a", &[1]),
            store.root().zeros("b", &[1, 2]),
        ];
        let mut sgd = Sgd::new(&mut parameters, 0.5, 0.25);
        let gradients = |a: f64, b: [f64; 2]| {
            let float = |values: &[f64]| Tensor::from_slice(values).to_kind(Kind::Float);
            [float(&[a]), float(&b).view([1, 2])]
        };
        // v = (1 + ¼·1, 2, −1); w = w − ½ v.
        sgd.step(&gradients(1.0, [2.0, -1.0]), 0.5);
        let numbers =
            |parameters: &[Tensor]| Vec::<f32>::try_from(flatten(parameters)).expect("floats");
        assert_eq!(numbers(&parameters), [0.375, -1.0, 0.5]);
        // v = ½ v + g + ¼ w = (0.625 + 0.09375, 1 + 1 − 0.25, −0.5 + 0.125); w = w − ¼ v.
        sgd.step(&gradients(0.0, [1.0, 0.0]), 0.25);
        assert_eq!(numbers(&parameters), [0.1953125, -1.4375, 0.59375]);
    }
}
