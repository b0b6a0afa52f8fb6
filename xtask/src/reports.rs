//! `cargo xtask test reports-python`: pandas and TensorBoard read what a report writes.

use std::ffi::OsString;
use std::fs;

use crate::error::{Error, at};
use crate::process::{Invocation, Workspace};

/// Where the readers and the versions of what they need lie.
const PLACE: &str = "crates/ablation/tests/python";

/// Writes the renderings of the tests' fixture, and compares each number with `summary.json`.
///
/// The packages come from Python's index once, into cargo's target directory, in the versions of `requirements.txt`.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let folder = workspace.target.join("reports-python");
    let python = folder.join("venv/bin/python");
    let place = workspace.root.join(PLACE);
    let wanted = place.join("requirements.txt");
    let versions = fs::read_to_string(&wanted).map_err(at("read", &wanted))?;
    // Written last: an environment that was interrupted is made anew.
    let brought = folder.join("venv/requirements.txt");
    if fs::read_to_string(&brought).ok().as_ref() != Some(&versions) {
        fs::create_dir_all(&folder).map_err(at("create", &folder))?;
        Invocation::new("python3", &workspace.root)
            .args([
                "-m".into(),
                "venv".into(),
                OsString::from("--clear"),
                folder.join("venv").into(),
            ])
            .run()?;
        Invocation::new(&python, &workspace.root)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .args([&wanted])
            .run()?;
        fs::write(&brought, &versions).map_err(at("write", &brought))?;
    }
    let report = folder.join("report");
    if report.exists() {
        fs::remove_dir_all(&report).map_err(at("remove", &report))?;
    }
    Invocation::cargo(workspace)
        .args(["test", "-p", "ablation", "--test", "report_rendering"])
        .args(["--", "--quiet", "renderings_are_written"])
        .env("REPORT_FOLDER", &report)
        .run()?;
    Invocation::new(&python, &workspace.root)
        .args([place.join("read_reports.py"), report])
        .run()
}
