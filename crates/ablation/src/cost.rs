//! A rough price of a cell, so that a plan can say its minutes and its memory before anything runs.
//!
//! The rates were read off one core of the machine of 2026; what a run measures replaces them at once.

use crate::{
    architecture::Architecture,
    config::{CellConfig, Objective},
    map,
};

/// Floating-point operations per second that small layers reach on one core.
const RATE: f64 = 3.0e10;
/// Seconds that a call of one layer costs whatever its size, forward and backward.
const OVERHEAD: f64 = 3.5e-5;

/// Predicted seconds of one cell, the mean over `seeds` seeds.
pub(crate) fn seconds(config: &CellConfig, architecture: &Architecture, seeds: u32) -> f64 {
    // Passes over the network in one training step, in forward passes: backward counts two.
    let denoising = 3.0;
    let passes = match config.objective {
        Objective::Denoising { .. } => denoising,
        Objective::SlicedDifferences { .. } => 6.0,
        Objective::Sliced {} => 8.0,
    };
    let sampling = &config.sampling;
    let evaluations = sampling.evaluations
        + if config.objective.uses_noise() {
            2 * sampling.ode.steps - 1
        } else {
            0
        };
    let layers = architecture.layers() as f64;
    let step = |passes: f64, batch: usize| {
        passes * architecture.forward_flops(batch) / RATE + passes / 3.0 * layers * OVERHEAD
    };
    let examples = config.probes.map.as_ref().map_or(0, |map| map.examples);
    let [by_denoising, by_own] = map::passes(config, seeds);
    let training = config.training.steps as f64 * step(passes, config.training.batch)
        + by_denoising * step(denoising, examples)
        + by_own * step(passes, examples);
    let drawing = evaluations as f64
        * (architecture.forward_flops(sampling.samples) / RATE + layers * OVERHEAD / 3.0);
    let trained = if matches!(architecture, Architecture::Exact) {
        0.0
    } else {
        training
    };
    0.3 + trained + drawing
}

/// Bytes that a worker takes beside its cell: the program and libtorch.
pub(crate) const RESIDENT: f64 = 3.0e8;

/// Predicted bytes of one worker on one cell: weights, gradients and optimiser state, and what a training step keeps
/// for its way back. Rough, and rather too much.
pub(crate) fn bytes(config: &CellConfig, architecture: &Architecture) -> f64 {
    if matches!(architecture, Architecture::Exact) {
        return RESIDENT;
    }
    // A backward pass that is differentiated itself keeps the forward pass, its tangent and both ways back.
    let kept = match config.objective {
        Objective::Denoising { .. } => 4.0,
        Objective::SlicedDifferences { .. } => 8.0,
        Objective::Sliced {} => 16.0,
    };
    let outputs = architecture.activations(config.training.batch);
    // Weights, gradients, their flat copies, two moments and a step.
    RESIDENT + 4.0 * (7.0 * architecture.parameters() as f64 + kept * outputs)
}
