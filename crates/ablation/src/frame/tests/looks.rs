//! Planned looks on hand-made records: what is decided when, and how often wrongly.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{
    super::{Results, due, looks::Standing, summarise},
    Place, known, only_verdict, results, sign, words,
};
use crate::{
    fixture::{STUDY, plan_with},
    plan::{Overrides, Plan, PlannedLooks},
    record::{Attempt, Record},
    summary::Role,
};

/// The study with looks at 8, 16 and 30 seeds.
fn sequential(text: &str) -> Plan {
    let looks = PlannedLooks::at(&PlannedLooks::USUAL).expect("they are sound");
    let overrides = Overrides {
        looks: Some(looks),
        ..Overrides::default()
    };
    plan_with(text, &overrides).expect("the study is sound")
}

/// What is left of a run when only cells that are due have been run, from `finished` on; and how often it was looked.
fn run(plan: &Plan, all: &Results, mut finished: Results) -> (Results, usize) {
    for rounds in 0.. {
        let open: Vec<_> = due(plan, &finished)
            .into_iter()
            .filter(|(cell, _)| !finished.records.contains_key(&cell.id))
            .collect();
        if open.is_empty() {
            return (finished, rounds);
        }
        for (cell, _) in open {
            let record = all.records[&cell.id].clone();
            finished.records.insert(cell.id, record);
        }
    }
    unreachable!("a run ends");
}

#[test]
fn the_plan_reaches_to_the_last_look_where_a_contrast_is_judged() {
    let seeds = |plan: &Plan| -> Vec<u32> {
        let blocks = plan.studies[0].blocks.iter();
        blocks.map(|block| block.seeds).collect()
    };
    // The 2×2, the counter-arm, the A/A arm.
    assert_eq!(seeds(&sequential(STUDY)), [30, 1, 2]);
    let judged = STUDY.replace(
        "effect = \"noise\"",
        "effect = \"skip_over_counter_with_noise\"",
    );
    assert_eq!(seeds(&sequential(&judged)), [30, 30, 2]);
}

#[test]
fn a_strong_effect_ends_at_the_first_look() {
    let plan = sequential(STUDY);
    let (finished, looks) = run(&plan, &results(&plan, known), Results::default());
    assert_eq!(looks, 1);
    assert_eq!(finished.records.len(), 4 * 8 + 2 + 2);
    let summary = summarise(&plan, &finished, "");
    assert!(summary.stamps.is_empty(), "{:?}", summary.stamps);
    let study = &summary.studies[0];
    let state = study.looks.as_ref().expect("it is sequential");
    assert_eq!((state.taken, state.ended, study.ended), (1, true, true));
    assert!(state.spent[0] < 0.001 && (state.spent[2] - 0.05).abs() < 1e-6);
    let row = only_verdict(&summary);
    assert_eq!((row.class.as_str(), row.look), ("supported", Some(1)));
    assert_eq!((row.numbers.n, study.seeds), (8, 8));
    // The interval that decides is that of the look, not that of one study judged once.
    let confidence = row.confidence.expect("it is judged");
    assert!((1.0 - confidence - state.levels[0]).abs() < 1e-12);
    assert!(row.deciding_low < row.numbers.low && row.numbers.high < row.deciding_high);
}

#[test]
fn what_is_open_goes_on_and_what_is_decided_stays() {
    let two = format!(
        "{STUDY}\n[[contrasts]]\nid = \"skip\"\nclaim = \"Skips help\"\neffect = \"skip\"\nexpect = \"lower\"\ndelta = 0.1"
    );
    let plan = sequential(&two);
    // The noise helps until seed 8 and harms after; the skip does nothing that anybody could see.
    let wavering = |place: &Place<'_>| {
        let noise = if place.seed < 8 { -2.0 } else { 1.0 } + 0.05 * sign(place.seed);
        Some(place.noise * noise - 0.1 * place.skip + 0.5 * place.skip * sign(place.seed))
    };
    let all = results(&plan, wavering);
    let (finished, looks) = run(&plan, &all, Results::default());
    assert_eq!(looks, 3, "one contrast is never decided");
    let summary = summarise(&plan, &finished, "");
    let [noise, skip] = &summary.studies[0].verdicts[..] else {
        panic!("two contrasts are registered")
    };
    assert_eq!(
        (noise.class.as_str(), noise.look, noise.numbers.n),
        ("supported", Some(1), 8)
    );
    // With all of the seeds it would be the larger one at times.
    assert_eq!(noise.larger, Some(0.0));
    assert_eq!(
        (skip.class.as_str(), skip.look, skip.numbers.n),
        ("inconclusive", Some(3), 30)
    );
    assert_eq!(
        summary,
        summarise(&plan, &all, ""),
        "order and detours change nothing"
    );
}

