//! Cosine schedules: in time, and with a log-SNR that is bounded, shifted and interpolated.

use std::f64::consts::FRAC_PI_2;

use crate::error::check_positive;
use crate::log_snr::{check_log_snrs, log_snr_rates};
use crate::schedule::{bisect, check_time, clamp_time};
use crate::vp::preserving_rates;
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// The cosine schedule in continuous time: alpha = cos θ / cos θ₀, sigma² = 1 − alpha²,
/// with θ(t) = (π/2) (t + s) / (1 + s) and θ₀ = θ(0).
///
/// Nichol & Dhariwal 2021 (<https://arxiv.org/abs/2102.09672>).
/// Their discrete schedule also limits each beta to 0.999 ([`BetaSchedule::Cosine`](crate::BetaSchedule::Cosine));
/// the continuous one needs no limit and ends in pure noise, alpha = 0.
#[doc(alias = "squaredcos_cap_v2")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    offset: f64,
}

impl Cosine {
    /// The schedule with offset s ≥ 0.
    ///
    /// # Errors
    /// [`Error::CosineOffset`] unless `offset` is finite and not negative.
    pub fn new(offset: f64) -> Result<Cosine, Error> {
        if offset.is_finite() && 0.0 <= offset {
            Ok(Cosine { offset })
        } else {
            Err(Error::CosineOffset { offset })
        }
    }

    /// s = 0.008, the value of Nichol & Dhariwal 2021.
    pub fn nichol2021() -> Cosine {
        Cosine { offset: 0.008 }
    }

    /// s = 0: alpha = cos(πt/2), sigma = sin(πt/2), a quarter of a circle.
    ///
    /// Salimans & Ho 2022 (<https://arxiv.org/abs/2202.00512>), where the derivative of x in the angle is their target v.
    /// The trigonometric path of flow matching and of stochastic interpolants is the same.
    #[doc(alias = "trigonometric")]
    #[doc(alias = "v_diffusion")]
    pub fn salimans2022() -> Cosine {
        Cosine { offset: 0.0 }
    }

    /// d(θ)/dt = (π/2)/(1 + s), in (0, π/2]. The angle left to π/2 is (1 − t) times this,
    /// and the formulas below, written in the angle left, lose no digits at either end.
    fn frequency(&self) -> f64 {
        FRAC_PI_2 / (1.0 + self.offset)
    }
}

impl NoiseSchedule for Cosine {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        let frequency = self.frequency();
        // cos θ = sin(angle left), so cos θ₀ = sin(frequency).
        let relative = |time: f64| (time * frequency).sin() / frequency.sin();
        // cos² θ₀ - cos² θ = sin(θ - θ₀) sin(θ + θ₀).
        Kernel::from_scales(relative(1.0 - t), (relative(t) * relative(2.0 - t)).sqrt())
    }

    fn rates(&self, t: f64) -> Rates {
        let (kernel, frequency) = (self.kernel(t), self.frequency());
        if t == 0.0 && self.offset == 0.0 {
            // sigma starts like √t, but for this one schedule, where it is a sine.
            return Rates {
                alpha: 0.0,
                sigma: frequency,
            };
        }
        let alpha = -frequency * ((1.0 - t) * frequency).cos() / frequency.sin();
        preserving_rates(kernel, alpha)
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        let kernel = Kernel::variance_preserving(log_snr);
        let (sine, cosine) = self.frequency().sin_cos();
        // The angle left has sine alpha sin f, hence squared cosine alpha² cos² f + sigma².
        let left = (kernel.alpha() * sine).atan2((kernel.alpha() * cosine).hypot(kernel.sigma()));
        clamp_time(1.0 - left / self.frequency())
    }
}

/// The variance-preserving schedule whose log-SNR follows a cosine schedule between two bounds, shifted by the resolution of the images:
///
/// λ(t) = (1 − t) c(t; δ_early) + t c(t; δ_late), c(t; δ) = δ − 2 ln tan θ(t; δ), where θ(·; δ) is linear in t and such that
/// c runs from log_snr_max to log_snr_min, whatever the shift δ.
///
/// Hoogeboom et al. 2023, simple diffusion (<https://arxiv.org/abs/2301.11093>).
/// The shift is δ = 2 ln(noise_d/d) for images of side d whose noise is to be as at side noise_d.
/// The bounds stay where they are, as in k-diffusion; where they move with the shift, as in pseudocode that adds δ last, add δ to both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineLogSnr {
    early: Arc,
    late: Arc,
}

