//! What a trained network's gradients and skips say, level by level: a folder of diffusers, or a finished cell of a study.
//!
//! ```text
//! loss      E|F(x) − F*(x, x₀)|² per number, x = α x₀ + σ ε, F* the answer that x₀ stands for (ε, x₀, v, … as trained)
//! map       GSNR of the gradient of that loss, per unit and noise level; silent where E g = 0 is not rejected
//! skip      (loss with the skip changed − loss) / loss, at the same x: zeroed, or that of another example in its place
//! ```
//!
//! Everything is asked at the network's own timesteps, in evaluation mode (nothing is dropped), with the same examples and
//! noise at every level. The network is not changed.
//!
//! *Ranges*: loss in `[0, ∞)`; GSNR real; an increase in `[−1, ∞)`, −1 if the change makes the loss 0, above 0 where the skip
//! is carried. *Invariances*: an increase and a GSNR, of the scale of the loss; so levels may be compared.
//! *Source*: GSNR as in `learnability::map`; changes of skips defined here, after the lesions of Veit, Wilber & Belongie 2016.
//!
//! *What it cannot say.* A gradient near a minimum has little signal left, so a low GSNR in a trained network is no defect
//! by itself: compare units with each other, and levels with each other. A zeroed skip shows the network something that it
//! has never seen; the skip of another example has the law that it knows and the wrong content.

#[cfg(feature = "tch")]
mod data;
#[cfg(feature = "tch")]
mod measure;
#[cfg(feature = "tch")]
mod subject;

use std::path::PathBuf;

use learnability::index;
use serde::Serialize;

use crate::{config::Device, frame::median, map::Map, map::Units};

#[cfg(feature = "tch")]
pub use measure::Prober;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Folder of the model.
    pub model: PathBuf,
    /// A folder of images, or the name of a set; without it the distribution that a cell learned, or samples that the
    /// model draws itself.
    pub data: Option<String>,
    /// Folders that hold named sets.
    pub data_folders: Vec<PathBuf>,
    /// Folder or file of a scheduler, or the name of a class; by default the model's own.
    pub scheduler: Option<String>,
    /// Inference steps, whose levels are chosen from.
    pub steps: usize,
    /// Inference steps of the samples that the model draws itself, where there are no data.
    pub sample_steps: usize,
    /// Noise levels.
    pub levels: usize,
    /// What the rows of the map are.
    pub units: Units,
    /// Micro-batches; by default as many as the test needs, and at least 16.
    pub micro_batches: Option<usize>,
    /// Examples of a micro-batch.
    pub examples: usize,
    /// Most examples that a change of a skip is measured on, of those of the map.
    pub skip_examples: usize,
    /// Examples of a training step, for which the GSNR is stated.
    pub batch: usize,
    /// Class of all examples, if the network takes one.
    pub class: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
    /// Where the network is evaluated.
    pub device: Device,
    /// Folder of the report.
    pub out: PathBuf,
}

/// How far a model is with the samples that it draws itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// Samples.
    pub samples: usize,
    /// Inference steps.
    pub steps: usize,
    /// Evaluations of the network that are done, of a part of the samples each.
    pub done: u64,
    /// Evaluations in all.
    pub of: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probed {
    /// Version of this format.
    pub schema: u32,
    /// The model, as it was named.
    pub model: String,
    /// The network in words.
    pub network: String,
    /// What the examples are.
    pub data: String,
    /// What that means for the numbers.
    pub caveats: Vec<String>,
    /// Micro-batches of a cell of the map.
    pub micro_batches: usize,
    /// Examples of a micro-batch.
    pub examples: usize,
    /// Examples of a training step, for which the GSNR is stated.
    pub batch: usize,
    /// One for each noise level, in rising order.
    pub levels: Vec<Level>,
    /// Units × noise levels.
    pub map: Map,
    /// The long skips, from the deepest to the full resolution.
    pub skips: Vec<SkipReading>,
}

/// One noise level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// σ/α.
    pub sigma: f64,
    /// What the network is told.
    pub timestep: f64,
    /// Mean loss per number, in `[0, ∞)`; of other levels it is of another scale.
    pub loss: f64,
    /// Share of silent units, in `[0, 1]`.
    pub silent: f64,
    /// Median log₁₀ GSNR of the units that are heard.
    pub log_gsnr: Option<f64>,
    /// Jain's index of the GSNR over the units, in `[1/n, 1]`: how equal the shares are, whatever their size.
    pub jain: Option<f64>,
    /// Λ of the GSNR with the reference 1, as much signal as noise in one training step; in `[0, 1]`.
    pub fairness: Option<f64>,
}

