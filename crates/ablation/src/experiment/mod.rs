//! Experiments: cells that are no diffusion model, each a claim's own measurement in one file.
//!
//! An experiment is a struct of parameters, all of them in the study and none with a default. It checks itself before
//! anything runs, says what it measures and what it costs, and turns a seed's streams into numbers by name.
//! A new one is a file and a line of the table below.

mod adam;
mod bands;
mod bottleneck;
mod classification;
mod denoising;
mod disc;
mod implicit;
mod long_skip;
mod memorise;
mod mode_weight;
#[cfg(feature = "tch")]
mod passes;
mod reconditioning;
mod regression;
mod tangent;
mod target;
mod tiny;
mod tower;
mod transplant;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    bands::{BandOptimiser, Bands},
    bottleneck::{Bottleneck, Hidden},
    classification::{Classification, Short},
    denoising::{Bed, Denoising, Levels},
    disc::{Disc, DiscInit, DiscNetwork},
    implicit::{Divergence, Implicit},
    long_skip::LongSkipRates,
    memorise::{Memorise, MemoriseSkip},
    mode_weight::ModeWeight,
    reconditioning::{Reconditioning, Side},
    regression::{Optimiser, Regression},
    tangent::Tangent,
    tower::Tower,
    transplant::{ScratchInit, Transplant},
};
use crate::{
    cell::{Turn, Watch},
    config::{Data, Numerics},
    data::Images,
    error::Error,
    exact::place::Place,
    plan::Cell,
    record::{Evaluations, Outcome, Record, Stage},
    stream::Stream,
};

