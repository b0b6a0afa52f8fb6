//! Adams–Bashforth in sigma / alpha, on any grid.

use noise_schedule::Kernel;

use crate::adams::lagrange_integrals;
use crate::history::History;
use crate::starter::{Start, start};
use crate::stepper::{far_apart, renoised};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// The linear multistep method for the probability flow in the ratio r = sigma / alpha:
/// the polynomial through the last slopes, integrated exactly.
///
/// With eps_j = (x_j − alpha_j D_j) / sigma_j at the levels r_0 (`from`), r_1, … before, and ℓ_j their Lagrange polynomials,
/// x_to / alpha_to = x / alpha + Σ_j eps_j ∫ ℓ_j(r) dr, integrated from r_0 to r_to.
/// The weights are exact on any grid; those of equal steps, which are common in code, lose all orders but two elsewhere.
///
/// Order 1 to 4, one evaluation; order 1 is [`Ddim`](crate::Ddim).
/// With [`Start::Full`] the first steps of order 3 and 4 are single steps of order 2 and 3, of as many evaluations.
/// To sigma = 0, from alpha = 0 and to alpha = 0 the step is DDIM's; from sigma = 0 it only scales.
/// A step that does not continue the step before it, or turns from less noise to more or back, forgets what came before.
/// It does not look past two levels that are closer in ln(alpha/sigma) than a thousandth of the step.
///
/// It is the LMS sampler of k-diffusion, but for its start and its last step; and Liu et al. 2022, PNDM
/// (<https://arxiv.org/abs/2202.09778>), whose pseudo linear multistep is this with the weights of equal steps.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{AdamsBashforth, Silent, sample};
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 20)?.then_clean();
/// let x = sample(&grid, AdamsBashforth::new(4)?, &mut model, &mut Silent, array![80.0]);
/// assert!((x[0] - 1.0).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "lms")]
#[doc(alias = "plms")]
#[doc(alias = "LMSDiscreteScheduler")]
#[derive(Clone, Debug)]
pub struct AdamsBashforth<X> {
    order: u32,
    start: Start,
    /// Levels and eps there, the latest first.
    history: History<X>,
}

impl<X> AdamsBashforth<X> {
    /// The method of this order at the start of a trajectory, with [`Start::Full`].
    ///
    /// # Errors
    /// [`Error::Order`] unless `order` is 1, 2, 3 or 4.
    pub fn new(order: u32) -> Result<AdamsBashforth<X>, Error> {
        if !(1..=4).contains(&order) {
            return Err(Error::Order {
                method: "Adams-Bashforth",
                order,
                most: 4,
            });
        }
        Ok(AdamsBashforth {
            order,
            start: Start::Full,
            history: History::new(Vec::new()),
        })
    }

    /// The method with this start.
    pub fn with_start(self, start: Start) -> AdamsBashforth<X> {
        AdamsBashforth { start, ..self }
    }

    /// The method with these levels and values of eps = (x − alpha D) / sigma before its first step, the latest first.
    /// More than order − 1 are not looked at.
    pub fn with_history(self, history: Vec<(Kernel, X)>) -> AdamsBashforth<X> {
        AdamsBashforth {
            history: History::new(history),
            ..self
        }
    }
}

impl<X: VectorSpace> Stepper<X> for AdamsBashforth<X> {
    fn order(&self) -> u32 {
        self.order
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        _noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if let Some(state) = self.history.begin(x, from, to) {
            return state;
        }
        let (r, end) = (from.noise_to_signal(), to.noise_to_signal());
        if !(r.is_finite() && end.is_finite() && 0.0 < end) {
            self.history.clear();
            return renoised(x, &model.denoise(x, from), from, to.alpha(), to.sigma());
        }
        self.history.truncate(self.order as usize - 1);
        let eps = |denoised: &X| {
            X::axpby(
                from.sigma().recip(),
                x,
                -from.alpha() / from.sigma(),
                denoised,
            )
        };
        if let Some(order) = self.start.single_step(self.order, self.history.len()) {
            let (state, denoised) = start(order, model, x, from, to);
            self.history.insert(0, (from, eps(&denoised)));
            return state;
        }
        self.history.insert(0, (from, eps(&model.denoise(x, from))));
        let far = far_apart(self.history.levels(), to);
        self.history.truncate(far);
        let ratios: Vec<f64> = self
            .history
            .iter()
            .map(|(level, _)| level.noise_to_signal())
            .collect();
        let weights = lagrange_integrals(&ratios, end).into_iter();
        let slopes = self.history.iter().map(|(_, eps)| eps);
        let kept = (to.alpha() / from.alpha(), x);
        let terms: Vec<(f64, &X)> = [kept]
            .into_iter()
            .chain(weights.map(|weight| to.alpha() * weight).zip(slopes))
            .collect();
        X::combine(&terms)
    }
}
