//! From studies to a plan: every cell resolved, checked, named by its content and costed, before anything runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    architecture::Architecture,
    catalog,
    check::check,
    config::{CellConfig, Data, Device, Network, Start},
    data::{self, Images},
    error::Error,
    study::{Contrast, EffectName, Expect, Folder, Study, resolve},
    summary::Role,
};

/// Everything that a run does, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the format.
    pub schema: u32,
    /// Name of the run.
    pub name: String,
    /// The question of the whole.
    pub question: String,
    /// The studies.
    pub studies: Vec<PlannedStudy>,
}

/// One study, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStudy {
    /// Short name.
    pub name: String,
    /// Heading.
    pub title: String,
    /// Question.
    pub question: String,
    /// Caveats.
    pub notes: Vec<String>,
    /// Set-up in words.
    pub setup: Vec<String>,
    /// Primary probe.
    pub primary: String,
    /// Seeds of the 2×2.
    pub seeds: u32,
    /// The 2×2 first.
    pub blocks: Vec<PlannedBlock>,
    /// Registered contrasts.
    pub contrasts: Vec<PlannedContrast>,
}

/// A block of arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedBlock {
    /// Name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What it changes, in words.
    pub change: String,
    /// Seeds.
    pub seeds: u32,
    /// Arms.
    pub arms: Vec<PlannedArm>,
}

/// An arm: a complete configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedArm {
    /// Level of each factor.
    pub levels: BTreeMap<String, String>,
    /// Name in reports.
    pub label: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Predicted seconds of one cell on one core of the machine of 2026.
    pub seconds: f64,
    /// The configuration.
    pub config: CellConfig,
}

/// A registered contrast, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedContrast {
    /// Identifier.
    pub id: String,
    /// Claim.
    pub claim: String,
    /// Probe.
    pub probe: String,
    /// Effect.
    pub effect: EffectName,
    /// Direction.
    pub expect: Expect,
    /// Smallest effect of interest.
    pub delta: f64,
}

/// One cell: a configuration and a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Digest of the content.
    pub id: String,
    /// Seed index.
    pub seed: u32,
    /// Configuration.
    pub config: CellConfig,
}

/// Changes from the command line.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--seeds`: seeds of the 2×2; blocks beside it have at most as many.
    pub seeds: Option<u32>,
    /// `--steps`: training steps of every cell.
    pub steps: Option<u64>,
    /// `--device`.
    pub device: Option<Device>,
    /// `--all`: blocks beside the 2×2 on all its seeds.
    pub all: bool,
    /// `--data`: the folder that holds the files of an image set.
    pub data: Option<PathBuf>,
    /// Folders that hold image sets by name.
    pub data_folders: Vec<PathBuf>,
}

impl Plan {
    /// Resolves the studies of a folder.
    ///
    /// # Errors
    ///
    /// Whatever is impossible in a study, before any work starts; image files that are missing or damaged.
    pub fn resolve(folder: Folder, overrides: &Overrides) -> Result<Plan, Error> {
        let mut studies = Vec::new();
        for study in folder.studies {
            studies.push(plan_study(study, overrides)?);
        }
        Ok(Plan { schema: 1, name: folder.name, question: folder.question, studies })
    }

    /// Every cell once, in the order of work: seed by seed, the 2×2 before what stands beside it.
    pub fn cells(&self) -> Vec<(Cell, f64)> {
        let seeds = self.studies.iter().flat_map(|s| &s.blocks).map(|b| b.seeds).max().unwrap_or(0);
        let mut seen = BTreeSet::new();
        let mut cells = Vec::new();
        for seed in 0..seeds {
            let mut of_seed = Vec::new();
            for block in self.studies.iter().flat_map(|study| &study.blocks).filter(|block| seed < block.seeds) {
                for arm in &block.arms {
                    let cell = Cell::new(arm.config.clone(), seed);
                    if seen.insert(cell.id.clone()) {
                        of_seed.push((cell, arm.seconds));
                    }
                }
            }
            // The longest first, so that no long cell is left alone at the end.
            of_seed.sort_by(|a, b| b.1.total_cmp(&a.1));
            cells.append(&mut of_seed);
        }
        cells
    }
}

impl Cell {
    /// The cell of a configuration and a seed, named by the BLAKE3 digest of its canonical JSON.
    pub fn new(config: CellConfig, seed: u32) -> Cell {
        let value = serde_json::json!({ "schema": 1, "seed": seed, "config": config });
        let digest = blake3::hash(canonical(&value).as_bytes()).to_hex();
        Cell { id: digest[..32].to_owned(), seed, config }
    }
}

