//! Laws of all blocks: gradients, identity at the start, independence of the batch, shared values.
#![cfg(feature = "tch")]

mod common;

use common::{
    assert_gradients,
    catalogue::{Part, any_part, attention, conv, inits, shorts},
    distance, noise, store, values,
};
use proptest::prelude::*;
use resnet_blocks::{
    Activation, Attention, Backbone, Border, Conv2d, Conv2dConfig, ConvBlockConfig, Error, FreeU,
    Init, LongSkip, MlpBlockConfig, Mode, Params, ResBlockConfig, Resample, ShortSkip, Skip,
};
use tch::{Kind, Tensor, nn::VarStore};

/// Moves every variable away from its initial value, so that no gain is 0 and no scale is 1.
fn perturb(store: &VarStore) {
    let _guard = tch::no_grad_guard();
    let mut variables: Vec<_> = store.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    for (seed, (_, mut variable)) in variables.into_iter().enumerate() {
        variable += 0.3 * noise(&variable.size(), Kind::Double, seed as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradients_are_those_of_finite_differences(part in any_part(), side in 2usize..5) {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 0);
        let block = part.build(&params).expect("a valid configuration");
        perturb(&store);
        let (x, embedding) = part.batch(2, side, 1);
        let size = block.forward(&x, &embedding, &mut Mode::Eval).size();
        let cotangent = noise(&size, Kind::Double, 3);
        let units = params.units();
        let mut inputs: Vec<Tensor> = units.into_iter().flat_map(|unit| unit.parameters).collect();
        inputs.push(x.set_requires_grad(true));
        if part.embedded() {
            inputs.push(embedding.set_requires_grad(true));
        }
        let (x, embedding) = (x.shallow_clone(), embedding.shallow_clone());
        assert_gradients(&inputs, || {
            (block.forward(&x, &embedding, &mut Mode::Eval) * &cotangent).sum(None::<Kind>)
        });
    }

    #[test]
    fn an_example_does_not_see_its_batch(part in any_part(), side in 2usize..6) {
        let store = store(Kind::Double);
        let block = part.build(&Params::seeded(store.root(), 0)).expect("a valid configuration");
        perturb(&store);
        let (x, embedding) = part.batch(3, side, 1);
        let together = block.forward(&x, &embedding, &mut Mode::Eval);
        for at in 0..3 {
            let one = |batch: &Tensor| batch.narrow(0, at, 1);
            let alone = block.forward(&one(&x), &one(&embedding), &mut Mode::Eval);
            prop_assert!(distance(&alone, &one(&together)) < 1e-12);
        }
    }
}

/// The three kinds of blocks that have a short skip, with this one.
fn residual(short: ShortSkip, init: Init, last_gain: f64) -> [Part; 3] {
    let ResBlockConfig { branch, .. } = conv();
    let square = MlpBlockConfig::square(8, Activation::Silu, init);
    [
        Part::Mlp(
            MlpBlockConfig {
                last_gain,
                ..square
            },
            short,
        ),
        Part::Conv(ResBlockConfig {
            branch: ConvBlockConfig {
                init,
                last_gain,
                ..branch
            },
            short,
            ..conv()
        }),
        Part::Attention(Attention {
            init,
            last_gain,
            short,
            ..attention()
        }),
    ]
}

#[test]
fn a_block_that_begins_at_zero_is_the_identity() -> Result<(), Error> {
    let zero = |short| (short, 0.0);
    for (short, last_gain) in [
        zero(ShortSkip::Identity),
        zero(ShortSkip::Scaled(0.4)),
        zero(ShortSkip::Averaged(1.0)),
        zero(ShortSkip::MagnitudePreserving(0.0)),
        zero(ShortSkip::StochasticDepth { survival: 0.5 }),
        zero(ShortSkip::LayerScale(0.1)),
        (ShortSkip::Scaled(0.0), 1.0),
        (ShortSkip::ReZero, 1.0),
        (ShortSkip::Fixup { blocks: 4 }, 1.0),
    ] {
        for part in residual(short, Init::PyTorch, last_gain) {
            let store = store(Kind::Double);
            let block = part.build(&Params::seeded(store.root(), 0))?;
            let (x, embedding) = part.batch(2, 4, 1);
            let y = block.forward(&x, &embedding, &mut Mode::Eval);
            assert_eq!(distance(&x, &y), 0.0, "{part:?}");
        }
    }
    Ok(())
}

/// Common variables of two arms of one seed: equally named, and the second over the first.
fn ratios(arms: [&Part; 2]) -> Result<Vec<(String, f64)>, Error> {
    let [first, second] = arms.map(|part| {
        let store = store(Kind::Double);
        part.build(&Params::seeded(store.root(), 5))?;
        Ok::<_, Error>(values(&store))
    });
    let (first, second) = (first?, second?);
    let ratio = |name: &String, ours: &Vec<f64>| {
        let theirs = &second.iter().find(|(other, ..)| other == name)?.2;
        let ratios = ours
            .iter()
            .zip(theirs)
            .filter(|(a, b)| (**a, **b) != (0.0, 0.0));
        let ratios: Vec<f64> = ratios.map(|(a, b)| b / a).collect();
        let (least, most) = ratios
            .iter()
            .fold((f64::MAX, f64::MIN), |(least, most), ratio| {
                (least.min(*ratio), most.max(*ratio))
            });
        assert!(
            ratios.is_empty() || most - least < 1e-5,
            "{name} {least} {most}"
        );
        Some((name.clone(), if ratios.is_empty() { 1.0 } else { least }))
    };
    Ok(first
        .iter()
        .filter_map(|(name, _, values)| ratio(name, values))
        .collect())
}

#[test]
fn arms_share_the_initial_values_of_all_common_names_but_for_prepared_branches() -> Result<(), Error>
{
    for init in inits() {
        for short in shorts() {
            let plain = residual(ShortSkip::None, init, 1.0);
            for (plain, arm) in plain.iter().zip(&residual(short, init, 1.0)) {
                for (name, ratio) in ratios([plain, arm])? {
                    let first = ["linear1", "conv1", "value"];
                    let last = ["linear2", "conv2", "out"];
                    let layer = name.split('.').next().unwrap_or_default();
                    let expected = match short {
                        ShortSkip::Fixup { blocks } if first.contains(&layer) => {
                            1.0 / (blocks as f64).sqrt()
                        }
                        ShortSkip::Fixup { .. } if last.contains(&layer) => 0.0,
                        ShortSkip::DeepNorm { blocks }
                            if first.contains(&layer) || last.contains(&layer) =>
                        {
                            1.0 / (4.0 * blocks as f64).powf(0.25)
                        }
                        _ => 1.0,
                    };
                    // A bias that begins at 0 is 0 whatever the factor.
                    let biased = init == Init::PyTorch || name.ends_with("weight");
                    let expected = if biased { expected } else { 1.0 };
                    assert!((ratio - expected).abs() < 1e-5, "{short:?} {name}: {ratio}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn sums_of_independent_features_keep_their_mean_square() -> Result<(), Error> {
    let (a, b) = (
        noise(&[64, 8, 8, 8], Kind::Double, 1),
        noise(&[64, 8, 8, 8], Kind::Double, 2),
    );
    let mean_square = |x: &Tensor| x.square().mean(None::<Kind>).double_value(&[]);
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 0);
    for short in [
        ShortSkip::Averaged(0.5f64.sqrt()),
        ShortSkip::MagnitudePreserving(0.3),
        ShortSkip::MagnitudePreserving(0.8),
    ] {
        let y = short.build(&params, 8)?.join(&a, &b, &mut Mode::Eval);
        assert!((mean_square(&y) - 1.0).abs() < 0.02, "{short:?}");
    }
    // Whatever the widths, the halves contribute in the ratio of the shares, and all of it has 1.
    let few = a.narrow(1, 0, 2);
    for share in [0.2, 0.5, 0.9] {
        let skip = LongSkip::ConcatMagnitudePreserving(share).build(&params, 2)?;
        let y = skip.join(&few, &b, &mut Mode::Eval);
        assert!((mean_square(&y) - 1.0).abs() < 0.02, "{share}");
        let energy = |x: Tensor| x.square().sum(None::<Kind>).double_value(&[]);
        let ratio = (energy(y.narrow(1, 8, 2)) / energy(y.narrow(1, 0, 8))).sqrt();
        assert!(
            (ratio / (share / (1.0 - share)) - 1.0).abs() < 0.02,
            "{share} {ratio}"
        );
    }
    Ok(())
}

#[test]
fn free_u_of_ones_is_the_concatenation_and_so_it_is_for_constant_features() -> Result<(), Error> {
    let (a, b) = (
        noise(&[2, 4, 5, 6], Kind::Double, 1),
        noise(&[2, 6, 5, 6], Kind::Double, 2),
    );
    let store = store(Kind::Double);
    let concat = LongSkip::Concat(1.0).build(&Params::seeded(store.root(), 0), 4)?;
    let plain = concat.join(&a, &b, &mut Mode::Eval);
    for backbone in [Backbone::Constant(1.0), Backbone::Structured(1.0)] {
        let y = FreeU {
            backbone,
            skip: 1.0,
        }
        .join(&a, &b, &mut Mode::Eval);
        assert!(distance(&y, &plain) < 1e-12);
    }
    // Without structure there is nothing to strengthen; a constant shortcut is all of frequency 0.
    let [a, b] = [a, b].map(|x| x.ones_like());
    let skip = FreeU {
        backbone: Backbone::Structured(9.0),
        skip: 0.5,
    };
    let y = skip.join(&a, &b, &mut Mode::Eval);
    assert_eq!(distance(&y.narrow(1, 0, 6), &b), 0.0);
    assert!(distance(&y.narrow(1, 6, 4), &(a * 0.5)) < 1e-12);
    Ok(())
}

#[test]
fn a_highway_with_its_gate_shut_is_the_identity_and_with_it_open_the_branch() -> Result<(), Error> {
    let (a, b) = (
        noise(&[2, 8, 3, 3], Kind::Double, 1),
        noise(&[2, 8, 3, 3], Kind::Double, 2),
    );
    for (bias, expected) in [(-50.0, &a), (50.0, &b)] {
        let store = store(Kind::Double);
        let skip = ShortSkip::Highway { bias }.build(&Params::seeded(store.root(), 0), 8)?;
        assert!(distance(&skip.join(&a, &b, &mut Mode::Eval), expected) < 1e-12);
    }
    Ok(())
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
            stride,
            ..Conv2dConfig::new(2, 5, kernel, Init::He)
        };
        let layer = Conv2d::new(&Params::seeded(store.root(), 0), &conv)?;
        let x = noise(&[3, 2, side, side + 2], Kind::Float, 1);
        let y = layer.forward(&x, &mut Mode::Eval);
        let wide = (side + 2 + stride as i64 - 1) / stride as i64;
        assert_eq!(y.size(), [3, 5, expected, wide]);
    }
    Ok(())
}

#[test]
fn a_constant_image_stays_constant_at_any_size_where_borders_are_mirrored_or_left_out() {
    for (height, width) in [(1, 1), (1, 2), (2, 3), (5, 4)] {
        let x = Tensor::full([1, 2, height, width], 3.0, (Kind::Double, tch::Device::Cpu));
        for resample in [
            Resample::HalveMean,
            Resample::DoubleNearest,
            Resample::HalveFir(Border::Mirror),
            Resample::DoubleFir(Border::Mirror),
        ] {
            let y = resample.apply(&x);
            assert!(distance(&y, &(y.ones_like() * 3.0)) < 1e-12, "{resample:?}");
        }
    }
}

#[test]
fn delta_orthogonal_and_dirac_convolutions_are_isometries_of_every_pixel() -> Result<(), Error> {
    for init in [Init::DeltaOrthogonal, Init::Dirac] {
        let store = store(Kind::Double);
        let conv = Conv2dConfig::new(6, 6, 3, init);
        let layer = Conv2d::new(&Params::seeded(store.root(), 0), &conv)?;
        let x = noise(&[2, 6, 5, 5], Kind::Double, 1);
        let y = layer.forward(&x, &mut Mode::Eval);
        let norms = |x: &Tensor| x.square().sum_dim_intlist(1, false, None::<Kind>);
        assert!(distance(&norms(&x), &norms(&y)) < 1e-5);
        if init == Init::Dirac {
            assert_eq!(distance(&x, &y), 0.0);
        }
    }
    Ok(())
}
