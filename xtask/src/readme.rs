//! The root README shows code that no compiler sees: each block must be one that a crate's README is tested with.

use std::fs;
use std::path::Path;

use crate::error::{Error, at};

/// Rust blocks of the root README that stand in no crate's README, word for word.
pub(crate) fn findings(
    root: &Path,
    crates: impl IntoIterator<Item = &'static str>,
) -> Result<Vec<String>, Error> {
    let read = |path: &Path| fs::read_to_string(path).map_err(at("read", path));
    let mut tested = Vec::new();
    for folder in crates {
        tested.extend(blocks(&read(&root.join(folder).join("README.md"))?));
    }
    Ok(untested(&read(&root.join("README.md"))?, &tested))
}

fn untested(readme: &str, tested: &[(usize, String)]) -> Vec<String> {
    blocks(readme)
        .into_iter()
        .filter(|(_, block)| !tested.iter().any(|(_, other)| other == block))
        .map(|(line, _)| {
            format!("README.md:{line}: this code is in no crate's README, where it would be tested; copy it from there")
        })
        .collect()
}

/// The blocks fenced as Rust, each with the line on which it begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim_end() == "```rust" {
            let block: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim_end() != "```")
                .collect();
            found.push((number + 1, block.join("\n")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_no_crate_tests_is_found() {
        let crates = blocks("# a\n\n```rust\nf();\n```\n\n```text\nx\n```\n");
        assert_eq!(crates, [(3, "f();".to_owned())]);
        assert!(untested("A.\n```rust\nf();\n```\n```sh\nls\n```\n", &crates).is_empty());
        let found = untested("A.\n\n```rust\nf();\ng();\n```\n", &crates);
        assert!(
            found.len() == 1 && found[0].starts_with("README.md:3:"),
            "{found:?}"
        );
    }
}
