//! The noise levels a sampler visits.

mod align_your_steps;
mod flow;
mod schedule;
mod sigma;

pub use align_your_steps::AlignYourSteps;
pub use flow::FlowShift;
pub(crate) use schedule::finite_log_snr;

use crate::spacing::rounded_ratio;
use crate::{Error, Kernel};

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

    /// The same grid, ended by [`Kernel::CLEAN`]; a grid that ends there already is unchanged.
    pub fn then_clean(mut self) -> Grid {
        if self.0.last() != Some(&Kernel::CLEAN) {
            self.0.push(Kernel::CLEAN);
        }
        self
    }

    /// The same grid, ended by this level, which is not noisier than its last.
    ///
    /// What a grid ends with is a choice: nothing more (the last step is to its own last level),
    /// [`then_clean`](Grid::then_clean), or a level of one's own, such as the cleanest that a network was trained on.
    ///
    /// # Errors
    /// [`Error::NoiseRises`] if it is noisier.
    #[doc(alias = "final_sigmas_type")]
    pub fn then(mut self, last: Kernel) -> Result<Grid, Error> {
        self.0.push(last);
        Grid::new(self.0)
    }

    /// The levels whose noise-to-signal ratio lies in [low, high].
    ///
    /// A lower bound on λ = ln(alpha/sigma) is `high` = e^(−λ): DPM-Solver stays above λ = −5.1 on the cosine schedule.
    ///
    /// # Errors
    /// [`Error::NoLevels`] if none does.
    #[doc(alias = "lambda_min_clipped")]
    pub fn within(mut self, low: f64, high: f64) -> Result<Grid, Error> {
        self.0
            .retain(|level| (low..=high).contains(&level.noise_to_signal()));
        Grid::new(self.0)
    }

    /// `levels` of the levels, at equal distances by index: the i-th is that of index i (len − 1)/(levels − 1),
    /// rounded, halves to even; one level is the noisiest. Levels repeat where more are asked for than there are.
    ///
    /// # Errors
    /// [`Error::NoLevels`] for none.
    pub fn subset(&self, levels: usize) -> Result<Grid, Error> {
        let gaps = levels.max(2) - 1;
        (0..levels)
            .map(|i| self.0[rounded_ratio(i, self.0.len() - 1, gaps)])
            .collect::<Vec<_>>()
            .try_into()
    }

    /// The same noise-to-signal ratios as variance-preserving levels, alpha² + sigma² = 1:
    /// a grid in sigma for a network of the VP kind.
    pub fn variance_preserving(self) -> Grid {
        self.rescaled(|level| {
            let norm = level.alpha().hypot(level.sigma());
            Kernel::from_scales(level.alpha() / norm, level.sigma() / norm)
        })
    }

    /// The same noise-to-signal ratios as variance-exploding levels, alpha = 1.
    ///
    /// # Errors
    /// [`Error::KernelScales`] if the first level is pure noise, whose ratio is infinite.
    pub fn variance_exploding(self) -> Result<Grid, Error> {
        Kernel::variance_exploding(self.0[0].noise_to_signal())?;
        Ok(self.rescaled(|level| Kernel::from_scales(1.0, level.noise_to_signal())))
    }

    /// The steps (from, to), from noise to data: one fewer than the levels.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (Kernel, Kernel)> + '_ {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The levels, from noise to data: at least one.
    pub fn levels(&self) -> &[Kernel] {
        &self.0
    }

    /// The index of the level whose noise-to-signal ratio is nearest to this one; of two equally near, the noisier.
    ///
    /// # Panics
    /// If `noise_to_signal` is NaN or negative.
    pub fn nearest(&self, noise_to_signal: f64) -> usize {
        assert!(
            0.0 <= noise_to_signal,
            "grid: noise_to_signal must not be negative or NaN, got {noise_to_signal}"
        );
        let distance = |index: usize| {
            let there = self.0[index].noise_to_signal();
            // Two levels of pure noise are equal, and their difference would be NaN.
            if there == noise_to_signal {
                0.0
            } else {
                (there - noise_to_signal).abs()
            }
        };
        let below = self
            .0
            .partition_point(|level| noise_to_signal < level.noise_to_signal());
        if below == self.0.len() || (0 < below && distance(below - 1) <= distance(below)) {
            // The first of several equal levels.
            let nearest = self.0[below - 1].noise_to_signal();
            self.0
                .partition_point(|level| nearest < level.noise_to_signal())
        } else {
            below
        }
    }

    /// The levels alone.
    pub(crate) fn into_levels(self) -> Vec<Kernel> {
        self.0
    }

    /// The same ratios by other scales; where rounding would raise the noise, the level before is repeated.
    fn rescaled(mut self, scaled: impl Fn(Kernel) -> Kernel) -> Grid {
        let mut before = scaled(self.0[0]);
        for level in &mut self.0 {
            let next = scaled(*level);
            if next.noise_to_signal() <= before.noise_to_signal() {
                before = next;
            }
            *level = before;
        }
        self
    }
}

impl TryFrom<Vec<Kernel>> for Grid {
    type Error = Error;

    fn try_from(levels: Vec<Kernel>) -> Result<Grid, Error> {
        Grid::new(levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cosine, NoiseSchedule, Rectified, VpLinear};

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
