//! Trained networks, each beside the result that it belongs to and under a digest of its own.
//!
//! Two digests name a file of weights: that of the result's bytes, so that no other's network is taken for its own,
//! and that of its own bytes, so that damage to it is seen, and mended where the cell is committed again.

use std::path::{Path, PathBuf};

use super::{RESULT, Store, committed, digest, names};
use crate::{error::Error, files, record::Record};

const FIRST: &str = "weights-";
const LAST: &str = ".safetensors";

/// The record in the folder of a cell.
///
/// # Errors
///
/// [`Error::Damaged`] where it is not as it was committed; files.
pub fn record(cell: &Path) -> Result<Record, Error> {
    let path = cell.join(RESULT);
    Ok(committed(&path, &files::read(&path)?)?.0)
}

/// The record in the folder of a cell, and its weights if they were kept.
///
/// # Errors
///
/// [`Error::Damaged`] and [`Error::DamagedWeights`] where they are not as they were committed, [`Error::Unusable`]
/// for weights without a digest of their own; files.
pub fn weights(cell: &Path) -> Result<(Record, Option<Vec<u8>>), Error> {
    let path = cell.join(RESULT);
    let (record, result) = committed(&path, &files::read(&path)?)?;
    let mut damage = None;
    for path in kept(cell, &result) {
        match whole(&path, &result) {
            Ok(weights) => return Ok((record, Some(weights))),
            Err(error) => {
                damage.get_or_insert(error);
            }
        }
    }
    damage.map_or(Ok((record, None)), Err)
}

impl Store {
    /// What is wrong with the weights of a cell's result, in words; reads all of them.
    pub fn weights_damage(&self, id: &str) -> Vec<String> {
        let Ok(bytes) = files::read(&self.result(id)) else {
            return Vec::new();
        };
        let result = digest(&bytes);
        let (mut found, mut networks) = (Vec::new(), 0);
        for path in kept(&self.cell(id), &result) {
            match whole(&path, &result) {
                Ok(_) => networks += 1,
                Err(error) => found.push(error.to_string()),
            }
        }
        if 1 < networks {
            found.push(format!(
                "its result has {networks} different files of weights, and the first by name is used"
            ));
        }
        found
    }
}

/// The weights of the result of this digest in the folder of a cell.
fn kept(cell: &Path, result: &str) -> Vec<PathBuf> {
    let mut names = names(cell);
    names.retain(|name| name.starts_with(&format!("{FIRST}{result}")) && name.ends_with(LAST));
    names.sort();
    names.iter().map(|name| cell.join(name)).collect()
}

/// The bytes of a file of weights, if they are those that its name says.
fn whole(path: &Path, result: &str) -> Result<Vec<u8>, Error> {
    let weights = files::read(path)?;
    let name = name(result, &weights);
    if path.ends_with(&name) {
        return Ok(weights);
    }
    let path = path.to_owned();
    if path.ends_with(format!("{FIRST}{result}{LAST}")) {
        let reason = format!(
            "an earlier program kept it without a digest of its own, so damage to it would not be seen; rename it to {name} if you trust it"
        );
        return Err(Error::Unusable { path, reason });
    }
    Err(Error::DamagedWeights { path })
}

/// The name of the weights that belong to the result of this digest.
pub(super) fn name(result: &str, weights: &[u8]) -> String {
    format!("{FIRST}{result}-{}{LAST}", digest(weights))
}
