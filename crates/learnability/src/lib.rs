//! Measurements of how far gradient-based learning reaches into a network.
#![doc = include_str!("../README.md")]

pub mod index;
pub mod moments;
pub mod silence;

#[cfg(feature = "tch")]
pub mod gradient;
