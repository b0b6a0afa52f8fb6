//! UniPCMultistepScheduler.

use noise_schedule::compat::diffusers as grids;
use noise_schedule::single::Table;

use super::lambda_space::{Final, Grid, Levels};
use super::predictor_corrector::{Pair, Values};
use super::sigmas::{Shape, spacing, timesteps_of};
use super::single_levels::Level;
use super::training::{Defaults, floored_table};
use crate::compat::single::exp_m1;
use crate::compat::{Options, Value};
use crate::dpm_solver::Integrand;
use crate::{Coordinates, Error, Prepared};

/// UniPCMultistepScheduler: [`UniPc`](crate::UniPc) with a rising start.
///
/// Its predictor of order 2 has the weight ½ and its corrector of order 1, too, in place of the solution of their equations.
/// The coefficients are computed in `f32`, whose rounding shows in the higher orders.
/// A grid with `final_sigmas_type` sigma_min ends with a step of no length if it is shaped or a flow's.
/// `bh1` cannot end at sigma = 0, and neither can the noise form.
pub(super) fn unipc<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let owner = options.owner().to_string();
    let table = floored_table(options, Defaults::LINEAR)?;
    let order = options.count("solver_order", 1, 2)?;
    let data = options.flag("predict_x0", true)?;
    let integrand = if data {
        Integrand::Denoised
    } else {
        Integrand::Noise
    };
    let known = [
        ("bh1", Scale::Bh1),
        ("bh2", Scale::Bh2),
        // Those of other classes are taken for bh2.
        ("midpoint", Scale::Bh2),
        ("heun", Scale::Bh2),
        ("logrho", Scale::Bh2),
    ];
    let scale = options.choice("solver_type", &known, "bh2")?;
    let lower_order_final = options.flag("lower_order_final", true)?;
    let uncorrected = options.numbers("disable_corrector")?.unwrap_or_default();
    match options.take("solver_p") {
        None | Some(Value::Null) => {}
        Some(other) => {
            return Err(options.refused("solver_p", &other, "null: a scheduler is not an option"));
        }
    }
    let (grid, levels) = grid(options, &table, steps)?;
    let values = Values::read(options, integrand)?;
    let singles: Vec<Level> = grid
        .sigmas
        .iter()
        .map(|&sigma| Level::new(sigma, levels))
        .collect();
    let count = grid.timesteps.len();
    let pairs: Vec<Pair> = (0..count)
        .map(|index| {
            let most = if lower_order_final {
                order.min(count - index)
            } else {
                order
            };
            let order = most.min(index + 1);
            let known: Vec<Level> = singles[..=index]
                .iter()
                .rev()
                .take(order)
                .copied()
                .collect();
            let formula = Formula::new(integrand, scale, &known, singles[index + 1]);
            Pair {
                kept: formula.kept,
                predictor: formula.predictor(),
                corrector: (index + 1 < count && !uncorrected.contains(&(index as f64)))
                    .then(|| formula.corrector()),
                noise: 0.0,
            }
        })
        .collect();
    values.prepared(
        &grid,
        order as u32,
        values.steps(&grid, &singles, &pairs),
        &owner,
    )
}

/// Reads the options of the grid.
///
/// `use_flow_sigmas` with Karras sigmas maps these to a flow; with the other shapes they are taken as they are.
fn grid(options: &mut Options, table: &Table, steps: usize) -> Result<(Grid, Levels), Error> {
    let owner = options.owner().to_string();
    let shape = Shape::read(options)?;
    let flow = options.flag("use_flow_sigmas", false)?;
    let shift = options.number("flow_shift", 1.0)?;
    let spacing = spacing(options, "linspace")?;
    let end = Final::read(options)?;
    let sigmas = table.sigmas();
    let (first, last) = (f64::from(sigmas[0]), f64::from(sigmas[sigmas.len() - 1]));
    let low = options.maybe_number("sigma_min")?.unwrap_or(first);
    let high = options.maybe_number("sigma_max")?.unwrap_or(last);
    let terminal = options.maybe_number("shift_terminal")?;
    options.choice(
        "time_shift_type",
        &[("exponential", ()), ("linear", ())],
        "exponential",
    )?;
    if options.flag("use_dynamic_shifting", false)? {
        let given = Value::Bool(true);
        return Err(options.refused(
            "use_dynamic_shifting",
            &given,
            "false: the peer then needs a mu, which is no option",
        ));
    }
    if terminal.is_some() && !flow {
        return Err(Error::Contradiction {
            owner,
            rule: "shift_terminal needs use_flow_sigmas",
            given: format!("shift_terminal {terminal:?} without it"),
        });
    }
    let levels = if flow {
        Levels::Flow
    } else {
        Levels::Preserving
    };
    let train = table.count() as f64;
    let cut = |sigmas: &[f64]| sigmas.iter().map(|sigma| (sigma * train).trunc()).collect();
    let (timesteps, mut grid): (Vec<f64>, Vec<f64>) =
        match (shape.sigmas((low, high), steps, &owner)?, flow) {
            (Some(shaped), true) if shape == Shape::Karras => {
                let grid: Vec<f64> = shaped.iter().map(|sigma| sigma / (sigma + 1.0)).collect();
                (cut(&grid), grid)
            }
            (Some(shaped), _) => {
                let exact = timesteps_of(&shaped, table, &owner)?.into_iter();
                let whole = |t: f64| {
                    if shape == Shape::Karras {
                        t.round_ties_even()
                    } else {
                        t.trunc()
                    }
                };
                (exact.map(whole).collect(), shaped)
            }
            (None, true) => {
                let even = grids::flow_from_noise(table.count(), steps).into_iter();
                let mut grid: Vec<f64> =
                    even.map(|sigma| grids::flow_shift(sigma, shift)).collect();
                if let Some(terminal) = terminal.filter(|terminal| *terminal != 0.0) {
                    grids::stretch_to_terminal(&mut grid, terminal);
                }
                // λ would not be finite at 1.
                if (grid[0] - 1.0).abs() < 1e-6 {
                    grid[0] -= 1e-6;
                }
                (cut(&grid), grid)
            }
            (None, false) => {
                let timesteps =
                    grids::lambda_space(spacing, table.count(), table.count(), steps).into_iter();
                timesteps
                    .map(|t| (t as f64, grids::interpolate(t as f64, &sigmas)))
                    .unzip()
            }
        };
    grid.push(match end {
        Final::Zero => 0.0,
        Final::SigmaMin if shape == Shape::Native && !flow => first,
        Final::SigmaMin => grid[grid.len() - 1],
    });
    Ok((Grid::new(timesteps, grid, levels, &owner)?, levels))
}

