//! The configuration that makes a given network, if there is one: guessed from its steps, and then proven by
//! planning it and comparing step by step.

use resnet_blocks::{
    Attention, Border, Dropout, Injection, Norm, Padding, ResBlockConfig, Resample, ShortSkip,
};

use super::{
    compare::compare,
    config::{BlockType, ClassEmbedding, Config, MidBlock, Sampling, TimeEmbedding, TimeInjection},
    plan::Plan,
};
use crate::{
    Error, Topology,
    topology::{
        BlockPlan, Classes, EmbeddingConfig, EmbeddingLayers, Features, Frame, Frequencies,
        InputRange, Order, SelfConditioning, Step,
    },
};

impl Config {
    /// The configuration of a `UNet2DModel` that computes what this network computes, whatever its layers are
    /// called and however they were drawn.
    ///
    /// ```
    /// use unet::diffusers::{Config, Plan};
    /// # fn main() -> Result<(), unet::Error> {
    /// let config = Config::from_json(
    ///     r#"{"sample_size": 32, "block_out_channels": [32, 64], "norm_num_groups": 8,
    ///         "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    ///         "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}"#,
    /// )?;
    /// assert_eq!(Config::of(Plan::new(&config)?.topology())?, config);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotDiffusers`] with the first place that diffusers has no word for.
    pub fn of(topology: &Topology) -> Result<Config, Error> {
        let topology = activated_in_blocks(topology)?;
        let config = Guess::of(&topology)?.config(&topology)?;
        let tried = |config: Config| {
            let plan =
                Plan::new(&config).map_err(|error| refused("the network", error.to_string()))?;
            compare(&topology, plan.topology())?;
            let multiple = plan.side_multiple();
            let frame = topology.frame().input;
            if !frame.height.is_multiple_of(multiple) || !frame.width.is_multiple_of(multiple) {
                let sides = format!(
                    "the sides {} and {} are no multiples of {multiple}, which its levels need there",
                    frame.height, frame.width
                );
                return Err(refused("the input", sides));
            }
            Ok(config)
        };
        // Networks of skip levels may have as many groups as a null makes, which differ from place to place.
        let quarters = Config {
            norm_num_groups: None,
            ..config.clone()
        };
        tried(config).or_else(|error| tried(quarters).map_err(|_| error))
    }
}

/// The same network with the embedding activated in each block, as diffusers has it, instead of once for all.
fn activated_in_blocks(topology: &Topology) -> Result<Topology, Error> {
    let mut embedding = topology.embedding().clone();
    let mut steps = topology.steps().to_vec();
    if let EmbeddingLayers::Two { last, .. } = &mut embedding.layers
        && let Some(activation) = last.take()
    {
        for step in &mut steps {
            if let Step::Block {
                plan: BlockPlan::Residual(block),
                ..
            } = step
            {
                let own = &mut block.branch.conditioning.activation;
                if own.is_some() {
                    return Err(refused(
                        "the embedding",
                        "it is activated once for all blocks, and again in each",
                    ));
                }
                *own = Some(activation);
            }
        }
    }
    Topology::new(*topology.frame(), embedding, steps)
}

pub(super) fn refused(place: &str, reason: impl Into<String>) -> Error {
    Error::NotDiffusers {
        place: place.to_owned(),
        reason: reason.into(),
    }
}

/// What the steps say about the levels.
#[derive(Debug, Default)]
struct Guess<'a> {
    down: Vec<Level<'a>>,
    middle: Level<'a>,
    up: Vec<Level<'a>>,
    padding: Option<Padding>,
}

/// The steps of one level.
#[derive(Debug, Default)]
struct Level<'a> {
    residuals: Vec<&'a ResBlockConfig>,
    attention: Option<&'a Attention>,
    change: Option<Change>,
    /// Whether the second paths of small images pass here.
    path: bool,
}

/// How a level halves or doubles the image.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Conv,
    Block,
    FirBlock,
    Fir,
}

