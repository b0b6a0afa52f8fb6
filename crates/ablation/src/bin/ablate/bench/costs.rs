//! What rows that train cannot do without: operations, and bytes of memory.

use std::path::Path;

use ablation::{Error, config::Precision};
use unet::diffusers::{Config, Plan};

use super::{
    Arithmetic, Prepared,
    networks::unusable,
    training::{IMAGES, POINTS, WIDTH},
};

/// What the U-Net in a folder costs.
pub(super) struct UnetCost {
    /// Operations of a forward pass over all images.
    pub(super) forward: f64,
    pub(super) parameters: f64,
}

impl UnetCost {
    pub(super) fn of(dir: &Path) -> Result<UnetCost, Error> {
        let config = Config::open(dir).map_err(|error| unusable(dir, &error))?;
        let plan = Plan::new(&config).map_err(|error| unusable(dir, &error))?;
        let topology = plan.topology();
        Ok(UnetCost {
            forward: topology.forward_flops(IMAGES) as f64,
            parameters: topology.parameters() as f64,
        })
    }

    /// A training step, whose backward pass costs twice what its forward pass does.
    pub(super) fn step(
        self,
        precision: Precision,
        unit: &'static str,
        answer: Vec<f64>,
        pass: Box<dyn FnMut() -> f64>,
    ) -> Prepared {
        let memory = adam_memory(self.parameters);
        Prepared {
            unit,
            answer,
            operations: 3.0 * self.forward,
            arithmetic: precision.into(),
            bytes: 2.0 * memory,
            memory,
            pass,
        }
    }
}

/// Bytes of parameters and of their gradients' two moments: a step reads and writes them all.
fn adam_memory(parameters: f64) -> f64 {
    3.0 * 4.0 * parameters
}

/// So many steps of a cell of the MLP: the operations of its square layers, and their parameters' way through Adam.
pub(super) fn mlp_steps(
    steps: usize,
    hidden_layers: usize,
    unit: &'static str,
    answer: Vec<f64>,
    pass: Box<dyn FnMut() -> f64>,
) -> Prepared {
    let weights = (WIDTH * WIDTH * hidden_layers) as f64;
    let memory = adam_memory(weights);
    Prepared {
        unit,
        answer,
        operations: steps as f64 * 6.0 * POINTS as f64 * weights,
        arithmetic: Arithmetic::Single,
        bytes: steps as f64 * 2.0 * memory,
        memory,
        pass,
    }
}
