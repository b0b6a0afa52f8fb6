//! The trait of noise schedules, and its inverse by bisection.

use crate::{Kernel, Rates};

/// A noise schedule: schedule time t in [0, 1], from data to noise, to the kernel of that time.
///
/// Laws, which the tests of this crate check for every schedule in it:
/// the log-SNR falls strictly in t; [`rates`](NoiseSchedule::rates) is the derivative of
/// [`kernel`](NoiseSchedule::kernel); [`time_at`](NoiseSchedule::time_at) inverts the log-SNR.
///
/// The trait is object-safe, and references and boxes of schedules are schedules.
///
/// ```
/// use noise_schedule::{Kernel, NoiseSchedule, Rates};
///
/// /// EDM's own time, sigma(t) = 80 t.
/// struct Linear;
///
/// impl NoiseSchedule for Linear {
///     fn kernel(&self, t: f64) -> Kernel {
///         Kernel::variance_exploding(80.0 * t).expect("t is not negative")
///     }
///     fn rates(&self, _t: f64) -> Rates {
///         Rates { alpha: 0.0, sigma: 80.0 }
///     }
/// }
///
/// let at_sigma_two = Linear.time_at(-2.0 * 2.0_f64.ln());
/// assert!((at_sigma_two - 2.0 / 80.0).abs() < 1e-12);
/// ```
pub trait NoiseSchedule {
    /// The kernel at time `t` in [0, 1].
    ///
    /// # Panics
    /// The schedules of this crate panic if `t` lies outside [0, 1].
    fn kernel(&self, t: f64) -> Kernel;

    /// d(alpha)/dt and d(sigma)/dt at time `t` in (0, 1).
    ///
    /// At the ends a rate may be infinite: the sigma of a variance-preserving schedule starts like √t.
    ///
    /// # Panics
    /// The schedules of this crate panic if `t` lies outside [0, 1].
    fn rates(&self, t: f64) -> Rates;

    /// The time at which the log-SNR has this value, which may be infinite.
    ///
    /// A log-SNR that the schedule does not reach gives the nearer end of [0, 1].
    /// The provided method bisects to the last bit (about 60 kernels, more only for t below 1e-10);
    /// a schedule with a closed form overrides it.
    ///
    /// # Panics
    /// If `log_snr` is NaN.
    fn time_at(&self, log_snr: f64) -> f64 {
        bisect(self, log_snr)
    }
}

impl<S: NoiseSchedule + ?Sized> NoiseSchedule for &S {
    fn kernel(&self, t: f64) -> Kernel {
        (**self).kernel(t)
    }

    fn rates(&self, t: f64) -> Rates {
        (**self).rates(t)
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        (**self).time_at(log_snr)
    }
}

impl<S: NoiseSchedule + ?Sized> NoiseSchedule for Box<S> {
    fn kernel(&self, t: f64) -> Kernel {
        (**self).kernel(t)
    }

    fn rates(&self, t: f64) -> Rates {
        (**self).rates(t)
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        (**self).time_at(log_snr)
    }
}

/// The inverse of the log-SNR by bisection, to the last bit.
pub(crate) fn bisect(schedule: &(impl NoiseSchedule + ?Sized), log_snr: f64) -> f64 {
    assert!(!log_snr.is_nan(), "schedule: log_snr must not be NaN");
    let (mut early, mut late) = (0.0, 1.0);
    if schedule.kernel(early).log_snr() <= log_snr {
        return early;
    }
    if log_snr <= schedule.kernel(late).log_snr() {
        return late;
    }
    loop {
        let middle = 0.5 * (early + late);
        if middle <= early || late <= middle {
            return middle;
        }
        if log_snr < schedule.kernel(middle).log_snr() {
            early = middle;
        } else {
            late = middle;
        }
    }
}

/// Refuses a time outside [0, 1], NaN included.
pub(crate) fn check_time(t: f64) {
    assert!(
        (0.0..=1.0).contains(&t),
        "schedule: time must lie in [0, 1], got {t}"
    );
}

/// The end of every closed-form inverse: log-SNRs out of reach give the nearer end, NaN is refused.
pub(crate) fn clamp_time(t: f64) -> f64 {
    assert!(!t.is_nan(), "schedule: log_snr must not be NaN");
    t.clamp(0.0, 1.0)
}

/// Geometric interpolation a^(1−u) b^u between positive numbers: exact at both ends, never overflows.
pub(crate) fn geometric(a: f64, b: f64, u: f64) -> f64 {
    a.powf(1.0 - u) * b.powf(u)
}
