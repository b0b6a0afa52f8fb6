//! Noise levels that may rise again: restart, resampling and inversion.

use crate::ve::check_sigmas;
use crate::{Error, Grid, Kernel};

/// The noise levels that a sampler visits when they may rise as well as fall.
///
/// A step to a noisier level is made by a sampler in one of two ways, which the levels do not tell apart:
/// by fresh noise (restart, RePaint), or by the same deterministic step as downwards (inversion).
///
/// Invariant: at least one level.
///
/// ```
/// use noise_schedule::{Grid, Kernel, Path};
/// // From an image to the noise that it would be sampled from.
/// let grid = Grid::karras(0.002, 80.0, 7.0, 18)?.then_clean();
/// let inversion = Path::from(grid).reversed();
/// assert_eq!(inversion.levels()[0], Kernel::CLEAN);
/// assert_eq!(inversion.steps().len(), 18);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Path(Vec<Kernel>);

impl Path {
    /// The path through these levels, in this order.
    ///
    /// # Errors
    /// [`Error::NoLevels`] for none.
    pub fn new(levels: Vec<Kernel>) -> Result<Path, Error> {
        if levels.is_empty() {
            Err(Error::NoLevels)
        } else {
            Ok(Path(levels))
        }
    }

    /// The grid, with jumps back to more noise: RePaint's resampling of the known region.
    ///
    /// Of the n steps of the grid, let level j be the one that j + 1 steps follow, from n − 1 (the noisiest) to 0;
    /// the last level of the grid comes after level 0.
    /// Each of the levels 0, r, 2r, … below n − r, where r is `jump_length`, is visited `jump_samples` times:
    /// after each visit but the last, the path climbs r levels, one by one, and comes down again.
    /// `jump_samples` = 1 is the grid itself.
    ///
    /// Lugmayr et al. 2022 (<https://arxiv.org/abs/2201.09865>), where both numbers are 10 and n is 250.
    ///
    /// # Errors
    /// [`Error::Jump`] if either number is 0.
    #[doc(alias = "resampling")]
    pub fn repaint(grid: &Grid, jump_length: usize, jump_samples: usize) -> Result<Path, Error> {
        let (&last, before) = grid.levels().split_last().ok_or(Error::NoLevels)?;
        let mut levels: Vec<Kernel> = repaint_visits(before.len(), jump_length, jump_samples)?
            .into_iter()
            .map(|position| before[before.len() - 1 - position])
            .collect();
        levels.push(last);
        Path::new(levels)
    }

    /// The grid, and on it intervals that are walked again and again from fresh noise.
    ///
    /// When the grid comes to the level nearest to the end of a restart's segment, in noise-to-signal ratio
    /// (of two equally near, the noisier), the path jumps to the segment's first level and walks the segment,
    /// [`repeats`](Restart::repeats) times; the end of the segment is moved onto the level of the grid.
    /// Several restarts at one level follow each other in their order here.
    ///
    /// Xu et al. 2023 (<https://arxiv.org/abs/2306.14878>), algorithm 1.
    ///
    /// # Errors
    /// [`Error::RestartBelow`] if a segment does not begin noisier than the level where it ends.
    pub fn restart(grid: &Grid, restarts: &[Restart]) -> Result<Path, Error> {
        let mut path = Vec::new();
        let ends: Vec<usize> = restarts
            .iter()
            .map(|restart| grid.nearest(restart.end()))
            .collect();
        for (index, &level) in grid.levels().iter().enumerate() {
            path.push(level);
            for (restart, _) in restarts.iter().zip(&ends).filter(|(_, end)| **end == index) {
                let segment = restart.segment.levels();
                let (from, to) = (segment[0].noise_to_signal(), level.noise_to_signal());
                if from <= to {
                    return Err(Error::RestartBelow { from, to });
                }
                for _ in 0..restart.repeats {
                    // At least the first, which is noisier than `to`, stays.
                    let inside = segment[..segment.len() - 1].iter();
                    path.extend(inside.filter(|inner| to < inner.noise_to_signal()));
                    path.push(level);
                }
            }
        }
        Path::new(path)
    }

