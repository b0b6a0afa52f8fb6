//! Commands that look at a run: its plan, `status`, `verify`, `explain`, `diff`, `gc`.

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use ablation::{Error, frame, inspect, plan::Plan, runner::slurm, store::Store};

use crate::say;

/// How far it is, once or until nobody works on it any more.
pub(crate) fn status(root: &Path, cells: bool, watch: bool) -> Result<(), Error> {
    let (store, plan) = Store::open(root)?;
    let mut said = String::new();
    loop {
        let progress = inspect::progress(&store, &plan)?;
        if cells {
            progress
                .cells
                .iter()
                .for_each(|line| say(&format!("{line}\n")));
        }
        // Of a run on a cluster nobody has the directory: its rounds are asked for.
        let queue = match progress.is_open {
            true => slurm::standing(&store)?,
            false => None,
        };
        let is_queued = queue.as_ref().is_some_and(|queue| queue.is_open);
        let is_idle = store.coordinator().is_none() && !is_queued;
        let ends = !watch || !progress.is_open || is_idle;
        if watch && io::stdout().is_terminal() {
            let end = if ends { "\n" } else { "" };
            say(&format!("\r\x1b[2K{}{end}", progress.line));
        } else if progress.line != said {
            say(&format!("{}\n", progress.line));
        }
        if ends {
            queue
                .iter()
                .for_each(|queue| say(&format!("{}\n", queue.words)));
            return Ok(());
        }
        said = progress.line;
        // A batch system is asked less often.
        std::thread::sleep(Duration::from_secs(if queue.is_some() { 10 } else { 2 }));
    }
}

/// Whether it is as it was committed.
pub(crate) fn verify(root: &Path) -> Result<ExitCode, Error> {
    let (store, plan) = Store::open(root)?;
    let (findings, line) = inspect::verify(&store, &plan)?;
    findings.iter().for_each(|line| say(&format!("{line}\n")));
    say(&format!("{line}\n"));
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

/// All about one cell.
pub(crate) fn explain(root: &Path, cell: &str) -> Result<(), Error> {
    let (store, plan) = Store::open(root)?;
    say(&inspect::explain(&store, &plan, cell)?);
    Ok(())
}

/// How two runs differ.
pub(crate) fn diff(a: &Path, b: &Path) -> Result<ExitCode, Error> {
    let ((one, plan_one), (other, plan_other)) = (Store::open(a)?, Store::open(b)?);
    let lines = inspect::diff((&one, &plan_one), (&other, &plan_other));
    lines.iter().for_each(|line| say(&format!("{line}\n")));
    if lines.is_empty() {
        say("no difference\n");
    }
    Ok(ExitCode::from(u8::from(!lines.is_empty())))
}

/// What serves nothing is listed or removed.
pub(crate) fn gc(root: &Path, unplanned: bool, dry_run: bool) -> Result<(), Error> {
    let (store, _) = Store::open(root)?;
    let garbage = store.garbage(unplanned)?;
    if dry_run {
        garbage
            .files
            .iter()
            .for_each(|file| say(&format!("{}\n", file.display())));
    } else {
        store.collect(&garbage)?;
    }
    say(&format!(
        "{} {} files, {:.1} MB\n",
        if dry_run { "would remove" } else { "removed" },
        garbage.files.len(),
        garbage.bytes as f64 / 1e6
    ));
    Ok(())
}

pub(crate) fn print_plan(plan: &Plan, jobs: usize) -> Result<(), Error> {
    say(&format!("{}: {}\n\n", plan.name, plan.question));
    for study in &plan.studies {
        say(&format!("{} — {}\n", study.name, study.title));
        for block in &study.blocks {
            let cells = block.seeds as usize * block.arms.len();
            let seconds: f64 = block
                .arms
                .iter()
                .map(|arm| arm.seconds * f64::from(block.seeds))
                .sum();
            let parameters = block
                .arms
                .iter()
                .map(|arm| arm.parameters)
                .max()
                .unwrap_or(0);
            say(&format!(
                "  {:<26} {} arms × {:>2} seeds = {cells:>3} cells, {parameters:>6} parameters, about {:>4.1} min\n",
                block.name,
                block.arms.len(),
                block.seeds,
                seconds / 60.0 / jobs as f64
            ));
        }
    }
    for claim in &plan.claims {
        say(&format!("{} — {}\n", claim.name, claim.title));
        let seeds = claim.all_seeds().len();
        for arm in &claim.arms {
            say(&format!(
                "  {:<46} {seeds:>3} seeds, about {:>6.1} s\n",
                arm.name,
                arm.seconds * seeds as f64 / jobs as f64
            ));
        }
        if let Some(reason) = &claim.untested {
            say(&format!("  not run: {reason}\n"));
        }
        if !claim.exact.is_empty() {
            say(&format!(
                "  from the exact layer: {}\n",
                claim.exact.join(", ")
            ));
        }
    }
    if let Some(looks) = &plan.looks {
        let seeds: Vec<String> = looks.seeds.iter().map(u32::to_string).collect();
        let (last, before) = seeds.split_last().expect("there are two looks or more");
        let first = frame::due(plan, &frame::Results::default()).len();
        say(&format!(
            "\nlooks at {} and {last} seeds: {first} cells to the first, these at most\n",
            before.join(", ")
        ));
    }
    // A cell that two blocks share is run once.
    let cells = plan.cells();
    if !cells.is_empty() {
        say(&format!(
            "\n{} cells, about {} with {jobs} at a time, of {:.1} GB each at most\n",
            cells.len(),
            span(work(plan) / jobs as f64),
            plan.bytes()? / 1e9
        ));
    }
    for words in plan.out_of_reach() {
        say(&format!("warning: {words}\n"));
    }
    say("\n");
    Ok(())
}

/// Seconds that the cells of a plan take one after another, a cell that two blocks share once.
pub(crate) fn work(plan: &Plan) -> f64 {
    plan.cells().iter().map(|(_, seconds)| seconds).sum()
}

/// A span of time as one tells it.
pub(crate) fn span(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{:.0} s", seconds.max(1.0)),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}
