//! FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler and FlowMatchLCMScheduler.
//!
//! Levels are x = (1 − sigma) x_0 + sigma eps, and the network's answer stands for eps − x_0.
//! Reproduced with all three: the shift acts twice, on the ends of the grid in the constructor and on the grid in `set_timesteps`;
//! the state is rounded to `f32` in each step.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;

use super::sigmas::{Shape, first_index, runs_out};
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::sigma_space::Churn;
use crate::compat::{Options, Value};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// FlowMatchEulerDiscreteScheduler.
///
/// `s_churn`, `s_tmin`, `s_tmax` and `s_noise` are arguments of its `step` that it never uses.
/// `stochastic_sampling` steps to (1 − sigma) D + sigma z with fresh noise z.
/// `invert_sigmas` walks 1 − sigma upwards, to 1.
pub(super) fn euler<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let grid = Grid::read(options, steps)?;
    let stochastic = options.flag("stochastic_sampling", false)?;
    Churn::read(step)?;
    // A sigma for each token is an argument that no case of ours can express.
    absent(step, "per_token_timesteps")?;
    grid.prepared(options.owner(), |from, to| {
        if stochastic {
            fresh(from, to)
        } else {
            euler_stage(from, to)
        }
    })
}

/// FlowMatchLCMScheduler: every step is to (1 − sigma) D + sigma z with fresh noise z.
///
/// `scale_factors`, which resizes the images between steps, is refused.
pub(super) fn lcm<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    _step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let grid = Grid::read(options, steps)?;
    match options.take("scale_factors") {
        None | Some(Value::Null) => {}
        Some(Value::List(factors)) if factors.is_empty() => {}
        Some(given) => {
            return Err(options.refused(
                "scale_factors",
                &given,
                "null: states of changing size are not supported",
            ));
        }
    }
    let modes = [
        "nearest",
        "linear",
        "bilinear",
        "bicubic",
        "trilinear",
        "area",
        "nearest-exact",
    ];
    options.choice("upscale_mode", &modes.map(|mode| (mode, ())), "bicubic")?;
    grid.prepared(options.owner(), fresh)
}

/// FlowMatchHeunDiscreteScheduler, whose `step` takes `s_churn`, `s_tmin`, `s_tmax` and `s_noise`.
///
/// Reproduced with it: churn comes after the evaluation, is measured against twice as many steps as there are,
/// and adds noise as if alpha were 1; the first slope is scaled by the raised sigma over the sigma of the evaluation.
pub(super) fn heun<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let (train, shift) = (
        options.count("num_train_timesteps", 1, 1000)?,
        options.number("shift", 1.0)?,
    );
    let churn = Churn::read(step)?;
    let sigmas = grids::flow_match(train, shift, steps)
        .into_iter()
        .map(|sigma| grids::flow_shift(sigma, shift));
    let mut sigmas: Vec<f32> = sigmas.map(|sigma| sigma as f32).collect();
    let calls: Vec<f64> = sigmas
        .iter()
        .map(|&sigma| f64::from(sigma * train as f32))
        .collect();
    let twice = calls[1..].iter().flat_map(|&timestep| [timestep, timestep]);
    let timesteps: Vec<f64> = [calls[0]].into_iter().chain(twice).collect();
    if first_index(&timesteps) != 0 {
        return Err(runs_out(options.owner(), timesteps[0]));
    }
    sigmas.push(0.0);
    let intervals = 2 * steps - 1;
    let table: Result<Vec<Step>, Error> = sigmas
        .windows(2)
        .enumerate()
        .map(|(index, pair)| {
            let (from, to) = (pair[0], pair[1]);
            let hat = churn.at(from, intervals);
            let length = f64::from(to - hat.sigma);
            let raised = f64::from(from) / f64::from(hat.sigma);
            let mut first = velocity(from, length * raised)?;
            first.between = hat.noise;
            let mut stages = vec![first];
            if index + 1 < steps {
                let mut second = velocity(to, 0.0)?;
                second.weights = vec![0.5 * length, 0.5 * length * raised];
                stages.push(second);
            }
            Ok((level(to)?, stages))
        })
        .collect();
    let recipe = Recipe::new(options.owner(), 2, Precision::Single, table?)?;
    let inner = sigmas[1..steps].iter().flat_map(|&sigma| [sigma, sigma]);
    let listed = [sigmas[0]].into_iter().chain(inner).chain([0.0]);
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&timesteps),
        stepper: Box::new(recipe),
        sigmas: listed.map(f64::from).collect(),
        init_noise_sigma: 1.0,
        input: Input::State,
        prediction: Prediction::Flow,
    })
}

/// The sigmas of the Euler and LCM schedulers, the final one included, and what the network is told at each of the others.
struct Grid {
    timesteps: Vec<f64>,
    sigmas: Vec<f32>,
}

