//! `cargo xtask bench`: every bench of every crate and the whole-program works, each beside its floor.
//!
//! A work's floor is [`Rates::floor`]: what it cannot spare over what the machine can do, which is measured before and
//! after it.
//! Benches of crates bring floors of their own, as benchmarks whose name begins with `floor`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::Args;

use crate::bench::criterion;
use crate::bench::judge::median;
use crate::bench::partner::{Partner, Start};
use crate::bench::rates::Rates;
use crate::bench::{contest, first_cell, machine, number, peers};
use crate::error::{Error, at};
use crate::forward;
use crate::process::{Invocation, Workspace};

/// Arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Against diffusers, PyTorch and numpy on the same work; sets them up the first time
    #[arg(long)]
    peers: bool,
    /// Only this row; may be repeated
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Passes of each side
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    passes: u16,
    /// Threads of each side
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Keep the run of --peers in docs/results/peers, and put its table into docs/performance.md
    #[arg(long, requires = "peers", conflicts_with = "only")]
    docs: bool,
}

/// Networks of images in bfloat16.
const BF16: &[&str] = &["--precision", "bf16"];

/// Works of the whole program, how they are spread, and what they compute with.
const WORKS: [(&str, &[&str]); 18] = [
    ("unet", &[]),
    ("unet", BF16),
    ("unet-attention", &[]),
    ("unet-attention", BF16),
    ("mlp4", &[]),
    ("mlp4", &["--spread", "two"]),
    ("mlp16", &[]),
    ("mlp16", &["--spread", "two"]),
    ("grid", &[]),
    ("sampling", &[]),
    ("sampling", BF16),
    ("solver-ddim", &[]),
    ("solver-dpm", &[]),
    ("score2d", &[]),
    ("score2d", &["--numbers", "f32"]),
    ("score64d", &[]),
    ("score64d", &["--numbers", "f32"]),
    ("probes", &[]),
];

/// Benches of the crates, with the features that they need.
const BENCHES: [(&str, &str, &[&str]); 8] = [
    ("noise-schedule", "tables", &[]),
    ("samplers", "steps", &[]),
    ("score-objective", "exact", &[]),
    ("learnability", "overhead", &["--features", "tch"]),
    ("resnet-blocks", "mlp", &["--features", "tch"]),
    ("resnet-blocks", "norm_silu", &["--features", "tch"]),
    ("unet", "layout", &["--features", "tch"]),
    ("ablation", "adam", &["--features", "tch"]),
];

/// The row of a whole run: from its start to its first finished cell, whose own seconds are the floor.
const FIRST_CELL: &str = "first-cell";

/// `cargo xtask bench`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    if arguments.peers {
        return peers::run(
            workspace,
            &peers::Run {
                only: &arguments.only,
                passes: usize::from(arguments.passes),
                threads: usize::from(arguments.threads),
                docs: arguments.docs,
            },
        );
    }
    let known = WORKS.iter().map(|(row, _)| *row);
    let known = known
        .chain(BENCHES.iter().map(|(_, bench, _)| *bench))
        .chain([contest::START, FIRST_CELL]);
    for row in &arguments.only {
        if !known.clone().any(|name| name == row) {
            let mut known: Vec<String> = known.map(str::to_owned).collect();
            known.dedup();
            return Err(Error::NoRow {
                row: row.clone(),
                known,
            });
        }
    }
    let wanted =
        |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|row| row == name);
    let (program, environment) = forward::program(workspace)?;
    let folder = workspace.target.join("bench");
    let start = |row: &str, more: &[&str]| {
        let mut words: Vec<OsString> = vec!["bench-work".into(), row.into()];
        let place = if row == contest::START { "unet" } else { row };
        words.extend(["--dir".into(), folder.join(place).into()]);
        words.extend(["--threads".into(), arguments.threads.to_string().into()]);
        words.extend(more.iter().map(OsString::from));
        Start {
            name: [&[row], more].concat().join(" "),
            program: program.clone(),
            arguments: words,
            environment: [
                environment.clone(),
                peers::threads(usize::from(arguments.threads)),
            ]
            .concat(),
            logs: folder.join("logs"),
        }
    };
    println!("{}", machine::words());
    let look = || Ok::<_, Error>(Rates::of(&Partner::start(&start("machine", &[]))?.ready));
    let mut before = look()?;
    println!("{} threads: {before}\n", arguments.threads);
    println!(
        "{:<32} {:>12} {:>12} {:>8}",
        "work", "median", "floor", "times"
    );
    for (row, more) in WORKS {
        if !wanted(row) {
            continue;
        }
        let mut partner = Partner::start(&start(row, more))?;
        let passes = (0..arguments.passes).map(|_| partner.pass());
        let passes = passes.collect::<Result<Vec<f64>, Error>>()?;
        let ready = partner.ready.clone();
        drop(partner);
        let after = look()?;
        print_row(
            &[&[row], more].concat().join(" "),
            median(passes).unwrap_or(f64::NAN),
            before.or_faster(&after).floor(&ready),
        );
        before = after;
        if row == "probes" {
            let added = ready.answer.first().copied().unwrap_or(f64::NAN);
            println!(
                "  a look at gradients adds {:.0} % to its step",
                100.0 * added
            );
        }
    }
    if wanted(contest::START) {
        let (mut began, mut floor) = (Vec::new(), None);
        for _ in 0..arguments.passes {
            let partner = Partner::start(&start(contest::START, &[]))?;
            began.push(partner.began);
            // That of the step: nobody knows what a program must do before it.
            floor = before.floor(&partner.ready);
        }
        let began = median(began).unwrap_or(f64::NAN);
        print_row("start to the first step", began, floor);
    }
    if wanted(FIRST_CELL) {
        let out = folder.join(FIRST_CELL);
        let mut line = start(FIRST_CELL, &[]);
        line.arguments = ["ablate", "smoke", "--jobs", "1", "--out"]
            .map(OsString::from)
            .to_vec();
        line.arguments.push(out.clone().into());
        let (mut began, mut cells) = (Vec::new(), Vec::new());
        for _ in 0..arguments.passes {
            let first = first_cell::first(&line, &out)?;
            began.push(first.began);
            cells.push(first.cell);
        }
        print_row(
            "start to the first finished cell",
            median(began).unwrap_or(f64::NAN),
            // What the cell says that it took.
            median(cells),
        );
    }
    benches(workspace, &folder, &environment, &wanted)
}

