//! Training a tower without a graph.

use resnet_blocks::{MlpBlockConfig, MlpPass, ResidualMlpConfig};

use super::tower::Tower;
use crate::architecture::{activation_of, init_of, short_of};

/// The passes of a [`Tower`] with one output, written out: the same function and gradient as by its graph, to rounding, in a
/// fraction of the time, since a step of a narrow tower is hundreds of small operations.
///
/// [`MlpPass`] takes networks that have a label as one more input, which is 0 here, and as many outputs as inputs, of which
/// the tower's is the first and the others have no part in the loss.
pub(super) struct Passes {
    pass: MlpPass,
    inputs: usize,
    /// Where the tower's parameters are, where such a network has them, and how many there are in a row.
    places: Vec<[usize; 3]>,
    /// Of such a network; what the tower does not have is 0.
    parameters: Vec<f32>,
    labels: Vec<f32>,
    /// By the tower's parameters.
    gradient: Vec<f32>,
}

impl Passes {
    /// For batches of so many examples; `None` for a tower with parts that need a graph.
    pub(super) fn of(tower: &Tower, inputs: usize, examples: usize) -> Option<Passes> {
        let (init, width) = (init_of(tower.init), tower.width);
        let config = ResidualMlpConfig {
            inputs,
            blocks: tower.blocks,
            block: MlpBlockConfig::square(width, activation_of(tower.activation), init),
            short: short_of(tower.short, tower.blocks),
        };
        // Rows of the read-in lack the label's column; its bias and all blocks are alike; of the read-out there is one row
        // of weights and one bias.
        let mut places: Vec<[usize; 3]> = (0..width)
            .map(|row| [row * inputs, row * (inputs + 1), inputs])
            .collect();
        let alike = width + 2 * tower.blocks * width * (width + 1);
        let (own, its) = (width * inputs, width * (inputs + 1));
        places.push([own, its, alike + width]);
        places.push([own + alike + width, its + alike + inputs * width, 1]);
        Some(Passes {
            pass: MlpPass::new(&config, examples, 1)?,
            inputs,
            places,
            parameters: vec![0.0; its + alike + inputs * (width + 1)],
            labels: vec![0.0; examples],
            gradient: vec![0.0; own + alike + width + 1],
        })
    }

    /// The mean squared error of a batch, and its gradient by the tower's parameters.
    ///
    /// # Shapes
    /// x: \[B, inputs\], row by row; y: \[B\].
    pub(super) fn gradient(&mut self, tower: &[f32], x: &[f32], y: &[f32]) -> (f32, &[f32]) {
        for &[own, its, length] in &self.places {
            self.parameters[its..][..length].copy_from_slice(&tower[own..][..length]);
        }
        let (inputs, count) = (self.inputs, y.len() as f32);
        let missed = |output: &[f32], y: f32| output[0] - y;
        let by_output = |first: usize, outputs: &[f32], by_output: &mut [f32]| {
            let rows = outputs.chunks_exact(inputs).zip(&y[first..]);
            for ((output, y), by_output) in rows.zip(by_output.chunks_exact_mut(inputs)) {
                by_output.fill(0.0);
                by_output[0] = 2.0 * missed(output, *y) / count;
            }
        };
        let (outputs, gradient) = self
            .pass
            .gradient(&self.parameters, x, &self.labels, by_output);
        let rows = outputs.chunks_exact(inputs).zip(y);
        let losses = rows.map(|(output, y)| missed(output, *y).powi(2) / count);
        let loss = losses.sum();
        for &[own, its, length] in &self.places {
            self.gradient[own..][..length].copy_from_slice(&gradient[its..][..length]);
        }
        (loss, &self.gradient)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::{
        config::{Activation, Init, ShortSkip},
        experiment::tower::Drawn,
    };

    fn tower(short: ShortSkip) -> Tower {
        Tower {
            width: 12,
            blocks: 3,
            activation: Activation::Relu,
            short,
            init: Init::Orthogonal,
            gain: 1.4,
        }
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_graph() {
        for short in [ShortSkip::None, ShortSkip::InverseSqrtDepth] {
            let x: Vec<f32> = (0..40).map(|i| (0.7 * i as f32).sin()).collect();
            let y: Vec<f32> = (0..20).map(|i| (1.3 * i as f32).cos()).collect();
            let points = Tensor::from_slice(&x).view([20, 2]);
            let drawn = Drawn::new(&tower(short), 1, &points, 5);
            let wanted = Tensor::from_slice(&y).view([20, 1]);
            let loss = (drawn.forward(&points) - wanted).square().mean(Kind::Float);
            let parameters = drawn.parameters();
            let flat = |tensors: &[Tensor]| -> Vec<f32> {
                let flat: Vec<Tensor> = tensors.iter().map(|t| t.reshape([-1])).collect();
                Vec::try_from(Tensor::cat(&flat, 0)).expect("single precision")
            };
            let by_graph = flat(&Tensor::run_backward(&[&loss], &parameters, false, false));
            let mut passes = Passes::of(&tower(short), 2, 20).expect("no part needs a graph");
            let (value, gradient) = passes.gradient(&flat(&parameters), &x, &y);
            assert!((f64::from(value) / loss.double_value(&[]) - 1.0).abs() < 1e-5);
            let largest = by_graph.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
            assert!(0.0 < largest && gradient.len() == by_graph.len());
            for (own, by_graph) in gradient.iter().zip(&by_graph) {
                assert!(
                    (own - by_graph).abs() < 1e-5 * largest,
                    "{own} and {by_graph}"
                );
            }
        }
        assert!(Passes::of(&tower(ShortSkip::ReZero), 2, 20).is_none());
    }
}
