//! What can stop a command: each message names the thing, its place and the remedy.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::bench::gate::Finding;

/// Where a message sends people whose machine the libtorch recipe does not fit.
macro_rules! own_libtorch {
    () => {
        "set LIBTORCH to the folder of a libtorch 2.11.0, or LIBTORCH_USE_PYTORCH=1 \
         with a PyTorch 2.11.0 on the path of python3"
    };
}

/// Why a command stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A file or folder could not be read or written.
    #[error(
        "cannot {action} {}: {source}; check that the path is right and that it is yours to write",
        path.display()
    )]
    File {
        /// The verb: "read", "create", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A program could not be started at all.
    #[error("cannot start `{command}`: {source}; is the program installed and on PATH?")]
    Start {
        /// The whole command line.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },

    /// A program ran and failed; it has said why on its own standard error.
    #[error("`{command}` failed with status {status}; the lines above say why")]
    Failed {
        /// The whole command line, as a shell takes it.
        command: String,
        /// Its exit status; 128 + n for signal n.
        status: u8,
    },

    /// A step of `cargo xtask test` failed.
    #[error("step `{step}` failed: {source}\nto repeat it:  cargo xtask test {step}")]
    Step {
        /// Name of the step.
        step: String,
        /// What went wrong in it.
        #[source]
        source: Box<Error>,
    },

    /// The recipe is for one platform.
    #[error("libtorch is brought on Linux x86-64 only, and this is {os} {arch}; {}", own_libtorch!())]
    Platform {
        /// This machine's operating system.
        os: &'static str,
        /// This machine's processor.
        arch: &'static str,
    },

    /// Wheels are fetched by pip.
    #[error(
        "no Python with pip was found (tried `python3 -m pip` and `python -m pip`), and it fetches libtorch; \
         install it (Debian: apt install python3-pip), or {}",
        own_libtorch!()
    )]
    NoPip,

    /// The index did not give the file.
    #[error(
        "pip could not download {wheel} in {tries} tries; check the network and pip's index \
         (`python3 -m pip config list`), or {}",
        own_libtorch!()
    )]
    Wheel {
        /// File name of the wheel.
        wheel: &'static str,
        /// How often it was asked for.
        tries: usize,
    },

    /// A wheel is not the one that was pinned.
    #[error(
        "{} has sha256 {found}, and {expected} is pinned; the index or a proxy gave another file: \
         check pip's index, or {}",
        path.display(),
        own_libtorch!()
    )]
    WheelHash {
        /// Where the wheel was.
        path: PathBuf,
        /// Digest of what came.
        found: String,
        /// Digest of what was meant.
        expected: &'static str,
    },

    /// A libtorch of another version was named by the environment.
    #[error(
        "{variable} names torch {found} ({place}), and tch 0.24 needs {needed}; unset {variable} to have \
         {needed} brought, or install {needed} there"
    )]
    TorchVersion {
        /// LIBTORCH or LIBTORCH_USE_PYTORCH.
        variable: &'static str,
        /// Version that was read.
        found: String,
        /// Version that tch is written for.
        needed: &'static str,
        /// File or interpreter that said so.
        place: String,
    },

    /// The environment names a libtorch that is not there.
    #[error(
        "{variable} is set, and {place} holds no torch; correct it, or unset it to have libtorch brought"
    )]
    NoTorch {
        /// LIBTORCH or LIBTORCH_USE_PYTORCH.
        variable: &'static str,
        /// Folder or interpreter that was asked.
        place: String,
    },

    /// A data file could not be fetched.
    #[error("cannot download {url}: {cause} (tries: {tries}); check the network, or {remedy}")]
    Download {
        /// Address of the file.
        url: String,
        /// What went wrong in the last try.
        cause: String,
        /// How often it was asked for.
        tries: usize,
        /// Another way to have the data.
        remedy: &'static str,
    },

    /// A data file came whole, and is not the one that was pinned.
    #[error(
        "the content of {url} has sha256 {found} after decompression, and {expected} is pinned; \
         that address holds another file: {remedy}"
    )]
    Content {
        /// Address of the file.
        url: String,
        /// Digest of what came.
        found: String,
        /// Digest of what was meant.
        expected: String,
        /// Another way to have the data.
        remedy: &'static str,
    },

    /// The tree breaks rules of the house.
    #[error("tidy: {} finding(s)\n  {}", findings.len(), findings.join("\n  "))]
    Untidy {
        /// One line each: place, rule, remedy.
        findings: Vec<String>,
    },

    /// A crate reaches another that it must not know.
    #[error("`{command}` lists `{reached}`: {rule}; find the edge with `cargo tree -i {reached}`")]
    Reaches {
        /// The command that listed it.
        command: String,
        /// The crate that must not be there.
        reached: String,
        /// The invariant.
        rule: &'static str,
    },

    /// The test cluster is not what it should be.
    #[error("{what}: {why}")]
    Cluster {
        /// What was tried.
        what: String,
        /// Why it failed, or what was seen.
        why: String,
    },

    /// The small ablation ended well and left no report.
    #[error("the smoke study wrote no report.md under {}; see the lines of `ablate` above", path.display())]
    NoReport {
        /// The folder it was told to write to.
        path: PathBuf,
    },

    /// A folder that should hold benchmark results holds none.
    #[error(
        "no benchmark has two sides under {}: neither a blocks.json nor criterion's baselines `base-00` and `head-00`; \
         `cargo xtask bench-ab` makes them",
        path.display()
    )]
    NoResults {
        /// The folder.
        path: PathBuf,
    },

    /// A file of benchmark results is not what it should be.
    #[error("{} holds no benchmark results: {rule}; measure again with `cargo xtask bench-ab`", path.display())]
    Results {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        rule: String,
    },

    /// A name that git does not know.
    #[error("git knows no commit `{name}`; fetch it, or name another (a shallow clone has few)")]
    Revision {
        /// The name.
        name: String,
    },

    /// Changes that no commit has would not be measured.
    #[error(
        "`{first}`{} changed since the last commit, and only commits are measured; commit or stash",
        if *more == 0 { String::new() } else { format!(" and {more} more files") }
    )]
    Uncommitted {
        /// The first file.
        first: String,
        /// How many more there are.
        more: usize,
    },

    /// A bench that one side lacks cannot be compared.
    #[error(
        "no bench `{name}` in {side}; it has {}; benches that need libtorch need --torch",
        listed(known)
    )]
    NoBench {
        /// Its name.
        name: String,
        /// Where it is missing.
        side: String,
        /// What there is.
        known: Vec<String>,
    },

    /// A filter that leaves nothing.
    #[error(
        "no benchmark that both revisions have contains `{filter}`; `cargo bench -- --list` names them"
    )]
    NoBenchmark {
        /// The filter.
        filter: String,
    },

    /// One side of a measurement stopped.
    #[error("{name} stopped without an answer; {} says why", log.display())]
    Partner {
        /// Row, side and how it was run.
        name: String,
        /// What it wrote to its standard error.
        log: PathBuf,
    },

    /// A Python was named that lacks what is compared.
    #[error(
        "{} cannot import torch, diffusers, numpy and safetensors; install {packages}, \
         or unset XTASK_PEERS_PYTHON to have them installed below cargo's target directory",
        python.display()
    )]
    NoPeers {
        /// The interpreter.
        python: PathBuf,
        /// What pip is to install.
        packages: String,
    },

    /// A fault that there is not.
    #[error(
        "no fault is called `{name}`, or has that in its name; there are {}",
        listed(known)
    )]
    NoFault {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },

    /// A row that there is not.
    #[error("no row `{row}`; there are {}", listed(known))]
    NoRow {
        /// What was asked for.
        row: String,
        /// What there is.
        known: Vec<String>,
    },

    /// A page that takes a table must say where.
    #[error("{} lacks the lines {marks}, between which the table stands", path.display())]
    NoMarks {
        /// The page.
        path: PathBuf,
        /// The lines.
        marks: String,
    },

    /// The study that offers bfloat16 concludes something else.
    #[error(
        "bfloat16 moves what the study `precision` concludes: {}; see its report.md",
        moved.join("; ")
    )]
    Moved {
        /// One line per contrast.
        moved: Vec<String>,
    },

    /// The declared gate found something.
    #[error(
        "{} finding(s) at gate {gate}: {}{}",
        findings.len(),
        findings.iter().take(MOST_FINDINGS).map(Finding::to_string).collect::<Vec<_>>().join("; "),
        if findings.len() <= MOST_FINDINGS { "" } else { "; …" }
    )]
    Gate {
        /// Its name.
        gate: String,
        /// One or more.
        findings: Vec<Finding>,
    },

    /// The declared gate has nothing to look at, which is no reason to pass.
    #[error("gate {gate} has nothing to judge: {lacks}; measure it, or declare another gate")]
    Blind {
        /// Its name.
        gate: String,
        /// What is not there.
        lacks: String,
    },
}

/// So many findings are told in a line; reports have more.
const MOST_FINDINGS: usize = 20;

impl Error {
    /// Exit status of xtask: that of the child that failed, 1 for a gate that found something,
    /// and 2 for everything else.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Failed { status, .. } => *status,
            Self::Step { source, .. } => source.status(),
            Self::Gate { .. } | Self::Moved { .. } => 1,
            _ => 2,
        }
    }
}

/// Names in a row, or that there are none.
fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Names a path in an error of the file system: `.map_err(at("read", path))`.
pub(crate) fn at(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
