//! Score objectives: preconditioners, weightings, score-matching losses and exact scores.
#![doc = include_str!("../README.md")]

mod error;
pub mod exact;
mod preconditioner;
#[cfg(feature = "tch")]
pub mod torch;
mod weighting;

pub use error::Error;
pub use preconditioner::{
    CleanSample, Coefficients, Edm, Epsilon, Preconditioner, Velocity, score_coefficients,
};
pub use weighting::{EdmWeight, MinSnr, Snr, SnrPlusOne, Uniform, Weighting};
