//! The effects at several depths: a band that holds at all of them together, and the slope per doubling.

use std::collections::BTreeMap;

use paired_stats::{Effects, TwoByTwo, max_t, max_t_sampled, over_depths, paired_t};

use super::effects::{CONFIDENCE, arm, depth_draws};
use crate::{
    config::Network,
    plan::PlannedStudy,
    study::EffectName,
    summary::{Block, DepthPoint, DepthRow, Role},
};

/// More seeds than these have more flips than are listed.
const LISTED: usize = 20;
/// Sign patterns drawn instead.
const FLIPS: usize = 20_000;

/// What is read off the effects of one seed.
type Effect = fn(&Effects) -> f64;

/// The main effects and the interaction on the primary probe at each depth that has a 2×2; none at one depth alone.
///
/// Only seeds that are complete at every depth count, so that the same seeds are compared.
pub(super) fn by_depth(study: &PlannedStudy, blocks: &[Block]) -> Vec<DepthRow> {
    let mut squares: Vec<(u32, &Block, BTreeMap<u32, TwoByTwo>)> = blocks
        .iter()
        .zip(&study.blocks)
        .filter(|(block, _)| matches!(block.role, Role::Main | Role::Depth))
        .filter_map(|(block, planned)| {
            let depth = depth(&planned.arms.first()?.config.network)?;
            Some((depth, block, of_block(block, &study.primary)?))
        })
        .collect();
    squares.sort_by_key(|(depth, ..)| *depth);
    squares.dedup_by_key(|(depth, ..)| *depth);
    let Some((_, _, first)) = squares.first() else {
        return Vec::new();
    };
    let everywhere = |seed: &&u32| squares.iter().all(|(_, _, of)| of.contains_key(seed));
    let seeds: Vec<u32> = first.keys().filter(everywhere).copied().collect();
    if squares.len() < 2 || seeds.is_empty() {
        return Vec::new();
    }
    let slopes: Vec<Effects> = seeds
        .iter()
        .filter_map(|seed| {
            let of_seed = squares
                .iter()
                .map(|(depth, _, of)| (f64::from(*depth), of[seed]));
            Some(over_depths(&of_seed.collect::<Vec<_>>()).ok()?.slope)
        })
        .collect();
    let of: [(EffectName, Effect); 3] = [
        (EffectName::Skip, |effects| effects.skip),
        (EffectName::Noise, |effects| effects.noise),
        (EffectName::Interaction, |effects| effects.interaction),
    ];
    of.into_iter()
        .map(|(name, effect)| {
            let columns: Vec<Vec<f64>> = squares
                .iter()
                .map(|(_, _, of)| {
                    seeds
                        .iter()
                        .map(|seed| effect(&of[seed].effects()))
                        .collect()
                })
                .collect();
            let family = if seeds.len() <= LISTED {
                max_t(&columns).ok()
            } else {
                max_t_sampled(&columns, FLIPS, &mut depth_draws(&study.name)).ok()
            };
            let band = family.as_ref().and_then(|f| f.intervals(CONFIDENCE).ok());
            let points = squares.iter().zip(&columns).enumerate();
            let points = points.map(|(place, ((depth, block, _), column))| DepthPoint {
                depth: *depth,
                block: block.name.clone(),
                seeds: seeds.iter().copied().zip(column.iter().copied()).collect(),
                estimate: column.iter().sum::<f64>() / column.len() as f64,
                low: band.as_ref().map(|band| band[place].low),
                high: band.as_ref().map(|band| band[place].high),
                adjusted_p: family.as_ref().map(|family| family.adjusted_p[place]),
            });
            let slope = paired_t(&slopes.iter().map(effect).collect::<Vec<_>>(), CONFIDENCE).ok();
            DepthRow {
                effect: name.id().to_owned(),
                n: seeds.len() as u32,
                points: points.collect(),
                slope: slope.as_ref().map(|slope| slope.estimate),
                slope_low: slope.as_ref().map(|slope| slope.low),
                slope_high: slope.as_ref().map(|slope| slope.high),
            }
        })
        .collect()
}

/// Blocks of a network, in its own counting.
fn depth(network: &Network) -> Option<u32> {
    match network {
        Network::Exact {} => None,
        Network::Mlp { blocks, .. }
        | Network::Unet { blocks, .. }
        | Network::Published { blocks, .. }
        | Network::Transformer { blocks, .. } => u32::try_from(*blocks).ok(),
        Network::Matched { network, .. } => depth(network),
    }
}

/// The 2×2 of each complete seed; none where a block has other arms.
fn of_block(block: &Block, probe: &str) -> Option<BTreeMap<u32, TwoByTwo>> {
    let value = |skip, noise| Some(&arm(block, skip, noise)?.values.get(probe)?.seeds);
    let [y00, y01, y10, y11] = [
        value("off", "off")?,
        value("off", "on")?,
        value("on", "off")?,
        value("on", "on")?,
    ];
    let square = |seed: &u32| {
        let at = |of: &BTreeMap<u32, Option<f64>>| of.get(seed).copied().flatten();
        Some(TwoByTwo {
            y00: at(y00)?,
            y01: at(y01)?,
            y10: at(y10)?,
            y11: at(y11)?,
        })
    };
    let whole = y00.keys().filter_map(|seed| Some((*seed, square(seed)?)));
    Some(whole.collect())
}
