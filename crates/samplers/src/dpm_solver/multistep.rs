//! The multistep methods: one evaluation per step, and the memory of earlier ones.

use noise_schedule::Kernel;

use super::{Curvature, Exponential, Integrand, SecondOrder, half_log_snr};
use crate::history::History;
use crate::starter::{Start, start};
use crate::stepper::{far_apart, renoised};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// DPM-Solver and DPM-Solver++ multistep: the integrand's polynomial through the last levels, integrated exactly.
///
/// With λ = ln(alpha/sigma), h = λ_to − λ_from, H = (1 + η) h and the polynomial p through D at `from` and at the
/// order − 1 levels before, [`Integrand::Denoised`] is
///
/// x_to = (sigma_to/sigma_from) e^(−ηh) x + alpha_to (1 + η) ∫₀^h e^(−(1+η)(h−s)) p(λ_from + s) ds + sigma_to √(1 − e^(−2ηh)) z,
///
/// and [`Integrand::Noise`] the same with eps in place of D. η = 0, the probability flow, draws no noise.
/// Known as 1S, 2M and 3M; with η = 1 as SDE-DPM-Solver++, 2M SDE and 3M SDE.
///
/// Order 1 to 3 for η = 0. For η > 0 the weak order is 1 for order 1 and 2 for the others:
/// no method that sees one increment of the noise per step has a higher one.
/// One evaluation per step; [`Start::Full`] spends one more on the first step of order 3.
///
/// The published third order is of second order, because it takes the second divided difference for the second derivative,
/// of which it is half; this one has the factor.
/// A step to sigma = 0 or from alpha = 0 is DDIM's (with η > 0, from alpha = 0: that of η = 1 with fresh noise only);
/// one that does not continue the step before it, or turns from less noise to more or back, forgets what came before.
/// A step to more noise draws none: it is the flow's.
///
/// Lu et al. 2022, DPM-Solver++ (<https://arxiv.org/abs/2211.01095>), Algorithm 2;
/// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>). η is k-diffusion's.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{DpmSolverMultistep, Integrand, Silent, sample};
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 20)?.then_clean();
/// let solver = DpmSolverMultistep::new(Integrand::Denoised, 2)?; // DPM-Solver++(2M)
/// let x = sample(&grid, solver, &mut model, &mut Silent, array![80.0]);
/// assert!((x[0] - 1.0).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "dpmpp_2m")]
#[doc(alias = "dpmpp_2m_sde")]
#[doc(alias = "dpmpp_3m_sde")]
#[doc(alias = "DPMSolverMultistepScheduler")]
#[derive(Clone, Debug)]
pub struct DpmSolverMultistep<X> {
    integrand: Integrand,
    order: u32,
    second: SecondOrder,
    start: Start,
    eta: f64,
    /// Levels and values of the integrand, newest first; at most order − 1.
    history: History<X>,
}

impl<X> DpmSolverMultistep<X> {
    /// The deterministic method of this order, at the start of a trajectory: [`SecondOrder::Midpoint`], [`Start::Full`].
    ///
    /// # Errors
    /// [`Error::Order`] unless `order` is 1, 2 or 3.
    pub fn new(integrand: Integrand, order: u32) -> Result<DpmSolverMultistep<X>, Error> {
        if !(1..=3).contains(&order) {
            return Err(Error::Order {
                method: "DPM-Solver multistep",
                order,
                most: 3,
            });
        }
        Ok(DpmSolverMultistep {
            integrand,
            order,
            second: SecondOrder::Midpoint,
            start: Start::Full,
            eta: 0.0,
            history: History::new(Vec::new()),
        })
    }

    /// The method of the diffusion reversed with this much noise: η = 0 is the probability flow, η = 1 the reversed diffusion.
    ///
    /// # Errors
    /// [`Error::Noise`] unless η is finite and at least 0.
    pub fn with_eta(self, eta: f64) -> Result<DpmSolverMultistep<X>, Error> {
        if 0.0 <= eta && eta.is_finite() {
            Ok(DpmSolverMultistep { eta, ..self })
        } else {
            Err(Error::Noise { eta })
        }
    }

    /// The method with these weights in its steps of second order.
    pub fn with_second_order(self, second: SecondOrder) -> DpmSolverMultistep<X> {
        DpmSolverMultistep { second, ..self }
    }

    /// The method with this start. It matters for order 3 and η = 0 alone.
    pub fn with_start(self, start: Start) -> DpmSolverMultistep<X> {
        DpmSolverMultistep { start, ..self }
    }

    /// The method with these levels and values of its integrand before its first step, newest first.
    /// More than order − 1 are not looked at.
    pub fn with_history(self, history: Vec<(Kernel, X)>) -> DpmSolverMultistep<X> {
        DpmSolverMultistep {
            history: History::new(history),
            ..self
        }
    }
}

impl<X: VectorSpace> Stepper<X> for DpmSolverMultistep<X> {
    fn order(&self) -> u32 {
        if self.eta == 0.0 {
            self.order
        } else {
            self.order.min(2)
        }
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        let rises = from.sigma() * to.alpha() < to.sigma() * from.alpha();
        if let Some(state) = self.history.begin(x, from, to) {
            return state;
        }
        if to.sigma() == 0.0 || from.alpha() == 0.0 || to.alpha() == 0.0 {
            // No polynomial in λ reaches an infinite one.
            let denoised = model.denoise(x, from);
            self.history.clear();
            if self.eta == 0.0 || to.sigma() == 0.0 || rises {
                return renoised(x, &denoised, from, to.alpha(), to.sigma());
            }
            let fresh = noise.between(x, from, to);
            return X::axpby(to.alpha(), &denoised, to.sigma(), &fresh);
        }
        self.history.truncate(self.order as usize - 1);
        if let Some(order) = self.start.single_step(self.order, self.history.len())
            && self.eta == 0.0
        {
            let (state, denoised) = start(order, model, x, from, to);
            self.history
                .insert(0, (from, self.integrand.value_in(x, denoised, from)));
            return state;
        }
        let value = self.integrand.value_in(x, model.denoise(x, from), from);
        // Levels that are equal but for rounding give no slope.
        let far = far_apart(std::iter::once(from).chain(self.history.levels()), to);
        self.history.truncate(far - 1);
        let step = Exponential::new(self.integrand, self.eta, from, to);
        let levels: Vec<f64> = std::iter::once(from)
            .chain(self.history.levels())
            .map(half_log_snr)
            .collect();
        let h = half_log_snr(to) - levels[0];
        let back: Vec<f64> = levels
            .windows(2)
            .map(|pair| (pair[0] - pair[1]) / h)
            .collect();
        let update = step.multistep(self.second, Curvature::Exact, &back);
        // A value that is not needed after this step gives its memory to the result.
        let oldest = self.history.len() + 1 == self.order as usize;
        let oldest = self.history.pop_if(|_| oldest).map(|(_, value)| value);
        let fresh = (0.0 < update.noise).then(|| noise.between(x, from, to));
        let kept = std::iter::once(&value).chain(self.history.iter().map(|(_, value)| value));
        let mut terms = vec![(update.state, x)];
        terms.extend(update.values.into_iter().zip(kept));
        let next = match (oldest, fresh) {
            (Some(oldest), fresh) => {
                terms.extend(fresh.iter().map(|fresh| (update.noise, fresh)));
                X::combine_in(update.values[back.len()], oldest, &terms)
            }
            (None, Some(fresh)) => X::combine_in(update.noise, fresh, &terms),
            (None, None) => X::combine(&terms),
        };
        self.history.insert(0, (from, value));
        next
    }
}