/// The table: what each experiment asks, and the struct of its parameters, whose name in snake_case is its kind.
macro_rules! experiments {
    ($($(#[$question:meta])* $name:ident),* $(,)?) => {
        /// An experiment with its parameters.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum Experiment {
            $($(#[$question])* $name($name)),*
        }

        impl Experiment {
            fn of(&self) -> &dyn Measurement {
                match self {
                    $(Experiment::$name(parameters) => parameters),*
                }
            }
        }

        $(impl From<$name> for Experiment {
            fn from(parameters: $name) -> Experiment {
                Experiment::$name(parameters)
            }
        })*
    };
}

experiments! {
    /// How long does a frequency band take to be learned?
    Bands,
    /// Does the rank law say which prediction is easier?
    Bottleneck,
    /// How often does a deep network miss the class of an image?
    Classification,
    /// How well, how fast and where does a network learn to denoise?
    Denoising,
    /// Can a network of the input's width enclose a disc?
    Disc,
    /// Does the implicit objective have a minimum, and is it reached?
    Implicit,
    /// Which learning rates does a U-Net stand, by the factor on its long skips?
    LongSkipRates,
    /// How many random labels can a network learn by heart?
    Memorise,
    /// How long does it take to learn the weights of modes?
    ModeWeight,
    /// Does the condition of a problem say how long it takes, with skips as with noise?
    Reconditioning,
    /// Does gradient descent reach every layer of a deep network, and what does it learn?
    Regression,
    /// How well conditioned is an untrained network?
    Tangent,
    /// Is what a residual network has learned within reach of a plain one?
    Transplant,
}

impl Experiment {
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

    /// Predicted bytes of a worker beside the program.
    pub(crate) fn bytes(&self) -> f64 {
        self.of().bytes()
    }

    /// The images from files that it learns from; most draw what they need.
    pub fn data(&self) -> Option<&Data> {
        self.of().data()
    }

    /// Where it computes, if its study says so; others do on one thread of the processor.
    pub fn numerics(&self) -> Option<&Numerics> {
        self.of().numerics()
    }

    /// One that learns from files, for the plan to say where it computes and what the files hold.
    pub(crate) fn classification(&mut self) -> Option<&mut Classification> {
        match self {
            Experiment::Classification(own) => Some(own),
            _ => None,
        }
    }

    /// Makes the experiment of a cell; `None` if it was told to stop.
    ///
    /// # Errors
    ///
    /// [`Error::WithoutTorch`] for one that needs libtorch in a build that has none, [`Error::Device`] if the device is not
    /// there. Divergence is not an error.
    pub(crate) fn record(
        &self,
        cell: &Cell,
        images: Option<&Images>,
        watch: &mut dyn Watch,
    ) -> Result<Option<Record>, Error> {
        if self.needs_torch() && !cfg!(feature = "tch") {
            return Err(Error::WithoutTorch);
        }
        #[cfg(feature = "tch")]
        tch::set_num_threads(self.numerics().map_or(1, |own| own.threads as i32));
        let mut found = Found {
            images,
            watch,
            stopped: false,
            metrics: self.metrics(),
            record: Record {
                schema: 1,
                cell: cell.clone(),
                outcome: Outcome::Measured {},
                evaluations: Evaluations::default(),
                values: BTreeMap::new(),
                curves: BTreeMap::new(),
                maps: Vec::new(),
                exhibit: None,
            },
        };
        self.of()
            .run(&Stream::new(u64::from(cell.seed)), &mut found)?;
        Ok((!found.stopped).then_some(found.record))
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

    /// Predicted bytes of a worker beside the program.
    fn bytes(&self) -> f64 {
        0.0
    }

    /// The images from files that it learns from; most draw what they need.
    fn data(&self) -> Option<&Data> {
        None
    }

    /// Where it computes, if its study says so; without it on one thread of the processor.
    fn numerics(&self) -> Option<&Numerics> {
        None
    }

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

/// What a run of an experiment has at hand, and what it found.
pub(crate) struct Found<'a> {
    images: Option<&'a Images>,
    watch: &'a mut dyn Watch,
    stopped: bool,
    metrics: &'static [Metric],
    record: Record,
}

impl<'a> Found<'a> {
    /// The images of its data.
    ///
    /// # Panics
    ///
    /// If it has none: the plan opened them.
    #[cfg_attr(
        not(feature = "tch"),
        expect(dead_code, reason = "what needs them needs torch")
    )]
    pub(crate) fn images(&self) -> &'a Images {
        self.images.expect("the plan opened the images")
    }

    /// Says before a step of what may take an hour that it is alive; whether it is to go on. If not, nothing is kept.
    #[cfg_attr(
        not(feature = "tch"),
        expect(dead_code, reason = "what needs them needs torch")
    )]
    pub(crate) fn goes_on(&mut self) -> bool {
        self.stopped |= self.watch.turn() == Turn::Stop;
        !self.stopped
    }

    /// Notes a number; one that is not finite counts as divergence, and takes the metric's worst value.
    ///
    /// # Panics
    ///
    /// If the experiment does not list the metric.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        let metric = self.metrics.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("`{name}` is not among the metrics"));
        if !value.is_finite() {
            self.diverged();
        }
        let kept = Some(value).filter(|v| v.is_finite()).or(metric.worst);
        if let Some(kept) = kept {
            self.record.values.insert(name.to_owned(), kept);
        }
    }

    /// Notes that it diverged.
    pub(crate) fn diverged(&mut self) {
        self.record.outcome = Outcome::Diverged {
            stage: Stage::Training,
            step: self.record.evaluations.training,
        };
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    /// Stops a cell before its step of this number, counted from 1.
    struct Steps(u64);

    impl Watch for Steps {
        fn turn(&mut self) -> Turn {
            self.0 = self.0.saturating_sub(1);
            if self.0 == 0 { Turn::Stop } else { Turn::GoOn }
        }

        fn keep(&mut self, _: &mut Checkpoint) -> Result<(), Error> {
            Ok(())
        }

        fn program(&self) -> &str {
            "this"
        }
    }

    /// What a cell of an experiment leaves behind.
    pub(crate) fn record(experiment: impl Into<Experiment>, seed: u32) -> Record {
        record_of(experiment, seed, None, u64::MAX).expect("it was not stopped")
    }

    /// The same with images, stopped before its step of this number, counted from 1; `None` if it was.
    pub(crate) fn record_of(
        experiment: impl Into<Experiment>,
        seed: u32,
        images: Option<&Images>,
        stop: u64,
    ) -> Option<Record> {
        let experiment = experiment.into();
        experiment.check("a test").expect("sound parameters");
        let cell = Cell::new(experiment.clone(), seed);
        experiment
            .record(&cell, images, &mut Steps(stop))
            .expect("nothing is missing to run it")
    }

    #[test]
    fn a_seed_is_never_dropped_for_having_diverged() {
        let disc = Disc {
            network: DiscNetwork::Residual { hidden: 1 },
            depth: 4,
            ring_from: 1.2,
            ring_to: 2.0,
            examples: 16,
            fresh: 16,
            steps: 100,
            rate: 1e50,
        };
        let record = record(disc, 0);
        assert!(matches!(record.outcome, Outcome::Diverged { .. }));
        assert_eq!(record.values["accuracy"], 0.5);
    }
}
