//! What depth does to the stream and to gradients under each skip and law: the facts that studies rest on.
#![cfg(feature = "tch")]

mod common;

use common::{catalogue::magnitude, distance, gradient_norms, noise, store};
use resnet_blocks::{
    Activation, Block, Error, Init, MagnitudeBlock, MagnitudeBlockConfig, MlpBlock, MlpBlockConfig,
    Mode, Network, Params, Residual, ResidualMlp, ResidualMlpConfig, ShortSkip,
};
use tch::{Kind, Tensor};

const WIDTH: i64 = 256;

fn mean_square(x: &Tensor) -> f64 {
    x.square().mean(None::<Kind>).double_value(&[])
}

/// White features before and after so many blocks, of ReLU and He's law.
fn stream(short: ShortSkip, blocks: usize) -> Result<[Tensor; 2], Error> {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 1);
    let config = MlpBlockConfig::square(WIDTH as usize, Activation::Relu, Init::He);
    let before = noise(&[64, WIDTH], Kind::Double, 1);
    let mut after = before.shallow_clone();
    for block in 0..blocks {
        let params = params.sub(format!("block{block}"));
        let branch = MlpBlock::prepared(&params, &config, short)?;
        let skip = short.build(&params.sub("skip"), WIDTH as usize)?;
        let block = Residual::new(Box::new(branch), skip);
        after = block.forward(&after, &before, &mut Mode::Eval);
    }
    Ok([before, after])
}

fn growth(short: ShortSkip, blocks: usize) -> Result<f64, Error> {
    let [before, after] = stream(short, blocks)?;
    Ok(mean_square(&after) / mean_square(&before))
}

/// Each branch under He's law adds as much as the stream has: it doubles with every block.
#[test]
fn the_unscaled_stream_grows_like_two_to_the_blocks() -> Result<(), Error> {
    for blocks in [8, 32] {
        let doublings = growth(ShortSkip::Identity, blocks)?.log2() / blocks as f64;
        assert!((doublings - 1.0).abs() < 0.1, "{blocks}: {doublings}");
    }
    Ok(())
}

/// (1 + 1/L)^L, which is at most e = 2.718.
#[test]
fn the_scaled_stream_grows_by_e_whatever_the_depth() -> Result<(), Error> {
    for blocks in [4, 16, 64] {
        let expected = (1.0 + 1.0 / blocks as f64).powi(blocks as i32);
        let grown = growth(ShortSkip::inverse_sqrt(blocks), blocks)?;
        assert!(
            (grown / expected - 1.0).abs() < 0.25,
            "{blocks}: {grown} {expected}"
        );
    }
    Ok(())
}

#[test]
fn averages_and_post_normalisation_keep_the_stream() -> Result<(), Error> {
    for short in [
        ShortSkip::Averaged(0.5f64.sqrt()),
        ShortSkip::MagnitudePreserving(0.3),
        ShortSkip::DeepNorm { blocks: 16 },
    ] {
        let grown = growth(short, 16)?;
        assert!(0.4 < grown && grown < 2.5, "{short:?}: {grown}");
    }
    Ok(())
}

#[test]
fn fixup_and_rezero_begin_as_the_identity_at_any_depth_and_layer_scale_nearly() -> Result<(), Error>
{
    for short in [ShortSkip::ReZero, ShortSkip::Fixup { blocks: 32 }] {
        let [before, after] = stream(short, 32)?;
        assert_eq!(distance(&before, &after), 0.0, "{short:?}");
    }
    let [before, after] = stream(ShortSkip::LayerScale(1e-6), 32)?;
    let moved = distance(&before, &after);
    assert!(0.0 < moved && moved < 1e-4, "{moved}");
    Ok(())
}

#[test]
fn magnitude_preserving_blocks_keep_unit_magnitude_at_any_depth() -> Result<(), Error> {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 1);
    let config = MagnitudeBlockConfig {
        in_channels: 32,
        out_channels: 32,
        ..magnitude()
    };
    let mut x = noise(&[4, 32, 6, 6], Kind::Double, 1);
    let embedding = noise(&[4, 6], Kind::Double, 2);
    for block in 0..16 {
        let block = MagnitudeBlock::new(&params.sub(format!("block{block}")), &config)?;
        x = block.forward(&x, &embedding, &mut Mode::Eval);
        let magnitude = mean_square(&x);
        assert!((magnitude - 1.0).abs() < 0.2, "{magnitude}");
    }
    Ok(())
}

/// Norm of the gradient of the first square layer's weight over that of the last's.
fn gradient_ratio(short: ShortSkip, init: Init, blocks: usize) -> Result<f64, Error> {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 1);
    let config = ResidualMlpConfig {
        inputs: 2,
        blocks,
        block: MlpBlockConfig::square(64, Activation::Relu, init),
        short,
    };
    let net = ResidualMlp::new(&params, &config)?;
    let [x, target] = [1, 2].map(|seed| noise(&[128, 2], Kind::Double, seed));
    let output = net.forward(&x, &noise(&[128], Kind::Double, 3), &mut Mode::Eval);
    let loss = (output - target).square().mean(None::<Kind>);
    let squares: Vec<Tensor> = params
        .units()
        .into_iter()
        .filter(|unit| unit.name.contains("linear"))
        .map(|unit| unit.parameters[0].shallow_clone())
        .collect();
    assert_eq!(squares.len(), 2 * blocks);
    let norms = gradient_norms(&loss, &squares);
    Ok(norms[0] / norms[2 * blocks - 1])
}

/// The library's default decides the headline: a factor of 6 in variance, 6^(-1/2) for each layer.
#[test]
fn plain_gradients_vanish_under_the_law_of_pytorch_and_not_under_that_of_he() -> Result<(), Error> {
    let pytorch = [4, 16].map(|blocks| gradient_ratio(ShortSkip::None, Init::PyTorch, blocks));
    let [shallow, deep] = pytorch;
    let (shallow, deep) = (shallow?, deep?);
    assert!(1e-4 < shallow && shallow < 0.5, "{shallow:e}");
    assert!(1e-14 < deep && deep < 1e-8, "{deep:e}");
    let he = gradient_ratio(ShortSkip::None, Init::He, 16)?;
    assert!(0.2 < he && he < 5.0, "{he}");
    Ok(())
}

#[test]
fn gradients_with_scaled_skips_do_not_depend_on_depth_or_law() -> Result<(), Error> {
    for init in [Init::PyTorch, Init::He, Init::Orthogonal] {
        for blocks in [4, 64] {
            let ratio = gradient_ratio(ShortSkip::inverse_sqrt(blocks), init, blocks)?;
            assert!(0.2 < ratio && ratio < 5.0, "{init:?} {blocks}: {ratio}");
        }
    }
    Ok(())
}
