//! Networks whose images lie in either order in memory.
#![cfg(feature = "tch")]

mod common;

use std::{cell::RefCell, rc::Rc};

use common::{noise, store};
use resnet_blocks::{
    Activation, Bfloat16, Block, Feature, Init, LongSkip, Mode, Network, Norm, Params, ShortSkip,
};
use tch::{Kind, Reduction, Tensor};
use unet::{Classes, MemoryFormat, ResidualParts, Topology, UNet, UNetConfig};

const IMAGE: Feature = Feature {
    channels: 3,
    height: 8,
    width: 8,
};

/// The study's network, and one of each family; sides that do not halve evenly too, since what is cut lies apart in memory.
fn networks() -> Vec<(&'static str, UNetConfig)> {
    let odd = Feature {
        height: 5,
        width: 6,
        ..IMAGE
    };
    let one = Feature {
        channels: 1,
        ..IMAGE
    };
    let parts = ResidualParts::plain(Activation::Silu, Norm::GROUP, ShortSkip::Identity, Init::He);
    let study = |image| UNetConfig::study(image, 16, &[1, 2], 1, parts, LongSkip::Concat(1.0));
    vec![
        ("study", study(one)),
        ("study, odd", study(odd)),
        ("ddpm", UNetConfig::ddpm(one, 32, &[1, 2])),
        ("ddpm, odd", UNetConfig::ddpm(odd, 32, &[1, 2])),
        ("ddpm++", UNetConfig::ddpmpp(IMAGE, 16, &[1, 2])),
        ("ncsn++", UNetConfig::ncsnpp(IMAGE, 16, &[1, 2])),
        ("adm", UNetConfig::adm(IMAGE, 64, &[1, 2], Classes::None)),
    ]
}

/// A block, and the strides of channels and columns of what goes in and out.
struct Watched {
    block: Box<dyn Block>,
    strides: Rc<RefCell<Vec<[i64; 2]>>>,
}

impl Block for Watched {
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let y = self.block.forward(x, embedding, mode);
        // One channel lies in either order.
        for image in [x, &y].into_iter().filter(|image| 1 < image.size()[1]) {
            let stride = image.stride();
            self.strides.borrow_mut().push([stride[1], stride[3]]);
        }
        y
    }
}

/// Loss and gradient of all variables, as one vector, and the strides at the ends of every block.
fn pass(config: &UNetConfig, kind: Kind, format: MemoryFormat) -> (f64, Tensor, Vec<[i64; 2]>) {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 3);
    let strides = Rc::new(RefCell::new(Vec::new()));
    let net = UNet::assemble(
        &params,
        Topology::plan(config).expect("a sound network"),
        |params, plan| {
            let (block, strides) = (unet::block(params, plan)?, Rc::clone(&strides));
            Ok(Box::new(Watched { block, strides }))
        },
        unet::skip,
    );
    let net = net.expect("a sound network").in_memory(format);
    let units = params.units().into_iter();
    let variables: Vec<Tensor> = units.flat_map(|unit| unit.parameters).collect();
    {
        let _guard = tch::no_grad_guard();
        for (seed, variable) in variables.iter().enumerate() {
            let moved = noise(&variable.size(), Kind::Float, seed as u64) * 0.05;
            let mut variable = variable.shallow_clone();
            variable += moved;
        }
    }
    let Feature {
        channels,
        height,
        width,
    } = config.frame.input;
    let size = [4, channels, height, width].map(|n| n as i64);
    let (x, target) = (
        noise(&size, Kind::Float, 101),
        noise(&size, Kind::Float, 102),
    );
    let label = noise(&[4], Kind::Float, 103);
    let mode = &mut Mode::Eval;
    let answer = match kind {
        Kind::BFloat16 => Bfloat16(net).forward(&x, &label, mode),
        _ => net.forward(&x, &label, mode),
    };
    let loss = answer.mse_loss(&target, Reduction::Mean);
    let gradients = Tensor::run_backward(&[&loss], &variables, false, false);
    let flat: Vec<Tensor> = gradients.iter().map(|g| g.reshape([-1])).collect();
    let loss = loss.double_value(&[]);
    (loss, Tensor::cat(&flat, 0), strides.take())
}

#[test]
fn either_order_is_that_of_every_block_and_moves_rounding_alone() {
    for (name, config) in networks() {
        for (kind, unit) in [(Kind::Float, 1e-5), (Kind::BFloat16, 0.03)] {
            let [first, last] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast]
                .map(|format| pass(&config, kind, format));
            assert!(
                first.2.iter().all(|[channel, column]| column < channel),
                "{name}, {kind:?}, contiguous: {:?}",
                first.2
            );
            assert!(
                last.2.iter().all(|[channel, column]| channel < column),
                "{name}, {kind:?}, channels last: {:?}",
                last.2
            );
            let far = ((&first.1 - &last.1).norm() / first.1.norm()).double_value(&[]);
            assert!(far < unit, "{name}, {kind:?}: gradients by {far}");
            let far = (first.0 - last.0).abs() / first.0;
            assert!(far < unit, "{name}, {kind:?}: losses by {far}");
        }
    }
}

#[test]
fn unless_told_bfloat16_is_channels_last_and_single_precision_as_it_comes() {
    let store = store(Kind::Float);
    let (_, config) = networks().swap_remove(1);
    let net = UNet::new(&Params::seeded(store.root(), 3), &config).expect("a sound network");
    let x = noise(&[2, 3, 5, 6], Kind::Float, 1);
    let label = noise(&[2], Kind::Float, 2);
    let numbers = |net: &dyn Network, x: &Tensor| {
        let answer = net.forward(x, &label, &mut Mode::Eval).reshape([-1]);
        Vec::<f32>::try_from(answer).expect("a list")
    };
    let single = numbers(&net, &x);
    assert_eq!(
        single,
        numbers(&net.in_memory(MemoryFormat::Contiguous), &x)
    );
    let last = net.in_memory(MemoryFormat::ChannelsLast);
    let pixels = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    assert_eq!(numbers(&net, &pixels), numbers(&last, &x));
    assert_eq!(
        numbers(&Bfloat16(net.clone()), &x),
        numbers(&Bfloat16(last), &x)
    );
}
