//! What a constructor of this crate refuses, named after the violated rule.

/// A rule that a value handed to a constructor does not meet.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value must lie in (0, ∞).
    #[error("{name} must be positive and finite, not {value}; give a value above zero")]
    NotPositive {
        /// The argument.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// The value must lie in [0, ∞).
    #[error("{name} must be non-negative and finite, not {value}; give zero or more")]
    Negative {
        /// The argument.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// The value must be a finite number.
    #[error("{name} must be finite, not {value}; remove the infinite or missing entries")]
    NotFinite {
        /// The argument.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// A length must agree with another argument.
    #[error("{name} must have length {expected}, not {given}; make the arguments agree")]
    Length {
        /// The argument.
        name: &'static str,
        /// The length that the other arguments imply.
        expected: usize,
        /// What was given.
        given: usize,
    },
    /// A count must lie in a range.
    #[error("{name} must lie in {least}..={most}, not {given}; choose a number in that range")]
    Count {
        /// The argument.
        name: &'static str,
        /// The smallest number allowed.
        least: usize,
        /// The largest number allowed.
        most: usize,
        /// What was given.
        given: usize,
    },
    /// The columns of a basis must be orthonormal.
    #[error(
        "the basis must be orthonormal, but |U'U - I| reaches {deviation:e}; orthonormalise its columns"
    )]
    NotOrthonormal {
        /// The largest absolute entry of U'U − I.
        deviation: f64,
    },
    /// The spectrum of a real stationary field is the same at f and −f.
    #[error(
        "the spectrum of component {component} must agree at f and -f, but differs at ({row}, {column}); symmetrise it"
    )]
    AsymmetricSpectrum {
        /// The mixture component.
        component: usize,
        /// The row of the offending frequency.
        row: usize,
        /// Its column.
        column: usize,
    },
}

impl Error {
    /// `value`, if it lies in (0, ∞).
    pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
        if 0.0 < value && value < f64::INFINITY {
            Ok(value)
        } else {
            Err(Error::NotPositive { name, value })
        }
    }

    /// Accepts `given` if it equals `expected`.
    pub(crate) fn length(name: &'static str, expected: usize, given: usize) -> Result<(), Error> {
        if expected == given {
            Ok(())
        } else {
            Err(Error::Length {
                name,
                expected,
                given,
            })
        }
    }
}
