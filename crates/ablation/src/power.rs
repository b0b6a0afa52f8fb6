//! How many seeds the registered contrasts of a study need, from the variance of a pilot.

use std::fmt::Write as _;

use paired_stats::{
    Error, MAX_SEEDS, paired_t, sd_interval, seeds_needed, seeds_needed_equal,
    seeds_needed_sign_flip,
};

use crate::{
    frame::{self, ALPHA, CONFIDENCE, MINIMUM_SEEDS, Results},
    plan::{Plan, PlannedContrast},
    study::{Expect, Folder, Study},
};

/// Powers that are planned for.
const POWERS: [f64; 2] = [0.8, 0.9];
/// Synthetic studies behind a power of the sign-flip test.
const STUDIES: usize = 2000;
/// Effects in standard deviations, for a study without a pilot.
const EFFECTS: [f64; 4] = [0.5, 1.0, 1.5, 2.0];

/// A run from which the variance is taken.
#[derive(Clone, Copy, Debug)]
pub struct Pilot<'a> {
    /// Its folder, as a person types it.
    pub place: &'a str,
    /// What it did.
    pub plan: &'a Plan,
    /// How far it came.
    pub results: &'a Results,
}

/// The test that is to find an effect, and the level that Holm's first step leaves it.
#[derive(Clone, Copy)]
enum Test {
    T { level: f64 },
    SignFlip { level: f64 },
}

/// The page that `ablate power` prints: for each registered contrast the seeds for 80 % and 90 % power.
///
/// Planned is an effect of delta against none, which takes as many seeds as an effect of twice delta takes to
/// be SUPPORTED; for a claim of equality, no effect within ±delta. Levels are those of the first step of Holm's
/// procedure, so a plan holds whatever the other contrasts do. In brackets stands what the 95 % interval of the
/// standard deviation leaves (χ²). Without a pilot it says how to get one, and what effects of so many standard
/// deviations need; `given` is the study as a person types it.
pub fn page(given: &str, folder: &Folder, pilot: Option<Pilot<'_>>) -> String {
    let mut page = format!("{}: seeds for its registered contrasts\n", folder.name);
    page += "an effect of delta told from none (as many seeds let twice delta be SUPPORTED)\n";
    page += &match pilot {
        Some(pilot) => format!(
            "in brackets: what is left open by the variance of the pilot, {} (95 %)\n",
            pilot.place
        ),
        None => format!(
            "no pilot: its variance decides. A few seeds will do, 8 are better:\n  \
             cargo xtask ablate {given} --seeds 4\n  \
             cargo xtask power {given} --pilot runs/{}\n\
             until then, by the effect in standard deviations of the paired contrast,\n\
             seeds for 80 % power (for 90 %):\n",
            folder.name
        ),
    };
    for study in &folder.studies {
        let planned = pilot.and_then(|pilot| {
            let studies = &pilot.plan.studies;
            Some((pilot, studies.iter().find(|s| s.name == study.name)?))
        });
        writeln!(page, "\n{}", study.name).expect("a String takes everything");
        let family = study.contrasts.len();
        let directed = study
            .contrasts
            .iter()
            .filter(|contrast| contrast.expect != Expect::Equal)
            .count();
        let tests = [
            Test::T {
                level: ALPHA / family.max(1) as f64,
            },
            Test::SignFlip {
                level: ALPHA / directed.max(1) as f64,
            },
        ];
        if family == 0 {
            page += "  no contrast is registered\n";
            continue;
        }
        let Some((pilot, planned)) = planned else {
            if let Some(pilot) = pilot {
                let place = pilot.place;
                writeln!(
                    page,
                    "  {place} has no study of this name; by effect, 80 % (90 %):"
                )
                .expect("a String takes everything");
            }
            page += &by_effect(study, tests);
            continue;
        };
        let mut most = [Some(MINIMUM_SEEDS as usize); 2];
        for contrast in &study.contrasts {
            let contrast = PlannedContrast {
                id: contrast.id.clone(),
                claim: contrast.claim.clone(),
                probe: contrast.probe.clone().unwrap_or(study.primary.clone()),
                effect: contrast.effect,
                expect: contrast.expect,
                delta: contrast.delta,
            };
            let values = frame::contrast_values(planned, pilot.results, &contrast);
            let (text, needed) = of_contrast(&study.name, &contrast, &values, tests);
            page += &text;
            for (most, needed) in most.iter_mut().zip(needed) {
                *most = most.zip(needed).map(|(a, b)| a.max(b));
            }
        }
        let words = most.map(|seeds| seeds.map_or("not known".to_owned(), |n| shown(Some(n))));
        writeln!(
            page,
            "  all of them (a verdict takes {MINIMUM_SEEDS}): {} for 80 %, {} for 90 %",
            words[0], words[1]
        )
        .expect("a String takes everything");
    }
    page
}

