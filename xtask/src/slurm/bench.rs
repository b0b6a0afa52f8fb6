//! Studies to run on the cluster, and runs in the middle of their work.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::lab::{Lab, eventually};
use super::{ask, workplace};
use crate::error::{Error, at};

/// Bytes of every result, by cell.
pub(super) type Results = BTreeMap<String, Vec<u8>>;

/// A study, and what it comes to on this machine alone.
pub(super) struct Study {
    pub(super) file: PathBuf,
    pub(super) seeds: &'static str,
    pub(super) undisturbed: Results,
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
                undisturbed: Results::new(),
            })
        };
        let mut bench = Bench {
            lab,
            program,
            short: study("short", "3", "6000")?,
            long: study("long", "1", "100_000")?,
            longest: study("longest", "1", "400_000")?,
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

    pub(super) fn alone(&self, name: &str, study: &Study) -> Result<Results, Error> {
        let root = self.place.join(name);
        let output = finish(self.ablate(study, &root, &["--jobs", "2"]))?;
        succeeded(&output)?;
        Ok(results(&root))
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
        let running = Running { child, root, log };
        eventually("two cells are on their way", || 2 <= running.checkpoints())?;
        Ok(running)
    }

    /// What must be true of every run in the end.
    pub(super) fn is_whole(&self, running: Running) -> Result<(), Error> {
        self.is_as(&self.long, running)
    }

    pub(super) fn is_as(&self, study: &Study, running: Running) -> Result<(), Error> {
        let Running { root, log, .. } = &running;
        eventually("every cell has a result", || {
            results(root).len() == study.undisturbed.len()
        })?;
        eventually("there is a report", || root.join("report.md").is_file())?;
        let said = fs::read_to_string(log).unwrap_or_default();
        let tell = |what: &str| Err(wrong(what, format!("{}\n{said}", root.display())));
        if results(root) != study.undisturbed {
            return tell("results differ from those of an undisturbed run");
        }
        let mut verify = Command::new(&self.program);
        verify.arg("verify").arg(root);
        succeeded(&finish(verify)?)?;
        if said.contains("panicked") {
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

    /// The processes that work on cells.
    pub(super) fn workers(&self) -> Vec<String> {
        let claims = fs::read_dir(self.root.join("claims"))
            .into_iter()
            .flatten()
            .flatten();
        let read = claims.filter(|claim| !claim.file_name().to_string_lossy().contains('.'));
        let first = |text: String| text.split(' ').next().map(str::to_owned);
        read.filter_map(|claim| first(fs::read_to_string(claim.path()).ok()?))
            .collect()
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

/// The results of a run, by cell.
pub(super) fn results(root: &Path) -> Results {
    let cells = fs::read_dir(root.join("cells"))
        .into_iter()
        .flatten()
        .flatten();
    let read = cells.filter_map(|cell| {
        let bytes = fs::read(cell.path().join("result.json")).ok()?;
        Some((cell.file_name().to_string_lossy().into_owned(), bytes))
    });
    read.collect()
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
