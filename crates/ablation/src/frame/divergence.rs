//! How often arms diverge, and whether a factor changes it.

use std::collections::BTreeSet;

use paired_stats::mcnemar_exact;

use super::effects::arm;
use crate::{
    study::EffectName,
    summary::{Arm, Block, DivergenceRow, Role},
};

/// The simple effects of a 2×2, and the two arms of each: (skip, noise) from and to.
const SIMPLE: [(EffectName, [(&str, &str); 2]); 4] = [
    (
        EffectName::SkipWithoutNoise,
        [("off", "off"), ("on", "off")],
    ),
    (EffectName::SkipWithNoise, [("off", "on"), ("on", "on")]),
    (
        EffectName::NoiseWithoutSkip,
        [("off", "off"), ("off", "on")],
    ),
    (EffectName::NoiseWithSkip, [("on", "off"), ("on", "on")]),
];

/// McNemar's exact test of each simple effect on divergence, in each 2×2 in which something diverged.
pub(super) fn divergences(blocks: &[Block]) -> Vec<DivergenceRow> {
    let mut rows = Vec::new();
    for block in blocks {
        let squares = matches!(block.role, Role::Main | Role::Depth);
        if !squares || block.arms.iter().all(|arm| arm.diverged == 0) {
            continue;
        }
        for (effect, [from, to]) in SIMPLE {
            let (Some(from), Some(to)) = (arm(block, from.0, from.1), arm(block, to.0, to.1))
            else {
                continue;
            };
            let both: BTreeSet<u32> = &finished(from) & &finished(to);
            let lost = |arm: &Arm| -> BTreeSet<u32> { &diverged(arm) & &both };
            let (before, after) = (lost(from), lost(to));
            let only_before = before.difference(&after).count() as u32;
            let only_after = after.difference(&before).count() as u32;
            rows.push(DivergenceRow {
                block: block.name.clone(),
                effect: effect.id().to_owned(),
                n: both.len() as u32,
                only_off: only_before,
                only_on: only_after,
                p: mcnemar_exact(u64::from(only_before), u64::from(only_after)),
            });
        }
    }
    rows
}

fn finished(arm: &Arm) -> BTreeSet<u32> {
    arm.finished_seeds.iter().copied().collect()
}

fn diverged(arm: &Arm) -> BTreeSet<u32> {
    arm.diverged_seeds.iter().copied().collect()
}
