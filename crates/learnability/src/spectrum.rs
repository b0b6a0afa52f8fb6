//! Readings of a spectrum: singular values of a Jacobian, eigenvalues of a kernel or of a covariance.

use crate::error::{Error, check_at_least, check_finite};
use crate::index;

/// Values of at least 0, from the largest to the smallest.
///
/// | reading | of singular values `s` of a Jacobian | of eigenvalues `λ` of a kernel |
/// |---|---|---|
/// | conditioning | [`condition_number`](Self::condition_number), [`largest_over_median`](Self::largest_over_median) | the same |
/// | directions that are left | [`rank`](Self::rank)`(2⁻²³)` | the same |
/// | effective number of directions | `squared().participation_ratio()` | [`effective_rank`](Self::effective_rank) |
///
/// ```
/// use learnability::spectrum::Spectrum;
/// let spectrum = Spectrum::new(vec![1.0, 100.0, 1.0, 0.0])?;
/// assert_eq!(spectrum.values(), [100.0, 1.0, 1.0, 0.0]);
/// assert_eq!(spectrum.condition_number(), Some(f64::INFINITY));
/// assert_eq!((spectrum.largest_over_median(), spectrum.rank(1e-7)), (Some(100.0), 3));
/// # Ok::<(), learnability::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    values: Vec<f64>,
}

impl Spectrum {
    /// Takes values in any order.
    ///
    /// # Errors
    /// No value, or one that is negative or not finite.
    pub fn new(mut values: Vec<f64>) -> Result<Self, Error> {
        check_at_least("values of a spectrum", 1, values.len())?;
        check_finite("spectrum", &values)?;
        if let Some(value) = values.iter().find(|x| **x < 0.0) {
            return Err(Error::OutOfRange {
                name: "a value of a spectrum",
                range: "[0, ∞)",
                value: *value,
            });
        }
        values.sort_by(|a, b| b.total_cmp(a));
        Ok(Self { values })
    }

    /// The values, the largest first.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The squares: from the singular values of `J` to the eigenvalues of `J Jᵀ`.
    pub fn squared(&self) -> Self {
        Self {
            values: self.values.iter().map(|x| x * x).collect(),
        }
    }

    /// `κ = largest / smallest`.
    ///
    /// *Range*: `[1, ∞]`; ∞ if the smallest is 0, `None` if all are.
    /// *Invariances*: scale; order.
    /// *Failure mode*: one dead direction makes it infinite, which ReLU networks have as a rule; and beyond about 10¹⁵ in
    /// `f64` it measures rounding. [`Self::rank`] and [`Self::largest_over_median`] go on.
    /// *Source*: of singular values, von Neumann & Goldstine 1947; of a kernel, the square of that of its Jacobian.
    pub fn condition_number(&self) -> Option<f64> {
        let ratio = self.values[0] / self.values[self.values.len() - 1];
        (!ratio.is_nan()).then_some(ratio)
    }

    /// `largest / median`, with the mean of the middle two if their number is even.
    ///
    /// *Range*: `[1, ∞]`; ∞ if more than half are 0, `None` if all are.
    /// *Invariances*: scale; order; replication of the values.
    /// *Failure mode*: it says nothing of the lower half, and depends on how many directions there are that nothing was to
    /// be learned in.
    /// *Source*: defined here.
    pub fn largest_over_median(&self) -> Option<f64> {
        let n = self.values.len();
        let median = (self.values[(n - 1) / 2] + self.values[n / 2]) / 2.0;
        let ratio = self.values[0] / median;
        (!ratio.is_nan()).then_some(ratio)
    }

    /// Numerical rank `#{i : value_i > tolerance · largest}`.
    ///
    /// What `f32` can tell from nothing has `tolerance = 2⁻²³`.
    ///
    /// *Range*: `[0, n]`; 0 if all are 0. *Invariances*: scale.
    /// *Failure mode*: a threshold; say which.
    /// *Source*: Golub & Van Loan, *Matrix Computations*, on rank by singular values.
    pub fn rank(&self, tolerance: f64) -> usize {
        let threshold = tolerance * self.values[0];
        self.values.iter().filter(|x| threshold < **x).count()
    }

    /// Effective rank `exp(−Σ p ln p)` with `p = value / Σ values`; `None` if all are 0.
    ///
    /// *Range*: `[1, n]`; `k` if `k` values are equal and the others 0. *Invariances*: scale.
    /// *Failure mode*: of singular values and of their squares it is not the same; say which. Roy & Vetterli take the
    /// singular values, kernels and covariances are taken by their eigenvalues.
    /// *Source*: Roy & Vetterli 2007; it is [`index::effective_number`].
    pub fn effective_rank(&self) -> Option<f64> {
        index::effective_number(&self.values)
    }

    /// Participation ratio `(Σ values)² / Σ values²`: [`index::participation_ratio`], with its failure mode and source.
    ///
    /// Of a Jacobian take it of the squares: `(Σ s²)² / Σ s⁴`.
    ///
    /// *Range*: `[1, n]`; `None` if all are 0. *Invariances*: scale.
    pub fn participation_ratio(&self) -> Option<f64> {
        index::participation_ratio(&self.values)
    }
}
