//! One cell: build, train, sample, measure.

mod judge;
mod measure;
mod model;
mod optimizer;
mod sampling;
mod train;

use crate::{
    config::{CellConfig, Device},
    data::Images,
    dataset::Dataset,
    error::Error,
    plan::Cell,
    record::{Evaluations, Outcome, Record, Stage},
    stream::Stream,
};
use model::Model;

/// Asked between steps: `true` ends the cell without a result.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// Runs a cell to its record; `None` if it was asked to stop.
///
/// # Errors
///
/// [`Error::Device`] if the device is not there. Divergence is not an error.
pub fn run(cell: &Cell, images: Option<&Images>, stop: Stop<'_>) -> Result<Option<Record>, Error> {
    let config = &cell.config;
    tch::set_num_threads(config.numerics.threads as i32);
    let device = device(config.numerics.device)?;
    // What both arms of an A/A pair share (fresh data, query points) comes from `common`, the rest from `own`.
    let common = Stream::new(u64::from(cell.seed));
    let own = Stream::new(u64::from(cell.seed) | u64::from(config.nuisance) << 32);
    let dataset = Dataset::of(config, images, &common);
    let mut record = Record {
        schema: 1,
        cell: cell.clone(),
        outcome: Outcome::Measured {},
        evaluations: Evaluations::default(),
        values: Default::default(),
        curves: Default::default(),
        exhibit: None,
    };

    let model = Model::build(config, &dataset, &own, device)?;
    measure::untrained(&model, config, &dataset, &own, device, &mut record)?;
    let trained = train::train(&model, config, &dataset, &own, stop, &mut record)?;
    let Some(outcome) = trained else {
        return Ok(None);
    };
    if let Some(step) = outcome.diverged_at {
        record.outcome = Outcome::Diverged {
            stage: Stage::Training,
            step,
        };
    }
    if !measure::samples(&model, config, &dataset, &common, &own, stop, &mut record) {
        return Ok(None);
    }
    if !diverged_in_training(&record) {
        measure::scores(&model, config, &dataset, &common, &mut record);
    }
    Ok(Some(record))
}

/// libtorch's version, for the environment of a result.
pub fn libtorch_version() -> String {
    // tch checks at build time that libtorch is the one it was written for.
    "2.11.0".to_owned()
}

fn diverged_in_training(record: &Record) -> bool {
    matches!(
        record.outcome,
        Outcome::Diverged {
            stage: Stage::Training,
            ..
        }
    )
}

fn device(device: Device) -> Result<tch::Device, Error> {
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
        Device::Cuda => Err(Error::Device {
            device: "cuda".to_owned(),
            found: format!("{} CUDA devices", tch::Cuda::device_count()),
        }),
    }
}

/// Whether an arm's score lives at one level (noise off) and which.
fn own_level(config: &CellConfig) -> Option<f64> {
    (!config.objective.uses_noise()).then_some(config.noise.sigma_min)
}
