//! The rules that constructors check.

/// A rule that an input of this crate broke, with the value that broke it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A scalar argument lies outside its range.
    #[error("{name} must lie in {range}, but is {value}; choose a value inside")]
    OutOfRange {
        /// Name of the argument.
        name: &'static str,
        /// The range, in interval notation.
        range: &'static str,
        /// The value given.
        value: f64,
    },
    /// There are fewer things than the method can work with.
    #[error("{what}: at least {needed} are needed, but there are {found}; give more")]
    TooFew {
        /// What there is too little of.
        what: &'static str,
        /// The least number.
        needed: usize,
        /// The number given.
        found: usize,
    },
    /// Two lengths that must agree do not.
    #[error("{what}: {expected} are needed, but there are {found}; give one for each")]
    Length {
        /// What was counted.
        what: &'static str,
        /// The number that fits.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A number is NaN or infinite.
    #[error("{what}: entry {index} must be finite, but is {value}; look at divergence first")]
    NotFinite {
        /// What the number belongs to.
        what: &'static str,
        /// Position of the number.
        index: usize,
        /// The number.
        value: f64,
    },
    /// A matrix of inner products differs from its transpose.
    #[error(
        "matrix of inner products: entries ({row}, {column}) and ({column}, {row}) must agree, but differ by {difference}; give the inner products of all pairs"
    )]
    Asymmetric {
        /// Row of the first entry.
        row: usize,
        /// Column of the first entry.
        column: usize,
        /// First entry minus second.
        difference: f64,
    },
    /// A test cannot reach a p that counts among so many cells.
    #[error(
        "silence marks: a test with p of at least {floor} cannot single out one of {cells} cells at rate {rate}; use more micro-batches and at least {} flips",
        (*cells as f64 / rate).ceil()
    )]
    TooCoarse {
        /// The smallest p that the test can give.
        floor: f64,
        /// Number of cells that are judged together.
        cells: usize,
        /// False discovery rate.
        rate: f64,
    },
    /// Every entry of a vector that gives a direction is zero.
    #[error("{what} must have a direction, but all of its {length} entries are 0")]
    NoDirection {
        /// The vector.
        what: &'static str,
        /// Number of entries.
        length: usize,
    },
}

/// The first number that is not finite, as an error.
pub(crate) fn check_finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite {
            what,
            index,
            value: values[index],
        }),
    }
}

pub(crate) fn check_at_least(what: &'static str, needed: usize, found: usize) -> Result<(), Error> {
    if found < needed {
        return Err(Error::TooFew {
            what,
            needed,
            found,
        });
    }
    Ok(())
}
