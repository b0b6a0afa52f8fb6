//! The table of orders: every stepper against exact scores, and `docs/orders.md` made from what is measured.
//!
//! `UPDATE_GOLDEN=1 cargo test -p samplers --test orders` rewrites the table.

mod common;
#[path = "common/registry.rs"]
mod registry;

use std::fmt::Write;

use ndarray::{Array1, array};
use noise_schedule::{Grid, Kernel, NoiseSchedule, SubVp, VpLinear};

use common::Mixture;
use registry::{Make, Method, deterministic, stochastic};
use samplers::{
    Counted, HalfLogSnr, Integrand, RungeKutta, Silent, Start, Stepper, Tableau, sample,
};

type State = Array1<f64>;

const TOLERANCE: f64 = 0.25;
const STEPS: [usize; 4] = [128, 256, 512, 1024];
/// As many levels before the first step as the longest memory.
const BEFORE: usize = 4;
const GRIDS: usize = 4;

/// VP with even log-SNRs, sub-VP with even times, VE by Karras, and VP with uneven log-SNRs.
fn grid(kind: usize, steps: usize) -> Grid {
    let (vp, sub) = (VpLinear::song2021(), SubVp::song2021());
    match kind {
        0 => Grid::uniform_log_snr(&vp, 0.9, 0.05, steps).unwrap(),
        1 => Grid::uniform_time(&sub, 0.9, 0.1, steps).unwrap(),
        2 => Grid::karras(0.05, 10.0, 7.0, steps + 1).unwrap(),
        _ => {
            // Steps with ratios up to 3, in an order that does not repeat as the grid is refined.
            let lengths: Vec<f64> = (0..steps)
                .map(|i| 1.0 + ((i * i * 7 + i * 3) % 11) as f64 / 5.0)
                .collect();
            let total: f64 = lengths.iter().sum();
            let (first, last) = (vp.kernel(0.9).log_snr(), vp.kernel(0.05).log_snr());
            let mut at = 0.0;
            let mut levels = vec![vp.kernel(0.9)];
            for length in lengths {
                at += length / total;
                levels.push(Kernel::variance_preserving(first + at * (last - first)));
            }
            Grid::new(levels).unwrap()
        }
    }
}

fn distance(a: &State, b: &State) -> f64 {
    (a - b).fold(0.0, |worst: f64, v| worst.max(v.abs()))
}

/// The flow of the mixture, by a method of fourth order with as many steps as it needs.
fn flow(mixture: &Mixture, x: &State, from: Kernel, to: Kernel, steps: usize) -> State {
    let between = |i: usize| {
        let share = i as f64 / steps as f64;
        let level = |a: f64, b: f64| (a.ln() + share * (b.ln() - a.ln())).exp();
        Kernel::new(
            level(from.alpha(), to.alpha()),
            level(from.sigma(), to.sigma()),
        )
        .unwrap()
    };
    let mut levels: Vec<Kernel> = (0..=steps).map(between).collect();
    (levels[0], levels[steps]) = (from, to);
    let solver = RungeKutta::new(Tableau::classical(), HalfLogSnr);
    sample(
        &Grid::new(levels).unwrap(),
        solver,
        &mut mixture.model(),
        &mut Silent,
        x.clone(),
    )
}

/// A problem on one grid, refined: where the flow is at the first levels and at the end.
struct Problem {
    mixture: Mixture,
    grids: Vec<(Grid, Vec<State>)>,
    end: State,
}

impl Problem {
    fn new(kind: usize) -> Problem {
        let mixture = Mixture::two_modes();
        let ends = grid(kind, 1);
        let (first, last) = (ends.levels()[0], ends.levels()[1]);
        let x = array![-1.4, -0.3, 0.2, 0.9, 1.7] * first.alpha().hypot(first.sigma());
        let grids = STEPS.map(|steps| {
            let grid = grid(kind, steps);
            let mut states = vec![x.clone()];
            for pair in grid.levels()[..=BEFORE].windows(2) {
                states.push(flow(&mixture, states.last().unwrap(), pair[0], pair[1], 40));
            }
            (grid, states)
        });
        let end = flow(&mixture, &x, first, last, 4000);
        Problem {
            mixture,
            grids: grids.into(),
            end,
        }
    }