    /// The same levels in the opposite order.
    #[doc(alias = "inversion")]
    pub fn reversed(mut self) -> Path {
        self.0.reverse();
        self
    }

    /// The steps (from, to): one fewer than the levels.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (Kernel, Kernel)> + '_ {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The levels, in the order of the walk: at least one.
    pub fn levels(&self) -> &[Kernel] {
        &self.0
    }
}

impl From<Grid> for Path {
    fn from(grid: Grid) -> Path {
        Path(grid.into_levels())
    }
}

impl TryFrom<Vec<Kernel>> for Path {
    type Error = Error;

    fn try_from(levels: Vec<Kernel>) -> Result<Path, Error> {
        Path::new(levels)
    }
}

/// An interval of noise that [`Path::restart`] walks repeatedly, each time from fresh noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    segment: Grid,
    repeats: usize,
}

impl Restart {
    /// `repeats` walks over `segment`, which has at least two levels; the last of them is where they end.
    ///
    /// # Errors
    /// [`Error::NoSteps`] for a segment of one level.
    pub fn new(segment: Grid, repeats: usize) -> Result<Restart, Error> {
        if segment.levels().len() < 2 {
            Err(Error::NoSteps)
        } else {
            Ok(Restart { segment, repeats })
        }
    }

    /// `repeats` walks over `levels` variance-exploding levels from `sigma_max` to the level of `grid` nearest to `sigma_min`,
    /// equally spaced in sigma^(1/rho) as in [`Grid::karras`].
    ///
    /// Xu et al. 2023 (<https://arxiv.org/abs/2306.14878>), where these are t_max, t_min, K = `repeats`, and rho = 7.
    ///
    /// # Errors
    /// Those of [`Grid::karras`], and [`Error::NoSteps`] for a single level.
    pub fn karras(
        grid: &Grid,
        sigma_min: f64,
        sigma_max: f64,
        rho: f64,
        levels: usize,
        repeats: usize,
    ) -> Result<Restart, Error> {
        check_sigmas(sigma_min, sigma_max)?;
        let end = grid.levels()[grid.nearest(sigma_min)].noise_to_signal();
        Restart::new(Grid::karras(end, sigma_max, rho, levels)?, repeats)
    }

    /// How often the segment is walked; 0 is never.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// The noise-to-signal ratio at the end of the segment.
    fn end(&self) -> f64 {
        let levels = self.segment.levels();
        levels[levels.len() - 1].noise_to_signal()
    }
}

