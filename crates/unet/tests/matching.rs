//! U-Nets of equal size; no libtorch.

use resnet_blocks::{Activation, Feature, Init, LongSkip, MATCH_TOLERANCE, Match, Norm, ShortSkip};
use unet::{Classes, Error, ResidualParts, Topology, UNetConfig};

const fn image(channels: usize, side: usize) -> Feature {
    Feature {
        channels,
        height: side,
        width: side,
    }
}

fn study(blocks: usize, short: ShortSkip, long: LongSkip) -> UNetConfig {
    let parts = ResidualParts::plain(Activation::Silu, Norm::GROUP, short, Init::PyTorch);
    UNetConfig::study(image(1, 28), 16, &[1, 2, 2], blocks, parts, long)
}

fn apart(by: Match, one: &UNetConfig, other: &UNetConfig) -> f64 {
    let plan = |config| Topology::plan(config).expect("valid");
    let [one, other] = [one, other].map(|config| by.cost(plan(config).layers()) as f64);
    (one - other).abs() / other
}

#[test]
fn skips_without_parameters_match_as_they_are() {
    let reference = study(2, ShortSkip::None, LongSkip::None);
    for (short, long) in [
        (ShortSkip::Identity, LongSkip::None),
        (ShortSkip::inverse_sqrt(10), LongSkip::Add(1.0)),
        (
            ShortSkip::StochasticDepth { survival: 0.5 },
            LongSkip::Add(0.7),
        ),
    ] {
        let variant = study(2, short, long);
        for by in [Match::Parameters, Match::Flops] {
            let matched = variant.matched_to(&reference, by, 4).expect("it matches");
            assert_eq!(matched, variant);
            assert_eq!(apart(by, &matched, &reference), 0.0);
        }
    }
    // Ten numbers more are within 1 %: the widths stay, and so do all initial values.
    let rezero = study(2, ShortSkip::ReZero, LongSkip::Add(1.0));
    let matched = rezero.matched_to(&reference, Match::Parameters, 4);
    assert_eq!(matched.expect("it matches"), rezero);
}

#[test]
fn skips_with_parameters_match_by_their_widths() {
    let ddpm = UNetConfig::ddpm_cifar10();
    let edm2 = UNetConfig::edm2(image(3, 32), 192, None);
    let ddpmpp = UNetConfig::ddpmpp(image(3, 32), 128, &[2, 2, 2]);
    for (reference, quantum) in [
        (study(2, ShortSkip::Identity, LongSkip::Concat(1.0)), 2),
        (ddpm, 32),
        (edm2, 64),
        (ddpmpp, 16),
    ] {
        for long in [LongSkip::None, LongSkip::Add(1.0), LongSkip::ConcatLearned] {
            let variant = UNetConfig {
                long,
                ..reference.clone()
            };
            for by in [Match::Parameters, Match::Flops] {
                let matched = variant.matched_to(&reference, by, quantum);
                let matched = matched.unwrap_or_else(|error| panic!("{long:?}, {by:?}: {error}"));
                assert!(apart(by, &matched, &reference) <= MATCH_TOLERANCE);
                assert_eq!(matched.embedding, reference.embedding);
                // Gates cost 0.2 % at most, and the widths stay.
                assert_eq!(matched == variant, long == LongSkip::ConcatLearned);
                // The stem keeps its proportion to the first width, but for rounding.
                let proportion = variant.stem as f64 / variant.widths[0] as f64;
                let stem = proportion * matched.widths[0] as f64;
                assert!((matched.stem as f64 - stem).abs() <= 0.5 * quantum as f64);
                let widths = matched.widths.iter();
                assert!({ widths }.all(|width| width.is_multiple_of(quantum)));
            }
        }
    }
}

#[test]
fn a_match_that_heads_forbid_is_refused_with_the_closest() {
    let adm = UNetConfig::adm(image(3, 32), 64, &[1, 2, 3], Classes::None);
    let without = UNetConfig {
        long: LongSkip::None,
        ..adm.clone()
    };
    let error = without.matched_to(&adm, Match::Flops, 64);
    let Err(Error::Block(resnet_blocks::Error::NoMatch {
        target: 7_637_729_280,
        quantum: 64,
        closest: Some((widths, 7_771_029_504)),
    })) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(widths, [64, 128, 256]);
    // Heads of 64 channels take no other widths, whatever the quantum.
    let finer = without.matched_to(&adm, Match::Parameters, 32);
    assert!(
        finer
            .expect("it matches")
            .widths
            .iter()
            .all(|width| width.is_multiple_of(64))
    );
}
