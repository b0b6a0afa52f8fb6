//! A cell whose network learns.

use std::collections::BTreeMap;

use super::{Finished, Work, model::Model};
use crate::{
    checkpoint::{Numbers, Place},
    config::Device,
    error::Error,
    map::Look,
    record::{Outcome, Stage},
};

/// Trains, then measures; `None` if it was told to stop.
pub(super) fn run(mut work: Work<'_>) -> Result<Option<Finished>, Error> {
    tch::set_num_threads(work.config.numerics.threads as i32);
    let device = device(work.config.numerics.device)?;
    let model = Model::build(work.config, work.dataset, &work.own, device)?;
    let mut adam = model.learned.optimizer();
    match work.at.place {
        Place::Training { step } => {
            if step == 0 {
                work.untrained(&model, device)?;
                work.map(&model, Look::Start)?;
            }
            let Some(diverged_at) = work.train(&model, &mut adam)? else {
                return Ok(None);
            };
            match diverged_at {
                None => {
                    work.features(&model);
                    work.map(&model, Look::End)?;
                }
                Some(step) => {
                    work.at.record.outcome = Outcome::Diverged {
                        stage: Stage::Training,
                        step,
                    };
                }
            }
            work.at.place = Place::Sampling {
                step: 0,
                diverged_at: None,
            };
            // What comes now needs the weights alone.
            let weights = Numbers::Single(adam.parameters());
            work.at.arrays = BTreeMap::from([("parameters".to_owned(), weights)]);
        }
        Place::Sampling { .. } | Place::Ode {} => {
            adam.set_parameters(work.at.singles("parameters"));
        }
    }
    let record = work.measure(&|x, sigma| model.score(x, sigma))?;
    Ok(record.map(|record| Finished {
        record,
        weights: Some(model.learned.weights()),
    }))
}

pub(crate) fn device(device: Device) -> Result<tch::Device, Error> {
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
        Device::Cuda => Err(Error::Device {
            device: "cuda".to_owned(),
            found: format!("{} CUDA devices", tch::Cuda::device_count()),
        }),
    }
}
