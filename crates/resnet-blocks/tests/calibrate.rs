//! `Mode::Calibrate`: every affine layer on the way gives zero mean and unit deviation, the others stay.
#![cfg(feature = "tch")]

mod common;

use common::{
    catalogue::{Part, any_part, conv},
    distance, noise, store, values,
};
use proptest::prelude::*;
use resnet_blocks::{
    Bias, Block, Conv2d, Conv2dConfig, ConvBlockConfig, Error, Init, Linear, Mode, Params,
    ResBlockConfig, ShortSkip,
};
use tch::{Kind, Tensor};

/// The largest mean of a channel, and the deviation over all numbers.
fn moments(y: &Tensor, channels: i64) -> (f64, f64) {
    let rest: Vec<i64> = (0..y.dim() as i64).filter(|dim| *dim != channels).collect();
    let means = y.mean_dim(&rest[..], false, None::<Kind>);
    (
        means.abs().max().double_value(&[]),
        y.std(false).double_value(&[]),
    )
}

fn standard(y: &Tensor, channels: i64) -> bool {
    let (mean, deviation) = moments(y, channels);
    mean < 1e-12 && (deviation - 1.0).abs() < 1e-12
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn calibration_passes_the_corrected_output_on(part in any_part(), side in 3usize..6) {
        let store = store(Kind::Double);
        let block = part.build(&Params::seeded(store.root(), 0)).expect("a valid configuration");
        let before = values(&store);
        let (x, embedding) = part.batch(8, side, 1);
        let calibrated = block.forward(&x, &embedding, &mut Mode::Calibrate);
        let after = block.forward(&x, &embedding, &mut Mode::Eval);
        let size = 1.0 + after.abs().max().double_value(&[]);
        prop_assert!(distance(&calibrated, &after) < 1e-12 * size);
        for ((name, _, before), (_, _, after)) in before.iter().zip(&values(&store)) {
            let layer = name.rsplit('.').nth(1).unwrap_or_default();
            let on_the_way = [
                "linear1", "linear2", "conv1", "conv2", "projection", "query", "key", "value", "out",
            ];
            if !on_the_way.contains(&layer) || matches!(part, Part::Magnitude(_)) {
                prop_assert_eq!(before, after, "{} moved", name);
            }
        }
    }
}

#[test]
fn one_layer_is_standard_on_its_batch() -> Result<(), Error> {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 0);
    let conv = Conv2d::new(&params.sub("conv"), &Conv2dConfig::new(3, 5, 3, Init::He))?;
    let linear = Linear::new(&params.sub("linear"), 3, 5, Init::PyTorch)?;
    let (image, pixels) = (
        noise(&[4, 3, 6, 6], Kind::Double, 1),
        noise(&[4, 6, 3], Kind::Double, 2),
    );
    let _calibrated = conv.forward(&image, &mut Mode::Calibrate);
    let _calibrated = linear.forward(&pixels, &mut Mode::Calibrate);
    assert!(standard(&conv.forward(&image, &mut Mode::Eval), 1));
    assert!(standard(&linear.forward(&pixels, &mut Mode::Eval), 2));
    // Without a bias only the scale is corrected: the root mean square is 1.
    let config = Conv2dConfig {
        bias: Bias::None,
        ..Conv2dConfig::new(3, 5, 3, Init::He)
    };
    let plain = Conv2d::new(&params.sub("plain"), &config)?;
    let _calibrated = plain.forward(&(&image + 1.0), &mut Mode::Calibrate);
    let y = plain.forward(&(&image + 1.0), &mut Mode::Eval);
    let mean_square = y.square().mean(None::<Kind>).double_value(&[]);
    assert!((mean_square - 1.0).abs() < 1e-12);
    assert!(1e-3 < moments(&y, 1).0);
    Ok(())
}

#[test]
fn a_plain_block_gives_standard_features_and_one_of_zeros_stays() -> Result<(), Error> {
    let part = |last_gain| {
        Part::Conv(ResBlockConfig {
            branch: ConvBlockConfig {
                last_gain,
                ..conv().branch
            },
            short: ShortSkip::None,
            ..conv()
        })
    };
    let run = |part: &Part| {
        let store = store(Kind::Double);
        let block = part.build(&Params::seeded(store.root(), 0))?;
        let (x, embedding) = part.batch(8, 5, 1);
        Ok::<_, Error>(block.forward(&x, &embedding, &mut Mode::Calibrate))
    };
    assert!(standard(&run(&part(1.0))?, 1));
    assert_eq!(run(&part(0.0))?.abs().max().double_value(&[]), 0.0);
    Ok(())
}

#[test]
fn a_constant_batch_changes_nothing() -> Result<(), Error> {
    let store = store(Kind::Double);
    let layer = Linear::new(&Params::seeded(store.root(), 0), 3, 5, Init::PyTorch)?;
    let before = values(&store);
    let x = noise(&[1, 3], Kind::Double, 1).expand([8, 3], false);
    let _output = Block::forward(&layer, &x, &Tensor::new(), &mut Mode::Calibrate);
    assert_eq!(before, values(&store));
    Ok(())
}
