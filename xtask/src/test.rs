//! `cargo xtask test`: everything that must hold before a change is taken, cheapest first.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::error::{Error, at};
use crate::forward;
use crate::libtorch;
use crate::precision;
use crate::process::{Invocation, Workspace};
use crate::reports;
use crate::tidy::{self, MEMBERS, Member};

/// Arguments of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only what needs no libtorch
    #[arg(long, conflicts_with = "steps")]
    fast: bool,
    /// Only these steps, in the order below
    steps: Vec<Step>,
}

/// In the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The code is formatted
    Fmt,
    /// The rules of the tree that no compiler checks
    Tidy,
    /// No crate reaches what it must not know
    Tree,
    /// Lints, without torch
    Clippy,
    /// Tests of each crate alone, without torch
    Pure,
    /// Documentation without warnings, without torch
    Doc,
    /// Each crate can be packaged, and used alone from its package
    Package,
    /// libtorch is here
    Libtorch,
    /// Lints, with torch
    ClippyTorch,
    /// Tests, with torch
    Torch,
    /// Documentation without warnings, with torch
    DocTorch,
    /// A study of five small cells, from its file to its report
    Smoke,
    /// pandas and TensorBoard read a report, number by number; brings both from Python's index, and runs only
    /// where it is named
    ReportsPython,
    /// The study `precision` concludes what docs/performance.md says; trains for minutes, and runs only where it is
    /// named
    Precision,
}

/// Members whose default features bring torch; without them they are configurations only.
const TORCH_BY_DEFAULT: [&str; 2] = ["resnet-blocks", "unet"];
/// What turns torch on everywhere.
const TORCH_FEATURES: &str =
    "score-objective/tch,samplers/tch,learnability/tch,resnet-blocks/tch,unet/tch,ablation/tch";

impl Step {
    fn needs_torch(self) -> bool {
        matches!(
            self,
            Self::Libtorch
                | Self::ClippyTorch
                | Self::Torch
                | Self::DocTorch
                | Self::Smoke
                | Self::Precision
        )
    }

    /// Whether it runs where no step is named.
    fn is_usual(self) -> bool {
        !matches!(self, Self::ReportsPython | Self::Precision)
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// `cargo xtask test`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let chosen: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| match arguments.steps.is_empty() {
            true => step.is_usual(),
            false => arguments.steps.contains(step),
        })
        .filter(|step| !(arguments.fast && step.needs_torch()))
        .collect();
    let begin = Instant::now();
    for (number, step) in chosen.iter().enumerate() {
        let name = step.name();
        eprintln!("\n== {name} ({} of {})", number + 1, chosen.len());
        let began = Instant::now();
        one(workspace, *step).map_err(|error| Error::Step {
            step: name.clone(),
            source: Box::new(error),
        })?;
        eprintln!("== {name} passed in {}", shown(began.elapsed()));
    }
    let names: Vec<String> = chosen.iter().map(|step| step.name()).collect();
    println!(
        "\nall passed in {}: {}",
        shown(begin.elapsed()),
        names.join(", ")
    );
    Ok(())
}

