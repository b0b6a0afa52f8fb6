//! The stochastic singlestep method.

use noise_schedule::Kernel;

use super::{Exponential, Integrand, SecondOrder};
use crate::starter::intermediate;
use crate::stepper::{renoised, rescaled};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// DPM-Solver++ SDE of second order, singlestep: the diffusion reversed with the noise η, with one stage inside the step.
///
/// The stage is an exact step with D to the fraction r of the step in λ = ln(alpha/sigma), noise included;
/// the step is one with D + (D₁ − D)/(2 r), and the *same* path of the noise: what the stage drew is part of it,
/// (sigma_to/sigma_s) e^(−η(1−r)h) times the stage's noise, and the rest of the step has a draw of its own.
///
/// Weak order 2, two evaluations and two draws; to sigma = 0 and from alpha = 0 first order, with one and at most one.
/// η = 0 is DPM-Solver++(2S) and draws nothing, and neither does a step to more noise.
///
/// Lu et al. 2022, DPM-Solver++ (<https://arxiv.org/abs/2211.01095>), section 6 has the multistep form.
/// k-diffusion's `sample_dpmpp_sde` has other noise for η other than 1: see [`compat::k_diffusion`](crate::compat::k_diffusion).
#[doc(alias = "dpmpp_sde")]
#[doc(alias = "DPMSolverSDEScheduler")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpmSolverSde {
    eta: f64,
    r: f64,
}

impl DpmSolverSde {
    /// The method with this much noise and its stage at this fraction of the step: η = 1, r = ½ are the usual ones.
    ///
    /// # Errors
    /// [`Error::Noise`] unless η is finite and at least 0; [`Error::Fraction`] unless 0 < r ≤ 1.
    pub fn new(eta: f64, r: f64) -> Result<DpmSolverSde, Error> {
        if !(0.0 <= eta && eta.is_finite()) {
            return Err(Error::Noise { eta });
        }
        if !(0.0 < r && r <= 1.0) {
            return Err(Error::Fraction {
                name: "r",
                value: r,
            });
        }
        Ok(DpmSolverSde { eta, r })
    }
}

impl<X: VectorSpace> Stepper<X> for DpmSolverSde {
    fn order(&self) -> u32 {
        2
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
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
        if from.alpha() == 0.0 || to.alpha() == 0.0 || to.sigma() == 0.0 {
            if self.eta == 0.0 || to.sigma() == 0.0 || to.alpha() == 0.0 {
                return renoised(x, &denoised, from, to.alpha(), to.sigma());
            }
            let fresh = noise.between(x, from, to);
            return X::axpby(to.alpha(), &denoised, to.sigma(), &fresh);
        }
        let middle = intermediate(from, to, self.r);
        let whole = Exponential::new(Integrand::Denoised, self.eta, from, to);
        let first = Exponential::new(Integrand::Denoised, self.eta, from, middle);
        let second = Exponential::new(Integrand::Denoised, self.eta, middle, to);
        let drawn = (0.0 < first.noise).then(|| noise.between(x, from, middle));
        let mut stage = vec![(first.state, x), (first.weights[0], &denoised)];
        stage.extend(drawn.iter().map(|drawn| (first.noise, drawn)));
        let stage = model.denoise(&X::combine(&stage), middle);
        let slope = whole.slope(SecondOrder::Midpoint) / self.r;
        let mut terms = vec![
            (whole.state, x),
            (whole.weights[0] - slope, &denoised),
            (slope, &stage),
        ];
        terms.extend(
            drawn
                .iter()
                .map(|drawn| (second.state * first.noise, drawn)),
        );
        let rest = (0.0 < second.noise).then(|| noise.between(x, middle, to));
        terms.extend(rest.iter().map(|rest| (second.noise, rest)));
        X::combine(&terms)
    }
}
