//! The benchmarks whose results lie beside: one alone, and one in a group, with names that no file may have.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
fn trivial(c: &mut Criterion) {
    c.bench_function("alone", |b| b.iter(|| std::hint::black_box(7_u64).pow(5)));
    let mut group = c.benchmark_group("a group: of two");
    group.sample_size(10);
    group.throughput(Throughput::Elements(64));
    group.bench_function(BenchmarkId::new("sum/of squares", 64), |b| b.iter(|| (0..64_u64).map(|i| std::hint::black_box(i) * i).sum::<u64>()));
    group.finish();
}
criterion_group!(benches, trivial);
criterion_main!(benches);
