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
/// It serves losses that ask the network once and want its first derivatives. Denoising score matching needs no graph at all
/// ([`denoising`](Self::denoising)); of any other, torch's graph begins at the answer and ends at the loss
/// ([`loss`](Self::loss)), and its gradient by the answer is what the backward pass takes.
#[derive(Debug)]
pub struct Written {
    pass: RefCell<MlpPass>,
    /// What the loss of this step is made of.
    answer: RefCell<Option<Tensor>>,
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
                    answer: RefCell::new(None),
                })
            }
            _ => None,
        }
    }

    /// The mean loss of denoising score matching with the parameters that the optimiser has.
    ///
    /// # Panics
    ///
    /// If there are other numbers of examples than the passes are made for.
    pub fn denoising(&self, adam: &Adam, batch: &DenoisingBatch) -> Slope {
        let mut pass = self.pass.borrow_mut();
        let error = batch.error(adam.forward(&mut pass, batch.input(), batch.label()));
        // Torch adds them up as it does in a graph.
        let losses = Tensor::from_slice(&batch.losses(&error));
        Slope {
            loss: losses.mean(Kind::Float).double_value(&[]),
            by_answer: batch.gradient(&error),
        }
    }

    /// A step of Adam along the gradient of the last loss of [`denoising`](Self::denoising).
    pub fn descend(&self, adam: &mut Adam, slope: &Slope, rate: f64) {
        adam.step_back(&mut self.pass.borrow_mut(), &slope.by_answer, rate);
    }

    /// The loss of the network with the parameters that the optimiser has.
    ///
    /// # Panics
    ///
    /// If the loss asks more than once.
    pub fn loss(&self, adam: &Adam, of: impl FnOnce(&Asked<'_>) -> Tensor) -> Tensor {
        self.answer.take();
        of(&|x, label| self.answer(adam, x, label))
    }

    /// F(x, label) as the beginning of a graph.
    fn answer(&self, adam: &Adam, x: &Tensor, label: &Tensor) -> Tensor {
        let mut pass = self.pass.borrow_mut();
        let output = adam.forward(&mut pass, &numbers(x), &numbers(label));
        let leaf = Tensor::from_slice(output)
            .view_as(x)
            .set_requires_grad(true);
        let before = self.answer.replace(Some(leaf.shallow_clone()));
        assert!(before.is_none(), "a loss asks a written network once");
        leaf
    }

    /// A step of Adam along the gradient of the last loss.
    ///
    /// # Panics
    ///
    /// If there is none, or it has not asked.
    pub fn step(&self, adam: &mut Adam, loss: &Tensor, rate: f64) {
        let answer = self.answer.take().expect("the loss has asked");
        let by_answer = Tensor::run_backward(&[loss], &[&answer], false, false).remove(0);
        adam.step_back(&mut self.pass.borrow_mut(), &numbers(&by_answer), rate);
    }
}

/// A loss and where it falls.
#[derive(Debug)]
pub struct Slope {
    /// The loss.
    pub loss: f64,
    /// Its gradient by the network's answer.
    by_answer: Vec<f32>,
}

