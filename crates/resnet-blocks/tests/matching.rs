//! Equal size by adjusted widths; no libtorch.

use proptest::prelude::*;
use resnet_blocks::{
    Activation, Error, Groups, Init, MATCH_TOLERANCE, Match, MlpBlockConfig, Norm,
    ResidualMlpConfig, ShortSkip, matched_widths,
};

fn mlp(width: usize, hidden: usize, blocks: usize, short: ShortSkip) -> ResidualMlpConfig {
    let block = MlpBlockConfig::square(width, Activation::Silu, Init::PyTorch);
    ResidualMlpConfig {
        inputs: 2,
        blocks,
        block: MlpBlockConfig { hidden, ..block },
        short,
    }
}

fn apart(by: Match, one: &ResidualMlpConfig, other: &ResidualMlpConfig) -> f64 {
    let [one, other] = [one, other].map(|config| by.cost(&config.layers()) as f64);
    (one - other).abs() / other
}

#[test]
fn costs_are_those_of_the_network() {
    let config = mlp(64, 48, 6, ShortSkip::LayerScale(1e-4));
    let layers = config.layers();
    assert_eq!(Match::Parameters.cost(&layers), config.parameters() as u64);
    assert_eq!(Match::Flops.cost(&layers), config.forward_flops(1));
}

#[test]
fn groups_are_respected() {
    let reference = mlp(256, 256, 6, ShortSkip::None);
    let mut gated = mlp(256, 256, 6, ShortSkip::Highway { bias: -1.0 });
    gated.block.norm = Norm::Group {
        groups: Groups::Exactly(8),
        eps: 1e-5,
    };
    // Multiples of 4 are sometimes no multiples of the 8 groups: these are passed over.
    for quantum in [4, 8] {
        let matched = gated.matched_to(&reference, Match::Parameters, quantum);
        let matched = matched.expect("there are such widths");
        assert!(matched.check().is_ok());
        assert!(apart(Match::Parameters, &matched, &reference) <= MATCH_TOLERANCE);
    }
}

#[test]
fn a_match_that_does_not_exist_is_refused_with_the_closest() {
    let reference = mlp(64, 64, 6, ShortSkip::None);
    let gated = mlp(64, 64, 6, ShortSkip::Highway { bias: -1.0 });
    let error = gated.matched_to(&reference, Match::Parameters, 64);
    let Err(Error::NoMatch {
        target: 50_306,
        quantum: 64,
        closest: Some((widths, 75_266)),
    }) = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(widths, &[64, 64]);
    let message = error.expect_err("refused").to_string();
    assert!(
        message.contains("the closest, [64, 64], cost 75266"),
        "{message}"
    );
    assert!(matches!(
        gated.matched_to(&reference, Match::Parameters, 0),
        Err(Error::Zero { .. })
    ));
    let nothing = matched_widths(&[8, 8], 2, 100, |_| None);
    assert!(matches!(nothing, Err(Error::NoMatch { closest: None, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn skips_without_parameters_match_as_they_are(
        width in 1usize..200, hidden in 1usize..200, blocks in 1usize..10, quantum in 1usize..64,
        short in prop::sample::select(vec![
            ShortSkip::Identity, ShortSkip::Scaled(0.3), ShortSkip::Averaged(0.7),
            ShortSkip::MagnitudePreserving(0.3), ShortSkip::StochasticDepth { survival: 0.5 },
        ]),
        by in prop::sample::select(vec![Match::Parameters, Match::Flops]),
    ) {
        let reference = mlp(width, hidden, blocks, ShortSkip::None);
        let variant = mlp(width, hidden, blocks, short);
        prop_assert_eq!(variant.matched_to(&reference, by, quantum).expect("it matches"), variant);
    }

    #[test]
    fn other_depths_match_within_the_tolerance_in_multiples_of_the_quantum(
        width in 48usize..200, hidden in 48usize..200, blocks in 1usize..10, more in 1usize..10,
        quantum in 1usize..5,
        by in prop::sample::select(vec![Match::Parameters, Match::Flops]),
    ) {
        let reference = mlp(width, hidden, blocks, ShortSkip::Identity);
        let variant = mlp(width, hidden, more, ShortSkip::ReZero);
        let matched = match variant.matched_to(&reference, by, quantum) {
            Ok(matched) => matched,
            Err(error) => {
                // Steps of one hit 1 % of any such network; coarser ones may step over it.
                prop_assert!(1 < quantum, "{}", error);
                let Error::NoMatch { closest: Some((_, cost)), target, .. } = error else {
                    return Err(TestCaseError::fail(error.to_string()));
                };
                prop_assert!(MATCH_TOLERANCE * (target as f64) < cost.abs_diff(target) as f64);
                return Ok(());
            }
        };
        prop_assert!(apart(by, &matched, &reference) <= MATCH_TOLERANCE);
        let unchanged = matched == variant;
        let quanta = [matched.block.width, matched.block.hidden];
        prop_assert!(unchanged || quanta.iter().all(|width| width.is_multiple_of(quantum)));
        // The proportions stay, but for rounding and eight quanta.
        let wanted = width as f64 / hidden as f64;
        let [width, hidden] = quanta.map(|width| width as f64);
        let slack = 9.0 * quantum as f64;
        prop_assert!((width - slack) / (hidden + slack) < wanted);
        prop_assert!(wanted < (width + slack) / (hidden - slack).max(1e-9));
    }
}
