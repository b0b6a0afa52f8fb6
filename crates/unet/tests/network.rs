//! Laws of the network: it is what the plan says, and every skip is one choice.
#![cfg(feature = "tch")]

mod common;

use common::{assert_gradients, distance, gradient_norms, noise, store, values};
use resnet_blocks::{
    Activation, Backbone, Dropout, Feature, FreeU, Init, LongSkip, Mode, Network, Norm, Opened,
    Params, ShortSkip, Shortcut, Unit,
};
use tch::{Kind, Tensor};
use unet::{
    Classes, Conditions, Error, Parts, ResidualParts, SelfConditioning, SkipEdit, Topology, UNet,
    UNetConfig,
};

fn image(channels: usize, height: usize, width: usize) -> Feature {
    Feature {
        channels,
        height,
        width,
    }
}

/// A study's network in the terms that the tests change.
#[derive(Clone)]
struct Study {
    image: Feature,
    base: usize,
    multipliers: Vec<usize>,
    blocks: usize,
    norm: Norm,
    short: ShortSkip,
    long: LongSkip,
    init: Init,
}

impl Study {
    fn config(&self) -> UNetConfig {
        let parts = ResidualParts::plain(Activation::Silu, self.norm, self.short, self.init);
        UNetConfig::study(
            self.image,
            self.base,
            &self.multipliers,
            self.blocks,
            parts,
            self.long,
        )
    }
}

fn default_study() -> Study {
    Study {
        image: image(1, 16, 16),
        base: 8,
        multipliers: vec![1, 2, 2],
        blocks: 1,
        norm: Norm::None,
        short: ShortSkip::inverse_sqrt(5),
        long: LongSkip::Add(0.5f64.sqrt()),
        init: Init::PyTorch,
    }
}

fn plain() -> Study {
    Study {
        short: ShortSkip::None,
        long: LongSkip::None,
        ..default_study()
    }
}

/// One small network of each family, on sides that do not halve evenly.
fn families() -> Vec<(&'static str, UNetConfig)> {
    let rgb = image(3, 5, 6);
    vec![
        ("study", default_study().config()),
        ("ddpm", UNetConfig::ddpm(rgb, 32, &[1, 2])),
        ("ddpm++", UNetConfig::ddpmpp(rgb, 8, &[1, 2])),
        ("ncsn++", UNetConfig::ncsnpp(rgb, 8, &[1, 2])),
        (
            "adm",
            UNetConfig::adm(image(3, 5, 4), 64, &[1, 1], Classes::None),
        ),
        (
            "edm2",
            UNetConfig {
                widths: vec![64, 64],
                ..UNetConfig::edm2(image(3, 5, 4), 64, None)
            },
        ),
    ]
    .into_iter()
    .map(|(name, config)| {
        let blocks = 1; // enough to have every kind of step
        (name, UNetConfig { blocks, ..config })
    })
    .collect()
}

/// A batch of images and labels.
fn batch(config: &UNetConfig, size: i64, kind: Kind) -> (Tensor, Tensor) {
    let Feature {
        channels,
        height,
        width,
    } = config.frame.input;
    (
        noise(
            &[size, channels as i64, height as i64, width as i64],
            kind,
            1,
        ),
        noise(&[size], kind, 2) * 0.5,
    )
}

