//! The passes of a residual multilayer perceptron, written out: numbers in, numbers out, no graph.
//!
//! `plan` says where which parameters are, `shard` takes some examples through the layers and back; `product` multiplies
//! matrices, `transpose` turns them, `elementwise` does what stands between the products.

mod elementwise;
mod plan;
mod product;
mod shard;
mod transpose;

use rayon::{
    iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator},
    slice::ParallelSliceMut,
};

use crate::ResidualMlpConfig;
use elementwise::add;
use plan::Plan;
use shard::{Activations, Shard};

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
/// // Of the loss that is the sum of the outputs.
/// let (_, gradient) = pass.gradient(&parameters, &[1.0], &[0.5], |_, _, by_output| by_output.fill(1.0));
/// assert_eq!(gradient[1], 0.5 * 21.0); // by the weight of the label
/// ```
#[derive(Debug)]
pub struct MlpPass {
    plan: Plan,
    /// Every weight transposed, each in the place of its own.
    transposed: Vec<f32>,
    shards: Vec<Shard>,
    /// One for each thread.
    activations: Vec<Activations>,
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
            activations: (0..threads.max(1))
                .map(|_| Activations::new(&plan))
                .collect(),
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
        self.pass(parameters, x, label, |_, _, _, _| {});
        &self.output
    }

    /// F(x, label), and the gradient by all parameters of a loss of which `by_output` says the gradient by F, of some examples
    /// at a time: it is given the number of the first and their outputs, and writes where they would make the loss larger.
    /// Both stay until the next pass.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward); what `by_output` is given: `[examples, inputs]`; the gradient: as the parameters.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn gradient(
        &mut self,
        parameters: &[f32],
        x: &[f32],
        label: &[f32],
        by_output: impl Fn(usize, &[f32], &mut [f32]) + Sync,
    ) -> (&[f32], &[f32]) {
        self.pass(parameters, x, label, |plan, first, activations, shard| {
            by_output(first, &shard.y, &mut shard.by_y);
            activations.backward(plan, parameters, shard);
        });
        let (first, others) = self.shards.split_first_mut().expect("a batch has examples");
        for other in others {
            add(self.plan.registers, &mut first.gradient, &other.gradient);
        }
        (&self.output, &first.gradient)
    }

    /// Takes every shard through the layers, and does then what there is to do while its activations are in the caches; it is
    /// told the number of the shard's first example.
    fn pass(
        &mut self,
        parameters: &[f32],
        x: &[f32],
        label: &[f32],
        then: impl Fn(&Plan, usize, &mut Activations, &mut Shard) + Sync,
    ) {
        let MlpPass {
            plan,
            transposed,
            shards,
            activations,
            output,
            pool,
        } = self;
        let inputs = plan.read_out.outputs;
        assert!(
            parameters.len() == transposed.len()
                && x.len() == output.len()
                && label.len() * inputs == x.len(),
            "{} parameters, {} inputs and {} labels are given to a pass of {} parameters on {} numbers",
            parameters.len(),
            x.len(),
            label.len(),
            transposed.len(),
            output.len()
        );
        for affine in plan.affines() {
            affine.transpose(parameters, transposed);
        }
        let examples = x.chunks_exact(inputs).zip(label);
        let mut rows = shards
            .iter_mut()
            .flat_map(|shard| shard.x.chunks_exact_mut(inputs + 1));
        for ((x, label), row) in examples.zip(&mut rows) {
            row[..inputs].copy_from_slice(x);
            row[inputs] = *label;
        }
        let (plan, transposed) = (&*plan, &*transposed);
        let size = shards.first().map_or(0, |shard| shard.y.len() / inputs);
        let share = shards.len().div_ceil(activations.len()).max(1);
        let work = |(place, (activations, shards)): (usize, (&mut Activations, &mut [Shard]))| {
            for (shard, place) in shards.iter_mut().zip(place * share..) {
                activations.forward(plan, parameters, transposed, shard);
                then(plan, place * size, activations, shard);
            }
        };
        match pool {
            Some(pool) => pool.install(|| {
                let shards = shards.par_chunks_mut(share);
                activations
                    .par_iter_mut()
                    .zip(shards)
                    .enumerate()
                    .for_each(work);
            }),
            None => {
                let shards = shards.chunks_mut(share);
                activations
                    .iter_mut()
                    .zip(shards)
                    .enumerate()
                    .for_each(work);
            }
        }
        let outputs = shards.iter().flat_map(|shard| &shard.y);
        for (to, from) in output.iter_mut().zip(outputs) {
            *to = *from;
        }
    }
}
