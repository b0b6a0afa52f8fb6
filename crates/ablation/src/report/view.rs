//! Questions that every rendering asks of a summary: which arm is which, what favours whom.

use crate::report::number::{self, DASH};
use crate::summary::{
    Arm, Better, Block, EffectNumbers, EffectRow, ProbeInfo, Role, Spread, StudySummary, Summary,
};

/// The four arms of the 2×2 in reading order, as (skip, noise).
pub(super) const QUARTERS: [(bool, bool); 4] =
    [(false, false), (true, false), (false, true), (true, true)];

/// Effects of a 2×2, main effects first, with their words.
pub(super) const EFFECTS: [(&str, &str); 7] = [
    ("skip", "skip, mean over noise"),
    ("noise", "noise, mean over skip"),
    ("interaction", "interaction: skip with noise − without"),
    ("skip_without_noise", "skip, noise off"),
    ("skip_with_noise", "skip, noise on"),
    ("noise_without_skip", "noise, skip off"),
    ("noise_with_skip", "noise, skip on"),
];

/// What an arm looks like in every figure: the kind is a colour, noise a line style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Skip off.
    Plain,
    /// Skip on.
    Skip,
    /// The rival explanation.
    Counter,
    /// The exact score.
    Reference,
    /// A copy of an arm.
    Copy,
}

impl Kind {
    /// The CSS class that sets the colour.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "k-plain",
            Self::Skip => "k-skip",
            Self::Counter => "k-counter",
            Self::Reference => "k-reference",
            Self::Copy => "k-copy",
        }
    }
}

/// Which way an effect goes, judged by its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The interval lies on the better side of zero.
    Better,
    /// The interval lies on the worse side of zero.
    Worse,
    /// The interval holds zero, or there is none, or neither side is better.
    Unclear,
}

/// What P(A > B) is, beside every table that has it.
pub(super) const LARGER: &str = "P(A > B), A − B being the effect: how often a seed of A has the larger number than a \
     seed of B, ties by half; its interval is over whole seeds, and approximate below 20";

/// Kind of an arm.
pub(super) fn kind(block: &Block, arm: &Arm) -> Kind {
    match block.role {
        Role::CounterArm => Kind::Counter,
        Role::Reference => Kind::Reference,
        Role::AA => Kind::Copy,
        Role::Main | Role::Depth if on(arm, "skip") == Some(true) => Kind::Skip,
        Role::Main | Role::Depth => Kind::Plain,
    }
}

/// Colour and line style of an arm as CSS classes.
pub(super) fn look(block: &Block, arm: &Arm) -> String {
    let noise = if on(arm, "noise") == Some(true) {
        "n-on"
    } else {
        "n-off"
    };
    format!("{} {noise}", kind(block, arm).class())
}

/// Whether a factor is on; none if the arm has no such factor or another level.
pub(super) fn on(arm: &Arm, factor: &str) -> Option<bool> {
    match arm.levels.get(factor).map(String::as_str) {
        Some("on") => Some(true),
        Some("off") => Some(false),
        _ => None,
    }
}

/// The 2×2 of a study.
pub(super) fn main_block(study: &StudySummary) -> Option<&Block> {
    study.blocks.iter().find(|block| block.role == Role::Main)
}

/// An arm of a block by its levels.
pub(super) fn quarter(block: &Block, skip: bool, noise: bool) -> Option<&Arm> {
    block
        .arms
        .iter()
        .find(|arm| on(arm, "skip") == Some(skip) && on(arm, "noise") == Some(noise))
}

/// The arms that figures show: the 2×2, the counter-arm, the reference.
pub(super) fn drawn(study: &StudySummary) -> Vec<(&Block, &Arm)> {
    let of = |role: Role| study.blocks.iter().filter(move |block| block.role == role);
    [Role::Main, Role::CounterArm, Role::Reference]
        .into_iter()
        .flat_map(of)
        .flat_map(|block| block.arms.iter().map(move |arm| (block, arm)))
        .collect()
}

/// A probe by its id.
pub(super) fn probe<'a>(study: &'a StudySummary, id: &str) -> Option<&'a ProbeInfo> {
    study.probes.iter().find(|probe| probe.id == id)
}

