//! Distributions of sigma: variance-exploding levels.

use crate::error::{check_finite, check_positive};
use crate::kernel::softplus;
use crate::schedule::geometric;
use crate::ve::check_sigmas;
use crate::{Error, Kernel};

use super::{LevelDistribution, check_unit, normal};

/// Variance-exploding levels whose ln sigma is uniform: sigma = sigma_min^(1−u) sigma_max^u.
///
/// The continuous form of the geometric levels of Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogUniform {
    sigma_min: f64,
    sigma_max: f64,
}

impl LogUniform {
    /// The levels from `sigma_min` to `sigma_max`, in the units of the data; equal ends are one fixed level.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞.
    pub fn new(sigma_min: f64, sigma_max: f64) -> Result<LogUniform, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        Ok(LogUniform {
            sigma_min,
            sigma_max,
        })
    }
}

impl LevelDistribution for LogUniform {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        let sigma = geometric(self.sigma_min, self.sigma_max, u);
        // Rounding may step over an end, by the last bit.
        Kernel::from_scales(1.0, sigma.clamp(self.sigma_min, self.sigma_max))
    }
}

/// Variance-exploding levels whose ln sigma is normal: ln sigma = mean + std Φ⁻¹(u).
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), where mean and std are P_mean and P_std.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    mean: f64,
    std: f64,
}

impl LogNormal {
    /// The levels whose ln sigma has this mean and this standard deviation.
    ///
    /// # Errors
    /// [`Error::LogNormal`] unless std > 0 and |mean| + 40 std ≤ 700, which keeps every quantile finite.
    pub fn new(mean: f64, std: f64) -> Result<LogNormal, Error> {
        check_log_normal(mean, std)?;
        Ok(LogNormal { mean, std })
    }

    /// Mean −1.2 and standard deviation 1.2, the values of Karras et al. 2022 for data of standard deviation 0.5.
    pub fn karras2022() -> LogNormal {
        LogNormal {
            mean: -1.2,
            std: 1.2,
        }
    }

    /// Mean −0.4 and standard deviation 1.0, the values of Karras et al. 2024, EDM2 (<https://arxiv.org/abs/2312.02696>).
    pub fn karras2024() -> LogNormal {
        LogNormal {
            mean: -0.4,
            std: 1.0,
        }
    }
}

impl LevelDistribution for LogNormal {
    fn quantile(&self, u: f64) -> Kernel {
        Kernel::from_scales(1.0, (self.mean + self.std * normal(u)).exp())
    }
}

/// Variance-exploding levels whose ln sigma has another spread below its mode than above:
/// ln sigma = mode + std z, z standard normal, std = `std_below` where z is negative and `std_above` where it is positive,
/// with the probability std_below/(std_below + std_above) of lying below.
///
/// The two-piece normal distribution, whose density is continuous; `rand_split_log_normal` of k-diffusion.
#[doc(alias = "rand_split_log_normal")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitLogNormal {
    mode: f64,
    std_below: f64,
    std_above: f64,
}

impl SplitLogNormal {
    /// The levels whose ln sigma has this mode and these standard deviations.
    ///
    /// # Errors
    /// [`Error::LogNormal`] unless both deviations are positive and |mode| + 40 std ≤ 700 for both.
    pub fn new(mode: f64, std_below: f64, std_above: f64) -> Result<SplitLogNormal, Error> {
        check_log_normal(mode, std_below)?;
        check_log_normal(mode, std_above)?;
        Ok(SplitLogNormal {
            mode,
            std_below,
            std_above,
        })
    }
}

impl LevelDistribution for SplitLogNormal {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        // Both halves have the density of the normal at their own scale, so u counts the whole bell in one of them.
        let whole = self.std_below + self.std_above;
        let below = 0.5 * u * whole / self.std_below;
        let log_sigma = if below < 0.5 {
            self.mode + self.std_below * normal(below)
        } else {
            self.mode - self.std_above * normal((0.5 * (1.0 - u) * whole / self.std_above).min(0.5))
        };
        Kernel::from_scales(1.0, log_sigma.exp())
    }
}

/// Variance-exploding levels whose ln sigma has a logistic distribution, truncated to a range:
/// the CDF is sigmoid((ln sigma − location)/scale), renormalised.
///
/// `rand_log_logistic` of k-diffusion.
/// With location ln sigma_data and scale 1/2 the density of ln sigma is proportional to sigma² sigma_data²/(sigma² + sigma_data²)².
#[doc(alias = "rand_log_logistic")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogLogistic {
    location: f64,
    scale: f64,
    sigma_min: f64,
    sigma_max: f64,
}

