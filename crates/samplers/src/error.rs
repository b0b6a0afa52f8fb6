//! The rules that constructors check.

/// A rule that a constructor of this crate found broken, with the values that broke it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The share of fresh noise must be a fraction.
    #[error(
        "ancestral stepper: eta must lie in [0, 1], got {eta}; 0 is DDIM and 1 is ancestral sampling"
    )]
    Eta {
        /// The value given.
        eta: f64,
    },
}
