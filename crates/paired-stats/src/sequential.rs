//! A few looks at the data, planned before the first run, that share one level.

use std::f64::consts::TAU;

use crate::distribution::{normal_cdf, normal_critical};
use crate::error::Error;
use crate::moments::check_open_unit;
use crate::quadrature::gauss_legendre;

/// Nodes over the region where a study goes on, for each of the finest steps that fit into one standard
/// deviation of the whole; a boundary of z = 8 has a node for each 0.7 of them.
const NODES: f64 = 24.0;

/// Relative error of alpha at which a boundary counts as found, and the most steps to it.
const TOLERANCE: f64 = 1e-10;
const STEPS: usize = 60;

/// Looks at n_1 < … < n_K seeds, whose boundaries c · (n_k/n_K)^(shape − 1/2) share one level.
///
/// Looking again after every few seeds at 5 % each time rejects far more than 5 % of true nulls
/// (27 % for a look after each of 3 to 30 seeds). Here look k has its own nominal level
/// 2Φ(−c (n_k/n_K)^(shape − 1/2)), with c such that all looks together reject a share alpha of true
/// nulls. Shape 0 is O'Brien & Fleming's (1979), which hardly spends anything early; shape 1/2 is
/// Pocock's (1977), which spends alike at each look.
///
/// The levels hold for normal sums and are applied to the p of a t test (the significance-level
/// approach of Jennison & Turnbull 2000); with looks at 8, 16 and 30 seeds 5.1 % of true nulls are rejected.
///
/// Source: Wang & Tsiatis, *Approximately optimal one-parameter boundaries for group sequential
/// trials* (1987).
///
/// ```
/// use paired_stats::Looks;
///
/// let looks = Looks::wang_tsiatis(&[8, 16, 30], 0.125)?;
/// let levels: Vec<f64> = (0..3).map(|k| looks.look(k).level(0.05)).collect::<Result<_, _>>()?;
/// assert!(levels[0] < 0.001 && levels[1] < 0.012 && levels[2] < 0.045);
/// # Ok::<(), paired_stats::Error>(())
/// ```
#[doc(alias = "group sequential")]
#[derive(Clone, Debug, PartialEq)]
pub struct Looks {
    seeds: Vec<usize>,
    /// (n_k/n_K)^(shape − 1/2).
    shape: Vec<f64>,
    /// The standard deviation that the seeds between two looks add to the sum; 1 in all.
    steps: Vec<f64>,
    /// Nodes and weights of the quadrature between two looks.
    nodes: Vec<(f64, f64)>,
}

/// One of the planned [`Looks`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look<'a> {
    looks: &'a Looks,
    index: usize,
}

impl Looks {
    /// Looks at these numbers of seeds.
    ///
    /// # Errors
    ///
    /// No look, numbers of seeds that do not rise or begin below 2, or a shape outside
    /// \[0, 1/2\].
    pub fn wang_tsiatis(seeds: &[usize], shape: f64) -> Result<Self, Error> {
        if !(0.0..=0.5).contains(&shape) {
            return Err(Error::OutOfRange {
                name: "shape",
                range: "[0, 1/2]",
                value: shape,
            });
        }
        let rises = seeds.windows(2).all(|pair| pair[0] < pair[1]);
        let last = match (seeds.first(), seeds.last()) {
            (Some(2..), Some(last)) if rises => *last as f64,
            _ => {
                return Err(Error::Looks {
                    seeds: seeds.to_vec(),
                });
            }
        };
        let before = [0].iter().chain(seeds);
        let steps: Vec<f64> = before
            .zip(seeds)
            .map(|(before, n)| ((n - before) as f64 / last).sqrt())
            .collect();
        let finest = steps.iter().copied().fold(1.0, f64::min);
        Ok(Self {
            nodes: gauss_legendre((NODES / finest).ceil() as usize),
            steps,
            seeds: seeds.to_vec(),
            shape: seeds
                .iter()
                .map(|n| (*n as f64 / last).powf(shape - 0.5))
                .collect(),
        })
    }

