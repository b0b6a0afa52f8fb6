//! `cargo xtask bench-ab`: two revisions on one machine, in blocks whose order is drawn, with A/A blocks in every job.
//!
//! Of each benchmark a block is two short runs of criterion, one right after the other: the machine drifts from minute to
//! minute, not from second to second. In an A/A block both are the base. Which side runs first is drawn from a seed that
//! is kept; benchmarks take turns, so that no benchmark has all its blocks in one mood of the machine.

use std::fs;
use std::path::{self, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser as _};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bench::blocks::{Blocks, Setting};
use crate::bench::criterion::{self, Arm};
use crate::bench::instructions::Counter;
use crate::bench::machine;
use crate::bench::sides::{self, Side, Wanted};
use crate::bench::subjects::{self, Subject};
use crate::error::{Error, at};
use crate::libtorch;
use crate::process::{Invocation, Workspace};

/// Arguments of `cargo xtask bench-ab`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The revision that is the measure
    #[arg(long, value_name = "REV")]
    base: String,
    /// The revision that is judged
    #[arg(long, value_name = "REV")]
    head: String,
    /// Blocks of both; below 6 nothing can be concluded
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..))]
    blocks: u16,
    /// Blocks of the base against itself
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..))]
    aa: u16,
    /// Only this bench; may be repeated [default: all that both have]
    #[arg(long = "bench", value_name = "NAME")]
    benches: Vec<String>,
    /// Only benchmarks whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Also benches that need libtorch
    #[arg(long)]
    torch: bool,
    /// Seconds that a run measures
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = seconds)]
    measurement: f64,
    /// Seconds that a run warms up
    #[arg(long, value_name = "SECONDS", default_value_t = 0.2, value_parser = seconds)]
    warm_up: f64,
    /// Count no instructions
    #[arg(long)]
    no_instructions: bool,
    /// Decides the order of the runs [default: drawn]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where blocks.json goes [default: bench-ab/out in cargo's target directory]
    // Absolute, since the programs that are copied there run in folders of their own.
    #[arg(long, value_name = "DIR", value_parser = PathBufValueParser::new().try_map(path::absolute::<PathBuf>))]
    out: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if seconds.is_finite() && 0.0 < seconds {
        Ok(seconds)
    } else {
        Err("a number of seconds above 0 is needed".to_owned())
    }
}

