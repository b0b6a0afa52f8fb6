//! `Mode::Train`: what is random is drawn from the stream of the mode, with the right mean.
#![cfg(feature = "tch")]

mod common;

use common::{
    catalogue::{Part, any_part, conv, magnitude},
    distance, noise, store,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use resnet_blocks::{
    ConvBlockConfig, Dropout, Error, MagnitudeBlockConfig, Mode, Params, ResBlockConfig, ShortSkip,
};
use tch::{Kind, Tensor};

fn train(seed: u64) -> Mode {
    Mode::Train(ChaCha8Rng::seed_from_u64(seed))
}

/// Dropout where the part has a place for it.
fn dropping(part: &Part, dropout: Dropout) -> Part {
    match part {
        Part::Conv(config) => Part::Conv(ResBlockConfig {
            branch: ConvBlockConfig {
                dropout,
                ..config.branch
            },
            ..*config
        }),
        Part::Magnitude(config) => Part::Magnitude(MagnitudeBlockConfig { dropout, ..*config }),
        part => part.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_stream_gives_one_output(part in any_part(), channels in any::<bool>()) {
        let dropout = if channels { Dropout::Channels(0.5) } else { Dropout::Elements(0.5) };
        let part = dropping(&part, dropout);
        let store = store(Kind::Double);
        let block = part.build(&Params::seeded(store.root(), 0)).expect("a valid configuration");
        let (x, embedding) = part.batch(4, 4, 1);
        let pass = |mode: &mut Mode| block.forward(&x, &embedding, mode);
        let magnitude = matches!(part, Part::Magnitude(_));
        // Each pass renormalises magnitude-preserving weights, which settles at once.
        let bound = if magnitude { 1e-6 } else { 0.0 };
        let first = pass(&mut train(1));
        prop_assert!(distance(&first, &pass(&mut train(1))) <= bound);
        // A stream goes on: the second pass with it is another.
        let mut mode = train(1);
        prop_assert!(distance(&first, &pass(&mut mode)) <= bound);
        let seen = match &part {
            Part::Magnitude(config) => 0.01 < config.balance,
            // The branch begins at nothing, or at too little to see.
            Part::Conv(config) => !matches!(
                config.short,
                ShortSkip::ReZero | ShortSkip::LayerScale(_) | ShortSkip::Fixup { .. }
            ),
            _ => false,
        };
        if seen {
            prop_assert!(1e-6 < distance(&first, &pass(&mut mode)));
        }
    }
}

#[test]
fn without_a_random_choice_training_is_evaluation() -> Result<(), Error> {
    for part in [Part::Conv(conv()), Part::Magnitude(magnitude())] {
        let store = store(Kind::Double);
        let block = part.build(&Params::seeded(store.root(), 0))?;
        let (x, embedding) = part.batch(2, 4, 1);
        let evaluated = block.forward(&x, &embedding, &mut Mode::Eval);
        // Magnitude-preserving weights are normalised once more, which moves them by their eps.
        let bound = if matches!(part, Part::Magnitude(_)) {
            1e-3
        } else {
            0.0
        };
        assert!(distance(&evaluated, &block.forward(&x, &embedding, &mut train(0))) <= bound);
    }
    Ok(())
}

/// Mean over the numbers of x, and its standard error if they are independent.
fn mean(x: &Tensor) -> (f64, f64) {
    let count = x.numel() as f64;
    let mean = x.mean(None::<Kind>).double_value(&[]);
    (mean, x.std(true).double_value(&[]) / count.sqrt())
}

#[test]
fn dropout_keeps_the_mean_and_drops_its_share_of_elements_or_channels() {
    let x = Tensor::ones([50, 40, 4, 4], (Kind::Double, tch::Device::Cpu));
    for share in [0.1, 0.5, 0.9] {
        for dropout in [Dropout::Elements(share), Dropout::Channels(share)] {
            assert_eq!(
                distance(&x, &dropout.apply(x.shallow_clone(), &mut Mode::Eval)),
                0.0
            );
            let y = dropout.apply(x.shallow_clone(), &mut train(3));
            // What is left is 1 / (1 - share), the rest 0.
            let kept = y.ge(0.5).to_kind(Kind::Double);
            assert!(distance(&y, &(&kept / (1.0 - share))) < 1e-12);
            let independent = match dropout {
                Dropout::Channels(_) => {
                    let one = y.narrow(2, 0, 1).narrow(3, 0, 1);
                    assert_eq!(distance(&y, &one.expand_as(&y)), 0.0);
                    one
                }
                _ => y,
            };
            let (mean, error) = mean(&independent);
            assert!(
                0.0 < error && (mean - 1.0).abs() < 4.0 * error,
                "{dropout:?} {mean} {error}"
            );
        }
    }
    let all = Dropout::Elements(0.0).apply(x.shallow_clone(), &mut train(3));
    assert_eq!(distance(&x, &all), 0.0);
}

#[test]
fn dropped_channels_of_vectors_are_their_numbers() {
    let x = Tensor::ones([30, 40], (Kind::Float, tch::Device::Cpu));
    let [elements, channels] = [Dropout::Elements(0.5), Dropout::Channels(0.5)]
        .map(|dropout| dropout.apply(x.shallow_clone(), &mut train(3)));
    assert_eq!(distance(&elements, &channels), 0.0);
}

#[test]
fn examples_survive_whole_with_their_probability_and_evaluation_is_the_mean() -> Result<(), Error> {
    let count = 4000;
    let (h, f) = (
        noise(&[count, 3], Kind::Double, 1),
        noise(&[count, 3], Kind::Double, 2),
    );
    for survival in [0.2, 0.7, 1.0] {
        let store = store(Kind::Double);
        let skip = ShortSkip::StochasticDepth { survival };
        let skip = skip.build(&Params::seeded(store.root(), 0), 3)?;
        let branch = skip.join(&h, &f, &mut train(0)) - &h;
        // The branch in full or not at all.
        let survived = (&branch / &f).round();
        assert!(distance(&branch, &(&f * &survived)) < 1e-12);
        let first = survived.narrow(1, 0, 1);
        assert_eq!(distance(&survived, &first.expand_as(&survived)), 0.0);
        let (share, error) = mean(&first);
        assert!(
            (share - survival).abs() <= 4.0 * error,
            "{survival}: {share}"
        );
        let evaluated = skip.join(&h, &f, &mut Mode::Eval);
        assert!(distance(&evaluated, &(&h + &f * survival)) < 1e-15);
    }
    Ok(())
}

#[test]
fn training_sets_magnitude_preserving_weights_to_root_mean_square_one() -> Result<(), Error> {
    let store = store(Kind::Double);
    let params = Params::seeded(store.root(), 0);
    let part = Part::Magnitude(MagnitudeBlockConfig {
        heads: 2,
        ..magnitude()
    });
    let block = part.build(&params)?;
    let units = params.units();
    let weights: Vec<&Tensor> = units
        .iter()
        .filter(|unit| unit.name != "gain")
        .map(|unit| &unit.parameters[0])
        .collect();
    assert_eq!(weights.len(), 7);
    let deviation = || {
        let rows = weights.iter().map(|weight| weight.flatten(1, -1));
        let rms = rows.map(|rows| rows.square().mean_dim(1, false, None::<Kind>).sqrt());
        rms.map(|rms| (rms - 1.0).abs().max().double_value(&[]))
            .fold(0.0, f64::max)
    };
    {
        let _guard = tch::no_grad_guard();
        for weight in &weights {
            let mut weight = weight.shallow_clone();
            weight *= 7.0;
        }
    }
    let (x, embedding) = part.batch(2, 4, 1);
    let before = block.forward(&x, &embedding, &mut Mode::Eval);
    assert!(1.0 < deviation(), "evaluation leaves weights alone");
    let y = block.forward(&x, &embedding, &mut train(0));
    assert!(deviation() < 1e-3, "{}", deviation());
    // The length of a row does not matter, but for the eps.
    assert!(distance(&before, &y) < 1e-3);
    y.sum(None::<Kind>).backward();
    assert!(weights.iter().all(|weight| weight.grad().defined()));
    Ok(())
}
