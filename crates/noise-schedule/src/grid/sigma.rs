//! Grids in the noise-to-signal ratio alone: variance-exploding levels.

use std::f64::consts::FRAC_PI_2;

use super::Grid;
use crate::incomplete_beta::beta_quantile;
use crate::kernel::softplus;
use crate::schedule::geometric;
use crate::ve::check_sigmas;
use crate::{Error, Kernel};

/// Grids of variance-exploding levels; [`Grid::variance_preserving`] turns them into levels of the other kind.
impl Grid {
    /// Variance-exploding levels at these sigmas, from noise to data; a last 0 is clean.
    ///
    /// # Errors
    /// [`Error::KernelScales`] for a sigma that is negative or not finite;
    /// [`Error::NoLevels`] for none; [`Error::NoiseRises`] unless they fall.
    ///
    /// ```
    /// use noise_schedule::{Grid, Kernel};
    /// assert_eq!(Grid::sigmas(&[14.6, 2.9, 0.3, 0.0])?.levels()[3], Kernel::CLEAN);
    /// # Ok::<(), noise_schedule::Error>(())
    /// ```
    pub fn sigmas(sigmas: &[f64]) -> Result<Grid, Error> {
        sigmas
            .iter()
            .map(|&sigma| Kernel::variance_exploding(sigma))
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
    }

