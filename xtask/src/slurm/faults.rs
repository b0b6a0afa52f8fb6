//! What is done to runs on the cluster, and what must be there in the end.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use super::bench::{Bench, finish, results, succeeded, wrong};
use super::lab::{MAX_ARRAY_SIZE, eventually};
use super::{ask, sh};
use crate::error::{Error, at};

type Fault = fn(&mut Bench) -> Result<(), Error>;

/// By name, the cheapest first.
const FAULTS: [(&str, Fault); 12] = [
    ("calm", calm),
    ("refused", refused),
    ("detached", detached),
    ("lost-reply", lost_reply),
    ("killed", killed),
    ("cancelled", cancelled),
    ("requeued", requeued),
    ("preempted", preempted),
    ("watcher-killed", watcher_killed),
    ("controller-lost", controller_lost),
    ("node-lost", node_lost),
    ("time-limit", time_limit),
];

/// Tries every fault, or those of a name.
pub(super) fn run(mut bench: Bench, only: Option<&str>) -> Result<usize, Error> {
    let chosen = FAULTS
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| name.contains(only)));
    let mut count = 0;
    for (name, fault) in chosen {
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

/// Twelve cells on more tasks than an array may have, two at a time.
fn calm(bench: &mut Bench) -> Result<(), Error> {
    let root = bench.another();
    let words = [
        "--engine",
        "slurm",
        "--tasks",
        "12",
        "--throttle",
        "2",
        "--memory",
        "200",
    ];
    let output = finish(bench.ablate(&bench.short, &root, &words))?;
    succeeded(&output)?;
    let script = fs::read_to_string(root.join("rounds/1.sbatch")).unwrap_or_default();
    let array = format!("--array=0-{}%2", MAX_ARRAY_SIZE - 2);
    if !script.contains(&array) {
        return Err(wrong("the array is not as large as it may be", script));
    }
    if results(&root) != bench.short.undisturbed {
        return Err(wrong(
            "results differ from those of a local run",
            root.display().to_string(),
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.ends_with("cells=12 done=12 run_now=12 diverged=0 failed=0\n") {
        return Err(wrong("the last line is another", text.into_owned()));
    }
    // Again: nothing is submitted.
    succeeded(&finish(bench.ablate(
        &bench.short,
        &root,
        &["--engine", "slurm"],
    ))?)?;
    match root.join("rounds/2.json").exists() {
        true => Err(wrong(
            "a finished run was submitted",
            root.display().to_string(),
        )),
        false => Ok(()),
    }
}

/// Slurm refuses, and says why; a later submission is the first round.
fn refused(bench: &mut Bench) -> Result<(), Error> {
    let root = bench.another();
    let words = [
        "--engine",
        "slurm",
        "--partition",
        "nowhere",
        "--memory",
        "200",
    ];
    let output = finish(bench.ablate(&bench.short, &root, &words))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(2) || !said.contains("invalid partition") {
        return Err(wrong("it is not refused in words", said));
    }
    let words = [
        "--engine",
        "slurm",
        "--partition",
        "high",
        "--memory",
        "200",
    ];
    succeeded(&finish(bench.ablate(&bench.short, &root, &words))?)?;
    match root.join("rounds/1.job").exists() && results(&root) == bench.short.undisturbed {
        true => Ok(()),
        false => Err(wrong("a second try is not as good as the first", said)),
    }
}

/// Nobody watches: the jobs make the report.
fn detached(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&["--detach"])?;
    running.wait(0)?;
    let mut status = Command::new(&bench.program);
    status.arg("status").arg(&running.root);
    let text = String::from_utf8_lossy(&finish(status)?.stdout).into_owned();
    if !(text.contains("round 1, job ") && text.contains("running")) {
        return Err(wrong("the status says nothing of the queue", text));
    }
    bench.is_whole(running)
}

/// The reply of `sbatch` is lost, with the job in the queue and without.
fn lost_reply(bench: &mut Bench) -> Result<(), Error> {
    let real = ask("command -v sbatch")?;
    for (name, submits) in [("taken", true), ("not taken", false)] {
        let root = bench.another();
        let folder = root.with_extension("bin");
        fs::create_dir_all(&folder).map_err(at("create", &folder))?;
        let fake = folder.join("sbatch");
        let taken = if submits {
            format!("{} \"$@\" > /dev/null", real.trim())
        } else {
            "true".to_owned()
        };
        let text = format!(
            "#!/bin/sh\nif mkdir {}/once 2> /dev/null; then\n  {taken}\n  echo 'sbatch: error: Batch job submission \
             failed: Socket timed out on send/recv operation' >&2\n  exit 1\nfi\necho again >> {0}/calls\nexec {} \"$@\"\n",
            folder.display(),
            real.trim()
        );
        fs::write(&fake, text).map_err(at("write", &fake))?;
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755))
            .map_err(at("change", &fake))?;
        let path = format!(
            "{}:{}",
            folder.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let words = ["--engine", "slurm", "--tasks", "2", "--memory", "200"];
        let mut command = bench.ablate(&bench.short, &root, &words);
        command.env("PATH", path);
        let output = finish(command)?;
        succeeded(&output)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The array if it was not taken, and what gathers.
        let calls = fs::read_to_string(folder.join("calls"))
            .unwrap_or_default()
            .lines()
            .count();
        if calls != if submits { 1 } else { 2 } || said.contains("all the same") != submits {
            return Err(wrong(&format!("{name}: {calls} more submissions"), said));
        }
        if results(&root) != bench.short.undisturbed {
            return Err(wrong("results differ from those of a local run", said));
        }
    }
    Ok(())
}

/// Workers are killed: their tasks fail, and another round does what is missing.
fn killed(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&[])?;
    for worker in running.workers() {
        let _ = sh(&format!("kill -KILL {worker}"));
    }
    running.wait(0)?;
    if running.rounds() < 2 {
        return Err(wrong("there was no second round", running.said()));
    }
    let explained = ask(&format!(
        "cat {}/cells/*/failure.json",
        running.root.display()
    ))?;
    if !explained.contains("\"kills\":1") {
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
    for worker in running.workers() {
        let _ = sh(&format!("kill -KILL {worker}"));
    }
    bench.is_whole(running)
}

/// The controller ends without a word, and is back a while later. It may have forgotten jobs that run, and give their
/// numbers to others; then it takes the nodes out of service, and a person puts them back.
fn controller_lost(bench: &mut Bench) -> Result<(), Error> {
    let mut running = bench.midway(&[])?;
    bench.lab.restart_controller(Duration::from_secs(12))?;
    eventually("it ends", || {
        if ask("sinfo -h -N -o %T").is_ok_and(|states| states.contains("drain")) {
            let _ = sh("scontrol update nodename=n1,n2 state=resume");
        }
        !matches!(running.child.try_wait(), Ok(None))
    })?;
    running.wait(0)?;
    bench.is_whole(running)?;
    // What it has forgotten is nobody's any more.
    let _ = sh("scancel --user=root; scontrol update nodename=n1,n2 state=resume");
    Ok(())
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
    let words = ["--time", "1", "--warning", "50"];
    let mut running = bench.begun(&bench.longest, root, &words)?;
    let job = running.first_job()?;
    eventually("a task was started again", || 0 < running.restarts(&job))?;
    running.wait(0)?;
    bench.is_as(&bench.longest, running)
}
