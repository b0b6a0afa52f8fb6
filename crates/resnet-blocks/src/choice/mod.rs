//! The choices: skips, norms, activations, initial values, and the parts that are made of them.
//!
//! Plain data, without libtorch: a plan lists layers and costs before anything is built.

mod activation;
mod attention;
mod block;
mod conv;
mod dropout;
mod free_u;
mod init;
mod magnitude;
mod mlp;
mod norm;
mod resample;
mod skip;

pub use activation::Activation;
pub use attention::{Attention, AttentionScores};
pub use block::{Conditioning, ConvBlockConfig, Injection, Projection, ResBlockConfig};
pub use conv::{Conv2dConfig, Padding};
pub use dropout::Dropout;
pub use free_u::{Backbone, FreeU};
pub use init::Init;
pub use magnitude::{MagnitudeBlockConfig, MagnitudeFlavour};
pub use mlp::{MlpBlockConfig, ResidualMlpConfig};
pub use norm::{Groups, Norm};
pub use resample::{Border, Resample};
pub use skip::{BranchGains, LongSkip, ShortSkip};
