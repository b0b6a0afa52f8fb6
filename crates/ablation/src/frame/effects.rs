//! Effects: one number per seed, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use paired_stats::{
    Interval, SignFlip, TwoByTwo, bootstrap_t, paired_t, percentile, probability_larger, sign_flip,
    sign_flip_sampled,
};

use crate::{
    plan::PlannedStudy,
    record::Stage,
    stream::{self, Stream},
    study::EffectName,
    summary::{Arm, Block, EffectNumbers, EffectRow, Role},
};

pub(crate) const CONFIDENCE: f64 = 0.95;
const RESAMPLES: usize = 10_000;
/// Sign patterns drawn where there are too many to list.
const FLIPS: usize = 20_000;
/// Keeps the draws of sign patterns apart from those of the bootstrap.
const FLIPS_DRAWS: u64 = 1 << 63;
/// Keeps the draws of planning apart from both.
const PLANNING_DRAWS: u64 = 1 << 62;
/// Keeps the draws of bands over depths apart from all.
const DEPTH_DRAWS: u64 = 1 << 61;
/// Keeps the resamples of P(A > B) apart from all.
const ORDER_DRAWS: u64 = 1 << 60;

/// Every effect of every probe in every block that has it.
pub(super) fn all_effects(
    study: &PlannedStudy,
    blocks: &[Block],
    probes: &[&str],
) -> Vec<EffectRow> {
    let mut rows = Vec::new();
    for (block, own) in blocks.iter().zip(&study.blocks) {
        let names: Vec<EffectName> = match own.role {
            Role::Main | Role::Depth if own.arms.len() == 4 => EffectName::OF_A_SQUARE.to_vec(),
            Role::CounterArm => {
                vec![
                    EffectName::SkipOverCounterWithoutNoise,
                    EffectName::SkipOverCounterWithNoise,
                ]
            }
            Role::AA => vec![EffectName::AA],
            // What the samplers alone make of noise.
            Role::Reference => vec![EffectName::NoiseWithoutSkip],
            _ => Vec::new(),
        };
        for probe in probes {
            for name in &names {
                let values = per_seed(blocks, block, probe, *name);
                if !values.complete.is_empty() {
                    rows.push(EffectRow {
                        block: block.name.clone(),
                        probe: (*probe).to_owned(),
                        effect: name.id().to_owned(),
                        numbers: numbers(&study.name, &values),
                        registered: false,
                        q: None,
                    });
                }
            }
        }
    }
    rows
}

/// One effect per seed.
#[derive(Debug, Default)]
pub(super) struct PerSeed {
    pub(super) complete: BTreeMap<u32, f64>,
    /// The two numbers of which each of those is the difference, the second less the first.
    pub(super) sides: BTreeMap<u32, [f64; 2]>,
    /// Seeds among the complete ones in which a cell diverged before the probe was measured.
    pub(super) diverged: BTreeSet<u32>,
    /// Seeds that have no number because a cell diverged.
    pub(super) lost: BTreeSet<u32>,
    /// Labels of arms of which half the seeds or more are at the probe's cap, with how many.
    pub(super) capped: Vec<(String, u32)>,
    incomplete: u32,
}

/// Whether a divergence (as an arm tells it) comes before a probe is measured.
fn precedes(divergence: &str, probe: &str) -> bool {
    let untrained = probe.ends_with("_init");
    let sampled = [
        "log_energy_distance",
        "log_band_power_error",
        "log_distance",
        "weight_error",
    ]
    .iter()
    .any(|base| {
        probe
            .strip_prefix(base)
            .is_some_and(|rest| rest.is_empty() || rest == "_ode")
    });
    if divergence.contains(Stage::Training.words()) {
        !untrained
    } else if divergence.contains(Stage::Ode.words()) {
        probe.ends_with("_ode")
    } else {
        sampled && !probe.ends_with("_ode")
    }
}

/// How many seeds of an arm are at the cap of a probe that has one.
fn at_cap(arm: &Arm, probe: &str) -> u32 {
    let base = probe.strip_suffix("_ode").unwrap_or(probe);
    let (Some(values), Some(caps)) = (
        arm.values.get(probe),
        arm.values.get(&format!("{base}_cap")),
    ) else {
        return 0;
    };
    let capped = values.seeds.iter().filter(|(seed, value)| {
        matches!((value, caps.seeds.get(seed)), (Some(value), Some(Some(cap))) if cap <= value)
    });
    capped.count() as u32
}