#[test]
fn the_store_holds_what_the_plan_says_and_the_shape_is_kept() -> Result<(), Error> {
    let studies = [
        plain(),
        Study {
            norm: Norm::GROUP,
            ..default_study()
        },
        Study {
            long: LongSkip::Concat(1.0),
            blocks: 2,
            ..default_study()
        },
        Study {
            image: image(3, 9, 5),
            base: 5,
            multipliers: vec![1, 3],
            ..default_study()
        },
        Study {
            image: image(1, 28, 28),
            multipliers: vec![1, 1, 1, 1, 1, 1],
            ..default_study()
        },
        Study {
            image: image(1, 1, 1),
            base: 1,
            multipliers: vec![2],
            ..default_study()
        },
    ];
    let studies = studies.iter().map(|study| ("study", study.config()));
    for (name, config) in studies.chain(families()) {
        let store = store(Kind::Float);
        let params = Params::seeded(store.root(), 0);
        let net = UNet::new(&params, &config)?;
        let plan = Topology::plan(&config)?;
        let built: Vec<_> = net
            .tensors()
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.numel()))
            .collect();
        let planned: Vec<_> = plan
            .tensors()
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.numbers()))
            .collect();
        assert_eq!(built, planned, "{name}");
        let counted = |unit: &Unit| unit.parameters.iter().map(Tensor::numel).sum::<usize>();
        let learned: usize = params.units().iter().map(counted).sum();
        let trainable = store.trainable_variables();
        assert_eq!(
            learned,
            trainable.iter().map(Tensor::numel).sum::<usize>(),
            "{name}"
        );
        let (x, label) = batch(&config, 2, Kind::Float);
        let y = net.forward(&x, &label, &mut Mode::Eval);
        assert_eq!(y.size(), x.size(), "{name}");

        let shortcuts = params.shortcuts();
        let names: Vec<&str> = shortcuts.iter().map(Shortcut::name).collect();
        assert_eq!(plan.shortcuts(), names, "{name}");
        let opened: Vec<Opened> = shortcuts.iter().map(Shortcut::open).collect();
        let same = net.forward(&x, &label, &mut Mode::Eval);
        assert!(same.equal(&y), "{name}");
        drop(opened);
    }
    Ok(())
}

#[test]
fn skips_change_the_function_and_no_parameter() -> Result<(), Error> {
    let draw = |study: &Study| {
        let config = &study.config();
        let store = store(Kind::Float);
        let net = UNet::new(&Params::seeded(store.root(), 4), config)?;
        let (x, label) = batch(config, 2, Kind::Float);
        Ok::<_, Error>((values(&store), net.forward(&x, &label, &mut Mode::Eval)))
    };
    let (reference, plain_output) = draw(&plain())?;
    for short in [
        ShortSkip::None,
        ShortSkip::Identity,
        ShortSkip::inverse_sqrt(5),
    ] {
        for long in [LongSkip::None, LongSkip::Add(0.7)] {
            let (values, output) = draw(&Study {
                short,
                long,
                ..default_study()
            })?;
            assert_eq!(values, reference);
            let same = short == ShortSkip::None && long == LongSkip::None;
            assert_eq!(
                distance(&output, &plain_output) == 0.0,
                same,
                "{short:?} {long:?}"
            );
        }
    }
    let (concat, _) = draw(&Study {
        long: LongSkip::Concat(1.0),
        ..plain()
    })?;
    assert!(reference.iter().all(|variable| concat.contains(variable)));
    assert_eq!(concat.len(), reference.len() + 4);
    Ok(())
}

#[test]
fn the_gradient_is_that_of_finite_differences() -> Result<(), Error> {
    let small = Study {
        image: image(1, 5, 5),
        base: 4,
        multipliers: vec![1, 2],
        ..default_study()
    };
    let gated = Study {
        norm: Norm::GROUP,
        short: ShortSkip::Highway { bias: -1.0 },
        long: LongSkip::ConcatLearned,
        ..small.clone()
    };
    let mut narrow = UNetConfig::ncsnpp(image(2, 5, 4), 8, &[1, 2]);
    narrow.blocks = 1;
    narrow.attention.levels = vec![1];
    for config in [small.config(), gated.config(), narrow] {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 0);
        let net = UNet::new(&params, &config)?;
        let (x, label) = batch(&config, 2, Kind::Double);
        let cotangent = noise(&x.size(), Kind::Double, 3);
        let parameters: Vec<Tensor> = params
            .units()
            .into_iter()
            .flat_map(|unit| unit.parameters)
            .collect();
        assert_gradients(&parameters, || {
            (net.forward(&x, &label, &mut Mode::Eval) * &cotangent).sum(None::<Kind>)
        });
    }
    Ok(())
}

