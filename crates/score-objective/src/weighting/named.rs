//! The weightings that need nothing but the kernel.

use std::f64::consts::FRAC_2_PI;

use noise_schedule::Kernel;

use super::Weighting;
use crate::Error;

/// 1 at every level: the plain error of the denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uniform;

impl Weighting for Uniform {
    fn weight(&self, _: Kernel) -> f64 {
        1.0
    }
}

/// α²/σ²: uniform on the noise ε. Infinite at σ = 0.
///
/// With α = 1 it is 1/σ², the weight of the variance-preserving and variance-exploding columns of Karras et al. 2022, table 1.
#[doc(alias = "epsilon")]
#[doc(alias = "simple")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snr;

impl Weighting for Snr {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr()
    }
}

/// α²/σ² + 1: uniform on the velocity v. Infinite at σ = 0.
#[doc(alias = "v")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnrPlusOne;

impl Weighting for SnrPlusOne {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr() + 1.0
    }
}

/// ((α + σ)/σ)²: uniform on the flow velocity ε − x₀, the plain loss of rectified flow. Infinite at σ = 0.
///
/// It is also diffusers' `sigma_sqrt`, σ⁻² with α + σ = 1, where that script weighs the denoiser's error.
#[doc(alias = "sigma_sqrt")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowUniform;

impl Weighting for FlowUniform {
    fn weight(&self, k: Kernel) -> f64 {
        (1.0 + k.alpha() / k.sigma()).powi(2)
    }
}

/// σ²/α²: a denoiser that counts most where there is most noise. Infinite at α = 0.
#[doc(alias = "inv_snr")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InverseSnr;

impl Weighting for InverseSnr {
    fn weight(&self, k: Kernel) -> f64 {
        k.noise_to_signal().powi(2)
    }
}

/// max(α²/σ², floor): [`Snr`] that keeps the noisy levels (Salimans and Ho 2022, section 4, with floor 1).
///
/// On ε it is max(1, floor/snr), what is called max-SNR. Infinite at σ = 0.
#[doc(alias = "max_snr")]
#[doc(alias = "trunc_snr")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TruncatedSnr {
    floor: f64,
}

impl TruncatedSnr {
    /// The weighting that never falls below `floor`, a signal-to-noise ratio in (0, ∞).
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < `floor` < ∞.
    pub fn new(floor: f64) -> Result<TruncatedSnr, Error> {
        Ok(TruncatedSnr {
            floor: Error::positive("floor", floor)?,
        })
    }

    /// max(snr, 1), so that the larger of the errors of x₀ and ε counts.
    pub fn salimans2022() -> TruncatedSnr {
        TruncatedSnr { floor: 1.0 }
    }
}

impl Weighting for TruncatedSnr {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr().max(self.floor)
    }
}

/// min(α²/σ², γ) (Hang et al. 2023; they use γ = 5): [`Snr`] that no clean level dominates.
///
/// On ε it is min(snr, γ)/snr, on v min(snr, γ)/(snr + 1): see [`Weighting::on`], which is defined at snr = 0 too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinSnr {
    gamma: f64,
}

impl MinSnr {
    /// The weighting capped at `gamma`, a signal-to-noise ratio in (0, ∞).
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < γ < ∞.
    pub fn new(gamma: f64) -> Result<MinSnr, Error> {
        Ok(MinSnr {
            gamma: Error::positive("gamma", gamma)?,
        })
    }
}

impl Weighting for MinSnr {
    fn weight(&self, k: Kernel) -> f64 {
        k.snr().min(self.gamma)
    }
}

/// 1/(1/snr + 1/γ): half the harmonic mean of snr and γ, a smooth [`MinSnr`]. Between 0 and γ.
#[doc(alias = "sigmoid weighting")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftMinSnr {
    gamma: f64,
}

impl SoftMinSnr {
    /// The weighting that tends to `gamma` at clean levels.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < γ < ∞.
    pub fn new(gamma: f64) -> Result<SoftMinSnr, Error> {
        Ok(SoftMinSnr {
            gamma: Error::positive("gamma", gamma)?,
        })
    }

    /// γ = 1/s² for data of standard deviation s: 1/(σ² + s²) at α = 1, as in k-diffusion's `soft-min-snr`.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless s and 1/s² lie in (0, ∞).
    pub fn for_data(data_std: f64) -> Result<SoftMinSnr, Error> {
        SoftMinSnr::new(Error::positive("data_std", data_std)?.powi(-2))
    }