#[test]
fn no_moment_but_a_look_has_a_verdict() {
    let plan = sequential(STUDY);
    let open = |place: &Place<'_>| Some(place.noise * (-0.1 + 0.4 * sign(place.seed)));
    let all = results(&plan, open);
    let part = |seeds: u32| Results {
        records: all
            .records
            .iter()
            .filter(|(_, (record, _))| record.cell.seed < seeds)
            .map(|(id, record)| (id.clone(), record.clone()))
            .collect(),
        ..Results::default()
    };
    let early = summarise(&plan, &part(7), "");
    assert_eq!(words(&early), ["INTERIM"]);
    assert!(
        early.stamps[0]
            .reason
            .ends_with("`plane` waits for its first look at 8 seeds")
    );
    assert_eq!(only_verdict(&early).class, "not_tested");

    let first = summarise(&plan, &part(8), "");
    assert_eq!(only_verdict(&first).class, "inconclusive");
    // More seeds change nothing that is said until the next look.
    for seeds in [9, 12, 15] {
        let between = summarise(&plan, &part(seeds), "");
        assert_eq!(words(&between), ["INTERIM"]);
        assert_eq!(between.studies, first.studies, "{seeds} seeds");
        assert!(
            between.stamps[0]
                .reason
                .contains("stands at look 1 of 3, and goes on to 16 seeds"),
            "{:?}",
            between.stamps
        );
    }
    assert_eq!(only_verdict(&summarise(&plan, &part(16), "")).look, Some(2));

    // A run that was left in between comes to the same end.
    let (straight, _) = run(&plan, &all, Results::default());
    let (resumed, _) = run(&plan, &all, part(11));
    assert_eq!(
        summarise(&plan, &straight, ""),
        summarise(&plan, &resumed, "")
    );
}

#[test]
fn a_sound_study_is_not_made_invalid_by_looking_again() {
    // The A/A arm differs from seed 8 on; it is judged at the first look only.
    let all = STUDY.replace("effect = \"noise\"", "effect = \"a_a\"");
    let plan = sequential(&all.replace("expect = \"lower\"", "expect = \"equal\""));
    let late = |place: &Place<'_>| {
        let copy = place.block == Role::AA && 8 <= place.seed;
        known(place).map(|value| value + sign(place.seed) + if copy { 9.0 } else { 0.0 })
    };
    let summary = summarise(&plan, &results(&plan, late), "");
    assert_ne!(only_verdict(&summary).class, "invalid");
}

/// The share of studies with a wrong verdict must not exceed alpha by more than chance does: the effect is just
/// what must be exceeded, so that SUPPORTED is wrong, and so is REFUTED (reversed, negligible).
#[test]
fn looking_three_times_is_wrong_no_more_often_than_promised() {
    const STUDIES: usize = 200;
    let plan = sequential(STUDY);
    let study = &plan.studies[0];
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut all = results(&plan, |_| Some(0.0));
    let noisy: Vec<(String, f64)> = all
        .records
        .iter()
        .map(|(id, (record, _))| (id.clone(), record))
        .map(|(id, record)| {
            let config = record.cell.config.diffusion().expect("a network");
            (id, f64::from(config.objective.uses_noise()))
        })
        .collect();
    let mut draw = |all: &mut Results, effect: f64, spread: f64| {
        for (id, noise) in &noisy {
            let (record, _): &mut (Record, Attempt) = all.records.get_mut(id).expect("it is there");
            let wobble: f64 = rng.sample(StandardNormal);
            record
                .values
                .insert(super::PROBE.to_owned(), effect * noise + spread * wobble);
        }
    };
    let mut wrong = 0;
    for _ in 0..STUDIES {
        draw(&mut all, -0.1, 0.1);
        let standing = Standing::of(study, &all, &[], plan.looks.as_ref());
        let verdict = &standing.verdicts[0].verdict;
        let is_wrong =
            ["SUPPORTED", "REFUTED (reversed)", "REFUTED (negligible)"].contains(&verdict.as_str());
        wrong += usize::from(is_wrong || verdict.starts_with("SUPPORTED UNDER"));
    }
    // 5 % of 200 are 10, with a standard deviation of 3.1.
    assert!(wrong <= 18, "{wrong} of {STUDIES} studies are wrong");

    let mut first = 0;
    for _ in 0..20 {
        draw(&mut all, -2.0, 0.1);
        let standing = Standing::of(study, &all, &[], plan.looks.as_ref());
        let taken = standing.looks.map(|looks| looks.taken);
        first += usize::from(taken == Some(1) && standing.verdicts[0].class == "supported");
    }
    assert_eq!(first, 20, "an effect of 40 standard errors needs one look");
}
