//! Losses that learn their own weight: a log-variance per level or per image.

use std::f64::consts::{SQRT_2, TAU};

use noise_schedule::Kernel;
use rand::{Rng, distr::StandardUniform};
use rand_distr::StandardNormal;
use tch::{Device, Kind, Tensor};

use crate::{Edm, Error, Preconditioner};

/// loss · e^{−u} + D · u: a squared error under a learned log-variance u.
///
/// Up to a factor 2 and a constant it is the negative log-likelihood of residuals N(0, e^u I) in D coordinates, so the best
/// u is the logarithm of the mean squared error per coordinate, where the expected loss is D + D u (Kendall and Gal 2017).
/// With u a function of the level alone it is EDM2's (Karras et al. 2024): every level then trains with a
/// gradient of about the same size, whatever the weighting was.
/// With u from the network itself, one per image, it is k-diffusion's `DenoiserWithVariance`, whose loss is this over 2D.
///
/// # Shapes
/// `loss`, `log_variance`: \[B\]; returns \[B\]. D is `coordinates`, those that the loss sums over.
///
/// # Panics
/// If shapes disagree.
#[doc(alias = "heteroscedastic")]
#[doc(alias = "logvar")]
pub fn uncertainty_loss(loss: &Tensor, coordinates: usize, log_variance: &Tensor) -> Tensor {
    assert_eq!(
        loss.size(),
        log_variance.size(),
        "there must be one log-variance per row"
    );
    loss * (-log_variance).exp() + log_variance * coordinates as f64
}

/// u(k) = w · √2 cos(2π (f ln(σ/α)/4 + φ)): a log-variance per level, learned beside the network and thrown away after
/// training (Karras et al. 2024).
///
/// Random Fourier features and a linear map.
/// w starts at zero, so training starts with the weight that the loss has; EDM2 keeps ‖w‖ = 1 instead.
///
/// ```
/// use noise_schedule::Kernel;
/// use rand::SeedableRng;
/// use score_objective::torch::{LevelUncertainty, uncertainty_loss};
/// use tch::{Device, Tensor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
/// let uncertainty = LevelUncertainty::new(128, &mut rng, Device::Cpu)?;
/// let levels = [Kernel::variance_exploding(0.1)?, Kernel::variance_exploding(5.0)?];
/// let loss = Tensor::from_slice(&[3.0, 40.0]); // of a network, over 3·32·32 coordinates
/// let weighed = uncertainty_loss(&loss, 3072, &uncertainty.log_variance(&levels, &loss));
/// assert_eq!(weighed, loss); // before training
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LevelUncertainty {
    frequencies: Tensor,
    phases: Tensor,
    weights: Tensor,
}

impl LevelUncertainty {
    /// `channels` features (128 in EDM2), with frequencies f ~ N(0, 1) and phases φ ~ U(0, 1) drawn from `rng`.
    ///
    /// # Errors
    /// [`Error::Count`] without channels.
    pub fn new(
        channels: usize,
        rng: &mut impl Rng,
        device: Device,
    ) -> Result<LevelUncertainty, Error> {
        if channels == 0 {
            return Err(Error::Count {
                name: "channels",
                least: 1,
                most: usize::MAX,
                given: 0,
            });
        }
        let on_device = |values: Vec<f64>| Tensor::from_slice(&values).to_device(device);
        let frequencies = rng.sample_iter(StandardNormal).take(channels).collect();
        let phases = rng.sample_iter(StandardUniform).take(channels).collect();
        Ok(LevelUncertainty {
            frequencies: on_device(frequencies),
            phases: on_device(phases),
            weights: Tensor::zeros([channels as i64], (Kind::Double, device))
                .set_requires_grad(true),
        })
    }

    /// What is trained: w, \[C\], in `f64`.
    pub fn parameters(&self) -> [Tensor; 1] {
        [self.weights.shallow_clone()]
    }

    /// u at each level, of the kind of `like`: \[B\].
    ///
    /// The argument of the features is clamped as every label is, so that σ = 0 and α = 0 are finite.
    pub fn log_variance(&self, levels: &[Kernel], like: &Tensor) -> Tensor {
        let labels: Vec<f64> = levels.iter().map(|&k| Edm::unit().at(k).label).collect();
        let labels = Tensor::from_slice(&labels)
            .to_device(self.weights.device())
            .unsqueeze(1);
        let features = ((labels * &self.frequencies + &self.phases) * TAU).cos() * SQRT_2;
        features.mv(&self.weights).to_kind(like.kind())
    }
}
