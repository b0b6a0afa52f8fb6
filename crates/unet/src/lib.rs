#![cfg_attr(feature = "tch", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "tch"),
    doc = "A U-Net planned before it is built: the plan alone, without libtorch (feature `tch` is off)."
)]
//!
//! Modules, in reading order: the choices (`config`), the plan (`topology`), the network
//! (`network`, with its `embedding` of the label), and networks of another make ([`diffusers`]).

mod config;
pub mod diffusers;
mod error;
mod topology;

#[cfg(feature = "tch")]
mod embedding;
#[cfg(feature = "tch")]
mod network;

pub use config::UNetConfig;
pub use error::Error;
pub use topology::{Layer, LayerKind, LongSkipPlan, Topology};

#[cfg(feature = "tch")]
pub use network::UNet;
