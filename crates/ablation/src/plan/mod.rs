//! From studies to a plan: every cell resolved, checked, named by its content and costed, before anything runs.

mod identity;
mod looks;
mod reach;
mod resolve;
mod setup;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    architecture::Architecture,
    claim::{Claim, ClaimArm, PlannedClaim, plan_claim},
    config::{CellConfig, Device, Network},
    cost,
    error::Error,
    study::{EffectName, Expect, Folder},
    summary::Role,
    work::Work,
};

pub use looks::PlannedLooks;
pub(crate) use resolve::{Shelf, open_images};

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
    /// Looks before all seeds are there; none in a run that is judged once, at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<PlannedLooks>,
    /// The studies.
    pub studies: Vec<PlannedStudy>,
    /// The claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<PlannedClaim>,
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
    /// What it does.
    pub config: Work,
}

/// Changes from the command line.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--seeds`: seeds of the 2×2; blocks beside it have at most as many.
    pub seeds: Option<u32>,
    /// `--sequential`: the 2×2, and what a registered contrast needs beside it, have the seeds of the last look.
    pub looks: Option<PlannedLooks>,
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
            studies.push(resolve::plan_study(study, overrides)?);
        }
        Ok(Plan {
            schema: 1,
            name: folder.name,
            question: folder.question,
            looks: overrides.looks.clone(),
            studies,
            claims: Vec::new(),
        })
    }

    /// Resolves claims that are one run, of the name of their arms.
    ///
    /// # Errors
    ///
    /// Whatever is impossible in a claim, before any work starts.
    ///
    /// # Panics
    ///
    /// If there is no claim.
    pub fn of_claims(claims: Vec<Claim>, overrides: &Overrides) -> Result<Plan, Error> {
        let first = claims.first().expect("a run of claims has a claim");
        let (name, question) = (first.run().to_owned(), first.question.clone());
        let claims = claims.into_iter().map(|claim| plan_claim(claim, overrides));
        Ok(Plan {
            schema: 1,
            name,
            question,
            looks: None,
            studies: Vec::new(),
            claims: claims.collect::<Result<_, _>>()?,
        })
    }

    /// Predicted bytes of a worker on the largest cell.
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] if a network cannot be built, which a resolved plan has not.
    pub fn bytes(&self) -> Result<f64, Error> {
        let mut most: f64 = cost::RESIDENT;
        let own = self.arms().map(|arm| &arm.config);
        let diffusion = self.claim_arms().filter_map(|arm| arm.config.diffusion());
        for config in own.chain(diffusion) {
            let architecture = Architecture::of(&config.network, &config.shape(), &self.name)?;
            most = most.max(cost::bytes(config, &architecture));
        }
        for arm in self.claim_arms() {
            if let Work::Experiment(experiment) = &arm.config {
                most = most.max(cost::RESIDENT + experiment.bytes());
            }
        }
        Ok(most)
    }

    /// Every arm of every claim.
    pub fn claim_arms(&self) -> impl Iterator<Item = &ClaimArm> {
        self.claims.iter().flat_map(|claim| &claim.arms)
    }

    /// Whether any cell needs libtorch.
    pub fn needs_torch(&self) -> bool {
        let exact = |arm: &PlannedArm| arm.config.network == Network::Exact {};
        !self.arms().all(exact) || self.claim_arms().any(|arm| arm.config.needs_torch())
    }

    /// Every arm of every block.
    pub fn arms(&self) -> impl Iterator<Item = &PlannedArm> {
        let blocks = self.studies.iter().flat_map(|study| &study.blocks);
        blocks.flat_map(|block| &block.arms)
    }

    /// Every cell once, in the order of work: seed by seed, the 2×2 before what stands beside it, claims last and one
    /// after the other.
    pub fn cells(&self) -> Vec<(Cell, f64)> {
        self.cells_within(&vec![u32::MAX; self.studies.len()])
    }

    /// The cells of each study's first seeds, as many as `horizons` says, in the order of [`Plan::cells`].
    pub(crate) fn cells_within(&self, horizons: &[u32]) -> Vec<(Cell, f64)> {
        let blocks = || {
            let studies = self.studies.iter().zip(horizons);
            studies.flat_map(|(study, horizon)| {
                let block = |block| (block, *horizon);
                study.blocks.iter().map(block)
            })
        };
        let within = |(block, horizon): (&PlannedBlock, u32)| block.seeds.min(horizon);
        let seeds = blocks().map(within).max().unwrap_or(0);
        let mut seen = BTreeSet::new();
        let mut cells = Vec::new();
        for seed in 0..seeds {
            let mut of_seed = Vec::new();
            for (block, _) in blocks().filter(|of| seed < within(*of)) {
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
        for claim in &self.claims {
            for seed in claim.all_seeds() {
                for arm in &claim.arms {
                    let cell = Cell::new(arm.config.clone(), seed);
                    if seen.insert(cell.id.clone()) {
                        cells.push((cell, arm.seconds));
                    }
                }
            }
        }
        cells
    }
}
