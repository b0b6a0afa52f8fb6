//! How many cells this machine runs at a time.

use ablation::{Error, config::Device, plan::Plan};

/// Share of the free memory that workers may take.
const SHARE: f64 = 0.8;

/// As many workers as there are cores for their threads and memory for the largest cell; with cards, one on each.
pub(crate) fn jobs(plan: &Plan, cards: &[String]) -> Result<usize, Error> {
    if !cards.is_empty() {
        return Ok(cards.len());
    }
    let of_claims = plan.claim_arms().map(|arm| arm.config.threads());
    let threads = plan.arms().map(|arm| arm.config.numerics.threads);
    let threads = threads.chain(of_claims).max();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let by_cores = cores / threads.unwrap_or(1).max(1) as usize;
    let bytes = plan.bytes()?;
    let by_memory = free_memory().map_or(cores, |free| (SHARE * free / bytes) as usize);
    Ok(by_cores.min(by_memory).max(1))
}

/// Names of this machine's graphics cards, if the plan is for them: those that the environment shows, else all.
pub(crate) fn cards(plan: &Plan) -> Vec<String> {
    let of_claims = plan.claim_arms().map(|arm| arm.config.device());
    let mut devices = plan
        .arms()
        .map(|arm| arm.config.numerics.device)
        .chain(of_claims);
    if devices.all(|device| device == Device::Cpu) {
        return Vec::new();
    }
    if let Ok(shown) = std::env::var("CUDA_VISIBLE_DEVICES") {
        let names = shown.split(',').map(str::trim);
        return names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
    }
    let is_card = |card: &usize| std::path::Path::new(&format!("/dev/nvidia{card}")).exists();
    (0..)
        .take_while(is_card)
        .map(|card| card.to_string())
        .collect()
}

/// Bytes, where the system says.
fn free_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(1024.0 * kilobytes)
}
