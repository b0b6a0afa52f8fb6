//! What a cell does: it trains a diffusion model, or makes an experiment of its own.

use serde::{Deserialize, Serialize};

use crate::{
    config::{CellConfig, Data, Device, Numerics},
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

    /// The images from files that it learns from, or the distribution of a diffusion cell.
    pub fn data(&self) -> Option<&Data> {
        match self {
            Work::Diffusion(config) => Some(&config.data),
            Work::Experiment(experiment) => experiment.data(),
        }
    }

    /// Where and with which numbers it computes; an experiment that does not say so does on one thread of the processor.
    fn own_numerics(&self) -> Option<&Numerics> {
        match self {
            Work::Diffusion(config) => Some(&config.numerics),
            Work::Experiment(experiment) => experiment.numerics(),
        }
    }

    /// Where its tensors live.
    pub fn device(&self) -> Device {
        self.own_numerics().map_or(Device::Cpu, |own| own.device)
    }

    /// Threads of one operation.
    pub fn threads(&self) -> u32 {
        self.own_numerics().map_or(1, |own| own.threads)
    }

    /// What its network computes with, in words; nothing where the cell has none, or does not say.
    pub fn numerics(&self) -> String {
        let own = self.own_numerics().filter(|_| self.needs_torch());
        own.map_or_else(String::new, Numerics::words)
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
