//! One round: a run, what is done to it, and what must be there in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::{TempDir, tempdir};

use crate::common::{ablate, run, stderr, stdout};

#[cfg(not(feature = "tch"))]
pub(crate) const STUDY: [&str; 4] = [
    "ablate",
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/exact.toml"),
    "--out",
    "run",
];
#[cfg(feature = "tch")]
pub(crate) const STUDY: [&str; 8] = [
    "ablate", "smoke", "--seeds", "2", "--steps", "400", "--out", "run",
];

/// What was done, over all rounds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    workers_killed: u32,
    coordinators_killed: u32,
    coordinators_added: u32,
    stopped: u32,
    told_to_stop: u32,
    claims_lost: u32,
    checkpoints_damaged: u32,
    weights_damaged: u32,
    results_damaged: u32,
    clocks_turned: u32,
}

/// Bytes of every result and of every network that was kept, by cell and name.
pub(crate) fn committed(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for cell in entries(&root.join("cells")) {
        for file in entries(&cell) {
            if name(&file) == "result.json" || is_network(&name(&file)) {
                let bytes = fs::read(&file).expect("it was listed");
                found.insert(format!("{}/{}", name(&cell), name(&file)), bytes);
            }
        }
    }
    found
}

fn is_network(name: &str) -> bool {
    name.starts_with("weights-") && name.ends_with(".safetensors")
}

pub(crate) struct Round<'a> {
    number: u64,
    folder: TempDir,
    root: PathBuf,
    rng: ChaCha8Rng,
    coordinators: Vec<Child>,
    /// Workers that were stopped and sleep.
    stopped: Vec<Pid>,
    /// The inode of each result when it was first seen.
    seen: BTreeMap<PathBuf, u64>,
    /// Results and networks that we damaged. Results must be committed again; a network is mended where its result
    /// is, and is named else.
    damaged: BTreeSet<PathBuf>,
    tally: &'a mut Tally,
}

