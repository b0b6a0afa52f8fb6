//! Score objectives: preconditioners, weightings, score-matching losses and exact scores.
#![doc = include_str!("../README.md")]

mod conditioning;
pub mod coupling;
mod denoising;
mod distillation;
mod error;
pub mod exact;
mod interpolant;
mod preconditioner;
mod prediction;
mod second_moment;
#[cfg(feature = "tch")]
pub mod torch;
pub mod variational;
mod weighting;

pub use conditioning::{OffsetNoise, drop_labels};
pub use denoising::{DenoisingBatch, DenoisingTerm};
pub use distillation::progressive_shares;
pub use error::Error;
pub use interpolant::{Interpolant, Shares};
pub use preconditioner::{
    Boundary, CleanSample, Coefficients, Consistency, Direction, Edm, EdmVelocity, Epsilon,
    FlowVelocity, KarrasVe, Label, Labelled, LatentConsistency, PathVelocity, Preconditioner,
    PreviousMean, Score, Velocity, label, score_coefficients,
};
pub use prediction::{Conversion, Mixed, Prediction};
pub use second_moment::{DrawnLevel, LossSecondMoment};
pub use weighting::{
    Cosmap, EdmWeight, FlowUniform, InverseSnr, Likelihood, MinSnr, Ncsn, On, P2, PerLogSnr, Snr,
    SnrPlusOne, SoftMinSnr, TruncatedSnr, Uncertainty, Uniform, Weighting, effective_weight,
    log_snr_density,
};
