//! UniPC: a predictor and a corrector of any order for the price of the predictor.

use noise_schedule::Kernel;

use crate::dpm_solver::Integrand;
use crate::exponential_adams::{ExponentialAdams, SoleDifference};
use crate::{Denoiser, Error, NoiseSource, Start, Stepper, VectorSpace};

/// UniPC-p: the integrand's polynomial through p values predicts, and through those and the value at the predicted state corrects.
///
/// With λ = ln(alpha/sigma), h = λ_to − λ_from and, for [`Integrand::Denoised`], the polynomial p through the denoised states,
///
/// x_to = (sigma_to/sigma_from) x + alpha_to ∫₀^h e^(−(h−s)) p(λ_from + s) ds;
///
/// the predictor's (UniP) goes through the values at `from` and at the p − 1 levels before,
/// the corrector's (UniC) also through the value at `to`, which is found at the predicted state when the next step begins,
/// so that a step is from the corrected state, and what it returns is the predicted one.
/// [`Integrand::Noise`] is the same with eps: (alpha_to/alpha_from) x − sigma_to ∫₀^h e^(h−s) p(λ_from + s) ds.
/// Where one difference of values is all there is, the paper takes ½ B(h) for its weight: see [`SoleDifference`].
///
/// Order p + 1, and p without the corrector; one evaluation per step.
/// [`Start::Full`] spends two more in the first step where the order is 4;
/// without the corrector one in the first step of order 3, and two in each of the first two of order 4.
/// For p = 4 it holds the order to 4, where exact starting values give 5.
/// A step to sigma = 0 or from alpha = 0 is DDIM's;
/// one that does not continue the step before it, or turns from less noise to more or back, forgets what came before.
/// It does not look past two levels that are closer in ln(alpha/sigma) than a thousandth of the step.
///
/// Without the corrector, and with [`SoleDifference::Exact`], it is the exponential Adams–Bashforth method.
///
/// Zhao et al. 2023 (<https://arxiv.org/abs/2302.04867>).
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Integrand, Silent, UniPc, sample};
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 20)?.then_clean();
/// let solver = UniPc::new(Integrand::Denoised, 2)?;
/// let x = sample(&grid, solver, &mut model, &mut Silent, array![80.0]);
/// assert!((x[0] - 1.0).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "UniPCMultistepScheduler")]
#[doc(alias = "uni_pc")]
#[derive(Clone, Debug)]
pub struct UniPc<X>(ExponentialAdams<X>);

impl<X: VectorSpace> UniPc<X> {
    /// UniPC of order p, at the start of a trajectory: with the corrector, [`SoleDifference::Bh2`], [`Start::Full`].
    ///
    /// # Errors
    /// [`Error::Order`] unless p is 1, 2, 3 or 4.
    pub fn new(integrand: Integrand, order: u32) -> Result<UniPc<X>, Error> {
        if !(1..=4).contains(&order) {
            return Err(Error::Order {
                method: "UniPC",
                order,
                most: 4,
            });
        }
        let solver = ExponentialAdams::new(integrand, order, Some(order + 1));
        Ok(UniPc(solver).with_sole_difference(SoleDifference::Bh2))
    }

    /// The predictor alone: UniP.
    pub fn without_corrector(mut self) -> UniPc<X> {
        self.0.corrector = None;
        self
    }

    /// The method with this weight where a difference of values is the only one.
    pub fn with_sole_difference(mut self, sole: SoleDifference) -> UniPc<X> {
        self.0.sole = sole;
        self
    }

    /// The method with this start.
    pub fn with_start(mut self, start: Start) -> UniPc<X> {
        self.0.start = start;
        self
    }

    /// The method with these levels and values of its integrand before its first step, newest first.
    /// More than p − 1 are not looked at.
    pub fn with_history(mut self, history: Vec<(Kernel, X)>) -> UniPc<X> {
        self.0.history = crate::history::History::new(history);
        self
    }
}

impl<X: VectorSpace> Stepper<X> for UniPc<X> {
    fn order(&self) -> u32 {
        self.0.order(self.0.predictor as usize).min(4)
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        self.0.step(0.0, model, noise, x, from, to)
    }
}
