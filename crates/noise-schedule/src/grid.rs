//! The noise levels a sampler visits.

use crate::schedule::geometric;
use crate::ve::check_sigmas;
use crate::{Error, Kernel, NoiseSchedule};

/// The noise levels a sampler visits, from noise to data.
///
/// Invariant: at least one level, and [`noise_to_signal`](Kernel::noise_to_signal) never rises.
/// A repeated level is the identity step.
///
/// ```
/// use noise_schedule::{Grid, Kernel};
/// // The 18 noise levels of EDM and, after them, no noise: 18 steps.
/// let grid = Grid::karras(0.002, 80.0, 7.0, 18)?.then_clean();
/// assert_eq!(grid.levels().len(), 19);
/// assert_eq!(grid.steps().count(), 18);
/// assert_eq!(grid.steps().last().map(|(_, to)| to), Some(Kernel::CLEAN));
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "timesteps")]
#[doc(alias = "sigmas")]
#[derive(Clone, Debug, PartialEq)]
pub struct Grid(Vec<Kernel>);

impl Grid {
    /// The grid of these levels, from noise to data.
    ///
    /// # Errors
    /// [`Error::NoLevels`] for none; [`Error::NoiseRises`] if a level is noisier than the one before it.
    pub fn new(levels: Vec<Kernel>) -> Result<Grid, Error> {
        if levels.is_empty() {
            return Err(Error::NoLevels);
        }
        for (index, pair) in levels.windows(2).enumerate() {
            let (before, after) = (pair[0].noise_to_signal(), pair[1].noise_to_signal());
            if before < after {
                return Err(Error::NoiseRises {
                    index: index + 1,
                    before,
                    after,
                });
            }
        }
        Ok(Grid(levels))
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
        if !(0.0 < rho && rho.is_finite()) {
            return Err(Error::Rho { rho });
        }
        // Relative to sigma_max, so that no power overflows.
        let last = (sigma_min / sigma_max).powf(rho.recip());
        Grid::exploding(sigma_max, sigma_min, levels, |u| {
            sigma_max * (1.0 + u * (last - 1.0)).powf(rho)
        })
    }

    /// Variance-exploding levels with a constant ratio between neighbours:
    /// sigma_i = sigma_max^(1−u) sigma_min^u, u = i/(levels − 1); one level is `sigma_max` alone.
    ///
    /// Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>), for annealed Langevin dynamics.
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

    /// The levels of a schedule at `steps` + 1 equally spaced times, from time `from` down to time `to`.
    ///
    /// # Errors
    /// [`Error::GridTimes`] unless 0 ≤ to < from ≤ 1; [`Error::NoSteps`] for no steps;
    /// [`Error::NoiseRises`] if the schedule breaks its law.
    pub fn uniform_time(
        schedule: &dyn NoiseSchedule,
        from: f64,
        to: f64,
        steps: usize,
    ) -> Result<Grid, Error> {
        check_times(from, to)?;
        fractions(steps)?
            .map(|u| schedule.kernel((from * (1.0 - u) + to * u).clamp(to, from)))
            .collect::<Vec<_>>()
            .try_into()
    }

    /// The levels of a schedule at `steps` + 1 equally spaced log-SNRs, from time `from` down to time `to`.
    ///
    /// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), where the steps are uniform in λ = log-SNR / 2.
    ///
    /// # Errors
    /// [`Error::GridTimes`] unless 0 ≤ to < from ≤ 1; [`Error::NoSteps`] for no steps;
    /// [`Error::InfiniteLogSnr`] if an end is clean or pure noise;
    /// [`Error::NoiseRises`] if the schedule breaks its law, or if the steps are too fine for `f64`.
    pub fn uniform_log_snr(
        schedule: &dyn NoiseSchedule,
        from: f64,
        to: f64,
        steps: usize,
    ) -> Result<Grid, Error> {
        check_times(from, to)?;
        let (first, last) = (
            finite_log_snr(schedule, from)?,
            finite_log_snr(schedule, to)?,
        );
        fractions(steps)?
            .map(|u| {
                let time = if u == 0.0 {
                    from
                } else if u == 1.0 {
                    to
                } else {
                    schedule.time_at(first * (1.0 - u) + last * u)
                };
                schedule.kernel(time.clamp(to, from))
            })
            .collect::<Vec<_>>()
            .try_into()
    }

    /// The same grid, ended by [`Kernel::CLEAN`]; a grid that ends there already is unchanged.
    pub fn then_clean(mut self) -> Grid {
        if self.0.last() != Some(&Kernel::CLEAN) {
            self.0.push(Kernel::CLEAN);
        }
        self
    }