fn one(workspace: &Workspace, step: Step) -> Result<(), Error> {
    let environment = if step.needs_torch() {
        libtorch::ensure(workspace)?.environment()
    } else {
        Vec::new()
    };
    let cargo = |words: &[&str]| {
        Invocation::cargo(workspace)
            .args(words)
            .envs(environment.clone())
    };
    match step {
        Step::Fmt => cargo(&["fmt", "--all", "--check"]).run(),
        Step::Tidy => tidy::check(&workspace.root),
        Step::Tree => tree(workspace),
        Step::Clippy => {
            cargo(&["clippy", "--all-targets", "--", "-D", "warnings"]).run()?;
            cargo(&[
                "clippy",
                "-p",
                "resnet-blocks",
                "-p",
                "unet",
                "--no-default-features",
            ])
            .args(["--all-targets", "--", "-D", "warnings"])
            .run()
        }
        Step::Pure => MEMBERS.iter().try_for_each(|member| {
            let without = TORCH_BY_DEFAULT
                .contains(&member.name)
                .then_some("--no-default-features");
            cargo(&["test", "-p", member.name]).args(without).run()
        }),
        Step::Doc => cargo(&["doc", "--no-deps"])
            .env("RUSTDOCFLAGS", "-Dwarnings")
            .run(),
        Step::Package => package(workspace),
        Step::Libtorch => Ok(()), // brought above
        Step::ClippyTorch => cargo(&["clippy", "--release", "--workspace", "--all-targets"])
            .args(["--features", TORCH_FEATURES, "--", "-D", "warnings"])
            .run(),
        // Without default features, as `ablate` itself is built: one build serves both.
        Step::Torch => cargo(&["test", "--release", "--no-default-features"])
            .args(["--features", TORCH_FEATURES])
            .args([
                "-p",
                "score-objective",
                "-p",
                "samplers",
                "-p",
                "learnability",
            ])
            .args(["-p", "resnet-blocks", "-p", "unet", "-p", "ablation"])
            .run(),
        Step::DocTorch => cargo(&[
            "doc",
            "--no-deps",
            "--release",
            "--workspace",
            "--features",
            TORCH_FEATURES,
        ])
        .env("RUSTDOCFLAGS", "-Dwarnings")
        .run(),
        Step::Smoke => smoke(workspace),
        Step::ReportsPython => reports::check(workspace),
        Step::Precision => precision::check(workspace),
    }
}

/// Crates that must not be reached, from where, and why.
struct Unreachable {
    from: &'static [&'static str],
    crates: &'static [&'static str],
    rule: &'static str,
}

const UNREACHABLE: [Unreachable; 5] = [
    Unreachable {
        from: &["-p", "noise-schedule", "-e", "normal", "--all-features"],
        crates: &["ndarray", "serde", "rand", "rand_core", "tch"],
        rule: "schedules know no tensors, no random numbers and no serialization",
    },
    Unreachable {
        // The default members, with their tests.
        from: &[],
        crates: &["torch-sys"],
        rule: "a bare `cargo test` needs no libtorch",
    },
    Unreachable {
        from: &["-p", "resnet-blocks", "-p", "unet", "--all-features"],
        crates: &["noise-schedule", "score-objective", "samplers"],
        rule: "networks know nothing of diffusion",
    },
    Unreachable {
        from: &["-p", "samplers", "-e", "normal"],
        crates: &["tch", "resnet-blocks", "unet", "score-objective"],
        rule: "samplers know no network and no objective",
    },
    Unreachable {
        from: &["-p", "xtask"],
        crates: &["tch", "ndarray", "ablation"],
        rule: "the launcher compiles in seconds",
    },
];

fn tree(workspace: &Workspace) -> Result<(), Error> {
    for unreachable in &UNREACHABLE {
        let line = Invocation::cargo(workspace)
            .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
            .args(unreachable.from);
        let listed = line.capture()?;
        if let Some(reached) = reached(&listed, unreachable.crates) {
            let reached = reached.to_owned();
            return Err(Error::Reaches {
                command: line.to_string(),
                reached,
                rule: unreachable.rule,
            });
        }
    }
    Ok(())
}

/// The first of the crates that a listing of `cargo tree` names.
fn reached<'a>(listed: &'a str, crates: &[&str]) -> Option<&'a str> {
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| crates.contains(name))
}