/// A network as a loss asks it: (x, label) to something shaped like x.
pub type Asked<'a> = dyn Fn(&Tensor, &Tensor) -> Tensor + 'a;

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.contiguous().view([-1])).expect("single precision")
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use noise_schedule::Kernel;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use resnet_blocks::{
        Activation, Init, MlpBlockConfig, Mode, Network, Params, ResidualMlp, ResidualMlpConfig,
        ShortSkip,
    };
    use score_objective::{Epsilon, Snr, torch::denoising_loss};
    use tch::nn::VarStore;

    use super::*;

    const EXAMPLES: usize = 300;

    /// Losses of 60 steps of a task that can be learned, by the graph or without it.
    fn losses(short: ShortSkip, by_graph: bool) -> Vec<f64> {
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
        let written =
            Written::of(&Architecture::Mlp(config), Device::Cpu, EXAMPLES).filter(|_| !by_graph);
        assert_eq!(written.is_none(), by_graph);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut losses = Vec::new();
        for _ in 0..60 {
            let mut draw = |columns: i64| {
                let values: Vec<f32> = (0..EXAMPLES as i64 * columns)
                    .map(|_| rng.random_range(-1.0..1.0))
                    .collect();
                Tensor::from_slice(&values).view([EXAMPLES as i64, columns])
            };
            let (x, label) = (draw(2), draw(1).view([-1]));
            let wanted = (&x * 2.0).sin() + label.view([-1, 1]);
            let of = |net: &Asked<'_>| (net(&x, &label) - &wanted).square().mean(Kind::Float);
            let loss = match &written {
                Some(written) => written.loss(&adam, of),
                None => of(&|x, label| network.forward(x, label, &mut Mode::Eval)),
            };
            losses.push(loss.double_value(&[]));
            match &written {
                Some(written) => written.step(&mut adam, &loss, 3e-3),
                None => {
                    let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
                    adam.step(&gradients, 3e-3);
                }
            }
        }
        losses
    }

    #[test]
    fn training_goes_as_by_the_graph() {
        for short in [ShortSkip::None, ShortSkip::Identity, ShortSkip::Scaled(0.6)] {
            let [graph, written] = [true, false].map(|by_graph| losses(short, by_graph));
            assert!(written[59] < 0.5 * written[0], "it learns: {written:?}");
            for (step, (graph, written)) in graph.iter().zip(&written).enumerate() {
                let error = (graph - written).abs() / graph;
                assert!(
                    error < 1e-3,
                    "{short:?}, step {step}: {graph} and {written}"
                );
            }
        }
    }

    #[test]
    fn denoising_without_a_graph_has_its_bits() {
        let config = ResidualMlpConfig {
            inputs: 2,
            blocks: 2,
            block: MlpBlockConfig::square(16, Activation::Silu, Init::PyTorch),
            short: ShortSkip::Identity,
        };
        let (row, shape) = (Epsilon::new(0.7).expect("positive"), (EXAMPLES, 2));
        let [graph, numbers] = [true, false].map(|by_graph| {
            let store = VarStore::new(Device::Cpu);
            let params = Params::seeded(store.root(), 7);
            let _ = ResidualMlp::new(&params, &config).expect("it can be built");
            let units = params.units().into_iter();
            let mut parameters: Vec<Tensor> = units.flat_map(|unit| unit.parameters).collect();
            let mut adam = Adam::new(&mut parameters);
            let written = Written::of(&Architecture::Mlp(config), Device::Cpu, EXAMPLES);
            let written = written.expect("written out");
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let mut losses = Vec::new();
            for _ in 0..20 {
                let [x0, noise] = [(); 2]
                    .map(|()| Array2::from_shape_simple_fn(shape, || rng.random_range(-2.0..2.0)));
                let levels: Vec<Kernel> = (0..EXAMPLES)
                    .map(|_| Kernel::variance_exploding(rng.random_range(0.1..9.0)))
                    .collect::<Result<_, _>>()
                    .expect("levels");
                if by_graph {
                    let single = |x: &Array2<f64>| {
                        let values: Vec<f32> = x.iter().map(|&v| v as f32).collect();
                        Tensor::from_slice(&values).view([EXAMPLES as i64, 2])
                    };
                    let (x0, noise) = (single(&x0), single(&noise));
                    let loss = written.loss(&adam, |net| {
                        let loss = denoising_loss(net, &row, &Snr, &x0, &noise, &levels);
                        loss.mean(Kind::Float)
                    });
                    losses.push(loss.double_value(&[]));
                    written.step(&mut adam, &loss, 3e-3);
                } else {
                    let batch = DenoisingBatch::new(&row, &Snr, x0.view(), noise.view(), &levels);
                    let slope = written.denoising(&adam, &batch);
                    losses.push(slope.loss);
                    written.descend(&mut adam, &slope, 3e-3);
                }
            }
            (losses, adam.parameters())
        });
        assert!(graph.0[19] < graph.0[0], "it learns: {:?}", graph.0);
        assert_eq!(graph, numbers);
    }

    #[test]
    #[should_panic(expected = "asks a written network once")]
    fn a_loss_that_asks_twice_is_refused() {
        let config = ResidualMlpConfig {
            inputs: 1,
            blocks: 1,
            block: MlpBlockConfig::square(4, Activation::Relu, Init::He),
            short: ShortSkip::Identity,
        };
        let count = config.parameters() as i64;
        let mut parameters = vec![Tensor::zeros([count], (Kind::Float, Device::Cpu))];
        let adam = Adam::new(&mut parameters);
        let written = Written::of(&Architecture::Mlp(config), Device::Cpu, 1).expect("written out");
        let (x, label) = (
            Tensor::from_slice(&[1f32]).view([1, 1]),
            Tensor::from_slice(&[1f32]),
        );
        let _ = written.loss(&adam, |net| net(&x, &label) - net(&x, &label));
    }
}
