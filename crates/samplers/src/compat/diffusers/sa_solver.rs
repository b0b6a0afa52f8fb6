//! SASolverScheduler.

use noise_schedule::compat::diffusers as grids;

use super::dpm_solver::variance_type;
use super::lambda_space::{Grid, Source, unclipped};
use super::predictor_corrector::{Pair, Values};
use super::sigmas::spacing;
use super::single_levels::Level;
use super::training::{Defaults, table};
use crate::compat::single::exp;
use crate::compat::{Options, Value};
use crate::dpm_solver::Integrand;
use crate::{Coordinates, Error, Prepared};

/// SASolverScheduler: [`SaSolver`](crate::SaSolver) with a rising start, and τ = 1 at the timesteps 200 to 800 and 0 elsewhere.
///
/// Second order, of the data form, weighs its one difference as [`SoleDifference::Bh1`](crate::SoleDifference::Bh1).
/// It never ends at sigma = 0: the last level is the cleanest of the table, or, of shaped and flow grids, their last one again.
/// The coefficients are computed in `f32` from polynomials in λ about 0, whose values nearly cancel.
pub(super) fn sa_solver<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let table = table(options, Defaults::LINEAR)?;
    let predictor = options.count("predictor_order", 1, 2)?;
    let corrector = options.count("corrector_order", 1, 2)?;
    let algorithms = [
        ("data_prediction", Integrand::Denoised),
        ("noise_prediction", Integrand::Noise),
    ];
    let integrand = options.choice("algorithm_type", &algorithms, "data_prediction")?;
    let lower_order_final = options.flag("lower_order_final", true)?;
    match options.take("tau_func") {
        None | Some(Value::Null) => {}
        Some(other) => {
            return Err(options.refused("tau_func", &other, "null: a function is not an option"));
        }
    }
    variance_type(options)?;
    let last = unclipped(options, &table)?;
    let source = Source::read(options, false)?;
    let spacing = spacing(options, "linspace")?;
    let timesteps = grids::lambda_space(spacing, table.count(), last, steps);
    let (timesteps, sigmas) = source.grid(&table, &timesteps, steps, true, &owner)?;
    let grid = Grid::ending_noisy(timesteps, sigmas, source, &table, &owner)?;
    let thresholding = options.clone().flag("thresholding", false)?;
    let values = Values::read(options, integrand)?;
    if integrand == Integrand::Noise && thresholding {
        return Err(Error::Contradiction {
            owner,
            rule: "thresholding needs algorithm_type data_prediction: with the noise the peer fails",
            given: "thresholding with noise_prediction".to_string(),
        });
    }
    let singles: Vec<Level> = grid
        .sigmas
        .iter()
        .map(|&sigma| Level::new(sigma, source.levels()))
        .collect();
    let count = grid.timesteps.len();
    let mut pairs = Vec::new();
    for index in 0..count {
        let left = if lower_order_final {
            count - index
        } else {
            usize::MAX - 1
        };
        let predicting = predictor.min(left).min(index + 1);
        let correcting = corrector.min(left + 1).min(index + 2);
        let corrected = index + 1 < count;
        if 4 < predicting || corrected && 4 < correcting {
            let given = Value::Number(predictor.max(corrector) as f64);
            return Err(options.refused(
                "predictor_order and corrector_order",
                &given,
                "at most 4",
            ));
        }
        let timestep = grid.timesteps[index];
        let tau = if (200.0..=800.0).contains(&timestep) {
            1.0
        } else {
            0.0
        };
        let step = Interval {
            integrand,
            tau,
            from: singles[index],
            to: singles[index + 1],
        };
        let nodes = |first: usize, order: usize| -> Vec<f32> {
            singles[..=first]
                .iter()
                .rev()
                .take(order)
                .map(|level| level.lambda)
                .collect()
        };
        pairs.push(Pair {
            kept: step.kept(),
            predictor: step.weights(&nodes(index, predicting), Extra::Predictor),
            corrector: corrected
                .then(|| step.weights(&nodes(index + 1, correcting), Extra::Corrector)),
            noise: step.noise(),
        });
    }
    values.prepared(&grid, 1, values.steps(&grid, &singles, &pairs), &owner)
}

/// Whose added term of second order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    Predictor,
    Corrector,
}

/// One step, whose numbers are computed in `f32` with the operations in the peer's order.
#[derive(Clone, Copy, Debug)]
struct Interval {
    integrand: Integrand,
    tau: f32,
    from: Level,
    to: Level,
}

