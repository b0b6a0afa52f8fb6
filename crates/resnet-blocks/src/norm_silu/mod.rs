//! silu(norm(x + shift)) of images in bfloat16 in one pass: `kernel` is the numbers, without torch, and `node` makes a node
//! of libtorch's autograd of them.

mod kernel;
#[cfg(all(feature = "tch", norm_silu_node))]
mod node;

#[cfg(all(feature = "tch", norm_silu_node))]
pub(crate) use node::{capability, norm_silu};
