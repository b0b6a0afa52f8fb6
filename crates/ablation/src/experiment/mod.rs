//! Experiments: cells that are no diffusion model, each a claim's own measurement in one file.
//!
//! An experiment is a struct of parameters, all of them in the study and none with a default. It checks itself before
//! anything runs, says what it measures and what it costs, and turns a seed's streams into numbers by name.
//! A new one is a file, a variant of [`Experiment`] and a line of [`Experiment::of`].

mod disc;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use disc::Disc;

use crate::{
    error::Error,
    exact::place::Place,
    plan::Cell,
    record::{Evaluations, Outcome, Record, Stage},
    stream::Stream,
};

/// An experiment with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Experiment {
    /// Can a network of the input's width enclose a disc?
    Disc(Disc),
}

impl Experiment {
    fn of(&self) -> &dyn Measurement {
        match self {
            Experiment::Disc(disc) => disc,
        }
    }

    /// Refuses parameters that cannot be run, before any work starts; `place` is the study and the arm.
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] names the first value that breaks its rule.
    pub fn check(&self, place: &str) -> Result<(), Error> {
        self.of().check(&Place(place.to_owned()))
    }

    /// What it measures: every number that it may leave behind.
    pub fn metrics(&self) -> &'static [Metric] {
        self.of().metrics()
    }

    /// Whether it needs libtorch.
    pub fn needs_torch(&self) -> bool {
        self.of().needs_torch()
    }

    /// Predicted seconds on one core of the machine of 2026.
    pub fn seconds(&self) -> f64 {
        self.of().seconds()
    }

    /// Makes the experiment of a cell.
    ///
    /// # Errors
    ///
    /// [`Error::WithoutTorch`] for one that needs libtorch in a build that has none. Divergence is not an error.
    pub(crate) fn record(&self, cell: &Cell) -> Result<Record, Error> {
        if self.needs_torch() && !cfg!(feature = "tch") {
            return Err(Error::WithoutTorch);
        }
        let mut found = Found {
            metrics: self.metrics(),
            record: Record {
                schema: 1,
                cell: cell.clone(),
                outcome: Outcome::Measured {},
                evaluations: Evaluations::default(),
                values: BTreeMap::new(),
                curves: BTreeMap::new(),
                exhibit: None,
            },
        };
        self.of()
            .run(&Stream::new(u64::from(cell.seed)), &mut found)?;
        Ok(found.record)
    }
}

/// What an experiment is to the laboratory.
pub(crate) trait Measurement {
    /// Refuses parameters that cannot be run.
    fn check(&self, place: &Place) -> Result<(), Error>;

    /// Every number that it may leave behind.
    fn metrics(&self) -> &'static [Metric];

    /// Whether it needs libtorch.
    fn needs_torch(&self) -> bool;

    /// Predicted seconds on one core.
    fn seconds(&self) -> f64;

    /// Measures. All randomness comes from `stream`, which is the same for all arms of a seed.
    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error>;
}

/// A number that an experiment measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name in studies and records.
    pub name: &'static str,
    /// Its unit; empty for a pure number.
    pub unit: &'static str,
    /// What it is, in words.
    pub meaning: &'static str,
    /// Which way is better.
    pub better: crate::summary::Better,
    /// What a run takes that diverged: a seed is never dropped for having failed. `None` where no value is worst; then
    /// the seed has no number, and says so.
    pub worst: Option<f64>,
}

/// What a run of an experiment found.
#[derive(Debug)]
pub(crate) struct Found {
    metrics: &'static [Metric],
    record: Record,
}

impl Found {
    /// Notes a number; one that is not finite counts as divergence, and takes the metric's worst value.
    ///
    /// # Panics
    ///
    /// If the experiment does not list the metric.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        let metric = self.metrics.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("`{name}` is not among the metrics"));
        if !value.is_finite() {
            self.record.outcome = Outcome::Diverged {
                stage: Stage::Training,
                step: self.record.evaluations.training,
            };
        }
        let kept = Some(value).filter(|v| v.is_finite()).or(metric.worst);
        if let Some(kept) = kept {
            self.record.values.insert(name.to_owned(), kept);
        }
    }

    /// Counts the batches that were trained on.
    pub(crate) fn trained(&mut self, batches: u64) {
        self.record.evaluations.training += batches;
    }

    /// Adds a curve y(x); points whose y is not finite are left out.
    pub(crate) fn curve(
        &mut self,
        name: &str,
        titles: [&str; 2],
        log_x: bool,
        points: &[(f64, f64)],
    ) {
        let points = points.iter().map(|&(x, y)| (x, String::new(), y));
        self.record.curve(name, titles, log_x, points.collect());
    }
}
