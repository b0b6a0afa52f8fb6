//! `config.json` and [`Config`].

use std::collections::BTreeMap;

use resnet_blocks::{Activation, Padding};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{
    BlockType, ClassEmbedding, Config, MidBlock, Sampling, TimeEmbedding, TimeInjection,
    activation_name,
};
use crate::Error;

impl Config {
    /// Reads the text of a `config.json`.
    ///
    /// A field that is absent has the default of diffusers' constructor, which may differ from null.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not an object whose fields have the right types; [`Error::Config`], with all
    /// of them, for fields and values that we do not know; and as [`check`](Config::check).
    pub fn from_json(text: &str) -> Result<Config, Error> {
        let fields: Fields = serde_json::from_str(text).map_err(|error| Error::Json {
            reason: error.to_string(),
        })?;
        let mut problems = Vec::new();
        let config = fields.into_config(&mut problems);
        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }
        config.check()?;
        Ok(config)
    }

    /// The text of a `config.json`, with every field.
    ///
    /// Reading it again gives the same configuration, if [`check`](Self::check) likes it.
    pub fn to_json(&self) -> String {
        let fields = Fields::from(self);
        serde_json::to_string_pretty(&fields).expect("strings and finite numbers are JSON") + "\n"
    }
}

/// The file's own fields and types; serde's defaults are those of diffusers' constructor.
#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "_class_name")]
    class_name: String,
    #[serde(rename = "_diffusers_version")]
    version: String,
    #[serde(rename = "_name_or_path", skip_serializing)]
    _name_or_path: Value,
    act_fn: String,
    add_attention: bool,
    attention_head_dim: Option<usize>,
    attn_norm_num_groups: Option<usize>,
    block_out_channels: Vec<usize>,
    center_input_sample: bool,
    class_embed_type: Option<String>,
    down_block_types: Vec<String>,
    downsample_padding: usize,
    downsample_type: Option<String>,
    dropout: f64,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    in_channels: usize,
    layers_per_block: usize,
    mid_block_scale_factor: f64,
    mid_block_type: Option<String>,
    norm_eps: f64,
    norm_num_groups: Option<usize>,
    num_class_embeds: Option<usize>,
    num_train_timesteps: Option<usize>,
    out_channels: usize,
    resnet_time_scale_shift: String,
    sample_size: Option<SampleSize>,
    time_embedding_dim: Option<usize>,
    time_embedding_type: String,
    up_block_types: Vec<String>,
    upsample_type: Option<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum SampleSize {
    Square(usize),
    Sides([usize; 2]),
}

impl Default for Fields {
    /// The defaults of diffusers 0.42.1.
    fn default() -> Fields {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        Fields {
            class_name: CLASS.to_owned(),
            version: VERSION.to_owned(),
            _name_or_path: Value::Null,
            act_fn: "silu".to_owned(),
            add_attention: true,
            attention_head_dim: Some(8),
            attn_norm_num_groups: None,
            block_out_channels: vec![224, 448, 672, 896],
            center_input_sample: false,
            class_embed_type: None,
            down_block_types: names([
                "DownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
            ]),
            downsample_padding: 1,
            downsample_type: Some("conv".to_owned()),
            dropout: 0.0,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            in_channels: 3,
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            mid_block_type: Some(MID.to_owned()),
            norm_eps: 1e-5,
            norm_num_groups: Some(32),
            num_class_embeds: None,
            num_train_timesteps: None,
            out_channels: 3,
            resnet_time_scale_shift: "default".to_owned(),
            sample_size: None,
            time_embedding_dim: None,
            time_embedding_type: "positional".to_owned(),
            up_block_types: names([
                "AttnUpBlock2D",
                "AttnUpBlock2D",
                "AttnUpBlock2D",
                "UpBlock2D",
            ]),
            upsample_type: Some("conv".to_owned()),
            unknown: BTreeMap::new(),
        }
    }
}

const CLASS: &str = "UNet2DModel";
const MID: &str = "UNetMidBlock2D";
/// The version whose meaning of the fields this is.
const VERSION: &str = "0.42.1";

