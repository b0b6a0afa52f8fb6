//! Embedded pairs: two results of different order from the same evaluations.

use noise_schedule::Kernel;

use crate::VectorSpace;
use crate::dpm_solver::{Exponential, Integrand};

/// A pair of methods in λ = ln(alpha/sigma) whose difference estimates the error of a step; the better result is kept.
///
/// All of them advance y = x/alpha, for which the flow is dy/dλ = D − y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pair {
    /// The Runge–Kutta pair of orders 5 and 4 with seven stages, of which the last is the first of the next step:
    /// six evaluations per attempt, and one more for the first.
    ///
    /// Dormand & Prince 1980, A family of embedded Runge–Kutta formulae, table 2 (RK5(4)7M).
    #[doc(alias = "rk45")]
    #[doc(alias = "dopri5")]
    DormandPrince,
    /// DPM-Solver of order 2, with its stage in the middle of the step, and of order 1: two evaluations per attempt, one after a rejection.
    ///
    /// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), adaptive DPM-Solver-12.
    DpmSolver12(Integrand),
    /// DPM-Solver of order 3, with its stages at 1/3 and 2/3, and of order 2: three evaluations per attempt, two after a rejection.
    ///
    /// Lu et al. 2022, adaptive DPM-Solver-23.
    #[doc(alias = "dpm_adaptive")]
    DpmSolver23(Integrand),
}

impl Pair {
    /// The power of the length of a step that its estimated error is proportional to.
    pub(super) fn exponent(self) -> f64 {
        match self {
            Pair::DormandPrince => 5.0,
            Pair::DpmSolver12(_) => 2.0,
            Pair::DpmSolver23(_) => 3.0,
        }
    }

    /// Whether the last stage of a step lies at its result, and so is the first stage of the next step.
    pub(super) fn first_is_last(self) -> bool {
        self == Pair::DormandPrince
    }

    /// What the pair integrates, from y = x/alpha and D at the place λ.
    pub(super) fn value<X: VectorSpace>(self, place: f64, y: &X, denoised: &X) -> X {
        match self {
            Pair::DormandPrince => X::axpby(1.0, denoised, -1.0, y),
            Pair::DpmSolver12(integrand) | Pair::DpmSolver23(integrand) => {
                integrand.value(y, denoised, at(place))
            }
        }
    }

    /// The coefficients of the step between two places.
    pub(super) fn attempt(self, from: f64, to: f64) -> Attempt {
        match self {
            Pair::DormandPrince => dormand_prince(from, to),
            Pair::DpmSolver12(integrand) => {
                let middle = from + 0.5 * (to - from);
                let exponential = |to| Exponential::new(integrand, 0.0, at(from), at(to));
                let (half, whole) = (exponential(middle), exponential(to));
                let (state, weight) = (whole.state, whole.weights[0]);
                Attempt {
                    stages: vec![(middle, Combination::new(half.state, [half.weights[0]]))],
                    // The midpoint rule takes the whole slope at the middle.
                    high: Combination::new(state, [0.0, weight]),
                    low: Combination::new(state, [weight]),
                }
            }
            Pair::DpmSolver23(integrand) => {
                let place = |fraction: f64| from + fraction * (to - from);
                let exponential = |to| Exponential::new(integrand, 0.0, at(from), at(to));
                let (near, far) = (place(1.0 / 3.0), place(2.0 / 3.0));
                let (short, long, whole) = (exponential(near), exponential(far), exponential(to));
                let (state, weight) = (whole.state, whole.weights[0]);
                // Slopes in units of the step: of the second stage, of order 3, and of the midpoint rule.
                let bend = 2.0 * long.weights[1];
                let (third, second) = (1.5 * whole.weights[1], 1.5 * weight);
                Attempt {
                    stages: vec![
                        (near, Combination::new(short.state, [short.weights[0]])),
                        (
                            far,
                            Combination::new(long.state, [long.weights[0] - bend, bend]),
                        ),
                    ],
                    high: Combination::new(state, [weight - third, 0.0, third]),
                    low: Combination::new(state, [weight - second, second]),
                }
            }
        }
    }
}

/// One step of a pair, as numbers.
pub(super) struct Attempt {
    /// The place of every stage but the first, and its state.
    pub(super) stages: Vec<(f64, Combination)>,
    pub(super) high: Combination,
    pub(super) low: Combination,
}

/// state y + Σ weight_i v_i, where v_i is the value at stage i.
pub(super) struct Combination {
    state: f64,
    weights: Vec<f64>,
}

impl Combination {
    fn new(state: f64, weights: impl Into<Vec<f64>>) -> Combination {
        Combination {
            state,
            weights: weights.into(),
        }
    }

