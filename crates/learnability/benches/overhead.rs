//! What looking costs beside what training costs.
//!
//! A residual network of 8 blocks (17 layers of width 128) is trained with Adam on batches of 256, for 1000 steps.
//! A look is all that the crate reads of gradients: one gradient of every unit, the inner products of 16 micro-batches with
//! interval and sign-flip test, and the updates that rounding absorbs.
//! `a thousand steps, looked at` over `a thousand steps` is what looking at [`Cadence::HalfDecades`] adds, and is to be at
//! most 5 %; `one look` over `one step` times 7 looks in 1000 steps says the same with less noise.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use learnability::gradient::{Snapshot, unit_gradients, unit_grams};
use learnability::interval::Confidence;
use learnability::unit::units_of;
use learnability::window::Cadence;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const WIDTH: i64 = 128;
const BLOCKS: usize = 8;
const BATCH: i64 = 256;
const MICRO_BATCHES: usize = 16;
const STEPS: u64 = 1000;

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
    rng: ChaCha8Rng,
}

impl Training {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let store = nn::VarStore::new(Device::Cpu);
        let fill = |path: nn::Path, rng: &mut ChaCha8Rng| {
            let mut weight = path.var("weight", &[WIDTH, WIDTH], nn::Init::Const(0.0));
            let _guard = tch::no_grad_guard();
            weight.copy_(&uniform(&[WIDTH, WIDTH], (3.0 / WIDTH as f64).sqrt(), rng));
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
            x: uniform(&[BATCH, WIDTH], 1.0, &mut rng),
            y: uniform(&[BATCH, WIDTH], 1.0, &mut rng),
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
        let loss = self.loss(0, BATCH);
        self.adam.backward_step(&loss);
    }

    /// A step, and all that can be read of it.
    fn look(&mut self) {
        let loss = self.loss(0, BATCH);
        black_box(unit_gradients(&loss, &self.units));
        let rows = BATCH / MICRO_BATCHES as i64;
        let mut losses = |i: usize| self.loss(i as i64 * rows, rows);
        let confidence = Confidence::new(0.95).expect("a confidence");
        for gram in unit_grams(&mut losses, MICRO_BATCHES, &self.units) {
            black_box((gram.gsnr(confidence), gram.sign_flip(999, &mut self.rng)));
        }
        let before = Snapshot::of(&self.units);
        self.adam.backward_step(&loss);
        black_box(before.absorbed(&self.units));
    }
}

fn overhead(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let mut group = criterion.benchmark_group("overhead");
    group.bench_function("one step", |bencher| {
        let mut training = Training::new();
        bencher.iter(|| training.step());
    });
    group.bench_function("one look", |bencher| {
        let mut training = Training::new();
        bencher.iter(|| training.look());
    });
    group.sample_size(10);
    group.bench_function("a thousand steps", |bencher| {
        bencher.iter(|| {
            let mut training = Training::new();
            (0..STEPS).for_each(|_| training.step());
        });
    });
    group.bench_function("a thousand steps, looked at", |bencher| {
        bencher.iter(|| {
            let mut training = Training::new();
            for step in 0..STEPS {
                if Cadence::HalfDecades.looks_at(step) {
                    training.look();
                } else {
                    training.step();
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