/// Canonical JSON: sorted keys, no spaces, numbers as shortest round-trip decimals.
pub(crate) fn canonical(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let sorted: BTreeMap<&String, &serde_json::Value> = fields.iter().collect();
            let inner: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", serde_json::Value::String(key.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}

impl CellConfig {
    /// Shape of one example: `[d]` for vectors, `[channels, height, width]` for images.
    pub fn shape(&self) -> Vec<usize> {
        match &self.data {
            Data::SongErmon {} => vec![2],
            Data::Sphere { ambient, .. } => vec![*ambient],
            Data::GaussianField {} => vec![1, 16, 16],
            Data::Images { shape, .. } => shape.to_vec(),
        }
    }
}

fn plan_study(mut study: Study, overrides: &Overrides) -> Result<PlannedStudy, Error> {
    let place = study.place.clone();
    let impossible = |name: &str, value: String, rule: &str| Error::Impossible {
        place: place.clone(),
        name: name.to_owned(),
        value,
        rule: rule.to_owned(),
    };
    if study.schema != 1 {
        return Err(impossible("schema", study.schema.to_string(), "this program reads schema = 1"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if study.name.is_empty() || !study.name.chars().all(plain) {
        return Err(impossible("name", study.name.clone(), "a name has small letters, digits and `-` only"));
    }
    let seeds = overrides.seeds.unwrap_or(study.seeds);
    if seeds < 1 {
        return Err(impossible("seeds", seeds.to_string(), "a study needs at least 1 seed (8 for a verdict)"));
    }
    if catalog::probe(&study.primary).is_none() {
        return Err(unknown_probe(&place, "primary", &study.primary));
    }
    if let Data::Images { name, digest, shape, held_out } = &mut study.config.data {
        let images = open_images(name, overrides)?;
        if images.len() < *held_out + 1 {
            let rule = format!("the set `{name}` has {} images: keep fewer back", images.len());
            return Err(impossible("config.data.held_out", held_out.to_string(), &rule));
        }
        *digest = images.digest();
        *shape = images.shape();
    }
    let (steps, device) = (overrides.steps, overrides.device);
    study.set_everywhere(|config| {
        if let Some(steps) = steps {
            config.training.steps = steps;
            config.training.warmup = config.training.warmup.min(steps / 4);
        }
        if let Some(device) = device {
            config.numerics.device = device;
        }
    });

    let mut blocks = vec![plan_block(&study, "the 2×2", Role::Main, None, seeds)?];
    for beside in &study.beside {
        let own = if overrides.all { seeds } else { beside.seeds.min(seeds) };
        blocks.push(plan_block(&study, &beside.name, beside.role, Some(beside), own)?);
    }
    let contrasts = study.contrasts.iter().map(|c| plan_contrast(&study, c)).collect::<Result<Vec<_>, _>>()?;
    Ok(PlannedStudy {
        setup: setup(&study.config, &blocks[0], &place)?,
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

fn plan_block(
    study: &Study,
    name: &str,
    role: Role,
    beside: Option<&crate::study::Beside>,
    seeds: u32,
) -> Result<PlannedBlock, Error> {
    let mut arms = Vec::new();
    for (noise, noise_patch) in [("off", &study.factors.noise.off), ("on", &study.factors.noise.on)] {
        for (skip, skip_patch) in [("off", &study.factors.skip.off), ("on", &study.factors.skip.on)] {
            let levels =
                BTreeMap::from([("skip".to_owned(), skip.to_owned()), ("noise".to_owned(), noise.to_owned())]);
            if let Some(beside) = beside {
                if let Some(factor) = beside.only.keys().find(|factor| !levels.contains_key(*factor)) {
                    return Err(Error::Impossible {
                        place: study.place.clone(),
                        name: format!("beside `{name}`, only"),
                        value: factor.clone(),
                        rule: "the factors are `skip` and `noise`".to_owned(),
                    });
                }
                if beside.only.iter().any(|(factor, level)| levels[factor] != *level) {
                    continue;
                }
            }
            let mut patches = vec![
                (format!("factors.skip.{skip}"), skip_patch),
                (format!("factors.noise.{noise}"), noise_patch),
            ];
            if let Some(beside) = beside {
                patches.push((format!("beside `{name}`"), &beside.set));
            }
            let config = resolve(&study.config, &patches, &study.place)?;
            let base = if skip == "on" { "skip" } else { "plain" };
            let what = match role {
                Role::Main => base.to_owned(),
                Role::Reference => name.to_owned(),
                Role::CounterArm => name.to_owned(),
                Role::Depth | Role::AA => format!("{base} ({name})"),
            };
            let label = format!("{what}, noise {noise}");
            let place = format!("{}, arm `{label}`", study.place);
            check(&config, &place)?;
            let architecture = Architecture::of(&config.network, &config.shape(), &place)?;
            arms.push(PlannedArm {
                levels,
                label,
                parameters: architecture.parameters(),
                seconds: crate::cost::seconds(&config, &architecture),
                config,
            });
        }
    }
    let change = beside.map_or_else(String::new, |beside| {
        beside.set.iter().map(|(path, value)| format!("{path} = {value}")).collect::<Vec<_>>().join(", ")
    });
    Ok(PlannedBlock { name: name.to_owned(), role, change, seeds, arms })
}

fn plan_contrast(study: &Study, contrast: &Contrast) -> Result<PlannedContrast, Error> {
    let place = format!("{}, contrast `{}`", study.place, contrast.id);
    let probe = contrast.probe.clone().unwrap_or_else(|| study.primary.clone());
    if catalog::probe(&probe).is_none() {
        return Err(unknown_probe(&place, "probe", &probe));
    }
    let delta = contrast.delta;
    let needs_margin = contrast.expect == Expect::Equal;
    if !delta.is_finite() || delta < 0.0 || (needs_margin && delta <= 0.0) {
        return Err(Error::Impossible {
            place,
            name: "delta".to_owned(),
            value: delta.to_string(),
            rule: "the smallest effect of interest is a finite number ≥ 0, and > 0 where equality is claimed".to_owned(),
        });
    }
    let counter = matches!(
        contrast.effect,
        EffectName::SkipOverCounterWithoutNoise | EffectName::SkipOverCounterWithNoise
    );
    if counter && !study.beside.iter().any(|beside| beside.role == Role::CounterArm) {
        return Err(Error::Impossible {
            place,
            name: "effect".to_owned(),
            value: contrast.effect.id().to_owned(),
            rule: "it needs a [[beside]] block with role = \"counter_arm\"".to_owned(),
        });
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
    let known = catalog::PROBES.iter().map(|row| row.0);
    Error::UnknownSetting {
        place: place.to_owned(),
        path: format!("{name} = {given}"),
        nearest: crate::error::nearest_name(given, known),
    }
}

/// The images of a named set, found as the message of a missing one says.
pub(crate) fn open_images(name: &str, overrides: &Overrides) -> Result<Images, Error> {
    let folder = data::locate(name, overrides.data.as_deref(), &overrides.data_folders)?;
    Ok(Images::open(&folder, data::detect(&folder)?)?)
}

fn setup(config: &CellConfig, main: &PlannedBlock, place: &str) -> Result<Vec<String>, Error> {
    let data = match &config.data {
        Data::SongErmon {} => "0.8 N((5,5), I) + 0.2 N((−5,−5), I) in the plane, exact score known".to_owned(),
        Data::Sphere { intrinsic: 2, ambient, radius } => {
            format!("circle of radius {radius} embedded at random in R^{ambient}; it has an exact score only once it is noised")
        }
        Data::Sphere { intrinsic, ambient, radius } => {
            format!("sphere S^{} of radius {radius} embedded at random in R^{ambient}; exact score only once it is noised", intrinsic - 1)
        }
        Data::GaussianField {} => {
            "mixture of four Gaussian random fields on 16×16, exact score known per frequency band".to_owned()
        }
        Data::Images { name, held_out, shape: [c, h, w], digest } => {
            format!("{name}: {h}×{w} images, {c} channel(s), last {held_out} kept back, digest {}", &digest[..12])
        }
    };
    let architecture = Architecture::of(&config.network, &config.shape(), place)?;
    let [off, .., on] = &main.arms[..] else { unreachable!("a 2×2 has four arms") };
    let (min, max) = (config.noise.sigma_min, config.noise.sigma_max);
    let start = match config.sampling.langevin.start {
        Start::Uniform(a) => format!("uniform on ±{a}"),
        Start::Gaussian(s) => format!("N(0, {s}²)"),
    };
    let initial = |network: &Network| match network {
        Network::Mlp { init, .. } | Network::Unet { init, .. } => {
            serde_json::to_value(init).expect("plain").as_str().unwrap_or("").to_owned()
        }
        Network::Exact {} => "none".to_owned(),
    };
    Ok(vec![
        format!("Data: {data}."),
        format!("Network: {}; initial weights `{}`.", architecture.words(), initial(&off.config.network)),
        format!(
            "Skip on: {}.",
            match &on.config.network {
                Network::Unet { short, long, .. } => format!("short {short:?}, long {long:?}"),
                Network::Mlp { short, .. } => format!("{short:?}"),
                Network::Exact {} => "–".to_owned(),
            }
        ),
        format!(
            "Noise off: {:?} score matching on clean data, the noise embedding fed the constant sigma = {min}; sampled by plain Langevin from {start}, step {}, {} evaluations.",
            off.config.objective, config.sampling.langevin.step, config.sampling.evaluations
        ),
        format!(
            "Noise on: denoising score matching, sigma log-uniform on [{min}, {max}], weight sigma²; sampled by annealed Langevin ({} levels from {}, step {}·sigma², {} evaluations) and by the probability-flow ODE (Heun, {} steps).",
            config.sampling.annealed.levels,
            config.sampling.annealed.from,
            config.sampling.annealed.epsilon,
            config.sampling.evaluations,
            config.sampling.ode.steps
        ),
        format!(
            "Training: Adam, {} steps of {} examples, peak rate {}, {} steps of warm-up, then a cosine to zero; the same in every arm, tuned for none.",
            config.training.steps, config.training.batch, config.training.rate, config.training.warmup
        ),
    ])
}
