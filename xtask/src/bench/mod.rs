//! Benchmarks: our works beside their floors and beside what others take, two revisions measured against each other, what may be concluded from it, and reports that CI can read.
//!
//! `bench` runs the benches of the crates and the works of the whole program (`ablate bench-work`); with `--peers` it has
//! diffusers, PyTorch and numpy (`xtask/peers/`) do the same work in turns with ours.
//! `bench-ab` measures: blocks of runs in changing order, and blocks in which both sides are the same program (A/A).
//! `bench-report` concludes: one log ratio per block in, one verdict per benchmark out, by the paired statistics that
//! the laboratory's own claims rest on.

pub(crate) mod ab;
pub(crate) mod report;
pub(crate) mod whole;

mod blocks;
mod contest;
mod counts;
mod criterion;
mod first_cell;
pub(crate) mod gate;
mod html;
mod instructions;
mod judge;
mod kept;
mod machine;
mod machine_files;
mod markdown;
mod number;
mod partner;
mod peers;
mod python;
mod rates;
mod sides;
mod subjects;
mod table;
mod words;