impl Fields {
    /// What the fields mean; where they mean nothing, a problem, and any value in the configuration.
    fn into_config(self, problems: &mut Vec<String>) -> Config {
        let mut refuse = |field: &str, value: &dyn std::fmt::Display, known: &str| {
            problems.push(format!("`{field}` is {value}, but only {known} is known"));
        };
        if self.class_name != CLASS {
            refuse("_class_name", &self.class_name, CLASS);
        }
        for (field, value) in &self.unknown {
            refuse(field, value, "a configuration without this field");
        }
        let mut blocks = |field: &str, names: &[String], name_of: fn(BlockType) -> &'static str| {
            let block = |name: &String| {
                // Checkpoints of 2022 write `UNetResDownBlock2D`.
                let plain = name.strip_prefix("UNetRes").unwrap_or(name);
                let known = BlockType::ALL.into_iter();
                let found = known.clone().find(|block| name_of(*block) == plain);
                found.unwrap_or_else(|| {
                    let known: Vec<_> = known.map(name_of).collect();
                    refuse(field, name, &known.join(", "));
                    BlockType::Plain
                })
            };
            names.iter().map(block).collect::<Vec<_>>()
        };
        let down_block_types = blocks(
            "down_block_types",
            &self.down_block_types,
            BlockType::down_name,
        );
        let up_block_types = blocks("up_block_types", &self.up_block_types, BlockType::up_name);
        let mut sampling = |field: &str, name: &Option<String>| match name.as_deref() {
            None | Some("conv") => Sampling::Conv,
            Some("resnet") => Sampling::Resnet,
            Some(other) => {
                refuse(field, &other, "conv, resnet");
                Sampling::Conv
            }
        };
        let downsample_type = sampling("downsample_type", &self.downsample_type);
        let upsample_type = sampling("upsample_type", &self.upsample_type);
        let time_embedding_type = match self.time_embedding_type.as_str() {
            "positional" => TimeEmbedding::Positional {
                flip_sin_to_cos: self.flip_sin_to_cos,
                freq_shift: self.freq_shift,
            },
            "fourier" => TimeEmbedding::Fourier,
            "learned" => TimeEmbedding::Learned {
                num_train_timesteps: self.num_train_timesteps.unwrap_or_else(|| {
                    refuse("num_train_timesteps", &"null", "a number of learned rows");
                    1
                }),
            },
            other => {
                refuse(
                    "time_embedding_type",
                    &other,
                    "positional, fourier, learned",
                );
                TimeEmbedding::Fourier
            }
        };
        let class_embed_type = match (self.class_embed_type.as_deref(), self.num_class_embeds) {
            (None, None) => ClassEmbedding::None,
            (None, Some(num_class_embeds)) => ClassEmbedding::Labels { num_class_embeds },
            (Some("timestep"), _) => ClassEmbedding::Timestep,
            (Some("identity"), _) => ClassEmbedding::Identity,
            (Some(other), _) => {
                refuse("class_embed_type", &other, "null, timestep, identity");
                ClassEmbedding::None
            }
        };
        let mid_block_type = match (self.mid_block_type.as_deref(), self.add_attention) {
            (None, _) => MidBlock::None,
            (Some(MID), false) => MidBlock::Resnets,
            (Some(MID), true) => MidBlock::ResnetsAndAttention,
            (Some(other), _) => {
                refuse("mid_block_type", &other, "null, UNetMidBlock2D");
                MidBlock::None
            }
        };
        let downsample_padding = match self.downsample_padding {
            0 => Padding::BottomRight,
            1 => Padding::AllSides,
            other => {
                refuse("downsample_padding", &other, "0, 1");
                Padding::AllSides
            }
        };
        let act_fn = match self.act_fn.to_lowercase().as_str() {
            "silu" | "swish" => Activation::Silu,
            "mish" => Activation::Mish,
            "gelu" => Activation::Gelu,
            "relu" => Activation::Relu,
            other => {
                refuse("act_fn", &other, "silu, swish, mish, gelu, relu");
                Activation::Silu
            }
        };
        let resnet_time_scale_shift = match self.resnet_time_scale_shift.as_str() {
            "default" => TimeInjection::Shift,
            "scale_shift" => TimeInjection::ScaleShift,
            other => {
                refuse("resnet_time_scale_shift", &other, "default, scale_shift");
                TimeInjection::Shift
            }
        };
        Config {
            sample_size: self.sample_size.map(|size| match size {
                SampleSize::Square(side) => [side; 2],
                SampleSize::Sides(sides) => sides,
            }),
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            center_input_sample: self.center_input_sample,
            time_embedding_type,
            time_embedding_dim: self.time_embedding_dim,
            class_embed_type,
            down_block_types,
            mid_block_type,
            up_block_types,
            block_out_channels: self.block_out_channels,
            layers_per_block: self.layers_per_block,
            mid_block_scale_factor: self.mid_block_scale_factor,
            downsample_padding,
            downsample_type,
            upsample_type,
            dropout: self.dropout,
            act_fn,
            attention_head_dim: self.attention_head_dim,
            norm_num_groups: self.norm_num_groups,
            attn_norm_num_groups: self.attn_norm_num_groups,
            norm_eps: self.norm_eps,
            resnet_time_scale_shift,
        }
    }
}