    /// sigmoid(`bias` − ln snr) on ε, which is γ = e^bias (Kingma and Gao 2023; Hoogeboom et al. 2024).
    ///
    /// In those papers it weighs errors of equally spaced log-SNRs: wrap it in [`PerLogSnr`](super::PerLogSnr) for others.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless e^bias lies in (0, ∞).
    pub fn sigmoid(bias: f64) -> Result<SoftMinSnr, Error> {
        SoftMinSnr::new(bias.exp())
    }
}

impl Weighting for SoftMinSnr {
    fn weight(&self, k: Kernel) -> f64 {
        1.0 / (1.0 / k.snr() + 1.0 / self.gamma)
    }
}

/// snr/(k + snr)^γ: on ε 1/(k + snr)^γ, which turns away from clean levels (Choi et al. 2022).
///
/// Finite at σ = 0 if γ ≥ 1.
#[doc(alias = "perception prioritized")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct P2 {
    k: f64,
    gamma: f64,
}

impl P2 {
    /// The weighting with these k and γ; the paper has k = 1 and γ = 0.5 or 1.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < k < ∞, [`Error::Negative`] unless 0 ≤ γ < ∞.
    pub fn new(k: f64, gamma: f64) -> Result<P2, Error> {
        Ok(P2 {
            k: Error::positive("k", k)?,
            gamma: Error::non_negative("gamma", gamma)?,
        })
    }

    /// k = 1 and γ = 1, the paper's setting for most of its data.
    pub fn choi2022() -> P2 {
        P2 { k: 1.0, gamma: 1.0 }
    }
}

impl Weighting for P2 {
    fn weight(&self, k: Kernel) -> f64 {
        let snr = k.snr();
        // Two forms of one number: neither is inf/inf on its side.
        if snr < 1.0 {
            snr / (self.k + snr).powf(self.gamma)
        } else {
            snr.powf(1.0 - self.gamma) / (1.0 + self.k / snr).powf(self.gamma)
        }
    }
}

/// ½ n^(p − 4), n = σ/α: ½ n^p on the score of x/α (Song and Ermon 2019, with p = 2).
///
/// With p = 2 it is half of [`Snr`]. Infinite at σ = 0 if p < 4.
#[doc(alias = "anneal_power")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ncsn {
    power: f64,
}

impl Ncsn {
    /// The weighting with this power p of the noise level.
    ///
    /// # Errors
    /// [`Error::NotFinite`] unless p is finite.
    pub fn new(power: f64) -> Result<Ncsn, Error> {
        Ok(Ncsn {
            power: Error::finite("power", power)?,
        })
    }

    /// p = 2, which makes the loss of a network without a say the same at every level.
    pub fn song2019() -> Ncsn {
        Ncsn { power: 2.0 }
    }
}

impl Weighting for Ncsn {
    fn weight(&self, k: Kernel) -> f64 {
        0.5 * k.noise_to_signal().powf(self.power - 4.0)
    }
}

/// 2/(π (1 − 2τ + 2τ²)) on the flow velocity, τ = σ/(α + σ) (Esser et al. 2024, section 3.1; diffusers' `cosmap`).
///
/// In the paper it is a density of τ, and so a weight under uniform τ: there, the log-SNR is distributed as under the cosine
/// schedule. Infinite at σ = 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosmap;

impl Weighting for Cosmap {
    fn weight(&self, k: Kernel) -> f64 {
        let total = k.alpha() + k.sigma();
        let (signal, noise) = (k.alpha() / total, k.sigma() / total);
        // 1 - 2τ + 2τ² is τ² + (1 - τ)².
        FRAC_2_PI / (signal * signal + noise * noise) * FlowUniform.weight(k)
    }
}

/// (σ² + α² s²)/(σ s)², s the standard deviation of the data: uniform on the output of [`Edm`](crate::Edm).
///
/// With σ/α for σ this is λ(σ) of Karras et al. 2022, table 1. Infinite at σ = 0.
#[doc(alias = "karras")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdmWeight {
    data_std: f64,
}

impl EdmWeight {
    /// The weighting for data of standard deviation `data_std` per coordinate.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless 0 < `data_std` < ∞.
    pub fn new(data_std: f64) -> Result<EdmWeight, Error> {
        Ok(EdmWeight {
            data_std: Error::positive("data_std", data_std)?,
        })
    }
}

impl Weighting for EdmWeight {
    fn weight(&self, k: Kernel) -> f64 {
        // The sum of the two precisions of x0: from x and from the prior.
        k.snr() + self.data_std.powi(-2)
    }
}
