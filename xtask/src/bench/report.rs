//! `cargo xtask bench-report`: from a folder of results to files for people, for CI and for dashboards, and an exit status.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::bench::blocks::Blocks;
use crate::bench::gate::Gate;
use crate::bench::judge::judge;
use crate::bench::{html, machine_files, markdown, words};
use crate::error::{Error, at};

/// Arguments of `cargo xtask bench-report`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What was measured: the folder of `bench-ab`, or criterion's with baselines base-00, head-00, left-00, right-00, …
    #[arg(long = "in", value_name = "DIR")]
    from: PathBuf,
    /// Where summary.md, report.html, report.json, gab.json and bmf.json go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What ends with status 1
    #[arg(long, value_enum, value_name = "NAME")]
    gate: Gate,
}

/// Writes the files, then lets the gate decide.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let blocks = Blocks::read(&arguments.from)?;
    let job = judge(&blocks);
    let gate = arguments.gate;
    let passed = gate.pass(&blocks, &job);
    let said = match &passed {
        Ok(()) => format!("Gate {}: passed.", gate.name()),
        Err(error) => format!("Gate {}: {error}", gate.name()),
    };
    let out = &arguments.out;
    fs::create_dir_all(out).map_err(at("create", out))?;
    let json = |value: Value| format!("{value:#}\n");
    for (file, text) in [
        (
            "summary.md",
            markdown::summary(&blocks, &job, gate, &passed),
        ),
        ("report.html", html::report(&blocks, &job, gate, &passed)),
        (
            "report.json",
            json(machine_files::report(&blocks, &job, &said)),
        ),
        ("gab.json", json(machine_files::action(&blocks, &job))),
        ("bmf.json", json(machine_files::bencher(&blocks, &job))),
    ] {
        let path = out.join(file);
        fs::write(&path, text).map_err(at("write", path))?;
    }
    println!("{}", markdown::headline(&job));
    println!("{}", words::line(&blocks.setting.machine, 80));
    let lines = [markdown::counted_line(&job), markdown::blind_line(&job)];
    for line in lines.into_iter().flatten() {
        println!("{line}");
    }
    for (what, names) in blocks.told() {
        let name = |name: &str| words::line(name, 60);
        println!("{what}: {}", words::row(&names, 5, name));
    }
    println!("report: {}", out.join("report.html").display());
    passed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::judge::fixture::{blocks, steady};

    fn arguments(folder: &std::path::Path, gate: Gate) -> Arguments {
        Arguments {
            from: folder.to_path_buf(),
            out: folder.join("out"),
            gate,
        }
    }

    #[test]
    fn the_files_are_there_before_the_gate_fails() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let slower = blocks(vec![steady("slower", 0.1)]);
        slower.write(folder.path()).expect("it is ours");
        let error = run(&arguments(folder.path(), Gate::Time)).expect_err("10 % slower");
        assert_eq!(error.status(), 1);
        for file in [
            "summary.md",
            "report.html",
            "report.json",
            "gab.json",
            "bmf.json",
        ] {
            let text = fs::read_to_string(folder.path().join("out").join(file)).expect("written");
            assert!(text.contains("slower"), "{file}");
        }
        assert!(run(&arguments(folder.path(), Gate::None)).is_ok());
    }

    #[test]
    fn a_folder_without_results_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = run(&arguments(folder.path(), Gate::None)).expect_err("it is empty");
        let place = folder.path().display().to_string();
        assert!(error.to_string().contains(&place), "{error}");
    }
}
