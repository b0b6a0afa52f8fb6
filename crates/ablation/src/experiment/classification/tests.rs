//! Sizes, refusals, pictures and orders without torch; networks and training with it.

use tempfile::tempdir;

use super::{
    batches::{Batch, Cut, Order, Pictures},
    *,
};
use crate::{
    catalog,
    claim::Claim,
    config::Device,
    data::Images,
    plan::{Overrides, Plan},
    study,
};

/// The baseline of the claim `g1`, of images of this shape.
fn published(blocks: usize, shape: [usize; 3]) -> Classification {
    let (_, text) = catalog::CLAIMS
        .iter()
        .find(|(name, _)| *name == "g1")
        .expect("the claim is built in");
    let claim: Claim = study::parse("g1.toml", text).expect("it reads");
    let mut experiment = claim.experiment.expect("it has one");
    let mut own = experiment
        .classification()
        .expect("it is of this kind")
        .clone();
    own.blocks = blocks;
    set_shape(&mut own, shape);
    own
}

fn set_shape(own: &mut Classification, of_images: [usize; 3]) {
    if let Data::Images { shape, .. } = &mut own.data {
        *shape = of_images;
    }
}

#[test]
fn the_published_networks_have_their_published_sizes() {
    // He et al. 2015, table 6: 0.27, 0.85 and 1.7 million.
    for (blocks, layers, parameters) in [(3, 20, 269_722), (9, 56, 853_018), (18, 110, 1_727_962)] {
        let own = published(blocks, [3, 32, 32]);
        assert_eq!(own.parameters(), parameters);
        assert_eq!(own.convolutions().len() + 1, layers);
    }
    let own = published(3, [3, 32, 32]);
    let areas: Vec<usize> = own.convolutions().iter().map(|c| c.area).collect();
    assert_eq!(areas, [[1024; 7].as_slice(), &[256; 6], &[64; 6]].concat());
    // 41 million products a picture.
    let products: usize = own
        .convolutions()
        .iter()
        .map(|c| 9 * c.from * c.to * c.area)
        .sum();
    assert_eq!(products, 40_550_400);
}

