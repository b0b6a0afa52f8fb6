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
    /// A choice or a layer is refused by `resnet-blocks`.
    #[error(transparent)]
    Block(#[from] resnet_blocks::Error),
}
