//! What the machine can do at the moment: the measure that floors are taken from.

use std::hint::black_box;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::{Arithmetic, Prepared};

/// Side of the matrices: 2048 rows of single precision fill the caches and are read often.
const SIDE: i64 = 2048;

/// Numbers of single precision that are copied: far more than caches hold.
const NUMBERS: i64 = 1 << 26;

/// A pass is a matrix product and a copy; the answer has their rates: operations per second in single precision, in
/// double precision, and bytes per second read and written.
pub(super) fn machine() -> Prepared {
    let product = move |kind: Kind| {
        let a = Tensor::ones([SIDE, SIDE], (kind, Device::Cpu)) * 0.5;
        let out = a.zeros_like();
        2.0 * (SIDE as f64).powi(3) / best(|| drop(black_box(a.f_matmul_out(&out, &a))))
    };
    let rates = move || {
        let from = Tensor::ones([NUMBERS], (Kind::Float, Device::Cpu));
        let mut to = from.zeros_like();
        let copy = 2.0 * 4.0 * NUMBERS as f64 / best(|| to.copy_(&from));
        vec![product(Kind::Float), product(Kind::Double), copy]
    };
    Prepared {
        unit: "look",
        answer: rates(),
        operations: 0.0,
        arithmetic: Arithmetic::Single,
        bytes: 0.0,
        pass: Box::new(move || {
            let begin = Instant::now();
            black_box(rates());
            begin.elapsed().as_secs_f64()
        }),
    }
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
