//! The laboratory: a study becomes a plan, cells, records, paired statistics and a report.
//!
//! In the order in which data passes through:
//! [`study`] (what a person writes) → [`plan`] (resolved, checked, named by content) → [`runner`] (worker
//! processes) → `cell` (train, sample, measure; feature `tch`) → [`record`] → [`store`] → [`frame`]
//! (one number per seed, effects, verdicts) → [`summary`] → [`report`].
//!
//! Beside the path: [`exact`], what needs no training.
#![doc = include_str!("../README.md")]

pub mod claim;
pub mod config;
pub mod experiment;
pub mod study;
pub mod work;

pub mod architecture;
pub mod catalog;
mod check;
mod cost;
pub mod plan;

pub mod data;
pub mod dataset;
pub mod map;
pub mod stream;

pub mod cell;
pub mod checkpoint;
pub mod conform;
pub mod probe;
pub mod record;

pub mod exact;

pub mod files;
mod fit;
pub mod inspect;
pub mod lock;
pub mod runner;
pub mod store;
#[cfg(feature = "tch")]
mod tensors;
pub mod worker;

#[cfg(feature = "tch")]
pub mod sample;
#[cfg(feature = "tch")]
pub mod trained;

pub mod probing;

pub mod frame;
pub mod power;
pub mod report;
pub mod summary;

pub mod error;

pub use error::Error;

#[cfg(test)]
mod fixture;
