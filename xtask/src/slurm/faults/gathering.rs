//! Gathering in its three ways: by the job that waits for the array, by the last worker, and by hand.

use std::fs;

use crate::error::Error;
use crate::slurm::bench::{Bench, finish, succeeded, wrong};
use crate::slurm::lab::eventually;
use crate::slurm::outcome::results;
use crate::slurm::{ask, sh};

/// What a person asks of the jobs that gather: the study of all runs is `exact`.
const GATHERING: &str = "--name=ablate-exact-gather";

/// Nobody watches: the jobs make the report.
pub(super) fn detached(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&["--detach"])?;
    running.wait(0)?;
    let status = finish(bench.command("status", &running.root))?;
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    if !(text.contains("round 1, job ") && text.contains("running")) {
        return Err(wrong("the status says nothing of the queue", text));
    }
    bench.is_whole(running)
}

/// The job that waits for the array is cancelled while cells run: the last worker makes the report.
pub(super) fn last_finisher(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&["--detach"])?;
    running.wait(0)?;
    cancel_gathering(1)?;
    if running.root.join("report.md").exists() {
        return Err(wrong("it was reported before", running.said()));
    }
    let second = running.root.join("rounds/2.json");
    bench.is_whole(running)?;
    match second.exists() {
        true => Err(wrong("somebody gathered", second.display().to_string())),
        false => Ok(()),
    }
}

/// The array is cancelled, and what would gather it each time: a person does.
pub(super) fn gather_by_hand(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&["--detach"])?;
    running.wait(0)?;
    cancel_gathering(1)?;
    sh(&format!("scancel {}", running.first_job()?))?;
    let is_over = || ask("squeue -h").is_ok_and(|jobs| jobs.trim().is_empty());
    eventually("the queue is empty", is_over)?;
    let root = running.root.clone();
    let cells = bench.long.undisturbed.results.len();
    let report = ["report.md", "summary.json"].map(|name| root.join(name));
    if 1 < running.rounds() || results(&root).len() == cells || report[0].exists() {
        return Err(wrong("somebody gathered", running.said()));
    }
    let mut said = Vec::new();
    eventually("every cell has a result", || {
        said.push(finish(bench.command("gather", &root)));
        let _ = cancel_gathering(0);
        results(&root).len() == cells
    })?;
    eventually("the queue is empty", is_over)?;
    // What the last worker has written.
    for file in &report {
        let _ = fs::remove_file(file);
    }
    said.push(finish(bench.command("gather", &root)));
    let mut words = String::new();
    for output in said {
        let output = output?;
        succeeded(&output)?;
        words += &String::from_utf8_lossy(&output.stdout);
    }
    if !(words.contains("round 2: ") && words.ends_with("every cell has a result\n")) {
        return Err(wrong("gathering does not say what it does", words));
    }
    running.resubmits_only_what_is_missing()?;
    bench.is_whole(running)
}

/// Cancels jobs that gather; there must be `least` of them.
fn cancel_gathering(least: usize) -> Result<(), Error> {
    let waiting = ask(&format!("squeue -h {GATHERING}"))?;
    sh(&format!("scancel {GATHERING}"))?;
    match least <= waiting.lines().count() {
        true => Ok(()),
        false => Err(wrong("no job waits for the array", ask("squeue")?)),
    }
}
