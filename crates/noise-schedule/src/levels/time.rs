//! Distributions of time, and the levels of a schedule at such times.

use std::f64::consts::{FRAC_PI_2, PI};

use crate::error::{check_finite, check_positive};
use crate::grid::finite_log_snr;
use crate::incomplete_beta::beta_quantile;
use crate::kernel::sigmoid;
use crate::{Error, Kernel, NoiseSchedule};

use super::{LevelDistribution, check_unit, normal};

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
///
/// It is also the distribution with density proportional to g²/sigma² in time, from which Song et al. 2021
/// (<https://arxiv.org/abs/2101.09258>) draw their times when they weigh the loss by the likelihood:
/// g² = −sigma² d(log-SNR)/dt, for every schedule, so g²/sigma² is the density of a uniform log-SNR.
#[doc(alias = "importance_sampling")]
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

/// A distribution of schedule times, as its inverse CDF: u uniform in (0, 1) becomes a time in [0, 1].
///
/// Closures are distributions of time.
///
/// Law of the distributions of this crate: time rises with u.
pub trait TimeDistribution {
    /// The time below which a fraction `u` of the times lies, `u` in [0, 1].
    ///
    /// # Panics
    /// The distributions of this crate panic if `u` lies outside [0, 1].
    fn time(&self, u: f64) -> f64;
}

impl<F: Fn(f64) -> f64> TimeDistribution for F {
    fn time(&self, u: f64) -> f64 {
        self(u)
    }
}

/// The levels of a schedule at times of a given distribution.
///
/// ```
/// use noise_schedule::{LevelDistribution, LogitNormalTime, ShiftedRectified, Timed};
/// // As Stable Diffusion 3 was trained at high resolution.
/// let levels = Timed::new(ShiftedRectified::esser2024(), LogitNormalTime::esser2024());
/// assert!((levels.quantile(0.5).sigma() - 0.75).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed<S, T> {
    schedule: S,
    times: T,
}

impl<S: NoiseSchedule, T: TimeDistribution> Timed<S, T> {
    /// The levels of `schedule` at `times`.
    pub fn new(schedule: S, times: T) -> Timed<S, T> {
        Timed { schedule, times }
    }
}

impl<S: NoiseSchedule, T: TimeDistribution> LevelDistribution for Timed<S, T> {
    fn quantile(&self, u: f64) -> Kernel {
        self.schedule.kernel(self.times.time(u))
    }
}

/// Times whose logit is normal: t = sigmoid(mean + std Φ⁻¹(u)).
///
/// Esser et al. 2024, Stable Diffusion 3 (<https://arxiv.org/abs/2403.03206>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitNormalTime {
    mean: f64,
    std: f64,
}

impl LogitNormalTime {
    /// The times whose logit has this mean and this standard deviation; a positive mean is noisier.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for the mean, [`Error::NotPositive`] for the deviation.
    pub fn new(mean: f64, std: f64) -> Result<LogitNormalTime, Error> {
        check_finite("logit-normal times: mean", mean)?;
        check_positive("logit-normal times: std", std)?;
        Ok(LogitNormalTime { mean, std })
    }

    /// Mean 0 and standard deviation 1, the values of Esser et al. 2024.
    pub fn esser2024() -> LogitNormalTime {
        LogitNormalTime {
            mean: 0.0,
            std: 1.0,
        }
    }
}

impl TimeDistribution for LogitNormalTime {
    fn time(&self, u: f64) -> f64 {
        sigmoid(self.mean + self.std * normal(u))
    }
}

/// Times with more weight in the middle or at the ends: t = u + scale (u − sin²(πu/2)).
///
/// Esser et al. 2024, Stable Diffusion 3 (<https://arxiv.org/abs/2403.03206>), mirrored so that t rises with u.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModeTime {
    scale: f64,
}

impl ModeTime {
    /// The times with this scale: 0 is uniform, more favours the middle, less the ends.
    ///
    /// # Errors
    /// [`Error::ModeScale`] unless −1 ≤ scale ≤ 2/(π − 2), about 1.752: beyond, t would fall.
    pub fn new(scale: f64) -> Result<ModeTime, Error> {
        if (-1.0..=2.0 / (PI - 2.0)).contains(&scale) {
            Ok(ModeTime { scale })
        } else {
            Err(Error::ModeScale { scale })
        }
    }

