#![cfg_attr(feature = "tch", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "tch"),
    doc = "Residual building blocks in which every skip is one choice, at equal parameters: the choices alone, without libtorch (feature `tch` is off)."
)]
//!
//! Modules, in reading order: what a part costs (`plan`), the choices (`choice`), equal sizes (`matching`), the multilayer
//! perceptron's passes written out (`pass`, on the processor's `registers`), what a block promises (`network`), where initial values come from (`params`,
//! `law`), and then each part with its weights: `layers`, `norms`, `resample`, `shortcut`, `skips`, `blocks`, `attention`, `magnitude`, `mlp`.

mod choice;
mod error;
mod matching;
mod pass;
mod plan;
mod registers;

#[cfg(feature = "tch")]
mod attention;
#[cfg(feature = "tch")]
mod bfloat16;
#[cfg(feature = "tch")]
mod blocks;
#[cfg(feature = "tch")]
mod law;
#[cfg(feature = "tch")]
mod layers;
#[cfg(feature = "tch")]
mod magnitude;
#[cfg(feature = "tch")]
mod mlp;
#[cfg(feature = "tch")]
mod network;
#[cfg(any(test, all(feature = "tch", norm_silu_node)))]
mod norm_silu;
#[cfg(feature = "tch")]
mod norms;
#[cfg(feature = "tch")]
mod params;
#[cfg(feature = "tch")]
mod resample;
#[cfg(feature = "tch")]
mod shortcut;
#[cfg(feature = "tch")]
mod skips;

pub use choice::{
    Activation, Attention, AttentionScores, Backbone, Border, BranchGains, Conditioning,
    Conv2dConfig, ConvBlockConfig, Dropout, FreeU, Groups, Init, Injection, LongSkip,
    MagnitudeBlockConfig, MagnitudeFlavour, MlpBlockConfig, Norm, Padding, Projection,
    ResBlockConfig, Resample, ResidualMlpConfig, ShortSkip,
};
pub use error::Error;
pub use matching::{MATCH_TOLERANCE, Match, matched_widths};
pub use pass::MlpPass;
pub use plan::{Bias, Feature, Layer, LayerKind, PlannedTensor};

#[cfg(feature = "tch")]
pub use attention::AttentionBlock;
#[cfg(feature = "tch")]
pub use bfloat16::{Bfloat16, kernels};
#[cfg(feature = "tch")]
pub use blocks::{ConvBlock, MlpBlock, Residual};
#[cfg(feature = "tch")]
pub use law::Law;
#[cfg(feature = "tch")]
pub use layers::{Conv2d, Linear};
#[cfg(feature = "tch")]
pub use magnitude::{MagnitudeBlock, MagnitudeConv2d, MagnitudeLinear};
#[cfg(feature = "tch")]
pub use mlp::ResidualMlp;
#[cfg(feature = "tch")]
pub use network::{Block, Mode, Network, Skip};
#[cfg(feature = "tch")]
pub use norms::Normalise;
#[cfg(feature = "tch")]
pub use params::{Params, Unit};
#[cfg(feature = "tch")]
pub use shortcut::{Opened, Shortcut};
