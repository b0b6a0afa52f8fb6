//! Networks of diffusers, as `UNet2DModel.save_pretrained` leaves them: a folder with
//! `config.json` and `diffusion_pytorch_model.safetensors`.
//!
//! [`Config`] is the first file as types, [`Plan`] says which tensors the second must hold, and
//! `UNet2D` (feature `tch`) is the network. What we do not know is refused with all its names, before a
//! weight is read; diffusers itself ignores unknown fields.
//!
//! All that diffusers 0.42.1 can run is read: levels of all kinds of [`BlockType`], the three embeddings
//! of the timestep, the three of classes. Not read are levels that need more than an image and a
//! timestep (cross-attention), weights in pickles (`.bin`), and weights in several files.

mod config;
mod json;
mod layer;
mod plan;
mod walk;

#[cfg(feature = "tch")]
mod embedding;
#[cfg(feature = "tch")]
mod folder;
#[cfg(feature = "tch")]
mod header;
#[cfg(feature = "tch")]
mod network;
#[cfg(feature = "tch")]
mod nodes;

pub use config::{
    BlockType, ClassEmbedding, Config, MidBlock, Padding, Sampling, TimeEmbedding, TimeInjection,
};
pub use layer::PlannedTensor;
pub use plan::Plan;

#[cfg(feature = "tch")]
pub use network::UNet2D;
