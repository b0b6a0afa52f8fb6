//! The DPM-Solver family: multistep, its inverse and its EDM forms, singlestep, and DPM-Solver SDE.

mod edm;
mod multistep;
mod sde;
mod single;
mod singlestep;

pub(super) use edm::{cosine, edm};
pub(super) use multistep::{inverse, multistep};
pub(super) use sde::sde;
pub(super) use singlestep::singlestep;

use noise_schedule::Kernel;

use super::lambda_space::{Final, Grid, Levels};
use super::single_levels::Level;
use crate::compat::clip::Clip;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::compat::{Options, Value};
use crate::dpm_solver::{Curvature, Integrand, SecondOrder};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// `algorithm_type`: what is integrated, and with how much noise.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Algorithm {
    integrand: Integrand,
    eta: f64,
}

const DPM_SOLVER_PLUS_PLUS: Algorithm = Algorithm {
    integrand: Integrand::Denoised,
    eta: 0.0,
};
const DPM_SOLVER: Algorithm = Algorithm {
    integrand: Integrand::Noise,
    eta: 0.0,
};
const SDE_DPM_SOLVER_PLUS_PLUS: Algorithm = Algorithm {
    integrand: Integrand::Denoised,
    eta: 1.0,
};
const SDE_DPM_SOLVER: Algorithm = Algorithm {
    integrand: Integrand::Noise,
    eta: 1.0,
};

impl Algorithm {
    /// Reads `algorithm_type`, one of these; `deis` is taken for `dpmsolver++`, for those who switch classes.
    fn read(options: &mut Options, known: &[(&str, Algorithm)]) -> Result<Algorithm, Error> {
        let known = [known, &[("deis", DPM_SOLVER_PLUS_PLUS)]].concat();
        options.choice("algorithm_type", &known, "dpmsolver++")
    }

    /// Reads `final_sigmas_type` besides.
    ///
    /// # Errors
    /// [`Error::Contradiction`] for an end at sigma = 0 of what cannot have one; in the peer that is `deis` as well.
    fn read_with_end(
        options: &mut Options,
        known: &[(&str, Algorithm)],
    ) -> Result<(Algorithm, Final), Error> {
        let switched = options.clone().take("algorithm_type") == Some(Value::Text("deis".into()));
        let algorithm = Algorithm::read(options, known)?;
        let end = Final::read(options)?;
        if end == Final::Zero && (switched || algorithm.integrand == Integrand::Noise) {
            return Err(Error::Contradiction {
                owner: options.owner().to_string(),
                rule: "only dpmsolver++ and sde-dpmsolver++ can end at sigma = 0; use final_sigmas_type sigma_min",
                given: "final_sigmas_type zero with another algorithm_type".to_string(),
            });
        }
        Ok((algorithm, end))
    }

    /// The integrand as a combination of the state and D.
    fn slope(self, at: Level) -> (f64, f64) {
        let (alpha, sigma) = (f64::from(at.alpha), f64::from(at.sigma));
        match self.integrand {
            Integrand::Denoised => (0.0, 1.0),
            Integrand::Noise => (sigma.recip(), -alpha / sigma),
        }
    }
}

/// Reads `solver_type`; the names of other classes are taken for the midpoint.
fn second_order(options: &mut Options) -> Result<SecondOrder, Error> {
    let known = [
        ("midpoint", SecondOrder::Midpoint),
        ("heun", SecondOrder::Heun),
        ("logrho", SecondOrder::Midpoint),
        ("bh1", SecondOrder::Midpoint),
        ("bh2", SecondOrder::Midpoint),
    ];
    options.choice("solver_type", &known, "midpoint")
}

/// Reads `prediction_type` of the schedulers on the variance-preserving schedule or a flow.
fn prediction(options: &mut Options, algorithm: Algorithm) -> Result<Prediction, Error> {
    let known = [
        ("epsilon", Prediction::Epsilon),
        ("sample", Prediction::Sample),
        ("v_prediction", Prediction::Velocity),
        ("flow_prediction", Prediction::Flow),
    ];
    let prediction = options.choice("prediction_type", &known, "epsilon")?;
    if prediction == Prediction::Flow && algorithm.integrand == Integrand::Noise {
        return Err(Error::Contradiction {
            owner: options.owner().to_string(),
            rule: "flow_prediction needs algorithm_type dpmsolver++ or sde-dpmsolver++",
            given: "flow_prediction with an algorithm of the noise".to_string(),
        });
    }
    Ok(prediction)
}

/// Reads `variance_type`, which says that the network has a second answer. The caller leaves it out, so that nothing depends on it.
pub(super) fn variance_type(options: &mut Options) -> Result<(), Error> {
    if options.clone().take("variance_type") == Some(Value::Null) {
        options.take("variance_type");
    }
    options.choice(
        "variance_type",
        &[("learned", ()), ("learned_range", ()), ("", ())],
        "",
    )
}

/// Reads `use_dynamic_shifting` and `time_shift_type`, which matter only to those who also give `mu` to `set_timesteps`.
pub(super) fn dynamic_shifting(options: &mut Options) -> Result<(), Error> {
    options.flag("use_dynamic_shifting", false)?;
    options.choice("time_shift_type", &[("exponential", ())], "exponential")
}

