//! A step of Adam in one pass over memory, on one thread, against its floor: parameters, mean and mean square are read and
//! written, the gradient is read, and a copy within as much memory moves as many bytes.

use ablation::cell::Adam;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};

fn steps(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let mut group = criterion.benchmark_group("adam");
    // What the second cache holds, and what it does not.
    for numbers in [1 << 15, 1 << 20] {
        group.bench_function(BenchmarkId::new("floor: a copy", numbers), |bencher| {
            let (from, mut to) = (vec![1_f32; 2 * numbers], vec![2_f32; 2 * numbers]);
            bencher.iter(|| {
                // Seven arrays are moved: four, and three.
                for some in [2 * numbers, 3 * numbers / 2] {
                    let to = std::hint::black_box(&mut to[..some]);
                    to.copy_from_slice(std::hint::black_box(&from[..some]));
                }
            });
        });
        group.bench_function(BenchmarkId::new("a step", numbers), |bencher| {
            let wave = Tensor::arange(numbers as i64, (Kind::Float, Device::Cpu)).sin();
            let mut adam = Adam::new(&mut [wave.copy()]);
            bencher.iter(|| adam.step(&[wave.shallow_clone()], 1e-4));
        });
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
