//! What unit tests are about: one small study, and plans made of it.

use std::path::Path;

use crate::{
    error::Error,
    plan::{Cell, Overrides, Plan},
    record::{Evaluations, Outcome, Record},
    study,
};

/// A complete study of the plane; the golden cell ids are those of this text.
pub(crate) const STUDY: &str = r#"
schema = 1
name = "plane"
title = "A plane"
question = "Does it work?"
seeds = 2
primary = "log_energy_distance"

[config]
nuisance = 0
data = { kind = "song_ermon" }
network = { kind = "mlp", width = 8, blocks = 2, activation = "silu", short = "none", init = "pytorch" }
noise = { sigma_min = 0.3, sigma_max = 50.0, data_std = 4.12 }
objective = { kind = "sliced" }
training = { steps = 20, batch = 16, rate = 3e-3, warmup = 5 }
probes = { fresh = 64, queries = 32, off_data = { uniform = 8.0 }, levels = [0.3, 6.5], bands = 0, depths = [2] }
numerics = { device = "cpu", threads = 1 }

[config.sampling]
samples = 32
evaluations = 20
langevin = { start = { uniform = 8.0 }, step = 0.1 }
annealed = { from = 20.0, levels = 5, epsilon = 0.2 }
ode = { steps = 4 }

[factors.skip]
off = { "network.short" = "none" }
on = { "network.short" = "inverse_sqrt_depth" }

[factors.noise]
off = { objective = { kind = "sliced" } }
on = { objective = { kind = "denoising" } }

[[beside]]
name = "well-initialised plain"
role = "counter_arm"
set = { "network.init" = "orthogonal_lsuv" }
only = { skip = "off" }
seeds = 1

[[beside]]
name = "A/A"
role = "a_a"
set = { nuisance = 1 }
only = { skip = "on", noise = "on" }
seeds = 2

[[contrasts]]
id = "noise"
claim = "Noise brings the samples nearer to the data"
effect = "noise"
expect = "lower"
delta = 0.1
"#;

/// The plan of a study as written.
pub(crate) fn plan(text: &str) -> Result<Plan, Error> {
    plan_with(text, &Overrides::default())
}

/// The plan of a study with changes from the command line.
pub(crate) fn plan_with(text: &str, overrides: &Overrides) -> Result<Plan, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Plan::resolve(
        study::load(&write(folder.path(), "study.toml", text))?,
        overrides,
    )
}

/// The study with one piece of its text replaced, which must be there exactly once.
pub(crate) fn study_with(from: &str, to: &str) -> String {
    assert_eq!(
        STUDY.matches(from).count(),
        1,
        "`{from}` must be in the study once"
    );
    STUDY.replace(from, to)
}

/// Writes a file and returns its path.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary file");
    path.to_str().expect("the path is text").to_owned()
}

/// The message of what must be refused.
pub(crate) fn refusal<T>(outcome: Result<T, Error>) -> String {
    let message = outcome.err().expect("it must be refused").to_string();
    assert!(
        !message.contains('\n') && !message.ends_with('.'),
        "one line without a full stop: {message}"
    );
    message
}

/// The record of a cell with one number.
pub(crate) fn record(cell: &Cell, value: f64) -> Record {
    Record {
        schema: 1,
        cell: cell.clone(),
        outcome: Outcome::Measured {},
        evaluations: Evaluations::default(),
        values: [("log_energy_distance".to_owned(), value)].into(),
        curves: Default::default(),
        exhibit: None,
        maps: Vec::new(),
    }
}