    /// The steps (from, to), from noise to data: one fewer than the levels.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (Kernel, Kernel)> + '_ {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The levels, from noise to data: at least one.
    pub fn levels(&self) -> &[Kernel] {
        &self.0
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

impl TryFrom<Vec<Kernel>> for Grid {
    type Error = Error;

    fn try_from(levels: Vec<Kernel>) -> Result<Grid, Error> {
        Grid::new(levels)
    }
}

/// 0, 1/steps, …, 1.
fn fractions(steps: usize) -> Result<impl Iterator<Item = f64>, Error> {
    if steps == 0 {
        return Err(Error::NoSteps);
    }
    Ok((0..=steps).map(move |index| index as f64 / steps as f64))
}

fn check_times(from: f64, to: f64) -> Result<(), Error> {
    if 0.0 <= to && to < from && from <= 1.0 {
        Ok(())
    } else {
        Err(Error::GridTimes { from, to })
    }
}

/// The log-SNR at a time, refused where it is infinite.
pub(crate) fn finite_log_snr(schedule: &dyn NoiseSchedule, time: f64) -> Result<f64, Error> {
    let log_snr = schedule.kernel(time).log_snr();
    if log_snr.is_finite() {
        Ok(log_snr)
    } else {
        Err(Error::InfiniteLogSnr { time, log_snr })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cosine, Rectified, VpLinear};

    #[test]
    fn karras_is_equation_5() {
        let grid = Grid::karras(0.002, 80.0, 7.0, 18).unwrap();
        let (a, b) = (80.0_f64.powf(1.0 / 7.0), 0.002_f64.powf(1.0 / 7.0));
        for (i, kernel) in grid.levels().iter().enumerate() {
            let expected = (a + i as f64 / 17.0 * (b - a)).powi(7);
            assert!((kernel.sigma() / expected - 1.0).abs() < 1e-12);
            assert_eq!(kernel.alpha(), 1.0);
        }
        assert_eq!(grid.levels()[0].sigma(), 80.0);
        assert_eq!(grid.levels()[17].sigma(), 0.002);
    }

    #[test]
    fn one_level_is_the_noisiest() {
        for grid in [
            Grid::karras(0.1, 10.0, 7.0, 1),
            Grid::geometric(10.0, 0.1, 1),
        ] {
            let grid = grid.unwrap();
            assert_eq!(grid.levels(), [Kernel::variance_exploding(10.0).unwrap()]);
            assert_eq!(grid.steps().len(), 0);
            assert_eq!(grid.then_clean().steps().len(), 1);
        }
    }

    #[test]
    fn extreme_exponents_stay_finite_and_ordered() {
        for rho in [1e-3, 1e9] {
            let grid = Grid::karras(1e-3, 1e3, rho, 30).unwrap();
            assert!(grid.levels().iter().all(|k| k.sigma().is_finite()));
        }
        assert_eq!(Grid::geometric(1.0, 1.0, 5).unwrap().levels().len(), 5);
    }

    #[test]
    fn geometric_ratios_are_constant() {
        let grid = Grid::geometric(20.0, 1.0, 10).unwrap();
        let ratio = 20.0_f64.powf(-1.0 / 9.0);
        for (from, to) in grid.steps() {
            assert!((to.sigma() / from.sigma() / ratio - 1.0).abs() < 1e-14);
        }
    }

    #[test]
    fn uniform_grids_are_uniform() {
        let schedule = VpLinear::song2021();
        let grid = Grid::uniform_time(&schedule, 1.0, 0.0, 4).unwrap();
        assert_eq!(grid.levels()[1], schedule.kernel(0.75));
        assert_eq!(grid.levels()[4], Kernel::CLEAN);
        assert_eq!(grid.clone().then_clean(), grid);

        let grid = Grid::uniform_log_snr(&schedule, 0.99, 0.01, 20).unwrap();
        assert_eq!(grid.levels()[0], schedule.kernel(0.99));
        assert_eq!(grid.levels()[20], schedule.kernel(0.01));
        let log_snrs: Vec<f64> = grid.levels().iter().map(|k| k.log_snr()).collect();
        let step = (log_snrs[20] - log_snrs[0]) / 20.0;
        for pair in log_snrs.windows(2) {
            assert!((pair[1] - pair[0] - step).abs() < 1e-9);
        }
    }

    #[test]
    fn pure_noise_may_start_a_grid_but_has_no_log_snr() {
        let grid = Grid::uniform_time(&Cosine::nichol2021(), 1.0, 0.0, 10).unwrap();
        assert_eq!(grid.levels()[0].alpha(), 0.0);
        assert!(matches!(
            Grid::uniform_log_snr(&Rectified, 1.0, 0.5, 10),
            Err(Error::InfiniteLogSnr { time: 1.0, .. })
        ));
    }

    #[test]
    fn arguments_are_checked() {
        let level = |sigma| Kernel::variance_exploding(sigma).unwrap();
        assert_eq!(Grid::new(vec![]), Err(Error::NoLevels));
        assert_eq!(
            Grid::new(vec![level(2.0), level(1.0), level(1.5)]),
            Err(Error::NoiseRises {
                index: 2,
                before: 1.0,
                after: 1.5
            })
        );
        assert!(Grid::new(vec![level(1.0), level(1.0)]).is_ok());
        assert_eq!(Grid::karras(0.1, 1.0, 7.0, 0), Err(Error::NoLevels));
        assert_eq!(Grid::karras(0.1, 1.0, 0.0, 3), Err(Error::Rho { rho: 0.0 }));
        assert!(matches!(
            Grid::geometric(0.1, 1.0, 3),
            Err(Error::SigmaRange { .. })
        ));
        assert!(matches!(
            Grid::uniform_time(&Rectified, 0.1, 0.9, 3),
            Err(Error::GridTimes { .. })
        ));
        assert_eq!(
            Grid::uniform_time(&Rectified, 0.9, 0.1, 0),
            Err(Error::NoSteps)
        );
    }
}