#[test]
fn an_image_does_not_see_its_batch() -> Result<(), Error> {
    for (name, config) in families() {
        let store = store(Kind::Double);
        let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
        stir(&net);
        let (x, label) = batch(&config, 3, Kind::Double);
        let together = net.forward(&x, &label, &mut Mode::Eval);
        for at in 0..3 {
            let (x, label) = (x.narrow(0, at, 1), label.narrow(0, at, 1));
            let alone = net.forward(&x, &label, &mut Mode::Eval);
            let difference = distance(&alone, &together.narrow(0, at, 1));
            assert!(difference < 1e-10, "{name}: {difference}");
        }
    }
    Ok(())
}

/// Adds noise to every learned number, so that nothing is 0 because it begins there.
fn stir(net: &UNet) {
    let _guard = tch::no_grad_guard();
    for (index, (_, tensor)) in net.tensors().iter().enumerate() {
        let mut tensor = tensor.shallow_clone();
        tensor += noise(&tensor.size(), tensor.kind(), index as u64) * 0.1;
    }
}

#[test]
fn the_label_matters() -> Result<(), Error> {
    for (name, config) in families() {
        let store = store(Kind::Double);
        let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
        stir(&net);
        let (x, label) = batch(&config, 2, Kind::Double);
        let at = |label: &Tensor| net.forward(&x, label, &mut Mode::Eval);
        assert!(1e-6 < distance(&at(&label), &at(&(&label + 0.5))), "{name}");
    }
    Ok(())
}

#[test]
fn any_one_skip_of_a_trained_network_can_be_edited() -> Result<(), Error> {
    for (name, config) in families() {
        let store = store(Kind::Double);
        let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
        stir(&net);
        let (x, label) = batch(&config, 3, Kind::Double);
        let run = |net: &UNet| net.forward(&x, &label, &mut Mode::Eval);
        let whole = run(&net);
        let free_u = |backbone, skip| SkipEdit::FreeU(FreeU { backbone, skip });
        for skip in net.topology().long_skips() {
            let edited =
                |edit| Ok::<_, Error>(distance(&run(&net.edited(&skip.name, edit)?), &whole));
            for nothing in [
                SkipEdit::Keep,
                SkipEdit::Scale(1.0),
                SkipEdit::OfAnother { shift: 3 },
                free_u(Backbone::Constant(1.0), 1.0),
                free_u(Backbone::Structured(1.0), 1.0),
            ] {
                assert!(edited(nothing)? < 1e-9, "{name}: {} {nothing:?}", skip.name);
            }
            for something in [
                SkipEdit::Zero,
                SkipEdit::Scale(0.5),
                SkipEdit::OfAnother { shift: 1 },
                free_u(Backbone::Constant(1.2), 0.8),
                free_u(Backbone::Structured(1.2), 0.8),
            ] {
                let change = edited(something)?;
                assert!(
                    1e-9 < change,
                    "{name}: {} {something:?}: {change}",
                    skip.name
                );
            }
            let zero = run(&net.edited(&skip.name, SkipEdit::Zero)?);
            let nothing = run(&net.edited(&skip.name, SkipEdit::Scale(0.0))?);
            assert_eq!(distance(&zero, &nothing), 0.0, "{name}: {}", skip.name);
        }
        assert_eq!(
            distance(&run(&net), &whole),
            0.0,
            "an edit is of its own network"
        );
    }
    Ok(())
}

#[test]
fn a_skip_that_is_not_there_and_a_number_that_is_none_are_refused() -> Result<(), Error> {
    let store = store(Kind::Float);
    let net = UNet::new(&Params::seeded(store.root(), 0), &default_study().config())?;
    let first = net.topology().long_skips()[0].name.clone();
    let error = net
        .edited("up7", SkipEdit::Zero)
        .expect_err("there is none");
    assert!(error.to_string().contains(&first), "{error}");
    let error = net.edited(&first, SkipEdit::Scale(f64::NAN));
    assert!(matches!(error, Err(Error::NotANumber { .. })));
    Ok(())
}

#[test]
fn an_estimate_of_its_own_is_zero_where_none_is_given() -> Result<(), Error> {
    let mut config = default_study().config();
    config.frame.self_conditioning = SelfConditioning::Estimate;
    let store = store(Kind::Double);
    let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
    let (x, label) = batch(&config, 2, Kind::Double);
    let run = |estimate: Option<&Tensor>| {
        let conditions = Conditions {
            classes: None,
            estimate,
        };
        net.forward_with(&x, &label, conditions, &mut Mode::Eval)
    };
    let without = run(None);
    assert_eq!(distance(&without, &run(Some(&x.zeros_like()))), 0.0);
    assert!(1e-6 < distance(&without, &run(Some(&x))));
    Ok(())
}

