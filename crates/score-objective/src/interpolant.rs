//! Points and velocities on paths between data and a source: what flow matching regresses on.

use noise_schedule::{Kernel, Rates};

use crate::Error;

/// How much of the data, the source and a bridging noise there is in something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Multiplies the data x₀.
    pub data: f64,
    /// Multiplies the source x₁: noise, or samples of another distribution.
    pub source: f64,
    /// Multiplies z, standard normal and independent of both ends.
    pub noise: f64,
}

/// One time of a stochastic interpolant: x = a x₀ + b x₁ + c z and its velocity u = a′ x₀ + b′ x₁ + c′ z.
///
/// Time runs as everywhere here, from data (0) to the source (1), and u = dx/dt.
/// Flow-matching code whose time runs from noise (0) to data (1) has −u at 1 − t; diffusers and Stable Diffusion 3 have
/// our sign.
/// E\[u given x\] is the velocity of a flow that has the law of x at every time (Lipman et al. 2022, theorem 1;
/// Albergo, Boffi and Vanden-Eijnden 2023, <https://arxiv.org/abs/2303.08797>).
///
/// | constructor | x | others call it |
/// |---|---|---|
/// | [`affine`](Interpolant::affine) | α x₀ + σ x₁ | a Gaussian path, any schedule |
/// | [`straight`](Interpolant::straight) | (1 − t) x₀ + t x₁ + s z | I-CFM; OT-CFM with coupled ends; rectified flow at s = 0 |
/// | [`lipman2022`](Interpolant::lipman2022) | (1 − t) x₀ + (s + (1 − s) t) x₁ | FM's "OT path", target CFM |
/// | [`trigonometric`](Interpolant::trigonometric) | cos(πt/2) x₀ + sin(πt/2) x₁ | VP-CFM |
/// | [`bridge`](Interpolant::bridge) | (1 − t) x₀ + t x₁ + s √(t (1 − t)) z | SB-CFM, Brownian bridge |
///
/// ```
/// use score_objective::Interpolant;
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let middle = Interpolant::bridge(0.5, 0.2)?;
/// assert_eq!((middle.at.data, middle.at.source), (0.5, 0.5));
/// assert_eq!((middle.at.noise, middle.rate.noise), (0.1, 0.0));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "conditional flow matching")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interpolant {
    /// (a, b, c) of the point.
    pub at: Shares,
    /// (a′, b′, c′) of the velocity, per unit of time.
    pub rate: Shares,
}

impl Interpolant {
    /// α x₀ + σ x₁ with the rates of a schedule at the same time: the noise is the source.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a rate is not finite, as at the end of a schedule whose σ starts like √t.
    pub fn affine(kernel: Kernel, rates: Rates) -> Result<Interpolant, Error> {
        for (name, value) in [("rates.alpha", rates.alpha), ("rates.sigma", rates.sigma)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { name, value });
            }
        }
        Ok(Interpolant {
            at: shares(kernel.alpha(), kernel.sigma(), 0.0),
            rate: shares(rates.alpha, rates.sigma, 0.0),
        })
    }

    /// (1 − t) x₀ + t x₁ + `std` · z with the velocity x₁ − x₀ (Tong et al. 2023; `std` = 0: Liu et al. 2022).
    ///
    /// # Errors
    /// [`Error::Outside`] unless 0 ≤ t ≤ 1, [`Error::Negative`] unless 0 ≤ `std` < ∞.
    #[doc(alias = "CondOT")]
    #[doc(alias = "rectified flow")]
    pub fn straight(t: f64, std: f64) -> Result<Interpolant, Error> {
        Error::within("t", 0.0, 1.0, t)?;
        Ok(Interpolant {
            at: shares(1.0 - t, t, Error::non_negative("std", std)?),
            rate: shares(-1.0, 1.0, 0.0),
        })
    }

    /// (1 − t) x₀ + (s + (1 − s) t) x₁ with s = `least`, the noise that is left on the data (Lipman et al. 2022).
    ///
    /// # Errors
    /// [`Error::Outside`] unless 0 ≤ t ≤ 1 and 0 ≤ s ≤ 1.
    pub fn lipman2022(t: f64, least: f64) -> Result<Interpolant, Error> {
        Error::within("t", 0.0, 1.0, t)?;
        let slope = 1.0 - Error::within("least", 0.0, 1.0, least)?;
        Ok(Interpolant {
            at: shares(1.0 - t, least + slope * t, 0.0),
            rate: shares(-1.0, slope, 0.0),
        })
    }

    /// cos(πt/2) x₀ + sin(πt/2) x₁: unit variance all the way (Albergo and Vanden-Eijnden 2022).
    ///
    /// # Errors
    /// [`Error::Outside`] unless 0 ≤ t ≤ 1.
    pub fn trigonometric(t: f64) -> Result<Interpolant, Error> {
        let quarter = std::f64::consts::FRAC_PI_2;
        let (sin, cos) = (quarter * Error::within("t", 0.0, 1.0, t)?).sin_cos();
        Ok(Interpolant {
            at: shares(cos, sin, 0.0),
            rate: shares(-quarter * sin, quarter * cos, 0.0),
        })
    }

    /// (1 − t) x₀ + t x₁ + s √(t (1 − t)) z, s = `std`: a Brownian bridge between the ends (Tong et al. 2023).
    ///
    /// With ends coupled by entropic transport of regularisation 2s², this is the Schrödinger bridge.
    /// The velocity x₁ − x₀ + s (1 − 2t)/(2 √(t (1 − t))) z is not finite at the ends, which are refused.
    ///
    /// # Errors
    /// [`Error::Outside`] unless 0 ≤ t ≤ 1, [`Error::BridgeEnd`] at its ends if 0 < `std`, [`Error::Negative`] unless
    /// 0 ≤ `std` < ∞.
    #[doc(alias = "Schrodinger bridge")]
    pub fn bridge(t: f64, std: f64) -> Result<Interpolant, Error> {
        let mut point = Interpolant::straight(t, std)?;
        if 0.0 < std {
            let spread = (t * (1.0 - t)).sqrt();
            if spread == 0.0 {
                return Err(Error::BridgeEnd { t });
            }
            point.at.noise = std * spread;
            point.rate.noise = std * (1.0 - 2.0 * t) / (2.0 * spread);
        }
        Ok(point)
    }
}

fn shares(data: f64, source: f64, noise: f64) -> Shares {
    Shares {
        data,
        source,
        noise,
    }
}
