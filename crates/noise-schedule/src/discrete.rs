//! Discrete schedules, given as betas or alpha-bars, in continuous time.

use crate::beta::check_betas;
use crate::kernel::softplus;
use crate::schedule::{check_time, clamp_time};
use crate::vp::{MAX_INTEGRAL, decay_rates, preserving_rates};
use crate::{BetaSchedule, Error, Kernel, NoiseSchedule, Rates};

/// A variance-preserving schedule known at N discrete levels, alpha_bar_i = ∏_{j ≤ i} (1 − beta_j), i = 1 … N.
///
/// Level i lies at time t = i/N and t = 0 is clean.
/// In between, −ln alpha_bar is interpolated linearly: the VP process with piecewise constant rate
/// −N ln(1 − beta_i) that meets every discrete level exactly.
/// A last level of pure noise (beta_N = 1, alpha_bar_N = 0) is approached with alpha linear in time.
/// The derivative jumps at t = i/N; [`rates`](NoiseSchedule::rates) gives the one on the right.
///
/// The discrete form is that of Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>).
///
/// ```
/// use noise_schedule::{Discrete, NoiseSchedule};
/// let schedule = Discrete::from_betas(&[0.1, 0.2])?;
/// let alpha_bar = schedule.kernel(1.0).alpha().powi(2);
/// assert!((alpha_bar - 0.9 * 0.8).abs() < 1e-15);
/// assert_eq!(schedule.level(1), schedule.kernel(1.0));
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Discrete {
    /// −ln alpha_bar at t = 0, 1/N, …, 1: N + 1 values, the first 0, strictly rising.
    /// The last may be infinite, all others are at most 1000.
    exponents: Vec<f64>,
}

impl Discrete {
    /// The schedule of these betas, from data to noise.
    ///
    /// # Errors
    /// [`Error::NoDiscreteLevels`] for none, [`Error::DiscreteBeta`] for one outside (0, 1) (the last may be 1),
    /// [`Error::SignalLost`] if −ln alpha_bar rises above 1000 but is not infinite.
    pub fn from_betas(betas: &[f64]) -> Result<Discrete, Error> {
        check_betas(betas)?;
        let mut exponents = vec![0.0];
        let mut exponent = 0.0;
        for &beta in betas {
            exponent -= (-beta).ln_1p();
            exponents.push(exponent);
        }
        Discrete::from_exponents(exponents)
    }

    /// The schedule of these alpha-bars (the `alphas_cumprod` of other toolkits), from data to noise.
    ///
    /// # Errors
    /// [`Error::NoDiscreteLevels`] for none, [`Error::AlphaBarOrder`] unless they fall strictly inside (0, 1) (the last may be 0),
    /// [`Error::SignalLost`] if −ln alpha_bar rises above 1000 but is not infinite.
    #[doc(alias = "alphas_cumprod")]
    pub fn from_alpha_bars(alpha_bars: &[f64]) -> Result<Discrete, Error> {
        let mut exponents = vec![0.0];
        let mut before = 1.0;
        for (index, &alpha_bar) in alpha_bars.iter().enumerate() {
            let pure_noise = alpha_bar == 0.0 && index + 1 == alpha_bars.len();
            if !((0.0 < alpha_bar || pure_noise) && alpha_bar < before) {
                return Err(Error::AlphaBarOrder {
                    index,
                    before,
                    alpha_bar,
                });
            }
            exponents.push(-alpha_bar.ln());
            before = alpha_bar;
        }
        Discrete::from_exponents(exponents)
    }

    /// A thousand betas, equally spaced from 1e-4 to 0.02: the schedule of Ho et al. 2020.
    pub fn ho2020() -> Discrete {
        Discrete::named(BetaSchedule::ho2020(), 1000).expect("the betas of Ho et al. lie in (0, 1)")
    }

    /// The schedule of a named table of betas with this many levels.
    ///
    /// # Errors
    /// Those of [`BetaSchedule::betas`] and of [`from_betas`](Discrete::from_betas).
    pub fn named(schedule: BetaSchedule, levels: usize) -> Result<Discrete, Error> {
        Discrete::from_betas(&schedule.betas(levels)?)
    }

