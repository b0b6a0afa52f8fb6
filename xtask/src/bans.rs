//! What a source file may not hold: hidden randomness, files and clocks outside their places, unfinished work.

use crate::source::code_only;

/// A word that may not stand in the code of a crate.
struct Ban {
    words: &'static [&'static str],
    remedy: &'static str,
    /// Files and folders of `crates/` that may use it.
    except: &'static [&'static str],
    /// Whether tests may use it.
    tests: bool,
}

const BANS: [Ban; 9] = [
    Ban {
        words: &[
            "rand::rng",
            "rand::random",
            "thread_rng",
            "from_os_rng",
            "from_entropy",
        ],
        remedy: "every draw comes from an RNG in the argument list",
        except: &[],
        tests: false,
    },
    Ban {
        words: &[
            "manual_seed",
            "randn(",
            "randn_like(",
            "rand_like(",
            "Tensor::rand",
            ".normal_(",
            ".uniform_(",
            ".bernoulli_(",
            "Init::Randn",
            "Init::Uniform",
            "Init::Kaiming",
        ],
        remedy: "torch's generator is never used; draw in Rust, from an RNG in the argument list",
        // It draws from torch's generator to prove that nothing depends on it.
        except: &["resnet-blocks/tests/params"],
        tests: false,
    },
    Ban {
        words: &["no_grad("],
        remedy: "use `no_grad_guard()`: the closure form is not undone by a panic",
        except: &[],
        tests: false,
    },
    Ban {
        words: &[
            "std::fs",
            "fs::",
            "File::open",
            "File::create",
            "OpenOptions",
        ],
        remedy: "libraries touch no files; `ablation::{files, store, data, study::load, conform, runner, worker}` and `unet::diffusers::folder` do",
        except: &EDGES,
        tests: true,
    },
    Ban {
        words: &["Instant", "SystemTime"],
        remedy: "libraries read no clock; `ablation::{runner, worker}` do",
        except: &EDGES,
        tests: true,
    },
    Ban {
        words: &["env::var", "env::var_os", "env::args", "env::args_os"],
        remedy: "libraries do not read the environment; take an argument",
        except: &EDGES,
        tests: true,
    },
    Ban {
        words: &["println!", "print!", "dbg!"],
        remedy: "libraries do not print; return the text, and let the program print it",
        // Programs too: `cargo xtask calibrate`, and what cargo runs before a crate is compiled.
        except: &[
            "ablation/src/bin",
            "paired-stats/examples/calibrate/main",
            "learnability/examples/attach",
            "resnet-blocks/build",
        ],
        tests: true,
    },
    Ban {
        words: &["eprintln!", "eprint!"],
        remedy: "libraries do not print; the runner's progress is the one exception",
        except: &["ablation/src/bin", "ablation/src/runner"],
        tests: true,
    },
    Ban {
        words: &["todo!(", "unimplemented!(", "#[ignore", "FIXME"],
        remedy: "finish it, or leave it out and say so in the crate's README",
        except: &[],
        tests: false,
    },
];

/// Where the laboratory meets the world: a module as a file or as a folder.
const EDGES: [&str; 10] = [
    // The one module through which files are written: whole, synced, first wins.
    "ablation/src/files",
    // The directory of a run, and who is at work there.
    "ablation/src/store",
    // Images are read from folders.
    "ablation/src/data",
    // Studies are read from files and folders.
    "ablation/src/study/load",
    // Reference results are read from files and folders.
    "ablation/src/conform",
    // Processes are started, and their progress is timed and shown.
    "ablation/src/runner",
    // A worker names the program and the processor that it runs on, and times its cells.
    "ablation/src/worker",
    "ablation/src/bin",
    // Cargo tells a build script by the environment where things lie.
    "resnet-blocks/build",
    // Networks are exchanged with Python in folders.
    "unet/src/diffusers/folder",
];

const LONGEST_FILE: usize = 500;

