//! A part of another schedule.

use crate::schedule::{check_time, clamp_time};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The part of a schedule between two of its times, at the same pace: t ↦ schedule(from + t (to − from)).
///
/// Where training or sampling must not reach data or pure noise, this is the schedule without its ends:
/// `Segment::new(VpLinear::song2021(), 1e-5, 1.0)` is the VP process of Song et al. 2021 (<https://arxiv.org/abs/2011.13456>) as it is trained.
///
/// ```
/// use noise_schedule::{NoiseSchedule, Rectified, Segment};
/// let schedule = Segment::new(Rectified, 0.1, 0.9)?;
/// assert!((schedule.kernel(0.5).sigma() - 0.5).abs() < 1e-15);
/// assert_eq!(schedule.kernel(1.0), Rectified.kernel(0.9));
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment<S> {
    schedule: S,
    from: f64,
    to: f64,
}

impl<S: NoiseSchedule> Segment<S> {
    /// The part between the times `from` (cleaner) and `to` (noisier).
    ///
    /// # Errors
    /// [`Error::LevelTimes`] unless 0 ≤ from < to ≤ 1.
    pub fn new(schedule: S, from: f64, to: f64) -> Result<Segment<S>, Error> {
        if 0.0 <= from && from < to && to <= 1.0 {
            Ok(Segment { schedule, from, to })
        } else {
            Err(Error::LevelTimes { from, to })
        }
    }

    fn time(&self, t: f64) -> f64 {
        check_time(t);
        (self.from * (1.0 - t) + self.to * t).clamp(self.from, self.to)
    }
}

impl<S: NoiseSchedule> NoiseSchedule for Segment<S> {
    fn kernel(&self, t: f64) -> Kernel {
        self.schedule.kernel(self.time(t))
    }

    fn rates(&self, t: f64) -> Rates {
        let (rates, pace) = (self.schedule.rates(self.time(t)), self.to - self.from);
        Rates {
            alpha: pace * rates.alpha,
            sigma: pace * rates.sigma,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        clamp_time((self.schedule.time_at(log_snr) - self.from) / (self.to - self.from))
    }
}