    /// The same schedule, shifted and scaled in alpha = √alpha_bar so that the last level is pure noise and the first stays:
    /// alpha_i ← (alpha_i − alpha_N) alpha_1/(alpha_1 − alpha_N).
    ///
    /// Lin et al. 2024 (<https://arxiv.org/abs/2305.08891>), algorithm 1.
    ///
    /// # Errors
    /// [`Error::TerminalSnr`] if there is one level only;
    /// [`Error::SignalLost`] if −ln alpha_bar of another level than the last rises above 1000.
    #[doc(alias = "rescale_betas_zero_snr")]
    pub fn zero_terminal_snr(&self) -> Result<Discrete, Error> {
        let (first, last) = (self.exponents[1], self.exponents[self.count()]);
        if self.count() < 2 {
            let alpha_bar = (-first).exp();
            return Err(Error::TerminalSnr {
                first: alpha_bar,
                last: alpha_bar,
            });
        }
        // In logarithms relative to the first level, so that no digits of 1 - alpha_bar are lost:
        // ratio = (alpha_i - alpha_N) / (alpha_1 - alpha_N), from 1 down to 0, by its distance from 1,
        // or, where that would round to 1, by its own logarithm.
        let span = -(0.5 * (first - last)).exp_m1();
        let mut exponents = self.exponents.clone();
        exponents[self.count()] = f64::INFINITY;
        for exponent in &mut exponents[2..self.count()] {
            let fall = -(0.5 * (first - *exponent)).exp_m1() / span;
            *exponent = if fall < 0.5 {
                first - 2.0 * (-fall).ln_1p()
            } else {
                *exponent - 2.0 * ((-(0.5 * (*exponent - last)).exp_m1()).ln() - span.ln())
            };
        }
        Discrete::from_exponents(exponents)
    }

    /// The same schedule with a last alpha_bar of 2⁻²⁴ where that is pure noise, so that no level is infinitely noisy.
    ///
    /// diffusers does so after rescaling to zero terminal SNR; the last noise-to-signal ratio is then 4096.
    ///
    /// # Errors
    /// [`Error::AlphaBarOrder`] if the level before it is noisier than that, as in the rescaled betas of Ho et al. 2020;
    /// [`single::Table::floored`](crate::single::Table::floored) lets the noise fall there, as diffusers does.
    pub fn floored(&self) -> Result<Discrete, Error> {
        let alpha_bar = 2.0_f64.powi(-24);
        let index = self.count() - 1;
        let (before, last) = (self.exponents[index], self.exponents[index + 1]);
        let mut exponents = self.exponents.clone();
        if last == f64::INFINITY {
            exponents[index + 1] = -alpha_bar.ln();
        }
        if before < exponents[index + 1] {
            Discrete::from_exponents(exponents)
        } else {
            Err(Error::AlphaBarOrder {
                index,
                before: (-before).exp(),
                alpha_bar,
            })
        }
    }

    /// N, the number of discrete levels, at least 1.
    pub fn count(&self) -> usize {
        self.exponents.len() - 1
    }

    /// The kernel of the discrete level `index`, from 0 (almost clean) to N − 1 (the noisiest):
    /// alpha² = alpha_bar.
    ///
    /// # Panics
    /// If `index` is N or more.
    pub fn level(&self, index: usize) -> Kernel {
        Kernel::decayed(self.exponents[index + 1])
    }

    /// The time (index + 1)/N of the discrete level `index`.
    ///
    /// # Panics
    /// If `index` is N or more.
    pub fn time_of(&self, index: usize) -> f64 {
        assert!(
            index < self.count(),
            "discrete schedule: index {index} must lie below {}",
            self.count()
        );
        (index + 1) as f64 / self.count() as f64
    }

