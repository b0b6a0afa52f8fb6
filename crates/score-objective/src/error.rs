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
    /// A prediction and the noisy point must determine what they are converted into.
    #[error(
        "a prediction does not determine the other one at alpha {alpha}, sigma {sigma}; convert where there is both signal and noise, or predict v"
    )]
    Undetermined {
        /// Scale of the signal.
        alpha: f64,
        /// Scale of the noise.
        sigma: f64,
    },
    /// A reverse step goes from a noisier level, with noise, to a cleaner one, with signal.
    #[error(
        "a reverse step needs noise before it, signal after it, and a log-SNR that does not fall, but goes from {from} to {to}; order the levels from noise to data"
    )]
    StepOrder {
        /// Log-SNR before the step.
        from: f64,
        /// Log-SNR after the step.
        to: f64,
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
    /// The value must lie in a closed interval.
    #[error("{name} must lie in [{least}, {most}], not {value}; choose a value in that interval")]
    Outside {
        /// The argument.
        name: &'static str,
        /// The smallest value allowed.
        least: f64,
        /// The largest value allowed.
        most: f64,
        /// What was given.
        value: f64,
    },
    /// The velocity of a bridge is not finite at its ends.
    #[error("t of a bridge must lie inside (0, 1), not at {t}; draw it from the open interval")]
    BridgeEnd {
        /// What was given.
        t: f64,
    },
    /// Steps of distillation go from noise to data.
    #[error("sigma/alpha must fall at each step, but goes from {from} to {to}; order the levels")]
    NoiseMustFall {
        /// σ/α before the step.
        from: f64,
        /// σ/α after it.
        to: f64,
    },
    /// An assignment gives each row a column of its own.
    #[error("a cost of {rows} rows needs as many columns, but has {columns}; transpose it")]
    TooFewColumns {
        /// Rows of the cost.
        rows: usize,
        /// Columns of the cost.
        columns: usize,
    },
    /// An iteration must reach its tolerance.
    #[error(
        "{name} must reach its tolerance within {iterations} iterations, but still moves by {movement:e}; allow more iterations or raise the regularisation"
    )]
    NotConverged {
        /// What iterates.
        name: &'static str,
        /// The iterations allowed.
        iterations: usize,
        /// The movement of the last iteration, in units of the tolerance's quantity.
        movement: f64,
    },
    /// The columns of a basis must be orthonormal.
    #[error(
        "the basis must be orthonormal, but |U'U - I| reaches {deviation:e}; orthonormalise its columns"
    )]
    NotOrthonormal {
        /// The largest absolute entry of U'U − I.
        deviation: f64,
    },
    /// A covariance is symmetric.
    #[error(
        "the covariance must be symmetric, but differs across the diagonal at ({row}, {column}); average it with its transpose"
    )]
    Asymmetric {
        /// The row of the offending entry.
        row: usize,
        /// Its column.
        column: usize,
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

    /// `value`, if it lies in [0, ∞).
    pub(crate) fn non_negative(name: &'static str, value: f64) -> Result<f64, Error> {
        if value.is_finite() && 0.0 <= value {
            Ok(value)
        } else {
            Err(Error::Negative { name, value })
        }
    }

    /// `value`, if it lies in [least, most].
    pub(crate) fn within(
        name: &'static str,
        least: f64,
        most: f64,
        value: f64,
    ) -> Result<f64, Error> {
        if least <= value && value <= most {
            Ok(value)
        } else {
            Err(Error::Outside {
                name,
                least,
                most,
                value,
            })
        }
    }

    /// `value`, if it is a finite number.
    pub(crate) fn finite(name: &'static str, value: f64) -> Result<f64, Error> {
        if value.is_finite() {
            Ok(value)
        } else {
            Err(Error::NotFinite { name, value })
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
