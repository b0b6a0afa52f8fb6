//! `cargo xtask test-slurm`: runs on a real Slurm under faults; every byte is that of a run on this machine alone.
//!
//! The cluster (two nodes that are processes) is set up where nothing of it stays: in namespaces of its own, with a
//! file system in memory over `/etc`, `/usr`, `/var` and `/run`. It refuses to write to a machine's own.

mod bench;
mod faults;
mod lab;
mod outcome;

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
    /// In a container that is thrown away, and that may mount: install Slurm here, into its own /etc
    #[arg(long)]
    here: bool,
    /// Only faults whose name has this in it
    only: Option<String>,
    /// The mount namespace that we came from; given by ourselves
    #[arg(long, hide = true, value_name = "NAMESPACE")]
    inside: Option<String>,
}

/// What an installation writes to, below the root.
const WRITTEN: [&str; 4] = ["etc", "usr", "var", "run"];

/// `cargo xtask test-slurm`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    faults::check(arguments.only.as_deref())?;
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
                if !is_container(Path::new("/")) {
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

/// Whether Docker or Podman has made the file system below `root`.
fn is_container(root: &Path) -> bool {
    [".dockerenv", "run/.containerenv"]
        .iter()
        .any(|mark| root.join(mark).exists())
}

/// Whether the mount namespace `own` is another than that `outside`, which we came from, and our parent is the first
/// process of a list of its own.
fn is_apart(own: &str, outside: &str, parent: u32) -> bool {
    let is_name = |name: &str| name.starts_with("mnt:[");
    is_name(own) && is_name(outside) && own != outside && parent == 1
}

/// Whether what an installation writes to is covered by memory, in the words of `/proc/self/mountinfo`.
fn is_covered(mounts: &str) -> bool {
    WRITTEN.iter().all(|folder| {
        let place = format!("/{folder}");
        // What was mounted there last is what is seen.
        let mut last_first = mounts.lines().rev();
        let seen = last_first.find(|line| line.split(' ').nth(4) == Some(place.as_str()));
        seen.is_some_and(|line| line.contains(&format!("upperdir=/mnt/{folder}/")))
    })
}

/// Puts a file system in memory over what an installation writes to.
fn cover(outside: &str) -> Result<(), Error> {
    if !is_apart(&namespace(), outside, std::os::unix::process::parent_id()) {
        return Err(refusal("it is not in namespaces of its own"));
    }
    // What is written to there is in memory, and nobody else sees it.
    let place = Path::new("/mnt");
    sh("mount -t tmpfs -o size=3g tmpfs /mnt")?;
    for folder in WRITTEN {
        let layers = place.join(folder);
        let layers = layers.display();
        sh(&format!(
            "mkdir -p {layers}/up {layers}/work && mount -t overlay overlay \
             -o lowerdir=/{folder},upperdir={layers}/up,workdir={layers}/work /{folder}"
        ))?;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !is_covered(&mounts) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_refused_outside_of_namespaces_of_its_own() {
        let (own, outside) = ("mnt:[4026532177]", "mnt:[4026531841]");
        assert!(is_apart(own, outside, 1));
        for (own, outside, parent) in [
            (own, outside, 2),
            (outside, outside, 1),
            (own, "", 1),
            ("", outside, 1),
            (own, "elsewhere", 1),
        ] {
            assert!(!is_apart(own, outside, parent), "{own} {outside} {parent}");
        }
    }

    #[test]
    fn it_is_refused_where_one_folder_is_not_covered() {
        let line = |folder: &str, upper: &str| {
            format!(
                "120 100 0:60 / /{folder} rw,relatime - overlay overlay \
                 rw,lowerdir=/{folder},upperdir={upper}/{folder}/up,workdir=/mnt/{folder}/work\n"
            )
        };
        let whole: String = WRITTEN.iter().map(|folder| line(folder, "/mnt")).collect();
        assert!(is_covered(&whole));
        assert!(!is_covered(""));
        for folder in WRITTEN {
            let covered = line(folder, "/mnt");
            assert!(!is_covered(&whole.replace(&covered, "")), "{folder}");
            // By something that stays, or by something that was mounted later.
            let elsewhere = line(folder, "/home");
            assert!(
                !is_covered(&whole.replace(&covered, &elsewhere)),
                "{folder}"
            );
            assert!(!is_covered(&(whole.clone() + &elsewhere)), "{folder}");
        }
    }

    #[test]
    fn a_container_bears_a_mark() {
        let root = tempfile::tempdir().expect("a temporary folder");
        assert!(!is_container(root.path()));
        fs::create_dir(root.path().join("run")).expect("a folder");
        assert!(!is_container(root.path()));
        for mark in [".dockerenv", "run/.containerenv"] {
            let mark = root.path().join(mark);
            fs::write(&mark, "").expect("a mark");
            assert!(is_container(root.path()), "{}", mark.display());
            fs::remove_file(mark).expect("it was there");
        }
    }
}
