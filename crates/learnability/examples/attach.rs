//! Attaches to a network that knows nothing of this crate, in ten lines of use: is there a gradient in each layer, and can
//! it be trusted?
//!
//! `cargo run --release -p learnability --features tch --example attach`
#![allow(
    clippy::print_stdout,
    reason = "a program, whose output a person reads"
)]

use learnability::{gradient::unit_grams, interval::Confidence, silence::audible, unit::units_of};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, nn, nn::Module};

fn main() -> Result<(), learnability::Error> {
    // Any network whose parameters are in a `VarStore`, and its mean loss on micro-batch i of 16.
    // The layer `aside` is used by nobody, as a mistake would have it.
    let store = nn::VarStore::new(Device::Cpu);
    let layer = |name: &str, inputs, outputs| {
        nn::linear(store.root() / name, inputs, outputs, Default::default())
    };
    let (first, last) = (layer("first", 4, 16), layer("last", 16, 1));
    let _aside = layer("aside", 16, 16);
    let network = |x: &Tensor| last.forward(&first.forward(x).tanh());
    let x = Tensor::linspace(-1, 1, 1024, (Kind::Float, Device::Cpu)).sin();
    let x = x.reshape([256, 4]);
    let mut loss = |i: usize| {
        let batch = x.slice(0, i as i64, 256, 16);
        (network(&batch) - 3.0).square().mean(Kind::Float)
    };

    // Ten lines of use.
    let units = units_of(&store); // one for each layer
    let grams = unit_grams(&mut loss, 16, &units);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let p = grams.iter().map(|gram| gram.sign_flip(999, &mut rng).p);
    let heard = audible(&p.collect::<Vec<_>>(), 0.05);
    let confidence = Confidence::new(0.95)?;
    for (((unit, _), gram), heard) in units.iter().zip(&grams).zip(heard) {
        let least = gram.gsnr(confidence).map_or(f64::NAN, |gsnr| gsnr.low);
        println!("{unit:5}  heard: {heard:5}  signal to noise at least {least:.2}");
    }
    Ok(())
}
