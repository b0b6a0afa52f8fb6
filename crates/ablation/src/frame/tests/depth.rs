//! Effects against depth, and how often arms diverge, on hand-made records.

use super::{PROBE, Place, known, near, planned, results, sign};
use crate::{
    config::Network,
    fixture::STUDY,
    frame::{Results, summarise},
    plan::{Cell, Plan},
    record::{Outcome, Stage},
    summary::{DepthRow, Role},
};

/// Twice the depth beside the 2×2.
fn two_depths(seeds: u32) -> Plan {
    let deep = "[[beside]]\nname = \"deep\"\nrole = \"depth\"\nset = { \"network.blocks\" = 4 }\nseeds = 8\n\n[[contrasts]]";
    planned(&STUDY.replace("[[contrasts]]", deep), seeds)
}

/// A skip that gains one with each doubling of the depth, a tenth more or less from seed to seed.
fn deepening(place: &Place<'_>) -> Option<f64> {
    let Network::Mlp { blocks, .. } = place.arm.config.network else {
        panic!("the study has a perceptron")
    };
    let gain = (blocks as f64).log2() * (1.0 + 0.1 * sign(place.seed));
    Some(5.0 - gain * place.skip - 2.0 * place.noise)
}

fn rows(seeds: u32) -> Vec<DepthRow> {
    let plan = two_depths(seeds);
    let mut summary = summarise(&plan, &results(&plan, deepening), "");
    std::mem::take(&mut summary.studies[0].depths)
}

#[test]
fn an_effect_that_grows_has_its_slope_and_a_band() {
    let rows = rows(8);
    let effects: Vec<&str> = rows.iter().map(|row| row.effect.as_str()).collect();
    assert_eq!(effects, ["skip", "noise", "interaction"]);
    let skip = &rows[0];
    near(skip.slope, -1.0);
    // t(7; 0.975) · 0.1/√7, as for any eight values of ±0.1.
    let half = 2.364_624_251_592_784 * 0.1 / 7.0_f64.sqrt();
    near(skip.slope_low, -1.0 - half);
    near(skip.slope_high, -1.0 + half);
    for (point, (depth, effect)) in skip.points.iter().zip([(2, -1.0), (4, -2.0)]) {
        assert_eq!((point.depth, skip.n, point.seeds.len()), (depth, 8, 8));
        near(Some(point.estimate), effect);
        let (low, high) = point.low.zip(point.high).expect("eight seeds have a band");
        near(Some(low + high), 2.0 * effect);
        assert!(low < effect && high < 0.0, "[{low}, {high}]");
        // All signs alike, and all turned: 2 of 256 patterns.
        near(point.adjusted_p, 2.0 / 256.0);
    }
    near(rows[1].slope, 0.0);
}

#[test]
fn few_seeds_have_no_band_and_one_depth_no_row() {
    let rows = rows(4);
    assert!(rows[0].points.iter().all(|point| point.low.is_none()));
    near(rows[0].slope, -1.0);
    let plan = planned(STUDY, 8);
    let summary = summarise(&plan, &results(&plan, known), "");
    assert!(summary.studies[0].depths.is_empty());
}

#[test]
fn only_seeds_that_are_complete_at_every_depth_are_compared() {
    let plan = two_depths(8);
    let part = |place: &Place<'_>| {
        let missing = place.block == Role::Depth && 3 == place.seed && place.skip == 1.0;
        (!missing).then(|| deepening(place)).flatten()
    };
    let summary = summarise(&plan, &results(&plan, part), "");
    let row = &summary.studies[0].depths[0];
    assert_eq!(row.n, 7);
    assert!(row.points.iter().all(|point| !point.seeds.contains_key(&3)));
}

/// Lets one arm of the 2×2 diverge in its first seeds.
fn diverge(plan: &Plan, results: &mut Results, arm: usize, seeds: u32) {
    for seed in 0..seeds {
        let cell = Cell::new(plan.studies[0].blocks[0].arms[arm].config.clone(), seed);
        let (record, _) = results.records.get_mut(&cell.id).expect("it is there");
        record.values.insert(PROBE.to_owned(), 9.0);
        record.outcome = Outcome::Diverged {
            stage: Stage::Training,
            step: 1,
        };
    }
}

#[test]
fn divergence_has_exact_intervals_and_a_paired_test() {
    let plan = planned(STUDY, 8);
    let mut records = results(&plan, known);
    let calm = summarise(&plan, &records, "");
    assert!(calm.studies[0].divergences.is_empty());
    diverge(&plan, &mut records, 0, 6);
    // The skip without noise diverges too, in two of the same seeds.
    diverge(&plan, &mut records, 1, 2);
    let summary = summarise(&plan, &records, "");
    let study = &summary.studies[0];
    let plain = &study.blocks[0].arms[0];
    assert_eq!(plain.diverged_seeds, [0, 1, 2, 3, 4, 5]);
    assert_eq!(plain.finished_seeds.len(), 8);
    // Clopper & Pearson for 6 of 8.
    let [low, high] = plain.diverged_interval.expect("some diverged");
    assert!((low - 0.349_144).abs() < 1e-5 && (high - 0.968_146).abs() < 1e-5);
    assert_eq!(study.blocks[0].arms[2].diverged_interval, None);
    let found: Vec<(&str, u32, u32, f64)> = study
        .divergences
        .iter()
        .map(|row| (row.effect.as_str(), row.only_off, row.only_on, row.p))
        .collect();
    assert_eq!(
        found,
        [
            ("skip_without_noise", 4, 0, 2.0 / 16.0),
            ("skip_with_noise", 0, 0, 1.0),
            ("noise_without_skip", 6, 0, 2.0 / 64.0),
            ("noise_with_skip", 2, 0, 2.0 / 4.0),
        ]
    );
}
