//! The mean of the next cleaner sample as what the network predicts.

use std::fmt;

use noise_schedule::Kernel;

use super::{Coefficients, Preconditioner, Scaling};
use crate::Error;
use crate::variational::Posterior;

/// F predicts E\[x_s given x_t, x₀\] = c_t x_t + c₀ x₀, the mean of the posterior over the sample at the next cleaner level s.
///
/// D = (F − c_t x)/c₀ with the coefficients of [`Posterior`]; with σ_s = 0 it is x₀ itself, times α_s.
/// Ho et al. 2020, equation 7 (their μ̃).
#[doc(alias = "PREVIOUS_X")]
#[doc(alias = "posterior mean")]
#[derive(Clone, Copy, PartialEq)]
pub struct PreviousMean<F> {
    scaling: Scaling,
    previous: F,
}

impl<F> fmt::Debug for PreviousMean<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreviousMean")
            .field("scaling", &self.scaling)
            .finish_non_exhaustive()
    }
}

impl<F: Fn(Kernel) -> Kernel> PreviousMean<F> {
    /// The row for data of standard deviation `data_std`, where `previous` gives the next cleaner level of a grid.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < `data_std` < ∞.
    pub fn new(data_std: f64, previous: F) -> Result<PreviousMean<F>, Error> {
        Ok(PreviousMean {
            scaling: Scaling {
                data_std: Error::positive("data_std", data_std)?,
            },
            previous,
        })
    }

    fn posterior(&self, k: Kernel) -> Posterior {
        Posterior::between(k, (self.previous)(k))
            .unwrap_or_else(|error| panic!("the previous level of a row: {error}"))
    }
}

/// # Panics
/// Where [`Posterior::between`] refuses the pair of levels: at σ = 0, and where the previous level is the noisier one.
impl<F: Fn(Kernel) -> Kernel> Preconditioner for PreviousMean<F> {
    fn at(&self, k: Kernel) -> Coefficients {
        let posterior = self.posterior(k);
        self.scaling.row(
            k,
            -posterior.point() / posterior.clean(),
            1.0 / posterior.clean(),
        )
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        // c_t alpha_t + c_0 = alpha_s, the mean of x_s without noise.
        (self.previous)(k).alpha() / self.posterior(k).clean()
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        (
            (self.previous)(k).alpha(),
            self.posterior(k).point() * k.sigma(),
        )
    }
}