/// What an effect of so many standard deviations of the paired contrast needs.
fn by_effect(study: &Study, tests: [Test; 2]) -> String {
    let mut text = String::new();
    for test in tests {
        let row = EFFECTS.map(|effect| {
            let needed =
                POWERS.map(|power| seeds(&study.name, test, Expect::Higher, effect, 1.0, power));
            let [most, more] = needed.map(|seeds| shown(seeds.ok().flatten()));
            format!("{effect}: {most} ({more})")
        });
        writeln!(text, "  {:<22}{}", test.words(), row.join("  "))
            .expect("a String takes everything");
    }
    text
}

/// The lines of one contrast, and its seeds by the dearer test at the estimated variance.
fn of_contrast(
    study: &str,
    contrast: &PlannedContrast,
    values: &[f64],
    tests: [Test; 2],
) -> (String, [Option<usize>; 2]) {
    let PlannedContrast {
        id,
        probe,
        expect,
        delta,
        ..
    } = contrast;
    let way = match expect {
        Expect::Lower => format!("lower, delta {delta}"),
        Expect::Higher => format!("higher, delta {delta}"),
        Expect::Equal => format!("within ±{delta}"),
    };
    let mut text = format!("  {id}: {probe} {way}\n");
    let n = values.len();
    let spread = paired_t(values, CONFIDENCE).and_then(|interval| {
        let sd = interval.standard_error * (n as f64).sqrt();
        Ok((sd, sd_interval(sd, n, CONFIDENCE)?))
    });
    let Ok((sd, (low, high))) = spread else {
        text += &format!("    {n} seeds of the pilot have it, and a variance takes two\n");
        return (text, [None; 2]);
    };
    text += &format!("    sd {sd:.3} [{low:.3}, {high:.3}] over {n} seeds\n");
    if *delta == 0.0 {
        text += "    delta = 0 is no effect to plan for: declare the smallest that matters\n";
        return (text, [None; 2]);
    }
    let mut most = [Some(0); 2];
    for test in tests {
        if let (Test::SignFlip { .. }, Expect::Equal) = (test, expect) {
            continue;
        }
        let columns: Vec<String> = POWERS
            .iter()
            .zip(&mut most)
            .map(|(power, most)| {
                let of = |sd| {
                    seeds(study, test, *expect, *delta, sd, *power)
                        .ok()
                        .flatten()
                };
                let (middle, best, worst) = (of(sd), of(low), of(high));
                *most = most.zip(middle).map(|(a, b)| a.max(b));
                let range = format!("{} [{}, {}]", shown(middle), shown(best), shown(worst));
                format!("{:.0} %: {range:<19}", 100.0 * power)
            })
            .collect();
        writeln!(
            text,
            "    {:<26}{}",
            test.words(),
            columns.join(" ").trim_end()
        )
        .expect("a String takes everything");
    }
    (text, most)
}

/// Seeds for an effect of `delta` to be told from none, or for none to be shown within ±`delta`.
fn seeds(
    study: &str,
    test: Test,
    expect: Expect,
    delta: f64,
    sd: f64,
    power: f64,
) -> Result<Option<usize>, Error> {
    match (test, expect) {
        (Test::T { level }, Expect::Equal) => seeds_needed_equal(0.0, sd, delta, power, level),
        (Test::T { level }, _) => seeds_needed(delta, sd, 0.0, power, level),
        (Test::SignFlip { level }, _) => {
            let mut rng = frame::planning_draws(study);
            seeds_needed_sign_flip(delta, sd, 0.0, power, level, STUDIES, &mut rng)
        }
    }
}

