//! Spacings and grids exactly as other toolkits compute them, defects and rounding included.
//!
//! Nothing here is meant for new work: the constructors of [`Grid`](crate::Grid) and [`Spacing`](crate::Spacing)
//! are exact and have no known defect.
//! These functions reproduce the numbers of an existing program, so that what was trained or tuned with it can be continued.
//! Where a toolkit rounds to 32 bits, so do they, and the type says it.

pub mod diffusers;
pub mod edm;
pub mod guided_diffusion;
pub mod k_diffusion;
pub mod lucidrains;

mod numpy;
