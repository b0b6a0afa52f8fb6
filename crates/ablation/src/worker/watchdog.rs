//! A cell that makes no step any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::runner::line;

/// Steps of a worker, watched by a thread that ends the process when none is made.
///
/// What it counts is its own looks, one a second, and no clock: a machine that slept, or a worker that was stopped
/// for an hour, is late by one look.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchdog {
    /// Steps that were made, and cells that were begun.
    moves: Arc<AtomicU64>,
    has_stepped: Arc<AtomicBool>,
}

impl Watchdog {
    /// Watches until the process ends; it is aborted after so many looks without a step.
    pub(super) fn watch(&self, looks: u32) {
        let moves = Arc::clone(&self.moves);
        std::thread::spawn(move || {
            let mut idle = Idle::default();
            while idle.look(moves.load(Ordering::Relaxed)) < looks {
                std::thread::sleep(Duration::from_secs(1));
            }
            line(&format!(
                "no step was made in {looks} looks, one a second: the cell is taken for hung (--hung)"
            ));
            std::process::abort();
        });
    }

    /// A cell is begun.
    pub(super) fn begin(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// A step is made.
    pub(super) fn step(&self) {
        self.begin();
        self.has_stepped.store(true, Ordering::Relaxed);
    }

    /// Whether any step was made.
    pub(super) fn has_stepped(&self) -> bool {
        self.has_stepped.load(Ordering::Relaxed)
    }
}

/// Looks in a row at which nothing had moved.
#[derive(Default)]
struct Idle {
    seen: Option<u64>,
    looks: u32,
}

impl Idle {
    fn look(&mut self, moves: u64) -> u32 {
        self.looks = if self.seen == Some(moves) {
            self.looks + 1
        } else {
            0
        };
        self.seen = Some(moves);
        self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_count_until_a_step_is_made() {
        let mut idle = Idle::default();
        let looks = [0, 0, 0, 1, 1, 2, 2, 2].map(|moves| idle.look(moves));
        assert_eq!(looks, [0, 1, 2, 0, 1, 0, 1, 2]);
    }
}
