//! DPM-Solver and DPM-Solver++: exponential integrators of the probability flow and of its stochastic forms.

mod exponential;
mod multistep;
mod sde;
mod singlestep;

pub use multistep::DpmSolverMultistep;
pub use sde::DpmSolverSde;
pub use singlestep::DpmSolverSinglestep;

pub(crate) use exponential::{Curvature, Exponential};
pub(crate) use singlestep::Tableau;

use noise_schedule::Kernel;

use crate::VectorSpace;

/// What a method of this family takes for a polynomial in λ = ln(alpha/sigma), while it integrates the rest exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrand {
    /// The denoised state D: x_to = (sigma_to/sigma_from) x + sigma_to ∫ e^λ D dλ.
    ///
    /// Lu et al. 2022, DPM-Solver++ (<https://arxiv.org/abs/2211.01095>), proposition 4.1.
    #[doc(alias = "dpmsolver++")]
    #[doc(alias = "data_prediction")]
    Denoised,
    /// The noise eps = (x − alpha D)/sigma: x_to = (alpha_to/alpha_from) x − alpha_to ∫ e^(−λ) eps dλ.
    ///
    /// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), proposition 3.1.
    #[doc(alias = "dpmsolver")]
    #[doc(alias = "noise_prediction")]
    Noise,
}

impl Integrand {
    /// The value of this integrand, from the state and what was made of it.
    ///
    /// Not defined at sigma = 0 for [`Integrand::Noise`].
    pub(crate) fn value<X: VectorSpace>(self, x: &X, denoised: &X, at: Kernel) -> X {
        match self {
            Integrand::Denoised => denoised.clone(),
            Integrand::Noise => {
                let precision = at.sigma().recip();
                X::axpby(precision, x, -at.alpha() * precision, denoised)
            }
        }
    }

    /// [`value`](Integrand::value), in the memory of `denoised`.
    pub(crate) fn value_in<X: VectorSpace>(self, x: &X, denoised: X, at: Kernel) -> X {
        match self {
            Integrand::Denoised => denoised,
            Integrand::Noise => {
                let precision = at.sigma().recip();
                X::combine_in(-at.alpha() * precision, denoised, &[(precision, x)])
            }
        }
    }
}

/// How a method of second order weighs the slope of its [`Integrand`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondOrder {
    /// As if the value at the middle of the step held all along it: (1 − e^(−h))/2 for DPM-Solver++.
    Midpoint,
    /// By the exact integral of the linear interpolant: (e^(−h) − 1)/h + 1 for DPM-Solver++.
    Heun,
}

/// λ = ln(alpha/sigma), which rises as noise falls.
pub(crate) fn half_log_snr(at: Kernel) -> f64 {
    0.5 * at.log_snr()
}
