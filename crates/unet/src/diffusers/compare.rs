//! Whether two plans compute the same, whatever their layers are called and however they are drawn.

use resnet_blocks::{Groups, Init, LongSkip, Norm, ResBlockConfig, ShortSkip};

use super::infer::refused;
use crate::{
    Error, Topology,
    topology::{BlockPlan, EmbeddingConfig, Step},
};

/// Whether both compute the same.
pub(super) fn compare(ours: &Topology, theirs: &Topology) -> Result<(), Error> {
    let unnamed = |embedding: &EmbeddingConfig| EmbeddingConfig {
        init: Init::PyTorch,
        ..embedding.clone()
    };
    let (a, b) = (unnamed(ours.embedding()), unnamed(theirs.embedding()));
    if a != b {
        return Err(refused(
            "the embedding",
            format!("it is {a:?} and would be {b:?}"),
        ));
    }
    for (a, b) in ours.steps().iter().zip(theirs.steps()) {
        let (plain_a, plain_b) = (plain(a), plain(b));
        if plain_a != plain_b {
            let (is, would_be) = difference(&format!("{plain_a:?}"), &format!("{plain_b:?}"));
            return Err(refused(
                &name(a),
                format!("there is `{is}` where there would have to be `{would_be}`"),
            ));
        }
    }
    let (a, b) = (ours.steps().len(), theirs.steps().len());
    if a != b {
        return Err(refused(
            "the network",
            format!("it has {a} steps and would have {b}"),
        ));
    }
    Ok(())
}

/// The first fields in which two descriptions of a kind differ.
fn difference(a: &str, b: &str) -> (String, String) {
    let mut fields = a.split(", ").zip(b.split(", "));
    let (a, b) = fields.find(|(a, b)| a != b).unwrap_or((a, b));
    (balanced(a), balanced(b))
}

/// A field without the brackets that close what began before it.
fn balanced(field: &str) -> String {
    let mut depth = 0;
    let end = field.find(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    field[..end.unwrap_or(field.len())].trim_end().to_owned()
}

fn name(step: &Step) -> String {
    match step {
        Step::Block { name, .. } | Step::AddInput { name, .. } | Step::AddOutput { name, .. } => {
            name.clone()
        }
        Step::Join(join) => join.name.clone(),
        Step::Keep { from } => from.clone(),
        Step::Forget(_) | Step::Double(_) | Step::GrowOutput(_) => format!("{step:?}"),
    }
}

/// The step without its name and its initial values, one way of saying the same thing.
fn plain(step: &Step) -> Step {
    let mut step = step.clone();
    match &mut step {
        Step::Keep { from } => from.clear(),
        Step::Join(join) => {
            join.name.clear();
            if let LongSkip::ConcatPower(_) = join.rule {
                join.rule = join.rule.at(0);
            }
        }
        Step::Block { name, plan } | Step::AddInput { name, plan, .. } => {
            name.clear();
            plain_block(plan);
        }
        Step::AddOutput { name, norm, conv } => {
            name.clear();
            *norm = plain_norm(*norm, conv.in_channels);
            (conv.init, conv.gain) = (Init::PyTorch, 1.0);
        }
        Step::Forget(_) | Step::Double(_) | Step::GrowOutput(_) => {}
    }
    step
}

fn plain_block(plan: &mut BlockPlan) {
    match plan {
        BlockPlan::Conv(conv) => (conv.init, conv.gain) = (Init::PyTorch, 1.0),
        BlockPlan::ReadOut { norm, conv } => {
            *norm = plain_norm(*norm, conv.in_channels);
            (conv.init, conv.gain) = (Init::PyTorch, 1.0);
        }
        BlockPlan::Residual(ResBlockConfig { branch, short, .. }) => {
            let channels = [branch.in_channels, branch.out_channels];
            for (norm, channels) in branch.norms.iter_mut().zip(channels) {
                *norm = plain_norm(*norm, channels);
            }
            (branch.init, branch.last_gain) = (Init::PyTorch, 1.0);
            branch.conditioning.init = Init::PyTorch;
            *short = plain_short(*short);
        }
        BlockPlan::Attention(attention) => {
            attention.norm = plain_norm(attention.norm, attention.channels);
            (attention.init, attention.gain, attention.last_gain) = (Init::PyTorch, 1.0, 1.0);
            attention.short = plain_short(attention.short);
        }
        _ => {}
    }
}

fn plain_norm(norm: Norm, channels: usize) -> Norm {
    match norm {
        Norm::Group { groups, eps } => Norm::Group {
            groups: Groups::Exactly(groups.of(channels)),
            eps,
        },
        Norm::Layer { eps } => Norm::Group {
            groups: Groups::Exactly(1),
            eps,
        },
        norm => norm,
    }
}

/// A divisor's reciprocal is rounded twice, so twelve digits count.
fn plain_short(short: ShortSkip) -> ShortSkip {
    match short {
        ShortSkip::Averaged(scale) => {
            let scale = (scale * 1e12).round() / 1e12;
            if scale == 1.0 {
                ShortSkip::Identity
            } else {
                ShortSkip::Averaged(scale)
            }
        }
        short => short,
    }
}