impl LogLogistic {
    /// The levels from `sigma_min` to `sigma_max` with this median (of the untruncated ln sigma) and this scale.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞;
    /// [`Error::NotFinite`] for the location, and where the ends overflow in units of the scale; [`Error::NotPositive`] for the scale.
    pub fn new(
        location: f64,
        scale: f64,
        sigma_min: f64,
        sigma_max: f64,
    ) -> Result<LogLogistic, Error> {
        check_finite("log-logistic levels: location", location)?;
        check_positive("log-logistic levels: scale", scale)?;
        check_sigmas(sigma_min, sigma_max)?;
        for sigma in [sigma_min, sigma_max] {
            check_finite(
                "log-logistic levels: (ln sigma - location)/scale",
                (sigma.ln() - location) / scale,
            )?;
        }
        Ok(LogLogistic {
            location,
            scale,
            sigma_min,
            sigma_max,
        })
    }
}

impl LevelDistribution for LogLogistic {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        let z = |sigma: f64| (sigma.ln() - self.location) / self.scale;
        let (low, high) = (z(self.sigma_min), z(self.sigma_max));
        // ln of the odds p/(1 − p), where p and 1 − p are interpolated each on its own, in logarithms:
        // neither loses its digits nor vanishes in its tail.
        let below = log_between(-softplus(-low), -softplus(-high), u);
        let above = log_between(-softplus(low), -softplus(high), u);
        let sigma = (self.location + self.scale * (below - above)).exp();
        Kernel::from_scales(1.0, sigma.clamp(self.sigma_min, self.sigma_max))
    }
}

/// ln((1 − u) e^a + u e^b), without overflow or underflow.
fn log_between(a: f64, b: f64, u: f64) -> f64 {
    let top = a.max(b);
    top + ((1.0 - u) * (a - top).exp() + u * (b - top).exp()).ln()
}

/// Variance-exploding levels with a half-Cauchy distribution, truncated to a range: sigma = sigma_data tan θ, θ uniform.
///
/// The noise-to-signal ratios of the schedule alpha = cos(πt/2), sigma = sin(πt/2) at uniform times
/// (Salimans & Ho 2022, <https://arxiv.org/abs/2202.00512>); `rand_v_diffusion` of k-diffusion.
#[doc(alias = "rand_v_diffusion")]
#[doc(alias = "cosine")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfCauchy {
    sigma_data: f64,
    sigma_min: f64,
    sigma_max: f64,
}

impl HalfCauchy {
    /// The levels from `sigma_min` to `sigma_max` with scale `sigma_data`, the median of the untruncated distribution.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞; [`Error::NotPositive`] for the scale.
    pub fn new(sigma_data: f64, sigma_min: f64, sigma_max: f64) -> Result<HalfCauchy, Error> {
        check_positive("half-Cauchy levels: sigma_data", sigma_data)?;
        check_sigmas(sigma_min, sigma_max)?;
        Ok(HalfCauchy {
            sigma_data,
            sigma_min,
            sigma_max,
        })
    }
}

impl LevelDistribution for HalfCauchy {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        // The angle from 0 and the angle left to π/2, interpolated each on its own.
        let between = |low: f64, high: f64| low.atan() * (1.0 - u) + high.atan() * u;
        let past = between(
            self.sigma_min / self.sigma_data,
            self.sigma_max / self.sigma_data,
        );
        let left = between(
            self.sigma_data / self.sigma_min,
            self.sigma_data / self.sigma_max,
        );
        let sigma = self.sigma_data * (past.sin() / left.sin());
        Kernel::from_scales(1.0, sigma.clamp(self.sigma_min, self.sigma_max))
    }
}

