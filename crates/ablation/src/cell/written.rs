//! Training without a graph, where the passes of the network are written out.

use std::cell::RefCell;

use resnet_blocks::MlpPass;
use score_objective::DenoisingBatch;
use tch::{Device, Kind, Tensor};

use super::Adam;
use crate::architecture::Architecture;

/// A network whose passes are written out ([`MlpPass`]): the same function and gradient as that of the graph, to rounding,
/// about one and a half times as fast.
///
/// It serves denoising score matching, which asks the network once and wants its first derivatives.
#[derive(Debug)]
pub struct Written {
    pass: RefCell<MlpPass>,
}

impl Written {
    /// For batches of so many examples, on as many threads as torch has here; `None` where the graph is needed: for another
    /// network, one with parts that are not written out, or one that is not in the processor's memory.
    pub fn of(architecture: &Architecture, device: Device, examples: usize) -> Option<Written> {
        match architecture {
            Architecture::Mlp(config) if device == Device::Cpu => {
                let threads = tch::get_num_threads() as usize;
                let pass = MlpPass::new(config, examples, threads)?;
                Some(Written {
                    pass: RefCell::new(pass),
                })
            }
            _ => None,
        }
    }

    /// A step of Adam along the gradient of the mean loss of denoising score matching; the loss before it.
    ///
    /// No step is taken where the loss is no finite number.
    ///
    /// # Panics
    ///
    /// If there are other numbers of examples than the passes are made for.
    pub fn denoising(&self, adam: &mut Adam, batch: &DenoisingBatch, rate: f64) -> f64 {
        let mut pass = self.pass.borrow_mut();
        let by_answer =
            |first, answer: &[f32], slope: &mut [f32]| batch.gradient(first, answer, slope);
        let (answer, gradient) = adam.gradient(&mut pass, batch.input(), batch.label(), by_answer);
        // Torch adds them up as it does in a graph.
        let losses = Tensor::from_slice(&batch.losses(answer));
        let loss = losses.mean(Kind::Float).double_value(&[]);
        if loss.is_finite() {
            adam.step_along(gradient, rate);
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis, concatenate};
    use noise_schedule::Kernel;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;
    use resnet_blocks::{
        Activation, Init, MlpBlockConfig, Mode, Network, Params, ResidualMlp, ResidualMlpConfig,
        ShortSkip,
    };
    use score_objective::{Epsilon, Snr, torch::denoising_loss};
    use tch::nn::VarStore;

    use super::*;

    const EXAMPLES: usize = 300;

    /// Losses of 60 steps of denoising two points, by the graph or without it, and the weights at the end.
    fn trained(short: ShortSkip, by_graph: bool) -> (Vec<f64>, Vec<f32>) {
        let config = ResidualMlpConfig {
            inputs: 2,
            blocks: 3,
            block: MlpBlockConfig::square(32, Activation::Silu, Init::PyTorch),
            short,
        };
        let store = VarStore::new(Device::Cpu);
        let params = Params::seeded(store.root(), 7);
        let network = ResidualMlp::new(&params, &config).expect("it can be built");
        let units = params.units().into_iter();
        let mut parameters: Vec<Tensor> = units.flat_map(|unit| unit.parameters).collect();
        let mut adam = Adam::new(&mut parameters);
        let written = Written::of(&Architecture::Mlp(config), Device::Cpu, EXAMPLES);
        let written = written.expect("written out");
        let row = Epsilon::new(0.7).expect("positive");
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut losses = Vec::new();
        for _ in 0..60 {
            let sides = Array2::from_shape_simple_fn((EXAMPLES, 1), || rng.random_range(-1..=0));
            let x0 = sides.mapv(|side| if side == 0 { 0.7 } else { -0.7 });
            let x0 = concatenate![Axis(1), x0, -&x0];
            let noise = x0.mapv(|_| rng.sample::<f64, _>(StandardNormal));
            let levels: Vec<Kernel> = (0..EXAMPLES)
                .map(|_| Kernel::variance_exploding(rng.random_range(0.1..1.0)))
                .collect::<Result<_, _>>()
                .expect("levels");
            if by_graph {
                let single = |x: &Array2<f64>| {
                    let values: Vec<f32> = x.iter().map(|&v| v as f32).collect();
                    Tensor::from_slice(&values).view([EXAMPLES as i64, 2])
                };
                let net = |x: &Tensor, label: &Tensor| network.forward(x, label, &mut Mode::Eval);
                let (x0, noise) = (single(&x0), single(&noise));
                let loss = denoising_loss(&net, &row, &Snr, &x0, &noise, &levels);
                let loss = loss.mean(Kind::Float);
                losses.push(loss.double_value(&[]));
                let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
                adam.step(&gradients, 3e-3);
            } else {
                let batch = DenoisingBatch::new(&row, &Snr, x0.view(), noise.view(), &levels);
                losses.push(written.denoising(&mut adam, &batch, 3e-3));
            }
        }
        (losses, adam.parameters())
    }

    #[test]
    fn training_goes_as_by_the_graph() {
        for short in [ShortSkip::None, ShortSkip::Identity, ShortSkip::Scaled(0.6)] {
            let [graph, written] = [true, false].map(|by_graph| trained(short, by_graph));
            assert!(
                written.0[59] < 0.8 * written.0[0],
                "it learns: {:?}",
                written.0
            );
            for (step, (graph, written)) in graph.0.iter().zip(&written.0).enumerate() {
                let error = (graph - written).abs() / graph;
                assert!(
                    error < 1e-3,
                    "{short:?}, step {step}: {graph} and {written}"
                );
            }
            for (graph, written) in graph.1.iter().zip(&written.1) {
                assert!((graph - written).abs() < 1e-2, "{graph} and {written}");
            }
        }
    }
}
