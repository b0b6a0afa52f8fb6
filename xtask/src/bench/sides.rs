//! The two sides of a comparison: a revision, a worktree of its own, a build of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, at};
use crate::process::{Invocation, Variables, Workspace};

/// One side, built.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// How it was named, and its commit in short: "main (0123456789ab)".
    pub(crate) shown: String,
    /// Names of all its benches.
    pub(crate) known: Vec<String>,
    /// Bench programs by `package/bench`.
    pub(crate) programs: BTreeMap<String, PathBuf>,
    /// Those that would be among them if they had libtorch.
    pub(crate) need_libtorch: BTreeSet<String>,
}

/// Which benches are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// Names of benches that must be there; all that both sides have where there are none.
    pub(crate) named: &'a [String],
    /// What torch needs to be built with; without it, benches that need torch are left out.
    pub(crate) torch: Option<Variables>,
}

/// The commit that a name means.
pub(crate) fn commit(root: &Path, name: &str) -> Result<String, Error> {
    let line = Invocation::new("git", root).args([
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &format!("{name}^{{commit}}"),
    ]);
    let text = line.capture().map_err(|error| match error {
        Error::Failed { .. } => Error::Revision {
            name: name.to_owned(),
        },
        error => error,
    })?;
    Ok(text.trim().to_owned())
}

/// Refuses a tree with changes that no commit has: they would not be measured, whatever their author thinks.
pub(crate) fn committed(root: &Path) -> Result<(), Error> {
    let changed = Invocation::new("git", root)
        .args(["status", "--porcelain", "--untracked-files=no"])
        .capture()?;
    match changed.lines().next() {
        None => Ok(()),
        Some(first) => Err(Error::Uncommitted {
            first: first.get(3..).unwrap_or(first).to_owned(),
            more: changed.lines().count() - 1,
        }),
    }
}

impl Side {
    /// Checks a revision out and builds its benches, below `folder`.
    pub(crate) fn build(
        workspace: &Workspace,
        folder: &Path,
        name: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Self, Error> {
        let commit = commit(&workspace.root, name)?;
        let tree = folder.join("tree");
        check_out(workspace, &tree, &commit)?;
        let build = folder.join("build");
        let cargo = |words: &[&str]| {
            // The toolchain is the tree's own, as its rust-toolchain.toml says.
            Invocation::new("cargo", &tree)
                .args(words)
                .env("CARGO_TARGET_DIR", &build)
                .envs(wanted.torch.iter().flatten().cloned())
        };
        let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]).capture()?;
        let all = benches(&metadata)?;
        let known = all.iter().map(|bench| bench.name.clone()).collect();
        let mut programs = BTreeMap::new();
        let mut need_libtorch = BTreeSet::new();
        for bench in all {
            let key = format!("{}/{}", bench.package, bench.name);
            if !(wanted.named.is_empty() || wanted.named.contains(&bench.name)) {
                continue;
            }
            if bench.features.iter().any(|f| f == "tch") && wanted.torch.is_none() {
                need_libtorch.insert(key);
                continue;
            }
            eprintln!("bench-ab: building {key} of {name}");
            let mut line = cargo(&["bench", "--no-run", "--message-format", "json"]).args([
                "-p",
                &bench.package,
                "--bench",
                &bench.name,
            ]);
            if !bench.features.is_empty() {
                // torch-sys is built once, with this profile.
                line = line
                    .args(["--profile", "release"])
                    .args(["--features", &bench.features.join(",")]);
            }
            let messages = line.capture()?;
            if let Some(program) = executable(&messages, &bench.name) {
                programs.insert(key, program);
            }
        }
        Ok(Self {
            shown: format!("{name} ({})", &commit[..12.min(commit.len())]),
            known,
            programs,
            need_libtorch,
        })
    }
}

fn check_out(workspace: &Workspace, tree: &Path, commit: &str) -> Result<(), Error> {
    let git = |folder: &Path| Invocation::new("git", folder);
    if tree.join(".git").exists() {
        return git(tree)
            .args(["checkout", "--quiet", "--force", "--detach", commit])
            .run();
    }
    let parent = tree.parent().unwrap_or(tree);
    fs::create_dir_all(parent).map_err(at("create", parent))?;
    // Where the folder was removed by hand, git still knows it.
    git(&workspace.root).args(["worktree", "prune"]).run()?;
    git(&workspace.root)
        .args(["worktree", "add", "--quiet", "--detach"])
        .args([tree.as_os_str(), commit.as_ref()])
        .run()
}

/// A bench as cargo describes it.
#[derive(Debug, PartialEq)]
struct Bench {
    package: String,
    name: String,
    features: Vec<String>,
}

fn benches(metadata: &str) -> Result<Vec<Bench>, Error> {
    let value: Value = serde_json::from_str(metadata).map_err(|error| Error::Results {
        path: PathBuf::from("cargo metadata"),
        rule: error.to_string(),
    })?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut benches = Vec::new();
    for package in list(&value, "packages") {
        for target in list(&package, "targets") {
            if list(&target, "kind").iter().any(|kind| kind == "bench") {
                benches.push(Bench {
                    package: word(&package["name"]),
                    name: word(&target["name"]),
                    features: list(&target, "required-features")
                        .iter()
                        .map(word)
                        .collect(),
                });
            }
        }
    }
    Ok(benches)
}

/// The program among cargo's messages.
fn executable(messages: &str, bench: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == bench)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one commit.
    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a"), "1").expect("a file");
        let script = "git init -q . && git add a && \
                      git -c user.name=t -c user.email=t@t commit -q -m one";
        Invocation::new("sh", folder.path())
            .args(["-c", script])
            .run()
            .expect("git is there");
        folder
    }

    #[test]
    fn a_revision_that_is_none_is_named() {
        let folder = repository();
        assert_eq!(commit(folder.path(), "HEAD").expect("it is one").len(), 40);
        for name in ["no-such-branch", "--help", "HEAD~7"] {
            let error = commit(folder.path(), name).expect_err("there is none");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn what_is_not_committed_is_refused() {
        let folder = repository();
        assert!(committed(folder.path()).is_ok());
        fs::write(folder.path().join("untracked"), "1").expect("a file");
        assert!(committed(folder.path()).is_ok());
        fs::write(folder.path().join("a"), "2").expect("a file");
        let error = committed(folder.path()).expect_err("it differs");
        assert!(error.to_string().contains("`a`"), "{error}");
    }

    #[test]
    fn benches_are_found_with_what_they_need() {
        let metadata = r#"{"packages": [{"name": "p", "targets": [
            {"name": "p", "kind": ["lib"]},
            {"name": "fast", "kind": ["bench"]},
            {"name": "deep", "kind": ["bench"], "required-features": ["tch"]}]}]}"#;
        let found = benches(metadata).expect("it is JSON");
        let names: Vec<_> = found
            .iter()
            .map(|b| (b.name.as_str(), b.features.len()))
            .collect();
        assert_eq!(names, [("fast", 0), ("deep", 1)]);
        let messages = "{\"target\": {\"name\": \"fast\"}, \"executable\": null}\nnoise\n\
                        {\"target\": {\"name\": \"fast\"}, \"executable\": \"/b/fast-1\"}";
        assert_eq!(executable(messages, "fast"), Some("/b/fast-1".into()));
        assert_eq!(executable(messages, "other"), None);
    }
}
