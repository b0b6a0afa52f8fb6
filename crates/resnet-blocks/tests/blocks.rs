//! Laws of layers and blocks.
#![cfg(feature = "tch")]

mod common;

use common::{assert_gradients, distance, noise, store};
use resnet_blocks::{
    Activation, Block, Conv2d, Conv2dConfig, ConvBlock, ConvBlockConfig, Error, Init, LongSkip,
    MlpBlock, MlpBlockConfig, Mode, Norm, Params, ShortSkip, Skip,
};
use tch::{Kind, Tensor};

const CONV_BLOCK: ConvBlockConfig = ConvBlockConfig {
    channels: 8,
    embedding: 6,
    activation: Activation::Silu,
    norm: Norm::Group,
    init: Init::PyTorch,
};

fn parameters(params: &Params<'_>) -> Vec<Tensor> {
    params
        .units()
        .into_iter()
        .flat_map(|unit| unit.parameters)
        .collect()
}

#[test]
fn a_convolution_keeps_the_side_but_for_its_stride() -> Result<(), Error> {
    for (kernel, stride, side, expected) in [
        (1, 1, 7, 7),
        (3, 1, 7, 7),
        (3, 2, 7, 4),
        (3, 2, 8, 4),
        (3, 2, 1, 1),
        (1, 2, 5, 3),
    ] {
        let store = store(Kind::Float);
        let conv = Conv2dConfig {
            in_channels: 2,
            out_channels: 5,
            kernel,
            stride,
            init: Init::He,
        };
        let layer = Conv2d::new(&Params::seeded(store.root(), 0), &conv)?;
        let x = noise(&[3, 2, side, side + 2], Kind::Float, 1);
        let y = layer.forward(&x, &mut Mode::Eval);
        let wide = (side + 2 + stride as i64 - 1) / stride as i64;
        assert_eq!(y.size(), [3, 5, expected, wide]);
        let count: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(count, conv.parameters());
    }
    Ok(())
}

#[test]
fn a_delta_orthogonal_convolution_is_an_isometry_of_every_pixel() -> Result<(), Error> {
    let store = store(Kind::Double);
    let conv = Conv2dConfig {
        in_channels: 6,
        out_channels: 6,
        kernel: 3,
        stride: 1,
        init: Init::DeltaOrthogonal,
    };
    let layer = Conv2d::new(&Params::seeded(store.root(), 0), &conv)?;
    let x = noise(&[2, 6, 5, 5], Kind::Double, 1);
    let norms = |x: &Tensor| {
        x.square()
            .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
    };
    assert!(distance(&norms(&x), &norms(&layer.forward(&x, &mut Mode::Eval))) < 1e-5);
    Ok(())
}

#[test]
fn the_gradient_of_a_linear_block_is_that_of_finite_differences() -> Result<(), Error> {
    for activation in [Activation::Silu, Activation::Tanh] {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 0);
        let config = MlpBlockConfig {
            width: 5,
            activation,
            init: Init::PyTorch,
        };
        let block = MlpBlock::new(&params, &config)?;
        let (x, cotangent) = (
            noise(&[4, 5], Kind::Double, 1),
            noise(&[4, 5], Kind::Double, 2),
        );
        assert_gradients(&parameters(&params), || {
            (block.forward(&x, &x, &mut Mode::Eval) * &cotangent).sum(None::<Kind>)
        });
    }
    Ok(())
}

#[test]
fn the_gradient_of_a_convolutional_block_is_that_of_finite_differences() -> Result<(), Error> {
    for norm in [Norm::None, Norm::Group] {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 0);
        let block = ConvBlock::new(&params, &ConvBlockConfig { norm, ..CONV_BLOCK })?;
        let x = noise(&[2, 8, 4, 4], Kind::Double, 1);
        let embedding = noise(&[2, 6], Kind::Double, 2);
        let cotangent = noise(&[2, 8, 4, 4], Kind::Double, 3);
        assert_gradients(&parameters(&params), || {
            (block.forward(&x, &embedding, &mut Mode::Eval) * &cotangent).sum(None::<Kind>)
        });
    }
    Ok(())
}

#[test]
fn the_layers_of_a_block_come_in_forward_order() -> Result<(), Error> {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    ConvBlock::new(&params, &CONV_BLOCK)?;
    let names: Vec<String> = params.units().into_iter().map(|unit| unit.name).collect();
    assert_eq!(names, ["norm1", "conv1", "shift", "norm2", "conv2"]);
    Ok(())
}

#[test]
fn skips_do_what_they_say() {
    let a = noise(&[2, 3, 4, 4], Kind::Double, 1);
    let b = noise(&[2, 3, 4, 4], Kind::Double, 2);
    let mode = &mut Mode::Eval;
    assert_eq!(distance(&ShortSkip::None.join(&a, &b, mode), &b), 0.0);
    assert_eq!(
        distance(&ShortSkip::Identity.join(&a, &b, mode), &(&a + &b)),
        0.0
    );
    assert_eq!(
        distance(&ShortSkip::Scaled(0.0).join(&a, &b, mode), &a),
        0.0
    );
    assert!(distance(&ShortSkip::Scaled(0.3).join(&a, &b, mode), &(&a + 0.3 * &b)) < 1e-15);
    assert_eq!(distance(&LongSkip::None.join(&a, &b, mode), &b), 0.0);
    assert!(
        distance(
            &LongSkip::Add(0.5).join(&a, &b, mode),
            &(0.5 * &a + 0.5 * &b)
        ) < 1e-15
    );
    let both = LongSkip::Concat(2.0).join(&a, &b, mode);
    assert_eq!(both.size(), [2, 6, 4, 4]);
    assert_eq!(distance(&both.narrow(1, 0, 3), &(&a * 2.0)), 0.0);
    assert_eq!(distance(&both.narrow(1, 3, 3), &b), 0.0);
}