    /// Scale 1.29, the value of Esser et al. 2024.
    pub fn esser2024() -> ModeTime {
        ModeTime { scale: 1.29 }
    }
}

impl TimeDistribution for ModeTime {
    fn time(&self, u: f64) -> f64 {
        check_unit(u);
        (u + self.scale * (u - (FRAC_PI_2 * u).sin().powi(2))).clamp(0.0, 1.0)
    }
}

/// Times with a beta distribution, of density proportional to t^(a−1) (1 − t)^(b−1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetaTime {
    a: f64,
    b: f64,
}

impl BetaTime {
    /// The times with these shapes; the mean is a/(a + b).
    ///
    /// # Errors
    /// [`Error::BetaShapes`] unless both lie in [0.01, 1000].
    pub fn new(a: f64, b: f64) -> Result<BetaTime, Error> {
        let shapes = 0.01..=1000.0;
        if shapes.contains(&a) && shapes.contains(&b) {
            Ok(BetaTime { a, b })
        } else {
            Err(Error::BetaShapes { a, b })
        }
    }
}

impl TimeDistribution for BetaTime {
    fn time(&self, u: f64) -> f64 {
        check_unit(u);
        beta_quantile(self.a, self.b, u)
    }
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
        let level = UniformTime::new(Rectified, 0.2, 0.4).unwrap().quantile(0.5);
        assert!((level.sigma() - 0.3).abs() < 1e-15);
        // Rectified is symmetric about log-SNR 0, at t = 1/2.
        let level = UniformLogSnr::new(Rectified, 0.1, 0.9)
            .unwrap()
            .quantile(0.5);
        assert!(level.log_snr().abs() < 1e-12);
        // One standard deviation above the mean.
        let one_above = 0.841_344_746_068_542_9;
        let time = LogitNormalTime::new(0.3, 2.0).unwrap().time(one_above);
        assert!((time - 1.0 / (1.0 + (-2.3_f64).exp())).abs() < 1e-13);
        // The formula of the paper, from the other side: 1 − u − s (cos²(πu/2) − 1 + u).
        let mode = ModeTime::esser2024();
        for u in [0.0, 0.2, 0.5, 1.0] {
            let paper = |u: f64| 1.0 - u - 1.29 * ((FRAC_PI_2 * u).cos().powi(2) - 1.0 + u);
            assert!((mode.time(u) - paper(1.0 - u)).abs() < 1e-14);
        }
        // I_x(2, 1) = x².
        assert!((BetaTime::new(2.0, 1.0).unwrap().time(0.49) - 0.7).abs() < 1e-12);
    }

    #[test]
    fn a_uniform_log_snr_is_the_likelihood_importance_density() {
        // For the VP process with B = ∫beta, the CDF of g²/sigma² = beta/(1 − e^(−B)) is ln(e^B − 1), up to its ends.
        let (schedule, from, to) = (VpLinear::song2021(), 1e-5, 1.0);
        let levels = UniformLogSnr::new(schedule, from, to).unwrap();
        let primitive = |t: f64| (t * (0.1 + 9.95 * t)).exp_m1().ln();
        for u in [0.1, 0.5, 0.9] {
            let t = schedule.time_at(levels.quantile(u).log_snr());
            let cdf = (primitive(t) - primitive(from)) / (primitive(to) - primitive(from));
            assert!((cdf - u).abs() < 1e-10, "{u}: {cdf}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        assert!(UniformTime::new(Rectified, 0.5, 0.5).is_err());
        assert!(matches!(
            UniformLogSnr::new(VpLinear::song2021(), 0.0, 1.0),
            Err(Error::InfiniteLogSnr { time: 0.0, .. })
        ));
        assert!(LogitNormalTime::new(f64::NAN, 1.0).is_err());
        assert!(LogitNormalTime::new(0.0, 0.0).is_err());
        assert_eq!(ModeTime::new(1.76), Err(Error::ModeScale { scale: 1.76 }));
        assert!(ModeTime::new(-1.1).is_err());
        assert!(BetaTime::new(0.0, 1.0).is_err());
    }
}
