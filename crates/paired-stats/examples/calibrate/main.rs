//! `cargo xtask calibrate`: every statistical method in thousands of synthetic studies, beside what it
//! promises; ends with a failure if one of them does not keep it.
//!
//! The studies have generators of their own, so the figures are the same on any number of threads.

mod figures;

use std::process::ExitCode;

use figures::{CHAPTERS, Figure, Rule};

/// Synthetic studies behind most of the figures.
const STUDIES: usize = 20_000;

fn main() -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for (title, chapter) in CHAPTERS {
        println!("{title}");
        println!("{:<47}{:>8}{:>15}{:>9}", "", "studies", "wanted", "found");
        for figure in chapter(STUDIES) {
            let verdict = match figure.passes(0.0) {
                true => {
                    passed += 1;
                    ""
                }
                false => {
                    failed += 1;
                    " FAIL"
                }
            };
            println!("{}{verdict}", line(&figure));
        }
        println!();
    }
    println!("{passed} figures as promised, {failed} not");
    ExitCode::from(u8::from(0 < failed))
}

fn line(figure: &Figure) -> String {
    let wanted = match figure.rule {
        Rule::Near(expected, tolerance) => format!("{expected:.3} ± {tolerance:.3}"),
        Rule::AtMost(limit) => format!("<= {limit:.3}"),
        Rule::AtLeast(limit) => format!(">= {limit:.3}"),
    };
    format!(
        "  {:<45}{:>8}{wanted:>15}{:>9.4}",
        figure.name, figure.studies, figure.found
    )
}