impl From<&Config> for Fields {
    fn from(config: &Config) -> Fields {
        let defaults = Fields::default();
        let (time_embedding_type, flip_sin_to_cos, freq_shift) = match config.time_embedding_type {
            TimeEmbedding::Positional {
                flip_sin_to_cos,
                freq_shift,
            } => ("positional", flip_sin_to_cos, freq_shift),
            TimeEmbedding::Fourier => ("fourier", defaults.flip_sin_to_cos, defaults.freq_shift),
            TimeEmbedding::Learned { .. } => {
                ("learned", defaults.flip_sin_to_cos, defaults.freq_shift)
            }
        };
        let names = |blocks: &[BlockType], name_of: fn(BlockType) -> &'static str| {
            blocks
                .iter()
                .map(|block| name_of(*block).to_owned())
                .collect()
        };
        let sampling = |sampling| match sampling {
            Sampling::Conv => Some("conv".to_owned()),
            Sampling::Resnet => Some("resnet".to_owned()),
        };
        Fields {
            act_fn: activation_name(config.act_fn).unwrap_or("").to_owned(),
            add_attention: config.mid_block_type != MidBlock::Resnets,
            attention_head_dim: config.attention_head_dim,
            attn_norm_num_groups: config.attn_norm_num_groups,
            block_out_channels: config.block_out_channels.clone(),
            center_input_sample: config.center_input_sample,
            class_embed_type: match config.class_embed_type {
                ClassEmbedding::None | ClassEmbedding::Labels { .. } => None,
                ClassEmbedding::Timestep => Some("timestep".to_owned()),
                ClassEmbedding::Identity => Some("identity".to_owned()),
            },
            down_block_types: names(&config.down_block_types, BlockType::down_name),
            downsample_padding: match config.downsample_padding {
                Padding::BottomRight => 0,
                Padding::AllSides => 1,
            },
            downsample_type: sampling(config.downsample_type),
            dropout: config.dropout,
            flip_sin_to_cos,
            freq_shift,
            in_channels: config.in_channels,
            layers_per_block: config.layers_per_block,
            mid_block_scale_factor: config.mid_block_scale_factor,
            mid_block_type: (config.mid_block_type != MidBlock::None).then(|| MID.to_owned()),
            norm_eps: config.norm_eps,
            norm_num_groups: config.norm_num_groups,
            num_class_embeds: config.num_class_embeds(),
            num_train_timesteps: config.num_train_timesteps(),
            out_channels: config.out_channels,
            resnet_time_scale_shift: match config.resnet_time_scale_shift {
                TimeInjection::Shift => "default",
                TimeInjection::ScaleShift => "scale_shift",
            }
            .to_owned(),
            sample_size: config.sample_size.map(|sides| match sides {
                [height, width] if height == width => SampleSize::Square(height),
                sides => SampleSize::Sides(sides),
            }),
            time_embedding_dim: config.time_embedding_dim,
            time_embedding_type: time_embedding_type.to_owned(),
            up_block_types: names(&config.up_block_types, BlockType::up_name),
            upsample_type: sampling(config.upsample_type),
            ..defaults
        }
    }
}
