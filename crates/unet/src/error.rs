//! What can be wrong with a U-Net, or with a transformer.

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
    /// A number that must be finite is not.
    #[error("{what} must be finite, but it is {value}; give an ordinary number")]
    NotANumber {
        /// The number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A network has no long skip of this name.
    #[error(
        "a long skip must be named as in the plan, but there is no `{name}`; there are: {known}"
    )]
    NoSuchSkip {
        /// The name asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no level.
    #[error("a U-Net has at least one level, but `widths` is empty; give one number per level")]
    NoLevels,
    /// A level would halve an image of one pixel.
    #[error(
        "each level but the last halves the image, but a side of {side} can be halved {most} times and {levels} levels are asked for; give fewer widths or a larger image"
    )]
    TooManyLevels {
        /// The larger side of the image, in pixels.
        side: usize,
        /// Length of `widths`.
        levels: usize,
        /// How often the side can be halved before it is 1.
        most: usize,
    },
    /// Attention is asked for on a level that there is not.
    #[error(
        "the levels of attention must be among those of `widths`, 0 the full resolution, but {level} is not below {levels}; name others"
    )]
    AttentionLevel {
        /// The level.
        level: usize,
        /// How many there are.
        levels: usize,
    },
    /// Heads do not divide the channels of an attention.
    #[error(
        "the heads of an attention must share its channels evenly, but {heads:?} does not divide {channels}; change it or `widths`"
    )]
    Heads {
        /// The rule.
        heads: crate::Heads,
        /// The channels.
        channels: usize,
    },
    /// A filter has a border that only the second path of NCSN++ has.
    #[error(
        "a filter's border must be zeros or a mirror, but it is the image's own ring of pixels, which changes the side; choose one of those"
    )]
    Ring,
    /// An image of one pixel would be mirrored.
    #[error(
        "a filter with a mirrored border needs an image of at least two pixels each way, but the deepest of {levels} levels has one; give fewer widths, a larger image or a border of zeros"
    )]
    Mirror {
        /// Length of `widths`.
        levels: usize,
    },
    /// Fourier features are a sine and a cosine each.
    #[error(
        "`embedding.channels` must be even for Fourier features, but it is {channels}; add or take one"
    )]
    Features {
        /// Number of features.
        channels: usize,
    },
    /// A number of the embedding is out of its range.
    #[error("{what} must be {rule}, but it is {value}; give such a number")]
    Range {
        /// The field.
        what: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        value: f64,
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
    /// Patches do not cover the image.
    #[error(
        "the patches of a transformer must divide the sides of the image, but {patch} does not divide {side}; take a divisor of it"
    )]
    Patch {
        /// The side of the image, in pixels.
        side: usize,
        /// That of a patch.
        patch: usize,
    },
    /// Sines of two coordinates do not fill a token.
    #[error(
        "the sines and cosines of two coordinates must share a token evenly, so that a transformer's width is a multiple of 4, but it is {width}; change it, or learn the positions"
    )]
    Positions {
        /// Numbers of a token.
        width: usize,
    },
    /// Long skips leave a block without a partner, or join it with itself.
    #[error(
        "long skips of a transformer must join its blocks in pairs around one in the middle, so that there is an odd number of them, but there are {blocks}; add or take one, or leave out the long skips"
    )]
    Pairs {
        /// The number of blocks.
        blocks: usize,
    },
    /// A branch behind a gate that begins at 0 has another 0 beside it, or no shortcut.
    #[error(
        "a branch whose gate begins at 0 must have a shortcut and no other 0 on its way, or neither ever gets a gradient, but the short skip is {short:?}; use `ShortSkip::Identity`, or give the label as a token"
    )]
    TwoZeros {
        /// The short skip.
        short: resnet_blocks::ShortSkip,
    },
    /// The label's token has another width than the others.
    #[error(
        "the embedding of a label that is a token must have the width of a token, but it has {label} and the others {width}; make them equal"
    )]
    TokenWidth {
        /// Width of the embedding.
        label: usize,
        /// Width of a token.
        width: usize,
    },
    /// A step of a plan does not fit those before it.
    #[error(
        "the steps of a network must fit each other, but at `{name}` {reason}; change one of them"
    )]
    Step {
        /// The step.
        name: String,
        /// What does not fit.
        reason: String,
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
    /// diffusers has no word for a part of the network.
    #[error(
        "a network in diffusers' format must be one that a `UNet2DModel` can be, but at `{place}` {reason}; change it, or keep the weights in a format of our own"
    )]
    NotDiffusers {
        /// The part.
        place: String,
        /// What it is, and what it would have to be.
        reason: String,
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

impl Error {
    /// The same, with the name of the block that it is about.
    pub(crate) fn at(self, block: &str) -> Error {
        match self {
            Error::Block(resnet_blocks::Error::Groups {
                name,
                channels,
                groups,
            }) => Error::Block(resnet_blocks::Error::Groups {
                name: format!("{block}.{name}"),
                channels,
                groups,
            }),
            Error::Step { reason, .. } => Error::Step {
                name: block.to_owned(),
                reason,
            },
            other => other,
        }
    }
}

/// `Ok` if the count is at least one.
pub(crate) fn positive(what: &'static str, count: usize) -> Result<(), Error> {
    if count == 0 {
        Err(Error::Zero { what })
    } else {
        Ok(())
    }
}

/// `Ok` if the number is finite.
#[cfg(feature = "tch")]
pub(crate) fn finite(what: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::NotANumber { what, value })
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
