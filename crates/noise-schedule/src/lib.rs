//! Levels of noise of a diffusion model as pure functions.
//!
#![doc = include_str!("../README.md")]

mod discrete;
mod error;
mod grid;
mod kernel;
mod levels;
mod linear;
mod log_snr;
mod normal;
mod schedule;
mod ve;
mod vp;

pub use discrete::Discrete;
pub use error::Error;
pub use grid::Grid;
pub use kernel::{Kernel, Rates};
pub use levels::{LevelDistribution, LogNormal, LogUniform, UniformLogSnr, UniformTime};
pub use linear::Rectified;
pub use log_snr::LogSnrLinear;
pub use schedule::NoiseSchedule;
pub use ve::VeGeometric;
pub use vp::{Cosine, SubVp, VpLinear};
