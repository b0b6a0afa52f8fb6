//! Studies to run on the cluster, and runs in the middle of their work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::lab::{Lab, eventually, put_back};
use super::outcome::{Outcome, results};
use super::{ask, sh, workplace};
use crate::error::{Error, at};

/// A study, and what it comes to on this machine alone.
pub(super) struct Study {
    pub(super) file: PathBuf,
    pub(super) seeds: &'static str,
    pub(super) undisturbed: Outcome,
}

/// A cluster and studies: of cells that are soon done, and of cells that can be hit in the middle.
pub(super) struct Bench {
    pub(super) lab: Lab,
    pub(super) program: PathBuf,
    pub(super) place: PathBuf,
    pub(super) short: Study,
    pub(super) long: Study,
    /// Of cells that take longer than the shortest time limit.
    pub(super) longest: Study,
    runs: u32,
}

impl Bench {
    pub(super) fn new(lab: Lab, built: &Path, study: &Path) -> Result<Bench, Error> {
        let place = workplace()?;
        // Another build may replace it meanwhile.
        let program = place.join("ablate");
        fs::copy(built, &program).map_err(at("copy", built))?;
        let text = fs::read_to_string(study).map_err(at("read", study))?;
        let study = |name: &str, seeds, evaluations: &str| {
            let file = place.join(name).with_extension("toml");
            let text = text.replace(
                "evaluations = 6000",
                &format!("evaluations = {evaluations}"),
            );
            fs::write(&file, text).map_err(at("write", &file))?;
            Ok(Study {
                file,
                seeds,
                undisturbed: Outcome::default(),
            })
        };
        let mut bench = Bench {
            lab,
            program,
            short: study("short", "3", "6000")?,
            long: study("long", "1", "100_000")?,
            longest: study("longest", "1", "1_000_000")?,
            place,
            runs: 0,
        };
        bench.short.undisturbed = bench.alone("short", &bench.short)?;
        let begun = Instant::now();
        bench.long.undisturbed = bench.alone("long", &bench.long)?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("on this machine alone, four long cells take {seconds:.0} s");
        Ok(bench)
    }

    pub(super) fn alone(&self, name: &str, study: &Study) -> Result<Outcome, Error> {
        let root = self.place.join(name);
        let output = finish(self.ablate(study, &root, &["--jobs", "2"]))?;
        succeeded(&output)?;
        let outcome = Outcome::of(&root);
        match outcome.summary.is_null() {
            true => Err(wrong("there is no summary", root.display().to_string())),
            false => Ok(outcome),
        }
    }

    /// Another command of the program on a run.
    pub(super) fn command(&self, name: &str, root: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg(root).current_dir(&self.place);
        command
    }

    pub(super) fn ablate(&self, study: &Study, root: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("ablate")
            .arg(&study.file)
            .args(["--seeds", study.seeds, "--out"])
            .arg(root)
            .args(words)
            .current_dir(&self.place)
            .stdin(Stdio::null());
        command
    }

    /// A place for another run.
    pub(super) fn another(&mut self) -> PathBuf {
        self.runs += 1;
        self.place.join(format!("run-{}", self.runs))
    }

    /// A run of the long study in the background, once cells are being worked on and have a checkpoint.
    pub(super) fn midway(&mut self, words: &[&str]) -> Result<Running, Error> {
        let root = self.another();
        self.begun(&self.long, root, words)
    }

    pub(super) fn begun(
        &self,
        study: &Study,
        root: PathBuf,
        words: &[&str],
    ) -> Result<Running, Error> {
        let running = self.started(study, root, words)?;
        eventually("two cells are on their way", || {
            put_back();
            2 <= running.checkpoints()
        })?;
        Ok(running)
    }

    /// A run in the background.
    pub(super) fn started(
        &self,
        study: &Study,
        root: PathBuf,
        words: &[&str],
    ) -> Result<Running, Error> {
        let usual = [
            "--engine",
            "slurm",
            "--tasks",
            "4",
            "--checkpoint",
            "0.2",
            "--memory",
            "200",
        ];
        let mut command = self.ablate(study, &root, &[&usual, words].concat());
        let log = root.with_extension("log");
        let file = fs::File::create(&log).map_err(at("create", &log))?;
        let also = file.try_clone().map_err(at("open", &log))?;
        let child = command.stdout(file).stderr(also).spawn();
        let child = child.map_err(|source| Error::Start {
            command: "ablate".to_owned(),
            source,
        })?;
        Ok(Running { child, root, log })
    }

    /// What must be true of every run in the end.
    pub(super) fn is_whole(&self, running: Running) -> Result<(), Error> {
        self.is_as(&self.long, running)
    }

    pub(super) fn is_as(&self, study: &Study, running: Running) -> Result<(), Error> {
        let Running { root, log, .. } = &running;
        let wanted = &study.undisturbed;
        eventually("every cell has a result", || {
            results(root).len() == wanted.results.len()
        })?;
        let said = fs::read_to_string(log).unwrap_or_default();
        let tell = |what: &str| Err(wrong(what, format!("{}\n{said}", root.display())));
        if results(root) != wanted.results {
            return tell("results differ from those of an undisturbed run");
        }
        // There may be one of what was finished before.
        eventually("the report is that of an undisturbed run", || {
            Outcome::of(root).summary == wanted.summary && root.join("report.md").is_file()
        })?;
        succeeded(&finish(self.command("verify", root))?)?;
        if running.has_panicked() {
            return tell("it panicked");
        }
        Ok(())
    }
}