    /// In one pass; values beyond the weights have none.
    pub(super) fn of<X: VectorSpace>(&self, y: &X, values: &[X]) -> X {
        let weighted = self.weights.iter().copied().zip(values);
        let terms = weighted.filter(|(weight, _)| *weight != 0.0);
        let terms: Vec<(f64, &X)> = [(self.state, y)].into_iter().chain(terms).collect();
        X::combine(&terms)
    }
}

/// The level alpha = 1 at this λ, where x is y.
fn at(place: f64) -> Kernel {
    Kernel::new(1.0, (-place).exp()).expect("λ between two finite ones")
}

fn dormand_prince(from: f64, to: f64) -> Attempt {
    let h = to - from;
    let row = |weights: &[f64]| {
        Combination::new(
            1.0,
            weights.iter().map(|weight| h * weight).collect::<Vec<_>>(),
        )
    };
    let fifth = [
        35.0 / 384.0,
        0.0,
        500.0 / 1113.0,
        125.0 / 192.0,
        -2187.0 / 6784.0,
        11.0 / 84.0,
    ];
    let fourth = [
        5179.0 / 57600.0,
        0.0,
        7571.0 / 16695.0,
        393.0 / 640.0,
        -92097.0 / 339_200.0,
        187.0 / 2100.0,
        1.0 / 40.0,
    ];
    let stages: [(f64, &[f64]); 5] = [
        (0.2, &[0.2]),
        (0.3, &[3.0 / 40.0, 9.0 / 40.0]),
        (0.8, &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0]),
        (
            8.0 / 9.0,
            &[
                19372.0 / 6561.0,
                -25360.0 / 2187.0,
                64448.0 / 6561.0,
                -212.0 / 729.0,
            ],
        ),
        (
            1.0,
            &[
                9017.0 / 3168.0,
                -355.0 / 33.0,
                46732.0 / 5247.0,
                49.0 / 176.0,
                -5103.0 / 18656.0,
            ],
        ),
    ];
    let inner = stages.iter().map(|(fraction, weights)| {
        let place = if *fraction == 1.0 {
            to
        } else {
            from + fraction * h
        };
        (place, row(weights))
    });
    Attempt {
        stages: inner.chain([(to, row(&fifth))]).collect(),
        high: row(&fifth),
        low: row(&fourth),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    /// A flow that is neither linear nor autonomous.
    fn denoised(place: f64, y: &Array1<f64>) -> Array1<f64> {
        y.mapv(|y| (1.3 * y).tanh() + 0.4 * (place + 0.5 * y).sin())
    }

    /// Both results of one step.
    fn step(pair: Pair, y: &Array1<f64>, from: f64, to: f64) -> [Array1<f64>; 2] {
        let attempt = pair.attempt(from, to);
        let value = |place, y: &Array1<f64>| pair.value(place, y, &denoised(place, y));
        let mut values = vec![value(from, y)];
        for (place, state) in &attempt.stages {
            values.push(value(*place, &state.of(y, &values)));
        }
        if pair.first_is_last() {
            let last = attempt.stages.last().unwrap();
            assert_eq!(last.0, to);
            assert_eq!(last.1.of(y, &values), attempt.high.of(y, &values));
        }
        [attempt.high.of(y, &values), attempt.low.of(y, &values)]
    }

    #[test]
    fn both_results_have_their_orders() {
        let (y, from) = (array![0.7, -0.2, 1.9], 0.3);
        for (pair, orders) in [
            (Pair::DormandPrince, [5.0, 4.0]),
            (Pair::DpmSolver12(Integrand::Denoised), [2.0, 1.0]),
            (Pair::DpmSolver12(Integrand::Noise), [2.0, 1.0]),
            (Pair::DpmSolver23(Integrand::Denoised), [3.0, 2.0]),
            (Pair::DpmSolver23(Integrand::Noise), [3.0, 2.0]),
        ] {
            let errors = |h: f64| {
                let exact = (0..64).fold(y.clone(), |y, i| {
                    let place = |i| from + h * f64::from(i) / 64.0;
                    let [high, _] = step(Pair::DormandPrince, &y, place(i), place(i + 1));
                    high
                });
                step(pair, &y, from, from + h)
                    .map(|y| (y - &exact).fold(0.0, |worst: f64, d| worst.max(d.abs())))
            };
            // The error of one step is of one order more; what comes after differs in sign up and down.
            for (which, order) in orders.into_iter().enumerate() {
                let slope = |h: f64| (errors(h)[which] / errors(0.5 * h)[which]).log2();
                let mean = 0.5 * (slope(0.2) + slope(-0.2));
                assert!((mean - order - 1.0).abs() < 0.3, "{pair:?}: {order} {mean}");
            }
            assert_eq!(pair.exponent(), orders[1] + 1.0);
        }
    }
}
