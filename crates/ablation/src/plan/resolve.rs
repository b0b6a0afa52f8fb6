//! A study becomes blocks of arms, each a complete configuration that was checked.

use std::collections::BTreeMap;

use super::{
    Overrides, PlannedArm, PlannedBlock, PlannedContrast, PlannedStudy, reach::smallest_p,
    setup::setup,
};
use crate::{
    architecture::Architecture,
    catalog,
    check::{check, differentiates},
    config::{CellConfig, Data},
    data::{self, Images},
    error::{Error, nearest_name},
    frame::{ALPHA, MINIMUM_SEEDS},
    map,
    study::{Beside, Contrast, EffectName, Expect, Study, resolve},
    summary::Role,
};

/// More seeds than any study can use; beyond it, a slip of the keyboard.
const MOST_SEEDS: u32 = 10_000;
/// Name of the block that the question is about.
const MAIN: &str = "the 2×2";

pub(super) fn plan_study(study: Study, overrides: &Overrides) -> Result<PlannedStudy, Error> {
    let refuse =
        |name: &str, value: String, rule: &str| Err(impossible(&study.place, name, value, rule));
    if study.schema != 1 {
        return refuse(
            "schema",
            study.schema.to_string(),
            "this program reads schema = 1",
        );
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if study.name.is_empty() || !study.name.chars().all(plain) {
        return refuse(
            "name",
            format!("{:?}", study.name),
            "a name has small letters, digits and `-` only",
        );
    }
    let looks = overrides.looks.as_ref();
    let seeds = match looks {
        Some(looks) => looks.last(),
        None => overrides.seeds.unwrap_or(study.seeds),
    };
    if !(1..=MOST_SEEDS).contains(&seeds) {
        return refuse(
            "seeds",
            seeds.to_string(),
            "a study needs 1 to 10000 seeds (8 for a verdict)",
        );
    }
    if catalog::probe(&study.primary).is_none() {
        return Err(unknown_probe(&study.place, "primary", &study.primary));
    }

    let mut images = Shelf::new(overrides);
    let mut blocks = vec![plan_block(&study, None, seeds, &mut images)?];
    for (factor, other) in [("skip", "noise"), ("noise", "skip")] {
        let twins = |a: &&PlannedArm, b: &PlannedArm| {
            a.levels[other] == b.levels[other] && a.levels != b.levels
        };
        let idle = |a: &PlannedArm| {
            blocks[0]
                .arms
                .iter()
                .find(|b| twins(b, a))
                .is_some_and(|b| a.config == b.config)
        };
        if blocks[0].arms.iter().any(idle) {
            return refuse(
                &format!("factors.{factor}"),
                "the same".to_owned(),
                "on and off must differ, or there is nothing to compare",
            );
        }
    }
    for (index, beside) in study.beside.iter().enumerate() {
        check_beside(&study, index)?;
        let judged = |contrast: &Contrast| contrast.effect.beside() == Some(beside.role);
        let own = if overrides.all || looks.is_some() && study.contrasts.iter().any(judged) {
            seeds
        } else {
            beside.seeds.min(seeds)
        };
        let block = plan_block(&study, Some(beside), own, &mut images)?;
        check_block(&study, &block, &blocks[0])?;
        blocks.push(block);
    }
    for (index, contrast) in study.contrasts.iter().enumerate() {
        if study.contrasts[..index]
            .iter()
            .any(|other| other.id == contrast.id)
        {
            return refuse(
                "contrasts.id",
                format!("{:?}", contrast.id),
                "two contrasts of one study need two ids",
            );
        }
    }
    let directed = study.contrasts.iter();
    let directed = directed.filter(|c| c.expect != Expect::Equal).count();
    let smallest = smallest_p(directed, study.seeds);
    if MINIMUM_SEEDS <= study.seeds && ALPHA < smallest {
        let rule = format!(
            "with {} seeds no adjusted p can be below {smallest:.3}: register fewer, or plan more seeds",
            study.seeds
        );
        return refuse("contrasts", directed.to_string(), &rule);
    }
    let contrasts = study
        .contrasts
        .iter()
        .map(|c| plan_contrast(&study, c, &blocks))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(PlannedStudy {
        setup: setup(&blocks[0], &study.place)?,
        name: study.name,
        title: study.title,
        question: study.question,
        notes: study.notes,
        primary: study.primary,
        seeds,
        blocks,
        contrasts,
    })
}

/// The images of a named set, found as the message of a missing one says.
pub(crate) fn open_images(name: &str, overrides: &Overrides) -> Result<Images, Error> {
    let folder = data::locate(name, overrides.data.as_deref(), &overrides.data_folders)?;
    Ok(Images::open(&folder, data::detect(&folder)?)?)
}

/// What a plan must know of each image set, read once.
pub(crate) struct Shelf<'a> {
    overrides: &'a Overrides,
    found: BTreeMap<String, Known>,
}

