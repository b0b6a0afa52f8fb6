//! A network learns to denoise data whose score is known: how well, how fast, and where.
//!
//! Errors are those of the score at a noise level, on q_σ, relative to the score: 1 is what knowing nothing costs.
//! So networks that predict different things, under different weights, are measured in one unit.

#[cfg(feature = "tch")]
mod learner;
mod measure;
#[cfg(feature = "tch")]
mod run;
#[cfg(feature = "tch")]
mod sampling;

use score_objective::exact::{ExactScore, GaussianField, GaussianMixture, Sphere};
use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric};
use crate::{
    architecture::Architecture,
    config::{Network, Target, Training, Weighting},
    error::Error,
    exact::place::Place,
    stream::{Role, Stream},
};

/// A network, what it is asked for, and what is measured of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoising {
    /// What is learned.
    pub bed: Bed,
    /// The scale of a coordinate of the data: the network sees x/√(data_std² + σ²).
    pub data_std: f64,
    /// The network.
    pub network: Box<Network>,
    /// What it predicts.
    pub target: Target,
    /// How the levels weigh.
    pub weighting: Weighting,
    /// Which levels it is trained on.
    pub levels: Levels,
    /// Optimisation.
    pub training: Training,
    /// Levels at which the error is measured, rising; 0 is the clean data, of what was trained on those.
    pub measured: Vec<f64>,
    /// Fresh points at each level.
    pub queries: usize,
    /// The error is measured after each so many steps.
    pub every: u64,
    /// The relative squared error, as its geometric mean over the levels, that is waited for.
    pub threshold: f64,
    /// Half the side of the box in which the score is looked for; 0 to look nowhere.
    pub side: f64,
    /// A score is found where its error is below this share of it.
    pub audible: f64,
    /// Frequency bands whose time is taken, 0 for none: of fields only.
    pub bands: usize,
    /// Numbers of denoising steps in which `queries` samples are drawn at the end, rising, none to draw none: of fields
    /// that are trained on a range of levels only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<u64>,
}

/// What is learned: distributions with exact scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Bed {
    /// 0.8 N((5,5), I) + 0.2 N((−5,−5), I) (Song & Ermon 2019).
    SongErmon {},
    /// The unit sphere of `intrinsic` − 1 dimensions in a random subspace of `ambient` dimensions.
    Sphere {
        /// Dimension of the subspace.
        intrinsic: usize,
        /// Dimension around it.
        ambient: usize,
    },
    /// Mixture of four stationary Gaussian random fields on a 16×16 torus.
    GaussianField {},
}

/// Which levels a network is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Levels {
    /// None: sliced score matching on the clean data.
    Clean {},
    /// These, in turn.
    Listed {
        /// σ.
        values: Vec<f64>,
    },
    /// Log-uniform between two.
    Range {
        /// Smallest σ.
        from: f64,
        /// Largest σ.
        to: f64,
    },
}

impl Bed {
    pub(super) fn shape(self) -> Vec<usize> {
        match self {
            Bed::SongErmon {} => vec![2],
            Bed::Sphere { ambient, .. } => vec![ambient],
            Bed::GaussianField {} => vec![1, 16, 16],
        }
    }

    /// The distribution; a sphere's subspace is drawn from the seed's data stream.
    pub(super) fn exact(self, stream: &Stream) -> Box<dyn ExactScore> {
        match self {
            Bed::SongErmon {} => Box::new(GaussianMixture::song_ermon()),
            Bed::Sphere { intrinsic, ambient } => {
                let mut rng = stream.at(Role::Data, u64::MAX);
                Box::new(Sphere::new(intrinsic, ambient, 1.0, &mut rng).expect("it was checked"))
            }
            Bed::GaussianField {} => Box::new(GaussianField::grf16()),
        }
    }

    pub(super) fn check(self, place: &Place) -> Result<(), Error> {
        match self {
            Bed::SongErmon {} | Bed::GaussianField {} => Ok(()),
            Bed::Sphere { intrinsic, ambient } => {
                place.count("bed.ambient", ambient, 2, 1000)?;
                place.count("bed.intrinsic", intrinsic, 2, ambient)
            }
        }
    }
}