/// What the peer makes of the network's answer where it should make D, as the weights (c, d) of c x + d D.
///
/// It is D up to the rounding of `sigma` to `f32`, which counts where alpha is small, but for two formulas on levels that they are not for:
/// v on a flow is inverted as if alpha² + sigma² were 1, and a flow's answer on the variance-preserving schedule as if
/// alpha + sigma were 1 and sigma the noise-to-signal ratio. There v is alpha eps − sigma x_0, not normalised.
fn estimate(
    prediction: Prediction,
    integrand: Integrand,
    levels: Levels,
    sigma: f32,
) -> Result<(f64, f64), Error> {
    let at = levels.kernel(sigma)?;
    let (exact_alpha, exact_sigma) = (at.alpha(), at.sigma());
    // The answer, of the state and D, by exact arithmetic.
    let (from_state, from_denoised) = match prediction {
        Prediction::Sample => (0.0, 1.0),
        Prediction::Velocity => (
            exact_alpha / exact_sigma,
            -exact_alpha * exact_alpha / exact_sigma - exact_sigma,
        ),
        Prediction::Flow => (exact_sigma.recip(), -exact_alpha / exact_sigma - 1.0),
        Prediction::Edm { .. } => {
            let (skip, out) = prediction.coefficients(at);
            (-skip / out, out.recip())
        }
        _ => (exact_sigma.recip(), -exact_alpha / exact_sigma),
    };
    let level = Level::new(sigma, levels);
    let (alpha, single) = (f64::from(level.alpha), f64::from(level.sigma));
    // D, of the state and the answer, by theirs.
    let (kept, out) = match (prediction, integrand) {
        (Prediction::Sample, Integrand::Denoised) => (0.0, 1.0),
        (Prediction::Velocity, Integrand::Denoised) => (alpha, -single),
        (Prediction::Flow, _) => (1.0, -f64::from(sigma)),
        (Prediction::Edm { sigma_data, sign }, _) => {
            let data = sigma_data as f32;
            let squares = sigma * sigma + (sigma_data * sigma_data) as f32;
            let skip = (sigma_data * sigma_data) as f32 / squares;
            (
                f64::from(skip),
                sign * f64::from(sigma * data / squares.sqrt()),
            )
        }
        (_, Integrand::Denoised) => (alpha.recip(), -single / alpha),
        (_, Integrand::Noise) => {
            // First the noise.
            let (kept, out) = match prediction {
                Prediction::Sample => (single.recip(), -alpha / single),
                Prediction::Velocity => (single, alpha),
                _ => (0.0, 1.0),
            };
            ((1.0 - single * kept) / alpha, -single * out / alpha)
        }
    };
    Ok((kept + out * from_state, out * from_denoised))
}

/// What the multistep schedulers share once their options are read.
struct Multistep {
    algorithm: Algorithm,
    order: usize,
    second: SecondOrder,
    /// The highest order that the peer has for the algorithm.
    highest: u32,
    /// `lower_order_final`: with fewer than 15 steps, the last two have orders 2 and 1.
    lower_order_final: bool,
    /// Whether the last step has order 1 in any case.
    euler_at_final: bool,
    prediction: Prediction,
    levels: Levels,
    clip: Option<Clip>,
    precision: Precision,
    init_noise_sigma: f64,
    input: Input,
}

impl Multistep {
    /// The order of step `index` of `count`.
    fn order_at(&self, index: usize, count: usize) -> u32 {
        let few = self.lower_order_final && count < 15;
        let last = index + 1 == count && (self.euler_at_final || few);
        let second = index + 2 == count && few;
        if self.order == 1 || index == 0 || last {
            1
        } else if self.order == 2 || index == 1 || second {
            2
        } else {
            // What solver_order is beyond 3 makes no difference.
            3
        }
    }

    fn prepared<X: Coordinates + 'static>(
        &self,
        grid: &Grid,
        owner: &str,
    ) -> Result<Prepared<X>, Error> {
        let count = grid.timesteps.len();
        let steps: Result<Vec<Step>, Error> = (0..count)
            .map(|index| self.step(grid, index, self.order_at(index, count), owner))
            .collect();
        let recipe = Recipe::new(owner, self.order.min(2) as u32, self.precision, steps?)?;
        Ok(Prepared {
            steps: recipe.levels(),
            calls: recipe.calls(&grid.timesteps),
            stepper: Box::new(recipe),
            sigmas: grid.sigmas.iter().copied().map(f64::from).collect(),
            init_noise_sigma: self.init_noise_sigma,
            input: self.input,
            prediction: self.prediction,
        })
    }

    fn step(&self, grid: &Grid, index: usize, order: u32, owner: &str) -> Result<Step, Error> {
        let level = |index: usize| Level::new(grid.sigmas[index], self.levels);
        let (from, to) = (level(index), level(index + 1));
        let mut stage = Stage::explicit(grid.kernels[index], self.algorithm.slope(from), 1.0);
        stage.estimate = estimate(
            self.prediction,
            self.algorithm.integrand,
            self.levels,
            grid.sigmas[index],
        )?;
        stage.clip = self.clip;
        if to.sigma == 0.0 {
            stage.kept = 0.0;
            return Ok((grid.kernels[index + 1], vec![stage]));
        }
        if self.highest < order {
            return Err(Error::Contradiction {
                owner: owner.to_string(),
                rule: "this algorithm has no step of third order in the peer, which fails there; use solver_order 2",
                given: format!("solver_order 3 in step {index}"),
            });
        }
        let remembered: Vec<f32> = (0..=index)
            .rev()
            .take(order as usize)
            .map(|index| level(index).lambda)
            .collect();
        let h = to.lambda - from.lambda;
        let back: Vec<f64> = remembered
            .windows(2)
            .map(|pair| f64::from((pair[0] - pair[1]) / h))
            .collect();
        let step = single::step(from, to, self.algorithm);
        let update = step.multistep(self.second, Curvature::Halved, &back);
        stage.kept = update.state;
        stage.weights = update.values[..order as usize].to_vec();
        stage.after = update.noise;
        Ok((grid.kernels[index + 1], vec![stage]))
    }
}