    /// The numbers of seeds at which the study is looked at, rising.
    pub fn seeds(&self) -> &[usize] {
        &self.seeds
    }

    /// Look `index`, counted from 0.
    ///
    /// # Panics
    ///
    /// When there are not so many looks.
    pub fn look(&self, index: usize) -> Look<'_> {
        assert!(
            index < self.seeds.len(),
            "look {index} of {}",
            self.seeds.len()
        );
        Look { looks: self, index }
    }

    /// The share of true nulls that has been rejected at the end of each look, at `alpha` in all.
    ///
    /// # Errors
    ///
    /// An alpha outside (0, 1).
    pub fn spent(&self, alpha: f64) -> Result<Vec<f64>, Error> {
        Ok(self.crossed(self.boundary(alpha)?))
    }

    /// The c at which all looks together reject a share `alpha` of true nulls.
    fn boundary(&self, alpha: f64) -> Result<f64, Error> {
        check_open_unit("alpha", alpha)?;
        let excess = |c: f64| (self.crossed(c)[self.seeds.len() - 1] / alpha).ln();
        // The last look alone rejects 2Φ(−c), and each of the K looks at most that.
        let (mut low, mut high) = (
            normal_critical(alpha),
            normal_critical(alpha / self.seeds.len() as f64),
        );
        let (mut above, mut below) = (excess(low), excess(high));
        // Ridders' method: the middle tells how the function bends, and false position allows for it.
        for _ in 0..STEPS {
            if above <= TOLERANCE {
                return Ok(low);
            }
            let middle = 0.5 * (low + high);
            let bend = excess(middle);
            let next = middle + (middle - low) * bend / (bend * bend - above * below).sqrt();
            let found = excess(next);
            if found.abs() < TOLERANCE {
                return Ok(next);
            }
            for (c, value) in [(middle, bend), (next, found)] {
                if 0.0 < value && low < c {
                    (low, above) = (c, value);
                } else if value <= 0.0 && c < high {
                    (high, below) = (c, value);
                }
            }
        }
        Ok(high)
    }

    /// P(some |Z_j| >= c · shape_j with j <= k) for each look k, by the recursion over the density
    /// of the sum where the study goes on (Armitage, McPherson & Rowe 1969).
    fn crossed(&self, c: f64) -> Vec<f64> {
        let last = self.seeds[self.seeds.len() - 1] as f64;
        // Where the sum may be when the study goes on, each point with its probability.
        let mut sums = vec![(0.0, 1.0)];
        let mut total = 0.0;
        let mut crossed = Vec::with_capacity(self.steps.len());
        for ((n, shape), step) in self.seeds.iter().zip(&self.shape).zip(&self.steps) {
            let reach = c * shape * (*n as f64 / last).sqrt();
            let outside = |x: f64| normal_cdf((-reach - x) / step) + normal_cdf((x - reach) / step);
            total += sums.iter().map(|(x, mass)| mass * outside(*x)).sum::<f64>();
            crossed.push(total.min(1.0));
            if crossed.len() == self.seeds.len() {
                break;
            }
            sums = self
                .nodes
                .iter()
                .map(|(node, weight)| {
                    let x = reach * node;
                    let arrived = sums.iter().map(|(y, mass)| {
                        mass * (-0.5 * ((x - y) / step).powi(2)).exp() / (step * TAU.sqrt())
                    });
                    (x, reach * weight * arrived.sum::<f64>())
                })
                .collect();
        }
        crossed
    }
}