/// `solver_type`: the function B(h) that scales the differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Bh1,
    Bh2,
}

/// The numbers of one step.
struct Formula {
    kept: f64,
    /// Weight of the latest value in the step of order 1.
    first: f64,
    /// What multiplies the sum of the differences.
    scale: f64,
    /// Distances in units of the step: of the levels before the latest, and 1 for the new one.
    ratios: Vec<f32>,
    /// The right sides of the conditions of order.
    conditions: Vec<f32>,
}

impl Formula {
    /// The step from the first of these levels, which are those remembered, the latest first; as many as its order.
    fn new(integrand: Integrand, scale: Scale, known: &[Level], to: Level) -> Formula {
        let from = known[0];
        let h = to.lambda - from.lambda;
        let before = known[1..]
            .iter()
            .map(|level| (level.lambda - from.lambda) / h);
        let (argument, kept, end) = match integrand {
            Integrand::Denoised => (-h, to.sigma / from.sigma, to.alpha),
            Integrand::Noise => (h, to.alpha / from.alpha, to.sigma),
        };
        let grown = exp_m1(argument);
        let divisor = match scale {
            Scale::Bh1 => argument,
            Scale::Bh2 => grown,
        };
        let (mut phi, mut factorial) = (grown / argument - 1.0, 1.0_f32);
        let conditions = (1..=known.len())
            .map(|i| {
                let condition = phi * factorial / divisor;
                factorial *= (i + 1) as f32;
                phi = phi / argument - (1.0 / f64::from(factorial)) as f32;
                condition
            })
            .collect();
        Formula {
            kept: f64::from(kept),
            first: -f64::from(end * grown),
            scale: -f64::from(end * divisor),
            ratios: before.chain([1.0]).collect(),
            conditions,
        }
    }

    fn predictor(&self) -> Vec<f64> {
        let order = self.ratios.len();
        let shares = match order {
            1 => Vec::new(),
            2 => vec![0.5],
            _ => solve(&self.ratios[..order - 1], &self.conditions[..order - 1]),
        };
        self.weights(&shares, 0.0)
    }

    fn corrector(&self) -> Vec<f64> {
        let mut shares = match self.ratios.len() {
            1 => vec![0.5],
            _ => solve(&self.ratios, &self.conditions),
        };
        let new = shares.pop().expect("a share of the new value");
        let mut weights = self.weights(&shares, new);
        weights.insert(0, self.scale * new);
        weights
    }

    /// The weights of the values known, from the shares of their differences (m_k − m_0)/r_k and of that of the new value.
    fn weights(&self, shares: &[f64], new: f64) -> Vec<f64> {
        let slopes: Vec<f64> = shares
            .iter()
            .zip(&self.ratios)
            .map(|(share, &ratio)| share / f64::from(ratio))
            .collect();
        let latest = self.first - self.scale * (slopes.iter().sum::<f64>() + new);
        std::iter::once(latest)
            .chain(slopes.iter().map(|slope| self.scale * slope))
            .collect()
    }
}

/// Solves Σ_k ratio_k^i share_k = condition_i in `f32`, by elimination with pivots.
fn solve(ratios: &[f32], conditions: &[f32]) -> Vec<f64> {
    let size = ratios.len();
    let mut rows: Vec<Vec<f32>> = (0..size)
        .map(|i| {
            ratios
                .iter()
                .map(|ratio| ratio.powi(i as i32))
                .chain([conditions[i]])
                .collect()
        })
        .collect();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
            .expect("a row is left");
        rows.swap(column, pivot);
        let (above, below) = rows.split_at_mut(column + 1);
        for row in below {
            let factor = row[column] / above[column][column];
            for (value, pivot) in row[column..].iter_mut().zip(&above[column][column..]) {
                *value -= factor * pivot;
            }
        }
    }
    let mut shares = vec![0.0_f32; size];
    for row in (0..size).rev() {
        let known: f32 = (row + 1..size)
            .map(|column| rows[row][column] * shares[column])
            .sum();
        shares[row] = (rows[row][size] - known) / rows[row][row];
    }
    shares.into_iter().map(f64::from).collect()
}
