//! `cargo xtask tidy`: rules of the tree that no compiler checks; this file knows who may know whom.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bans::file_findings;
use crate::error::{Error, at};
use crate::readme;

/// A member of the workspace and the members that it may know.
pub(crate) struct Member {
    /// Name of the package.
    pub(crate) name: &'static str,
    /// Its folder, from the workspace's root.
    pub(crate) folder: &'static str,
    /// What it may depend on: the table of `docs/ARCHITECTURE.md`.
    uses: &'static [&'static str],
    /// What its tests may use besides.
    tests_use: &'static [&'static str],
}

impl Member {
    /// Every member that it may depend on, through others too.
    pub(crate) fn reaches(&self) -> BTreeSet<&'static str> {
        let mut reached = BTreeSet::new();
        let mut open = self.uses.to_vec();
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(
                    MEMBERS
                        .iter()
                        .filter(|member| member.name == name)
                        .flat_map(|m| m.uses),
                );
            }
        }
        reached
    }
}

/// The dependency table. An edge that is not here is a decision, to be argued in `docs/ARCHITECTURE.md` first.
pub(crate) const MEMBERS: [Member; 9] = [
    Member {
        name: "noise-schedule",
        folder: "crates/noise-schedule",
        uses: &[],
        tests_use: &[],
    },
    Member {
        name: "score-objective",
        folder: "crates/score-objective",
        uses: &["noise-schedule"],
        tests_use: &[],
    },
    Member {
        name: "samplers",
        folder: "crates/samplers",
        uses: &["noise-schedule"],
        tests_use: &["score-objective"],
    },
    Member {
        name: "learnability",
        folder: "crates/learnability",
        uses: &[],
        tests_use: &[],
    },
    Member {
        name: "paired-stats",
        folder: "crates/paired-stats",
        uses: &[],
        tests_use: &[],
    },
    Member {
        name: "resnet-blocks",
        folder: "crates/resnet-blocks",
        uses: &[],
        tests_use: &[],
    },
    Member {
        name: "unet",
        folder: "crates/unet",
        uses: &["resnet-blocks"],
        tests_use: &[],
    },
    Member {
        name: "ablation",
        folder: "crates/ablation",
        uses: &[
            "noise-schedule",
            "score-objective",
            "samplers",
            "learnability",
            "paired-stats",
            "resnet-blocks",
            "unet",
        ],
        tests_use: &[],
    },
    // It launches cargo; benchmark reports may use the statistics.
    Member {
        name: "xtask",
        folder: "xtask",
        uses: &["paired-stats"],
        tests_use: &[],
    },
];

/// Reads the whole tree; an error lists every finding.
pub(crate) fn check(root: &Path) -> Result<(), Error> {
    let mut findings = Vec::new();
    for file in sources(root)? {
        let text = fs::read_to_string(&file).map_err(at("read", &file))?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .to_string_lossy()
            .replace('\\', "/");
        findings.extend(file_findings(&name, &text));
    }
    for member in &MEMBERS {
        let manifest = root.join(member.folder).join("Cargo.toml");
        let text = fs::read_to_string(&manifest).map_err(at("read", &manifest))?;
        findings.extend(edge_findings(member, &text));
    }
    findings.extend(tree_findings(&folders(&root.join("crates"))?));
    let crates = MEMBERS.iter().map(|member| member.folder);
    let crates = crates.filter(|folder| folder.starts_with("crates/"));
    findings.extend(readme::findings(root, crates)?);
    let architecture = root.join("docs/ARCHITECTURE.md");
    if architecture.is_file() {
        let text = fs::read_to_string(&architecture).map_err(at("read", &architecture))?;
        findings.extend(architecture_findings(&text));
    } else {
        eprintln!(
            "tidy: docs/ARCHITECTURE.md is absent, so its table is not compared with the tree"
        );
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Error::Untidy { findings })
    }
}