fn shown(seeds: Option<usize>) -> String {
    match seeds {
        Some(MAX_SEEDS..) => format!("{MAX_SEEDS}+"),
        Some(n) => n.to_string(),
        None => "–".to_owned(),
    }
}

impl Test {
    fn words(self) -> String {
        match self {
            Self::T { level } => format!("t test at {level:.4}"),
            Self::SignFlip { level } => format!("sign-flip at {level:.4}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        fixture::{STUDY, write},
        plan::Overrides,
        record::{Attempt, Evaluations, Outcome, Record},
        study,
    };

    fn folder() -> Folder {
        let place = tempfile::tempdir().expect("a temporary folder");
        study::load(&write(place.path(), "study.toml", STUDY)).expect("it is sound")
    }

    /// A run of the study in which the noise lowers the distance by `effects[seed]`.
    fn pilot(effects: &[f64]) -> (Plan, Results) {
        let overrides = Overrides {
            seeds: Some(effects.len() as u32),
            ..Overrides::default()
        };
        let plan = Plan::resolve(folder(), &overrides).expect("it is sound");
        let main = &plan.studies[0].blocks[0];
        let noisy: BTreeMap<String, bool> = main
            .arms
            .iter()
            .map(|arm| (format!("{:?}", arm.config), arm.levels["noise"] == "on"))
            .collect();
        let records = plan.cells().into_iter().filter_map(|(cell, _)| {
            let noise = *noisy.get(&format!("{:?}", cell.config.diffusion()?))?;
            let value = if noise {
                -effects[cell.seed as usize]
            } else {
                0.0
            };
            let record = Record {
                schema: 1,
                outcome: Outcome::Measured {},
                evaluations: Evaluations::default(),
                values: [("log_energy_distance".to_owned(), value)].into(),
                curves: BTreeMap::default(),
                exhibit: None,
                maps: Vec::new(),
                cell,
            };
            Some((record.cell.id.clone(), (record, Attempt::default())))
        });
        let results = Results {
            records: records.collect(),
            ..Results::default()
        };
        (plan, results)
    }

    fn page_of(effects: &[f64]) -> String {
        let (plan, results) = pilot(effects);
        let pilot = Pilot {
            place: "runs/plane",
            plan: &plan,
            results: &results,
        };
        page("plane.toml", &folder(), Some(pilot))
    }

    #[test]
    fn seeds_follow_from_the_variance_of_the_pilot() {
        // sd = delta: an effect of one standard deviation, 10 seeds for 80 % and 13 for 90 % by t.
        let page = page_of(&[0.0, 0.1, 0.2]);
        assert!(
            page.contains("sd 0.100 [0.052, 0.628] over 3 seeds"),
            "{page}"
        );
        assert!(page.contains("80 %: 10 [5, 312]"), "{page}");
        assert!(page.contains("90 %: 13 [6, 417]"), "{page}");
        assert!(page.contains("t test at 0.0500") && page.contains("sign-flip at 0.0500"));
        assert!(
            page.lines().all(|line| line.chars().count() <= 80),
            "{page}"
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        let none = page("plane.toml", &folder(), None);
        assert!(
            none.contains("cargo xtask ablate plane.toml --seeds 4"),
            "{none}"
        );
        assert!(none.contains("1: 10 (13)"), "{none}");
        assert!(
            none.lines().all(|line| line.chars().count() <= 80),
            "{none}"
        );
        let one = page_of(&[0.3]);
        assert!(one.contains("1 seeds of the pilot have it"), "{one}");
        assert!(one.contains("not known for 80 %"), "{one}");
        let (plan, results) = pilot(&[0.1, 0.2]);
        let mut other = folder();
        other.studies[0].name = "other".to_owned();
        let pilot = Pilot {
            place: "runs/plane",
            plan: &plan,
            results: &results,
        };
        let text = page("x", &other, Some(pilot));
        assert!(
            text.contains("runs/plane has no study of this name"),
            "{text}"
        );
    }
}
