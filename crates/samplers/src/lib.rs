//! From noise to data over any vector space.
//!
#![doc = include_str!("../README.md")]

mod adams;
mod adams_bashforth;
mod adaptive;
mod ancestral;
mod brownian;
mod churn;
mod combination;
pub mod compat;
mod consistency;
mod corrector;
mod ddim;
mod deis;
mod denoiser;
mod dpm2;
mod dpm_solver;
mod error;
mod exponential_adams;
mod guidance;
mod heun;
mod history;
mod inpainting;
mod interpolation;
mod langevin;
mod likelihood;
mod mala;
mod noise;
mod phi;
mod picard;
mod posterior;
mod registers;
mod reverse_sde;
mod runge_kutta;
mod sa_solver;
mod scheduler;
mod solver;
mod space;
mod starter;
mod stepper;
#[cfg(feature = "tch")]
mod torch;
mod trajectory;
mod underdamped;
mod unipc;

pub use adams_bashforth::AdamsBashforth;
pub use adaptive::{Adapted, Adaptive, Control, Controller, Pair};
pub use ancestral::Ancestral;
pub use brownian::BrownianPath;
pub use churn::{Churn, ChurnLevels, Renewed};
pub use combination::{Combination, Lifted};
pub use consistency::ConsistencySampling;
pub use corrector::{Corrected, Corrector};
pub use ddim::Ddim;
pub use deis::{Deis, DeisInTime};
pub use denoiser::{Counted, Denoiser, score};
pub use dpm_solver::{
    DpmSolverMultistep, DpmSolverSde, DpmSolverSinglestep, Integrand, SecondOrder,
};
pub use dpm2::Dpm2;
pub use error::Error;
pub use exponential_adams::SoleDifference;
pub use guidance::{ClassifierGuided, Guidance, Guided, Tamed, TamedGuided};
pub use heun::Heun;
pub use inpainting::Inpainting;
pub use interpolation::slerp;
pub use langevin::{AnnealedLangevin, langevin};
pub use likelihood::{
    CentralDifferences, DensityChange, Dequantised, Derivatives, Likelihood, Prior, rademacher,
};
pub use mala::{Adjusted, mala};
pub use noise::{NoiseSource, PerSample, Silent};
pub use picard::picard;
pub use posterior::{PosteriorGuided, spread};
pub use reverse_sde::{EulerMaruyama, ReverseDiffusion};
pub use runge_kutta::{Axis, HalfLogSnr, NoiseToSignal, RungeKutta, Slope, Tableau, Time};
pub use sa_solver::{SaSolver, Tau};
pub use scheduler::{Call, Input, Prediction, Prepared, Scheduler};
pub use solver::Solver;
pub use space::{Batch, Coordinates, Element, VectorSpace};
pub use starter::Start;
pub use stepper::{CloneStepper, Stepper};
#[cfg(feature = "tch")]
pub use torch::TensorState;
pub use trajectory::{Rise, Trajectory, noised, sample, walk};
pub use underdamped::underdamped;
pub use unipc::UniPc;
