//! Training levels drawn in proportion to the size of their losses.

use crate::Error;

/// Importance sampling of discrete levels by the root mean square of their recent losses.
///
/// p_i = (1 − uniform) r_i/Σ r + uniform/n with r_i = √(mean of the last losses²), once every level has a full history;
/// until then, and where all losses are 0, p_i = 1/n.
/// A loss drawn from it is multiplied by 1/(n p_i), which keeps its expectation; among fixed p, this choice has the least variance
/// (Nichol and Dhariwal 2021, section 3.3).
///
/// ```
/// use score_objective::LossSecondMoment;
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let mut levels = LossSecondMoment::new(2, 1, 0.0)?;
/// levels.record(0, 3.0)?;
/// levels.record(1, 1.0)?;
/// let drawn = levels.draw(&[0.5, 0.9]);
/// assert_eq!((drawn[0].level, drawn[1].level), (0, 1));
/// assert_eq!((drawn[0].weight, drawn[1].weight), (1.0 / 1.5, 2.0));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "LossSecondMomentResampler")]
#[derive(Debug, Clone, PartialEq)]
pub struct LossSecondMoment {
    uniform: f64,
    history: usize,
    /// The squares of the last losses, `history` of them per level; the oldest is overwritten.
    squares: Vec<f64>,
    /// How many losses each level has seen.
    seen: Vec<usize>,
}

/// A level that was drawn, and what its loss is to be multiplied with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawnLevel {
    /// The level, from 0.
    pub level: usize,
    /// 1/(n p): the mean over draws of weight · loss is the mean of the loss over levels.
    pub weight: f64,
}

impl LossSecondMoment {
    /// `levels` levels with `history` losses each, and a share `uniform` that is drawn regardless of losses.
    ///
    /// # Errors
    /// [`Error::Count`] without levels or history, or with more than fit in memory's addresses; [`Error::Outside`] unless 0 ≤ `uniform` ≤ 1.
    pub fn new(levels: usize, history: usize, uniform: f64) -> Result<LossSecondMoment, Error> {
        for (name, given) in [("levels", levels), ("history", history)] {
            if given == 0 {
                return Err(Error::Count {
                    name,
                    least: 1,
                    most: usize::MAX,
                    given,
                });
            }
        }
        // As many numbers as a vector may hold.
        let most = isize::MAX as usize / size_of::<f64>() / levels;
        if most < history {
            return Err(Error::Count {
                name: "history",
                least: 1,
                most,
                given: history,
            });
        }
        Ok(LossSecondMoment {
            uniform: Error::within("uniform", 0.0, 1.0, uniform)?,
            history,
            squares: vec![0.0; levels * history],
            seen: vec![0; levels],
        })
    }

    /// Ten losses and a uniform share of 0.001: the values of Nichol and Dhariwal 2021.
    ///
    /// # Errors
    /// [`Error::Count`] without levels.
    pub fn nichol2021(levels: usize) -> Result<LossSecondMoment, Error> {
        LossSecondMoment::new(levels, 10, 0.001)
    }

    /// Takes note of a loss at a level, unweighted.
    ///
    /// # Errors
    /// [`Error::NotFinite`] unless the square of the loss is finite; the history stays as it was.
    ///
    /// # Panics
    /// Unless `level` is one of the levels.
    pub fn record(&mut self, level: usize, loss: f64) -> Result<(), Error> {
        let square = Error::finite("loss squared", loss * loss)?;
        let oldest = self.seen[level] % self.history;
        self.squares[level * self.history + oldest] = square;
        self.seen[level] += 1;
        Ok(())
    }

    /// p_i of each level; their sum is 1.
    pub fn probabilities(&self) -> Vec<f64> {
        let n = self.seen.len() as f64;
        let sizes: Vec<f64> = self
            .squares
            .chunks_exact(self.history)
            .map(|squares| {
                let mean: f64 = squares.iter().map(|s| s / self.history as f64).sum();
                mean.sqrt()
            })
            .collect();
        let total: f64 = sizes.iter().sum();
        let warm = self.seen.iter().all(|&seen| self.history <= seen);
        if !warm || total == 0.0 {
            return vec![1.0 / n; self.seen.len()];
        }
        let learned = (1.0 - self.uniform) / total;
        sizes
            .iter()
            .map(|size| size * learned + self.uniform / n)
            .collect()
    }

    /// The levels at these quantiles: one draw for each uniform number in \[0, 1).
    ///
    /// Levels of probability 0 are never drawn.
    ///
    /// # Panics
    /// If a number is not in \[0, 1).
    pub fn draw(&self, uniforms: &[f64]) -> Vec<DrawnLevel> {
        let probabilities = self.probabilities();
        let cumulative: Vec<f64> = probabilities
            .iter()
            .scan(0.0, |sum, p| {
                *sum += p;
                Some(*sum)
            })
            .collect();
        // The sum may miss 1 by rounding. With u < 1, u · total rounds to less than it, so that no draw falls off the end.
        let total = cumulative[cumulative.len() - 1];
        uniforms
            .iter()
            .map(|&u| {
                assert!(
                    (0.0..1.0).contains(&u),
                    "second moment: a uniform number must lie in [0, 1), got {u}"
                );
                let level = cumulative.partition_point(|&below| below <= u * total);
                DrawnLevel {
                    level,
                    weight: 1.0 / (probabilities.len() as f64 * probabilities[level]),
                }
            })
            .collect()
    }
}
