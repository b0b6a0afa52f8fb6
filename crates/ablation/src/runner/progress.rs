//! How far a run has come: a bar on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{line, words};

/// Seconds until cells of the predicted costs `open` are done by `slots` workers, judged by finished cells: pairs of
/// predicted and measured seconds. `None` before the first.
pub fn seconds_left(finished: &[(f64, f64)], open: &[f64], slots: usize) -> Option<f64> {
    let predicted: f64 = finished.iter().map(|(predicted, _)| predicted).sum();
    let measured: f64 = finished.iter().map(|(_, measured)| measured).sum();
    // The last cell may keep one worker while the others are idle.
    let longest = open.iter().copied().fold(0.0, f64::max);
    let shared = open.iter().sum::<f64>() / slots.max(1) as f64;
    (0.0 < predicted && 0.0 < measured).then(|| measured / predicted * longest.max(shared))
}

/// A bar on a terminal, one plain line per 30 s elsewhere.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    found: usize,
    begun: Instant,
    spoke: Option<Instant>,
}

impl Progress {
    pub(super) fn new(total: usize, found: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = "{bar:24} {pos}/{len} cells, {elapsed} elapsed, {msg}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .expect("a valid template")
                    .progress_chars("█▉▊▋▌▍▎▏ "),
            );
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Progress {
            bar,
            total,
            found,
            begun: Instant::now(),
            spoke: None,
        }
    }

    pub(super) fn show(&mut self, done: usize, left: Option<f64>) {
        let left = match left {
            Some(seconds) => format!("about {} left", words(seconds)),
            None => "time left not known yet".to_owned(),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_position(done as u64);
                bar.set_message(left);
            }
            None if self
                .spoke
                .is_none_or(|spoke| Duration::from_secs(30) <= spoke.elapsed()) =>
            {
                let kept = if self.spoke.is_none() && 0 < self.found {
                    format!(" ({} found finished)", self.found)
                } else {
                    String::new()
                };
                line(&format!("{done}/{} cells{kept}, {left}", self.total));
                self.spoke = Some(Instant::now());
            }
            None => {}
        }
    }

    pub(super) fn end(&self, done: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.finish_and_clear();
        }
        line(&format!(
            "{done}/{} cells in {}",
            self.total,
            words(self.begun.elapsed().as_secs_f64())
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_cells_that_were_measured() {
        assert_eq!(seconds_left(&[], &[1.0], 2), None);
        // Twice as slow as predicted; four cells on two workers.
        let finished = [(1.0, 2.0), (3.0, 6.0)];
        assert_eq!(seconds_left(&finished, &[1.0; 4], 2), Some(4.0));
        assert_eq!(seconds_left(&finished, &[1.0; 4], 1), Some(8.0));
        assert_eq!(
            seconds_left(&finished, &[9.0, 1.0], 2),
            Some(18.0),
            "one is long"
        );
        assert_eq!(seconds_left(&finished, &[], 2), Some(0.0));
    }
}