impl Measurement for Denoising {
    fn check(&self, place: &Place) -> Result<(), Error> {
        self.bed.check(place)?;
        place.positive("data_std", self.data_std)?;
        let architecture = Architecture::of(&self.network, &self.bed.shape(), &place.0)?;
        if matches!(architecture, Architecture::Exact) {
            let rule = "there is nothing to train in the exact score: give a network";
            return Err(place.refuse("network.kind", "\"exact\"", rule));
        }
        if let Weighting::MinSnr(gamma) = self.weighting {
            place.positive("weighting.min_snr", gamma)?;
        }
        let clean = match &self.levels {
            Levels::Clean {} => true,
            Levels::Listed { values } => {
                place.count("number of levels.values", values.len(), 1, 1000)?;
                for &sigma in values {
                    place.positive("levels.values", sigma)?;
                }
                false
            }
            Levels::Range { from, to } => {
                place.positive("levels.from", *from)?;
                if *to <= *from || !to.is_finite() {
                    let rule = "it must be above levels.from";
                    return Err(place.refuse("levels.to", to, rule));
                }
                false
            }
        };
        place.count(
            "training.steps",
            self.training.steps as usize,
            1,
            10_000_000,
        )?;
        place.count("training.batch", self.training.batch, 1, 1_000_000)?;
        place.positive("training.rate", self.training.rate)?;
        place.count(
            "training.warmup",
            self.training.warmup as usize,
            0,
            self.training.steps as usize,
        )?;
        place.count("number of measured", self.measured.len(), 1, 100)?;
        if clean && (self.measured != [0.0] || matches!(self.bed, Bed::Sphere { .. })) {
            let rule = "without noise only the clean score is learned, where there is one: measured = [0.0], on a bed with a density";
            return Err(place.refuse("measured", format!("{:?}", self.measured), rule));
        }
        for &sigma in self.measured.iter().filter(|_| !clean) {
            place.positive("measured", sigma)?;
        }
        if let Some(pair) = self.measured.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(place.refuse("measured", pair[1], "levels rise: sort them"));
        }
        place.count("queries", self.queries, 5, 1_000_000)?;
        place.count(
            "every",
            self.every as usize,
            1,
            self.training.steps as usize,
        )?;
        place.positive("threshold", self.threshold)?;
        place.non_negative("side", self.side)?;
        place.positive("audible", self.audible)?;
        let most = if matches!(self.bed, Bed::GaussianField {}) {
            8
        } else {
            0
        };
        place.count("bands", self.bands, 0, most)?;
        for &steps in &self.sampled {
            place.count("sampled", steps as usize, 1, 1_000_000)?;
        }
        if let Some(pair) = self.sampled.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(place.refuse("sampled", pair[1], "numbers of steps rise: sort them"));
        }
        let fields = matches!(self.bed, Bed::GaussianField {});
        let from_noise = fields && matches!(self.levels, Levels::Range { .. });
        if !from_noise && !self.sampled.is_empty() {
            let rule =
                "samples are drawn from fields that are trained on a range of levels: give []";
            return Err(place.refuse("sampled", format!("{:?}", self.sampled), rule));
        }
        Ok(())
    }

    fn metrics(&self) -> &'static [Metric] {
        measure::METRICS
    }

    fn needs_torch(&self) -> bool {
        true
    }

    fn seconds(&self) -> f64 {
        let Ok(architecture) = Architecture::of(&self.network, &self.bed.shape(), "") else {
            return 0.0;
        };
        // Operations at the rate of `cost`, and what each layer takes beside, which is less without a graph.
        let layer = match architecture {
            Architecture::Mlp(_) => 1e-5,
            _ => 4.5e-5,
        };
        let pass = |rows: usize| {
            architecture.forward_flops(rows) / 3e10 + layer * architecture.layers() as f64
        };
        let passes = match self.levels {
            Levels::Clean {} => 8.0,
            Levels::Listed { .. } | Levels::Range { .. } => 3.0,
        };
        let looks = (self.training.steps / self.every + 1) as f64;
        let asked = self.measured.len() + self.bands;
        0.1 + self.training.steps as f64 * passes * pass(self.training.batch)
            + looks * asked as f64 * pass(self.queries)
            // Without a graph, a third of it.
            + self.sampled.iter().sum::<u64>() as f64 * pass(self.queries) / 3.0
    }

    #[cfg(feature = "tch")]
    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        run::run(self, stream, found)
    }

    #[cfg(not(feature = "tch"))]
    fn run(&self, _: &Stream, _: &mut Found) -> Result<(), Error> {
        Err(Error::WithoutTorch)
    }
}

#[cfg(test)]
mod tests;
