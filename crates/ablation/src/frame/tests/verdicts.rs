//! Verdicts on hand-made records.

use super::{
    super::{Results, summarise},
    effect, known, near, only_verdict, planned, results, sign, words,
};
use crate::{
    fixture::{STUDY, plan_with, study_with},
    plan::Overrides,
    record::{Outcome, Stage},
    summary::Role,
};

#[test]
fn an_effect_that_is_not_there_is_refuted_and_one_the_other_way_is_reversed() {
    let plan = planned(STUDY, 8);
    let nothing = results(&plan, |place| Some(0.02 * place.noise * sign(place.seed)));
    assert_eq!(
        only_verdict(&summarise(&plan, &nothing, "")).verdict,
        "REFUTED (negligible)"
    );
    let reversed = results(&plan, |place| {
        Some(place.noise * (1.0 + 0.02 * sign(place.seed)))
    });
    assert_eq!(
        only_verdict(&summarise(&plan, &reversed, "")).verdict,
        "REFUTED (reversed)"
    );
}

#[test]
fn holm_counts_the_registered_contrasts() {
    let more = format!(
        "{STUDY}\n{}\n{}",
        "[[contrasts]]\nid = \"skip\"\nclaim = \"Skips help\"\neffect = \"skip\"\nexpect = \"lower\"\ndelta = 0.1",
        "[[contrasts]]\nid = \"twice\"\nclaim = \"Both\"\neffect = \"interaction\"\nexpect = \"lower\"\ndelta = 0.1",
    );
    let plan = planned(&more, 8);
    // No interaction: its sign differs from seed to seed.
    let records = results(&plan, |place| {
        let wobble = 0.05 * sign(place.seed) * place.skip * place.noise;
        Some(-0.9 * place.skip - 2.0 * place.noise + wobble)
    });
    let summary = summarise(&plan, &records, "");
    let rows = &summary.studies[0].verdicts;
    assert_eq!(
        rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
        ["noise", "skip", "twice"]
    );
    // Two contrasts of p = 2/256 in a family of three: 3p, then max(3p, 2p).
    near(rows[0].adjusted_p, 6.0 / 256.0);
    near(rows[1].adjusted_p, 6.0 / 256.0);
    near(rows[2].numbers.p, 1.0);
    near(rows[2].adjusted_p, 1.0);
    let classes: Vec<&str> = rows.iter().map(|row| row.class.as_str()).collect();
    assert_eq!(classes, ["supported", "supported", "refuted"]);
}

#[test]
fn nothing_finished_is_not_tested() {
    let plan = planned(STUDY, 8);
    let summary = summarise(&plan, &Results::default(), "");
    assert_eq!(words(&summary), ["INTERIM"]);
    assert_eq!(only_verdict(&summary).class, "not_tested");
    assert!(summary.studies[0].effects.is_empty());
}

#[test]
fn an_a_a_difference_makes_everything_invalid() {
    let plan = planned(STUDY, 8);
    let records = results(&plan, |place| {
        let copy = if place.block == Role::AA {
            0.5 + 0.01 * sign(place.seed)
        } else {
            0.0
        };
        known(place).map(|value| value + copy)
    });
    let row = &summarise(&plan, &records, "").studies[0].verdicts[0];
    assert_eq!(
        (row.class.as_str(), row.verdict.as_str()),
        ("invalid", "INVALID")
    );
    assert!(row.remarks[0].contains("A/A"), "{:?}", row.remarks);
}

#[test]
fn unequal_training_makes_everything_invalid() {
    let text = study_with(
        "on = { objective = { kind = \"denoising\" } }",
        "on = { objective = { kind = \"denoising\" }, \"training.steps\" = 40 }",
    );
    let plan = planned(&text, 8);
    assert_eq!(
        summarise(&plan, &results(&plan, known), "").studies[0].verdicts[0].class,
        "invalid"
    );
}

#[test]
fn few_seeds_are_exploratory_and_decide_nothing() {
    let plan = planned(STUDY, 7);
    let summary = summarise(&plan, &results(&plan, known), "");
    assert_eq!(words(&summary), ["EXPLORATORY"]);
    assert_eq!(only_verdict(&summary).class, "inconclusive");
    let one = planned(STUDY, 1);
    let summary = summarise(&one, &results(&one, known), "");
    let numbers = &only_verdict(&summary).numbers;
    near(numbers.estimate, -2.2);
    assert_eq!(
        (numbers.low, numbers.high, numbers.bootstrap_low),
        (None, None, None)
    );
}

#[test]
fn more_seeds_than_all_flips_can_be_listed_for_still_decide() {
    let plan = planned(STUDY, 24);
    let summary = summarise(&plan, &results(&plan, known), "");
    let row = only_verdict(&summary);
    assert_eq!(row.class, "supported");
    assert!(
        row.adjusted_p.is_some_and(|p| p < 1e-3),
        "{:?}",
        row.adjusted_p
    );
    assert_eq!(
        summarise(&plan, &results(&plan, known), ""),
        summary,
        "the draws are fixed"
    );
}

