//! The two samplers of EDM's `generate.py` (NVlabs/edm at 008a4e5), from their names and keyword arguments.
//!
//! All is in `f64`, as there, but for the table of improved DDPM.
//! Networks are taken to accept every sigma: `round_sigma` is the identity.

mod axis;

use std::f64::consts::SQRT_2;

use noise_schedule::compat::diffusers::karras_at;
use noise_schedule::compat::edm::{iddpm_levels, iddpm_subset};

use self::axis::{Axis, Scaling, Schedule};
use crate::compat::Options;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// The sampler of this name, for a network that knows the noise levels in `net_sigma_range`.
///
/// `edm_sampler` takes `num_steps`, `sigma_min`, `sigma_max`, `rho` and `S_churn`, `S_min`, `S_max`, `S_noise`;
/// `ablation_sampler` also `solver`, `discretization`, `schedule`, `scaling`, `epsilon_s`, `C_1`, `C_2`, `M` and `alpha`.
/// Null stands for the default, and for infinity in `S_max`.
/// The state before the first step is `init_noise_sigma` times latents of unit variance.
/// One step is an error: the peer divides zero by zero.
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), algorithm 2, and table 1 with algorithm 1 of its appendix.
///
/// # Errors
/// [`Error::UnknownSampler`] for another name; [`Error::UnknownOption`], [`Error::OptionValue`] and
/// [`Error::Contradiction`] for what the function does not take.
pub fn prepare<X: Coordinates + 'static>(
    name: &str,
    mut kwargs: Options,
    net_sigma_range: (f64, f64),
) -> Result<Prepared<X>, Error> {
    kwargs.forget_nulls(&NAMES);
    let plan = match name {
        "edm_sampler" => Plan::proposed(&mut kwargs, net_sigma_range)?,
        "ablation_sampler" => Plan::ablation(&mut kwargs, net_sigma_range)?,
        _ => {
            return Err(Error::UnknownSampler {
                toolkit: "EDM",
                name: name.to_string(),
                known: "edm_sampler, ablation_sampler".to_string(),
            });
        }
    };
    let owner = kwargs.owner().to_string();
    kwargs.finish()?;
    plan.prepared(&owner)
}

/// All arguments; the first two can only be null in a configuration.
const NAMES: [&str; 19] = [
    "class_labels",
    "randn_like",
    "num_steps",
    "sigma_min",
    "sigma_max",
    "rho",
    "solver",
    "discretization",
    "schedule",
    "scaling",
    "epsilon_s",
    "C_1",
    "C_2",
    "M",
    "alpha",
    "S_churn",
    "S_min",
    "S_max",
    "S_noise",
];

/// `S_churn`, `S_min`, `S_max` and `S_noise`.
#[derive(Clone, Copy, Debug)]
struct Churn {
    amount: f64,
    min: f64,
    max: f64,
    noise: f64,
}

impl Churn {
    fn read(kwargs: &mut Options) -> Result<Churn, Error> {
        Ok(Churn {
            amount: kwargs.number("S_churn", 0.0)?,
            min: kwargs.number("S_min", 0.0)?,
            max: kwargs.upper_end("S_max")?,
            noise: kwargs.number("S_noise", 1.0)?,
        })
    }
}

/// Everything that the arguments say.
struct Plan {
    axis: Axis,
    /// The noise levels, from noise to data; 0 comes after them.
    sigmas: Vec<f64>,
    churn: Churn,
    /// Where the second slope of a step lies, as a fraction of it; none for Euler's method.
    second: Option<f64>,
}

impl Plan {
    /// `edm_sampler`.
    fn proposed(kwargs: &mut Options, net: (f64, f64)) -> Result<Plan, Error> {
        let steps = kwargs.count("num_steps", 1, 18)?;
        let (low, high) = (
            kwargs.number("sigma_min", 0.002)?,
            kwargs.number("sigma_max", 80.0)?,
        );
        let rho = kwargs.number("rho", 7.0)?;
        let (low, high) = within(kwargs, (low, high), net, steps)?;
        Ok(Plan {
            axis: Axis {
                schedule: Schedule::Linear,
                scaling: Scaling::One,
            },
            sigmas: fractions(steps)
                .map(|u| karras_at(low, high, rho, u))
                .collect(),
            churn: Churn::read(kwargs)?,
            second: Some(1.0),
        })
    }