impl Round<'_> {
    pub(crate) fn new(number: u64, tally: &mut Tally) -> Round<'_> {
        let folder = tempdir().expect("a temporary folder");
        Round {
            number,
            root: folder.path().join("run"),
            folder,
            rng: ChaCha8Rng::seed_from_u64(number),
            coordinators: Vec::new(),
            stopped: Vec::new(),
            seen: BTreeMap::new(),
            damaged: BTreeSet::new(),
            tally,
        }
    }

    pub(crate) fn weather(mut self, undisturbed: &BTreeMap<String, Vec<u8>>) {
        self.coordinate();
        for _ in 0..self.rng.random_range(4..12) {
            let pause = self.rng.random_range(0..80);
            std::thread::sleep(Duration::from_millis(pause));
            self.strike();
            self.look();
        }
        let number = self.number;
        // Those that are left come to their end, and one more finds whatever they left.
        for mut child in std::mem::take(&mut self.coordinators) {
            let status = child.wait().expect("it is ours");
            assert_ne!(
                status.code(),
                Some(101),
                "round {number}: a coordinator panicked"
            );
        }
        let last = run(self.folder.path(), &[&STUDY[..], &["--jobs", "3"]].concat());
        assert!(last.status.success(), "round {number}: {}", stderr(&last));
        self.look();
        self.wake();

        self.compare(undisturbed);
        if cfg!(feature = "tch") {
            // Nobody mends what is damaged after the end.
            self.damage_network();
            self.compare(undisturbed);
        }
        let swept = run(self.folder.path(), &["gc", "run"]);
        assert!(swept.status.success(), "round {number}: {}", stderr(&swept));
        for cell in entries(&self.root.join("cells")) {
            for file in entries(&cell) {
                let name = name(&file);
                let belongs = name == "result.json"
                    || name == "failure.json"
                    || name.starts_with("attempt-")
                    || name.starts_with("weights-");
                assert!(belongs, "round {number}: {name} is left");
            }
        }
        for file in entries(&self.root.join("workers")) {
            let log = fs::read_to_string(&file).unwrap_or_default();
            assert!(!log.contains("panicked"), "round {number}: {log}");
        }
    }

    /// What is committed is what an undisturbed run commits, but for networks that we damaged: `verify` names them,
    /// and nothing else.
    fn compare(&self, undisturbed: &BTreeMap<String, Vec<u8>>) {
        let number = self.number;
        let found = committed(&self.root);
        assert!(
            found.keys().eq(undisturbed.keys()),
            "round {number}: other files than those of an undisturbed run"
        );
        let differ = found
            .keys()
            .filter(|name| found[*name] != undisturbed[*name]);
        let differ: Vec<&String> = differ.collect();
        for name in &differ {
            let is_ours = self.damaged.contains(&self.root.join("cells").join(name));
            assert!(
                is_ours && !name.ends_with("result.json"),
                "round {number}: {name} differs from that of an undisturbed run"
            );
        }
        let verdict = run(self.folder.path(), &["verify", "run"]);
        let said = stdout(&verdict);
        assert_eq!(
            said.lines().count(),
            differ.len() + 1,
            "round {number}: {said}"
        );
        assert_eq!(verdict.status.success(), differ.is_empty(), "{said}");
        for name in differ {
            assert!(said.contains(name), "round {number}: {name}: {said}");
        }
    }

    fn coordinate(&mut self) {
        let jobs = self.rng.random_range(1..=4).to_string();
        let child = ablate(self.folder.path())
            .args(STUDY)
            .args(["--jobs", &jobs, "--checkpoint", "0.005"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        self.coordinators.push(child);
    }

    fn strike(&mut self) {
        match self.rng.random_range(0..16) {
            0..5 => {
                if let Some(worker) = self.any_worker() {
                    let _ = kill_process(worker, Signal::KILL);
                    self.tally.workers_killed += 1;
                }
            }
            5..7 => {
                for mut child in std::mem::take(&mut self.coordinators) {
                    let _ = child.kill();
                    let _ = child.wait();
                    self.tally.coordinators_killed += 1;
                }
                self.coordinate();
            }
            7 => {
                // It is refused while another is at work.
                self.coordinate();
                self.tally.coordinators_added += 1;
            }
            8..10 => {
                if let Some(worker) = self.any_worker() {
                    let _ = kill_process(worker, Signal::STOP);
                    self.stopped.push(worker);
                    self.tally.stopped += 1;
                }
            }
            10 => {
                if let Some(worker) = self.any_worker() {
                    let signal = [Signal::TERM, Signal::USR1, Signal::USR2, Signal::INT];
                    let _ = kill_process(worker, *signal.choose(&mut self.rng).expect("four"));
                    self.tally.told_to_stop += 1;
                }
            }
            11 => {
                // Nobody knows any more who is at work on what.
                for claim in entries(&self.root.join("claims")) {
                    let _ = fs::remove_file(claim);
                    self.tally.claims_lost += 1;
                }
            }
            // Without torch no network is kept.
            12 if cfg!(feature = "tch") => self.damage_network(),
            12..14 => {
                let is_checkpoint =
                    |name: &str| name.starts_with("checkpoint-") && name.ends_with(".safetensors");
                if self.damage(is_checkpoint).is_some() {
                    self.tally.checkpoints_damaged += 1;
                }
            }
            14 => {
                if let Some(path) = self.damage(|name| name == "result.json") {
                    self.damaged.insert(path);
                    self.tally.results_damaged += 1;
                }
            }
            _ => {
                let [past, future] = [UNIX_EPOCH, SystemTime::now() + Duration::from_secs(1 << 32)];
                for path in self.files(|_| true) {
                    let time = if self.rng.random() { past } else { future };
                    if let Ok(file) = fs::File::open(&path) {
                        let _ = file.set_modified(time);
                    }
                }
                self.tally.clocks_turned += 1;
            }
        }
    }

    fn damage_network(&mut self) {
        if let Some(path) = self.damage(is_network) {
            self.damaged.insert(path);
            self.tally.weights_damaged += 1;
        }
    }

    /// Cuts such a file off or flips a bit of it, in place as a bad disk does.
    fn damage(&mut self, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
        let files = patiently(|| Some(self.files(&wanted)).filter(|files| !files.is_empty()))?;
        let path = files.choose(&mut self.rng)?.clone();
        let mut bytes = fs::read(&path).ok().filter(|bytes| !bytes.is_empty())?;
        let place = self.rng.random_range(0..bytes.len());
        if self.rng.random() {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1 << self.rng.random_range(0..8);
        }
        let mut open = fs::File::options()
            .write(true)
            .truncate(true)
            .open(&path)
            .ok()?;
        std::io::Write::write_all(&mut open, &bytes).ok()?;
        Some(path)
    }

    /// A worker of a coordinator of ours.
    fn any_worker(&mut self) -> Option<Pid> {
        let workers = patiently(|| {
            let children = self.coordinators.iter().flat_map(|child| {
                let path = format!("/proc/{0}/task/{0}/children", child.id());
                let text = fs::read_to_string(path).unwrap_or_default();
                let pids = text
                    .split_whitespace()
                    .filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
                pids.collect::<Vec<_>>()
            });
            // A child that was stopped before it became a worker would hold its parent for ever.
            let is_worker = |pid: &Pid| {
                let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
                line.is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"worker"))
            };
            let awake =
                children.filter(|worker| is_worker(worker) && !self.stopped.contains(worker));
            Some(awake.collect::<Vec<_>>()).filter(|workers| !workers.is_empty())
        })?;
        workers.choose(&mut self.rng).copied()
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let cells = entries(&self.root.join("cells"));
        let files = cells.iter().flat_map(|cell| entries(cell));
        files.filter(|file| wanted(&name(file))).collect()
    }

    /// A result that is there stays as it is: the same file, not another with the same bytes.
    fn look(&mut self) {
        for path in self.files(|name| name == "result.json") {
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            let before = *self.seen.entry(path.clone()).or_insert(meta.ino());
            assert!(
                before == meta.ino() || self.damaged.contains(&path),
                "round {}: {} was committed twice",
                self.number,
                path.display()
            );
        }
    }

    /// Lets the stopped workers go on, into a world in which all is done, and sees them off.
    fn wake(&mut self) {
        for worker in std::mem::take(&mut self.stopped) {
            let _ = kill_process(worker, Signal::CONT);
            let begun = Instant::now();
            let stat = format!("/proc/{}/stat", worker.as_raw_nonzero());
            let lives = || {
                let text = fs::read_to_string(&stat).unwrap_or_default();
                text.rsplit_once(") ")
                    .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
            };
            while lives() {
                let waited = begun.elapsed();
                assert!(
                    waited < Duration::from_secs(20),
                    "round {}: a zombie works on",
                    self.number
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        for child in &mut self.coordinators {
            let _ = child.kill();
            let _ = child.wait();
        }
        for worker in &self.stopped {
            let _ = kill_process(*worker, Signal::KILL);
        }
    }
}

/// What is asked for, as soon as there is some; not for ever, since all may be done.
fn patiently<T>(find: impl Fn() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = find();
        if found.is_some() || Duration::from_millis(400) < begun.elapsed() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