impl CosineLogSnr {
    /// The schedule from `log_snr_max` at t = 0 to `log_snr_min` at t = 1, without a shift.
    ///
    /// # Errors
    /// [`Error::LogSnrRange`] unless log_snr_min < log_snr_max and both lie within ±1000.
    pub fn new(log_snr_max: f64, log_snr_min: f64) -> Result<CosineLogSnr, Error> {
        CosineLogSnr::interpolated(log_snr_max, log_snr_min, 0.0, 0.0)
    }

    /// The schedule shifted for images of side `image`, so that noise looks as it does at side `noise` (in pixels).
    ///
    /// # Errors
    /// Those of [`new`](CosineLogSnr::new), also for both ends less the shift; [`Error::NotPositive`] for a side that is not,
    /// and where the shift is so large that no angle is left.
    pub fn shifted(
        log_snr_max: f64,
        log_snr_min: f64,
        image: f64,
        noise: f64,
    ) -> Result<CosineLogSnr, Error> {
        CosineLogSnr::between_sides(log_snr_max, log_snr_min, image, noise, noise)
    }

    /// The schedule whose shift goes from that of side `noise_high` at t = 0 to that of side `noise_low` at t = 1.
    ///
    /// # Errors
    /// Those of [`shifted`](CosineLogSnr::shifted); [`Error::SideOrder`] unless noise_low ≤ noise_high, or the log-SNR might rise.
    pub fn between_sides(
        log_snr_max: f64,
        log_snr_min: f64,
        image: f64,
        noise_low: f64,
        noise_high: f64,
    ) -> Result<CosineLogSnr, Error> {
        check_positive("cosine log-SNR: the side of the image", image)?;
        check_positive("cosine log-SNR: the lower side of the noise", noise_low)?;
        check_positive("cosine log-SNR: the higher side of the noise", noise_high)?;
        if noise_high < noise_low {
            return Err(Error::SideOrder {
                noise_low,
                noise_high,
            });
        }
        let shift = |noise: f64| 2.0 * (noise.ln() - image.ln());
        CosineLogSnr::interpolated(
            log_snr_max,
            log_snr_min,
            shift(noise_high),
            shift(noise_low),
        )
    }

    fn interpolated(
        log_snr_max: f64,
        log_snr_min: f64,
        early: f64,
        late: f64,
    ) -> Result<CosineLogSnr, Error> {
        check_log_snrs(log_snr_max, log_snr_min)?;
        let arc = |shift: f64| {
            check_log_snrs(log_snr_max - shift, log_snr_min - shift)?;
            let arc = Arc::new(log_snr_max, log_snr_min, shift);
            check_positive(
                "cosine log-SNR: the angle that the shift leaves",
                arc.sweep(),
            )?;
            Ok(arc)
        };
        Ok(CosineLogSnr {
            early: arc(early)?,
            late: arc(late)?,
        })
    }

    fn log_snr(&self, t: f64) -> f64 {
        (1.0 - t) * self.early.log_snr(t) + t * self.late.log_snr(t)
    }
}

impl NoiseSchedule for CosineLogSnr {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::variance_preserving(self.log_snr(t))
    }

    fn rates(&self, t: f64) -> Rates {
        let slope = (1.0 - t) * self.early.slope(t)
            + t * self.late.slope(t)
            + (self.late.log_snr(t) - self.early.log_snr(t));
        log_snr_rates(self.kernel(t), slope)
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        if self.early == self.late {
            self.early.time_at(log_snr)
        } else {
            bisect(self, log_snr)
        }
    }
}

/// λ(t) = shift − 2 ln tan θ(t), θ linear in t.
///
/// The angle is kept from both ends, θ and π/2 − θ, so that no digits are lost at either.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Arc {
    shift: f64,
    /// θ(0), positive.
    start: f64,
    /// π/2 − θ(1), positive.
    left: f64,
}

impl Arc {
    fn new(log_snr_max: f64, log_snr_min: f64, shift: f64) -> Arc {
        Arc {
            shift,
            start: (0.5 * (shift - log_snr_max)).exp().atan(),
            left: (0.5 * (log_snr_min - shift)).exp().atan(),
        }
    }

    fn sweep(&self) -> f64 {
        FRAC_PI_2 - self.left - self.start
    }

    fn log_snr(&self, t: f64) -> f64 {
        let past = self.start + t * self.sweep();
        let left = self.left + (1.0 - t) * self.sweep();
        self.shift + 2.0 * (left.sin().ln() - past.sin().ln())
    }

