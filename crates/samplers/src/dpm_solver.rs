//! DPM-Solver++ of second order, multistep.

use noise_schedule::Kernel;

use crate::stepper::{renoised, rescaled};
use crate::{Denoiser, NoiseSource, Stepper, VectorSpace};

/// DPM-Solver++(2M): the [`Ddim`](crate::Ddim) step, with D extrapolated linearly from the step before.
///
/// With λ = ln(alpha / sigma), h = λ_to − λ_from and h₋ the same of the step before,
/// D̃ = D + h / (2 h₋) (D − D₋) takes the place of D.
///
/// Order 2, one evaluation.
/// The first step, a step to sigma = 0 and the one after a step from pure noise have nothing to extrapolate from or to:
/// there D̃ = D.
///
/// Lu et al. 2022, DPM-Solver++ (<https://arxiv.org/abs/2211.01095>), Algorithm 2.
#[doc(alias = "dpmpp_2m")]
#[derive(Clone, Debug)]
pub struct DpmSolver2M<X> {
    /// The level and the denoised state of the step before.
    previous: Option<(Kernel, X)>,
}

impl<X> DpmSolver2M<X> {
    /// The stepper at the start of a trajectory.
    pub fn new() -> DpmSolver2M<X> {
        DpmSolver2M { previous: None }
    }
}

impl<X> Default for DpmSolver2M<X> {
    fn default() -> DpmSolver2M<X> {
        DpmSolver2M::new()
    }
}

impl<X: VectorSpace> Stepper<X> for DpmSolver2M<X> {
    fn order(&self) -> u32 {
        2
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
        let denoised = model.denoise(x, from);
        let history = self.previous.replace((from, denoised.clone()));
        let extrapolated = history.and_then(|(before, previous)| {
            // Infinite to clean data, zero after pure noise; log_snr is 2λ, and the factor cancels.
            let weight =
                0.5 * (to.log_snr() - from.log_snr()) / (from.log_snr() - before.log_snr());
            weight
                .is_finite()
                .then(|| X::axpby(1.0 + weight, &denoised, -weight, &previous))
        });
        let target = extrapolated.as_ref().unwrap_or(&denoised);
        renoised(x, target, from, to.alpha(), to.sigma())
    }
}
