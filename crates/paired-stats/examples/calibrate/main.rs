//! `cargo xtask calibrate`: every statistical method in thousands of synthetic studies, beside what it
//! promises; ends with a failure if one of them does not keep it.
//!
//! The studies have generators of their own, so the figures are the same on any number of threads.
#![allow(
    clippy::print_stdout,
    reason = "a program, whose output a person reads"
)]

mod figures;

use std::process::ExitCode;

use figures::CHAPTERS;

/// Synthetic studies behind most of the figures.
const STUDIES: usize = 20_000;

fn main() -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for (title, chapter) in CHAPTERS {
        println!("{title}");
        println!("{:<47}{:>7}{:>16}{:>9}", "", "studies", "wanted", "found");
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
            println!("{figure}{verdict}");
        }
        println!();
    }
    println!("{passed} figures as promised, {failed} not");
    ExitCode::from(u8::from(0 < failed))
}
