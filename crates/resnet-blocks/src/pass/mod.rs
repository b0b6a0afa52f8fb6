//! The passes of a residual multilayer perceptron, written out: numbers in, numbers out, no graph.
//!
//! `plan` says where which parameters are, `shard` takes some examples through the layers and back; `product` multiplies
//! matrices, `transpose` turns them, `elementwise` does what stands between the products.

mod elementwise;
mod plan;
mod product;
mod shard;
mod transpose;

use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

use crate::ResidualMlpConfig;
use elementwise::add;
use plan::Plan;
use shard::Shard;

/// How products are made here, in words.
#[cfg(feature = "tch")]
pub(crate) fn products() -> &'static str {
    product::Products::fastest().words()
}

/// Examples that one thread takes through the network at a time, at least: what a layer needs of them lies in the second
/// cache.
const SHARD: usize = 256;

/// Shards at most: each has a gradient of its own.
const SHARDS: usize = 16;

/// The forward and the backward pass of a `ResidualMlp`, with the buffers that they need: the same
/// function and the same gradient up to rounding, without a graph and without fresh memory in a step.
///
/// For networks whose step is a hundred small operations, what is not multiplication is most of the time of a graph.
/// Parameters are one slice: the tensors of [`ResidualMlpConfig::layers`] one behind the other, each row by row.
///
/// The batch is cut into shards of 256 examples, of more where they would be more than 16, and the shards' gradients are
/// summed in order: results do not depend on the number of threads. Where the processor has tiles for bfloat16 (AMX), larger
/// products are made on them, of three parts a number and no less exact; on all others results are the same bits, since
/// every sum has one order and every multiply-add one rounding. `kernels` says which.
///
/// ```
/// use resnet_blocks::{Activation, Init, MlpBlockConfig, MlpPass, ResidualMlpConfig, ShortSkip};
/// let config = ResidualMlpConfig {
///     inputs: 1, blocks: 1, short: ShortSkip::Identity,
///     block: MlpBlockConfig::square(1, Activation::Relu, Init::PyTorch),
/// };
/// let mut pass = MlpPass::new(&config, 1, 1).expect("no layer needs a graph");
/// // read_in h = 2 x + 3 label + 0, block h + 5 max(4 max(h, 0), 0), read_out 1 h.
/// let parameters = [2.0, 3.0, 0.0, 4.0, 0.0, 5.0, 0.0, 1.0, 0.0];
/// assert_eq!(pass.forward(&parameters, &[1.0], &[0.5]), [3.5 + 70.0]);
/// let gradient = pass.backward(&parameters, &[1.0]);
/// assert_eq!(gradient[1], 0.5 * 21.0); // by the weight of the label
/// ```
#[derive(Debug)]
pub struct MlpPass {
    plan: Plan,
    /// Every weight transposed, each in the place of its own.
    transposed: Vec<f32>,
    shards: Vec<Shard>,
    output: Vec<f32>,
    /// Where there is more than one thread to use.
    pool: Option<rayon::ThreadPool>,
}

impl MlpPass {
    /// The passes of this network on batches of so many examples, on so many threads; `None` for a network that has parts
    /// which are not written out: norms, dropout, skips that learn or draw, activations other than SiLU (scaled or not) and
    /// ReLU (leaky or not).
    ///
    /// # Panics
    /// If the system gives no threads.
    pub fn new(config: &ResidualMlpConfig, examples: usize, threads: usize) -> Option<MlpPass> {
        let plan = Plan::of(config)?;
        let size = SHARD.max(examples.div_ceil(SHARDS));
        let shards: Vec<Shard> = (0..examples)
            .step_by(size)
            .map(|from| Shard::new(&plan, size.min(examples - from)))
            .collect();
        let threads = threads.min(shards.len());
        let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Some(MlpPass {
            transposed: vec![0.0; plan.read_out.end()],
            output: vec![0.0; examples * plan.read_out.outputs],
            pool: (1 < threads).then(|| pool().expect("the system has threads")),
            plan,
            shards,
        })
    }

    /// F(x, label), which stays until the next pass.
    ///
    /// # Shapes
    /// x: `[B, inputs]`; label: `[B]`; result: `[B, inputs]`, each row by row.
    ///
    /// # Panics
    /// If there are other numbers of examples or of parameters than the passes are made for.
    pub fn forward(&mut self, parameters: &[f32], x: &[f32], label: &[f32]) -> &[f32] {
        let inputs = self.plan.read_out.outputs;
        assert!(
            parameters.len() == self.transposed.len()
                && x.len() == self.output.len()
                && label.len() * inputs == x.len(),
            "{} parameters, {} inputs and {} labels are given to a pass of {} parameters on {} numbers",
            parameters.len(),
            x.len(),
            label.len(),
            self.transposed.len(),
            self.output.len()
        );
        for affine in self.plan.affines() {
            affine.transpose(parameters, &mut self.transposed);
        }
        let examples = x.chunks_exact(inputs).zip(label);
        let mut rows = self
            .shards
            .iter_mut()
            .flat_map(|shard| shard.x.chunks_exact_mut(inputs + 1));
        for ((x, label), row) in examples.zip(&mut rows) {
            row[..inputs].copy_from_slice(x);
            row[inputs] = *label;
        }
        let (plan, transposed) = (&self.plan, &self.transposed);
        each(&self.pool, &mut self.shards, |shard| {
            shard.forward(plan, parameters, transposed)
        });
        let mut rest = &mut self.output[..];
        for shard in &self.shards {
            let (own, others) = rest.split_at_mut(shard.y.len());
            own.copy_from_slice(&shard.y);
            rest = others;
        }
        &self.output
    }

    /// The gradient by all parameters of a loss whose gradient by the output of the last [`forward`](Self::forward) is given;
    /// it stays until the next pass.
    ///
    /// # Shapes
    /// by_output: `[B, inputs]`; result: as the parameters.
    ///
    /// # Panics
    /// If there are other numbers of examples or of parameters than the passes are made for.
    pub fn backward(&mut self, parameters: &[f32], by_output: &[f32]) -> &[f32] {
        assert!(
            parameters.len() == self.transposed.len() && by_output.len() == self.output.len(),
            "{} parameters and a gradient of {} numbers are given to a pass of {} parameters on {} numbers",
            parameters.len(),
            by_output.len(),
            self.transposed.len(),
            self.output.len()
        );
        let mut rest = by_output;
        for shard in &mut self.shards {
            let (own, others) = rest.split_at(shard.y.len());
            shard.y.copy_from_slice(own);
            rest = others;
        }
        let plan = &self.plan;
        each(&self.pool, &mut self.shards, |shard| {
            shard.backward(plan, parameters)
        });
        let (first, others) = self.shards.split_first_mut().expect("a batch has examples");
        for other in others {
            add(plan.registers, &mut first.gradient, &other.gradient);
        }
        &first.gradient
    }
}

/// Every shard, on the threads that there are.
fn each(
    pool: &Option<rayon::ThreadPool>,
    shards: &mut [Shard],
    work: impl Fn(&mut Shard) + Sync + Send,
) {
    match pool {
        Some(pool) => pool.install(|| shards.par_iter_mut().for_each(work)),
        None => shards.iter_mut().for_each(work),
    }
}
