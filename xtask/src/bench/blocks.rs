//! `blocks.json`: what was measured, block by block, before anybody concludes anything.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bench::{criterion, words};
use crate::error::{Error, at};

/// Name of the file in a folder of results.
pub(crate) const FILE: &str = "blocks.json";

/// A larger file is none of ours: a hundred benchmarks in a hundred blocks have one of a tenth.
const LARGEST: u64 = 8 << 20;

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
    /// What has no entry; old files do not say.
    #[serde(default)]
    pub(crate) left_out: LeftOut,
}

/// What was not measured on both sides, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeftOut {
    /// Benchmarks that the base alone has.
    pub(crate) base_only: Vec<String>,
    /// Benchmarks that the head alone has.
    pub(crate) head_only: Vec<String>,
    /// Benchmarks that ran on both sides, of which criterion kept no pair.
    pub(crate) no_result: Vec<String>,
    /// Benches, `package/bench`, that need libtorch, which was not asked for.
    pub(crate) need_libtorch: Vec<String>,
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
    /// The widest vector registers of the processor that our code has loops for; old files do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) registers: Option<String>,
    /// Decides which side of a block runs first; `null` for what was not run by us.
    pub(crate) seed: Option<u64>,
    /// How instructions were counted, or why they were not.
    pub(crate) counting: String,
}

impl Setting {
    /// What it says, under the names that reports give it.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("base", Some(&self.base)),
            ("head", Some(&self.head)),
            ("machine", Some(&self.machine)),
            ("vector registers", self.registers.as_ref()),
            ("build", Some(&self.build)),
            ("instructions", Some(&self.counting)),
        ];
        all.into_iter()
            .filter_map(|(what, how)| Some((what, how?.as_str())))
    }
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
    /// Why they were not, where it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uncounted: Option<Uncounted>,
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

/// Why a benchmark has no count of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Uncounted {
    /// The base could not be counted.
    Base(Lost),
    /// The base could be counted twice, and the head could not.
    Head(Lost),
    /// All counts are lost in what criterion does around a benchmark.
    Small,
}

/// How a count is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lost {
    /// The program failed, or what counts it did.
    Failed,
    /// It was given up.
    TooLong,
}

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Failed => "failed",
            Self::TooLong => "took too long",
        })
    }
}

impl Blocks {
    /// Benchmarks in the order of their names.
    pub(crate) fn new(setting: Setting, mut benchmarks: Vec<Benchmark>) -> Self {
        benchmarks.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            schema: SCHEMA,
            setting,
            benchmarks,
            left_out: LeftOut::default(),
        }
    }

    /// The results in a folder: our `blocks.json` where there is one, else what criterion kept as baselines.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(FILE);
        let blocks = if file.is_file() {
            let size = fs::metadata(&file).map_err(at("read", &file))?.len();
            if LARGEST < size {
                return Err(Error::Results {
                    path: file,
                    rule: format!("it has {size} bytes, and at most {LARGEST} are read"),
                });
            }
            let text = fs::read_to_string(&file).map_err(at("read", &file))?;
            serde_json::from_str(&text).map_err(|error| Error::Results {
                path: file.clone(),
                rule: words::line(&error.to_string(), 200),
            })?
        } else {
            let benchmarks = criterion::read(folder)?;
            let unknown = || "not recorded".to_owned();
            let setting = Setting {
                base: "baselines base".to_owned(),
                head: "baselines head".to_owned(),
                machine: unknown(),
                build: unknown(),
                registers: None,
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

    /// What is left out of the comparison or of its counts, in words, with the names.
    pub(crate) fn told(&self) -> Vec<(&'static str, Vec<String>)> {
        let uncounted = |which: &dyn Fn(Uncounted) -> Option<String>| {
            let of = |benchmark: &Benchmark| {
                let why = which(benchmark.uncounted?)?;
                Some(format!("{}{why}", benchmark.name))
            };
            self.benchmarks.iter().filter_map(of).collect::<Vec<_>>()
        };
        let because = |why: Lost| Some(format!(" ({why})"));
        let of = &self.left_out;
        let mut all = vec![
            (
                "Not counted in the head",
                uncounted(&|why| match why {
                    Uncounted::Head(why) => because(why),
                    _ => None,
                }),
            ),
            (
                "Not counted in the base",
                uncounted(&|why| match why {
                    Uncounted::Base(why) => because(why),
                    _ => None,
                }),
            ),
            (
                "Not counted, too few instructions",
                uncounted(&|why| (why == Uncounted::Small).then(String::new)),
            ),
            ("Only in base", of.base_only.clone()),
            ("Only in head", of.head_only.clone()),
            ("Ran and left no result", of.no_result.clone()),
            ("Left out, need libtorch", of.need_libtorch.clone()),
        ];
        all.retain(|(_, names)| !names.is_empty());
        all
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
                return Err(broken(format!(
                    "benchmark `{}` stands there twice",
                    words::line(name, 80)
                )));
            }
            let pairs = benchmark.pairs.iter().chain(&benchmark.same);
            let counts = benchmark.instructions.iter();
            let values = (pairs.flat_map(|pair| [pair.base, pair.head]))
                .chain(counts.flat_map(|count| [count.base, count.again, count.head]));
            for value in values {
                if !(value.is_finite() && 0.0 < value) {
                    let name = words::line(name, 80);
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
        let mut written = blocks(vec![steady("b", 0.1), steady("a", 0.0)]);
        written.benchmarks[0].uncounted = Some(Uncounted::Head(Lost::TooLong));
        written.left_out.base_only.push("c".to_owned());
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
        let huge = "x".repeat(usize::try_from(LARGEST).expect("it fits"));
        let message = refused(&blocks(vec![steady(&huge, 0.0)]));
        assert!(message.contains("bytes"), "{}", &message[..200]);
    }
}
