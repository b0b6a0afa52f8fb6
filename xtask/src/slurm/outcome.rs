//! What a run came to, so that two runs can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Bytes of every result, by cell.
pub(super) type Results = BTreeMap<String, Vec<u8>>;

/// What a run came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) results: Results,
    /// `summary.json`, but for what two runs of one study may differ in.
    pub(super) summary: Value,
}

impl Outcome {
    pub(super) fn of(root: &Path) -> Outcome {
        let text = fs::read(root.join("summary.json")).unwrap_or_default();
        let mut summary = serde_json::from_slice(&text).unwrap_or_default();
        forget_circumstances(&mut summary);
        Outcome {
            results: results(root),
            summary,
        }
    }
}

/// The results of a run, by cell.
pub(super) fn results(root: &Path) -> Results {
    let cells = fs::read_dir(root.join("cells"))
        .into_iter()
        .flatten()
        .flatten();
    let read = cells.filter_map(|cell| {
        let bytes = fs::read(cell.path().join("result.json")).ok()?;
        Some((cell.file_name().to_string_lossy().into_owned(), bytes))
    });
    read.collect()
}

/// Takes out how long it took, where, and in which folder.
fn forget_circumstances(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !["seconds", "cell_seconds", "hosts", "command"].contains(&name.as_str())
            });
            fields.values_mut().for_each(forget_circumstances);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_circumstances),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circumstances_make_no_difference_and_numbers_do() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let cell = root.path().join("cells/0123");
        fs::create_dir_all(&cell).expect("a cell");
        let outcome = |seconds: u32, mean: f64, result: &str| {
            let summary = format!(
                r#"{{"blocks":[{{"seconds":{seconds},"mean":{mean}}}],"provenance":{{"hosts":["{seconds}"],"binaries":["a"]}}}}"#
            );
            fs::write(root.path().join("summary.json"), summary).expect("a summary");
            fs::write(cell.join("result.json"), result).expect("a result");
            Outcome::of(root.path())
        };
        let first = outcome(1, 0.5, "{}");
        assert_eq!(first.summary["provenance"]["binaries"][0], "a");
        assert_eq!(first, outcome(2, 0.5, "{}"));
        assert_ne!(first, outcome(1, 0.25, "{}"));
        assert_ne!(first, outcome(1, 0.5, "{ }"));
    }
}