    /// The largest error along a refined grid from the level `begun`, and the evaluations per step.
    fn error(&self, refined: usize, begun: usize, stepper: impl Stepper<State>) -> (f64, f64) {
        let (grid, states) = &self.grids[refined];
        let rest = Grid::new(grid.levels()[begun..].to_vec()).unwrap();
        let mut model = Counted::new(self.mixture.model());
        let found = sample(
            &rest,
            stepper,
            &mut model,
            &mut Silent,
            states[begun].clone(),
        );
        let steps = grid.levels().len() - 1 - begun;
        (
            distance(&found, &self.end),
            model.evaluations() as f64 / steps as f64,
        )
    }

    /// Levels and values of the integrand before the level `begun`, the latest first.
    fn history(&self, refined: usize, begun: usize, integrand: Integrand) -> Vec<(Kernel, State)> {
        let (grid, states) = &self.grids[refined];
        let value = |i: usize| {
            let (x, level) = (&states[i], grid.levels()[i]);
            let denoised = x.mapv(|x| self.mixture.denoise(x, level));
            let value = match integrand {
                Integrand::Denoised => denoised,
                Integrand::Noise => (x - level.alpha() * denoised) / level.sigma(),
            };
            (level, value)
        };
        (0..begun).rev().map(value).collect()
    }
}

/// The mean of the last two slopes: on an uneven grid errors have no smooth expansion.
fn slope(errors: &[f64]) -> f64 {
    let last = errors.len() - 1;
    0.5 * (errors[last - 2] / errors[last]).log2()
}

/// On Gaussian data D is linear, so that a state is a combination of the starting state and of the draws:
/// coordinate 0 is the former's weight, coordinate i that of draw i, and their squares sum to the exact variance.
fn variance(mut stepper: Box<dyn Stepper<State>>, grid: &Grid, std: f64) -> (f64, f64) {
    let spread = |k: Kernel| (k.alpha() * std).hypot(k.sigma());
    let gain = |x: &State, k: Kernel| x * (k.alpha() * std * std / spread(k).powi(2));
    let mut model = Counted::new(gain);
    let mut drawn = 0;
    let mut noise = |like: &State, _: Kernel, _: Kernel| {
        drawn += 1;
        let mut unit = Array1::zeros(like.len());
        unit[drawn] = 1.0;
        unit
    };
    let mut x = Array1::zeros(2 * grid.levels().len());
    x[0] = spread(grid.levels()[0]);
    for (from, to) in grid.steps() {
        x = stepper.step(&mut model, &mut noise, &x, from, to);
    }
    let steps = grid.levels().len() - 1;
    (
        x.mapv(|weight| weight * weight).sum(),
        model.evaluations() as f64 / steps as f64,
    )
}

/// What is measured of a method: the least slope over the grids, from its own start and from exact values, and its costs.
struct Row {
    name: String,
    claimed: u32,
    own: f64,
    exact: Option<f64>,
    evaluations: f64,
    error: f64,
}

fn measure(method: &Method, problems: &[Problem]) -> Row {
    let claimed = method.fresh(1).order();
    let finest = STEPS.len() - 1;
    let errors = |problem: &Problem, error: &dyn Fn(usize) -> f64| {
        slope(&(0..problem.grids.len()).map(error).collect::<Vec<_>>())
    };
    let least = |slopes: Vec<f64>| slopes.into_iter().fold(f64::INFINITY, f64::min);
    let own =
        |problem: &Problem| errors(problem, &|i| problem.error(i, 0, method.fresh(STEPS[i])).0);
    let exact = match &method.make {
        Make::Multistep(integrand, make) => Some(least(
            problems
                .iter()
                .map(|problem| {
                    errors(problem, &|i| {
                        let history = problem.history(i, BEFORE, *integrand);
                        problem.error(i, BEFORE, make(Start::Rising, history)).0
                    })
                })
                .collect(),
        )),
        _ => None,
    };
    let (error, evaluations) = problems[0].error(finest, 0, method.fresh(STEPS[finest]));
    Row {
        name: method.name.clone(),
        claimed,
        own: least(problems.iter().map(own).collect()),
        exact,
        evaluations,
        error,
    }
}

