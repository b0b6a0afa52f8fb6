//! A worker process: takes one open cell after another, runs it, commits it.

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    cell,
    config::Data,
    data::Images,
    error::Error,
    plan::{Overrides, Plan, open_images},
    record::Attempt,
    runner::interrupt_flag,
    store::Store,
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
    let attempt = Attempt { binary: own_digest(), host: host(), libtorch: cell::libtorch_version(), ..Attempt::default() };
    for (cell, _) in plan.cells() {
        if stop() {
            break;
        }
        if store.is_done(&cell.id) || 0 < store.failures(&cell.id) && store.claimant(&cell.id).is_some() {
            continue;
        }
        if !store.claim(&cell.id)? {
            continue;
        }
        // Between the look and the claim another worker may have finished it.
        if store.is_done(&cell.id) {
            store.release(&cell.id);
            continue;
        }
        let begun = Instant::now();
        let record = cell::run(&cell, images.as_ref(), &stop)?;
        if let Some(record) = record {
            let finished_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let attempt = Attempt { seconds: begun.elapsed().as_secs_f64(), finished_at, ..attempt.clone() };
            store.commit(&record, &attempt)?;
        }
        store.release(&cell.id);
    }
    Ok(())
}

/// The images of the plan, if it has any, checked against the digest that the plan was made with.
fn images(plan: &Plan, overrides: &Overrides) -> Result<Option<Images>, Error> {
    let configs = plan.studies.iter().flat_map(|study| &study.blocks).flat_map(|block| &block.arms).map(|arm| &arm.config);
    for config in configs {
        if let Data::Images { name, digest, .. } = &config.data {
            let images = open_images(name, overrides)?;
            if images.digest() != *digest {
                return Err(Error::Impossible {
                    place: plan.name.clone(),
                    name: format!("data `{name}`"),
                    value: images.digest(),
                    rule: format!("the plan was made with the files of digest {digest}: give those back with --data DIR"),
                });
            }
            return Ok(Some(images));
        }
    }
    Ok(None)
}

/// Digest of the running program: results of one study belong together only if it is one.
fn own_digest() -> String {
    // The file at the program's path may have been replaced since; this link leads to what runs.
    let bytes = std::fs::read("/proc/self/exe").or_else(|_| std::env::current_exe().and_then(std::fs::read));
    bytes.map_or_else(|_| "unknown".to_owned(), |bytes| blake3::hash(&bytes).to_hex()[..16].to_owned())
}

/// The processor in words.
fn host() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map(|(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.unwrap_or(std::env::consts::ARCH))
}