fn print_row(name: &str, seconds: f64, floor: Option<f64>) {
    let shown = |seconds: f64| number::value(seconds * 1e9, "ns");
    println!(
        "{name:<32} {:>12} {:>12} {:>8}",
        shown(seconds),
        floor.map_or("–".to_owned(), shown),
        floor.map_or("–".to_owned(), |floor| format!("{:.1}", seconds / floor))
    );
}

/// The crates' own benches, each benchmark beside the least floor of its group.
fn benches(
    workspace: &Workspace,
    folder: &Path,
    environment: &[(&'static str, OsString)],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(), Error> {
    let runs = folder.join("criterion");
    for (package, bench, features) in BENCHES {
        if !wanted(bench) {
            continue;
        }
        println!("\n{package}: {bench}");
        let home = runs.join(bench);
        if home.exists() {
            // What an earlier run measured may have another name now.
            fs::remove_dir_all(&home).map_err(at("remove", &home))?;
        }
        let _ = Invocation::cargo(workspace)
            .args([
                "bench",
                "--quiet",
                "--profile",
                "release",
                "-p",
                package,
                "--bench",
                bench,
            ])
            .args(features)
            .args(["--", "--noplot", "--quiet", "--save-baseline", "base"])
            .args(["--measurement-time", "1", "--warm-up-time", "0.5"])
            .envs(environment.iter().cloned())
            .env("CRITERION_HOME", &home)
            .capture()?;
        let mut timed = Vec::new();
        for run in criterion::runs(&home)? {
            if run.ends_with("base") {
                timed.push(criterion::timed(&run)?);
            }
        }
        for one in &timed {
            // The last part is the size, where there is one.
            let group = |name: &str| (name.split('/').next().map(str::to_owned), size(name));
            let floors = timed
                .iter()
                .filter(|other| criterion::is_floor(&other.name))
                .filter(|floor| group(&floor.name) == group(&one.name));
            let floor = floors.map(|floor| floor.nanoseconds).min_by(f64::total_cmp);
            let floor = floor
                .filter(|_| !criterion::is_floor(&one.name))
                .map(|ns| ns * 1e-9);
            print_row(&one.name, one.nanoseconds * 1e-9, floor);
        }
    }
    Ok(())
}

/// The number that a benchmark's name ends with.
fn size(name: &str) -> Option<u64> {
    name.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_of_the_same_size() {
        assert_eq!(size("tables/floor: a sum/1000"), Some(1000));
        assert_eq!(size("steps/Ddim"), None);
    }

    #[test]
    fn every_bench_of_the_crates_is_listed() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(crates).expect("they are there").flatten() {
            for bench in std::fs::read_dir(entry.path().join("benches"))
                .into_iter()
                .flatten()
            {
                let path = bench.expect("it is readable").path();
                let name = |path: &Path| path.file_stem().map(|s| s.to_string_lossy().into_owned());
                found.push((name(&entry.path()), name(&path)));
            }
        }
        assert_eq!(found.len(), BENCHES.len());
        for (package, bench, _) in BENCHES {
            assert!(
                found.contains(&(Some(package.to_owned()), Some(bench.to_owned()))),
                "{bench}"
            );
        }
    }
}
