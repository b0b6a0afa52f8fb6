//! What it costs to make a table, against its floor: one `ln_1p` per level, each on its own, or in single precision one
//! product per level, each of which waits for the one before it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use noise_schedule::single::Table;
use noise_schedule::{BetaSchedule, Discrete, Ladder};

fn tables(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tables");
    for levels in [1000, 100_000] {
        // Betas that do not exhaust f64 with many levels.
        let schedule = BetaSchedule::nichol2021_linear(levels);
        let betas = schedule.betas(levels).expect("the betas lie in (0, 1)");
        group.throughput(Throughput::Elements(levels as u64));
        let id = |name| BenchmarkId::new(name, levels);
        group.bench_function(id("floor: a ln_1p per level"), |bencher| {
            let mut logarithms = vec![0.0; levels];
            bencher.iter(|| {
                for (logarithm, beta) in logarithms.iter_mut().zip(black_box(&betas)) {
                    *logarithm = (-beta).ln_1p();
                }
                black_box(&mut logarithms);
            });
        });
        group.bench_function(id("Discrete from betas"), |bencher| {
            bencher.iter(|| Discrete::from_betas(black_box(&betas)));
        });
        group.bench_function(id("Discrete from linear betas"), |bencher| {
            bencher.iter(|| Discrete::named(black_box(schedule), levels));
        });
        group.bench_function(id("Discrete from cosine betas"), |bencher| {
            let cosine = BetaSchedule::nichol2021_cosine();
            bencher.iter(|| Discrete::named(black_box(cosine), levels));
        });
        let discrete = Discrete::from_betas(&betas).expect("the betas lie in (0, 1)");
        group.bench_function(id("Ladder of all levels"), |bencher| {
            bencher.iter(|| Ladder::discrete(black_box(&discrete)));
        });
    }
    group.finish();
}

fn single(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tables in single precision");
    for levels in [1000, 100_000] {
        let schedule = BetaSchedule::nichol2021_linear(levels);
        let table = Table::new(schedule, levels).expect("the betas lie in (0, 1)");
        group.throughput(Throughput::Elements(levels as u64));
        let id = |name| BenchmarkId::new(name, levels);
        group.bench_function(id("floor: a product per level"), |bencher| {
            let mut alpha_bars = vec![0.0; levels];
            bencher.iter(|| {
                let mut product = 1.0;
                for (alpha_bar, beta) in alpha_bars.iter_mut().zip(black_box(table.betas())) {
                    product *= f64::from(1.0 - beta);
                    *alpha_bar = product as f32;
                }
                black_box(&mut alpha_bars);
            });
        });
        group.bench_function(id("Table"), |bencher| {
            bencher.iter(|| Table::new(black_box(schedule), levels));
        });
    }
    group.finish();
}

criterion_group!(benches, tables, single);
criterion_main!(benches);
