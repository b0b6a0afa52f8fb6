//! What it costs to make a table, against its floor: one `ln_1p` per level.

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
        group.bench_function(id("floor: a sum of ln_1p"), |bencher| {
            bencher.iter(|| {
                black_box(&betas)
                    .iter()
                    .map(|beta| (-beta).ln_1p())
                    .sum::<f64>()
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
        group.bench_function(id("Table in single precision"), |bencher| {
            bencher.iter(|| Table::new(black_box(schedule), levels));
        });
        let discrete = Discrete::from_betas(&betas).expect("the betas lie in (0, 1)");
        group.bench_function(id("Ladder of all levels"), |bencher| {
            bencher.iter(|| Ladder::discrete(black_box(&discrete)));
        });
    }
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
