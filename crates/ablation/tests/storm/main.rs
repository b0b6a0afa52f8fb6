//! Runs under a hail of faults: nothing is lost, nothing is committed twice, and every byte is that of an
//! undisturbed run.
//!
//! Two rounds here; `cargo xtask test-storm --rounds 200` sets `STORM_ROUNDS`. What happens in a round is drawn from
//! its number; when it happens is up to the machine. With torch the cells train networks, without they need none.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod round;

use std::time::Instant;

use common::{run, stderr};
use round::{Round, STUDY, Tally, committed};
use tempfile::tempdir;

#[allow(
    clippy::print_stdout,
    reason = "the tally of a long storm is worth reading"
)]
#[test]
fn nothing_is_lost_and_nothing_committed_twice() {
    let rounds =
        std::env::var("STORM_ROUNDS").map_or(2, |n| n.parse().expect("a number of rounds"));
    let folder = tempdir().expect("a temporary folder");
    let calm = run(folder.path(), &[&STUDY[..], &["--jobs", "1"]].concat());
    assert!(calm.status.success(), "{}", stderr(&calm));
    let undisturbed = committed(&folder.path().join("run"));
    assert!(8 <= undisturbed.len());
    let begun = Instant::now();
    let mut tally = Tally::default();
    for number in 0..rounds {
        Round::new(number, &mut tally).weather(&undisturbed);
    }
    println!(
        "{rounds} rounds of {} files in {:.0} s: {tally:?}",
        undisturbed.len(),
        begun.elapsed().as_secs_f64()
    );
}
