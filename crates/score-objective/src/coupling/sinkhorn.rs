//! Entropic couplings by Sinkhorn's iteration on logarithms.

use ndarray::{Array2, ArrayView1, ArrayView2};

use super::check;
use crate::Error;

/// How strictly a plan keeps the weights of the rows and columns, which are uniform.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Marginals {
    /// Rows have 1/n and columns 1/m of the mass.
    Exact,
    /// Deviations cost `penalty` · KL per side, in units of the cost; far outliers lose their partners
    /// (unbalanced transport; Chizat et al. 2018, <https://arxiv.org/abs/1607.05816>).
    #[doc(alias = "unbalanced")]
    Relaxed {
        /// In (0, ∞).
        penalty: f64,
    },
}

/// Entropic optimal transport: min Σ π C + ε KL(π | uniform) (Cuturi 2013, <https://arxiv.org/abs/1306.0895>).
///
/// Iterates potentials, which are logarithms: no ε underflows.
/// ε → 0 is [`assignment`](super::assignment), ε → ∞ the independent coupling.
/// Where ε is small against the differences of costs, the movement falls like 1/k in k iterations: ask for 1e-3, which is
/// plenty for draws, or take the assignment.
///
/// ```
/// use ndarray::array;
/// use score_objective::coupling::{Marginals, Sinkhorn};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let cost = array![[0.0, 1.0], [1.0, 0.0]];
/// let plan = Sinkhorn::new(0.5, Marginals::Exact, 1e-9, 1000)?.plan(cost.view())?;
/// let stay = 1.0 / (1.0 + (-2.0_f64).exp());
/// assert!((plan.mass()[[0, 0]] - 0.5 * stay).abs() < 1e-9);
/// // One partner per row, by inverting the row's distribution at a uniform number.
/// assert_eq!(plan.partners(&[0.5, 0.5]), [0, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sinkhorn {
    regularisation: f64,
    marginals: Marginals,
    tolerance: f64,
    iterations: usize,
}

impl Sinkhorn {
    /// The problem with ε = `regularisation` in units of the cost, iterated until no potential moves by more than
    /// `tolerance` · ε, which bounds the relative error of the marginals, at most `iterations` times.
    ///
    /// # Errors
    /// [`Error::NotPositive`] unless ε, `tolerance` and the penalty of relaxed marginals are positive and finite,
    /// [`Error::Count`] without iterations.
    pub fn new(
        regularisation: f64,
        marginals: Marginals,
        tolerance: f64,
        iterations: usize,
    ) -> Result<Sinkhorn, Error> {
        if let Marginals::Relaxed { penalty } = marginals {
            Error::positive("penalty", penalty)?;
        }
        if iterations == 0 {
            return Err(Error::Count {
                name: "iterations",
                least: 1,
                most: usize::MAX,
                given: 0,
            });
        }
        Ok(Sinkhorn {
            regularisation: Error::positive("regularisation", regularisation)?,
            marginals,
            tolerance: Error::positive("tolerance", tolerance)?,
            iterations,
        })
    }

