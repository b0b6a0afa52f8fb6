//! `cargo xtask test-slurm`: runs on a real Slurm under faults; every byte is that of a run on this machine alone.
//!
//! The cluster (two nodes that are processes) is set up where nothing of it stays: in namespaces of its own, with a
//! file system in memory over `/etc`, `/usr`, `/var` and `/run`. It refuses to write to a machine's own.

mod bench;
mod faults;
mod lab;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::error::Error;
use crate::process::{Invocation, Workspace};
use bench::Bench;
use lab::Lab;

/// Arguments of `cargo xtask test-slurm`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// In a container that is thrown away: install Slurm here, into its own /etc
    #[arg(long)]
    here: bool,
    /// Only faults whose name has this in it
    only: Option<String>,
    /// The mount namespace that we came from; given by ourselves
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    inside: Option<String>,
}

/// `cargo xtask test-slurm`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    match &arguments.inside {
        Some(outside) => {
            cover(outside)?;
            test(workspace, arguments)
        }
        None => {
            Invocation::cargo(workspace)
                .args(["build", "-p", "ablation", "--bin", "ablate"])
                .run()?;
            if arguments.here {
                if !is_container() {
                    return Err(refusal("--here is for containers, and this is none"));
                }
                return test(workspace, arguments);
            }
            Err(enter(arguments)?.replace())
        }
    }
}

/// Ourselves in namespaces of our own: whatever is started there ends with us. The shell is the first process there
/// and sees off those that lose their parent.
fn enter(arguments: &Arguments) -> Result<Invocation, Error> {
    let own = std::env::current_exe().map_err(|source| Error::Start {
        command: "xtask".to_owned(),
        source,
    })?;
    let mut words: Vec<OsString> = [
        "--mount",
        "--pid",
        "--uts",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    .map(OsString::from)
    .into();
    words.extend(["sh", "-c", "\"$0\" \"$@\"; exit $?"].map(OsString::from));
    words.push(own.into());
    words.extend(["test-slurm", "--inside"].map(OsString::from));
    words.push(namespace().into());
    words.extend(arguments.only.iter().map(OsString::from));
    Ok(Invocation::new("unshare", Path::new("."))
        .here()
        .args(words))
}

fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/mnt").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|mark| Path::new(mark).exists())
}

/// Puts a file system in memory over what an installation writes to.
fn cover(outside: &str) -> Result<(), Error> {
    let own = namespace();
    if own.is_empty() || own == outside || std::os::unix::process::parent_id() != 1 {
        return Err(refusal("it is not in namespaces of its own"));
    }
    // What is written to there is in memory, and nobody else sees it.
    let place = Path::new("/mnt");
    sh("mount -t tmpfs -o size=3g tmpfs /mnt")?;
    for folder in ["etc", "usr", "var", "run"] {
        let layers = place.join(folder);
        let layers = layers.display();
        sh(&format!(
            "mkdir -p {layers}/up {layers}/work && mount -t overlay overlay \
             -o lowerdir=/{folder},upperdir={layers}/up,workdir={layers}/work /{folder}"
        ))?;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let covered = |folder: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(4) == Some(folder) && line.contains("upperdir=/mnt/"))
    };
    if !["/etc", "/usr", "/var", "/run"].into_iter().all(covered) {
        return Err(refusal("/etc is not covered"));
    }
    sh("hostname lab && echo 127.0.0.1 lab >> /etc/hosts")
}

fn test(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let begun = Instant::now();
    let program = workspace.target.join("debug/ablate");
    let study = workspace
        .root
        .join("crates/ablation/tests/common/exact.toml");
    let packages = workspace.target.join("slurm-packages");
    let lab = Lab::start(&packages)?;
    println!(
        "{} is up in {:.0} s",
        lab.version,
        begun.elapsed().as_secs_f64()
    );
    let bench = Bench::new(lab, &program, &study)?;
    let count = faults::run(bench, arguments.only.as_deref())?;
    println!(
        "{count} faults weathered in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn refusal(why: &str) -> Error {
    Error::Cluster {
        what: "the test cluster is not set up".to_owned(),
        why: format!(
            "{why}; it writes to /etc, so it needs root and `unshare` (util-linux), or a container that is thrown \
             away and --here"
        ),
    }
}

/// Runs a line of shell to its end; its words are shown where it fails.
fn sh(line: &str) -> Result<(), Error> {
    ask(line).map(|_| ())
}

/// What a line of shell prints.
fn ask(line: &str) -> Result<String, Error> {
    let failed = |why: String| Error::Cluster {
        what: format!("`{line}` failed"),
        why,
    };
    let output = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, words.trim())))
    }
}

/// A folder for the runs, gone with us.
fn workplace() -> Result<PathBuf, Error> {
    Ok(PathBuf::from(
        ask("mktemp -d /tmp/slurm-lab.XXXXXX")?.trim(),
    ))
}