impl Look<'_> {
    /// The number of seeds at this look.
    pub fn seeds(&self) -> usize {
        self.looks.seeds[self.index]
    }

    /// Position of the look, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether it is the last one planned.
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.looks.seeds.len()
    }

    /// The nominal two-sided level of this look, where all of them share `alpha`.
    ///
    /// An interval at confidence 1 − level, taken at each look, holds at all of them together with
    /// confidence 1 − alpha (a repeated interval).
    ///
    /// # Errors
    ///
    /// An alpha outside (0, 1).
    pub fn level(&self, alpha: f64) -> Result<f64, Error> {
        let c = self.looks.boundary(alpha)?;
        Ok(2.0 * normal_cdf(-c * self.looks.shape[self.index]))
    }

    /// The smallest alpha to be shared at which a nominal p at this look rejects; rises with `p`.
    ///
    /// Repeated p-values are comparable over looks and enter [`holm`](crate::holm) like any others.
    ///
    /// Source: Jennison & Turnbull, *Group Sequential Methods* (2000), chapter 9.
    ///
    /// # Errors
    ///
    /// A p outside \[0, 1\].
    pub fn repeated_p(&self, p: f64) -> Result<f64, Error> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::OutOfRange {
                name: "p",
                range: "[0, 1]",
                value: p,
            });
        }
        if p == 0.0 || self.looks.seeds.len() == 1 {
            return Ok(p);
        }
        let c = normal_critical(p) / self.looks.shape[self.index];
        Ok(self.looks.crossed(c)[self.looks.seeds.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The z of the last look.
    fn last_z(seeds: &[usize], shape: f64, alpha: f64) -> f64 {
        let looks = Looks::wang_tsiatis(seeds, shape).unwrap();
        let level = looks.look(seeds.len() - 1).level(alpha).unwrap();
        normal_critical(level)
    }

    #[test]
    fn equal_steps_give_the_published_boundaries() {
        // Jennison & Turnbull (2000), tables 2.1 and 2.3, two-sided.
        for (looks, alpha, pocock, obrien_fleming) in [
            (2, 0.05, 2.178, 1.977),
            (3, 0.05, 2.289, 2.004),
            (5, 0.05, 2.413, 2.040),
            (10, 0.05, 2.555, 2.087),
            (3, 0.01, 2.873, 2.595),
        ] {
            let seeds: Vec<usize> = (1..=looks).map(|k| 10 * k).collect();
            for (shape, expected) in [(0.5, pocock), (0.0, obrien_fleming)] {
                let found = last_z(&seeds, shape, alpha);
                assert!((found - expected).abs() < 6e-4, "{looks} looks: {found}");
            }
        }
    }

    #[test]
    fn one_look_is_no_look() {
        let looks = Looks::wang_tsiatis(&[10], 0.125).unwrap();
        assert!((looks.look(0).level(0.05).unwrap() - 0.05).abs() < 1e-9);
        assert_eq!(looks.look(0).repeated_p(0.03).unwrap(), 0.03);
        assert!(looks.look(0).is_last());
    }

    #[test]
    fn repeated_p_undoes_level_and_is_spent_at_the_end() {
        let looks = Looks::wang_tsiatis(&[8, 16, 30], 0.125).unwrap();
        for alpha in [0.05, 0.05 / 3.0, 0.05 / 6.0, 1e-4] {
            for index in 0..3 {
                let look = looks.look(index);
                let back = look.repeated_p(look.level(alpha).unwrap()).unwrap();
                assert!((back / alpha - 1.0).abs() < 1e-6, "{back} vs {alpha}");
            }
            let spent = looks.spent(alpha).unwrap();
            let first = looks.look(0).level(alpha).unwrap();
            assert!((spent[0] / first - 1.0).abs() < 1e-6, "{spent:?}");
            assert!((spent[2] / alpha - 1.0).abs() < 1e-6, "{spent:?}");
        }
        assert_eq!(looks.look(1).repeated_p(0.0).unwrap(), 0.0);
        assert_eq!(looks.look(1).repeated_p(1.0).unwrap(), 1.0);
    }

    #[test]
    fn refusals() {
        for seeds in [&[][..], &[1, 8], &[8, 8], &[16, 8]] {
            assert!(matches!(
                Looks::wang_tsiatis(seeds, 0.0),
                Err(Error::Looks { .. })
            ));
        }
        assert!(Looks::wang_tsiatis(&[8, 16], 0.6).is_err());
        assert!(Looks::wang_tsiatis(&[8, 16], f64::NAN).is_err());
    }
}
