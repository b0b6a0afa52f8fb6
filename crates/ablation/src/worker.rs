//! A worker process: takes one open cell after another, runs it, commits it.

mod watchdog;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    cell::{self, Turn, Watch},
    checkpoint::Checkpoint,
    config::Data,
    data::Images,
    error::Error,
    inspect,
    plan::{Cell, Overrides, Plan, open_images},
    record::Attempt,
    runner::{line, stop_flag, warning_flag},
    store::{Honour, Round, Store},
};
use watchdog::Watchdog;

/// What becomes of the trained network of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// It lies beside the result.
    Keep,
    /// It is gone with the worker.
    Drop,
}

/// Exit status of a worker that was told to stop, and has kept what it did (`EX_TEMPFAIL`): start it again.
pub const STOPPED: u8 = 75;

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No cell is open.
    Finished,
    /// It was told to stop; its cell goes on from a checkpoint.
    Stopped,
    /// It was told that its time is nearly over (`SIGUSR1`), and has come further since it was started: it is worth
    /// starting again.
    Expired,
}

/// Which part of the cells a worker sees to. It begins there, and then takes what no other has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The round that the part is of; without one it is of all cells of the plan.
    pub round: Option<u32>,
    /// Its number, from 0: it sees to cells I, I + N, I + 2N, …
    pub index: usize,
    /// N: how many parts there are. What a round says of itself comes first.
    pub of: usize,
    /// What a batch system calls it; its log is named so.
    pub name: Option<String>,
}

/// How a worker keeps what it does.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Time between two checkpoints of a cell.
    pub every: Duration,
    /// What becomes of trained networks.
    pub weights: Weights,
    /// Looks, one a second, after which a cell without a step is taken for hung.
    pub hung: u32,
}

/// Works on the run in `root` until no cell is open, or until it is told to stop; keeps a checkpoint of its cell as
/// often as `keeping` says, and when it stops.
///
/// Its own cells are done when it ends well, whatever became of others: whoever starts worker I of N for each I at
/// least once has them all.
///
/// # Errors
///
/// Files, image data or a device that are missing. A cell that diverges is a result, not an error.
pub fn work(root: &Path, data: &Overrides, keeping: Keeping, task: &Task) -> Result<Ended, Error> {
    let (store, plan) = Store::open(root)?;
    let (told, warned) = (stop_flag(), warning_flag());
    let parent = rustix::process::getppid();
    // A worker whose coordinator is gone would go on unseen.
    let stop = || told.load(Ordering::Relaxed) || rustix::process::getppid() != parent;
    if let (Some(round), Some((job, _))) = (task.round, task.name.as_deref().and_then(array)) {
        store.note_job(round, job)?;
    }
    let images = images(&plan, data)?;
    let bench = Bench {
        store: &store,
        images,
        story: Attempt {
            binary: own_digest(),
            host: host(),
            libtorch: cell::libtorch(),
            ..Attempt::default()
        },
        keeping,
        watchdog: Watchdog::default(),
        stop: &stop,
    };
    let (own, others) = parts(&store, inspect::due(&store, &plan)?, task)?;
    // Not before: opening images may take long, and is no cell's fault.
    bench.watchdog.watch(keeping.hung);
    // Of its own cells those last that another machine has claimed: it may have died since, and nobody else sees to
    // them. Those of others only where nobody is at work.
    let rounds = [
        (&own, Honour::Everyone),
        (&own, Honour::Neighbours),
        (&others, Honour::Everyone),
    ];
    for (cells, honour) in rounds {
        for cell in cells {
            if bench.take(cell, honour, task.name.as_deref())? == Ended::Stopped {
                let expired = warned.load(Ordering::Relaxed) && bench.watchdog.has_stepped();
                return Ok(if expired {
                    Ended::Expired
                } else {
                    Ended::Stopped
                });
            }
        }
    }
    Ok(Ended::Finished)
}

/// `<array>_<task>`.
fn array(name: &str) -> Option<(&str, &str)> {
    name.split_once('_')
}

/// The cells of a task, and the others in the order in which it takes them.
fn parts(
    store: &Store,
    planned: Vec<(Cell, f64)>,
    task: &Task,
) -> Result<(Vec<Cell>, Vec<Cell>), Error> {
    let mut cells: Vec<Cell> = planned.into_iter().map(|(cell, _)| cell).collect();
    let rounds = match task.round {
        Some(_) => store.rounds()?,
        None => Vec::new(),
    };
    let of = match rounds.iter().find(|round| Some(round.number) == task.round) {
        Some(Round {
            tasks, cells: ids, ..
        }) => {
            cells.retain(|cell| ids.contains(&cell.id));
            cells.sort_by_key(|cell| ids.iter().position(|id| *id == cell.id));
            *tasks
        }
        None => task.of,
    };
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for (place, cell) in cells.into_iter().enumerate() {
        if place % of == task.index {
            own.push(cell);
        } else {
            others.push(cell);
        }
    }
    // Not all of them at the same one.
    let begin = own.len() * task.index;
    let count = others.len().max(1);
    others.rotate_left(begin % count);
    for part in [&mut own, &mut others] {
        // A cell that a worker died on goes to the end, so that it does not keep the others waiting.
        part.sort_by_key(|cell| store.failure(&cell.id).map_or(0, |f| f.attempts()));
    }
    Ok((own, others))
}

