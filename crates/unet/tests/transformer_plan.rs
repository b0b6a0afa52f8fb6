//! The transformer's plan: what published networks count, what a skip costs, and what is refused; no libtorch.

use resnet_blocks::{Feature, LongSkip, ShortSkip};
use unet::{EmbeddingConfig, LabelPath, Positions, TransformerConfig};

const fn image(channels: usize, side: usize) -> Feature {
    Feature {
        channels,
        height: side,
        width: side,
    }
}

/// W and b.
fn linear(inputs: usize, outputs: usize) -> usize {
    inputs * outputs + outputs
}

/// DiT-S/2 on latents of 4 x 32 x 32: the published 33 M, with fixed positions, 1001 labels and twice the channels.
#[test]
fn dit_s_has_the_published_parameters() {
    let (width, hidden, patch) = (384, 1536, 16);
    let label = linear(256, width) + linear(width, width);
    let block = 4 * linear(width, width)
        + linear(width, hidden)
        + linear(hidden, width)
        + linear(width, 6 * width);
    let ends = linear(patch, width) + linear(width, 2 * width) + linear(width, patch);
    let ours = TransformerConfig::dit_s(image(4, 32), 2).parameters();
    assert_eq!(ours, label + 12 * block + ends);
    let variance = linear(width, patch);
    let published = ours + 256 * width + 1001 * width + variance;
    assert_eq!(published, 32_963_360);
}

/// U-ViT-S/2 on CIFAR-10: the published 44 M, with a convolution of 84 numbers, without the layers of the embedding and
/// without biases of queries, keys and values.
#[test]
fn u_vit_s_has_the_published_parameters() {
    let (width, hidden, patch) = (512, 2048, 12);
    let label = linear(256, width) + linear(width, width);
    let block =
        4 * linear(width, width) + linear(width, hidden) + linear(hidden, width) + 2 * (2 * width);
    let ends = linear(patch, width) + 257 * width + 2 * width + linear(width, patch);
    let ours = TransformerConfig::u_vit_s(image(3, 32), 2).parameters();
    assert_eq!(
        ours,
        label + 13 * block + 6 * linear(2 * width, width) + ends
    );
    let published = ours - label - 13 * 3 * width + (3 * 3 * 9 + 3);
    assert_eq!(published, 44_255_328);
}

/// Of each block 12 width² per token and 2 tokens² width in attention, and what stands once for an image.
#[test]
fn operations_are_those_of_matrices_and_attention() {
    let dit = TransformerConfig::dit_s(image(4, 32), 2);
    let (width, tokens) = (384u64, 256);
    let block = 12 * width * width * tokens + 2 * tokens * tokens * width + 6 * width * width;
    let ends = 2 * 16 * width * tokens + 2 * width * width;
    let label = 256 * width + width * width;
    let once = 2 * (12 * block + ends + label);
    assert_eq!(dit.forward_flops(1), once);
    assert_eq!(dit.forward_flops(3), 3 * once);
    // Four times the patches' side is a sixteenth of the tokens.
    let coarse = TransformerConfig::dit_s(image(4, 32), 8);
    assert_eq!((coarse.tokens(), coarse.patch_numbers()), (16, 256));
    assert!(16 * coarse.forward_flops(1) < dit.forward_flops(1) + 16 * 13_000_000 * 2);
}

#[test]
fn a_long_skip_costs_its_merging_and_its_gates() {
    let with = |long| {
        let small = TransformerConfig {
            blocks: 5,
            width: 64,
            hidden: 256,
            embedding: EmbeddingConfig {
                width: 64,
                ..TransformerConfig::u_vit_s(image(3, 32), 2).embedding
            },
            long,
            ..TransformerConfig::u_vit_s(image(3, 32), 2)
        };
        small.check().expect("it can be built");
        (small.parameters(), small.shortcuts())
    };
    let (none, shortcuts) = with(LongSkip::None);
    assert_eq!(shortcuts.len(), 10);
    assert_eq!(with(LongSkip::Add(1.0)).0, none);
    for rule in [LongSkip::Concat(0.7), LongSkip::ConcatPower(0.7)] {
        let (parameters, shortcuts) = with(rule);
        assert_eq!(parameters, none + 2 * linear(128, 64));
        assert_eq!(shortcuts[6], "block3.long.skip");
        assert_eq!(shortcuts.len(), 12);
    }
    // A gate for each channel, from a sixteenth of the channels.
    let gates = linear(64, 4) + linear(4, 64);
    let (parameters, shortcuts) = with(LongSkip::ConcatLearned);
    assert_eq!(parameters, none + 2 * (linear(128, 64) + gates));
    assert_eq!(shortcuts.len(), 10);
}

#[test]
fn what_cannot_be_built_is_refused() {
    let dit = TransformerConfig::dit_s(image(3, 32), 4);
    let u_vit = TransformerConfig::u_vit_s(image(3, 32), 4);
    let shorts = [
        ShortSkip::None,
        ShortSkip::ReZero,
        ShortSkip::LayerScale(0.0),
        ShortSkip::Fixup { blocks: 24 },
    ];
    let two_zeros = shorts.map(|short| {
        let config = TransformerConfig {
            short,
            ..dit.clone()
        };
        (config, "neither ever gets a gradient")
    });
    let refused = [
        (
            TransformerConfig {
                patch: 5,
                ..dit.clone()
            },
            "5 does not divide 32",
        ),
        (
            TransformerConfig {
                patch: 0,
                ..dit.clone()
            },
            "the side of a patch must be at least 1",
        ),
        (
            TransformerConfig {
                heads: 5,
                ..dit.clone()
            },
            "does not divide 384",
        ),
        (
            TransformerConfig {
                width: 6,
                ..dit.clone()
            },
            "a multiple of 4, but it is 6",
        ),
        (
            TransformerConfig {
                blocks: 12,
                ..u_vit.clone()
            },
            "there are 12; add or take one",
        ),
        (
            TransformerConfig {
                blocks: 1 << 20,
                ..u_vit.clone()
            },
            "at most 1024",
        ),
        (
            TransformerConfig {
                width: 256,
                ..u_vit.clone()
            },
            "it has 512 and the others 256",
        ),
    ];
    for (config, words) in refused.into_iter().chain(two_zeros) {
        let error = config.check().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    // Beside a shortcut or without a gate the same skips are built.
    for short in shorts {
        let config = TransformerConfig {
            short,
            ..u_vit.clone()
        };
        config.check().expect("the label is a token");
    }
    let learned = TransformerConfig {
        width: 6,
        heads: 1,
        positions: Positions::Learned,
        ..dit
    };
    learned.check().expect("learned positions have any width");
    assert_eq!(learned.label, LabelPath::AdaLnZero);
}
