//! A worker process: takes one open cell after another, runs it, commits it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::Ordering,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    cell,
    config::Data,
    data::Images,
    error::Error,
    plan::{Cell, Overrides, Plan, open_images},
    record::Attempt,
    runner::interrupt_flag,
    store::{ATTEMPTS, Store},
};

/// Works on the run in `root` until no cell is open, or until it is told to stop.
///
/// # Errors
///
/// Files, image data or a device that are missing. A cell that diverges is a result, not an error.
pub fn work(root: &Path, data: &Overrides) -> Result<(), Error> {
    let (store, plan) = Store::open(root)?;
    let interrupted = interrupt_flag();
    let parent = rustix::process::getppid();
    // A worker whose coordinator is gone would go on unseen.
    let stop = || interrupted.load(Ordering::Relaxed) || rustix::process::getppid() != parent;
    let images = images(&plan, data)?;
    let attempt = Attempt {
        binary: own_digest(),
        host: host(),
        libtorch: cell::libtorch_version(),
        ..Attempt::default()
    };
    let mut cells = plan.cells();
    // A cell that a worker died on goes to the end, so that it does not keep the others waiting.
    cells.sort_by_key(|(cell, _)| store.failures(&cell.id));
    for (cell, _) in cells {
        if stop() {
            break;
        }
        if store.is_done(&cell.id)
            || ATTEMPTS <= store.failures(&cell.id)
            || !store.claim(&cell.id)?
        {
            continue;
        }
        // Between the look and the claim another worker may have finished it, or died on it.
        let outcome = if store.is_done(&cell.id) || ATTEMPTS <= store.failures(&cell.id) {
            Ok(())
        } else {
            one(&store, &cell, &images, &attempt, &stop)
        };
        store.release(&cell.id);
        outcome?;
    }
    Ok(())
}

fn one(
    store: &Store,
    cell: &Cell,
    images: &BTreeMap<String, Images>,
    attempt: &Attempt,
    stop: cell::Stop<'_>,
) -> Result<(), Error> {
    let begun = Instant::now();
    let images = match &cell.config.data {
        Data::Images { digest, .. } => images.get(digest),
        _ => None,
    };
    let Some(record) = cell::run(cell, images, stop)? else {
        return Ok(());
    };
    let finished_at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let attempt = Attempt {
        seconds: begun.elapsed().as_secs_f64(),
        finished_at,
        ..attempt.clone()
    };
    store.commit(&record, &attempt)
}

/// The image sets of the plan by digest, checked against the digests that the plan was made with.
fn images(plan: &Plan, overrides: &Overrides) -> Result<BTreeMap<String, Images>, Error> {
    let mut found = BTreeMap::new();
    for arm in plan
        .studies
        .iter()
        .flat_map(|study| &study.blocks)
        .flat_map(|block| &block.arms)
    {
        let Data::Images { name, digest, .. } = &arm.config.data else {
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
fn own_digest() -> String {
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
