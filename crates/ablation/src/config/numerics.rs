//! Where and with which numbers a cell computes.

use serde::{Deserialize, Serialize};

/// Device class, threads and precision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numerics {
    /// Where tensors live.
    pub device: Device,
    /// Threads of one operation.
    pub threads: u32,
    /// What the network computes with; single precision unless the study says otherwise, and only then part of the
    /// cell's name, which is older.
    #[serde(default = "single", skip_serializing_if = "is_single")]
    pub precision: Precision,
}

/// Numbers that a network computes with, between variables that are always single.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision throughout.
    F32,
    /// bfloat16: weights and features are rounded to 8 significant bits in every layer; variables, gradients of
    /// variables, Adam, the loss, and sums inside of layers and normalisations stay single.
    Bf16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}

fn single() -> Precision {
    Precision::F32
}

fn is_single(precision: &Precision) -> bool {
    *precision == Precision::F32
}

/// Device class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    Cpu,
    /// A CUDA card.
    Cuda,
}
