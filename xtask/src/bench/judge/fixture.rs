//! Synthetic jobs: known changes under known moods of a machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bench::blocks::{Benchmark, Blocks, Pair, Setting};

/// A machine that drifts and stumbles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mood {
    /// Standard deviation of ln time that both runs of a block share.
    pub(crate) shared: f64,
    /// Standard deviation of ln time of each run alone.
    pub(crate) own: f64,
    /// Share of runs that a neighbour slows by up to a third.
    pub(crate) stumbles: f64,
}

/// A shared runner: 10 % from block to block, 1 % within one.
pub(crate) const RUNNER: Mood = Mood {
    shared: 0.10,
    own: 0.01,
    stumbles: 0.0,
};

/// A run of `blocks` and `same` blocks, whose head is slower by `log_ratio`.
pub(crate) fn measured(
    name: &str,
    log_ratio: f64,
    mood: Mood,
    (blocks, same): (usize, usize),
    rng: &mut ChaCha8Rng,
) -> Benchmark {
    let mut pair = |log_ratio: f64| {
        let shared = mood.shared * normal(rng);
        let mut run = |log_ratio: f64| {
            let stumble = if rng.random_bool(mood.stumbles) {
                rng.random_range(0.0..0.3)
            } else {
                0.0
            };
            1000.0 * (log_ratio + shared + mood.own * normal(rng) + stumble).exp()
        };
        Pair {
            base: run(0.0),
            head: run(log_ratio),
        }
    };
    Benchmark {
        name: name.to_owned(),
        unit: "ns/iter".to_owned(),
        pairs: (0..blocks).map(|_| pair(log_ratio)).collect(),
        same: (0..same).map(|_| pair(0.0)).collect(),
        instructions: None,
        uncounted: None,
    }
}

/// Twelve blocks and four A/A blocks on the runner, always the same.
pub(crate) fn steady(name: &str, log_ratio: f64) -> Benchmark {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    measured(name, log_ratio, RUNNER, (12, 4), &mut rng)
}

/// A job of these benchmarks.
pub(crate) fn blocks(benchmarks: Vec<Benchmark>) -> Blocks {
    let setting = Setting {
        base: "0123456789ab".to_owned(),
        head: "fedcba987654".to_owned(),
        machine: "a machine of tests, 2 cores".to_owned(),
        build: "rustc of tests".to_owned(),
        registers: Some("512 bits".to_owned()),
        seed: Some(7),
        counting: "instructions were not counted".to_owned(),
    };
    Blocks::new(setting, benchmarks)
}

/// Sum of twelve uniforms: normal enough, and needs no table.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}
