//! Exact mixture scores against plain loops, and against what the machine could do at best.
//!
//! `cargo bench -p score-objective --bench exact` measures, in this order and in the same run, so that a machine that
//! drifts drifts for all: the plain loop and ours in turns, then the machine's speed at multiplying and adding, at
//! matrix products, and at copying.
//! From these follow two floors, each for the threads of rayon's pool:
//!
//! * arithmetic: for each pair of a point and a component 2 D operations for the distance, and for the share of pairs that
//!   matter 2 D more for the sum of means, at the faster of loops and products; and for those 27 of an exponential, for
//!   which there are only loops;
//! * memory: points read once and scores written once, at the speed of a copy.
//!
//! Built for plain x86-64 the loops that measure the floors, and the plain one, have registers of two numbers, while ours
//! and the matrix products pick theirs as they run: `RUSTFLAGS="-C target-cpu=native"` gives the floors the same.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use noise_schedule::Kernel;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use score_objective::exact::{ExactScore, GaussianMixture};

/// The score as the formula says, point by point: what the fast one is compared with.
fn plain(mixture: &GaussianMixture, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
    let mut score = Array2::zeros(x.raw_dim());
    let blocks: Vec<_> = (x.axis_chunks_iter(Axis(0), 256))
        .zip(score.axis_chunks_iter_mut(Axis(0), 256))
        .collect();
    let ln_weights = mixture.weights().mapv(f64::ln);
    let variance = mixture.variances()[0] + sigma * sigma;
    blocks.into_par_iter().for_each(|(x, mut out)| {
        let mut r = Array1::zeros(ln_weights.len());
        for (x, mut out) in x.rows().into_iter().zip(out.rows_mut()) {
            for ((r, mean), ln_weight) in
                (r.iter_mut().zip(mixture.means().rows())).zip(&ln_weights)
            {
                let squared: f64 = x.iter().zip(mean).map(|(x, m)| (x - m) * (x - m)).sum();
                *r = ln_weight - squared / (2.0 * variance);
            }
            let largest = r.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            r.mapv_inplace(|r| (r - largest).exp());
            let total = r.sum() * variance;
            for (r, mean) in r.iter().zip(mixture.means().rows()) {
                for ((out, x), mean) in out.iter_mut().zip(x).zip(mean) {
                    *out += r / total * (mean - x);
                }
            }
        }
    });
    score
}

/// The best of a few runs, in seconds.
fn best(runs: usize, mut f: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        f();
        start.elapsed()
    };
    (0..runs)
        .map(time)
        .min()
        .unwrap_or(Duration::MAX)
        .as_secs_f64()
}

/// Runs `f` on all threads at once and waits.
fn everywhere(f: impl Fn() + Sync) {
    rayon::broadcast(|_| f());
}

/// Operations per second of multiplications and additions in registers, of all threads.
fn multiply_add_rate() -> f64 {
    const STEPS: usize = 20_000_000;
    let seconds = best(5, || {
        everywhere(|| {
            let (factor, term) = (black_box(0.999_999), black_box(1e-6));
            let mut values = [1.0_f64; 24];
            for _ in 0..STEPS {
                for value in &mut values {
                    *value = *value * factor + term;
                }
            }
            black_box(values);
        });
    });
    (2 * 24 * STEPS * rayon::current_num_threads()) as f64 / seconds
}

/// Operations per second of matrix products that stay in the caches, of all threads.
fn product_rate() -> f64 {
    const SIDE: usize = 256;
    let a = Array2::from_elem((SIDE, SIDE), 0.5);
    let seconds = best(5, || {
        everywhere(|| {
            let mut c = Array2::zeros((SIDE, SIDE));
            for _ in 0..40 {
                general_mat_mul(1.0, &a, &a, 0.0, &mut c);
            }
            black_box(c);
        });
    });
    (40 * 2 * SIDE.pow(3) * rayon::current_num_threads()) as f64 / seconds
}

