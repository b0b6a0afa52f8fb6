//! The timesteps of lucidrains' denoising-diffusion-pytorch.

use crate::single::linspace;

/// The times of its DDIM, from noise to data, `count` + 1 of them: equally spaced from `train` − 1 to −1 in `f32`,
/// truncated towards 0; −1 stands for clean data.
///
/// Steps are pairs of neighbours. Truncation moves what lies between −1 and 0 to 0,
/// so with more than `train` steps timesteps repeat.
pub fn times(train: usize, count: usize) -> Vec<i64> {
    linspace(-1.0, train as f32 - 1.0, count + 1)
        .into_iter()
        .rev()
        .map(|time| time as i64)
        .collect()
}