    /// The betas, from data to noise, each in (0, 1), but for the last, which is 1 if that level is pure noise.
    pub fn betas(&self) -> impl Iterator<Item = f64> + '_ {
        self.exponents
            .windows(2)
            .map(|pair| -(pair[0] - pair[1]).exp_m1())
    }

    fn from_exponents(exponents: Vec<f64>) -> Result<Discrete, Error> {
        if exponents.len() < 2 {
            return Err(Error::NoDiscreteLevels);
        }
        let last = exponents.len() - 1;
        let lost = |(index, &exponent): (usize, &f64)| {
            let pure_noise = index == last && exponent == f64::INFINITY;
            (MAX_INTEGRAL < exponent && !pure_noise).then_some(exponent)
        };
        match exponents.iter().enumerate().find_map(lost) {
            Some(integral) => Err(Error::SignalLost { integral }),
            None => Ok(Discrete { exponents }),
        }
    }

    /// The piece that holds time `t`, and the position in it, in [0, 1].
    fn piece(&self, t: f64) -> (usize, f64) {
        check_time(t);
        let position = t * self.count() as f64;
        let piece = (position as usize).min(self.count() - 1);
        (piece, position - piece as f64)
    }
}

impl NoiseSchedule for Discrete {
    fn kernel(&self, t: f64) -> Kernel {
        let (piece, u) = self.piece(t);
        let (low, high) = (self.exponents[piece], self.exponents[piece + 1]);
        Kernel::decayed(if high == f64::INFINITY {
            low - 2.0 * (-u).ln_1p()
        } else {
            low * (1.0 - u) + high * u
        })
    }

