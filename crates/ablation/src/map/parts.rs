//! Parts of the denoising loss: by region of the data, by mode, by frequency band.
//!
//! ```text
//! region   examples whose noised point x lies in it: E[g | x ∈ A]    regions hold equally much of the noised data
//! mode     examples whose clean point belongs to it: E[g | k]         as many of a rare mode as of a common one
//! band     all examples, their error projected on it: g of |P_b (ε̂ − ε)|²
//! ```
//!
//! A cell of a region or a mode is that of a training step whose examples are all of that part, so that parts of unlike
//! weight can be compared: it says whether the network could hear them, and not how often it is told.
//!
//! *Misleading*: a rare mode is drawn as often as a common one, so its cell is about more of it than training sees. Regions
//! are of the noised data, and so other sets at each level. The gradients of bands share all examples, so cells of one column
//! are not independent. Readings, range and invariances are those of [`crate::map`].
//! *Source*: defined here.

use std::collections::BTreeSet;

use score_objective::exact::{GaussianField, GaussianMixture};
use serde::{Deserialize, Serialize};

use crate::config::{CellConfig, Data};

/// Which parts of the loss get a map of their own, as a study declares it: `probes.map.parts`.
///
/// It costs `looks · parts · levels · micro_batches` passes forward and back, on the `examples` of the map, in `seeds` of
/// the seeds; an arm without noise spends as many on the regions and modes of its own objective, at one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// What the loss is restricted by, one map for each.
    pub by: BTreeSet<By>,
    /// Noise levels at which it is.
    pub levels: Vec<f64>,
    /// In how many of the study's seeds, the first ones.
    pub seeds: u32,
}

/// What a loss is restricted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// So many regions of equal mass by the exact density of the noised data, the thinnest first.
    Regions(usize),
    /// The components of a mixture, each the clean points in which it has the largest share.
    Modes,
    /// So many radial frequency bands of square images, equal in width, and the constant before them.
    Bands(usize),
}

impl By {
    /// Where the data have such parts, how many; in words why not, where they have none.
    pub(super) fn count(self, config: &CellConfig) -> Result<usize, &'static str> {
        match (self, &config.data, &config.shape()[..]) {
            (By::Regions(_), Data::Images { .. }, _) => {
                Err("the density of images from files is not known: leave the regions out")
            }
            (By::Regions(n), ..) if !(2..=10).contains(&n) => Err("2 to 10 regions can be told"),
            (By::Regions(n), ..) => Ok(n),
            (By::Modes, Data::SongErmon {}, _) => Ok(GaussianMixture::song_ermon().weights().len()),
            (By::Modes, Data::GaussianField {}, _) => Ok(GaussianField::grf16().weights().len()),
            (By::Modes, ..) => Err("these data are no mixture: leave the modes out"),
            (By::Bands(n), _, &[_, height, width]) if height == width && 1 < width => {
                if (1..=width / 2).contains(&n) {
                    Ok(n + 1)
                } else {
                    Err(
                        "there are 1 to half as many bands as an image has rows, beside the constant",
                    )
                }
            }
            (By::Bands(_), ..) => {
                Err("these data are no square images and have no frequencies: leave the bands out")
            }
        }
    }

    /// Whether an arm without noise has such parts of its own objective, which sees clean data.
    ///
    /// A sphere has no clean density, and score matching no error to project.
    pub(crate) fn of_clean_data(self, data: &Data) -> bool {
        match self {
            By::Regions(_) => !matches!(data, Data::Sphere { .. }),
            By::Modes => true,
            By::Bands(_) => false,
        }
    }

    /// What a part is called: `region`, `mode`, `band`.
    pub fn name(self) -> &'static str {
        match self {
            By::Regions(_) => "region",
            By::Modes => "mode",
            By::Bands(_) => "band",
        }
    }

    /// A part in a few characters; regions and modes are counted from 1, bands from the constant as 0.
    pub fn label(self, part: usize) -> String {
        match self {
            By::Regions(_) | By::Modes => (part + 1).to_string(),
            By::Bands(_) => part.to_string(),
        }
    }
}
