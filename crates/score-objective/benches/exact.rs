//! Exact mixture scores against plain loops, and against what the machine could do at best.
//!
//! The floor is a matrix product in single precision on all threads, of as many operations as nothing can spare: in many
//! dimensions 2 D for each pair of a point and a component, since its distance must be known to tell whether the component
//! matters there, which single precision does; in few, where nobody asks, 2 D more for the sum of means, one for an
//! exponential and one for its sum.
//!
//! `cargo bench -p score-objective --bench exact`, without a filter, also measures the plain loop in turns with ours, and
//! how far they are apart.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use noise_schedule::Kernel;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use score_objective::exact::{ExactScore, GaussianMixture};

/// Components, dimensions, points.
const SIZES: [(usize, usize, usize); 2] = [(1_024, 64, 10_000), (40, 2, 100_000)];

/// Little noise: few components matter at a point. Much noise: all do.
const SIGMAS: [f64; 2] = [0.5, 10.0];

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

/// So many operations as matrix products that stay in the caches, on all threads at once.
fn multiply(operations: usize) {
    const SIDE: usize = 128;
    let rows = operations / (2 * SIDE * SIDE) / rayon::current_num_threads();
    rayon::broadcast(|_| {
        let a = Array2::from_elem((SIDE, SIDE), 0.5_f32);
        let mut c = Array2::zeros((SIDE, SIDE));
        for from in (0..rows).step_by(SIDE) {
            let some = s![..SIDE.min(rows - from), ..];
            general_mat_mul(1.0, &a.slice(some), &a, 0.0, &mut c.slice_mut(some));
        }
        black_box(c);
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    // Asked for the whole, and not for a list, one name or a baseline.
    let compare = std::env::args().skip(1).all(|word| word == "--bench");
    let cases = SIZES
        .into_iter()
        .flat_map(|size| SIGMAS.map(|sigma| (size, sigma)));
    for ((components, dim, n), sigma) in cases {
        // Only what is measured is prepared.
        let case = LazyCell::new(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let mixture = GaussianMixture::zipf(components, dim, 2.0, 0.25, &mut rng);
            let mixture = mixture.expect("within the rules");
            let kernel = Kernel::variance_exploding(sigma).expect("positive");
            let x = mixture.draw_at(n, kernel, &mut rng);
            (mixture, x.mapv(|x| x as f32), x)
        });
        let name = format!("mixture of {components} in {dim}-D, sigma {sigma}");
        let mut group = criterion.benchmark_group(&name);
        group.throughput(Throughput::Elements((n * components) as u64));
        group.bench_function("floor: products", |b| {
            let of_pair = if dim < 16 { 4 * dim + 2 } else { 2 * dim };
            b.iter(|| multiply(n * components * of_pair));
        });
        group.bench_function("f64", |b| {
            let (mixture, _, x) = &*case;
            b.iter(|| mixture.score(x.view(), sigma));
        });
        group.bench_function("f32", |b| {
            let (mixture, x, _) = &*case;
            b.iter(|| mixture.score_f32(x.view(), sigma));
        });
        group.finish();
        if compare {
            let (mixture, _, x) = &*case;
            let (mut slow, mut fast) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..3 {
                slow = slow.min(best(1, || drop(black_box(plain(mixture, x.view(), sigma)))));
                fast = fast.min(best(2, || drop(black_box(mixture.score(x.view(), sigma)))));
            }
            let (ours, reference) = (
                mixture.score(x.view(), sigma),
                plain(mixture, x.view(), sigma),
            );
            let norm = |a: &Array2<f64>| a.mapv(|v| v * v).sum_axis(Axis(1)).mapv(f64::sqrt);
            let errors = norm(&(&ours - &reference)) / norm(&reference);
            let error = errors.fold(0.0, |worst: f64, e| worst.max(*e));
            println!(
                "{name}: {:.1} times the speed of the plain loop ({:.1} ms), within {error:.0e} of it",
                slow / fast,
                slow * 1e3
            );
        }
    }
    criterion.final_summary();
}