fn measure_weakly(method: &Method) -> Row {
    const WEAK_STEPS: [usize; 2] = [160, 320];
    let std = 0.6;
    let measured = |kind: usize| {
        WEAK_STEPS.map(|steps| {
            let grid = grid(kind, steps);
            let last = grid.levels()[steps];
            let exact = (last.alpha() * std).powi(2) + last.sigma().powi(2);
            let (variance, evaluations) = variance(method.fresh(steps), &grid, std);
            ((variance - exact).abs(), evaluations)
        })
    };
    let all: Vec<_> = (0..GRIDS).map(measured).collect();
    let slopes = all.iter().map(|[coarse, fine]| (coarse.0 / fine.0).log2());
    let [_, (error, evaluations)] = all[0];
    Row {
        name: method.name.clone(),
        claimed: method.fresh(1).order(),
        own: slopes.fold(f64::INFINITY, f64::min),
        exact: None,
        evaluations,
        error,
    }
}

fn table(rows: &[Row], out: &mut String) {
    out.push_str("| method | order claimed | slope | slope from exact values | evaluations per step | error |\n");
    out.push_str("|---|---|---|---|---|---|\n");
    for row in rows {
        let exact = row
            .exact
            .map_or("–".to_string(), |slope| format!("{slope:.1}"));
        let Row {
            name,
            claimed,
            own,
            evaluations,
            ..
        } = row;
        // Below lies the rounding of other machines.
        let error = if row.error < 1e-11 {
            "below 1e-11".to_string()
        } else {
            format!("{:.0e}", row.error)
        };
        writeln!(
            out,
            "| {name} | {claimed} | {own:.1} | {exact} | {evaluations:.1} | {error} |"
        )
        .unwrap();
    }
}

/// What the errors are measured against is right: the flow of a Gaussian keeps the standardised state.
#[test]
fn the_reference_is_the_flow() {
    let (mean, std) = (0.7, 0.6);
    let gaussian = Mixture {
        weights: vec![1.0],
        means: vec![mean],
        std,
    };
    let spread = |k: Kernel| (k.alpha() * std).hypot(k.sigma());
    for kind in 0..GRIDS {
        let ends = grid(kind, 1);
        let (first, last) = (ends.levels()[0], ends.levels()[1]);
        let x = array![-1.4, 0.2, 1.7] * first.alpha().hypot(first.sigma());
        let exact = x.mapv(|x| {
            last.alpha() * mean + spread(last) * (x - first.alpha() * mean) / spread(first)
        });
        assert!(distance(&flow(&gaussian, &x, first, last, 4000), &exact) < 1e-12);
    }
}

#[test]
fn every_order_is_as_claimed() {
    let problems: Vec<Problem> = (0..GRIDS).map(Problem::new).collect();
    let flows: Vec<Row> = deterministic()
        .iter()
        .map(|method| measure(method, &problems))
        .collect();
    let noises: Vec<Row> = stochastic().iter().map(measure_weakly).collect();
    let missed: Vec<String> = flows
        .iter()
        .chain(&noises)
        .filter(|row| {
            row.own.min(row.exact.unwrap_or(row.own)) < f64::from(row.claimed) - TOLERANCE
        })
        .map(|row| {
            format!(
                "{}: claims {}, slope {:.2}, from exact values {:.2?}",
                row.name, row.claimed, row.own, row.exact
            )
        })
        .collect();
    let mut text = String::from(HEAD);
    table(&flows, &mut text);
    text.push_str(NOISE);
    table(&noises, &mut text);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/orders.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).expect("the table can be written");
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let golden =
        std::fs::read_to_string(path).expect("the table exists; UPDATE_GOLDEN=1 writes it");
    assert_eq!(
        text, golden,
        "the table changed; UPDATE_GOLDEN=1 accepts it"
    );
}

const HEAD: &str = "\
# Orders of convergence

Made by `tests/orders.rs`, which fails if a slope is below its claim by more than 0.25.

A mixture of two normals with its exact score, in `f64`; the probability flow from five states is compared with its solution.
A slope is log2 of the ratio of the largest errors when every step is halved, the mean over 256 to 512 and 512 to 1024 steps,
and the least over four grids: variance preserving with even log-SNRs, sub-VP with even times, variance exploding with Karras's levels,
and variance preserving with uneven log-SNRs.
Methods that remember earlier steps are also started from exact values at four levels before.
Evaluations and error are those of 1024 steps with even log-SNRs.
D and eps are the two forms of the exponential methods.

";

const NOISE: &str = "
## With noise

The weak order: the error of the variance on normal data, where steps are linear, so that moments follow without a random number;
from 160 to 320 steps.

";
