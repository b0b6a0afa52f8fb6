//! What can be wrong with a configuration.

/// The rule that a configuration, or a request for a variable, violates.
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
    NotFinite {
        /// The field.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A number that must be positive is not.
    #[error("{what} must be positive, but it is {value}; give a number above 0")]
    NotPositive {
        /// The field.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A share is not between 0 and 1.
    #[error("{what} must be in [0, 1], but it is {value}; give a share")]
    NotAShare {
        /// The field.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A convolution's kernel has a side other than 1 or 3.
    #[error("a convolution's kernel must be 1 or 3 pixels wide, but it is {kernel}; use 1 or 3")]
    KernelSide {
        /// The side, in pixels.
        kernel: usize,
    },
    /// The groups of a normalisation do not divide its channels.
    #[error(
        "the groups of `{name}` must divide its channels, but {groups} do not divide {channels}; change one of them"
    )]
    Groups {
        /// The normalisation.
        name: String,
        /// Its channels.
        channels: usize,
        /// Its groups.
        groups: usize,
    },
    /// A normalisation over pixels was asked to normalise vectors.
    #[error(
        "a normalisation of vectors must not be over pixels, but it is `InstancePlus`; use `Norm::Layer` or `Norm::Rms`"
    )]
    NormOfVectors,
    /// The heads of an attention do not divide its channels.
    #[error(
        "the heads of an attention must divide its channels, but {heads} do not divide {channels}; change one of them"
    )]
    Heads {
        /// Its channels.
        channels: usize,
        /// Its heads.
        heads: usize,
    },
    /// A shortcut has other channels than its branch.
    #[error(
        "a shortcut must have as many channels as its branch, but the block maps {in_channels} to {out_channels}; give it a projection"
    )]
    Shortcut {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
    },
    /// No widths make a network cost what another does.
    #[error(
        "widths in multiples of {quantum} must come within 1 % of a cost of {target}, but {}; take a smaller quantum or another reference",
        match closest {
            Some((widths, cost)) => format!("the closest, {widths:?}, cost {cost}"),
            None => "none of about the proportions given makes a network".to_owned(),
        }
    )]
    NoMatch {
        /// The cost to match: parameters or operations.
        target: u64,
        /// What widths must be a multiple of.
        quantum: usize,
        /// The closest widths, and their cost; nothing if none can be built.
        closest: Option<(Vec<usize>, u64)>,
    },
    /// A variable of this name exists already.
    #[error(
        "variable names must be unique, but `{name}` exists already; put one of the two layers under another `sub` path"
    )]
    DuplicateName {
        /// The full name, with dots.
        name: String,
    },
    /// The values that a variable is to take are not given, or of another shape.
    #[error(
        "the value of `{name}` must be given with shape {shape:?}, but {reason}; take weights and plan from one network"
    )]
    NoValue {
        /// The full name, with dots.
        name: String,
        /// The shape that is needed.
        shape: Vec<usize>,
        /// What is there instead.
        reason: String,
    },
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
pub(crate) fn finite(what: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::NotFinite { what, value })
    }
}

/// `Ok` if the number is finite and positive.
pub(crate) fn above_zero(what: &'static str, value: f64) -> Result<(), Error> {
    finite(what, value)?;
    if 0.0 < value {
        Ok(())
    } else {
        Err(Error::NotPositive { what, value })
    }
}

/// `Ok` if the number is in \[0, 1\].
pub(crate) fn share(what: &'static str, value: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::NotAShare { what, value })
    }
}
