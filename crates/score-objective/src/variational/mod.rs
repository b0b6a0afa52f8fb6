//! The variational bound in scalars: its terms at each step, at both ends, and its units.
//!
//! For levels from noise, k_T, to data, k_1, and a last one without noise,
//!
//! ```text
//! −log p(x₀) ≤ KL(q(x_T | x₀) ‖ prior) + Σ_{t ≥ 2} KL(q(x_s | x_t, x₀) ‖ p(x_s | x_t)) − log p(x₀ | x_1)      in nats
//! ```
//!
//! - prior term: [`prior_kl`].
//! - reverse steps: [`Posterior`] has the mean and variances of q(x_s | x_t, x₀); [`Normal::kl`] compares it with a model's.
//!   With the posterior's own variance the term is [`Posterior::loss_weight`] · ‖D − x₀‖².
//!   Infinitely many steps: [`Likelihood`](crate::Likelihood) as a weighting.
//! - decoder: [`Bins`] for images with levels, as a discretized Gaussian or as a categorical distribution;
//!   [`Normal::log_density`] for a density.
//! - [`bits_per_dimension`] with a [`Measure`], since densities and probabilities differ by an offset.
//!
//! Everything is per coordinate unless it says otherwise: sum over coordinates, and average over draws of x_t.

use noise_schedule::Kernel;

use crate::Error;

pub use bins::{Bins, NormalCdf};
pub use normal::Normal;
pub use posterior::{Posterior, ReverseVariance};

mod bins;
mod normal;
mod posterior;

/// KL(N(α x₀, σ²) ‖ prior) of the noisiest level, in nats: what is lost by starting from the prior.
///
/// For variance-preserving schedules the prior is [`Normal::STANDARD`], for others usually N(0, σ²).
///
/// # Errors
/// [`Error::NotPositive`] if σ² vanishes, [`Error::NotFinite`] unless x₀ is finite.
#[doc(alias = "prior_bpd")]
pub fn prior_kl(noisiest: Kernel, x0: f64, prior: Normal) -> Result<f64, Error> {
    let last = Normal::new(noisiest.alpha() * x0, noisiest.sigma().powi(2))?;
    Ok(last.kl(prior))
}

/// What a negative log-likelihood measures, and so what must be added to count bits of data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Probabilities of discrete data: nothing is added.
    Probability,
    /// A density over data that were dequantized by uniform noise in bins of this width: −log₂ width is added.
    ///
    /// 256 levels spread over \[−1, 1\] have width 2/256, an offset of 7 bits; over \[0, 1\] 1/256, 8 bits
    /// (Theis, van den Oord and Bethge 2016).
    Density {
        /// Width of a bin, in units of the data.
        bin_width: f64,
    },
}

/// Bits per dimension of a negative log-likelihood in `nats`, summed over `dimensions` coordinates: nats/(D ln 2) + offset.
///
/// # Errors
/// [`Error::Count`] without dimensions, [`Error::NotPositive`] for a bin without width.
///
/// ```
/// use score_objective::variational::{Measure, bits_per_dimension};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// // A uniform density on [−1, 1] has ln 2 nats: of 256 levels, that is 8 bits.
/// let nats = 10.0 * 2.0_f64.ln();
/// let bits = bits_per_dimension(nats, 10, Measure::Density { bin_width: 2.0 / 256.0 })?;
/// assert!((bits - 8.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "bpd")]
pub fn bits_per_dimension(nats: f64, dimensions: usize, measure: Measure) -> Result<f64, Error> {
    if dimensions == 0 {
        return Err(Error::Count {
            name: "dimensions",
            least: 1,
            most: usize::MAX,
            given: dimensions,
        });
    }
    let offset = match measure {
        Measure::Probability => 0.0,
        Measure::Density { bin_width } => -Error::positive("bin_width", bin_width)?.log2(),
    };
    Ok(nats / (dimensions as f64 * std::f64::consts::LN_2) + offset)
}
