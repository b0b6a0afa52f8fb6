//! `blocks.json`: what was measured, block by block, before anybody concludes anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bench::criterion;
use crate::error::{Error, at};

/// Name of the file in a folder of results.
pub(crate) const FILE: &str = "blocks.json";

/// The one version of the format.
const SCHEMA: u32 = 1;

/// Two revisions, measured in turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blocks {
    /// Version of this format.
    pub(crate) schema: u32,
    /// What was measured against what, where and how.
    pub(crate) setting: Setting,
    /// One entry per benchmark, in the order of their names.
    pub(crate) benchmarks: Vec<Benchmark>,
}

/// What surrounds the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setting {
    /// The revision that is the measure.
    pub(crate) base: String,
    /// The revision that is judged.
    pub(crate) head: String,
    /// The machine in words.
    pub(crate) machine: String,
    /// The compiler and what it was told.
    pub(crate) build: String,
    /// Decides which side of a block runs first; `null` for what was not run by us.
    pub(crate) seed: Option<u64>,
    /// How instructions were counted, or why they were not.
    pub(crate) counting: String,
}

/// One benchmark on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Benchmark {
    /// Its name, as it calls itself.
    pub(crate) name: String,
    /// What it measures; smaller is better.
    pub(crate) unit: String,
    /// One pair per block: base against head.
    pub(crate) pairs: Vec<Pair>,
    /// One pair per block of base against itself.
    pub(crate) same: Vec<Pair>,
    /// Instructions of one run, where they were counted.
    pub(crate) instructions: Option<Instructions>,
}

/// Both runs of one block: they share the machine's mood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    /// Of the base; in the unit of the benchmark.
    pub(crate) base: f64,
    /// Of the head, or of the base a second time.
    pub(crate) head: f64,
}

impl Pair {
    /// ln(head / base): positive where head is slower, and the same distance for twice as slow and twice as fast.
    pub(crate) fn log_ratio(self) -> f64 {
        (self.head / self.base).ln()
    }
}

/// Counted instructions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Instructions {
    /// Of the base.
    pub(crate) base: f64,
    /// Of the base a second time: a count that does not repeat is not judged.
    pub(crate) again: f64,
    /// Of the head.
    pub(crate) head: f64,
}

impl Blocks {
    /// Benchmarks in the order of their names.
    pub(crate) fn new(setting: Setting, mut benchmarks: Vec<Benchmark>) -> Self {
        benchmarks.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            schema: SCHEMA,
            setting,
            benchmarks,
        }
    }

    /// The results in a folder: our `blocks.json` where there is one, else what criterion kept as baselines.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(FILE);
        let blocks = if file.is_file() {
            let text = fs::read_to_string(&file).map_err(at("read", &file))?;
            serde_json::from_str(&text).map_err(|error| Error::Results {
                path: file.clone(),
                rule: error.to_string(),
            })?
        } else {
            let benchmarks = criterion::read(folder)?;
            let unknown = || "not recorded".to_owned();
            let setting = Setting {
                base: "baselines base".to_owned(),
                head: "baselines head".to_owned(),
                machine: unknown(),
                build: unknown(),
                seed: None,
                counting: "instructions were not counted: these are criterion's files".to_owned(),
            };
            Self::new(setting, benchmarks)
        };
        blocks.checked(folder)
    }

    /// Writes `blocks.json`.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let file = folder.join(FILE);
        let mut text = serde_json::to_string_pretty(self).map_err(|error| Error::Results {
            path: file.clone(),
            rule: error.to_string(),
        })?;
        text.push('\n');
        fs::write(&file, text).map_err(at("write", &file))
    }

    fn checked(self, folder: &Path) -> Result<Self, Error> {
        let broken = |rule: String| Error::Results {
            path: folder.to_path_buf(),
            rule,
        };
        if self.schema != SCHEMA {
            let rule = format!("schema is {}, and {SCHEMA} is read", self.schema);
            return Err(broken(rule));
        }
        if self.benchmarks.is_empty() {
            return Err(Error::NoResults {
                path: folder.to_path_buf(),
            });
        }
        let mut names = BTreeSet::new();
        for benchmark in &self.benchmarks {
            let name = &benchmark.name;
            if !names.insert(name) {
                return Err(broken(format!("benchmark `{name}` stands there twice")));
            }
            let pairs = benchmark.pairs.iter().chain(&benchmark.same);
            let counts = benchmark.instructions.iter();
            let values = (pairs.flat_map(|pair| [pair.base, pair.head]))
                .chain(counts.flat_map(|count| [count.base, count.again, count.head]));
            for value in values {
                if !(value.is_finite() && 0.0 < value) {
                    let rule = format!("benchmark `{name}` has the value {value}, not above 0");
                    return Err(broken(rule));
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::judge::fixture::{blocks, steady};

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let written = blocks(vec![steady("b", 0.1), steady("a", 0.0)]);
        written.write(folder.path()).expect("it is ours");
        let read = Blocks::read(folder.path()).expect("it was written");
        assert_eq!(read, written);
        assert_eq!(read.benchmarks[0].name, "a");
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let refused = |blocks: &Blocks| {
            blocks.write(folder.path()).expect("it is ours");
            let error = Blocks::read(folder.path()).expect_err("it breaks a rule");
            error.to_string()
        };
        let mut zero = blocks(vec![steady("a", 0.0)]);
        zero.benchmarks[0].pairs[3].head = 0.0;
        assert!(refused(&zero).contains("`a`"), "{}", refused(&zero));
        let twice = blocks(vec![steady("a", 0.0), steady("a", 0.0)]);
        assert!(refused(&twice).contains("twice"));
        let mut other = blocks(vec![steady("a", 0.0)]);
        other.schema = 2;
        assert!(refused(&other).contains("schema is 2"));
        assert!(refused(&blocks(vec![])).contains("bench-ab"));
    }
}
