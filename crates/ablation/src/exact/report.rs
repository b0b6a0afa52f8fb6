//! What a run of the exact layer found, as plain data.

use serde::{Deserialize, Serialize};

use super::{
    published::{Cited, Comparison},
    study::{Expected, Tolerance},
};

/// Everything that was computed, and every verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the format.
    pub schema: u32,
    /// Name of the run.
    pub name: String,
    /// The question of each study.
    pub questions: Vec<String>,
    /// The caveats of each study.
    pub notes: Vec<String>,
    /// One per table, in the order of the quantities.
    pub sections: Vec<Section>,
    /// Published numbers beside ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Comparison>,
    /// Published numbers that were not tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cited: Vec<Cited>,
}

/// One table of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The study.
    pub study: String,
    /// The quantity: the key of the table's list.
    pub quantity: String,
    /// The table's name.
    pub name: String,
    /// What was computed, in words and symbols.
    pub meaning: String,
    /// The parameters, in words.
    pub parameters: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Numbers held against closed forms and expected values.
    pub checks: Vec<Check>,
    /// Registered claims.
    pub findings: Vec<Finding>,
}

/// A number of ours beside what it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The arm, run or target that the number belongs to; empty where the table has one only.
    pub group: String,
    /// What the number is.
    pub what: String,
    /// Ours; none if it is not finite.
    pub value: Option<f64>,
    /// How far off it may be.
    pub error: Option<f64>,
    /// What the error is of.
    pub how: How,
    /// What it is held against.
    pub against: Against,
    /// The value that it is held against.
    pub wanted: Option<f64>,
    /// Ours − wanted; for a bound, by how much it is broken.
    pub difference: Option<f64>,
    /// The largest difference allowed, the error of ours included.
    pub tolerance: Option<f64>,
    /// `SUPPORTED`, `REFUTED (different)`, `NOT TESTED`, `INVALID`.
    pub verdict: String,
    /// The bare class for colouring.
    pub class: String,
}

/// How a number was computed, which decides what its error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// In closed form or by a finite computation: rounding.
    Rounding,
    /// On a grid: what the last refinement moved it by.
    Grid,
    /// By random draws: the standard error over them.
    Sampled,
    /// By seeds of a claim: the farther end of its interval.
    Interval,
}

/// What a number is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// A formula.
    ClosedForm,
    /// A value that the study registers.
    Expected,
    /// A theorem's upper bound.
    AtMost,
    /// Nothing: the number is shown.
    Nothing,
}

/// A registered claim with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Identifier within the study.
    pub id: String,
    /// The claim as a sentence.
    pub claim: String,
    /// The sentences of the thesis that it bears on.
    pub about: Vec<String>,
    /// What was measured, in words.
    pub measure: String,
    /// Which way it was expected to lie, and how far.
    pub expect: String,
    /// The value, or its mean over seeds; none if it is not finite.
    pub value: Option<f64>,
    /// Lower end of the 95 % interval over seeds; none without seeds.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Sign-flip p, adjusted by Holm over the study's claims with seeds.
    pub adjusted_p: Option<f64>,
    /// Seeds; one for what is deterministic.
    pub seeds: usize,
    /// The verdict.
    pub verdict: String,
    /// The bare class for colouring.
    pub class: String,
    /// Why nothing was concluded, where nothing was.
    pub reason: Option<String>,
}

impl Finding {
    /// The verdict as it is shown: what has a number and no rule is NOT TESTED by design.
    pub fn words(&self) -> String {
        match (self.class.as_str(), self.value) {
            ("not_tested", Some(_)) => format!("{} (report only)", self.verdict),
            _ => self.verdict.clone(),
        }
    }
}

/// What one table gave, before verdicts.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) meaning: &'static str,
    pub(super) parameters: String,
    /// What the next rows belong to.
    pub(super) group: String,
    pub(super) rows: Vec<Row>,
    /// One per claim, in the order of registration.
    pub(super) found: Vec<Found>,
}

/// A number and what it is held against.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) group: String,
    pub(super) what: String,
    pub(super) number: Number,
    pub(super) against: Against,
    pub(super) wanted: Option<f64>,
    /// The standard error of what is wanted.
    pub(super) wanted_error: f64,
    pub(super) tolerance: f64,
}

/// A number, and how far off it may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) error: f64,
    pub(super) how: How,
}

/// What was measured for a claim.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// In words.
    pub(super) measure: String,
    /// One value, or one per seed.
    pub(super) values: Vec<f64>,
    /// Whether the values are of seeds.
    pub(super) sampled: bool,
}

impl Found {
    pub(super) fn exact(measure: impl Into<String>, value: f64) -> Found {
        Found {
            measure: measure.into(),
            values: vec![value],
            sampled: false,
        }
    }

    pub(super) fn seeds(measure: impl Into<String>, values: Vec<f64>) -> Found {
        Found {
            measure: measure.into(),
            values,
            sampled: true,
        }
    }
}

impl Number {
    /// Off by rounding at most.
    pub(super) fn exact(value: f64) -> Number {
        Number {
            value,
            error: 0.0,
            how: How::Rounding,
        }
    }

    /// Computed on a grid.
    pub(super) fn grid(refined: score_objective::exact::Refined) -> Number {
        Number {
            value: refined.value,
            error: refined.error,
            how: How::Grid,
        }
    }

    /// The mean of values over seeds, with its standard error, which one seed does not have.
    pub(super) fn mean(values: &[f64]) -> Number {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - value).powi(2)).sum();
        Number {
            value,
            error: if values.len() == 1 {
                f64::INFINITY
            } else {
                (squares / (n - 1.0) / n).sqrt()
            },
            how: How::Sampled,
        }
    }
}

impl Number {
    /// The median of values over seeds, with the standard error that it has where they are normal.
    pub(crate) fn median(values: &[f64]) -> Number {
        Number {
            value: median(values),
            error: std::f64::consts::FRAC_PI_2.sqrt() * Number::mean(values).error,
            how: How::Sampled,
        }
    }
}

/// The middle value, or the mean of the two in the middle; NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        0.5 * (sorted[middle - 1] + sorted[middle])
    }
}

impl Measured {
    /// Holds a number against a formula, to `tolerance` in units of the number.
    pub(super) fn closed_form(
        &mut self,
        what: impl Into<String>,
        number: Number,
        wanted: f64,
        tolerance: f64,
    ) {
        self.rows.push(Row {
            group: self.group.clone(),
            what: what.into(),
            number,
            against: Against::ClosedForm,
            wanted: Some(wanted),
            wanted_error: 0.0,
            tolerance,
        });
    }

    /// Holds a number below a bound.
    pub(super) fn at_most(&mut self, what: impl Into<String>, number: Number, bound: f64) {
        self.rows.push(Row {
            group: self.group.clone(),
            what: what.into(),
            number,
            against: Against::AtMost,
            wanted: Some(bound),
            wanted_error: 0.0,
            tolerance: 1e-9 * bound.abs(),
        });
    }

    /// Holds a number against the value that the study expects; without one the number is shown.
    pub(super) fn expected(
        &mut self,
        what: impl Into<String>,
        number: Number,
        expected: Option<Expected>,
        tolerance: Tolerance,
    ) {
        self.rows.push(Row {
            group: self.group.clone(),
            what: what.into(),
            number,
            against: match expected {
                Some(_) => Against::Expected,
                None => Against::Nothing,
            },
            wanted: expected.map(|expected| expected.value),
            wanted_error: expected.map_or(0.0, |expected| expected.error),
            tolerance: expected.map_or(0.0, |expected| {
                expected.half_unit + tolerance.around(expected.value)
            }),
        });
    }
}
