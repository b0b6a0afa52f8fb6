//! Fresh noise around the steps of a deterministic method: before a step (churn) or after it (ancestral sampling).

use std::f64::consts::SQRT_2;

use noise_schedule::Kernel;

use crate::stepper::{noise_ratio, rescaled, with_noise_to_signal};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// How much noise [`Churn`] adds, and where.
///
/// The names are those of Karras et al. 2022, in lower case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChurnLevels {
    /// S_churn: every step raises the noise by the factor 1 + min(S_churn / steps, √2 − 1). Not negative.
    pub s_churn: f64,
    /// S_tmin: no churn below this noise-to-signal ratio. Not negative.
    pub s_tmin: f64,
    /// S_tmax: no churn above this noise-to-signal ratio; may be infinite.
    pub s_tmax: f64,
    /// S_noise: the standard deviation of the added noise, relative to what keeps the marginals. Not negative.
    pub s_noise: f64,
    /// The number of steps that S_churn is spread over, that of the grid. Positive.
    pub steps: usize,
}

impl ChurnLevels {
    /// The values for ImageNet at 64 × 64 with 256 steps: 40, 0.05, 50 and 1.003.
    ///
    /// Karras et al. 2022, table 5 of the appendix.
    pub fn karras2022_imagenet64() -> ChurnLevels {
        ChurnLevels {
            s_churn: 40.0,
            s_tmin: 0.05,
            s_tmax: 50.0,
            s_noise: 1.003,
            steps: 256,
        }
    }
}

/// A deterministic stepper that first adds noise: with r = sigma / alpha, every step begins by raising r to r̂ = (1 + γ) r,
/// x̂ / alphâ = x / alpha + √(r̂² − r²) S_noise z, and goes on from there.
///
/// γ = min(S_churn / steps, √2 − 1) where S_tmin ≤ r ≤ S_tmax, and 0 elsewhere, from pure noise and in walks to more noise.
/// The raised level keeps what the step's two levels have in common: alpha, alpha + sigma, or alpha² + sigma² of the first.
///
/// The added noise takes the marginal of one level to that of another exactly if S_noise = 1:
/// then the weak order is the order of the inner stepper, and it costs as many evaluations.
/// Other values of S_noise make up for networks that remove too much noise; with an exact denoiser they bias the samples.
/// A multistep method inside forgets its history at each churn, and with it the order of which this is: take one that remembers nothing.
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), algorithm 2, for any kernel and stepper; there it is [`Heun`](crate::Heun).
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{Churn, ChurnLevels, Heun, PerSample, sample};
/// let levels = ChurnLevels { steps: 32, ..ChurnLevels::karras2022_imagenet64() };
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let mut noise = PerSample::new((0..2).map(ChaCha8Rng::seed_from_u64));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 32)?.then_clean();
/// let x = sample(&grid, Churn::new(Heun, levels)?, &mut model, &mut noise, array![80.0, -40.0]);
/// assert!(x.iter().all(|x| x.abs() < 5.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "s_churn")]
#[doc(alias = "edm_sampler")]
#[derive(Clone, Debug, PartialEq)]
pub struct Churn<S> {
    inner: S,
    levels: ChurnLevels,
}

impl<S> Churn<S> {
    /// The stepper `inner` with this much noise before each step.
    ///
    /// # Errors
    /// [`Error::Churn`] if a number is negative or not finite (`s_tmax` may be infinite), or `steps` is 0.
    pub fn new(inner: S, levels: ChurnLevels) -> Result<Churn<S>, Error> {
        let numbers = [
            ("s_churn", levels.s_churn),
            ("s_tmin", levels.s_tmin),
            ("s_tmax", levels.s_tmax),
            ("s_noise", levels.s_noise),
        ];
        for (name, value) in numbers {
            let finite = value.is_finite() || name == "s_tmax" && value == f64::INFINITY;
            if !(finite && 0.0 <= value) {
                return Err(Error::Churn { name, value });
            }
        }
        if levels.steps == 0 {
            return Err(Error::NoSteps);
        }
        Ok(Churn { inner, levels })
    }
}

