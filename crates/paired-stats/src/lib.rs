//! One number per seed in, a verdict out.
#![doc = include_str!("../README.md")]

mod distribution;
mod moments;

pub mod factorial;

pub mod interval;
pub mod sign_flip;

pub mod max_t;
pub mod multiplicity;

pub mod equivalence;
pub mod power;

pub mod divergence;

pub mod evidence;
pub mod verdict;

pub mod error;

pub use divergence::{clopper_pearson, mcnemar_exact};
pub use equivalence::{Equivalence, tost};
pub use error::Error;
pub use evidence::{Direction, Evidence, Expectation, Problem};
pub use factorial::{Effects, TwoByTwo};
pub use interval::{Interval, Method, bootstrap_t, paired_t, percentile, skewness};
pub use max_t::{MaxT, max_t, max_t_sampled};
pub use multiplicity::{benjamini_hochberg, holm};
pub use power::{MAX_SEEDS, power_t, seeds_needed, seeds_needed_equal};
pub use sign_flip::{SignFlip, sign_flip, sign_flip_floor, sign_flip_sampled};
pub use verdict::{Refutation, Verdict, decide, decide_deterministic};
