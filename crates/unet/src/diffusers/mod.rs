//! Networks of diffusers, as `UNet2DModel.save_pretrained` leaves them: a folder with
//! `config.json` and `diffusion_pytorch_model.safetensors`.
//!
//! [`Config`] is the first file as types, [`Plan`] says which tensors the second must hold, and
//! `UNet::from_diffusers` and `UNet::to_diffusers` (feature `tch`) read and write the folder. What we do
//! not know is refused with all its names, before a weight is read; diffusers itself ignores unknown fields.
//!
//! All that diffusers 0.42.1 can run is read: levels of all kinds of [`BlockType`], the three embeddings
//! of the timestep, the three of classes. Not read are levels that need more than an image and a
//! timestep (cross-attention), weights in pickles (`.bin`), and weights in several files.
//!
//! What is written need not have been read: [`Config::of`] finds the configuration that makes a given
//! network, if there is one.

mod compare;
mod config;
mod infer;
mod json;
mod names;
mod plan;
mod walk;

#[cfg(feature = "tch")]
mod folder;
#[cfg(feature = "tch")]
mod header;

pub use config::{
    BlockType, ClassEmbedding, Config, MidBlock, Sampling, TimeEmbedding, TimeInjection,
};
pub use plan::Plan;