/// Bytes per second, read and written, of a copy of 256 MB by all threads.
fn copy_rate() -> f64 {
    const NUMBERS: usize = 1 << 24;
    let from = vec![1.0_f64; NUMBERS];
    let mut to = vec![0.0_f64; NUMBERS];
    let piece = NUMBERS.div_ceil(rayon::current_num_threads());
    let seconds = best(5, || {
        (to.par_chunks_mut(piece))
            .zip(from.par_chunks(piece))
            .for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&to);
    });
    (2 * 8 * NUMBERS) as f64 / seconds
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    // Asked for the whole, and not for a list, one name or a baseline.
    let compare = std::env::args().skip(1).all(|word| word == "--bench");
    let mut lines = Vec::new();
    for (components, dim, n) in [(1_024, 64, 100_000), (40, 2, 1_000_000)] {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mixture =
            GaussianMixture::zipf(components, dim, 2.0, 0.25, &mut rng).expect("within the rules");
        // Little noise: few components matter at a point. Much noise: all do.
        for sigma in [0.5, 10.0] {
            let kernel = Kernel::variance_exploding(sigma).expect("positive");
            let x = mixture.draw_at(n, kernel, &mut rng);
            let name = format!("mixture score K={components} D={dim} n={n} sigma={sigma}");
            let mut group = criterion.benchmark_group("exact");
            group.throughput(Throughput::Elements((n * components) as u64));
            group.bench_function(&name, |b| b.iter(|| mixture.score(x.view(), sigma)));
            let single = x.mapv(|x| x as f32);
            group.bench_function(format!("{name} f32"), |b| {
                b.iter(|| mixture.score_f32(single.view(), sigma))
            });
            group.finish();
            if !compare {
                continue;
            }
            // The plain loop takes seconds: on a tenth of the points, in turns with ours on all of them.
            let some = x.slice(ndarray::s![..n / 10, ..]);
            let (mut slow, mut fast) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..3 {
                slow = slow.min(10.0 * best(1, || drop(black_box(plain(&mixture, some, sigma)))));
                fast = fast.min(best(2, || drop(black_box(mixture.score(x.view(), sigma)))));
            }
            let (ours, reference) = (mixture.score(some, sigma), plain(&mixture, some, sigma));
            let norm = |a: &Array2<f64>| a.mapv(|v| v * v).sum_axis(Axis(1)).mapv(f64::sqrt);
            let errors = norm(&(&ours - &reference)) / norm(&reference);
            let error = errors.fold(0.0, |worst: f64, e| worst.max(*e));
            let pairs = (n * components) as f64;
            let shares = mixture.responsibilities(x.slice(ndarray::s![..1000, ..]), sigma);
            let share =
                shares.mapv(|r| if 0.0 < r { 1.0 } else { 0.0 }).sum() / shares.len() as f64;
            let linear = pairs * 2.0 * dim as f64 * (1.0 + share);
            let work = (linear, 27.0 * share * pairs, (2 * 8 * n * dim) as f64);
            lines.push((name, slow, fast, error, work));
        }
    }
    criterion.final_summary();
    if !compare {
        return;
    }
    let (loops, products, copy) = (multiply_add_rate(), product_rate(), copy_rate());
    println!(
        "{} threads: {:.0} Gflop/s in loops, {:.0} in matrix products, {:.0} GB/s",
        rayon::current_num_threads(),
        loops * 1e-9,
        products * 1e-9,
        copy * 1e-9
    );
    for (name, slow, fast, error, (linear, exponentials, bytes)) in lines {
        let arithmetic = linear / loops.max(products) + exponentials / loops;
        println!(
            "{name}: {:.1} ms, {:.1} times the plain loop's speed ({:.0} ms), within {error:.0e} of it; floors: \
             arithmetic {:.1} ms, memory {:.1} ms",
            fast * 1e3,
            slow / fast,
            slow * 1e3,
            arithmetic * 1e3,
            bytes / copy * 1e3
        );
    }
}
