//! What a look of a sequential run decided, said when it is taken.

use std::fmt::Write as _;

use crate::report::number;
use crate::report::terminal::wrap;
use crate::report::view;
use crate::summary::Summary;

/// What the last look at each study decided, and with how many seeds it goes on; empty for a run that is judged once.
///
/// `width` is in columns.
pub fn looks(summary: &Summary, width: usize) -> String {
    let mut out = String::new();
    for study in &summary.studies {
        let Some(words) = view::standing(study) else {
            continue;
        };
        let lines = wrap(&format!("{}: {words}", study.name), width);
        let _ = writeln!(out, "{}", lines.join("\n  "));
        for row in &study.verdicts {
            let (Some(look), Some(interval)) = (row.look, number::deciding(row)) else {
                continue;
            };
            let when = if row.settled {
                format!("decided at look {look}")
            } else if study.ended {
                "undecided".to_owned()
            } else {
                "open".to_owned()
            };
            let text = format!("{}: {}, {interval}, {when}", row.id, row.verdict);
            let lines = wrap(&text, width.saturating_sub(4));
            let _ = writeln!(out, "  {}", lines.join("\n    "));
        }
    }
    out
}