/// A probe's heading; the id if the summary does not describe it.
pub(super) fn title<'a>(study: &'a StudySummary, id: &'a str) -> &'a str {
    probe(study, id).map_or(id, |probe| probe.title.as_str())
}

/// Which way a probe is better.
pub(super) fn better(study: &StudySummary, id: &str) -> Better {
    probe(study, id).map_or(Better::Descriptive, |probe| probe.better)
}

/// `lower is better`, `higher is better`, `neither way is better`.
pub(super) fn better_words(better: Better) -> &'static str {
    match better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
        Better::Descriptive => "neither way is better",
    }
}

/// The row of one effect.
pub(super) fn effect<'a>(
    study: &'a StudySummary,
    block: &str,
    probe: &str,
    name: &str,
) -> Option<&'a EffectRow> {
    study
        .effects
        .iter()
        .find(|row| row.block == block && row.probe == probe && row.effect == name)
}

/// An effect's name in words.
pub(super) fn effect_words(name: &str) -> String {
    if let Some((_, words)) = EFFECTS.iter().find(|(id, _)| *id == name) {
        return (*words).to_owned();
    }
    match name {
        "skip_over_counter_without_noise" => "skip − counter-arm, noise off".to_owned(),
        "skip_over_counter_with_noise" => "skip − counter-arm, noise on".to_owned(),
        "a_a" => "A/A: the same arm, other draws".to_owned(),
        other => other.replace('_', " "),
    }
}

/// Which way an effect goes.
pub(super) fn side(better: Better, numbers: &EffectNumbers) -> Side {
    let (Some(low), Some(high)) = (numbers.low, numbers.high) else {
        return Side::Unclear;
    };
    match better {
        Better::Descriptive => Side::Unclear,
        Better::Lower if high < 0.0 => Side::Better,
        Better::Lower if 0.0 < low => Side::Worse,
        Better::Higher if 0.0 < low => Side::Better,
        Better::Higher if high < 0.0 => Side::Worse,
        Better::Lower | Better::Higher => Side::Unclear,
    }
}

/// How far a sequential study has come, in words.
pub(super) fn standing(study: &StudySummary) -> Option<String> {
    let looks = study.looks.as_ref()?;
    let (taken, all) = (looks.taken as usize, looks.seeds.len());
    if taken == 0 {
        return Some(format!(
            "before the first of {all} looks, which comes at {} seeds: no verdict yet",
            looks.seeds[0]
        ));
    }
    let spent = format!(
        "look {taken} of {all}, at {} seeds; {} of the level {} is spent",
        looks.seeds[taken - 1],
        number::significant(looks.spent[taken - 1], 2),
        looks.alpha
    );
    let contrasts = study.verdicts.len();
    let open = study.verdicts.iter().filter(|row| !row.settled).count();
    Some(match open {
        0 => format!("{spent}; all {contrasts} contrasts are decided, and it ends here"),
        _ if looks.ended => {
            format!("{spent}; it was the last, and {open} of {contrasts} contrasts stay undecided")
        }
        _ => format!(
            "{spent}; {open} of {contrasts} contrasts are open, and it goes on to {} seeds",
            looks.due()
        ),
    })
}

/// The A/A effect on a probe: what other random draws alone do.
pub(super) fn noise_floor<'a>(study: &'a StudySummary, probe: &str) -> Option<&'a EffectRow> {
    let mut rows = study.effects.iter();
    rows.find(|row| row.effect == "a_a" && row.probe == probe)
}

/// The noise floor of the primary probe and of those of the registered contrasts, in words: none without an A/A arm.
pub(super) fn noise_floors(study: &StudySummary) -> Option<String> {
    if study.blocks.iter().all(|block| block.role != Role::AA) {
        return None;
    }
    let mut probes = vec![study.primary.as_str()];
    for row in &study.verdicts {
        if !probes.contains(&row.probe.as_str()) {
            probes.push(&row.probe);
        }
    }
    let floors = probes.iter().filter_map(|probe| {
        let numbers = &noise_floor(study, probe)?.numbers;
        let shown = number::effect(numbers).whole();
        Some(format!(
            "{} {shown} over {} seeds",
            title(study, probe),
            numbers.n
        ))
    });
    let floors: Vec<String> = floors.collect();
    Some(match floors.len() {
        0 => "noise floor (A/A): no number yet".to_owned(),
        _ => format!("noise floor (A/A): {}", floors.join("; ")),
    })
}

