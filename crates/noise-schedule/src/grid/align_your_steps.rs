//! The tabulated grids of Align Your Steps.

use super::Grid;
use crate::{Error, Kernel};

/// A model for which Sabour et al. 2024, Align Your Steps (<https://arxiv.org/abs/2404.14507>), optimised ten steps.
///
/// The numbers are those that the authors published with it.
#[doc(alias = "AysSchedules")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignYourSteps {
    /// Stable Diffusion 1.5.
    StableDiffusion,
    /// Stable Diffusion XL.
    StableDiffusionXl,
    /// Stable Video Diffusion, which has no discrete timesteps.
    StableVideoDiffusion,
}

impl AlignYourSteps {
    /// The ten noise-to-signal ratios, from noise to data; a clean level follows them.
    pub fn sigmas(self) -> [f64; 10] {
        match self {
            AlignYourSteps::StableDiffusion => [
                14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152,
            ],
            AlignYourSteps::StableDiffusionXl => [
                14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113,
            ],
            AlignYourSteps::StableVideoDiffusion => [
                700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034,
            ],
        }
    }

    /// The ten timesteps of 1000, from noise to data, for [`Grid::discrete`].
    pub fn timesteps(self) -> Option<[usize; 10]> {
        match self {
            AlignYourSteps::StableDiffusion => {
                Some([999, 850, 736, 645, 545, 455, 343, 233, 124, 24])
            }
            AlignYourSteps::StableDiffusionXl => {
                Some([999, 845, 730, 587, 443, 310, 193, 116, 53, 13])
            }
            AlignYourSteps::StableVideoDiffusion => None,
        }
    }
}

impl Grid {
    /// Variance-exploding levels on the curve of a table: ln sigma is interpolated linearly in the index,
    /// which is how the authors take other numbers of steps than ten. One level is the noisiest.
    ///
    /// # Errors
    /// [`Error::NoLevels`] for none.
    pub fn align_your_steps(table: AlignYourSteps, levels: usize) -> Result<Grid, Error> {
        let sigmas = table.sigmas();
        let last = sigmas.len() - 1;
        (0..levels)
            .map(|index| {
                let position = (index * last) as f64 / (levels.max(2) - 1) as f64;
                let below = (position as usize).min(last - 1);
                let u = position - below as f64;
                // The ends of a piece are met exactly: x^0 is 1, and x^1 is x.
                let sigma = sigmas[below].powf(1.0 - u) * sigmas[below + 1].powf(u);
                Kernel::from_scales(1.0, sigma)
            })
            .collect::<Vec<_>>()
            .try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_levels_are_the_table() {
        for table in [
            AlignYourSteps::StableDiffusion,
            AlignYourSteps::StableDiffusionXl,
            AlignYourSteps::StableVideoDiffusion,
        ] {
            let grid = Grid::align_your_steps(table, 10).unwrap();
            assert_eq!(grid, Grid::sigmas(&table.sigmas()).unwrap());
            let one = Grid::align_your_steps(table, 1).unwrap();
            assert_eq!(one.levels()[0].sigma(), table.sigmas()[0]);
            // Nineteen levels put a geometric mean between neighbours.
            let grid = Grid::align_your_steps(table, 19).unwrap();
            let mean = (table.sigmas()[3] * table.sigmas()[4]).sqrt();
            assert!((grid.levels()[7].sigma() / mean - 1.0).abs() < 1e-15);
        }
    }
}