    /// `ablation_sampler`.
    fn ablation(kwargs: &mut Options, net: (f64, f64)) -> Result<Plan, Error> {
        let steps = kwargs.count("num_steps", 1, 18)?;
        let epsilon = kwargs.number("epsilon_s", 1e-3)?;
        let rho = kwargs.number("rho", 7.0)?;
        let default = Schedule::Preserving {
            beta_d: 19.9,
            beta_min: 0.1,
        };
        let kinds = [
            (
                "vp",
                (
                    Discretization::Preserving,
                    default.sigma(epsilon),
                    default.sigma(1.0),
                ),
            ),
            ("ve", (Discretization::Exploding, 0.02, 100.0)),
            ("iddpm", (Discretization::Improved, 0.002, 81.0)),
            ("edm", (Discretization::Karras, 0.002, 80.0)),
        ];
        let (discretization, low, high) = kwargs.choice("discretization", &kinds, "edm")?;
        let low = kwargs.maybe_number("sigma_min")?.unwrap_or(low);
        let high = kwargs.maybe_number("sigma_max")?.unwrap_or(high);
        let (low, high) = within(kwargs, (low, high), net, steps)?;
        let preserving = Schedule::preserving(low, high, epsilon);
        let schedules = [
            ("vp", preserving),
            ("ve", Schedule::Exploding),
            ("linear", Schedule::Linear),
        ];
        let scalings = [("vp", Scaling::Preserving), ("none", Scaling::One)];
        let axis = Axis {
            schedule: kwargs.choice("schedule", &schedules, "linear")?,
            scaling: kwargs.choice("scaling", &scalings, "none")?,
        };
        let alpha = kwargs.number("alpha", 1.0)?;
        let solvers = [("euler", None), ("heun", Some(alpha))];
        let second = kwargs.choice("solver", &solvers, "heun")?;
        let (c1, c2) = (kwargs.number("C_1", 0.001)?, kwargs.number("C_2", 0.008)?);
        let table = kwargs.count("M", 1, 1000)?;
        let sigmas: Vec<f64> = match discretization {
            Discretization::Preserving => fractions(steps)
                .map(|u| preserving.sigma(1.0 + u * (epsilon - 1.0)))
                .collect(),
            Discretization::Exploding => fractions(steps)
                .map(|u| (high * high * (low * low / (high * high)).powf(u)).sqrt())
                .collect(),
            Discretization::Improved => {
                iddpm_subset(&iddpm_levels(c1, c2, table), low, high, steps)
            }
            Discretization::Karras => fractions(steps)
                .map(|u| karras_at(low, high, rho, u))
                .collect(),
        };
        if sigmas.is_empty() {
            return Err(contradiction(
                kwargs,
                "a level of the iDDPM table must lie in [sigma_min, sigma_max]",
                low,
                high,
            ));
        }
        Ok(Plan {
            axis,
            sigmas,
            churn: Churn::read(kwargs)?,
            second,
        })
    }

    fn prepared<X: Coordinates + 'static>(self, owner: &str) -> Result<Prepared<X>, Error> {
        let schedule = self.axis.schedule;
        let steps = self.sigmas.len();
        let times: Vec<f64> = self
            .sigmas
            .iter()
            .map(|&sigma| schedule.time(sigma))
            .chain([0.0])
            .collect();
        let table: Result<Vec<Step>, Error> = times
            .windows(2)
            .enumerate()
            .map(|(index, pair)| {
                Ok((
                    self.axis.level(pair[1])?,
                    self.stages(pair[0], pair[1], steps, index + 1 == steps)?,
                ))
            })
            .collect();
        let table = table?;
        let stages = table.iter().flat_map(|(_, stages)| stages);
        let told: Vec<f64> = stages.map(|stage| stage.at.noise_to_signal()).collect();
        let order = if self.second.is_some() { 2 } else { 1 };
        let recipe = Recipe::new(owner, order, Precision::State, table)?;
        let mut sigmas: Vec<f64> = times.iter().map(|&t| schedule.sigma(t)).collect();
        sigmas[steps] = 0.0;
        Ok(Prepared {
            steps: recipe.levels(),
            calls: recipe.calls(&told),
            stepper: Box::new(recipe),
            sigmas,
            init_noise_sigma: self.axis.level(times[0])?.sigma(),
            input: Input::State,
            prediction: Prediction::Sample,
        })
    }

    /// The stages of the step between two times, one of so many.
    fn stages(&self, from: f64, to: f64, steps: usize, last: bool) -> Result<Vec<Stage>, Error> {
        let Plan { axis, churn, .. } = self;
        let sigma = axis.schedule.sigma(from);
        let gamma = if churn.min <= sigma && sigma <= churn.max {
            (churn.amount / steps as f64).min(SQRT_2 - 1.0)
        } else {
            0.0
        };
        // Without churn the peer goes to sigma and back, and adds the square root of what rounding leaves: nothing here.
        let hat = if gamma == 0.0 {
            from
        } else {
            axis.schedule.time(sigma + gamma * sigma)
        };
        let raised = axis.schedule.sigma(hat);
        let added =
            (raised * raised - sigma * sigma).max(0.0).sqrt() * axis.scale(hat) * churn.noise;
        let length = to - hat;
        let (Some(alpha), false) = (self.second, last) else {
            let mut only = axis.slope(hat, length)?;
            only.before = (axis.scale(hat) / axis.scale(from), added);
            return Ok(vec![only]);
        };
        let mut first = axis.slope(hat, alpha * length)?;
        first.before = (axis.scale(hat) / axis.scale(from), added);
        let mut second = axis.slope(hat + alpha * length, 0.0)?;
        second.weights = vec![0.5 / alpha * length, (1.0 - 0.5 / alpha) * length];
        Ok(vec![first, second])
    }
}

#[derive(Clone, Copy, Debug)]
enum Discretization {
    Preserving,
    Exploding,
    Improved,
    Karras,
}

/// i/(steps − 1).
fn fractions(steps: usize) -> impl Iterator<Item = f64> {
    (0..steps).map(move |i| i as f64 / (steps - 1) as f64)
}

/// The range that both the caller and the network want.
fn within(
    kwargs: &Options,
    wanted: (f64, f64),
    net: (f64, f64),
    steps: usize,
) -> Result<(f64, f64), Error> {
    let (low, high) = (wanted.0.max(net.0), wanted.1.min(net.1));
    if !(0.0 < low && low <= high && high.is_finite()) {
        let rule =
            "sigma_min must be positive and not exceed sigma_max, within the range of the network";
        return Err(contradiction(kwargs, rule, low, high));
    }
    if steps < 2 {
        let rule = "num_steps must be 2 or more: for one step the peer divides zero by zero";
        return Err(contradiction(kwargs, rule, low, high));
    }
    Ok((low, high))
}

fn contradiction(kwargs: &Options, rule: &'static str, low: f64, high: f64) -> Error {
    Error::Contradiction {
        owner: kwargs.owner().to_string(),
        rule,
        given: format!("sigma_min = {low} and sigma_max = {high}"),
    }
}
