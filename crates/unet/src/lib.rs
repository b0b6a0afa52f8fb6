#![cfg_attr(feature = "tch", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "tch"),
    doc = "A U-Net planned before it is built: the plan alone, without libtorch (feature `tch` is off)."
)]
//!
//! Modules, in reading order: the choices (`config`), the plan (`topology`, written by `walk`), equal
//! sizes (`matching`), the network
//! (`network`, with its `embedding` of the label, the blocks of the `catalogue` and their order in `memory`), the `transformer`
//! with choices, plan and network of its own, and networks of another make ([`diffusers`]).

mod config;
pub mod diffusers;
mod error;
mod matching;
mod topology;
mod transformer;
mod walk;

#[cfg(feature = "tch")]
mod catalogue;
#[cfg(feature = "tch")]
mod edit;
#[cfg(feature = "tch")]
mod embedding;
#[cfg(feature = "tch")]
mod memory;
#[cfg(feature = "tch")]
mod network;

pub use config::{
    AttentionParts, AttentionPlaces, DecoderAttention, Down, Filter, Heads, Layout, MagnitudeParts,
    MiddleAttention, Parts, ProgressiveInput, ReadOut, ResidualParts, Shortcut, ShortcutAt,
    UNetConfig, Up,
};
pub use error::Error;
pub use topology::{
    BlockPlan, Classes, EmbeddingConfig, EmbeddingLayers, Features, FourierOf, Frame, Frequencies,
    InputPath, InputRange, Join, LongSkipPlan, MagnitudeRole, Order, SelfConditioning, Step,
    Topology,
};
pub use transformer::{LabelPath, Positions, TransformerConfig};

#[cfg(feature = "tch")]
pub use catalogue::{block, skip};
#[cfg(feature = "tch")]
pub use edit::SkipEdit;
#[cfg(feature = "tch")]
pub use memory::MemoryFormat;
#[cfg(feature = "tch")]
pub use network::{Conditions, UNet};
#[cfg(feature = "tch")]
pub use transformer::Transformer;
