//! Claims: one study file for each, with its arms, what is measured, and what would support and refute it; what was changed
//! after results were seen is among its notes.
//!
//! A claim stands beside the 2×2 studies and goes the same way: [`load`] (what a person writes) → [`plan`](crate::plan)
//! (arms resolved, checked, costed) → the runner's cells → [`judge()`] (one number per seed, intervals, verdicts) →
//! [`report`](crate::report).

mod docs;
mod evidence;
mod grid;
pub mod judge;
mod load;
pub mod measure;
mod resolve;
mod rule;
mod sentence;
mod table;
#[cfg(test)]
mod tests;
mod thesis;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use docs::tests::result as example;
pub use docs::{kept, page};
pub(crate) use evidence::bears_on;
pub use judge::{ClaimReport, ClaimResult, judge};
pub use load::{Selection, load};
pub use measure::{Measure, Term};
pub(crate) use resolve::plan_claim;

use crate::{config::CellConfig, experiment::Experiment, study::Patch, work::Work};

/// The first seed of those that learning rates are tuned with: no test seed is ever one of them.
pub const FIRST_TUNING_SEED: u32 = 1 << 20;

/// A claim as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Version of the format: 1.
    pub schema: u32,
    /// What kind of study this is: `"claim"`.
    pub kind: Kind,
    /// Short name: small letters, digits, `-`.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What it asks, one sentence.
    pub question: String,
    /// The sentences of the thesis that it bears on: `T1` to `T36`.
    pub about: Vec<String>,
    /// When it is run.
    pub cost: Cost,
    /// Seeds; 1 for what is deterministic.
    pub seeds: u32,
    /// The strongest rival explanation: the name of an arm, or in words where there are no arms.
    pub counter: String,
    /// Caveats that belong to the numbers, one sentence each: reduced forms, what cannot be tuned.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The claim whose arms, grid and baseline it judges too, instead of arms of its own: both are run together, once.
    pub arms_of: Option<String>,
    /// Claims of the exact layer that it shows, instead of arms of its own.
    #[serde(default)]
    pub exact: Vec<String>,
    /// Sentences of the thesis that findings, by their ids, speak against if they hold.
    #[serde(default)]
    pub against: BTreeMap<String, Vec<String>>,
    /// Why it cannot be run by this program, instead of arms of its own.
    pub untested: Option<String>,
    /// The baseline of diffusion arms, complete.
    pub config: Option<CellConfig>,
    /// The baseline of experiment arms, complete.
    pub experiment: Option<Experiment>,
    /// A setting that is tuned for each arm.
    pub grid: Option<Grid>,
    /// What is compared.
    #[serde(default)]
    pub arms: Vec<Arm>,
    /// What is registered.
    #[serde(default)]
    pub findings: Vec<Registered>,
    /// The findings by whose ids the claim stands: all of them must hold. Without a list the first decides.
    #[serde(default)]
    pub decides: Vec<String>,
    /// Where it was read from; not part of the file.
    #[serde(skip)]
    pub place: String,
}

impl Claim {
    /// The run that it belongs to: its own, or that of the claim whose arms it judges.
    pub fn run(&self) -> &str {
        self.arms_of.as_deref().unwrap_or(&self.name)
    }
}

/// The kind of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A claim.
    Claim,
}

/// When a claim is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Always: all of these together take less than half an hour on two cores.
    Default,
    /// With `--all`.
    All,
    /// With `--all`, where there is a graphics card.
    Cuda,
}

/// Values of one setting at which every arm is run: with tuning seeds to choose one for each arm, with test seeds to
/// show the whole curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// The setting, a dotted path such as `"rate"`.
    pub setting: String,
    /// Its values, rising.
    pub values: Vec<f64>,
    /// Seeds that choose, none of them a test seed; 0 where nothing is chosen.
    pub tuning_seeds: u32,
}

/// One thing that is compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// What it changes of the baseline.
    #[serde(default)]
    pub set: Patch,
}

/// A sentence that is registered before the run, with what would support and what would refute it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Identifier within the claim.
    pub id: String,
    /// The sentence.
    pub claim: String,
    /// The sentences of the thesis that it bears on.
    pub about: Vec<String>,
    /// One number per seed.
    pub measure: Measure,
    /// What is concluded from it.
    pub rule: Rule,
    /// What it holds under, if another finding does not hold as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// What it takes for granted: the id of another finding, without which nothing is concluded, such as that the arms have
    /// learned anything at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
}

/// Where a supported sentence holds only under a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The condition in words.
    pub words: String,
    /// The finding that would hold as well if the condition were none.
    pub unless: String,
}

/// What supports and what refutes a sentence, for a number e whose 95 % interval is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "expect", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// SUPPORTED if all of the interval is above `delta`, REFUTED if all of it is below `refute`.
    Higher {
        /// Smallest effect of interest, ≥ 0.
        delta: f64,
        /// At most `delta`.
        refute: f64,
    },
    /// SUPPORTED if all of the interval is below −`delta`, REFUTED if all of it is above −`refute`.
    Lower {
        /// Smallest effect of interest, ≥ 0.
        delta: f64,
        /// At most `delta`.
        refute: f64,
    },
    /// SUPPORTED if all of the interval is within ±`delta`, REFUTED if all of it is outside ±`refute`.
    Equal {
        /// Margin of equivalence, > 0.
        delta: f64,
        /// At least `delta`.
        refute: f64,
    },
    /// The number is reported and nothing is concluded.
    Nothing {},
}

/// A claim, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedClaim {
    /// Short name.
    pub name: String,
    /// Heading.
    pub title: String,
    /// Question.
    pub question: String,
    /// Sentences of the thesis.
    pub about: Vec<String>,
    /// When it is run.
    pub cost: Cost,
    /// Seeds that are tested.
    pub seeds: u32,
    /// The strongest rival explanation.
    pub counter: String,
    /// Caveats.
    pub notes: Vec<String>,
    /// Claims of the exact layer.
    pub exact: Vec<String>,
    /// Sentences that findings speak against.
    pub against: BTreeMap<String, Vec<String>>,
    /// Findings that must all hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decides: Vec<String>,
    /// Why it cannot be run.
    pub untested: Option<String>,
    /// What is tuned.
    pub grid: Option<Grid>,
    /// Every arm at every value of the grid.
    pub arms: Vec<ClaimArm>,
    /// What is registered.
    pub findings: Vec<Registered>,
}

/// An arm at one value of the grid: complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimArm {
    /// The arm's name, and ` @ value` where there is a grid.
    pub name: String,
    /// The arm's name.
    pub arm: String,
    /// The value of the grid's setting.
    pub value: Option<f64>,
    /// Predicted seconds of one cell.
    pub seconds: f64,
    /// What its cells do.
    pub config: Work,
}

impl PlannedClaim {
    /// Every seed that its arms are run with: those that test, and those that tune.
    pub fn all_seeds(&self) -> Vec<u32> {
        let tuning = self.grid.as_ref().map_or(0, |grid| grid.tuning_seeds);
        (0..self.seeds)
            .chain((0..tuning).map(|index| FIRST_TUNING_SEED + index))
            .collect()
    }
}