/// Every Rust file below `crates/` and `xtask/`, in order.
fn sources(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
            let path = entry.map_err(at("list", &folder))?.path();
            if path.is_dir() {
                // A stray target directory holds other people's sources.
                if !path.ends_with("target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn folders(parent: &Path) -> Result<BTreeSet<String>, Error> {
    let entries = fs::read_dir(parent).map_err(at("list", parent))?;
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

/// Edges between members that the table does not allow.
fn edge_findings(member: &Member, manifest: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut section = String::new();
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        // Both `[dependencies]` + `name.workspace = true` and `[dependencies.name]` are edges.
        let edge = if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            section
                .rsplit_once("dependencies.")
                .map(|(_, name)| name.to_owned())
        } else {
            let key = line
                .split(['=', '.', '#'])
                .next()
                .unwrap_or_default()
                .trim();
            section
                .ends_with("dependencies")
                .then(|| key.trim_matches('"').to_owned())
        };
        let Some(edge) = edge.filter(|edge| MEMBERS.iter().any(|other| other.name == edge)) else {
            continue;
        };
        let of_tests = section.starts_with("dev-") || section.contains(".dev-");
        let allowed = member
            .uses
            .iter()
            .chain(member.tests_use.iter().filter(|_| of_tests));
        if !allowed.into_iter().any(|name| *name == edge) {
            findings.push(format!(
                "{}/Cargo.toml:{}: `{}` may not depend on `{edge}`; the table of docs/ARCHITECTURE.md decides",
                member.folder,
                number + 1,
                member.name
            ));
        }
    }
    findings
}

/// Crates that lie in `crates/` and are not in our table, or the reverse.
fn tree_findings(crates: &BTreeSet<String>) -> Vec<String> {
    let known: BTreeSet<String> = MEMBERS
        .iter()
        .filter_map(|member| member.folder.strip_prefix("crates/"))
        .map(str::to_owned)
        .collect();
    let unknown = crates.difference(&known).map(|name| {
        format!("crates/{name}: not in the dependency table; add it to docs/ARCHITECTURE.md and xtask/src/tidy.rs")
    });
    let absent = known
        .difference(crates)
        .map(|name| format!("crates/{name}: in the dependency table, not in the tree"));
    unknown.chain(absent).collect()
}

/// Rows of the architecture's table against the tree. The table is the one whose first column is headed `crate`.
fn architecture_findings(text: &str) -> Vec<String> {
    let cell = |line: &str| {
        let first = line.trim().strip_prefix('|')?.split('|').next()?.trim();
        Some(first.trim_matches('`').to_owned())
    };
    let named: BTreeSet<String> = text
        .lines()
        .skip_while(|line| cell(line).as_deref() != Some("crate"))
        .skip(2) // the heading and the rule below it
        .map_while(cell)
        .collect();
    let members: BTreeSet<String> = MEMBERS
        .iter()
        .map(|member| member.name.to_owned())
        .collect();
    let place = "docs/ARCHITECTURE.md";
    let unknown = named
        .difference(&members)
        .map(|name| format!("{place}: names `{name}`, which is not in the tree"));
    let absent = members
        .difference(&named)
        .map(|name| format!("{place}: its table of crates lacks `{name}`"));
    unknown.chain(absent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask lies in the workspace");
        if let Err(error) = check(root) {
            panic!("{error}");
        }
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_found() {
        let samplers = MEMBERS
            .iter()
            .find(|member| member.name == "samplers")
            .expect("it is in the table");
        let good = "[dependencies]\nnoise-schedule.workspace = true\n[dev-dependencies]\nscore-objective.workspace = true";
        assert!(edge_findings(samplers, good).is_empty());
        for bad in [
            "[dependencies]\nunet = { path = \"../unet\" }",
            "[dependencies]\nscore-objective.workspace = true",
            "[dependencies.unet]\npath = \"../unet\"",
            "[target.'cfg(unix)'.dependencies]\nunet.workspace = true",
            "[dev-dependencies]\nablation.workspace = true",
        ] {
            assert_eq!(edge_findings(samplers, bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn the_architecture_names_the_crates_that_there_are() {
        let rows = |names: &[&str]| {
            let rows: String = names
                .iter()
                .map(|name| format!("| `{name}` | — |\n"))
                .collect();
            format!("Text.\n\n| crate | depends on |\n|---|---|\n{rows}\nText with | a bar.\n")
        };
        let mut names: Vec<&str> = MEMBERS.iter().map(|member| member.name).collect();
        assert!(architecture_findings(&rows(&names)).is_empty());
        names[0] = "datasets";
        assert_eq!(architecture_findings(&rows(&names)).len(), 2);
    }
}
