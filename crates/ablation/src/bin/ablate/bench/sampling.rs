//! Sampling as `ablate sample` does it, from a folder that diffusers has written.

use std::path::Path;
use std::time::Instant;

use ablation::{
    Error,
    config::{self, Precision},
    sample::{Request, Sampler},
};

use super::{Prepared, costs::UnetCost};

/// Numbers that are compared.
const COMPARED: usize = 256;

/// 64 images by 20 steps, with the noise of `initial.safetensors` where it is there; the unit is all of them.
pub(super) fn sampling(dir: &Path, precision: Precision) -> Result<Prepared, Error> {
    let (scheduler, noise) = (dir.join("scheduler"), dir.join("initial.safetensors"));
    let request = Request {
        model: dir.join("unet"),
        scheduler: Some(if scheduler.is_dir() {
            scheduler.display().to_string()
        } else {
            "DDIMScheduler".to_owned()
        }),
        steps: Some(20),
        options: Vec::new(),
        samples: Some(64),
        seed: 0,
        noise: Some(noise).filter(|file| file.is_file()),
        classes: Vec::new(),
        device: config::Device::Cpu,
        precision: Some(precision),
        out: dir.join("ours.safetensors"),
    };
    let mut sampler = Sampler::prepare(&request)?;
    let samples = sampler.run(&mut || ());
    let cost = UnetCost::of(&request.model)?;
    // The weights are read once at least, and the samples written once.
    let bytes = 4.0 * (cost.parameters + samples.values.len() as f64);
    Ok(Prepared {
        unit: "64 images",
        answer: samples.values.iter().take(COMPARED).copied().collect(),
        operations: 20.0 * cost.forward,
        arithmetic: precision.into(),
        bytes,
        memory: bytes,
        pass: Box::new(move || {
            let begin = Instant::now();
            let _ = sampler.run(&mut || ());
            begin.elapsed().as_secs_f64()
        }),
    })
}