/// A run that somebody watches.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) root: PathBuf,
    pub(super) log: PathBuf,
}

impl Running {
    pub(super) fn checkpoints(&self) -> usize {
        let Ok(cells) = fs::read_dir(self.root.join("cells")) else {
            return 0;
        };
        let has_one = |cell: &Path| {
            let files = fs::read_dir(cell).into_iter().flatten().flatten();
            files.into_iter().any(|file| {
                file.file_name()
                    .to_string_lossy()
                    .starts_with("checkpoint-")
            })
        };
        cells.flatten().filter(|cell| has_one(&cell.path())).count()
    }

    pub(super) fn job(&self, round: u32) -> Option<String> {
        let path = self.root.join("rounds").join(format!("{round}.job"));
        Some(fs::read_to_string(path).ok()?.trim().to_owned())
    }

    pub(super) fn first_job(&self) -> Result<String, Error> {
        self.job(1)
            .ok_or_else(|| wrong("round 1 has no job", self.said()))
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether whoever watches or a task has panicked.
    pub(super) fn has_panicked(&self) -> bool {
        let logs = fs::read_dir(self.root.join("workers"))
            .into_iter()
            .flatten()
            .flatten();
        let paths = logs.map(|log| log.path()).chain([self.log.clone()]);
        let mut texts = paths.map(|path| fs::read(path).unwrap_or_default());
        texts.any(|text| String::from_utf8_lossy(&text).contains("panicked"))
    }

    /// The cells that are worked on, each with the number of the process.
    pub(super) fn at_work(&self) -> Vec<(String, String)> {
        let claims = fs::read_dir(self.root.join("claims"))
            .into_iter()
            .flatten()
            .flatten();
        let read = claims.filter_map(|claim| {
            let cell = claim.file_name().to_string_lossy().into_owned();
            let text = fs::read_to_string(claim.path()).ok()?;
            Some((cell, text.split(' ').next()?.to_owned()))
        });
        // Names with a dot are claims that are being written; a claim outlives a worker that was killed.
        let lives = |worker: &str| Path::new("/proc").join(worker).exists();
        read.filter(|(cell, worker)| !cell.contains('.') && lives(worker))
            .collect()
    }

    /// Kills every worker.
    pub(super) fn kill_workers(&self) {
        for (_, worker) in self.at_work() {
            let _ = sh(&format!("kill -KILL {worker}"));
        }
    }

    /// The cells of a round.
    fn cells(&self, round: usize) -> Vec<String> {
        let path = self.root.join("rounds").join(format!("{round}.json"));
        let text = fs::read(path).unwrap_or_default();
        let round: Value = serde_json::from_slice(&text).unwrap_or_default();
        let cells = round["cells"].as_array().into_iter().flatten();
        cells
            .filter_map(|cell| Some(cell.as_str()?.to_owned()))
            .collect()
    }

    /// Each round is of cells of the one before, and of none that had a result when the round was written.
    pub(super) fn resubmits_only_what_is_missing(&self) -> Result<(), Error> {
        let written = |name: String| -> Option<SystemTime> {
            fs::metadata(self.root.join(name)).ok()?.modified().ok()
        };
        for round in 2..=self.rounds() {
            let begun = written(format!("rounds/{round}.json"));
            let (before, cells) = (self.cells(round - 1), self.cells(round));
            let is_missing = |cell: &String| {
                let result = written(format!("cells/{cell}/result.json"));
                before.contains(cell) && result.is_none_or(|result| begun < Some(result))
            };
            if cells.is_empty() || !cells.iter().all(is_missing) {
                let what = format!("round {round} is not of what round {} left", round - 1);
                return Err(wrong(&what, format!("{before:?}, then {cells:?}")));
            }
        }
        Ok(())
    }

    /// Waits for whoever watches.
    pub(super) fn wait(&mut self, status: i32) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.child.try_wait().map_err(at("watch", &self.log))? {
                return match ended.code() == Some(status) {
                    true => Ok(()),
                    false => Err(wrong(&format!("it ended with {ended}"), self.said())),
                };
            }
            if Duration::from_secs(400) < begun.elapsed() {
                let queue = ask("squeue -a; scontrol show job").unwrap_or_default();
                return Err(wrong(
                    "it does not end",
                    format!("{}\n{queue}", self.said()),
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(super) fn restarts(&self, job: &str) -> usize {
        let shown = ask(&format!("scontrol show job {job}")).unwrap_or_default();
        let restarted = |word: &&str| word.starts_with("Restarts=") && *word != "Restarts=0";
        shown.split_whitespace().filter(restarted).count()
    }

    pub(super) fn rounds(&self) -> usize {
        (1..).take_while(|round| self.job(*round).is_some()).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn finish(mut command: Command) -> Result<Output, Error> {
    command.output().map_err(|source| Error::Start {
        command: "ablate".to_owned(),
        source,
    })
}

pub(super) fn succeeded(output: &Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let said =
        [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
    Err(wrong(
        &format!("it ended with {}", output.status),
        said.concat(),
    ))
}

pub(super) fn wrong(what: &str, why: String) -> Error {
    Error::Cluster {
        what: what.to_owned(),
        why,
    }
}