/// Refuses parameters for which a quantile may overflow.
fn check_log_normal(mean: f64, std: f64) -> Result<(), Error> {
    if 0.0 < std && mean.abs() + 40.0 * std <= 700.0 {
        Ok(())
    } else {
        Err(Error::LogNormal { mean, std })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles() {
        let levels = LogUniform::new(0.01, 100.0).unwrap();
        assert!((levels.quantile(0.25).sigma() - 0.1).abs() < 1e-15);
        // One standard deviation above the mean.
        let one_above = 0.841_344_746_068_542_9;
        let level = LogNormal::karras2022().quantile(one_above);
        assert!((level.sigma() - 1.0).abs() < 1e-12);
        // The mode splits off 1/(1 + 3); then the median of each half of the bell.
        let split = SplitLogNormal::new(0.5, 1.0, 3.0).unwrap();
        let quartile = 0.674_489_750_196_081_7;
        for (u, log_sigma) in [
            (0.25, 0.5),
            (0.125, 0.5 - quartile),
            (0.625, 0.5 + 3.0 * quartile),
        ] {
            assert!((split.quantile(u).sigma().ln() - log_sigma).abs() < 1e-12);
        }
        let same = SplitLogNormal::new(-1.2, 1.2, 1.2).unwrap();
        assert!(
            (same.quantile(0.3).sigma() / LogNormal::karras2022().quantile(0.3).sigma() - 1.0)
                .abs()
                < 1e-14
        );
        // Truncated symmetrically, the median stays; untruncated, the quartiles are location ± scale ln 3.
        let logistic = LogLogistic::new(0.0, 0.5, 0.1, 10.0).unwrap();
        assert!((logistic.quantile(0.5).sigma() - 1.0).abs() < 1e-14);
        let wide = LogLogistic::new(0.2, 0.5, 1e-30, 1e30).unwrap();
        assert!((wide.quantile(0.75).sigma().ln() - (0.2 + 0.5 * 3.0_f64.ln())).abs() < 1e-14);
        let cauchy = HalfCauchy::new(0.5, 1e-30, 1e30).unwrap();
        assert!((cauchy.quantile(0.5).sigma() - 0.5).abs() < 1e-14);
        assert!((cauchy.quantile(0.75).sigma() - 0.5 * (1.0 + 2.0_f64.sqrt())).abs() < 1e-14);
    }

    #[test]
    fn truncated_quantiles_of_k_diffusion() {
        // rand_log_logistic(-0.7, 0.5, 0.01, 10) and rand_v_diffusion(0.5, 0.01, 10) at u = 0.3.
        let logistic = LogLogistic::new(-0.7, 0.5, 0.01, 10.0).unwrap();
        assert!((logistic.quantile(0.3).sigma() - 0.324_739_849_601_514).abs() < 1e-13);
        let cauchy = HalfCauchy::new(0.5, 0.01, 10.0).unwrap();
        assert!((cauchy.quantile(0.3).sigma() - 0.254_139_915_874_167).abs() < 1e-13);
    }

    #[test]
    fn the_ends_of_u_are_the_extreme_levels() {
        let ranges: [&dyn LevelDistribution; 3] = [
            &LogUniform::new(0.5, 2.0).unwrap(),
            &LogLogistic::new(100.0, 0.01, 0.5, 2.0).unwrap(),
            &HalfCauchy::new(1e9, 0.5, 2.0).unwrap(),
        ];
        for levels in ranges {
            assert!((levels.quantile(0.0).sigma() - 0.5).abs() < 1e-12);
            assert!((levels.quantile(1.0).sigma() - 2.0).abs() < 1e-12);
        }
        for u in [0.0, 1.0] {
            let sigma = LogNormal::new(0.0, 17.0).unwrap().quantile(u).sigma();
            assert!(0.0 < sigma && sigma.is_finite(), "{u}: {sigma}");
            let split = SplitLogNormal::new(0.0, 17.0, 1e-9).unwrap();
            let sigma = split.quantile(u).sigma();
            assert!(0.0 < sigma && sigma.is_finite(), "{u}: {sigma}");
        }
    }

    #[test]
    fn a_fixed_level_is_a_distribution() {
        let levels = LogUniform::new(1.0, 1.0).unwrap();
        assert_eq!(
            levels.quantile(0.3),
            Kernel::variance_exploding(1.0).unwrap()
        );
    }

    #[test]
    fn parameters_are_checked() {
        assert!(LogUniform::new(2.0, 1.0).is_err());
        assert!(LogNormal::new(0.0, 0.0).is_err());
        assert!(LogNormal::new(f64::NAN, 1.0).is_err());
        assert!(LogNormal::new(0.0, 18.0).is_err());
        assert!(SplitLogNormal::new(0.0, 1.0, -1.0).is_err());
        assert!(LogLogistic::new(0.0, 1.0, 0.0, 1.0).is_err());
        assert!(LogLogistic::new(f64::INFINITY, 1.0, 0.1, 1.0).is_err());
        assert!(HalfCauchy::new(0.0, 0.1, 1.0).is_err());
    }

    #[test]
    #[should_panic(expected = "u must lie in [0, 1]")]
    fn u_outside_the_unit_interval_is_a_bug() {
        LogUniform::new(1.0, 2.0).unwrap().quantile(1.1);
    }
}
