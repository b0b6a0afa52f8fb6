//! The simulations of `cargo xtask calibrate` in small: what the methods say happens as often as they
//! say.
//!
//! Fewer studies, and three and a half of their standard errors more room; the generators are fixed, so a
//! failure is a change of the code.

#[path = "../examples/calibrate/figures/mod.rs"]
mod figures;

use figures::CHAPTERS;

/// Standard errors by which a figure of few studies may miss.
const ERRORS: f64 = 3.5;

fn check(chapter: usize, studies: usize) {
    let (title, chapter) = CHAPTERS[chapter];
    let missed: String = chapter(studies)
        .iter()
        .filter(|figure| !figure.passes(ERRORS))
        .map(|figure| format!("{figure}\n"))
        .collect();
    assert!(missed.is_empty(), "{title}:\n{missed}");
}

#[test]
fn tests_keep_their_level() {
    check(0, 400);
}

#[test]
fn intervals_cover() {
    check(1, 400);
}

#[test]
fn bootstrap_intervals_cover_as_tabled() {
    check(2, 400);
}

#[test]
fn power_is_as_tabled() {
    check(3, 300);
}

#[test]
fn looks_are_as_tabled() {
    check(4, 400);
}

#[test]
fn verdicts_are_rarely_wrong() {
    check(5, 150);
}
