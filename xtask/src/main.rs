//! The launcher: brings libtorch and data, runs the checks, and hands everything else to `ablate`.
//!
//! It knows cargo and not the science, depends on nothing heavy and compiles in seconds.

// The launcher is an edge of the workspace: talking to the terminal is its work.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bans;
mod bench;
mod data;
mod error;
mod forward;
mod libtorch;
mod precision;
mod process;
mod readme;
mod reports;
mod slurm;
mod source;
mod storm;
mod test;
mod tidy;
mod wheels;

/// The laboratory's launcher: from a fresh clone to a report.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run a study's cells and write its report; `ablate exact` computes what needs no training, `ablate published`
    /// holds published numbers against ours, `ablate claims` judges the claims (`ablate --help` lists the options)
    #[command(disable_help_flag = true)]
    Ablate {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Write the report of a study's folder again; needs no libtorch
    #[command(disable_help_flag = true)]
    Report {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Say how far a study's folder has come; needs no libtorch
    #[command(disable_help_flag = true)]
    Status {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Say how many seeds a study's contrasts need, from a pilot's variance; needs no libtorch
    #[command(disable_help_flag = true)]
    Power {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Read everything in a study's folder and say what is not as it was committed
    #[command(disable_help_flag = true)]
    Verify {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Say all that is known of one cell of a study's folder
    #[command(disable_help_flag = true)]
    Explain {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Say how two studies' folders differ
    #[command(disable_help_flag = true)]
    Diff {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Remove from a study's folder what serves nothing any more
    #[command(disable_help_flag = true)]
    Gc {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Report a run on a cluster, or submit what is missing of it
    #[command(disable_help_flag = true)]
    Gather {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Draw samples from a network of diffusers, or of a cell of a study, into a grid of pictures
    #[command(disable_help_flag = true)]
    Sample {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Say which parts of a trained network get gradients that can be trusted, and what its skips carry
    #[command(disable_help_flag = true)]
    Probe {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Write the trained network of a cell as a folder that diffusers opens
    #[command(disable_help_flag = true)]
    Export {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Compare our samplers and networks with reference results of other toolkits; networks need libtorch
    #[command(disable_help_flag = true)]
    Conform {
        /// Handed to the program as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Bring libtorch into cargo's target directory and say where it is
    Libtorch,
    /// Fetch a data set into cargo's target directory
    Data(data::Arguments),
    /// Hold every statistical method to its promises, in thousands of synthetic studies; minutes
    Calibrate,
    /// Measure our works beside their floors, or with --peers beside diffusers, PyTorch and numpy
    Bench(bench::whole::Arguments),
    /// Measure the benches of two revisions against each other, in interleaved blocks
    BenchAb(bench::ab::Arguments),
    /// Say what a comparison of two revisions found, for people and for CI; fails by a declared gate
    BenchReport(bench::report::Arguments),
    /// Run every check, cheapest first; the first failure stops it
    Test(test::Arguments),
    /// Kill, stop, damage and confuse runs; nothing may be lost, and no byte may differ
    TestStorm(storm::Arguments),
    /// Run studies on a real Slurm of two nodes under faults; sets it up where nothing of it stays
    TestSlurm(slurm::Arguments),
    /// Check the rules of the tree that no compiler checks
    #[command(hide = true)]
    Tidy,
}

fn main() -> ExitCode {
    let workspace = process::Workspace::find();
    let outcome = match Arguments::parse().command {
        Task::Ablate { arguments } => forward::forward(&workspace, "ablate", &arguments),
        Task::Report { arguments } => forward::forward(&workspace, "report", &arguments),
        Task::Status { arguments } => forward::forward(&workspace, "status", &arguments),
        Task::Power { arguments } => forward::forward(&workspace, "power", &arguments),
        Task::Verify { arguments } => forward::forward(&workspace, "verify", &arguments),
        Task::Explain { arguments } => forward::forward(&workspace, "explain", &arguments),
        Task::Diff { arguments } => forward::forward(&workspace, "diff", &arguments),
        Task::Gc { arguments } => forward::forward(&workspace, "gc", &arguments),
        Task::Gather { arguments } => forward::forward(&workspace, "gather", &arguments),
        Task::Sample { arguments } => forward::forward(&workspace, "sample", &arguments),
        Task::Probe { arguments } => forward::forward(&workspace, "probe", &arguments),
        Task::Export { arguments } => forward::forward(&workspace, "export", &arguments),
        Task::Conform { arguments } => forward::forward(&workspace, "conform", &arguments),
        Task::Libtorch => libtorch::show(&workspace),
        Task::Data(arguments) => data::bring(&workspace, &arguments),
        Task::Calibrate => forward::calibrate(&workspace),
        Task::Bench(arguments) => bench::whole::run(&workspace, &arguments),
        Task::BenchAb(arguments) => bench::ab::run(&workspace, &arguments),
        Task::BenchReport(arguments) => bench::report::run(&arguments),
        Task::Test(arguments) => test::run(&workspace, &arguments),
        Task::TestStorm(arguments) => storm::run(&workspace, &arguments),
        Task::TestSlurm(arguments) => slurm::run(&workspace, &arguments),
        Task::Tidy => tidy::check(&workspace.root).map(|()| println!("tidy: no findings")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.status())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn forwarded_arguments_are_left_alone() {
        let words = [
            "xtask",
            "ablate",
            "skip-vs-noise",
            "--seeds",
            "2",
            "--help",
            "--",
            "-x",
        ];
        let Task::Ablate { arguments } = Arguments::parse_from(words).command else {
            panic!("`ablate` was parsed as another command");
        };
        assert_eq!(arguments, words[2..]);
        let Task::Status { arguments } =
            Arguments::parse_from(["xtask", "status", "--help"]).command
        else {
            panic!("`status` was parsed as another command");
        };
        assert_eq!(arguments, ["--help"]);
    }
}