/// Builds, measures, and writes `blocks.json`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let root = &workspace.root;
    sides::committed(root)?;
    // Both names before the first build: a typing error is not worth minutes.
    let same = sides::commit(root, &arguments.base)? == sides::commit(root, &arguments.head)?;
    let torch = if arguments.torch {
        Some(libtorch::ensure(workspace)?.environment())
    } else {
        None
    };
    let wanted = Wanted {
        named: &arguments.benches,
        torch: torch.clone(),
    };
    let place = workspace.target.join("bench-ab");
    let base = Side::build(workspace, &place.join("base"), &arguments.base, &wanted)?;
    let head = if same {
        Side {
            shown: base.shown.replacen(&arguments.base, &arguments.head, 1),
            ..base.clone()
        }
    } else {
        Side::build(workspace, &place.join("head"), &arguments.head, &wanted)?
    };
    subjects::asked(&base, &head, &arguments.benches)?;
    let out = arguments.out.clone().unwrap_or_else(|| place.join("out"));
    let runs = out.join("criterion");
    if runs.exists() {
        fs::remove_dir_all(&runs).map_err(at("remove", &runs))?;
    }
    fs::create_dir_all(&runs).map_err(at("create", &runs))?;
    let environment = torch.clone().unwrap_or_default();
    let (subjects, mut left_out) =
        subjects::find(&base, &head, &runs, &arguments.filter, &environment)?;
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    });
    let line = |program: &Path| {
        let mut line = Invocation::new("taskset", root)
            .args(["--cpu-list", "0"])
            .args([program]);
        if !Invocation::new("taskset", root)
            .args(["--version"])
            .succeeds()
        {
            line = Invocation::new(program, root);
        }
        line.envs(torch.iter().flatten().cloned())
            .env("CRITERION_HOME", &runs)
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let total = arguments.blocks + arguments.aa;
    for (number, kind) in order(arguments.blocks, arguments.aa, &mut rng)
        .into_iter()
        .enumerate()
    {
        eprintln!("bench-ab: block {} of {total}", number + 1);
        let mut turn: Vec<&Subject> = subjects.iter().collect();
        turn.shuffle(&mut rng);
        for subject in turn {
            let mut pair = match kind {
                Kind::Change(block) => [
                    (Arm::Base.baseline(block), &subject.base),
                    (Arm::Head.baseline(block), &subject.head),
                ],
                Kind::Same(block) => [
                    (Arm::Left.baseline(block), &subject.base),
                    (Arm::Right.baseline(block), &subject.base),
                ],
            };
            if rng.random_bool(0.5) {
                pair.reverse();
            }
            for (baseline, program) in pair {
                let _ = line(program)
                    .args(["--bench", "--exact", &subject.name, "--noplot", "--quiet"])
                    .args(["--save-baseline", &baseline])
                    .args(["--measurement-time", &arguments.measurement.to_string()])
                    .args(["--warm-up-time", &arguments.warm_up.to_string()])
                    .capture()?;
            }
        }
    }
    let mut benchmarks = criterion::read(&runs)?;
    let counter = if arguments.no_instructions {
        Err("instructions were not counted: --no-instructions".to_owned())
    } else {
        Counter::find(root)
    };
    let counting = match counter {
        Err(why) => why,
        Ok(counter) => {
            for (number, benchmark) in benchmarks.iter_mut().enumerate() {
                let Some(subject) = (subjects.iter()).find(|one| one.name == benchmark.name) else {
                    continue;
                };
                eprintln!("bench-ab: counting {} of {}", number + 1, subjects.len());
                match counter.both(subject, root) {
                    Ok(counts) => benchmark.instructions = Some(counts),
                    Err(why) => benchmark.uncounted = Some(why),
                }
            }
            counter.words().to_owned()
        }
    };
    let measured = |name: &str| benchmarks.iter().any(|benchmark| benchmark.name == name);
    let lost = subjects.iter().map(|subject| &subject.name);
    left_out.no_result = lost.filter(|name| !measured(name)).cloned().collect();
    let setting = Setting {
        base: base.shown,
        head: head.shown,
        machine: machine::words(),
        build: machine::compiler(root),
        registers: Some(machine::registers().to_owned()),
        seed: Some(seed),
        counting,
    };
    Blocks {
        left_out,
        ..Blocks::new(setting, benchmarks)
    }
    .write(&out)?;
    println!("blocks: {}", out.display());
    println!(
        "report: cargo xtask bench-report --in {0} --out {0} --gate none",
        out.display()
    );
    Ok(())
}

/// Which block comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Change(usize),
    Same(usize),
}

/// A/A blocks among the others, wherever the draw puts them.
fn order(blocks: u16, same: u16, rng: &mut ChaCha8Rng) -> Vec<Kind> {
    let changes = (0..usize::from(blocks)).map(Kind::Change);
    let mut order: Vec<Kind> = changes
        .chain((0..usize::from(same)).map(Kind::Same))
        .collect();
    order.shuffle(rng);
    order
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    #[test]
    fn a_folder_means_the_same_wherever_a_program_runs() {
        let line = Arguments::augment_args(clap::Command::new("bench-ab"));
        let words = [
            "bench-ab",
            "--base",
            "a",
            "--head",
            "b",
            "--out",
            "bench-out",
        ];
        let matches = line.try_get_matches_from(words).expect("they are all");
        let out = Arguments::from_arg_matches(&matches)
            .expect("they are read")
            .out;
        let here = std::env::current_dir().expect("there is one");
        assert_eq!(out, Some(here.join("bench-out")));
    }

    #[test]
    fn every_block_comes_once_and_the_seed_decides_when() {
        let draw = |seed| order(12, 4, &mut ChaCha8Rng::seed_from_u64(seed));
        let order = draw(3);
        assert_eq!(order.len(), 16);
        for block in 0..12 {
            assert!(order.contains(&Kind::Change(block)));
        }
        for block in 0..4 {
            assert!(order.contains(&Kind::Same(block)));
        }
        assert_eq!(order, draw(3));
        assert_ne!(order, draw(4));
    }
}
