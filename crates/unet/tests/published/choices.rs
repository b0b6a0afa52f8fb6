//! That each number and choice of a network shows in what it computes.

use resnet_blocks::{
    Activation, AttentionScores, Backbone, Border, Groups, LongSkip, Norm, Padding, ShortSkip,
};
use tch::{Kind, Tensor};
use unet::{
    Classes, Down, EmbeddingLayers, Features, Filter, Frequencies, Heads, Order, Parts,
    ProgressiveInput, ReadOut, SkipEdit, UNetConfig, Up,
};

use crate::{
    evaluated, goldens, made,
    networks::{config, ddpmpp, edits, magnitude, residual},
    weights,
};

/// What differs from a configuration in one number or choice, and has tensors of the same names and shapes.
fn others(config: &UNetConfig) -> Vec<(&'static str, UNetConfig)> {
    let mut others = Vec::new();
    let mut other = |what, change: &dyn Fn(&mut UNetConfig)| {
        let mut changed = config.clone();
        change(&mut changed);
        if changed != *config {
            others.push((what, changed));
        }
    };
    let flipped = |order| match order {
        Order::CosineFirst => Order::SineFirst,
        Order::SineFirst => Order::CosineFirst,
    };
    other(
        "order of the features",
        &|config| match &mut config.embedding.features {
            Features::Sinusoids { order, .. } | Features::Fourier { order, .. } => {
                *order = flipped(*order);
            }
            _ => {}
        },
    );
    other("last frequency", &|config| {
        if let Features::Sinusoids { frequencies, .. } = &mut config.embedding.features
            && let Frequencies::Transformer { shift } = frequencies
        {
            *shift = 1.0 - *shift;
        }
    });
    other("last activation of the embedding", &|config| {
        if let EmbeddingLayers::Two { last, .. } = &mut config.embedding.layers {
            *last = None;
        }
    });
    other("share of the class", &|config| {
        if let Classes::Magnitude { balance, .. } = &mut config.embedding.classes {
            *balance += 0.01;
        }
    });
    other("heads", &|config| {
        let heads = &mut config.attention.heads;
        *heads = match *heads {
            Heads::One => Heads::Count(2),
            Heads::Count(heads) => Heads::Count(2 * heads),
            Heads::Channels(channels) => Heads::Channels(channels / 2),
        };
    });
    other("long skips", &|config| {
        config.long = match config.long {
            LongSkip::Concat(scale) => LongSkip::Concat(0.99 * scale),
            LongSkip::ConcatPower(base) => LongSkip::ConcatPower(0.99 * base),
            LongSkip::ConcatMagnitudePreserving(share) => {
                LongSkip::ConcatMagnitudePreserving(0.99 * share)
            }
            rule => rule,
        };
    });
    if let Parts::Magnitude(_) = config.parts {
        other("share of the branch", &|config| {
            magnitude(config).balance *= 0.99
        });
        other("share of the attention", &|config| {
            magnitude(config).attention_balance *= 0.99;
        });
        other("filter", &|config| {
            magnitude(config).filter = Filter::Fir(Border::Mirror);
        });
        if magnitude(&mut config.clone()).clip < 256.0 {
            other("clip", &|config| magnitude(config).clip *= 1.01);
        }
        return others;
    }
    let eps = |norm: &mut Norm| {
        if let Norm::Group { eps, .. } = norm {
            *eps *= 1.01;
        }
    };
    let fewer = |norm: &mut Norm| {
        if let Norm::Group { groups, .. } = norm {
            *groups = Groups::Exactly(2);
        }
    };
    let scaled = |short: &mut ShortSkip| {
        *short = match *short {
            ShortSkip::Averaged(scale) => ShortSkip::Averaged(0.99 * scale),
            _ => ShortSkip::Averaged(0.99),
        };
    };
    other("eps", &|config| eps(&mut residual(config).norm));
    other("groups", &|config| fewer(&mut residual(config).norm));
    other("eps of the attention", &|config| {
        eps(&mut residual(config).attention.norm);
    });
    other("groups of the attention", &|config| {
        fewer(&mut residual(config).attention.norm);
    });
    other(
        "eps of the read-out",
        &|config| match &mut residual(config).read_out {
            ReadOut::NormConv { norm, .. } | ReadOut::EveryLevel { norm, .. } => eps(norm),
            ReadOut::Conv { .. } => {}
        },
    );
    other("short skips", &|config| scaled(&mut residual(config).short));
    other("short skip of the attention", &|config| {
        scaled(&mut residual(config).attention.short);
    });
    other("scores", &|config| {
        residual(config).attention.scores = AttentionScores::Cosine;
    });
    other("activation", &|config| {
        residual(config).activation = Activation::Gelu;
    });
    let mirror = Filter::Fir(Border::Mirror);
    other("filter down", &|config| match &mut residual(config).down {
        Down::Plain(filter) | Down::Conv(filter) | Down::Block(filter) => *filter = mirror,
        Down::Strided(padding) => *padding = Padding::BottomRight,
    });
    other("filter up", &|config| {
        let (Up::Plain(filter) | Up::Conv(filter) | Up::Block(filter)) = &mut residual(config).up;
        *filter = mirror;
    });
    other("filter of the second path in", &|config| {
        if let ProgressiveInput::Skip(filter) = &mut residual(config).progressive {
            *filter = mirror;
        }
    });
    other("filter of the second path out", &|config| {
        if let ReadOut::EveryLevel { filter, .. } = &mut residual(config).read_out {
            *filter = mirror;
        }
    });
    others
}

#[test]
fn every_other_choice_gives_something_else() {
    for (name, golden) in goldens() {
        if name == "edm2-trained" || !edits(&name).is_empty() {
            continue; // edited is what another case has
        }
        let config = config(&name);
        let weights = weights(&config, Kind::Double);
        // One example shows it.
        let first = |(part, tensor): (&String, &Tensor)| (part.clone(), tensor.narrow(0, 0, 1));
        let golden = golden.iter().map(first).collect();
        let others = others(&config);
        assert!(4 < others.len(), "{name}");
        for (what, other) in others {
            let net = made(&other, &weights, Kind::Double);
            let least = evaluated(net, Vec::new(), &golden);
            assert!(1e-10 < least, "{name}: another {what} changes {least:e}");
        }
    }
}

#[test]
fn another_edit_gives_something_else() {
    let config = ddpmpp();
    let weights = weights(&config, Kind::Double);
    for (name, golden) in goldens() {
        for at in 0..edits(&name).len() {
            for [stronger, louder] in [[0.99, 1.0], [1.0, 0.99]] {
                let mut edits = edits(&name);
                if let SkipEdit::FreeU(free_u) = &mut edits[at].1 {
                    let (Backbone::Constant(factor) | Backbone::Structured(factor)) =
                        &mut free_u.backbone;
                    *factor *= stronger;
                    free_u.skip *= louder;
                }
                let net = made(&config, &weights, Kind::Double);
                let least = evaluated(net, edits, &golden);
                assert!(1e-8 < least, "{name}, {at}: {least:e}");
            }
        }
    }
}
