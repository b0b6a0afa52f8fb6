//! `ablate`, `report`, `power`, `verify` and so on: handed to the program of crate `ablation`, built with torch only where it trains.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::libtorch;
use crate::process::{Invocation, Variables, Workspace};

/// Becomes `ablate <command> <arguments>`; returns only if that cannot be.
pub(crate) fn forward(
    workspace: &Workspace,
    command: &str,
    arguments: &[OsString],
) -> Result<(), Error> {
    Err(line(workspace, command, arguments)?.replace())
}

/// Becomes the simulations of `paired-stats`, which are an example of that crate: optimised they take minutes.
pub(crate) fn calibrate(workspace: &Workspace) -> Result<(), Error> {
    let line = Invocation::cargo(workspace)
        .args(["run", "--release", "-p", "paired-stats"])
        .args(["--example", "calibrate"]);
    Err(line.replace())
}

/// The program itself, built with torch, and what must stand in its environment: for a caller who talks with it.
pub(crate) fn program(workspace: &Workspace) -> Result<(PathBuf, Variables), Error> {
    let environment = libtorch::ensure(workspace)?.environment();
    Invocation::cargo(workspace)
        .args([
            "build",
            "--quiet",
            "--release",
            "-p",
            "ablation",
            "--bin",
            "ablate",
        ])
        .args(["--no-default-features", "--features", "tch"])
        .envs(environment.clone())
        .run()?;
    let program = workspace.target.join("release").join("ablate");
    Ok((
        program.with_extension(env::consts::EXE_EXTENSION),
        environment,
    ))
}

/// The command line for it, with libtorch brought if it trains.
///
/// What does not train uses libtorch all the same where it is there: that program is built already, and one
/// without it would be built beside it, dependencies included, which takes minutes. Where it is not there, the
/// build is that of a bare `cargo test`.
pub(crate) fn line(
    workspace: &Workspace,
    command: &str,
    arguments: &[OsString],
) -> Result<Invocation, Error> {
    let torch = if needs_torch(command, arguments) {
        Some(libtorch::ensure(workspace)?)
    } else {
        libtorch::present(workspace)
    };
    let mut line = Invocation::cargo(workspace)
        .here()
        .args(["run", "-p", "ablation", "--bin", "ablate"])
        .args(["--manifest-path".into(), workspace.root.join("Cargo.toml")]);
    if let Some(torch) = torch {
        line = line
            .args(["--release", "--no-default-features", "--features", "tch"])
            .envs(torch.environment());
    }
    // Where `cargo xtask data` puts things; a person's own choice wins.
    if env::var_os("ABLATE_DATA_DIR").is_none() {
        line = line.env("ABLATE_DATA_DIR", workspace.target.join("data"));
    }
    Ok(line.args(["--", command]).args(arguments))
}

/// Only networks need torch: a plan, a help page, the exact layer, a report, a status and a sampler's trace are ready
/// without it.
fn needs_torch(command: &str, arguments: &[OsString]) -> bool {
    let mut own = arguments.iter().take_while(|argument| *argument != "--");
    match command {
        // The exact layer trains nothing.
        "ablate"
            if arguments
                .first()
                .is_some_and(|word| word == "exact" || word == "published") =>
        {
            false
        }
        "ablate" => {
            let pure = ["--plan", "--docs", "--help", "-h"];
            !own.any(|word| pure.iter().any(|pure| word == pure))
        }
        "sample" | "export" | "probe" => {
            !own.any(|word| ["--help", "-h"].iter().any(|pure| word == pure))
        }
        "conform" => arguments.iter().any(|path| holds_network(Path::new(path))),
        _ => false,
    }
}

/// Whether the folder, or one inside it, has the configuration of a network. Links inside are not followed.
fn holds_network(path: &Path) -> bool {
    path.join("config.json").is_file()
        || fs::read_dir(path).is_ok_and(|inside| {
            inside.flatten().any(|entry| {
                entry.file_type().is_ok_and(|kind| kind.is_dir()) && holds_network(&entry.path())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn only_training_needs_torch() {
        assert!(needs_torch("ablate", &words("")));
        assert!(needs_torch(
            "ablate",
            &words("skip-vs-noise --seeds 2 -- --plan")
        ));
        assert!(needs_torch("ablate", &words("smoke --out exact")));
        assert!(needs_torch("ablate", &words("claims 2a-exist")));
        assert!(needs_torch("sample", &words("--model ddpm --out grid.png")));
        assert!(needs_torch(
            "export",
            &words("runs/smoke/cells/0a --out net")
        ));
        assert!(!needs_torch("sample", &words("--help")));
        for pure in [
            "--plan",
            "smoke --plan --seeds 2",
            "--help",
            "-h",
            "exact",
            "exact a.toml --out b",
            "published",
            "claims --plan",
            "claims --docs docs",
        ] {
            assert!(!needs_torch("ablate", &words(pure)), "{pure}");
        }
        assert!(!needs_torch("report", &words("runs/smoke")));
        for command in ["status", "verify", "explain", "diff", "gc"] {
            assert!(!needs_torch(command, &words("runs/smoke")), "{command}");
        }
        assert!(!needs_torch("power", &words("smoke")));
    }

    #[test]
    fn comparing_needs_torch_for_networks_only() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = |path: &str| vec![here.join(path).into_os_string()];
        assert!(!needs_torch("conform", &folder("src")));
        assert!(!needs_torch("conform", &folder("src/main.rs")));
        let golden = "../crates/unet/tests/golden/diffusers";
        assert!(needs_torch("conform", &folder(golden)));
    }
}
