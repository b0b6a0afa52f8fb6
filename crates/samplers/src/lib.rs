//! From noise to data over any vector space.
//!
#![doc = include_str!("../README.md")]

mod ancestral;
mod ddim;
mod denoiser;
mod dpm_solver;
mod error;
mod heun;
mod langevin;
mod noise;
mod space;
mod stepper;
mod trajectory;

pub use ancestral::Ancestral;
pub use ddim::Ddim;
pub use denoiser::{Counted, Denoiser, score};
pub use dpm_solver::DpmSolver2M;
pub use error::Error;
pub use heun::Heun;
pub use langevin::{AnnealedLangevin, langevin};
pub use noise::{NoiseSource, PerSample, Silent};
pub use space::{Element, VectorSpace};
pub use stepper::Stepper;
pub use trajectory::{Trajectory, sample};
