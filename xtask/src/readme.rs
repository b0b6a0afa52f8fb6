//! The root README shows code that no compiler sees and numbers that no program wrote: each block must be one that a
//! crate's README is tested with, each interval one of a report under `docs/results`, and what stands in “quotes” must
//! stand in one of them or on the page of claims.

use std::fs;
use std::path::Path;

use crate::error::{Error, at};

/// Rust blocks of the root README that stand in no crate's README, and intervals and quotes that stand in no report.
pub(crate) fn findings(
    root: &Path,
    crates: impl IntoIterator<Item = &'static str>,
) -> Result<Vec<String>, Error> {
    let read = |path: &Path| fs::read_to_string(path).map_err(at("read", path));
    let mut tested = Vec::new();
    for folder in crates {
        tested.extend(blocks(&read(&root.join(folder).join("README.md"))?));
    }
    let mut reports = read(&root.join("docs/claims.md"))?;
    let results = root.join("docs/results");
    for entry in fs::read_dir(&results).map_err(at("read", &results))? {
        let path = entry.map_err(at("read", &results))?.path();
        if path.is_file() {
            reports += &read(&path)?;
        }
    }
    let readme = read(&root.join("README.md"))?;
    let mut found = untested(&readme, &tested);
    found.extend(unfounded(&readme, &reports));
    Ok(found)
}

/// Intervals, such as `[−1.10, −0.44]`, and “quotes” that no report has.
fn unfounded(readme: &str, reports: &str) -> Vec<String> {
    let numeric = |text: &str| {
        text.contains(", ")
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || "−., ".contains(c))
    };
    let mut found = Vec::new();
    let mut code = false;
    for (number, line) in readme.lines().enumerate() {
        code ^= line.starts_with("```");
        if code {
            continue;
        }
        let quotes = line
            .split('“')
            .skip(1)
            .filter_map(|rest| rest.split_once('”'));
        for (quote, _) in quotes.filter(|(quote, _)| !reports.contains(quote)) {
            found.push(format!(
                "README.md:{}: “{quote}” stands in no report under docs/results and not in docs/claims.md; copy it from there",
                number + 1
            ));
        }
        for inner in line
            .split('[')
            .skip(1)
            .filter_map(|rest| rest.split_once(']'))
        {
            let interval = format!("[{}]", inner.0);
            if numeric(inner.0) && !reports.contains(&interval) {
                found.push(format!(
                    "README.md:{}: {interval} stands in no report under docs/results; copy it from there",
                    number + 1
                ));
            }
        }
    }
    found
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
    fn an_interval_that_no_report_has_is_found() {
        let report = "noise | −1.09 [−1.36, −0.83] |";
        assert!(
            unfounded(
                "a [−1.36, −0.83] and [a link](b) and `[n, d]`\n```rust\n[1.0, 2.0]\n```\n",
                report
            )
            .is_empty()
        );
        assert!(unfounded("it says “noise | −1.09”, and so on", report).is_empty());
        let found = unfounded("it says “noise | −1.08”", report);
        assert!(found.len() == 1 && found[0].contains("−1.08"), "{found:?}");
        let found = unfounded("x\n−1.09 [−1.36, −0.84]", report);
        assert!(
            found.len() == 1 && found[0].starts_with("README.md:2:"),
            "{found:?}"
        );
    }

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
