//! What was registered, and what was found: all that a verdict rests on.

use std::fmt;

use crate::error::Error;
use crate::moments::{check_not_negative, check_positive};

/// What was registered before the first run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    /// The direction that the contrast is expected to take.
    pub direction: Direction,
    /// The smallest interesting effect, in the unit of the contrast; >= 0, and > 0 for
    /// [`Direction::Equal`].
    pub delta: f64,
}

/// The direction that a contrast is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Below −delta.
    Lower,
    /// Above delta.
    Higher,
    /// Inside (−delta, delta).
    Equal,
}

/// All that a verdict on one contrast rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence<'a> {
    /// The contrast of each complete seed block, not oriented; a diverged run enters with the
    /// declared worst value.
    pub values: &'a [f64],
    /// p of the sign-flip test, adjusted over the declared family, in \[0, 1\]: of
    /// [`share`](crate::share).
    pub adjusted_p: f64,
    /// Level that the adjusted p is held against, in (0, 1).
    pub alpha: f64,
    /// Confidence of the paired t interval that decides, in (0, 1): of [`share`](crate::share), so that
    /// all verdicts of a family are right together.
    pub confidence: f64,
    /// What makes the study invalid; empty in a sound one.
    pub validity: Vec<Problem>,
    /// Seed blocks that the plan asked for; `values` holds those that are complete.
    pub planned_seeds: usize,
    /// Complete seed blocks that a verdict takes at least (8).
    pub minimum_seeds: usize,
    /// The contrasts of the blocks in which nothing diverged, where something did. Where they do not
    /// bear the verdict out, as [`decide`](crate::decide) says, nothing is concluded.
    pub sensitivity: Option<&'a [f64]>,
    /// The condition under which the contrast was measured, where it is narrower than the claim.
    pub condition: Option<String>,
}

/// A reason why a study supports no conclusion at all.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// The duplicated arm differs from its copy.
    AaRejected {
        /// p of the A/A contrast.
        p: f64,
        /// Its level.
        level: f64,
    },
    /// Cells were computed by different builds of the code.
    MixedCode {
        /// Number of builds.
        builds: usize,
    },
    /// Repeated cells gave different results.
    Conflicts {
        /// Number of cells with conflicting results.
        cells: usize,
    },
    /// The arms had different training budgets.
    UnequalBudgets {
        /// Steps of the arm with the fewest.
        fewest: u64,
        /// Steps of the arm with the most.
        most: u64,
    },
    /// The plan was changed after it was locked.
    PlanChanged,
}

impl Expectation {
    /// The contrast with positive as the direction registered.
    pub(crate) fn orient(&self, value: f64) -> f64 {
        match self.direction {
            Direction::Lower => -value,
            Direction::Higher | Direction::Equal => value,
        }
    }

    /// Delta lies in its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.direction {
            Direction::Equal => check_positive("delta", self.delta),
            Direction::Lower | Direction::Higher => check_not_negative("delta", self.delta),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AaRejected { p, level } => {
                write!(
                    f,
                    "the A/A control differs from its copy (p = {p:.4} <= {level})"
                )
            }
            Self::MixedCode { builds } => write!(f, "the cells come from {builds} builds"),
            Self::Conflicts { cells } => write!(f, "{cells} cells have conflicting results"),
            Self::UnequalBudgets { fewest, most } => {
                write!(f, "the arms trained for {fewest} to {most} steps")
            }
            Self::PlanChanged => f.write_str("the plan was changed after it was locked"),
        }
    }
}
