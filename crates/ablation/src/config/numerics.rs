//! Where and with which numbers a cell computes.

use serde::{Deserialize, Serialize};

/// Device class, threads, precision and memory format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Numerics {
    /// Where tensors live.
    pub device: Device,
    /// Threads of one operation.
    pub threads: u32,
    /// What the network computes with; single precision unless the study says otherwise.
    pub precision: Precision,
    /// How the network's images lie; [`Precision::memory_format`] unless the study says otherwise.
    pub memory_format: MemoryFormat,
}

impl Numerics {
    /// In words, for what says where a result comes from.
    pub fn words(&self) -> String {
        let threads = match self.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        format!("{} ({}, {threads})", self.precision, self.memory_format)
    }
}

/// [`Numerics`] as a study and a result write them: without what goes without saying, since the names of cells, which are
/// digests of this, are older than the choice.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    device: Device,
    threads: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    precision: Option<Precision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_format: Option<MemoryFormat>,
}

impl From<Written> for Numerics {
    fn from(written: Written) -> Numerics {
        let precision = written.precision.unwrap_or(Precision::F32);
        Numerics {
            device: written.device,
            threads: written.threads,
            precision,
            memory_format: written.memory_format.unwrap_or(precision.memory_format()),
        }
    }
}

impl From<Numerics> for Written {
    fn from(numerics: Numerics) -> Written {
        let Numerics {
            device,
            threads,
            precision,
            memory_format,
        } = numerics;
        Written {
            device,
            threads,
            precision: (precision != Precision::F32).then_some(precision),
            memory_format: (memory_format != precision.memory_format()).then_some(memory_format),
        }
    }
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

impl Precision {
    /// The memory format of a study that names none.
    pub fn memory_format(self) -> MemoryFormat {
        match self {
            Precision::F32 => MemoryFormat::Contiguous,
            Precision::Bf16 => MemoryFormat::ChannelsLast,
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}

/// The order of a U-Net's images in memory; vectors are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryFormat {
    /// Channel after channel.
    Contiguous,
    /// Pixel after pixel, the channels of a pixel side by side.
    ChannelsLast,
}

impl std::fmt::Display for MemoryFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MemoryFormat::Contiguous => "contiguous",
            MemoryFormat::ChannelsLast => "channels last",
        })
    }
}

#[cfg(feature = "tch")]
impl From<MemoryFormat> for unet::MemoryFormat {
    fn from(format: MemoryFormat) -> unet::MemoryFormat {
        match format {
            MemoryFormat::Contiguous => unet::MemoryFormat::Contiguous,
            MemoryFormat::ChannelsLast => unet::MemoryFormat::ChannelsLast,
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_goes_without_saying_is_not_written() {
        let read = |value: Value| serde_json::from_value::<Numerics>(value).expect("numerics");
        let bare = json!({ "device": "cpu", "threads": 1 });
        let rounded = json!({ "device": "cpu", "threads": 1, "precision": "bf16" });
        let cases = [
            (bare.clone(), json!({}), "f32 (contiguous, 1 thread)"),
            (
                bare.clone(),
                json!({ "precision": "f32", "memory_format": "contiguous" }),
                "f32 (contiguous, 1 thread)",
            ),
            (
                json!({ "device": "cpu", "threads": 1, "memory_format": "channels_last" }),
                json!({ "memory_format": "channels_last" }),
                "f32 (channels last, 1 thread)",
            ),
            (
                rounded.clone(),
                json!({ "precision": "bf16", "memory_format": "channels_last" }),
                "bf16 (channels last, 1 thread)",
            ),
            (
                json!({ "device": "cpu", "threads": 1, "precision": "bf16", "memory_format": "contiguous" }),
                json!({ "precision": "bf16", "memory_format": "contiguous" }),
                "bf16 (contiguous, 1 thread)",
            ),
        ];
        for (canonical, said, words) in cases {
            let mut given = bare.clone();
            for (key, value) in said.as_object().expect("an object") {
                given[key] = value.clone();
            }
            let numerics = read(given);
            assert_eq!(serde_json::to_value(&numerics).expect("plain"), canonical);
            assert_eq!(read(canonical), numerics);
            assert_eq!(numerics.words(), words);
        }
    }
}
