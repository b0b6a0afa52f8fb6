//! What can be wrong with a U-Net.

/// The rule that a configuration, or the building of a network, violates.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A count that must be at least one is zero.
    #[error("{what} must be at least 1, but it is 0; give a positive number")]
    Zero {
        /// The field.
        what: &'static str,
    },
    /// There is no level.
    #[error(
        "a U-Net has at least one level, but `multipliers` is empty; give one number per level"
    )]
    NoLevels,
    /// A level would halve an image of one pixel.
    #[error(
        "each level but the last halves the image, but a side of {side} can be halved {most} times and {levels} levels are asked for; give fewer multipliers or a larger image"
    )]
    TooManyLevels {
        /// Side of the image, in pixels.
        side: usize,
        /// Length of `multipliers`.
        levels: usize,
        /// How often the side can be halved before it is 1.
        most: usize,
    },
    /// A count is larger than that of any real network.
    #[error("{what} must be at most {most}, but it is {value}; give a smaller number")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The most.
        most: usize,
    },
    /// The text of a configuration is not JSON, or not an object of the right types.
    #[error(
        "a network's config.json must be a JSON object of a `UNet2DModel`'s fields, but {reason}; write it as diffusers does"
    )]
    Json {
        /// What is wrong, and where.
        reason: String,
    },
    /// Fields or values are unknown, or do not fit each other.
    #[error(
        "a `UNet2DModel`'s configuration must be one that makes a network of layers that we know, but {}; change these fields",
        listed(problems)
    )]
    Config {
        /// What is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// A file's tensors are not those of the network.
    #[error(
        "the file of weights must hold the tensors of its config.json and no others, but {}; take both from one folder",
        listed(problems)
    )]
    Tensors {
        /// What is missing, unexpected, or of another shape: one sentence each.
        problems: Vec<String>,
    },
    /// A file is not what its format says it is.
    #[error(
        "a file of weights must be whole and true safetensors, but {reason}; fetch or save it again"
    )]
    Safetensors {
        /// What is wrong.
        reason: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "all weights must be finite, but `{name}` holds a number that is not; train or save the model again"
    )]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// A file cannot be read.
    #[error(
        "`{path}` must be readable, but: {reason}; give a folder with config.json and diffusion_pytorch_model.safetensors"
    )]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// A file cannot be written.
    #[error("`{path}` must be writable, but: {reason}; give a folder that is")]
    Write {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// A choice or a layer is refused by `resnet-blocks`.
    #[error(transparent)]
    Block(#[from] resnet_blocks::Error),
}

/// `Ok` if the count is at least one.
pub(crate) fn positive(what: &'static str, count: usize) -> Result<(), Error> {
    if count == 0 {
        Err(Error::Zero { what })
    } else {
        Ok(())
    }
}

/// The first twenty, and how many more there are.
fn listed(problems: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = problems[..problems.len().min(SHOWN)].join("; ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
