//! What a person writes: one TOML file is one study, a folder of them is reported together.
//!
//! A study is a complete baseline configuration, two factors (`skip` and `noise`, each `off` and `on`) that
//! change named settings of it, blocks that stand beside the 2×2, and the contrasts registered before the run.

mod load;
mod patch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use load::{Folder, load};
pub(crate) use load::{files_of, parse, read};
pub(crate) use patch::{Patch, resolve};

use crate::{config::CellConfig, summary::Role};

/// A study as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Version of the format: 1.
    pub schema: u32,
    /// Short name: letters, digits, `-`.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What the study asks, one sentence.
    pub question: String,
    /// Seeds of the 2×2; seed s of every arm shares data, noise and starting points.
    pub seeds: u32,
    /// The probe that decides.
    pub primary: String,
    /// Caveats that belong to the numbers, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The baseline, complete.
    pub config: CellConfig,
    /// The two factors.
    pub factors: Factors,
    /// What stands beside the 2×2.
    #[serde(default)]
    pub beside: Vec<Beside>,
    /// What is registered before the run.
    #[serde(default)]
    pub contrasts: Vec<Contrast>,
    /// Where the study was read from; not part of the file.
    #[serde(skip)]
    pub place: String,
}

/// The two factors of the 2×2.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factors {
    /// Skip connections.
    pub skip: Levels,
    /// Noise.
    pub noise: Levels,
}

/// What each level of a factor sets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// Settings of the level "off".
    pub off: Patch,
    /// Settings of the level "on".
    pub on: Patch,
}

/// A block of arms that differ from the 2×2 in one declared way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Name of the block.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What it changes, applied after the factors.
    pub set: Patch,
    /// Which arms of the 2×2 it repeats (`{ skip = "off" }`); all of them if empty.
    #[serde(default)]
    pub only: BTreeMap<String, String>,
    /// Seeds; with `--all` as many as the 2×2.
    pub seeds: u32,
}

/// A registered contrast.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// Identifier within the study.
    pub id: String,
    /// The claim as a sentence.
    pub claim: String,
    /// Probe; the study's primary if left out.
    pub probe: Option<String>,
    /// Which effect.
    pub effect: EffectName,
    /// Which way.
    pub expect: Expect,
    /// Smallest effect of interest, in the probe's unit.
    pub delta: f64,
}

/// The effects that one number per seed can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectName {
    /// Skip on − off, mean over noise.
    Skip,
    /// Noise on − off, mean over skip.
    Noise,
    /// What the two do together beyond the sum of what each does.
    Interaction,
    /// Skip on − off where noise is off.
    SkipWithoutNoise,
    /// Skip on − off where noise is on.
    SkipWithNoise,
    /// Noise on − off where skip is off.
    NoiseWithoutSkip,
    /// Noise on − off where skip is on.
    NoiseWithSkip,
    /// Skip − counter-arm where noise is off.
    SkipOverCounterWithoutNoise,
    /// Skip − counter-arm where noise is on.
    SkipOverCounterWithNoise,
    /// A/A arm − the arm that it copies.
    AA,
}

/// The registered direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The effect is below −delta.
    Lower,
    /// The effect is above delta.
    Higher,
    /// The effect is within ±delta.
    Equal,
}

impl EffectName {
    /// All effects of a 2×2, in the order of reports.
    pub const OF_A_SQUARE: [EffectName; 7] = [
        EffectName::Skip,
        EffectName::Noise,
        EffectName::Interaction,
        EffectName::SkipWithoutNoise,
        EffectName::SkipWithNoise,
        EffectName::NoiseWithoutSkip,
        EffectName::NoiseWithSkip,
    ];

    /// The name in files.
    pub fn id(self) -> &'static str {
        match self {
            EffectName::Skip => "skip",
            EffectName::Noise => "noise",
            EffectName::Interaction => "interaction",
            EffectName::SkipWithoutNoise => "skip_without_noise",
            EffectName::SkipWithNoise => "skip_with_noise",
            EffectName::NoiseWithoutSkip => "noise_without_skip",
            EffectName::NoiseWithSkip => "noise_with_skip",
            EffectName::SkipOverCounterWithoutNoise => "skip_over_counter_without_noise",
            EffectName::SkipOverCounterWithNoise => "skip_over_counter_with_noise",
            EffectName::AA => "a_a",
        }
    }

    /// The role of the block beside the 2×2 that it is measured in, if it is.
    pub(crate) fn beside(self) -> Option<Role> {
        match self {
            EffectName::SkipOverCounterWithoutNoise | EffectName::SkipOverCounterWithNoise => {
                Some(Role::CounterArm)
            }
            EffectName::AA => Some(Role::AA),
            _ => None,
        }
    }

    /// The name in words.
    pub fn words(self) -> &'static str {
        match self {
            EffectName::Skip => "skip on − off, mean over noise",
            EffectName::Noise => "noise on − off, mean over skip",
            EffectName::Interaction => "interaction: effect of skip with noise − without",
            EffectName::SkipWithoutNoise => "skip on − off, noise off",
            EffectName::SkipWithNoise => "skip on − off, noise on",
            EffectName::NoiseWithoutSkip => "noise on − off, skip off",
            EffectName::NoiseWithSkip => "noise on − off, skip on",
            EffectName::SkipOverCounterWithoutNoise => "skip − well-initialised plain, noise off",
            EffectName::SkipOverCounterWithNoise => "skip − well-initialised plain, noise on",
            EffectName::AA => "A/A: the same arm with other random draws",
        }
    }
}
