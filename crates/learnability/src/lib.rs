//! Measurements of how far gradient-based learning reaches into a network.
#![cfg_attr(feature = "tch", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "tch"),
    doc = "\nThe indices, tests and statistics alone, without libtorch: the feature `tch` is off. With it, and the README, this page shows how a live network is measured."
)]

mod error;
mod symmetric;

pub mod index;
pub mod silence;
pub mod solo;
pub mod window;

pub mod gram;
pub mod interval;
pub mod moments;

pub mod lanczos;
pub mod shattering;
pub mod spectrum;

pub mod map;

#[cfg(feature = "tch")]
pub mod curvature;
#[cfg(feature = "tch")]
pub mod gradient;
#[cfg(feature = "tch")]
pub mod propagation;
#[cfg(feature = "tch")]
pub mod trust;
#[cfg(feature = "tch")]
pub mod unit;

pub use error::Error;
