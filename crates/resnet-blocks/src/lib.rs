#![cfg_attr(feature = "tch", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "tch"),
    doc = "Residual building blocks in which every skip is one choice, at equal parameters: the choices alone, without libtorch (feature `tch` is off)."
)]
//!
//! Modules, in reading order: the choices (`config`), what a block promises (`network`),
//! where initial values come from (`params`, `init`), and the layers, blocks and the
//! residual multilayer perceptron made of them.

mod config;
mod error;

#[cfg(feature = "tch")]
mod blocks;
#[cfg(feature = "tch")]
mod init;
#[cfg(feature = "tch")]
mod layers;
#[cfg(feature = "tch")]
mod mlp;
#[cfg(feature = "tch")]
mod network;
#[cfg(feature = "tch")]
mod params;

pub use config::{
    Activation, Conv2dConfig, ConvBlockConfig, Init, LongSkip, MlpBlockConfig, Norm,
    ResidualMlpConfig, ShortSkip,
};
pub use error::Error;

#[cfg(feature = "tch")]
pub use blocks::{ConvBlock, MlpBlock};
#[cfg(feature = "tch")]
pub use layers::{Conv2d, GroupNorm, Linear};
#[cfg(feature = "tch")]
pub use mlp::ResidualMlp;
#[cfg(feature = "tch")]
pub use network::{Block, Mode, Network, Skip};
#[cfg(feature = "tch")]
pub use params::{Params, Unit};
