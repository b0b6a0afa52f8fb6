//! Finitely many levels, each with its probability.

use crate::error::check_positive;
use crate::{Discrete, Error, Grid, Kernel};

use super::{LevelDistribution, check_unit};

/// Finitely many levels, from data to noise, each with its probability.
///
/// The uniform ladder over a [`Discrete`] schedule is the uniform timestep of Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>);
/// over geometric levels it is that of Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>).
///
/// ```
/// use noise_schedule::{Discrete, Ladder, LevelDistribution};
/// let schedule = Discrete::ho2020();
/// let ladder = Ladder::uniform((0..1000).map(|i| schedule.level(i)).collect())?;
/// assert_eq!(ladder.index(0.5), 500);
/// assert_eq!(ladder.quantile(0.5), schedule.level(500));
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// At least one; the noise-to-signal ratio never falls.
    levels: Vec<Kernel>,
    /// The sums of the weights up to each level: as many as levels, never falling, the last positive and finite.
    sums: Vec<f64>,
}

impl Ladder {
    /// These levels, from data to noise, all with the same probability.
    ///
    /// # Errors
    /// Those of [`weighted`](Ladder::weighted).
    pub fn uniform(levels: Vec<Kernel>) -> Result<Ladder, Error> {
        let weights = vec![1.0; levels.len()];
        Ladder::weighted(levels, &weights)
    }

    /// These levels, from data to noise, with probabilities proportional to these weights, one for each.
    ///
    /// # Errors
    /// [`Error::NoLevels`] for none; [`Error::NoiseFalls`] if a level is less noisy than the one before it;
    /// [`Error::WeightCount`] unless there are as many weights;
    /// [`Error::Weight`] for one that is negative or not finite, [`Error::NotPositive`] for their sum.
    pub fn weighted(levels: Vec<Kernel>, weights: &[f64]) -> Result<Ladder, Error> {
        if levels.is_empty() {
            return Err(Error::NoLevels);
        }
        if weights.len() != levels.len() {
            return Err(Error::WeightCount {
                levels: levels.len(),
                weights: weights.len(),
            });
        }
        for (index, pair) in levels.windows(2).enumerate() {
            let (before, after) = (pair[0].noise_to_signal(), pair[1].noise_to_signal());
            if after < before {
                return Err(Error::NoiseFalls {
                    index: index + 1,
                    before,
                    after,
                });
            }
        }
        let mut sum = 0.0;
        let mut sums = Vec::with_capacity(weights.len());
        for (index, &weight) in weights.iter().enumerate() {
            if !(0.0 <= weight && weight.is_finite()) {
                return Err(Error::Weight { index, weight });
            }
            sum += weight;
            sums.push(sum);
        }
        check_positive("ladder: the sum of the weights", sum)?;
        Ok(Ladder { levels, sums })
    }

    /// The levels of a discrete schedule, all with the same probability.
    pub fn discrete(schedule: &Discrete) -> Ladder {
        let levels = (0..schedule.count()).map(|index| schedule.level(index));
        Ladder::uniform(levels.collect()).expect("the noise of a schedule rises")
    }

    /// The levels of [`Grid::karras`], all with the same probability but for the cleanest, which has none:
    /// each level that is drawn has a cleaner neighbour, [`levels`](Ladder::levels)`()[index − 1]`.
    ///
    /// Song et al. 2023, consistency models (<https://arxiv.org/abs/2303.01469>), algorithms 2 and 3, with rho = 7.
    ///
    /// # Errors
    /// Those of [`Grid::karras`]; [`Error::NotPositive`] for the weights of fewer than two levels.
    pub fn consistency(
        sigma_min: f64,
        sigma_max: f64,
        rho: f64,
        levels: usize,
    ) -> Result<Ladder, Error> {
        let mut kernels = Grid::karras(sigma_min, sigma_max, rho, levels)?
            .levels()
            .to_vec();
        kernels.reverse();
        let mut weights = vec![1.0; kernels.len()];
        weights[0] = 0.0;
        Ladder::weighted(kernels, &weights)
    }

    /// The levels, from data to noise.
    pub fn levels(&self) -> &[Kernel] {
        &self.levels
    }

    /// The probability of the level `index`.
    ///
    /// # Panics
    /// If there is no such level.
    pub fn probability(&self, index: usize) -> f64 {
        let before = if index == 0 {
            0.0
        } else {
            self.sums[index - 1]
        };
        (self.sums[index] - before) / self.sums[self.sums.len() - 1]
    }

    /// The index of the level below which a fraction `u` of the levels lies, `u` in [0, 1]; its weight is not zero.
    ///
    /// # Panics
    /// If `u` lies outside [0, 1].
    pub fn index(&self, u: f64) -> usize {
        check_unit(u);
        let total = self.sums[self.sums.len() - 1];
        // The first level whose sum passes u; at u = 1 none does, and the last one with a weight is meant.
        let passed = self.sums.partition_point(|&sum| sum <= u * total);
        passed.min(self.sums.partition_point(|&sum| sum < total))
    }
}

impl LevelDistribution for Ladder {
    fn quantile(&self, u: f64) -> Kernel {
        self.levels[self.index(u)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(sigmas: &[f64]) -> Vec<Kernel> {
        let kernel = |&sigma: &f64| Kernel::variance_exploding(sigma).unwrap();
        sigmas.iter().map(kernel).collect()
    }

    #[test]
    fn indices_have_their_probabilities() {
        let ladder =
            Ladder::weighted(levels(&[1.0, 2.0, 3.0, 4.0]), &[0.0, 1.0, 3.0, 0.0]).unwrap();
        for (u, index) in [(0.0, 1), (0.2499, 1), (0.25, 2), (0.9999, 2), (1.0, 2)] {
            assert_eq!(ladder.index(u), index, "{u}");
        }
        assert_eq!(
            [0, 1, 2, 3].map(|i| ladder.probability(i)),
            [0.0, 0.25, 0.75, 0.0]
        );
        let uniform = Ladder::discrete(&Discrete::ho2020());
        for index in 0..1000 {
            assert_eq!(uniform.index((index as f64 + 0.5) / 1000.0), index);
        }
        assert_eq!(uniform.index(1.0), 999);
    }

    #[test]
    fn consistency_levels_have_cleaner_neighbours() {
        let ladder = Ladder::consistency(0.002, 80.0, 7.0, 18).unwrap();
        assert_eq!(ladder.index(0.0), 1);
        assert_eq!(ladder.quantile(1.0).sigma(), 80.0);
        assert_eq!(ladder.levels()[0].sigma(), 0.002);
        assert!((ladder.probability(5) - 1.0 / 17.0).abs() < 1e-15);
        assert!(Ladder::consistency(0.002, 80.0, 7.0, 1).is_err());
    }

    #[test]
    fn parameters_are_checked() {
        assert_eq!(Ladder::uniform(vec![]), Err(Error::NoLevels));
        assert_eq!(
            Ladder::uniform(levels(&[1.0, 3.0, 2.0])),
            Err(Error::NoiseFalls {
                index: 2,
                before: 3.0,
                after: 2.0
            })
        );
        assert_eq!(
            Ladder::weighted(levels(&[1.0]), &[]),
            Err(Error::WeightCount {
                levels: 1,
                weights: 0
            })
        );
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let refused = Ladder::weighted(levels(&[1.0]), &[weight]);
            assert!(matches!(refused, Err(Error::Weight { index: 0, .. })));
        }
        assert!(Ladder::weighted(levels(&[1.0]), &[0.0]).is_err());
    }
}
