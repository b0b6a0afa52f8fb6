//! Reference results of other toolkits, run through ours: `ablate conform PATH…`.
//!
//! A file holds sampler traces: exact models, recorded noise, and what the other toolkit made of them.
//! A folder with a `config.json` and weights is a network of diffusers with its answers; any other folder is searched.

mod case;
mod model;
#[cfg(feature = "tch")]
mod network;
pub(crate) mod options;
mod trace;

use std::{
    fs,
    path::{Path, PathBuf},
};

use case::{Case, File};
use options::without_infinities;

/// One case, tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The name in the file, or that of a network's folder.
    pub name: String,
    /// How far off it was.
    pub outcome: Outcome,
}

/// How a case went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Everything expected was compared.
    Compared {
        /// The largest |ours − expected|/(1 + |expected|), over every number; infinite for a number that is not one.
        error: f64,
        /// The largest error that conforms.
        tolerance: f64,
        /// What the largest error is the error of.
        place: String,
    },
    /// The case could not be run.
    Refused(String),
}

impl Tried {
    /// Whether the case was run and is within its tolerance.
    pub fn passed(&self) -> bool {
        match &self.outcome {
            Outcome::Compared {
                error, tolerance, ..
            } => error <= tolerance,
            Outcome::Refused(_) => false,
        }
    }

    /// One line for a terminal.
    pub fn line(&self) -> String {
        let verdict = if self.passed() { "ok    " } else { "FAILED" };
        match &self.outcome {
            Outcome::Compared { error, .. } if self.passed() => {
                format!("{verdict}  {error:7.1e}  {}", self.name)
            }
            Outcome::Compared {
                error,
                tolerance,
                place,
            } => format!(
                "{verdict}  {error:7.1e}  {}: {place} is off, tolerance {tolerance:.0e}",
                self.name
            ),
            Outcome::Refused(message) => format!("{verdict}           {}: {message}", self.name),
        }
    }
}

/// Tries every case under these paths, and hands each to `report` when it is done.
pub fn run(paths: &[PathBuf], report: &mut dyn FnMut(Tried)) {
    for path in paths {
        visit(path, true, report);
    }
}

fn visit(path: &Path, named: bool, report: &mut dyn FnMut(Tried)) {
    let mut refuse = |message: String| {
        report(Tried {
            name: path.display().to_string(),
            outcome: Outcome::Refused(message),
        });
    };
    if path.is_dir() {
        if path.join("config.json").is_file() {
            return network(path, report);
        }
        let mut inside: Vec<PathBuf> = match fs::read_dir(path) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) => return refuse(format!("cannot be listed: {error}")),
        };
        inside.sort();
        // A link to a folder may lead around in a circle; one that is named is followed.
        inside.retain(|path| !(path.is_symlink() && path.is_dir()));
        for path in inside {
            visit(&path, false, report);
        }
        return;
    }
    // Beside the cases a folder may hold other files; a file that was named has to be one.
    if !named && path.extension().is_none_or(|extension| extension != "json") {
        return;
    }
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return refuse(format!("cannot be read: {error}")),
    };
    match serde_json::from_str::<File>(&without_infinities(&text)) {
        Ok(file) if file.format == "conformance/1" => {
            for case in file.cases {
                report(attempt(case));
            }
        }
        Ok(file) => refuse(format!(
            "format must be \"conformance/1\", got \"{}\"",
            file.format
        )),
        Err(error) => refuse(format!("is not a conformance file: {error}")),
    }
}

fn attempt(case: serde_json::Value) -> Tried {
    let name = case["name"].as_str().unwrap_or("(a case without a name)");
    let name = name.to_string();
    let outcome = match serde_json::from_value::<Case>(case) {
        Ok(case) => trace::compare(&case).unwrap_or_else(Outcome::Refused),
        Err(error) => Outcome::Refused(error.to_string()),
    };
    Tried { name, outcome }
}

#[cfg(feature = "tch")]
fn network(folder: &Path, report: &mut dyn FnMut(Tried)) {
    report(Tried {
        name: folder.display().to_string(),
        outcome: network::compare(folder).unwrap_or_else(Outcome::Refused),
    });
}

#[cfg(not(feature = "tch"))]
fn network(folder: &Path, report: &mut dyn FnMut(Tried)) {
    report(Tried {
        name: folder.display().to_string(),
        outcome: Outcome::Refused(
            "a network needs the program with torch; `cargo xtask conform` builds it".to_string(),
        ),
    });
}

/// Compares numbers one by one and remembers the worst.
#[derive(Debug, Default)]
struct Comparison {
    error: f64,
    place: String,
}

impl Comparison {
    /// Compares two lists of numbers.
    ///
    /// # Errors
    /// If their lengths differ.
    fn numbers(
        &mut self,
        place: &str,
        ours: impl IntoIterator<Item = f64>,
        expected: impl IntoIterator<Item = f64>,
    ) -> Result<(), String> {
        let (ours, expected): (Vec<f64>, Vec<f64>) =
            (ours.into_iter().collect(), expected.into_iter().collect());
        if ours.len() != expected.len() {
            return Err(format!(
                "{place}: {} numbers where {} are expected",
                ours.len(),
                expected.len()
            ));
        }
        for (index, (ours, expected)) in ours.into_iter().zip(expected).enumerate() {
            let error = (ours - expected).abs() / (1.0 + expected.abs());
            // What is not a number is as wrong as can be; two equal infinities are not.
            let error = match ours == expected {
                true => 0.0,
                false if error.is_nan() => f64::INFINITY,
                false => error,
            };
            if self.error < error || self.place.is_empty() {
                self.error = error;
                self.place = format!("{place}[{index}] ({ours} for {expected})");
            }
        }
        Ok(())
    }

    fn within(self, tolerance: f64) -> Outcome {
        Outcome::Compared {
            error: self.error,
            tolerance,
            place: self.place,
        }
    }
}

#[cfg(test)]
mod tests;