    /// Variance-exploding levels, equally spaced in sigma^(1/rho):
    /// sigma_i = (sigma_max^(1/rho) + i/(levels − 1) (sigma_min^(1/rho) − sigma_max^(1/rho)))^rho.
    ///
    /// A large `rho` puts more of the levels near `sigma_min`; one level is `sigma_max` alone.
    /// The grid does not end at zero: see [`then_clean`](Grid::then_clean).
    ///
    /// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), equation 5, with rho = 7.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞;
    /// [`Error::Rho`] unless `rho` is positive and finite; [`Error::NoLevels`] for no levels.
    pub fn karras(sigma_min: f64, sigma_max: f64, rho: f64, levels: usize) -> Result<Grid, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        check_rho(rho)?;
        // Relative to sigma_max, so that no power overflows.
        let last = (sigma_min / sigma_max).powf(rho.recip());
        Grid::exploding(sigma_max, sigma_min, levels, |u| {
            sigma_max * (1.0 + u * (last - 1.0)).powf(rho)
        })
    }

    /// Variance-exploding levels with a constant ratio between neighbours:
    /// sigma_i = sigma_max^(1−u) sigma_min^u, u = i/(levels − 1); one level is `sigma_max` alone.
    ///
    /// Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>), for annealed Langevin dynamics;
    /// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), table 1, column VE, where t = sigma² is geometric.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞; [`Error::NoLevels`] for no levels.
    #[doc(alias = "exponential")]
    pub fn geometric(sigma_max: f64, sigma_min: f64, levels: usize) -> Result<Grid, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        Grid::exploding(sigma_max, sigma_min, levels, |u| {
            geometric(sigma_max, sigma_min, u)
        })
    }

    /// Variance-exploding levels whose ln sigma is a power of a ramp:
    /// ln sigma_i = ln sigma_min + (1 − u)^rho ln(sigma_max/sigma_min), u = i/(levels − 1); one level is `sigma_max` alone.
    ///
    /// `rho` = 1 is [`geometric`](Grid::geometric); a larger one puts more of the levels near `sigma_min`.
    /// A grid of the k-diffusion library, without a paper of its own.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞;
    /// [`Error::Rho`] unless `rho` is positive and finite; [`Error::NoLevels`] for no levels.
    #[doc(alias = "polyexponential")]
    pub fn poly_exponential(
        sigma_min: f64,
        sigma_max: f64,
        rho: f64,
        levels: usize,
    ) -> Result<Grid, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        check_rho(rho)?;
        Grid::exploding(sigma_max, sigma_min, levels, |u| {
            geometric(sigma_min, sigma_max, (1.0 - u).powf(rho))
        })
    }

    /// Variance-exploding levels at quantiles of a beta distribution, which puts more of them near both ends:
    /// sigma_i = sigma_min + Q(1 − u) (sigma_max − sigma_min), u = i/(levels − 1), with Q the quantile function of Beta(a, b);
    /// one level is `sigma_max` alone.
    ///
    /// This is the distribution on sigma, as diffusers has it; [`beta_time`](Grid::beta_time) is that on time.
    /// Lee et al. 2024 (<https://arxiv.org/abs/2407.12173>), where a = b = 0.6.
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞;
    /// [`Error::BetaShape`] unless `a` and `b` lie in [0.01, 100]; [`Error::NoLevels`] for no levels.
    #[doc(alias = "use_beta_sigmas")]
    pub fn beta_sigma(
        sigma_min: f64,
        sigma_max: f64,
        a: f64,
        b: f64,
        levels: usize,
    ) -> Result<Grid, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        check_beta_shape(a, b)?;
        Grid::exploding(sigma_max, sigma_min, levels, |u| {
            sigma_min + beta_quantile(a, b, 1.0 - u) * (sigma_max - sigma_min)
        })
    }

    /// The variance-exploding levels of the VP process at equally spaced times from 1 to `eps`:
    /// ln(1 + sigma²) = beta_d t²/2 + beta_min t, with the two rates that put `sigma_max` at t = 1 and `sigma_min` at t = `eps`;
    /// one level is `sigma_max` alone.
    ///
    /// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), table 1, column VP, where `eps` = 1e-3.
    /// With rates given instead, it is [`uniform_time`](Grid::uniform_time) of [`VpLinear`](crate::VpLinear).
    ///
    /// # Errors
    /// [`Error::SigmaRange`] unless 0 < sigma_min ≤ sigma_max < ∞; [`Error::GridTimes`] unless 0 < eps < 1;
    /// [`Error::VpRates`] if the rate would be negative somewhere, so that the noise would not fall with t;
    /// [`Error::NoLevels`] for no levels.
    pub fn vp(sigma_min: f64, sigma_max: f64, eps: f64, levels: usize) -> Result<Grid, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        if !(0.0 < eps && eps < 1.0) {
            return Err(Error::GridTimes { from: 1.0, to: eps });
        }
        // ln(1 + sigma²), for any size of sigma.
        let exponent = |sigma: f64| softplus(2.0 * sigma.ln());
        let (first, last) = (exponent(sigma_max), exponent(sigma_min));
        let beta_d = 2.0 * (last / eps - first) / (eps - 1.0);
        let beta_min = first - 0.5 * beta_d;
        let rate_of = |t: f64| beta_min + beta_d * t;
        if rate_of(eps).min(rate_of(1.0)) < 0.0 {
            return Err(Error::VpRates {
                at_eps: rate_of(eps),
                at_one: rate_of(1.0),
            });
        }
        Grid::exploding(sigma_max, sigma_min, levels, |u| {
            let t = 1.0 - u + u * eps;
            (0.5 * beta_d * t * t + beta_min * t).exp_m1().sqrt()
        })
    }

    /// All noise levels u_0 > … > u_M = 0 of improved DDPM, for M = `steps`: 1 + u_(j−1)² = (1 + u_j²)/max(alpha_bar_(j−1)/alpha_bar_j, c1)
    /// with alpha_bar_j = sin²(π j/(2 M (1 + c2))); j runs from the noisiest level to the clean one.
    ///
    /// A sampler visits some of those in a range: [`within`](Grid::within) and [`subset`](Grid::subset).
    /// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), table 1, where c1 = 0.001, c2 = 0.008 and M = 1000.
    ///
    /// # Errors
    /// [`Error::NoSteps`] for none; [`Error::CosineOffset`] unless `c2` is finite and not negative;
    /// [`Error::IddpmRatio`] unless `c1` lies in (0, 1], and is not so small that 1 + u_0² exceeds e^700.
    ///
    /// ```
    /// use noise_schedule::Grid;
    /// let grid = Grid::iddpm(0.001, 0.008, 1000)?.within(0.002, 81.0)?.subset(18)?.then_clean();
    /// assert_eq!(grid.steps().len(), 18);
    /// # Ok::<(), noise_schedule::Error>(())
    /// ```
    pub fn iddpm(c1: f64, c2: f64, steps: usize) -> Result<Grid, Error> {
        if steps == 0 {
            return Err(Error::NoSteps);
        }
        if !(0.0 <= c2 && c2.is_finite()) {
            return Err(Error::CosineOffset { offset: c2 });
        }
        let refused = Error::IddpmRatio { c1 };
        if !(0.0 < c1 && c1 <= 1.0) {
            return Err(refused);
        }
        let angle = |j: usize| FRAC_PI_2 * j as f64 / (steps as f64 * (1.0 + c2));
        let mut levels = vec![Kernel::CLEAN];
        let mut exponent = 0.0;
        for j in (1..=steps).rev() {
            let (here, next) = (angle(j - 1), angle(j));
            // sin here − sin next, without cancellation.
            let difference = 2.0 * (0.5 * (here + next)).cos() * (0.5 * (here - next)).sin();
            exponent -= (2.0 * (difference / next.sin()).ln_1p()).max(c1.ln());
            if 700.0 < exponent {
                return Err(refused);
            }
            levels.push(Kernel::from_scales(1.0, exponent.exp_m1().sqrt()));
        }
        levels.reverse();
        Grid::new(levels)
    }

    /// Variance-exploding levels `sigma(u)`, with exact ends and with rounding kept from raising the noise.
    fn exploding(
        sigma_max: f64,
        sigma_min: f64,
        levels: usize,
        sigma: impl Fn(f64) -> f64,
    ) -> Result<Grid, Error> {
        let mut before = sigma_max;
        let mut kernels = Vec::with_capacity(levels + 1);
        for index in 0..levels {
            if index + 1 == levels && 0 < index {
                before = sigma_min;
            } else if 0 < index {
                before = sigma(index as f64 / (levels - 1) as f64).clamp(sigma_min, before);
            }
            kernels.push(Kernel::from_scales(1.0, before));
        }
        Grid::new(kernels)
    }
}

fn check_rho(rho: f64) -> Result<(), Error> {
    if 0.0 < rho && rho.is_finite() {
        Ok(())
    } else {
        Err(Error::Rho { rho })
    }
}

/// Refuses shapes for which the quantile would lose its digits.
pub(super) fn check_beta_shape(a: f64, b: f64) -> Result<(), Error> {
    if (0.01..=100.0).contains(&a) && (0.01..=100.0).contains(&b) {
        Ok(())
    } else {
        Err(Error::BetaShape { a, b })
    }
}