/// Packages every crate, and builds a package outside the workspace with each of them alone.
///
/// No other member's features can hide what a crate lacks then, and nothing is there but what its package holds.
fn package(workspace: &Workspace) -> Result<(), Error> {
    // All at once: siblings, which no registry has yet, are taken from the same run.
    Invocation::cargo(workspace)
        .args([
            "package",
            "--workspace",
            "--exclude",
            "xtask",
            "--no-verify",
            "--allow-dirty",
        ])
        .run()?;
    let version = version(&workspace.root)?;
    let consumers = workspace.target.join("consumer");
    let unpacked = consumers.join("packages");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(at("remove", &unpacked))?;
    }
    fs::create_dir_all(&unpacked).map_err(at("create", &unpacked))?;
    for member in MEMBERS.iter().filter(|member| member.name != "xtask") {
        // -m: the files of a package are as old as cargo, and would pass for built.
        let package = workspace
            .target
            .join("package")
            .join(format!("{}-{version}.crate", member.name));
        Invocation::new("tar", &unpacked)
            .args(["-xzmf".as_ref(), package.as_os_str()])
            .run()?;
    }
    for member in MEMBERS.iter().filter(|member| member.name != "xtask") {
        let folder = consumers.join(member.name);
        let source = folder.join("src");
        fs::create_dir_all(&source).map_err(at("create", &source))?;
        write(
            &folder.join("Cargo.toml"),
            &manifest(member, &unpacked, &version),
        )?;
        let name = member.name.replace('-', "_");
        write(
            &source.join("lib.rs"),
            &format!("//! Uses one crate alone.\n\nuse {name} as _;\n"),
        )?;
        // The same versions as in the workspace; what this package does not use is left out.
        let lock = workspace.root.join("Cargo.lock");
        fs::copy(&lock, folder.join("Cargo.lock")).map_err(at("copy", &lock))?;
        Invocation::cargo(workspace)
            .args(["check", "--manifest-path"])
            .args([folder.join("Cargo.toml")])
            .args(["--target-dir".into(), consumers.join("target")])
            .run()?;
    }
    Ok(())
}

fn manifest(member: &Member, unpacked: &Path, version: &str) -> String {
    // A literal string of TOML takes any path but one with a quote.
    let place = |name: &str| {
        format!(
            "path = '{}'",
            unpacked.join(format!("{name}-{version}")).display()
        )
    };
    let default = !TORCH_BY_DEFAULT.contains(&member.name);
    let mut text = format!(
        "[package]\nname = \"consumer\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [workspace]\n\n\
         [dependencies]\n{} = {{ {}, default-features = {default} }}\n\n\
         [patch.crates-io]\n",
        member.name,
        place(member.name)
    );
    for name in member.reaches() {
        text.push_str(&format!("{name} = {{ {} }}\n", place(name)));
    }
    text
}

/// The version that every crate inherits.
fn version(root: &Path) -> Result<String, Error> {
    let manifest = root.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(at("read", &manifest))?;
    let mut package = text
        .lines()
        .skip_while(|line| line.trim() != "[workspace.package]");
    let stated =
        package.find_map(|line| line.trim().strip_prefix("version = \"")?.split('"').next());
    stated.map(str::to_owned).ok_or_else(|| {
        at("find [workspace.package] version in", manifest)(std::io::ErrorKind::InvalidData.into())
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    // Written only when it changes: a new time on the file would build it again.
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(at("write", path))
}

/// The study `smoke`: five small cells, trained, measured and reported.
fn smoke(workspace: &Workspace) -> Result<(), Error> {
    let out = workspace.target.join("smoke");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(at("remove", &out))?;
    }
    forward::line(
        workspace,
        "ablate",
        &["smoke".into(), "--out".into(), out.clone().into()],
    )?
    .run()?;
    if holds(&out, "report.md", 2) {
        Ok(())
    } else {
        Err(Error::NoReport { path: out })
    }
}

/// Whether a file of that name lies in the folder, or so many folders deeper.
fn holds(folder: &Path, name: &str, depth: usize) -> bool {
    if folder.join(name).is_file() {
        return true;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    0 < depth
        && entries
            .filter_map(Result::ok)
            .any(|entry| holds(&entry.path(), name, depth - 1))
}

fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_found_by_its_whole_name() {
        let listed =
            "samplers v0.1.0 (/w/crates/samplers)\nrand_core v0.9.3\nserde_core v1.0.0 (*)\n";
        assert_eq!(reached(listed, &["rand", "serde"]), None);
        assert_eq!(reached(listed, &["rand", "rand_core"]), Some("rand_core"));
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(shown(Duration::from_millis(940)), "0.9 s");
        assert_eq!(shown(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn a_report_is_found_below_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let deep = folder.path().join("smoke");
        fs::create_dir(&deep).expect("a folder");
        assert!(!holds(folder.path(), "report.md", 2));
        fs::write(deep.join("report.md"), "").expect("a file");
        assert!(holds(folder.path(), "report.md", 2));
        assert!(!holds(folder.path(), "report.md", 0));
    }
}