impl<'a> Guess<'a> {
    fn of(topology: &'a Topology) -> Result<Guess<'a>, Error> {
        let steps = topology.steps();
        let last_keep = steps
            .iter()
            .rposition(|step| matches!(step, Step::Keep { .. }));
        let first_join = steps.iter().position(|step| matches!(step, Step::Join(_)));
        let (Some(keep), Some(join)) = (last_keep, first_join) else {
            return Err(refused(
                "the network",
                "it has no long skips, and `UNet2DModel` always has them",
            ));
        };
        if join < keep {
            return Err(refused(
                "the network",
                "its way up begins before its way down ends",
            ));
        }
        let mut guess = Guess {
            down: vec![Level::default()],
            up: vec![Level::default()],
            ..Guess::default()
        };
        for step in &steps[..keep] {
            if let Step::Block {
                plan: BlockPlan::Conv(conv),
                ..
            } = step
                && 1 < conv.stride
            {
                guess.padding = Some(conv.padding);
            }
            read(step, &mut guess.down);
        }
        let mut middle = vec![Level::default()];
        steps[keep + 1..join]
            .iter()
            .for_each(|step| read(step, &mut middle));
        guess.middle = middle.swap_remove(0);
        steps[join..]
            .iter()
            .for_each(|step| read(step, &mut guess.up));
        Ok(guess)
    }

    fn config(&self, topology: &Topology) -> Result<Config, Error> {
        let Frame {
            input,
            out_channels,
            range,
            self_conditioning,
        } = *topology.frame();
        if self_conditioning != SelfConditioning::None {
            return Err(refused("the input", "the network sees its own estimate"));
        }
        let widths = self.down.iter().map(|level| {
            let last = level.residuals.last();
            last.map(|block| block.branch.out_channels)
        });
        let widths = widths.collect::<Option<Vec<_>>>();
        let block_out_channels =
            widths.ok_or_else(|| refused("the way down", "a level has no residual block"))?;
        let all = || {
            let levels = self.down.iter().chain([&self.middle]).chain(&self.up);
            levels.collect::<Vec<_>>()
        };
        let first = self.down[0].residuals[0];
        let Some(Step::Block {
            plan: BlockPlan::ReadOut { norm, conv },
            ..
        }) = topology.steps().last()
        else {
            return Err(refused(
                "the read-out",
                "it is not a normalisation, SiLU and a convolution",
            ));
        };
        let Norm::Group { groups, eps } = *norm else {
            return Err(refused(
                "the read-out",
                format!("its normalisation is {norm:?}, not by groups"),
            ));
        };
        let norm_num_groups = groups.of(conv.in_channels);
        let injection = all()
            .iter()
            .flat_map(|level| level.residuals.iter().copied())
            .map(|block| block.branch.conditioning.injection)
            .find(|injection| *injection != Injection::Adaptive);
        let resnet_time_scale_shift = match injection {
            Some(Injection::ScaleShift) => TimeInjection::ScaleShift,
            _ => TimeInjection::Shift,
        };
        let attentions: Vec<_> = all().iter().filter_map(|level| level.attention).collect();
        let attention_head_dim = match attentions[..] {
            [] => Some(8),
            [one, ..]
                if one.head_channels == one.channels && attentions.iter().all(|a| a.heads == 1) =>
            {
                None
            }
            [one, ..] => Some(one.head_channels),
        };
        let middle_groups = self.middle.attention.map(|attention| match attention.norm {
            Norm::Group { groups, .. } => Some(groups.of(attention.channels)),
            _ => None,
        });
        let attn_norm_num_groups = match (middle_groups.flatten(), resnet_time_scale_shift) {
            (Some(groups), TimeInjection::Shift) if groups == norm_num_groups => None,
            (groups, _) => groups,
        };
        let sampling = |levels: &[Level<'_>]| {
            let block = |level: &Level<'_>| {
                level.attention.is_some() && level.change == Some(Change::Block)
            };
            if levels.iter().any(block) {
                Sampling::Resnet
            } else {
                Sampling::Conv
            }
        };
        let width = topology.embedding().width;
        let (time_embedding_type, class_embed_type) = labels(topology.embedding())?;
        Ok(Config {
            sample_size: Some([input.height, input.width]),
            in_channels: input.channels,
            out_channels,
            center_input_sample: range == InputRange::Centred,
            time_embedding_type,
            time_embedding_dim: (width != 4 * block_out_channels[0]).then_some(width),
            class_embed_type,
            down_block_types: self.down.iter().map(Level::kind).collect(),
            mid_block_type: match (self.middle.residuals.len(), self.middle.attention) {
                (0, None) => MidBlock::None,
                (_, None) => MidBlock::Resnets,
                (_, Some(_)) => MidBlock::ResnetsAndAttention,
            },
            up_block_types: self.up.iter().map(Level::kind).collect(),
            layers_per_block: self.down[0].residuals.len(),
            mid_block_scale_factor: match self.middle.residuals.first().map(|block| block.short) {
                Some(ShortSkip::Averaged(scale)) => 1.0 / scale,
                _ => 1.0,
            },
            downsample_padding: self.padding.unwrap_or(Padding::AllSides),
            downsample_type: sampling(&self.down),
            upsample_type: sampling(&self.up),
            dropout: match first.branch.dropout {
                Dropout::None | Dropout::Channels(_) => 0.0,
                Dropout::Elements(dropped) => dropped,
            },
            act_fn: first.branch.activation,
            attention_head_dim,
            norm_num_groups: Some(norm_num_groups),
            attn_norm_num_groups,
            norm_eps: eps,
            resnet_time_scale_shift,
            block_out_channels,
        })
    }
}

