//! silu(group_norm(x)) of 16 images of 32 channels and 32×32 pixels in bfloat16, pixel after pixel, on one thread: in one
//! pass, by the operations of torch, and the floor, which is copies.
//!
//! Forwards the images are read once and written once. A step, whose loss is the sum, so that a single number is its
//! gradient and little else is timed, reads and writes them once more at least.

use criterion::{Criterion, criterion_group, criterion_main};
use resnet_blocks::{Activation, Norm, Normalise, Params};
use tch::{Device, Kind, Tensor, nn::VarStore};

const SIZE: [i64; 4] = [16, 32, 32, 32];

type Work<'a> = dyn Fn(&Tensor) -> Tensor + 'a;

fn images() -> Tensor {
    let count = SIZE.iter().product::<i64>();
    let wave = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37).sin();
    let x = wave.view(SIZE).to_kind(Kind::BFloat16);
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

fn norm_silu(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let store = VarStore::new(Device::Cpu);
    let params = Params::seeded(store.root(), 0);
    let norm = Normalise::new(&params, Norm::GROUP, SIZE[1] as usize).expect("it can be built");
    let in_one_pass = |x: &Tensor| norm.activated(x, None, Activation::Silu);
    let by_torch = |x: &Tensor| norm.forward(x).silu();
    let ways: [(&str, &Work<'_>); 2] = [("in one pass", &in_one_pass), ("by torch", &by_torch)];
    for (name, copies) in [("norm_silu forwards", 1), ("norm_silu step", 2)] {
        let mut group = criterion.benchmark_group(name);
        group.bench_function("floor: copies", |bencher| {
            let (from, mut to) = (images(), images());
            bencher.iter(|| (0..copies).for_each(|_| to.copy_(&from)));
        });
        for (way, work) in ways {
            let x = images();
            group.bench_function(way, |bencher| match copies {
                1 => {
                    let _guard = tch::no_grad_guard();
                    bencher.iter(|| work(&x));
                }
                _ => {
                    let x = x.set_requires_grad(true);
                    bencher.iter(|| {
                        let loss = work(&x).sum(Kind::BFloat16);
                        Tensor::run_backward(&[&loss], &[&x], false, false)
                    });
                }
            });
        }
        group.finish();
    }
}

criterion_group!(benches, norm_silu);
criterion_main!(benches);
