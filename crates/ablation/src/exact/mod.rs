//! The exact layer: what needs no training, computed and held against closed forms and registered values; and what
//! little training published numbers need to stand beside ours.
//!
//! A [`Study`] is a TOML file with one list of tables per quantity; each table holds the parameters, the values that
//! are expected and how closely, and the claims that are registered about it.
//! [`run`] computes all of it and returns a [`Report`]: per table its [`Check`]s (does our number agree with the closed
//! form, or with the value that was registered?) and its [`Finding`]s (what becomes of the claim?).
//! A check says whether a number is right, a finding whether a sentence is.
//! Where ours differ from what was expected, the notes of the built-in study say why.
//!
//! | quantity | what it is about |
//! |---|---|
//! | [`depth`] | what depth does to signals and gradients before training, against infinite width |
//! | [`shattering`] | whether the gradient of a random network is one that a step can trust |
//! | [`spectral_gap`] | how fast Langevin dynamics forgets its start, per noise level |
//! | [`audibility`] | what the score hears of the modes' weights, per noise level |
//! | [`conditioning`] | condition number and steps of gradient descent for a linear denoiser, per noise level |
//! | [`floors`] | the floor of score matching on a manifold, and the descent without noise that never stops |
//! | [`langevin`] | what injected noise, noisy data and several levels are each needed for in sampling |
//! | [`rank`] | what a bottleneck costs, by what the network is asked to predict |
//! | [`edm`] | EDM's and NCSN's identities: every noise level asks for the same |
//! | [`linear`] | a residual deep linear network is a plain one from another start |
//! | [`paths`] | which of the paths through residual blocks carry the gradient |
//! | [`draws`] | what networks with and without skips are given: the same batches, the same start |
//! | [`smoothing`] | what noise does to a density that jumps: how far it moves it, how smooth it makes it |
//! | [`noise_levels`] | the levels of annealed Langevin dynamics by the rules of their authors |
//! | [`efficiency`] | what score matching pays beside maximum likelihood, per noise level and distance of modes |
//! | [`growth`] | signals and gradients over residual tanh blocks: powers, not exponentials |
//! | [`branches`] | how loud branches are beside their skips under normalisation |
//! | [`isometry`] | the spread of a Jacobian's singular values, against free probability |
//! | [`emergence`] | when the modes of Gaussian data emerge in the samples of a denoiser in training |
//! | [`loss_levels`] | the least that a denoiser can lose, per noise level |
//! | [`training`] | how fast small networks learn a function, by wiring and initial values |
//! | [`targets`] | what a narrow network makes of predicting x, ε or v |
//! | [`blind`] | what a network loses that is not told the noise level |
//! | [`frontier`] | how deep a plain network can be and still be trained |
//!
//! [`published`] holds numbers that others printed beside those of a study.

pub mod audibility;
mod backward;
pub mod blind;
pub mod branches;
pub mod conditioning;
pub mod depth;
pub mod depth_claims;
pub mod draws;
pub mod edm;
pub mod efficiency;
pub mod emergence;
mod finite_width;
pub mod floors;
pub mod frontier;
pub mod growth;
pub mod isometry;
pub(crate) mod judge;
pub mod langevin;
pub mod linear;
mod load;
pub mod loss_levels;
mod mean_field;
pub mod mlp;
pub mod modes;
pub mod network;
pub mod noise_levels;
mod norm;
pub mod paths;
pub(crate) mod place;
pub mod propagation;
pub mod published;
pub mod rank;
pub mod report;
mod rescale;
pub mod sampler;
pub mod shattering;
pub mod smoothing;
pub mod spectral_gap;
mod stationary;
pub mod study;
pub mod targets;
pub mod training;
mod transport;

pub use judge::run;
pub use load::load;
pub use published::{Agreement, Cited, Comparison, Published};
pub use report::{Check, Finding, Report, Section};
pub use study::Study;

#[cfg(test)]
mod tests;