/// Adds a step to the last level, or begins the next one.
fn read<'a>(step: &'a Step, levels: &mut Vec<Level<'a>>) {
    let mut ends = None;
    if let Some(level) = levels.last_mut() {
        match step {
            Step::Block { plan, .. } => match plan {
                BlockPlan::Residual(block) => match block.branch.resample {
                    None => level.residuals.push(block),
                    Some(Resample::HalveMean | Resample::DoubleNearest) => {
                        ends = Some(Change::Block)
                    }
                    Some(_) => ends = Some(Change::FirBlock),
                },
                BlockPlan::Attention(attention) => level.attention = Some(attention),
                BlockPlan::Conv(conv) if 1 < conv.stride => ends = Some(Change::Conv),
                BlockPlan::Resample(Resample::HalveFir(Border::Mirror)) => ends = Some(Change::Fir),
                _ => {}
            },
            Step::Double(Resample::DoubleFir(_)) => ends = Some(Change::Fir),
            Step::Double(_) => ends = Some(Change::Conv),
            Step::GrowOutput(_) => level.path = true,
            _ => {}
        }
        level.change = ends;
    }
    if ends.is_some() {
        levels.push(Level::default());
    }
}

impl Level<'_> {
    fn kind(&self) -> BlockType {
        let block = self.residuals.first();
        let adaptive =
            block.is_some_and(|b| b.branch.conditioning.injection == Injection::Adaptive);
        let averaged = block.is_some_and(|b| matches!(b.short, ShortSkip::Averaged(_)));
        match (self.change, self.attention) {
            (Some(Change::Fir), _) => BlockType::KDiffusion,
            (None, _) if adaptive => BlockType::KDiffusion,
            (Some(Change::FirBlock), Some(_)) => BlockType::AttentionSkip,
            (Some(Change::FirBlock), None) => BlockType::Skip,
            (None, Some(_)) if averaged || self.path => BlockType::AttentionSkip,
            (None, None) if averaged || self.path => BlockType::Skip,
            (_, Some(_)) => BlockType::Attention,
            (Some(Change::Block), None) => BlockType::Resnet,
            (_, None) => BlockType::Plain,
        }
    }
}

fn labels(embedding: &EmbeddingConfig) -> Result<(TimeEmbedding, ClassEmbedding), Error> {
    const PLACE: &str = "the embedding";
    let time = match embedding.features {
        Features::Sinusoids {
            frequencies: Frequencies::Transformer { shift },
            order,
        } => TimeEmbedding::Positional {
            flip_sin_to_cos: order == Order::CosineFirst,
            freq_shift: shift,
        },
        Features::Fourier { .. } => TimeEmbedding::Fourier,
        Features::Learned { rows } => TimeEmbedding::Learned {
            num_train_timesteps: rows,
        },
        features => return Err(refused(PLACE, format!("its features are {features:?}"))),
    };
    if !matches!(embedding.layers, EmbeddingLayers::Two { last: None, .. }) {
        let layers = embedding.layers;
        return Err(refused(
            PLACE,
            format!("its layers are {layers:?}, not two with one activation between"),
        ));
    }
    let class = match embedding.classes {
        Classes::None => ClassEmbedding::None,
        Classes::Rows { rows } => ClassEmbedding::Labels {
            num_class_embeds: rows,
        },
        Classes::AsLabel => ClassEmbedding::Timestep,
        Classes::Vector => ClassEmbedding::Identity,
        classes => return Err(refused(PLACE, format!("its classes are {classes:?}"))),
    };
    Ok((time, class))
}
