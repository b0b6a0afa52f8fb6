//! Networks in bfloat16 against the same ones in single precision.
#![cfg(feature = "tch")]

mod common;

use common::{noise, store};
use resnet_blocks::{
    Activation, Bfloat16, Feature, Init, LongSkip, Mode, Network, Norm, Params, ShortSkip,
};
use tch::{Kind, Reduction, Tensor};
use unet::{Classes, ResidualParts, UNet, UNetConfig};

/// A unit in the last place of bfloat16.
const UNIT: f64 = 0.007_812_5;

const IMAGE: Feature = Feature {
    channels: 1,
    height: 8,
    width: 8,
};

fn study(norm: Norm, short: ShortSkip, long: LongSkip) -> UNetConfig {
    let parts = ResidualParts::plain(Activation::Silu, norm, short, Init::He);
    UNetConfig::study(IMAGE, 16, &[1, 2], 1, parts, long)
}

/// How far the result and the gradient of all variables, as one vector, are from those of single precision, relative to
/// their length.
fn apart(config: &UNetConfig) -> [f64; 2] {
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 3);
    let net = UNet::new(&params, config).expect("a sound network");
    // Gates, gains and last layers that begin at 0 would hide what is behind them.
    let variables: Vec<Tensor> = params
        .units()
        .into_iter()
        .flat_map(|u| u.parameters)
        .collect();
    {
        let _guard = tch::no_grad_guard();
        for (seed, variable) in variables.iter().enumerate() {
            let moved = noise(&variable.size(), Kind::Float, seed as u64) * 0.05;
            let mut variable = variable.shallow_clone();
            variable += moved;
        }
    }
    let size = [4, IMAGE.channels as i64, 8, 8];
    let (x, target) = (
        noise(&size, Kind::Float, 101),
        noise(&size, Kind::Float, 102),
    );
    let label = noise(&[4], Kind::Float, 103);
    let of = |net: &dyn Network| {
        let answer = net.forward(&x, &label, &mut Mode::Eval);
        assert_eq!((answer.kind(), answer.size()), (Kind::Float, x.size()));
        let loss = answer.mse_loss(&target, Reduction::Mean);
        let gradients = Tensor::run_backward(&[loss], &variables, false, false);
        assert!(gradients.iter().all(|g| g.kind() == Kind::Float));
        let flat: Vec<Tensor> = gradients.iter().map(|g| g.reshape([-1])).collect();
        [answer.detach(), Tensor::cat(&flat, 0)]
    };
    let (exact, near) = (of(&net), of(&Bfloat16(net.clone())));
    let far =
        |(near, exact): (Tensor, Tensor)| ((near - &exact).norm() / exact.norm()).double_value(&[]);
    let [answer, gradient] = exact;
    let [near_answer, near_gradient] = near;
    [(near_answer, answer), (near_gradient, gradient)].map(far)
}

#[test]
fn results_and_gradients_are_those_of_single_precision_up_to_rounding() {
    let skips = [
        ShortSkip::None,
        ShortSkip::Identity,
        ShortSkip::inverse_sqrt(3),
        ShortSkip::MagnitudePreserving(0.3),
        ShortSkip::ReZero,
        ShortSkip::LayerScale(0.5),
        ShortSkip::Highway { bias: -1.0 },
        ShortSkip::Fixup { blocks: 3 },
        ShortSkip::DeepNorm { blocks: 3 },
    ];
    let longs = [
        LongSkip::None,
        LongSkip::Add(0.5f64.sqrt()),
        LongSkip::Concat(1.0),
        LongSkip::ConcatLearned,
        LongSkip::ConcatMagnitudePreserving(0.5),
    ];
    let norms = [
        Norm::None,
        Norm::GROUP,
        Norm::Layer { eps: 1e-5 },
        Norm::Rms { eps: 1e-5 },
    ];
    let of_skips = skips.map(|short| study(Norm::GROUP, short, LongSkip::Add(1.0)));
    let of_longs = longs.map(|long| study(Norm::GROUP, ShortSkip::Identity, long));
    let of_norms = norms.map(|norm| study(norm, ShortSkip::Identity, LongSkip::Concat(1.0)));
    let published = [
        UNetConfig::ddpm(IMAGE, 32, &[1, 2]),
        UNetConfig::ddpmpp(IMAGE, 16, &[1, 2]),
        UNetConfig::ncsnpp(IMAGE, 16, &[1, 2]),
        UNetConfig::adm(IMAGE, 64, &[1, 2], Classes::None),
    ];
    for config in of_skips
        .iter()
        .chain(&of_longs)
        .chain(&of_norms)
        .chain(&published)
    {
        let [answer, gradient] = apart(config);
        let words = format!("{answer} {gradient}: {config:?}");
        // It does round: a network that stays in single precision is no bfloat16.
        assert!(UNIT / 16.0 < answer && answer < 4.0 * UNIT, "{words}");
        assert!(UNIT / 16.0 < gradient && gradient < 8.0 * UNIT, "{words}");
    }
}

#[test]
fn calibration_is_in_single_precision() {
    let config = study(Norm::None, ShortSkip::Identity, LongSkip::None);
    let calibrated = |rounded: bool| {
        let store = store(Kind::Float);
        let net = UNet::new(&Params::seeded(store.root(), 3), &config).expect("a network");
        let (x, label) = (
            noise(&[16, 1, 8, 8], Kind::Float, 1),
            noise(&[16], Kind::Float, 2),
        );
        let mode = &mut Mode::Calibrate;
        let answer = if rounded {
            Bfloat16(net).forward(&x, &label, mode)
        } else {
            net.forward(&x, &label, mode)
        };
        Vec::<f32>::try_from(answer.view([-1])).expect("a list")
    };
    assert_eq!(calibrated(true), calibrated(false));
}