    /// The optimal plan for a cost [n, m].
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a cost is not finite, in units of ε too, [`Error::Count`] if there are none, [`Error::NotConverged`] if the
    /// tolerance is not reached.
    pub fn plan(&self, cost: ArrayView2<'_, f64>) -> Result<Plan, Error> {
        check("cost", cost)?;
        let (rows, columns) = cost.dim();
        if cost.is_empty() {
            return Err(Error::Count {
                name: "costs",
                least: 1,
                most: usize::MAX,
                given: 0,
            });
        }
        // In units of the regularisation from here on.
        let gain = cost.mapv(|value| -value / self.regularisation);
        check("cost / regularisation", gain.view())?;
        let damping = match self.marginals {
            Marginals::Exact => 1.0,
            Marginals::Relaxed { penalty } => penalty / (penalty + self.regularisation),
        };
        let uniform = -((rows * columns) as f64).ln();
        let (mut of_row, mut of_column) = (vec![0.0; rows], vec![0.0; columns]);
        let mut movement = f64::INFINITY;
        for _ in 0..self.iterations {
            movement = 0.0;
            for (potential, gains) in of_column.iter_mut().zip(gain.columns()) {
                let next = -damping * log_mean_exp(gains, &of_row);
                movement = f64::max(movement, (next - *potential).abs());
                *potential = next;
            }
            for (potential, gains) in of_row.iter_mut().zip(gain.rows()) {
                let next = -damping * log_mean_exp(gains, &of_column);
                movement = f64::max(movement, (next - *potential).abs());
                *potential = next;
            }
            if movement <= self.tolerance {
                let logarithm = Array2::from_shape_fn((rows, columns), |(i, j)| {
                    gain[[i, j]] + of_row[i] + of_column[j] + uniform
                });
                let mass = logarithm.mapv(f64::exp);
                return Ok(Plan { mass, logarithm });
            }
        }
        Err(Error::NotConverged {
            name: "Sinkhorn's iteration",
            iterations: self.iterations,
            movement,
        })
    }
}

/// How much of each row's mass goes to each column; the rows of exact marginals are exact to rounding.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    mass: Array2<f64>,
    /// Of the mass: draws need it where the mass itself underflows.
    logarithm: Array2<f64>,
}

impl Plan {
    /// The mass that row i sends to column j, ≥ 0: [n, m], summing to 1 where marginals are exact.
    pub fn mass(&self) -> ArrayView2<'_, f64> {
        self.mass.view()
    }

    /// For each row a column, drawn from the row's share of the plan by inverting its distribution at a uniform number in
    /// [0, 1).
    ///
    /// Every row occurs once; columns may repeat.
    ///
    /// # Panics
    /// Unless there is one number per row, each in [0, 1).
    pub fn partners(&self, uniforms: &[f64]) -> Vec<usize> {
        assert_eq!(uniforms.len(), self.mass.nrows(), "one number per row");
        let rows = self.logarithm.rows().into_iter().zip(uniforms);
        rows.map(|(row, &u)| invert(&running_sum(row.iter()), u))
            .collect()
    }

    /// Pairs (row, column), one per uniform number in [0, 1), drawn from the whole plan with replacement.
    ///
    /// The number inverts the distribution over pairs in row-major order.
    /// This is how Tong et al. 2023 draw minibatches; both rows and columns may repeat.
    ///
    /// # Panics
    /// Unless each number lies in [0, 1).
    pub fn pairs(&self, uniforms: &[f64]) -> Vec<(usize, usize)> {
        let sums = running_sum(self.logarithm.iter());
        let columns = self.mass.ncols();
        let cells = uniforms.iter().map(|&u| invert(&sums, u));
        cells.map(|cell| (cell / columns, cell % columns)).collect()
    }
}

/// The running sums of the exponentials, in units of the largest.
fn running_sum<'a>(logarithms: impl Iterator<Item = &'a f64> + Clone) -> Vec<f64> {
    let largest = logarithms
        .clone()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let sums = logarithms.scan(0.0, |sum, logarithm| {
        *sum += (logarithm - largest).exp();
        Some(*sum)
    });
    sums.collect()
}

/// The first place whose running sum exceeds u · total: never one without mass.
fn invert(sums: &[f64], u: f64) -> usize {
    assert!(
        (0.0..1.0).contains(&u),
        "a uniform number must lie in [0, 1), not {u}"
    );
    // Below the total even after rounding, as u < 1 <= total.
    let aim = u * sums[sums.len() - 1];
    sums.partition_point(|&sum| sum <= aim)
}

/// ln of the mean of exp(gain + potential).
fn log_mean_exp(gains: ArrayView1<'_, f64>, potentials: &[f64]) -> f64 {
    let terms = || {
        gains
            .iter()
            .zip(potentials)
            .map(|(gain, potential)| gain + potential)
    };
    let largest = terms().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms().map(|term| (term - largest).exp()).sum();
    largest + (sum / potentials.len() as f64).ln()
}
