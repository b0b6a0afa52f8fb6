//! What qualifies a verdict: conditions, caps, divergence, the samplers alone.

use super::{super::summarise, PROBE, Place, near, only_verdict, planned, results, sign};
use crate::{
    fixture::{STUDY, study_with},
    lock::{Change, Lock},
    record::{Outcome, Stage},
    summary::Role,
};

/// The study with its one contrast on another effect.
fn on(effect: &str) -> String {
    study_with("effect = \"noise\"", &format!("effect = \"{effect}\""))
}

/// Noise lowers the value where the skip is on, and does nothing where it is off.
fn with_skip_only(place: &Place<'_>) -> Option<f64> {
    Some(-place.noise * place.skip * (1.0 + 0.02 * sign(place.seed)))
}

#[test]
fn an_effect_at_one_level_only_is_supported_under_it() {
    let plan = planned(STUDY, 8);
    let row = &summarise(&plan, &results(&plan, with_skip_only), "").studies[0].verdicts[0];
    assert_eq!(
        (row.class.as_str(), row.verdict.as_str()),
        ("supported_under", "SUPPORTED UNDER skip on")
    );
}

#[test]
fn arms_at_the_cap_leave_an_interaction_undetermined() {
    let plan = planned(&on("interaction"), 8);
    let free = results(&plan, with_skip_only);
    assert_eq!(
        only_verdict(&summarise(&plan, &free, "")).class,
        "supported"
    );

    let mut capped = free;
    for (record, _) in capped.records.values_mut() {
        record.values.insert(format!("{PROBE}_cap"), 0.0);
    }
    let summary = summarise(&plan, &capped, "");
    let row = only_verdict(&summary);
    assert_eq!(row.class, "inconclusive");
    assert!(row.remarks[0].contains("undetermined"), "{:?}", row.remarks);
    assert!(
        row.remarks[1].contains("plain, noise off in 8"),
        "{:?}",
        row.remarks
    );
}

#[test]
fn divergence_counts_for_what_comes_after_it_only() {
    let plan = planned(STUDY, 8);
    for (stage, counted) in [(Stage::Langevin, true), (Stage::Ode, false)] {
        let mut found = results(&plan, with_skip_only);
        for (record, _) in found.records.values_mut() {
            if record.cell.seed == 3 {
                record.outcome = Outcome::Diverged { stage, step: 7 };
            }
        }
        let summary = summarise(&plan, &found, "");
        let said = only_verdict(&summary)
            .remarks
            .iter()
            .any(|remark| remark.contains("in 1 of 8 seeds a cell diverged"));
        assert_eq!(said, counted, "{stage:?}");
    }
}

#[test]
fn seeds_without_divergence_that_say_the_opposite_leave_it_open() {
    let plan = planned(STUDY, 8);
    // Five calm seeds in which noise is worse, three diverged ones in which it looks far better.
    let mut found = results(&plan, |place| {
        let value = if place.seed < 5 { 0.2 } else { -10.0 };
        Some(place.noise * (value + 0.01 * sign(place.seed)))
    });
    for (record, _) in found.records.values_mut() {
        if 5 <= record.cell.seed {
            record.outcome = Outcome::Diverged {
                stage: Stage::Langevin,
                step: 0,
            };
        }
    }
    let summary = summarise(&plan, &found, "");
    let row = only_verdict(&summary);
    assert_eq!(row.class, "inconclusive", "{row:?}");
}

#[test]
fn two_results_of_one_cell_are_said_first() {
    let plan = planned(STUDY, 8);
    let mut found = results(&plan, with_skip_only);
    found.conflicts.insert("0123".to_owned());
    let summary = summarise(&plan, &found, "");
    assert_eq!(summary.stamps[0].word, "NOT DETERMINISTIC");
    assert_eq!(only_verdict(&summary).class, "invalid");
}

#[test]
fn results_of_two_builds_give_no_verdict() {
    let plan = planned(STUDY, 8);
    let mut found = results(&plan, with_skip_only);
    for (place, (_, attempt)) in found.records.values_mut().enumerate() {
        attempt.binary = ["one", "other"][usize::from(place == 0)].to_owned();
    }
    let summary = summarise(&plan, &found, "");
    assert_eq!(summary.stamps[0].word, "MIXED BUILDS");
    let row = only_verdict(&summary);
    assert_eq!(row.class, "invalid");
    assert!(row.remarks[0].contains("2 builds"), "{row:?}");
}

#[test]
fn a_registration_that_was_changed_gives_no_verdict() {
    let plan = planned(STUDY, 8);
    let mut found = results(&plan, with_skip_only);
    let amended = |registered| {
        let change = Change {
            what: "plane / noise / delta: 0.1 → 0.2".to_owned(),
            registered,
        };
        let changed = vec![change.clone(), change];
        let amendment = Lock::amendment(&plan, "a slip", changed, 3);
        vec![Lock::first(&plan), amendment]
    };
    found.locks = amended(true);
    let summary = summarise(&plan, &found, "");
    assert_eq!(summary.stamps[0].word, "AMENDED");
    assert_eq!(
        summary.stamps[0].reason,
        "after 3 cells were finished: plane / noise / delta: 0.1 → 0.2 and 1 more (a slip)"
    );
    assert_eq!(only_verdict(&summary).class, "invalid");
    found.locks = amended(false);
    let summary = summarise(&plan, &found, "");
    assert_eq!(summary.stamps[0].word, "AMENDED");
    assert_ne!(only_verdict(&summary).class, "invalid");
}

#[test]
fn a_claim_of_equality_stays_out_of_the_family() {
    let text = format!(
        "{STUDY}\n[[contrasts]]\nid = \"same\"\nclaim = \"Skips change nothing\"\neffect = \"skip_without_noise\"\n\
         expect = \"equal\"\ndelta = 0.1"
    );
    let plan = planned(&text, 8);
    let found = results(&plan, with_skip_only);
    let rows = &summarise(&plan, &found, "").studies[0].verdicts;
    // Alone in its family: 2/256, not twice that.
    near(rows[0].adjusted_p, 2.0 / 256.0);
    assert_eq!(
        (rows[1].adjusted_p, rows[1].class.as_str()),
        (None, "supported")
    );
}

#[test]
fn the_exact_score_says_what_the_samplers_alone_give() {
    let text = STUDY.replace(
        "[[contrasts]]",
        "[[beside]]\nname = \"exact score\"\nrole = \"reference\"\nset = { network = { kind = \"exact\" } }\n\
         only = { skip = \"off\" }\nseeds = 8\n\n[[contrasts]]",
    );
    let plan = planned(&text, 8);
    let found = results(&plan, |place| match place.block {
        Role::Reference => Some(-0.7 * place.noise),
        _ => with_skip_only(place),
    });
    let summary = summarise(&plan, &found, "");
    let row = only_verdict(&summary);
    assert!(
        row.remarks
            .iter()
            .any(|remark| remark.contains("samplers alone give −0.70")),
        "{:?}",
        row.remarks
    );
}