#[test]
fn training_drops_by_its_own_stream_alone() -> Result<(), Error> {
    use rand::SeedableRng;
    let mut config = default_study().config();
    if let Parts::Residual(parts) = &mut config.parts {
        parts.dropout = Dropout::Elements(0.5);
    }
    let store = store(Kind::Double);
    let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
    let (x, label) = batch(&config, 2, Kind::Double);
    let train = |seed| {
        let stream = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        net.forward(&x, &label, &mut Mode::Train(stream))
    };
    assert_eq!(distance(&train(1), &train(1)), 0.0);
    assert!(1e-6 < distance(&train(1), &train(2)));
    Ok(())
}

/// The read-out is the last layer, so its output is the network's; and a second calibration on the
/// same batch finds nothing to correct, which is so only if every layer was left as it should be.
#[test]
fn calibration_is_complete_in_one_pass_and_spares_the_label() -> Result<(), Error> {
    for config in [
        Study {
            init: Init::DeltaOrthogonal,
            ..plain()
        },
        plain(),
        default_study(),
        Study {
            long: LongSkip::Concat(1.0),
            ..plain()
        },
    ] {
        let config = config.config();
        let store = store(Kind::Float);
        let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
        let (x, label) = batch(&config, 16, Kind::Float);
        let drawn = values(&store);
        let output = net.forward(&x, &label, &mut Mode::Calibrate);
        assert!((output.std(false).double_value(&[]) - 1.0).abs() < 1e-4);
        assert!(output.mean(None::<Kind>).double_value(&[]).abs() < 1e-4);
        assert_ne!(drawn, values(&store));
        let once = values(&store);
        let _output = net.forward(&x, &label, &mut Mode::Calibrate);
        for (before, (first, second)) in drawn.iter().zip(once.iter().zip(&values(&store))) {
            let label_only = first.0.starts_with("embedding") || first.0.contains(".shift.");
            assert!(!label_only || before == first, "{}", first.0);
            for (a, b) in first.2.iter().zip(&second.2) {
                assert!(
                    (a - b).abs() < 1e-3 * (1.0 + a.abs()),
                    "{}: {a} {b}",
                    first.0
                );
            }
        }
    }
    Ok(())
}

/// Norm of the gradient of the second convolution over that of the last but one.
fn gradient_ratio(study: &Study, calibrate: bool) -> Result<f64, Error> {
    let config = &study.config();
    let store = store(Kind::Float);
    let params = Params::seeded(store.root(), 0);
    let net = UNet::new(&params, config)?;
    let (x, label) = batch(config, 16, Kind::Float);
    if calibrate {
        let _output = net.forward(&x, &label, &mut Mode::Calibrate);
    }
    let target = noise(&x.size(), Kind::Float, 3);
    let loss = (net.forward(&x, &label, &mut Mode::Eval) - target)
        .square()
        .mean(None::<Kind>);
    let convs: Vec<Tensor> = params
        .units()
        .iter()
        .map(|unit| unit.parameters[0].shallow_clone())
        .filter(|weight| weight.dim() == 4)
        .collect();
    let norms = gradient_norms(&loss, &convs);
    Ok(norms[1] / norms[norms.len() - 2])
}

/// As the default study found in Python: about 1e-6 plain, about 1 with skips or well initialised.
#[test]
fn gradients_vanish_in_the_plain_network_only() -> Result<(), Error> {
    let vanished = gradient_ratio(&plain(), false)?;
    let skips = gradient_ratio(&default_study(), false)?;
    let calibrated = gradient_ratio(
        &Study {
            init: Init::DeltaOrthogonal,
            ..plain()
        },
        true,
    )?;
    assert!(vanished < 1e-4, "{vanished:e}");
    assert!(0.2 < skips && skips < 5.0, "{skips}");
    assert!(0.2 < calibrated && calibrated < 20.0, "{calibrated}");
    Ok(())
}
