//! One cell: build, train, sample, measure; left and taken up again between any two steps.
//!
//! A cell whose network is the exact score needs no torch.

#[cfg(feature = "tch")]
mod agreement;
mod exact;
#[cfg(feature = "tch")]
mod features;
mod judge;
#[cfg(feature = "tch")]
mod learned;
#[cfg(feature = "tch")]
mod map;
mod measure;
#[cfg(feature = "tch")]
mod model;
#[cfg(feature = "tch")]
pub(crate) mod optimizer;
#[cfg(feature = "tch")]
mod parts;
mod regions;
mod sampling;
#[cfg(feature = "tch")]
mod train;
#[cfg(feature = "tch")]
mod untrained;
#[cfg(feature = "tch")]
mod written;

#[cfg(feature = "tch")]
pub(crate) use learned::device;
#[cfg(feature = "tch")]
pub use optimizer::Adam;
#[cfg(feature = "tch")]
pub(crate) use train::rate;
#[cfg(feature = "tch")]
pub use written::Written;

use ndarray::{Array2, ArrayView2};

use crate::{
    checkpoint::{Checkpoint, Place},
    config::{CellConfig, Network},
    data::Images,
    dataset::Dataset,
    error::Error,
    plan::Cell,
    record::{Evaluations, Outcome, Record, Stage},
    stream::Stream,
    work,
};

/// Who looks after a cell while it runs.
pub trait Watch {
    /// What to do before the next step.
    fn turn(&mut self) -> Turn;

    /// Keeps a checkpoint, after noting in it the seconds that it took.
    ///
    /// # Errors
    ///
    /// Files; they end the cell.
    fn keep(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Error>;

    /// The program, as checkpoints name it.
    fn program(&self) -> &str;
}

/// What a cell came to.
#[derive(Debug, PartialEq)]
pub struct Finished {
    /// The result.
    pub record: Record,
    /// The trained network as a safetensors file; `None` where the exact score stood in its place.
    pub weights: Option<Vec<u8>>,
}

/// What to do before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The step.
    GoOn,
    /// A checkpoint, then the step.
    Keep,
    /// A checkpoint, and no more steps.
    Stop,
}

/// The score at points \[n, d\] and at a noise level.
type Score<'a> = dyn Fn(ArrayView2<'_, f64>, f64) -> Array2<f64> + 'a;

/// Runs a cell to its end, from its beginning or from a checkpoint of this program; `None` if it was told to stop.
///
/// # Errors
///
/// [`Error::Device`] if the device is not there, [`Error::WithoutTorch`] for a network in a build that has none,
/// and what [`Watch::keep`] brings. Divergence is not an error.
pub fn run(
    cell: &Cell,
    images: Option<&Images>,
    from: Option<Checkpoint>,
    watch: &mut dyn Watch,
) -> Result<Option<Finished>, Error> {
    let config = match &cell.config {
        work::Work::Diffusion(config) => config,
        // Short, all but a few: what a stop loses is run again.
        work::Work::Experiment(experiment) => {
            let record = experiment.record(cell, images, watch)?;
            return Ok(record.map(|record| Finished {
                record,
                weights: None,
            }));
        }
    };
    let nuisance = u64::from(config.nuisance) << 32;
    // What both arms of an A/A pair share (fresh data, query points) comes from `common`, the rest from `own`.
    let common = Stream::new(u64::from(cell.seed));
    let own = Stream::new(u64::from(cell.seed) | nuisance);
    let dataset = Dataset::of(config, images, &common);
    let work = Work {
        config,
        dataset: &dataset,
        common,
        own,
        at: from.unwrap_or_else(|| Checkpoint {
            program: watch.program().to_owned(),
            record: fresh(cell),
            place: Place::Training { step: 0 },
            seconds: 0.0,
            arrays: Default::default(),
        }),
        watch,
    };
    match config.network {
        Network::Exact {} => {
            let exact =
                |x: ArrayView2<'_, f64>, sigma| exact::score(config, dataset.exact(), x, sigma);
            let record = work.measure(&exact)?;
            Ok(record.map(|record| Finished {
                record,
                weights: None,
            }))
        }
        _ => learned::run(work),
    }
}

/// libtorch's version and what decides its last digits here, in words, for the environment of a result; empty in a build
/// without it.
pub fn libtorch() -> String {
    // tch checks at build time that libtorch is the one it was written for.
    #[cfg(feature = "tch")]
    {
        format!("2.11.0 ({})", resnet_blocks::kernels())
    }
    #[cfg(not(feature = "tch"))]
    {
        String::new()
    }
}

/// A cell in work.
struct Work<'a> {
    config: &'a CellConfig,
    dataset: &'a Dataset<'a>,
    common: Stream,
    own: Stream,
    /// Where it is; brought up to date when it is kept.
    at: Checkpoint,
    watch: &'a mut dyn Watch,
}

impl Work<'_> {
    /// Samples and scores of a network that is trained; `None` if it was told to stop.
    fn measure(mut self, score: &Score<'_>) -> Result<Option<Record>, Error> {
        if !self.samples(score)? {
            return Ok(None);
        }
        if !self.diverged_in_training() {
            self.scores(score);
        }
        Ok(Some(self.at.record))
    }

    fn diverged_in_training(&self) -> bool {
        matches!(
            self.at.record.outcome,
            Outcome::Diverged {
                stage: Stage::Training,
                ..
            }
        )
    }
}

#[cfg(not(feature = "tch"))]
mod learned {
    use super::{Error, Finished, Work};

    pub(super) fn run(_: Work<'_>) -> Result<Option<Finished>, Error> {
        Err(Error::WithoutTorch)
    }
}

fn fresh(cell: &Cell) -> Record {
    Record {
        schema: 1,
        cell: cell.clone(),
        outcome: Outcome::Measured {},
        evaluations: Evaluations::default(),
        values: Default::default(),
        curves: Default::default(),
        exhibit: None,
        maps: Vec::new(),
    }
}

/// Whether an arm's score lives at one level (noise off) and which.
#[cfg(feature = "tch")]
fn own_level(config: &CellConfig) -> Option<f64> {
    (!config.objective.uses_noise()).then_some(config.noise.sigma_min)
}

#[cfg(test)]
mod tests;