impl<X: VectorSpace, S: Stepper<X>> Stepper<X> for Churn<S> {
    fn order(&self) -> u32 {
        self.inner.order()
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
        let (ratio, levels) = (from.noise_to_signal(), self.levels);
        let gamma = (levels.s_churn / levels.steps as f64).min(SQRT_2 - 1.0);
        let inside = levels.s_tmin <= ratio && ratio <= levels.s_tmax && ratio.is_finite();
        if !inside || gamma == 0.0 || ratio < to.noise_to_signal() {
            return self.inner.step(model, noise, x, from, to);
        }
        let raised = with_noise_to_signal(from, to, (1.0 + gamma) * ratio);
        // r̂² − r² = γ (2 + γ) r².
        let added = raised.alpha() * ratio * (gamma * (2.0 + gamma)).sqrt() * levels.s_noise;
        let noised = X::axpby(
            raised.alpha() / from.alpha(),
            x,
            added,
            &noise.between(x, from, raised),
        );
        self.inner.step(model, noise, &noised, raised, to)
    }
}

/// A deterministic stepper that renews noise: every step goes further down, to the ratio σ_down / alpha_to,
/// and comes back with fresh noise z, x_to = y + sigma_up z.
///
/// sigma_up² = η² sigma_to² (1 − q²), sigma_down² = sigma_to² − sigma_up², q = r_to / r_from, r = sigma / alpha:
/// the split of [`Ancestral`](crate::Ancestral), which is this over [`Ddim`](crate::Ddim).
/// Over [`Dpm2`](crate::Dpm2) it is k-diffusion's DPM2 ancestral.
///
/// As both halves take marginals to marginals, the weak order is the order of the inner stepper, which must be one that remembers nothing:
/// the level where it arrives is never the one where its next step begins.
/// The step to sigma = 0 and walks to more noise are the inner stepper's, without noise.
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>) name such methods ancestral; η is that of
/// Song, Meng & Ermon 2020, DDIM (<https://arxiv.org/abs/2010.02502>).
#[doc(alias = "ancestral")]
#[doc(alias = "dpm_2_ancestral")]
#[doc(alias = "KDPM2AncestralDiscreteScheduler")]
#[derive(Clone, Debug, PartialEq)]
pub struct Renewed<S> {
    inner: S,
    eta: f64,
}

impl<S> Renewed<S> {
    /// The stepper `inner` with this share of fresh noise, in [0, 1].
    ///
    /// # Errors
    /// [`Error::Eta`] outside [0, 1].
    pub fn new(inner: S, eta: f64) -> Result<Renewed<S>, Error> {
        if (0.0..=1.0).contains(&eta) {
            Ok(Renewed { inner, eta })
        } else {
            Err(Error::Eta { eta })
        }
    }
}

impl<X: VectorSpace, S: Stepper<X>> Stepper<X> for Renewed<S> {
    fn order(&self) -> u32 {
        self.inner.order()
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
        let ratio = noise_ratio(from, to);
        let up = to.sigma() * self.eta * ((1.0 - ratio) * (1.0 + ratio)).max(0.0).sqrt();
        if up == 0.0 {
            return self.inner.step(model, noise, x, from, to);
        }
        // 1 − η² (1 − q²), as a sum of what is not negative.
        let (fixed, kept) = ((1.0 - self.eta) * (1.0 + self.eta), self.eta * ratio);
        let relative = (fixed + kept * kept).sqrt();
        let down = with_noise_to_signal(to, from, relative * to.noise_to_signal());
        let state = self.inner.step(model, noise, x, from, down);
        X::axpby(
            to.alpha() / down.alpha(),
            &state,
            up,
            &noise.between(x, from, to),
        )
    }
}
