//! Discrete schedules, given as betas or alpha-bars, in continuous time.

use crate::kernel::softplus;
use crate::schedule::{check_time, clamp_time};
use crate::vp::{MAX_INTEGRAL, decay_rates};
use crate::{Error, Kernel, NoiseSchedule, Rates};

/// A variance-preserving schedule known at N discrete levels, alpha_bar_i = ∏_{j ≤ i} (1 − beta_j), i = 1 … N.
///
/// Level i lies at time t = i/N and t = 0 is clean.
/// In between, −ln alpha_bar is interpolated linearly: the VP process with piecewise constant rate
/// −N ln(1 − beta_i) that meets every discrete level exactly.
/// Its derivative jumps at t = i/N; [`rates`](NoiseSchedule::rates) gives the one on the right.
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
    /// −ln alpha_bar at t = 0, 1/N, …, 1: N + 1 values, the first 0, strictly rising, the last at most 1000.
    exponents: Vec<f64>,
}

impl Discrete {
    /// The schedule of these betas, from data to noise.
    ///
    /// # Errors
    /// [`Error::NoDiscreteLevels`] for none, [`Error::DiscreteBeta`] for one outside (0, 1),
    /// [`Error::SignalLost`] if −ln alpha_bar ends above 1000.
    pub fn from_betas(betas: &[f64]) -> Result<Discrete, Error> {
        let mut exponents = vec![0.0];
        let mut exponent = 0.0;
        for (index, &beta) in betas.iter().enumerate() {
            if !(0.0 < beta && beta < 1.0) {
                return Err(Error::DiscreteBeta { index, beta });
            }
            exponent -= (-beta).ln_1p();
            exponents.push(exponent);
        }
        Discrete::from_exponents(exponents)
    }

    /// The schedule of these alpha-bars (the `alphas_cumprod` of other toolkits), from data to noise.
    ///
    /// # Errors
    /// [`Error::NoDiscreteLevels`] for none, [`Error::AlphaBarOrder`] unless they fall strictly inside (0, 1),
    /// [`Error::SignalLost`] if −ln alpha_bar ends above 1000.
    #[doc(alias = "alphas_cumprod")]
    pub fn from_alpha_bars(alpha_bars: &[f64]) -> Result<Discrete, Error> {
        let mut exponents = vec![0.0];
        let mut before = 1.0;
        for (index, &alpha_bar) in alpha_bars.iter().enumerate() {
            if !(0.0 < alpha_bar && alpha_bar < before) {
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
        let betas: Vec<f64> = (0..1000)
            .map(|i| 1e-4 + (0.02 - 1e-4) * f64::from(i) / 999.0)
            .collect();
        Discrete::from_betas(&betas).expect("the betas of Ho et al. lie in (0, 1)")
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

    /// The betas, from data to noise, each in (0, 1).
    pub fn betas(&self) -> impl Iterator<Item = f64> + '_ {
        self.exponents
            .windows(2)
            .map(|pair| -(pair[0] - pair[1]).exp_m1())
    }

    fn from_exponents(exponents: Vec<f64>) -> Result<Discrete, Error> {
        let integral = exponents[exponents.len() - 1];
        if exponents.len() < 2 {
            Err(Error::NoDiscreteLevels)
        } else if MAX_INTEGRAL < integral {
            Err(Error::SignalLost { integral })
        } else {
            Ok(Discrete { exponents })
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
        Kernel::decayed(self.exponents[piece] * (1.0 - u) + self.exponents[piece + 1] * u)
    }

    fn rates(&self, t: f64) -> Rates {
        let (piece, _) = self.piece(t);
        let rise = self.exponents[piece + 1] - self.exponents[piece];
        decay_rates(self.kernel(t), rise * self.count() as f64)
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
        clamp_time((piece as f64 + (exponent - low) / (high - low)) / self.count() as f64)
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
    fn levels_are_checked() {
        assert_eq!(Discrete::from_betas(&[]), Err(Error::NoDiscreteLevels));
        assert_eq!(
            Discrete::from_betas(&[0.1, 1.0]),
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
        assert!(Discrete::from_alpha_bars(&[0.5, 0.0]).is_err());
        assert!(matches!(
            Discrete::from_betas(&[1.0 - f64::EPSILON; 50]),
            Err(Error::SignalLost { .. })
        ));
    }
}
