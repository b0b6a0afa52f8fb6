//! What is done to labels and to noise before a loss sees them, without tensors.

use crate::Error;

/// Labels of which a share is replaced by `unconditional`: training for classifier-free guidance (Ho and Salimans 2022).
///
/// A label is dropped where its uniform number is below `probability`: never at 0, always at 1.
///
/// # Errors
/// [`Error::Outside`] unless 0 ≤ `probability` ≤ 1, [`Error::Length`] unless there is one number in \[0, 1) per label.
///
/// ```
/// use score_objective::drop_labels;
///
/// # fn main() -> Result<(), score_objective::Error> {
/// assert_eq!(drop_labels(&[3, 7], &10, 0.1, &[0.05, 0.6])?, [10, 7]);
/// assert_eq!(drop_labels(&[Some("cat")], &None, 0.1, &[0.05])?, [None]);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "cond_drop_prob")]
#[doc(alias = "label_dropout")]
pub fn drop_labels<L: Clone>(
    labels: &[L],
    unconditional: &L,
    probability: f64,
    uniforms: &[f64],
) -> Result<Vec<L>, Error> {
    Error::within("probability", 0.0, 1.0, probability)?;
    Error::length("uniforms", labels.len(), uniforms.len())?;
    Ok(labels
        .iter()
        .zip(uniforms)
        .map(|(label, &u)| {
            if u < probability {
                unconditional
            } else {
                label
            }
            .clone()
        })
        .collect())
}

/// Noise with an offset: ε + s δ, with one δ ~ N(0, 1) for all coordinates of a channel.
///
/// Its covariance within a channel is I + s² 1 1ᵀ, so that the mean of n coordinates has variance 1/n + s² instead of 1/n, and a
/// network learns to move it.
/// The kernel is then no longer N(α x₀, σ² I): weightings and bounds that assume it are off by the same factor.
#[doc(alias = "offset_noise_strength")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OffsetNoise {
    strength: f64,
}

impl OffsetNoise {
    /// The noise with this strength s, per unit of the noise itself; 0.1 is usual.
    ///
    /// # Errors
    /// [`Error::Negative`] unless 0 ≤ s < ∞.
    pub fn new(strength: f64) -> Result<OffsetNoise, Error> {
        Ok(OffsetNoise {
            strength: Error::non_negative("strength", strength)?,
        })
    }

    /// ε + s δ for one coordinate: its own `noise` and the `offset` of its channel.
    pub fn add(self, noise: f64, offset: f64) -> f64 {
        noise + self.strength * offset
    }

    /// The variance of a coordinate, 1 + s².
    pub fn variance(self) -> f64 {
        1.0 + self.strength * self.strength
    }

    /// The variance of the mean of `coordinates` of one channel, 1/n + s².
    ///
    /// # Panics
    /// Without coordinates.
    pub fn variance_of_mean(self, coordinates: usize) -> f64 {
        assert!(
            0 < coordinates,
            "offset noise: a mean needs a coordinate, not none"
        );
        1.0 / coordinates as f64 + self.strength * self.strength
    }
}
