//! The written passes of residual multilayer perceptrons of width 128 on 512 points, on one thread, against their floor:
//! as many operations as their square layers have, in a product of libtorch's.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use resnet_blocks::{Activation, Init, MlpBlockConfig, MlpPass, ResidualMlpConfig, ShortSkip};
use tch::{Device, Kind, Tensor};

const WIDTH: usize = 128;
const POINTS: usize = 512;

fn wave(count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| scale * (0.7 * i as f32).sin()).collect()
}

fn passes(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    for (name, products) in [("mlp forwards", 1), ("mlp forwards and back", 3)] {
        let mut group = criterion.benchmark_group(name);
        for hidden_layers in [4, 16] {
            group.bench_function(
                BenchmarkId::new("floor: product", hidden_layers),
                |bencher| {
                    let inner = hidden_layers * products * WIDTH * WIDTH / POINTS;
                    let of = |rows: usize, columns: usize| {
                        let size = [rows as i64, columns as i64];
                        Tensor::ones(size, (Kind::Float, Device::Cpu)) * 0.5
                    };
                    let (a, b, out) = (of(POINTS, inner), of(inner, POINTS), of(POINTS, POINTS));
                    bencher.iter(|| black_box(a.f_matmul_out(&out, &b)).expect("the shapes fit"));
                },
            );
            group.bench_function(BenchmarkId::new("ours", hidden_layers), |bencher| {
                let config = ResidualMlpConfig {
                    inputs: 2,
                    blocks: hidden_layers / 2,
                    block: MlpBlockConfig::square(WIDTH, Activation::Silu, Init::PyTorch),
                    short: ShortSkip::Identity,
                };
                let parameters = wave(config.parameters(), (WIDTH as f32).powf(-0.5));
                let (x, label) = (wave(2 * POINTS, 1.0), wave(POINTS, 1.0));
                let mut pass = MlpPass::new(&config, POINTS, 1).expect("it is written out");
                bencher.iter(|| {
                    if 1 < products {
                        let by_output = |first: usize, y: &[f32], by: &mut [f32]| {
                            by.copy_from_slice(&x[2 * first..][..y.len()])
                        };
                        black_box(pass.gradient(&parameters, &x, &label, by_output));
                    } else {
                        black_box(pass.forward(&parameters, &x, &label));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
