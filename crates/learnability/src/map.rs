//! The learnability map: which unit gets a gradient that can be trusted, at which noise level.

use crate::error::{Error, check_at_least};
use crate::gram::{Gram, SignFlip};
use crate::index;
use crate::interval::{Confidence, Interval};
use crate::silence::benjamini_hochberg;

/// What the columns of a map have as their loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The loss that the network was trained with.
    Own,
    /// A loss that it was not trained with, on the same weights. To be drawn apart and named so.
    Counterfactual,
}

/// One column of a map: a noise level, or whatever else the gradients of a column have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// How to call it.
    pub label: String,
    /// Where it lies on an axis of noise levels, if it lies there.
    pub noise_level: Option<f64>,
}

/// What was measured of one unit in one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// GSNR of one micro-batch gradient, with its interval; `None` where it is undefined.
    pub gsnr: Option<Interval>,
    /// The test of `E g = 0`.
    pub test: SignFlip,
}

impl Measurement {
    /// From the gradients of independent micro-batches of equal size, the same size for all cells that are compared.
    ///
    /// Flips are drawn from `rng`, where there are too many micro-batches to list them.
    pub fn of(
        gram: &Gram,
        confidence: Confidence,
        flips: usize,
        rng: &mut dyn rand::RngCore,
    ) -> Self {
        Self {
            gsnr: gram.gsnr(confidence),
            test: gram.sign_flip(flips, rng),
        }
    }
}

/// Whether a gradient was found at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `E g = 0` is rejected.
    Audible,
    /// `E g = 0` is not rejected: nothing can be heard with this many micro-batches.
    Silent,
}

/// One cell of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// GSNR of one micro-batch gradient, with its interval; `None` where it is undefined.
    pub gsnr: Option<Interval>,
    /// `p` of `E g = 0`, after Benjamini & Hochberg over all cells of the map.
    pub p: f64,
    /// What follows from `p`.
    pub mark: Mark,
}

/// Units × columns, each cell a GSNR with its interval and a mark: as plain data, to be drawn by somebody else.
///
/// ```text
/// rows     units: layers, blocks, skips        cell    GSNR = |E g|² / tr Cov g of one micro-batch, with interval
/// columns  noise levels, or one objective      mark    audible if p ≤ rate after Benjamini & Hochberg over the map
/// ```
///
/// *Range*: a GSNR is any real number. Below 1/B, averaging `B` micro-batches does not lift signal above noise.
/// *Invariances*: rescaling of a unit, scale of the loss: so columns of unlike losses may be compared.
/// *Source*: defined here, of the GSNR (Liu et al. 2020), the sign-flip test (Fisher 1935) and the rate of false discoveries
/// (Benjamini & Hochberg 1995).
/// *Failure modes*: all maps that are compared need the same samples per micro-batch, the same number of them and the same
/// units. A silent mark is about this much data. A large GSNR says that the gradient can be trusted, not that following it
/// helps.
///
/// ```
/// use learnability::{gram::Gram, interval::Confidence, map::{Column, LearnabilityMap, Mark, Measurement, Objective}};
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let confidence = Confidence::new(0.95)?;
/// let mut measure = |gradients: [f64; 8]| {
///     let gram = Gram::of(&gradients.each_ref().map(std::slice::from_ref));
///     Measurement::of(&gram, confidence, 999, &mut rng)
/// };
/// let heard = measure([1.0, 1.1, 0.9, 1.2, 0.8, 1.0, 1.1, 0.9]);
/// let noise = measure([1.0, -1.1, 0.9, -1.2, 0.8, -1.0, 1.1, -0.9]);
/// let level = |sigma: f64| Column { label: format!("σ = {sigma}"), noise_level: Some(sigma) };
/// let map = LearnabilityMap::new(
///     vec!["first".into(), "last".into()],
///     vec![level(0.1), level(1.0)],
///     Objective::Own,
///     vec![noise, heard, heard, heard], // row by row
///     0.05,
/// )?;
/// assert_eq!(map.cell(0, 0).mark, Mark::Silent);
/// assert_eq!(map.by_unit(1.0)[0].silent_fraction, 0.5);
/// # Ok::<(), learnability::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LearnabilityMap {
    units: Vec<String>,
    columns: Vec<Column>,
    objective: Objective,
    /// Row by row.
    cells: Vec<Cell>,
}

/// One row or column of a map in a few numbers.
///
/// Access is the GSNR, with 0 where it is negative, undefined or not audible.
///
/// *Failure mode*: a cell just above the threshold of the test counts in full and one just below as nothing, so `jain` and
/// `level_aware` move with the number of micro-batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Unit or label.
    pub name: String,
    /// Median GSNR over the cells in which it is defined, silent ones too; any real number.
    pub median: Option<f64>,
    /// Share of silent cells, in `[0, 1]`: existence.
    pub silent_fraction: f64,
    /// [`index::jain`] of access: share. `None` where no cell is heard.
    pub jain: Option<f64>,
    /// [`index::level_aware`] of access at the reference: share and level, in `[0, 1]`.
    pub level_aware: Option<f64>,
}

