//! Hand-made records with known effects.

mod depth;
mod looks;
mod qualified;
mod verdicts;

use std::collections::BTreeMap;

use super::*;
use crate::{
    fixture::{STUDY, plan_with},
    plan::Overrides,
    record::{Evaluations, Point, Series, Stage},
    summary::{Role, VerdictRow},
};

const PROBE: &str = "log_energy_distance";

/// What a hand-made cell is told of itself.
struct Place<'a> {
    block: Role,
    skip: f64,
    noise: f64,
    seed: u32,
    arm: &'a PlannedArm,
}

/// A plan of so many seeds in every block.
fn planned(text: &str, seeds: u32) -> Plan {
    plan_with(
        text,
        &Overrides {
            seeds: Some(seeds),
            all: true,
            ..Overrides::default()
        },
    )
    .expect("the study is sound")
}

/// A record for each cell that `value` has a number for.
fn results(plan: &Plan, value: impl Fn(&Place<'_>) -> Option<f64>) -> Results {
    let mut results = Results::default();
    for block in &plan.studies[0].blocks {
        for arm in &block.arms {
            for seed in 0..block.seeds {
                let level = |factor: &str| if arm.levels[factor] == "on" { 1.0 } else { 0.0 };
                let place = Place {
                    block: block.role,
                    skip: level("skip"),
                    noise: level("noise"),
                    seed,
                    arm,
                };
                let Some(value) = value(&place) else { continue };
                let cell = Cell::new(arm.config.clone(), seed);
                let attempt = Attempt {
                    seconds: 2.0,
                    binary: "one".to_owned(),
                    ..Attempt::default()
                };
                results
                    .records
                    .insert(cell.id.clone(), (record(cell, value), attempt));
            }
        }
    }
    results
}

fn record(cell: Cell, value: f64) -> Record {
    Record {
        schema: 1,
        cell,
        outcome: Outcome::Measured {},
        evaluations: Evaluations::default(),
        values: BTreeMap::from([(PROBE.to_owned(), value)]),
        curves: BTreeMap::new(),
        exhibit: None,
        maps: Vec::new(),
    }
}

/// ±1, so that any even number of seeds has mean zero.
fn sign(seed: u32) -> f64 {
    if seed.is_multiple_of(2) { 1.0 } else { -1.0 }
}

/// 5 − 0.4 skip − 2 noise − 0.6 skip·noise: skip −0.7, noise −2.3 ± 0.1, interaction −0.6.
fn known(place: &Place<'_>) -> Option<f64> {
    let level = 0.3 * f64::from(place.seed);
    let noise = -2.0 + 0.1 * sign(place.seed);
    let copy = if place.block == Role::AA {
        0.01 * sign(place.seed)
    } else {
        0.0
    };
    Some(
        5.0 + level - 0.4 * place.skip + place.noise * noise - 0.6 * place.skip * place.noise
            + copy,
    )
}

fn effect<'s>(summary: &'s Summary, block: &str, name: &str) -> &'s crate::summary::EffectRow {
    let mut rows = summary.studies[0].effects.iter();
    rows.find(|row| row.block == block && row.effect == name && row.probe == PROBE)
        .expect("the effect is there")
}

fn only_verdict(summary: &Summary) -> &VerdictRow {
    let [row] = &summary.studies[0].verdicts[..] else {
        panic!("one contrast is registered")
    };
    row
}

fn words(summary: &Summary) -> Vec<&str> {
    summary
        .stamps
        .iter()
        .map(|stamp| stamp.word.as_str())
        .collect()
}