/// One long skip, by noise level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SkipReading {
    /// Its name.
    pub name: String,
    /// The block whose output it carries.
    pub from: String,
    /// Relative increase of the loss where it is zero.
    pub zero: Vec<Increase>,
    /// Relative increase of the loss where it carries what another example has.
    pub another: Vec<Increase>,
}

/// A relative increase of the loss with its paired 95 % interval over examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Increase {
    /// The increase.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Increase {
    /// Whether the loss is known to rise.
    pub fn is_carried(&self) -> bool {
        0.0 < self.low
    }
}

impl Level {
    /// The indices of one column of a map.
    pub fn of(map: &Map, column: usize, [sigma, timestep, loss]: [f64; 3]) -> Level {
        let cells = map.cells.iter().skip(column).step_by(map.columns.len());
        let silent: Vec<bool> = cells.clone().map(|cell| cell.silent).collect();
        let access: Vec<f64> = cells
            .clone()
            .map(|cell| cell.heard().map_or(0.0, |log| 10_f64.powf(log)))
            .collect();
        Level {
            sigma,
            timestep,
            loss,
            silent: index::silent_fraction(&silent).expect("a map has units"),
            log_gsnr: median(cells.filter_map(|cell| cell.heard()).collect()),
            jain: index::jain(&access),
            fairness: index::level_aware(&access, 1.0),
        }
    }
}

impl Probed {
    /// The answers in sentences, without their full stops: where no gradient can be trusted, and what the skips carry.
    pub fn findings(&self) -> Vec<String> {
        let mut said = Vec::new();
        let columns = self.map.columns.len();
        let of_level = |column: usize| {
            let units = self.map.units.iter().zip(self.map.cells.chunks(columns));
            units.map(move |(unit, cells)| (unit.as_str(), cells[column]))
        };
        for (column, level) in self.levels.iter().enumerate() {
            let silent: Vec<&str> = of_level(column)
                .filter(|(_, cell)| cell.silent)
                .map(|(unit, _)| unit)
                .collect();
            if !silent.is_empty() {
                said.push(format!(
                    "at sigma {} no gradient can be told from zero in {} of {} units: {}",
                    short(level.sigma),
                    silent.len(),
                    self.map.units.len(),
                    first(&silent)
                ));
            }
        }
        if said.is_empty() {
            said.push("every unit gets a gradient at every noise level that was asked".to_owned());
        }
        let noisy = |level: &&Level| level.log_gsnr.is_some_and(|log| log < 0.0);
        let noisy: Vec<String> = self
            .levels
            .iter()
            .filter(noisy)
            .map(|level| short(level.sigma))
            .collect();
        if !noisy.is_empty() {
            let batch = self.batch;
            said.push(format!(
                "half of what is heard is more noise than signal in a step of {batch} examples at sigma {}",
                noisy.join(", ")
            ));
        }
        for (what, of) in [
            (
                "zeroing",
                (|skip| &skip.zero) as fn(&SkipReading) -> &Vec<Increase>,
            ),
            ("another example's content in", |skip| &skip.another),
        ] {
            let most = self.skips.iter().flat_map(|skip| {
                let levels = of(skip).iter().zip(&self.levels);
                levels.map(move |(increase, level)| (skip, increase, level))
            });
            let most = most
                .filter(|(_, increase, _)| increase.is_carried())
                .max_by(|a, b| a.1.estimate.total_cmp(&b.1.estimate));
            if let Some((skip, increase, level)) = most {
                said.push(format!(
                    "{what} `{}` costs most: the loss at sigma {} becomes {} times as large",
                    skip.name,
                    short(level.sigma),
                    short(1.0 + increase.estimate)
                ));
            }
        }
        let idle: Vec<&str> = self
            .skips
            .iter()
            .filter(|skip| !skip.another.iter().any(Increase::is_carried))
            .map(|skip| skip.name.as_str())
            .collect();
        if !idle.is_empty() {
            said.push(format!(
                "nothing of an example is known to pass through {} of {} long skips: {}",
                idle.len(),
                self.skips.len(),
                first(&idle)
            ));
        }
        if self.skips.is_empty() {
            said.push("the network has no long skips".to_owned());
        }
        said
    }
}

/// The first few names.
fn first(names: &[&str]) -> String {
    const MOST: usize = 4;
    let shown = names[..names.len().min(MOST)].join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn short(x: f64) -> String {
    crate::report::significant(x, 3)
}
