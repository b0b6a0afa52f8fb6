//! The distributions from which training draws its noise levels.

use crate::grid::finite_log_snr;
use crate::normal::standard_normal_quantile;
use crate::schedule::geometric;
use crate::ve::check_sigmas;
use crate::{Error, Kernel, NoiseSchedule};

/// A distribution of noise levels, as its inverse CDF: u uniform in (0, 1) becomes a kernel.
///
/// There is no random number generator here, so that the caller may stratify, mirror or share u.
/// Closures are level distributions: `|_: f64| Kernel::CLEAN` is the one without noise.
///
/// Law of the distributions of this crate: noise rises with u.
///
/// ```
/// use noise_schedule::{LevelDistribution, LogUniform};
/// let levels = LogUniform::new(0.1, 10.0)?;
/// // A stratified batch: one level in each quarter.
/// let batch: Vec<f64> = (0..4).map(|i| levels.quantile((f64::from(i) + 0.5) / 4.0).sigma()).collect();
/// assert!((batch[0] * batch[3] - 1.0).abs() < 1e-12); // symmetric in log sigma
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "timestep_sampling")]
pub trait LevelDistribution {
    /// The kernel below which a fraction `u` of the levels lies, `u` in (0, 1).
    ///
    /// # Panics
    /// The distributions of this crate accept the ends 0 and 1 as their extreme levels, and panic beyond.
    fn quantile(&self, u: f64) -> Kernel;
}

impl<F: Fn(f64) -> Kernel> LevelDistribution for F {
    fn quantile(&self, u: f64) -> Kernel {
        self(u)
    }
}

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
        if 0.0 < std && mean.abs() + 40.0 * std <= 700.0 {
            Ok(LogNormal { mean, std })
        } else {
            Err(Error::LogNormal { mean, std })
        }
    }

    /// Mean −1.2 and standard deviation 1.2, the values of Karras et al. 2022 for data of standard deviation 0.5.
    pub fn karras2022() -> LogNormal {
        LogNormal {
            mean: -1.2,
            std: 1.2,
        }
    }
}

impl LevelDistribution for LogNormal {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        // A generator of floats in [0, 1) does return 0, once in a long while.
        let inside = u.clamp(f64::MIN_POSITIVE, 1.0 - 0.5 * f64::EPSILON);
        Kernel::from_scales(
            1.0,
            (self.mean + self.std * standard_normal_quantile(inside)).exp(),
        )
    }
}

/// The levels of a schedule at a uniform time: t = from + u (to − from).
///
/// With a discrete schedule this is the continuous form of the uniform timestep of Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformTime<S> {
    schedule: S,
    from: f64,
    to: f64,
}

impl<S: NoiseSchedule> UniformTime<S> {
    /// The levels between the times `from` (cleaner) and `to` (noisier).
    ///
    /// # Errors
    /// [`Error::LevelTimes`] unless 0 ≤ from < to ≤ 1.
    pub fn new(schedule: S, from: f64, to: f64) -> Result<UniformTime<S>, Error> {
        check_times(from, to)?;
        Ok(UniformTime { schedule, from, to })
    }
}

impl<S: NoiseSchedule> LevelDistribution for UniformTime<S> {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        let time = self.from * (1.0 - u) + self.to * u;
        self.schedule.kernel(time.clamp(self.from, self.to))
    }
}

/// The levels of a schedule at a uniform log-SNR, between those of two times.
///
/// Only the family of kernels and its ends matter, not the schedule's pace: Kingma & Gao 2023 (<https://arxiv.org/abs/2303.00848>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UniformLogSnr<S> {
    schedule: S,
    log_snr_max: f64,
    log_snr_min: f64,
}

impl<S: NoiseSchedule> UniformLogSnr<S> {
    /// The levels between the times `from` (cleaner) and `to` (noisier).
    ///
    /// # Errors
    /// [`Error::LevelTimes`] unless 0 ≤ from < to ≤ 1;
    /// [`Error::InfiniteLogSnr`] if an end is clean or pure noise.
    pub fn new(schedule: S, from: f64, to: f64) -> Result<UniformLogSnr<S>, Error> {
        check_times(from, to)?;
        let log_snr_max = finite_log_snr(&schedule, from)?;
        let log_snr_min = finite_log_snr(&schedule, to)?;
        Ok(UniformLogSnr {
            schedule,
            log_snr_max,
            log_snr_min,
        })
    }
}

impl<S: NoiseSchedule> LevelDistribution for UniformLogSnr<S> {
    fn quantile(&self, u: f64) -> Kernel {
        check_unit(u);
        let log_snr = self.log_snr_max * (1.0 - u) + self.log_snr_min * u;
        self.schedule.kernel(self.schedule.time_at(log_snr))
    }
}

/// Refuses a probability outside [0, 1], NaN included.
fn check_unit(u: f64) {
    assert!(
        (0.0..=1.0).contains(&u),
        "level distribution: u must lie in [0, 1], got {u}"
    );
}

fn check_times(from: f64, to: f64) -> Result<(), Error> {
    if 0.0 <= from && from < to && to <= 1.0 {
        Ok(())
    } else {
        Err(Error::LevelTimes { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rectified, VpLinear};

    #[test]
    fn known_quantiles() {
        let levels = LogUniform::new(0.01, 100.0).unwrap();
        assert!((levels.quantile(0.25).sigma() - 0.1).abs() < 1e-15);
        // One standard deviation above the mean.
        let u = 0.841_344_746_068_542_9;
        let level = LogNormal::karras2022().quantile(u);
        assert!((level.sigma() - 1.0).abs() < 1e-12);
        let level = UniformTime::new(Rectified, 0.2, 0.4).unwrap().quantile(0.5);
        assert!((level.sigma() - 0.3).abs() < 1e-15);
        // Rectified is symmetric about log-SNR 0, at t = 1/2.
        let level = UniformLogSnr::new(Rectified, 0.1, 0.9)
            .unwrap()
            .quantile(0.5);
        assert!(level.log_snr().abs() < 1e-12);
    }

    #[test]
    fn the_ends_of_u_are_the_extreme_levels() {
        let levels = LogUniform::new(0.5, 2.0).unwrap();
        assert_eq!(levels.quantile(0.0).sigma(), 0.5);
        assert_eq!(levels.quantile(1.0).sigma(), 2.0);
        for u in [0.0, 1.0] {
            let sigma = LogNormal::new(0.0, 17.0).unwrap().quantile(u).sigma();
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
        let clean: &dyn LevelDistribution = &|_: f64| Kernel::CLEAN;
        assert_eq!(clean.quantile(0.3), Kernel::CLEAN);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(LogUniform::new(2.0, 1.0).is_err());
        assert!(LogNormal::new(0.0, 0.0).is_err());
        assert!(LogNormal::new(f64::NAN, 1.0).is_err());
        assert!(LogNormal::new(0.0, 18.0).is_err());
        assert!(UniformTime::new(Rectified, 0.5, 0.5).is_err());
        assert!(matches!(
            UniformLogSnr::new(VpLinear::song2021(), 0.0, 1.0),
            Err(Error::InfiniteLogSnr { time: 0.0, .. })
        ));
    }

    #[test]
    #[should_panic(expected = "u must lie in [0, 1]")]
    fn u_outside_the_unit_interval_is_a_bug() {
        LogUniform::new(1.0, 2.0).unwrap().quantile(1.1);
    }
}
