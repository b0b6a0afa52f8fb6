//! What the machine can do at the moment: the measure that floors are taken from.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::{Arithmetic, Prepared};

/// Sides of the square matrices that are multiplied; the fastest size counts.
const SIDES: [i64; 3] = [512, 1024, 2048];

/// Bytes that the largest copy touches, which is more than caches hold; the smallest touches 2¹⁶.
const LARGEST: usize = 1 << 28;

/// A pass is a look at everything. The answer has operations per second of products in f32, f64 and bf16, and then, by
/// twos, the bytes that a copy touches and those that it reads and writes per second.
pub(super) fn machine() -> Prepared {
    let threads = tch::get_num_threads() as usize;
    let look = move || -> Vec<f64> {
        let kinds = [Kind::Float, Kind::Double, Kind::BFloat16];
        let copies = (16..=LARGEST.ilog2()).flat_map(|power| {
            let memory = 1 << power;
            [memory as f64, copied(memory, threads)]
        });
        kinds.map(multiplied).into_iter().chain(copies).collect()
    };
    Prepared {
        unit: "look",
        answer: look(),
        operations: 0.0,
        arithmetic: Arithmetic::Single,
        bytes: 0.0,
        memory: 0.0,
        pass: Box::new(move || {
            let begin = Instant::now();
            let _ = black_box(look());
            begin.elapsed().as_secs_f64()
        }),
    }
}

/// Operations per second of libtorch's products of numbers of a kind.
fn multiplied(kind: Kind) -> f64 {
    let rate = |side: i64| {
        let a = Tensor::ones([side, side], (kind, Device::Cpu)) * 0.5;
        let out = a.zeros_like();
        2.0 * (side as f64).powi(3) / best(|| drop(black_box(a.f_matmul_out(&out, &a))))
    };
    SIDES.into_iter().map(rate).fold(0.0, f64::max)
}

/// Bytes per second, read and written, of copies that touch so many bytes, each thread its own part of them.
fn copied(memory: usize, threads: usize) -> f64 {
    let numbers = memory / threads / 2 / size_of::<u64>();
    // So that reading the clock, which is not part of it, takes no time to speak of.
    let repeats = (1 << 22) / memory + 1;
    let ready = Barrier::new(threads);
    let one = || {
        let (from, mut to) = (vec![1_u64; numbers], vec![2_u64; numbers]);
        ready.wait();
        let seconds = best(|| {
            for _ in 0..repeats {
                black_box(&mut to[..]).copy_from_slice(black_box(&from));
            }
        });
        (2 * size_of::<u64>() * numbers * repeats) as f64 / seconds
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let rates = all.into_iter().map(|one| one.join().expect("it copies"));
        rates.sum()
    })
}

/// The best of five.
fn best(mut work: impl FnMut()) -> f64 {
    let time = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64()
    };
    (0..5).map(time).fold(f64::INFINITY, f64::min)
}
