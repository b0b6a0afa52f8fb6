//! What can be wrong with a study, its files or its run.

use std::path::PathBuf;

use thiserror::Error as ThisError;

/// Everything that can go wrong in the laboratory.
///
/// A message names the thing, the rule that it broke, the value and the remedy. Divergence of a cell is
/// not here: it is an [`crate::record::Outcome`].
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// No study of that name, and no such file or folder.
    #[error(
        "there is no study `{given}`: neither a name ({known}) nor a TOML file nor a folder of TOML files{}",
        hint(.nearest)
    )]
    UnknownStudy {
        /// What was asked for.
        given: String,
        /// Names that exist.
        known: String,
        /// The nearest name, if one is near.
        nearest: Option<String>,
    },
    /// A folder without studies.
    #[error("the folder {} holds no study: put at least one .toml file into it", .path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// TOML that does not parse, or has a key that nothing reads.
    #[error("{place}: {message}{}", hint(.nearest))]
    StudySyntax {
        /// File, line and column.
        place: String,
        /// The parser's message.
        message: String,
        /// The nearest valid key, if one is near.
        nearest: Option<String>,
    },
    /// A `set` path that is not part of the configuration.
    #[error("{place}: `{path}` is not a setting of [config]{}", hint(.nearest))]
    UnknownSetting {
        /// Study and section.
        place: String,
        /// The dotted path.
        path: String,
        /// The nearest valid path, if one is near.
        nearest: Option<String>,
    },
    /// A probe that is not in the catalogue.
    #[error("{place}: {name} = {given:?}, but no probe has that name{}", hint(.nearest))]
    UnknownProbe {
        /// Study (and contrast).
        place: String,
        /// The key.
        name: String,
        /// What was asked for.
        given: String,
        /// The nearest probe, if one is near.
        nearest: Option<String>,
    },
    /// A value that is impossible.
    #[error("{place}: {name} = {value}, but {rule}")]
    Impossible {
        /// Study (and arm).
        place: String,
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// The rule it breaks, with the remedy.
        rule: String,
    },
    /// Two studies of one folder have one name.
    #[error("two studies of {folder} are named `{name}`: give one of them another name")]
    DuplicateName {
        /// The folder.
        folder: String,
        /// The name.
        name: String,
    },
    /// A directory that holds no run.
    #[error("{} holds no run (no lock.json there): give the folder that `ablate` wrote, e.g. runs/default", .path.display())]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
    /// A JSON file of ours that does not read.
    #[error("{} is damaged ({message}): remove it and run the study again, finished cells are kept", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// The trained network of a cell that is not as it was kept.
    #[error("{} is damaged (its bytes are not those of its digest): remove result.json beside it and run the study again, which trains this cell anew", .path.display())]
    DamagedWeights {
        /// The file.
        path: PathBuf,
    },
    /// A model, a scheduler or a file of noise that does not serve.
    #[error("{} cannot be used: {reason}", .path.display())]
    Unusable {
        /// The folder or the file.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// A scheduler and its options.
    #[error(transparent)]
    Sampler(#[from] samplers::Error),
    /// Files.
    #[error(transparent)]
    Files(#[from] crate::files::Error),
    /// Data sets.
    #[error(transparent)]
    Data(#[from] crate::data::Error),
    /// A child process could not be started or a worker failed for a reason of its own.
    #[error("{what}: {source}")]
    Process {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A worker reported an error that stops the run.
    #[error("{message}")]
    Worker {
        /// Its one line.
        message: String,
        /// Its exit status.
        status: u8,
    },
    /// Workers die before they take a cell, so that no cell can be blamed.
    #[error("workers end ({status}) before they take a cell: {words}")]
    Stillborn {
        /// How the last one ended.
        status: String,
        /// Its last words.
        words: String,
    },
    /// A study that is not the one that the directory was frozen with.
    #[error(
        "{} was frozen with another study, and {finished} of its cells are finished ({}): choose a new place with --out, or put the change on record with --amend REASON", .path.display(), some(.changed)
    )]
    Frozen {
        /// The directory.
        path: PathBuf,
        /// What differs.
        changed: Vec<String>,
        /// Cells with a result.
        finished: usize,
    },
    /// No cell of that name, or several.
    #[error("{found} cells of {} begin with `{given}`: `ablate status {} --cells` lists them", .path.display(), .path.display())]
    WhichCell {
        /// The directory.
        path: PathBuf,
        /// What was asked for.
        given: String,
        /// How many there are.
        found: usize,
    },
    /// Another coordinator works on the directory.
    #[error("{} is being worked on by {process}: wait for it, or choose another place with --out", .path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// The other process, in words.
        process: String,
    },
    /// Cells on which workers died, each time they were tried.
    #[error("{failed} of {total} cells have no result: `ablate status {} --cells` says why, running again tries them again", .path.display())]
    Unfinished {
        /// Cells without a result.
        failed: usize,
        /// Cells planned.
        total: usize,
        /// The directory.
        path: PathBuf,
    },
    /// The program was built without torch.
    #[error(
        "this build of `ablate` has no libtorch, which networks need: run it as `cargo xtask …`, or build with --features tch"
    )]
    WithoutTorch,
    /// The device is not there.
    #[error(
        "device `{device}` is not available: libtorch sees {found}; use --device cpu, or point LIBTORCH_USE_PYTORCH=1 at a full PyTorch 2.11"
    )]
    Device {
        /// What was asked for.
        device: String,
        /// What there is.
        found: String,
    },
    /// The batch system refuses, or does not answer.
    #[error("`{command}` failed: {message}")]
    Queue {
        /// What was asked.
        command: String,
        /// What it said.
        message: String,
    },
    /// A run that was not handed to a batch system.
    #[error("{} has no rounds to gather: submit it with `ablate STUDY --engine slurm`", .path.display())]
    NoRounds {
        /// The directory.
        path: PathBuf,
    },
    /// Nobody watches any more; the jobs go on.
    #[error("{done} of {total} cells are done, and the jobs stay in the queue: `ablate status {}` says how far they are, `scancel` ends them", .path.display())]
    Left {
        /// Cells with a result.
        done: usize,
        /// Cells planned.
        total: usize,
        /// The directory.
        path: PathBuf,
    },
    /// The run was interrupted.
    #[error(
        "interrupted: {done} of {total} cells are done and kept; run the same command again to go on"
    )]
    Interrupted {
        /// Cells with a result.
        done: usize,
        /// Cells planned.
        total: usize,
    },
}

impl Error {
    /// Exit status of the program: 130 after an interruption, 74 for a full disk, 1 where cells failed and the
    /// rest is reported, 2 otherwise.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Interrupted { .. } | Error::Left { .. } => 130,
            Error::Worker { status, .. } => *status,
            Error::Unfinished { .. } => 1,
            Error::Files(error) if error.is_disk_full() => 74,
            _ => 2,
        }
    }
}

/// The first of many.
fn some(changes: &[String]) -> String {
    const SHOWN: usize = 2;
    let mut words = changes[..changes.len().min(SHOWN)].join("; ");
    if SHOWN < changes.len() {
        words += &format!("; and {} more", changes.len() - SHOWN);
    }
    words
}

fn hint(name: &Option<String>) -> String {
    name.as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// The candidate most like `given`, if any is like it at all.
pub(crate) fn nearest_name<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    candidates
        .into_iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(likeness, _)| 0.8 < *likeness)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}