    fn rates(&self, t: f64) -> Rates {
        let (piece, _) = self.piece(t);
        let (low, high) = (self.exponents[piece], self.exponents[piece + 1]);
        let (kernel, pieces) = (self.kernel(t), self.count() as f64);
        if high == f64::INFINITY {
            let alpha = -pieces * (-0.5 * low).exp();
            return preserving_rates(kernel, alpha);
        }
        decay_rates(kernel, (high - low) * pieces)
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // exp(-exponent) = alpha² = sigmoid(log_snr).
        let exponent = softplus(-log_snr);
        let passed = self.exponents.partition_point(|&e| e <= exponent);
        if passed == self.exponents.len() {
            return 1.0;
        }
        // The first exponent is 0 and always passed, except by a NaN, which `clamp_time` refuses.
        let piece = passed.saturating_sub(1);
        let (low, high) = (self.exponents[piece], self.exponents[piece + 1]);
        let u = if high == f64::INFINITY {
            -(0.5 * (low - exponent)).exp_m1()
        } else {
            (exponent - low) / (high - low)
        };
        clamp_time((piece as f64 + u) / self.count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn betas_and_alpha_bars_are_the_same_schedule() {
        let betas = [0.01, 0.2, 0.5, 0.9];
        let mut product = 1.0;
        let alpha_bars: Vec<f64> = betas
            .iter()
            .map(|beta| {
                product *= 1.0 - beta;
                product
            })
            .collect();
        let (a, b) = (
            Discrete::from_betas(&betas).unwrap(),
            Discrete::from_alpha_bars(&alpha_bars).unwrap(),
        );
        for (index, alpha_bar) in alpha_bars.iter().enumerate() {
            assert!((a.level(index).alpha().powi(2) - alpha_bar).abs() < 1e-15);
            assert!((b.level(index).alpha().powi(2) - alpha_bar).abs() < 1e-15);
            let there = a.kernel(a.time_of(index));
            assert!((there.alpha() - a.level(index).alpha()).abs() < 1e-15);
        }
        for (found, expected) in b.betas().zip(betas) {
            assert!((found - expected).abs() < 1e-14);
        }
        assert_eq!(a.count(), 4);
        assert_eq!(a.kernel(0.0), Kernel::CLEAN);
    }

    #[test]
    fn ho2020_known_answer() {
        // ∏(1 - beta) of the schedule of Ho et al., by summation of logarithms.
        let schedule = Discrete::ho2020();
        let log: f64 = (0..1000)
            .map(|i| (1.0 - (1e-4 + (0.02 - 1e-4) * f64::from(i) / 999.0)).ln())
            .sum();
        let alpha_bar = schedule.level(999).alpha().powi(2);
        assert!((alpha_bar / log.exp() - 1.0).abs() < 1e-11);
        assert!((alpha_bar - 4.036e-5).abs() < 1e-8, "{alpha_bar}");
        assert!(schedule.betas().all(|beta| 0.0 < beta && beta < 1.0));
    }

    #[test]
    fn pure_noise_may_be_the_last_level() {
        let schedule = Discrete::from_betas(&[0.5, 1.0]).unwrap();
        assert_eq!(schedule.level(1), Kernel::new(0.0, 1.0).unwrap());
        assert_eq!(
            Discrete::from_alpha_bars(&[0.5, 0.0]).unwrap().level(1),
            schedule.level(1)
        );
        assert_eq!(schedule.betas().last(), Some(1.0));
        // alpha is linear on the last piece, from √0.5 at t = 1/2 to 0.
        let quarter = schedule.kernel(0.75);
        assert!((quarter.alpha() - 0.125_f64.sqrt()).abs() < 1e-15);
        assert!((schedule.time_at(quarter.log_snr()) - 0.75).abs() < 1e-15);
        assert_eq!(schedule.time_at(f64::NEG_INFINITY), 1.0);
        let end = schedule.rates(1.0);
        assert!((end.alpha + 2.0_f64.sqrt()).abs() < 1e-15 && end.sigma == 0.0);
        // alpha_bar = 1 − i/N.
        let line = Discrete::named(BetaSchedule::Reciprocal, 5).unwrap();
        for index in 0..5 {
            let alpha_bar = line.level(index).alpha().powi(2);
            assert!((alpha_bar - (4 - index) as f64 / 5.0).abs() < 1e-15);
        }
        let one = Discrete::from_betas(&[1.0]).unwrap();
        assert!((one.kernel(0.25).alpha() - 0.75).abs() < 1e-15);
    }

    #[test]
    fn zero_terminal_snr_is_algorithm_1() {
        let schedule = Discrete::named(BetaSchedule::rombach2022(), 1000).unwrap();
        let rescaled = schedule.zero_terminal_snr().unwrap();
        let alpha = |index| schedule.level(index).alpha();
        let scale = alpha(0) / (alpha(0) - alpha(999));
        assert_eq!(rescaled.level(0), schedule.level(0));
        for index in 0..1000 {
            let expected = (alpha(index) - alpha(999)) * scale;
            assert!((rescaled.level(index).alpha() - expected).abs() < 1e-14);
        }
        assert_eq!(rescaled.level(999).alpha(), 0.0);
        assert!(rescaled.betas().all(|beta| 0.0 < beta && beta <= 1.0));
        let floored = rescaled.floored().unwrap();
        assert!((floored.level(999).noise_to_signal() - 4096.0).abs() < 1e-3);
        assert_eq!(floored.floored(), Ok(floored.clone()));
        // Only the last level becomes pure noise, however little signal the others have.
        let steep = BetaSchedule::Linear {
            start: 0.01,
            end: 0.2,
        };
        let steep = Discrete::named(steep, 1000).unwrap();
        let rescaled = steep.zero_terminal_snr().unwrap();
        assert!(rescaled.betas().all(|beta| 0.0 < beta && beta <= 1.0));
        for index in 0..999 {
            // alpha_i − alpha_N = alpha_i (1 − alpha_N/alpha_i).
            let alpha = steep.level(index).alpha();
            let expected = alpha * (1.0 - steep.level(999).alpha() / alpha);
            assert!((rescaled.level(index).alpha() / expected - 1.0).abs() < 1e-12);
        }
        assert!(matches!(
            Discrete::from_betas(&[0.1]).unwrap().zero_terminal_snr(),
            Err(Error::TerminalSnr { .. })
        ));
        assert!(
            Discrete::from_alpha_bars(&[1e-9, 0.0])
                .unwrap()
                .floored()
                .is_err()
        );
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!(Discrete::from_betas(&[]), Err(Error::NoDiscreteLevels));
        assert_eq!(
            Discrete::from_betas(&[0.1, 1.0, 0.2]),
            Err(Error::DiscreteBeta {
                index: 1,
                beta: 1.0
            })
        );
        assert_eq!(
            Discrete::from_alpha_bars(&[0.5, 0.6]),
            Err(Error::AlphaBarOrder {
                index: 1,
                before: 0.5,
                alpha_bar: 0.6
            })
        );
        assert!(Discrete::from_alpha_bars(&[0.0, 0.0]).is_err());
        assert!(Discrete::from_betas(&[1.0, 0.5]).is_err());
        assert!(matches!(
            Discrete::from_betas(&[1.0 - f64::EPSILON; 50]),
            Err(Error::SignalLost { .. })
        ));
    }
}
