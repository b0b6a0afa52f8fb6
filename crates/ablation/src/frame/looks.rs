//! When a study is judged: once, when its last cell has ended, or at looks that were planned before the first.
//!
//! Whoever looks whenever numbers please him finds effects that are not there, so no other moment has a verdict.

use std::collections::BTreeMap;

use paired_stats::Looks;

use super::{
    Results, summarise_block,
    verdict::{ALPHA, When, verdicts},
};
use crate::{
    plan::{Cell, Plan, PlannedLooks, PlannedStudy},
    summary::{Block, LookState, VerdictRow},
};

/// The cells that are to be run, given what is finished: all of them, or in a sequential run those of the look that
/// each study waits for, and of the looks behind it.
///
/// It depends on results alone, so a run goes on from wherever it was.
pub fn due(plan: &Plan, results: &Results) -> Vec<(Cell, f64)> {
    let Some(looks) = &plan.looks else {
        return plan.cells();
    };
    let standings = plan
        .studies
        .iter()
        .map(|study| Standing::of(study, results, &[], Some(looks)));
    let horizons =
        standings.map(|standing| standing.looks.as_ref().map_or(u32::MAX, LookState::due));
    plan.cells_within(&horizons.collect::<Vec<_>>())
}

/// How far a study has come.
pub(super) struct Standing {
    /// Whether nothing more is to be run.
    pub(super) ended: bool,
    /// The blocks with the seeds that the verdicts are about.
    pub(super) blocks: Vec<Block>,
    pub(super) verdicts: Vec<VerdictRow>,
    /// The looks, in a sequential run.
    pub(super) looks: Option<LookState>,
}

impl Standing {
    /// What `of_run` names makes every verdict invalid.
    pub(super) fn of(
        study: &PlannedStudy,
        results: &Results,
        of_run: &[paired_stats::Problem],
        looks: Option<&PlannedLooks>,
    ) -> Standing {
        // A lock is checked against its digest, so that its looks are those that were planned.
        let planned = looks.and_then(|looks| Some((looks, looks.boundaries().ok()?)));
        match planned {
            None => Standing::at_the_end(study, results, of_run),
            Some((looks, boundaries)) => {
                Standing::at_looks(study, results, of_run, looks, &boundaries)
            }
        }
    }

    fn at_the_end(
        study: &PlannedStudy,
        results: &Results,
        of_run: &[paired_stats::Problem],
    ) -> Standing {
        let blocks = blocks(study, results, u32::MAX);
        let [open, all] = open_cells(study, u32::MAX, &|cell| {
            let given_up = |cell: &Cell| results.failures.get(&cell.id).map(|f| f.is_final());
            results.records.contains_key(&cell.id) || given_up(cell) == Some(true)
        });
        let when = match open {
            0 => When::AtTheEnd,
            _ => When::Before(format!(
                "{open} of {all} cells of the study are open, and it is judged once, at its end"
            )),
        };
        Standing {
            ended: open == 0,
            verdicts: verdicts(study, &blocks, of_run, &when),
            blocks,
            looks: None,
        }
    }

    fn at_looks(
        study: &PlannedStudy,
        results: &Results,
        of_run: &[paired_stats::Problem],
        looks: &PlannedLooks,
        boundaries: &Looks,
    ) -> Standing {
        let spent = boundaries.spent(ALPHA).unwrap_or_default();
        let levels = (0..looks.seeds.len()).map(|k| boundaries.look(k).level(ALPHA));
        let mut state = LookState {
            seeds: looks.seeds.clone(),
            taken: 0,
            ended: false,
            alpha: ALPHA,
            spent,
            levels: levels.filter_map(Result::ok).collect(),
        };
        let first = looks.seeds[0];
        let mut standing: Option<Standing> = None;
        for (index, seeds) in looks.seeds.iter().copied().enumerate() {
            // A cell that failed is tried again before anybody looks.
            let has_result = |cell: &Cell| results.records.contains_key(&cell.id);
            let [open, all] = open_cells(study, seeds, &has_result);
            if 0 < open {
                let mut waiting = standing.unwrap_or_else(|| {
                    let blocks = blocks(study, results, first);
                    let why = format!(
                        "{open} of the {all} cells of the first look ({first} seeds) are open"
                    );
                    Standing {
                        ended: false,
                        verdicts: verdicts(study, &blocks, of_run, &When::Before(why)),
                        blocks,
                        looks: None,
                    }
                });
                waiting.looks = Some(state);
                return waiting;
            }
            let blocks = blocks(study, results, seeds);
            let when = When::AtLook(boundaries.look(index), first);
            let mut rows = verdicts(study, &blocks, of_run, &when);
            // What an earlier look decided stays, with the numbers that decided it.
            if let Some(before) = standing {
                for (row, earlier) in rows.iter_mut().zip(before.verdicts) {
                    if earlier.settled && row.class != "invalid" {
                        *row = earlier;
                    }
                }
            }
            state.taken = index as u32 + 1;
            state.ended = rows.iter().all(|row| row.settled) || boundaries.look(index).is_last();
            standing = Some(Standing {
                ended: state.ended,
                blocks,
                verdicts: rows,
                looks: Some(state.clone()),
            });
            if state.ended {
                break;
            }
        }
        standing.expect("there is a look")
    }
}

fn blocks(study: &PlannedStudy, results: &Results, seeds: u32) -> Vec<Block> {
    let blocks = study.blocks.iter();
    blocks
        .map(|block| summarise_block(block, seeds, results))
        .collect()
}

/// How many cells of a study's first seeds are not closed, and how many there are.
fn open_cells(study: &PlannedStudy, seeds: u32, is_closed: &dyn Fn(&Cell) -> bool) -> [usize; 2] {
    let mut cells = BTreeMap::new();
    for block in &study.blocks {
        for arm in &block.arms {
            for seed in 0..block.seeds.min(seeds) {
                let cell = Cell::new(arm.config.clone(), seed);
                let open = !is_closed(&cell);
                cells.insert(cell.id, open);
            }
        }
    }
    [cells.values().filter(|open| **open).count(), cells.len()]
}
