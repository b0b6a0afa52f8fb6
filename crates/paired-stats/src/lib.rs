//! One number per seed in, a verdict out.
#![doc = include_str!("../README.md")]

mod distribution;
mod moments;
mod quadrature;

pub mod depth;
pub mod factorial;
pub mod rank;

pub mod bootstrap;
pub mod interval;
pub mod sign_flip;

pub mod max_t;
pub mod multiplicity;

pub mod anytime;
pub mod sequential;

pub mod equivalence;
pub mod power;

pub mod divergence;

pub mod evidence;
pub mod family;
pub mod verdict;

pub mod error;

pub use anytime::{anytime_t, log_e_value};
pub use bootstrap::{bca, bootstrap_t, percentile};
pub use depth::{OverDepths, over_depths};
pub use divergence::{clopper_pearson, mcnemar_exact};
pub use equivalence::{Equivalence, tost};
pub use error::Error;
pub use evidence::{Direction, Evidence, Expectation, Problem};
pub use factorial::{Effects, TwoByTwo};
pub use family::{Member, Share, share};
pub use interval::{Interval, Method, paired_t, skewness, t_test};
pub use max_t::{MaxT, max_t, max_t_sampled};
pub use multiplicity::{benjamini_hochberg, holm};
pub use power::{
    MAX_SEEDS, power_sign_flip, power_t, sd_interval, seeds_needed, seeds_needed_equal,
    seeds_needed_sign_flip,
};
pub use rank::{interquartile_mean, order_agreement, probability_larger};
pub use sequential::{Look, Looks};
pub use sign_flip::{SignFlip, sign_flip, sign_flip_floor, sign_flip_sampled};
pub use verdict::{Refutation, Verdict, decide, decide_deterministic};
