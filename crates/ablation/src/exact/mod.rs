//! The exact layer: what needs no training, computed and held against closed forms and registered values.
//!
//! A [`Study`] is a TOML file with one list of tables per quantity; each table holds the parameters, the values that
//! are expected and how closely, and the claims that are registered about it.
//! [`run`] computes all of it and returns a [`Report`]: per table its [`Check`]s (does our number agree with the closed
//! form, or with the value that was registered?) and its [`Finding`]s (what becomes of the claim?).
//! A check says whether a number is right, a finding whether a sentence is.
//!
//! | quantity | what it is about |
//! |---|---|
//! | [`spectral_gap`] | how fast Langevin dynamics forgets its start, per noise level |
//! | [`audibility`] | what the score hears of the modes' weights, per noise level |
//! | [`edm`] | EDM's and NCSN's identities: every noise level asks for the same |

pub mod audibility;
pub mod edm;
mod judge;
mod load;
pub mod report;
pub mod spectral_gap;
pub mod study;

pub use judge::run;
pub use load::load;
pub use report::{Check, Finding, Report, Section};
pub use study::Study;
