//! criterion's own files, of every version that people still run.
//!
//! criterion calls these files private, so little is asked of them: the benchmark's name, and one estimate of its time.
//! `<place>/benchmark.json` names the benchmark (the place itself is shortened and rewritten), `<place>/estimates.json`
//! beside it has the estimates. Where a run was told `--save-baseline NAME`, the place ends in that name; ours are
//! `base-07` and `head-07` for a block, and `left-07` and `right-07` for a block of the base against itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bench::blocks::{Benchmark, Pair};
use crate::error::{Error, at};

/// Which side of which kind of block a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arm {
    /// The base of a block.
    Base,
    /// The head of a block.
    Head,
    /// The base of a block of the base against itself.
    Left,
    /// The base once more.
    Right,
}

impl Arm {
    const ALL: [Self; 4] = [Self::Base, Self::Head, Self::Left, Self::Right];

    fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Head => "head",
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    /// What criterion is told to keep the run as.
    pub(crate) fn baseline(self, block: usize) -> String {
        format!("{}-{block:02}", self.word())
    }

    /// The arm and the block of a baseline; one without a number is block 0.
    fn of(baseline: &str) -> Option<(Self, usize)> {
        let (word, block) = match baseline.rsplit_once('-') {
            Some((word, number)) => (word, number.parse().ok()?),
            None => (baseline, 0),
        };
        let arm = Self::ALL.into_iter().find(|arm| arm.word() == word)?;
        Some((arm, block))
    }
}

/// `benchmark.json`; what else stands there has changed over the versions.
#[derive(Debug, Deserialize)]
struct Named {
    full_id: String,
}

/// `estimates.json`; old versions wrote the keys with capitals. Nanoseconds per iteration.
#[derive(Debug, Deserialize)]
struct Estimates {
    #[serde(alias = "Mean")]
    mean: Estimate,
    /// `null` where each sample is one long iteration, and absent where a version had none.
    #[serde(default, alias = "Slope")]
    slope: Option<Estimate>,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// One run of one benchmark.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timed {
    /// The name that it gives itself.
    pub(crate) name: String,
    /// The slope of time over iterations where criterion fitted one, else the mean: nanoseconds per iteration.
    pub(crate) nanoseconds: f64,
}

/// Whether it is what a benchmark's name says: a floor of others, no work of ours.
pub(crate) fn is_floor(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with("floor"))
}

/// The run that criterion kept in this folder.
pub(crate) fn timed(folder: &Path) -> Result<Timed, Error> {
    let named: Named = parsed(&folder.join("benchmark.json"))?;
    let estimates: Estimates = parsed(&folder.join("estimates.json"))?;
    let typical = estimates.slope.unwrap_or(estimates.mean);
    Ok(Timed {
        name: named.full_id,
        nanoseconds: typical.point_estimate,
    })
}

/// The folders below this one that hold a run, in order.
pub(crate) fn runs(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        if folder.join("benchmark.json").is_file() && folder.join("estimates.json").is_file() {
            found.push(folder);
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
            let path = entry.map_err(at("list", &folder))?.path();
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Every benchmark with its blocks. A run without its partner is left out: half a pair compares nothing.
pub(crate) fn read(folder: &Path) -> Result<Vec<Benchmark>, Error> {
    let mut times: BTreeMap<String, BTreeMap<(Arm, usize), f64>> = BTreeMap::new();
    for run in runs(folder)? {
        let baseline = run.file_name().and_then(|name| Arm::of(name.to_str()?));
        if let Some(place) = baseline {
            let timed = timed(&run)?;
            let of_name = times.entry(timed.name).or_default();
            of_name.insert(place, timed.nanoseconds);
        }
    }
    let paired = |times: &BTreeMap<(Arm, usize), f64>, one: Arm, other: Arm| {
        let mut pairs = Vec::new();
        for (&(arm, block), &base) in times {
            if let (true, Some(&head)) = (arm == one, times.get(&(other, block))) {
                pairs.push(Pair { base, head });
            }
        }
        pairs
    };
    let benchmarks = times.into_iter().map(|(name, times)| Benchmark {
        name,
        unit: "ns/iter".to_owned(),
        pairs: paired(&times, Arm::Base, Arm::Head),
        same: paired(&times, Arm::Left, Arm::Right),
        instructions: None,
        uncounted: None,
    });
    Ok(benchmarks
        .filter(|benchmark| !benchmark.pairs.is_empty())
        .collect())
}

fn parsed<T: DeserializeOwned>(file: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(file).map_err(at("read", file))?;
    serde_json::from_str(&text).map_err(|error| Error::Results {
        path: file.to_path_buf(),
        rule: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by criterion itself, see `tests/criterion/README.md`.
    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/criterion")
    }

    #[test]
    fn files_of_every_version_are_read() {
        let mut versions = 0;
        for entry in fs::read_dir(fixtures()).expect("they are committed") {
            let version = entry.expect("it is readable").path();
            if !version.is_dir() {
                continue;
            }
            versions += 1;
            let benchmarks = read(&version).expect("criterion wrote it");
            let names: Vec<&str> = benchmarks.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(
                names,
                ["a group: of two/sum/of squares/64", "alone"],
                "{version:?}"
            );
            for benchmark in &benchmarks {
                assert_eq!(benchmark.pairs.len(), 2, "{version:?}");
                for pair in &benchmark.pairs {
                    // A handful of instructions: no nanosecond is a hundred, and none is a tenth.
                    let sane = 0.1..1000.0;
                    assert!(sane.contains(&pair.base) && sane.contains(&pair.head));
                }
            }
        }
        assert_eq!(versions, 6);
    }

    #[test]
    fn the_slope_is_preferred_and_may_be_missing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file");
        };
        write("benchmark.json", r#"{"full_id": "a/b", "more": []}"#);
        for (estimates, expected) in [
            (
                r#"{"mean": {"point_estimate": 2.0}, "slope": {"point_estimate": 3.0}}"#,
                3.0,
            ),
            (r#"{"mean": {"point_estimate": 2.0}, "slope": null}"#, 2.0),
            (r#"{"Mean": {"point_estimate": 4.0}}"#, 4.0),
        ] {
            write("estimates.json", estimates);
            let timed = timed(folder.path()).expect("it is one");
            assert_eq!(
                (timed.name.as_str(), timed.nanoseconds),
                ("a/b", expected),
                "{estimates}"
            );
        }
        write("estimates.json", "{}");
        let message = timed(folder.path()).expect_err("no mean").to_string();
        assert!(
            message.contains("estimates.json") && message.contains("mean"),
            "{message}"
        );
    }

    #[test]
    fn a_floor_says_so_in_some_part_of_its_name() {
        assert!(is_floor("tables/floor: a sum/1000") && is_floor("a/floor"));
        assert!(!is_floor("a floor/of ours"));
    }

    #[test]
    fn baselines_name_arm_and_block() {
        for arm in Arm::ALL {
            assert_eq!(Arm::of(&arm.baseline(7)), Some((arm, 7)));
        }
        assert_eq!(Arm::of("base"), Some((Arm::Base, 0)));
        for other in ["new", "change", "base-x", "mainline-3", "report"] {
            assert_eq!(Arm::of(other), None, "{other}");
        }
    }
}