impl Grid {
    fn read(options: &mut Options, steps: usize) -> Result<Grid, Error> {
        let train = options.count("num_train_timesteps", 1, 1000)?;
        let shift = options.number("shift", 1.0)?;
        let dynamic = options.flag("use_dynamic_shifting", false)?;
        // These four make `mu` of an image's size, outside of the scheduler.
        for name in [
            "base_shift",
            "max_shift",
            "base_image_seq_len",
            "max_image_seq_len",
        ] {
            options.maybe_number(name)?;
        }
        options.choice(
            "time_shift_type",
            &[("exponential", ()), ("linear", ())],
            "exponential",
        )?;
        if dynamic {
            return Err(Error::Contradiction {
                owner: options.owner().to_string(),
                rule: "use_dynamic_shifting needs `mu`, an argument of set_timesteps that a configuration cannot give; set shift instead",
                given: "use_dynamic_shifting = true".to_string(),
            });
        }
        let inverted = options.flag("invert_sigmas", false)?;
        // Zero is false in Python, and false is no number.
        let terminal = options
            .maybe_number("shift_terminal")?
            .filter(|&terminal| terminal != 0.0);
        let shape = Shape::read(options)?;

        let native = grids::flow_match(train, shift, steps).into_iter();
        let mut sigmas: Vec<f64> = native
            .map(|sigma| grids::flow_shift(sigma, shift))
            .collect();
        if let Some(terminal) = terminal {
            grids::stretch_to_terminal(&mut sigmas, terminal);
            if sigmas.iter().any(|sigma| sigma.is_nan()) {
                return Err(Error::Contradiction {
                    owner: options.owner().to_string(),
                    rule: "shift_terminal needs a last sigma below 1: take two or more steps",
                    given: format!("{steps} and shift_terminal = {terminal}"),
                });
            }
        }
        let ends = (sigmas[steps - 1], sigmas[0]);
        if let Some(shaped) = shape.sigmas(ends, steps, options.owner())? {
            sigmas = shaped;
        }
        let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
        if inverted {
            sigmas = sigmas.into_iter().map(|sigma| 1.0 - sigma).collect();
        }
        let timesteps = sigmas
            .iter()
            .map(|&sigma| f64::from(sigma * train as f32))
            .collect();
        sigmas.push(if inverted { 1.0 } else { 0.0 });
        Ok(Grid { timesteps, sigmas })
    }

    fn prepared<X: Coordinates + 'static>(
        self,
        owner: &str,
        stage: impl Fn(f32, f32) -> Result<Stage, Error>,
    ) -> Result<Prepared<X>, Error> {
        if first_index(&self.timesteps) != 0 {
            return Err(runs_out(owner, self.timesteps[0]));
        }
        let pairs = self.sigmas.windows(2);
        let table: Result<Vec<Step>, Error> = pairs
            .map(|pair| Ok((level(pair[1])?, vec![stage(pair[0], pair[1])?])))
            .collect();
        let recipe = Recipe::new(owner, 1, Precision::Single, table?)?;
        Ok(Prepared {
            steps: recipe.levels(),
            calls: recipe.calls(&self.timesteps),
            stepper: Box::new(recipe),
            sigmas: self.sigmas.into_iter().map(f64::from).collect(),
            init_noise_sigma: 1.0,
            input: Input::State,
            prediction: Prediction::Flow,
        })
    }
}

/// x + (to − from) (eps − x_0).
fn euler_stage(from: f32, to: f32) -> Result<Stage, Error> {
    velocity(from, f64::from(to - from))
}

/// (1 − to) D + to z, with D of the rounded state as the peer has it: x − from (eps − x_0).
fn fresh(from: f32, to: f32) -> Result<Stage, Error> {
    let kept = f64::from(1.0 - to);
    let mut stage = velocity(from, -kept * f64::from(from))?;
    stage.kept = kept;
    stage.after = f64::from(to);
    Ok(stage)
}

/// The evaluation of eps − x_0 at this sigma, times `weight`.
fn velocity(sigma: f32, weight: f64) -> Result<Stage, Error> {
    let at = level(sigma)?;
    Ok(Stage::explicit(
        at,
        Prediction::Flow.answer_coefficients(at),
        weight,
    ))
}

fn level(sigma: f32) -> Result<Kernel, Error> {
    let sigma = f64::from(sigma);
    Ok(Kernel::new(1.0 - sigma, sigma)?)
}

/// Refuses an option unless it is absent or null.
fn absent(options: &mut Options, name: &str) -> Result<(), Error> {
    match options.take(name) {
        None | Some(Value::Null) => Ok(()),
        Some(given) => Err(options.refused(name, &given, "null")),
    }
}