/// Why an arm has no number for a probe.
pub(super) fn reason(arm: &Arm, spread: Option<&Spread>) -> &'static str {
    if arm.finished == 0 {
        "no finished cell yet"
    } else if spread.is_none() {
        "not measured in this arm"
    } else {
        "undefined in every seed"
    }
}

/// Why an effect has no estimate or no interval.
pub(super) fn effect_reason(numbers: &EffectNumbers) -> &'static str {
    match numbers.n {
        0 => "no complete seed",
        1 => "one complete seed gives no interval",
        _ => "the seeds do not differ, or the interval is undefined",
    }
}

/// `median [min, max]` of a probe in an arm, `–` where there is none.
pub(super) fn shown(arm: &Arm, probe: &str) -> String {
    arm.values
        .get(probe)
        .map_or_else(|| DASH.to_owned(), number::spread)
}

/// `1 of 8 diverged`; empty if none did.
pub(super) fn diverged(arm: &Arm) -> String {
    match arm.diverged {
        0 => String::new(),
        count => format!("{count} of {} diverged", arm.finished),
    }
}

/// A class of verdicts in words, and how often it occurs; classes in a fixed order, absent ones left out.
pub(super) fn tally(summary: &Summary) -> Vec<(&'static str, usize)> {
    const CLASSES: [(&str, &str); 6] = [
        ("supported", "supported"),
        ("supported_under", "supported under a condition"),
        ("refuted", "refuted"),
        ("inconclusive", "inconclusive"),
        ("invalid", "invalid"),
        ("not_tested", "not tested"),
    ];
    let rows = || summary.studies.iter().flat_map(|study| &study.verdicts);
    CLASSES
        .into_iter()
        .map(|(class, words)| (words, rows().filter(|row| row.class == class).count()))
        .filter(|(_, count)| 0 < *count)
        .collect()
}

/// What the report says as one sentence.
pub(super) fn in_short(summary: &Summary) -> String {
    format!("{}.", findings(summary).join("; "))
}

/// What the report says, from numbers only: verdicts, medians of opposite corners, lost cells.
pub(super) fn findings(summary: &Summary) -> Vec<String> {
    let contrasts: usize = summary
        .studies
        .iter()
        .map(|study| study.verdicts.len())
        .sum();
    let tally: Vec<String> = tally(summary)
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let mut parts = vec![match contrasts {
        0 => "no contrast is registered".to_owned(),
        1 => format!("of 1 registered contrast {}", tally.join(", ")),
        n => format!("of {n} registered contrasts {}", tally.join(", ")),
    }];
    for study in &summary.studies {
        let Some(block) = main_block(study) else {
            continue;
        };
        let corner = |on: bool| {
            let spread = quarter(block, on, on)?.values.get(&study.primary)?;
            spread.median.map(|_| number::median(spread))
        };
        if let (Some(from), Some(to)) = (corner(false), corner(true)) {
            let title = title(study, &study.primary);
            parts.push(format!(
                "{}: median {title} {from} with neither, {to} with both",
                study.name
            ));
        }
    }
    let arms = || {
        summary
            .studies
            .iter()
            .flat_map(|study| &study.blocks)
            .flat_map(|block| &block.arms)
    };
    let sum = |of: fn(&Arm) -> u32| arms().map(of).sum::<u32>();
    let (planned, finished) = (sum(|arm| arm.planned), sum(|arm| arm.finished));
    let (diverged, failed) = (sum(|arm| arm.diverged), sum(|arm| arm.failed));
    parts.push(format!(
        "{finished} of {planned} cells finished, {diverged} diverged, {failed} failed"
    ));
    parts
}
