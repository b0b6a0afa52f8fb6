//! Other toolkits' samplers, number by number, with their defects: for those who must reproduce a result.
//!
//! What differs from the steppers of this crate is said at each item.

mod clip;
pub mod diffusers;
pub mod edm;
pub mod k_diffusion;
mod options;
mod recipe;
mod sigma_space;
mod single;

pub use options::{Options, Value};
