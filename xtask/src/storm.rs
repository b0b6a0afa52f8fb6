//! `cargo xtask test-storm`: runs under a hail of faults, as many rounds as asked for.

use clap::Args;

use crate::error::Error;
use crate::libtorch;
use crate::process::{Invocation, Workspace};

/// Arguments of `cargo xtask test-storm`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Runs that are weathered, each with faults of its own
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// On cells that train a network, with libtorch; the others need none
    #[arg(long)]
    training: bool,
}

/// `cargo xtask test-storm`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let mut line = Invocation::cargo(workspace)
        .args(["test", "-p", "ablation", "--test", "storm"])
        .env("STORM_ROUNDS", arguments.rounds.to_string());
    if arguments.training {
        line = line
            .args(["--release", "--no-default-features", "--features", "tch"])
            .envs(libtorch::ensure(workspace)?.environment());
    }
    line.args(["--", "--nocapture"]).run()
}
