//! SA-Solver: exponential Adams methods for the reversed diffusion, with an amount of noise that varies.

use noise_schedule::Kernel;

use crate::dpm_solver::Integrand;
use crate::exponential_adams::{ExponentialAdams, SoleDifference};
use crate::{Denoiser, Error, NoiseSource, Start, Stepper, VectorSpace};

/// How much noise a stochastic sampler adds, level by level: τ between two noise-to-signal ratios, and 0 elsewhere.
///
/// τ = 0 is the probability flow, τ = 1 the reversed diffusion; the amount of noise is as τ².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tau {
    value: f64,
    least: f64,
    most: f64,
}

impl Tau {
    /// The same at all levels.
    ///
    /// # Errors
    /// [`Error::Tau`] unless τ is finite and at least 0.
    pub fn constant(value: f64) -> Result<Tau, Error> {
        Tau::within(value, 0.0, f64::INFINITY)
    }

    /// τ in the steps that begin at a noise-to-signal ratio from `least` to `most`.
    ///
    /// # Errors
    /// [`Error::Tau`] unless τ is finite and at least 0, and 0 ≤ least ≤ most.
    pub fn within(value: f64, least: f64, most: f64) -> Result<Tau, Error> {
        if 0.0 <= value && value.is_finite() && 0.0 <= least && least <= most {
            Ok(Tau { value, least, most })
        } else {
            Err(Error::Tau { value, least, most })
        }
    }

    /// τ in a step from this level.
    pub fn at(self, from: Kernel) -> f64 {
        let ratio = from.noise_to_signal();
        if self.least <= ratio && ratio <= self.most {
            self.value
        } else {
            0.0
        }
    }
}

/// SA-Solver: the integrand's polynomial in λ = ln(alpha/sigma), predicting and correcting, for the diffusion reversed with τ.
///
/// With h = λ_to − λ_from, c = 1 + τ² and the polynomial p, [`Integrand::Denoised`] is
///
/// x_to = (sigma_to/sigma_from) e^(−τ²h) x + alpha_to c ∫₀^h e^(−c(h−s)) p(λ_from + s) ds + sigma_to √(1 − e^(−2τ²h)) z,
///
/// and [`Integrand::Noise`]
///
/// x_to = (alpha_to/alpha_from) x − sigma_to c ∫₀^h e^(h−s) p(λ_from + s) ds + sigma_to τ √(e^(2h) − 1) z.
///
/// The predictor's polynomial goes through s values, at `from` and at the levels before.
/// The corrector's goes through c values, of which the latest is the one at the predicted state;
/// it is used when the next step begins, with the noise of this one, so that it costs no evaluation.
///
/// Order for τ = 0: min(s + 1, c) with the corrector, s without, and 4 at most. For τ > 0 the weak order is 2 at most:
/// no method that sees one increment of the noise per step has a higher one.
/// One evaluation per step; starts, ends and turns are those of [`UniPc`](crate::UniPc), which it is for τ = 0, c = s + 1.
/// From alpha = 0 a step with τ > 0 is that of η = 1 with fresh noise only; a step to more noise draws none.
///
/// Xue et al. 2023 (<https://arxiv.org/abs/2309.05019>).
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Integrand, SaSolver, Tau};
/// // Noise in the middle of the way alone.
/// let tau = Tau::within(1.0, 0.05, 10.0)?;
/// let solver = SaSolver::<Array1<f64>>::new(Integrand::Denoised, 3, tau)?.with_corrector(3)?;
/// assert!(Tau::constant(-1.0).is_err());
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "SASolverScheduler")]
#[derive(Clone, Debug)]
pub struct SaSolver<X> {
    solver: ExponentialAdams<X>,
    tau: Tau,
}

impl<X: VectorSpace> SaSolver<X> {
    /// The predictor through this many values alone, at the start of a trajectory, with [`Start::Full`].
    ///
    /// # Errors
    /// [`Error::Order`] unless `predictor` is 1, 2, 3 or 4.
    pub fn new(integrand: Integrand, predictor: u32, tau: Tau) -> Result<SaSolver<X>, Error> {
        check_order("SA-Solver's predictor", predictor)?;
        Ok(SaSolver {
            solver: ExponentialAdams::new(integrand, predictor, None),
            tau,
        })
    }

    /// The method with the corrector through this many values.
    ///
    /// # Errors
    /// [`Error::Order`] unless `corrector` is 1, 2, 3 or 4.
    pub fn with_corrector(mut self, corrector: u32) -> Result<SaSolver<X>, Error> {
        check_order("SA-Solver's corrector", corrector)?;
        self.solver.corrector = Some(corrector);
        Ok(self)
    }

    /// The method with this weight where a difference of values is the only one; at first it is the exact one.
    pub fn with_sole_difference(mut self, sole: SoleDifference) -> SaSolver<X> {
        self.solver.sole = sole;
        self
    }

    /// The method with this start. It matters for τ = 0 alone.
    pub fn with_start(mut self, start: Start) -> SaSolver<X> {
        self.solver.start = start;
        self
    }

    /// The method with these levels and values of its integrand before its first step, newest first.
    pub fn with_history(mut self, history: Vec<(Kernel, X)>) -> SaSolver<X> {
        self.solver.history = crate::history::History::new(history);
        self
    }
}

impl<X: VectorSpace> Stepper<X> for SaSolver<X> {
    fn order(&self) -> u32 {
        let most = if self.tau.value == 0.0 { 4 } else { 2 };
        self.solver.order(self.solver.predictor as usize).min(most)
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        let eta = self.tau.at(from).powi(2);
        self.solver.step(eta, model, noise, x, from, to)
    }
}

fn check_order(method: &'static str, order: u32) -> Result<(), Error> {
    if (1..=4).contains(&order) {
        return Ok(());
    }
    Err(Error::Order {
        method,
        order,
        most: 4,
    })
}