impl Interval {
    /// 1 + τ².
    fn factor(self) -> f32 {
        1.0 + self.tau * self.tau
    }

    fn h(self) -> f32 {
        self.to.lambda - self.from.lambda
    }

    fn kept(self) -> f64 {
        f64::from(match self.integrand {
            Integrand::Denoised => {
                exp(-(self.tau * self.tau) * self.h()) * (self.to.sigma / self.from.sigma)
            }
            Integrand::Noise => self.to.alpha / self.from.alpha,
        })
    }

    fn noise(self) -> f64 {
        f64::from(match self.integrand {
            Integrand::Denoised => {
                self.to.sigma * (1.0 - exp(-2.0 * self.tau * self.tau * self.h())).sqrt()
            }
            // 0 and not NaN where no noise is added in a step to more of it.
            Integrand::Noise if self.tau == 0.0 => 0.0,
            Integrand::Noise => self.tau * self.to.sigma * (exp(2.0 * self.h()) - 1.0).sqrt(),
        })
    }

    /// The weights of the values at these λ, the latest first.
    fn weights(self, nodes: &[f32], extra: Extra) -> Vec<f64> {
        let mut integrals: Vec<f32> = (0..nodes.len())
            .map(|j| {
                let highest = nodes.len() - 1;
                let coefficients = lagrange(nodes, j).into_iter().enumerate();
                coefficients.fold(0.0, |sum, (i, c)| sum + c * self.moment(highest - i))
            })
            .collect();
        if let ([first, second], Integrand::Denoised) = (integrals.as_mut_slice(), self.integrand) {
            let (factor, h) = (self.factor(), self.h());
            let curved = h * factor - 1.0 + exp(factor * -h);
            let end = exp(factor * self.to.lambda);
            let added = match extra {
                Extra::Predictor => {
                    end * (h * h / 2.0 - curved / (factor * factor)) / (self.from.lambda - nodes[1])
                }
                Extra::Corrector => end * (h / 2.0 - curved / (factor * factor * h)),
            };
            *first += added;
            *second -= added;
        }
        let scale = match self.integrand {
            Integrand::Denoised => {
                self.factor() * self.to.sigma * exp(-(self.tau * self.tau) * self.to.lambda)
            }
            Integrand::Noise => -self.factor() * self.to.alpha,
        };
        integrals
            .into_iter()
            .map(|integral| f64::from(scale * integral))
            .collect()
    }

    /// ∫ e^((1 + τ²) λ) λ^power dλ over the step, and with the noise ∫ e^(−λ) λ^power dλ.
    fn moment(self, power: usize) -> f32 {
        let (start, end) = (self.from.lambda, self.to.lambda);
        match self.integrand {
            Integrand::Denoised => {
                let factor = self.factor();
                let (start, end) = (factor * start, factor * end);
                let at = |x: f32| match power {
                    0 => 1.0,
                    1 => x - 1.0,
                    2 => x * x - 2.0 * x + 2.0,
                    _ => x * x * x - 3.0 * (x * x) + 6.0 * x - 6.0,
                };
                let difference = at(end) - at(start) * exp(-(end - start));
                exp(end) * difference / factor.powi(power as i32 + 1)
            }
            Integrand::Noise => {
                let at = |x: f32| match power {
                    0 => 1.0,
                    1 => x + 1.0,
                    2 => x * x + 2.0 * x + 2.0,
                    _ => x * x * x + 3.0 * (x * x) + 6.0 * x + 6.0,
                };
                exp(-end) * (at(start) * exp(end - start) - at(end))
            }
        }
    }
}

/// The coefficients of the Lagrange polynomial of node j, highest power first.
fn lagrange(nodes: &[f32], j: usize) -> Vec<f32> {
    let others: Vec<f32> = nodes
        .iter()
        .enumerate()
        .filter(|(k, _)| *k != j)
        .map(|(_, &node)| node)
        .collect();
    let Some(divisor) = others
        .iter()
        .map(|node| nodes[j] - node)
        .reduce(|a, b| a * b)
    else {
        return vec![1.0];
    };
    let coefficients = match *others.as_slice() {
        [a] => vec![1.0, -a],
        [a, b] => vec![1.0, -a - b, a * b],
        [a, b, c] => vec![1.0, -a - b - c, a * b + a * c + b * c, -a * b * c],
        _ => unreachable!("at most four nodes"),
    };
    coefficients
        .into_iter()
        .map(|coefficient| coefficient / divisor)
        .collect()
}