/// What a plan must know of an image set.
struct Known {
    count: usize,
    digest: String,
    shape: [usize; 3],
    /// The largest label, where there are some.
    largest: Option<u8>,
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(overrides: &'a Overrides) -> Shelf<'a> {
        Shelf {
            overrides,
            found: BTreeMap::new(),
        }
    }

    /// Writes digest and shape of the images into the data of a cell, if they are some.
    pub(crate) fn complete(&mut self, data: &mut Data, place: &str) -> Result<(), Error> {
        let Data::Images {
            name,
            digest,
            shape,
            held_out,
            ..
        } = data
        else {
            return Ok(());
        };
        if !self.found.contains_key(name) {
            let images = open_images(name, self.overrides)?;
            let labels = images.labels().into_iter().flatten();
            let known = Known {
                count: images.len(),
                digest: images.digest(),
                shape: images.shape(),
                largest: labels.max().copied(),
            };
            self.found.insert(name.clone(), known);
        }
        let known = &self.found[name];
        let count = known.count;
        if count <= *held_out {
            let rule = format!("the set `{name}` has {count} images: keep fewer back");
            return Err(impossible(
                place,
                "data.held_out",
                held_out.to_string(),
                &rule,
            ));
        }
        (*digest, *shape) = (known.digest.clone(), known.shape);
        Ok(())
    }

    /// The same for what learns labels, which are to be there, and below the number of classes.
    pub(crate) fn complete_labelled(
        &mut self,
        data: &mut Data,
        classes: usize,
        place: &str,
    ) -> Result<(), Error> {
        self.complete(data, place)?;
        let Data::Images { name, .. } = data else {
            return Ok(());
        };
        match self.found[name].largest {
            Some(largest) if usize::from(largest) < classes => Ok(()),
            Some(largest) => {
                let rule = format!(
                    "a label of the set `{name}` is {largest}: give one class more than that"
                );
                Err(impossible(place, "classes", classes.to_string(), &rule))
            }
            None => {
                let rule = "the set has no labels to learn: give IDX files with labels beside, or CIFAR-10's binary version";
                Err(impossible(place, "data.name", format!("{name:?}"), rule))
            }
        }
    }
}

fn plan_block(
    study: &Study,
    beside: Option<&Beside>,
    seeds: u32,
    images: &mut Shelf<'_>,
) -> Result<PlannedBlock, Error> {
    let name = beside.map_or(MAIN, |beside| &beside.name);
    let role = beside.map_or(Role::Main, |beside| beside.role);
    let mut arms = Vec::new();
    for (noise, noise_patch) in [
        ("off", &study.factors.noise.off),
        ("on", &study.factors.noise.on),
    ] {
        for (skip, skip_patch) in [
            ("off", &study.factors.skip.off),
            ("on", &study.factors.skip.on),
        ] {
            let levels = BTreeMap::from([
                ("skip".to_owned(), skip.to_owned()),
                ("noise".to_owned(), noise.to_owned()),
            ]);
            if beside.is_some_and(|beside| {
                beside
                    .only
                    .iter()
                    .any(|(factor, level)| levels.get(factor) != Some(level))
            }) {
                continue;
            }
            let mut patches = vec![
                (format!("factors.skip.{skip}"), skip_patch),
                (format!("factors.noise.{noise}"), noise_patch),
            ];
            if let Some(beside) = beside {
                patches.push((format!("beside `{name}`"), &beside.set));
            }
            let base = if skip == "on" { "skip" } else { "plain" };
            let what = match role {
                Role::Main => base.to_owned(),
                Role::Reference | Role::CounterArm => name.to_owned(),
                Role::Depth | Role::AA => format!("{base} ({name})"),
            };
            let label = format!("{what}, noise {noise}");
            let place = format!("{}, arm `{label}`", study.place);
            let mut config = resolve(&study.config, &patches, &study.place)?;
            overrides(&mut config, images.overrides);
            images.complete(&mut config.data, &place)?;
            check(&config, &place)?;
            let architecture = Architecture::of(&config.network, &config.shape(), &place)?;
            map::check(&config, &architecture, &place)?;
            differentiates(&config, &architecture, &place)?;
            arms.push(PlannedArm {
                levels,
                label,
                parameters: architecture.parameters(),
                seconds: crate::cost::seconds(&config, &architecture, seeds),
                config,
            });
        }
    }
    let change = beside.map_or_else(String::new, |beside| {
        beside
            .set
            .iter()
            .map(|(path, value)| format!("{path} = {value}"))
            .collect::<Vec<_>>()
            .join(", ")
    });
    Ok(PlannedBlock {
        name: name.to_owned(),
        role,
        change,
        seeds,
        arms,
    })
}

/// What the command line says, it says of every cell: applied last.
fn overrides(config: &mut CellConfig, overrides: &Overrides) {
    if let Some(steps) = overrides.steps {
        config.training.steps = steps;
        config.training.warmup = config.training.warmup.min(steps / 4);
    }
    if let Some(device) = overrides.device {
        config.numerics.device = device;
    }
}

/// What a block beside the 2×2 says of itself.
fn check_beside(study: &Study, index: usize) -> Result<(), Error> {
    let beside = &study.beside[index];
    let refuse = |name: &str, value: String, rule: &str| {
        Err(impossible(
            &format!("{}, beside `{}`", study.place, beside.name),
            name,
            value,
            rule,
        ))
    };
    let taken = beside.name == MAIN
        || study.beside[..index]
            .iter()
            .any(|other| other.name == beside.name);
    if taken || beside.name.trim().is_empty() {
        return refuse(
            "name",
            format!("{:?}", beside.name),
            "every block needs a name of its own",
        );
    }
    if beside.role == Role::Main {
        return refuse(
            "role",
            "main".to_owned(),
            "the 2×2 itself is the main block: say depth, counter_arm, a_a or reference",
        );
    }
    if beside.seeds == 0 {
        return refuse("seeds", "0".to_owned(), "a block needs at least 1 seed");
    }
    for (factor, level) in &beside.only {
        if !["skip", "noise"].contains(&factor.as_str()) {
            return refuse("only", factor.clone(), "the factors are `skip` and `noise`");
        }
        if !["off", "on"].contains(&level.as_str()) {
            return refuse(
                &format!("only.{factor}"),
                format!("{level:?}"),
                "a factor is \"off\" or \"on\"",
            );
        }
    }
    Ok(())
}

/// What a block must be to do what its role promises.
fn check_block(study: &Study, block: &PlannedBlock, main: &PlannedBlock) -> Result<(), Error> {
    let place = format!("{}, beside `{}`", study.place, block.name);
    let refuse = |value: &str, rule: &str| Err(impossible(&place, "role", value.to_owned(), rule));
    let twin = |arm: &PlannedArm| main.arms.iter().find(|other| other.levels == arm.levels);
    match block.role {
        Role::AA if block.arms.len() != 1 => refuse(
            "a_a",
            "it repeats one arm: say which with only = { skip = …, noise = … }",
        ),
        Role::AA
            if block
                .arms
                .iter()
                .any(|arm| twin(arm).is_some_and(|twin| twin.config == arm.config)) =>
        {
            refuse(
                "a_a",
                "it must draw other random numbers than the arm that it repeats: set = { nuisance = 1 }",
            )
        }
        Role::CounterArm if !block.arms.iter().any(|arm| arm.levels["skip"] == "off") => refuse(
            "counter_arm",
            "it stands against skips, so it has none itself: only = { skip = \"off\" }",
        ),
        _ => Ok(()),
    }
}

fn plan_contrast(
    study: &Study,
    contrast: &Contrast,
    blocks: &[PlannedBlock],
) -> Result<PlannedContrast, Error> {
    let place = format!("{}, contrast `{}`", study.place, contrast.id);
    let probe = contrast
        .probe
        .clone()
        .unwrap_or_else(|| study.primary.clone());
    if catalog::probe(&probe).is_none() {
        return Err(unknown_probe(&place, "probe", &probe));
    }
    let delta = contrast.delta;
    let needs_margin = contrast.expect == Expect::Equal;
    if !delta.is_finite() || delta < 0.0 || (needs_margin && delta <= 0.0) {
        let rule = "the smallest effect of interest is a finite number ≥ 0, and > 0 where equality is claimed";
        return Err(impossible(&place, "delta", delta.to_string(), rule));
    }
    let (role, noise, rule) = match contrast.effect {
        EffectName::SkipOverCounterWithoutNoise => (
            Role::CounterArm,
            "off",
            "it needs a [[beside]] block with role = \"counter_arm\" and noise off",
        ),
        EffectName::SkipOverCounterWithNoise => (
            Role::CounterArm,
            "on",
            "it needs a [[beside]] block with role = \"counter_arm\" and noise on",
        ),
        EffectName::AA => (
            Role::AA,
            "",
            "it needs a [[beside]] block with role = \"a_a\"",
        ),
        _ => (Role::Main, "", ""),
    };
    let has = |block: &&PlannedBlock| {
        block.role == role
            && block
                .arms
                .iter()
                .any(|arm| noise.is_empty() || arm.levels["noise"] == noise)
    };
    if blocks
        .iter()
        .find(|block| block.role == role)
        .filter(has)
        .is_none()
    {
        return Err(impossible(
            &place,
            "effect",
            contrast.effect.id().to_owned(),
            rule,
        ));
    }
    Ok(PlannedContrast {
        id: contrast.id.clone(),
        claim: contrast.claim.clone(),
        probe,
        effect: contrast.effect,
        expect: contrast.expect,
        delta,
    })
}

fn unknown_probe(place: &str, name: &str, given: &str) -> Error {
    let known: Vec<&str> = catalog::PROBES.iter().map(|row| row.0).collect();
    Error::UnknownProbe {
        place: place.to_owned(),
        name: name.to_owned(),
        given: given.to_owned(),
        nearest: nearest_name(given, known),
    }
}

fn impossible(place: &str, name: &str, value: String, rule: &str) -> Error {
    Error::Impossible {
        place: place.to_owned(),
        name: name.to_owned(),
        value,
        rule: rule.to_owned(),
    }
}
