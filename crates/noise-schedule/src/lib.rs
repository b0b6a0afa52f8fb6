//! Levels of noise of a diffusion model as pure functions.
//!
#![doc = include_str!("../README.md")]

mod beta;
pub mod compat;
mod cosine;
mod discrete;
mod error;
mod grid;
mod incomplete_beta;
mod kernel;
mod laplace;
mod levels;
mod linear;
mod log_snr;
mod normal;
mod path;
mod power;
mod schedule;
mod segment;
pub mod single;
pub mod spacing;
mod ve;
mod vp;

pub use beta::{BetaSchedule, betas_for_alpha_bar};
pub use cosine::{Cosine, CosineLogSnr};
pub use discrete::Discrete;
pub use error::Error;
pub use grid::{AlignYourSteps, FlowShift, Grid};
pub use kernel::{Kernel, Rates};
pub use laplace::Laplace;
pub use levels::{
    BetaTime, Exploding, HalfCauchy, Ladder, LevelDistribution, LogLogistic, LogNormal, LogUniform,
    LogitNormalTime, ModeTime, SplitLogNormal, TimeDistribution, Timed, UniformLogSnr, UniformTime,
    antithetic, stratified,
};
pub use linear::{Decay, Rectified, ShiftedRectified};
pub use log_snr::{FromLogSnr, LogSnrLinear};
pub use path::{Path, Restart};
pub use power::{PolynomialConvex, SineSquared, VpPower};
pub use schedule::NoiseSchedule;
pub use segment::Segment;
pub use spacing::Spacing;
pub use ve::{VeGeometric, VePower};
pub use vp::{SubVp, VpLinear};
