//! The singlestep methods: all evaluations within the step.

use noise_schedule::Kernel;

use super::{Exponential, Integrand, SecondOrder};
use crate::starter::intermediate;
use crate::stepper::{renoised, rescaled};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// DPM-Solver and DPM-Solver++ singlestep of second and third order: exponential Runge–Kutta methods in λ = ln(alpha/sigma).
///
/// The stages lie at the fractions r₁ (and r₂) of the step in λ; each is an exact step for what is known of the integrand.
/// With v the integrand, φ_k = φ_k(∓h), and stages v₁, v₂, the result is that of the slope (v₁ − v)/r₁ in second order, and in third
///
/// v + φ₂/φ₁ (γ (v₁ − v) + (v₂ − v))/(γ r₁ + r₂),   γ = r₂ (3 r₂ − 2)/(r₁ (2 − 3 r₁)),
///
/// which is DPM-Solver-3 for r₂ = 2/3 (γ = 0), and keeps third order at all other fractions, where DPM-Solver-3 loses one.
///
/// Order 2 or 3; as many evaluations per step. To sigma = 0 and from alpha = 0 the step is DDIM's, with one.
/// The levels of the stages are on a variance-preserving or variance-exploding schedule, or a flow's, if both ends are.
///
/// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), Algorithms 1 and 2;
/// Lu et al. 2022, DPM-Solver++ (<https://arxiv.org/abs/2211.01095>), Algorithm 1;
/// Hochbruck & Ostermann 2005, Explicit exponential Runge–Kutta methods for semilinear parabolic problems, for other fractions.
///
/// ```
/// use samplers::{DpmSolverSinglestep, Integrand, SecondOrder};
/// let two = DpmSolverSinglestep::second(Integrand::Denoised, 0.5, SecondOrder::Midpoint)?; // DPM-Solver++(2S)
/// let three = DpmSolverSinglestep::third(Integrand::Noise, 1.0 / 3.0, 2.0 / 3.0)?; // DPM-Solver-3
/// assert!(DpmSolverSinglestep::third(Integrand::Noise, 0.5, 0.5).is_err());
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "dpmpp_2s")]
#[doc(alias = "dpm_fast")]
#[doc(alias = "DPMSolverSinglestepScheduler")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpmSolverSinglestep {
    integrand: Integrand,
    tableau: Tableau,
}

impl DpmSolverSinglestep {
    /// The method of second order with its stage at the fraction `r` of the step; the papers have ½.
    ///
    /// # Errors
    /// [`Error::Fraction`] unless 0 < r ≤ 1.
    pub fn second(
        integrand: Integrand,
        r: f64,
        second: SecondOrder,
    ) -> Result<DpmSolverSinglestep, Error> {
        check_fraction("r", r)?;
        Ok(DpmSolverSinglestep {
            integrand,
            tableau: Tableau::Two { r, second },
        })
    }

    /// The method of third order with its stages at these fractions of the step; the paper has 1/3 and 2/3.
    ///
    /// # Errors
    /// [`Error::Fraction`] unless 0 < r1, r2 ≤ 1; [`Error::Fractions`] if they are equal, or r1 is 2/3, which leaves no third order.
    pub fn third(integrand: Integrand, r1: f64, r2: f64) -> Result<DpmSolverSinglestep, Error> {
        check_fraction("r1", r1)?;
        check_fraction("r2", r2)?;
        let apart = |a: f64, b: f64| 1e-6 < (a - b).abs();
        if apart(r1, r2) && apart(r1, 2.0 / 3.0) {
            Ok(DpmSolverSinglestep {
                integrand,
                tableau: Tableau::Three { r1, r2 },
            })
        } else {
            Err(Error::Fractions { r1, r2 })
        }
    }
}

impl<X: VectorSpace> Stepper<X> for DpmSolverSinglestep {
    fn order(&self) -> u32 {
        match self.tableau {
            Tableau::Two { .. } => 2,
            Tableau::Three { .. } => 3,
        }
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        _noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if let Some(same) = rescaled(x, from, to) {
            return same;
        }
        if from.sigma() == 0.0 {
            // Clean data that gain noise along the flow: the score is finite, so that eps = −sigma score is 0.
            return X::axpby(to.alpha() / from.alpha(), x, 0.0, x);
        }
        let denoised = model.denoise(x, from);
        self.tableau
            .step(self.integrand, model, x, &denoised, from, to)
    }
}

/// The stages of a singlestep method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tableau {
    /// One stage, at the fraction `r`.
    Two { r: f64, second: SecondOrder },
    /// Two stages.
    Three { r1: f64, r2: f64 },
}

impl Tableau {
    /// That of the papers, for order 2 or 3.
    pub(crate) fn lu2022(order: u32) -> Tableau {
        if order == 2 {
            Tableau::Two {
                r: 0.5,
                second: SecondOrder::Midpoint,
            }
        } else {
            Tableau::Three {
                r1: 1.0 / 3.0,
                r2: 2.0 / 3.0,
            }
        }
    }

    /// The state at `to`, if D at `from` is known; DDIM's where λ is not finite at both ends.
    pub(crate) fn step<X: VectorSpace>(
        self,
        integrand: Integrand,
        model: &mut dyn Denoiser<X>,
        x: &X,
        denoised: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if from.alpha() == 0.0 || to.alpha() == 0.0 || to.sigma() == 0.0 {
            return renoised(x, denoised, from, to.alpha(), to.sigma());
        }
        let noise = (integrand == Integrand::Noise).then(|| integrand.value(x, denoised, from));
        let value = noise.as_ref().unwrap_or(denoised);
        let exponential = |to: Kernel| Exponential::new(integrand, 0.0, from, to);
        let mut ask = |x: &X, at: Kernel| integrand.value_in(x, model.denoise(x, at), at);
        let whole = exponential(to);
        match self {
            Tableau::Two { r, second } => {
                let middle = intermediate(from, to, r);
                let part = exponential(middle);
                let state = X::axpby(part.state, x, part.weights[0], value);
                let first = ask(&state, middle);
                let slope = whole.slope(second) / r;
                X::combine(&[
                    (whole.state, x),
                    (whole.weights[0] - slope, value),
                    (slope, &first),
                ])
            }
            Tableau::Three { r1, r2 } => {
                let (near, far) = (intermediate(from, to, r1), intermediate(from, to, r2));
                let (short, long) = (exponential(near), exponential(far));
                let gamma = r2 * (3.0 * r2 - 2.0) / (r1 * (2.0 - 3.0 * r1));
                let state = X::axpby(short.state, x, short.weights[0], value);
                let first = ask(&state, near);
                // The errors of the two stages, each relative to its own length, cancel in the result.
                let scale = if integrand == Integrand::Denoised {
                    far.alpha() / near.alpha()
                } else {
                    far.sigma() / near.sigma()
                };
                let slope = long.weights[1] * r2 / r1 + gamma * scale * short.weights[1];
                let state = X::combine(&[
                    (long.state, x),
                    (long.weights[0] - slope, value),
                    (slope, &first),
                ]);
                let second = ask(&state, far);
                let slope = whole.weights[1] / (gamma * r1 + r2);
                X::combine(&[
                    (whole.state, x),
                    (whole.weights[0] - (1.0 + gamma) * slope, value),
                    (gamma * slope, &first),
                    (slope, &second),
                ])
            }
        }
    }
}

fn check_fraction(name: &'static str, value: f64) -> Result<(), Error> {
    if 0.0 < value && value <= 1.0 {
        Ok(())
    } else {
        Err(Error::Fraction { name, value })
    }
}
