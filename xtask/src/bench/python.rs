//! The Python that the others run in: a virtual environment of its own below cargo's target directory.

use std::env;
use std::path::{self, PathBuf};

use crate::error::Error;
use crate::process::{Invocation, Workspace};

/// Names another Python that has the packages already.
const VARIABLE: &str = "XTASK_PEERS_PYTHON";

/// The versions that ours is compared with.
const PACKAGES: [&str; 4] = ["torch==2.11.0", "diffusers==0.42.1", "safetensors", "numpy"];

/// A Python with the packages, made if nobody names one.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf, Error> {
    let ready = |python: &PathBuf| {
        Invocation::new(python, &workspace.root)
            .args(["-c", "import torch, diffusers, numpy, safetensors"])
            .succeeds()
    };
    if let Some(python) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let python = PathBuf::from(python);
        // A name is looked up wherever it is asked for; a path would mean another file in another folder.
        let python = match path::absolute(&python) {
            Ok(absolute) if 1 < python.components().count() => absolute,
            _ => python,
        };
        if ready(&python) {
            return Ok(python);
        }
        return Err(Error::NoPeers {
            python,
            packages: PACKAGES.join(" "),
        });
    }
    let folder = workspace.target.join("bench-peers/venv");
    let python = folder.join("bin/python");
    if ready(&python) {
        return Ok(python);
    }
    eprintln!(
        "bench: installing {} into {}",
        PACKAGES.join(", "),
        folder.display()
    );
    Invocation::new("python3", &workspace.root)
        .args(["-m", "venv"])
        .args([&folder])
        .run()?;
    // PyTorch's own index has the build without CUDA; where it cannot be reached, the other one serves.
    let pip = |index: &[&str]| {
        Invocation::new(&python, &workspace.root)
            .args(["-m", "pip", "install", "--quiet"])
            .args(index)
            .args(PACKAGES)
    };
    let cpu = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"];
    if pip(&cpu).run().is_err() {
        pip(&[]).run()?;
    }
    Ok(python)
}