impl LearnabilityMap {
    /// Puts measurements together, and marks the cells.
    ///
    /// `measurements` come row by row, all columns of the first unit first. `rate` is the false discovery rate, 0.05 as a
    /// rule. The smallest `p` that a test can give must be small enough to be seen among so many cells; a map in which
    /// a lone audible cell could not be marked is refused.
    ///
    /// # Errors
    /// No units or columns, another number of measurements than cells, a rate outside (0, 1), or a test whose floor is
    /// above `rate / cells`.
    pub fn new(
        units: Vec<String>,
        columns: Vec<Column>,
        objective: Objective,
        measurements: Vec<Measurement>,
        rate: f64,
    ) -> Result<Self, Error> {
        check_at_least("units of a map", 1, units.len())?;
        check_at_least("columns of a map", 1, columns.len())?;
        let expected = units.len() * columns.len();
        if measurements.len() != expected {
            return Err(Error::Length {
                what: "cells of a map",
                expected,
                found: measurements.len(),
            });
        }
        if !(0.0 < rate && rate < 1.0) {
            return Err(Error::OutOfRange {
                name: "false discovery rate",
                range: "(0, 1)",
                value: rate,
            });
        }
        let highest = measurements
            .iter()
            .map(|m| m.test.floor)
            .fold(0.0, f64::max);
        if rate < highest * expected as f64 {
            return Err(Error::TooCoarse {
                floor: highest,
                cells: expected,
                rate,
            });
        }
        let p: Vec<f64> = measurements.iter().map(|m| m.test.p).collect();
        let cells = measurements
            .iter()
            .zip(benjamini_hochberg(&p))
            .map(|(measurement, p)| Cell {
                gsnr: measurement.gsnr,
                p,
                mark: if p <= rate {
                    Mark::Audible
                } else {
                    Mark::Silent
                },
            })
            .collect();
        Ok(Self {
            units,
            columns,
            objective,
            cells,
        })
    }

    /// Names of the rows.
    pub fn units(&self) -> &[String] {
        &self.units
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What the columns have as their loss.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// One cell.
    ///
    /// # Panics
    /// If there is no such unit or column.
    pub fn cell(&self, unit: usize, column: usize) -> &Cell {
        assert!(
            column < self.columns.len(),
            "LearnabilityMap::cell: column {column}"
        );
        &self.cells[unit * self.columns.len() + column]
    }

    /// The cells, unit by unit.
    pub fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks(self.columns.len())
    }

    /// Smallest and largest GSNR of the audible cells that are above 0, for a logarithmic scale of colours.
    ///
    /// For maps that stand side by side, take the smallest and the largest of all.
    pub fn extent(&self) -> Option<(f64, f64)> {
        let values = || self.cells.iter().map(access).filter(|x| 0.0 < *x);
        Some((values().reduce(f64::min)?, values().reduce(f64::max)?))
    }

    /// Each unit over all columns. `reference` is the GSNR that counts as full access, declared before looking; 1/B with
    /// `B` micro-batches to a training batch is the one at which its signal equals its noise.
    pub fn by_unit(&self, reference: f64) -> Vec<Summary> {
        let rows = self.units.iter().zip(self.rows());
        rows.map(|(name, cells)| summary(name, cells.iter(), reference))
            .collect()
    }

    /// Each column over all units; `reference` as in [`Self::by_unit`].
    pub fn by_column(&self, reference: f64) -> Vec<Summary> {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(j, column)| {
                let cells = self.cells.iter().skip(j).step_by(self.columns.len());
                summary(&column.label, cells, reference)
            })
            .collect()
    }
}

fn access(cell: &Cell) -> f64 {
    match (cell.mark, cell.gsnr) {
        (Mark::Audible, Some(gsnr)) => gsnr.estimate.max(0.0),
        _ => 0.0,
    }
}

fn summary<'a>(
    name: &str,
    cells: impl Iterator<Item = &'a Cell> + Clone,
    reference: f64,
) -> Summary {
    let mut gsnr: Vec<f64> = cells
        .clone()
        .filter_map(|c| Some(c.gsnr?.estimate))
        .collect();
    gsnr.sort_by(f64::total_cmp);
    let n = gsnr.len();
    let silent: Vec<bool> = cells.clone().map(|c| c.mark == Mark::Silent).collect();
    let access: Vec<f64> = cells.map(access).collect();
    Summary {
        name: name.to_owned(),
        median: (n != 0).then(|| (gsnr[(n - 1) / 2] + gsnr[n / 2]) / 2.0),
        silent_fraction: index::silent_fraction(&silent).expect("a map has cells"),
        jain: index::jain(&access),
        level_aware: index::level_aware(&access, reference),
    }
}
