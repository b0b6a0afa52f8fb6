//! `cargo xtask test precision`: the study that offers bfloat16 comes to the verdicts that docs/performance.md prints.

use std::ffi::OsString;
use std::fs;

use serde_json::Value;

use crate::error::{Error, at};
use crate::forward;
use crate::process::Workspace;

const STUDY: &str = "crates/ablation/studies/precision.toml";

/// The contrasts of the study and what is concluded of them. That of the effects of skips cannot be decided, whatever its
/// interval: both arms without skips are no better than doing nothing.
const VERDICTS: [(&str, &str); 5] = [
    ("precision", "supported"),
    ("skip", "supported"),
    ("difference", "inconclusive"),
    ("precision-score", "supported"),
    ("precision-energy", "supported"),
];

/// Runs the study anew, and fails where a verdict is another.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let out = workspace.target.join("precision");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(at("remove", &out))?;
    }
    let study = workspace.root.join(STUDY);
    let words: [OsString; 3] = [study.into(), "--out".into(), out.clone().into()];
    forward::line(workspace, "ablate", &words)?.run()?;
    let path = out.join("summary.json");
    let text = fs::read_to_string(&path).map_err(at("read", &path))?;
    let summary: Value = serde_json::from_str(&text).map_err(|error| Error::Results {
        path,
        rule: error.to_string(),
    })?;
    let moved = moved(&summary);
    if moved.is_empty() {
        Ok(())
    } else {
        Err(Error::Moved { moved })
    }
}

/// One line for each contrast whose verdict is another, and for each that is missing or new.
fn moved(summary: &Value) -> Vec<String> {
    let studies = summary["studies"].as_array().into_iter().flatten();
    let rows = studies.flat_map(|study| study["verdicts"].as_array().into_iter().flatten());
    let found: Vec<(&str, &str)> = rows
        .map(|row| ["id", "class"].map(|key| row[key].as_str().unwrap_or_default()))
        .map(|[id, class]| (id, class))
        .collect();
    let lacking = VERDICTS.iter().filter(|row| !found.contains(row));
    let lacking = lacking.map(|(id, class)| format!("`{id}` is not {class}"));
    let new = found.iter().filter(|row| !VERDICTS.contains(row));
    let new = new.map(|(id, class)| format!("`{id}` is {class}"));
    lacking.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_verdict_that_moves_is_named() {
        let summary = |verdicts: &[(&str, &str)]| {
            let rows: Vec<Value> = (verdicts.iter())
                .map(|(id, class)| json!({"id": id, "class": class}))
                .collect();
            json!({"studies": [{"verdicts": rows}]})
        };
        assert!(moved(&summary(&VERDICTS)).is_empty());
        let mut other = VERDICTS;
        other[0].1 = "refuted";
        assert_eq!(
            moved(&summary(&other)),
            ["`precision` is not supported", "`precision` is refuted"]
        );
        assert_eq!(
            moved(&summary(&VERDICTS[1..])),
            ["`precision` is not supported"]
        );
        assert_eq!(moved(&json!({})).len(), VERDICTS.len());
    }

    #[test]
    fn the_study_registers_these_contrasts() {
        let study = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(STUDY);
        let text = fs::read_to_string(study).expect("it is committed");
        let registered: Vec<&str> = (text.lines())
            .filter_map(|line| line.strip_prefix("id = \"")?.strip_suffix('"'))
            .collect();
        assert_eq!(registered, VERDICTS.map(|(id, _)| id));
    }
}
