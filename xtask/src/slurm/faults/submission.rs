//! How a run is handed to the queue: in peace, refused, without a reply, and on a disk that is full.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, at};
use crate::slurm::bench::{Bench, finish, succeeded, wrong};
use crate::slurm::lab::{MAX_ARRAY_SIZE, eventually};
use crate::slurm::outcome::{Outcome, results};
use crate::slurm::{ask, sh};

/// Twelve cells on more tasks than an array may have, two at a time.
pub(super) fn calm(bench: &mut Bench) -> Result<(), Error> {
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
    if Outcome::of(&root) != bench.short.undisturbed {
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
pub(super) fn refused(bench: &mut Bench) -> Result<(), Error> {
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
    match root.join("rounds/1.job").exists() && Outcome::of(&root) == bench.short.undisturbed {
        true => Ok(()),
        false => Err(wrong("a second try is not as good as the first", said)),
    }
}

/// The reply of `sbatch` is lost, with the job in the queue and without.
pub(super) fn lost_reply(bench: &mut Bench) -> Result<(), Error> {
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
        if Outcome::of(&root) != bench.short.undisturbed {
            return Err(wrong("results differ from those of a local run", said));
        }
    }
    Ok(())
}

/// The disk has no room for the program; then others fill it while cells run; then it is large enough.
pub(super) fn disk_full(bench: &mut Bench) -> Result<(), Error> {
    const MEGABYTE: u64 = 1 << 20;
    let program = fs::metadata(&bench.program).map_err(at("read", &bench.program))?;
    let root = bench.another();
    let disk = Disk::mount(&root, MEGABYTE)?;
    let words = ["--engine", "slurm", "--memory", "200"];
    let output = finish(bench.ablate(&bench.long, &root, &words))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(74) || !said.contains("is full") {
        return Err(wrong("it is not refused in words", said));
    }
    if root.join("rounds/1.json").exists() {
        return Err(wrong("a round is begun that nobody can submit", said));
    }
    disk.resize(program.len() + 16 * MEGABYTE)?;
    let mut running = bench.begun(&bench.long, root.clone(), &["--throttle", "2"])?;
    eventually("a cell has a result", || !results(&root).is_empty())?;
    eventually("it ends", || {
        disk.fill();
        !matches!(running.child.try_wait(), Ok(None))
    })?;
    running.wait(74)?;
    eventually("the queue is empty", || {
        disk.fill();
        ask("squeue -h").is_ok_and(|jobs| jobs.trim().is_empty())
    })?;
    let kept = results(&root);
    let whole = &bench.long.undisturbed.results;
    let is_whole = |(cell, bytes): (&String, &Vec<u8>)| whole.get(cell) == Some(bytes);
    if kept.is_empty() || kept.len() == whole.len() || !kept.iter().all(is_whole) {
        let what = format!("{} results were kept, or one is torn", kept.len());
        return Err(wrong(&what, running.said()));
    }
    if !running.said().contains("is full") || running.has_panicked() {
        return Err(wrong("it does not say why it ended", running.said()));
    }
    disk.resize(2 * program.len() + 64 * MEGABYTE)?;
    let mut again = bench.started(&bench.long, root, &["--throttle", "2"])?;
    again.wait(0)?;
    bench.is_whole(again)
}

/// A small disk for a run; gone with its test.
struct Disk {
    place: PathBuf,
}

impl Disk {
    fn mount(place: &Path, bytes: u64) -> Result<Disk, Error> {
        fs::create_dir(place).map_err(at("create", place))?;
        let shown = place.display();
        sh(&format!("mount -t tmpfs -o size={bytes} tmpfs {shown}"))?;
        Ok(Disk {
            place: place.to_owned(),
        })
    }

    fn resize(&self, bytes: u64) -> Result<(), Error> {
        let shown = self.place.display();
        sh(&format!("mount -o remount,size={bytes} {shown}"))
    }

    /// Somebody else takes what is left.
    fn fill(&self) {
        let other = self.place.join("of-others");
        let file = fs::OpenOptions::new().create(true).append(true).open(other);
        if let Ok(mut file) = file {
            while file.write_all(&[0; 4096]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also under a task that is just about to end.
        let _ = sh(&format!("umount --lazy {}", self.place.display()));
    }
}
