//! `cargo xtask bench --peers`: the same work by us and by what a person would use instead, in alternating passes.
//!
//! All sides of a contest are prepared, answer on common inputs, and only then take turns, so that a machine that drifts
//! drifts for all. What is compared is the medians; the spread is that of the passes' own ratios.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::bench::contest::{self, Contest, Line, START, Times, contests};
use crate::bench::partner::{Partner, Start};
use crate::bench::{kept, machine, python, sides, table};
use crate::error::{Error, at};
use crate::forward;
use crate::process::{Invocation, Variables, Workspace};

/// What a run of the contests is told.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// Rows; all where there are none.
    pub(crate) only: &'a [String],
    /// Passes of each side.
    pub(crate) passes: usize,
    /// Threads of each side.
    pub(crate) threads: usize,
    /// Whether the run is kept, and docs/performance.md takes the table.
    pub(crate) docs: bool,
}

/// Both sides of the contests, ready to be started.
struct Sides {
    program: PathBuf,
    environment: Variables,
    python: PathBuf,
    script: PathBuf,
    folder: PathBuf,
    threads: usize,
}

/// Runs the contests, and prints and writes the table.
pub(crate) fn run(workspace: &Workspace, run: &Run<'_>) -> Result<(), Error> {
    let rows = chosen(run.only)?;
    if run.docs {
        sides::committed(&workspace.root)?;
    }
    let python = python::ensure(workspace)?;
    let (program, environment) = forward::program(workspace)?;
    let folder = workspace.target.join("bench-peers");
    let sides = Sides {
        program,
        environment,
        script: workspace.root.join("xtask/peers/work.py"),
        python,
        folder: folder.clone(),
        threads: run.threads,
    };
    fs::create_dir_all(&folder).map_err(at("create", &folder))?;
    // What both sides read is written anew: an old network would be another one.
    Invocation::new(&sides.python, &workspace.root)
        .args([
            sides.script.as_os_str(),
            "prepare".as_ref(),
            folder.as_os_str(),
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()?;
    let mut lines: Vec<Line> = Vec::new();
    let mut raw = Vec::new();
    for contest in &rows {
        eprintln!("bench: {}", contest.work);
        let (ours, others) = if contest.row == START {
            starts(&sides, contest, run.passes)?
        } else {
            passes(&sides, contest, run.passes)?
        };
        for other in ours.iter().chain(&others).filter(|one| !one.agrees) {
            eprintln!(
                "bench: {} of {} answers otherwise: apart by {:.1e} of the largest number",
                other.how,
                contest.row,
                other.apart.unwrap_or(f64::INFINITY)
            );
        }
        lines.extend(contest::lines(contest, &ours, &others));
        raw.push(json!({"row": contest.row, "work": contest.work, "ours": ours, "others": others}));
    }
    let setting = table::Setting {
        revision: sides::commit(&workspace.root, "HEAD").map_or("no commit".to_owned(), |commit| {
            commit.chars().take(7).collect()
        }),
        machine: machine::words(),
        build: machine::compiler(&workspace.root),
        registers: Some(machine::registers().to_owned()),
        threads: run.threads,
        passes: run.passes,
    };
    let file = folder.join("peers.json");
    let report = json!({"schema": 1, "setting": setting, "lines": lines, "contests": raw});
    let report = format!("{report:#}\n");
    fs::write(&file, &report).map_err(at("write", &file))?;
    print!("{}", table::terminal(&lines, &setting));
    println!("every pass: {}", file.display());
    if run.docs {
        let page = workspace.root.join("docs/performance.md");
        let folder = kept::folder(&workspace.root);
        kept::keep(&folder, &report)?;
        table::into_page(&page, &table::markdown(&kept::all(&folder)?))?;
        println!("table: {}", page.display());
    }
    Ok(())
}

/// The contests of these rows.
fn chosen(only: &[String]) -> Result<Vec<Contest>, Error> {
    let known = || contests().into_iter().map(|contest| contest.row.to_owned());
    for row in only {
        if !known().any(|name| name == *row) {
            return Err(Error::NoRow {
                row: row.clone(),
                known: known().collect(),
            });
        }
    }
    let wanted = |contest: &Contest| only.is_empty() || only.iter().any(|row| row == contest.row);
    Ok(contests().into_iter().filter(wanted).collect())
}

impl Sides {
    /// The networks of a row.
    fn place(&self, row: &str) -> PathBuf {
        // The first step of training is that of the U-Net.
        self.folder.join(if row == START { "unet" } else { row })
    }

    fn ours(&self, row: &str, how: &str, more: &[&str]) -> Start {
        let mut arguments: Vec<OsString> = vec!["bench-work".into(), row.into()];
        arguments.extend(["--dir".into(), self.place(row).into()]);
        arguments.extend(["--threads".into(), self.threads.to_string().into()]);
        arguments.extend(more.iter().map(OsString::from));
        Start {
            name: format!("{row} ours {how}"),
            program: self.program.clone(),
            arguments,
            environment: [self.environment.clone(), threads(self.threads)].concat(),
            logs: self.folder.join("logs"),
        }
    }

    fn other(&self, row: &str, how: &str) -> Start {
        let mut arguments: Vec<OsString> = vec![self.script.clone().into(), row.into(), how.into()];
        arguments.extend(["--dir".into(), self.place(row).into()]);
        arguments.extend(["--threads".into(), self.threads.to_string().into()]);
        Start {
            name: format!("{row} {how}"),
            program: self.python.clone(),
            arguments,
            environment: [
                ("PYTHONDONTWRITEBYTECODE", "1".into()),
                // Its own libtorch, not ours.
                ("LD_LIBRARY_PATH", OsString::new()),
                (
                    "TORCHINDUCTOR_CACHE_DIR",
                    self.folder.join("inductor").into(),
                ),
            ]
            .into_iter()
            .chain(threads(self.threads))
            .collect(),
            logs: self.folder.join("logs"),
        }
    }
}

/// For pools that ask the environment how many threads they are.
pub(crate) fn threads(count: usize) -> Variables {
    let names = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"];
    names.map(|name| (name, count.to_string().into())).to_vec()
}

/// All sides at once, in turns.
fn passes(
    sides: &Sides,
    contest: &Contest,
    passes: usize,
) -> Result<(Vec<Times>, Vec<Times>), Error> {
    let mut partners = Vec::new();
    for (how, more) in contest.ours {
        partners.push(Partner::start(&sides.ours(contest.row, how, more))?);
    }
    for (how, _) in contest.others {
        partners.push(Partner::start(&sides.other(contest.row, how))?);
    }
    let mut times = vec![Vec::new(); partners.len()];
    // The first pass of each warms it up.
    for pass in 0..=passes {
        for (partner, times) in partners.iter_mut().zip(&mut times) {
            let seconds = partner.pass()?;
            if 0 < pass {
                times.push(seconds);
            }
        }
    }
    let others = times.split_off(contest.ours.len());
    let answer = partners[0].ready.answer.clone();
    // Each against the first of ours; another of ours may lie from it as far as any of the others.
    let widest = contest.others.iter().map(|(_, tolerance)| *tolerance);
    let widest = widest.fold(0.0, f64::max);
    let mine = contest.ours.iter().map(|(how, _)| (*how, widest));
    let all = mine.chain(contest.others.iter().copied());
    let judged = all.zip(times.into_iter().chain(others)).zip(&partners);
    let mut ours: Vec<Times> = judged
        .map(|(((how, tolerance), passes), partner)| {
            let apart = contest::apart(&answer, &partner.ready.answer);
            Times {
                how: how.to_owned(),
                libtorch: partner.ready.libtorch.clone(),
                passes,
                apart: apart.is_finite().then_some(apart),
                agrees: apart <= tolerance,
            }
        })
        .collect();
    let others = ours.split_off(contest.ours.len());
    Ok((ours, others))
}

/// Each pass starts a process, until it is ready; one start before them fills caches.
fn starts(
    sides: &Sides,
    contest: &Contest,
    passes: usize,
) -> Result<(Vec<Times>, Vec<Times>), Error> {
    let (how, more) = contest.ours[0];
    let (other, tolerance) = contest.others[0];
    let both = [
        sides.ours(contest.row, how, more),
        sides.other(contest.row, other),
    ];
    let mut times = [Vec::new(), Vec::new()];
    let mut libtorch = [None, None];
    let mut apart = f64::INFINITY;
    for pass in 0..=passes {
        let mut answers = Vec::new();
        for ((start, times), libtorch) in both.iter().zip(&mut times).zip(&mut libtorch) {
            let partner = Partner::start(start)?;
            if 0 < pass {
                times.push(partner.began);
            }
            libtorch.clone_from(&partner.ready.libtorch);
            answers.push(partner.ready.answer.clone());
        }
        apart = contest::apart(&answers[0], &answers[1]);
    }
    let [mine, theirs] = times;
    let [my_libtorch, their_libtorch] = libtorch;
    let ours = Times {
        how: how.to_owned(),
        libtorch: my_libtorch,
        passes: mine,
        apart: None,
        agrees: true,
    };
    let others = Times {
        how: other.to_owned(),
        libtorch: their_libtorch,
        passes: theirs,
        apart: apart.is_finite().then_some(apart),
        agrees: apart <= tolerance,
    };
    Ok((vec![ours], vec![others]))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn rows_are_chosen_by_name() {
        assert_eq!(chosen(&[]).expect("all").len(), contests().len());
        let some = chosen(&["grid".to_owned()]).expect("one");
        assert_eq!(some[0].row, "grid");
        let message = chosen(&["gird".to_owned()]).expect_err("none").to_string();
        assert!(
            message.contains("gird") && message.contains("grid"),
            "{message}"
        );
    }

    #[test]
    fn the_other_side_knows_every_row() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/work.py");
        let text = fs::read_to_string(script).expect("it is committed");
        for contest in contests() {
            assert!(
                text.contains(&format!("\"{}\":", contest.row)),
                "{}",
                contest.row
            );
        }
    }
}
