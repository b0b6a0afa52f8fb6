//! Which memory layout and which kind of numbers a U-Net runs fastest in: one training step (forward and backward, no
//! optimiser) of the network of 32, 64 and 64 channels on 16 images of 32×32, on one thread.
//!
//! The floor is as many operations as its convolutions and matrices have, as square products of the same kind of numbers.
//!
//! What would change our mind: channels-last ahead of contiguous by more than a tenth in the kind that is used.

use criterion::{Criterion, criterion_group, criterion_main};
use resnet_blocks::{Mode, Network, Params};
use tch::{Device, Kind, Tensor, nn::VarStore};
use unet::{
    UNet,
    diffusers::{Config, Plan},
};

const BATCH: i64 = 16;

#[derive(Clone, Copy, Debug)]
enum Layout {
    Contiguous,
    ChannelsLast,
}

impl Layout {
    /// The same numbers, in this order in memory.
    fn of(self, x: &Tensor) -> Tensor {
        match self {
            Layout::ChannelsLast if x.dim() == 4 => {
                let last = x.permute([0, 2, 3, 1]).contiguous();
                last.permute([0, 3, 1, 2])
            }
            _ => x.contiguous(),
        }
    }
}

struct Case {
    net: UNet,
    parameters: Vec<Tensor>,
    x: Tensor,
    label: Tensor,
}

impl Case {
    fn new(layout: Layout, kind: Kind) -> Case {
        let config = r#"{"sample_size": 32, "block_out_channels": [32, 64, 64], "norm_num_groups": 8,
            "layers_per_block": 2, "add_attention": false,
            "down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "UpBlock2D", "UpBlock2D"]}"#;
        let plan = Plan::new(&Config::from_json(config).expect("it is one")).expect("it fits");
        let mut store = VarStore::new(Device::Cpu);
        store.set_kind(kind);
        let params = Params::seeded(store.root(), 0);
        let net = UNet::build(&params, plan.topology().clone()).expect("it fits");
        let parameters: Vec<_> = store.trainable_variables();
        {
            let _guard = tch::no_grad_guard();
            for parameter in &parameters {
                let mut variable = parameter.shallow_clone();
                variable.set_data(&layout.of(parameter));
            }
        }
        let x = Tensor::linspace(-1.0, 1.0, BATCH * 3 * 32 * 32, (Kind::Float, Device::Cpu));
        let x = x.view([BATCH, 3, 32, 32]).to_kind(kind);
        Case {
            net,
            parameters,
            x: layout.of(&x),
            label: Tensor::linspace(0.0, 999.0, BATCH, (Kind::Float, Device::Cpu)),
        }
    }

    fn step(&self) {
        let output = self.net.forward(&self.x, &self.label, &mut Mode::Eval);
        let loss = output.square().mean(Kind::Float);
        let gradients = Tensor::run_backward(&[loss], &self.parameters, false, false);
        std::hint::black_box(gradients);
    }
}

fn layouts(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    for kind in [Kind::Float, Kind::BFloat16] {
        let mut group = criterion.benchmark_group(format!("layout, {kind:?}"));
        group.sample_size(10);
        for layout in [Layout::Contiguous, Layout::ChannelsLast] {
            let case = Case::new(layout, kind);
            group.bench_function(format!("{layout:?}"), |bencher| {
                bencher.iter(|| case.step())
            });
        }
        group.bench_function("floor: products", |bencher| {
            const SIDE: i64 = 512;
            let forward = Case::new(Layout::Contiguous, kind)
                .net
                .topology()
                .forward_flops(BATCH as usize);
            let products = 3 * forward / (2 * SIDE.pow(3) as u64);
            let a = Tensor::ones([SIDE, SIDE], (kind, Device::Cpu)) * 0.5;
            let out = a.zeros_like();
            bencher.iter(|| {
                for _ in 0..products {
                    let product = a.f_matmul_out(&out, &a);
                    let _ = std::hint::black_box(product.expect("the shapes fit"));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, layouts);
criterion_main!(benches);