    /// d(λ)/dt.
    fn slope(&self, t: f64) -> f64 {
        let past = self.start + t * self.sweep();
        let left = self.left + (1.0 - t) * self.sweep();
        -2.0 * self.sweep() / (past.sin() * left.sin())
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        let half = 0.5 * (log_snr - self.shift);
        clamp_time(if half < 0.0 {
            1.0 - (half.exp().atan() - self.left) / self.sweep()
        } else {
            ((-half).exp().atan() - self.start) / self.sweep()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_starts_clean_and_ends_in_pure_noise() {
        let schedule = Cosine::nichol2021();
        assert_eq!(schedule.kernel(0.0).sigma(), 0.0);
        assert!((schedule.kernel(0.0).alpha() - 1.0).abs() < 1e-15);
        assert_eq!(schedule.kernel(1.0).alpha(), 0.0);
        assert!((schedule.kernel(1.0).sigma() - 1.0).abs() < 1e-15);
        // alpha_bar(1/2) by the formula of the paper.
        let f = |t: f64| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
        let kernel = schedule.kernel(0.5);
        assert!((kernel.alpha().powi(2) - f(0.5) / f(0.0)).abs() < 1e-14);
        assert!((kernel.alpha().powi(2) + kernel.sigma().powi(2) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn a_quarter_of_a_circle() {
        let schedule = Cosine::salimans2022();
        for t in [0.0, 1e-6, 0.3, 1.0] {
            let (sine, cosine) = (t * FRAC_PI_2).sin_cos();
            let (kernel, rates) = (schedule.kernel(t), schedule.rates(t));
            assert!((kernel.alpha() - cosine).abs() < 1e-15);
            assert!((kernel.sigma() - sine).abs() < 1e-15);
            assert!(
                (rates.alpha + FRAC_PI_2 * sine).abs() < 1e-9,
                "{t}: {rates:?}"
            );
            assert!(
                (rates.sigma - FRAC_PI_2 * cosine).abs() < 1e-9,
                "{t}: {rates:?}"
            );
        }
    }

    #[test]
    fn the_log_snr_is_that_of_simple_diffusion() {
        // The formulas in tangents, with bounds that the shift does not move.
        let cosine = |t: f64, max: f64, min: f64| {
            let (first, last) = ((-0.5 * max).exp().atan(), (-0.5 * min).exp().atan());
            -2.0 * (first + t * (last - first)).tan().ln()
        };
        let shifted = |t: f64, noise: f64| {
            let shift = 2.0 * (noise / 128.0_f64).ln();
            cosine(t, 15.0 - shift, -15.0 - shift) + shift
        };
        let plain = CosineLogSnr::new(15.0, -15.0).unwrap();
        let one = CosineLogSnr::shifted(15.0, -15.0, 128.0, 64.0).unwrap();
        let two = CosineLogSnr::between_sides(15.0, -15.0, 128.0, 32.0, 64.0).unwrap();
        for t in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let log_snr = |schedule: &CosineLogSnr| schedule.kernel(t).log_snr();
            assert!((log_snr(&plain) - cosine(t, 15.0, -15.0)).abs() < 1e-9);
            assert!((log_snr(&one) - shifted(t, 64.0)).abs() < 1e-9);
            let expected = t * shifted(t, 32.0) + (1.0 - t) * shifted(t, 64.0);
            assert!((log_snr(&two) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn far_ends_keep_their_digits() {
        let schedule = CosineLogSnr::new(1000.0, -1000.0).unwrap();
        assert!((schedule.kernel(0.0).log_snr() - 1000.0).abs() < 1e-9);
        assert!((schedule.kernel(1.0).log_snr() + 1000.0).abs() < 1e-9);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Cosine::new(-0.1).is_err());
        assert!(CosineLogSnr::new(-1.0, 1.0).is_err());
        assert!(CosineLogSnr::shifted(15.0, -15.0, 0.0, 64.0).is_err());
        assert!(CosineLogSnr::shifted(15.0, -15.0, 1e-320, 1e300).is_err());
        assert!(CosineLogSnr::shifted(15.0, -15.0, 1.0, 1e100).is_err());
        assert_eq!(
            CosineLogSnr::between_sides(15.0, -15.0, 128.0, 64.0, 32.0),
            Err(Error::SideOrder {
                noise_low: 64.0,
                noise_high: 32.0
            })
        );
    }
}
