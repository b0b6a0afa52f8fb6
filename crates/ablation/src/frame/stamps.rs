//! What the reader must know before any number, and what makes every verdict of a run invalid.

use paired_stats::Problem;

use super::{MINIMUM_SEEDS, Results};
use crate::{
    plan::Plan,
    record::Failure,
    summary::{LookState, Role, Stamp, StudySummary},
};

/// What makes every verdict invalid.
pub(super) fn problems(results: &Results, binaries: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut changes = results.locks.iter().flat_map(|lock| &lock.changed);
    if changes.any(|change| change.registered) {
        problems.push(Problem::PlanChanged);
    }
    if !results.conflicts.is_empty() {
        problems.push(Problem::Conflicts {
            cells: results.conflicts.len(),
        });
    }
    if 1 < binaries.len() {
        problems.push(Problem::MixedCode {
            builds: binaries.len(),
        });
    }
    problems
}

/// The warnings on the whole report.
pub(super) fn stamps(
    plan: &Plan,
    results: &Results,
    studies: &[StudySummary],
    binaries: &[String],
) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    let mut stamp = |word: &str, reason: String| {
        stamps.push(Stamp {
            word: word.to_owned(),
            reason,
        })
    };
    unfinished(plan, results, studies, &mut stamp);
    if let Some(study) = plan
        .studies
        .iter()
        .find(|study| study.seeds < MINIMUM_SEEDS)
    {
        let reason = format!(
            "{} seeds in `{}`: fewer than {MINIMUM_SEEDS} give estimates and no verdict",
            study.seeds, study.name
        );
        stamp("EXPLORATORY", reason);
    }
    if plan.looks.is_none() {
        for study in &plan.studies {
            if let Some(reason) = study.without_support() {
                stamp("OUT OF REACH", format!("`{}`: {reason}", study.name));
            }
        }
    }
    let uncontrolled: Vec<String> = studies
        .iter()
        .filter(|study| study.blocks.iter().all(|block| block.role != Role::AA))
        .map(|study| format!("`{}`", study.name))
        .collect();
    if !uncontrolled.is_empty() {
        let reason = format!(
            "{} has no A/A arm, so what chance alone does is not known there",
            uncontrolled.join(", ")
        );
        stamp("NO NOISE FLOOR", reason);
    }
    if !results.conflicts.is_empty() {
        stamp(
            "NOT DETERMINISTIC",
            format!(
                "{} cells were computed twice with different results; the first one counts",
                results.conflicts.len()
            ),
        );
    }
    let amendments = results
        .locks
        .iter()
        .filter_map(|lock| Some((lock, lock.reason.as_ref()?)));
    for (lock, reason) in amendments {
        let changes: Vec<&str> = lock
            .changed
            .iter()
            .map(|change| change.what.as_str())
            .collect();
        let more = match changes.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        stamp(
            "AMENDED",
            format!(
                "after {} cells were finished: {}{more} ({reason})",
                lock.finished,
                changes.first().unwrap_or(&"nothing")
            ),
        );
    }
    if 1 < binaries.len() {
        let reason = format!(
            "results of {} different builds of the program stand side by side",
            binaries.len()
        );
        stamp("MIXED BUILDS", reason);
    }
    stamps
}

/// What is still to come, or never will.
fn unfinished(
    plan: &Plan,
    results: &Results,
    studies: &[StudySummary],
    stamp: &mut dyn FnMut(&str, String),
) {
    let due = |study: &StudySummary| study.looks.as_ref().map_or(u32::MAX, LookState::due);
    let cells = plan.cells_within(&studies.iter().map(due).collect::<Vec<_>>());
    let has_result = |id: &str| results.records.contains_key(id);
    let done = cells
        .iter()
        .filter(|(cell, _)| has_result(&cell.id))
        .count();
    let failed = results.failures.len() + results.corrupt.len();
    if studies.iter().any(|study| !study.ended) {
        let mut reason = format!(
            "{done} of {} cells have a result ({failed} failed)",
            cells.len()
        );
        for study in studies {
            let Some(looks) = study.looks.as_ref().filter(|looks| !looks.ended) else {
                continue;
            };
            let open = study.verdicts.iter().filter(|row| !row.settled).count();
            reason += &match looks.taken {
                0 => format!(
                    "; `{}` waits for its first look at {} seeds",
                    study.name,
                    looks.due()
                ),
                taken => format!(
                    "; `{}` stands at look {taken} of {}, and goes on to {} seeds for {open} of its {} contrasts",
                    study.name,
                    looks.seeds.len(),
                    looks.due(),
                    study.verdicts.len()
                ),
            };
        }
        stamp("INTERIM", reason);
    } else if done < cells.len() {
        let given_up = results.failures.values().filter(|f| Failure::is_final(f));
        let reason = format!(
            "{} of {} cells have no result, because the program failed on them; verdicts rest on the seeds that are whole",
            given_up.count(),
            cells.len()
        );
        stamp("INCOMPLETE", reason);
    }
}