/// The effect in each seed whose cells are all there.
pub(super) fn per_seed(
    blocks: &[Block],
    block: &Block,
    probe: &str,
    effect: EffectName,
) -> PerSeed {
    let main = &blocks[0];
    // The arms that the effect is made of, in the order in which they are combined below.
    let needed: Vec<Option<&Arm>> = match effect {
        EffectName::Skip | EffectName::Noise | EffectName::Interaction => {
            [("off", "off"), ("off", "on"), ("on", "off"), ("on", "on")]
                .map(|(s, n)| arm(block, s, n))
                .to_vec()
        }
        EffectName::SkipWithoutNoise => vec![arm(block, "off", "off"), arm(block, "on", "off")],
        EffectName::SkipWithNoise => vec![arm(block, "off", "on"), arm(block, "on", "on")],
        EffectName::NoiseWithoutSkip => vec![arm(block, "off", "off"), arm(block, "off", "on")],
        EffectName::NoiseWithSkip => vec![arm(block, "on", "off"), arm(block, "on", "on")],
        EffectName::SkipOverCounterWithoutNoise => {
            vec![arm(block, "off", "off"), arm(main, "on", "off")]
        }
        EffectName::SkipOverCounterWithNoise => {
            vec![arm(block, "off", "on"), arm(main, "on", "on")]
        }
        EffectName::AA => {
            let copy = block.arms.first();
            vec![
                copy.and_then(|copy| arm(main, &copy.levels["skip"], &copy.levels["noise"])),
                copy,
            ]
        }
    };
    let Some(arms) = needed.into_iter().collect::<Option<Vec<&Arm>>>() else {
        return PerSeed::default();
    };
    let mut found = PerSeed::default();
    for arm in &arms {
        let capped = at_cap(arm, probe);
        if 0 < capped && arm.finished <= 2 * capped {
            found.capped.push((arm.label.clone(), capped));
        }
    }
    for seed in 0..block.seeds {
        let prefix = format!("seed {seed}:");
        let diverged = arms
            .iter()
            .flat_map(|arm| &arm.divergences)
            .any(|text| text.starts_with(&prefix) && precedes(text, probe));
        let values: Option<Vec<f64>> = arms
            .iter()
            .map(|arm| arm.values.get(probe)?.seeds.get(&seed).copied().flatten())
            .collect();
        let Some(values) = values else {
            found.incomplete += 1;
            if diverged {
                found.lost.insert(seed);
            }
            continue;
        };
        let (value, sides) = match values[..] {
            [from, to] => (to - from, [from, to]),
            [y00, y01, y10, y11] => {
                let of = TwoByTwo { y00, y01, y10, y11 }.effects();
                match effect {
                    EffectName::Noise => (of.noise, [0.5 * (y00 + y10), 0.5 * (y01 + y11)]),
                    EffectName::Interaction => {
                        (of.interaction, [of.skip_without_noise, of.skip_with_noise])
                    }
                    _ => (of.skip, [0.5 * (y00 + y01), 0.5 * (y10 + y11)]),
                }
            }
            _ => unreachable!("an effect has two or four arms"),
        };
        found.complete.insert(seed, value);
        found.sides.insert(seed, sides);
        if diverged {
            found.diverged.insert(seed);
        }
    }
    found
}

pub(super) fn arm<'b>(block: &'b Block, skip: &str, noise: &str) -> Option<&'b Arm> {
    block
        .arms
        .iter()
        .find(|arm| arm.levels["skip"] == skip && arm.levels["noise"] == noise)
}

/// Estimate, intervals and p of one effect; the draws that they take are fixed by the study's name.
pub(super) fn numbers(study: &str, values: &PerSeed) -> EffectNumbers {
    let list: Vec<f64> = values.complete.values().copied().collect();
    let interval = paired_t(&list, CONFIDENCE).ok();
    let mut rng = stream(study).at(stream::Role::Bootstrap, list.len() as u64);
    let bootstrap = bootstrap_t(&list, CONFIDENCE, RESAMPLES, &mut rng).ok();
    let flips = flips(study, &list);
    EffectNumbers {
        n: list.len() as u32,
        incomplete: values.incomplete,
        estimate: (!list.is_empty()).then(|| list.iter().sum::<f64>() / list.len() as f64),
        low: interval.as_ref().map(|i| i.low),
        high: interval.as_ref().map(|i| i.high),
        bootstrap_low: bootstrap.as_ref().map(|i| i.low),
        bootstrap_high: bootstrap.as_ref().map(|i| i.high),
        p: flips.as_ref().map(|f| f.p),
        p_floor: flips.as_ref().map(|f| f.floor),
        seeds: values.complete.clone(),
    }
}

/// The sign-flip test: exact while all flips can be listed, sampled beyond.
pub(super) fn flips(study: &str, values: &[f64]) -> Option<SignFlip> {
    sign_flip(values)
        .or_else(|_| {
            let mut rng =
                stream(study).at(stream::Role::Bootstrap, FLIPS_DRAWS | values.len() as u64);
            sign_flip_sampled(values, FLIPS, &mut rng)
        })
        .ok()
}

/// P(A > B) over pairs of these seeds, A − B being the effect, with its percentile interval over whole seeds.
pub(super) fn order(study: &str, values: &PerSeed, seeds: &BTreeMap<u32, f64>) -> Option<Interval> {
    let sides = values.sides.iter();
    let sides: Vec<[f64; 2]> = sides
        .filter(|(seed, _)| seeds.contains_key(seed))
        .map(|(_, sides)| *sides)
        .collect();
    let larger = |of: &[[f64; 2]]| {
        let [from, to] = [0, 1].map(|side| of.iter().map(|sides| sides[side]).collect::<Vec<_>>());
        probability_larger(&to, &from)
    };
    let mut rng = stream(study).at(stream::Role::Bootstrap, ORDER_DRAWS | sides.len() as u64);
    percentile(&sides, larger, CONFIDENCE, RESAMPLES, &mut rng).ok()
}

/// The draws of synthetic studies that plan a study's seeds.
pub(crate) fn planning_draws(study: &str) -> impl rand::RngCore {
    stream(study).at(stream::Role::Bootstrap, PLANNING_DRAWS)
}

/// The sign patterns of a band over the depths of a study.
pub(super) fn depth_draws(study: &str) -> impl rand::RngCore {
    stream(study).at(stream::Role::Bootstrap, DEPTH_DRAWS)
}

fn stream(study: &str) -> Stream {
    let digest = blake3::hash(study.as_bytes());
    Stream::new(u64::from_le_bytes(
        digest.as_bytes()[..8].try_into().expect("eight bytes"),
    ))
}
