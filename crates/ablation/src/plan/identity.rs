//! What names a cell: the digest of its canonical JSON.

use std::collections::BTreeMap;

use super::Cell;
use crate::{
    config::{CellConfig, Data},
    work::Work,
};

impl Cell {
    /// The cell of a configuration and a seed, named by the BLAKE3 digest of its canonical JSON.
    pub fn new(config: impl Into<Work>, seed: u32) -> Cell {
        let config = config.into();
        let value = serde_json::json!({ "schema": 1, "seed": seed, "config": config });
        let digest = blake3::hash(canonical(&value).as_bytes()).to_hex();
        Cell {
            id: digest[..32].to_owned(),
            seed,
            config,
        }
    }
}

/// Canonical JSON: sorted keys, no spaces, numbers as shortest round-trip decimals.
pub(crate) fn canonical(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let sorted: BTreeMap<&String, &serde_json::Value> = fields.iter().collect();
            let inner: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| {
                    format!(
                        "{}:{}",
                        serde_json::Value::String(key.clone()),
                        canonical(value)
                    )
                })
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        serde_json::Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(canonical).collect::<Vec<_>>().join(",")
            )
        }
        scalar => scalar.to_string(),
    }
}

impl CellConfig {
    /// Shape of one example: `[d]` for vectors, `[channels, height, width]` for images.
    pub fn shape(&self) -> Vec<usize> {
        match &self.data {
            Data::SongErmon {} => vec![2],
            Data::Sphere { ambient, .. } => vec![*ambient],
            Data::GaussianField {} => vec![1, 16, 16],
            Data::Images { shape, .. } => shape.to_vec(),
        }
    }
}
