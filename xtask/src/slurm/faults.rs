//! What is done to runs on the cluster, and what must be there in the end.

mod gathering;
mod submission;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use super::bench::{Bench, wrong};
use super::lab::{eventually, put_back};
use super::outcome::results;
use super::{ask, sh};
use crate::error::Error;
use gathering::{detached, gather_by_hand, last_finisher};
use submission::{calm, disk_full, lost_reply, refused};

type Fault = fn(&mut Bench) -> Result<(), Error>;

/// By name, the cheapest first.
const FAULTS: [(&str, Fault); 15] = [
    ("calm", calm),
    ("refused", refused),
    ("detached", detached),
    ("last-finisher", last_finisher),
    ("gather-by-hand", gather_by_hand),
    ("lost-reply", lost_reply),
    ("disk-full", disk_full),
    ("killed", killed),
    ("cancelled", cancelled),
    ("requeued", requeued),
    ("preempted", preempted),
    ("watcher-killed", watcher_killed),
    ("controller-lost", controller_lost),
    ("node-lost", node_lost),
    ("time-limit", time_limit),
];

/// The faults whose names contain `only`, or all.
fn chosen(only: Option<&str>) -> impl Iterator<Item = &'static (&'static str, Fault)> {
    let wanted = move |name: &str| only.is_none_or(|only| name.contains(only));
    FAULTS.iter().filter(move |(name, _)| wanted(name))
}

/// Refuses a name that no fault has.
pub(super) fn check(only: Option<&str>) -> Result<(), Error> {
    if chosen(only).next().is_some() {
        return Ok(());
    }
    Err(Error::NoFault {
        name: only.unwrap_or_default().to_owned(),
        known: FAULTS.iter().map(|(name, _)| (*name).to_owned()).collect(),
    })
}

/// Tries every fault, or those of a name.
pub(super) fn run(mut bench: Bench, only: Option<&str>) -> Result<usize, Error> {
    let mut count = 0;
    for (name, fault) in chosen(only) {
        let begun = Instant::now();
        fault(&mut bench).map_err(|error| wrong(name, error.to_string()))?;
        bench.lab.settle()?;
        println!(
            "{name:<16} passed in {:>3.0} s",
            begun.elapsed().as_secs_f64()
        );
        let _ = std::io::stdout().flush();
        count += 1;
    }
    let _ = fs::remove_dir_all(&bench.place);
    Ok(count)
}

/// Workers are killed, all at once after the first result and then one every two seconds: their tasks fail, and rounds do
/// what is missing.
fn killed(bench: &mut Bench) -> Result<(), Error> {
    /// Deaths after which a cell is still tried again.
    const MOST: u32 = 2;
    let mut running = bench.midway(&["--rounds", "9"])?;
    let mut kills: BTreeMap<String, u32> = BTreeMap::new();
    // One is held up, so that something is missing when the first cell has a result.
    let held = running.at_work().into_iter().take(1);
    let mut victims: Vec<(String, String)> = held.collect();
    for (_, worker) in &victims {
        sh(&format!("kill -STOP {worker}"))?;
    }
    eventually("a cell has a result", || !results(&running.root).is_empty())?;
    victims.extend(running.at_work());
    eventually("it ends", || {
        for (cell, worker) in victims.drain(..) {
            let killed = sh(&format!("kill -KILL {worker}")).is_ok();
            *kills.entry(cell).or_default() += u32::from(killed);
        }
        std::thread::sleep(Duration::from_secs(2));
        let killed = |cell: &str| kills.get(cell).copied().unwrap_or(0);
        victims = running.at_work();
        victims.retain(|(cell, _)| killed(cell) < MOST);
        victims.sort_by_key(|(cell, _)| killed(cell));
        victims.truncate(1);
        !matches!(running.child.try_wait(), Ok(None))
    })?;
    running.wait(0)?;
    running.resubmits_only_what_is_missing()?;
    if running.rounds() < 2 {
        return Err(wrong("there was no second round", running.said()));
    }
    let explained = ask(&format!(
        "cat {}/cells/*/failure.json",
        running.root.display()
    ))?;
    if !(1..=MOST).any(|kills| explained.contains(&format!("\"kills\":{kills}"))) {
        return Err(wrong("no death was noted", explained));
    }
    bench.is_whole(running)
}

/// A person cancels the array; nobody watches, and what gathers submits the rest.
fn cancelled(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&["--detach"])?;
    running.wait(0)?;
    sh(&format!("scancel {}", running.first_job()?))?;
    eventually("there is a second round", || 2 <= running.rounds())?;
    running.resubmits_only_what_is_missing()?;
    bench.is_whole(running)
}

/// Tasks are requeued while they run.
fn requeued(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&[])?;
    let job = running.first_job()?;
    sh(&format!("scontrol requeue {job}_0 {job}_1"))?;
    eventually("a task was started again", || 0 < running.restarts(&job))?;
    running.wait(0)?;
    bench.is_whole(running)
}

/// Jobs of a higher partition take both nodes.
fn preempted(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&[])?;
    let job = running.first_job()?;
    sh("sbatch -p high -N2 --exclusive -o /dev/null --wrap 'sleep 3'")?;
    eventually("a task was started again", || 0 < running.restarts(&job))?;
    running.wait(0)?;
    bench.is_whole(running)
}

/// Whoever watches is killed, and nobody comes back.
fn watcher_killed(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&["--throttle", "2"])?;
    let _ = running.child.kill();
    let _ = running.child.wait();
    running.kill_workers();
    bench.is_whole(running)
}

/// The controller ends without a word, and is back a while later. It may have forgotten jobs that run, and give their
/// numbers to others; then it takes the nodes out of service, and a person puts them back.
fn controller_lost(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&[])?;
    bench.lab.restart_controller(Duration::from_secs(12))?;
    eventually("it ends", || {
        put_back();
        !matches!(running.child.try_wait(), Ok(None))
    })?;
    running.wait(0)?;
    bench.is_whole(running)?;
    // What it has forgotten is nobody's any more.
    let _ = sh("scancel --user=root");
    bench.lab.renumber()
}

/// A node is lost with all that runs on it.
fn node_lost(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&[])?;
    bench.lab.lose_node(0);
    eventually("the node is missed", || {
        ask("sinfo -h -N -n n1 -o %T").is_ok_and(|state| state.contains("down"))
    })?;
    bench.lab.return_node(0)?;
    running.wait(0)?;
    bench.is_whole(running)
}

/// The time limit is shorter than a cell.
fn time_limit(bench: &mut Bench) -> Result<(), Error> {
    bench.longest.undisturbed = bench.alone("longest", &bench.longest)?;
    let root = bench.another();
    let words = ["--time", "1", "--warning", "55"];
    let mut running = bench.begun(&bench.longest, root, &words)?;
    let job = running.first_job()?;
    eventually("a task was started again", || 0 < running.restarts(&job))?;
    running.wait(0)?;
    bench.is_as(&bench.longest, running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_fault_has_is_refused() {
        assert!(check(None).is_ok() && check(Some("disk")).is_ok());
        let message = check(Some("dsik")).expect_err("none").to_string();
        assert!(
            message.contains("dsik") && message.contains("disk-full"),
            "{message}"
        );
    }
}
