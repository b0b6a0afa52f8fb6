//! A worker process: takes one open cell after another, runs it, commits it.

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
    runner::{line, stop_flag},
    store::Store,
};

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
}

/// How a worker keeps what it does.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Time between two checkpoints of a cell.
    pub every: Duration,
    /// What becomes of trained networks.
    pub weights: Weights,
}

/// Works on the run in `root` until no cell is open, or until it is told to stop; keeps a checkpoint of its cell as
/// often as `keeping` says, and when it stops.
///
/// # Errors
///
/// Files, image data or a device that are missing. A cell that diverges is a result, not an error.
pub fn work(root: &Path, data: &Overrides, keeping: Keeping) -> Result<Ended, Error> {
    let (store, plan) = Store::open(root)?;
    let told = stop_flag();
    let parent = rustix::process::getppid();
    // A worker whose coordinator is gone would go on unseen.
    let stop = || told.load(Ordering::Relaxed) || rustix::process::getppid() != parent;
    let images = images(&plan, data)?;
    let story = Attempt {
        binary: own_digest(),
        host: host(),
        libtorch: cell::libtorch_version(),
        ..Attempt::default()
    };
    let mut cells = inspect::due(&store, &plan)?;
    // A cell that a worker died on goes to the end, so that it does not keep the others waiting.
    cells.sort_by_key(|(cell, _)| store.failure(&cell.id).map_or(0, |f| f.attempts()));
    for (cell, _) in cells {
        if stop() {
            return Ok(Ended::Stopped);
        }
        let is_closed = || store.is_done(&cell.id) || store.is_given_up(&cell.id);
        if is_closed() || !store.claim(&cell.id)? {
            continue;
        }
        // Between the look and the claim another worker may have finished it, or died on it.
        let ended = if is_closed() {
            Ok(Ended::Finished)
        } else {
            one(&store, &cell, &images, &story, keeping, &stop)
        };
        store.release(&cell.id);
        if ended? == Ended::Stopped {
            return Ok(Ended::Stopped);
        }
    }
    Ok(Ended::Finished)
}

fn one(
    store: &Store,
    cell: &Cell,
    images: &BTreeMap<String, Images>,
    story: &Attempt,
    keeping: Keeping,
    stop: &dyn Fn() -> bool,
) -> Result<Ended, Error> {
    let images = match cell.config.diffusion().map(|config| &config.data) {
        Some(Data::Images { digest, .. }) => images.get(digest),
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
        stop,
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
    Ok(Ended::Finished)
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
}

impl Shift<'_> {
    fn seconds(&self) -> f64 {
        self.before + self.begun.elapsed().as_secs_f64()
    }
}

impl Watch for Shift<'_> {
    fn turn(&mut self) -> Turn {
        if (self.stop)() {
            Turn::Stop
        } else if self.kept.elapsed() < self.every {
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
    let of_claims = plan.claim_arms().filter_map(|arm| arm.config.diffusion());
    for config in plan.arms().map(|arm| &arm.config).chain(of_claims) {
        let Data::Images { name, digest, .. } = &config.data else {
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
pub(crate) fn own_digest() -> String {
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
