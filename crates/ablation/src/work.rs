//! What a cell does: it trains a diffusion model, or makes an experiment of its own.

use serde::{Deserialize, Serialize};

use crate::{
    config::{CellConfig, Device},
    experiment::Experiment,
};

/// Everything that decides a cell's numbers, but for its seed.
///
/// In JSON each is the object that it is alone, so that the ids of diffusion cells are what they were before there were
/// experiments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Work {
    /// Train a network on noised or clean data, sample, measure.
    Diffusion(Box<CellConfig>),
    /// Whatever the experiment says.
    Experiment(Box<Experiment>),
}

impl Work {
    /// The configuration of a diffusion cell.
    pub fn diffusion(&self) -> Option<&CellConfig> {
        match self {
            Work::Diffusion(config) => Some(config),
            Work::Experiment(_) => None,
        }
    }

    /// Where its tensors live.
    pub fn device(&self) -> Device {
        match self {
            Work::Diffusion(config) => config.numerics.device,
            Work::Experiment(_) => Device::Cpu,
        }
    }

    /// Threads of one operation.
    pub fn threads(&self) -> u32 {
        match self {
            Work::Diffusion(config) => config.numerics.threads,
            Work::Experiment(_) => 1,
        }
    }

    /// What its network computes with, in words; nothing where the cell has none.
    pub fn numerics(&self) -> String {
        match self {
            Work::Diffusion(config) if self.needs_torch() => config.numerics.words(),
            _ => String::new(),
        }
    }

    /// Whether it needs libtorch.
    pub fn needs_torch(&self) -> bool {
        match self {
            Work::Diffusion(config) => config.network != crate::config::Network::Exact {},
            Work::Experiment(experiment) => experiment.needs_torch(),
        }
    }
}

impl From<CellConfig> for Work {
    fn from(config: CellConfig) -> Work {
        Work::Diffusion(Box::new(config))
    }
}

impl<E: Into<Experiment>> From<E> for Work {
    fn from(experiment: E) -> Work {
        Work::Experiment(Box::new(experiment.into()))
    }
}