#[test]
fn the_rate_falls_tenfold_and_begins_with_a_tenth() {
    let own = published(3, [3, 32, 32]);
    for (step, rate) in [
        (0, 0.01),
        (399, 0.01),
        (400, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ] {
        assert!((own.rate_at(step) / rate - 1.0).abs() < 1e-12, "{step}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_the_remedy() {
    let sound = published(3, [3, 32, 32]);
    let place = Place("here".to_owned());
    sound.check(&place).expect("it is sound");
    type Change = fn(&mut Classification);
    let noised: Change = |own| {
        if let Data::Images { noise, .. } = &mut own.data {
            *noise = 0.1;
        }
    };
    let others: Change = |own| own.data = Data::SongErmon {};
    let laid: Change = |own| own.numerics.memory_format = MemoryFormat::ChannelsLast;
    let cases: [(Change, &str); 15] = [
        (others, "give images with labels"),
        (noised, "leave the noise out"),
        (|own| own.classes = 1, "2..=256"),
        (|own| own.widths = vec![], "1..=8"),
        (|own| own.widths = vec![16, 8], "sort them"),
        (|own| own.blocks = 0, "1..=10000"),
        (|own| own.batch = 1, "2..=1000000"),
        (|own| own.rate = -0.1, "it must be positive"),
        (|own| own.warmup = 64_001, "0..=64000"),
        (
            |own| own.drops = vec![48_000, 32_000],
            "sort them, or give []",
        ),
        (|own| own.drops = vec![64_000], "before the end"),
        (|own| own.momentum = 1.0, "give 0.9, or 0"),
        (|own| own.padding = 33, "0..=32"),
        (
            |own| own.numerics.precision = Precision::Bf16,
            "single precision",
        ),
        (laid, "contiguous"),
    ];
    for (change, wanted) in cases {
        let mut own = sound.clone();
        change(&mut own);
        let message = own.check(&place).expect_err(wanted).to_string();
        assert!(
            message.starts_with("here") && message.contains(wanted),
            "{message}"
        );
    }
}

/// An IDX file of these sizes.
fn idx(sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(content);
    bytes
}

#[test]
fn the_plan_of_g1_takes_what_the_files_hold_and_refuses_what_has_no_labels() {
    let (_, text) = catalog::CLAIMS
        .iter()
        .find(|(name, _)| *name == "g1")
        .expect("the claim is built in");
    let small = text.replace("held_out = 5000", "held_out = 2");
    let plan = |text: &str, overrides: &Overrides| {
        let mut claim: Claim = study::parse("g1.toml", text).expect("it reads");
        claim.place = "g1.toml".to_owned();
        Plan::of_claims(vec![claim], overrides)
    };
    let folder = tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.path().join(name), bytes).expect("it is written");
    };
    write("train-images-idx3-ubyte", idx(&[3, 8, 8], &[7; 192]));
    let there = Overrides {
        data: Some(folder.path().to_owned()),
        ..Overrides::default()
    };
    let message = plan(&small, &there).expect_err("no labels").to_string();
    // Of a claim for a card that is no missing data set, which would leave it untested: it is refused.
    assert!(message.contains("has no labels to learn"), "{message}");
    write("train-labels-idx1-ubyte", idx(&[3], &[0, 10, 3]));
    let message = plan(&small, &there)
        .expect_err("a class too few")
        .to_string();
    assert!(
        message.contains("a label of the set `cifar10` is 10"),
        "{message}"
    );
    write("train-labels-idx1-ubyte", idx(&[3], &[0, 9, 3]));
    let found = plan(&small, &there).expect("a plan");
    let arms: Vec<_> = found.claim_arms().collect();
    assert_eq!(arms.len(), 6 * 3);
    assert_eq!(found.cells().len(), 6 * 3 * (3 + 1));
    let images = Images::open(folder.path(), crate::data::ImageFormat::Idx).expect("images");
    for arm in arms {
        let Some(Data::Images { digest, shape, .. }) = arm.config.data() else {
            panic!("it learns images");
        };
        assert_eq!((digest, *shape), (&images.digest(), [1, 8, 8]));
        assert_eq!(arm.config.device(), Device::Cuda);
        assert!(arm.seconds.is_finite() && 0.0 < arm.seconds);
    }
    let message = plan(text, &there).expect_err("too few images").to_string();
    assert!(message.contains("keep fewer back"), "{message}");
    let here = Overrides {
        device: Some(Device::Cpu),
        ..there
    };
    let found = plan(&small, &here).expect("a plan");
    assert!(
        found
            .claim_arms()
            .all(|arm| arm.config.device() == Device::Cpu)
    );
    // One that is to be run anywhere is refused without its images, one for a card says so.
    let elsewhere = small.replace("\"cifar10\"", "\"no-such-set\"");
    let found = plan(&elsewhere, &Overrides::default()).expect("a plan");
    let reason = found.claims[0].untested.as_deref().unwrap_or_default();
    assert!(
        reason.contains("the data set `no-such-set` is not here"),
        "{reason}"
    );
    let anywhere = elsewhere.replace("cost = \"cuda\"", "cost = \"all\"");
    assert!(plan(&anywhere, &Overrides::default()).is_err());
}

/// Two training images of 2×3 pixels that are mirror images about the mean, 127.5, and one kept back.
fn pictured() -> Images {
    let one = [0, 51, 102, 153, 204, 255];
    let pixels = one
        .iter()
        .copied()
        .chain(one.map(|p| 255 - p))
        .chain([255; 6]);
    Images::new(pixels.collect(), [1, 2, 3], Some(vec![4, 5, 6])).expect("three images")
}

#[test]
fn images_are_cut_and_reflected_as_drawn() {
    let images = pictured();
    let pictures = Pictures::new(&images, 1);
    assert_eq!((pictures.train(), pictures.held_out()), (0..2, 2..3));
    let [a, b, c, d, e, f] = [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0_f32];
    let close = |batch: &Batch, wanted: &[f32]| {
        assert_eq!(batch.x.len(), wanted.len());
        for (own, wanted) in batch.x.iter().zip(wanted) {
            assert!((own - wanted).abs() < 1e-6, "{:?}", batch.x);
        }
    };
    let whole = pictures.as_they_are(0..3);
    close(
        &whole,
        &[[a, b, c, d, e, f], [f, e, d, c, b, a], [f; 6]].concat(),
    );
    assert_eq!(whole.labels, [4, 5, 6]);
    let o = 0.0;
    for (row, column, flipped, wanted) in [
        (1, 1, false, [a, b, c, d, e, f]),
        (1, 1, true, [c, b, a, f, e, d]),
        (0, 0, false, [o, o, o, o, a, b]),
        (2, 2, false, [e, f, o, o, o, o]),
        (0, 1, true, [o, o, o, c, b, a]),
        // Cut first, then reflected.
        (1, 0, true, [b, a, o, e, d, o]),
    ] {
        let cut = Cut {
            row,
            column,
            flipped,
        };
        close(&pictures.batch([(0, cut)], 1), &wanted);
    }
}

#[test]
fn a_pass_holds_every_image_once_and_draws_depend_on_the_step_alone() {
    let own = Classification {
        batch: 4,
        ..published(1, [1, 2, 3])
    };
    let stream = Stream::new(3);
    let mut order = Order::new();
    let steps: Vec<Vec<(usize, Cut)>> = (0..5)
        .map(|step| order.step(&own, step, 10, &stream))
        .collect();
    let numbers: Vec<usize> = steps.concat().iter().map(|(number, _)| *number).collect();
    let sorted = |numbers: &[usize]| {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted
    };
    let all: Vec<usize> = (0..10).collect();
    assert_eq!(sorted(&numbers[..10]), all);
    assert_eq!(sorted(&numbers[10..]), all);
    assert_ne!(numbers[..10], numbers[10..]);
    // What was asked before changes nothing, and neither does the network.
    let plain = Classification {
        short: Short::None,
        blocks: 7,
        ..own.clone()
    };
    assert_eq!(Order::new().step(&plain, 3, 10, &stream), steps[3]);
    let cuts = || steps.iter().flatten().map(|(_, cut)| cut);
    assert!(cuts().all(|cut| cut.row <= 8 && cut.column <= 8));
    assert!(cuts().any(|cut| cut.flipped) && cuts().any(|cut| !cut.flipped));
    let never = Classification {
        flips: false,
        ..own
    };
    let unflipped = Order::new().step(&never, 3, 10, &stream);
    for ((number, cut), (other, as_before)) in unflipped.iter().zip(&steps[3]) {
        assert_eq!(number, other);
        assert_eq!(
            *cut,
            Cut {
                flipped: false,
                ..*as_before
            }
        );
    }
}