fn near(found: Option<f64>, wanted: f64) {
    let found = found.expect("a number");
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

#[test]
fn known_effects_come_out() {
    let plan = planned(STUDY, 8);
    let summary = summarise(&plan, &results(&plan, known), "again");
    assert!(summary.stamps.is_empty(), "{:?}", summary.stamps);
    for (name, wanted) in [
        ("skip", -0.7),
        ("noise", -2.3),
        ("interaction", -0.6),
        ("skip_without_noise", -0.4),
        ("skip_with_noise", -1.0),
        ("noise_without_skip", -2.0),
        ("noise_with_skip", -2.6),
    ] {
        let row = effect(&summary, "the 2×2", name);
        near(row.numbers.estimate, wanted);
        assert_eq!((row.numbers.n, row.numbers.incomplete), (8, 0));
        assert_eq!(row.registered, name == "noise");
    }
    // Against a counter-arm that is as good as the plain network, a skip does what it does.
    near(
        effect(
            &summary,
            "well-initialised plain",
            "skip_over_counter_with_noise",
        )
        .numbers
        .estimate,
        -1.0,
    );
    near(effect(&summary, "A/A", "a_a").numbers.estimate, 0.0);

    let row = only_verdict(&summary);
    assert_eq!(
        (row.verdict.as_str(), row.class.as_str()),
        ("SUPPORTED", "supported")
    );
    near(row.numbers.estimate, -2.3);
    // t(7; 0.975) = 2.364624, and eight values of ±0.1 have a standard error of 0.1/√7.
    let half = 2.364_624_251_592_784 * 0.1 / 7.0_f64.sqrt();
    near(row.numbers.low, -2.3 - half);
    near(row.numbers.high, -2.3 + half);
    near(row.numbers.p, 2.0 / 256.0);
    near(row.adjusted_p, 2.0 / 256.0);
    assert!(row.remarks.is_empty(), "{:?}", row.remarks);

    let main = &summary.studies[0].blocks[0];
    let plain = &main.arms[0].values[PROBE];
    near(plain.mean, 5.0 + 0.3 * 3.5);
    near(plain.median, 5.0 + 0.3 * 3.5);
    near(plain.sd, 0.3 * 6.0_f64.sqrt());
    assert_eq!((plain.min, plain.max), (Some(5.0), Some(5.0 + 0.3 * 7.0)));
    assert!(
        main.arms
            .iter()
            .all(|arm| (arm.planned, arm.finished, arm.diverged, arm.failed) == (8, 8, 0, 0))
    );
    assert_eq!(main.arms[0].seconds, Some(2.0));
    assert_eq!(
        summary.provenance.cell_seconds,
        2.0 * (4 + 2 + 1) as f64 * 8.0
    );
}

#[test]
fn a_diverged_cell_takes_the_cap_and_is_counted() {
    let plan = planned(STUDY, 8);
    let mut records = results(&plan, known);
    let cap = 9.0;
    let arm = &plan.studies[0].blocks[0].arms[0];
    let id = Cell::new(arm.config.clone(), 3).id;
    let (record, _) = records.records.get_mut(&id).expect("the cell is there");
    record.outcome = Outcome::Diverged {
        stage: Stage::Langevin,
        step: 17,
    };
    record.values.insert(PROBE.to_owned(), cap);
    let summary = summarise(&plan, &records, "");
    let plain = &summary.studies[0].blocks[0].arms[0];
    assert_eq!((plain.finished, plain.diverged, plain.failed), (8, 1, 0));
    assert_eq!(plain.divergences, ["seed 3: Langevin sampling at step 17"]);
    assert_eq!(plain.values[PROBE].seeds[&3], Some(cap));
    let row = only_verdict(&summary);
    assert_eq!(row.numbers.n, 8, "the seed is not left out");
    // y00 of seed 3 rises from 5.9 to 9, and half of that goes into the effect of noise.
    near(
        row.numbers.seeds.get(&3).copied(),
        -2.3 - 0.1 - (cap - 5.9) / 2.0,
    );
    assert!(
        row.remarks
            .iter()
            .any(|remark| remark.starts_with("in 1 of 8 seeds a cell diverged")),
        "{:?}",
        row.remarks
    );
    assert!(
        !words(&summary).contains(&"INTERIM"),
        "a divergence is a result"
    );
}

#[test]
fn missing_cells_make_it_interim_and_their_seeds_incomplete() {
    let plan = planned(STUDY, 9);
    let mut records = results(&plan, |place| {
        let missing =
            place.block == Role::Main && place.seed == 8 && place.skip == 1.0 && place.noise == 0.0;
        (!missing).then(|| known(place)).flatten()
    });
    let arm = plan.studies[0].blocks[0]
        .arms
        .iter()
        .find(|arm| arm.label == "skip, noise off")
        .expect("it is there");
    let id = Cell::new(arm.config.clone(), 8).id;
    records.failures.insert(
        id.clone(),
        Failure {
            crashes: 2,
            kills: 0,
            message: "killed".to_owned(),
        },
    );
    let summary = summarise(&plan, &records, "");
    assert_eq!(words(&summary), ["INCOMPLETE"], "nobody tries it again");
    let reason = &summary.stamps[0].reason;
    assert!(
        reason.starts_with("1 of 63 cells have no result"),
        "{reason}"
    );
    let row = only_verdict(&summary);
    assert_eq!((row.numbers.n, row.numbers.incomplete), (8, 1));
    assert_eq!(
        effect(&summary, "the 2×2", "noise_without_skip").numbers.n,
        9,
        "arms that are complete count"
    );
    let arm = summary.studies[0].blocks[0]
        .arms
        .iter()
        .find(|arm| arm.label == "skip, noise off")
        .expect("it is there");
    assert_eq!((arm.planned, arm.finished, arm.failed), (9, 8, 1));

    records.failures.clear();
    records.corrupt.insert(id, "damaged".to_owned());
    let summary = summarise(&plan, &records, "");
    assert_eq!(words(&summary), ["INTERIM"], "it is run again");
    assert_eq!(
        summary.stamps[0].reason,
        "62 of 63 cells have a result (1 failed)"
    );
    let row = only_verdict(&summary);
    assert_eq!((row.verdict.as_str(), row.adjusted_p), ("NOT TESTED", None));
    assert!(
        row.remarks[0].starts_with("1 of 63 cells of the study are open"),
        "{:?}",
        row.remarks
    );
    assert!(
        row.numbers.low.is_some(),
        "estimates are shown all the same"
    );
}

#[test]
fn a_probe_of_some_arms_has_the_effects_of_those() {
    let plan = planned(STUDY, 8);
    let mut records = results(&plan, known);
    for (record, _) in records.records.values_mut() {
        let config = record.cell.config.diffusion().expect("a network");
        if config.objective.uses_noise() {
            record
                .values
                .insert("log_energy_distance_ode".to_owned(), 1.0);
        }
    }
    let study = &summarise(&plan, &records, "").studies[0];
    let effects: Vec<&str> = study
        .effects
        .iter()
        .filter(|row| row.probe == "log_energy_distance_ode" && row.block == "the 2×2")
        .map(|row| row.effect.as_str())
        .collect();
    assert_eq!(effects, ["skip_with_noise"]);
    assert_eq!(
        study
            .probes
            .iter()
            .map(|probe| probe.id.as_str())
            .collect::<Vec<_>>(),
        [PROBE, "log_energy_distance_ode"]
    );
}

#[test]
fn results_of_two_builds_are_stamped() {
    let plan = planned(STUDY, 8);
    let mut records = results(&plan, known);
    records
        .records
        .values_mut()
        .next()
        .expect("there are some")
        .1
        .binary = "two".to_owned();
    let summary = summarise(&plan, &records, "");
    assert_eq!(words(&summary), ["MIXED BUILDS"]);
    assert_eq!(summary.provenance.binaries, ["one", "two"]);
}

#[test]
fn curves_are_summarised_point_by_point() {
    let plan = planned(STUDY, 3);
    let mut records = results(&plan, known);
    for (record, _) in records.records.values_mut() {
        let seed = f64::from(record.cell.seed);
        // The last seed ends early.
        let points = [(2.0, 10.0 * seed), (1.0, seed)]
            .into_iter()
            .filter(|(x, _)| *x < 2.0 || seed < 2.0);
        let points = points
            .map(|(x, y)| Point {
                x,
                label: String::new(),
                y,
            })
            .collect();
        let series = Series {
            x_title: "step".to_owned(),
            y_title: "loss".to_owned(),
            log_x: false,
            points,
        };
        record.curves.insert("loss".to_owned(), series);
    }
    let summary = summarise(&plan, &records, "");
    let curve = &summary.studies[0].blocks[0].arms[0].curves["loss"];
    let points: Vec<_> = curve
        .points
        .iter()
        .map(|p| (p.x, p.n, p.min, p.median, p.max))
        .collect();
    assert_eq!(points, [(1.0, 3, 0.0, 1.0, 2.0), (2.0, 2, 0.0, 5.0, 10.0)]);
    let _ = records
        .records
        .values()
        .map(|(record, _)| record.cell.seed)
        .max();
}

#[test]
fn arms_are_told_apart() {
    let plan = planned(STUDY, 1);
    let labels: Vec<&str> = plan.studies[0]
        .blocks
        .iter()
        .flat_map(|block| &block.arms)
        .map(|arm| arm.label.as_str())
        .collect();
    assert_eq!(
        labels,
        [
            "plain, noise off",
            "skip, noise off",
            "plain, noise on",
            "skip, noise on",
            "well-initialised plain, noise off",
            "well-initialised plain, noise on",
            "skip (A/A), noise on",
        ]
    );
    let wrong = results(&plan, |place| {
        (place.arm.label == "plain, noise off").then_some(1.0)
    });
    assert_eq!(wrong.records.len(), 1);
}
