//! Couplings of two batches: which noise goes with which sample.
//!
//! Flow matching between coupled ends has straighter paths and targets of less variance (OT-CFM; Tong et al. 2023,
//! <https://arxiv.org/abs/2302.00482>; Pooladian et al. 2023, <https://arxiv.org/abs/2304.14772>).
//! A coupling of minibatches is exact ([`assignment`]) or entropic ([`Sinkhorn`]), and leaves both batches as they were but
//! for the order of rows, in the entropic case up to repetitions.
//! Immiscible diffusion (Li et al. 2024, <https://arxiv.org/abs/2406.12303>) is the assignment of noise to data before any
//! diffusion loss; its code takes the
//! distance and not its square: `squared_distances(…).mapv(f64::sqrt)`.
//!
//! ```
//! use ndarray::array;
//! use score_objective::coupling::{assignment, squared_distances};
//!
//! # fn main() -> Result<(), score_objective::Error> {
//! let data = array![[0.0, 0.0], [5.0, 5.0]];
//! let noise = array![[4.0, 6.0], [1.0, -1.0]];
//! let partner = assignment(squared_distances(data.view(), noise.view()).view())?;
//! assert_eq!(partner, [1, 0]);
//! # Ok(())
//! # }
//! ```

mod assignment;
mod sinkhorn;

use ndarray::{Array2, ArrayView2};

pub use assignment::assignment;
pub use sinkhorn::{Marginals, Plan, Sinkhorn};

use crate::Error;

/// ‖aᵢ − bⱼ‖² for the rows of both: the cost of optimal transport, [n, m].
///
/// Summed from differences, so that close points keep their digits.
///
/// # Panics
/// If the rows differ in length.
pub fn squared_distances(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    assert_eq!(a.ncols(), b.ncols(), "rows must have the same length");
    Array2::from_shape_fn((a.nrows(), b.nrows()), |(i, j)| {
        let pairs = a.row(i).into_iter().zip(b.row(j));
        pairs.map(|(a, b)| (a - b).powi(2)).sum()
    })
}

/// Refuses costs that are not finite.
fn check(name: &'static str, cost: ArrayView2<'_, f64>) -> Result<(), Error> {
    match cost.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(Error::NotFinite { name, value }),
        None => Ok(()),
    }
}
