//! What looking costs beside what training costs.
//!
//! Residual networks of 8 blocks (17 layers) are trained with Adam: one of width 128 on batches of 256, whose arithmetic
//! counts, and one of width 32 on batches of 64, where calls cost more than arithmetic does; and one between them.
//! A look is a step with one gradient of every unit and the updates that rounding absorbs; a look at trust is a look with
//! the inner products of 16 micro-batches, their intervals and sign-flip tests besides.
//!
//! The floor of all three is the products of a forward and a backward pass, alone.
//!
//! At the usual cadence (see `learnability::window::Cadence`) 1000 steps have 4 looks at trust and 3 that are none, so
//! looking adds `(4 · (trust/step − 1) + 3 · (look/step − 1)) / 1000`, which is to be at most 5 %.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use learnability::gradient::{Snapshot, unit_gradients, unit_grams};
use learnability::interval::Confidence;
use learnability::unit::units_of;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const BLOCKS: usize = 8;
const MICRO_BATCHES: usize = 16;

type Units = Vec<(String, Vec<Tensor>)>;

fn uniform(shape: &[i64], scale: f64, rng: &mut ChaCha8Rng) -> Tensor {
    let n = shape.iter().product::<i64>();
    let draws: Vec<f32> = (0..n)
        .map(|_| (scale * rng.random_range(-1.0..1.0)) as f32)
        .collect();
    Tensor::from_slice(&draws).reshape(shape)
}

/// A network as anybody would build it, its optimiser, and one batch.
struct Training {
    units: Units,
    weights: Vec<(Tensor, Tensor)>,
    head: Tensor,
    adam: nn::Optimizer,
    x: Tensor,
    y: Tensor,
    batch: i64,
    rng: ChaCha8Rng,
}

impl Training {
    fn new(width: i64, batch: i64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let store = nn::VarStore::new(Device::Cpu);
        let fill = |path: nn::Path, rng: &mut ChaCha8Rng| {
            let mut weight = path.var("weight", &[width, width], nn::Init::Const(0.0));
            let _guard = tch::no_grad_guard();
            weight.copy_(&uniform(&[width, width], (3.0 / width as f64).sqrt(), rng));
            weight
        };
        let weights = (0..BLOCKS)
            .map(|block| {
                let path = store.root() / block;
                (
                    fill(&path / "inner", &mut rng),
                    fill(&path / "outer", &mut rng),
                )
            })
            .collect();
        let head = fill(store.root() / "head", &mut rng);
        Self {
            units: units_of(&store),
            weights,
            head,
            adam: nn::Adam::default()
                .build(&store, 1e-4)
                .expect("an optimiser"),
            x: uniform(&[batch, width], 1.0, &mut rng),
            y: uniform(&[batch, width], 1.0, &mut rng),
            batch,
            rng,
        }
    }

    /// Of `rows` samples from `first` on.
    fn loss(&self, first: i64, rows: i64) -> Tensor {
        let branch = |h: Tensor, (inner, outer): &(Tensor, Tensor)| {
            let f = h.matmul(inner).silu().matmul(outer);
            h + f * 0.3
        };
        let x = self.x.narrow(0, first, rows);
        let h = self.weights.iter().fold(x, branch);
        let error = h.matmul(&self.head) - self.y.narrow(0, first, rows);
        error.square().mean(Kind::Float)
    }

    fn step(&mut self) {
        let loss = self.loss(0, self.batch);
        self.adam.backward_step(&loss);
    }

    /// A step with a look at sizes and silence: the gradient of every unit, and the updates that rounding absorbs.
    fn look(&mut self) {
        let loss = self.loss(0, self.batch);
        black_box(unit_gradients(&loss, &self.units));
        let before = Snapshot::of(&self.units);
        self.adam.backward_step(&loss);
        black_box(before.absorbed(&self.units));
    }

    /// A look at trust besides: inner products of micro-batch gradients, intervals, sign-flip tests.
    fn listen(&mut self) {
        let rows = self.batch / MICRO_BATCHES as i64;
        let mut losses = |i: usize| self.loss(i as i64 * rows, rows);
        let confidence = Confidence::new(0.95).expect("a confidence");
        for gram in unit_grams(&mut losses, MICRO_BATCHES, &self.units) {
            black_box((gram.gsnr(confidence), gram.sign_flip(999, &mut self.rng)));
        }
        self.look();
    }
}

fn overhead(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    for (width, batch) in [(128, 256), (64, 128), (32, 64)] {
        let mut group = criterion.benchmark_group(format!("width {width}, batch {batch}"));
        group.bench_function("floor: products of a step", |bencher| {
            let like = |rows: i64| Tensor::ones([rows, width], (Kind::Float, Device::Cpu)) * 0.5;
            let (x, weight, out) = (like(batch), like(width), like(batch));
            // Each layer forwards and to its input; and to its weight, as many operations.
            bencher.iter(|| {
                for _ in 0..3 * (2 * BLOCKS + 1) {
                    let product = x.f_matmul_out(&out, &weight);
                    let _ = black_box(product.expect("the shapes fit"));
                }
            });
        });
        let mut training = Training::new(width, batch);
        group.bench_function("one step", |bencher| bencher.iter(|| training.step()));
        group.bench_function("one look", |bencher| bencher.iter(|| training.look()));
        group.bench_function("one look at trust", |bencher| {
            bencher.iter(|| training.listen())
        });
        group.finish();
    }
}

criterion_group!(benches, overhead);
criterion_main!(benches);
