//! A run in rounds: all cells at once, or from one planned look to the next.

use ablation::{Error, frame, inspect, plan::Plan, report, runner, store::Store};

use crate::say;

/// Runs all cells, or those of one look after another until everything is decided.
pub(crate) fn run(
    plan: &Plan,
    store: &Store,
    engine: &runner::Engine<'_>,
) -> Result<runner::Finished, Error> {
    let mut run_now = 0;
    loop {
        let finished = runner::run(plan, store, engine)?;
        run_now += finished.run_now;
        let finished = runner::Finished {
            run_now,
            ..finished
        };
        // Nobody looks where cells failed.
        if plan.looks.is_none() || finished.done < finished.total {
            return Ok(finished);
        }
        let results = inspect::results(store, plan)?;
        let summary = frame::summarise(plan, &results, "");
        say(&report::looks(&summary, 80));
        if summary.studies.iter().all(|study| study.ended) {
            return Ok(finished);
        }
    }
}
