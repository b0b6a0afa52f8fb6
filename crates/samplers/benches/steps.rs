//! What a sampler itself costs per step, against its floor: one pass over the memory that the step must touch.
//!
//! The state is 64 × 3 × 32 × 32 in `f32`. The model answers with a copy of one array, and a noise source too: subtract the bench
//! `copies/a copy` for each evaluation and each draw.
//! A DDIM step reads the state and the answer and writes a state; a multistep method reads one more array per remembered answer.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array4;
use noise_schedule::{Grid, Kernel};
use samplers::{
    Ancestral, CloneStepper, Ddim, DpmSolverMultistep, Heun, Integrand, Stepper, VectorSpace,
};

type State = Array4<f32>;

const SHAPE: (usize, usize, usize, usize) = (64, 3, 32, 32);
const STEPS: usize = 8;

fn state(seed: usize) -> State {
    Array4::from_shape_fn(SHAPE, |(i, j, k, l)| {
        ((seed + 7 * i + 5 * j + 3 * k + l) % 17) as f32 / 17.0
    })
}

fn steppers() -> Vec<(&'static str, Box<dyn CloneStepper<State>>)> {
    let multistep = |order| -> Box<dyn CloneStepper<State>> {
        Box::new(DpmSolverMultistep::new(Integrand::Denoised, order).expect("the order exists"))
    };
    vec![
        ("Ddim", Box::new(Ddim)),
        ("Heun", Box::new(Heun)),
        ("DpmSolverMultistep 2", multistep(2)),
        ("DpmSolverMultistep 3", multistep(3)),
        (
            "Ancestral",
            Box::new(Ancestral::new(1.0).expect("a fraction")),
        ),
    ]
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steps");
    let elements = STEPS * state(0).len();
    group.throughput(Throughput::Elements(elements as u64));
    for inputs in 2..=4 {
        let arrays: Vec<State> = (0..inputs).map(state).collect();
        group.bench_function(
            format!("floor: {inputs} arrays read, 1 written"),
            |bencher| {
                let mut out = vec![0.0_f32; arrays[0].len()];
                bencher.iter(|| {
                    for _ in 0..STEPS {
                        pass(&mut out, black_box(&arrays));
                    }
                });
            },
        );
    }
    group.bench_function("combine 2", |bencher| {
        let (x, y) = (state(0), state(1));
        bencher.iter(|| {
            for _ in 0..STEPS {
                black_box(State::axpby(0.7, black_box(&x), 0.3, black_box(&y)));
            }
        });
    });
    let grid = Grid::karras(0.1, 10.0, 7.0, STEPS + 1).expect("levels in order");
    for (name, stepper) in steppers() {
        let (answer, noise, start) = (state(0), state(1), state(2));
        group.bench_function(name, |bencher| {
            let mut model = |_: &State, _: Kernel| black_box(&answer).clone();
            let mut draw = |_: &State, _: Kernel, _: Kernel| black_box(&noise).clone();
            bencher.iter(|| {
                let mut stepper = stepper.clone();
                grid.steps().fold(start.clone(), |x, (from, to)| {
                    stepper.step(&mut model, &mut draw, &x, from, to)
                })
            });
        });
    }
    group.finish();
}

/// What models and noise sources of the other group answer with, against a copy into memory that is there.
fn copies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("copies");
    group.throughput(Throughput::Elements((STEPS * state(0).len()) as u64));
    group.bench_function("floor: 1 array read, 1 written", |bencher| {
        let (x, mut out) = (state(0), state(1));
        bencher.iter(|| {
            for _ in 0..STEPS {
                black_box(&mut out).assign(black_box(&x));
            }
        });
    });
    group.bench_function("a copy", |bencher| {
        let x = state(0);
        bencher.iter(|| {
            for _ in 0..STEPS {
                black_box(black_box(&x).clone());
            }
        });
    });
    group.finish();
}

/// What no step can do without: every input read once, and the output written once.
fn pass(out: &mut [f32], arrays: &[State]) {
    let slices: Vec<&[f32]> = arrays
        .iter()
        .map(|array| array.as_slice().expect("contiguous"))
        .collect();
    match *slices {
        [a, b] => {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = 0.7 * a + 0.3 * b;
            }
        }
        [a, b, c] => {
            for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
                *out = 0.7 * a + 0.3 * b - 0.1 * c;
            }
        }
        [a, b, c, d] => {
            for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *out = 0.7 * a + 0.3 * b - 0.1 * c + 0.2 * d;
            }
        }
        _ => unreachable!("two to four inputs"),
    }
    black_box(out);
}

criterion_group!(benches, steps, copies);
criterion_main!(benches);
