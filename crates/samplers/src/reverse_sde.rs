//! The reversed diffusion, step by step: the predictors of score-based models.

use noise_schedule::{Kernel, NoiseSchedule};

use crate::stepper::{noise_ratio, rescaled};
use crate::{Ancestral, Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// The reversed diffusion with the steps of the forward chain:
/// x_to = (2 − a) x + ½ (1 + η²) b² score + η b z, where x_from = a x_to + b z is the forward transition,
/// a = alpha_from / alpha_to, b² = sigma_from² − a² sigma_to², and score = (alpha_from D − x) / sigma_from².
///
/// η = 1 is the reversed diffusion, η = 0 the probability flow, which draws no noise.
/// Weak order 1, one evaluation.
/// The steps to sigma = 0 and from alpha = 0 are those of [`Ancestral`]; one to more noise is the flow's.
///
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), appendix E, "reverse diffusion samplers";
/// for variance-exploding kernels x + (sigma_from² − sigma_to²) score + √(sigma_from² − sigma_to²) z.
#[doc(alias = "ReverseDiffusionPredictor")]
#[doc(alias = "ScoreSdeVeScheduler")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReverseDiffusion {
    eta: f64,
}

impl ReverseDiffusion {
    /// The stepper with this much noise: 1 for the reversed diffusion, 0 for the probability flow.
    ///
    /// # Errors
    /// [`Error::Noise`] unless η is finite and at least 0.
    pub fn new(eta: f64) -> Result<ReverseDiffusion, Error> {
        check(eta).map(|eta| ReverseDiffusion { eta })
    }
}

impl<X: VectorSpace> Stepper<X> for ReverseDiffusion {
    fn order(&self) -> u32 {
        1
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
        if is_end(from, to) {
            return across_an_end(self.eta).step(model, noise, x, from, to);
        }
        let ratio = noise_ratio(from, to);
        // b² / sigma_from²; negative for a step to more noise.
        let added = (1.0 - ratio) * (1.0 + ratio);
        let eta = if 0.0 < added { self.eta } else { 0.0 };
        let pull = 0.5 * (1.0 + eta * eta) * added;
        let denoised = model.denoise(x, from);
        let (kept, clean) = (2.0 - from.alpha() / to.alpha() - pull, pull * from.alpha());
        if eta == 0.0 {
            return X::combine_in(clean, denoised, &[(kept, x)]);
        }
        let fresh = noise.between(x, from, to);
        let scale = eta * from.sigma() * added.sqrt();
        X::combine_in(scale, fresh, &[(kept, x), (clean, &denoised)])
    }
}

/// Euler–Maruyama for the reversed diffusion in the schedule's own time t:
/// x_to = x − (f x − ½ (1 + η²) g² score) Δt + η g √Δt z, Δt = t_from − t_to, with the drift f x and the diffusion g
/// of the forward process at t_from, and score = (alpha D − x) / sigma².
///
/// η = 1 is the reversed diffusion, η = 0 the probability flow, which draws no noise and is Euler's method in t.
/// Weak order 1, one evaluation. Levels are found on the schedule by their log-SNR and may have another scale.
/// The steps to sigma = 0, from alpha = 0, and from the end of time where the rates are not finite are those of [`Ancestral`];
/// one to more noise is the flow's.
///
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), equations 6 and 13.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel, VpLinear};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{EulerMaruyama, PerSample, sample};
/// let schedule = VpLinear::song2021();
/// let mut model = |x: &Array1<f64>, k: Kernel| x * k.alpha(); // data N(0, 1)
/// let mut noise = PerSample::new((0..2).map(ChaCha8Rng::seed_from_u64));
/// let grid = Grid::uniform_time(&schedule, 1.0, 1e-3, 200)?;
/// let stepper = EulerMaruyama::new(schedule, 1.0)?;
/// let x = sample(&grid, stepper, &mut model, &mut noise, array![0.3, -1.0]);
/// assert!(x.iter().all(|x| x.abs() < 5.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "EulerMaruyamaPredictor")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EulerMaruyama<S> {
    schedule: S,
    eta: f64,
}

impl<S: NoiseSchedule> EulerMaruyama<S> {
    /// The stepper in the time of this schedule, with this much noise.
    ///
    /// # Errors
    /// [`Error::Noise`] unless η is finite and at least 0.
    pub fn new(schedule: S, eta: f64) -> Result<EulerMaruyama<S>, Error> {
        check(eta).map(|eta| EulerMaruyama { schedule, eta })
    }
}

impl<X: VectorSpace, S: NoiseSchedule> Stepper<X> for EulerMaruyama<S> {
    fn order(&self) -> u32 {
        1
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
        let (start, end) = (
            self.schedule.time_at(from.log_snr()),
            self.schedule.time_at(to.log_snr()),
        );
        let (at, rates) = (self.schedule.kernel(start), self.schedule.rates(start));
        let drift = rates.drift(at);
        let diffusion = rates.squared_diffusion(at);
        let span = start - end;
        let eta = if 0.0 < span { self.eta } else { 0.0 };
        let pull = 0.5 * (1.0 + eta * eta) * (diffusion / at.sigma()) * (span / at.sigma());
        if is_end(from, to) || !drift.is_finite() || !diffusion.is_finite() || !pull.is_finite() {
            return across_an_end(self.eta).step(model, noise, x, from, to);
        }
        // Into the schedule's own scale, and back.
        let (into, back) = (
            at.alpha() / from.alpha(),
            to.alpha() / self.schedule.kernel(end).alpha(),
        );
        let denoised = model.denoise(x, from);
        let (kept, clean) = (
            back * into * (1.0 - drift * span - pull),
            back * pull * at.alpha(),
        );
        if eta == 0.0 {
            return X::combine_in(clean, denoised, &[(kept, x)]);
        }
        let fresh = noise.between(x, from, to);
        let scale = back * eta * (diffusion * span).sqrt();
        X::combine_in(scale, fresh, &[(kept, x), (clean, &denoised)])
    }
}

fn check(eta: f64) -> Result<f64, Error> {
    if 0.0 <= eta && eta.is_finite() {
        Ok(eta)
    } else {
        Err(Error::Noise { eta })
    }
}

/// Whether the score or the drift is infinite at one of the two levels.
fn is_end(from: Kernel, to: Kernel) -> bool {
    from.alpha() == 0.0 || from.sigma() == 0.0 || to.alpha() == 0.0 || to.sigma() == 0.0
}

/// The stepper for steps to or from such a level.
fn across_an_end(eta: f64) -> Ancestral {
    Ancestral::new(eta.min(1.0)).expect("a share in [0, 1]")
}
