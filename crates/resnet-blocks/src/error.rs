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
    /// A convolution's kernel has a side other than 1 or 3.
    #[error("a convolution's kernel must be 1 or 3 pixels wide, but it is {kernel}; use 1 or 3")]
    KernelSide {
        /// The side, in pixels.
        kernel: usize,
    },
    /// A variable of this name exists already.
    #[error(
        "variable names must be unique, but `{name}` exists already; put one of the two layers under another `sub` path"
    )]
    DuplicateName {
        /// The full name, with dots.
        name: String,
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
