//! Samples of which a part is known.

use noise_schedule::Kernel;

use crate::stepper::rescaled;
use crate::trajectory::noised;
use crate::{Coordinates, Denoiser, Error, NoiseSource, Stepper};

/// A stepper after whose every step the known part is put in place, with fresh noise of its level:
/// x_to = (1 − m) y + m (alpha_to known + sigma_to z), where y is the inner stepper's result and m the mask.
///
/// A step to more noise is one of the forward process, by [`noised`], so that along [`Path::repaint`](noise_schedule::Path::repaint)
/// it is RePaint, and along a grid it is inpainting by replacement.
/// Neither samples the posterior given the known part: replacement never tells the unknown part of what is known in later steps,
/// and the jumps of RePaint bring the parts into agreement, the closer the more of them there are.
///
/// Order and evaluations are the inner stepper's. The mask is in [0, 1], 1 where the coordinate is known.
///
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), appendix I.2, for replacement;
/// Lugmayr et al. 2022, RePaint (<https://arxiv.org/abs/2201.09865>), algorithm 1.
///
/// ```
/// use ndarray::{Array2, array};
/// use noise_schedule::{Grid, Kernel, Path, VpLinear};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{Ancestral, Inpainting, PerSample, Stepper};
/// let mut model = |x: &Array2<f64>, k: Kernel| x * k.alpha(); // data N(0, I)
/// let (known, mask) = (array![[0.7, 0.0]], array![[1.0, 0.0]]);
/// let mut stepper = Inpainting::new(Ancestral::new(1.0)?, known, mask)?;
/// let mut noise = PerSample::new([ChaCha8Rng::seed_from_u64(0)]);
/// let grid = Grid::uniform_time(&VpLinear::song2021(), 1.0, 1e-3, 20)?.then_clean();
/// let path = Path::repaint(&grid, 5, 3)?;
/// let x = path.steps().fold(array![[0.1, -0.4]], |x, (from, to)| {
///     stepper.step(&mut model, &mut noise, &x, from, to)
/// });
/// assert_eq!(x[[0, 0]], 0.7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "repaint")]
#[doc(alias = "RePaintScheduler")]
#[derive(Clone, Debug, PartialEq)]
pub struct Inpainting<X, S> {
    inner: S,
    known: X,
    mask: Vec<f64>,
}

impl<X: Coordinates, S> Inpainting<X, S> {
    /// The stepper `inner` with this known part; where the mask is 0, `known` does not matter.
    ///
    /// # Errors
    /// [`Error::Mask`] for a mask outside [0, 1].
    ///
    /// # Panics
    /// If mask and known part differ in the number of coordinates.
    pub fn new(inner: S, known: X, mask: X) -> Result<Inpainting<X, S>, Error> {
        let (coordinates, mask) = (known.values().len(), mask.values());
        assert!(
            mask.len() == coordinates,
            "inpainting: {} coordinates of the mask for {coordinates} of the known part",
            mask.len()
        );
        match mask.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            Some(&value) => Err(Error::Mask { value }),
            None => Ok(Inpainting { inner, known, mask }),
        }
    }

    /// (1 − m) x + m known; where m is 0 or 1, the one or the other and nothing else.
    fn blend(&self, x: &X, known: &X) -> X {
        let pairs = x.values().into_iter().zip(known.values()).zip(&self.mask);
        let values = pairs.map(|((x, known), &m)| match m {
            0.0 => x,
            1.0 => known,
            _ => (1.0 - m) * x + m * known,
        });
        x.with_values(values.collect())
    }
}

impl<X: Coordinates, S: Stepper<X>> Stepper<X> for Inpainting<X, S> {
    fn order(&self) -> u32 {
        self.inner.order()
    }

    /// # Panics
    /// If the state has another number of coordinates than the known part.
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
        if from.noise_to_signal() < to.noise_to_signal() {
            return noised(x, from, to, noise);
        }
        let unknown = self.inner.step(model, noise, x, from, to);
        let known = if to.sigma() == 0.0 {
            X::axpby(to.alpha(), &self.known, 0.0, &self.known)
        } else {
            noised(&self.known, Kernel::CLEAN, to, noise)
        };
        self.blend(&unknown, &known)
    }
}