/// What a worker has at hand.
struct Bench<'a> {
    store: &'a Store,
    images: BTreeMap<String, Images>,
    story: Attempt,
    keeping: Keeping,
    watchdog: Watchdog,
    stop: &'a dyn Fn() -> bool,
}

impl Bench<'_> {
    /// Runs a cell if it is open and nobody is at work on it.
    fn take(&self, cell: &Cell, honour: Honour, task: Option<&str>) -> Result<Ended, Error> {
        let (store, id) = (self.store, &cell.id);
        if (self.stop)() {
            return Ok(Ended::Stopped);
        }
        let is_closed = || store.is_done(id) || store.is_given_up(id);
        let died = store.died_on(id, task);
        if is_closed() || !store.claim(id, honour, task)? {
            return Ok(Ended::Finished);
        }
        if let Some(died) = died {
            store.blame(id, &died)?;
        }
        self.watchdog.begin();
        // Between the look and the claim another worker may have finished it, or died on it.
        let ended = if is_closed() {
            Ok(Ended::Finished)
        } else {
            self.run(cell)
        };
        store.release(id);
        ended
    }

    fn run(&self, cell: &Cell) -> Result<Ended, Error> {
        let Bench {
            store,
            story,
            keeping,
            ..
        } = self;
        let images = match cell.config.data() {
            Some(Data::Images { digest, .. }) => self.images.get(digest),
            _ => None,
        };
        let (from, aside) = store.resume(&cell.id, &story.binary);
        aside.iter().for_each(|words| line(words));
        let mut shift = Shift {
            store,
            before: from.as_ref().map_or(0.0, |from| from.seconds),
            begun: Instant::now(),
            program: &story.binary,
            every: keeping.every,
            kept: Instant::now(),
            stop: self.stop,
            watchdog: &self.watchdog,
        };
        let Some(finished) = cell::run(cell, images, from, &mut shift)? else {
            return Ok(Ended::Stopped);
        };
        let finished_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let attempt = Attempt {
            seconds: shift.seconds(),
            finished_at,
            ..story.clone()
        };
        let weights = finished
            .weights
            .filter(|_| keeping.weights == Weights::Keep);
        store.commit(&finished.record, weights.as_deref(), &attempt)?;
        self.watchdog.step();
        Ok(Ended::Finished)
    }
}

/// Looks after one cell.
struct Shift<'a> {
    store: &'a Store,
    program: &'a str,
    /// Seconds that the cell took before it was taken up from a checkpoint.
    before: f64,
    begun: Instant,
    every: Duration,
    kept: Instant,
    stop: &'a dyn Fn() -> bool,
    watchdog: &'a Watchdog,
}

impl Shift<'_> {
    fn seconds(&self) -> f64 {
        self.before + self.begun.elapsed().as_secs_f64()
    }
}

impl Watch for Shift<'_> {
    fn turn(&mut self) -> Turn {
        if (self.stop)() {
            return Turn::Stop;
        }
        self.watchdog.step();
        if self.kept.elapsed() < self.every {
            Turn::GoOn
        } else {
            Turn::Keep
        }
    }

    fn keep(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Error> {
        checkpoint.seconds = self.seconds();
        self.store.keep(checkpoint)?;
        self.kept = Instant::now();
        Ok(())
    }

    fn program(&self) -> &str {
        self.program
    }
}

/// The image sets of the plan by digest, checked against the digests that the plan was made with.
fn images(plan: &Plan, overrides: &Overrides) -> Result<BTreeMap<String, Images>, Error> {
    let mut found = BTreeMap::new();
    let of_claims = plan.claim_arms().filter_map(|arm| arm.config.data());
    for data in plan.arms().map(|arm| &arm.config.data).chain(of_claims) {
        let Data::Images { name, digest, .. } = data else {
            continue;
        };
        if found.contains_key(digest) {
            continue;
        }
        let images = open_images(name, overrides)?;
        if images.digest() != *digest {
            return Err(Error::Impossible {
                place: plan.name.clone(),
                name: format!("data `{name}`"),
                value: images.digest(),
                rule: format!(
                    "the plan was made with the files of digest {digest}: give those back with --data DIR"
                ),
            });
        }
        found.insert(digest.clone(), images);
    }
    Ok(found)
}

/// Digest of the running program: results of one study belong together only if it is one.
pub fn own_digest() -> String {
    // The file at the program's path may have been replaced since; this link leads to what runs.
    let bytes = std::fs::read("/proc/self/exe")
        .or_else(|_| std::env::current_exe().and_then(std::fs::read));
    bytes.map_or_else(
        |_| "unknown".to_owned(),
        |bytes| blake3::hash(&bytes).to_hex()[..16].to_owned(),
    )
}

/// The processor in words.
fn host() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.unwrap_or(std::env::consts::ARCH))
}
