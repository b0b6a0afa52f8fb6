//! What a cell leaves behind: a record of deterministic bytes, and beside it how it came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{map::Map, plan::Cell, summary::Exhibit};

/// The result of a cell. Same study, same binary, same device class: the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the format.
    pub schema: u32,
    /// The cell, whole: a report never reads the study.
    pub cell: Cell,
    /// How it ended.
    pub outcome: Outcome,
    /// Batches that the network or the exact score was asked for.
    pub evaluations: Evaluations,
    /// One number per probe; a probe that is undefined here is absent. Never NaN.
    pub values: BTreeMap<String, f64>,
    /// Curves.
    pub curves: BTreeMap<String, Series>,
    /// Samples to look at.
    pub exhibit: Option<Exhibit>,
    /// Learnability maps, where the study asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<Map>,
}

/// How a cell ended. Divergence is a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Everything stayed finite.
    Measured {},
    /// Something left the finite numbers (or a particle went beyond 10⁶).
    Diverged {
        /// Where.
        stage: Stage,
        /// Step of that stage.
        step: u64,
    },
}

/// Part of a cell's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Optimisation.
    Training,
    /// Plain or annealed Langevin.
    Langevin,
    /// The probability-flow ODE.
    Ode,
}

impl Stage {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Stage::Training => "training",
            Stage::Langevin => "Langevin sampling",
            Stage::Ode => "ODE sampling",
        }
    }
}

/// Evaluation counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluations {
    /// Batches in training.
    pub training: u64,
    /// Batches in the main sampler.
    pub sampling: u64,
    /// Batches in the ODE sampler.
    pub ode: u64,
}

/// A curve of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// What x is.
    pub x_title: String,
    /// What y is.
    pub y_title: String,
    /// Whether x is drawn on a logarithmic axis.
    pub log_x: bool,
    /// Points; those whose y is not finite are left out.
    pub points: Vec<Point>,
}

/// One point of a [`Series`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Abscissa.
    pub x: f64,
    /// Label of the abscissa; empty where x speaks for itself.
    pub label: String,
    /// Ordinate.
    pub y: f64,
}

impl Record {
    /// Sets a number if it is one; this is the only door through which numbers enter a record.
    pub(crate) fn set(&mut self, probe: &str, value: f64) {
        debug_assert!(
            crate::catalog::probe(probe).is_some(),
            "`{probe}` is not in the catalogue"
        );
        if value.is_finite() {
            self.values.insert(probe.to_owned(), value);
        }
    }

    /// Adds a curve, leaving out what is not finite.
    pub(crate) fn curve(
        &mut self,
        name: &str,
        titles: [&str; 2],
        log_x: bool,
        points: Vec<(f64, String, f64)>,
    ) {
        let points: Vec<Point> = points
            .into_iter()
            .filter(|(_, _, y)| y.is_finite())
            .map(|(x, label, y)| Point { x, label, y })
            .collect();
        if !points.is_empty() {
            let [x_title, y_title] = titles.map(str::to_owned);
            self.curves.insert(
                name.to_owned(),
                Series {
                    x_title,
                    y_title,
                    log_x,
                    points,
                },
            );
        }
    }
}

/// How a result came about: differs between runs, is never part of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Wall seconds.
    pub seconds: f64,
    /// Digest of the program, or words that say that it is not known.
    pub binary: String,
    /// Host and processor in words.
    pub host: String,
    /// libtorch's version, the instructions that its kernels are chosen for, how normalisation in bf16 is computed, and on
    /// what the products of networks without a graph.
    pub libtorch: String,
    /// Unix time of the commit.
    pub finished_at: u64,
}

/// What a build is called that is not known.
const UNKNOWN: &str = "unknown, of cell ";

impl Attempt {
    /// What is left of the story of a cell whose file does not read. Its build is not known, so it counts as another
    /// than that of any other cell.
    pub(crate) fn lost(cell: &str) -> Attempt {
        Attempt {
            binary: format!("{UNKNOWN}{}", &cell[..10]),
            ..Attempt::default()
        }
    }

    /// Whether it is what is left of one whose file does not read.
    pub(crate) fn is_lost(&self) -> bool {
        self.binary.starts_with(UNKNOWN)
    }
}

/// Why a cell has no result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// How often a worker died of the cell.
    pub crashes: u32,
    /// How often a worker on it was killed from outside.
    pub kills: u32,
    /// The last worker's last words.
    pub message: String,
}

/// How a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// By its own doing (a panic, a segmentation fault): it will again, unless the machine was at fault.
    Crash,
    /// By a signal from outside (an operator, the system short of memory, a preemption).
    Killed,
}

impl Failure {
    /// Whether the cell is given up: after two crashes, or three kills. A program that crashes does so again;
    /// what killed it may have passed.
    pub fn is_final(&self) -> bool {
        2 <= self.crashes || 3 <= self.kills
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.crashes + self.kills
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{STUDY, plan, record};

    #[test]
    fn what_is_not_a_number_is_left_out() {
        let cells = plan(STUDY).expect("the study is sound").cells();
        let mut record = record(&cells[0].0, 0.5);
        let before = record.clone();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            record.set("log_energy_distance", value);
            record.curve(
                "loss",
                ["step", "loss"],
                false,
                vec![(1.0, String::new(), value)],
            );
            record.curve(
                "loss",
                ["step", "loss"],
                false,
                vec![(value, String::new(), f64::NAN)],
            );
        }
        assert_eq!(record, before);
        record.curve(
            "loss",
            ["step", "loss"],
            false,
            vec![(1.0, String::new(), f64::NAN), (2.0, String::new(), 3.0)],
        );
        assert_eq!(record.curves["loss"].points.len(), 1);
    }

    #[test]
    fn a_file_with_a_number_that_is_none_does_not_read() {
        let cells = plan(STUDY).expect("the study is sound").cells();
        let text = serde_json::to_string(&record(&cells[0].0, 0.5)).expect("plain data");
        assert!(serde_json::from_str::<Record>(&text).is_ok());
        for word in ["NaN", "Infinity", "1e999"] {
            let bad = text.replacen("0.5", word, 1);
            assert_ne!(bad, text);
            assert!(serde_json::from_str::<Record>(&bad).is_err(), "{word}");
        }
    }
}
