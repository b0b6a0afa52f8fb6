//! Consistency functions: denoisers that are the identity at the smallest level.

use noise_schedule::Kernel;

use super::{Coefficients, Preconditioner, label};
use crate::Error;

/// F is what a consistency model adds to a share of x that is all of it at the smallest level (Song et al. 2023, appendix C).
///
/// With n = σ/α, n₀ the smallest level and s the standard deviation of the data, on x/α:
/// skip = s²/((n − n₀)² + s²), out = s (n − n₀)/√(n² + s²), input = 1/√(n² + s²); below n₀ as at n₀.
/// The difference n − n₀ stands in skip and in the numerator of out only, as in the paper, so out is not the root of
/// unit variance that [`Edm`](crate::Edm) has.
/// The label is [`label::thousand_quarter_log`].
#[doc(alias = "c_skip")]
#[doc(alias = "get_scalings_for_boundary_condition")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Consistency {
    sigma_min: f64,
    data_std: f64,
}

impl Consistency {
    /// The row for data of standard deviation `data_std` that is the identity at the noise-to-signal ratio `sigma_min`.
    ///
    /// # Errors
    /// [`Error::Negative`] unless 0 ≤ `sigma_min` < ∞, [`Error::NotPositive`] unless 0 < `data_std` < ∞.
    pub fn new(sigma_min: f64, data_std: f64) -> Result<Consistency, Error> {
        Ok(Consistency {
            sigma_min: Error::non_negative("sigma_min", sigma_min)?,
            data_std: Error::positive("data_std", data_std)?,
        })
    }

    /// Smallest level 0.002, data of standard deviation 0.5: the values of Song et al. 2023.
    pub fn song2023() -> Consistency {
        Consistency {
            sigma_min: 0.002,
            data_std: 0.5,
        }
    }

    /// (α s, σ − α n₀): the scale of the signal, and of the noise above the smallest level.
    fn scales(self, k: Kernel) -> (f64, f64) {
        let above = (k.sigma() - k.alpha() * self.sigma_min).max(0.0);
        (k.alpha() * self.data_std, above)
    }
}

impl Preconditioner for Consistency {
    fn at(&self, k: Kernel) -> Coefficients {
        let (signal, above) = self.scales(k);
        let norm = signal.hypot(k.sigma());
        Coefficients {
            skip: signal * self.data_std / (signal * signal + above * above),
            out: self.data_std * above / norm,
            input: 1.0 / norm,
            label: label::thousand_quarter_log(k),
        }
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        let (signal, above) = self.scales(k);
        above * above / (signal * signal + above * above)
    }

    /// Infinite at and below the smallest level, where the network has no say and so no target.
    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let (signal, above) = self.scales(k);
        if above == 0.0 {
            return (0.0, f64::NEG_INFINITY);
        }
        let norm = signal.hypot(k.sigma());
        let total = signal * signal + above * above;
        (
            above * norm / (self.data_std * total),
            -signal * k.sigma() * norm / (above * total),
        )
    }
}

/// The shares of x and of a denoiser's estimate in a consistency function: f = skip · x + out · D.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boundary {
    /// Multiplies the noisy point; 1 at the boundary.
    pub skip: f64,
    /// Multiplies the denoiser's estimate; 0 at the boundary.
    pub out: f64,
}

impl Boundary {
    /// The coefficients of f over a network whose own row is `c`: a denoiser again, with the same input and label.
    pub fn over(self, c: Coefficients) -> Coefficients {
        Coefficients {
            skip: self.skip + self.out * c.skip,
            out: self.out * c.out,
            ..c
        }
    }
}

/// The boundary of latent consistency models, in the timestep rather than in σ (Luo et al. 2023).
///
/// With τ = scaling · timestep: skip = s²/(τ² + s²), out = τ/√(τ² + s²).
/// skip² + out² is not 1, and x is not divided by α: it is the identity at timestep 0 only.
#[doc(alias = "LCM")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentConsistency {
    data_std: f64,
    scaling: f64,
}

impl LatentConsistency {
    /// The boundary with this s and this scaling of the timestep.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless both lie in (0, ∞).
    pub fn new(data_std: f64, scaling: f64) -> Result<LatentConsistency, Error> {
        Ok(LatentConsistency {
            data_std: Error::positive("data_std", data_std)?,
            scaling: Error::positive("scaling", scaling)?,
        })
    }

    /// s = 0.5 and scaling 10: the values of Luo et al. 2023.
    pub fn luo2023() -> LatentConsistency {
        LatentConsistency {
            data_std: 0.5,
            scaling: 10.0,
        }
    }

    /// The shares at a timestep ≥ 0, usually one of 0 … 999.
    pub fn at(self, timestep: f64) -> Boundary {
        let scaled = self.scaling * timestep;
        let norm = scaled.hypot(self.data_std);
        Boundary {
            skip: (self.data_std / norm).powi(2),
            out: scaled / norm,
        }
    }
}