/// The positions n − 1 … 0 with RePaint's jumps, in the order of the walk, for n = `steps`.
pub(crate) fn repaint_visits(
    steps: usize,
    jump_length: usize,
    jump_samples: usize,
) -> Result<Vec<usize>, Error> {
    if jump_length == 0 || jump_samples == 0 {
        return Err(Error::Jump {
            jump_length,
            jump_samples,
        });
    }
    let mut jumps_left: Vec<usize> = (0..steps)
        .map(|at| {
            let jumps = at % jump_length == 0 && at + jump_length < steps;
            if jumps { jump_samples - 1 } else { 0 }
        })
        .collect();
    let mut visits = Vec::new();
    let mut at = steps;
    while 0 < at {
        at -= 1;
        visits.push(at);
        if 0 < jumps_left[at] {
            jumps_left[at] -= 1;
            visits.extend(at + 1..=at + jump_length);
            at += jump_length;
        }
    }
    Ok(visits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sigmas(path: &Path) -> Vec<f64> {
        path.levels().iter().map(|kernel| kernel.sigma()).collect()
    }

    /// The levels `n`, …, 1, 0: level j of the jumps has sigma j + 1.
    fn countdown(n: u32) -> Grid {
        let levels = (0..=n)
            .rev()
            .map(|sigma| Kernel::variance_exploding(f64::from(sigma)));
        Grid::new(levels.collect::<Result<_, _>>().unwrap()).unwrap()
    }

    #[test]
    fn repaint_jumps_where_the_paper_does() {
        let path = Path::repaint(&countdown(5), 2, 2).unwrap();
        // Levels 0 and 2 lie below 5 − 2, and are visited twice.
        let expected = [5, 4, 3, 4, 5, 4, 3, 2, 1, 2, 3, 2, 1, 0].map(f64::from);
        assert_eq!(sigmas(&path), expected);
        // 250 steps, jumps of 10, ten times: levels 0, 10, …, 230 are left nine times, at 20 steps each.
        let path = Path::repaint(&countdown(250), 10, 10).unwrap();
        assert_eq!(path.steps().len(), 250 + 24 * 9 * 20);
    }

    #[test]
    fn repaint_without_jumps_is_the_grid() {
        for (length, samples) in [(3, 1), (5, 4), (100, 10)] {
            let path = Path::repaint(&countdown(5), length, samples).unwrap();
            assert_eq!(path, Path::from(countdown(5)));
        }
        assert_eq!(
            Path::repaint(&countdown(0), 1, 1).unwrap().levels().len(),
            1
        );
    }

    #[test]
    fn restart_returns_to_the_nearest_level() {
        let grid = countdown(5);
        let restart = Restart::karras(&grid, 2.2, 4.0, 1.0, 3, 2).unwrap();
        let path = Path::restart(&grid, &[restart]).unwrap();
        let expected = [5, 4, 3, 2, 4, 3, 2, 4, 3, 2, 1, 0].map(f64::from);
        assert_eq!(sigmas(&path), expected);
    }

    #[test]
    fn restarts_at_one_level_follow_each_other() {
        let grid = countdown(3);
        let to = |sigma_max| Restart::karras(&grid, 1.0, sigma_max, 1.0, 2, 1).unwrap();
        let path = Path::restart(&grid, &[to(2.0), to(3.0)]).unwrap();
        assert_eq!(sigmas(&path), [3, 2, 1, 2, 1, 3, 1, 0].map(f64::from));
        assert_eq!(Path::restart(&grid, &[]).unwrap(), Path::from(grid));
    }

    #[test]
    fn the_end_of_a_segment_moves_onto_the_grid() {
        // The segment passes below the level of the grid where it ends: what is below is left out.
        let segment = Grid::geometric(4.0, 1.9, 30).unwrap();
        let path = Path::restart(&countdown(5), &[Restart::new(segment, 1).unwrap()]).unwrap();
        let falls = path.steps().filter(|(from, to)| to.sigma() < from.sigma());
        assert_eq!(falls.count(), path.steps().len() - 1);
    }

    #[test]
    fn arguments_are_checked() {
        let grid = countdown(5);
        assert_eq!(Path::new(vec![]), Err(Error::NoLevels));
        assert!(matches!(
            Path::repaint(&grid, 0, 1),
            Err(Error::Jump { jump_length: 0, .. })
        ));
        assert!(matches!(
            Path::repaint(&grid, 1, 0),
            Err(Error::Jump {
                jump_samples: 0,
                ..
            })
        ));
        assert!(Restart::karras(&grid, 2.0, 1.0, 7.0, 3, 1).is_err());
        for sigma_min in [f64::NAN, -1.0] {
            assert!(matches!(
                Restart::karras(&grid, sigma_min, 3.0, 7.0, 3, 1),
                Err(Error::SigmaRange { .. })
            ));
        }
        assert_eq!(
            Restart::karras(&grid, 2.0, 3.0, 7.0, 1, 1),
            Err(Error::NoSteps)
        );
        let flat = Restart::new(Grid::geometric(2.0, 1.6, 2).unwrap(), 1).unwrap();
        assert_eq!(
            Path::restart(&grid, &[flat]),
            Err(Error::RestartBelow { from: 2.0, to: 2.0 })
        );
    }
}