/// What is wrong with one file; `name` is its path from the root, with slashes.
pub(crate) fn file_findings(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    // Inner attributes may come first: a README as the crate's page is one.
    let head = |line: &&str| !line.starts_with(char::is_alphabetic) && !line.starts_with("#[");
    if !text
        .lines()
        .take_while(head)
        .any(|line| line.starts_with("//!"))
    {
        findings.push(format!(
            "{name}:1: begins without `//!`; say what the file is about"
        ));
    }
    let lines = text.lines().count();
    if LONGEST_FILE < lines {
        findings.push(format!(
            "{name}: {lines} lines, and {LONGEST_FILE} is the most; split it by subject"
        ));
    }
    let code = code_only(text);
    let tests_begin = tests_begin(name, &code);
    for ban in &BANS {
        // The launcher is an edge: it prints, reads clocks and files; what it may not leave is unfinished work.
        let applies = name.starts_with("crates/") || ban.words.contains(&"todo!(");
        let excepted = ban.except.iter().any(|place| {
            let rest = name
                .strip_prefix("crates/")
                .and_then(|name| name.strip_prefix(place));
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if !applies || excepted {
            continue;
        }
        let end = if ban.tests { tests_begin } else { usize::MAX };
        for (number, line) in code
            .lines()
            .enumerate()
            .take_while(|(number, _)| *number < end)
        {
            if let Some(word) = ban.words.iter().find(|word| stands_in(line, word)) {
                findings.push(format!("{name}:{}: `{word}`; {}", number + 1, ban.remedy));
            }
        }
    }
    findings
}

/// The first line that belongs to tests: all of them in `tests/` and in what tests are about, and what follows
/// `#[cfg(test)]` on a module.
fn tests_begin(name: &str, code: &str) -> usize {
    let folders = ["/tests/", "/benches/"];
    let files = ["/tests.rs", "/fixture.rs"];
    if folders.iter().any(|folder| name.contains(folder))
        || files.iter().any(|file| name.ends_with(file))
    {
        return 0;
    }
    let lines: Vec<&str> = code.lines().collect();
    lines
        .windows(2)
        .position(|pair| {
            pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ")
        })
        .unwrap_or(usize::MAX)
}

/// Whether the word stands in the line as a word: `rand::rng` is not in `rand::rngs`.
fn stands_in(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let joined_before = word.starts_with(part_of_name) && before.is_some_and(part_of_name);
        let joined_after = word.ends_with(part_of_name) && after.is_some_and(part_of_name);
        !joined_before && !joined_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, code: &str) -> usize {
        file_findings(name, &format!("//! A file.\n{code}\n")).len()
    }

    #[test]
    fn a_file_begins_by_saying_what_it_is() {
        assert_eq!(
            file_findings("crates/unet/src/a.rs", "use std::io;\n").len(),
            1
        );
        assert_eq!(file_findings("crates/unet/src/a.rs", "").len(), 1);
        assert_eq!(
            file_findings("crates/unet/src/a.rs", "//! A file.\n").len(),
            0
        );
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(
            found("crates/unet/src/a.rs", &"\n".repeat(LONGEST_FILE - 2)),
            0
        );
        assert_eq!(found("crates/unet/src/a.rs", &"\n".repeat(LONGEST_FILE)), 1);
    }

    #[test]
    fn hidden_randomness_is_found_in_tests_too() {
        let place = "crates/samplers/src/a.rs";
        for code in [
            "rand::rng()",
            "thread_rng()",
            "tch::manual_seed(1)",
            "Tensor::randn([1], kind)",
            "x.normal_(0., 1.)",
        ] {
            assert_eq!(found(place, &format!("fn f() {{ {code}; }}")), 1, "{code}");
            assert_eq!(found("crates/samplers/tests/a.rs", code), 1, "{code}");
        }
        assert_eq!(found(place, "use rand::rngs::mock;"), 0);
        assert_eq!(found(place, "tch::no_grad(|| 1)"), 1);
        assert_eq!(found(place, "let _guard = tch::no_grad_guard();"), 0);
    }

    #[test]
    fn files_clocks_and_printing_have_their_places() {
        for code in [
            "use std::fs;",
            "let t = Instant::now();",
            "let t = SystemTime::now();",
        ] {
            assert_eq!(found("crates/unet/src/a.rs", code), 1, "{code}");
            assert_eq!(found("crates/ablation/src/plan.rs", code), 1, "{code}");
            assert_eq!(found("crates/ablation/src/store.rs", code), 0, "{code}");
            assert_eq!(
                found("crates/ablation/src/runner/worker.rs", code),
                0,
                "{code}"
            );
            assert_eq!(
                found("crates/ablation/src/study/load.rs", code),
                0,
                "{code}"
            );
            assert_eq!(found("crates/unet/tests/a.rs", code), 0, "{code}");
            assert_eq!(found("crates/unet/src/fixture.rs", code), 0, "{code}");
            assert_eq!(
                found(
                    "crates/unet/src/a.rs",
                    &format!("#[cfg(test)]\nmod tests {{\n{code}\n}}")
                ),
                0,
                "{code}"
            );
        }
        assert_eq!(
            found("crates/ablation/src/storefront.rs", "use std::fs;"),
            1
        );
        assert_eq!(found("crates/ablation/src/store.rs", "println!(\"x\");"), 1);
        assert_eq!(
            found("crates/ablation/src/bin/ablate.rs", "println!(\"x\");"),
            0
        );
        assert_eq!(
            found("xtask/src/a.rs", "println!(\"x\"); std::fs::read(\"x\");"),
            0
        );
    }

    #[test]
    fn unfinished_work_is_found_everywhere_but_in_words() {
        assert_eq!(found("xtask/src/a.rs", "todo!()"), 1);
        assert_eq!(found("crates/unet/tests/a.rs", "#[ignore = \"slow\"]"), 1);
        assert_eq!(
            found(
                "crates/unet/src/a.rs",
                "// todo!() is not code\nlet s = \"todo!()\";"
            ),
            0
        );
    }
}