#[test]
fn a_counter_arm_is_judged_on_its_own_seeds() {
    let text = study_with(
        "effect = \"noise\"",
        "effect = \"skip_over_counter_with_noise\"",
    );
    let plan = plan_with(
        &text,
        &Overrides {
            seeds: Some(8),
            ..Overrides::default()
        },
    )
    .expect("sound");
    let summary = summarise(&plan, &results(&plan, known), "");
    let row = only_verdict(&summary);
    assert_eq!((row.numbers.n, row.class.as_str()), (1, "inconclusive"));
    assert!(
        row.remarks[0].starts_with("1 of 1 planned"),
        "{:?}",
        row.remarks
    );
    assert!(
        effect(
            &summary,
            "well-initialised plain",
            "skip_over_counter_with_noise"
        )
        .registered
    );
    assert!(!effect(&summary, "the 2×2", "noise").registered);
}

#[test]
fn an_effect_that_rests_on_divergence_must_be_borne_out_by_the_other_seeds() {
    let plan = planned(STUDY, 16);
    // Without noise so many seeds diverge, 5 worse than the others; delta is 0.1, and the calm seeds vary by 0.1.
    for (diverging, calm, class, says) in [
        (6, -1.0, "supported", "the 10 others alone give −1.00"),
        (6, -0.05, "inconclusive", "left open by the 10 others"),
        (6, 0.2, "inconclusive", "contradicted by the 10 others"),
        // Fewer than a verdict takes have none of their own.
        (10, -0.05, "supported", "the 6 others alone give −0.05"),
        (10, 0.5, "inconclusive", "contradicted by the 6 others"),
    ] {
        let mut found = results(&plan, |place| {
            let effect = match place.seed < diverging {
                true => -5.0,
                false => calm + 0.1 * sign(place.seed),
            };
            Some(place.noise * effect)
        });
        for (record, _) in found.records.values_mut() {
            let config = record.cell.config.diffusion().expect("a network");
            if record.cell.seed < diverging && !config.objective.uses_noise() {
                record.outcome = Outcome::Diverged {
                    stage: Stage::Langevin,
                    step: 9,
                };
            }
        }
        let summary = summarise(&plan, &found, "");
        let row = only_verdict(&summary);
        assert_eq!(row.class, class, "{diverging}, {calm}: {:?}", row.remarks);
        assert!(
            row.remarks.iter().any(|remark| remark.contains(says)),
            "{says}: {:?}",
            row.remarks
        );
    }
}

#[test]
fn how_often_one_side_is_larger_stands_beside_the_effect() {
    let on = |effect: &str| study_with("effect = \"noise\"", &format!("effect = \"{effect}\""));
    // A seed lies 0.3 above the one before it. Skips take 0.7 away, so a seed with them is the larger one from the
    // third after on: 5 + 4 + 3 + 2 + 1 of 64 pairs. Noise takes 2.3, which eight seeds do not make up.
    for (effect, share) in [
        ("skip", 15.0 / 64.0),
        ("noise", 0.0),
        ("interaction", 0.0),
        ("skip_without_noise", 21.0 / 64.0),
        ("a_a", 0.5),
    ] {
        let plan = planned(&on(effect), 8);
        let summary = summarise(&plan, &results(&plan, known), "");
        let row = only_verdict(&summary);
        near(row.larger, share);
        let ends = row.larger_low.zip(row.larger_high);
        let (low, high) = ends.expect("an interval");
        assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
        assert_eq!(low < high, 0.0 < share, "{effect}: [{low}, {high}]");
    }
    let one = planned(STUDY, 1);
    let summary = summarise(&one, &results(&one, known), "");
    assert_eq!(only_verdict(&summary).larger, None, "of one seed");
}

#[test]
fn skewed_seeds_are_said() {
    let plan = planned(STUDY, 8);
    for (outlier, skewed) in [(0.0, false), (-0.3, true)] {
        let found = results(&plan, |place| {
            let more = if place.seed == 3 { outlier } else { 0.0 };
            known(place).map(|value| value + place.noise * more)
        });
        let summary = summarise(&plan, &found, "");
        let remarks = &only_verdict(&summary).remarks;
        let said = remarks.iter().any(|remark| {
            remark.starts_with("the seeds are skewed (−1.")
                && remark.contains("bootstrap-t gives [−")
        });
        assert_eq!(said, skewed, "{remarks:?}");
    }
}

#[test]
fn a_family_too_large_for_its_seeds_is_stamped() {
    let contrast = |i: usize| {
        format!(
            "\n[[contrasts]]\nid = \"more-{i}\"\nclaim = \"More\"\neffect = \"skip\"\nexpect = \"lower\"\ndelta = 0.1\n"
        )
    };
    let text = |more: usize| STUDY.to_owned() + &(0..more).map(contrast).collect::<String>();
    for (more, stamps) in [(5, &[][..]), (6, &["OUT OF REACH"])] {
        let plan = planned(&text(more), 8);
        assert_eq!(words(&summarise(&plan, &results(&plan, known), "")), stamps);
    }
}
