//! Sampling with models that jump along the flow: consistency models and their kin.

use noise_schedule::Kernel;

use crate::stepper::{renoised_in, rescaled};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// The step that keeps a share of the noise and replaces the rest by fresh noise z, however long the step is:
/// x_to = alpha_to D + √(1 − γ²) sigma_to eps + γ sigma_to z, with eps = (x − alpha_from D) / sigma_from.
///
/// γ = 1 is multistep consistency sampling: if D is a consistency function (the end of the flow from x),
/// every step, of any length, takes marginals to marginals, and one step to sigma = 0 is a sample.
/// γ = 0 is [`Ddim`](crate::Ddim).
/// Between them it is γ-sampling, whose noise does not vanish with the length of the step, unlike [`Ancestral`](crate::Ancestral)'s:
/// so with the posterior mean for D, which is what a denoiser gives, samples come out too narrow for γ > 0 however many steps are taken,
/// and the order is 0.
/// One evaluation; a step to sigma = 0 or to more noise draws none.
///
/// Song et al. 2023 (<https://arxiv.org/abs/2303.01469>), algorithm 1, without its smallest level;
/// Kim et al. 2024, CTM (<https://arxiv.org/abs/2310.02279>), for γ.
/// In TCD's strategic stochastic sampling (<https://arxiv.org/abs/2402.19159>) the step goes to the cleaner level r_s in between:
/// γ² = 1 − (r_s / r_to)², r = sigma / alpha.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{ConsistencySampling, PerSample, sample};
/// // The consistency function of data N(0, 1) on variance-exploding kernels.
/// let mut jump = |x: &Array1<f64>, k: Kernel| x / 1.0_f64.hypot(k.sigma());
/// let mut noise = PerSample::new((0..2).map(ChaCha8Rng::seed_from_u64));
/// let grid = Grid::karras(0.5, 80.0, 7.0, 2)?.then_clean();
/// let x = sample(&grid, ConsistencySampling::new(1.0)?, &mut jump, &mut noise, array![80.0, -30.0]);
/// assert!(x.iter().all(|x| x.abs() < 5.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "CMStochasticIterativeScheduler")]
#[doc(alias = "LCMScheduler")]
#[doc(alias = "TCDScheduler")]
#[doc(alias = "ctm")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConsistencySampling {
    gamma: f64,
}

impl ConsistencySampling {
    /// The stepper with this γ in [0, 1].
    ///
    /// # Errors
    /// [`Error::Gamma`] outside [0, 1].
    pub fn new(gamma: f64) -> Result<ConsistencySampling, Error> {
        if (0.0..=1.0).contains(&gamma) {
            Ok(ConsistencySampling { gamma })
        } else {
            Err(Error::Gamma { gamma })
        }
    }
}

impl<X: VectorSpace> Stepper<X> for ConsistencySampling {
    fn order(&self) -> u32 {
        u32::from(self.gamma == 0.0)
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
        let rises = from.sigma() * to.alpha() < to.sigma() * from.alpha();
        let gamma = if rises { 0.0 } else { self.gamma };
        let kept = ((1.0 - gamma) * (1.0 + gamma)).sqrt();
        let denoised = model.denoise(x, from);
        let mean = renoised_in(x, denoised, from, to.alpha(), kept * to.sigma());
        let up = gamma * to.sigma();
        if up == 0.0 {
            return mean;
        }
        X::combine_in(up, noise.between(x, from, to), &[(1.0, &mean)])
    }
}
