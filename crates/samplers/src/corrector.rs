//! Predictor–corrector sampling: Langevin steps at each level before the step to the next.

use noise_schedule::Kernel;

use crate::stepper::rescaled;
use crate::{Coordinates, Denoiser, Error, NoiseSource, Stepper};

/// A step of Langevin dynamics at one level, x + ε score + √(2ε) z, and how long it is.
///
/// It leaves the marginal of the level as it is in the limit of small ε, and corrects samples that are not of it.
/// One evaluation.
///
/// The step of [`langevin`](crate::langevin) is 2ε.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Corrector {
    /// ε = 2 (snr ‖z‖ / ‖score‖)², sample by sample.
    ///
    /// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), algorithms 4 and 5, but for the factor alpha_i of single forward steps,
    /// which is 1 or nearly so; published code takes means of the norms over the batch, which couples its samples.
    /// It is made for many coordinates: in few, a score that is small by chance makes a step that is much too long.
    /// A sample whose score is 0 stays where it is.
    #[doc(alias = "LangevinCorrector")]
    Langevin {
        /// The signal-to-noise ratio of a step, positive: 0.16 is usual, larger is longer.
        snr: f64,
    },
    /// ε = 2 (snr sigma)².
    ///
    /// The annealed Langevin dynamics of Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>) as a corrector.
    #[doc(alias = "AnnealedLangevinDynamics")]
    Annealed {
        /// The signal-to-noise ratio of a step, positive. Where noise dominates, steps are stable below 1.
        snr: f64,
    },
}

impl Corrector {
    /// One step at the level `at`.
    ///
    /// # Shapes
    /// The result has the shape of `x`; samples lie along the leading axis.
    ///
    /// # Panics
    /// If `at.sigma()` is zero: the data need not have a score.
    pub fn correct<X: Coordinates>(
        self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        at: Kernel,
    ) -> X {
        let sigma = at.sigma();
        assert!(
            0.0 < sigma,
            "corrector: sigma must be positive, got 0; clean data need no corrector"
        );
        // sigma score, which is of order 1: nothing is divided by sigma².
        let denoised = model.denoise(x, at);
        let pull = X::axpby(at.alpha() / sigma, &denoised, -sigma.recip(), x);
        let fresh = noise.between(x, at, at);
        // With ε = 2 (length sigma)².
        let moved = |x: &X, pull: &X, fresh: &X, length: f64| {
            let step = 2.0 * length * sigma;
            X::combine(&[(1.0, x), (length * step, pull), (step, fresh)])
        };
        let snr = match self {
            Corrector::Annealed { snr } => return moved(x, &pull, &fresh, snr),
            Corrector::Langevin { snr } => snr,
        };
        let samples: Vec<X> = x
            .split()
            .iter()
            .zip(pull.split())
            .zip(fresh.split())
            .map(|((x, pull), fresh)| {
                let (signal, strength) = (pull.inner(&pull), fresh.inner(&fresh));
                if signal == 0.0 {
                    return x.clone();
                }
                moved(x, &pull, &fresh, snr * (strength / signal).sqrt())
            })
            .collect();
        if samples.is_empty() {
            x.clone()
        } else {
            X::stack(&samples)
        }
    }
}

/// A stepper whose every step begins with Langevin steps at the level where it starts.
///
/// The steps of a corrector have a length of their own, and with it a bias of first order in ε that stays however fine the grid is:
/// the order is 0, though the samples of few steps are better. Each step costs `steps` evaluations more than the predictor's.
/// From sigma = 0 there is nothing to correct.
///
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), algorithm 1 with the corrector first:
/// [`ReverseDiffusion`](crate::ReverseDiffusion) with [`Corrector::Langevin`] and one step is the PC sampler of its code.
///
/// ```
/// use ndarray::{Array2, array};
/// use noise_schedule::{Grid, Kernel};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{Corrected, Corrector, PerSample, ReverseDiffusion, sample};
/// let mut model = |x: &Array2<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let mut noise = PerSample::new((0..2).map(ChaCha8Rng::seed_from_u64));
/// let grid = Grid::geometric(50.0, 0.01, 40)?;
/// let stepper = Corrected::new(ReverseDiffusion::new(1.0)?, Corrector::Annealed { snr: 0.16 }, 1)?;
/// let x = sample(&grid, stepper, &mut model, &mut noise, array![[50.0, -20.0], [7.0, 60.0]]);
/// assert!(x.iter().all(|x| x.abs() < 5.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "pc_sampler")]
#[doc(alias = "PredictorCorrector")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corrected<P> {
    predictor: P,
    corrector: Corrector,
    steps: usize,
}

impl<P> Corrected<P> {
    /// The stepper that corrects so many times before each step of `predictor`.
    ///
    /// # Errors
    /// [`Error::Snr`] unless the corrector's signal-to-noise ratio is positive and finite.
    pub fn new(predictor: P, corrector: Corrector, steps: usize) -> Result<Corrected<P>, Error> {
        let (Corrector::Langevin { snr } | Corrector::Annealed { snr }) = corrector;
        if 0.0 < snr && snr.is_finite() {
            Ok(Corrected {
                predictor,
                corrector,
                steps,
            })
        } else {
            Err(Error::Snr { snr })
        }
    }
}

impl<X: Coordinates, P: Stepper<X>> Stepper<X> for Corrected<P> {
    fn order(&self) -> u32 {
        if self.steps == 0 {
            self.predictor.order()
        } else {
            0
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
        if let Some(same) = rescaled(x, from, to) {
            return same;
        }
        let steps = if 0.0 < from.sigma() { self.steps } else { 0 };
        let corrected = (0..steps).fold(x.clone(), |x, _| {
            self.corrector.correct(model, noise, &x, from)
        });
        self.predictor.step(model, noise, &corrected, from, to)
    }
}
